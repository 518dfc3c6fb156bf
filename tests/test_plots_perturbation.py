"""The figure of perturbed genes: what the artists hold is what the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib import pyplot as plt

from gexcore.plots.perturbation import LOWERS, RAISES, plot_effects

pytestmark = pytest.mark.usefixtures("canvas")


@pytest.fixture
def effects():
    effect = np.array([0.5, -3.0, 2.0, -1.0, 0.1, np.nan])
    table = pd.DataFrame({"task": "os", "output": "", "gene": list("abcdef"), "effect": effect})
    table = table.assign(low=effect - 1.5, high=effect + 1.5)
    return pd.concat([table, table.assign(task="subtype", output="basal", effect=-effect)], ignore_index=True)


def dots(ax):
    return [line for line in ax.lines if line.get_marker() == "o"]


def test_the_largest_effects_stand_on_top_with_interval_and_sign(effects):
    ax = plot_effects(effects, task="os", n_top=4, unit="months")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "c", "d", "a"]
    assert [float(line.get_xdata()[0]) for line in dots(ax)] == [-3.0, 2.0, -1.0, 0.5]
    assert [line.get_color() for line in dots(ax)] == [LOWERS, RAISES, LOWERS, RAISES]
    hollow = [colors.same_color(line.get_markerfacecolor(), "white") for line in dots(ax)]
    assert hollow == [False, False, True, True]  # intervals of -4.5..-1.5, 0.5..3.5, -2.5..0.5, -1..2
    intervals = [list(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2][1:]  # the first is zero
    assert intervals == [[-4.5, -1.5], [0.5, 3.5], [-2.5, 0.5], [-1.0, 2.0]]
    top, bottom = ax.get_ylim()[::-1]
    assert top < bottom
    assert ax.get_xlabel() == "os:\nchange with one step up (months)"


def test_the_effects_of_one_class_are_its_own(effects):
    ax = plot_effects(effects, task="subtype", output="basal")
    assert [float(line.get_xdata()[0]) for line in dots(ax)] == [
        3.0,
        -2.0,
        1.0,
        -0.5,
        -0.1,
    ]  # a missing one is left out
    assert ax.get_xlabel() == "subtype, basal:\nchange with one step up"


def test_one_model_without_intervals_has_hollow_dots(effects):
    ax = plot_effects(effects.assign(low=np.nan, high=np.nan), task="os")
    assert all(line.get_markerfacecolor() == "white" for line in dots(ax))
    ax.figure.canvas.draw()


def test_a_table_read_back_from_text_is_drawn_alike(effects, tmp_path):
    effects.to_csv(tmp_path / "effects.csv", index=False)
    ax = plot_effects(pd.read_csv(tmp_path / "effects.csv"), task="os")
    assert len(dots(ax)) == 5


def test_it_draws_on_the_given_axes_or_the_current_ones(effects):
    figure, (left, right) = plt.subplots(1, 2)
    assert plot_effects(effects, task="os", ax=left) is left
    assert not right.has_data()
    assert figure.axes == [left, right]
    _, ax = plt.subplots()
    assert plot_effects(effects, task="os") is ax


@pytest.mark.parametrize("chosen", [{"task": "age"}, {"task": "subtype"}, {"task": "os", "output": "basal"}])
def test_a_prediction_that_the_table_lacks_is_refused(effects, chosen):
    with pytest.raises(ValueError, match="it has effects on 'os', 'subtype basal'"):
        plot_effects(effects, **chosen)
    with pytest.raises(ValueError, match="it has effects on none"):
        plot_effects(effects.iloc[:0], **chosen)
