# %% [markdown]
# # Impute expression
#
# **Question.** Does GexBERT fill in missing expression better than nearest neighbours, chained equations and
# autoencoders? And better than the linear models that the paper leaves out?
#
# **The paper** {cite}`jiang2025` hides cells of TCGA profiles completely at random. **It reports** that GexBERT
# outperforms conventional imputation where much is missing: K nearest neighbours {cite}`troyanskaya2001`, chained
# equations (MICE) {cite}`vanbuuren2011` and deep autoencoders. Its numbers were not to be had. No rival among them is
# a linear model of all genes together, which is what missing values ask for.
#
# **Method.** The same hidden cells for every method, scored on those cells alone, each gene in standard deviations of
# its training values: on raw values even the gene's mean would correlate with the truth by more than 0.9. Then what
# the error does not say: whether a method knows how far off it is, and what a diagnosis loses.

# %% tags=["parameters"]
n_seeds: int = 1  # of the methods and the hidden cells
n_test: int = 100  # test patients, drawn at random; 0: all of them
preset: str = "quick"  # of GexBERT: "quick" or "paper"
max_epochs: int = 5  # of GexBERT

# %%
import functools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue

import gexcore as gx

gx.plots.use_theme()
cohort, tasks = gx.load_cohort("demo-pan-cancer"), gx.load_tasks("demo-pan-cancer")
survival, cancer_type = tasks[:2]
train, val, test = gx.split(cohort, [survival, cancer_type], seed=0)
if 0 < n_test < test.n_obs:
    rng = np.random.default_rng(0)
    test = test[np.sort(rng.choice(test.n_obs, n_test, replace=False))].copy()

# %% [markdown]
# ## What goes missing
#
# | pattern | what is hidden |
# | --- | --- |
# | `mcar` | cells completely at random, the paper's pattern |
# | `genes` | whole genes, for every patient, as on a smaller panel |
# | `low` | low values more often, as below a detection limit |

# %% tags=["hide-input"]
order = train.to_df().mean().sort_values().index[::3]
figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.4), sharey=True)
for ax, pattern in zip(axes, gx.imputation.PATTERNS, strict=True):
    hidden = gx.imputation.hide(test, pattern=pattern, rate=0.5, seed=0)[1]
    ax.imshow(hidden[order].iloc[:60], cmap="Blues", aspect="auto", vmax=1.3)
    ax.set(
        title=pattern, xlabel="Every third gene, from low to high", xticks=[], yticks=[]
    )
axes[0].set_ylabel("Patients")
plt.show()

# %% [markdown]
# Half of the values of sixty patients, hidden in blue. In the third pattern *that* a value is missing says something
# about it, and none of the methods below knows that.
#
# ## The methods
#
# | method | what it fills in |
# | --- | --- |
# | gene mean | the training mean: what has to be beaten |
# | KNN | the mean of the ten nearest training patients |
# | chained equations | regressions of gene on gene, round after round; one table, not the several of MICE |
# | SoftImpute | a table of low rank {cite}`mazumder2010` |
# | probabilistic PCA | genes as sums of few factors and equal noise {cite}`tipping1999` |
# | Gaussian | what follows from means and shrunk covariances of all genes |
# | mixture of Gaussians | the same in groups of patients |
# | autoencoders | networks trained to restore hidden cells, denoising {cite}`vincent2008` and variational {cite}`kingma2014` |
# | GexBERT, linear path alone | a mixture of factor analysers {cite}`ghahramani1996` of normal scores, in closed form |
# | GexBERT | a transformer that refines the linear path |
#
# All of them learn from the training patients and are applied to others, one by one.

# %%
B, groups = gx.baselines, {"n_components": 6}
METHODS = {
    "gene mean": B.GeneMean,
    "KNN": B.KNN,
    "probabilistic PCA": B.ProbabilisticPCA,
    "Gaussian": B.GaussianConditional,
    "denoising autoencoder": B.DenoisingAutoencoder,
    "variational autoencoder": B.VariationalAutoencoder,
    "GexBERT, linear path alone": functools.partial(B.MixtureOfFactors, **groups),
    "GexBERT": functools.partial(
        gx.GexBERT,
        preset=preset,
        max_epochs=max_epochs,
        panel=64,
        n_targets=128,
        **groups,
    ),
    "SoftImpute": B.SoftImpute,
    "chained equations": B.ChainedEquations,
    "mixture of Gaussians": functools.partial(
        B.GaussianConditional, shrinkage=0.2, **groups
    ),
}
OURS = ["GexBERT", "GexBERT, linear path alone"]
fitted = {}


def kept(name):
    """The method ``name`` for a seed; what was fitted last is kept for later."""

    def make(seed):
        fitted[name] = METHODS[name](seed=seed)
        return fitted[name]

    return make


# %% [markdown]
# ## Cells at random
#
# The root mean squared error in hidden cells, by the share that is hidden. One is about what the gene's mean makes.

# %% tags=["nbval-ignore-output"]
scores = gx.imputation.compare_imputers(
    {name: kept(name) for name in METHODS},
    train,
    test,
    val=val,
    seeds=range(n_seeds),
)
overall = scores[scores["stratum"] == "all"]
figure, ax = plt.subplots(figsize=(6.8, 3.8))
gx.plots.plot_imputation(overall, highlight=OURS, ax=ax)
plt.show()

# %% tags=["nbval-ignore-output"]
by_rate = overall[overall["metric"] == "rmse"].pivot_table(
    index="model", columns="rate", values="value"
)
by_rate.sort_values(0.5).rename_axis(None).round(3)

# %% [markdown]
# Two correlations beside it, at half of the cells hidden: across patients, gene by gene, and across genes, patient by
# patient. The median over genes, or over patients:

# %% tags=["nbval-ignore-output"]
half = overall[overall["rate"] == 0.5].pivot_table(
    index="model", columns="metric", values="value"
)
names = {
    "rmse": "RMSE",
    "mae": "mean absolute error",
    "pcc_gene": "correlation across patients",
    "pcc_sample": "correlation across genes",
}
half.loc[by_rate.sort_values(0.5).index, list(names)].rename(columns=names).round(3)

# %% [markdown]
# ### Low and high genes
#
# The RMSE at half of the cells hidden, among the third of the genes with the lowest, the middle and the highest
# training means. A gene that is often zero has little to be restored.

# %% tags=["nbval-ignore-output"]
strata = scores[(scores["metric"] == "rmse") & (scores["rate"] == 0.5)]
strata = strata.pivot_table(
    index="model", columns="stratum", values="value", sort=False
)
strata.sort_values("all").rename_axis(None).round(3)

# %% [markdown]
# ## Other patterns
#
# The fitted methods on the two other patterns, at half and at nine tenths hidden.

# %% tags=["nbval-ignore-output"]
rows = []
for pattern in ("genes", "low"):
    for rate in (0.5, 0.9):
        shown, hidden = gx.imputation.hide(test, pattern=pattern, rate=rate, seed=0)
        for name, model in fitted.items():
            found = gx.imputation.score_imputation(
                test, model.impute(shown), hidden, train=train
            )
            rows.append(found.assign(model=name, pattern=pattern, rate=rate))
patterns = pd.concat(rows)
patterns = patterns[(patterns["stratum"] == "all") & (patterns["metric"] == "rmse")]
patterns = patterns.pivot_table(
    index="model", columns=["pattern", "rate"], values="value"
)
patterns.loc[by_rate.sort_values(0.5).index].round(3)

# %% [markdown]
# ## Does it know how far off it is?
#
# GexBERT says a standard deviation with every value it fills in (`layers["sd"]`). If that can be trusted, the truth
# lies within one of them in 68 of 100 hidden cells, and within two in 95. The mean error, in standard deviations of
# the gene, says to which side it errs.

# %% tags=["nbval-ignore-output"]
rows = {}
spread = train.to_df().std()
for pattern, rate in (
    ("mcar", 0.1),
    ("mcar", 0.5),
    ("mcar", 0.9),
    ("genes", 0.5),
    ("low", 0.5),
):
    shown, hidden = gx.imputation.hide(test, pattern=pattern, rate=rate, seed=0)
    filled = fitted["GexBERT"].impute(shown)[:, test.var_names]
    off = (filled.to_df() - test.to_df()).where(hidden)
    sds = (off / filled.to_df(layer="sd")).abs().to_numpy()[hidden.to_numpy()]
    rows[pattern, f"{rate:.0%}"] = {
        "within one sd": (sds < 1).mean(),
        "within two sd": (sds < 2).mean(),
        "mean error": np.nanmean(off / spread),
    }
calibration = pd.DataFrame(rows).T.rename_axis(["pattern", "hidden"])
calibration.round(2)

# %% [markdown]
# ## What is it good for?
#
# Nobody wants an error of 0.7; they want a diagnosis. Two models learn once, from complete training patients: a
# logistic regression of the cancer type and a Cox regression of survival. Then cells of the test patients are hidden,
# filled in, and both predicted from what came out. The dashed line is what the models do when nothing is hidden.

# %% tags=["nbval-ignore-output"]
models = {
    "cancer type": lambda seed: gx.baselines.LinearModel(cancer_type, seed=seed),
    "survival": lambda seed: gx.baselines.RidgeCox(survival, seed=seed),
}
some = list(METHODS)[:8]  # the rest does about as well as one of these
downstream = gx.comparison.after_imputing(
    {name: fitted[name] for name in some},
    models,
    train,
    test,
    rates=(0.5, 0.9, 0.97),
)
downstream = gx.comparison.headlines(downstream)
ceiling = downstream[downstream["imputer"] == "nothing hidden"]
ceiling = ceiling.set_index("task")["value"]
after = downstream[downstream["imputer"] != "nothing hidden"]

figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.2))
for ax, (task, part) in zip(axes, after.groupby("task", sort=False), strict=True):
    renamed = part.drop(columns="model").rename(columns={"imputer": "model"})
    gx.plots.plot_imputation(
        renamed, part["metric"].iloc[0], highlight=OURS, ax=ax
    ).set_title(task)
    ax.axhline(ceiling[task], color="0.45", linewidth=0.8, linestyle="--")
axes[0].get_legend().remove()
plt.show()

# %% tags=["nbval-ignore-output"]
after = after.pivot_table(
    index="imputer", columns=["task", "rate"], values="value", sort=False
)
after.round(3)

# %% [markdown]
# ## On TCGA
#
# Recorded once on ten TCGA cohorts: 1535 genes, four fifths of 4511 patients to learn from, 200 test patients. The
# *described form* is GexBERT without the linear path and with levels as tokens, as the paper has it, as large and
# trained as long as half an hour allows. `tests/benchmarks/test_restoration.py` makes the table.

# %%
recorded = pd.read_csv("recorded/imputation_tcga.csv")
ranked = [*METHODS, "GexBERT, described form"]  # colours as above
recorded = recorded.set_index("model").loc[ranked].reset_index()
tcga = recorded[recorded["stratum"] == "all"]
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True)
for ax, (pattern, part) in zip(axes, tcga.groupby("pattern", sort=False), strict=True):
    gx.plots.plot_imputation(part, highlight=OURS, ax=ax).set_title(pattern)
    ax.set_ylabel(ax.get_ylabel() if ax is axes[0] else "")
best_first = axes[0].get_legend()
lines, models_shown = best_first.legend_handles, best_first.get_texts()
for ax in axes:
    ax.get_legend().remove()
axes[-1].legend(
    lines,
    [text.get_text() for text in models_shown],
    loc="upper left",
    bbox_to_anchor=(1.0, 1.0),
)
plt.show()

# %%
rmse = tcga[tcga["metric"] == "rmse"].pivot_table(
    index="model", columns=["pattern", "rate"], values="value", sort=False
)
rmse = rmse.sort_values(("mcar", 0.5))
rmse["mcar"].rename_axis(None).round(3)

# %% [markdown]
# And by how much expression there is, at half of the cells hidden:

# %%
tcga_strata = recorded[
    (recorded["metric"] == "rmse")
    & (recorded["rate"] == 0.5)
    & (recorded["pattern"] == "mcar")
]
tcga_strata = tcga_strata.pivot_table(
    index="model", columns="stratum", values="value", sort=False
)
tcga_strata.loc[rmse.index].rename_axis(None).round(3)

# %% [markdown]
# What it costs, on one core of a busy machine: to learn, and to fill in half of the cells of 200 patients. Memory is
# what either needed beyond the data.

# %%
costs = tcga[(tcga["pattern"] == "mcar") & (tcga["rate"] == 0.5)]
costs = costs.groupby("model", sort=False)[["fit_seconds", "seconds", "megabytes"]]
costs = costs.mean().loc[rmse.index]
costs.columns = ["seconds to learn", "seconds to fill in", "megabytes"]
costs.rename_axis(None).round(
    {"seconds to learn": 0, "seconds to fill in": 1, "megabytes": 0}
)

# %% [markdown]
# What this chapter claims is checked whenever it runs at its default settings:

# %%
at_random = rmse["mcar"]
ours, closed_form = (
    at_random.loc["GexBERT"],
    at_random.loc["GexBERT, linear path alone"],
)
assert (ours < at_random.drop("GexBERT")).all(axis=None)
assert ((closed_form - ours).between(0, 0.02)).all()
for named in ("KNN", "chained equations", "denoising autoencoder"):
    assert (at_random.loc["Gaussian"] < at_random.loc[named]).all()
assert rmse["low"][0.9].idxmin() == "KNN"
assert at_random.loc["GexBERT, described form", 0.5] > at_random.loc["KNN", 0.5]
if (n_seeds, n_test, preset, max_epochs) == (1, 100, "quick", 5):
    autoencoder = by_rate.loc["denoising autoencoder"]
    assert autoencoder[0.5] < by_rate.loc["Gaussian", 0.5]
    for rate in by_rate:
        assert (by_rate[rate].drop("gene mean") < by_rate.loc["gene mean", rate]).all()
        for named in ("KNN", "chained equations"):
            assert by_rate.loc["GexBERT", rate] < by_rate.loc[named, rate]
    rivals = by_rate.drop(index=OURS)
    for rate in (0.5, 0.7, 0.9):
        assert by_rate.loc["GexBERT", rate] < rivals[rate].min()
    gain = by_rate.loc["GexBERT, linear path alone"] - by_rate.loc["GexBERT"]
    assert gain.between(-0.005, 0.02).all()
    assert calibration.loc["mcar", "within one sd"].between(0.5, 0.9).all()
    assert calibration.loc["mcar", "within two sd"].between(0.85, 0.995).all()
    assert calibration.loc[("low", "50%"), "mean error"] > 0.1
    types = after[cancer_type.name]
    assert types[0.5].max() - types[0.5].min() < 0.02
    assert types.loc["GexBERT", 0.97] > types.loc["gene mean", 0.97] + 0.1

# %% tags=["remove-cell", "nbval-ignore-output"]
for name, model in {
    "ours": "GexBERT",
    "linear": "GexBERT, linear path alone",
    "gaussian": "Gaussian",
    "knn": "KNN",
    "dae": "denoising autoencoder",
    "chained": "chained equations",
    "described": "GexBERT, described form",
}.items():
    glue(f"tcga_{name}", float(at_random.loc[model, 0.5]), display=False)
slower = costs["seconds to learn"]["GexBERT"] / costs["seconds to learn"][OURS[1]]
glue("slower", float(slower), display=False)
glue("demo_gaussian", float(by_rate.loc["Gaussian", 0.5]), display=False)
glue("demo_ours", float(by_rate.loc["GexBERT", 0.5]), display=False)
glue("demo_dae", float(by_rate.loc["denoising autoencoder", 0.5]), display=False)
glue("bias_low", float(calibration.loc[("low", "50%"), "mean error"]), display=False)

# %% [markdown]
# ## What was found
#
# - On TCGA GexBERT beats every rival that the paper names, at every rate: at half of the cells hidden it is off by
#   {glue:text}`tcga_ours:.3f`, nearest neighbours by {glue:text}`tcga_knn:.3f`, a denoising autoencoder by
#   {glue:text}`tcga_dae:.3f`, chained equations by {glue:text}`tcga_chained:.3f`. The claim **holds here**, for
#   GexBERT with its linear path.
# - Without that path it does not: the described form, trained for about half an hour, is at
#   {glue:text}`tcga_described:.3f`. With the path, nearly all of the work is done before the transformer begins. The
#   closed form alone is at {glue:text}`tcga_linear:.3f`, and takes a {glue:text}`slower:.0f`th of the time to learn.
# - The rival that was left out is the strongest. A Gaussian ({glue:text}`tcga_gaussian:.3f`), a matter of seconds,
#   beats all that the paper names.
# - Which rival is strong depends on the data. On the simulated cohort, small and full of products, the denoising
#   autoencoder ({glue:text}`demo_dae:.3f`) is ahead of the Gaussian ({glue:text}`demo_gaussian:.3f`). GexBERT is ahead
#   of both ({glue:text}`demo_ours:.3f`), and again its linear path is what does it: with so few patients and epochs
#   the transformer adds next to nothing.
# - GexBERT's standard deviations are of the right size; the table above says how nearly. But where low values are missing, what is left
#   points upwards: it errs by {glue:text}`bias_low:.2f` standard deviations of a gene to that side. With nine tenths
#   missing in this way, plain nearest neighbours are the best on TCGA.
# - For a diagnosis much of this does not matter. With half of the cells hidden, the cancer type is found after filling
#   in the gene's mean as well as after the best restoration; differences appear where hardly anything is left.
# - **What to doubt.** One division, one seed of hidden cells. 100 test patients decide the C-index, and its
#   differences are of the size of their luck. The TCGA table was standardised within each cohort by its makers, so
#   that no method can learn levels of cancer types from it, which is what the simulated cohort is full of. The
#   described form may need a GPU and days; what it would reach then is not known.
