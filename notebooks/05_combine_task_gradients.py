# %% [markdown]
# # Combine task gradients
#
# **Question.** Five tasks pull on one encoder. Do they pull against each other, and does it matter how their
# gradients become one step?
#
# **The paper reports** {cite}`koo2025` results of its multitask model with PCGrad {cite}`yu2020` only: where the
# gradients of two tasks point away from each other, each loses the part that works against the other. Its gain from
# clinical features (C-index 0.701 alone, 0.797 together) can therefore not be told from a gain by the optimiser.
#
# **Method.** A {term}`gradient` says how to change every weight of the network so that one task's {term}`loss` falls.
# Look at the angles between task gradients first. Then train the same model with several strategies on
# the same splits, equal weights among them: the baseline that a strategy has to beat to be worth its time. Here every
# model gets half of the epochs of the preset `quick`; those of the recorded comparisons get all of them.
#
# :::{admonition} After this chapter you can
# :class: goals
# - say when two tasks are in conflict, and what gradient surgery does about it;
# - see why surgery must leave the task heads out, and what it costs when it does not;
# - choose among strategies for several losses, and name the baseline each has to beat.
# :::

# %% tags=["parameters"]
cohort: str = "transbig"  # or "demo"
n_splits: int = 2  # divisions of the cohort on which the strategies are compared
strategies: str = "equal uncertainty gradnorm pcgrad pcgrad-fast upgrad"  # by name
preset: str = "quick"  # of TxT: "quick" or "paper"
max_epochs: int = 20  # of TxT; 0 leaves it to the preset

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torchjd.aggregation import PCGrad

import gexcore as gx

gx.plots.use_theme()
data, tasks = gx.load_cohort(cohort), gx.load_tasks(cohort)
settings = {"preset": preset} | ({"max_epochs": max_epochs} if max_epochs else {})

# %% [markdown]
# ## Gradient surgery
#
# Two tasks with gradients $g_1$ and $g_2$ conflict when $g_1 \cdot g_2 < 0$: a step along the sum then helps one
# at the cost of the other, or helps neither as much as it could. PCGrad takes from each gradient its part along the
# other,
#
# $$
# g_1' = g_1 - \frac{g_1 \cdot g_2}{\lVert g_2 \rVert^2} \, g_2 \qquad \text{where } g_1 \cdot g_2 < 0,
# $$
#
# and adds up what is left. With more tasks the projections follow one another, in a random order.

# %% tags=["hide-input"]
g = torch.tensor([[2.0, 0.4], [-1.0, 0.9]])
cut = (
    g[0] - (g[0] @ g[1]) / (g[1] @ g[1]) * g[1],
    g[1] - (g[0] @ g[1]) / (g[0] @ g[0]) * g[0],
)
combined = PCGrad()(g)
assert torch.allclose(combined, cut[0] + cut[1], atol=1e-6)
assert cut[0] @ g[1] > -1e-6
assert cut[1] @ g[0] > -1e-6

figure, ax = plt.subplots(figsize=(5.6, 3.4))
arrows = {
    "task 1": (g[0], "C0", "-", 2),
    "task 2": (g[1], "C1", "-", 2),
    "sum": (g[0] + g[1], "0.6", "-", 2),
    "PCGrad": (combined, "C2", "-", 2),
    "": (cut[0], "C0", "--", 1),
    " ": (cut[1], "C1", "--", 1),
}
for name, (v, color, style, width) in arrows.items():
    drawn = {"arrowstyle": "-|>", "color": color, "lw": width, "ls": style}
    ax.annotate("", v.tolist(), (0, 0), arrowprops=drawn)
    left = v[0] < 0
    ax.annotate(
        name,
        v.tolist(),
        xytext=(-6 if left else 6, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        color=color,
    )
for old, new, color in ((g[0], cut[0], "C0"), (g[1], cut[1], "C1")):
    ax.plot(*torch.stack([old, new]).T, ":", color=color, linewidth=1)
ax.set(xlim=(-1.7, 2.6), ylim=(-0.1, 2.5), aspect="equal")
ax.set_axis_off()
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Arrows from one point. Task 1 points right and task 2 up to the left, at more than a right angle. The dashed remainder of each stands at a right angle to the other. Their sum, PCGrad, points steeply up and is longer than the plain sum.
# Gradient surgery on two invented gradients. Solid blue and orange: the gradients of two tasks, which conflict. Grey:
# their plain sum. Dashed: what is left of each once its part along the other (dotted) is taken off; it stands at a
# right angle to the other task and no longer works against it. Green: the sum of what is left, PCGrad's step.
# :::
#
# ## Where tasks meet
#
# All heads read one vector per patient, here called the *representation*, and the encoder makes it. Only below the
# heads can tasks conflict: a head belongs to one task.
#
# ```{figure} ../_static/surgery.svg
# ---
# name: surgery
# figclass: wide-figure
# alt: >-
#   Above, three panels: gradients (2.0, 0.4) and (-1.0, 0.9) conflict, their product is -1.64; each is projected,
#   which leaves (1.09, 1.22) and (-0.21, 1.06); the step is their sum, (0.88, 2.27). Below, two panels: exact
#   surgery after one pass back through the encoder for every task, fast surgery on the representation and one pass
#   back for all tasks.
# ---
# PCGrad. Top: where the gradients of two tasks point away from each other, each loses its part along the other, and
# the step is the sum of the rest. Bottom: where that can be done. Exact: every task's gradient runs back through
# the encoder by itself, and surgery joins the gradients of the shared weights. Fast: surgery joins the gradients of
# what all heads read, and the result runs back once. The heads keep their own gradients either way.
# ```
#
# The published code projects the gradients of *all* parameters at once. Heads add to the length of a task's gradient
# and nothing to its product with another, so the angles go to ninety degrees and the surgery finds little to cut
# (exercise 2). Here are the {term}`cosines <cosine>` of the angles after ten epochs, below the heads and over all
# parameters.

# %% tags=["nbval-ignore-output", "hide-input"]
train, val, test = gx.split(data, tasks, seed=0)
started = gx.TxT(tasks, **{**settings, "max_epochs": 10}).fit(train, val)
figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.4))
titles = {"shared": "parameters below the heads", "all": "all parameters"}
cosines = {}
for ax, (parameters, title) in zip(axes, titles.items(), strict=True):
    cosines[parameters] = gx.interpret.gradient_cosines(
        started, train, parameters=parameters
    )
    gx.plots.plot_matrix(
        cosines[parameters].round(2),
        label="cosine of task gradients",
        limit=1,
        ax=ax,
    ).set_title(title)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Two five by five matrices of cosines between task gradients. Left, parameters below the heads: all positive, highest among grade, er, age and size and lowest for dmfs. Right, all parameters: everything off the diagonal is zero or nearly so.
# Cosines between the gradients of every two tasks in a TxT after ten epochs, over all training patients of one split of
# `transbig`; the darker, the more alike (1: the same direction). Left, over the parameters below the heads: all tasks
# want about the same of the encoder, survival (dmfs) least. Right, the very same gradients over all parameters, heads
# included: they look as if they had nothing to do with each other.
# :::

# %%
off = ~np.eye(len(tasks), dtype=bool)
assert (
    np.abs(cosines["all"].to_numpy()[off]).mean()
    < np.abs(cosines["shared"].to_numpy()[off]).mean()
)

# %% [markdown]
# Below zero two tasks would want opposite things of the encoder. Over all training patients none do. A step sees a
# {term}`batch` of 32 patients, though, and by their accidents tasks can conflict that agree on the whole:

# %% tags=["nbval-ignore-output", "hide-input"]
rng = np.random.default_rng(0)
batch = [
    gx.interpret.gradient_cosines(
        started, train[rng.choice(train.n_obs, 32, replace=False)]
    )
    for _ in range(20)
]
share = {
    "all training patients": (cosines["shared"].to_numpy()[off] < 0).mean(),
    "batches of 32": np.mean([(c.to_numpy()[off] < 0).mean() for c in batch]),
}
pd.Series(share, name="share of pairs of tasks in conflict").round(2).to_frame()

# %% [markdown]
# ## The strategies
#
# | name | what happens |
# | --- | --- |
# | `equal` | the mean of the losses, each measured against its task's {term}`null prediction` |
# | `uncertainty` | weights learned as an uncertainty per task {cite}`kendall2018` |
# | `gradnorm` | weights that keep the pull of the tasks in step with their progress {cite}`chen2018` |
# | `pcgrad` | surgery on the gradients of the shared parameters: one pass through the encoder per task |
# | `pcgrad-fast` | surgery on the gradients of the vector the heads read: one pass in all |
# | `upgrad` | each gradient made harmless to all tasks, then the mean {cite}`quinton2024` |
#
# MGDA, CAGrad, IMTL-G, Aligned-MTL, FairGrad, GradDrop, ConFIG and random weights have names as well; `-fast` goes
# with all that look at gradients. A task without a label in a batch takes no part in its step. The scores, mean over
# splits: C-index and accuracy (`er`: oestrogen receptor status), where higher is better, and mean absolute error in
# years and centimetres, where lower is.

# %% tags=["nbval-ignore-output"]
scores = gx.interpret.compare_strategies(
    data, tasks, strategies.split(), seeds=range(n_splits), **settings
)
gx.comparison.mean_scores(gx.comparison.headlines(scores)).T.round(3)

# %% [markdown]
# What a strategy costs, recorded on two cores: seconds of a training step of the paper's network (eight layers, 500
# genes, 16 patients, five tasks). Surgery on the parameters takes a pass through the encoder per task, surgery on the
# representation next to nothing.

# %%
pd.read_csv("recorded/seconds_per_step.csv").set_index("strategy").round(2)

# %% [markdown]
# Few splits again. The same comparison was recorded on five splits of `demo` and of 956 TCGA breast cancers (250
# genes chosen on each training part), with `tests/benchmarks/test_multitask.py`.

# %%
recorded = {
    "demo": pd.read_csv("recorded/strategies_demo.csv"),
    "TCGA breast cancers": pd.read_csv("recorded/strategies_tcga_brca.csv"),
}
recorded = {name: gx.comparison.headlines(table) for name, table in recorded.items()}
compared = {
    name: gx.comparison.differences(table, "equal") for name, table in recorded.items()
}
gx.comparison.mean_scores(recorded["demo"]).T.round(3)

# %%
gx.comparison.mean_scores(recorded["TCGA breast cancers"]).T.round(3)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.4, 2.8))
for ax, (name, table) in zip(axes, compared.items(), strict=True):
    gx.plots.plot_differences(table[table["task"] == "os"], ax=ax).set_title(name)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Two panels, demo and TCGA breast cancers, with the difference in C-index of five strategies to equal weights as points with intervals around the dashed line at zero. Only gradnorm on demo lies wholly, and barely, on the worse side; all other intervals cross zero.
# Difference in C-index of overall survival between each strategy and equal weights, on the five recorded splits of
# `demo` (left) and of TCGA breast cancers (right), with 95 percent intervals. Left of the dashed line: worse than equal
# weights. Grey: zero is in the interval; red: the whole interval is on the worse side. The two kinds of PCGrad differ
# most from split to split, and no strategy gains.
# :::
#
# ## Verdict
#
# Counted are the tasks in which a strategy is better or worse than equal weights, or not told apart from them.

# %%
verdicts = pd.concat(compared, names=["cohort"]).groupby(
    ["cohort", "model"], sort=False
)
verdicts["verdict"].value_counts().unstack(fill_value=0).rename_axis(columns=None)

# %% [markdown]
# What this chapter claims is checked whenever it runs at its default settings:

# %%
assert not any((table["verdict"] == "better").any() for table in compared.values())
if (cohort, preset, max_epochs) == ("transbig", "quick", 20):
    assert share["all training patients"] < share["batches of 32"]

# %% [markdown]
# :::{admonition} Try it
# :class: try
# ```bash
# papermill notebooks/05_combine_task_gradients.ipynb out.ipynb -p strategies "equal mgda random" -p n_splits 1 --cwd notebooks
# ```
# Two other strategies on one split: `mgda` takes the shortest of all mixtures of the gradients, `random` draws the
# weights of the tasks anew in every step. Classes and numbers score nearly alike under all three. The C-index, which
# rests on about ten events, can differ a lot, and one split cannot say why: with `n_splits` at 3 or more the order may
# well change.
# :::
#
# ## Exercises
#
# :::{admonition} Exercise 1
# :class: exercise
# Somebody adds a loss in squared years of age to a negative log-likelihood of survival, as the published code does, and
# leaves the rest to PCGrad. Will PCGrad keep age from ruling the encoder? What would?
# :::
#
# :::{dropdown} Solution
# No. Surgery turns gradients, it does not make them of equal length. A gradient a thousand times as long as the other
# stays so after the other's direction has been taken out of it, and the sum still goes where it points. What helps is
# to measure every loss in units of its own, as this package does (the null prediction costs 1), or a strategy that does
# not look at lengths. Such a strategy then wins against the plain sum for that reason alone.
# :::
#
# :::{admonition} Exercise 2
# :class: exercise
# Two tasks have gradients $(a_1, b_1, 0)$ and $(a_2, 0, b_2)$: $a$ over the shared parameters, $b$ over those of their
# own heads. Let $|a_1| = |a_2|$ and $|b_i| = r\,|a_i|$. By what factor does the cosine shrink when heads are included?
# And what is left of the conflict $a_1 \cdot a_2 < 0$ between the *shared* parts once task 1 has been projected over
# all parameters? Put in $r = 3$.
# :::
#
# :::{dropdown} Solution
# The product of the gradients is still $a_1 \cdot a_2$, and the square of each length grows from $|a|^2$ to
# $|a|^2 (1 + r^2)$, so the cosine shrinks by $1 + r^2$. The projection takes
# $\frac{a_1 \cdot a_2}{|a_2|^2 (1 + r^2)}\,(a_2, 0, b_2)$ from the first gradient. Its shared part then has the product
# $a_1 \cdot a_2 \left(1 - \frac{1}{1 + r^2}\right) = \frac{r^2}{1 + r^2}\; a_1 \cdot a_2$ with $a_2$: for $r = 3$ the
# cosine is a tenth of what it was, and nine tenths of the conflict stay. Besides, task 1 now pushes at the head of task
# 2, where its gradient was zero.
# :::
#
# :::{admonition} Exercise 3
# :class: exercise
# With more than two tasks the projections follow one another. Show in a cell that the step of PCGrad for the gradients
# $(2, 0.4)$, $(-1, 0.9)$ and $(-0.5, -1)$ depends on their order.
# :::
#
# :::{dropdown} Solution
# ```python
# three = torch.tensor([[2.0, 0.4], [-1.0, 0.9], [-0.5, -1.0]])
# {tuple(PCGrad()(three).numpy().round(2).tolist()) for _ in range(50)}
# ```
#
# The order is drawn anew each time, and several different steps come out; some of them do not even point to the same
# side. With the first two gradients alone there is only one.
# :::
#
# ## What was found
#
# - No strategy beats equal weights, in any task of either recorded cohort. Where all losses are measured against
#   their null prediction and all heads start there, little is left for a strategy to balance. (The published code
#   adds squared years to log-likelihoods; there, anything that ignores lengths will look good.)
# - Over all patients these tasks pull the same way. They fall out with each other in single batches, by accident, and
#   an accident is not worth surgery.
# - Surgery on the representation scores like surgery on the parameters and costs next to nothing. Who wants PCGrad
#   can have it as `multitask="pcgrad-fast"`.
#
# **The paper reports** no other strategy, so there is nothing to set these comparisons against. That its gain came from
# the optimiser cannot be tested here; on these two cohorts no gain of PCGrad itself is seen.
#
# **What to doubt.** These tasks are faces of one biology. Tasks that have nothing to do with each other may need a
# referee. And the model is small: where an encoder has room for everybody, nobody fights.
