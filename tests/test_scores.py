"""What a benchmark says: intervals against a closed form, the table as printed, corrected p-values against R."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gexcore.comparison import differences
from gexcore.scores import compare, costs, holm, score_table, summarise

# ---------------------------------------------------------------------------------------------- summaries


def scores_of(values, cohort="one", task="grade", metric="accuracy"):
    """One score of each model on each split; None is a failure."""
    rows = [(m, s, v) for m, scores in values.items() for s, v in enumerate(scores)]
    table = pd.DataFrame(rows, columns=["model", "seed", "value"]).astype({"value": float})
    status = np.where(table["value"].isna(), "failed", "scored")
    return table.assign(cohort=cohort, task=task, metric=metric, status=status, error="")


def test_the_interval_of_a_mean_is_the_corrected_t_interval():
    values = [0.61, 0.66, 0.58, 0.63, 0.70]
    row = summarise(scores_of({"a": values})).iloc[0]
    mean, sd = np.mean(values), np.std(values, ddof=1)
    half = stats.t.ppf(0.975, 4) * sd * np.sqrt(1 / 5 + 0.2 / 0.7)  # Nadeau and Bengio 2003
    np.testing.assert_allclose([row["mean"], row["sd"]], [mean, sd])
    np.testing.assert_allclose([row["low"], row["high"]], [mean - half, mean + half])
    assert (row["splits"], row["failed"]) == (5, 0)


def test_failures_are_counted_and_tasks_not_taken_are_no_rows():
    scores = scores_of({"shaky": [0.6, None, 0.9], "cox": [None] * 3})
    scores.loc[scores["model"] == "cox", "status"] = "not taken"
    found = summarise(scores).set_index("model")
    assert list(found.index) == ["shaky"]
    assert found.loc["shaky", ["splits", "failed"]].tolist() == [2, 1]
    assert found.loc["shaky", "mean"] == pytest.approx(0.75)


def test_the_table_stars_the_best_of_each_column_by_its_own_direction():
    age = scores_of({"txt": [7.0, 8.0], "mlp": [9.0, 9.5]}, task="age", metric="mae")
    grade = scores_of({"txt": [0.6, 0.7], "mlp": [0.7, 0.7]})
    cox = scores_of({"cox": [0.7, 0.72]}, task="os", metric="c_index")
    other = scores_of({"txt": [0.1, 0.1]}, metric="auroc")  # not of Table 1
    table = score_table(summarise(pd.concat([age, grade, cox, other])))
    assert table.columns.tolist() == [("age", "MAE"), ("grade", "ACC"), ("os", "C-index")]
    assert table.loc["txt"].tolist() == ["7.50* (0.71)", "0.650 (0.071)", "\N{EN DASH}"]
    assert table.loc["mlp"].tolist() == ["9.25 (0.35)", "0.700* (0.000)", "\N{EN DASH}"]
    assert table.loc["cox", ("os", "C-index")] == "0.710* (0.014)"


def test_a_metric_that_cannot_exist_is_a_dash_and_no_failure():
    svm = [scores_of({"svm": [0.6, 0.7]}, task="os", metric="c_index")]
    svm += [scores_of({"svm": [np.nan] * 2}, task="os", metric="ibs").assign(status="scored")]
    assert score_table(summarise(pd.concat(svm))).loc["svm"].tolist() == ["0.650* (0.071)", "\N{EN DASH}"]


def test_the_table_shows_intervals_on_request_and_says_what_failed():
    found = summarise(scores_of({"txt": [0.6, 0.6, 0.9], "down": [None] * 3}))
    row = found.set_index("model").loc["txt"]
    table = score_table(found, interval=True)
    assert (
        table.loc["txt", ("grade", "ACC")].replace("\N{NO-BREAK SPACE}", " ")
        == f"0.700* ({row['low']:.2f} to {row['high']:.2f})"
    )
    assert table.loc["down", ("grade", "ACC")] == "failed"
    constant = summarise(scores_of({"null": [0.5, 0.5]}, metric="c_index"))
    assert score_table(constant, interval=True).loc["null", ("grade", "C-index")] == "0.500*"


def test_a_table_is_of_one_cohort():
    two = pd.concat([scores_of({"a": [0.5, 0.6]}), scores_of({"a": [0.5, 0.6]}, "two")])
    with pytest.raises(ValueError, match="a table shows one cohort, the summary has one, two"):
        score_table(summarise(two))


def test_a_fit_of_several_tasks_is_paid_once():
    joint = pd.concat([scores_of({"joint": [0.5, 0.6]}, task=task) for task in ("os", "age")])
    joint["seconds"] = joint["seed"].map({0: 3.0, 1: 5.0})
    single = joint.assign(model="single", seconds=joint["seconds"] / 4 + joint["task"].eq("age"))
    found = costs(pd.concat([joint, single]).assign(peak_mb=100.0))
    assert found.loc["joint"].tolist() == [1, 4.0, 100.0]
    assert found.loc["single"].tolist() == [2, 3.0, 100.0]
    assert list(found.index) == ["single", "joint"]


# --------------------------------------------------------------------------------------------- differences


def test_holm_agrees_with_the_worked_values():
    """Those of R 4.3: p.adjust(c(0.01, 0.04, NA, 0.03, 0.005), "holm")."""
    p = pd.Series([0.01, 0.04, np.nan, 0.03, 0.005], index=list("abcde"))
    np.testing.assert_allclose(holm(p), [0.03, 0.06, np.nan, 0.06, 0.02])
    assert holm(pd.Series([0.4, 0.9])).tolist() == [0.8, 0.9]
    assert holm(pd.Series([0.7, 0.8])).tolist() == [1.0, 1.0]


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
