# %% [markdown]
# # Read the recorded benchmark
#
# **Question.** On a real cohort, with ten splits and every method at its full training, who leads, and does learning
# clinical features help survival?
#
# **The paper reports** {cite}`koo2025` for SCAN-B that TxT with five tasks leads in nearly every column, and that its
# C-index of overall survival rises from 0.701 alone to 0.797 together with clinical features (Table 1).
#
# **Method.** The benchmark of {doc}`the last chapter <10_compare_all_methods>`, run once for hours and kept: 956 breast
# cancers of TCGA {cite}`tcga2012`, overall survival (`os`), progression-free interval (`pfi`), {term}`PAM50`, tumour
# stage and age; the 500 genes that vary most in training; ten splits. SCAN-B has three times as many patients, tumour
# grade and size, and 1000 genes, so numbers are not to be compared with the paper's one by one; who is ahead of whom can
# be. This chapter reads the kept table, `tests/benchmarks/test_peers.py` makes it, and {doc}`../rerunning` has the
# commands. What each method is stands in {doc}`09_meet_the_rivals`.
#
# :::{admonition} After this chapter you can
# :class: goals
# - say which of the paper's claims a cohort of this size supports, which it denies and which it leaves open
# - tell a tie from a lead by the interval of a paired difference
# - work out how small a gain ten splits could have seen
# :::

# %% tags=["parameters"]
recorded: str = "benchmark_tcga_brca"  # the table and its record, in notebooks/recorded
reference: str = "txt-multitask"  # the method that all others are compared with

# %% tags=["hide-input"]
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

import gexcore as gx

gx.plots.use_theme()


def read(name):
    table = pd.read_csv(Path("recorded", f"{name}.csv"))
    return table, json.loads(Path("recorded", f"{name}.json").read_text())


scores, record = read(recorded)
first, last = (day[:10] for day in record["date"])
pd.Series(
    {
        "methods": f"{scores['model'].nunique()}",
        "fits": f"{scores.drop_duplicates(['model', 'seed', 'seconds']).shape[0]}",
        "splits": f"{scores['seed'].nunique()}, seeds 0 to {scores['seed'].max()}",
        "samples x genes of the file": record["samples"].split(", ")[0],
        "genes read": f"{record['context']['n_genes']}",
        "preset of the networks": record["context"]["preset"],
        "gene sets": record["gene_sets"].split(", ")[0],
        "machine": "{cores} cores, {threads} thread per fit".format_map(
            record["hardware"]
        ),
        **{
            name: record["versions"][name]
            for name in ("torch", "scikit-learn", "scikit-survival")
        },
        "run": first if first == last else f"{first} to {last}",
    },
    name="recorded",
).to_frame()

# %% [markdown]
# ## The table
#
# Mean over ten splits with its 95 percent interval, which allows for the patients that splits share
# {cite}`nadeau2003`; a star marks the best mean of a column. A dash is a task that the method does not take, or a score
# that does not exist. Methods with *clinical* in their name are shown stage, age and PAM50; all others see expression
# alone. Survival first, then classes, then age.

# %%
assert (scores["status"] == "scored").all()  # no method failed on any split
heads = gx.comparison.headlines(scores)
splits = heads.groupby(["model", "task"])["value"].count()
assert (splits == scores["seed"].nunique()).all()  # and no cell is missing
summary = gx.scores.summarise(scores)


def columns(*metrics):
    part = summary[summary["metric"].isin(metrics)]
    return gx.scores.score_table(part, interval=True)


columns("c_index", "ibs")

# %%
columns("accuracy", "f1")

# %%
columns("mae", "scc")

# %% [markdown]
# ## Who leads, and is it more than luck
#
# For each task, TxT's better row, the method with the best mean among all others that see expression alone, and their
# difference on the same splits with its interval. *Ties* means that the interval holds zero; the rank is that of TxT's
# row.

# %% tags=["hide-input"]
STANDS = {"better": "leads", "worse": "behind", "not decided": "ties"}
rows = []
for task, part in heads.groupby("task", sort=False):
    metric = part["metric"].iloc[0]
    sign = -1 if metric in gx.metrics.LOWER_IS_BETTER else 1
    means = part.groupby("model")["value"].mean() * sign
    blind = means[[name for name in means.index if "clinical" not in name]]
    ours = means[[name for name in means.index if name.startswith("txt")]].idxmax()
    rival = blind.drop(
        [name for name in blind.index if name.startswith("txt")]
    ).idxmax()
    pair = part[part["model"].isin([ours, rival])]
    found = gx.comparison.differences(pair, rival).iloc[0]
    rows.append(
        {
            "task": task,
            "metric": gx.scores.TABLE_1[metric],
            "TxT": f"{ours} {sign * means[ours]:.3f}",
            "best rival": f"{rival} {sign * blind[rival]:.3f}",
            "difference": f"{found['difference']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})",
            "verdict": STANDS[found["verdict"]],
            "rank": f"{blind.rank(ascending=False)[ours]:.0f} of {len(blind)}",
        }
    )
leaders = pd.DataFrame(rows).set_index("task")
leaders

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.4, 5.6), layout="constrained")
for ax, task in zip(axes, heads["task"].unique()[:3:2], strict=True):
    compared = gx.scores.compare(heads[heads["task"] == task], reference)
    best_first = compared["metric"].iloc[0] in gx.metrics.LOWER_IS_BETTER
    gx.plots.plot_differences(
        compared.sort_values("difference", ascending=best_first), ax=ax
    )
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Two panels of horizontal intervals around a dashed line at zero. Left, survival: three methods with clinical columns lie to the right, most others to the left, and nearly all intervals cross zero. Right, PAM50: short intervals, four of them wholly below zero.
# Difference of each method to `txt-multitask` on the ten splits of TCGA's breast cancers: C-index of overall survival,
# accuracy of PAM50. Right of the dashed line a method is better. Dots are means, also written at the right, and bars 95
# percent intervals. Red bars lie below zero, grey ones hold it. Intervals are several times as long for survival as for
# PAM50, and only the weakest methods are told from TxT.
# :::
#
# All tasks at once, for the methods that take them all. The Friedman test asks whether ranks differ at all:

# %%
ranks = gx.ranks.mean_ranks(scores)
figure, ax = plt.subplots(figsize=(7.4, 0.8 + 0.3 * len(ranks)))
gx.plots.plot_ranks(ranks, ax=ax)
plt.show()
print(f"Friedman test, all methods alike: p = {gx.ranks.friedman(ranks)['p']:.2g}")

# %% [markdown]
# :::{caption}
# :alt: A row per method with a black diamond at its mean rank and five small marks. The plain network is on top, followed by its multitask form and TxT's two rows. A grey band covers all but the null model at the bottom.
# Ranks of the methods in five tasks of one cohort, 1 is best: small marks in single tasks, diamonds their mean, written
# at the right. The grey band is the {term}`critical difference`: methods in it cannot be told from the best. Only the
# null model lies beyond it.
# :::
#
# ## Does learning together help
#
# The paper's central claim ({term}`multitask learning`). Three networks were trained both ways; the difference is
# together minus alone, so that more is better for all but age, an error. *Two-stage* learns the clinical features first
# and gives its guesses to a Cox model: multitask learning without a shared network, compared here with the ridge Cox
# model that reads expression directly.

# %% tags=["hide-input"]
PAIRS = [
    ("txt-multitask", "txt"),
    ("omiembed-multitask", "omiembed"),
    ("mlp-multitask", "mlp"),
    ("two-stage", "ridge-cox"),
]
rows = []
for together, alone in PAIRS:
    pair = heads[heads["model"].isin([together, alone])]
    found = gx.comparison.differences(pair, alone)
    rows.append(found[found["model"] == together])
effects = pd.concat(rows)
effects["text"] = effects.apply(
    "{difference:+.3f} ({low:+.3f} to {high:+.3f})".format_map, axis=1
)
table = effects.pivot(index="model", columns="task", values="text").loc[
    [pair[0] for pair in PAIRS]
]
table[heads["task"].unique()].fillna("\N{EN DASH}").rename_axis(
    index=None, columns=None
)

# %% [markdown]
# ## Beside the paper
#
# Both tables measure three things: C-index of overall survival, accuracy of PAM50, error of age. Another cohort, so
# the question is whether methods come in the same order: Spearman's correlation over the methods in both tables.

# %% tags=["hide-input"]
paper = pd.read_csv("recorded/paper_scan_b.csv")
shared = {"os": "c_index", "pam50": "accuracy", "age": "mae"}
run = summary.set_index(["model", "task", "metric"])["mean"]
both = paper.set_index(["model", "task", "metric"])["value"].to_frame("paper")
both["here"] = run.reindex(both.index)
side = {
    f"{task}, {gx.scores.TABLE_1[metric]}": both.xs(
        (task, metric), level=["task", "metric"]
    )
    for task, metric in shared.items()
}
beside = pd.concat(side, axis=1).reindex(paper["model"].unique())
beside.map("{:.3f}".format).replace("nan", "\N{EN DASH}").rename_axis(index=None)

# %%
agreement = pd.Series(
    {name: table.corr("spearman").iloc[0, 1] for name, table in side.items()}
)
agreement.round(2).rename("rank correlation of methods").to_frame()

# %% [markdown]
# Some of the paper's numbers cannot be a property of the method: an age error of 65 years for AUTOSurv is about the mean
# age, as if its predictions were near zero, T-GEM's 15 years is more than guessing the mean costs on any cohort of this
# book, and an integrated Brier score of
# 0.905 for a support vector machine, which gives no survival curve, is worse than a coin at every time. Standardised
# targets and heads that start at the {term}`null prediction` mend T-GEM's here; AUTOSurv takes survival alone, and a
# support vector machine has no Brier score.

# %% [markdown]
# ## Survival over ten cancers
#
# 4511 patients of ten TCGA cohorts, overall survival, three splits. Expression was normalised within each cohort, so
# that the cancer type, which tells most about survival, is hard to see in it.

# %%
pan, pan_record = read("benchmark_tcga_pan_cancer")
assert (pan["status"] == "scored").all()
gx.scores.score_table(gx.scores.summarise(pan), interval=True)

# %%
figure, ax = plt.subplots(figsize=(7.4, 5.2))
compared = gx.scores.compare(gx.comparison.headlines(pan), "txt").sort_values(
    "difference", ascending=False
)
gx.plots.plot_differences(compared, ax=ax)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Horizontal intervals around a dashed line at zero, a row per method. Three methods with clinical columns lie wholly to the right in blue; CNN+FMAP and the null model lie wholly to the left in red; all others cross zero.
# Difference of each method to `txt` in the C-index of overall survival, three splits of ten TCGA cohorts together. Dots
# are means, bars 95 percent intervals; blue is better, red worse, grey not decided. Of the methods that read genes alone
# none is told from TxT but CNN+FMAP. What helps is the clinical table: age, sex and cancer type.
# :::
#
# ## What it cost
#
# A fit for one split on one core, beside other fits, so that seconds are an upper bound; *fits* says how many models it
# takes to predict all five tasks.

# %%
gx.scores.costs(scores).round({"fits": 0, "seconds": 0, "peak_mb": 0}).astype(int)

# %% [markdown]
# ## The paper's claims
#
# Each with the number that speaks for or against it here: the difference from the best rival, and from TxT's own single
# task.

# %% tags=["hide-input"]
interval = effects.set_index(["model", "task"]).loc[("txt-multitask", "os")]
claims = {
    f"TxT leads in {task}": ("yes", *leaders.loc[task, ["difference", "verdict"]])
    for task in ("os", "pam50", "age")
}
claims["five tasks beat survival alone"] = (
    "+0.096",
    interval["text"],
    STANDS[interval["verdict"]],
)
in_table_1 = scores[scores["metric"].isin(gx.scores.TABLE_1)]
for name in ("txt", "txt-multitask", "omiembed-multitask"):
    against = gx.comparison.differences(in_table_1, name).dropna()
    glue(f"against_{name}", against.to_dict("records"), display=False)
verdicts = pd.DataFrame(claims, index=["paper, SCAN-B", "here, TCGA-BRCA", "verdict"]).T
words = {
    "leads": "holds here",
    "ties": "not decided here",
    "behind": "does not hold here",
}
verdicts.replace({"verdict": words})

# %% [markdown]
# What the text below says is checked against the table:

# %%
mean = heads.pivot_table(index="model", columns="task", values="value")
assert (leaders["verdict"] == "ties").all()
blind = mean[~mean.index.str.contains("clinical")]
assert blind["os"].idxmax() == "txt-multitask"
assert blind["pam50"].idxmax() == "txt"
assert {blind["age"].idxmin(), blind["t_stage"].idxmax()} == {"mlp"}
assert interval["low"] < 0 < interval["high"]
clinic = ["clinical-cox", "clinical-expression-cox"]
assert mean.loc[clinic, "os"].min() > blind["os"].max() + 0.05
added = gx.comparison.differences(heads[heads["model"].isin(clinic)], "clinical-cox")
assert (added["low"] < 0).all()
wide = gx.comparison.headlines(pan).pivot(index="seed", columns="model", values="value")
assert (wide["clinical-expression-cox"] > wide["clinical-cox"]).all()
alone = wide.loc[:, ~wide.columns.str.contains("clinical")].mean().sort_values()
assert set(alone.index[-2:]) == {"txt", "mlp"}
assert (added["high"] > 0).all()
assert (side["os, C-index"]["paper"].drop("txt-multitask") < 0.797).all()
gains = effects[effects["task"] == "os"].set_index("model")["difference"]
assert (gains > 0).all()
assert interval["low"] < gains.max() < 0.096 < interval["high"]
glue("smallest_gain", float(gains.min()), display=False)
glue("largest_gain", float(gains.max()), display=False)
glue("gain_high", float(interval["high"]), display=False)
for task in shared:
    name = f"{task}, {gx.scores.TABLE_1[shared[task]]}"
    glue(f"order_{task}", float(agreement[name]), display=False)

# %% [markdown]
# ::::{admonition} Try it
# :class: try
# The first figure of differences from the side of the plain network, a few seconds:
#
# ```bash
# papermill notebooks/11_read_the_recorded_benchmark.ipynb out.ipynb --cwd notebooks \
#     -p reference mlp
# ```
#
# Expect the same picture about another zero. Both rows of TxT have intervals that hold it, in survival and in PAM50. In
# survival the methods that read clinical columns still stand on top, still undecided.
# ::::

# %% [markdown]
# ## Exercises
#
# :::{admonition} Exercise 1
# :class: exercise
# In the first table the intervals of two methods may overlap almost wholly, while their paired difference is decided. How
# is that possible? Let both have standard deviation $s$ over splits, and correlation $\rho$.
# :::
#
# :::{dropdown} Solution
# Some test parts are easy for everybody. The difference has standard deviation $s \sqrt{2 (1 - \rho)}$, which is smaller
# than $s$ as soon as $\rho > 1/2$, and small when both stumble over the same patients. Intervals in a table say how well
# one score is known; a comparison needs the interval of the difference. Where $\rho$ is about zero, as for networks that
# learn from few deaths, pairing gains nothing.
# :::
#
# :::{admonition} Exercise 2
# :class: exercise
# Differences between two methods scatter over ten splits with $s = 0.07$. How large must their mean be for the interval
# of Nadeau and Bengio to exclude zero ($t = 2.26$ with nine degrees of freedom)? What would the plain paired test say?
# And what with a thousand splits of the same patients?
# :::
#
# :::{dropdown} Solution
# The half width is $2.26 \cdot 0.07 \sqrt{1/10 + 0.2/0.7} = 0.098$, where the plain test has $2.26 \cdot 0.07 \sqrt{1/10}
# = 0.050$. With a thousand splits it is $1.96 \cdot 0.07 \sqrt{0.001 + 0.2/0.7} = 0.073$: more splits of the same
# patients hardly help, since the second term stays. A gain as large as the paper's 0.096 would just escape notice here.
# It takes more patients, not more splits.
# :::
#
# :::{admonition} Exercise 3
# :class: exercise
# Do the gains of the three networks and the two-stage model say more together than alone? Average them on each split, and
# compute the interval of the average. Does it hold zero? Does it hold the paper's gain of 0.096?
# :::
#
# :::{dropdown} Solution
# ```python
# wide_os = heads[heads["task"] == "os"].pivot(
#     index="seed", columns="model", values="value"
# )
# gain = sum(wide_os[together] - wide_os[alone] for together, alone in PAIRS) / len(PAIRS)
# gx.comparison.paired_difference(gain, 0 * gain, test_ratio=0.2 / 0.7)
# ```
#
# The interval is shorter than any of the networks' own, by less than independent gains would make it, since all were
# measured on the same patients. It holds zero, and just about holds the paper's gain: this cohort can neither show that
# learning together helps nor rule out that it helps as much as reported.
# :::

# %% [markdown]
# ## What was found
#
# - Among methods that see expression alone, TxT has the best mean in survival (five tasks) and in PAM50 (alone). The
#   plain network `mlp`, with half of its genes left out in every step, is best in age and stage. In all five tasks the
#   interval of the difference between TxT and the best rival holds zero: on this cohort it ties with the best and leads
#   nobody.
# - All three networks rank overall survival better when they learn clinical features too, and so does the two-stage
#   model, which has no shared network: by {glue:text}`smallest_gain:.2f` to {glue:text}`largest_gain:.2f` of C-index. No
#   single interval excludes zero, and TxT's, which reaches to {glue:text}`gain_high:.2f`, does not exclude the paper's
#   0.10.
# - Stage, age and PAM50 themselves have a better mean in survival than any method that reads genes alone, though ten
#   splits do not decide it against TxT with five tasks, and adding expression to them changes nothing that they could
#   see. A multitask model has to guess from expression what the chart of the patient says.
# - Over ten cancers the plain network and TxT have the two best means of those that see expression alone. There
#   expression does add to what age, sex and cancer type say, in each of the three splits.
# - Methods come in an order like the paper's for PAM50 (rank correlation {glue:text}`order_pam50:.2f`), less so for age
#   ({glue:text}`order_age:.2f`) and survival ({glue:text}`order_os:.2f`).
#
# **The paper reports** for SCAN-B that TxT leads in nearly every column, and that five tasks raise its C-index of
# survival by 0.096. On TCGA both are **not decided**: TxT is among the best and leads nobody, and its gain goes in the
# paper's direction, smaller, with an interval that holds both zero and 0.096.
#
# **What to doubt.** 130 deaths in 956 patients: intervals of the C-index are wider than most differences between
# methods. PAM50 is itself read from expression, so that the *clinical* methods are not quite without genes. The file
# holds z-scores, so which 500 genes vary most is nearly a matter of outliers. All networks ran as `quick`. TxT's and
# the rivals' settings of that name were first picked on `demo`; alternatives to those of TxT, MLP, T-GEM and
# SurvConvMixer were then tried on patients of NKI, of three cancers on an absolute scale and of another simulated
# cohort, and none was better by more than noise. The elastic net's Brier score is worse than that of the null model: it
# ranks well and is far too sure.
