# %% [markdown]
# # Ablate parts
#
# **Question.** Which parts of TxT does a trained model rely on, and which could it have done without?
#
# **The paper reports** {cite}`koo2025` that removing any one attention {term}`head` lowers the score of at least one or
# two tasks, some dramatically (Tables S14 and S15).
#
# **Method.** Two questions that are easily mixed up. *Switching off*: take a trained model, remove one part, and see
# what happens to its predictions. *Training without*: leave the part out from the beginning, and let the rest make up
# for it. The first says what this model relies on, the second what the part is good for.
#
# :::{admonition} After this chapter you can
# :class: goals
# - tell what a model relies on from what a part of it is good for
# - say how often removing a part that does nothing would look like a loss in some task
# - judge a change of a score by the luck of the test patients
# :::

# %% tags=["parameters"]
cohort: str = "transbig"  # or "demo"
n_splits: int = 3  # divisions of the cohort for models trained without a part
n_layers: int = 2  # of the model whose heads are removed
n_heads: int = 4
preset: str = "quick"  # of TxT: "quick" or "paper"
max_epochs: int = 0  # of the two models that are taken apart; 0 leaves it to the preset
repeated_epochs: int = 15  # of the many trained without a part; 0 likewise

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue

import gexcore as gx

gx.plots.use_theme()
data, tasks = gx.load_cohort(cohort), gx.load_tasks(cohort)
settings = {"preset": preset} | ({"max_epochs": max_epochs} if max_epochs else {})
repeated = {"preset": preset}
repeated |= {"max_epochs": repeated_epochs} if repeated_epochs else {}

# %% [markdown]
# ## Switching off heads
#
# TxT's attention runs in several heads side by side, in each of several layers ({doc}`02_build_txt`). In a trained model
# each head is removed in one layer and in all layers, each layer loses all its heads at once, and at last all heads go.
# Genes then no longer hear of each other: by the {term}`residual connections <residual connection>` each vector passes
# through attention as it is.

# %% tags=["nbval-ignore-output"]
train, val, test = gx.split(data, tasks, seed=0)
model = gx.TxT(
    tasks,
    n_layers=n_layers,
    n_heads=n_heads,
    d_model=8 * n_heads,
    **settings,
).fit(train, val)
pruning = gx.interpret.prune_heads(model, test, train=train)
shown = gx.comparison.headlines(pruning)
table = shown.pivot_table(
    index=["layer", "head"], columns=["task", "metric"], values="value", sort=False
)
table.columns = [
    f"{task}, {gx.plots.METRIC_NAMES[metric]}" for task, metric in table.columns
]
table.round(3)

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.0))
for ax, task in zip(axes, tasks[:2], strict=True):
    metric = gx.metrics.HEADLINES[task.kind]
    gx.plots.plot_pruning(pruning, task.name, metric, ax=ax)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Two heat maps, layers by heads removed. Each has red and blue cells in no order; the changes written in them are at most a few hundredths.
# Change of two scores on the test patients of `transbig` when heads of one trained model are removed: C-index of distant
# metastasis, accuracy of grade. Rows: the layer that loses the head, last all of them. Columns: the head, last all of
# them. Red is worse, blue better; the scale is each panel's own, and short. About as many cells gain as lose.
# :::
#
# A removed head changes the predictions, as the next cell checks. Whether a score moves by more than the luck of one
# test part is another matter. A {term}`bootstrap` over the test patients gives the measure.

# %%
intact = model.predict(test)
with gx.interpret.pruned(model, [(1, 1)]):
    without = model.predict(test)
assert not np.allclose(intact[tasks[0].name].risk, without[tasks[0].name].risk)
again = model.predict(test)
assert intact[tasks[0].name].risk.equals(again[tasks[0].name].risk)  # nothing was lost

# %% tags=["nbval-ignore-output"]
luck = gx.comparison.headlines(gx.comparison.bootstrap_scores(intact, test, n=200))
luck = luck.set_index(["task", "metric"])
single = shown[~shown["head"].isin(["none", "all"]) & (shown["layer"] != "all")]
span = single.groupby(["task", "metric"], sort=False)["value"].agg(["min", "max"])
comparison = pd.DataFrame(
    {
        "intact": luck["value"],
        "one head removed": span.apply("{min:.3f} to {max:.3f}".format_map, axis=1),
        "95 % interval of the intact score": luck.apply(
            "{low:.3f} to {high:.3f}".format_map, axis=1
        ),
    }
)
limits = luck.loc[pd.MultiIndex.from_frame(single[["task", "metric"]])]
noticed = ~single["value"].between(limits["low"].to_numpy(), limits["high"].to_numpy())
noticed = noticed.groupby([single["layer"], single["head"]]).any()
glue("heads_noticed", int(noticed.sum()), display=False)
glue("heads", len(noticed), display=False)
comparison.round(3).rename(index=gx.plots.METRIC_NAMES)

# %% [markdown]
# ## Switching off expression
#
# The paper lets expression into the attention scores and nowhere else. Our quick {term}`preset` also writes it into the
# {term}`tokens <token>`, the vectors of the genes. In a model that has both paths, which does it listen to? Columns of
# the table say which path is silenced: its weights are set to zero, so that it carries nothing.

# %% tags=["nbval-ignore-output"]
both = gx.TxT(tasks, **settings).fit(train, val)
silenced = gx.interpret.silence_expression(both, test, train=train)
gx.comparison.mean_scores(gx.comparison.headlines(silenced), by="silenced").round(3)

# %% [markdown]
# ## Training without
#
# The same question to models that never had the path, all of them trained for fewer {term}`epochs <epoch>` than the two
# above; means over the splits. *Attention* is the paper's way, *neither* a model that cannot tell two patients apart.

# %% tags=["nbval-ignore-output"]
paths = gx.interpret.compare_expression_paths(
    data, tasks, seeds=range(n_splits), **repeated
)
paths = gx.comparison.headlines(paths)
against = gx.comparison.differences(paths, "neither").dropna()
glue("against_neither", against.to_dict("records"), display=False)
gx.comparison.mean_scores(paths).round(3)

# %%
neither = paths[(paths["model"] == "neither") & (paths["metric"] == "c_index")]["value"]
assert np.allclose(neither, 0.5)  # the same risk for everybody

# %% [markdown]
# ## More tasks
#
# Survival alone, then with one clinical feature after the other, learned together ({term}`multitask learning`). With all
# of them it is the model *both* of the last section, which need not be trained again.

# %% tags=["nbval-ignore-output"]
fewer = gx.interpret.compare_task_counts(
    data, tasks[:-1], seeds=range(n_splits), **repeated
)
together = paths[paths["model"] == "both"]
together = together.assign(model=" + ".join(task.name for task in tasks))
counts = pd.concat([fewer, together])
on_survival = counts[
    (counts["task"] == tasks[0].name) & (counts["metric"] == "c_index")
]
figure, ax = plt.subplots(figsize=(7.4, 2.6))
gx.plots.plot_scores(on_survival, ax=ax)
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Five rows of three dots each. The mean C-index rises from metastasis alone at the bottom to all five tasks at the top; the bars of neighbouring rows overlap widely.
# C-index of distant metastasis on test patients of `transbig`, by the tasks that a model learned; best mean on top. Blue
# dots: the splits. Black: their mean and standard deviation over splits, also written at the right. The spread over
# three splits is wider than most steps from row to row.
# :::
#
# The differences from metastasis alone, on the same splits, with 95 percent intervals that allow for the patients that
# splits share {cite}`nadeau2003`:

# %% tags=["nbval-ignore-output"]
gx.comparison.differences(on_survival, tasks[0].name)[
    ["model", "mean", "difference", "low", "high"]
].round(3).set_index("model")

# %% [markdown]
# What this chapter claims is checked whenever it runs at its default settings:

# %%
settings_shown = (cohort, n_splits, n_layers, n_heads, preset)
if (*settings_shown, max_epochs, repeated_epochs) == (
    "transbig",
    3,
    2,
    4,
    "quick",
    0,
    15,
):
    assert (span["min"] >= luck["low"]).all()
    assert (span["max"] <= luck["high"]).all()
    score = silenced[silenced["metric"] == "c_index"].set_index("silenced")["value"]
    assert (
        abs(score["attention"] - score["none"]) < 0.05 < score["none"] - score["tokens"]
    )
    mean = gx.comparison.mean_scores(paths).loc[(tasks[0].name, "c_index")]
    assert mean["attention"] < 0.5 + 0.05 < mean["tokens"]

# %% [markdown]
# ::::{admonition} Try it
# :class: try
# One layer of two heads, and shorter training of the models that lack a part:
#
# ```bash
# papermill notebooks/08_ablate_parts.ipynb out.ipynb --cwd notebooks \
#     -p n_layers 1 -p n_heads 2 -p repeated_epochs 5
# ```
#
# Expect a smaller table in which either head "is missed" by two tasks, grade and receptor, as in the paper. Each loses
# one patient there, and the intervals beneath show what one patient is worth.
# ::::

# %% [markdown]
# ## Exercises
#
# :::{admonition} Exercise 1
# :class: exercise
# Two heads of a model do the same useful thing. What does removing either of them show, what does removing both, and what
# does training without one of them? Which of the three tells you that the thing is useful?
# :::
#
# :::{dropdown} Solution
# Removing either shows little, since the other is still there: two heads that matter would both be called useless.
# Removing both shows the loss. Training without one shows nothing, since the other learns the job alone. Only the removal
# of both tells, which is why the table above has a row *all*, and why "no single head matters" is not yet "attention does
# not matter".
# :::
#
# :::{admonition} Exercise 2
# :class: exercise
# Suppose that heads do nothing but noise: removing one moves each of five scores up or down with probability one half,
# independently. How probable is it that a given head "is missed by at least one task"? That this is so for every one of
# eight heads? And what is the standard error of an accuracy of 0.6 on 40 test patients, beside the step that one patient
# makes?
# :::
#
# :::{dropdown} Solution
# A head is missed by some task unless all five scores rise: $1 - 2^{-5} = 0.97$. For all eight heads
# $0.97^8 = 0.78$ (with $1 - 2^{-5}$ unrounded). So a table in which every head is missed by one task or two is what
# noise makes. The standard error is $\sqrt{0.6 \cdot 0.4 / 40} = 0.077$, and one patient moves the accuracy by $0.025$.
# In truth scores move together and some do not move at all, so the numbers are a guide. The conclusion stays: each
# change needs an interval.
# :::
#
# :::{admonition} Exercise 3
# :class: exercise
# The interval in the chapter is that of one score. An intact and a pruned model are scored on the same patients, so their
# *difference* is known better. Compute its bootstrap interval for the C-index, for every single head. For how many does
# it exclude zero, and how many would you expect by chance?
# :::
#
# :::{dropdown} Solution
# ```python
# def risk_without(heads):
#     with gx.interpret.pruned(model, heads):
#         return model.predict(test)[tasks[0].name].risk.to_numpy()
#
#
# time, event = (test.obs[c].to_numpy(float) for c in tasks[0].columns)
# rng = np.random.default_rng(0)
# drawn = [rng.integers(test.n_obs, size=test.n_obs) for _ in range(500)]
#
#
# def scores_of(risk):
#     return np.array(
#         [gx.metrics.c_index(time[rows], event[rows], risk[rows]) for rows in drawn]
#     )
#
#
# whole = scores_of(risk_without([]))
# paired = {}
# for layer in range(1, n_layers + 1):
#     for head in range(1, n_heads + 1):
#         change = scores_of(risk_without([(layer, head)])) - whole
#         paired[layer, head] = np.nanquantile(change, [0.025, 0.975]).round(3)
# paired
# ```
#
# For none: every interval holds zero or ends at it, where by chance one of twenty would not. All are many times shorter
# than that of the intact score, since both models stumble over the same patients. So the chapter's comparison was a
# lenient one, and the strict one says the same: no head is missed.
# :::

# %% [markdown]
# ## What was found
#
# At the default settings:
#
# - No head is seen to matter: removing one, or every head of a layer, or all attention there is, moves the scores by
#   less than the choice of test patients does.
# - This model reads expression from the tokens. The paper's path, expression in the attention scores, could be
#   switched off without loss.
# - Trained with the paper's path alone, the model learns nothing here: its ranks are no better than chance, its
#   classes are the most frequent ones. All patients start from the same gene vectors, and a change of who attends to
#   whom is a small change of those; in {doc}`02_build_txt`, too, the published recipe hardly left the null prediction.
# - More tasks go with a higher C-index of the first, but the interval holds zero: not decided.
#
# **The paper reports** that every head is missed by a task or two, some dramatically. That **does not hold here**. Five
# tasks ranked survival better than one there; here the direction is the same and the size **not decided**.
#
# **What to doubt.** On 138 patients and 76 genes a transformer has little to attend to. The paper trains on twenty
# times as many, for up to sixty times as many epochs as the models compared here. What is shown is that attention is
# not needed *here*, and that a pruning table alone, without the luck of the test part beside it, would have suggested
# otherwise.
