# %% [markdown]
# # Contrast two groups of patients
#
# **Question.** Within one subtype some patients do well and some do not. Do gene networks read from attention tell
# what sets them apart?
#
# **The paper reports** {cite}`koo2025` that they do (Figure 5). Patients with Luminal A breast cancer fall into two
# clusters in the latent space of the multitask model, and the clusters differ in survival. Hub and attractor genes of
# the attention networks of the better cluster are enriched in inflammatory response, those of the worse one in
# coagulation and epithelial-mesenchymal transition; box plots of expression fit that picture.
#
# **Method.** The paper's, step by step, one panel after the other and then all in one figure. Its code for this part
# was never published. What the text leaves open is named: how far above the mean the degree of a hub lies, and that
# an edge may come from any layer. Half of the patients are test patients here, since a subtype needs enough of them.
# Then two questions the paper does not ask: what would clusters dealt at random give, and what does plain expression
# say?

# %% tags=["parameters"]
cohort: str = "demo"  # a known cohort, or what the files below are called
subtype_task: str = "subtype"  # the classification that names the subtype
subtype: str = "hormonal"
seed: int = 0  # of the division and the model
threshold: float = 3.0  # weight of an edge, in even shares; the paper's is 10
n_sd: float = 2.0  # a hub's degree exceeds the mean by so many standard deviations
max_epochs: int = 0  # of TxT; 0 leaves it to the preset
n_genes: int = 0  # those that vary most in training; 0: all
n_shuffles: int = 200  # clusters dealt at random
expression: str = ""  # a cohort of your own: samples x genes
clinical: str = ""  # samples x clinical columns
task_file: str = ""  # what is predicted, as `gexcore benchmark --help` describes it
gene_sets: str = ""  # pathways, .gmt
unit: str = "months"  # of survival
record: str = ""  # a folder that keeps the tables and the figure of this run

# %%
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue
from sklearn.metrics import roc_auc_score

import gexcore as gx

gx.plots.use_theme()
warnings.simplefilter("ignore", gx.CohortWarning)  # genes that are in no gene set
data, tasks, sets = gx.read_study(
    cohort,
    expression=expression,
    clinical=clinical,
    tasks=task_file,
    gene_sets=gene_sets,
)
train, val, test = gx.split(data, tasks, seed=seed, fractions=(0.4, 0.1, 0.5))
if n_genes:
    kept = gx.select_genes(train, n=n_genes)
    train, val, test = (part[:, kept].copy() for part in (train, val, test))
survival = tasks[0]
own = test[test.obs[subtype_task] == subtype].copy()
print(f"{test.n_obs} test patients, {own.n_obs} of them {subtype}; {test.n_vars} genes")

# %% [markdown]
# The model: the preset `quick` with four attention heads in place of one.

# %% tags=["nbval-ignore-output"]
settings = {"preset": "quick", "n_heads": 4, "d_model": 32, "d_ff": 64}
settings |= {"max_epochs": max_epochs} if max_epochs else {}
model = gx.TxT(tasks, seed=seed, **settings).fit(train, val)
gx.comparison.headlines(
    gx.evaluate(model.predict(test), test, train=train).assign(model="TxT", seed=seed)
)[["task", "metric", "value"]].round(3).set_index("task")

# %% [markdown]
# ## A. Two clusters and their survival
#
# Two clusters by k-means in what the heads read of a patient (`model.embed`). Cluster 1 is the one with the lower
# predicted risk. No label of a test patient takes part in this, so that the log-rank test is an honest one.

# %% tags=["nbval-ignore-output"]
risk = model.predict(own)[survival.name].risk
clusters = gx.interpret.cluster_patients(model.embed(own), order_by=risk, seed=seed)
names = ["1", "2"]
outcome = survival.read(own.obs)


def draw_survival(ax):
    gx.plots.plot_kaplan_meier(
        outcome["time"], outcome["event"], "Cluster " + clusters, unit=unit, ax=ax
    )


draw_survival(plt.gca())
plt.show()

# %% [markdown]
# ## The networks
#
# For every patient: an edge leads from gene A to gene B if B attends to A with more than the threshold in any head.
# The paper's threshold is ten times an even share; in a model as small as this one attention is spread more evenly,
# and ten times leaves hardly an edge. How many edges a patient's network has at either:

# %% tags=["nbval-ignore-output"]
even = 1 / test.n_vars
networks = gx.interpret.attention_networks(
    model, own, threshold=threshold * even, groups=clusters
)
at_ten = gx.interpret.attention_networks(model, own)
hubs, attractors = networks.hubs(n_sd), networks.attractors(n_sd)
pd.DataFrame(
    {
        "edges of a patient": {
            f"{threshold:g} times an even share": networks.out_degree.sum(
                axis=1
            ).mean(),
            "10 times (the paper's)": at_ten.out_degree.sum(axis=1).mean(),
        },
        "hubs": {
            f"{threshold:g} times an even share": hubs.sum(axis=1).mean(),
            "10 times (the paper's)": at_ten.hubs(n_sd).sum(axis=1).mean(),
        },
        "attractors": {
            f"{threshold:g} times an even share": attractors.sum(axis=1).mean(),
            "10 times (the paper's)": at_ten.attractors(n_sd).sum(axis=1).mean(),
        },
    }
).round(1)

# %% [markdown]
# The neighbourhood of the gene with the strongest edges, in each cluster: edges that half of its patients have.
# Blue edges lead to genes that attend to the one in the middle, orange ones to it from genes it attends to.

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for ax, name in zip(axes, names, strict=True):
    gx.plots.plot_network(networks.graph(name), ax=ax)
    ax.set_title(f"Cluster {name} ({networks.sizes[name]} patients)")
plt.show()

# %% [markdown]
# For Cytoscape, Gephi or igraph: `gx.interpret.write_network(networks.graph("2"), "cluster_2.graphml")`.
#
# ## B, C. Hubs and attractors
#
# Which genes are hubs, and which attractors, of more patients of one cluster than of the other? Fisher's exact test,
# false discovery rate over genes; beyond the lines a share is more than twice the other's and q below 0.05.

# %% tags=["nbval-ignore-output"]
compared = {
    "hubs": gx.interpret.compare_frequencies(hubs, clusters),
    "attractors": gx.interpret.compare_frequencies(attractors, clusters),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
for ax, (what, table) in zip(axes, compared.items(), strict=True):
    gx.plots.plot_volcano(table, ax=ax)
    ax.set_title(what.capitalize(), pad=20)
plt.show()

# %% tags=["nbval-ignore-output"]
core = pd.concat(compared, names=["as"]).reset_index("as").query("core != ''")
core[["as", "gene", "first", "second", "log2_ratio", "q", "core"]].round(3).set_index(
    "gene"
)

# %% [markdown]
# ## D, E. Enriched gene sets
#
# The core genes of a cluster, hubs and attractors together, against the genes the model read.

# %% tags=["nbval-ignore-output"]
enriched = {
    name: gx.interpret.enriched_sets(
        core.loc[core["core"] == name, "gene"].unique(), sets, background=test.var_names
    )
    for name in names
}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for ax, (name, table) in zip(axes, enriched.items(), strict=True):
    gx.plots.plot_enrichment(table, n_top=6, ax=ax)
    ax.set_title(f"Cluster {name}: {(core['core'] == name).sum()} core genes")
plt.show()

# %% [markdown]
# ## F to H. Expression
#
# Three sets: those with the smallest q above, of either cluster. Of each, the core genes first and then the members
# whose expression differs most. Expression is shown as the model reads it, in standard deviations of the training
# patients. The stars are those of a t-test: `*` below 0.05, `**` 0.01, `***` 0.001.

# %% tags=["nbval-ignore-output"]
x = pd.DataFrame(model.read(own).numpy(), own.obs_names, model.genes_)
differs = gx.interpret.compare_values(x, clusters).set_index("name")
first_sets = (
    pd.concat(enriched.values()).sort_values("p", kind="stable")["set"].unique()[:3]
)


def shown_genes(name, n=5):
    members = [gene for gene in sets[name] if gene in x]
    order = differs.loc[members, "t"].abs().sort_values(ascending=False).index
    return [*order[order.isin(core["gene"])], *order[~order.isin(core["gene"])]][:n]


def draw_boxes(ax, name):
    gx.plots.plot_boxes(x[shown_genes(name)], clusters, ax=ax)
    ax.set_title(name.removeprefix("HALLMARK_").replace("_", " "), pad=20)
    ax.set_ylabel("Expression (standard deviations)")
    ax.tick_params(axis="x", rotation=30)


figure, axes = plt.subplots(1, 3, figsize=(12, 3.4))
for ax, name in zip(axes, first_sets, strict=True):
    draw_boxes(ax, name)
for ax in axes[:-1]:
    ax.get_legend().remove()
plt.show()

# %% [markdown]
# ## All panels
#
# The figure as the paper prints it.

# %% tags=["nbval-ignore-output"]
figure, axes = plt.subplot_mosaic("AABBCC;DDDEEE;FFGGHH", figsize=(13, 10.5))
draw_survival(axes["A"])
for panel, table in zip("BC", compared.values(), strict=True):
    gx.plots.plot_volcano(table, ax=axes[panel])
for panel, table in zip("DE", enriched.values(), strict=True):
    gx.plots.plot_enrichment(table, n_top=6, ax=axes[panel])
titles = dict(zip("BC", ["Hubs", "Attractors"], strict=True))
titles |= {"D": "Core genes of cluster 1", "E": "Core genes of cluster 2"}
titles["A"] = f"{subtype}: survival"
for panel, name in zip("FGH", first_sets, strict=True):
    draw_boxes(axes[panel], name)
    titles[panel] = axes[panel].get_title(loc="left")
for panel, title in titles.items():
    above_legend = 20 if panel in "BCFGH" else None
    axes[panel].set_title(f"{panel}  {title}", pad=above_legend)
if record:
    Path(record).mkdir(parents=True, exist_ok=True)
    figure.savefig(Path(record, f"patient_groups_{cohort.replace('-', '_')}.png"))
plt.show()

# %% [markdown]
# ## What chance gives
#
# The same patients and networks, the clusters dealt at random: how many core genes then? Clusters of the latent space
# are not random, they differ in whatever the model computes, and attention is part of that. So this tells only that
# the counting is sound.

# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(seed)
by_chance = []
for _ in range(n_shuffles):
    dealt = pd.Series(rng.permutation(clusters), clusters.index)
    tables = [
        gx.interpret.compare_frequencies(chosen, dealt) for chosen in (hubs, attractors)
    ]
    by_chance.append([(table["core"] != "").sum() for table in tables])
by_chance = pd.DataFrame(by_chance, columns=list(compared))
counted = pd.DataFrame(
    {
        "core genes": {
            what: (table["core"] != "").sum() for what, table in compared.items()
        },
        "by chance, mean": by_chance.mean(),
        "by chance, 95 % quantile": by_chance.quantile(0.95),
        "runs of chance with any": (by_chance > 0).mean(),
    }
)
counted.round(3)

# %% [markdown]
# ## What expression gives
#
# A t-test of expression between the same two clusters, without any network: the genes with q below 0.05, and the
# sets they are enriched in, beside those of the core genes.

# %% tags=["nbval-ignore-output"]
rows = []
for name, sign in zip(names, (-1, 1), strict=True):
    higher = differs.index[
        (differs["q"] < 0.05) & (np.sign(differs["difference"]) == sign)
    ]
    by_expression = gx.interpret.enriched_sets(higher, sets, background=test.var_names)
    for source, genes, table in (
        ("attention", core.loc[core["core"] == name, "gene"].unique(), enriched[name]),
        ("expression", higher, by_expression),
    ):
        found = table[table["q"] < 0.05]
        listed = [
            f"{row.set} ({row.hits} of {row.size})"
            for row in found.head(4).itertuples()
        ]
        rows.append(
            {
                "cluster": name,
                "read from": source,
                "genes": len(genes),
                "sets": len(found),
                "first sets": ", ".join(listed),
            }
        )
sources = pd.DataFrame(rows)
of_expression = set(differs.index[differs["q"] < 0.05])
shared = len(of_expression & set(core["gene"]))
print(
    f"{shared} of {core['gene'].nunique()} core genes differ in expression too (q < 0.05)"
)
sources.set_index(["cluster", "read from"])

# %% [markdown]
# How well does the size of the difference in expression foretell which genes are core genes? The area under the ROC
# curve: 1 if all core genes come first, 0.5 if expression says nothing about them.

# %% tags=["nbval-ignore-output"]
is_core = differs.index.isin(core["gene"])
area = roc_auc_score(is_core, differs["t"].abs()) if is_core.any() else np.nan
print(f"area: {area:.2f}")

# %%
if record:
    where, named = Path(record), cohort.replace("-", "_")
    how = {"index": False, "float_format": "%.4g", "lineterminator": "\n"}
    core.to_csv(where / f"core_genes_{named}.csv", **how)
    sources.to_csv(where / f"set_sources_{named}.csv", **how)

# %% [markdown]
# ## Recorded: Luminal A breast cancers of TCGA
#
# The same notebook on TCGA-BRCA, a thousand genes, the hallmark sets
# (`notebooks/params/20_contrast_patient_groups.tcga-brca.yaml`). The paper used SCAN-B, whose survival data are larger
# and better followed.
#
# ```{figure} recorded/patient_groups_tcga_brca.png
# ---
# alt: >-
#   Eight panels. Kaplan-Meier curves of two clusters of Luminal A patients; volcano plots of hub and attractor genes;
#   enriched hallmark sets of either cluster, none beyond the line; box plots of expression of members of three sets.
# ---
# Figure 5 of the paper, redrawn from 236 Luminal A test patients of TCGA.
# ```

# %%
recorded = pd.read_csv("recorded/core_genes_tcga_brca.csv")
recorded.groupby(["as", "core"])["gene"].nunique().unstack().rename_axis(
    columns="core genes of cluster"
)

# %%
pd.read_csv("recorded/set_sources_tcga_brca.csv").fillna("").set_index(
    ["cluster", "read from"]
)

# %% [markdown]
# What this chapter claims is checked whenever it runs at its default settings:

# %%
defaults = ("demo", "hormonal", 0, 3.0, 2.0, 0, 0, 200)
given = (cohort, subtype, seed, threshold, n_sd, max_epochs, n_genes, n_shuffles)
if given == defaults:
    assert by_chance.to_numpy().mean() < 0.2
    assert (
        at_ten.out_degree.to_numpy().sum() < networks.out_degree.to_numpy().sum() / 50
    )
    assert len(core) >= 1
    assert area > 0.7
    assert differs.loc["AGING_TF", "q"] < 0.05

# %% tags=["remove-cell", "nbval-ignore-output"]
glue("n_core", int(core["gene"].nunique()), display=False)
glue("area_core", float(area), display=False)
glue("n_differ", int((differs["q"] < 0.05).sum()), display=False)
glue("n_own", own.n_obs, display=False)

# %% [markdown]
# ## What was found, at the default settings
#
# - **The figure can be redrawn.** The two clusters of {glue:text}`n_own` patients differ in survival, and what sets
#   them apart is one module: genes that follow age. {glue:text}`n_core` genes are hubs or attractors more often in one
#   cluster, and they belong to that module, which is enriched beyond the line.
# - **Expression says the same, more plainly.** {glue:text}`n_differ` genes differ in expression between the clusters.
#   How much a gene differs foretells whether it is a core gene with an area of {glue:text}`area_core:.2f`. The network
#   showed nothing that a t-test would not have shown.
# - **On Luminal A cancers of TCGA** survival does not differ between the clusters (log-rank p = 0.13 in the recorded
#   figure). More than a hundred genes are core genes, far beyond chance, and no hallmark set is enriched in them: not
#   the inflammatory response, not coagulation, not the mesenchymal transition. Most of these genes differ in
#   expression too. **The paper's finding is not seen there**; its cohort, SCAN-B, is larger.
# - **Many small p values are no evidence here.** The clusters were made from what the model computes of a patient, and
#   so is attention. They differ by construction, and chance is the wrong thing to hold them against.
# - **What to doubt.** One division, one model, one seed. The threshold and the limit for hubs are choices: with the
#   paper's threshold this model has hardly a network. {doc}`22_question_attention` asks how much of an attention
#   network survives another seed.
