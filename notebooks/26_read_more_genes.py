# %% [markdown]
# # Read more than 1000 genes
#
# **Question.** What does it cost TxT to read many more genes than 1000, and does it predict better then?
#
# **The paper reports** nothing beyond 1000 genes, because attention compares every gene with every other. Its discussion
# asks for attention that is local or hierarchical, and for guidance by pathways {cite}`koo2025`.
#
# **Method.** Three ways to spend less are settings of `gx.TxT`. This chapter shows what each of them
# computes, then what it costs from 250 to 20,000 genes, and what came of it on two cohorts, beside models of 1000 genes
# and linear models. Costs and scores were made by `tests/benchmarks/test_beyond.py` and are read here.
#
# | | setting | what it changes |
# | --- | --- | --- |
# | compute twice | `checkpointing=True` | nothing but cost: memory of one block, one more forward pass {cite}`chen2016` |
# | random features | `attention="linear"` | approximates the weights; cost grows with the genes {cite}`choromanski2021` |
# | pathways | `attention="pathways"` | genes to gene sets to patients: another model, and a smaller one |

# %% tags=["parameters"]
cohort: str = "demo"
expression: str = ""  # your own cohort: a file of expression, ...
clinical: str = ""  # ... a clinical table of the same samples, ...
task_file: str = ""  # ... and tasks as JSON
gene_sets: str = ""  # pathways, .gmt
n_genes: int = 0  # genes read, by variance in the training part; 0: all
n_splits: int = 1  # divisions of the cohort
features: str = "16 64 256 1024"  # numbers of random features
preset: str = "quick"  # of TxT: "quick" or "paper"
max_epochs: int = 0  # of TxT; 0 leaves it to the preset
recorded: str = "recorded"  # folder of the tables that tests/benchmarks wrote

# %%
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import gexcore as gx
from gexcore.attention import ExpressionAttention, ExpressionTerm, LinearAttention

gx.plots.use_theme()
warnings.simplefilter("ignore", gx.CohortWarning)
data, tasks, sets = gx.read_study(
    cohort,
    expression=expression,
    clinical=clinical,
    tasks=task_file,
    gene_sets=gene_sets,
)
splits = [gx.split(data, tasks, seed=seed) for seed in range(n_splits)]
if n_genes:
    kept = gx.select_genes(splits[0][0], n=n_genes)
    splits = [[part[:, kept].copy() for part in parts] for parts in splits]
print(f"{data.n_obs} patients, {splits[0][0].n_vars} genes, {len(sets)} gene sets")

# %% [markdown]
# ## Random features
#
# The expression term is one more column of query and key ({doc}`25_measure_speed`), so all of a score is an inner product,
# $q'_i \cdot k'_j$. For $w$ drawn from a normal distribution,
#
# $$ e^{q' \cdot k'} = \mathrm{E}\;\phi_w(q')\,\phi_w(k'), $$
#
# $$ \phi_w(x) = r^{n/2} \exp\Bigl(\tfrac{1 - r^2}{4}\,|w|^2 + r\, w \cdot x - \tfrac12 |x|^2\Bigr) $$
#
# in $n$ dimensions, whatever $r$ is. FAVOR+ has $r = 1$; what is used here is the best $r$ for the lengths of the queries
# and keys at hand {cite}`likhosherstov2022`. With $R$ draws, attention becomes
#
# $$ \text{out}_i \approx \frac{\sum_w \phi_w(q'_i) \sum_j \phi_w(k'_j)\, v_j}{\sum_w \phi_w(q'_i) \sum_j \phi_w(k'_j)}, $$
#
# and the sums over $j$ are the same for every $i$. The parameters are those of full attention, and so one can ask how far
# the approximation is from it: as a share of what attention gives, for 500 genes in four heads of 16, with weights as TxT
# starts and with scores two and four times as large, as training may make them.


# %%
def error(n_features, factor):
    """Distance from full attention, mean of three draws; 0: of a plain mean."""
    torch.manual_seed(0)
    x, g = torch.randn(2, 500, 64), torch.randn(2, 500)
    full, term = ExpressionAttention(64, 64, n_heads=4), ExpressionTerm(64, 4)
    for parameter in (*full.parameters(), *term.parameters()):
        torch.nn.init.xavier_uniform_(parameter)
    with torch.no_grad():
        full.query.weight *= factor
        term.query.weight *= factor
        whole, found = full(x, g, term()), []
        if not n_features:
            found = [full.out(full.value(x).mean(1, keepdim=True))]
        for _ in range(3 if n_features else 0):
            approximate = LinearAttention(64, 64, 4, n_features)
            approximate.load_state_dict(full.state_dict(), strict=False)
            found.append(approximate(x, g, term()))
    return float(np.mean([(part - whole).norm() / whole.norm() for part in found]))


numbers = [int(number) for number in features.split()]
FACTORS = {"as at the start": 1, "two times": 2, "four times": 4}
errors = pd.DataFrame(
    [
        {"features": n, "scores": name, "error": error(n, factor)}
        for name, factor in FACTORS.items()
        for n in numbers
    ]
)
figure, ax = plt.subplots(figsize=(4.6, 3.2))
words = {"features": "Random features", "error": "Error, share of the output"}
gx.plots.plot_costs(errors, x="features", y="error", by="scores", labels=words, ax=ax)
ax.legend(title="Scores")
plt.show()
for name, factor in FACTORS.items():
    print(f"{name}: {error(0, factor):.2f} with a plain mean in place of attention")
begins = errors[errors["scores"] == "as at the start"]["error"]
assert begins.is_monotonic_decreasing  # more draws, less error

# %% [markdown]
# ## Genes, pathways, patients
#
# A token $p$ with a learned vector $t_p$ reads the genes of its set $S(p)$ alone, by attention with one query
# {cite}`lee2019`,
#
# $$ a_{pj} = \operatorname*{softmax}_{j \in S(p)} \frac{(t_p W_Q) \cdot (x_j W_K)}{\sqrt{2d}} + c_h\, g_j, $$
#
# $$ z_p = t_p + \Bigl[\sum_j a_{pj}\, x_j W_V\Bigr]_h W_O, \qquad g_p = \frac1H \sum_h \sum_j a_{pj}\, g_j, $$
#
# the score being TxT's for a query whose own expression is 1. The ordinary layers then attend among the $z_p$, with $g_p$
# for their expression. The cost is that of the memberships and of the tokens squared. Genes in no set are not dropped:
# they are dealt into further sets of the median size by a checksum of their names, so that no label has a say.

# %%
first_genes = list(splits[0][0].var_names)
tokens = gx.genes.divide_among_sets(first_genes, sets)
within = {gene for genes in sets.values() for gene in genes}
dealt = [name for name in tokens if name not in sets]
print(
    f"{len(tokens)} tokens, {len(dealt)} of them dealt; "
    f"{len(within.intersection(first_genes))} of {len(first_genes)} genes are in a set"
)

# %% [markdown]
# What the three forms predict, in so small a cohort and by default in one division:

# %% tags=["nbval-ignore-output"]
settings = {"preset": preset} | ({"max_epochs": max_epochs} if max_epochs else {})
FORMS = {
    "full": {},
    "linear": {"attention": "linear"},
    "pathways": {"attention": "pathways", "gene_sets": sets},
}
models, scored = {}, []
for seed, (train, val, test) in enumerate(splits):
    for name, form in FORMS.items():
        models[name] = gx.TxT(tasks, seed=seed, **settings | form).fit(train, val)
        found = gx.evaluate(models[name].predict(test), test, train=train)
        scored.append(found.assign(model=name, seed=seed))
scored = gx.comparison.headlines(pd.concat(scored))
gx.comparison.mean_scores(scored).T.round(3)

# %% [markdown]
# Reading goes in two steps: which genes a set listens to, and which sets attend to each other. Of each token the gene
# with the largest share, as a multiple of an even share, and its spread over patients; and the sets that receive most.

# %% tags=["nbval-ignore-output"]
model, test = models["pathways"], splits[-1][2]
of_genes = gx.interpret.attention_within_sets(model, test)
of_genes["times even"] = of_genes["weight"] / of_genes["even"]
largest = of_genes.loc[of_genes.groupby("token", sort=False)["weight"].idxmax()]
received = gx.interpret.received_attention(model, test).mean()
shown = largest.set_index("token")[["gene", "times even", "sd"]]
shown["received, times even"] = received * len(received)
shown.sort_values("received, times even", ascending=False).head(10).round(3)

# %% [markdown]
# ## What it costs
#
# One step forward and back of four layers, four heads, width 64, on four samples, one core. Fused kernels compute *full*
# attention without a matrix of genes by genes, so that even its memory grows with the genes alone. Random features buy
# time, from some thousand genes on, and cost memory. Pathways, 50 sets of one gene in a hundred, cost little of either.

# %%
costs = pd.read_csv(Path(recorded, "beyond_cost.csv"))
again = costs["checkpointing"]
costs["form"] = costs["attention"] + again.map({True: ", checkpointing", False: ""})
words = {
    "genes": "Genes",
    "seconds": "Seconds of a step",
    "peak_mb": "Memory of a step (MB)",
}
figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.4), layout="constrained")
for ax, what in zip(axes, ("seconds", "peak_mb"), strict=True):
    gx.plots.plot_costs(
        costs[~again], x="genes", y=what, by="form", labels=words, ax=ax
    )
    ax.tick_params(axis="x", rotation=45)
plt.show()

# %% [markdown]
# Seconds:

# %%
table = costs.pivot_table(
    index="form", columns="genes", values=["seconds", "peak_mb"], sort=False
)
table["seconds"].map("{:.2f}".format, na_action="ignore").fillna("")

# %% [markdown]
# Megabytes:

# %%
table["peak_mb"].map("{:.0f}".format, na_action="ignore").fillna("")

# %% [markdown]
# ## What it brings
#
# Two cohorts, quick preset, no setting chosen by a score. Breast cancers of TCGA, whose table has no more than 1558 genes,
# in five divisions; and a simulated cohort of 400 patients and 5000 genes in three, where survival hangs on the activity
# of nine modules that hundreds of genes show, and on single genes and pairs. Genes are those of most variance in the
# training part, or all. *Pathways* pools as the preset does, to one number for each token; *pathways-whole* leaves the
# heads the whole vector of a token (`pooling="flatten"`). Means, and the least seconds of a fit on one core:


# %%
def read(name):
    """Scores of the divisions; by model: genes, means, seconds of a fit."""
    scores = pd.read_csv(Path(recorded, f"beyond_{name}.csv"))
    means = gx.comparison.mean_scores(scores).T
    means.columns = [
        f"{task}, {gx.plots.METRIC_NAMES[metric]}" for task, metric in means.columns
    ]
    by_model = scores.groupby("model", sort=False)
    means.insert(0, "genes", by_model["genes"].first())
    return scores, means.assign(seconds=by_model["seconds"].min().round(0))


breast, means = read("tcga_brca")
means.round(3)

# %%
simulated, means = read("simulated_5000")
means.round(3)

# %% [markdown]
# Each against TxT with full attention on 1000 genes, in the first task, with intervals that allow for the patients that
# divisions share:

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.4, 4.0), layout="constrained")
COHORTS = {"breast cancers of TCGA": breast, "simulated, 5000 genes": simulated}
for ax, (name, scores) in zip(axes, COHORTS.items(), strict=True):
    survival = scores[scores["task"] == scores["task"].iloc[0]]
    found = gx.comparison.differences(survival, "full-1000")
    gx.plots.plot_differences(found, ax=ax)
    ax.set_title(name)
plt.show()

# %% [markdown]
# And how many of the five tasks of each cohort are decided:

# %%
verdicts = {}
for name, scores in COHORTS.items():
    found = gx.comparison.differences(scores, "full-1000")
    counts = found.groupby("model", sort=False)["verdict"].value_counts()
    verdicts[name] = counts.unstack(fill_value=0)
pd.concat(verdicts, axis=1).fillna(0).astype(int)

# %% [markdown]
# ## What was found
#
# - **Cost is no obstacle any more.** Full attention through the fused kernel reads 20,000 genes in 1.3 GB and two minutes a
#   step, random features in a tenth of the time but more memory, pathways in a third of a second. Checkpointing, for a
#   third to a half more time, saves random features half of their memory and full attention a quarter.
# - **More genes did not help survival.** On neither cohort does any form on all genes differ from full attention on 1000,
#   as far as so few divisions can tell, nor do linear models lead. What profits from all genes is age: linear models, and
#   random features on TCGA, are better there than full attention on 1000.
# - **Pathways cost the least.** With one number for each set they lose some accuracy on PAM50, up to four patients in a
#   hundred; with the whole vector of a token that loss is no longer decided. What a set listens to stays near an even
#   share: after short training this is no ranking of genes.
# - **Random features approximate badly** what trained attention would be, and predict as well all the same. It is a model
#   of its own, without dropout on weights, and not a cheaper copy of the other.
# - **What to doubt.** The table of TCGA was reduced to 1558 genes and z-scored by those who made it, so that *most
#   variable* hardly ranks; 691 of them are in a hallmark set. The 5000 genes are simulated, and their sets are the modules
#   that made them, which favours pathways. The preset is the quick one: one layer, width 16. Of a hundred comparisons some
#   are decided by chance.
