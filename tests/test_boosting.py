"""Boosted trees: planted signals are found, interactions too, and as many trees are kept as help."""

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sksurv.ensemble import GradientBoostingSurvivalAnalysis
from sksurv.util import Surv

import gexcore as gx
from gexcore.baselines import LinearModel, RidgeCox
from gexcore.baselines.boosting import GradientBoosting, _loss_after_each_tree
from gexcore.baselines.controls import Null

OS, AGE = gx.Survival("os", time="os_time", event="os_event"), gx.Regression("age")
SUBTYPE = gx.Classification("subtype")
TASKS = [OS, SUBTYPE, AGE]
GENES = [f"g{j}" for j in range(20)]


def cohort(n, *, seed):
    """Genes g0 and g1 carry the hazard, g2 to g4 the subtype, g5 the age; the rest says nothing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 20))
    happens, leaves = rng.exponential(30 * np.exp(-x[:, 0] - x[:, 1])), rng.uniform(5, 90, size=n)
    obs = pd.DataFrame(
        {
            "os_time": np.minimum(happens, leaves).round(1),
            "os_event": (happens <= leaves).astype(float),
            "subtype": np.array(["basal", "her2", "luminal"])[(2 * x[:, 2:5] + rng.gumbel(size=(n, 3))).argmax(axis=1)],
            "age": 60 + 8 * x[:, 5] + rng.normal(0, 3, size=n),
        },
        index=[f"p{seed}-{i}" for i in range(n)],
    )
    return ad.AnnData((x + np.arange(20)).astype("float32"), obs=obs, var=pd.DataFrame(index=GENES))


def quick(tasks=TASKS, **more):
    return GradientBoosting(tasks, **{"n_trees": 40, "learning_rate": 0.15, **more})


TRAIN, TEST = cohort(200, seed=0), cohort(600, seed=1)


@pytest.fixture(scope="module")
def fitted():
    return quick().fit(TRAIN)


@pytest.fixture(scope="module")
def predicted(fitted):
    return fitted.predict(TEST)


def numbers(predictions):
    """Every prediction of a model in one table, samples x numbers."""
    tables = []
    for p in predictions.values():
        tables += [p.risk, p.survival.T] if p.task.kind == "survival" else []
        tables += [p.probabilities] if p.task.kind == "classification" else []
        tables += [p.values] if p.task.kind == "regression" else []
    return pd.concat(tables, axis=1)


def scores(predictions, test=TEST, train=TRAIN):
    return gx.evaluate(predictions, test, train=train).set_index(["task", "metric"])["value"]


# ------------------------------------------------------------------------------------------- what is learned


def test_planted_signals_are_found_and_the_null_model_is_beaten(predicted):
    ours, null = scores(predicted), scores(Null(TASKS).fit(TRAIN).predict(TEST))
    assert ours["os", "c_index"] > 0.68
    assert ours["os", "ibs"] < null["os", "ibs"] - 0.03
    assert ours["subtype", "accuracy"] > null["subtype", "accuracy"] + 0.25
    assert ours["subtype", "auroc"] > 0.8
    assert ours["age", "mae"] < 0.7 * null["age", "mae"]


def test_higher_risk_means_shorter_survival(predicted):
    risk = predicted["os"].risk
    assert concordance_index(TEST.obs["os_time"], -risk, TEST.obs["os_event"]) > 0.68
    assert risk.corr(pd.Series(TEST.X[:, 0] + TEST.X[:, 1], index=TEST.obs_names)) > 0.7


def test_survival_curves_start_at_one_and_fall_with_the_risk(predicted):
    curves = predicted["os"].survival
    assert curves.index[0] == 0
    assert curves.index.is_monotonic_increasing
    assert (curves.iloc[0] == 1).all()
    assert (curves.diff().iloc[1:] <= 1e-12).all(axis=None)
    assert curves.min(axis=None) >= 0
    assert predicted["os"].risk.corr(curves.mean(), method="spearman") < -0.95


def test_what_two_genes_do_only_together_is_found_where_linear_models_find_nothing():
    parts, rng = [cohort(400, seed=s)[:, :6].copy() for s in (2, 3)], np.random.default_rng(2)
    for part in parts:
        together = np.sign(part.X[:, 0] * (part.X[:, 1] - 1))
        part.obs["os_time"] = rng.exponential(30 * np.exp(-1.5 * together))
        part.obs["os_event"] = 1.0
        part.obs["age"] = 60 + 8 * together + rng.normal(0, 3, size=400)
    train, test = parts
    boosted = scores(quick([OS, AGE], n_trees=80).fit(train).predict(test), test, train)
    linear = RidgeCox(OS).fit(train).predict(test) | LinearModel(AGE).fit(train).predict(test)
    linear = scores(linear, test, train)
    assert boosted["os", "c_index"] > linear["os", "c_index"] + 0.15
    assert boosted["age", "mae"] < 0.7 * linear["age", "mae"]


def test_shuffled_labels_teach_nothing_and_keep_few_trees(fitted):
    parts, rng = [TRAIN.copy(), TEST.copy()], np.random.default_rng(4)
    for part in parts:
        part.obs[["os_time", "os_event"]] = rng.permutation(part.obs[["os_time", "os_event"]].to_numpy())
        part.obs[["subtype", "age"]] = part.obs[["subtype", "age"]].to_numpy()[rng.permutation(part.n_obs)]
        part.obs["age"] = part.obs["age"].astype(float)
    train, test = parts
    model = quick().fit(train)
    chance, null = (scores(m.predict(test), test, train) for m in (model, Null(TASKS).fit(train)))
    assert chance["os", "c_index"] == pytest.approx(0.5, abs=0.05)
    assert chance["subtype", "auroc"] == pytest.approx(0.5, abs=0.06)
    assert chance["age", "mae"] > 0.97 * null["age", "mae"]
    for name, trees in model.models_.items():
        assert trees.n_estimators < 0.6 * fitted.models_[name].n_estimators


def test_the_trees_are_those_of_scikit_learn_and_scikit_survival():
    x, z = (StandardScaler().fit(TRAIN.X).transform(part.X).astype(float) for part in (TRAIN, TEST))
    model = quick(clip=None, seed=3).fit(TRAIN)
    predictions = model.predict(TEST)
    settings = {"learning_rate": 0.15, "max_depth": 3, "min_samples_leaf": 10, "subsample": 0.5, "max_features": "sqrt"}

    def theirs(booster, name, y):
        return booster(n_estimators=model.models_[name].n_estimators, random_state=3, **settings).fit(x, y)

    outcome = Surv.from_arrays(TRAIN.obs["os_event"] == 1, TRAIN.obs["os_time"])
    survival = theirs(GradientBoostingSurvivalAnalysis, "os", outcome)
    classes = theirs(GradientBoostingClassifier, "subtype", TRAIN.obs["subtype"])
    for ours, oracle in (
        (predictions["os"].risk, survival.predict(z)),
        (predictions["subtype"].probabilities, classes.predict_proba(z)),
        (predictions["age"].values, theirs(GradientBoostingRegressor, "age", TRAIN.obs["age"]).predict(z)),
    ):
        close = np.isclose(ours, oracle, rtol=1e-4, atol=1e-4)
        assert close.mean() > 0.97  # a threshold of a tree between two samples may fall by rounding
    times = [5.0, 20.0, 40.0]
    curves = np.array([curve(times) for curve in survival.predict_survival_function(z)])
    np.testing.assert_allclose(predictions["os"].survival_at(times), curves, atol=0.05)


def test_the_loss_after_each_tree_is_that_of_models_with_as_many_trees():
    x, y = np.random.default_rng(0).normal(size=(2, 120, 4))
    outcome = Surv.from_arrays(y[:, 0] > -0.5, np.exp(x[:, 0] + y[:, 1]).round(1))
    classes, values = np.where(x[:, 0] + y[:, 0] > 0, "a", "b"), x[:, 0] + y[:, 0]

    def breslow(log_hazard, held):
        at_risk = held["time"] >= held["time"][:, None]
        return -(log_hazard - np.log(at_risk @ np.exp(log_hazard)))[held["event"]].sum()

    for task, booster, y, loss in (
        (OS, GradientBoostingSurvivalAnalysis, outcome, lambda m, held: breslow(m.predict(x[80:]), held)),
        (SUBTYPE, GradientBoostingClassifier, classes, lambda m, held: 40 * log_loss(held, m.predict_proba(x[80:]))),
        (AGE, GradientBoostingRegressor, values, lambda m, held: ((m.predict(x[80:]) - held) ** 2).sum()),
    ):
        ours = _loss_after_each_tree(task, booster(n_estimators=6, random_state=0).fit(x[:80], y[:80]), x[80:], y[80:])
        expected = [loss(booster(n_estimators=n, random_state=0).fit(x[:80], y[:80]), y[80:]) for n in range(1, 7)]
        np.testing.assert_allclose(ours, expected, rtol=1e-8)


# --------------------------------------------------------------------------------------- what all of them promise


def test_missing_labels_and_expression_and_classes_of_one_sample_raise_no_complaint():
    partial, holes = TRAIN.copy(), TEST.copy()
    partial.obs.loc[partial.obs_names[::4], ["os_time", "os_event", "age"]] = np.nan
    partial.obs.loc[partial.obs_names[::3], "subtype"] = None
    partial.obs.loc[partial.obs_names[1], "subtype"] = "rare"
    partial.X[::5, 2] = holes.X[::3, 0] = np.nan
    predictions = quick(n_trees=20).fit(partial).predict(holes)
    assert numbers(predictions).notna().all(axis=None)
    assert list(predictions["subtype"].probabilities) == ["basal", "her2", "luminal", "rare"]
    assert predictions["subtype"].probabilities.sum(axis=1).to_numpy() == pytest.approx(1)


def test_what_cannot_be_done_is_refused_by_name(monkeypatch):
    few = TRAIN.copy()
    few.obs["os_event"] = (np.arange(TRAIN.n_obs) < 2).astype(float)
    with pytest.raises(ValueError, match=r"'os' has 2 events among its 200 labelled .*; a Cox model needs 5"):
        GradientBoosting(OS).fit(few)
    for module in [m for m in sys.modules if m.split(".")[0] == "sksurv"] + ["sksurv"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"needs scikit-survival: pip install 'gexcore\[peers\]'"):
        GradientBoosting(OS).fit(TRAIN)
    assert GradientBoosting(AGE, n_trees=2).fit(TRAIN).predict(TEST)["age"].values.notna().all()
