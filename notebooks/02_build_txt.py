# %% [markdown]
# # Build TxT
#
# **Question.** How does a transformer read an expression profile, and what does the published model compute, exactly?
#
# TxT {cite}`koo2025` treats a patient as a sentence and genes as its words. A gene brings a vector that is the same
# for everybody; what the patient adds, the expression of that gene, enters where language models put the position
# of a word. This chapter builds the model one equation at a time, runs each on real numbers, and checks it.
#
# ```{figure} ../_static/txt.svg
# ---
# name: txt
# figclass: wide-figure
# alt: >-
#   Flow chart. Gene vectors, the same for every patient, pass eight encoder blocks of layer norm, attention, layer
#   norm and feed-forward layer. The expression of a patient becomes the expression term, which is added to the
#   attention scores of every block. The patient's own gene vectors come out, are laid side by side, and heads for
#   survival, subtype, grade, age and size read them. A dashed arrow leads from expression to the gene vectors: in
#   the preset quick.
# ---
# The architecture of TxT. The vectors of the genes (orange) are the same for every patient; the expression of the
# patient (blue) only says who attends to whom, in all blocks by the same term. Each head reads all vectors that
# leave the encoder. The dashed arrow is not in the paper.
# ```

# %% tags=["parameters"]
seed: int = 0  # initial weights and the split of the last section
paper_epochs: int = (
    8  # epochs of the published recipe in the last section; the paper allows 1000
)

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from myst_nb import glue

import gexcore as gx
from gexcore import heads
from gexcore.attention import ExpressionAttention, ExpressionEncoder, ExpressionTerm
from gexcore.losses import mtlr_logits, mtlr_survival
from gexcore.scaling import Scaler
from gexcore.txt import TxTModule, TxTSettings

gx.plots.use_theme()
_ = torch.manual_seed(seed)
cohort = gx.load_cohort("demo")
scaler = Scaler.fit(cohort.X, method="minmax")
g = torch.from_numpy(scaler.transform(cohort.X[:5]))  # (B, G): five patients

# %% [markdown]
# Letters for shapes, here and in the code: B patients, G genes, E width of a gene vector, D width of the attention,
# H heads, and d = D / H the width of one head.
#
# ## Expression as a position
#
# Attention lets each gene $i$ (the *query*) gather from every gene $j$ (the *keys*). How much it takes is a softmax
# over $j$ of a score. In TxT the score has two terms that do not mix {cite}`ke2021`: one knows the genes, the other
# knows only their expression $g$:
#
# $$
# \alpha_{ij} = \operatorname*{softmax}_j \; \frac{(e_i W_Q) \cdot (e_j W_K) + (g_i u) \cdot (g_j v)}{\sqrt{2d}}
# $$
#
# The vectors $u$ and $v$ have $D$ numbers each. But $g_i$ and $g_j$ are single numbers and come out of the product,
# so that in head $h$ all of it is one number $c_h$ times the product of two expressions:
#
# $$
# \frac{(g_i u_h) \cdot (g_j v_h)}{\sqrt{2d}} = c_h \, g_i \, g_j, \qquad c_h = \frac{u_h \cdot v_h}{\sqrt{2d}}
# $$
#
# ```{figure} ../_static/positional.svg
# ---
# name: positional
# figclass: wide-figure
# alt: >-
#   Worked example of three genes, ESR1, GATA3 and KRT5, and one head with c = 2. For two patients a matrix of what
#   the genes are, the same for both, and a matrix of products of expression add up to scores, whose softmax by row
#   gives attention weights. ESR1 gives GATA3 a score of 2.6 in the first patient, and of 1.0 in the second, where
#   ESR1 is at its lowest.
# ---
# The expression term of TxT's attention at work, with invented numbers. Rows ask, columns answer, and each row of
# weights sums to 1. What the genes are to each other (orange) is the same in both patients; what expression adds
# (blue) is large where both genes are high, so that two patients with the same genes attend differently.
# ```
#
# The cell computes both sides, for every pair of genes of every patient.

# %%
B, G = g.shape
E, D, H = 64, 64, 4
d = D // H
term = ExpressionTerm(D, H)

u, v = term.query.weight.view(H, d), term.key.weight.view(H, d)
left = torch.einsum("bi,hd,bj,hd->bhij", g, u, g, v) / math.sqrt(2 * d)  # (B, H, G, G)
right = term()[:, None, None] * g[:, None, :, None] * g[:, None, None, :]
assert (left - right).abs().max() < 1e-5
print(f"{2 * D} parameters act as {H} numbers, one per head")

# %% [markdown]
# ## What the scaling decides
#
# The sign of that term depends on how expression is scaled. Scaled to 0..1, as the paper does, products are never
# negative: a head can only prefer high keys or low keys, the same ones for every query, and a gene at its lowest
# takes no notice of expression. Scaled to mean 0, the product tells genes that move together from genes that move
# apart.

# %%
zscaler = Scaler.fit(cohort.X, method="zscore", clip=5)
some = cohort.var_names[
    np.argsort(
        gx.load_truth().loc[cohort.var_names, "module"].to_numpy(), kind="stable"
    )
][25::9]
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6))
for ax, (name, scaling) in zip(
    axes, {"0 to 1": scaler, "mean 0": zscaler}.items(), strict=True
):
    x = pd.Series(scaling.transform(cohort.X[:1])[0], index=cohort.var_names)[some]
    products = pd.DataFrame(np.outer(x, x), index=some, columns=some)
    gx.plots.plot_matrix(
        products,
        label="$g_i\\, g_j$ of one patient",
        limit=2 if name == "mean 0" else 1,
        ax=ax,
    )
    ax.set_title(f"expression scaled to {name}")
plt.show()

# %% [markdown]
# ## Folded attention
#
# The product $c_h g_i g_j$ has rank one. Put $c_h \sqrt{2d}\, g_i$ at the end of the query and $g_j$ at the end of
# the key, and the ordinary scaled dot product contains it:
#
# $$
# \frac{[\,q_i,\; c_h\sqrt{2d}\,g_i\,] \cdot [\,k_j,\; g_j\,]}{\sqrt{2d}}
# = \frac{q_i \cdot k_j}{\sqrt{2d}} + c_h g_i g_j
# $$
#
# So the model needs no attention of its own. It can use the fused kernels {cite}`dao2022`, which never store the
# $G \times G$ matrix of weights. The published code stores several per layer.
#
# ```{figure} ../_static/folded.svg
# ---
# name: folded
# figclass: wide-figure
# alt: >-
#   Above, the matrix of queries of three genes with a third column c times the root of 2d times g, multiplied by
#   the matrix of keys with a third row g, gives the scores of the figure before. Below, drawn to scale for 1000
#   genes: three squares of 1000 by 1000 numbers where attention is written out, and three strips of 1000 by 24
#   where it is folded.
# ---
# TxT's expression term as one more column (blue). Above: queries and keys that are one number wider give the scores
# of patient 1 in {numref}`positional` by a product alone. Below: what is stored meanwhile, to scale. A fused kernel
# makes the scores a tile at a time, uses them and forgets them.
# ```

# %%
attention = ExpressionAttention(E, D, H)
x = torch.randn(1, G, E)  # gene vectors, the same for all patients

folded = attention(x, g, term())  # (B, G, E)

q, k, values = (
    layer(x).view(G, H, d).transpose(0, 1)  # (H, G, d)
    for layer in (attention.query, attention.key, attention.value)
)
scores = q @ k.transpose(1, 2) / math.sqrt(2 * d) + left  # (B, H, G, G)
written_out = attention.out((scores.softmax(-1) @ values).transpose(1, 2).flatten(2))

difference = (folded - written_out).abs().max().item()
assert difference < 1e-5
print("folded and written-out attention agree to 1e-5")

# %%
n_genes, n_layers, batch = 1000, 8, 64
stored = 4 * batch * H * n_genes**2 / 2**30
folded = 3 * 4 * batch * H * n_genes * 24 / 2**20  # widths d + 1 = 17, padded to 24
print(
    f"weights of {batch} patients, {H} heads, {n_genes} genes: {stored:.2f} GiB in each of {n_layers} layers"
)
print(f"query, key and value with the extra column: {folded:.0f} MiB")

# %% [markdown]
# Expression reweights attention and does nothing else: with $c_h = 0$ all patients look the same, whatever their
# tumours express.

# %%
encoder = ExpressionEncoder(G, n_layers=2, n_heads=H, d_model=D).eval()
with torch.no_grad():
    told_apart = (encoder(g)[0] - encoder(g)[1]).abs().max()
    encoder.term.query.weight.zero_()
    alike = (encoder(g)[0] - encoder(g)[1]).abs().max()
assert told_apart > 1e-3
assert alike < 1e-5

# %% [markdown]
# ## No order among genes
#
# Words have an order, genes do not. Listing the genes differently lists the output differently and changes nothing
# else.

# %%
encoder = ExpressionEncoder(G, n_layers=2, n_heads=H, d_model=D).eval()
order = torch.randperm(G)
with torch.no_grad():
    before = encoder(g)
    encoder.genes.data = encoder.genes.data[order]
    after = encoder(g[:, order])
assert (after - before[:, order]).abs().max() < 1e-5

# %% [markdown]
# ## From gene vectors to answers
#
# The gene vectors of the last layer are laid side by side (*flatten*) and every task reads them through a small
# network of its own. At the paper's size the readers outweigh the transformer by far:

# %%
settings = TxTSettings()
survival = gx.Survival("os", time="os_time", event="os_event")
five = [
    survival,
    gx.Classification("subtype"),
    gx.Classification("grade"),
    gx.Regression("age"),
    gx.Regression("size"),
]
targets = [
    task.fit(cohort.obs) for task in five
]  # 63, 5, 3, 1 and 1 outputs, as in the paper
with torch.device("meta"):  # shapes without memory
    module = TxTModule(1000, targets, settings.d_model, settings)
count = {"gene vectors": module.encoder.genes.numel()}
count["encoder blocks"] = (
    sum(p.numel() for p in module.encoder.parameters()) - count["gene vectors"]
)
count["task heads"] = sum(p.numel() for p in module.heads.parameters())
parameters = pd.Series(count, name="parameters").to_frame()
parameters["share"] = (parameters["parameters"] / parameters["parameters"].sum()).round(
    4
)
glue("head_share", float(parameters.loc["task heads", "share"]), display=False)
parameters

# %% [markdown]
# ## Survival as a row of scores
#
# A survival head must cope with patients whose event was never seen. N-MTLR {cite}`yu2011,fotso2018` cuts time into
# intervals and predicts in which of them the event falls. The network gives one score $s_m$ per inner edge,
# interval $k$ collects the scores of all edges it precedes, and a softmax makes probabilities:
#
# $$
# f_k = \sum_{m \ge k} s_m, \qquad p_k = \frac{e^{f_k}}{\sum_l e^{f_l}}, \qquad S(t_k) = \sum_{l \ge k} p_l
# $$
#
# An event in interval $k$ contributes $-\log p_k$ to the loss. A patient censored there contributes $-\log S(t_k)$:
# the event lies there or later. Both are computed by log-sum-exp, so the loss stays finite whatever the scores; in
# the published code it overflows as soon as the mean score exceeds 1.4.

# %%
target = survival.fit(cohort.obs, n_intervals=10, grid="quantile")
labels = torch.from_numpy(target.encode(cohort.obs))
base = heads.null_scores(target, labels)  # Kaplan-Meier on the grid
shift = torch.zeros_like(base)
shift[3] = 1.5
curves = {"Kaplan-Meier": base, "worse": base + shift, "better": base - shift}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharex=True)
for name, s in curves.items():
    axes[0].stairs(
        mtlr_logits(s[None]).softmax(1)[0, :-1], target.edges, label=name, linewidth=1.8
    )
    axes[1].plot(target.edges, mtlr_survival(s[None])[0], label=name, linewidth=1.8)
axes[0].set(xlabel="Months", ylabel="Probability of the interval")
axes[1].set(xlabel="Months", ylabel="Survival $S(t)$", ylim=(0, 1.02))
axes[1].legend()
plt.show()

# %% [markdown]
# Heads of this package start at a null prediction, the same for every patient: class frequencies, the mean, the
# Kaplan-Meier curve on the grid. Each loss is divided by the loss of that prediction. So every task starts at 1,
# and a mean over tasks compares like with like. (In the published code early stopping follows the first task only,
# in that task's own units, such as squared years.)
#
# ## Training it: the published recipe and a quick one
#
# Two presets exist. `paper` is the published network with the published settings. `quick` is made for a laptop and
# for the few hundred patients most cohorts have. It differs in what follows; every line is a named setting.

# %%
paper, quick = (
    gx.TxT(survival, preset=preset).settings for preset in ("paper", "quick")
)
rows = {name: (getattr(paper, name), getattr(quick, name)) for name in vars(paper)}
presets = pd.DataFrame(rows, index=["paper", "quick"]).T.astype(str)
presets[presets["paper"] != presets["quick"]]

# %%
tasks = [
    gx.Survival("dmfs", time="dmfs_time", event="dmfs_event"),
    gx.Classification("grade"),
    gx.Classification("er"),
    gx.Regression("age"),
    gx.Regression("size"),
]
train, val, test = gx.split(gx.load_cohort("transbig"), tasks, seed=seed)
models = {
    "paper": gx.TxT(tasks, preset="paper", max_epochs=paper_epochs, seed=seed),
    "quick": gx.TxT(tasks, preset="quick", seed=seed),
}
for model in models.values():
    model.fit(train, val)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    gx.plots.plot_history(model.history_, ax=ax).set_title(f"preset {name}")
axes[0].get_legend().remove()
plt.show()

# %% [markdown]
# On 138 patients an epoch of the published recipe has three steps, each with a learning rate of 0.0001, so within
# the epochs shown it hardly leaves the null prediction. The paper's cohort is twenty times larger and its
# training runs for up to a thousand epochs. `quick` takes larger steps in a model that has less to learn, and stops
# when the validation loss does.
#
# ## What was found
#
# - TxT is an ordinary transformer encoder whose attention has one extra column; what the paper calls a positional
#   embedding is one number per head.
# - At the paper's size {glue:text}`head_share:.3f` of all parameters sit in the task heads.
# - **What to doubt.** The equations follow the published code where the paper leaves room, and the preset `paper`
#   differs from it on purpose: gene vectors start at random unless a table of vectors is given, PCGrad works on the
#   parameters below the heads instead of all, targets and losses are standardised, heads start at the null
#   prediction, and a time falls into the interval that contains it. Its curves cannot be laid over curves of that code.
