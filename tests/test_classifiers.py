"""Forest, support vector machine and null model: planted signal is found, probabilities are what they say."""

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index
from scipy.optimize import minimize
from scipy.stats import pearsonr
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import gexcore as gx
from gexcore.baselines.classifiers import LinearSVM, Majority, RandomForest

SUBTYPE, AGE, STATUS = gx.Classification("subtype"), gx.Regression("age"), gx.Classification("status")
OS = gx.Survival("os", time="os_time", event="os_event")
SHARES = {"basal": 0.5, "her2": 0.3, "luminal": 0.2}


def cohort(n, *, seed):
    """Genes g0 to g2 carry the subtype, g3 the status, g4 the age, g5 the hazard, 14 nothing; no two have one scale."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 20))
    odds = 2 * x[:, :3] + np.log(list(SHARES.values())) + rng.gumbel(size=(n, 3))
    obs = pd.DataFrame(
        {
            "subtype": np.array(list(SHARES))[odds.argmax(axis=1)],
            "status": np.where(3 * x[:, 3] + rng.logistic(size=n) > 0, "positive", "negative"),
            "age": 60 + 8 * x[:, 4] + rng.normal(0, 3, size=n),
        },
        index=[f"p{seed}-{i}" for i in range(n)],
    )
    happens, leaves = rng.exponential(20 * np.exp(-1.5 * x[:, 5])), rng.uniform(5, 60, size=n)
    obs["os_time"], obs["os_event"] = np.minimum(happens, leaves), (happens <= leaves).astype(float)
    genes = pd.DataFrame(index=[f"g{j}" for j in range(20)])
    return ad.AnnData((x * np.geomspace(0.1, 10, 20) + np.arange(20)).astype("float32"), obs=obs, var=genes)


TRAIN, TEST = cohort(250, seed=0), cohort(1500, seed=1)
PEERS = {
    "forest": lambda tasks, **more: RandomForest(tasks, n_trees=40, **more),
    "machine": LinearSVM,
    "majority": Majority,
}
LABELS = [SUBTYPE, STATUS, AGE]
TASKS = {"forest": LABELS, "machine": [*LABELS, OS], "majority": LABELS}
every_peer = pytest.mark.parametrize("name", PEERS)


@pytest.fixture(scope="module")
def fitted():
    return {name: peer(TASKS[name]).fit(TRAIN) for name, peer in PEERS.items()}


@pytest.fixture(scope="module")
def predicted(fitted):
    return {name: model.predict(TEST) for name, model in fitted.items()}


def numbers(predictions):
    """Every prediction of a model in one table, samples x numbers."""
    columns = {"survival": "risk", "classification": "probabilities", "regression": "values"}
    return pd.concat([getattr(p, columns[p.task.kind]) for p in predictions.values()], axis=1)


def scores(predictions):
    return gx.evaluate(predictions, TEST).set_index(["task", "metric"])["value"]


# ------------------------------------------------------------------------------------------- what is learned


@pytest.mark.parametrize("name", ["forest", "machine"])
def test_planted_classes_and_numbers_are_found_and_the_null_model_is_beaten(predicted, name):
    ours, null = scores(predicted[name]), scores(predicted["majority"])
    for task, auroc in (("subtype", 0.8), ("status", 0.85)):
        assert ours[task, "accuracy"] > null[task, "accuracy"] + 0.15
        assert ours[task, "auroc"] > auroc
        assert null[task, "auroc"] == 0.5
    assert ours["age", "mae"] < 0.7 * null["age", "mae"]
    assert pearsonr(predicted[name]["age"].values, TEST.obs["age"]).statistic > 0.8


def test_the_null_model_predicts_the_training_frequencies_and_mean_for_everybody(predicted):
    probabilities = predicted["majority"]["subtype"].probabilities
    expected = TRAIN.obs["subtype"].value_counts() / 250
    for subtype in SHARES:
        assert probabilities[subtype].to_numpy() == pytest.approx(expected[subtype])
    assert (predicted["majority"]["subtype"].labels == "basal").all()
    assert predicted["majority"]["age"].values.to_numpy() == pytest.approx(TRAIN.obs["age"].mean())


def test_the_machine_is_that_of_scikit_learn_on_standardised_genes():
    train = TRAIN[TRAIN.obs["subtype"] != "her2"].copy()
    for task, part in ((SUBTYPE, TRAIN), (STATUS, TRAIN), (SUBTYPE, train)):
        model = LinearSVM(task, clip=None).fit(part)
        machine, sharpness = model.models_[task.name]
        scaler = StandardScaler().fit(part.X)
        oracle = LinearSVC(C=machine.C, dual=False).fit(scaler.transform(part.X), part.obs[task.name])
        decision = oracle.decision_function(scaler.transform(TEST.X))
        prediction = model.predict(TEST)[task.name]
        assert (prediction.labels == oracle.predict(scaler.transform(TEST.X))).all()
        p = prediction.probabilities
        if decision.ndim == 1:  # of two classes, the log-odds are the sharpened margin, once for either sign
            np.testing.assert_allclose(np.log(p.iloc[:, 1] / p.iloc[:, 0]), 2 * sharpness * decision, atol=0.02)
        else:
            first = np.log(p.to_numpy()) - np.log(p.to_numpy()[:, :1])
            np.testing.assert_allclose(first, sharpness * (decision - decision[:, :1]), atol=0.02)


def test_the_forest_is_that_of_scikit_learn():
    scaler = StandardScaler().fit(TRAIN.X)
    oracle = RandomForestClassifier(40, random_state=3).fit(scaler.transform(TRAIN.X), TRAIN.obs["subtype"])
    ours = PEERS["forest"](SUBTYPE, clip=None, seed=3).fit(TRAIN).predict(TEST)["subtype"].probabilities
    np.testing.assert_allclose(ours, oracle.predict_proba(scaler.transform(TEST.X)), atol=0.05)
    assert np.abs(ours - oracle.predict_proba(scaler.transform(TEST.X))).mean(axis=None) < 1e-3  # ties by rounding
    oracle = RandomForestRegressor(40, max_features=1 / 3, random_state=3).fit(
        scaler.transform(TRAIN.X), TRAIN.obs["age"]
    )
    ours = PEERS["forest"](AGE, clip=None, seed=3).fit(TRAIN).predict(TEST)["age"].values
    assert np.abs(ours - oracle.predict(scaler.transform(TEST.X))).mean() < 0.05


@pytest.mark.parametrize("task", [SUBTYPE, STATUS], ids=["three classes", "two"])
def test_probabilities_of_the_machine_are_as_good_as_those_of_logistic_regression(predicted, task):
    probabilities, truth = predicted["machine"][task.name].probabilities, TEST.obs[task.name]
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1)
    scaler = StandardScaler().fit(TRAIN.X)
    oracle = LogisticRegression(C=0.1).fit(scaler.transform(TRAIN.X), TRAIN.obs[task.name])
    theirs = log_loss(truth, oracle.predict_proba(scaler.transform(TEST.X)))
    assert log_loss(truth, probabilities) < 1.05 * theirs
    assert probabilities.max(axis=1).mean() == pytest.approx(
        scores(predicted["machine"])[task.name, "accuracy"], abs=0.05
    )


def test_the_penalty_of_the_machine_is_stronger_where_genes_say_little():
    noise = TRAIN.copy()
    noise.obs["subtype"] = np.random.default_rng(0).permutation(TRAIN.obs["subtype"])
    weak, strong = (LinearSVM(SUBTYPE).fit(part).models_["subtype"][0].C for part in (TRAIN, noise))
    assert strong < weak


# --------------------------------------------------------------------------------------- the machine that ranks


def concordance(risk, part=TEST):
    return concordance_index(part.obs["os_time"], -risk, part.obs["os_event"])


def test_higher_risk_means_shorter_survival_and_there_is_no_curve_to_score(predicted):
    prediction = predicted["machine"]["os"]
    assert concordance(prediction.risk) > 0.75
    score = gx.evaluate({"os": prediction}, TEST, train=TRAIN).set_index("metric")["value"]
    assert score["c_index"] == pytest.approx(concordance(prediction.risk))
    assert np.isnan(score["ibs"])
    assert score.drop("ibs").notna().all()
    assert score[["c_index_ipcw", "auc"]].min() > 0.75
    with pytest.raises(ValueError, match="ranks patients but predicts no survival curve"):
        prediction.survival_at([10.0])


def test_risks_are_those_of_the_best_separation_of_all_comparable_pairs():
    z, new = ((part.X - TRAIN.X.mean(axis=0)) / TRAIN.X.std(axis=0) for part in (TRAIN, TEST))
    ours = LinearSVM(OS, clip=None).fit(TRAIN)
    time, event, alpha = TRAIN.obs["os_time"].to_numpy(), TRAIN.obs["os_event"] == 1, ours.models_["os"].alpha
    first, later = np.nonzero((time[:, None] < time) & event.to_numpy()[:, None])
    pairs = (z[first] - z[later]).astype(float)

    def loss(w):
        short = np.maximum(1 - pairs @ w, 0)
        return w @ w / 2 + alpha / 2 * short @ short, w - alpha * short @ pairs

    best = minimize(loss, np.zeros(20), jac=True, tol=1e-12).x
    np.testing.assert_allclose(ours.predict(TEST)["os"].risk, new @ best, atol=1e-3)


def test_only_the_order_of_times_is_learned_from_and_a_time_of_zero_is_one_of_them(predicted):
    other = TRAIN.copy()
    other.obs["os_time"] = np.exp(other.obs["os_time"] / 10) - np.exp(other.obs["os_time"].min() / 10)
    assert other.obs["os_time"].min() == 0
    again = LinearSVM(OS).fit(other).predict(TEST)["os"].risk
    pd.testing.assert_series_equal(again, predicted["machine"]["os"].risk)


def test_shuffled_outcomes_rank_by_chance():
    shuffled, rng = [TRAIN.copy(), TEST.copy()], np.random.default_rng(2)
    for part in shuffled:
        part.obs[["os_time", "os_event"]] = rng.permutation(part.obs[["os_time", "os_event"]].to_numpy())
    train, test = shuffled
    assert concordance(LinearSVM(OS).fit(train).predict(test)["os"].risk, test) == pytest.approx(0.5, abs=0.03)


# --------------------------------------------------------------------------------------- what all of them promise


@every_peer
def test_missing_labels_and_expression_and_classes_of_one_sample_raise_no_complaint(name):
    partial, holes = TRAIN.copy(), TEST.copy()
    partial.obs.loc[partial.obs_names[::4], ["age", "os_time", "os_event"]] = np.nan
    partial.obs.loc[partial.obs_names[::3], "subtype"] = None
    partial.obs["status"] = np.where(np.arange(250) == 1, "positive", "negative")
    partial.obs.loc[partial.obs_names[1], "subtype"] = "rare"
    partial.X[::5, 2] = holes.X[::3, 0] = np.nan
    predictions = PEERS[name](TASKS[name]).fit(partial).predict(holes)
    assert numbers(predictions).notna().all(axis=None)
    assert list(predictions["subtype"].probabilities) == ["basal", "her2", "luminal", "rare"]


def test_classes_wholly_apart_are_told_with_certainty_and_without_complaint():
    apart = TRAIN.copy()
    apart.obs["status"] = np.where(apart.X[:, 0] > np.median(apart.X[:, 0]), "positive", "negative")
    apart.X[:, 0] += 10 * (apart.obs["status"] == "positive")
    p = LinearSVM(STATUS).fit(apart).predict(apart)["status"]
    assert (p.labels == apart.obs["status"]).all()
    assert p.probabilities.max(axis=1).min() > 0.95


@every_peer
def test_what_cannot_be_predicted_is_refused(name):
    if name != "machine":
        with pytest.raises(TypeError, match=r"predicts classification and regression, not os \(survival\)"):
            PEERS[name](OS)


def test_without_events_or_scikit_survival_the_machine_says_what_it_needs_to_rank(monkeypatch):
    few = TRAIN.copy()
    few.obs["os_event"] = (np.arange(250) < 4).astype(float)
    with pytest.raises(ValueError, match=r"'os' has 4 events among its 250 labelled .*; LinearSVM needs 5 or more"):
        LinearSVM(OS).fit(few)
    for module in [m for m in sys.modules if m.split(".")[0] == "sksurv"] + ["sksurv"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"LinearSVM needs scikit-survival: pip install 'gexcore\[peers\]'"):
        LinearSVM(OS).fit(TRAIN)
    assert LinearSVM(AGE).fit(TRAIN).predict(TEST)["age"].values.notna().all()
