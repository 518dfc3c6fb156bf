"""Classical peers: planted signal is found, ids are kept, and nothing but the training samples is learned from."""

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index
from scipy.stats import pearsonr

from gexcore.baselines import ClinicalCox, ElasticNetCox, LinearModel, SurvivalForest
from gexcore.tasks import Classification, CohortWarning, Regression, Survival

OS = Survival("os", time="os_time", event="os_event")
SUBTYPE, AGE = Classification("subtype"), Regression("age")


@pytest.fixture(scope="module")
def parts() -> tuple[ad.AnnData, ad.AnnData]:
    """Gene g0 carries the hazard, g1 to g3 the subtype, g4 the age, 25 genes nothing; smoking adds to the hazard."""
    rng = np.random.default_rng(0)
    n = 300
    x = rng.normal(size=(n, 30)).astype("float32")
    smoker = rng.random(n) < 0.3
    happens, leaves = rng.exponential(20 * np.exp(-1.2 * x[:, 0] - smoker)), rng.uniform(5, 60, size=n)
    obs = pd.DataFrame(
        {
            "os_time": np.minimum(happens, leaves).round(1),
            "os_event": (happens <= leaves).astype(float),
            "subtype": np.array(["basal", "her2", "luminal"])[(2 * x[:, 1:4] + rng.normal(size=(n, 3))).argmax(axis=1)],
            "age": 60 + 8 * x[:, 4] + rng.normal(0, 3, size=n),
            "smoking": np.where(smoker, "yes", "no"),
            "size_mm": 20 + 5 * x[:, 0] + rng.normal(0, 2, size=n),
        },
        index=[f"p{i}" for i in range(n)],
    )
    data = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(30)]))
    return data[:200].copy(), data[200:].copy()


PEERS = {
    "linear": lambda: LinearModel([SUBTYPE, AGE]),
    "elastic net": lambda: ElasticNetCox(OS),
    "forest": lambda: SurvivalForest(OS, n_trees=30),
    "clinical": lambda: ClinicalCox(OS, covariates=["smoking", "size_mm"]),
}
SURVIVAL = {name: peer for name, peer in PEERS.items() if name != "linear"}


def numbers(predictions) -> pd.DataFrame:
    """Every prediction of a model in one table, samples x numbers."""
    tables = []
    for p in predictions.values():
        tables += [p.risk, p.survival.T] if p.task.kind == "survival" else []
        tables += [p.probabilities] if p.task.kind == "classification" else []
        tables += [p.values] if p.task.kind == "regression" else []
    return pd.concat(tables, axis=1)


def test_linear_model_recovers_planted_subtype_and_age(parts):
    train, test = parts
    predictions = LinearModel([SUBTYPE, AGE]).fit(train).predict(test)
    assert (predictions["subtype"].labels == test.obs["subtype"]).mean() > 0.75
    assert pearsonr(predictions["age"].values, test.obs["age"]).statistic > 0.9
    assert list(predictions["subtype"].probabilities) == ["basal", "her2", "luminal"]
    assert predictions["subtype"].probabilities.sum(axis=1).to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("name", SURVIVAL)
def test_higher_risk_means_shorter_survival(parts, name):
    train, test = parts
    risk = SURVIVAL[name]().fit(train).predict(test)["os"].risk
    assert concordance_index(test.obs["os_time"], -risk, test.obs["os_event"]) > 0.68


@pytest.mark.parametrize("name", SURVIVAL)
def test_survival_curves_start_at_one_and_fall_with_the_risk(parts, name):
    train, test = parts
    prediction = SURVIVAL[name]().fit(train).predict(test)["os"]
    curves = prediction.survival
    assert curves.index[0] == 0
    assert curves.index.is_monotonic_increasing
    assert curves.index.is_unique
    assert (curves.iloc[0] == 1).all()
    assert (curves.diff().iloc[1:] <= 1e-12).all(axis=None)
    assert curves.min(axis=None) >= 0
    assert prediction.risk.corr(curves.mean(), method="spearman") < -0.95


def test_missing_expression_and_absent_genes_are_filled_as_in_training(parts):
    train, test = parts
    holes = test[:, 1:].copy()
    holes.X[::3, 5] = np.nan
    model = ElasticNetCox(OS).fit(train)
    with pytest.warns(CohortWarning, match="g0"):
        risk = model.predict(holes)["os"].risk
    assert risk.notna().all()


def test_a_class_with_one_sample_is_learned_without_complaint(parts):
    train, test = parts
    rare = train.copy()
    rare.obs.loc["p0", "subtype"] = "rare"
    probabilities = LinearModel(SUBTYPE).fit(rare).predict(test)["subtype"].probabilities
    assert "rare" in probabilities


def test_clinical_cox_equals_lifelines_on_the_columns_coded_by_hand(parts):
    from lifelines import CoxPHFitter

    train, test = parts
    model = ClinicalCox(OS, covariates=["smoking", "size_mm"], penalty=0.1).fit(train)
    mean, sd = train.obs["size_mm"].mean(), train.obs["size_mm"].std(ddof=0)

    def code(obs):
        return pd.DataFrame({"size": (obs["size_mm"] - mean) / sd, "smoker": (obs["smoking"] == "yes").astype(float)})

    by_hand = CoxPHFitter(penalizer=0.1).fit(
        code(train.obs).join(train.obs[["os_time", "os_event"]]), "os_time", "os_event"
    )
    expected = by_hand.predict_log_partial_hazard(code(test.obs))
    assert model.predict(test)["os"].risk.to_numpy() == pytest.approx(expected.to_numpy())


def test_missing_covariates_become_the_training_median_and_the_most_frequent_category(parts):
    train, test = parts
    model = ClinicalCox(OS, covariates=["smoking", "size_mm"]).fit(train)
    holes, filled = test.copy(), test.copy()
    holes.obs["smoking"], filled.obs["smoking"] = None, "no"
    holes.obs["size_mm"], filled.obs["size_mm"] = np.nan, train.obs["size_mm"].median()
    pd.testing.assert_series_equal(model.predict(holes)["os"].risk, model.predict(filled)["os"].risk)
    unseen = filled.copy()
    unseen.obs["smoking"] = "pipe"
    pd.testing.assert_series_equal(model.predict(unseen)["os"].risk, model.predict(filled)["os"].risk)


def test_a_category_without_events_stays_finite(parts):
    train, test = parts
    train = train.copy()
    train.obs["stage"] = np.where(train.obs["os_event"] == 1, "II", np.where(np.arange(200) % 3 == 0, "0", "II"))
    risk = (
        ClinicalCox(OS, covariates=["stage"])
        .fit(train)
        .predict(ad.AnnData(test.X, obs=test.obs.assign(stage="0"), var=test.var))["os"]
        .risk
    )
    assert risk.abs().max() < 10


def test_an_absent_covariate_is_refused_by_name(parts):
    with pytest.raises(KeyError, match="lacks the covariates \\['stage'\\]"):
        ClinicalCox(OS, covariates=["stage"]).fit(parts[0])


def test_tasks_of_another_kind_are_refused_by_name():
    with pytest.raises(TypeError, match=r"LinearModel predicts classification and regression, not os \(survival\)"):
        LinearModel([OS, AGE])
    with pytest.raises(TypeError, match=r"ElasticNetCox predicts survival, not age \(regression\)"):
        ElasticNetCox(AGE)


@pytest.mark.parametrize("name", ["elastic net", "forest"])
def test_without_scikit_survival_the_extra_is_named(parts, name, monkeypatch):
    for module in [m for m in sys.modules if m.split(".")[0] == "sksurv"] + ["sksurv"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"needs scikit-survival: pip install 'gexcore\[peers\]'"):
        PEERS[name]().fit(parts[0])
