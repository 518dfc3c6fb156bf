# %% [markdown]
# # Classify from few genes
#
# **Question.** A clinic can measure sixteen genes, not twenty thousand. Does a model that has learned how genes go
# together tell the cancer type from so few better than one that has only the sixteen?
#
# **The paper** {cite}`jiang2025` **reports** state-of-the-art pan-cancer classification from limited gene subsets; its
# tables were not to be had, so there is no figure to put beside these.
#
# **Method.** Panels of random genes, larger ones containing the smaller ones, the same for every model. A model gets
# the genes of the panel and nothing else. GexBERT was pretrained on all genes of the training samples, without a
# label; its embedding of a panel goes to a plain logistic regression (*frozen*), or the encoder is trained on
# (*fine-tuned*). A rival is to be feared if it is simple: logistic regression, a linear support vector machine or a
# random forest on the genes themselves.

# %% tags=["parameters"]
cohort: str = "demo-pan-cancer"  # a cohort with a column cancer_type
sizes: str = "4 8 16 32"  # genes of a panel
n_draws: int = 2  # random panels of each size
max_epochs: int = 4  # of pretraining
fine_tune: bool = False  # fine-tune the encoder as well: minutes

# %%
import matplotlib.pyplot as plt
import pandas as pd
from myst_nb import glue

import gexcore as gx
from gexcore.baselines import (
    LinearModel,
    LinearSVM,
    OnRepresentation,
    PrincipalComponents,
    RandomForest,
)

gx.plots.use_theme()
data = gx.load_cohort(cohort)
task = gx.Classification("cancer_type")
train, val, test = gx.split(data, task, seed=0)
pd.Series({"train": train.n_obs, "val": val.n_obs, "test": test.n_obs}, name="samples")

# %% [markdown]
# Pretraining sees the expression of the training samples and no label. Test samples are in neither step.

# %%
bert = gx.GexBERT(
    preset="quick", max_epochs=max_epochs, n_components=6, panel=64, n_targets=150
)
bert.fit(train, val)


def logistic(representation, **how):
    return OnRepresentation(LinearModel(task), representation, **how)


models = {
    "logistic regression": lambda seed: LinearModel(task, seed=seed),
    "linear SVM": lambda seed: LinearSVM(task, seed=seed),
    "random forest": lambda seed: RandomForest(task, seed=seed),
    "PCA": lambda seed: logistic(PrincipalComponents(seed=seed)),
    "GexBERT, frozen": lambda seed: logistic(bert, pretrained=True),
}
if fine_tune:
    models["GexBERT, fine-tuned"] = lambda seed: gx.FineTuned(
        task, encoder=bert, max_epochs=10, seed=seed
    )

# %% tags=["nbval-ignore-output"]
wanted = [int(size) for size in sizes.split()]
panels = gx.panels.random_panels(train.var_names, wanted, n_draws=n_draws)
scores = gx.panels.compare_panels(models, train, test, task, panels, val=val)
figure, ax = plt.subplots(figsize=(6.4, 3.8))
gx.plots.plot_panel_curves(scores, ax=ax)
plt.show()

# %% tags=["nbval-ignore-output"]
accuracy = scores[scores["metric"] == "accuracy"]
accuracy.pivot_table(index="model", columns="size", values="value", sort=False).round(3)

# %% [markdown]
# Two draws leave much to luck. Recorded once, ten draws of each size, with autoencoders trained on the panel and GexBERT
# pretrained for longer:

# %%
many = pd.read_csv("recorded/panels_demo.csv")
figure, ax = plt.subplots(figsize=(6.8, 4.2))
gx.plots.plot_panel_curves(many[many["model"] != "majority"], ax=ax)
plt.show()

# %%
on_demo = gx.panels.against_best_rival(many, "GexBERT, frozen")
on_demo[on_demo["best"]].drop(columns="best").round(3)

# %% [markdown]
# The frozen embedding against the rival of best mean at each size, paired draw by draw, with a 95 percent interval over
# draws.
#
# ## Real tumours
#
# Recorded once on 973 tumours of three TCGA cohorts (bladder, stomach, colon and rectum) on one absolute scale,
# log2(TPM + 0.001): ten draws of each size on one division of the samples; GexBERT fine-tuned on panels of up to 128
# genes. `tests/benchmarks/test_small_panels.py` makes this table and the one above.

# %%
recorded = pd.read_csv("recorded/panels_tcga.csv")
random = recorded[recorded["choice"] == "random"]
figure, ax = plt.subplots(figsize=(6.8, 4.2))
shown = random[(random["model"] != "majority") & (random["size"] <= 256)]
gx.plots.plot_panel_curves(shown, ax=ax)
plt.show()

# %%
table = random[random["metric"] == "accuracy"].pivot_table(
    index="model", columns="size", values="value", sort=False
)
table.round(3)

# %% [markdown]
# The frozen embedding against each rival, paired draw by draw. An interval says what another choice of genes would
# change; all draws share the test samples, so another cohort may change more.

# %%
versus = gx.panels.against_best_rival(
    random[random["model"] != "GexBERT, fine-tuned"], "GexBERT, frozen"
)
shown = versus[(versus["size"] <= 128) & (versus["rival"] != "majority")]
shown.drop(columns="draws").round(3)

# %% [markdown]
# Genes chosen for their variance in the training samples, one panel per size:

# %%
chosen = recorded[
    (recorded["choice"] == "variance") & (recorded["metric"] == "accuracy")
]
chosen.pivot_table(index="model", columns="size", values="value", sort=False).round(3)

# %% [markdown]
# ## A trap
#
# The pan-cancer file that everybody can download has ten cohorts, each z-scored **by itself**. A model that tells
# them apart has then learned how each was normalised: its mean, its scale, the value its zeros were given. Random
# panels of 64 genes, 1500 training samples:

# %%
trap = pd.read_csv("recorded/panels_tcga_fingerprints.csv")
trap[trap["metric"] == "accuracy"][["model", "size", "value"]].round(3)

# %% [markdown]
# A forest reads the cohort off almost without error where a linear model, for which the means are gone, sees little:
# no biology is that clear to the one and hidden from the other. Such data must not be used for this question, and a
# published accuracy near 1 deserves a look at how its cohorts were scaled.
#
# What this chapter claims is checked whenever it runs at its default settings:

# %%
by_default = (cohort, sizes, n_draws, max_epochs) == (
    "demo-pan-cancer",
    "4 8 16 32",
    2,
    4,
)
best_rival = versus[versus["best"]].set_index("size")
few = best_rival.loc[[4, 8, 16, 32, 64]]
assert few["difference"].between(-0.01, 0.02).all()
assert (best_rival.loc[[128, 256], "difference"] < 0).all()
own = shown[shown["rival"] == "logistic regression"].set_index("size")
assert (own.loc[[4, 8, 16, 32], "low"] > 0).all()
demo_best = on_demo[on_demo["best"]].set_index("size")
forest, linear = (
    trap[(trap["model"] == name) & (trap["metric"] == "accuracy")]["value"].item()
    for name in ("random forest", "logistic regression")
)
assert forest > linear + 0.3
if by_default:
    mean = accuracy.groupby(["model", "size"])["value"].mean()
    rival = mean.drop("GexBERT, frozen", level="model").groupby("size").max()
    assert (mean["GexBERT, frozen"] - rival).loc[[8, 16]].mean() > -0.02

# %% tags=["remove-cell", "nbval-ignore-output"]
for name, number in {
    "least": few["difference"].min(),
    "most": few["difference"].max(),
    "own_least": own.loc[[4, 8, 16, 32], "difference"].min(),
    "own_most": own.loc[[4, 8, 16, 32], "difference"].max(),
    "many": best_rival.loc[[128, 256, 512], "difference"].min(),
    "demo_least": demo_best["difference"].min(),
    "demo_most": demo_best["difference"].max(),
    "forest": forest,
    "linear": linear,
}.items():
    glue(name, float(number), display=False)

# %% [markdown]
# ## What was found
#
# - On TCGA the frozen embedding beats logistic regression on the same genes where these are few: by
#   {glue:text}`own_least:.3f` to {glue:text}`own_most:.3f` in accuracy with 4 to 32 genes, with intervals beyond zero.
#   What GexBERT learned from the other genes of the training samples does carry to panels.
# - The best of all rivals is another one at every size, and against it GexBERT is level: between
#   {glue:text}`least:+.3f` and {glue:text}`most:+.3f` with 4 to 64 genes, intervals that hold zero. An autoencoder of
#   the panel alone, or a forest, is then as good. That it leads them all is **not decided here**.
# - With 128 genes or more every linear model is nearly perfect, and the embedding costs a little
#   ({glue:text}`many:+.3f` at worst).
# - Fine-tuning gains nothing that could be told from the frozen embedding.
# - On the simulated cohort, against the best rival of each size: {glue:text}`demo_least:+.3f` to
#   {glue:text}`demo_most:+.3f`.
# - The trap: on tables that were z-scored cohort by cohort a forest finds the cohort with an accuracy of
#   {glue:text}`forest:.3f`, a logistic regression with one of {glue:text}`linear:.3f`.
# - **What to doubt.** One division of 973 tumours: intervals are over draws of genes, not over patients. Three organs
#   are easier to tell apart than the thirty-three of the paper. The rival of best mean was picked by the scores it is
#   compared on, which flatters it.
