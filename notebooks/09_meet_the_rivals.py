# %% [markdown]
# # Meet the rivals
#
# **Question.** What is each method that TxT is compared with, and what does a comparison with it test?
#
# **The paper reports** {cite}`koo2025` eight rivals on the SCAN-B breast cancers (Table 1). T-GEM comes nearest to
# TxT trained on survival alone, with a C-index of 0.696 against 0.701. How the rivals were adapted to survival,
# classes and numbers stands in a supplement that could not be had, so every adaptation below is this book's.
#
# **Method.** All methods have a name and are called alike. The table of who takes what is read off that call, weights
# are counted in the networks themselves, and a last experiment takes the meaning out of the genes to see who notices.
#
# :::{admonition} After this chapter you can
# :class: goals
# - say how each rival reads genes, and what of it is published and what is this book's
# - name the pair of methods whose comparison answers a given question
# - tell by an experiment what a method reads
# :::
#
# ```{figure} ../_static/rivals.svg
# ---
# name: rivals
# figclass: wide-figure
# alt: >-
#   Eight panels in four groups. Attention: TxT, T-GEM and DeepGene. Nothing assumed: MLP. Autoencoders: OmiEmbed and
#   AUTOSurv. Pictures: SurvConvMixer and CNN+FMAP. A strip below lists the methods without a network: SVM, forests,
#   boosting, linear models, Cox models of genes and of clinical columns, two-stage and null.
# ---
# How each rival reads the genes of a patient (blue), and by what it reads out survival (green). In dashed frames
# code or sizes could not be found, and much is assumed.
# ```

# %% tags=["parameters"]
n_splits: int = 2  # divisions of the last section; a real comparison needs ten
max_epochs: int = 8  # of its networks; 0 leaves it to the preset, which allows 40
n_genes: int = 1000  # of the cohort for which weights are counted
seed: int = 0  # who gets whose expression, in the last section

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from myst_nb import glue

import gexcore as gx
from gexcore.baselines.autosurv import MaskedLinear
from gexcore.baselines.tgem import rank_one_attention
from gexcore.estimator import NeuralEstimator
from gexcore.methods import METHODS, Context

gx.plots.use_theme()
cohort, tasks = gx.load_cohort("demo"), gx.load_tasks("demo")
survival, subtype, grade, age, size = tasks
CLINICAL = ("age", "size", "grade", "subtype")
sets = gx.read_gene_sets(gx.data_path("demo/gene_sets.gmt"))

# %% [markdown]
# ## What was made alike
#
# A rival is its way of reading genes. All else is as alike as it can be, so that a difference in scores is, as far as
# possible, a difference in reading:
#
# - **Heads.** Survival is {term}`N-MTLR` ({doc}`02_build_txt`), classes are a {term}`softmax`, a number is standardised,
#   and all {term}`heads <head>` start at the {term}`null prediction`. Only AUTOSurv keeps its Cox model, and
#   with it predicts nothing but survival.
# - **Learning.** Scales, time grids, classes, tiles and maps come from the training patients, and the validation
#   patients say when to stop.
# - **Two sizes.** The {term}`preset` `paper` is the published network as far as it is known. `quick` is a small one of
#   the same kind, held back from overfitting for a few hundred patients; its survival head moves all intervals by one
#   risk.
# - **Several tasks at once.** `txt-multitask`, `omiembed-multitask` and `mlp-multitask` learn all tasks in one network.
#   The others learn one model for each. OmiEmbed is the only rival that was published for several tasks.
#
# What is known of each:
#
# | rival | published | code | assumed here |
# | --- | --- | --- | --- |
# | T-GEM | network and training, for cancer types | public | that inputs are z-scores |
# | OmiEmbed | network and training, survival included | public | |
# | AUTOSurv | network, grids of settings | public | a setting from the middle of each grid |
# | SurvConvMixer | network, for death before a fixed time | public | filters and kernel, searched for there; highest mean first |
# | CNN+FMAP | the parts by name, in the abstract | none found | the map and all sizes |
# | DeepGene | the kinds of layers | none found | all sizes, the mean over tokens |
# | MLP, SVM, random forest | their names | none found | everything |
#
# DeepGene is related work in TxT's paper and not in its table. The other methods of this chapter, from gradient
# boosting to the null model, are controls that this book adds.
#
# ## Who takes what
#
# What a method cannot do it says, before anything is computed:

# %%
few = cohort[:80].copy()
refused = gx.benchmark(
    ["autosurv-clinical", "two-stage", "linear-model"], few, survival, seeds=[0]
)
refused.set_index("model")[["task", "status", "error"]]

# %% [markdown]
# So one call tells of all of them who gives survival curves: those whose integrated Brier score exists.

# %%
RIVALS = {name: method for name, method in METHODS.items() if not method.grid}
context = Context(gene_sets=sets, covariates=CLINICAL, max_epochs=1)
trial = gx.benchmark(RIVALS, few, [survival, age], seeds=[0], context=context)
curve = trial[trial["metric"] == "ibs"].set_index("model")["value"].notna()
assert set(trial["status"]) == {"scored", "not taken"}

# %% [markdown]
# Weights, the numbers that training moves, are counted in networks that are built and not trained, for a simulated cohort
# and its {term}`gene sets <gene set>`: nine modules and three sets drawn by chance. A network serves all tasks of `demo`
# where these share a model, and otherwise the first one that the method takes. Columns of the table: what the method
# predicts (survival, classes, numbers); whether one model serves all tasks; what it must be given beside genes; whether
# it gives survival curves, or only an order of patients; and its weights in either preset.

# %%
simulated = gx.simulate.simulate_cohort(n_samples=60, n_genes=n_genes, seed=0)
wide = gx.read_cohort(simulated.expression, simulated.clinical)


def built(name, cohort, gene_sets, preset="quick"):
    """A method as it is when its training begins."""
    method = METHODS[name]
    taken = [task for task in tasks if task.kind in method.kinds]
    context = Context(gene_sets=gene_sets, covariates=CLINICAL, preset=preset)
    model = method.make(taken if method.joint else taken[:1], 0, context)
    if isinstance(model, NeuralEstimator):
        model.train_module = lambda *_, **__: None  # all of a fit but this
        model.fit(cohort)
    return model


def weights(model):
    """How many numbers training moves; none where there is no network."""
    if not isinstance(model, NeuralEstimator):
        return np.nan
    masked = [m.mask for m in model.module_.modules() if isinstance(m, MaskedLinear)]
    never = sum(int((mask == 0).sum()) for mask in masked)
    return sum(p.numel() for p in model.module_.parameters()) - never


# %% tags=["hide-input"]
counts = pd.DataFrame(
    {
        f"weights, {preset}": {
            name: weights(built(name, wide, simulated.gene_sets, preset))
            for name in RIVALS
        }
        for preset in ("quick", "paper")
    }
)
WORDS = {"survival": "survival", "classification": "classes", "regression": "numbers"}
table = pd.DataFrame(
    {
        name: {
            "takes": ", ".join(WORDS[kind] for kind in method.kinds),
            "one for all tasks": "yes" if method.joint else "no",
            "needs beside genes": ", ".join(method.needs).replace("_", " "),
            "survival curve": "yes" if curve.get(name, False) else "no",
        }
        for name, method in RIVALS.items()
    }
).T
table["takes"] = table["takes"].replace("survival, classes, numbers", "all")
table.join(counts.map(lambda n: f"{n:,.0f}" if n > 0 else ""))

# %% [markdown]
# Some methods have a second name that ends in `-tuned`: they choose a few settings on the validation patients.
#
# ## Attention
#
# *Is attention between genes needed, and between what?*
#
# **TxT** has {doc}`02_build_txt` to itself. A gene is a vector, the same for all patients, and expression tilts the
# attention. The vectors can come from a network of proteins ({doc}`04_learn_gene_vectors`), which is the only way in for
# knowledge of biology.
#
# **T-GEM** {cite}`zhang2022` has no gene vectors: a {term}`token` is the expression value $x_i$ itself. Each gene has
# three weights of its own in every head, $q_i = w^Q_i x_i$, and likewise $k_i$ and $v_i$. A gene takes up what it hears
# from the others,
#
# $$
# x_i \leftarrow x_i + \mathrm{LayerNorm}\Big(\sum_h a_h \sum_{j \ne i} \operatorname*{softmax}_j (q_i k_j)\, v_j \Big)_i
# $$
#
# with one learned number $a_h$ per head and a softmax that is not scaled by any width; LayerNorm brings the genes of a
# patient to mean 0 and spread 1. The published model predicts
# cancer types; here it has the heads of the package, which read one number per gene. In Table 1 it misses the age of
# a patient by 15.3 years where an SVM misses it by 8.4. Outputs that were never standardised would explain that, but
# the paper does not say. As a score is a product of two numbers, $e^{q_i k_j}$ is a power series whose sums over
# $j$ do not depend on $i$. The package uses it, and no $G \times G$ matrix is ever formed:

# %%
generator = torch.Generator().manual_seed(0)
q, k, v = torch.randn(3, 5, 300, generator=generator)  # five patients, 300 genes
written_out = (q[:, :, None] * k[:, None]).softmax(2)  # (5, 300, 300)
written_out = written_out - torch.diag_embed(written_out.diagonal(dim1=1, dim2=2))
difference = (rank_one_attention(q, k, v) - (written_out @ v[:, :, None])[..., 0]).abs()
assert difference.max() < 1e-5
print("the power series agrees with attention written out to 1e-5")

# %% [markdown]
# **DeepGene** {cite}`khan2023` slides {term}`convolutions <convolution>` along the columns of the table, and a
# transformer reads the windows. Here two of them make one token of 23 neighbouring genes and begin the next 16 columns
# further on. That is cheap, but neighbours in a table mean nothing, and another order of columns is another model
# (exercise 3). The paper does not tell the transformer where in the row a token was. Under the mean over tokens, which is
# assumed, the network could then not tell which genes it reads, so each token's place has a learned vector.

# %%
n_tokens = len(built("deepgene", wide, None).module_.places)
print(f"{wide.n_vars} genes make {n_tokens} tokens")

# %% [markdown]
# ## Autoencoders
#
# *Does it help to learn first how genes vary, without any label? Is knowledge of pathways worth something?*
#
# **OmiEmbed** {cite}`zhang2021` is a variational {term}`autoencoder` {cite}`kingma2014`: it squeezes all genes into a
# short code from which they can be restored, and heads read the mean of the code. First the autoencoder is trained, then
# the heads, then both together by
#
# $$
# \textstyle\sum_t w_t L_t + \lambda \,(\text{restoration} + \beta\, \text{divergence}),
# $$
#
# where $L_t$ is the loss of task $t$, the divergence says how far the codes are from a standard normal distribution, and
# {term}`GradNorm` moves the weights $w_t$ of the tasks. It was made for several kinds of molecules and
# is used with expression alone. It had an MTLR head when it was published. Unlike there, validation patients choose the
# epoch of the last phase, and GradNorm does not forget the first losses at every epoch; `quick` weighs tasks equally.
#
# **AUTOSurv** {cite}`jiang2024` makes the first layer of such an autoencoder of pathways. Its unit $s$ is
# connected to the genes of set $s$ and to no other,
#
# $$
# h = \mathrm{ReLU}\big(\mathrm{BatchNorm}((W \circ M)\, x + b)\big), \qquad M_{sg} = 1 \text{ if gene } g \text{ is in set } s,
# $$
#
# where ReLU sets negative numbers to 0 and BatchNorm standardises a unit over the patients of a {term}`batch`. The last
# layer is such a one, the other way round. Then the autoencoder is frozen, and a small network turns the code, and
# the clinical columns beside it, into the log hazard of a Cox model {cite}`cox1972`. Breslow's estimate of the
# baseline makes it a curve. This is the variant without microRNA. `autosurv` has no clinical columns and
# `autosurv-clinical` has them, so the two must not be confused when expression is the question. The published
# program stops its last fit early on the test patients; here the validation patients decide.

# %%
mask = built("autosurv", wide, simulated.gene_sets).module_.vae.pathways[0].mask
print(f"first layer: {int(mask.sum())} of {mask.numel()} weights are there")

# %% [markdown]
# ## Pictures
#
# *Convolutions are good at images. Can a transcriptome be made one?*
#
# **SurvConvMixer** {cite}`wang2024` makes every pathway a square tile in which its genes stand by their mean in the
# training part, highest first. A convolution as wide as a tile turns each of them into a few numbers, and two blocks of
# a ConvMixer {cite}`trockman2022` mix neighbouring tiles, then the numbers within a tile. The published endpoint is
# death before a fixed time, which leaves out patients lost before it; N-MTLR has a place for them. There each
# cohort, test patients included, is scaled by its own range; here by that of the training part. Which tile lies beside
# which follows from the order of the file and means nothing.
#
# **CNN+FMAP** {cite}`yan2025` puts genes on a map and reads it by an Inception network, which has convolutions of several
# widths side by side, with gated convolutions, $(a * x) \cdot \sigma(b * x)$: one convolution, times shares between 0
# and 1 from another. The abstract says no more. The rest follows AggMap {cite}`shen2022`, whose words it
# uses, with a map that is simpler: multidimensional scaling of $1 - r$, with $r$ the correlation of two genes, puts
# correlated genes close together on a plane, and each gene then moves to a cell of a grid so that they move least. Take
# it as *a* network on a map of genes, not as the paper's.
#
# One patient, as the two networks see her:

# %%
seen = {
    "gene sets as tiles": built("survconvmixer", cohort, sets),
    "correlated genes together": built("fmap-cnn", cohort, sets),
}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6))
for ax, (title, model) in zip(axes, seen.items(), strict=True):
    image = model.inputs(cohort.X[:1])[0, 0]
    gx.plots.plot_matrix(pd.DataFrame(image), label="z-score", limit=2.5, ax=ax)
    ax.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# :::{caption}
# :alt: Two square pictures of red and blue cells. Left: tiles with empty bands between them and an empty lower quarter. Right: a filled square with white corners, red cells mostly beside red ones.
# The expression of one patient of `demo` as a picture; red above the mean of the cohort, blue below, white where no gene
# is. Left, for SurvConvMixer: a tile per gene set, its genes by their mean, highest first; empty tiles fill up the
# square. Right, for CNN+FMAP: every gene once, beside those that it is correlated with, so that colours come in patches.
# :::

# %%
cells = seen["correlated genes together"].cells_
row, column = np.divmod(cells, 1 + int(np.sqrt(cells.max())))
apart = abs(row[:, None] - row) + abs(column[:, None] - column)
correlation = np.corrcoef(cohort.X, rowvar=False)
beside, any_two = correlation[apart == 1].mean(), correlation[apart > 0].mean()
assert beside > any_two + 0.1
print(f"mean correlation: {beside:.2f} of neighbours, {any_two:.2f} of any two genes")

# %% [markdown]
# ## Nothing assumed
#
# **MLP** is a plain network: every unit hears every gene, and no tie between genes is given. What the other networks gain
# over it is what their idea of genes is worth. The paper gives its name only. `quick` has one shared layer, and half of
# the genes are left out in every step.
#
# ## No network
#
# *Is a network needed at all?*
#
# - `svm`. A linear support vector machine. For survival it learns who of two patients goes first {cite}`polsterl2015`.
#   A ranking is no curve, so it has no Brier score, whatever the 0.905 of Table 1 may be.
# - `random-forest`. Trees on resampled patients, averaged {cite}`breiman2001`; for survival the forest splits by
#   differences in survival {cite}`ishwaran2008`.
# - `gradient-boosting`. Small trees, each fitted to what the sum of the earlier ones leaves {cite}`friedman2001`. As
#   many are kept as lose least in five folds of the training part.
# - `linear-model`. Ridge regression for numbers and penalised logistic regression for classes. It takes no survival.
# - `elastic-net-cox` {cite}`simon2011`, `ridge-cox` and `pca-cox` are Cox models for more genes than patients: of few
#   genes, of small weights, of principal components with small weights. The ridge penalty is that of best
#   cross-validated partial likelihood {cite}`verweij1993`.
#
# *Is expression needed beside the clinic?*
#
# - `clinical-cox` reads the clinical columns and no gene. `clinical-expression-cox` reads both, and its penalty is for
#   the genes: the clinical columns are hardly shrunk. Their difference is what expression adds, whatever the C-index
#   of expression by itself may be.
#
# *What is multitask learning?*
#
# - `two-stage` predicts the clinical labels by linear models, then survival by a Cox model of the predicted labels. If
#   it gains as much as a network of several tasks does, what helped was the labels, and no shared network was
#   needed. Stage two learns from labels predicted by models that had not seen the patient {cite}`wolpert1992`.
#
# *Was anything learned?*
#
# - `null-model` gives everyone the Kaplan-Meier curve, the class frequencies or the mean of the training part. Its
#   C-index is one half by definition. Its Brier score is not obvious, which is why it must be in the table.
#
# ## What a comparison tests
#
# | compare | with | and see whether |
# | --- | --- | --- |
# | `txt` | `mlp` | attention between genes is needed |
# | `txt` | `t-gem` | genes need vectors |
# | `autosurv`, `survconvmixer` | themselves, with sets of as many genes drawn by chance | pathways matter |
# | any network | `ridge-cox`, `linear-model` | a network is needed |
# | `clinical-expression-cox` | `clinical-cox` | expression is needed beside the clinic |
# | `txt-multitask` | `txt`, `two-stage` | tasks help each other, inside one network |
# | anything | `null-model` | anything was learned |
#
# Every further method on the same splits is one more chance to be lucky. `gx.scores.compare` gives paired differences
# with intervals that allow for overlapping training parts {cite}`nadeau2003`, and corrects p for the number of methods
# {cite}`holm1979`. To rank methods over many cohorts, tests of mean ranks are usual {cite}`demsar2006`; they count data
# sets, and ten splits of one cohort are one.
#
# ## Who notices?
#
# A last test of what each reads. Deal the expression profiles to other patients at random and leave the clinical
# table as it is: genes now know nothing, the clinic knows what it knew. Whatever a method loses, it had from the
# genes.

# %% tags=["nbval-ignore-output"]
CHOSEN = ["t-gem", "mlp", "ridge-cox", "linear-model"]
CHOSEN += ["clinical-expression-cox", "clinical-cox", "null-model"]
context = Context(covariates=CLINICAL, max_epochs=max_epochs or None)
dealt = cohort.copy()
dealt.X = cohort.X[np.random.default_rng(seed).permutation(cohort.n_obs)]
arms = {"as it is": cohort, "dealt at random": dealt}
scores = [
    gx.benchmark(
        CHOSEN, data, [survival, subtype], seeds=range(n_splits), context=context
    ).assign(expression=arm)
    for arm, data in arms.items()
]
headlines = gx.comparison.headlines(pd.concat(scores)).dropna(subset="value")
by = ["task", "metric", "expression"]
mean = headlines.pivot_table(index="model", columns=by, values="value")
found = mean.rename(columns=gx.plots.METRIC_NAMES).reindex(CHOSEN)
found.rename_axis(index=None).map("{:.2f}".format).replace("nan", "")

# %% [markdown]
# Means over the splits. The linear models have converged and the networks have only begun to learn: this table shows
# who reads what, not who is better. All rivals on one cohort are {doc}`10_compare_all_methods`.
#
# What this chapter claims is checked whenever it runs at its default settings:

# %%
by_default = (n_splits, max_epochs, n_genes, seed) == (2, 8, 1000, 0)
if by_default:
    os, classes = mean["os", "c_index"], mean["subtype", "accuracy"]
    real, random = os["as it is"], os["dealt at random"]
    readers = ["t-gem", "mlp", "ridge-cox"]
    assert (real[readers] > 0.6).all()
    assert random[readers].sub(0.5).abs().max() < 0.1
    assert real["clinical-cox"] == random["clinical-cox"]
    assert random["clinical-expression-cox"] > random[readers].max()
    assert (os.loc["null-model"] == 0.5).all()
    readers = ["t-gem", "mlp", "linear-model"]
    known = classes.loc["null-model", "as it is"]
    assert (classes.loc[readers, "as it is"] > known + 0.2).all()
    assert classes.loc[readers, "dealt at random"].sub(known).abs().max() < 0.12
    assert list(table.index[table["survival curve"] == "no"]) == ["svm", "linear-model"]

# %% tags=["hide-input"]
count = counts["weights, paper"].drop(["txt-multitask"]).dropna()
glue("smallest", f"{count.min():,.0f}", display=False)
glue("largest", f"{count.max():,.0f}", display=False)

# %% [markdown]
# ::::{admonition} Try it
# :class: try
# Deal the profiles in another way, and look at one split:
#
# ```bash
# papermill notebooks/09_meet_the_rivals.ipynb out.ipynb --cwd notebooks \
#     -p n_splits 1 -p seed 1
# ```
#
# Expect the columns *as it is* to move a little, being another average, and the columns *dealt at random* to end near
# chance again: about 0.5 in survival and the accuracy of the null model in subtype. On one split of 80 test patients
# chance may lie several hundredths off. The clinical Cox model has the same score in both columns, to the last digit.
# ::::

# %% [markdown]
# ## Exercises
#
# :::{admonition} Exercise 1
# :class: exercise
# `autosurv-clinical` ranks survival better than `txt` does. Somebody concludes that pathways help. What is wrong, and
# which two comparisons would answer the question?
# :::
#
# :::{dropdown} Solution
# The two differ in more than pathways: one is shown the clinical columns, the other expression alone. Whether it learned
# anything from genes at all is its difference from `clinical-cox`. Whether pathways help is the difference between
# `autosurv` (without clinical columns) and the same network given sets of the same sizes, drawn by chance: only what the
# sets mean has changed then.
# :::
#
# :::{admonition} Exercise 2
# :class: exercise
# Count the weights of T-GEM as published, for $G = 1000$ genes and survival: three layers of five heads; one LayerNorm,
# with a factor and a shift for each gene, shared by the layers; one linear layer from the genes to the 63 scores of
# N-MTLR. How many would it take if every pair of genes had a weight of its own?
# :::
#
# :::{dropdown} Solution
# Attention has $3 \cdot 5 \cdot 3 \cdot 1000 = 45\,000$ weights ($w^Q$, $w^K$ and $w^V$ of a gene in a head) and
# $3 \cdot 5 = 15$ numbers $a_h$. LayerNorm has $2 \cdot 1000$, the last layer $63 \cdot 1000 + 63$. Together
# $110\,078$, as the table says; more than half of them are in the last layer. A weight per pair would be $10^6$ in each
# head: a score that is a product of two factors is what makes attention cheap in weights.
# :::
#
# :::{admonition} Exercise 3
# :class: exercise
# How much does DeepGene owe to the order of the columns? Those of `demo` stand in an order drawn by chance. Score it on
# two splits in this order, in another one drawn by chance, and sorted by name, which puts the genes of a module side by
# side.
# :::
#
# :::{dropdown} Solution
# ```python
# orders = {
#     "as it is": np.arange(cohort.n_vars),
#     "shuffled": np.random.default_rng(1).permutation(cohort.n_vars),
#     "by module": np.argsort(cohort.var_names.to_numpy()),
# }
# by_order = [
#     gx.benchmark(
#         ["deepgene"], cohort[:, order].copy(), [survival, subtype], seeds=[0, 1]
#     ).assign(model=name)
#     for name, order in orders.items()
# ]
# by_order = gx.comparison.headlines(pd.concat(by_order))
# by_order.pivot(index=["task", "seed"], columns="model", values="value").round(2)
# ```
#
# Another order is another model: the C-index of one split moves by as much as a tenth. Genes of a module side by side
# seem to help subtype a little, where a window then holds genes that say the same, and do not help survival. Two splits
# cannot tell that from luck. A result of such a network should always come with a second order beside it.
# :::

# %% [markdown]
# ## What was found
#
# - The rivals differ in what they take for granted of genes: that they attend to each other, that they vary
#   together, that pathways bind them, that they can be seen, or nothing. Heads and learning are the same, but for
#   AUTOSurv's.
# - At a thousand genes the published sizes, with one task each, run from {glue:text}`smallest` to
#   {glue:text}`largest` weights. Patients in most cohorts are a few hundred.
# - Without the meaning of the genes all that read nothing else fall to chance, and the clinical Cox model does not
#   notice. A score that survived this would be a leak.
#
# **The paper reports** the rivals' scores on SCAN-B. They **cannot be tested here**, where networks have only begun to
# learn on a simulated cohort; {doc}`11_read_the_recorded_benchmark` sets full trainings on TCGA beside them.
#
# **What to doubt.** DeepGene, CNN+FMAP and the MLP are this book's reading of a few published words, and no result
# for them can speak against their authors. Every survival head but OmiEmbed's and AUTOSurv's was put on by us. And a
# rival is as good as its settings: `quick` was made so that TxT learns in minutes, and gives all networks much the
# same head and training, which may suit some less than what their authors found.
