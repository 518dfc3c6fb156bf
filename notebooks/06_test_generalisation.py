# %% [markdown]
# # Test generalisation
#
# **Question.** How does a model do on patients unlike those it was trained on, and in another hospital?
#
# **The paper reports** {cite}`koo2025` two such tests. It clusters the patients by the vectors its own model gives
# them, and makes each of five clusters the test part in turn: better scores than its rivals in all tasks (Tables S11
# and S12). And it applies a model trained on SCAN-B to METABRIC {cite}`curtis2012`: scores comparable to the rivals'
# (Table S13).
#
# **Method.** Both, with the linear rivals of {doc}`03_predict_survival` beside the transformer. The other hospital is
# simulated from the same biology but measures other genes on another scale; a real one follows from a recorded run.
#
# :::{admonition} After this chapter you can
# :class: goals
# - make folds that ask a model about a kind of patient it has not seen, and say what such folds leave open;
# - apply a model to a cohort with other genes and another scale, and know what harmonising assumes;
# - tell a failure to generalise from a mismatch of units.
# :::

# %% tags=["parameters"]
cohort: str = "transbig"  # or "demo": the cohort of the cluster folds
n_splits: int = 3  # random divisions beside the five cluster folds
preset: str = "quick"  # of TxT: "quick" or "paper"
max_epochs: int = 25  # of TxT; 0 leaves it to the preset
share_missing: float = 0.25  # of the genes, which the other hospital does not measure

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue

import gexcore as gx

gx.plots.use_theme()
data, tasks = gx.load_cohort(cohort), gx.load_tasks(cohort)
settings = {"preset": preset} | ({"max_epochs": max_epochs} if max_epochs else {})
survival, others = tasks[0], tasks[1:]
MODELS = {
    "TxT": lambda seed: gx.TxT(tasks, seed=seed, **settings),
    "elastic-net Cox": lambda seed: gx.baselines.ElasticNetCox(survival, seed=seed),
    "linear models": lambda seed: gx.baselines.LinearModel(others, seed=seed),
}

# %% [markdown]
# ## Folds of patients who resemble each other
#
# In a random split every test patient has near relatives in the training part. Take whole clusters of patients away
# instead, and the model is judged on a kind of patient it has not seen. Two ways to make the clusters: from the
# vectors of a TxT trained on all patients (its output below the heads), as in the paper, and from principal components
# of expression. The first has seen everybody's labels, so outcome is part of what makes patients alike, and groups of
# poor and good prognosis are torn apart on purpose. The second knows no label.

# %% tags=["nbval-ignore-output"]
everyone = gx.TxT(tasks, **settings).fit(data)
components = gx.interpret.project(
    data.to_df().fillna(data.to_df().mean()), method="pca"
)
folds = {
    "random": gx.splits.split_table(data, tasks, seeds=range(n_splits)),
    "clusters of TxT": gx.splits.cluster_folds(data, everyone.embed(data), tasks),
    "clusters of expression": gx.splits.cluster_folds(data, components, tasks),
}
sizes = {name: (table == "test").sum().tolist() for name, table in folds.items()}
pd.Series(sizes, name="test patients per fold").to_frame()

# %%
for name in ("clusters of TxT", "clusters of expression"):
    assert ((folds[name] == "test").sum(axis=1) == 1).all()  # everybody is tested once

# %% [markdown]
# A fold table is kept with `gx.splits.write_splits` and read with `read_splits`, so that others can use the same
# folds. The scores, mean over folds: C-index and accuracy, where higher is better, and mean absolute error in years
# (age) and centimetres (size), where lower is.

# %% tags=["nbval-ignore-output"]
scores = []
with warnings.catch_warnings():
    # A cluster can hold a class that the other clusters lack; the model then cannot know it.
    warnings.simplefilter("ignore", gx.CohortWarning)
    for name, table in folds.items():
        found = gx.comparison.over_splits(MODELS, data, tasks, splits=table)
        scores.append(found.assign(folds=name))
scores = gx.comparison.headlines(pd.concat(scores))
table = scores.pivot_table(
    index=["task", "metric", "model"], columns="folds", values="value", sort=False
)
of_clusters = scores[scores["folds"] == "clusters of TxT"]
against = gx.comparison.differences(of_clusters, "TxT", test_ratio=1 / 4).dropna()
glue("against_txt", against.to_dict("records"), display=False)
table.rename(index=gx.plots.METRIC_NAMES).rename_axis(columns=None).round(3)

# %% tags=["nbval-ignore-output"]
on_survival = scores[scores["metric"] == "c_index"]
figure, ax = plt.subplots(figsize=(7.4, 3.2))
shown = on_survival.assign(model=on_survival["model"] + ", " + on_survival["folds"])
gx.plots.plot_scores(shown, ax=ax)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: One row per model and kind of fold, with points and mean and standard deviation of the C-index from 0.4 to 0.8. Random splits lie highest, TxT at about 0.75 and elastic-net Cox at about 0.64; all four rows of cluster folds lie near 0.55 and spread widely.
# C-index of metastasis-free survival in `transbig` for TxT and the elastic-net Cox model, tested on random parts, on
# clusters of TxT's own vectors and on clusters of expression; best mean on top. A blue point is a fold, black the mean
# and standard deviation over folds, written out on the right; chance is at 0.5. On kinds of patients they have not seen
# both models are near chance, some folds below it, and TxT's lead is gone.
# :::
#
# ## Another hospital
#
# A second cohort is drawn from the model behind `demo`: other patients, the same biology. Its laboratory measures
# log ratios instead of log abundances, more noise, a quarter of the genes not at all and fifty that nobody here
# knows; follow-up is counted in days. What the model makes of it, gene by gene (*present* in both, *absent* in the
# other hospital, *extra* there):

# %%
home = gx.load_cohort("demo")
drawn = gx.simulate.simulate_cohort(n_samples=250, n_genes=250, seed=1)
rng = np.random.default_rng(0)
ratios = 0.6 * (drawn.expression - drawn.expression.median())
ratios += rng.normal(0, 0.3, ratios.shape)
absent = rng.choice(
    home.var_names.to_numpy(), int(share_missing * home.n_vars), replace=False
)
clinical = drawn.clinical.assign(os_time=drawn.clinical["os_time"] * 30.4)
away = gx.read_cohort(ratios.drop(columns=absent, errors="ignore"), clinical)
report = gx.gene_report(away, home.var_names)
report["status"].value_counts().rename("genes").to_frame()

# %% [markdown]
# Genes are matched by name. One that the hospital lacks stands at its training mean, one that the model does not know
# is not read. Values are brought to the training scale gene by gene, without a look at any label ({term}`harmonise`):
# by mean and standard deviation (`zscore`), or by the whole distribution (`quantile`). Without that step the model
# warns.

# %% tags=["nbval-ignore-output"]
home_tasks = gx.load_tasks("demo")
train, val, test = gx.split(home, home_tasks, seed=0)
model = gx.TxT(home_tasks, **settings).fit(train, val)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always", gx.CohortWarning)
    applied = {
        "home, test patients": (model.predict(test), test),
        "away, as it is": (model.predict(away), away),
        "away, zscore": (model.predict(away, harmonise="zscore"), away),
        "away, quantile": (model.predict(away, harmonise="quantile"), away),
    }
print(*dict.fromkeys(str(w.message) for w in said), sep="\n")

# %% tags=["nbval-ignore-output", "hide-input"]
tables = []
for name, (prediction, patients) in applied.items():
    found = gx.comparison.bootstrap_scores(prediction, patients, n=100)
    tables.append(gx.comparison.headlines(found).assign(cohort=name))
external = pd.concat(tables)
external["text"] = external.apply(
    "{value:.2f} ({low:.2f} to {high:.2f})".format_map, axis=1
)
table = external.pivot_table(
    index=["task", "metric"],
    columns="cohort",
    values="text",
    aggfunc="first",
    sort=False,
)
table.rename(index=gx.plots.METRIC_NAMES).rename_axis(columns=None)

# %% [markdown]
# In brackets the 95 percent interval over resampled patients: what another draw of patients would change, with the
# model as it is.
#
# ## A real one
#
# Recorded once: models trained on TCGA breast cancers (z-scores of RNA sequencing, ages 26 to 90) and applied to 150
# patients of the Netherlands Cancer Institute (log ratios of a microarray of 2002, ages up to 61, duplicated symbols
# averaged, follow-up in days). The two files share 76 of 1558 genes. One TxT was trained on all genes, one on the
# shared ones only. `tests/benchmarks/test_generalisation.py` makes the table.

# %% tags=["hide-input"]
recorded = pd.read_csv("recorded/external_tcga_to_nki.csv")
recorded["text"] = recorded.apply(
    "{value:.2f} ({low:.2f} to {high:.2f})".format_map, axis=1
)
table = gx.comparison.headlines(recorded).pivot_table(
    index=["task", "metric", "model"],
    columns="to",
    values="text",
    aggfunc="first",
    sort=False,
)
table.rename(index=gx.plots.METRIC_NAMES).rename_axis(columns=None)

# %% [markdown]
# What this chapter claims is checked whenever it runs at its default settings:

# %%
by_default = (cohort, n_splits, preset, max_epochs, share_missing) == (
    "transbig",
    3,
    "quick",
    25,
    0.25,
)
if by_default:
    mean = on_survival.groupby(["model", "folds"])["value"].mean()
    for model_name in ("TxT", "elastic-net Cox"):
        for kind in ("clusters of TxT", "clusters of expression"):
            assert mean[model_name, "random"] > mean[model_name, kind]
    for kind in ("clusters of TxT", "clusters of expression"):
        assert mean["TxT", kind] < mean["elastic-net Cox", kind] + 0.05
    found = external.set_index(["cohort", "task", "metric"])["value"]
    for kind in ("zscore", "quantile"):
        for task, metric in (("os", "c_index"), ("subtype", "accuracy")):
            better = found[f"away, {kind}", task, metric]
            assert better > found["away, as it is", task, metric] + 0.03
    real = recorded[recorded["metric"] == "c_index"].set_index(["model", "to"])["low"]
    assert real["TxT, shared genes", "NKI, zscore"] > 0.5
    assert real["TxT, shared genes", "NKI, as it is"] < 0.5

# %% [markdown]
# :::{admonition} Try it
# :class: try
# ```bash
# papermill notebooks/06_test_generalisation.ipynb out.ipynb -p share_missing 0.45 -p max_epochs 10 --cwd notebooks
# ```
# The other hospital now lacks nearly half of the genes. Harmonising still helps, but the subtype is told much less well
# than at home. With `share_missing` at 0.75 the model refuses: it accepts a cohort with half of its genes or more,
# unless it is told otherwise (`min_coverage`).
# :::
#
# ## Exercises
#
# :::{admonition} Exercise 1
# :class: exercise
# Nobody can rank patients better than their true hazards do. Could even these have a lower C-index within clusters of
# patients than among all? For which of the two ways to make clusters is this more of a worry?
# :::
#
# :::{dropdown} Solution
# They could, as far as patients of one cluster have similar hazards: more of their pairs are then nearly tied, and
# chance orders their events. Clusters of TxT's vectors have seen the outcomes and may well be of that kind, so that
# part of the fall belongs to the patients tested and not to the models; models should be compared on the same folds,
# and kinds of folds not by these scores alone. Clusters of expression are less of a worry: among patients simulated
# like those of `demo`, the true hazards rank nearly as well within them as overall, but far worse within fifths
# of equal hazard.
#
# ```python
# whole = gx.read_cohort(drawn.expression, drawn.clinical)
# plane = gx.interpret.project(whole.to_df(), method="pca")
# parts = {
#     "all": drawn.log_hazard * 0,
#     "clusters": gx.splits.cluster_folds(whole, plane).eq("test").idxmax(axis=1),
#     "fifths of hazard": pd.qcut(drawn.log_hazard, 5, labels=False),
# }
# table = drawn.clinical[["os_time", "os_event"]].assign(risk=drawn.log_hazard)
# for name, part in parts.items():
#     found = [gx.metrics.c_index(*p.to_numpy().T) for _, p in table.groupby(part)]
#     print(name, np.mean(found).round(2))
# ```
# :::
#
# :::{admonition} Exercise 2
# :class: exercise
# Another laboratory reports $x = a + b\,y$ where yours would have read $y$, with $b > 0$ and other $a$ and $b$ for
# every gene. Show that harmonising by `zscore` undoes this, if its patients are like yours. Does it undo a laboratory
# that forgot the logarithm? Does `quantile`?
# :::
#
# :::{dropdown} Solution
# With mean $\bar x = a + b\,\bar y$ and standard deviation $s_x = b\,s_y$ of the new cohort,
# $(x - \bar x)/s_x = (y - \bar y)/s_y$: both constants drop out, and with the training mean and standard deviation put
# back, what remains is $y$, up to the difference between the two samples of patients. A missing logarithm is not of
# that form: mean and standard deviation come right, the shape does not, and a few high values pull on both. Matching
# quantiles undoes any increasing function, since ranks do not change; but it also forces the shape of the training
# distribution on patients who have another one.
# :::
#
# :::{admonition} Exercise 3
# :class: exercise
# The other hospital sends only its patients of the subtype *basal*. Harmonise them by themselves, predict their
# subtype, and compare with what the model says of the same patients when the whole cohort is harmonised together.
# :::
#
# :::{dropdown} Solution
# ```python
# basal = away[(away.obs["subtype"] == "basal").to_numpy()].copy()
# alone = model.predict(basal, harmonise="zscore")["subtype"].labels
# together = applied["away, zscore"][0]["subtype"].labels[basal.obs_names]
# (alone == "basal").mean(), (together == "basal").mean()
# ```
#
# By themselves most of them are called something else; with the others most are recognised. What is high in all basal
# tumours is brought to the mean of all tumours when only basal ones are there: harmonising takes the mix of patients
# for a fault of the laboratory.
# :::
#
# ## What was found
#
# At the default settings:
#
# - Tested on a kind of patient they have not seen, both models lose most of what they know about survival, and TxT
#   loses its lead. Part of the fall may belong to the patients of the clusters and not to the models (exercise 1).
# - What looks like a failure to generalise can be a matter of units. In the simulated hospital, the model is lost on
#   the values as they come, and close to its score at home once they are brought to the training scale.
# - From TCGA to the Netherlands Cancer Institute, 76 shared genes are enough to rank patients better than chance, the
#   interval says, once harmonised; without it, not. Age does not travel: these patients are much younger.
#
# **The paper reports** for SCAN-B that TxT stays ahead in every task on folds of clusters. This **does not hold here**.
# Its test on METABRIC cannot be repeated on these cohorts; in the recorded run between two
# hospitals TxT is not behind its linear rival, and their intervals overlap.
#
# **What to doubt.** Clusters of TxT have seen the outcomes of all patients. Harmonising assumes that two cohorts
# are samples of about the same population, which the simulated one is by construction and the real one is not
# quite. In the real one, 36 deaths carry the C-index, and one model was trained, not ten. TxT was trained for at most
# 25 epochs, which is short of the preset.
