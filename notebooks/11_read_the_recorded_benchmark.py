# %% [markdown]
# # Read the recorded benchmark
#
# **Question.** On a real cohort, with ten splits and every method at its full training, who leads, and does learning
# clinical features help survival?
#
# **The paper reports** {cite}`koo2025` for SCAN-B that TxT with five tasks leads in nearly every column, and that its
# C-index of overall survival rises from 0.701 alone to 0.797 together with clinical features (Table 1).
#
# **Method.** The last chapter's benchmark, run once for hours and kept: 956 breast cancers of TCGA {cite}`tcga2012`,
# overall survival, progression-free interval, PAM50, tumour stage and age; the 500 genes that vary most in training;
# ten splits. SCAN-B has three times as many patients, tumour grade and size, and 1000 genes, so numbers are not to be
# compared with the paper's one by one; who is ahead of whom can be. This chapter reads the kept table,
# `tests/benchmarks/test_peers.py` makes it, and {doc}`../rerunning` has the commands.

# %% tags=["parameters"]
recorded: str = "benchmark_tcga_brca"  # the table and its record, in notebooks/recorded
reference: str = "txt-multitask"  # the method that all others are compared with

# %%
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
# {cite}`nadeau2003`; a star marks the best mean of a column. A dash is a task that the method does not take. Methods
# with *clinical* in their name are shown stage, age and PAM50; all others see expression alone.

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
# For each task, the method with the best mean, TxT's better row, and their difference on the same splits.
# *Ties* means that the interval of the difference holds zero.

# %%
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
# All tasks at once, for the methods that take them all:

# %%
ranks = gx.ranks.mean_ranks(scores)
figure, ax = plt.subplots(figsize=(7.4, 0.8 + 0.3 * len(ranks)))
gx.plots.plot_ranks(ranks, ax=ax)
plt.show()
print(f"Friedman test, all methods alike: p = {gx.ranks.friedman(ranks)['p']:.2g}")

# %% [markdown]
# ## Does learning together help
#
# The paper's central claim. Three networks were trained both ways; the difference is together minus alone.
# *Two-stage* learns the clinical features first and gives its guesses to a Cox model: multitask learning without a
# shared network, compared here with the ridge Cox model that reads expression directly.

# %%
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

# %%
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
# Some of the paper's numbers cannot be a property of the method: an age error of 65 years for AUTOSurv is the mean
# age, so its predictions are near zero, T-GEM's 15 years is worse than guessing the mean, and an integrated Brier
# score of 0.905 for a support vector machine, which gives no survival curve, is worse than a coin at every time.
# Standardised targets and a null start mend the first two here; the third is left out.

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
# ## What it cost
#
# On one core, beside other fits, so seconds are an upper bound.

# %%
gx.scores.costs(scores).round({"fits": 0, "seconds": 0, "peak_mb": 0}).astype(int)

# %% [markdown]
# ## Verdict

# %%
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

# %% [markdown]
# ## What was found
#
# - Among methods that see expression alone, TxT has the best mean in survival (five tasks) and in PAM50 (alone). The
#   plain network `mlp`, with half of its genes left out in every step, is best in age and stage. In all five tasks the
#   interval of the difference between TxT and the best rival holds zero: on this cohort it ties with the best and leads
#   nobody.
# - All three networks rank overall survival better when they learn clinical features too, and so does the two-stage model,
#   which has no shared network. No single interval excludes zero, and the gain, 0.02 to 0.04, is not the paper's 0.10.
# - Stage, age and PAM50 themselves say more about survival than any method could read from the genes, and adding
#   expression to them changes nothing that ten splits could see. A multitask model has to guess from expression what
#   the chart of the patient says.
# - Over ten cancers TxT and the plain network share the best mean of those that see expression alone. There expression does
#   add to what age, sex and cancer type say, in each of the three splits.
# - Methods come in a similar order as in the paper, more so for PAM50 than for survival.
# - **What to doubt.** 130 deaths in 956 patients: intervals of the C-index are wider than most differences between
#   methods. The file holds z-scores, so which 500 genes vary most is nearly a matter of outliers. All networks ran as
#   `quick`. TxT's and the rivals' settings of that name were first picked on `demo`; alternatives to those of TxT, MLP,
#   T-GEM and SurvConvMixer were then tried on patients of NKI, of three cancers on an absolute scale and of another
#   simulated cohort, and none was better by more than noise. The elastic net's Brier score is worse than that of
#   the null model: it ranks well and is far too sure.
