"""Figures of models and of patients as a model sees them: what the artists hold is what the tables say."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib import pyplot as plt

from gexcore import plots

pytestmark = pytest.mark.usefixtures("canvas")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


@pytest.mark.parametrize(("metric", "top"), [("c_index", "strong"), ("ibs", "weak")])
def test_scores_show_every_split_with_mean_and_sd_and_the_best_model_on_top(metric, top):
    values = {"weak": [0.5, 0.6, 0.7], "strong": [0.7, 0.8, 0.9]}
    rows = [("os", metric, m, seed, v) for m, vs in values.items() for seed, v in enumerate(vs)]
    ax = plots.plot_scores(pd.DataFrame(rows, columns=["task", "metric", "model", "seed", "value"]))
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names[-1] == top
    for name, points, text in zip(names, ax.collections[::2], texts(ax), strict=True):
        assert np.asarray(points.get_offsets())[:, 0] == pytest.approx(values[name])
        assert text == f"{np.mean(values[name]):.3f} ± 0.100"


def test_scores_of_several_metrics_at_once_are_refused():
    table = pd.DataFrame({"model": "a", "seed": 0, "task": "os", "metric": ["auc", "ibs"], "value": 0.5})
    with pytest.raises(ValueError, match="one metric of one task"):
        plots.plot_scores(table)


def differences(metric, rows):
    table = pd.DataFrame(rows, columns=["model", "difference", "low", "high", "verdict"])
    return table.assign(reference="base", task="os", metric=metric)


@pytest.mark.parametrize(
    ("metric", "label", "better"),
    [
        ("c_index", "C-index, os: difference to base\n(higher is better \N{RIGHTWARDS ARROW})", "above"),
        ("ibs", "Integrated Brier score, os: difference to base\n(\N{LEFTWARDS ARROW} lower is better)", "below"),
    ],
)
def test_differences_stand_beside_zero_with_their_intervals_in_table_order(metric, label, better):
    verdict = {"above": "worse", "below": "worse"} | {better: "better"}
    rows = [
        ("unsure", 0.01, -0.02, 0.04, "not decided"),
        ("above", 0.05, 0.01, 0.09, verdict["above"]),
        ("below", -0.03, -0.05, -0.01, verdict["below"]),
        ("once", 0.02, np.nan, np.nan, "not decided"),
    ]
    ax = plots.plot_differences(differences(metric, rows))
    assert [t.get_text() for t in ax.get_yticklabels()] == [name for name, *_ in rows]
    assert ax.get_ylim() == (3.5, -0.5)  # the first model on top
    zero, *drawn = ax.lines
    assert list(zero.get_xdata()) == [0, 0]
    intervals = {line.get_ydata()[0]: line for line in drawn if len(line.get_xdata()) == 2}
    points = {line.get_ydata()[0]: line for line in drawn if line.get_marker() == "o"}
    assert len(points) == 4
    assert {y: tuple(line.get_xdata()) for y, line in intervals.items()} == {y: rows[y][2:4] for y in range(3)}
    assert [points[y].get_xdata()[0] for y in range(4)] == [row[1] for row in rows]
    assert texts(ax) == ["+0.010", "+0.050", "\N{MINUS SIGN}0.030", "+0.020"]
    assert ax.get_xlabel() == label
    colors = {row[0]: mpl.colors.to_rgb(points[y].get_color()) for y, row in enumerate(rows)}
    assert colors["unsure"] == colors["once"] == mpl.colors.to_rgb("0.45")
    blue, red = colors[better], colors["below" if better == "above" else "above"]
    assert blue[2] > blue[0] > 0
    assert red[0] > red[2] > 0


def test_differences_of_several_scores_at_once_are_refused():
    table = pd.concat(
        [differences("auc", [("a", 0.1, 0, 0.2, "better")]), differences("ibs", [("a", 0.1, 0, 0.2, "better")])]
    )
    with pytest.raises(ValueError, match="one metric of one task"):
        plots.plot_differences(table)


def pruning(metric, changes):
    rows = [("none", "none", 0.0), *((layer, head, c) for (layer, head), c in changes.items())]
    table = pd.DataFrame(rows, columns=["layer", "head", "change"]).sample(frac=1, random_state=0)
    return pd.concat([table.assign(task="os", metric=metric), table.assign(task="age", metric="mae", change=9.0)])


@pytest.mark.parametrize(("metric", "worse"), [("c_index", -1), ("ibs", 1)])
def test_pruning_is_red_where_the_score_got_worse(metric, worse):
    layers, heads = [*map(str, range(1, 11)), "all"], ["1", "2", "all"]
    rng = np.random.default_rng(0)
    changes = {(a, b): rng.normal(0, 0.01) for a in layers for b in heads if (a, b) != ("all", "all")}
    changes["2", "1"], changes["10", "2"] = 0.06 * worse, -0.06 * worse
    changes["3", "1"], changes["4", "1"] = np.nan, -0.0001
    ax = plots.plot_pruning(pruning(metric, changes), "os", metric)
    assert [t.get_text() for t in ax.get_yticklabels()] == layers  # 10 comes after 9
    assert [t.get_text() for t in ax.get_xticklabels()] == heads
    image = ax.images[0]
    shown = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_array_equal(shown, [[changes.get((a, b), np.nan) for b in heads] for a in layers])
    assert image.get_clim() == pytest.approx((-0.06, 0.06))
    red, white, blue = image.to_rgba(np.array([0.06 * worse, 0.0, -0.06 * worse]))
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert min(white[:3]) > 0.95
    numbers = np.array(texts(ax)).reshape(11, 3)
    minus = "\N{MINUS SIGN}"
    assert numbers[1, 0] == ("+0.060" if worse > 0 else f"{minus}0.060")
    assert [numbers[2, 0], numbers[3, 0], numbers[10, 2]] == ["", "+0.000", ""]
    gaps = {tuple(np.unique(line.get_xdata())): line.get_linewidth() for line in ax.lines}
    assert gaps[1.5,] > gaps[0.5,]  # head "all" stands apart
    rows = {line.get_ydata()[0]: line.get_linewidth() for line in ax.lines if list(line.get_xdata()) == [0, 1]}
    assert rows[9.5] > rows[8.5]


def test_pruning_without_any_change_is_white_and_without_any_score_blank():
    white, blank = (
        plots.plot_pruning(pruning("auc", {("1", "1"): change}), "os", "auc", ax=plt.figure().gca())
        for change in (0.0, np.nan)
    )
    assert min(white.images[0].to_rgba(white.images[0].get_array())[0, 0]) > 0.95
    assert texts(white) == ["+0.000"]
    assert blank.images[0].to_rgba(blank.images[0].get_array())[0, 0, 3] == 0  # transparent
    assert texts(blank) == [""]
    blank.figure.canvas.draw()


def test_pruning_of_a_score_the_table_lacks_is_refused():
    with pytest.raises(ValueError, match="no 'ibs' of task 'os'; it has os auc, age mae"):
        plots.plot_pruning(pruning("auc", {("1", "1"): 0.1}), "os", "ibs")


def test_history_marks_the_epoch_with_the_least_mean_validation_loss():
    losses = {"a": [3, 1, 2], "b": [2, 2, 4], "mean": [2.5, 1.5, 3]}
    rows = [(e, s, t, loss) for s in ("train", "val") for t, row in losses.items() for e, loss in enumerate(row)]
    ax = plots.plot_history(pd.DataFrame(rows, columns=["epoch", "split", "task", "loss"]))
    drawn = lines(ax)
    assert drawn["validation, mean"].get_ydata().tolist() == [2.5, 1.5, 3]
    assert drawn["validation, b"].get_ydata().tolist() == [2, 2, 4]
    assert drawn["best epoch (1)"].get_xydata().tolist() == [[1, 1.5]]


@pytest.fixture
def plane():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(30, 2)), [f"s{i}" for i in range(30)], ["x", "y"])


def where(points):
    return np.asarray(points.get_offsets())


def test_an_embedding_coloured_by_numbers_has_a_colour_bar_and_grey_patients_behind(plane):
    age = pd.Series(np.linspace(40, 80, 30), plane.index, name="age")[::-1]  # matched by id
    age.iloc[:4] = np.nan  # s29, s28, s27, s26
    ax = plots.plot_embedding(plane, age)
    numbers, grey = ax.collections
    np.testing.assert_array_equal(where(numbers), plane[:26])
    np.testing.assert_array_equal(where(grey), plane[26:])
    np.testing.assert_allclose(numbers.get_array(), np.linspace(40, 80, 30)[:26])
    assert numbers.get_cmap().name == "viridis"
    assert grey.get_zorder() < numbers.get_zorder()
    assert mpl.colors.to_hex(grey.get_facecolor()[0]) == mpl.colors.to_hex("0.88")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["missing (4)"]
    assert numbers.colorbar.ax.get_ylabel() == "age"
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == []


def test_an_embedding_coloured_by_classes_has_a_legend_in_colours_safe_for_the_colour_blind(plane):
    subtype = pd.Series(np.repeat(["luminal", "basal", None], [12, 15, 3]), plane.index, dtype=object)
    ax = plots.plot_embedding(plane, subtype, label="Subtype")
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "Subtype"
    assert [t.get_text() for t in legend.get_texts()] == ["basal (15)", "luminal (12)", "missing (3)"]
    ax.figure.canvas.draw()
    assert legend.get_window_extent().x0 >= ax.get_window_extent().x1  # outside
    basal, luminal, missing = ax.collections
    for points, rows, color in ((basal, slice(12, 27), 0), (luminal, slice(0, 12), 1)):
        np.testing.assert_array_equal(where(points), plane[rows])
        assert points.get_facecolor()[0, :3] == pytest.approx(sns.color_palette("colorblind")[color])
    assert missing.get_zorder() < basal.get_zorder()


def test_classes_of_an_embedding_keep_the_order_of_a_categorical_and_differ_in_marker_beyond_ten(plane):
    ordered = pd.Categorical(["low", "high", "low"] * 10, ["low", "medium", "high"], ordered=True)
    ax = plots.plot_embedding(plane, ordered, ax=plt.figure().gca())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["low (20)", "high (10)"]
    ax = plots.plot_embedding(plane, [f"k{i:02d}" for i in range(30)], ax=plt.figure().gca())
    looks = {(tuple(p.get_facecolor()[0]), p.get_paths()[0].vertices.tobytes()) for p in ax.collections}
    assert len(looks) == 30


def test_values_of_other_patients_are_refused(plane):
    with pytest.raises(ValueError, match="share no sample: the values are of t0, the coordinates of s0, s1, s2 and 27"):
        plots.plot_embedding(plane, pd.Series([1.0], ["t0"]))
