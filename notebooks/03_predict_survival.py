# %% [markdown]
# # Predict survival
#
# **Question.** Does TxT predict survival better than the methods a statistician tries first, and does learning
# clinical features beside survival help it?
#
# **The paper reports** {cite}`koo2025` that it does both: on the SCAN-B breast cancers the C-index of overall
# survival is 0.701 for TxT trained on survival alone, more than for any rival, and 0.797 for TxT trained on
# survival, age, tumour size, grade and PAM50 together (Table 1).
#
# **Method.** The same splits for every method, 70 percent training, 10 validation, 20 test. Each rival chooses its
# penalty inside the training part; TxT uses the validation part to choose its {term}`epoch`, the moment of training
# whose weights are kept; all are judged on the test part. TxT runs with the preset `quick`
# ({doc}`02_build_txt` says how it differs), gene vectors that start at random and the mean of the task losses: what
# follows is about that model, not about the published one. Network vectors and PCGrad have the next two chapters.
#
# :::{admonition} After this chapter you can
# :class: goals
# - compare survival models on repeated splits and say how much of a difference is luck;
# - tell ranking (C-index) from calibration, and see how a model can be good at one of them only;
# - say what a multitask model must beat before its gain counts as one of learning together.
# :::

# %% tags=["parameters"]
cohort: str = "transbig"  # or "demo"
n_splits: int = 10  # random divisions into training, validation and test
preset: str = "quick"  # of TxT: "quick" or "paper"
max_epochs: int = 0  # of TxT; 0 leaves it to the preset

# %%
import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

import gexcore as gx

gx.plots.use_theme()
STUDIES = {
    "transbig": {
        "survival": gx.Survival("dmfs", time="dmfs_time", event="dmfs_event"),
        "beside": [
            gx.Classification("grade"),
            gx.Classification("er"),
            gx.Regression("age"),
            gx.Regression("size"),
        ],
        "unit": "days",
        "at": 1826,  # five years
    },
    "demo": {
        "survival": gx.Survival("os", time="os_time", event="os_event"),
        "beside": [
            gx.Classification("subtype"),
            gx.Classification("grade"),
            gx.Regression("age"),
            gx.Regression("size"),
        ],
        "unit": "months",
        "at": 60,
    },
}
study = STUDIES[cohort]
survival, beside = study["survival"], study["beside"]
data = gx.load_cohort(cohort)

# %% [markdown]
# The rivals. *Elastic-net Cox* {cite}`simon2011` and the *random survival forest* {cite}`ishwaran2008` read
# expression, *clinical Cox* reads the clinical columns that TxT has to predict. It sees what no transcriptome
# method is shown, and says how much of survival is known without any array. The *linear models* have no part in
# survival; they are rivals for the clinical features further below.

# %%
settings = {"preset": preset} | ({"max_epochs": max_epochs} if max_epochs else {})
METHODS = {
    "TxT, survival alone": lambda seed: gx.TxT(survival, seed=seed, **settings),
    "TxT, multitask": lambda seed: gx.TxT([survival, *beside], seed=seed, **settings),
    "elastic-net Cox": lambda seed: gx.baselines.ElasticNetCox(survival, seed=seed),
    "random survival forest": lambda seed: gx.baselines.SurvivalForest(
        survival, seed=seed
    ),
    "clinical Cox": lambda seed: gx.baselines.ClinicalCox(
        survival, covariates=[t.columns[0] for t in beside]
    ),
    "linear models": lambda seed: gx.baselines.LinearModel(
        beside, seed=seed
    ),  # of the clinical features
}

tables, predictions = [], {}
for seed in range(n_splits):
    train, val, test = gx.split(data, [survival, *beside], seed=seed)
    for name, method in METHODS.items():
        prediction = method(seed).fit(train, val).predict(test)
        scores = gx.evaluate(prediction, test, train=train)
        tables.append(scores.assign(model=name, seed=seed))
        predictions[name, seed] = prediction
scores = pd.concat(tables, ignore_index=True)

# %% [markdown]
# ## The table
#
# Mean over splits, standard deviation in brackets. C-index: the share of comparable pairs of patients whose order
# of risk is right, 0.5 by chance {cite}`harrell1982`; the weighted one corrects for censoring {cite}`uno2011`.
# Time-dependent {term}`AUC`: the mean over times of how well risk tells those with an event by then from the rest.
# Integrated Brier score ({term}`IBS`): the mean squared error of the predicted survival curve, lower is better
# {cite}`graf1999`, with censoring weights from the training part and a horizon at the 90th percentile of training
# follow-up.

# %% tags=["nbval-ignore-output"]
METRICS = ["c_index", "c_index_ipcw", "auc", "ibs"]
RANKED = [name for name in METHODS if name != "linear models"]
on_survival = scores[scores["task"] == survival.name]
grouped = on_survival.groupby(["model", "metric"])["value"]
mean = grouped.mean().unstack().map("{:.3f}".format)
sd = grouped.std().unstack().map("{:.3f}".format)
table = (mean + "\u00a0(" + sd + ")").loc[RANKED, METRICS]
table.rename(columns=gx.plots.METRIC_NAMES).rename_axis(index=None, columns=None)

# %% tags=["nbval-ignore-output"]
figure, ax = plt.subplots(figsize=(7, 3.2))
gx.plots.plot_scores(on_survival[on_survival["metric"] == "c_index"], ax=ax)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: One row per method with ten points each, their mean and standard deviation, along an axis of the C-index from 0.45 to 0.9. The random survival forest has the highest mean and clinical Cox the lowest; the ranges of all five overlap widely.
# C-index of metastasis-free survival on the test patients of ten splits of `transbig`, best mean on top. A blue point
# is a split, black its method's mean and standard deviation over splits, written out on the right; chance is at 0.5.
# The points of one method lie farther apart than the means of different ones: which split is drawn matters more than
# which method.
# :::
#
# Are the differences more than luck? The same splits went to every method, so they are compared split by split.
# Training parts overlap, which makes splits less independent than they look; the interval below allows for that
# {cite}`nadeau2003`. `low` and `high` are the ends of the 95 percent interval, `p` is of the test that the mean
# difference is zero.

# %% tags=["nbval-ignore-output"]
c_index = on_survival[on_survival["metric"] == "c_index"].pivot(
    index="seed", columns="model", values="value"
)
pairs = [
    ("TxT, multitask", "TxT, survival alone"),
    *((a, b) for a in RANKED[:2] for b in RANKED[2:]),
]
rows = [
    gx.comparison.paired_difference(c_index[a], c_index[b], test_ratio=0.2 / 0.7)
    for a, b in pairs
]
differences = pd.DataFrame(
    rows, index=pd.MultiIndex.from_tuples(pairs, names=["C-index of", "minus that of"])
)
differences.round(3)

# %% [markdown]
# ## Risk groups
#
# A patient's risk here is the mean rank she was given in the splits in which she was a test patient, by models that
# had never seen her; patients above the median are the high-risk group. The few who were never drawn into a test part
# are left out. The log-rank test in the legend takes the groups as given beforehand, which they are not quite, so its p
# is too small rather than too large.

# %% tags=["nbval-ignore-output", "hide-input"]
pooled = {}
for name in ("TxT, multitask", "elastic-net Cox"):
    tests = [predictions[name, seed][survival.name] for seed in range(n_splits)]
    pooled[name] = gx.comparison.average_predictions(tests)
tested = data[pooled["TxT, multitask"].risk.index].copy()
labels = survival.read(tested.obs)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True)
for ax, (name, prediction) in zip(axes, pooled.items(), strict=True):
    risk = prediction.risk
    group = (risk > risk.median()).map({True: "high risk", False: "low risk"})
    gx.plots.plot_kaplan_meier(
        labels["time"], labels["event"], group, unit=study["unit"], ax=ax
    ).set_title(name)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Two panels of Kaplan-Meier curves over 9000 days, for TxT multitask and for elastic-net Cox. In both the low-risk half stays above the high-risk half from the first year on, at roughly 0.85 against 0.6 after twelve years; bands widen at the end.
# Metastasis-free survival in `transbig` of the half of the patients with the higher predicted risk (blue) and the half
# with the lower one (orange), for the multitask TxT and for the elastic-net Cox model. Every patient is ranked only by
# models that had not seen her. Bands are 95 percent intervals, ticks censored patients. Both models part the cohort
# within the first years and to about the same degree. The last steps rest on one or two patients each.
# :::
#
# ## Calibration
#
# A survival curve should mean what it says: of the patients given a survival of 80 percent at some time, 80 percent
# should reach it ({term}`calibration`). The curve of a patient is the mean over the models that had not seen her.

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), sharex=True, sharey=True)
for ax, (name, prediction) in zip(axes, pooled.items(), strict=True):
    gx.plots.plot_calibration(
        prediction, tested, at=study["at"], unit=study["unit"], ax=ax
    ).set_title(name)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Two calibration plots with four points each, for TxT multitask and for elastic-net Cox. The points of TxT lie near the diagonal except that of the lowest predicted survival, which lies below it; those of elastic-net Cox are farther spread, the lowest far above the diagonal.
# Predicted survival after five years (1826 days) against what was observed, in four equal groups of `transbig` patients
# by predicted survival. A point is the mean prediction of a group and its Kaplan-Meier estimate with the 95 percent
# interval; on the dashed diagonal predictions can be taken at their word. Point below the diagonal: more events than
# predicted. The elastic-net Cox model gives its worst group a far lower survival than it has, so it exaggerates; TxT is
# a little too hopeful about its worst group.
# :::
#
# ## The clinical features
#
# The multitask model predicts them too, from expression alone. Beside it, linear models trained for each feature by
# itself: logistic regression for classes, ridge regression for numbers. Accuracy is the share of right classes;
# {term}`macro F1` counts rare classes as much as frequent ones. Errors are in years for age and in centimetres for
# size; the Spearman correlation is that of ranks.

# %% tags=["nbval-ignore-output"]
shown = ["accuracy", "f1", "mae", "scc"]
clinical = scores[scores["metric"].isin(shown) & scores["task"].ne(survival.name)]
table = clinical.groupby(["task", "metric", "model"])["value"].mean().unstack()
table = table[["TxT, multitask", "linear models"]].round(3)
table.rename(index=gx.plots.METRIC_NAMES).rename_axis(columns=None)

# %% [markdown]
# ## Verdict
#
# The differences are in C-index, with a 95 percent interval. *Not decided* means that the interval holds zero: this
# cohort is too small to tell.


# %% tags=["nbval-ignore-output", "hide-input"]
def verdict(claim):
    if claim["low"] > 0:
        return "holds here"
    return "does not hold here" if claim["high"] < 0 else "not decided here"


single, multitask = "TxT, survival alone", "TxT, multitask"
claims = {
    "multitask beats survival alone": (0.797 - 0.701, multitask, single),
    "TxT alone beats a random forest": (
        0.701 - 0.639,
        single,
        "random survival forest",
    ),
}
verdicts = pd.DataFrame(columns=["paper, SCAN-B", f"this run, {cohort}", "verdict"])
for claim, (paper, a, b) in claims.items():
    run = differences.loc[(a, b)]
    interval = f"{run['difference']:+.3f} ({run['low']:+.3f} to {run['high']:+.3f})"
    verdicts.loc[claim] = [f"{paper:+.3f}", interval, verdict(run)]
in_table_1 = scores[scores["metric"].isin(gx.scores.TABLE_1)]
against = gx.comparison.differences(in_table_1, multitask).dropna()
glue("against_txt", against.to_dict("records"), display=False)
verdicts

# %% [markdown]
# What this chapter claims is checked whenever it runs at its default settings:

# %%
if (cohort, n_splits, preset, max_epochs) == ("transbig", 10, "quick", 0):
    mean = c_index.mean()
    assert mean["TxT, multitask"] > 0.58  # well above chance
    # No worse than a linear model, within what ten small test parts can tell.
    assert mean["TxT, multitask"] > mean["elastic-net Cox"] - 0.03
    assert mean.idxmax() == "random survival forest"
    assert (differences["low"] < 0).all()
    assert (differences["high"] > 0).all()

# %% [markdown]
# :::{admonition} Try it
# :class: try
# ```bash
# papermill notebooks/03_predict_survival.ipynb out.ipynb -p n_splits 3 --cwd notebooks
# ```
# With three splits instead of ten the means move by several hundredths, the order of the methods may well be another
# one, and most intervals of the differences are wider: with so few splits, luck can bring about almost any order.
# :::
#
# ## Exercises
#
# :::{admonition} Exercise 1
# :class: exercise
# Suppose the multitask TxT ranked patients better than clinical Cox, and the interval excluded zero. Would that show
# that expression adds something to what a doctor already knows?
# :::
#
# :::{dropdown} Solution
# No. It would show that expression can do the work of age, size, grade and receptor status, and more. Whether it *adds*
# to them is another question: compare a Cox model of the clinical columns with one of the same columns and TxT's risk
# (of patients TxT had not seen). It is possible to lose against clinical Cox and still add to it, and to win against it
# by knowing the same things better.
# :::
#
# :::{admonition} Exercise 2
# :class: exercise
# The interval used here takes $s^2 (1/S + r)$ for the variance of a mean difference over $S$ splits, with $r = 0.2/0.7$
# test patients per training patient and $s$ the standard deviation of the difference over splits {cite}`nadeau2003`.
# How much wider is it than the plain $s^2 / S$ at $S = 10$? What do a hundred splits gain, or ten thousand? How small
# must $s$ be for ten splits to decide about a difference of 0.096, the gain of the paper? (The quantile of Student's
# $t$ with nine degrees of freedom is 2.26.)
# :::
#
# :::{dropdown} Solution
# $1/10 + 0.286 = 0.386$ against $0.1$: wider by $\sqrt{3.86} \approx 1.96$, so nearly twice. With a hundred splits the
# error is $s\sqrt{0.01 + 0.286} = 0.54\,s$ instead of $0.62\,s$, and no number of splits brings it below
# $s\sqrt{0.286} = 0.53\,s$: more splits of the same patients are not more patients. Half the interval is
# $2.26 \cdot 0.62\, s = 1.40\,s$, so $s$ must be below $0.096 / 1.40 \approx 0.068$.
# :::
#
# :::{admonition} Exercise 3
# :class: exercise
# A low-risk curve above falls steeply at its end. Draw the risk groups of the multitask TxT with the numbers at risk
# below the axis. On how many patients does the end rest?
# :::
#
# :::{dropdown} Solution
# ```python
# risk = pooled["TxT, multitask"].risk
# group = (risk > risk.median()).map({True: "high risk", False: "low risk"})
# gx.plots.plot_kaplan_meier(
#     labels["time"], labels["event"], group, unit=study["unit"], at_risk=True
# )
# plt.show()
# ```
#
# Of the whole cohort nine patients are followed beyond 6500 days and five beyond 7000. With two at risk a single event
# halves the curve, and with one it ends it. The band says so; the curve does not.
# :::
#
# ## What was found
#
# At the default settings:
#
# - Trained on 138 patients, the quick TxT ranks the others about as well as an elastic-net Cox model. The random
#   survival forest has the highest mean; no interval in the table of differences excludes zero.
# - The multitask model has the higher mean of the two TxT, by less than chance can make.
#
# **The paper reports** a gain of almost a tenth of C-index from clinical features on about 3000 patients. That cannot
# be decided here: with 198 patients the interval is more than twice as wide as the effect.
# {doc}`10_compare_all_methods` has the whole of its Table 1 and {doc}`11_read_the_recorded_benchmark` a larger cohort.
#
# **What to doubt.** The 76 probe sets of `transbig` were chosen for their relation to metastasis, in another cohort
# {cite}`wang2005`. A study that starts from whole arrays has to choose its genes on its own training patients and will
# score lower.
