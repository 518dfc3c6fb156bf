"""Every method on the bench runs on the cohorts that come with the package, finds what was planted, and nothing else.

What is chosen is chosen on validation samples.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

import gexcore as gx
from gexcore import baselines, comparison
from gexcore.bench import benchmark
from gexcore.estimator import NeuralEstimator
from gexcore.methods import METHODS, Context, Method, Tuned
from gexcore.tasks import ValuePrediction

OS, SUBTYPE, AGE = gx.Survival("os", "os_time", "os_event"), gx.Classification("subtype"), gx.Regression("age")
TASKS, TUMOUR = [OS, SUBTYPE, AGE], gx.Regression("tumour")
FEW = {  # epochs and trees
    "omiembed": {"vae_epochs": 5, "head_epochs": 5},
    "omiembed-multitask": {"vae_epochs": 5, "head_epochs": 5},
    "autosurv": {"vae_epochs": 200},
    "autosurv-clinical": {"vae_epochs": 200},
    "random-forest": {"n_trees": 30},
    "gradient-boosting": {"n_trees": 30},
}


# ------------------------------------------------------------------------------------------- what is made


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_an_estimator_of_the_kinds_it_names(name):
    method = METHODS[name]
    context = Context(gene_sets={"a": ["g0", "g1"]}, covariates=("age",), max_epochs=1)
    settings = {key: values[-1] for key, values in method.grid.items()}
    tasks = [task for task in TASKS if task.kind in method.kinds]
    for group in [tasks] if method.joint else [[task] for task in tasks]:
        estimator = method.make(group, 7, context, **settings)
        assert [task.name for task in estimator.tasks] == [task.name for task in group]
        assert estimator.seed == 7
        for key, value in settings.items():
            assert getattr(getattr(estimator, "settings", estimator), key) == value
    if "survival" not in method.kinds or len(method.kinds) == 1:
        wrong = OS if "survival" not in method.kinds else AGE
        with pytest.raises(TypeError, match="predicts"):
            method.make([wrong], 0, context)


def test_methods_are_what_their_names_say():
    assert {name for name, method in METHODS.items() if method.joint} == {
        name for name in METHODS if "multitask" in name or name == "two-stage"
    }
    assert {name for name, method in METHODS.items() if method.grid} == {n for n in METHODS if n.endswith("-tuned")}
    context = Context(gene_sets={"a": ["g0"]}, covariates=("age",))
    classes = {
        "txt": gx.TxT,
        "t-gem": baselines.TGEM,
        "fmap-cnn": baselines.FeatureMapCNN,
        "svm": baselines.LinearSVM,
        "gradient-boosting": baselines.GradientBoosting,
        "elastic-net-cox": baselines.ElasticNetCox,
        "clinical-cox": baselines.ClinicalCox,
        "null-model": baselines.Null,
    }
    for name, expected in classes.items():
        assert type(METHODS[name].make([OS], 0, context)) is expected
    assert METHODS["pca-cox"].make([OS], 0, context).n_components == "tuned"
    assert METHODS["autosurv"].make([OS], 0, context).covariates == []
    assert METHODS["autosurv-clinical"].make([OS], 0, context).covariates == ["age"]
    assert type(METHODS["random-forest"].make([OS], 0, context)) is baselines.SurvivalForest
    assert type(METHODS["random-forest"].make([AGE], 0, context)) is baselines.RandomForest


def test_networks_follow_the_context():
    for preset, epochs in (("quick", 3), ("paper", None)):
        model = METHODS["txt"].make([OS], 0, Context(preset=preset, max_epochs=epochs))
        expected = gx.TxT(OS, preset=preset, **({} if epochs is None else {"max_epochs": epochs}))
        assert model.settings == expected.settings


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"max_epochs": 0}, "max_epochs must be 1 or more, or None, not 0"),
        ({"n_genes": -5}, "n_genes must be 1 or more, or None, not -5"),
        ({"preset": "fast"}, "preset must be 'quick' or 'paper', not 'fast'"),
    ],
)
def test_a_context_that_no_method_could_follow_is_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        Context(**wrong)


# ------------------------------------------------------------------------------------- on real cohorts


@pytest.fixture(scope="module", params=["demo", "transbig"])
def study(request):
    """A cohort of 150 patients and 30 genes, its tasks, and what methods may know beside them."""
    cohort, tasks = gx.load_cohort(request.param)[:150, :30].copy(), gx.load_tasks(request.param)
    sets = {f"S{k}": list(cohort.var_names[5 * k : 5 * k + 10]) for k in range(5)}
    covariates = tuple(c for c in ("age", "size", "grade", "er") if c in cohort.obs)
    return cohort, tasks, Context(gene_sets=sets, covariates=covariates, max_epochs=2)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_predicts_every_task_it_takes_for_every_patient(study, name, monkeypatch):
    scored = []

    def watched(predictions, test, **options):
        scored.append((predictions, test))
        return evaluate(predictions, test, **options)

    evaluate = comparison.evaluate
    monkeypatch.setattr(comparison, "evaluate", watched)
    (cohort, tasks, context), method = study, METHODS[name]
    make = partial(method.make, **FEW.get(name.removesuffix("-tuned"), {}))
    method = replace(method, make=make, grid={key: values[-1:] for key, values in method.grid.items()})
    table = benchmark({name: method}, cohort, tasks, seeds=[0], context=context)

    status = table.groupby("task", sort=False)["status"].unique().map(list)
    assert status.to_dict() == {t.name: ["scored" if t.kind in method.kinds else "not taken"] for t in tasks}
    taken = [task.name for task in tasks if task.kind in method.kinds]
    assert [name for predictions, _ in scored for name in predictions] == taken
    assert len(scored) == (1 if method.joint else len(taken))
    expected = gx.split(cohort, tasks, seed=0)[2].obs_names
    for predictions, test in scored:
        assert list(test.obs_names) == list(expected)
        for prediction in predictions.values():
            assert_complete(prediction, expected)


def assert_complete(prediction, samples):
    if prediction.task.kind == "regression":
        tables = [prediction.values]
    elif prediction.task.kind == "classification":
        tables = [prediction.probabilities]
        np.testing.assert_allclose(tables[0].sum(axis=1), 1, atol=1e-5)
        assert (tables[0] >= 0).all(axis=None)
    else:
        tables = [prediction.risk] + ([] if prediction.survival is None else [prediction.survival.T])
    for table in tables:
        assert list(table.index) == list(samples)
        assert np.isfinite(table.to_numpy(float)).all()
    if len(tables) == 2:
        curves = prediction.survival
        assert curves.index[0] == 0
        assert curves.index.is_monotonic_increasing
        assert (curves.iloc[0] == 1).all()
        assert (curves.diff().iloc[1:] <= 1e-6).all(axis=None)
        assert (curves >= 0).all(axis=None)


# -------------------------------------------------------------------------------------- what is learned


@pytest.fixture(scope="module")
def told(planted):
    """One of five groups of genes tells the hazard, the subtype and the age."""
    return planted(450, groups=5, size=6, told_by=(0, 0, 0))


@pytest.fixture(scope="module")
def untold(told):
    """The same with labels of other patients; the covariate stays where it is."""
    cohort, order = told.copy(), np.random.default_rng(1).permutation(told.n_obs)
    cohort.obs = told.obs.iloc[order].set_axis(told.obs_names).assign(tumour=told.obs["tumour"])
    return cohort


def scores(name, cohort):
    """C-index, accuracy and mean absolute error, by task, on 300 samples of what 110 and 40 others taught."""
    train, val, test = (cohort[part].copy() for part in (slice(110), slice(110, 150), slice(150, None)))
    sets = {f"S{k}": list(cohort.var_names[2 * k : 2 * k + 6]) for k in range(13)}
    context = Context(gene_sets=sets, covariates=("tumour",), max_epochs=15)
    method, few, predictions = METHODS[name], FEW.get(name, {}), {}
    taken = [task for task in TASKS if task.kind in method.kinds]
    for group in [taken] if method.joint else [[task] for task in taken]:
        model = method.make(group, 0, context, **few)
        if isinstance(model, NeuralEstimator):  # larger steps
            model = method.make(group, 0, context, **few, learning_rate=0.01, averaging=0.9)
        predictions |= model.fit(train, val).predict(test)
    found = comparison.headlines(gx.evaluate(predictions, test, train=train))
    return found.set_index("task")["value"].to_dict()


every_method = pytest.mark.parametrize("name", [n for n in METHODS if not n.endswith("-tuned") and n != "null-model"])


@every_method
def test_every_method_beats_the_null_model_where_genes_tell(told, name):
    null, found = scores("null-model", told), scores(name, told)
    assert found.get("os", 1) > null["os"] + 0.15
    assert found.get("subtype", 1) > null["subtype"] + 0.2
    assert found.get("age", 0) < 0.75 * null["age"]


@every_method
def test_every_method_scores_chance_where_labels_are_those_of_other_patients(untold, name):
    null, found = scores("null-model", untold), scores(name, untold)
    assert abs(found.get("os", 0.5) - 0.5) < 0.09  # three standard errors or more, here and below
    assert found.get("subtype", 0) < null["subtype"] + 0.09
    assert found.get("age", np.inf) > 0.97 * null["age"]


# ---------------------------------------------------------------------------------------------- tuning


class Constant:
    """Everybody has the same value; the samples it was shown are in ``seen``."""

    def __init__(self, tasks, *, value, seen=()):
        self.tasks, self.value, self.seen = tasks, value, seen

    def fit(self, train, val=None):
        self.seen += [*train.obs_names, *val.obs_names]
        return self

    def predict(self, cohort):
        self.seen += [*cohort.obs_names]
        return {task.name: ValuePrediction(task, pd.Series(self.value, index=cohort.obs_names)) for task in self.tasks}


@pytest.fixture(scope="module")
def cohort(planted):
    return planted(120, groups=3, size=3)


@pytest.fixture(scope="module")
def parts(cohort):
    return gx.split(cohort, AGE, seed=0)


def test_the_setting_that_predicts_the_validation_samples_best_is_kept(parts):
    train, val, test = parts
    tuned = Tuned(partial(Constant, [AGE], seen=[]), {"value": (10.0, 61.0, 99.0)}).fit(train, val)
    assert tuned.setting_ == {"value": 61.0}  # the least error: lower is better
    assert (tuned.predict(test)["age"].values == 61.0).all()
    error = [(val.obs["age"] - value).abs().mean() for value in (10.0, 61.0, 99.0)]
    np.testing.assert_allclose(tuned.scores_["value"], error)
    forest = Tuned(partial(baselines.SurvivalForest, OS), {"n_trees": (20,), "min_samples_leaf": (15, 42)})
    forest.fit(train, val)  # with more than half of the samples in a leaf nobody differs from anybody
    assert forest.setting_ == {"n_trees": 20, "min_samples_leaf": 15}


def test_several_tasks_choose_by_mean_rank_and_equal_ones_keep_the_first(parts):
    tuned = Tuned(partial(Constant, [AGE, TUMOUR], seen=[]), {"value": (20.0, 60.0)}).fit(*parts[:2])
    assert tuned.scores_.groupby("task")["value"].idxmin().to_dict() == {"age": 2, "tumour": 1}
    assert tuned.setting_ == {"value": 20.0}


def test_no_test_sample_is_looked_at_before_the_setting_is_chosen(parts):
    train, val, test = parts
    seen = []
    tuned = Tuned(partial(Constant, [AGE], seen=seen), {"value": (50.0, 60.0)}).fit(train, val)
    assert {*seen} == {*train.obs_names, *val.obs_names}
    seen.clear()
    tuned.predict(test)
    assert seen == [*test.obs_names]  # and by the chosen one alone


def test_what_a_tuned_method_chooses_does_not_depend_on_the_test_samples(cohort):
    chosen = []

    class Spy(baselines.GradientBoosting):
        def predict(self, cohort):
            chosen.append((self.max_depth, {n: m.n_estimators for n, m in self.models_.items()}))
            return super().predict(cohort)

    def make(tasks, seed, context, **settings):
        return Spy(tasks, n_trees=10, seed=seed, **settings)

    method = Method(make=make, kinds=("regression",), grid={"max_depth": (1, 2)})
    test = gx.split(cohort, AGE, seed=0)[2].obs_names
    spoiled = cohort.copy()
    spoiled.obs.loc[test, "age"] = 1e6
    spoiled.X[spoiled.obs_names.isin(test)] = 0.0
    first, second = (benchmark({"spy": method}, data, AGE, seeds=[0]) for data in (cohort, spoiled))
    assert len(chosen) == 6
    assert chosen[:3] == chosen[3:]
    assert not np.allclose(first["value"], second["value"], equal_nan=True)  # the spoiled samples were the test samples


def test_a_grid_needs_values_and_validation_samples(parts):
    with pytest.raises(ValueError, match="value has none"):
        Tuned(Constant, {"value": ()})
    with pytest.raises(ValueError, match="validation samples"):
        Tuned(partial(Constant, [AGE]), {"value": (1.0,)}).fit(parts[0])
