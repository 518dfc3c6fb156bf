"""Nothing that is fitted sees a validation or test sample, not even one that gives the answer away.

Samples outside training are spoilt, everything is fitted again, and all that was learned is compared number by number.
"""

import functools

import numpy as np
import pandas as pd
import pytest
from contract import AGE, ESTIMATORS, LEAK, OS, SUBTYPE, TASKS, cohort, fitted, gene_sets, parts, results, take
from leakage import (
    absurd,
    assert_nothing_leaks,
    assert_same,
    fitted_state,
    mislabelled,
    planted,
    without_validation,
)

import gexcore as gx
from gexcore.gaussian import FactorModel, GaussianModel
from gexcore.levels import Levels
from gexcore.mixture import FactorMixture
from gexcore.pretraining import prior_vectors
from gexcore.scaling import Scaler

every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
QUICK = {"preset": "quick", "max_epochs": 4, "schedule": "constant", "learning_rate": 0.01, "device": "cpu"}


@functools.cache
def spoilt(harm):
    """The cohort with other validation and test samples; its training samples are the true ones."""
    outside = (parts()[cohort().obs_names] != "train").to_numpy()
    if harm == "absurd":
        return absurd(cohort(), outside)
    return mislabelled(planted(cohort(), outside, LEAK), outside)


every_harm = pytest.mark.parametrize("harm", ["telling", "absurd"])


def training_part(whole):
    """A view: whoever looks behind it finds the whole cohort."""
    return whole[(parts()[whole.obs_names] == "train").to_numpy()]


# ------------------------------------------------------------------------------------------- what is compared


def test_what_is_compared_holds_everything_a_model_learns():
    learned = {
        "TxT": "genes_.0 scaler_.shift scaler_.factor scaler_.fill scaler_.levels targets_.0.edges targets_.0.horizon "
        "targets_.1.classes.0 targets_.2.mean targets_.2.sd module_.encoder.genes history_.values.cells.3",
        "GexBERT": "scaler_.shift levels_.edges levels_.values module_.linear.mean module_.linear.loadings "
        "module_.prior module_.linear.axes module_.linear.noise module_.genes module_.values history_.values.cells.3",
        "FineTuned": "module_.restorer.genes module_.norm.running_mean targets_.2.mean",
        "MLP": "module_.trunk.1.weight",
        "OmiEmbed": "module_.vae.mean.weight",
        "TGEM": "module_.layers.0.query",
        "DeepGene": "module_.places",
        "SurvConvMixer": "module_.stem.0.weight",
        "FeatureMapCNN": "cells_",
        "AUTOSurv": "hazards_.os clinical_.median_.values module_.vae.mean.0.weight",
        "LinearModel": "models_.subtype.coef_ models_.age.alpha_",
        "ElasticNetCox": "models_.os.0.coef_ models_.os.1 models_.os.0._baseline_models.0.cum_baseline_hazard_.y",
        "SurvivalForest": "models_.os.estimators_.1.tree_.1.values",
        "ClinicalCox": "median_.values",
        "RandomForest": "models_.age.estimators_.0.tree_.1.nodes",
        "LinearSVM": "models_.os.coef_ models_.subtype.1",
        "ClinicalExpressionCox": "models_.os.penalty clinical.mean_.values",
        "TwoStage": "labels_.models_.age.coef_ hazard_.models_.os.hazard",
        "RidgeCox": "models_.os.coefficient",
        "GradientBoosting": "models_.os.train_score_",
        "OnSelectedGenes": "genes_.0 model.module_.trunk.1.weight",
        "OnRepresentation": "representation.axes_ model.models_.os.coefficient",
        "Tuned": "best_.models_.age.estimators_.0.tree_.1.nodes setting_.min_samples_leaf scores_.values.cells.3",
        "GeneMean": "model_ scaler_.shift genes_",
        "KNN": "model_._fit_X",
        "ChainedEquations": "model_.imputation_sequence_.0.2.coef_",
        "GaussianConditional": "model_.covariances",
        "ProbabilisticPCA": "model_.loadings",
        "MixtureOfFactors": "model_.0.edges model_.1.loadings",
        "SoftImpute": "penalty_",
        "DenoisingAutoencoder": "model_.encoder.0.weight history_.values.cells.3",
        "PrincipalComponents": "axes_ mean_",
    }
    for name, paths in learned.items():
        assert {f"model.{path}" for path in paths.split()} <= fitted_state(fitted(name)).keys(), name


def test_the_comparison_notices_a_single_changed_number():
    for name in ESTIMATORS:
        state = fitted_state(fitted(name))
        path = next(p for p, value in state.items() if value.dtype.kind == "f" and value.size)
        changed = {**state, path: np.nextafter(state[path], np.inf)}
        with pytest.raises(AssertionError, match=path):
            assert_same(state, changed)


def test_the_spoilt_samples_would_change_whatever_saw_them():
    whole, telling = cohort(), spoilt("telling")
    assert gx.select_genes(telling, n=12)[0] == LEAK  # chosen on all samples it would be the very first
    assert LEAK not in gx.select_genes(training_part(whole), n=12)
    for task in (SUBTYPE, AGE):
        assert task.fit(telling.obs) != task.fit(whole.obs)
    assert OS.fit(telling.obs).horizon != OS.fit(whole.obs).horizon
    for harm in ("telling", "absurd"):
        assert_same(*(fitted_state(training_part(c).to_df()) for c in (whole, spoilt(harm))))
        scalers = [Scaler.fit(c.X, method="zscore", clip=5.0).state() for c in (whole, spoilt(harm))]
        assert all((scalers[0][array] != scalers[1][array]).any() for array in ("shift", "factor", "levels"))


# ------------------------------------------------------------------------------------------------ estimators


@every_estimator
@every_harm
@pytest.mark.filterwarnings("ignore:the median of 100% of the genes:gexcore.tasks.CohortWarning")  # those of harm
def test_samples_outside_training_teach_an_estimator_nothing(name, harm):
    entry, whole = ESTIMATORS[name], spoilt(harm)

    def fit(other):
        train, val, _ = take(other)
        if harm == "telling" and entry.validation and SUBTYPE in entry.tasks:
            with pytest.warns(gx.CohortWarning, match="a class the (training samples lack|model does not know)"):
                return entry.make().fit(train, val)
        return entry.make().fit(train, val)

    if entry.validation == "the setting":  # what is left to them: the setting, but not what it learns
        refitted = fit(whole)
        grid = {setting: (value,) for setting, value in refitted.setting_.items()}
        train, val, _ = take(cohort())
        assert_same(fitted_state(refitted.best_), fitted_state(entry.make(grid=grid).fit(train, val).best_))
        return
    # of one epoch there is none to choose: the losses of validation samples are all that may differ
    assert_nothing_leaks(fit, fitted(name), whole, compare=lambda model: fitted_state(without_validation(model)))


def test_validation_samples_choose_the_setting_of_a_tuned_model():
    train, val, _ = take(cohort())
    other = val.copy()
    other.obs["subtype"] = np.random.default_rng(0).permutation(other.obs["subtype"])
    other.obs["age"] = np.random.default_rng(1).permutation(other.obs["age"])
    models = [ESTIMATORS["Tuned"].make().fit(train, v) for v in (val, other)]
    assert not models[0].scores_.equals(models[1].scores_)


def test_validation_samples_choose_the_epoch_and_nothing_else():
    train, val, _ = take(spoilt("telling"))
    with pytest.warns(gx.CohortWarning, match="a class the training samples lack"):
        stopped = gx.TxT(TASKS, **QUICK).fit(train, val)
    followed = stopped.history_.query("split == 'val' and task == 'mean'").set_index("epoch")["loss"]
    assert followed.idxmin() < 4  # training went on, and what followed was thrown away
    alone = gx.TxT(TASKS, **{**QUICK, "max_epochs": int(followed.idxmin())}).fit(take(cohort())[0])
    for part in ("module_", "scaler_", "targets_", "genes_"):
        assert_same(*(fitted_state(vars(model)[part], part) for model in (stopped, alone)))


def test_validation_samples_choose_the_epoch_of_pretraining_and_nothing_else():
    longer = functools.partial(ESTIMATORS["GexBERT"].make, max_epochs=4, schedule="constant")
    models = [longer().fit(*take(c)[:2]) for c in (cohort(), spoilt("telling"))]
    losses = [model.history_.set_index("split")["loss"] for model in models]
    assert_same(*(fitted_state(loss["train"]) for loss in losses))  # every step of every epoch was the same
    assert (losses[0]["val"].to_numpy() != losses[1]["val"].to_numpy()).all()
    for part in ("scaler_", "levels_", "genes_"):
        assert_same(*(fitted_state(vars(model)[part]) for model in models))


@every_estimator
@pytest.mark.filterwarnings("ignore::gexcore.tasks.CohortWarning")  # of the strange scale, here wanted
def test_using_an_estimator_on_a_strange_cohort_changes_nothing_it_has_learned(name):
    strange = take(cohort())[2]
    strange.X = strange.X * 50 + 100
    model = fitted(name)
    before = {path: value.copy() for path, value in fitted_state(model).items()}
    results(model, strange)
    if isinstance(model, gx.estimator.NeuralEstimator):
        for method in ("quantile", "zscore"):
            model.predict(strange, harmonise=method)
    assert_same(fitted_state(model), before)


# --------------------------------------------------------------------------------------------------- steps


def standardised(train):
    return Scaler.fit(train.X, method="zscore", clip=5.0).standardise(train.X)


def scores(train):
    values = standardised(train)
    return Levels.fit(values, n_levels=16).score(values)


FEW = {"n_components": 2, "n_factors": 3, "seed": 0}
STEPS = {
    "select_genes": lambda train: gx.select_genes(train, n=12),
    "select_genes of sets": lambda train: gx.select_genes(train, n=12, gene_sets=gene_sets()),
    "Scaler, zscore": lambda train: Scaler.fit(train.X, method="zscore", clip=5.0),
    "Scaler, minmax": lambda train: Scaler.fit(train.X, method="minmax"),
    "Levels": lambda train: Levels.fit(standardised(train), n_levels=16),
    "GaussianModel": lambda train: GaussianModel.fit(standardised(train).astype(float), seed=0),
    "FactorModel": lambda train: FactorModel.fit(standardised(train).astype(float), n_factors=3, seed=0),
    "FactorMixture": lambda train: FactorMixture.fit(scores(train), **FEW),
    "correlation_graph": lambda train: sorted(map(str, gx.coexpression.correlation_graph(train).edges(data=True))),
    "spectral_vectors": lambda train: gx.coexpression.spectral_vectors(train, d=4),
    "gene prior": lambda train: prior_vectors("spectral", train, 0),
    "top_variance_panels": lambda train: gx.panels.top_variance_panels(train, [3, 12]),
    "univariate_cox": lambda train: gx.anchors.univariate_cox(train, OS),
    "anchor_genes": lambda train: gx.anchors.anchor_genes(train, OS, n=5),
    "harmonise": lambda train: gx.harmonise(take(cohort())[2], like=train).to_df(),
    "tasks": lambda train: [task.fit(train.obs) for task in TASKS],
}


@pytest.mark.parametrize("step", STEPS)
def test_samples_outside_training_teach_a_step_nothing(step):
    run, harm = STEPS[step], "telling"
    clean = run(training_part(cohort()))
    assert_nothing_leaks(lambda whole: run(training_part(whole)), clean, spoilt(harm))
    whole = [fitted_state(run(c)) for c in (cohort(), spoilt(harm))]
    with pytest.raises(AssertionError):  # had it seen them, it would have learned something else
        assert_same(*whole)


FOR_ALL = {"need": "any", "n_genes": 12}
ON_NAMED = {
    "preprocess": lambda whole, train: gx.preprocessing.preprocess(whole, TASKS, train=train, **FOR_ALL),
    "keep_variable_genes": lambda whole, train: gx.preprocessing.keep_variable_genes(whole, n=12, train=train),
}


@pytest.mark.parametrize("step", ON_NAMED)
@pytest.mark.parametrize("form", ["ids", "cohort"])
def test_preprocessing_chooses_genes_on_the_samples_that_are_named(step, form):
    run = ON_NAMED[step]

    def chosen(whole):
        train = training_part(whole)
        return run(whole, list(train.obs_names) if form == "ids" else train)[0].var_names

    assert_nothing_leaks(chosen, chosen(cohort()), spoilt("telling"))
    assert run(spoilt("telling"), None)[0].var_names[0] == LEAK


# -------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize("groups", [None, "site"])
def test_random_splits_do_not_read_expression(groups):
    changed = planted(cohort(), np.arange(75), LEAK)
    changed.X[75:] = np.nan
    tables = [gx.splits.split_table(c, TASKS, seeds=range(3), groups=groups) for c in (cohort(), changed)]
    pd.testing.assert_frame_equal(*tables)
    for seed in tables[0]:
        for name, part in zip(gx.splits.PARTS, gx.split(changed, TASKS, seed=seed, groups=groups), strict=True):
            assert set(part.obs_names) == set(tables[0].index[tables[0][seed] == name])


def test_cluster_folds_read_the_embedding_alone_and_no_label_decides_who_is_tested():
    whole = cohort()
    embedding = pd.DataFrame(np.linalg.svd(whole.X - whole.X.mean(axis=0))[0][:, :3], index=whole.obs_names)
    folds = gx.splits.cluster_folds(whole, embedding, TASKS, n_folds=3)
    changed = planted(whole, np.arange(150), LEAK)
    pd.testing.assert_frame_equal(gx.splits.cluster_folds(changed, embedding, TASKS, n_folds=3), folds)
    other = gx.splits.cluster_folds(mislabelled(whole, np.arange(0, 150, 3)), embedding, TASKS, n_folds=3)
    pd.testing.assert_frame_equal(other == "test", folds == "test")
    assert not other.equals(folds)  # the validation parts are stratified by label
