# %% [markdown]
# # Combine task gradients
#
# **Question.** Five tasks pull on one encoder. Do they pull against each other, and does it matter how their
# gradients become one step?
#
# **The paper** {cite}`koo2025` uses PCGrad {cite}`yu2020`: where two gradients point away from each other, each
# loses the part that works against the other. **It reports** results with PCGrad only, so that its gain from
# clinical features (C-index 0.701 alone, 0.797 together) cannot be told from a gain by the optimiser.
#
# **Method.** Look at the angles between task gradients first. Then train the same model with several strategies on
# the same splits, equal weights among them: the baseline that a strategy has to beat to be worth its time. Here every
# model gets half of the epochs of the preset `quick`; those of the recorded comparisons get all of them.

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
# Dashed: what is left of each gradient. It no longer points against the other task.
#
# ## Where tasks meet
#
# All heads read one vector per patient, and the encoder makes it. Only there can tasks conflict: a head belongs to
# one task.
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
# and nothing to its product with another, so the angles go to ninety degrees and the surgery finds little to cut. Here
# are the cosines after ten epochs, below the heads and over all parameters.

# %% tags=["nbval-ignore-output"]
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

# %%
off = ~np.eye(len(tasks), dtype=bool)
assert (
    np.abs(cosines["all"].to_numpy()[off]).mean()
    < np.abs(cosines["shared"].to_numpy()[off]).mean()
)

# %% [markdown]
# Over all training patients, below zero is where two tasks want opposite things of the encoder. A step sees a batch
# of 32 patients, though, and by their accidents tasks can conflict that agree on the whole:

# %% tags=["nbval-ignore-output"]
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
# | `equal` | the mean of the losses, each measured against its task's null prediction |
# | `uncertainty` | weights learned as an uncertainty per task {cite}`kendall2018` |
# | `gradnorm` | weights that keep the pull of the tasks in step with their progress {cite}`chen2018` |
# | `pcgrad` | surgery on the gradients of the shared parameters: one pass through the encoder per task |
# | `pcgrad-fast` | surgery on the gradients of the vector the heads read: one pass in all |
# | `upgrad` | each gradient made harmless to all tasks, then the mean {cite}`quinton2024` |
#
# MGDA, CAGrad, IMTL-G, Aligned-MTL, FairGrad, GradDrop, ConFIG and random weights have names as well; `-fast` goes
# with all that look at gradients. A task without a label in a batch takes no part in its step.

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
# ## Verdict

# %%
verdicts = pd.concat(compared, names=["cohort"]).groupby(
    ["cohort", "model"], sort=False
)
verdicts["verdict"].value_counts().unstack(fill_value=0).rename_axis(columns=None)

# %% [markdown]
# Counted are the tasks in which a strategy is better or worse than equal weights, or not told apart from them.
#
# What this chapter claims is checked whenever it runs at its default settings:

# %%
assert not any((table["verdict"] == "better").any() for table in compared.values())
if (cohort, preset, max_epochs) == ("transbig", "quick", 20):
    assert share["all training patients"] < share["batches of 32"]

# %% [markdown]
# ## What was found
#
# - No strategy beats equal weights, in any task of either recorded cohort. Where all losses are measured against
#   their null prediction and all heads start there, little is left for a strategy to balance. (The published code
#   adds squared years to log-likelihoods; there, anything that ignores lengths will look good.)
# - Over all patients these tasks pull the same way. They fall out with each other in single batches, by accident, and
#   an accident is not worth surgery.
# - Surgery on the representation scores like surgery on the parameters and costs next to nothing. Who wants PCGrad
#   can have it as `multitask="pcgrad-fast"`.
# - **What to doubt.** These tasks are faces of one biology. Tasks that have nothing to do with each other may need a
#   referee. And the model is small: where an encoder has room for everybody, nobody fights.
