# %% [markdown]
# # Test generalisation
#
# **Question.** How does a model do on patients unlike those it was trained on, and in another hospital?
#
# **The paper** {cite}`koo2025` asks it twice. It clusters the patients by the vectors its own model gives them, and
# makes each of five clusters the test part in turn; **it reports** better scores than its rivals in all tasks
# (Tables S11 and S12). And it applies a model trained on SCAN-B to METABRIC {cite}`curtis2012`; there **it reports**
# performance comparable to the rivals' (Table S13).
#
# **Method.** Both, with the rivals of the last chapters beside the transformer. The other hospital is simulated from
# the same biology but measures other genes on another scale; a real one follows from a recorded run.

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
# vectors of a TxT trained on all patients, as in the paper, and from principal components of expression. The first
# has seen everybody's labels, so outcome is part of what makes patients alike, and groups of poor and good
# prognosis are torn apart on purpose. The second knows no label.

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
# folds. The scores, mean over folds:

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
table.rename(index=gx.plots.METRIC_NAMES).rename_axis(columns=None).round(3)

# %% tags=["nbval-ignore-output"]
on_survival = scores[scores["metric"] == "c_index"]
figure, ax = plt.subplots(figsize=(7.4, 3.2))
shown = on_survival.assign(model=on_survival["model"] + ", " + on_survival["folds"])
gx.plots.plot_scores(shown, ax=ax)
plt.show()

# %% [markdown]
# ## Another hospital
#
# A second cohort is drawn from the model behind `demo`: other patients, the same biology. Its laboratory measures
# log ratios instead of log abundances, more noise, a quarter of the genes not at all and fifty that nobody here
# knows; follow-up is counted in days. What the model makes of it, gene by gene:

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
# is not read. Values are brought to the training scale gene by gene, without a look at any label: by mean and
# standard deviation, or by the whole distribution (quantiles). Without that step the model warns.

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

# %% tags=["nbval-ignore-output"]
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
# In brackets the 95 percent interval over resampled patients.
#
# ## A real one
#
# Recorded once: models trained on TCGA breast cancers (z-scores of RNA sequencing, ages 26 to 90) and applied to 150
# patients of the Netherlands Cancer Institute (log ratios of a microarray of 2002, ages up to 61, duplicated symbols
# averaged, follow-up in days). The two files share 76 of 1558 genes. One TxT was trained on all genes, one on the
# shared ones only. `tests/benchmarks/test_generalisation.py` makes the table.

# %%
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
# ## What was found, at the default settings
#
# - Tested on a kind of patient they have not seen, both models lose most of what they know about survival, and TxT
#   loses its lead. That it stays ahead in every task, as the paper reports for SCAN-B, **does not hold here**.
# - What looks like a failure to generalise can be a matter of units. In the simulated hospital, the model is lost on
#   the values as they come, and close to its score at home once they are brought to the training scale.
# - From TCGA to the Netherlands Cancer Institute, 76 shared genes are enough to rank patients better than chance, the
#   interval says, once harmonised; without it, not. Age does not travel: these patients are much younger.
# - **What to doubt.** Clusters of TxT have seen the outcomes of all patients. Harmonising assumes that two cohorts
#   are samples of about the same population, which the simulated one is by construction and the real one is not
#   quite. In the real one, 36 deaths carry the C-index, and one model was trained, not ten. TxT was trained for at most
#   25 epochs, which is short of the preset.
