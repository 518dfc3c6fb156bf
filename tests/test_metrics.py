"""Scores: scikit-survival, scikit-learn and scipy as oracles, tiny cases by hand, and what must not matter."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn.metrics
import sksurv.datasets
import sksurv.linear_model
import sksurv.metrics
from sksurv.util import Surv

from gexcore import metrics
from gexcore.metrics import evaluate
from gexcore.tasks import (
    Classification,
    ClassPrediction,
    CohortWarning,
    Regression,
    Survival,
    SurvivalPrediction,
    ValuePrediction,
)

OS = Survival("os", time="time", event="event")


def cohort(**columns) -> ad.AnnData:
    obs = pd.DataFrame(columns)
    obs.index = [f"s{i}" for i in obs.index]
    return ad.AnnData(np.zeros((len(obs), 1), dtype="float32"), obs=obs)


def patients(rng, n, *, decimals=0, followed=30.0):
    """Rounded times, so that events, censorings and risks tie; risk raises the hazard."""
    risk = rng.normal(size=n).round(1)
    happens, leaves = rng.exponential(10 * np.exp(-risk)), np.minimum(rng.exponential(15, size=n), followed)
    time = np.minimum(happens, leaves).round(decimals)
    return cohort(time=time, event=(happens <= leaves).astype(float)), risk


def prediction(data, risk, *, task=OS):
    grid = np.linspace(0, 40, 30)
    curves = np.exp(-grid[:, None] / 12 * np.exp(0.7 * np.asarray(risk)))
    samples = data.obs_names
    return SurvivalPrediction(task, pd.Series(risk, samples), pd.DataFrame(curves, index=grid, columns=samples))


def scores(predictions, test, task="os", **known):
    return evaluate(predictions, test, **known).query("task == @task").set_index("metric")["value"]


def surv(data):
    labels = OS.read(data.obs).dropna()
    return Surv.from_arrays(labels["event"] == 1, labels["time"])


def oracle(pred, test, train, horizon):
    """The same scores by scikit-survival, on the grid that evaluate documents."""
    past, now = surv(train), surv(test)
    beyond = now["time"] > horizon  # scikit-survival refuses later events outside the training follow-up
    late = now["time"].copy()
    late[beyond] = np.nextafter(horizon, np.inf)
    cut = Surv.from_arrays(now["event"] & ~beyond, late)
    times = np.linspace(now["time"][now["event"]].min(), horizon, 100)
    curves, risk = pred.survival_at(times), pred.risk.to_numpy()
    return {
        "c_index": sksurv.metrics.concordance_index_censored(now["event"], now["time"], risk)[0],
        "c_index_ipcw": sksurv.metrics.concordance_index_ipcw(past, now, risk, tau=horizon)[0],
        "ibs": sksurv.metrics.integrated_brier_score(past, cut, curves, times),
        "auc": sksurv.metrics.cumulative_dynamic_auc(past, cut, risk, times)[1],
    }


# --------------------------------------------------------------------------------------------- survival


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("decimals", [0, 3])
def test_survival_scores_equal_scikit_survival_with_and_without_ties(seed, decimals):
    rng = np.random.default_rng(seed)
    train, _ = patients(rng, 150, decimals=decimals)
    test, risk = patients(rng, 80, decimals=decimals)
    pred = prediction(test, risk)
    found = scores({"os": pred}, test, train=train)
    assert found["n"] == 80
    for metric, value in oracle(pred, test, train, found["horizon"]).items():
        assert found[metric] == pytest.approx(value, abs=1e-9), metric


def test_survival_scores_equal_scikit_survival_when_tests_outlive_the_training_follow_up():
    rng = np.random.default_rng(3)
    train, _ = patients(rng, 100, followed=12.0)
    test, risk = patients(rng, 90, followed=40.0)
    assert test.obs["time"].max() > train.obs["time"].max()
    pred = prediction(test, risk)
    found = scores({"os": pred}, test, train=train, horizon=35.0)
    assert found["horizon"] < 12  # everyone still followed in training is censored at 12
    for metric, value in oracle(pred, test, train, found["horizon"]).items():
        assert found[metric] == pytest.approx(value, abs=1e-9), metric


def test_survival_scores_equal_scikit_survival_on_transbig():
    x, y = sksurv.datasets.load_breast_cancer()
    x = x.select_dtypes("number")
    data = cohort(time=y["t.tdm"], event=y["e.tdm"].astype(float))
    train, test = data[:140], data[140:]
    model = sksurv.linear_model.CoxnetSurvivalAnalysis(l1_ratio=0.5, alphas=[0.1], fit_baseline_model=True)
    model.fit(x[:140], y[:140])
    curves = pd.DataFrame(
        model.predict_survival_function(x[140:], return_array=True).T, model.unique_times_, test.obs_names
    )
    pred = SurvivalPrediction(OS, pd.Series(model.predict(x[140:]), test.obs_names), curves)
    found = scores({"os": pred}, test, train=train)
    for metric, value in oracle(pred, test, train, found["horizon"]).items():
        assert found[metric] == pytest.approx(value, abs=1e-9), metric


def test_brier_score_and_auc_equal_scikit_survival_at_every_time():
    rng = np.random.default_rng(0)
    (train, _), (test, risk) = patients(rng, 200), patients(rng, 120)
    past, now, times = surv(train), surv(test), np.array([1.0, 2.5, 6.0, 11.0])
    censored_after = metrics.kaplan_meier(past["time"], past["event"], censoring=True)
    curves = prediction(test, risk).survival_at(times)
    known = {"times": times, "censored_after": censored_after}
    brier = metrics.brier_score(now["time"], now["event"], curves, **known)
    auc, mean = metrics.cumulative_auc(now["time"], now["event"], risk, **known)
    covered = now["time"] < past["time"].max()
    expected_auc, expected_mean = sksurv.metrics.cumulative_dynamic_auc(past, now[covered], risk[covered], times)
    assert brier == pytest.approx(sksurv.metrics.brier_score(past, now, curves, times)[1], abs=1e-9)
    assert covered.all()
    assert auc == pytest.approx(expected_auc, abs=1e-9)
    assert mean == pytest.approx(expected_mean, abs=1e-9)


def test_the_order_of_samples_does_not_matter():
    rng = np.random.default_rng(2)
    (train, _), (test, risk) = patients(rng, 80), patients(rng, 60)
    pred = prediction(test, risk)
    order = rng.permutation(test.obs_names)
    shuffled = SurvivalPrediction(OS, pred.risk[order], pred.survival[rng.permutation(test.obs_names)])
    before = evaluate({"os": pred}, test, train=train)
    after = evaluate({"os": shuffled}, test[rng.permutation(test.n_obs)], train=train[::-1])
    pd.testing.assert_frame_equal(before, after, atol=1e-12)


def test_censoring_weights_never_come_from_test_labels():
    rng = np.random.default_rng(4)
    (train, _), (test, risk) = patients(rng, 120), patients(rng, 60)
    poisoned = test.copy()
    poisoned.obs["event"] = poisoned.obs["event"].where(rng.random(60) < 0.5, 0.0)
    pred = prediction(poisoned, risk)
    found = scores({"os": pred}, poisoned, train=train)
    assert found["horizon"] == scores({"os": pred}, test, train=train)["horizon"]
    for metric, value in oracle(pred, poisoned, train, found["horizon"]).items():
        assert found[metric] == pytest.approx(value, abs=1e-9), metric


def test_without_training_samples_the_weighted_scores_are_absent():
    test, risk = patients(np.random.default_rng(5), 40)
    assert list(scores({"os": prediction(test, risk)}, test).index) == ["n", "c_index"]


def test_the_default_horizon_is_the_90th_percentile_of_training_follow_up():
    rng = np.random.default_rng(6)
    (train, _), (test, risk) = patients(rng, 200, decimals=3), patients(rng, 200, decimals=3)
    found = scores({"os": prediction(test, risk)}, test, train=train)
    assert found["horizon"] == pytest.approx(np.quantile(train.obs["time"], 0.9))
    assert scores({"os": prediction(test, risk)}, test, train=train, horizon=5.0)["horizon"] == 5


def test_a_method_without_survival_curves_has_no_brier_score():
    rng = np.random.default_rng(9)
    (train, _), (test, risk) = patients(rng, 60), patients(rng, 40)
    found = scores({"os": SurvivalPrediction(OS, pd.Series(risk, test.obs_names))}, test, train=train)
    assert list(found.index[found.isna()]) == ["ibs"]


# ----------------------------------------------------------------------------- classification, regression


def classes(rng, n, names):
    truth = rng.choice(names, size=n)
    raw = rng.gamma(1.0, size=(n, len(names))) + (truth[:, None] == np.array(names))
    test = cohort(subtype=truth)
    table = pd.DataFrame(raw / raw.sum(axis=1, keepdims=True), index=test.obs_names, columns=names)
    return test, ClassPrediction(Classification("subtype"), table)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c", "d"]])
def test_classification_scores_equal_scikit_learn(names):
    test, pred = classes(np.random.default_rng(0), 90, names)
    found = scores({"subtype": pred}, test, task="subtype")
    truth, labels, p = test.obs["subtype"].to_numpy(), pred.labels.to_numpy(), pred.probabilities.to_numpy()
    auroc = sklearn.metrics.roc_auc_score(truth, p[:, 1] if len(names) == 2 else p, multi_class="ovr")
    assert found["accuracy"] == pytest.approx((truth == labels).mean())
    assert found["f1"] == pytest.approx(sklearn.metrics.f1_score(truth, labels, average="macro"))
    assert found["precision"] == pytest.approx(sklearn.metrics.precision_score(truth, labels, average="macro"))
    assert found["recall"] == pytest.approx(sklearn.metrics.recall_score(truth, labels, average="macro"))
    assert found["auroc"] == pytest.approx(auroc)


def test_a_class_absent_from_test_is_left_out_of_the_auroc():
    test, pred = classes(np.random.default_rng(1), 90, ["a", "b", "c"])
    kept = test[test.obs["subtype"] != "c"]
    pred = ClassPrediction(pred.task, pred.probabilities.loc[kept.obs_names])
    truth = kept.obs["subtype"].to_numpy()
    expected = np.mean([sklearn.metrics.roc_auc_score(truth == k, pred.probabilities[k]) for k in "ab"])
    assert scores({"subtype": pred}, kept, task="subtype")["auroc"] == pytest.approx(expected)


def test_a_class_the_model_never_saw_counts_as_wrong():
    test, pred = classes(np.random.default_rng(2), 60, ["a", "b", "c"])
    before = scores({"subtype": pred}, test, task="subtype")["accuracy"]
    right = (pred.labels == test.obs["subtype"]).idxmax()
    test.obs["subtype"] = test.obs["subtype"].astype(object)
    test.obs.loc[right, "subtype"] = "new"
    with pytest.warns(CohortWarning, match=r"1 samples have a class the model does not know \(new; it knows a, b, c\)"):
        after = scores({"subtype": pred}, test, task="subtype")["accuracy"]
    assert after == pytest.approx(before - 1 / 60)


def test_regression_scores_equal_scipy():
    rng = np.random.default_rng(0)
    truth = rng.normal(60, 10, size=50).round()
    values = truth + rng.normal(0, 8, size=50).round()
    test = cohort(age=truth)
    found = scores({"age": ValuePrediction(Regression("age"), pd.Series(values, test.obs_names))}, test, task="age")
    assert found["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(truth, values))
    assert found["rmse"] == pytest.approx(sklearn.metrics.root_mean_squared_error(truth, values))
    assert found["pcc"] == pytest.approx(scipy.stats.pearsonr(truth, values).statistic)
    assert found["scc"] == pytest.approx(scipy.stats.spearmanr(truth, values).statistic)


# ---------------------------------------------------------------------------------------------- evaluate


def test_samples_without_a_label_are_left_out_of_that_task_only():
    test = cohort(age=[50.0, np.nan, 70.0], grade=["1", "2", None])
    age = ValuePrediction(Regression("age"), pd.Series([51.0, 1e6, 72.0], test.obs_names))
    table = pd.DataFrame({"1": [0.9, 0.2, 0.5], "2": [0.1, 0.8, 0.5]}, index=test.obs_names)
    found = evaluate({"age": age, "grade": ClassPrediction(Classification("grade"), table)}, test)
    value = found.set_index(["task", "metric"])["value"]
    assert value["age", "n"] == value["grade", "n"] == 2
    assert value["age", "mae"] == 1.5
    assert value["grade", "accuracy"] == value["grade", "auroc"] == 1


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (["s0", "s1"], "lacks samples of the test cohort: 1, first s2"),
        (["s0", "s1", "s2", "x"], "holds samples that the test cohort lacks: 1, first x"),
        (["s0", "s1", "s2", "s2"], "twice.* first s2"),
    ],
)
def test_predictions_for_other_samples_are_refused_by_name(index, message):
    pred = ValuePrediction(Regression("age"), pd.Series(1.0, index))
    with pytest.raises(ValueError, match=message):
        evaluate({"age": pred}, cohort(age=[1.0, 2.0, 3.0]))


def test_predictions_that_are_not_numbers_are_refused_by_name():
    test = cohort(time=[1.0, 2.0], event=[1, 0])
    pred = SurvivalPrediction(OS, pd.Series([np.nan, 1.0], test.obs_names))
    with pytest.raises(ValueError, match="task 'os' is not a number for samples: 1, first s0"):
        evaluate({"os": pred}, test)
