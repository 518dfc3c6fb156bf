import json

import numpy as np
import pandas as pd
import pytest

from gexcore.tasks import (
    Classification,
    CohortWarning,
    Regression,
    Survival,
    SurvivalPrediction,
    check_tasks,
    first_ids,
    target_from_dict,
    target_to_dict,
)

OS = Survival("os", time="time", event="event")
PAM50 = Classification("pam50")


def table(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=[f"p{i}" for i in range(n)])


def test_messages_name_the_first_ids_and_count_the_rest():
    assert first_ids(["a", "b"]) == "a, b"
    assert first_ids(list("abcde")) == "a, b, c and 2 more"
    assert first_ids(["a\nb", "p" * 500]) == f"a b, {'p' * 77}..."


# -------------------------------------------------------------------------------------------- survival


@pytest.mark.parametrize(
    ("time", "event", "message"),
    [
        ([1.0, -2, -3], [0, 1, 1], "column 'time' holds 2 negative times, first at p1, p2"),
        (
            [1.0, 2, 3],
            [0, 2, 1],
            r"column 'event' must be 1 \(event\) or 0 \(censored\): 1 cell holds 2.0, first at p1",
        ),
        ([1.0, 2, 3], [0, 0.5, 1], "1 cell holds 0.5"),
        ([1.0, "2y", 3], [0, 1, 1], r"column 'time' must hold numbers: 1 cell does not, first at p1 \(2y\)"),
        ([1.0, 2, 3], ["alive", "dead", "dead"], r"column 'event' must hold numbers: 3 cells do not.*\(alive, dead\)"),
        ([1.0, np.inf, 3], [0, 1, 1], "column 'time' holds 1 infinite values, first at p1"),
    ],
)
def test_impossible_survival_labels_are_refused_by_column_count_and_id(time, event, message):
    with pytest.raises(ValueError, match=message):
        OS.read(table(time=time, event=event))


def test_half_a_survival_label_is_no_label_and_is_said():
    with pytest.warns(CohortWarning, match="'os': 2 samples have only one of 'time' and 'event', first p1, p2"):
        labels = OS.read(table(time=[1.0, None, 3, None], event=[1.0, 1, None, None]))
    assert labels["time"].tolist()[0] == 1
    assert labels.isna().all(axis=1).tolist() == [False, True, True, True]


def test_times_and_events_may_come_as_text_or_booleans():
    labels = OS.read(table(time=["1.5", "2"], event=[True, False]))
    assert labels.to_numpy().tolist() == [[1.5, 1], [2, 0]]


def test_an_unknown_column_names_the_task_and_the_columns_there_are():
    with pytest.raises(KeyError, match="task 'os' needs column 'event'; the clinical table has time, age"):
        OS.read(table(time=[1.0], age=[50]))


def test_a_time_falls_into_the_interval_that_contains_it():
    # by hand: follow-up to 10 gives edges 0, 2.2, 4.4, 6.6, 8.8, 11 for six edges; rounding would put 3.5 at edge 2
    target = OS.fit(table(time=[2.0, 10.0], event=[1, 0]), n_intervals=6)
    np.testing.assert_allclose(target.edges, [0, 2.2, 4.4, 6.6, 8.8, 11])
    assert (target.n_outputs, target.horizon) == (5, 10.0)
    labels = table(time=[0.0, 2.1, 2.3, 3.5, 10.0, 40.0, None], event=[1, 1, 0, 1, 0, 1, None])
    np.testing.assert_array_equal(
        target.encode(labels), [[0, 1], [0, 1], [1, 0], [1, 1], [4, 0], [5, 1], [np.nan, np.nan]]
    )


def test_the_quantile_grid_shares_the_events():
    rng = np.random.default_rng(0)
    labels = table(time=rng.exponential(10, 400), event=(np.arange(400) % 2).astype(float))
    target = OS.fit(labels, n_intervals=11, grid="quantile")
    encoded = target.encode(labels)
    per_interval = np.bincount(encoded[encoded[:, 1] == 1, 0].astype(int), minlength=10)
    assert per_interval.tolist() == [20] * 10


def test_a_grid_needs_events_at_positive_times_and_a_known_name():
    with pytest.raises(ValueError, match="task 'os' has no event among its 2 labelled training samples"):
        OS.fit(table(time=[1.0, 2.0], event=[0, 0]))
    with pytest.raises(ValueError, match="every event is at time 0"):
        OS.fit(table(time=[0.0, 2.0], event=[1, 0]))
    with pytest.raises(ValueError, match="grid must be 'uniform' or 'quantile', not 'log'"):
        OS.fit(table(time=[1.0, 2.0], event=[1, 0]), grid="log")


def test_survival_at_any_time_is_linear_between_grid_times():
    survival = pd.DataFrame({"p0": [1.0, 0.5, 0.1]}, index=[0.0, 2.0, 4.0])
    prediction = SurvivalPrediction(OS, pd.Series([1.0], ["p0"]), survival)
    np.testing.assert_allclose(prediction.survival_at([0, 1, 3, 9]), [[1, 0.75, 0.3, 0.1]])
    with pytest.raises(ValueError, match="predicts no survival curve"):
        SurvivalPrediction(OS, pd.Series([1.0], ["p0"])).survival_at([1])


# -------------------------------------------------------------------------------------- classification


def test_classes_are_sorted_and_missing_labels_stay_missing():
    labels = table(pam50=["LumB", "Basal", None, "LumB", "Basal"])
    target = PAM50.fit(labels)
    assert target.classes == ("Basal", "LumB")
    np.testing.assert_array_equal(target.encode(labels), [[1], [0], [np.nan], [1], [0]])


@pytest.mark.parametrize("grade", [[1.0, 2, None, 3, 1, 2, 3], pd.array([1, 2, None, 3, 1, 2, 3], dtype="Int64")])
def test_whole_numbers_are_classes_without_a_decimal_point(grade):
    assert Classification("g", column="grade").fit(table(grade=grade)).classes == ("1", "2", "3")


def test_categories_are_read_as_their_names():
    labels = table(pam50=pd.Categorical(["A", "B", None, "A", "B"], categories=["A", "B", "C"]))
    assert PAM50.fit(labels).classes == ("A", "B")


def test_a_class_that_training_lacks_counts_as_missing_and_is_said():
    target = PAM50.fit(table(pam50=["A", "B", "A", "B"]))
    with pytest.warns(CohortWarning, match=r"2 samples have a class the training samples lack \(C, D\), first p1, p2"):
        encoded = target.encode(table(pam50=["A", "C", "D"]))
    np.testing.assert_array_equal(encoded, [[0], [np.nan], [np.nan]])


def test_one_class_or_a_class_per_sample_is_refused():
    with pytest.raises(ValueError, match=r"'pam50' needs two classes or more among the training samples, found A"):
        PAM50.fit(table(pam50=["A", "A", None]))
    with pytest.raises(ValueError, match="6 classes in 6 samples: is it a Regression"):
        PAM50.fit(table(pam50=list("abcdef")))


# ------------------------------------------------------------------------------------------ regression


def test_numbers_are_standardised_with_training_values_only():
    target = Regression("age").fit(table(age=[40.0, 60.0, None]))
    assert (target.mean, target.sd) == (50, 10)
    np.testing.assert_array_equal(target.encode(table(age=[50.0, 75.0, None])), [[0], [2.5], [np.nan]])


@pytest.mark.parametrize("age", [[50.0, 50.0], [None, None]])
def test_a_number_that_never_varies_is_refused(age):
    with pytest.raises(ValueError, match="task 'age' is constant or empty"):
        Regression("age").fit(table(age=age))


def test_text_in_a_column_of_numbers_is_refused():
    with pytest.raises(ValueError, match=r"column 'years' must hold numbers: 1 cell does not, first at p1 \(>89\)"):
        Regression("age", column="years").read(table(years=["50", ">89", None]))


# --------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("task", [OS, PAM50, Regression("age")])
def test_a_target_survives_json(task):
    labels = table(time=[1.0, 2, 3, 4], event=[1, 0, 1, 0], pam50=list("ABAB"), age=[40.0, 50, 61, None])
    target = task.fit(labels)
    again = target_from_dict(json.loads(json.dumps(target_to_dict(target))))
    assert again.task == task
    np.testing.assert_array_equal(target.encode(labels), again.encode(labels))


def test_tasks_are_a_tuple_of_tasks_with_names_of_their_own():
    assert check_tasks(OS) == (OS,)
    assert check_tasks([OS, PAM50]) == (OS, PAM50)
    with pytest.raises(ValueError, match="every task needs its own name"):
        check_tasks([PAM50, Classification("pam50", column="er")])
    for wrong in ([], ["os"]):
        with pytest.raises(TypeError, match="tasks are Survival, Classification or Regression objects"):
            check_tasks(wrong)


def test_a_class_has_one_name_however_its_column_is_stored():
    for column in ([1, 2, None], [1.0, 2.0, 1.5], ["1", "2 ", " "], pd.Categorical([1.0, 2.0, None])):
        labels = Classification("grade").read(pd.DataFrame({"grade": column}, index=list("abc")))
        assert labels[:2].tolist() == ["1", "2"]


def test_blank_labels_are_missing_and_a_constant_number_is_refused_despite_rounding():
    obs = pd.DataFrame({"grade": ["", " ", "1"], "age": 0.1}, index=list("abc"))
    assert Classification("grade").read(obs).isna().tolist() == [True, True, False]
    with pytest.raises(ValueError, match="constant or empty"):
        Regression("age").fit(obs)


def test_one_absurd_time_that_swallows_the_grid_is_noticed():
    obs = pd.DataFrame({"t": [*np.linspace(1, 10, 40), 5000.0], "e": 1}, index=[f"P{i}" for i in range(41)])
    with pytest.warns(CohortWarning, match=r"98% of the events fall into one of 64 time intervals; .* 5000 \(P40\)"):
        Survival("os", time="t", event="e").fit(obs)


def test_the_name_of_the_mean_is_taken():
    with pytest.raises(ValueError, match="'mean' is the mean over tasks"):
        check_tasks([Regression("mean", column="age")])
