# %% [markdown]
# # Meet the cohorts
#
# **Question.** What does a cohort look like to a model, and what has to be right before anything is trained on it?
#
# Two cohorts serve every chapter. `transbig` is real: 198 women with node-negative breast cancer, 76 probe sets
# measured in each tumour, and the time to distant metastasis {cite}`desmedt2007`. `demo` is simulated: 400 patients
# and 200 genes whose every effect on survival is written down, so that whatever a model claims to have found can be
# checked against what is there.

# %% tags=["parameters"]
seed: int = 0  # which random split into training, validation and test samples

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue

import gexcore as gx

gx.plots.use_theme()
transbig, demo = gx.load_cohort("transbig"), gx.load_cohort("demo")

# %% [markdown]
# ## One container
#
# A cohort is an [AnnData](https://anndata.readthedocs.io) {cite}`virshup2024`: samples in `obs` with their clinical
# columns, genes in `var`, expression in `X`. Everything is matched by name, never by position, so a file whose rows
# or columns are shuffled is the same cohort.

# %%
transbig

# %%
transbig.obs.head()

# %% [markdown]
# ## What is to be predicted
#
# A task names columns. Three kinds cover the papers: time to an event, a class, a number. Events are coded
# **1 = it happened**; a patient who has not had the event by the end of follow-up is *censored*, which is knowledge
# too: the event came later than that, if at all.

# %%
tasks = {
    "transbig": [
        gx.Survival("dmfs", time="dmfs_time", event="dmfs_event"),
        gx.Classification("grade"),
        gx.Classification("er"),
        gx.Regression("age"),
        gx.Regression("size"),
    ],
    "demo": [
        gx.Survival("os", time="os_time", event="os_event"),
        gx.Survival("rfs", time="rfs_time", event="rfs_event"),
        gx.Classification("subtype"),
        gx.Classification("grade"),
        gx.Regression("age"),
        gx.Regression("size"),
    ],
}

figure, axes = plt.subplots(2, 1, figsize=(7.5, 5.2), height_ratios=[5, 6])
for ax, cohort in zip(axes, (transbig, demo), strict=True):
    gx.plots.plot_labels(cohort, tasks[cohort.uns["name"]], ax=ax).set_title(
        cohort.uns["name"]
    )
plt.show()

# %% [markdown]
# Some labels are missing: {glue:text}`missing_grades` patients of `transbig` have no grade (their file says
# `unkown`), and `demo` lacks a few of each clinical feature on purpose. A patient with a missing label is not
# dropped. She counts for every label she has and is left out of the loss of the one she lacks.

# %%
missing = pd.DataFrame(
    {
        name: {
            task.name: int(pd.DataFrame(task.read(cohort.obs)).isna().any(axis=1).sum())
            for task in tasks[name]
        }
        for name, cohort in (("transbig", transbig), ("demo", demo))
    }
)
glue("missing_grades", int(missing.loc["grade", "transbig"]), display=False)
missing.rename_axis("labels missing").astype("Int64")

# %% [markdown]
# ## Survival
#
# The Kaplan-Meier curve {cite}`kaplan1958` estimates the share of patients without the event at each time. In
# `transbig` grade separates the curves in the first years, and later they meet. In `demo` the subtypes differ. The
# log-rank test asks whether curves differ over all of follow-up.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6))
graded = transbig.obs.dropna(subset="grade")
gx.plots.plot_kaplan_meier(
    graded["dmfs_time"] / 365.25,
    graded["dmfs_event"],
    graded["grade"],
    unit="years",
    ax=axes[0],
)
axes[0].set(title="transbig, by grade", ylabel="Without distant metastasis")
typed = demo.obs.dropna(subset="subtype")
gx.plots.plot_kaplan_meier(
    typed["os_time"], typed["os_event"], typed["subtype"], unit="months", ax=axes[1]
)
axes[1].set(title="demo, by subtype", ylabel="Alive")
plt.show()

# %% [markdown]
# ## Expression
#
# Genes of one pathway rise and fall together. In `demo` each pathway is a module of genes driven by one regulator;
# the heat map shows modules as blocks that change from one subtype to the next.

# %%
truth = gx.load_truth()
figure, ax = plt.subplots(figsize=(8, 4.2))
gx.plots.plot_expression(
    demo,
    order="subtype",
    modules=truth["module"].replace("", "background").to_dict(),
    ax=ax,
)
plt.show()

# %% [markdown]
# ### What is planted
#
# The table `truth.csv` lists every gene with its role. Interacting pairs matter beyond the sum of their parts: the
# product of the two genes changes the hazard, which no model that only adds effects can express.

# %%
truth["role"].value_counts().rename("genes").to_frame()

# %%
truth[truth["log_hazard_ratio"].ne(0) | truth["partner"].ne("")].drop(
    columns="traits"
).round(2)

# %% [markdown]
# ## Training, validation, test
#
# Models learn from training patients, choose when to stop on validation patients, and are judged on test patients
# they have never seen: 70, 10 and 20 percent, as in the TxT paper {cite}`koo2025`. Events and classes are spread
# evenly.


# %%
def describe(part):
    return {
        "patients": part.n_obs,
        "deaths": f"{part.obs['os_event'].mean():.2f}",
        **part.obs["subtype"]
        .value_counts(normalize=True)
        .sort_index()
        .map("{:.2f}".format),
    }


parts = dict(
    zip(
        ["train", "validation", "test"],
        gx.split(demo, tasks["demo"], seed=seed),
        strict=True,
    )
)
pd.DataFrame({name: describe(part) for name, part in parts.items()}).T

# %%
ids = [set(part.obs_names) for part in parts.values()]
assert (
    sum(map(len, ids)) == len(set.union(*ids)) == demo.n_obs
)  # nobody is in two parts, nobody is lost
shuffled = demo[np.random.default_rng(1).permutation(demo.n_obs)]
again = gx.split(shuffled, tasks["demo"], seed=seed)
again = [set(part.obs_names) for part in again]
assert again == ids  # the order of the file does not matter

# %% [markdown]
# ## Checks at the door
#
# Most results that cannot be repeated go wrong before the first model: a table read with genes as rows, an event
# column coded 1 and 2, counts taken for log values. `read_cohort` and the tasks look for that and say what they
# found, where, and what to do. (A column coded 1 = *alive* is asked about where its name or its times show it; they do
# not always: compare the share of events with what you know of the cohort.) Five accidents:

# %%
clinical, worded = demo.obs[["age"]], demo.to_df().astype(object)
worded.iloc[4, 2] = "low"
coded = pd.DataFrame(
    {"time": [3.0, 5.0], "text": ["1:DECEASED", "0:LIVING"], "number": [1, 2]},
    index=["P1", "P2"],
)
accidents = {
    "genes as rows": lambda: gx.read_cohort(demo.to_df().T, clinical),
    "a patient twice": lambda: gx.read_cohort(
        pd.concat([demo.to_df(), demo.to_df().iloc[:2]])
    ),
    "a word among numbers": lambda: gx.read_cohort(worded),
    "events as text": lambda: gx.Survival("os", time="time", event="text").read(coded),
    "events as 1 and 2": lambda: gx.Survival("os", time="time", event="number").read(
        coded
    ),
}
for accident, happen in accidents.items():
    try:
        happen()
    except ValueError as refusal:
        print(f"{accident}:\n    {refusal}\n")

# %% [markdown]
# What is odd but usable is not refused but reported, as a warning with the decision that was taken:

# %%
counts = pd.DataFrame(
    np.random.default_rng(0).poisson(500, (6, 4)),
    index=list("abcdef"),
    columns=["G1", "G2", "G3", "G4"],
)
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    gx.read_cohort(counts, pd.DataFrame({"age": [50, 60]}, index=["a", "b"]))
for warning in heard:
    print(f"- {warning.message}\n")

# %% [markdown]
# ## What was found
#
# - Two small cohorts, one real and one with known truth, both with labels of all three kinds and with gaps.
# - The real one is small: its test part of 40 patients holds about ten events, so any C-index computed on it
#   carries a standard error near 0.08. Differences between models of a few hundredths mean little on a single
#   split, and the chapters that follow report many.
# - **What to doubt.** `demo` was simulated with additive effects and a few interactions. A method that wins on it has
#   shown that it finds such effects, not that tumours work that way.
