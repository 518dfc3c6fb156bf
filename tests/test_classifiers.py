"""Forest, support vector machine and null model: planted signal is found, probabilities are what they say."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import gexcore as gx
from gexcore.baselines.classifiers import LinearSVM, Majority, RandomForest

SUBTYPE, AGE, STATUS = gx.Classification("subtype"), gx.Regression("age"), gx.Classification("status")
SHARES = {"basal": 0.5, "her2": 0.3, "luminal": 0.2}


def cohort(n, *, seed):
    """Genes g0 to g2 carry the subtype, g3 the status, g4 the age, 15 nothing; each on a scale of its own."""
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
    genes = pd.DataFrame(index=[f"g{j}" for j in range(20)])
    return ad.AnnData((x * np.geomspace(0.1, 10, 20) + np.arange(20)).astype("float32"), obs=obs, var=genes)


TRAIN, TEST = cohort(250, seed=0), cohort(1500, seed=1)
PEERS = {
    "forest": lambda tasks, **more: RandomForest(tasks, n_trees=40, **more),
    "machine": LinearSVM,
    "majority": Majority,
}
every_peer = pytest.mark.parametrize("name", PEERS)


@pytest.fixture(scope="module")
def fitted():
    return {name: peer([SUBTYPE, STATUS, AGE]).fit(TRAIN) for name, peer in PEERS.items()}


@pytest.fixture(scope="module")
def predicted(fitted):
    return {name: model.predict(TEST) for name, model in fitted.items()}


def numbers(predictions):
    """Every prediction of a model in one table, samples x numbers."""
    tables = [p.values if p.task.kind == "regression" else p.probabilities for p in predictions.values()]
    return pd.concat(tables, axis=1)


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


# --------------------------------------------------------------------------------------- what all of them promise


@every_peer
def test_predictions_keep_the_ids_and_ignore_the_order_of_samples_and_genes(fitted, predicted, name):
    expected = numbers(predicted[name])
    assert list(expected.index) == list(TEST.obs_names)
    rng = np.random.default_rng(1)
    shuffled = TEST[rng.permutation(TEST.obs_names), rng.permutation(TEST.var_names)].copy()
    pd.testing.assert_frame_equal(numbers(fitted[name].predict(shuffled)).loc[expected.index], expected)


@every_peer
def test_neither_validation_samples_nor_labels_of_test_samples_teach_anything(predicted, name):
    spoilt = TEST.copy()
    for column in spoilt.obs:
        spoilt.obs[column] = np.random.default_rng(0).permutation(spoilt.obs[column])
    again = PEERS[name]([SUBTYPE, STATUS, AGE]).fit(TRAIN, spoilt)
    pd.testing.assert_frame_equal(numbers(again.predict(spoilt)), numbers(predicted[name]))


@every_peer
def test_missing_labels_and_expression_and_classes_of_one_sample_raise_no_complaint(name):
    partial, holes = TRAIN.copy(), TEST.copy()
    partial.obs.loc[partial.obs_names[::4], "age"] = np.nan
    partial.obs.loc[partial.obs_names[::3], "subtype"] = None
    partial.obs["status"] = np.where(np.arange(250) == 1, "positive", "negative")
    partial.obs.loc[partial.obs_names[1], "subtype"] = "rare"
    partial.X[::5, 2] = holes.X[::3, 0] = np.nan
    predictions = PEERS[name]([SUBTYPE, STATUS, AGE]).fit(partial).predict(holes)
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
    with pytest.raises(NotFittedError, match=r"not fitted: call fit\(train\) before predict"):
        PEERS[name](SUBTYPE).predict(TEST)
    with pytest.raises(TypeError, match=r"predicts classification and regression, not os \(survival\)"):
        PEERS[name](gx.Survival("os", time="os_time", event="os_event"))
