"""Mean ranks over cohorts and tasks: the worked example of Demšar (2006), its table of critical values, scipy, planted
orders; and the figure holds what the table says.
"""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from gexcore import plots
from gexcore.ranks import critical_difference, friedman, left_out, mean_ranks

# Table 6 of the paper: AUC on 14 data sets. In the last but one it ranks two values that are equal as printed.
TREES = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]
AUC = """
0.763 0.768 0.771 0.798
0.599 0.591 0.590 0.569
0.954 0.971 0.968 0.967
0.628 0.661 0.654 0.657
0.882 0.888 0.886 0.898
0.936 0.931 0.916 0.931
0.661 0.668 0.609 0.685
0.583 0.583 0.563 0.625
0.775 0.838 0.866 0.875
1.000 1.000 1.000 1.000
0.940 0.962 0.965 0.962
0.619 0.666 0.614 0.669
0.972 0.981 0.9754 0.9746
0.957 0.978 0.946 0.970
"""


def table(values, models, *, task="grade", metric="accuracy"):
    """Scores of one split: a row of values per cohort, a column per model."""
    rows = [
        (f"cohort-{i}", model, 0, task, metric, value)
        for i, row in enumerate(values)
        for model, value in zip(models, row, strict=True)
    ]
    return pd.DataFrame(rows, columns=["cohort", "model", "seed", "task", "metric", "value"])


@pytest.fixture(scope="module")
def trees():
    return mean_ranks(table(np.array(AUC.split(), float).reshape(14, 4), TREES))


def chance(k, n, seed=0):
    """Ranks of methods that do not differ, without ties."""
    values = np.random.default_rng(seed).normal(size=(n, k))
    return mean_ranks(table(values, [f"m{i}" for i in range(k)])), values


def scores(blocks):
    """Scores from {(cohort, task, metric): {model: values over splits}}."""
    rows = [(*b, m, seed, v) for b, models in blocks.items() for m, vs in models.items() for seed, v in enumerate(vs)]
    return pd.DataFrame(rows, columns=["cohort", "task", "metric", "model", "seed", "value"])


# ---------------------------------------------------------------------------------------------- testing


def test_ranks_of_the_worked_example_are_those_of_the_paper(trees):
    assert trees["mean_rank"].round(3).to_dict() == {
        "C4.5+m+cf": 1.964,
        "C4.5+m": 2.0,
        "C4.5+cf": 2.893,
        "C4.5": 3.143,
    }
    assert list(trees.index) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert list(trees.loc["C4.5+m"])[1:] == [3, 2, 1, 1, 2, 2.5, 2, 2.5, 3, 2.5, 2.5, 2, 1, 1]


def test_the_friedman_test_of_the_worked_example_is_that_of_the_paper(trees):
    found = friedman(trees)
    assert found["chi2"] == pytest.approx(9.28, abs=0.005)
    assert found["f"] == pytest.approx(3.69, abs=0.005)
    assert found["p"] < 0.05  # the paper: F(3, 39) is 2.85 at 0.05
    assert stats.f.isf(0.05, 3, 39) == pytest.approx(2.85, abs=0.005)
    assert found["p"] == pytest.approx(stats.f.sf(found["f"], 3, 39))


@pytest.mark.parametrize(("alpha", "difference"), [(0.05, 1.25), (0.10, 1.12)])
def test_the_critical_difference_of_the_worked_example_is_that_of_the_paper(trees, alpha, difference):
    assert critical_difference(trees, alpha=alpha) == pytest.approx(difference, abs=0.005)


@pytest.mark.parametrize(
    ("alpha", "values"),
    [
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_critical_values_are_those_of_the_paper_for_two_to_ten_methods(alpha, values):
    for k, q in enumerate(values, start=2):
        ranks, _ = chance(k, 6)
        assert critical_difference(ranks, alpha=alpha) / np.sqrt(k * (k + 1) / 36) == pytest.approx(q, abs=0.0011)


def test_without_equal_ranks_the_friedman_test_is_that_of_scipy_and_with_them_it_is_weaker(trees):
    ranks, values = chance(5, 9)
    assert friedman(ranks)["chi2"] == pytest.approx(stats.friedmanchisquare(*values.T).statistic)
    tied = stats.friedmanchisquare(*trees.drop(columns="mean_rank", level=0).to_numpy()).statistic
    ties = 3 * (2**3 - 2) + (4**3 - 4)  # three pairs and one block of four
    assert friedman(trees)["chi2"] == pytest.approx(tied * (1 - ties / (14 * 4 * (4**2 - 1))))


def test_methods_that_do_not_differ_are_told_apart_as_rarely_as_alpha_says():
    found = [chance(4, 8, seed)[0] for seed in range(150)]
    reach = critical_difference(found[0], alpha=0.2)
    apart = np.mean([ranks["mean_rank"].max() - ranks["mean_rank"].min() >= reach for ranks in found])
    rejected = np.mean([friedman(ranks)["p"] < 0.2 for ranks in found])
    error = 3 * np.sqrt(0.2 * 0.8 / 150)
    assert 0.2 - error < rejected < 0.2 + error
    assert 0.02 < apart < 0.2 + error  # ranks are discrete


def test_no_order_at_all_and_the_same_order_everywhere_are_the_ends_of_the_test():
    assert friedman(mean_ranks(table([[1, 1, 1]] * 4, "abc"))) == {"chi2": 0.0, "f": 0.0, "p": 1.0}
    clear = friedman(mean_ranks(table([[3, 2, 1]] * 4, "abc")))
    assert clear["chi2"] == 8  # n (k - 1), the most there can be
    assert clear["f"] == np.inf
    assert clear["p"] == pytest.approx(1 / 6**3)  # three blocks, six orders each, repeat the first
    many = friedman(mean_ranks(table([np.linspace(0, 1, 20)] * 7, [f"m{i}" for i in range(20)])))
    assert many["f"] == np.inf


@pytest.mark.parametrize("alpha", [0, 1, 5])
def test_a_level_that_is_no_probability_is_refused(trees, alpha):
    with pytest.raises(ValueError, match=f"alpha must be between 0 and 1, not {alpha}"):
        critical_difference(trees, alpha=alpha)


# ---------------------------------------------------------------------------------------------- ranking

BLOCKS = {
    ("tcga", "os", "c_index"): {"txt": [0.7, 0.8], "mlp": [0.6, 0.7], "cox": [0.9, 0.9]},
    ("tcga", "age", "mae"): {"txt": [9.0, 5.0], "mlp": [6.0, 7.0]},  # of a better mean in spite of one bad split
    ("nki", "grade", "accuracy"): {"txt": [0.8, 0.8], "mlp": [0.9, 0.9]},
}


def test_methods_are_ranked_by_means_over_splits_in_the_direction_of_the_metric():
    ranks = mean_ranks(scores(BLOCKS).sample(frac=1, random_state=0))
    by_block = ranks.drop(columns="mean_rank", level=0)
    assert by_block.columns.names == ["cohort", "task", "metric"]
    assert by_block.loc["txt"].to_dict() == {
        ("tcga", "os", "c_index"): 1,
        ("tcga", "age", "mae"): 2,  # 7.0 against 6.5
        ("nki", "grade", "accuracy"): 2,
    }
    assert ranks["mean_rank"].to_dict() == pytest.approx({"mlp": 4 / 3, "txt": 5 / 3})
    assert list(ranks.index) == ["mlp", "txt"]  # best first
    assert list(ranks.columns) == [("mean_rank", "", ""), *by_block.columns]


def test_blocks_keep_the_order_of_the_table_and_only_headlines_count():
    other = scores({("tcga", "os", "ibs"): {"txt": [0.1], "mlp": [0.2]}})
    ranks = mean_ranks(pd.concat([other, scores(BLOCKS)]))
    assert list(ranks.columns[1:]) == list(BLOCKS)


def test_a_method_without_a_score_in_some_block_is_not_ranked_but_named():
    assert left_out(scores(BLOCKS)).to_dict() == {"cox": "age of tcga, grade of nki"}
    complete = scores(BLOCKS).query("model != 'cox'")
    assert left_out(complete).empty
    pd.testing.assert_frame_equal(mean_ranks(scores(BLOCKS)), mean_ranks(complete))
    survival = scores({(c, "os", "c_index"): BLOCKS["tcga", "os", "c_index"] for c in ("tcga", "nki")})
    assert list(mean_ranks(survival).index) == ["cox", "txt", "mlp"]


def test_tasks_that_are_not_taken_are_no_failures():
    table = scores(BLOCKS).assign(status="scored")
    refused = scores({b: {"cox": [np.nan, np.nan]} for b in list(BLOCKS)[1:]}).assign(status="not taken")
    pd.testing.assert_frame_equal(mean_ranks(pd.concat([table, refused])), mean_ranks(table))
    assert list(left_out(pd.concat([table, refused])).index) == ["cox"]


def test_a_failure_on_one_split_costs_the_whole_block_however_good_the_others_are():
    blocks = {
        ("a", "os", "c_index"): {"good": [1.0, np.nan, 1.0], "poor": [0.5, 0.5, 0.5], "fair": [0.6, 0.6, 0.6]},
        ("b", "age", "mae"): {"good": [1.0], "poor": [np.nan], "fair": [np.nan]},
    }
    for status in (None, "failed"):
        table = scores(blocks) if status is None else scores(blocks).assign(status=status)
        ranks = mean_ranks(table).drop(columns="mean_rank", level=0)
        assert ranks["a", "os", "c_index"].to_dict() == {"fair": 1, "poor": 2, "good": 3}
        assert ranks["b", "age", "mae"].to_dict() == {"good": 1, "fair": 2.5, "poor": 2.5}


def test_a_split_on_which_nobody_has_a_value_does_not_count():
    blocks = {b: {m: [*vs, np.nan] for m, vs in models.items()} for b, models in BLOCKS.items()}
    pd.testing.assert_frame_equal(mean_ranks(scores(blocks)), mean_ranks(scores(BLOCKS)))


def test_methods_are_not_compared_on_different_splits():
    unfinished = scores(BLOCKS).query("not (model == 'mlp' and task == 'age' and seed == 1)")
    with pytest.raises(ValueError, match="not all were run on all of them: mlp on 1 of 2 of age of tcga"):
        mean_ranks(unfinished)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("task == 'os'", "over two blocks or more; scored were os of tcga"),
        ("model == 'txt'", "two methods or more; with a score in each of 3 blocks there is txt$"),
        (
            "model == 'cox' or (model == 'mlp' and task == 'age')",
            r"in each of 2 blocks there is none \(cox lacks age of tcga, mlp lacks os of tcga\)",
        ),
        ("metric == 'f1'", "ranked by c_index, accuracy, mae; the table has no score"),
    ],
)
def test_what_cannot_be_ranked_is_refused(rows, text):
    with pytest.raises(ValueError, match=text):
        mean_ranks(scores(BLOCKS).query(rows))


def test_failures_alone_are_no_blocks():
    with pytest.raises(ValueError, match="scored were none"):
        mean_ranks(scores(BLOCKS).assign(value=np.nan))


def test_cohorts_without_names_are_told_apart_or_refused():
    one, two = (scores({b: v for b, v in BLOCKS.items() if b[0] == c}).drop(columns="cohort") for c in ("tcga", "nki"))
    assert set(mean_ranks(one).columns.get_level_values("cohort")) == {"mean_rank", "cohort"}
    with pytest.raises(ValueError, match="6 scores occur twice, first os of txt, seed 0: a column cohort tells"):
        mean_ranks(pd.concat([one, one.query("task == 'os'"), two]))


# ----------------------------------------------------------------------------------------------- figure


def many(k, n, spread):
    """Ranks of k methods in n cohorts with three tasks each; the first are better."""
    rng, rows = np.random.default_rng(0), []
    models = [f"a-method-of-long-name-{i}" for i in range(k)]
    for task, metric, sign in (("os", "c_index", -1), ("subtype", "accuracy", -1), ("age", "mae", 1)):
        values = sign * (np.linspace(0, spread, k) + rng.normal(size=(n, k)))
        rows.append(table(values, models, task=task, metric=metric))
    return mean_ranks(pd.concat(rows))


@pytest.mark.usefixtures("canvas")
def test_the_figure_shows_every_rank_and_mean_with_the_best_method_on_top():
    ranks = many(6, 4, 3.0)
    ax = plots.plot_ranks(ranks)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(ranks.index)
    assert ax.get_ylim() == (5.5, -0.5)
    assert [t.get_text() for t in ax.texts] == [f"{mean:.2f}" for mean in ranks["mean_rank"]]
    assert [line.get_xdata()[0] for line in ax.lines] == list(ranks["mean_rank"])
    kinds = {"survival": "c_index", "classification": "accuracy", "regression": "mae"}
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [*kinds, "mean"]
    for points, metric in zip(ax.collections, kinds.values(), strict=True):
        x, y = np.asarray(points.get_offsets()).T
        shown = ranks.loc[:, ranks.columns.get_level_values("metric") == metric]
        for row, (_, values) in enumerate(shown.iterrows()):
            assert sorted(x[np.abs(y - row) < 0.3]) == sorted(values)
    assert (
        len({y.round(6) for points in ax.collections for _, y in points.get_offsets()}) == 6 * 12
    )  # none hides another
    assert len({tuple(points.get_facecolor()[0]) for points in ax.collections}) == 3
    assert len({points.get_paths()[0].vertices.tobytes() for points in ax.collections}) == 3
    ranks = ranks.loc[:, ranks.columns.get_level_values("metric").isin(["", "mae"])]
    ax = plots.plot_ranks(ranks, ax=plt.figure().gca())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["regression", "mean"]
    alone = plots.plot_ranks(many(3, 1, 1.0), ax=plt.figure().gca())
    assert alone.get_xlabel().startswith("Rank among 3 methods in 3 tasks of 1 cohort (lower")


@pytest.mark.usefixtures("canvas")
@pytest.mark.parametrize("alpha", [0.01, 0.2])
def test_methods_in_the_band_are_those_that_cannot_be_told_from_the_best(alpha):
    ranks = many(8, 4, 3.0)
    ax = plots.plot_ranks(ranks, alpha=alpha)
    (band,) = ax.patches
    best, reach = ranks["mean_rank"].iloc[0], critical_difference(ranks, alpha=alpha)
    assert band.get_x() == best
    assert band.get_width() == pytest.approx(reach)
    colors = [line.get_markerfacecolor() for line in ax.lines]
    assert colors == ["0.15" if mean < best + reach else "white" for mean in ranks["mean_rank"]]
    assert len(set(colors)) == 2
    assert ax.get_xlabel() == (
        "Rank among 8 methods in 12 tasks of 4 cohorts (lower is better)\n"
        f"band: cannot be told from the best (critical difference {reach:.2f})"
    )


@pytest.mark.usefixtures("canvas")
@pytest.mark.parametrize(("k", "height"), [(5, 2.4), (25, 6.5)])
def test_nothing_in_the_figure_meets_anything_else(k, height):
    figure, ax = plt.subplots(figsize=(7.4, height))
    plots.plot_ranks(many(k, 2, 2.0), ax=ax)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in [*ax.get_yticklabels(), *ax.texts, ax.xaxis.label]]
    boxes.append(ax.get_legend().get_window_extent())
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert ax.get_window_extent().width > 0.5 * figure.bbox.width
    assert ax.get_window_extent().height > 0.5 * figure.bbox.height
