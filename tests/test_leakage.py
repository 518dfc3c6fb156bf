"""Nothing that is fitted sees a validation or test sample, not even one that gives the answer away.

Every test spoils samples outside training and compares, number by number, all that a whole pipeline has fitted.
"""

import copy
import inspect
from collections.abc import Mapping
from numbers import Number

import numpy as np
import pandas as pd
import pytest
import torch

import gexcore as gx
from gexcore import baselines
from gexcore.scaling import Scaler

OS, SUBTYPE = gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype")
AGE = gx.Regression("age")
TASKS = [OS, SUBTYPE, AGE]
QUICK = {"preset": "quick", "max_epochs": 2, "device": "cpu"}
ONCE = {"preset": "quick", "max_epochs": 1, "device": "cpu"}  # there is no epoch to choose
LEAK = "LEAK"
COVARIATES = ["age", "subtype"]
# The spoilt part is the larger half of the cohort: what varies there varies most over the whole.
FRACTIONS = {"test": (0.3, 0.1, 0.6), "val": (0.3, 0.6, 0.1)}


# -------------------------------------------------------------------------------------------- the helpers


def fitted_state(thing, path="model") -> dict[str, np.ndarray]:
    """Every number and word an object holds, by its path; what has no parts and could not be pickled is refused."""
    if isinstance(thing, np.ndarray) and thing.dtype == object:
        thing = {"shape": thing.shape, "cells": thing.ravel().tolist()}
    if isinstance(thing, torch.Tensor | np.ndarray | pd.Index | np.generic | Number | str):
        return {path: np.asarray(thing)}
    if isinstance(thing, pd.Series | pd.DataFrame):
        thing = {"axes": thing.axes, "values": thing.to_numpy()}
    elif isinstance(thing, torch.nn.Module):
        thing = thing.state_dict()
    elif isinstance(thing, list | tuple):
        thing = dict(enumerate(thing))
    elif thing is None or isinstance(thing, type) or inspect.isroutine(thing):
        return {}
    elif not isinstance(thing, Mapping) and hasattr(thing, "__dict__"):
        thing = vars(thing)
    elif not isinstance(thing, Mapping):  # compiled, as the trees of scikit-learn are: what pickle would write
        thing = dict(enumerate(thing.__reduce_ex__(4)[1:]))
    return {
        name: value
        for key, part in thing.items()
        if key != "_time_fit_was_called"  # lifelines notes the hour
        for name, value in fitted_state(part, f"{path}.{key}").items()
    }


def without_validation(models):
    """The same models, of whose histories only the losses of training samples are left."""
    bare = {name: copy.copy(model) for name, model in models.items()}
    for model in bare.values():
        if hasattr(model, "history_"):
            model.history_ = model.history_.query("split == 'train'").reset_index(drop=True)
    return bare


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        np.testing.assert_array_equal(value, theirs[path], strict=True, err_msg=path)


def parts_of(cohort, part):
    return gx.splits.split_table(cohort, TASKS, seeds=[0], fractions=FRACTIONS[part])[0]


def rows_of(cohort, parts, part):
    return (parts[cohort.obs_names] == part).to_numpy()


def fit_all(cohort, parts):
    """Genes chosen and models fitted as a user would, some of them on all genes."""
    train, val, _ = gx.splits.take(cohort, parts)
    genes = gx.select_genes(train, n=20)
    vectors = pd.DataFrame(np.random.default_rng(2).normal(size=(cohort.n_vars, 4)), index=cohort.var_names)
    sets = {f"S{k}": list(cohort.var_names[k : k + 10]) for k in range(0, cohort.n_vars, 5)}
    unfitted = {
        "MLP": baselines.MLP(TASKS, **ONCE),
        "OmiEmbed": baselines.OmiEmbed(TASKS, vae_epochs=1, head_epochs=1, **ONCE),
        "T-GEM": baselines.TGEM(TASKS, **ONCE),
        "DeepGene": baselines.DeepGene(TASKS, **ONCE),
        "SurvConvMixer": baselines.SurvConvMixer(TASKS, gene_sets=sets, **ONCE),
        "FMAP": baselines.FeatureMapCNN(TASKS, **ONCE),
        "AUTOSurv": baselines.AUTOSurv(OS, gene_sets=sets, covariates=COVARIATES, vae_epochs=2, **ONCE),
        "linear": baselines.LinearModel([SUBTYPE, AGE]),
        "linear of selected genes": gx.OnSelectedGenes(baselines.LinearModel(AGE), n=20),
        "machine": baselines.LinearSVM(TASKS),
        "forest": baselines.RandomForest([SUBTYPE, AGE], n_trees=5),
        "survival forest": baselines.SurvivalForest(OS, n_trees=2),  # of more, threads add up the risks in any order
        "boosted trees": baselines.GradientBoosting(TASKS, n_trees=5),
        "elastic net": baselines.ElasticNetCox(OS),
        "ridge": baselines.RidgeCox(OS, n_components="tuned"),
        "two stages": baselines.TwoStage([OS, AGE]),
        "clinical": baselines.ClinicalCox(OS, covariates=COVARIATES),
        "clinical and expression": baselines.ClinicalExpressionCox(OS, covariates=COVARIATES),
    }
    return genes, {
        "TxT": gx.TxT(TASKS, **QUICK).fit(train[:, genes].copy(), val),
        "TxT of all genes": gx.TxT(TASKS, gene_embedding=vectors, **{**QUICK, "multitask": "pcgrad"}).fit(train),
        "minmax": gx.TxT(TASKS, **{**QUICK, "scaling": "minmax", "scaling_clip": None, "grid": "uniform"}).fit(train),
        **{name: model.fit(train, val) for name, model in unfitted.items()},
    }


@pytest.fixture(scope="module")
def cohort():
    """A simulated cohort and one more gene, of small and meaningless variation."""
    simulated = gx.simulate.simulate_cohort(n_samples=200, n_genes=60, seed=1)
    noise = np.random.default_rng(0).normal(5, 0.2, 200)
    cohort = gx.read_cohort(simulated.expression.assign(**{LEAK: noise}), simulated.clinical)
    cohort.obs["site"] = np.random.default_rng(1).integers(0, 20, 200)
    return cohort


@pytest.fixture(scope="module")
def clean(cohort):
    """By the part that will be spoilt: the split, the genes chosen, the models."""
    return {part: (parts_of(cohort, part), *fit_all(cohort, parts_of(cohort, part))) for part in FRACTIONS}


def planted(cohort, rows):
    """The meaningless gene now tells the subtype and death of some samples, and dwarfs all others there."""
    spoilt = cohort.copy()
    answer = 10 * spoilt.obs["subtype"].astype("category").cat.codes + 5 * spoilt.obs["os_event"].astype(int)
    spoilt.X[rows, spoilt.var_names.get_loc(LEAK)] = answer.to_numpy()[rows]
    return spoilt


def mislabelled(cohort, rows):
    """Labels of some samples become unknown, upside down, far too long, or a class of their own."""
    spoilt, ids = cohort.copy(), cohort.obs_names[rows]
    spoilt.obs["subtype"] = spoilt.obs["subtype"].astype(object)
    spoilt.obs.loc[ids, "subtype"] = "a class of the future"
    spoilt.obs.loc[ids, "os_time"] *= 1000
    spoilt.obs.loc[ids[::2], ["os_time", "os_event", "age"]] = np.nan
    spoilt.obs.loc[ids[1::2], "age"] = 120 - spoilt.obs.loc[ids[1::2], "age"]
    return spoilt


# ------------------------------------------------------------------------------------- spoilt test samples


def test_what_is_compared_holds_everything_a_model_learns(clean):
    _, genes, models = clean["test"]
    state = fitted_state(models)
    learned = "genes_.0 scaler_.shift scaler_.factor scaler_.fill scaler_.levels targets_.0.edges targets_.0.horizon"
    learned += " targets_.1.classes.0 targets_.2.mean targets_.2.sd module_.encoder.genes history_.values.cells.3"
    assert {f"model.TxT.{name}" for name in learned.split()} <= state.keys()
    networks = ["MLP.module_.trunk.1.weight", "OmiEmbed.module_.vae.mean.weight", "T-GEM.module_.layers.0.query"]
    networks += ["DeepGene.module_.places", "SurvConvMixer.module_.stem.0.weight", "FMAP.cells_"]
    networks += ["AUTOSurv.hazards_.os", "AUTOSurv.clinical_.median_.values", "AUTOSurv.module_.vae.mean.0.weight"]
    classical = ["linear.models_.subtype.coef_", "linear.models_.age.alpha_", "linear of selected genes.genes_.0"]
    classical += ["elastic net.models_.os.0.coef_", "elastic net.models_.os.1", "clinical.median_.values"]
    classical += ["elastic net.models_.os.0._baseline_models.0.cum_baseline_hazard_.y"]
    classical += ["machine.models_.os.coef_", "machine.models_.subtype.1", "ridge.models_.os.coefficient"]
    classical += ["forest.models_.age.estimators_.0.tree_.1.nodes", "boosted trees.models_.os.train_score_"]
    classical += ["survival forest.models_.os.estimators_.1.tree_.1.values"]
    classical += ["two stages.labels_.models_.age.coef_", "two stages.hazard_.models_.os.hazard"]
    classical += ["clinical and expression.models_.os.penalty", "clinical and expression.clinical.mean_.values"]
    assert {f"model.{name}" for name in networks + classical} <= state.keys()
    assert len(genes) == 20


def test_the_comparison_notices_a_single_changed_number(clean):
    models = clean["test"][2]
    for name in models:
        state = fitted_state(models[name])
        path = next(p for p in state if p.endswith((".scaler_.shift", ".mean_.values")))
        changed = {**state, path: np.nextafter(state[path], np.inf)}
        with pytest.raises(AssertionError, match=path):
            assert_same(state, changed)


@pytest.mark.parametrize("part", FRACTIONS)
def test_a_gene_that_tells_the_answer_outside_training_is_neither_chosen_nor_learned_from(cohort, clean, part):
    parts, genes, models = clean[part]
    spoilt = planted(cohort, rows_of(cohort, parts, part))
    assert gx.select_genes(spoilt, n=20)[0] == LEAK  # chosen on all samples it would be the very first
    whole = [Scaler.fit(c.X, method="zscore", clip=5.0).state() for c in (cohort, spoilt)]
    assert all((whole[0][name] != whole[1][name]).any() for name in ("low", "high", "shift", "factor", "levels"))
    assert LEAK not in genes

    again, refitted = fit_all(spoilt, parts)
    assert again == genes
    compared = [refitted, models]
    if part == "val":  # what was not chosen by their losses is compared
        compared = [without_validation(fitted) for fitted in compared]
    assert_same(*map(fitted_state, compared))
    predictions = [m["TxT"].predict(gx.splits.take(c, parts)[2]) for m, c in ((models, cohort), (refitted, spoilt))]
    assert_same(*map(fitted_state, predictions))


def test_preprocessing_chooses_genes_on_training_samples_alone(cohort):
    parts = parts_of(cohort, "test")
    spoilt, train = planted(cohort, rows_of(cohort, parts, "test")), parts.index[parts == "train"]
    options = {"need": "any", "n_genes": 20}
    kept = [gx.preprocessing.preprocess(c, TASKS, train=train, **options)[0].var_names for c in (cohort, spoilt)]
    assert kept[0].equals(kept[1])
    assert gx.preprocessing.preprocess(spoilt, TASKS, train=None, **options)[0].var_names[0] == LEAK


def test_labels_of_test_samples_reach_neither_fit_nor_prediction(cohort, clean):
    parts, genes, models = clean["test"]
    rows = rows_of(cohort, parts, "test")
    spoilt = mislabelled(cohort, rows)
    assert SUBTYPE.fit(spoilt.obs) != SUBTYPE.fit(cohort.obs)  # fitted on all samples the targets would be others
    assert OS.fit(spoilt.obs).horizon != OS.fit(cohort.obs).horizon
    assert AGE.fit(spoilt.obs) != AGE.fit(cohort.obs)

    again, refitted = fit_all(spoilt, parts)
    assert again == genes
    assert_same(fitted_state(refitted), fitted_state(models))
    bare = spoilt[rows].copy()
    bare.obs = bare.obs[[]]
    for name in models.keys() - {"AUTOSurv", "clinical", "clinical and expression"}:  # labels are their covariates
        before, after = models[name].predict(cohort[rows].copy()), refitted[name].predict(bare)
        assert_same(fitted_state(before), fitted_state(after))


@pytest.mark.parametrize("value", [np.nan, 1e6])
def test_expression_of_test_samples_reaches_no_fit(cohort, clean, value):
    parts, genes, models = clean["test"]
    spoilt = cohort.copy()
    spoilt.X[rows_of(cohort, parts, "test")] = value
    again, refitted = fit_all(spoilt, parts)
    assert again == genes
    assert_same(fitted_state(refitted), fitted_state(models))


@pytest.mark.parametrize("harmonise", [None, "quantile", "zscore"])
def test_predicting_a_strange_cohort_changes_nothing_that_was_fitted(cohort, clean, harmonise):
    parts, _, models = clean["test"]
    strange = gx.splits.take(cohort, parts)[2]
    strange.X = strange.X * 50 + 100
    before = {path: value.copy() for path, value in fitted_state(models["TxT"]).items()}
    if harmonise is None:
        with pytest.warns(gx.CohortWarning, match="far outside the training range"):
            models["TxT"].predict(strange)
    else:
        models["TxT"].predict(strange, harmonise=harmonise)
    assert_same(fitted_state(models["TxT"]), before)


# ------------------------------------------------------------------------------- spoilt validation samples


def test_validation_samples_choose_the_epoch_and_nothing_else(cohort, clean):
    parts, _, models = clean["val"]
    rows = rows_of(cohort, parts, "val")
    spoilt = mislabelled(planted(cohort, rows), rows)
    train, val, _ = gx.splits.take(spoilt, parts)
    settings = {**QUICK, "schedule": "constant", "learning_rate": 0.01, "max_epochs": 4}
    with pytest.warns(gx.CohortWarning, match="a class the training samples lack"):
        stopped = gx.TxT(TASKS, **settings).fit(train, val)
    followed = stopped.history_.query("split == 'val' and task == 'mean'").set_index("epoch")["loss"]
    assert followed.idxmin() < 4  # training went on, and what followed was thrown away
    alone = gx.TxT(TASKS, **{**settings, "max_epochs": int(followed.idxmin())}).fit(gx.splits.take(cohort, parts)[0])
    for fitted in ("module_", "scaler_", "targets_", "genes_"):
        assert_same(*(fitted_state(vars(model)[fitted], fitted) for model in (stopped, alone)))

    with pytest.warns(gx.CohortWarning, match="a class the training samples lack"):
        _, refitted = fit_all(spoilt, parts)
    # the epoch of TxT is the one thing that may differ
    compared = [{name: model for name, model in fitted.items() if name != "TxT"} for fitted in (refitted, models)]
    assert_same(*(fitted_state(without_validation(fitted)) for fitted in compared))


# ------------------------------------------------------------------------------------------- pretraining


def pretrained(cohort, parts, **settings):
    """A small GexBERT with everything that is fitted: levels, scaling, a mixture, gene vectors."""
    train, val, _ = gx.splits.take(cohort, parts)
    tiny = {"n_layers": 1, "n_heads": 2, "d_model": 8, "d_ff": 8, "panel": 16, "n_targets": 16, "n_factors": 4}
    bert = gx.GexBERT(**QUICK | tiny | {"n_components": 2, "n_folds": 2, "gene_prior": "spectral"} | settings)
    return bert.fit(train, val)


@pytest.mark.parametrize("harm", ["planted", "absurd", "missing"])
def test_pretraining_learns_nothing_of_test_samples(cohort, harm):
    parts = parts_of(cohort, "test")
    rows = rows_of(cohort, parts, "test")
    spoilt = planted(cohort, rows)
    spoilt.X[rows] = {"planted": spoilt.X[rows], "absurd": 1e6, "missing": np.nan}[harm]
    clean = fitted_state(pretrained(cohort, parts))
    learned = "scaler_.shift levels_.edges levels_.values module_.linear.mean module_.linear.loadings module_.prior"
    learned += " module_.linear.axes module_.linear.noise module_.genes module_.values history_.values.cells.3 genes_.0"
    assert {f"model.{name}" for name in learned.split()} <= clean.keys()
    assert_same(fitted_state(pretrained(spoilt, parts)), clean)
    if harm == "planted":  # fitted on these samples too it would be another model
        other = fitted_state(pretrained(spoilt, parts.replace("test", "train")))
        for name in ("levels_.edges", "scaler_.shift", "module_.linear.mean", "module_.linear.noise"):
            assert (other[f"model.{name}"] != clean[f"model.{name}"]).any()


def test_validation_samples_choose_the_epoch_of_pretraining_and_nothing_else(cohort):
    parts = parts_of(cohort, "val")
    spoilt = planted(cohort, rows_of(cohort, parts, "val"))
    spoilt.X[rows_of(cohort, parts, "val")] += 3.0
    models = [pretrained(c, parts, max_epochs=4, schedule="constant") for c in (cohort, spoilt)]
    losses = [model.history_.set_index("split")["loss"] for model in models]
    assert_same(*(fitted_state(loss["train"]) for loss in losses))  # every step of every epoch was the same
    assert (losses[0]["val"].to_numpy() != losses[1]["val"].to_numpy()).all()
    for part in ("scaler_", "levels_", "genes_"):
        assert_same(*(fitted_state(vars(model)[part]) for model in models))
    once = [pretrained(c, parts, max_epochs=1).module_ for c in (cohort, spoilt)]  # there is one epoch to choose
    assert_same(*map(fitted_state, once))


def test_imputing_and_embedding_a_strange_cohort_changes_nothing_that_was_pretrained(cohort):
    parts = parts_of(cohort, "test")
    model, strange = pretrained(cohort, parts), gx.splits.take(cohort, parts)[2]
    strange.X = strange.X * 50 + 100
    before = {path: value.copy() for path, value in fitted_state(model).items()}
    for use in (model.impute, model.embed, model.attention):
        with pytest.warns(gx.CohortWarning, match="far outside the training range"):
            use(strange)
    assert_same(fitted_state(model), before)


# -------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize("groups", [None, "site"])
def test_random_splits_do_not_read_expression(cohort, groups):
    spoilt = planted(cohort, np.arange(100))
    spoilt.X[100:] = np.nan
    tables = [gx.splits.split_table(c, TASKS, seeds=range(3), groups=groups) for c in (cohort, spoilt)]
    pd.testing.assert_frame_equal(*tables)
    for seed in tables[0]:
        for name, part in zip(gx.splits.PARTS, gx.split(spoilt, TASKS, seed=seed, groups=groups), strict=True):
            assert set(part.obs_names) == set(tables[0].index[tables[0][seed] == name])


def test_cluster_folds_read_the_embedding_alone_and_no_label_decides_who_is_tested(cohort):
    embedding = pd.DataFrame(np.linalg.svd(cohort.X - cohort.X.mean(axis=0))[0][:, :3], index=cohort.obs_names)
    spoilt = planted(cohort, np.arange(200))
    folds = gx.splits.cluster_folds(cohort, embedding, TASKS, n_folds=3)
    pd.testing.assert_frame_equal(gx.splits.cluster_folds(spoilt, embedding, TASKS, n_folds=3), folds)
    other = gx.splits.cluster_folds(mislabelled(cohort, np.arange(0, 200, 3)), embedding, TASKS, n_folds=3)
    pd.testing.assert_frame_equal(other == "test", folds == "test")
    assert not other.equals(folds)  # the validation parts are stratified by label
