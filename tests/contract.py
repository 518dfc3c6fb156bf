"""Every estimator of the package, made small and quick, and the cohort they are all fitted to.

The tests of the contract (``test_contract.py``) and of leakage (``test_leakage.py``) go through this table. Where a
clause of the contract cannot hold for an estimator, the table says why, and the test asserts that it does not.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

import gexcore as gx
import gexcore.gexbert
import gexcore.methods
from gexcore import baselines
from gexcore.methods import Tuned

OS, SUBTYPE = gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype")
AGE = gx.Regression("age")
TASKS = [OS, SUBTYPE, AGE]
COVARIATES = ["age", "subtype"]
LEAK = "LEAK"
# What is spoilt outside training is the larger half of the cohort: what varies there varies most over the whole.
FRACTIONS = (0.4, 0.3, 0.3)


# -------------------------------------------------------------------------------------------- the cohort


@functools.cache
def cohort():
    """150 samples with ids that programs like to change; 24 simulated genes, and one of meaningless variation."""
    simulated = gx.simulate.simulate_cohort(n_samples=150, n_genes=60, seed=1)
    noise = np.random.default_rng(0).normal(5, 0.2, 150)
    expression = simulated.expression.iloc[:, :24].assign(**{LEAK: noise})
    whole = gx.read_cohort(expression, simulated.clinical)
    odd = ["007", "1e3", "NA", "nan", "True", " a b", "é", "x,y", "1.0", "-", "2020-01-01", "TCGA-A1-A0SB-01"]
    whole.obs_names = [*odd, *(f"{i:03}" for i in range(100, 238))]
    rare = {"stromal": "basal", "amplified": "hormonal"}
    whole.obs["subtype"] = whole.obs["subtype"].replace(rare)
    whole.obs["site"] = np.random.default_rng(1).integers(0, 20, 150)
    return whole


@functools.cache
def parts():
    """The part of every sample by its id: train, val or test."""
    return gx.splits.split_table(cohort(), TASKS, seeds=[0], fractions=FRACTIONS)[0]


def take(whole):
    """Training, validation and test samples of a cohort."""
    return gx.splits.take(whole, parts())


def gene_sets():
    genes = cohort().var_names
    return {f"S{k}": list(genes[k : k + 10]) for k in range(0, len(genes), 5)}


# --------------------------------------------------------------------------------------------- the table


# Orders of the training table that decide what is learned, and why. What is merely chosen may come out the same.
BY_SAMPLES = {"order of samples": "batches, bootstrap samples and hidden cells are drawn by the place of a sample"}
BY_GENES = {"order of genes": "initial weights, hidden cells and the genes of a split are drawn by the place of a gene"}
BY_FOLDS = {"order of samples": "perhaps: samples are dealt to folds by their place, and the folds choose a setting"}
BY_CELLS = {"order of genes": "perhaps: cells are held out by their place, and choose a setting"} | BY_FOLDS
BY_DESCENT = {"order of genes": "perhaps: coordinate descent ends near the optimum, and a choice of near ties tips"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How an estimator is made, what it is asked for, and where it is unlike the others."""

    make: Callable[..., Any]  # make(seed=0, **settings): a fresh one
    last: tuple[Any, str]  # whose and which function runs late in its fit
    tasks: tuple = ()  # what it predicts
    use: str = "predict"  # or "impute", "embed": what every estimator of its kind does
    validation: str = ""  # what validation samples decide, if anything
    covariates: bool = False  # it reads clinical columns of the samples it predicts
    seeded: bool = True  # another seed gives other numbers
    refuses: str = ""  # who refuses to be used before fit, if not the class itself
    fit_by: Mapping[str, str] = field(default_factory=dict)  # orders that decide what is learned, and why

    @property
    def chooses(self):
        """A setting is chosen by what is drawn, and may come out the same."""
        return any(why.startswith("perhaps") for why in self.fit_by.values())


def _predictor(model, tasks=(OS, SUBTYPE, AGE), *, fixed=None, fit_by=BY_FOLDS, last=None, **entry):
    def make(seed=0, **settings):
        return model(list(tasks), seed=seed, **(fixed or {}) | settings)

    return Entry(make=make, last=last or (model, "_fit_task"), tasks=tuple(tasks), fit_by=fit_by, **entry)


def _network(model, tasks=(OS, SUBTYPE, AGE), *, fixed=None, fit_by=BY_SAMPLES | BY_GENES, **entry):
    quick = {"preset": "quick", "max_epochs": 1, "device": "cpu"} | (fixed or {})
    last = (model, "train_module")
    return _predictor(model, tasks, fixed=quick, fit_by=fit_by, last=last, validation="the epoch", **entry)


def _without_labels(model, use="impute", *, fixed=None, last=None, **entry):
    def make(seed=0, **settings):
        return model(seed=seed, **(fixed or {}) | settings)

    return Entry(make=make, use=use, last=last or (model, "_learn"), **entry)


def _txt(**settings):
    return _network(gx.TxT, fixed={"n_heads": 2, "d_model": 8, "d_ff": 8} | settings)


def _gexbert(**settings):
    tiny = {"n_layers": 1, "n_heads": 2, "d_model": 8, "d_ff": 8, "panel": 16, "n_targets": 16, "n_folds": 2}
    tiny |= {"preset": "quick", "batch_size": 20, "max_epochs": 1, "device": "cpu"} | settings
    last = (gexcore.gexbert, "run_training")
    return _without_labels(gx.GexBERT, fixed=tiny, last=last, validation="the epoch", fit_by=BY_SAMPLES | BY_GENES)


def _fine_tuned(**settings):
    def make(seed=0, **others):
        how = {"max_epochs": 1, "device": "cpu"} | settings | others
        return gx.FineTuned(TASKS, encoder=fitted("GexBERT"), seed=seed, **how)

    last = (gx.FineTuned, "train_module")
    return Entry(make=make, last=last, tasks=tuple(TASKS), validation="the epoch", fit_by=BY_SAMPLES)


def _on_selected_genes(seed=0, **settings):
    network = baselines.MLP(TASKS, preset="quick", max_epochs=1, device="cpu", seed=seed)
    return gx.OnSelectedGenes(network, n=12, **settings)


def _on_components(seed=0, **settings):
    components = baselines.PrincipalComponents(n_components=4)
    return baselines.OnRepresentation(baselines.RidgeCox(OS, seed=seed), components, **settings)


def _on_pretrained(seed=0, **settings):
    model = baselines.RandomForest([SUBTYPE, AGE], n_trees=5, seed=seed)
    return baselines.OnRepresentation(model, fitted("GexBERT"), pretrained=True, **settings)


def _tuned(seed=0, *, grid=None, **settings):
    def forest(**setting):
        return baselines.RandomForest([SUBTYPE, AGE], n_trees=5, seed=seed, **setting)

    return Tuned(forest, grid or {"min_samples_leaf": (1, 20)}, **settings)


def _vectors():
    genes = cohort().var_names
    return pd.DataFrame(np.random.default_rng(2).normal(size=(len(genes), 4)), index=genes)


SETS, CLINICAL = {"gene_sets": gene_sets()}, {"covariates": COVARIATES}
SMALL_CODE = {"hidden": (8, 4), "max_epochs": 1, "device": "cpu"}
MINMAX = {"scaling": "minmax", "scaling_clip": None, "grid": "uniform"}
FEW = {"n_components": 2, "n_factors": 3}

ESTIMATORS = {
    "TxT": _txt(),
    "TxT as published": _txt(preset="paper", n_layers=2, gene_embedding=_vectors()),
    "TxT of linear attention": _txt(attention="linear", n_features=16, **MINMAX),
    "TxT of pathways": _txt(attention="pathways", **SETS),
    "GexBERT": _gexbert(gene_prior="spectral", n_components=1, n_factors=3),
    "GexBERT as published": _gexbert(preset="paper", n_decoder_layers=1),
    "FineTuned": _fine_tuned(),
    "FineTuned, frozen": _fine_tuned(frozen=True),
    "MLP": _network(baselines.MLP),
    "OmiEmbed": _network(baselines.OmiEmbed, fixed={"vae_epochs": 1, "head_epochs": 1, "multitask": "gradnorm"}),
    "TGEM": _network(baselines.TGEM),
    "DeepGene": _network(baselines.DeepGene, fixed={"n_layers": 1, "n_heads": 2, "d_model": 8, "d_ff": 8}),
    "SurvConvMixer": _network(baselines.SurvConvMixer, fixed=SETS, fit_by=BY_SAMPLES),
    "FeatureMapCNN": _network(baselines.FeatureMapCNN, fit_by=BY_SAMPLES),
    "AUTOSurv": _network(baselines.AUTOSurv, [OS], fixed={"vae_epochs": 2} | CLINICAL | SETS, covariates=True),
    "LinearModel": _predictor(baselines.LinearModel, [SUBTYPE, AGE]),
    "ElasticNetCox": _predictor(baselines.ElasticNetCox, [OS], fit_by=BY_FOLDS | BY_DESCENT),
    "SurvivalForest": _predictor(baselines.SurvivalForest, [OS], fixed={"n_trees": 2}, fit_by=BY_SAMPLES | BY_GENES),
    "ClinicalCox": _predictor(baselines.ClinicalCox, [OS], fixed=CLINICAL, covariates=True, seeded=False, fit_by={}),
    "RandomForest": _predictor(
        baselines.RandomForest, [SUBTYPE, AGE], fixed={"n_trees": 5}, fit_by=BY_SAMPLES | BY_GENES
    ),
    "LinearSVM": _predictor(baselines.LinearSVM),
    "Majority": _predictor(baselines.Majority, [SUBTYPE, AGE], seeded=False, fit_by={}),
    "Null": _predictor(baselines.Null, seeded=False, fit_by={}),
    "ClinicalExpressionCox": _predictor(baselines.ClinicalExpressionCox, [OS], fixed=CLINICAL, covariates=True),
    "TwoStage": _predictor(baselines.TwoStage, [OS, AGE], last=(baselines.RidgeCox, "_fit_task")),
    "RidgeCox": _predictor(baselines.RidgeCox, [OS]),
    "RidgeCox of one penalty": _predictor(baselines.RidgeCox, [OS], fixed={"penalty": 10.0}, seeded=False, fit_by={}),
    "RidgeCox of components": _predictor(baselines.RidgeCox, [OS], fixed={"n_components": "tuned"}),
    "GradientBoosting": _predictor(baselines.GradientBoosting, fixed={"n_trees": 5}, fit_by=BY_SAMPLES | BY_GENES),
    "OnSelectedGenes": Entry(
        make=_on_selected_genes,
        last=(baselines.MLP, "train_module"),
        tasks=tuple(TASKS),
        validation="the epoch",
        fit_by=BY_SAMPLES,
    ),
    "OnRepresentation": Entry(
        make=_on_components,
        last=(baselines.RidgeCox, "_fit_task"),
        tasks=(OS,),
        refuses="PrincipalComponents",
        fit_by=BY_FOLDS,
    ),
    "OnRepresentation, pretrained": Entry(
        make=_on_pretrained,
        last=(baselines.RandomForest, "_fit_task"),
        tasks=(SUBTYPE, AGE),
        refuses="RandomForest",
        fit_by=BY_SAMPLES,
    ),
    "Tuned": Entry(
        make=_tuned,
        last=(gexcore.methods, "evaluate"),
        tasks=(SUBTYPE, AGE),
        validation="the setting",
        fit_by=BY_SAMPLES | BY_GENES,
    ),
    "GeneMean": _without_labels(baselines.GeneMean, seeded=False),
    "GeneMean, median": _without_labels(baselines.GeneMean, fixed={"statistic": "median"}, seeded=False),
    "KNN": _without_labels(baselines.KNN, seeded=False),
    "KNN, tuned": _without_labels(baselines.KNN, fixed={"n_neighbors": None}, fit_by=BY_FOLDS),
    "ChainedEquations": _without_labels(
        baselines.ChainedEquations, fixed={"max_iter": 1, "n_nearest_features": 5}, fit_by=BY_GENES
    ),
    "GaussianConditional": _without_labels(baselines.GaussianConditional, fixed={"n_components": 2}, fit_by=BY_SAMPLES),
    "ProbabilisticPCA": _without_labels(baselines.ProbabilisticPCA, fixed={"n_factors": 3}, seeded=False),
    "MixtureOfFactors": _without_labels(baselines.MixtureOfFactors, fixed=FEW, fit_by=BY_SAMPLES | BY_GENES),
    "SoftImpute": _without_labels(baselines.SoftImpute, fit_by=BY_CELLS),
    "DenoisingAutoencoder": _without_labels(
        baselines.DenoisingAutoencoder, fixed=SMALL_CODE, validation="the epoch", fit_by=BY_SAMPLES | BY_GENES
    ),
    "VariationalAutoencoder": _without_labels(
        baselines.VariationalAutoencoder, fixed=SMALL_CODE, validation="the epoch", fit_by=BY_SAMPLES | BY_GENES
    ),
    "PrincipalComponents": _without_labels(
        baselines.PrincipalComponents,
        "embed",
        fixed={"n_components": 4},
        last=(gexcore.baselines.representations.PCA, "fit"),
        seeded=False,
    ),
}


@functools.cache
def fitted(name):
    """An estimator fitted to the training samples; whoever borrows it leaves it as it is."""
    train, val, _ = take(cohort())
    return ESTIMATORS[name].make().fit(train, val)


def results(model, samples):
    """Every table that an estimator gives for samples, by what it was asked for."""
    tables = {}
    if hasattr(model, "predict"):
        for task, prediction in model.predict(samples).items():
            found = vars(prediction).items()
            tables |= {f"{task}, {kind}": table for kind, table in found if isinstance(table, pd.Series | pd.DataFrame)}
    if hasattr(model, "impute"):
        imputed = model.impute(samples)
        tables |= {"imputed": imputed.to_df()} | {layer: imputed.to_df(layer) for layer in imputed.layers}
    if hasattr(model, "embed"):
        tables["embedded"] = model.embed(samples)
    return tables
