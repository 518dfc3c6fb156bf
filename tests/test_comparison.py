"""Averages, comparisons and intervals over splits, resamples and holes against closed forms and scipy."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import gexcore as gx
from gexcore import Classification, CohortWarning, Regression, Survival
from gexcore.baselines import GaussianConditional, GeneMean, LinearModel, RidgeCox
from gexcore.comparison import (
    after_imputing,
    average_predictions,
    bootstrap_scores,
    differences,
    headlines,
    mean_scores,
    over_splits,
    paired_difference,
)
from gexcore.imputation import hide
from gexcore.splits import split_table
from gexcore.tasks import ClassPrediction, SurvivalPrediction, ValuePrediction

OS = Survival("os", time="t", event="e")


def prediction(risk, ends):
    curves = pd.DataFrame(
        {i: np.linspace(1, end, 3) for i, end in zip(risk, ends, strict=True)}, index=[0.0, 5.0, 10.0]
    )
    return SurvivalPrediction(OS, pd.Series(risk, dtype=float), curves)


def test_risks_are_averaged_as_ranks_and_curves_as_they_are():
    one, two = prediction({"a": 1, "b": 100}, [0.8, 0.2]), prediction({"b": -3, "c": -2}, [0.6, 0.0])
    pooled = average_predictions([one, two], n_times=11)
    assert pooled.risk.to_dict() == {"a": 0.25, "b": 0.5, "c": 0.75}  # b: last of two, then first of two
    np.testing.assert_allclose(pooled.survival.loc[10.0], [0.8, 0.4, 0.0])
    np.testing.assert_allclose(pooled.survival["b"], np.linspace(1, 0.4, 11))
    np.testing.assert_allclose(pooled.survival.index, np.arange(11))


def test_without_curves_only_risks_are_averaged():
    bare = SurvivalPrediction(OS, pd.Series({"a": 1.0, "b": 2.0}))
    assert average_predictions([bare, prediction({"a": 1, "b": 2}, [1, 1])]).survival is None


def test_without_overlap_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = pd.Series(rng.normal(0.1, 1, 12)), pd.Series(rng.normal(size=12))
    oracle = stats.ttest_rel(a, b)
    row = paired_difference(a, b.sample(frac=1, random_state=0), test_ratio=0)  # matched by index
    assert row["p"] == pytest.approx(oracle.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(oracle.confidence_interval()))
    wide = paired_difference(a, b, test_ratio=0.2 / 0.7)
    assert (wide["high"] - wide["low"]) / (row["high"] - row["low"]) == pytest.approx(np.sqrt(1 + 12 * 0.2 / 0.7))


def test_the_correction_keeps_its_level_on_overlapping_splits_where_the_plain_test_does_not():
    # Two classifiers that guess: any difference over resampled test sets is luck.
    rng, rejected = np.random.default_rng(0), {0.0: 0, 0.2 / 0.8: 0}
    for _ in range(300):
        skill = rng.normal(size=(2, 100))  # correctness of two models on the same 100 patients
        tests = [rng.choice(100, 20, replace=False) for _ in range(15)]
        a, b = (pd.Series([model[t].mean() for t in tests]) for model in skill)
        for share in rejected:
            rejected[share] += paired_difference(a, b, test_ratio=share)["p"] < 0.05
    assert rejected[0.0] / 300 > 0.25
    assert rejected[0.2 / 0.8] / 300 < 0.1


def test_one_split_has_a_difference_but_no_interval():
    row = paired_difference(pd.Series([0.7]), pd.Series([0.6]), test_ratio=0.2)
    assert row["difference"] == pytest.approx(0.1)
    assert np.isnan([row["low"], row["high"], row["p"]]).all()


# -------------------------------------------------------------------------------- models on many splits


def cohort(n=40):
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"t": rng.exponential(10, n), "e": rng.integers(0, 2, n), "age": rng.normal(60, 10, n)})
    obs.index = [f"s{i:02d}" for i in rng.permutation(n)]
    return ad.AnnData(rng.normal(size=(n, 3)).astype("float32"), obs=obs, var=pd.DataFrame(index=list("abc")))


class Constant:
    """Everybody's age is the training mean plus a shift; everybody is at the same risk."""

    def __init__(self, shift, seed, log):
        self.shift, self.seed, self.log = shift, seed, log

    def fit(self, train, val):
        self.mean = train.obs["age"].mean()
        self.log.append((self.shift, self.seed, tuple(train.obs_names), tuple(val.obs_names)))
        return self

    def predict(self, test):
        values = pd.Series(self.mean + self.shift, test.obs_names)
        return {"age": ValuePrediction(Regression("age"), values), "os": SurvivalPrediction(OS, 0.0 * values)}


def constants(log):
    return {"near": lambda seed: Constant(0.0, seed, log), "far": lambda seed: Constant(30.0, seed, log)}


def test_every_model_is_fitted_on_the_same_splits_and_scored_on_their_test_parts():
    data, log = cohort(), []
    table = over_splits(constants(log), data, [OS, Regression("age")], seeds=[4, 7])
    assert list(table.columns) == ["model", "seed", "task", "metric", "value", "seconds"]
    metrics = {"age": ["mae", "rmse", "pcc", "scc"], "os": ["c_index", "c_index_ipcw", "ibs", "auc"]}
    rows = [(m, s, t, metric) for s in (4, 7) for m in ("near", "far") for t in metrics for metric in metrics[t]]
    assert list(table[["model", "seed", "task", "metric"]].itertuples(index=False, name=None)) == rows
    assert table["seconds"].between(0, 10).all()
    value = table.set_index(["model", "seed", "task", "metric"])["value"]
    fits = iter(log)
    for seed in (4, 7):
        train, val, test = gx.split(data, [OS, Regression("age")], seed=seed)
        for model, shift in {"near": 0.0, "far": 30.0}.items():
            assert next(fits) == (shift, seed, tuple(train.obs_names), tuple(val.obs_names))
            error = (test.obs["age"] - train.obs["age"].mean() - shift).abs().mean()
            assert value[model, seed, "age", "mae"] == pytest.approx(error)
            assert value[model, seed, "os", "c_index"] == 0.5


def test_splits_of_ones_own_are_taken_by_column_and_their_positions_are_the_seeds():
    data, log = cohort(), []
    splits = split_table(data, seeds=[8, 3]).set_axis(["north", "south"], axis=1)
    table = over_splits(constants(log), data, OS, splits=splits)
    assert list(table["seed"].unique()) == ["north", "south"]
    assert [seed for _, seed, *_ in log] == [0, 0, 1, 1]
    assert [train for *_, train, _ in log[::2]] == [tuple(gx.split(data, seed=s)[0].obs_names) for s in (8, 3)]


def scores(values, *, task="os", metric="c_index"):
    rows = [(m, seed, task, metric, v) for m, vs in values.items() for seed, v in enumerate(vs)]
    return pd.DataFrame(rows, columns=["model", "seed", "task", "metric", "value"])


def test_differences_compare_every_model_with_the_reference_task_by_task():
    rng = np.random.default_rng(0)
    survival = scores({m: rng.normal(0.7, 0.05, 5) for m in ("linear", "txt", "forest")})
    ages = scores({m: rng.normal(9, 1, 5) for m in ("txt", "linear")}, task="age", metric="mae")
    alone = scores({"txt": rng.normal(0.8, 0.1, 5)}, task="grade", metric="f1")  # the reference never predicted it
    found = differences(pd.concat([survival, ages, alone]).sample(frac=1, random_state=0), "linear", test_ratio=0.3)
    found = found.set_index(["model", "task", "metric"])
    assert set(found.index) == {("txt", "os", "c_index"), ("forest", "os", "c_index"), ("txt", "age", "mae")}
    for (model, task, _), row in found.iterrows():
        part = {"os": survival, "age": ages}[task].pivot(index="seed", columns="model", values="value")
        expected = {"mean": part[model].mean()} | paired_difference(part[model], part["linear"], test_ratio=0.3)
        assert row[list(expected)].to_dict() == pytest.approx(expected)


def test_a_difference_is_better_in_the_direction_of_its_metric():
    rise = {"old": [0.50, 0.52, 0.51, 0.49], "new": [0.70, 0.73, 0.70, 0.69], "same": [0.49, 0.53, 0.51, 0.50]}
    table = pd.concat([scores(rise), scores(rise, task="age", metric="mae")])
    found = differences(table, "old").set_index(["task", "model"])["verdict"]
    assert found.to_dict() == {
        ("os", "new"): "better",
        ("os", "same"): "not decided",
        ("age", "new"): "worse",
        ("age", "same"): "not decided",
    }


def test_one_model_alone_has_no_differences():
    assert differences(scores({"txt": [0.7, 0.8]}), "txt").empty


def test_means_keep_the_order_of_tasks_and_models():
    table = pd.concat(
        [
            scores({"b": [0.5, 0.7], "a": [0.2, 0.4]}),
            scores({"b": [3.0, 5.0], "a": [1.0, 1.0]}, task="age", metric="mae"),
        ]
    )
    other = scores({"b": [0.1], "a": [0.1]}, metric="ibs")
    means = mean_scores(headlines(pd.concat([table, other])))
    assert list(means.columns) == ["b", "a"]
    assert list(means.index) == [("os", "c_index"), ("age", "mae")]
    np.testing.assert_allclose(means, [[0.6, 0.3], [4.0, 1.0]])


def test_differences_from_a_model_that_was_not_scored_are_refused():
    with pytest.raises(ValueError, match="no model is called 'cox'; there are linear, txt"):
        differences(scores({"linear": [0.6], "txt": [0.7]}), "cox")


# ---------------------------------------------------------------------------------- resampled patients


def guesses(n=200, right=140):
    """A test cohort in which the model is right about the first patients and wrong about the others."""
    truth = np.where(np.arange(n) % 2, "a", "b")
    known = np.arange(n) < right
    test = ad.AnnData(obs=pd.DataFrame({"grade": truth}, index=[f"s{i}" for i in range(n)]))
    a = np.where((truth == "a") == known, 0.8, 0.2)
    table = pd.DataFrame({"a": a, "b": 1 - a}, test.obs_names)
    return {"grade": ClassPrediction(Classification("grade"), table)}, test


def test_the_interval_of_an_accuracy_is_that_of_a_binomial_share():
    row = bootstrap_scores(*guesses(), n=150).set_index("metric").loc["accuracy"]
    assert row["value"] == 0.7
    # resampled patients are drawn independently: their correct ones are binomial
    assert [row["low"], row["high"]] == pytest.approx(stats.binom.ppf([0.025, 0.975], 200, 0.7) / 200, abs=0.016)


def test_a_bootstrap_depends_on_its_seed_alone_and_narrows_with_its_level():
    wide, again, other = (bootstrap_scores(*guesses(), n=20, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(wide, again)
    assert list(wide["metric"]) == ["accuracy", "f1", "precision", "recall", "auroc"]
    assert (wide[["low", "high"]] != other[["low", "high"]]).any(axis=None)
    narrow = bootstrap_scores(*guesses(), n=20, level=0.5, seed=1)
    assert ((wide["low"] < narrow["low"]) & (narrow["high"] < wide["high"])).all()
    for table in (wide, narrow):
        assert table["value"].between(table["low"], table["high"]).all()


def test_patients_without_a_label_have_no_say_in_the_interval():
    ages = [*np.linspace(40, 80, 30), *[np.nan] * 20]
    test = ad.AnnData(obs=pd.DataFrame({"age": ages}, index=[f"s{i}" for i in range(50)]))
    found = []
    for nonsense in (60.0, 1e6):
        values = pd.Series([*np.linspace(50, 70, 30), *[nonsense] * 20], test.obs_names)
        found.append(bootstrap_scores({"age": ValuePrediction(Regression("age"), values)}, test, n=50))
    pd.testing.assert_frame_equal(*found)
    rows = found[0].set_index("metric")
    assert rows.loc["mae", "low"] < rows.loc["mae", "value"] < rows.loc["mae", "high"] < 10
    unlabelled = bootstrap_scores({"age": ValuePrediction(Regression("age"), values[30:])}, test[30:], n=5)
    assert unlabelled[["value", "low", "high"]].isna().all(axis=None)


def test_every_resampled_patient_keeps_their_own_risk_and_curve():
    rng = np.random.default_rng(0)
    time = rng.permutation(np.arange(1.0, 61.0))
    obs = pd.DataFrame({"t": time, "e": 1}, index=[f"s{i}" for i in range(60)])
    test, grid = ad.AnnData(obs=obs), np.arange(0.0, 61.0)
    truth = pd.DataFrame((time > grid[:, None]).astype(float), grid, test.obs_names)  # each curve drops at the event
    known = SurvivalPrediction(OS, pd.Series(-time, test.obs_names)[::-1], truth.iloc[:, ::-1])
    coin = SurvivalPrediction(OS, known.risk, truth * 0 + 0.5)
    for prediction, brier, tolerance in ((known, 0.0, 0.01), (coin, 0.25, 1e-12)):  # between grid times a curve slopes
        rows = bootstrap_scores({"os": prediction}, test, train=test, n=20).set_index("metric")
        assert list(rows.index) == ["c_index", "c_index_ipcw", "ibs", "auc"]
        assert rows.loc["ibs", ["value", "low", "high"]].tolist() == pytest.approx([brier] * 3, abs=tolerance)
        assert rows.loc["c_index", ["value", "low", "high"]].tolist() == [1, 1, 1]
    bare = bootstrap_scores({"os": SurvivalPrediction(OS, known.risk)}, test, train=test, n=5).set_index("metric")
    assert bare.index[bare["low"].isna()].tolist() == ["ibs"]


def test_a_bootstrap_warns_once_of_a_class_the_model_does_not_know():
    predictions, test = guesses(n=20, right=14)
    test.obs.loc["s0", "grade"] = "new"
    with pytest.warns(CohortWarning, match="1 samples have a class the model does not know") as caught:
        bootstrap_scores(predictions, test, n=5)
    assert len(caught) == 1


# -------------------------------------------------------------------------------- after imputing


class Told:
    """An imputer that fills in what it was told, and remembers what it was shown."""

    def __init__(self, values):
        self.values, self.shown = values, []

    def impute(self, cohort):
        self.shown.append(cohort.copy())
        filled = cohort.copy()
        filled.X = np.where(np.isnan(cohort.X), self.values, cohort.X).astype("float32")
        return filled


class GeneA:
    """The age is the value of gene a; the fits are counted."""

    def __init__(self, seed, log):
        self.seed, self.log = seed, log

    def fit(self, train):
        self.log.append((self.seed, tuple(train.obs_names), np.isnan(train.X).any()))
        return self

    def predict(self, test):
        return {"age": ValuePrediction(Regression("age"), pd.Series(test.X[:, 0], test.obs_names).fillna(0.0))}


def test_a_prediction_after_imputing_is_that_of_the_filled_in_samples():
    data, log = cohort(), []
    data.obs["age"] = data.X[:, 0] + 7
    train, test = data[:20].copy(), data[20:].copy()
    imputers = {"truth": Told(test.X), "nought": Told(0.0)}
    table = after_imputing(imputers, {"a": lambda seed: GeneA(seed, log)}, train, test, rates=(0.3, 0.8), seed=5)
    assert list(table.columns) == ["imputer", "model", "rate", "task", "metric", "value"]
    assert log == [(5, tuple(train.obs_names), False)]  # once, on complete samples
    error = table[table["metric"] == "mae"].set_index(["imputer", "rate"])["value"]
    assert list(error.index) == [
        ("nothing hidden", 0.0),
        *[(name, rate) for name in ("truth", "nought") for rate in (0.3, 0.8)],
    ]
    for rate, *shown in zip((0.3, 0.8), *(imputer.shown for imputer in imputers.values()), strict=True):
        expected, hidden = hide(test, rate=rate, seed=5)
        for seen in shown:  # the same holes for everybody
            np.testing.assert_array_equal(seen.X, expected.X)
        assert error["truth", rate] == error["nothing hidden", 0.0] == pytest.approx(7, abs=1e-5)
        off = 7 + np.where(hidden["a"], test.X[:, 0], 0.0)
        assert error["nought", rate] == pytest.approx(np.abs(off).mean(), rel=1e-5)
    assert not set(table["metric"]) & {"n", "horizon"}
    assert not np.isnan(test.X).any()  # what was passed in is left alone


def test_who_imputes_well_loses_less_of_classes_and_survival():
    """Thirty genes repeat one factor: the grade, and the hazard, can be read from any of them."""
    rng = np.random.default_rng(0)
    factor = rng.normal(size=300)
    x = (factor[:, None] + 0.5 * rng.normal(size=(300, 30))).astype("float32")
    obs = pd.DataFrame(
        {"grade": np.where(factor > 0, "high", "low"), "t": rng.exponential(np.exp(-2 * factor)), "e": 1}
    )
    obs.index = [f"s{i}" for i in range(300)]
    data = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{j:02d}" for j in range(30)]))
    train, test = data[:200].copy(), data[200:].copy()
    imputers = {"mean": GeneMean().fit(train), "Gaussian": GaussianConditional(shrinkage=0.1).fit(train)}
    models = {
        "linear": lambda seed: LinearModel(Classification("grade"), seed=seed),
        "Cox": lambda seed: RidgeCox(OS, penalty=10.0, seed=seed),
    }
    table = after_imputing(imputers, models, train, test, rates=(0.9,))
    assert {"ibs", "auc", "c_index_ipcw"} < set(table.loc[table["model"] == "Cox", "metric"])  # weighted by train
    value = table[table["metric"].isin(["auroc", "c_index"])].set_index(["imputer", "model"])["value"]
    for model, least in (("linear", 0.95), ("Cox", 0.75)):
        assert value["nothing hidden", model] > least
        assert value["mean", model] + 0.005 < value["Gaussian", model] < value["nothing hidden", model]


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_holes_everywhere_or_nowhere_are_refused(rate):
    data = cohort()
    with pytest.raises(ValueError, match="rate between 0 and 1"):
        after_imputing({}, {}, data[:20].copy(), data[20:].copy(), rates=[rate])
