"""Small panels: nested, the same for all, and the only genes a model is given; intervals by scipy; curves as drawn."""

from collections import Counter

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib import pyplot as plt
from scipy import stats

import gexcore as gx
from gexcore import plots
from gexcore.baselines import LinearModel, Majority, OnRepresentation, PrincipalComponents, RandomForest
from gexcore.panels import against_best_rival, compare_panels, random_panels, top_variance_panels

GENES = [f"g{j:02d}" for j in range(40)]
TASK, AGE = gx.Classification("type"), gx.Regression("age")


def cohort(n, *, seed):
    """Forty genes, the later the more variable; those of even number tell the type."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=n)
    x = rng.normal(size=(n, 40)) + np.random.default_rng(99).normal(size=(3, 40))[kind] * (np.arange(40) % 2 == 0)
    x *= np.linspace(1, 3, 40)
    obs = pd.DataFrame(
        {"type": np.array(["lung", "colon", "skin"])[kind], "age": rng.normal(60, 9, n)},
        index=[f"p{seed}-{i}" for i in range(n)],
    )
    return ad.AnnData(x.astype("float32"), obs=obs, var=pd.DataFrame(index=GENES))


TRAIN, VAL, TEST = cohort(150, seed=0), cohort(30, seed=1), cohort(120, seed=2)

# ----------------------------------------------------------------------------------------------- drawing


def test_panels_have_their_sizes_and_a_larger_one_holds_the_smaller_ones_of_its_draw():
    panels = random_panels(GENES, [4, 16, 8], n_draws=5, seed=1)
    assert [(size, draw) for size, draw, _ in panels] == [(size, draw) for size in (4, 16, 8) for draw in range(5)]
    chosen = {(size, draw): set(genes) for size, draw, genes in panels}
    for (size, draw), genes in chosen.items():
        assert len(genes) == size
        assert genes <= set(GENES)
        assert chosen[4, draw] <= genes <= chosen[16, draw]
    assert len({frozenset(chosen[4, draw]) for draw in range(5)}) == 5


def test_a_seed_draws_the_same_panels_and_more_draws_or_sizes_change_none_of_them():
    few, more = random_panels(GENES, [4], n_draws=3), random_panels(GENES, [2, 4, 9], n_draws=7)
    assert few == [panel for panel in more if panel.size == 4][:3]
    assert few != random_panels(GENES, [4], n_draws=3, seed=1)


def test_every_gene_is_drawn_as_often_as_any_other():
    counts = Counter(gene for panel in random_panels(GENES, [10], n_draws=2000) for gene in panel.genes)
    expected = stats.binom(2000, 10 / 40)
    assert all(abs(counts[gene] - expected.mean()) < 4 * expected.std() for gene in GENES)


def test_variance_panels_are_the_most_variable_genes_of_the_training_samples():
    ranked = TRAIN.to_df().std().sort_values(ascending=False).index
    panels = top_variance_panels(TRAIN, [2, 20])
    assert [(panel.size, panel.draw) for panel in panels] == [(2, 0), (20, 0)]
    assert set(panels[0].genes) <= set(panels[1].genes)
    assert len(set(panels[1].genes) & set(ranked[:20])) >= 18  # it cuts at five robust standard deviations
    assert panels[1].genes == gx.select_genes(TRAIN, n=20)


def test_panels_that_cannot_be_drawn_are_refused():
    message = (
        r"sizes must be different numbers from 1 to 40, the number of genes, not \[4, 64, 128\]; leave out 64, 128"
    )
    with pytest.raises(ValueError, match=message):
        random_panels(GENES, [4, 64, 128])
    with pytest.raises(ValueError, match=message):
        top_variance_panels(TRAIN, [4, 64, 128])
    for sizes in ([], [0], [4, 4]):
        with pytest.raises(ValueError, match="sizes must be different numbers from 1 to 40"):
            random_panels(GENES, sizes)
    with pytest.raises(ValueError, match="n_draws is a number of panels of each size, 1 or more, not 0"):
        random_panels(GENES, [4], n_draws=0)
    with pytest.raises(ValueError, match="1 genes are listed twice or more, first g00"):
        random_panels([*GENES, "g00"], [4])
    flat = TRAIN.copy()
    flat.X[:, 30:] = 1.0
    with pytest.raises(ValueError, match="from 1 to 30, the number of genes that vary between the training samples"):
        top_variance_panels(flat, [4, 36])


# --------------------------------------------------------------------------------------------- comparing


class Recorder:
    """The null model, with a note of all it is shown."""

    def __init__(self, name, seed, log):
        self.name, self.seed, self.log = name, seed, log

    def fit(self, train, val=None):
        self.log.append(("fit", self.name, self.seed, (train, val)))
        self.inner = Majority([TASK, AGE]).fit(train)
        return self

    def predict(self, test):
        self.log.append(("predict", self.name, self.seed, (test,)))
        return self.inner.predict(test)


def with_more_than_genes(data):
    """A cohort that carries its expression in every place an AnnData has."""
    data = data.copy()
    data.raw, data.layers["counts"], data.obsm["X_pca"], data.uns["all"] = data, data.X.copy(), data.X.copy(), data.X
    data.varm["loadings"] = np.ones((40, 2))
    return data


def test_every_model_gets_the_genes_of_the_same_panels_and_nothing_else():
    log, panels = [], random_panels(GENES, [3, 12], n_draws=2, seed=5)
    models = {name: lambda seed, name=name: Recorder(name, seed, log) for name in ("a", "b")}
    train, val, test = (with_more_than_genes(part) for part in (TRAIN, VAL, TEST))
    table = compare_panels(models, train, test, TASK, panels, val=val)
    expected = [(name, panel) for panel in panels for name in ("a", "b")]
    for what in ("fit", "predict"):
        entries = [entry for entry in log if entry[0] == what]
        assert [(name, seed) for _, name, seed, _ in entries] == [(name, panel.draw) for name, panel in expected]
        for (_, panel), (*_, seen) in zip(expected, entries, strict=True):
            for given, part in zip(seen, (TRAIN, VAL) if what == "fit" else (TEST,), strict=True):
                assert list(given.var_names) == panel.genes
                np.testing.assert_array_equal(given.X, part[:, panel.genes].X)
                assert not given.is_view
                assert given.raw is None
                for place in (given.layers, given.obsm, given.varm, given.uns, given.var.columns):
                    assert len(place) == 0
                obs = part.obs if what == "fit" else part.obs.drop(columns="type")
                pd.testing.assert_frame_equal(given.obs, obs)
    assert list(table) == ["model", "size", "draw", "metric", "value", "seconds"]
    assert set(table["metric"]) == {"accuracy", "f1", "precision", "recall", "auroc"}
    assert len(table) == 2 * 4 * 5
    assert (table["seconds"] >= 0).all()


def test_a_model_that_spoils_what_it_is_given_spoils_it_for_nobody_else():
    class Vandal(Recorder):
        def fit(self, train, val=None):
            super().fit(train)
            train.X[:], train.obs["type"] = 0.0, "lung"
            return self

        def predict(self, test):
            test.X[:] = 0.0
            return super().predict(test)

    panels = random_panels(GENES, [20], n_draws=1)
    linear = {"linear": lambda seed: LinearModel(TASK, seed=seed)}
    alone = compare_panels(linear, TRAIN, TEST, TASK, panels)
    vandal = {"vandal": lambda seed: Vandal("vandal", seed, [])}
    after = compare_panels(vandal | linear, TRAIN, TEST, TASK, panels)
    after = after[after["model"] == "linear"].reset_index(drop=True)
    pd.testing.assert_series_equal(after["value"], alone["value"])


def test_scores_are_those_of_evaluate_and_know_more_with_more_genes():
    panels = random_panels(GENES, [2, 30], n_draws=3)
    models = {
        "null": lambda seed: Majority(TASK),
        "linear": lambda seed: LinearModel(TASK, seed=seed),
        "components": lambda seed: OnRepresentation(LinearModel(TASK, seed=seed), PrincipalComponents(n_components=8)),
    }
    table = compare_panels(models, TRAIN, TEST, TASK, panels).set_index(["model", "size", "draw", "metric"])["value"]
    size, draw, genes = panels[-1]
    by_hand = LinearModel(TASK, seed=draw).fit(TRAIN[:, genes].copy()).predict(TEST[:, genes].copy())
    by_hand = gx.evaluate(by_hand, TEST).set_index("metric")["value"]
    for metric in ("accuracy", "f1", "recall", "auroc"):
        assert table["linear", size, draw, metric] == pytest.approx(by_hand[metric])
    accuracy = table.xs("accuracy", level="metric").groupby(["model", "size"]).mean()
    assert accuracy["null", 2] == accuracy["null", 30] < accuracy["linear", 2] + 0.05
    for model in ("linear", "components"):
        assert accuracy[model, 30] > accuracy[model, 2] + 0.15


def test_labels_of_test_samples_change_their_scores_and_nothing_else():
    panels = random_panels(GENES, [10], n_draws=2) + [
        panel._replace(draw=9) for panel in top_variance_panels(TRAIN, [10])
    ]
    spoilt, predictions = TEST.copy(), []
    spoilt.obs["type"] = np.random.default_rng(0).permutation(TEST.obs["type"])

    class Kept(LinearModel):
        def predict(self, test):
            predictions.append(super().predict(test))
            return predictions[-1]

    models = {"linear": lambda seed: Kept(TASK, seed=seed)}
    true, wrong = (compare_panels(models, TRAIN, test, TASK, panels) for test in (TEST, spoilt))
    for ours, theirs in zip(predictions[:3], predictions[3:], strict=True):
        pd.testing.assert_frame_equal(ours["type"].probabilities, theirs["type"].probabilities)
    accuracy = [table.loc[table["metric"] == "accuracy", "value"].mean() for table in (true, wrong)]
    assert accuracy[0] > 0.6
    assert accuracy[1] < 0.5


def test_other_kinds_of_task_are_scored_too_and_validation_samples_are_handed_on():
    cohort, (os, kind, age) = gx.load_cohort("demo-pan-cancer"), gx.load_tasks("demo-pan-cancer")
    train, val, test = gx.split(cohort, [os, kind], seed=0)
    panels = random_panels(cohort.var_names, [24], n_draws=1)
    models = {
        "null": lambda seed: Majority([kind, age]),
        "forest": lambda seed: RandomForest([kind, age], n_trees=50),
    }
    scores = {
        task.kind: compare_panels(models, train, test, task, panels, val=val).set_index(["metric", "model"])["value"]
        for task in (kind, age)
    }
    assert scores["classification"]["accuracy", "forest"] > scores["classification"]["accuracy", "null"] + 0.3
    assert set(scores["regression"].index.get_level_values("metric")) == {"mae", "rmse", "pcc", "scc"}


def test_panels_that_cannot_be_compared_on_are_refused_before_the_first_fit():
    def never(seed):
        raise AssertionError

    models = {"a": never}
    with pytest.raises(ValueError, match="there is no panel to compare on"):
        compare_panels(models, TRAIN, TEST, TASK, [])
    with pytest.raises(ValueError, match="the panel of size 3, draw 1 is empty"):
        compare_panels(models, TRAIN, TEST, TASK, [(3, 0, GENES[:3]), (3, 1, [])])
    with pytest.raises(ValueError, match="1 panels occur twice or more, first size 4, draw 0; score panels of another"):
        compare_panels(models, TRAIN, TEST, TASK, random_panels(GENES, [4]) + top_variance_panels(TRAIN, [4]))
    fewer = TEST[:, 4:].copy()
    with pytest.raises(
        ValueError, match="test samples lack 4 of the 6 genes of the panel of size 6, draw 0, first g00"
    ):
        compare_panels(models, TRAIN, fewer, TASK, [(6, 0, GENES[:6])])
    with pytest.raises(ValueError, match="validation samples lack 4 of the 6"):
        compare_panels(models, TRAIN, TEST, TASK, [(6, 0, GENES[:6])], val=fewer)
    with pytest.raises(KeyError, match="needs column 'stage'"):
        compare_panels(models, TRAIN, TEST, gx.Classification("stage"), random_panels(GENES, [4]))


# -------------------------------------------------------------------------------------------- one against all


def scored(values, metric="accuracy"):
    """Scores by model and size: a list over draws."""
    rows = [
        (model, size, draw, metric, value, 0.1)
        for (model, size), drawn in values.items()
        for draw, value in enumerate(drawn)
    ]
    return pd.DataFrame(rows, columns=["model", "size", "draw", "metric", "value", "seconds"])


def noisy(metric="accuracy"):
    rng = np.random.default_rng(0)
    level = {"ours": 0.8, "strong": 0.75, "weak": 0.5, "late": 0.4}
    values = {
        (model, size): mean + (0.5 if (model, size) == ("late", 64) else 0) + 0.05 * rng.normal(size=6)
        for model, mean in level.items()
        for size in (64, 8)
    }
    return scored(values, metric)


def test_differences_are_paired_by_draw_with_the_interval_of_the_paired_t_test():
    scores = noisy().sample(frac=1, random_state=0)
    table = against_best_rival(scores, "ours")
    assert list(table["size"]) == [8, 8, 8, 64, 64, 64]
    for row in table.itertuples():
        ours, theirs = (
            scores[(scores["model"] == model) & (scores["size"] == row.size)].sort_values("draw")["value"].to_numpy()
            for model in ("ours", row.rival)
        )
        oracle = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
        assert row.difference == pytest.approx(np.mean(ours - theirs))
        assert (row.low, row.high) == pytest.approx((oracle.low, oracle.high))
        assert (row.mean, row.rival_mean) == pytest.approx((ours.mean(), theirs.mean()))
        assert row.draws == 6
    wider = against_best_rival(scores, "ours", level=0.99)
    assert (wider["high"] - wider["low"] > table["high"] - table["low"]).all()


@pytest.mark.parametrize(
    ("metric", "best"), [("accuracy", {8: "strong", 64: "late"}), ("mae", {8: "late", 64: "weak"})]
)
def test_the_best_rival_of_each_size_is_the_one_with_the_best_mean_and_comes_first(metric, best):
    table = against_best_rival(noisy(metric), "ours", metric=metric)
    assert table[table["best"]].set_index("size")["rival"].to_dict() == best
    assert table.groupby("size")["best"].first().all()
    for _, means in table.groupby("size")["rival_mean"]:
        assert means.is_monotonic_decreasing if metric == "accuracy" else means.is_monotonic_increasing


def test_only_draws_that_both_have_are_compared_and_one_draw_has_no_interval():
    values = {("ours", 8): [0.5, 0.6, 0.9], ("a", 8): [0.4, np.nan, 0.6], ("b", 8): [0.1], ("c", 8): [0.25, 0.35, 0.65]}
    table = against_best_rival(scored(values), "ours").set_index("rival")
    assert table["draws"].to_dict() == {"a": 2, "c": 3, "b": 1}
    assert table["difference"].to_dict() == pytest.approx({"a": 0.2, "c": 0.25, "b": 0.4})
    assert table.loc["a", "mean"] == pytest.approx(0.7)
    assert table.loc["b", ["low", "high"]].isna().all()


def test_comparisons_that_make_no_sense_are_refused():
    scores = noisy()
    with pytest.raises(
        ValueError, match="'theirs' needs rivals in scores of 'accuracy'; those are of ours, strong, weak"
    ):
        against_best_rival(scores, "theirs")
    with pytest.raises(ValueError, match=r"'ours' needs rivals in scores of 'accuracy'; those are of ours$"):
        against_best_rival(scores[scores["model"] == "ours"], "ours")
    with pytest.raises(ValueError, match="scores of 'f1'; those are of no model"):
        against_best_rival(scores, "ours", metric="f1")
    with pytest.raises(ValueError, match="48 panels are scored twice or more, first size 64, draw 0 for 'ours'"):
        against_best_rival(pd.concat([scores, scores]), "ours")


# ------------------------------------------------------------------------------------------------- the figure


@pytest.fixture
def canvas(canvas):
    return plt.figure().gca()


def test_curves_are_means_over_draws_with_their_t_intervals_on_a_doubling_axis(canvas):
    scores = noisy()
    ax = plots.plot_panel_curves(scores.sample(frac=1, random_state=0).sort_values("model", kind="stable"), ax=canvas)
    drawn = {line.get_label(): line for line in ax.lines}
    bands = dict(zip(sorted(drawn), ax.collections, strict=True))
    for model, line in drawn.items():
        values = scores[scores["model"] == model].groupby("size")["value"].apply(np.array)
        assert list(line.get_xdata()) == [8, 64]
        assert line.get_ydata() == pytest.approx([v.mean() for v in values])
        edges = bands[model].get_paths()[0].vertices
        for size, v in values.items():
            interval = stats.ttest_1samp(v, 0).confidence_interval(0.95)
            at = edges[edges[:, 0] == size, 1]
            assert (at.min(), at.max()) == pytest.approx((interval.low, interval.high))
    assert ax.get_xscale() == "log"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["8", "64"]
    assert ax.get_ylabel() == "Accuracy\n(higher is better)"
    assert ax.get_xlabel() == "Genes in the panel"


@pytest.mark.parametrize(("metric", "order"), [("accuracy", ["ours", "late", "strong", "weak"]), ("mae", None)])
def test_the_legend_stands_outside_with_the_best_model_on_top(canvas, metric, order):
    values = {(m, k): [v] for m, v in {"ours": 0.8, "weak": 0.1, "late": 0.7, "strong": 0.6}.items() for k in (8, 16)}
    ax = plots.plot_panel_curves(scored(values, metric), metric, ax=canvas)
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == (order or ["weak", "strong", "late", "ours"])
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1
    assert ax.get_ylabel().endswith("(higher is better)" if metric == "accuracy" else "(lower is better)")


def test_a_model_keeps_its_colour_whatever_the_others_score_and_no_two_look_alike(canvas):
    values = {(f"m{i:02d}", k): [0.5 + 0.01 * i] * 2 for i in range(14) for k in (8, 16)}
    scores = scored(values)
    ax = plots.plot_panel_curves(scores, ax=canvas)
    looks = {line.get_label(): (mpl.colors.to_hex(line.get_color()), line.get_marker()) for line in ax.lines}
    assert len(set(looks.values())) == 14
    assert looks["m03"][0] == mpl.colors.to_hex(sns.color_palette("colorblind")[3])
    scores.loc[scores["model"] == "m01", "value"] = np.nan  # it has no score and leaves no gap in the colours
    again = plots.plot_panel_curves(scores, ax=plt.figure().gca())
    assert {line.get_label(): (mpl.colors.to_hex(line.get_color()), line.get_marker()) for line in again.lines} == {
        model: look for model, look in looks.items() if model != "m01"
    }


def test_a_metric_the_table_lacks_is_refused(canvas):
    with pytest.raises(ValueError, match="the table has no 'f1'; it has accuracy"):
        plots.plot_panel_curves(noisy(), "f1", ax=canvas)
