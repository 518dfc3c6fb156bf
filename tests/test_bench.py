"""The bench: the same scores as by hand, nothing dropped, nothing fitted twice, no test sample seen by a choice."""

import json
import time
from functools import partial
from typing import ClassVar

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import gexcore as gx
from gexcore import baselines
from gexcore.bench import COLUMNS, METHODS, Context, Method, Tuned, benchmark, collect, compare, holm
from gexcore.comparison import differences
from gexcore.tasks import Classification, Regression, Survival, ValuePrediction

OS = Survival("os", time="os_time", event="os_event")
GRADE, AGE, SIZE = Classification("grade"), Regression("age"), Regression("size")
TASKS = [OS, GRADE, AGE]


@pytest.fixture(scope="module")
def cohort():
    """Gene g0 carries the hazard, g1 the grade, g2 the age."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 8)).astype("float32")
    happens, leaves = rng.exponential(20 * np.exp(-x[:, 0])), rng.uniform(5, 60, 120)
    obs = pd.DataFrame(
        {
            "os_time": np.minimum(happens, leaves),
            "os_event": (happens <= leaves).astype(float),
            "grade": np.where(x[:, 1] + rng.normal(size=120) > 0, "low", "high"),
            "age": 60 + 8 * x[:, 2],
            "size": 20 + rng.normal(size=120),
        },
        index=[f"p{i}" for i in range(120)],
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(8)]))


class Constant:
    """Everybody has the same value; what was seen is in ``seen``, calls of fit in ``fits``."""

    fits: ClassVar[list] = []
    seen: ClassVar[set] = set()

    def __init__(self, tasks, seed=0, value=None):
        self.tasks, self.seed, self.value = tasks, seed, value

    def fit(self, train, val=None):
        Constant.fits.append((self.seed, [task.name for task in self.tasks]))
        Constant.seen |= {*train.obs_names, *val.obs_names}
        return self

    def predict(self, cohort):
        Constant.seen |= {*cohort.obs_names}
        values = pd.Series(60.0 if self.value is None else self.value, index=cohort.obs_names)
        return {task.name: ValuePrediction(task, values) for task in self.tasks}


@pytest.fixture(autouse=True)
def _forget():
    Constant.fits, Constant.seen = [], set()


def constant(**options):
    make = options.pop("make", lambda tasks, seed, context, **settings: Constant(tasks, seed, **settings))
    return Method(make=make, kinds=("regression",), **options)


# ------------------------------------------------------------------------------------------- the table


def test_scores_are_those_of_the_split_fitted_and_evaluated_by_hand(cohort):
    table = benchmark(["ridge-cox", "random-forest"], cohort, TASKS, seeds=[3])
    train, val, test = gx.split(cohort, TASKS, seed=3)
    by_hand = {
        ("ridge-cox", "os"): baselines.RidgeCox(OS, seed=3),
        ("random-forest", "os"): baselines.SurvivalForest(OS, seed=3),
        ("random-forest", "age"): baselines.RandomForest(AGE, seed=3),
    }
    for (model, task), estimator in by_hand.items():
        scores = gx.evaluate(estimator.fit(train, val).predict(test), test, train=train).set_index("metric")["value"]
        found = table[(table["model"] == model) & (table["task"] == task)].set_index("metric")["value"]
        pd.testing.assert_series_equal(found, scores.drop(["n", "horizon"], errors="ignore"))
    assert list(table.columns) == COLUMNS
    assert set(table["cohort"]) == {"cohort"}


def test_a_task_that_is_not_taken_is_no_failure(cohort):
    table = benchmark(["ridge-cox", "linear-model"], cohort, TASKS, seeds=[0])
    assert table["value"].isna().equals(table["status"] == "not taken")
    assert set(table["status"]) == {"scored", "not taken"}
    refused = table[table["status"] == "not taken"].set_index(["model", "task", "metric"])["error"]
    assert refused.to_dict() == {
        ("ridge-cox", "grade", "accuracy"): "predicts survival",
        ("ridge-cox", "age", "mae"): "predicts survival",
        ("linear-model", "os", "c_index"): "predicts classification and regression",
    }


@pytest.mark.parametrize(
    ("name", "tasks", "why"),
    [
        ("autosurv", OS, "needs gene sets"),
        ("autosurv-clinical", OS, "needs gene sets and covariates"),
        ("clinical-cox", OS, "needs covariates"),
        ("two-stage", OS, "needs survival and another task"),
        ("two-stage", [GRADE, AGE], "needs survival and another task"),
    ],
)
def test_a_method_without_what_it_needs_says_so(cohort, name, tasks, why):
    table = benchmark(name, cohort, tasks, seeds=[0])
    assert set(table["status"]) == {"not taken"}
    assert set(table["error"]) == {why}


def test_a_failure_is_a_row_with_its_text_and_stops_nobody_else(cohort):
    def fails_once(tasks, seed, context):
        if seed == 1 and tasks[0].name == "size":
            message = "no\n  luck"
            raise RuntimeError(message)
        return Constant(tasks, seed)

    models = {"unlucky": constant(make=fails_once), "other": constant()}
    table = benchmark(models, cohort, [AGE, SIZE], seeds=[0, 1])
    (failed,) = table[table["status"] == "failed"].to_dict("records")
    assert {key: failed[key] for key in ("model", "seed", "task", "metric", "error")} == {
        "model": "unlucky",
        "seed": 1,
        "task": "size",
        "metric": "mae",
        "error": "RuntimeError: no luck",
    }
    assert np.isnan(failed["value"])
    assert failed["seconds"] >= 0
    scored = table[table["metric"].eq("mae") & table["status"].eq("scored")]
    assert sorted(scored.groupby("model").size().to_dict().items()) == [("other", 4), ("unlucky", 3)]


def test_a_prediction_that_is_no_number_is_a_failure(cohort):
    nan = constant(make=lambda tasks, seed, context: Constant(tasks, seed, value=np.nan))
    table = benchmark({"nan": nan}, cohort, [AGE, SIZE], seeds=[0])
    assert table["status"].tolist() == ["failed", "failed"]
    assert table["error"].str.contains("not a number").all()


def test_a_model_of_a_seed_alone_is_asked_for_what_it_predicts(cohort):
    table = benchmark({"mine": lambda seed: Constant([SIZE], seed)}, cohort, [SIZE, AGE], seeds=[0, 1])
    assert Constant.fits == [(0, ["size"]), (1, ["size"])]
    assert table.groupby("task")["status"].unique().map(list).to_dict() == {"age": ["not taken"], "size": ["scored"]}
    assert table["task"].drop_duplicates().tolist() == ["size", "age"]  # in the order asked for


def test_joint_methods_are_fitted_once_and_others_once_per_task(cohort):
    benchmark({"joint": constant(joint=True), "single": constant()}, cohort, [OS, AGE, SIZE], seeds=[5])
    assert Constant.fits == [(5, ["age", "size"]), (5, ["age"]), (5, ["size"])]


def test_costs_are_seconds_and_megabytes_of_the_fit(cohort):
    class Costly(Constant):
        def fit(self, train, val=None):
            ballast = np.ones(60_000_000 // 8)
            time.sleep(0.2)
            return super().fit(train, val) if ballast[0] else None

    table = benchmark({"costly": constant(make=lambda t, s, c: Costly(t, s))}, cohort, AGE, seeds=[0])
    assert table["seconds"].between(0.2, 2).all()
    assert table["peak_mb"].between(50, 120).all()


def test_a_study_of_few_genes_reads_those_that_vary_most_in_training(cohort):
    read = []

    class Wide(Constant):
        def fit(self, train, val=None):
            read.append(sorted(train.var_names))
            return super().fit(train, val)

    uneven = cohort.copy()
    uneven.X *= np.arange(1, 9, dtype="float32")
    benchmark({"wide": constant(make=lambda t, s, c: Wide(t, s))}, uneven, AGE, seeds=[0], context=Context(n_genes=3))
    assert read == [["g5", "g6", "g7"]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda c: benchmark(["txt", "oracle"], c, AGE), "oracle; there are txt"),
        (lambda c: benchmark([], c, AGE), "no method is named; there are txt"),
        (lambda c: benchmark({}, c, AGE), "no method is named; there are txt"),
        (lambda c: benchmark({"a": constant()}, c, AGE, seeds=[]), "seeds is empty"),
        (lambda c: benchmark({"a": constant()}, c[:3].copy(), AGE), "too few"),
        (lambda c: benchmark("null-model", c, Regression("grade")), "must hold numbers"),
        (lambda c: benchmark("null-model", c, AGE, context=Context(covariates=("smoking",))), "covariates smoking"),
        (lambda c: benchmark({"my model": constant()}, c, AGE, seeds=[0], folder="nowhere"), "name a folder"),
        (lambda c: Tuned(Constant, {"value": ()}), "value has none"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_fit(cohort, call, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=text):
        call(cohort)
    assert not Constant.fits
    assert not [*tmp_path.iterdir()]


# --------------------------------------------------------------------------------------------- methods


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


def test_a_network_of_several_tasks_and_a_cox_model_run_as_named(cohort):
    names = ["txt-multitask", "mlp", "pca-cox", "clinical-expression-cox", "two-stage"]
    table = benchmark(names, cohort, TASKS, seeds=[0], context=Context(covariates=("grade",), max_epochs=1))
    assert set(table["status"]) == {"scored", "not taken"}
    os = table[table["metric"] == "c_index"].set_index("model")["value"]
    assert (os[["pca-cox", "clinical-expression-cox"]] > 0.6).all()  # g0 tells


# ---------------------------------------------------------------------------------------------- tuning


def test_the_setting_that_predicts_the_validation_samples_best_is_kept(cohort):
    train, val, test = gx.split(cohort, AGE, seed=0)
    tuned = Tuned(partial(Constant, [AGE]), {"value": (10.0, 61.0, 99.0)}).fit(train, val)
    assert tuned.setting_ == {"value": 61.0}  # the least error: lower is better
    assert (tuned.predict(test)["age"].values == 61.0).all()
    error = [(val.obs["age"] - value).abs().mean() for value in (10.0, 61.0, 99.0)]
    np.testing.assert_allclose(tuned.scores_["value"], error)
    forest = Tuned(partial(baselines.SurvivalForest, OS), {"n_trees": (20,), "min_samples_leaf": (15, 42)})
    forest.fit(train, val)  # with more than half of the samples in a leaf nobody differs from anybody
    assert forest.setting_ == {"n_trees": 20, "min_samples_leaf": 15}


def test_several_tasks_choose_by_mean_rank_and_equal_ones_keep_the_first(cohort):
    train, val, _ = gx.split(cohort, AGE, seed=0)
    tuned = Tuned(partial(Constant, [AGE, SIZE]), {"value": (20.0, 60.0)}).fit(train, val)
    assert tuned.scores_.groupby("task")["value"].idxmin().to_dict() == {"age": 2, "size": 1}
    assert tuned.setting_ == {"value": 20.0}


def test_no_test_sample_is_looked_at_before_the_setting_is_chosen(cohort):
    class Watched(Tuned):
        def predict(self, test):
            seen_before.append((set(Constant.seen), set(test.obs_names)))
            return super().predict(test)

    seen_before = []
    train, val, test = gx.split(cohort, AGE, seed=0)
    Watched(partial(Constant, [AGE]), {"value": (50.0, 60.0)}).fit(train, val).predict(test)
    ((seen, tested),) = seen_before
    assert seen == {*train.obs_names, *val.obs_names}
    assert not seen & tested


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


def test_a_grid_needs_validation_samples(cohort):
    with pytest.raises(ValueError, match="validation samples"):
        Tuned(partial(Constant, [AGE]), {"value": (1.0,)}).fit(cohort)


# ---------------------------------------------------------------------------------------------- shards


def test_finished_shards_are_read_and_not_made_again(cohort, tmp_path):
    run = partial(benchmark, {"a": constant(), "b": constant()}, tasks=[OS, AGE], folder=tmp_path)
    first = run(cohort, seeds=[0, 1])
    assert len(Constant.fits) == 4
    again = run(cohort[::-1].copy(), seeds=[0, 1, 2])  # the order of the rows is no difference
    assert len(Constant.fits) == 6
    shared = again[again["seed"] < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(shared, first, check_exact=True)
    assert not [*tmp_path.rglob("*.part")]


def test_a_sweep_that_is_broken_off_keeps_what_was_finished(cohort, tmp_path):
    def interrupted(tasks, seed, context):
        if seed == 1 and not (tmp_path / "go on").exists():
            raise KeyboardInterrupt
        return Constant(tasks, seed)

    run = partial(benchmark, {"a": constant(make=interrupted)}, cohort, AGE, seeds=[0, 1], folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert [path.name for path in tmp_path.rglob("*.csv")] == ["seed-0.csv"]
    (tmp_path / "go on").touch()
    assert set(run()["seed"]) == {0, 1}
    assert [seed for seed, _ in Constant.fits] == [0, 1]


def test_a_shard_is_there_as_a_whole_or_not_at_all(cohort, tmp_path, monkeypatch):
    def full(self, text, encoding=None):
        if ".csv" not in self.name:
            return write(self, text, encoding=encoding)
        write(self, text[:20], encoding=encoding)
        message = "no space left on device"
        raise OSError(message)

    write = type(tmp_path).write_text
    run = partial(benchmark, {"a": constant()}, cohort, AGE, seeds=[0], folder=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "write_text", full)
        with pytest.raises(OSError, match="no space"):
            run()
    with pytest.raises(FileNotFoundError, match="run the benchmark first"):
        collect(tmp_path)
    assert run()["status"].eq("scored").all()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"tasks": [AGE, SIZE]}, "samples, tasks"),
        ({"tasks": Regression("age", column="size")}, "samples, tasks"),
        ({"context": Context(preset="paper")}, "context"),
        ({"context": Context(gene_sets={"a": ["g0"]})}, "gene_sets"),
    ],
)
def test_a_shard_made_from_something_else_is_refused(cohort, tmp_path, change, what):
    options = {"tasks": AGE, "seeds": [0], "folder": tmp_path}
    benchmark({"a": constant()}, cohort, **options)
    with pytest.raises(ValueError, match=f"seed-0.csv was made from other {what}:"):
        benchmark({"a": constant()}, cohort, **options | change)
    changed = cohort.copy()
    changed.X[3, 3] += 1e-3
    with pytest.raises(ValueError, match="other samples:"):
        benchmark({"a": constant()}, changed, **options)


def test_a_shard_says_what_was_run_where_when_and_by_what(cohort, tmp_path):
    benchmark({"a": constant()}, cohort, AGE, seeds=[4], folder=tmp_path)
    said = json.loads((tmp_path / "cohort" / "a" / "seed-4.json").read_text())
    assert (said["cohort"], said["model"], said["seed"]) == ("cohort", "a", 4)
    assert said["versions"]["numpy"] == np.__version__
    assert said["versions"]["gexcore"] == gx.__version__
    assert said["hardware"]["cores"] >= 1
    assert said["command"]
    assert abs(pd.Timestamp(said["date"]) - pd.Timestamp.now("UTC")) < pd.Timedelta(minutes=1)


def test_collected_shards_are_the_table_that_was_returned(cohort, tmp_path):
    other = cohort[:90].copy()
    other.uns["name"] = "another"
    run = partial(benchmark, ["null-model", "ridge-cox"], tasks=TASKS, seeds=[10, 9], folder=tmp_path)
    returned = pd.concat([run(cohort), run(other)])
    order = ["cohort", "model", "seed"]
    expected = returned.sort_values(order, kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(collect(tmp_path), expected, check_exact=True)
    assert list(collect(tmp_path)["seed"].unique()) == [9, 10]


# ------------------------------------------------------------------------------------------- comparing


def test_holm_agrees_with_the_worked_values():
    """Those of R 4.3: p.adjust(c(0.01, 0.04, NA, 0.03, 0.005), "holm")."""
    p = pd.Series([0.01, 0.04, np.nan, 0.03, 0.005], index=list("abcde"))
    np.testing.assert_allclose(holm(p), [0.03, 0.06, np.nan, 0.06, 0.02])
    assert holm(pd.Series([0.4, 0.9])).tolist() == [0.8, 0.9]
    assert holm(pd.Series([0.7, 0.8])).tolist() == [1.0, 1.0]


def scores_of(values, cohort="one"):
    """Accuracy of each model on each split; None is a failure."""
    rows = [(m, s, v) for m, scores in values.items() for s, v in enumerate(scores)]
    table = pd.DataFrame(rows, columns=["model", "seed", "value"]).astype({"value": float})
    status = np.where(table["value"].isna(), "failed", "scored")
    return table.assign(cohort=cohort, task="grade", metric="accuracy", status=status, error="")


def test_methods_are_compared_split_by_split_with_corrected_p():
    noise = np.random.default_rng(0).normal(0, 0.01, size=(3, 8))
    base = np.linspace(0.5, 0.7, 8)
    scores = scores_of({"ref": base, "good": base + 0.1 + noise[0], "same": base + noise[1]})
    table = compare(pd.concat([scores, scores_of({"ref": base, "bad": base - 0.1 + noise[2]}, "two")]), "ref")
    found = table.set_index(["cohort", "model"])
    assert found["verdict"].to_dict() == {
        ("one", "good"): "better",
        ("one", "same"): "not decided",
        ("two", "bad"): "worse",
    }
    assert found.loc[("one", "good"), "p_holm"] == pytest.approx(2 * found.loc[("one", "good"), "p"])
    assert found.loc[("two", "bad"), "p_holm"] == found.loc[("two", "bad"), "p"]  # one comparison in that cohort
    plain = differences(scores, "ref")
    columns = ["difference", "low", "high", "p"]
    np.testing.assert_array_equal(found.loc["one"].loc[plain["model"], columns], plain[columns])


def test_failures_and_tasks_not_taken_do_not_hide_in_a_comparison():
    base = [0.5, 0.6, 0.7]
    scores = scores_of({"ref": base, "shaky": [0.6, None, 0.9], "down": [None] * 3, "cox": [None] * 3})
    scores.loc[scores["model"] == "cox", "status"] = "not taken"
    found = compare(scores, "ref").set_index("model")
    assert found["splits"].to_dict() == {"shaky": 2, "down": 0}
    assert found.loc["shaky", "difference"] == pytest.approx(0.15)
    assert np.isnan(found.loc["down", "p_holm"])
