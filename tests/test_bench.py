"""The bench: the same scores as by hand, nothing dropped, nothing fitted twice."""

import json
import mmap
import time
from functools import partial
from typing import ClassVar

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import gexcore as gx
from gexcore import baselines
from gexcore.bench import COLUMNS, Context, Method, benchmark, collect
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
    """Everybody has the same value; calls of fit are in ``fits``."""

    fits: ClassVar[list] = []

    def __init__(self, tasks, seed=0, value=None):
        self.tasks, self.seed, self.value = tasks, seed, value

    def fit(self, train, val=None):
        Constant.fits.append((self.seed, [task.name for task in self.tasks]))
        return self

    def predict(self, cohort):
        values = pd.Series(60.0 if self.value is None else self.value, index=cohort.obs_names)
        return {task.name: ValuePrediction(task, values) for task in self.tasks}


@pytest.fixture(autouse=True)
def _forget():
    Constant.fits = []


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
            with mmap.mmap(-1, 60_000_000) as ballast:  # an array might get memory that the process has left over
                for _ in range(60):
                    ballast.write(b"1" * 1_000_000)
                time.sleep(0.2)
            return super().fit(train, val)

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
    ],
)
def test_what_cannot_be_run_is_refused_before_any_fit(cohort, call, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=text):
        call(cohort)
    assert not Constant.fits
    assert not [*tmp_path.iterdir()]


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
    written = []

    def full(descriptor):
        written.append(descriptor)
        if len(written) == 3:  # the description and its folder come first
            message = "no space left on device"
            raise OSError(message)

    run = partial(benchmark, {"a": constant()}, cohort, AGE, seeds=[0], folder=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no space"):
            run()
    assert [path.suffix for path in tmp_path.rglob("*.*")] == [".json"]
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
