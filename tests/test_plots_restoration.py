"""Figures of restored expression: points, lines and words against the tables they are drawn from."""

import itertools

import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib import pyplot as plt

from gexcore import plots

pytestmark = pytest.mark.usefixtures("canvas")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def legend(ax):
    return [t.get_text() for t in ax.get_legend().get_texts()]


# ---------------------------------------------------------------------------------------------- one gene


@pytest.fixture
def gene():
    """True and restored values of forty samples, in different orders, each with a sample the other lacks."""
    rng = np.random.default_rng(0)
    true = pd.Series(rng.normal(5, 1, 41), [f"s{i}" for i in range(41)])
    restored = (true + rng.normal(0, 0.5, 41)).rename({"s40": "t0"}).sample(frac=1, random_state=0)
    true["s3"] = np.nan
    return true, restored


def test_true_and_restored_values_meet_by_sample(gene):
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.plot_restoration(*gene, unit="log2 TPM", ax=left) is left
    assert not right.has_data()
    true, restored = (values.drop(["s3", "s40", "t0"], errors="ignore") for values in gene)
    shown = left.collections[0].get_offsets()
    assert sorted(map(tuple, shown)) == sorted(zip(true, restored[true.index], strict=True))
    assert texts(left) == [f"r = {np.corrcoef(true, restored[true.index])[0, 1]:.2f}"]
    diagonal = left.lines[0].get_xydata()
    assert (diagonal[:, 0] == diagonal[:, 1]).all()
    assert diagonal.min() == min(true.min(), restored[true.index].min())
    assert (left.get_xlabel(), left.get_ylabel()) == ("True (log2 TPM)", "Restored (log2 TPM)")
    assert left.get_legend() is None
    figure.canvas.draw()


def test_groups_of_restored_samples_have_colours_and_a_legend_outside(gene):
    true, restored = gene
    groups = pd.Series(["b", "a"] * 20 + ["a"], true.index)[::-1]
    ax = plots.plot_restoration(true, restored, groups=groups)
    assert legend(ax) == ["a", "b"]
    for points, name in zip(ax.collections, "ab", strict=True):
        samples = groups.index[groups == name].intersection(restored.index).difference(["s3"])
        assert sorted(points.get_offsets()[:, 0]) == sorted(true[samples])
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1


def test_a_constant_restoration_correlates_by_nought(gene):
    true, restored = gene
    assert texts(plots.plot_restoration(true, restored * 0 + 2)) == ["r = 0.00"]


def test_values_of_different_samples_cannot_be_compared(gene):
    true, restored = gene
    message = "no sample has both values: the true ones are of s0, s1, s2 and 37 more, the restored ones of"
    with pytest.raises(ValueError, match=message):
        plots.plot_restoration(true, restored.rename(lambda name: name + "!"))


# -------------------------------------------------------------------------------------------- many cells


def scores(models, *, metric="rmse", rates=(0.1, 0.5, 0.9), seeds=(0, 1), **labels):
    """Values of every model at every rate and seed, drawn at random."""
    rng = np.random.default_rng(1)
    rows = [(m, s, r, metric, rng.uniform(0.5, 1)) for m, s, r in itertools.product(models, seeds, rates)]
    return pd.DataFrame(rows, columns=["model", "seed", "rate", "metric", "value"]).assign(**labels)


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


@pytest.mark.parametrize(("metric", "lower"), [("rmse", True), ("pcc_gene", False), ("accuracy", False)])
def test_a_line_is_the_mean_over_seeds_and_the_best_model_heads_the_legend(metric, lower):
    table = pd.concat([scores("cab", metric=metric), scores("cab", metric="mae").assign(value=9.0)])
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.plot_imputation(table, metric, ax=left) is left
    assert not right.has_data()
    means = table[table["metric"] == metric].groupby(["model", "rate"])["value"].mean()
    for model in "abc":
        np.testing.assert_allclose(lines(left)[model].get_xydata(), means[model].reset_index())
    assert legend(left) == sorted("abc", key=lambda m: means[m].mean(), reverse=not lower)
    handles = left.get_legend().legend_handles
    assert [h.get_color() for h in handles] == [lines(left)[m].get_color() for m in legend(left)]
    colors = sns.color_palette("colorblind")
    assert [lines(left)[m].get_color() for m in "cab"] == [colors[i] for i in range(3)]  # order of the table
    assert ("lower is better" in left.get_ylabel()) == lower
    assert [t.get_text() for t in left.get_xticklabels()] == ["10%", "50%", "90%"]
    figure.canvas.draw()


@pytest.mark.parametrize(("pattern", "label"), [("mcar", "Share of cells hidden"), ("genes", "Share of genes hidden")])
def test_the_axis_says_what_was_hidden(pattern, label):
    ax = plots.plot_imputation(scores("ab", pattern=pattern, stratum="all"))
    assert ax.get_xlabel() == label
    assert ax.get_ylabel() == "Root mean squared error\n(lower is better)"


def test_a_model_without_some_rates_keeps_its_others():
    table = scores("ab")
    ax = plots.plot_imputation(table[(table["model"] == "a") | (table["rate"] > 0.2)])
    assert lines(ax)["b"].get_xdata().tolist() == [0.5, 0.9]


def test_highlighted_models_are_thick_and_in_front_and_no_two_models_look_alike():
    models = [f"m{i:02d}" for i in range(12)]
    ax = plots.plot_imputation(scores(models), highlight=["m04", "m11"])
    drawn = lines(ax)
    thin, thick = drawn["m00"], drawn["m11"]
    assert thick.get_linewidth() > 2 * thin.get_linewidth()
    assert thick.get_zorder() > thin.get_zorder()
    assert len({(line.get_color(), line.get_marker()) for line in drawn.values()}) == 12


@pytest.mark.parametrize("name", ["pattern", "stratum", "task"])
def test_rows_of_several_kinds_are_not_averaged(name):
    table = pd.concat([scores("a", **{name: "one"}), scores("a", **{name: "two"})])
    with pytest.raises(ValueError, match=rf"several of {name} \(one, two\): choose the rows of one"):
        plots.plot_imputation(table)


def test_a_score_the_table_lacks_is_refused():
    with pytest.raises(ValueError, match="the table has no 'auc'; it has rmse"):
        plots.plot_imputation(scores("ab"), "auc")
