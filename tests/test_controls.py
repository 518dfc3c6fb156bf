"""Controls: the null model, clinical columns beside the genes, and labels first, each against what it has to equal."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.utils import concordance_index
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

import gexcore as gx
from gexcore.baselines import ClinicalCox, LinearModel, Majority, RidgeCox
from gexcore.baselines.classical import _folds
from gexcore.baselines.controls import ClinicalExpressionCox, Null, TwoStage
from gexcore.metrics import kaplan_meier

OS, GRADE, AGE = gx.Survival("os", time="os_time", event="os_event"), gx.Classification("grade"), gx.Regression("age")
COVARIATES = ["smoking", "size_mm"]
GENES = [f"g{j}" for j in range(40)]


def cohort(n, *, seed):
    """Genes g0 and g1 tell the grade, g2 the age, g3 to g5 a hazard of their own; grade, smoking and size add to it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 40))
    grade = 1 + (x[:, 0] + x[:, 1] + 0.6 * rng.normal(size=n) > 0)
    smoker, size = rng.random(n) < 0.3, rng.normal(size=n)
    log_hazard = 2.5 * (grade == 2) + 0.5 * x[:, 3:6].sum(axis=1) + 0.8 * smoker + 0.7 * size
    happens, leaves = rng.exponential(40 * np.exp(-log_hazard)), rng.uniform(5, 60, size=n)
    obs = pd.DataFrame(
        {
            "os_time": np.minimum(happens, leaves),
            "os_event": (happens <= leaves).astype(float),
            "grade": grade.astype(str),
            "age": 60 + 8 * x[:, 2] + rng.normal(0, 3, size=n),
            "smoking": np.where(smoker, "yes", "no"),
            "size_mm": 20 + 5 * size,
        },
        index=[f"p{seed}-{i}" for i in range(n)],
    )
    return ad.AnnData(x.astype("float32"), obs=obs, var=pd.DataFrame(index=GENES))


TRAIN, TEST = cohort(240, seed=0), cohort(600, seed=1)
CONTROLS = {
    "null": lambda: Null([OS, GRADE, AGE]),
    "clinical and expression": lambda: ClinicalExpressionCox(OS, covariates=COVARIATES),
    "two stages": lambda: TwoStage([GRADE, OS, AGE]),
}
every_control = pytest.mark.parametrize("name", CONTROLS)


@pytest.fixture(scope="module")
def fitted():
    return {name: make().fit(TRAIN) for name, make in CONTROLS.items()}


def numbers(predictions):
    """Every prediction of a model in one table, samples x numbers."""
    tables = []
    for p in predictions.values():
        tables += [p.risk, p.survival.T] if p.task.kind == "survival" else []
        tables += [p.probabilities] if p.task.kind == "classification" else []
        tables += [p.values] if p.task.kind == "regression" else []
    return pd.concat(tables, axis=1)


def concordance(model, train=TRAIN, test=TEST):
    risk = model.fit(train).predict(test)["os"].risk
    return concordance_index(test.obs["os_time"], -risk, test.obs["os_event"])


def noise(part, *, seed):
    """The same samples and labels with 150 genes that say nothing."""
    x = np.random.default_rng(seed).normal(size=(part.n_obs, 150)).astype("float32")
    return ad.AnnData(x, obs=part.obs.copy(), var=pd.DataFrame(index=[f"n{j}" for j in range(150)]))


# -------------------------------------------------------------------------------------------------- null


def test_the_null_curve_is_that_of_kaplan_and_meier_by_hand():
    six = TRAIN[:6].copy()
    six.obs["os_time"], six.obs["os_event"] = [3.0, 1.0, 2.0, 2.0, 4.0, 5.0], [1.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    prediction = Null(OS).fit(six).predict(TEST[:2])["os"]
    # 1 of 6 at time 1, 1 of 5 at time 2 (the censored one is still there), 1 of 3 at time 3, the last at time 5
    expected = [1, 5 / 6, 5 / 6 * 4 / 5, 4 / 9, 4 / 9, 0]
    np.testing.assert_allclose(prediction.survival_at(range(6)), [expected] * 2)


def test_the_null_curve_is_that_of_lifelines_for_everybody(fitted):
    survival = fitted["null"].predict(TEST)["os"].survival
    theirs = KaplanMeierFitter().fit(TRAIN.obs["os_time"], TRAIN.obs["os_event"])
    ours = kaplan_meier(TRAIN.obs["os_time"].to_numpy(), TRAIN.obs["os_event"].to_numpy())
    for expected in (theirs.survival_function_at_times(survival.index), ours(survival.index)):
        np.testing.assert_allclose(survival, np.tile(np.asarray(expected)[:, None], TEST.n_obs), atol=1e-12)
    assert len(survival) == TRAIN.obs["os_time"].nunique() + 1


def test_the_null_model_ranks_nobody_and_says_of_labels_what_the_majority_model_says(fitted):
    predictions = fitted["null"].predict(TEST)
    scores = gx.evaluate(predictions, TEST, train=TRAIN).set_index(["task", "metric"])["value"]
    assert scores["os", "c_index"] == scores["os", "c_index_ipcw"] == scores["grade", "auroc"] == 0.5
    assert scores["os", "auc"] == pytest.approx(0.5)
    assert 0 < scores["os", "ibs"] < 0.25
    pd.testing.assert_frame_equal(
        numbers({name: predictions[name] for name in ("grade", "age")}),
        numbers(Majority([GRADE, AGE]).fit(TRAIN).predict(TEST)),
    )


# ------------------------------------------------------------------------------------------ clinical and expression


def test_coefficients_are_those_of_lifelines_with_a_penalty_for_each_column():
    data = TRAIN[:, GENES[:8]].copy()
    n = data.n_obs
    model = ClinicalExpressionCox(OS, covariates=COVARIATES, clinical_penalty=0.02, penalty=30.0, clip=None).fit(data)
    z = (data.to_df() - data.X.mean(axis=0)) / data.X.std(axis=0, ddof=1)  # lifelines penalises per unit of this
    clinical = data.obs[["size_mm"]].assign(smoker=(data.obs["smoking"] == "yes").astype(float))
    table = clinical.join(z).join(data.obs[["os_time", "os_event"]])
    penalizer = np.array([0.02, 0.02] + [30.0 / n * (n - 1) / n] * 8)
    theirs = CoxPHFitter(penalizer=penalizer).fit(table, "os_time", "os_event").params_.to_numpy()
    ours = model.models_["os"].coefficient
    np.testing.assert_allclose(ours[2:] / np.sqrt(1 - 1 / n), theirs[2:], atol=1e-5)
    per_unit = [data.obs["size_mm"].std(ddof=0), 1.0]
    np.testing.assert_allclose(ours[:2] / per_unit, theirs[:2], atol=1e-5)


def test_without_room_for_genes_it_is_the_clinical_model():
    ours = ClinicalExpressionCox(OS, covariates=COVARIATES, penalty=1e9).fit(TRAIN).predict(TEST)["os"]
    theirs = ClinicalCox(OS, covariates=COVARIATES).fit(TRAIN).predict(TEST)["os"]
    difference = ours.risk - theirs.risk
    np.testing.assert_allclose(difference - difference.mean(), 0, atol=1e-4)
    np.testing.assert_allclose(ours.survival_at([10, 20, 30]), theirs.survival_at([10, 20, 30]), atol=0.01)


def test_clinic_and_expression_together_rank_better_than_either():
    both = concordance(CONTROLS["clinical and expression"]())
    assert both > concordance(RidgeCox(OS)) + 0.04
    assert both > concordance(ClinicalCox(OS, covariates=COVARIATES)) + 0.06


def test_genes_that_say_nothing_leave_the_clinical_coefficients_and_ranks_alone():
    train, test = noise(TRAIN, seed=2), noise(TEST, seed=3)
    model, clinical = CONTROLS["clinical and expression"](), ClinicalCox(OS, covariates=COVARIATES)
    assert concordance(model, train, test) > concordance(clinical, train, test) - 0.01
    size, smoking = model.models_["os"].coefficient[:2]
    assert [size, smoking] == pytest.approx(clinical.models_["os"].params_.to_list(), abs=0.1)


def test_the_penalty_of_the_genes_is_that_of_best_likelihood_out_of_fold_beside_the_clinic():
    data, rng = TRAIN[:, GENES[3:15]].copy(), np.random.default_rng(7)
    size, x = data.obs["size_mm"].to_numpy(), data.X.astype(float)
    size, x = (size - size.mean()) / size.std(ddof=1), (x - x.mean(axis=0)) / x.std(axis=0)
    data.obs["os_time"] = rng.exponential(np.exp(-3 * size - 0.3 * x.sum(axis=1))) ** 0.1  # the clinic drowns the genes
    data.obs["os_event"] = 1.0
    y, fold = Surv.from_arrays(data.obs["os_event"] == 1, data.obs["os_time"]), _folds(data.obs["os_event"], seed=0)
    both, penalties = np.column_stack([size, x]), 12 / np.geomspace(0.03, 3, 9) ** 2

    def gain(penalty):
        """What the samples of each fold add to the log partial likelihood of a model of the others."""
        total, alpha = 0.0, np.append(0.01 * data.n_obs, np.full(12, penalty))
        for k in range(5):
            rest = fold != k
            coefficient = CoxPHSurvivalAnalysis(alpha=alpha).fit(both[rest], y[rest]).coef_
            total += breslow(both @ coefficient, y) - breslow(both[rest] @ coefficient, y[rest])
        return total

    model = ClinicalExpressionCox(OS, covariates=["size_mm"], clip=None).fit(data)
    assert model.models_["os"].penalty == pytest.approx(penalties[np.argmax([gain(p) for p in penalties])])


def breslow(log_hazard, y):
    at_risk = y["time"] >= y["time"][:, None]
    return (log_hazard - np.log(at_risk @ np.exp(log_hazard)))[y["event"]].sum()


def test_the_penalty_of_the_genes_is_chosen_by_what_they_say(fitted):
    something = fitted["clinical and expression"].models_["os"]
    nothing = CONTROLS["clinical and expression"]().fit(noise(TRAIN, seed=2)[:, :40].copy()).models_["os"]
    assert nothing.penalty > 5 * something.penalty
    given = ClinicalExpressionCox(OS, covariates=COVARIATES, penalty=something.penalty).fit(TRAIN).models_["os"]
    np.testing.assert_allclose(given.coefficient, something.coefficient)


# --------------------------------------------------------------------------------------------------- two stages


def test_survival_is_predicted_through_the_predicted_labels(fitted):
    predictions = fitted["two stages"].predict(TEST)
    assert list(predictions) == ["grade", "os", "age"]
    labels = LinearModel([GRADE, AGE]).fit(TRAIN).predict(TEST)
    pd.testing.assert_frame_equal(numbers({n: predictions[n] for n in labels}), numbers(labels))
    two = concordance_index(TEST.obs["os_time"], -predictions["os"].risk, TEST.obs["os_event"])
    true = concordance(ClinicalCox(OS, covariates=["grade"]))
    assert true > 0.6
    assert two > true - 0.05
    hazard = fitted["two stages"].hazard_
    coefficient = pd.Series(hazard.models_["os"].coefficient, index=hazard.genes_)
    assert coefficient["grade = 2"] - coefficient["grade = 1"] > 0.2
    assert abs(coefficient["age"]) < 0.1
    # nothing but the labels passes: hazard genes that tell no label are not used
    assert abs(predictions["os"].risk.corr(TEST.to_df()[GENES[3:6]].sum(axis=1))) < 0.15


def test_what_expression_cannot_tell_of_the_labels_stage_two_does_not_believe():
    """Grade tells the hazard and expression nothing, yet a model of 150 genes knows the grades it was given."""
    train, test = noise(TRAIN, seed=4), noise(TEST, seed=5)
    assert concordance(ClinicalCox(OS, covariates=["grade"]), train, test) > 0.6
    honest = TwoStage([OS, GRADE, AGE])
    assert concordance(honest, train, test) == pytest.approx(0.5, abs=0.05)
    assert np.abs(honest.hazard_.models_["os"].coefficient).max() < 0.05

    known = honest.labels_.predict(train)
    table = known["grade"].probabilities.assign(age=known["age"].values)
    fooled = RidgeCox(OS).fit(ad.AnnData(table.to_numpy("float32"), obs=train.obs, var=pd.DataFrame(index=list(table))))
    assert np.abs(fooled.models_["os"].coefficient).max() > 0.1


def test_a_training_sample_does_not_teach_the_model_that_predicts_its_own_label(monkeypatch):
    seen = []
    fit, predict = LinearModel.fit, LinearModel.predict

    def noted_fit(self, train, val=None):
        self.taught = set(train.obs_names)
        return fit(self, train, val)

    def noted_predict(self, test):
        seen.append((self.taught, set(test.obs_names)))
        return predict(self, test)

    monkeypatch.setattr(LinearModel, "fit", noted_fit)
    monkeypatch.setattr(LinearModel, "predict", noted_predict)
    TwoStage([OS, AGE]).fit(TRAIN)
    assert all(not taught & asked and taught | asked == set(TRAIN.obs_names) for taught, asked in seen)
    assert sorted(s for _, asked in seen for s in asked) == sorted(TRAIN.obs_names)


# --------------------------------------------------------------------------------------- what all of them promise


@every_control
def test_survival_curves_start_at_one_and_fall(fitted, name):
    curves = fitted[name].predict(TEST)["os"].survival
    assert curves.index[0] == 0
    assert curves.index.is_monotonic_increasing
    assert (curves.iloc[0] == 1).all()
    assert (curves.diff().iloc[1:] <= 1e-12).all(axis=None)
    assert curves.min(axis=None) >= 0


@pytest.mark.parametrize("name", ["clinical and expression", "two stages"])
def test_higher_risk_means_shorter_survival_and_better_curves_than_null(fitted, name):
    ours, null = (
        gx.evaluate({"os": fitted[n].predict(TEST)["os"]}, TEST, train=TRAIN).set_index("metric")["value"]
        for n in (name, "null")
    )
    assert ours["c_index"] > 0.6
    assert ours["ibs"] < null["ibs"] - 0.01


@every_control
def test_shuffled_outcomes_teach_nothing(name):
    shuffled, rng = [TRAIN.copy(), TEST.copy()], np.random.default_rng(6)
    for part in shuffled:
        part.obs[["os_time", "os_event"]] = rng.permutation(part.obs[["os_time", "os_event"]].to_numpy())
    assert concordance(CONTROLS[name](), *shuffled) == pytest.approx(0.5, abs=0.04)


@every_control
def test_samples_with_some_labels_only_and_holes_in_expression_raise_no_complaint(name):
    partial, holes = TRAIN.copy(), TEST.copy()
    partial.obs.loc[partial.obs_names[::4], ["os_time", "os_event", "age"]] = np.nan
    partial.obs.loc[partial.obs_names[::3], "grade"] = None
    partial.obs.loc[partial.obs_names[7], "grade"] = "rare"
    partial.X[::5, 2] = holes.X[::3, 0] = np.nan
    assert numbers(CONTROLS[name]().fit(partial).predict(holes)).notna().all(axis=None)


def test_what_cannot_be_done_is_refused_by_name():
    for name, make in CONTROLS.items():
        if name != "null":
            few = TRAIN.copy()
            few.obs["os_event"] = (np.arange(TRAIN.n_obs) < 2).astype(float)
            with pytest.raises(ValueError, match=r"'os' has 2 events among its 240 labelled .*; a Cox model needs 5"):
                make().fit(few)
    with pytest.raises(TypeError, match=r"ClinicalExpressionCox predicts survival, not age \(regression\)"):
        ClinicalExpressionCox(AGE, covariates=COVARIATES)
    with pytest.raises(ValueError, match="clinical_penalty is a positive number, not 0"):
        ClinicalExpressionCox(OS, covariates=COVARIATES, clinical_penalty=0)
    with pytest.raises(KeyError, match=r"lacks the covariates \['stage'\]"):
        ClinicalExpressionCox(OS, covariates=["stage"]).fit(TRAIN)
    for tasks, named in (([OS], r"os \(survival\)"), ([GRADE, AGE], r"grade \(classification\), age \(regression\)")):
        with pytest.raises(ValueError, match=f"needs a task of either sort, got {named}"):
            TwoStage(tasks)
