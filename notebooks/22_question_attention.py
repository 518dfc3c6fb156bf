# %% [markdown]
# # Question attention
#
# **Question.** If the attention of TxT is to explain a prediction, which tests would an explanation have to pass, and
# does it pass them?
#
# **The paper reports** {cite}`koo2025` attention as an explanation throughout: hub and attractor genes of networks read
# from it are taken for what sets patients apart, and genes that receive more of it for what a model gives priority to.
# Beside them it perturbs genes and looks at the predicted risk (Figure S4). The two were not compared.
#
# **Method.** Five readings of a gene from the same models: the attention it receives, how many edges leave and reach
# it in the attention networks ({doc}`20_contrast_patient_groups`), and two readings of what it does to the predicted
# risk, integrated gradients {cite}`sundararajan2017` and perturbation ({doc}`18_perturb_genes`). Each is held against
# expression and the network of genes, against the others, against what was planted in `demo`, against models of other
# seeds, and against models that had nothing to learn or learned nothing {cite}`adebayo2018`.
# {doc}`13_read_attention` asked the like of GexBERT, whose attention differs between cancer types; here it is one
# number per gene, and the outcome is survival.

# %% tags=["parameters"]
cohort: str = "demo"  # a known cohort, or what the files below are called
seed: int = 0  # of the division; models count from 0
n_seeds: int = 3  # models on the labels as they are
n_permuted: int = 1  # of these seeds also trained on permuted labels
threshold: float = 3.0  # weight of an edge, in even shares; the paper's is 10
max_epochs: int = 12  # of TxT; 0 leaves it to the preset
n_patients: int = 8  # test patients whose genes are perturbed; 0: all
n_steps: int = 8  # of integrated gradients
n_draws: int = 1000  # sets of as many genes at random
n_genes: int = 0  # those that vary most in training; 0: all
expression: str = ""  # a cohort of your own: samples x genes
clinical: str = ""  # samples x clinical columns
task_file: str = ""  # what is predicted, as `gexcore benchmark --help` describes it
gene_sets: str = ""  # pathways, .gmt; not used here
edges: str = ""  # of a gene network (gene, gene, score); demo has its own
record: str = ""  # a folder that keeps the tables of this run

# %%
import warnings
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from myst_nb import glue

import gexcore as gx

gx.plots.use_theme()
warnings.simplefilter("ignore", gx.CohortWarning)  # genes that are not in the network
data, tasks, _ = gx.read_study(
    cohort,
    expression=expression,
    clinical=clinical,
    tasks=task_file,
    gene_sets=gene_sets,
)
train, val, test = gx.split(data, tasks, seed=seed)
if n_genes:
    kept = gx.select_genes(train, n=n_genes)
    train, val, test = (part[:, kept].copy() for part in (train, val, test))
survival, genes = tasks[0], test.var_names
rng = np.random.default_rng(seed)
few = np.sort(rng.permutation(test.n_obs)[: n_patients or None])
print(f"{train.n_obs} patients to train, {test.n_obs} to read, {len(genes)} genes")

# %% [markdown]
# ## The models
#
# The preset `quick` with four heads, on all tasks, started from vectors of the gene network as in the paper. Of each
# seed one on the labels as they are; of some seeds one on *permuted* labels, the clinical rows of training and
# validation patients dealt anew; and one *untrained*, whose steps are too small to move a weight. Models of the same
# seed start from the same weights.

# %% tags=["nbval-ignore-output"]
settings = {"preset": "quick", "n_heads": 4, "d_model": 32, "d_ff": 64}
network = edges or (gx.data_path("demo/network.tsv") if cohort == "demo" else "")
degree = pd.Series(np.nan, genes)
if network:
    graph = gx.network.read_network(network)
    degree = pd.Series(dict(graph.degree)).reindex(genes)
    settings["gene_embedding"], _ = gx.network.node2vec(graph, dimensions=32)
training = {"max_epochs": max_epochs} if max_epochs else {}
untrained = {"max_epochs": 1, "learning_rate": 1e-30}
models = {}
for number in range(n_seeds):
    fits = {"trained": (training, (train, val)), "untrained": (untrained, (train, val))}
    if number < n_permuted:
        dealt = [gx.interpret.permuted(part, seed=number) for part in (train, val)]
        fits["permuted labels"] = (training, dealt)
    for what, (how, parts) in fits.items():
        models[what, number] = gx.TxT(tasks, seed=number, **settings, **how).fit(*parts)
scores = pd.concat(
    gx.evaluate(model.predict(test), test, train=train).assign(model=what, seed=number)
    for (what, number), model in models.items()
)
gx.comparison.mean_scores(gx.comparison.headlines(scores)).T.round(3)

# %% [markdown]
# ## The readings
#
# An edge of an attention network needs three times an even share here: ten times, the paper's threshold, leaves hardly
# an edge in so small a model. *Out-degree* is the mean number of genes that attend to a gene so strongly,
# *in-degree* of those it attends to. Integrated gradients and effects of perturbation count without their sign. An
# untrained TxT predicts the same for everybody, since its heads start at the null prediction; there is no prediction to
# explain, and of these two nothing is read.


# %% tags=["nbval-ignore-output"]
def read_attention(model):
    """Received attention and degrees of every gene, the mean over test patients."""
    read = gx.interpret.read_attention(
        model,
        test,
        {
            "received": gx.interpret.ReceivedAttention(),
            "networks": gx.interpret.NetworkCollector(threshold=threshold / len(genes)),
        },
    )
    return {
        "attention received": read["received"].mean(),
        "out-degree": read["networks"].out_degree.mean(),
        "in-degree": read["networks"].in_degree.mean(),
    }


def read_prediction(model):
    """What every gene does to the predicted risk; a step up of perturbation has a sign."""
    gradients = gx.interpret.integrated_gradients(
        model, test, survival.name, n_steps=n_steps
    )
    perturbed = gx.interpret.perturb_genes(model, test[few].copy(), reference=train)
    effects = gx.interpret.gene_effects([perturbed])
    effects = effects[effects["task"] == survival.name].set_index("gene")["effect"]
    return {
        "integrated gradients": gradients.abs().mean(),
        "perturbation": effects,
    }


names = ["attention received", "out-degree", "in-degree"]
names += ["integrated gradients", "perturbation"]
signed = {}
for which, model in models.items():
    of_model = read_attention(model)
    if "untrained" not in which:
        of_model |= read_prediction(model)
    signed[which] = pd.DataFrame(of_model, genes, names)
readings = {which: table.abs() for which, table in signed.items()}
first = readings["trained", 0]
spread = (first / first.mean()).quantile([0, 0.05, 0.5, 0.95, 1]).T
spread.set_axis(["least", "5 %", "median", "95 %", "most"], axis=1).round(2)

# %% [markdown]
# In shares of the mean over genes. Attention is nearly even: the gene that receives most has little more than the gene
# that receives least. The other readings set genes far apart.
#
# ## Against expression and the network
#
# Does a reading only repeat what needs no model? Rank correlations over genes, the mean over seeds, with mean and
# variance of expression in training patients and with the number of partners in the gene network; and with the size
# of what each gene alone says of survival, the distance from 0.5 of its C-index in training patients.

# %% tags=["nbval-ignore-output"]
x, labels = train.to_df(), survival.read(train.obs)
known = labels.notna().all(axis=1)
outcome = [labels.loc[known, column].to_numpy() for column in ("time", "event")]
alone = pd.Series(
    {
        gene: abs(
            gx.metrics.c_index(*outcome, values.fillna(values.mean()).to_numpy()) - 0.5
        )
        for gene, values in x[known].items()
    }
)
simple = pd.DataFrame(
    {
        "mean expression": x.mean(),
        "variance of expression": x.var(),
        "partners in the network": degree,
        "gene alone": alone,
    }
).dropna(axis=1, how="all")


def over_trained(function):
    """Mean over trained models of a table made of the readings of one."""
    return (
        sum(function(readings["trained", number]) for number in range(n_seeds))
        / n_seeds
    )


against_simple = over_trained(
    lambda own: pd.DataFrame(
        {
            name: own.corrwith(values, method="spearman")
            for name, values in simple.items()
        }
    )
)
against_simple.round(2)

# %% [markdown]
# ## Against each other
#
# Rank correlations over genes between the readings of one model, the mean over seeds.

# %% tags=["nbval-ignore-output"]
between = over_trained(lambda own: own.corr("spearman"))
figure, ax = plt.subplots(figsize=(5.2, 4.2))
gx.plots.plot_matrix(between.round(2) + 0.0, label="Rank correlation", limit=1, ax=ax)
plt.show()

# %% [markdown]
# ## Against other seeds, other labels, and no training
#
# How much of a reading comes back, by rank over genes, from a model that
#
# - learned the same labels from *another seed*: it should, if the reading speaks of the patients;
# - learned *other labels* from the same seed: it should not, if the reading speaks of the outcome;
# - learned *nothing*, from the same seed: it should not, if the reading speaks of anything learned;
# - learned other labels from another seed: what is left is a matter of expression and the network alone.

# %% tags=["nbval-ignore-output"]
numbers, of_permuted = range(n_seeds), range(n_permuted)
couples = {
    "another seed": [
        (("trained", i), ("trained", j)) for i, j in combinations(numbers, 2)
    ],
    "other labels": [(("trained", i), ("permuted labels", i)) for i in of_permuted],
    "no training": [(("trained", i), ("untrained", i)) for i in numbers],
    "another seed, other labels": [
        (("trained", i), ("permuted labels", j))
        for i in numbers
        for j in of_permuted
        if i != j
    ],
}


def agreement_of(readings):
    """Mean rank correlation over genes between the models of each kind of couple."""
    means = {
        what: pd.concat(
            [readings[a].corrwith(readings[b], method="spearman") for a, b in compared],
            axis=1,
        ).mean(axis=1)
        for what, compared in couples.items()
        if compared
    }
    return pd.DataFrame(means).loc[names]


agreement = agreement_of(readings)
agreement.loc["perturbation, with sign"] = agreement_of(signed).loc["perturbation"]
figure, ax = plt.subplots(figsize=(5.2, 4.2))
gx.plots.plot_matrix(agreement.round(2) + 0.0, label="Rank correlation", limit=1, ax=ax)
plt.show()

# %% [markdown]
# *With sign*: whether a gene raises or lowers the risk counts as well. Attention has no sign to compare. Empty is what
# cannot be read.
#
# ## Against what was planted
#
# In `demo` the genes that act on the hazard are known, and so are the regulators that drive the modules and have most
# partners in the gene network. The area under the ROC curve says how well a reading tells them from other genes, for
# every model; grey is the range of 95 percent of random sets of as many genes. Three questions:
#
# - genes of *risk*, protection or regulation with a planted log hazard against background genes, which belong to no
#   module and act on nothing;
# - the same genes against all without a log hazard of their own, most of which go together with one that has;
# - regulators against all others: are *hubs* the genes that regulate?
#
# *Mean of the models* averages a reading over the trained models first. Two rows need no model: what each gene alone
# says of survival, and the number of its partners in the network.

# %% tags=["nbval-ignore-output"]
areas = pd.DataFrame()
if cohort in ("demo",):
    truth = gx.load_truth(cohort).loc[genes]
    acts = truth["role"].isin(["risk", "protective", "regulator"])
    planted = acts & (truth["log_hazard_ratio"] != 0)
    questions = {  # the true genes, and those they are told from
        "hazard against background": (planted, truth["role"] == "background"),
        "hazard against all without": (planted, truth["log_hazard_ratio"] == 0),
        "regulators against all others": (
            truth["role"] == "regulator",
            truth["role"] != "regulator",
        ),
    }
    sources = {
        which: table for which, table in readings.items() if "untrained" not in which
    }
    sources["mean of the models", 0] = over_trained(lambda own: own.rank())
    sources["no model", 0] = simple[["partners in the network", "gene alone"]]
    rows = []
    for (what, number), table in sources.items():
        for name, values in table.items():
            for question, (true, others) in questions.items():
                found = gx.interpret.told_apart(
                    values[true | others], genes[true], n_draws=n_draws, seed=seed
                )
                of = {"readings of": what, "seed": number, "reading": name}
                rows.append(of | {"question": question} | found)
    areas = pd.DataFrame(rows)


def draw_areas(areas):
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), sharey=True)
    parts = areas.groupby("question", sort=False)
    for ax, (question, part) in zip(axes, parts, strict=True):
        gx.plots.plot_areas(part, rows="reading", kinds="readings of", ax=ax)
        true, others = part[["genes", "others"]].iloc[0]
        ax.set_title(f"{question}\n{true} genes against {others}", fontsize=9)
        ax.set_xlabel("Area")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4)
    plt.show()


if len(areas):
    draw_areas(areas)

# %% [markdown]
# The hubs question in numbers: the area of the regulators for every trained model, and the share of random sets that
# are as far from 0.5 or farther.


# %% tags=["nbval-ignore-output"]
def of_regulators(areas):
    own = areas[areas["question"].str.startswith("regulators")]
    own = own[own["readings of"].isin(["trained", "no model"])]
    return own.set_index(["reading", "seed"])[["area", "low", "high", "p"]]


of_regulators(areas).round(3) if len(areas) else None

# %% [markdown]
# ## What passes
#
# What an explanation of the predicted risk should do, and which reading does. Where to draw a line is a matter of taste,
# so the numbers stand beside the words; a rank correlation of 0.5 counts as agreement.
#
# - *not expression*, *not the network*: no agreement, in size, with mean or variance, nor with partners in the network;
# - *moves the risk*: agreement with perturbation, and of perturbation with integrated gradients;
# - *comes back*: agreement with another seed;
# - *hears the labels*, *was learned*: no agreement with permuted labels, nor with an untrained model;
# - *hazard*, *regulators*: the mean area over models lies above the range of chance (hazard: against background).


# %% tags=["nbval-ignore-output"]
def closing(correlations, areas):
    """Numbers and verdicts, a row per reading."""
    with_simple, between, agreement = correlations.values()
    effects = between["perturbation"].copy()
    effects["perturbation"] = between.loc["perturbation", "integrated gradients"]
    expression = with_simple[["mean expression", "variance of expression"]]

    def agrees(rho, _):
        return rho >= 0.5

    def differs(rho, _):
        return ~(rho.abs() >= 0.5)  # where nothing can be read, too

    checks = {
        "not expression": (expression.abs().max(axis=1), differs, None),
        "not the network": (with_simple.get("partners in the network"), differs, None),
        "moves the risk": (effects, agrees, None),
        "comes back": (agreement.get("another seed"), agrees, None),
        "hears the labels": (agreement.get("other labels"), differs, None),
        "was learned": (agreement["no training"], differs, None),
    }
    if len(areas):
        trained = areas[areas["readings of"] == "trained"]
        mean = trained.groupby(["question", "reading"])[["area", "high"]].mean()
        for question in ("hazard against background", "regulators against all others"):
            own = mean.loc[question]
            checks[question.split()[0]] = own["area"], pd.Series.gt, own["high"]
    table = {}
    for heading, (value, passes, limit) in checks.items():
        if value is not None:
            words = passes(value, limit).map({True: "passes", False: "fails"})
            table[heading] = words + value.map(" ({:.2f})".format).replace(" (nan)", "")
    return pd.DataFrame(table).reindex(agreement.index).fillna("").T


correlations = {
    "without a model": against_simple,
    "other readings": between,
    "other models": agreement,
}
closing(correlations, areas)

# %%
if record:
    where, named = Path(record), cohort.replace("-", "_")
    where.mkdir(parents=True, exist_ok=True)
    tidy = [
        table.rename_axis("reading")
        .reset_index()
        .melt("reading", var_name="with", value_name="rho")
        .assign(against=against)
        for against, table in correlations.items()
    ]
    tables = {"readings": pd.concat(tidy), "reading_areas": areas}
    for topic, table in tables.items():
        if len(table):
            table.to_csv(
                where / f"{topic}_{named}.csv",
                index=False,
                float_format="%.4g",
                lineterminator="\n",
            )

# %% [markdown]
# What this chapter claims is checked whenever it runs at its default settings:

# %%
by_attention, by_prediction = names[:3], names[3:]
as_given = (cohort, seed, n_seeds, n_permuted, threshold) == ("demo", 0, 3, 1, 3.0)
if as_given and (max_epochs, n_patients, n_steps, n_genes) == (12, 8, 8, 0):
    assert (agreement.loc[by_attention, ["other labels", "no training"]] > 0.6).all(
        None
    )
    assert (agreement.loc[by_attention, "another seed"].abs() < 0.3).all()
    assert (agreement.loc[by_prediction, "other labels"] < 0.5).all()
    assert (between.loc[by_attention, by_prediction].abs() < 0.3).all(None)
    assert between.loc["integrated gradients", "perturbation"] > 0.6
    mean = (
        areas.groupby(["question", "readings of", "reading"])["area"].mean().unstack()
    )
    hazard = mean.loc[("hazard against background", "trained")]
    assert hazard[by_prediction].min() > hazard[by_attention].max() + 0.1
    regulators = mean.loc["regulators against all others"]
    assert regulators.loc["no model", "partners in the network"] > 0.95
    assert regulators.loc["trained", "out-degree"] < 0.65

# %% tags=["remove-cell", "nbval-ignore-output"]
for word, rho in {
    "risk": between.loc["attention received", "perturbation"],
    "seeds": agreement.loc[by_attention, "another seed"].abs().max(),
    "labels": agreement.loc[by_attention, "other labels"].min(),
    "untrained": agreement.loc[by_attention, "no training"].min(),
    "both": between.loc["integrated gradients", "perturbation"],
    "effect_labels": agreement.loc[by_prediction, "other labels"].max(),
    "effect_seeds": agreement.loc[by_prediction, "another seed"].max(),
    "signed_seeds": agreement.loc["perturbation, with sign", "another seed"],
    "signed_labels": agreement.loc["perturbation, with sign", "other labels"],
    "simple": against_simple.drop(columns="gene alone").abs().max(axis=None),
}.items():
    glue(f"rho_{word}", float(rho), display=False)
if len(areas):
    mean = areas.groupby(["question", "readings of", "reading"])["area"].mean()
    hazard = mean["hazard against background"]
    of_hubs = mean["regulators against all others"]
    range_of_hubs = areas[areas["question"].str.startswith("regulators")]
    for word, area in {
        "attention": hazard["trained"][by_attention].max(),
        "effect": hazard["trained"][by_prediction].max(),
        "mean": hazard["mean of the models"][by_prediction].max(),
        "alone": hazard["no model"]["gene alone"],
        "hubs": of_hubs["trained"]["out-degree"],
        "hubs_low": range_of_hubs["low"].mean(),
        "hubs_high": range_of_hubs["high"].mean(),
        "partners": of_hubs["no model"]["partners in the network"],
    }.items():
        glue(f"area_{word}", float(area), display=False)

# %% [markdown]
# ## Recorded: full training, eight seeds
#
# The same on `demo` with eight seeds, trained as long as the preset trains, with the genes of all test patients
# perturbed (`params/22_question_attention.yaml`).


# %%
def recorded(name):
    """Correlations and areas of a recorded run, as they were made above."""
    table = pd.read_csv(Path("recorded", f"readings_{name}.csv"))
    correlations = {
        against: part.pivot(index="reading", columns="with", values="rho").loc[
            part["reading"].unique()
        ]
        for against, part in table.groupby("against", sort=False)
    }
    of_truth = Path("recorded", f"reading_areas_{name}.csv")
    return correlations, pd.read_csv(of_truth) if of_truth.exists() else pd.DataFrame()


at_length = recorded("demo")
draw_areas(at_length[1])

# %%
closing(*at_length)

# %% [markdown]
# ## Recorded: breast cancers of TCGA
#
# 956 breast cancers {cite}`tcga2012`, gene vectors from STRING {cite}`szklarczyk2023`, the 500 genes that vary most in
# training, three seeds and twelve epochs (`params/22_question_attention.tcga-brca.yaml`). What is true is not known
# there.

# %%
closing(*recorded("tcga_brca"))

# %% tags=["remove-cell", "nbval-ignore-output"]
of_length, of_tcga = (
    at_length[0]["other models"],
    recorded("tcga_brca")[0]["other models"],
)
for name, table in {"full": of_length, "tcga": of_tcga}.items():
    signed_seeds = table.loc["perturbation, with sign", "another seed"]
    glue(f"signed_{name}", float(signed_seeds), display=False)
    rho = table.loc["attention received"]
    for word, column in {
        "seeds": "another seed",
        "labels": "other labels",
        "untrained": "no training",
    }.items():
        glue(f"{word}_{name}", float(rho[column]), display=False)
low = of_length.loc[by_prediction, "another seed"].min()
glue("effect_seeds_full", float(low), display=False)

# %% [markdown]
# ## What was found, at the default settings
#
# - **Attention does not explain the predicted risk.** How much a gene receives says nothing of what it does to the risk
#   (rank correlation with perturbation {glue:text}`rho_risk:.2f`). It is another ranking with each seed (at most
#   {glue:text}`rho_seeds:.2f`, in size), and nearly the same one with other labels (at least
#   {glue:text}`rho_labels:.2f`) and without any training ({glue:text}`rho_untrained:.2f`). What it shows are the
#   weights the network was started with. Degrees in the attention networks are no better. The
#   like was found in models of language before {cite}`jain2019`.
# - Integrated gradients and perturbation agree with each other ({glue:text}`rho_both:.2f`), change with the labels (at
#   most {glue:text}`rho_effect_labels:.2f` is left), and tell the genes of the hazard from background (area
#   {glue:text}`area_effect:.2f`, attention {glue:text}`area_attention:.2f` at best).
# - They are no oracles. In the short training of this chapter their ranking hardly comes back with another seed
#   ({glue:text}`rho_effect_seeds:.2f`; the direction of an effect does, {glue:text}`rho_signed_seeds:.2f`). After full
#   training it does ({glue:text}`effect_seeds_full:.2f`, with sign {glue:text}`signed_full:.2f`), where attention still
#   does not ({glue:text}`seeds_full:.2f`). Their mean over models tells more than a single one (area
#   {glue:text}`area_mean:.2f`), which is why {doc}`18_perturb_genes` takes many. And the C-index of each gene alone
#   does better than either ({glue:text}`area_alone:.2f`).
# - **Hubs are not regulators.** The area of out-degree for the planted regulators is {glue:text}`area_hubs:.2f`, within
#   what random genes give ({glue:text}`area_hubs_low:.2f` to {glue:text}`area_hubs_high:.2f`), though they have most
#   partners in the very network that the gene vectors were made from (there the area is
#   {glue:text}`area_partners:.2f`).
# - No reading repeats mean expression, its variance, or the number of partners (at most {glue:text}`rho_simple:.2f`):
#   genes enter with mean 0 and variance 1. That is a test that dice pass as well.
# - TCGA tells the same of received attention: {glue:text}`labels_tcga:.2f` with other labels,
#   {glue:text}`untrained_tcga:.2f` without training, {glue:text}`seeds_tcga:.2f` with another seed; perturbation with its
#   sign comes back ({glue:text}`signed_tcga:.2f`). There out- and in-degree move farther from their start, and in-degree
#   passes the tests of labels and training. It does not come back with another seed, so that it has moved to nowhere in
#   particular.
# - **What to doubt.** This model reads expression from the tokens as well ({doc}`08_ablate_parts`), and can leave its
#   attention as it was. A deep network without that path might have to use it; here such a one learns nothing.
#   Attention was averaged over heads and patients, which may hide a head that knows more. Three
#   seeds are few for a correlation between them, and the line at 0.5 is drawn by hand.
