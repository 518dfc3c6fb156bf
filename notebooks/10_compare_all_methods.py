# %% [markdown]
# # Compare all methods
#
# **Question.** On the same patients, the same genes and the same splits, which method is best at what?
#
# **The paper reports** {cite}`koo2025` that TxT is: on the SCAN-B breast cancers it leads in survival, subtype, grade,
# age and tumour size, trained on all of them together (Table 1, in full S6; S7 for distant recurrence), on TARGET-AML
# in survival and age (S8), on TCGA-BRCA in subtype (S9). Beside OmiEmbed every rival learns one task at a time.
#
# **Method.** Every method of the last chapter by its name. A method that takes several tasks as one model is listed
# twice, alone (`txt`) and together (`txt-multitask`). Each split gives the same 70 percent of patients for training,
# 10 for validation and 20 for the test to all; genes, scaling, grids and settings are chosen without the test part.
# The default size is a lesson, not a finding: few genes, few splits. The next chapter has the long run.

# %% tags=["parameters"]
cohort: str = "demo"  # a known cohort, or what the files below are called
tasks: str = "os subtype age"  # the others are left out; empty: all of the cohort
methods: str = ""  # names of methods, empty: all but those that search for settings
n_splits: int = 2  # random divisions into training, validation and test
n_genes: int = 30  # those that vary most in training; 0: all
preset: str = "quick"  # of every network: "quick" or "paper"
max_epochs: int = 15  # of every network; 0 leaves it to the preset
folder: str = ""  # keeps every fit, so that a run broken off goes on; empty: none
expression: str = ""  # a cohort of your own: samples x genes
clinical: str = ""  # samples x clinical columns
task_file: str = ""  # what is predicted, as `gexcore benchmark --help` describes it
gene_sets: str = ""  # pathways, .gmt; the methods built of them are left out without

# %%
import warnings

import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

import gexcore as gx

gx.plots.use_theme()
data, known, sets = gx.read_study(
    cohort,
    expression=expression,
    clinical=clinical,
    tasks=task_file,
    gene_sets=gene_sets,
)
chosen = [task for task in known if not tasks or task.name in tasks.split()]
names = methods.split() or [
    name for name, method in gx.bench.METHODS.items() if not method.grid
]
context = gx.bench.Context(
    gene_sets=sets,
    covariates=tuple(
        column for task in known if task.kind != "survival" for column in task.columns
    ),
    preset=preset,
    max_epochs=max_epochs or None,
    n_genes=n_genes or None,
)
print(f"{len(names)} methods, {n_splits} splits, {data.n_obs} patients")
print("tasks:", ", ".join(f"{task.name} ({task.kind})" for task in chosen))

# %% [markdown]
# One call runs all of it. A method that fails is a row that says so, and so is a task that a method does not take: no
# cell of the table is empty without a reason.

# %% tags=["nbval-ignore-output"]
with warnings.catch_warnings():
    warnings.simplefilter("ignore", gx.CohortWarning)
    scores = gx.benchmark(
        names,
        data,
        chosen,
        seeds=range(n_splits),
        context=context,
        folder=folder or None,
    )
scores.groupby("status")["model"].nunique().rename("methods").to_frame()

# %%
failed = scores.query("status == 'failed'")[["model", "seed", "task", "error"]]
assert failed.empty, failed.to_string()
scores.loc[
    scores["status"] == "not taken", ["model", "error"]
].drop_duplicates().set_index("model")

# %% [markdown]
# ## The table
#
# In the form of the paper's Table 1: mean over splits, standard deviation in brackets. C-index, accuracy, F1 and
# Spearman's correlation (SCC) are better when higher, the integrated Brier score and the mean absolute error when
# lower. A support vector machine ranks patients without giving a survival curve, so it has no Brier score.

# %% tags=["nbval-ignore-output"]
gx.scores.score_table(gx.scores.summarise(scores))

# %% [markdown]
# ## Ranks
#
# One number per method hides which task it is good at, but a reader asks for it. Methods are ranked in every task by
# its first metric; the dot is the mean rank. Methods within the critical difference of the best
# {cite}`demsar2006` cannot be told from it, and with a handful of tasks that is nearly everybody. Methods that take
# survival alone stand in the table above and not here.

# %% tags=["nbval-ignore-output"]
whole = gx.comparison.headlines(scores)
for name in [name for name in names if name in ("txt", "txt-multitask")]:
    against = gx.comparison.differences(whole, name).dropna()
    glue(f"against_{name}", against.to_dict("records"), display=False)
ranked = (
    len(chosen) > 1
    and whole.groupby("model")["task"].nunique().eq(len(chosen)).sum() > 1
)
if ranked:
    ranks = gx.ranks.mean_ranks(scores)
    figure, ax = plt.subplots(figsize=(7.4, 0.6 + 0.28 * len(ranks)))
    gx.plots.plot_ranks(ranks, ax=ax)
    plt.show()

# %% [markdown]
# ## Paired differences
#
# Every method against `txt-multitask`, split by split, in the first task. P-values are corrected for their number
# {cite}`holm1979`; with two splits no difference can be decided, with ten some are.

# %% tags=["nbval-ignore-output"]
if "txt-multitask" in names:
    first = gx.comparison.headlines(scores)
    first = first[first["task"] == chosen[0].name]
    compared = gx.scores.compare(first, "txt-multitask").sort_values("difference")
    columns = ["model", "mean", "difference", "low", "high", "p_holm"]
    shown = compared[columns].set_index("model").round(3)
else:
    shown = pd.DataFrame()
shown

# %% [markdown]
# ## Try it
#
# The whole table at ten splits, all genes and full training, a file per fit so that it may be broken off; the paper's
# other protocols are parameter files too:
#
# ```bash
# python notebooks/run.py 10 -p cohort transbig -p tasks "dmfs grade age" -p max_epochs 0 -o elsewhere
# python notebooks/run.py 10 -f notebooks/params/10_compare_all_methods.yaml -o elsewhere
# ```
#
# What this chapter claims is checked whenever it runs at its default settings:

# %%
by_default = (cohort, tasks, methods, n_splits) == ("demo", "os subtype age", "", 2)
if by_default and (n_genes, preset, max_epochs) == (30, "quick", 15):
    assert len(names) == whole["model"].nunique() == 23
    mean = whole.pivot_table(index="model", columns="task", values="value")
    assert mean.loc["null-model", "os"] == 0.5
    known = mean.loc["null-model", "subtype"]
    assert (
        mean.loc[["linear-model", "svm", "random-forest"], "subtype"].min()
        > known + 0.3
    )
    assert mean["subtype"].idxmax() not in ("txt", "txt-multitask")
    assert mean["age"].idxmax() == "null-model"  # nobody is further off

# %% [markdown]
# ## What was found, at the default settings
#
# - All 23 methods run on the same splits by one call, and each cell of the table is a score or says why it is none.
# - At this size the methods without a network lead in subtype and age: thirty genes are few, and fifteen epochs are
#   less than half of what the networks are given elsewhere. The order is one of this lesson, not of the methods.
# - With two splits and three tasks the critical difference is most of the scale. A benchmark that wants to say who is
#   best needs many splits for each task, and many cohorts for a ranking.
# - **What to doubt.** Whoever sees twenty rows looks at the best one, and the best of twenty is partly luck. The p-values
#   above allow for that; the stars in the table do not.
