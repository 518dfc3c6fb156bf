# %% [markdown]
# # Meet the cohorts
#
# **Question.** What does a cohort look like to a model, and what has to be right before anything is trained on it?
#
# **The paper reports** {cite}`koo2025` results on three public cohorts: SCAN-B and the breast cancers of TCGA, and the
# childhood leukaemias of TARGET. Each was divided ten times at random into 70 percent training, 10 percent validation
# and 20 percent test patients. How samples were chosen stands in its supplement; of what was checked, its main text
# says nothing.
#
# **Method.** Look at all that a model gets to see, in two cohorts that anyone can have. They serve all chapters on TxT;
# those on GexBERT add a third. `transbig` is real: 198 women with breast cancer that had not reached the lymph nodes
# (node-negative), and the time to distant metastasis {cite}`desmedt2007`. A microarray measured 76 *probe sets* in each
# tumour, which stand for genes here: a probe set is a group of short pieces of DNA that catch the transcripts of one
# gene. `demo` is simulated: 400 patients and 200 genes whose every effect on survival is written down, so that whatever
# a model claims to have found can be checked against what is there.
#
# :::{admonition} After this chapter you can
# :class: goals
# - read a cohort, its tasks and its gaps from one table;
# - say what a split into training, validation and test patients must keep, and check that it does;
# - name the accidents at reading that spoil a result before any model is trained;
# - say how far chance alone moves a C-index on forty patients.
# :::

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
# too: the event came later than that, if at all ({term}`censoring`).

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

# %% tags=["hide-input"]
figure, axes = plt.subplots(2, 1, figsize=(7.5, 5.2), height_ratios=[5, 6])
for ax, cohort in zip(axes, (transbig, demo), strict=True):
    gx.plots.plot_labels(cohort, tasks[cohort.uns["name"]], ax=ax).set_title(
        cohort.uns["name"]
    )
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Two stacks of horizontal bars, one for transbig and one for demo, a bar for each label, divided into events and censored patients, into classes, or showing median and middle half of a number; short grey ends are missing labels.
# What is known of how many patients in `transbig` (above) and `demo` (below). One bar per label, as long as the cohort.
# Survival is divided into events and censored patients, a class label into its classes, darkest the most frequent; a
# number shows its median and the range of its middle half (age in years, size in cm in `transbig` and in mm in `demo`).
# Patients are counted in brackets. Segments without words are too narrow for them: well differentiated tumours, and
# the subtype stromal. Grey: missing. In `transbig` events are much rarer than in `demo`.
# :::
#
# Some labels are missing: {glue:text}`missing_grades` patients of `transbig` have no grade (their file says
# `unkown`), and `demo` lacks a few of each clinical feature on purpose. A patient with a missing label is not
# dropped. She counts for every label she has and is left out of the {term}`loss` of the one she lacks. (In the table
# `<NA>` is a label that the cohort does not have at all.)

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
# The Kaplan-Meier curve {cite}`kaplan1958` estimates the share of patients without the event at each time. The
# {term}`log-rank test` asks whether curves differ over all of follow-up, and so has little to say where they part early
# and meet again.

# %% tags=["hide-input"]
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
# :::{caption}
# :alt: Two panels of Kaplan-Meier curves. Left, three grades of transbig over 25 years, poorly differentiated tumours falling fastest in the first five years and meeting the intermediate ones later. Right, five subtypes of demo over ten years, hormonal well above the other four.
# Kaplan-Meier curves of all patients, before any split. Left: without distant metastasis in `transbig`, by grade.
# Right: alive in `demo`, by subtype. Bands are 95 percent intervals of each curve, ticks are censored patients. Grades
# part in the first years and two of them meet later, which the log-rank test does not tell from chance; subtypes
# differ, above all the hormonal one from the rest. A last step rests on one or two patients, as where *amplified* falls
# to zero.
# :::
#
# ## Expression
#
# Genes of one pathway rise and fall together. In `demo` each pathway is a *module*: genes that follow one of them, the
# regulator.

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
# :::{caption}
# :alt: Heat map of 400 patients by 200 genes in demo, patients in rows sorted by subtype, genes in columns sorted by module. Red blocks mark AMPLI genes in the amplified subtype, BASAL genes in the basal one and ECM genes in the stromal one; background genes show no blocks.
# Expression in `demo`: a row per patient, sorted by subtype, a column per gene, sorted by module. Colours are
# {term}`z-scores <z-score>` within a gene, red above its mean, blue below it. A module shows as a block that changes
# from one subtype to the next; the background genes at the right belong to none and show no blocks.
# :::
#
# ### What is planted
#
# The file `truth.csv` lists every gene with its role. A regulator drives the members of its module and may change the
# {term}`hazard`; risk genes raise it and protective genes lower it by themselves; all others tell of survival only
# through the company they keep. Interacting pairs matter beyond the sum of their parts: the product of the two genes
# changes the hazard, which no model that only adds effects can express. Effects are log hazard ratios per standard
# deviation of a gene, as the coefficients of a {term}`Cox model` would be.

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
# evenly (a *stratified* split), so that no part is short of deaths or of a subtype. The table gives their shares.


# %% tags=["hide-input"]
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
# :::{admonition} Try it
# :class: try
# ```bash
# papermill notebooks/01_meet_the_cohorts.ipynb out.ipynb -p seed 1 --cwd notebooks
# ```
# Other patients fall into each part, and the shares of deaths and subtypes hardly move: that is what stratifying is
# for. Nothing else on the page depends on the seed.
# :::
#
# ## Exercises
#
# :::{admonition} Exercise 1
# :class: exercise
# A colleague wants to be rid of censoring. She turns `transbig` into a class, *metastasis within five years: yes or
# no*, and counts everybody without a recorded metastasis as *no*. About which patients is she wrong, or at least not
# entitled to an answer? Are they many? What would leaving them out do instead?
# :::
#
# :::{dropdown} Solution
# Those censored before five years without an event: nobody knows whether they had one by then. Here they are nine,
#
# ```python
# early = (transbig.obs["dmfs_time"] < 1826) & (transbig.obs["dmfs_event"] == 0)
# int(early.sum())
# ```
#
# against 35 who had a metastasis by then, so counted as *no* they dilute the class she wants to find. Leaving them out
# is no cure: patients with an event by five years are all kept and patients without one are thinned out, so the risk
# comes out too high. Survival losses use them for what they are, free of metastasis *until* then.
# :::
#
# :::{admonition} Exercise 2
# :class: exercise
# Compute a {term}`C-index` by hand. Five patients, in order of time: event at 2, censored at 4, event at 5, event at 6,
# censored at 7. A model gives them the risks 4, 1, 5, 2 and 2. Which pairs can be compared, and what is the C-index?
# :::
#
# :::{dropdown} Solution
# A pair can be compared if the earlier time of the two is an event. The first patient compares with all four others,
# the second, censored, with nobody after her, the third with two, the fourth with one: seven pairs. The higher risk has
# the earlier event in (1, 2), (1, 4), (1, 5), (3, 4) and (3, 5); in (1, 3) it has not; in (4, 5) the risks are equal
# and count one half. The C-index is $5.5 / 7 \approx 0.79$.
# :::
#
# :::{admonition} Exercise 3
# :class: exercise
# How far does chance alone move a C-index on a test part of `transbig`? In a new cell, give the test patients of a
# split random risks, a thousand times, and look at the standard deviation. Do it again for the whole cohort.
# :::
#
# :::{dropdown} Solution
# ```python
# rng = np.random.default_rng(0)
#
#
# def chance(part):
#     time, event = part.obs[["dmfs_time", "dmfs_event"]].to_numpy().T
#     draws = [rng.permutation(part.n_obs) for _ in range(1000)]
#     return np.std([gx.metrics.c_index(time, event, risk) for risk in draws])
#
#
# test = gx.split(transbig, tasks["transbig"], seed=seed)[2]
# chance(test), chance(transbig)
# ```
#
# Nearly 0.1 for the forty patients of a test part, and less than half of that for all 198. The number of *events*
# matters more than that of patients: a test part has about ten.
# :::
#
# ## What was found
#
# - Two small cohorts, one real and one with known truth, both with labels of all three kinds and with gaps.
# - The real one is small: its test part of 40 patients holds about ten events, so any C-index computed on it carries a
#   standard error of nearly 0.1 (exercise 3). Differences between models of a few hundredths mean little on a single
#   split, and the chapters that follow report many.
# - A wrong coding, a transposed table or a patient listed twice stops at the door with a sentence that says what to do.
#
# **The paper reports** numbers of other cohorts, which cannot be tested here. Its division into parts is followed, with
# one difference: events and classes are spread evenly, while the paper divides at random.
#
# **What to doubt.** `demo` was simulated with additive effects and a few interactions. A method that wins on it has
# shown that it finds such effects, not that tumours work that way.
