"""Genes attended by groups: against scipy's tests, brute force, finite differences, and what was planted."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import gexcore as gx
from gexcore import plots
from gexcore.finetuning import FineTuned
from gexcore.interpret import (
    attended_genes,
    correlate_with_expression,
    gradient_times_input,
    largest_by_chance,
)

GENES = [f"G{i}" for i in range(12)]
TYPE = gx.Classification("cancer_type")


def drawn(seed=0, n=60, genes=GENES):
    """Numbers without any difference between three groups, and the groups."""
    rng = np.random.default_rng(seed)
    ids = [f"s{i}" for i in range(n)]
    table = pd.DataFrame(rng.random((n, len(genes))), ids, genes)
    return table, pd.Series(rng.permutation(np.arange(n) % 3), ids).map({0: "a", 1: "b", 2: "c"})


@pytest.fixture
def planted():
    """G3 receives more in group b, G5 less in group c; G0 has ties and holes, G1 is the same for all."""
    table, groups = drawn()
    table.loc[groups == "b", "G3"] += 0.6
    table.loc[groups == "c", "G5"] -= 0.7
    table["G0"] = table["G0"].round(1).mask(table["G0"] < 0.2)
    table["G1"] = 0.5
    return table, groups


# ------------------------------------------------------------------------------------------------ groups


def test_every_gene_of_every_group_is_compared_as_by_mann_whitney(planted):
    table, groups = planted
    found = attended_genes(table, groups).set_index(["group", "gene"])
    assert len(found) == 3 * 12
    for (group, gene), row in found.iterrows():
        inside, outside = (table.loc[rows, gene].dropna() for rows in (groups == group, groups != group))
        assert row["attention"] == pytest.approx(inside.mean())
        assert row["difference"] == pytest.approx(inside.mean() - outside.mean())
        test = stats.mannwhitneyu(inside, outside, use_continuity=False, method="asymptotic")
        if gene == "G1":  # scipy leaves this open
            assert (row["z"], row["p"]) == (0, 1)
        else:
            assert row["p"] == pytest.approx(test.pvalue)
            above = test.statistic - len(inside) * len(outside) / 2
            assert np.sign(row["z"]) == np.sign(above)
            assert abs(row["z"]) == pytest.approx(stats.norm.isf(test.pvalue / 2))


def test_false_discoveries_are_held_down_over_the_whole_table(planted):
    found = attended_genes(*planted)
    ordered = found.sort_values("p")
    steps = ordered["p"] * len(ordered) / np.arange(1, len(ordered) + 1)
    np.testing.assert_allclose(ordered["q"], steps[::-1].cummin()[::-1].clip(upper=1))
    few = found[found["q"] < 0.01]
    assert {("b", "G3"), ("c", "G5")} <= set(zip(few["group"], few["gene"], strict=True))
    assert set(few["gene"]) == {"G3", "G5"}


def test_genes_of_a_group_stand_by_falling_z_and_groups_in_order(planted):
    table, groups = planted
    found = attended_genes(table, groups)
    assert list(found["group"].unique()) == ["a", "b", "c"]
    assert found.groupby("group")["gene"].first()["b"] == "G3"
    assert found.groupby("group")["gene"].last()["c"] == "G5"
    assert (found.groupby("group")["z"].diff().dropna() <= 0).all()
    ordered = groups.astype(pd.CategoricalDtype(["c", "unused", "b", "a"], ordered=True))
    assert list(attended_genes(table, ordered)["group"].unique()) == ["c", "b", "a"]


def test_samples_are_matched_by_id_and_those_without_a_group_left_out(planted):
    table, groups = planted
    known = groups.drop(groups.index[:7])
    shuffled = pd.concat([known.sample(frac=1, random_state=1), pd.Series({"s0": None, "elsewhere": "a"})])
    expected = attended_genes(table.iloc[7:], known)
    pd.testing.assert_frame_equal(attended_genes(table, shuffled), expected)
    pd.testing.assert_frame_equal(attended_genes(table.assign(never=np.nan), shuffled), expected)


def test_a_gene_that_one_side_lacks_has_no_test(planted):
    table, groups = planted
    table.loc[groups == "a", "G7"] = np.nan
    found = attended_genes(table, groups).set_index(["group", "gene"])
    assert found.loc[("a", "G7"), ["attention", "z", "p", "q"]].isna().all()
    assert found.loc[("b", "G7"), ["attention", "z", "p", "q"]].notna().all()  # against c
    assert found["q"].isna().sum() == 1
    assert largest_by_chance(table, groups, n=20).notna().all(axis=None)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (pd.Series({"t0": "a"}), "share no sample: the attention is of s0, s1, s2 and 57 more, the groups of t0"),
        (pd.Series({"s0": "a", "s1": "a", "s2": None}), "all 2 samples with attention are of group 'a'"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(groups, said):
    with pytest.raises(ValueError, match=said):
        attended_genes(drawn()[0], groups)


# ------------------------------------------------------------------------------------------------ chance


def test_chance_is_what_shuffled_groups_give_one_after_the_other(planted):
    table, groups = planted
    found = largest_by_chance(table, groups, n=120, seed=5)
    assert found.shape == (120, 3)
    rng, code = np.random.default_rng(5), groups.map({"a": 0, "b": 1, "c": 2}).to_numpy()
    dealt = [rng.permuted(code) for _ in range(120)]
    for row in (0, 1, 49, 50, 119):
        again = attended_genes(table, pd.Series(dealt[row], groups.index).map({0: "a", 1: "b", 2: "c"}))
        np.testing.assert_allclose(found.loc[row], again["z"].abs().groupby(again["group"]).max())
    pd.testing.assert_frame_equal(largest_by_chance(table, groups, n=30, seed=5), found.head(30))
    assert not largest_by_chance(table, groups, n=30, seed=6).equals(found.head(30))


def test_a_planted_gene_is_beyond_chance_and_others_are_not(planted):
    found = attended_genes(*planted)
    limit = largest_by_chance(*planted, n=400).quantile(0.95)
    beyond = found[found["z"].abs() > found["group"].map(limit)]
    assert {("b", "G3"), ("c", "G5")} <= set(zip(beyond["group"], beyond["gene"], strict=True))
    assert set(beyond["gene"]) == {"G3", "G5"}


def test_without_any_difference_a_gene_is_beyond_chance_in_one_table_of_twenty():
    beyond = []
    for seed in range(100):
        table, groups = drawn(seed, n=30)
        limit = largest_by_chance(table, groups, n=100, seed=seed).quantile(0.95)
        found = attended_genes(table, groups)
        beyond.append((found["z"].abs() > found["group"].map(limit)).groupby(found["group"]).any()["a"])
    low, high = stats.binom.ppf([0.001, 0.999], 100, 0.05)
    assert low <= sum(beyond) <= high


def test_no_shuffle_is_refused():
    with pytest.raises(ValueError, match="1 or more, not 0"):
        largest_by_chance(*drawn(), n=0)


# -------------------------------------------------------------------------------------------- expression


def test_attention_that_follows_something_in_expression_says_what():
    genes = [f"G{i}" for i in range(80)]
    noise, groups = drawn(3, 120, genes)
    rng = np.random.default_rng(4)
    level, sd, shift = rng.normal(8, 2, 80), rng.uniform(0.5, 2, 80), rng.normal(0, 3, 80)
    expression = noise.apply(stats.norm.ppf) * sd + level + np.outer(groups == "b", shift)
    cohort = gx.read_cohort(expression[genes[::-1]].sample(frac=1, random_state=0))

    def rho(attention, of, what, group="b"):
        found = correlate_with_expression(attention, cohort, groups)
        assert (found["genes"] == 80).all()
        return found.set_index(["group", "attention", "expression"]).loc[(group, of, what), "rho"]

    same = expression * 0
    assert rho(same + level, "received", "mean", "c") > 0.95 > 0.4 > abs(rho(same + level, "received", "variance", "c"))
    assert rho(same + sd, "received", "variance", "c") > 0.9 > 0.4 > abs(rho(same + sd, "received", "mean", "c"))
    assert rho(expression, "received", "mean") == pytest.approx(1)
    assert rho(expression, "difference", "difference") == pytest.approx(1)
    assert abs(rho(expression, "difference", "size of the difference")) < 0.4
    assert rho(expression * np.sign(shift), "difference", "size of the difference") > 0.95
    inside = expression[groups == "b"]
    assert rho(expression, "received", "variance") == pytest.approx(
        inside.var().corr(inside.mean(), method="spearman"), abs=1e-3
    )


def test_only_genes_that_attention_and_cohort_share_are_correlated():
    table, groups = drawn()
    cohort = gx.read_cohort(table[GENES[:8]] + 5)
    holes = table.assign(G0=np.nan)
    assert (correlate_with_expression(holes, cohort, groups)["genes"] == 7).all()
    with pytest.raises(ValueError, match="share 2 genes, 3 are the least; the attention is of G0, G1"):
        correlate_with_expression(table[GENES[:2]], cohort, groups)


# -------------------------------------------------------------------------------------------- gradients

TINY = {
    "preset": "quick",
    "n_components": 2,
    "n_factors": 4,
    "d_model": 16,
    "d_ff": 16,
    "n_layers": 1,
    "n_heads": 2,
    "panel": 16,
    "n_targets": 16,
    "max_epochs": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def cohort():
    simulated = gx.simulate.simulate_pan_cancer(n_samples=140, n_genes=100, seed=2)
    return gx.read_cohort(simulated.expression.iloc[:, :24], simulated.clinical)


@pytest.fixture(scope="module")
def bert(cohort):
    return gx.GexBERT(**TINY).fit(cohort)


@pytest.mark.parametrize("frozen", [True, False])
def test_gradients_are_those_of_the_predicted_odds(cohort, bert, frozen):
    tasks = [gx.Regression("age"), TYPE]
    panel = cohort[:, :20].copy()
    model = FineTuned(tasks, encoder=bert, frozen=frozen, max_epochs=4, learning_rate=0.01, device="cpu").fit(panel)
    some = panel[:6].copy()
    some.X[0, 3] = np.nan
    found = gradient_times_input(model, some[:, ::-1].copy(), "cancer_type")
    assert list(found.index) == list(some.obs_names)
    assert list(found.columns) == model.genes_
    assert np.isnan(found.iloc[0, 3])
    assert found.isna().sum().sum() == 1
    labels = model.predict(some)["cancer_type"].labels

    def log_odds(moved):
        p = model.predict(moved)["cancer_type"].probabilities
        p = p.to_numpy()[range(6), p.columns.get_indexer(labels)]
        return np.log(p / (1 - p))

    score = pd.DataFrame(bert.scores(some), some.obs_names, bert.genes_)
    for gene in model.genes_[:8]:
        ends = []
        for step in (-0.004, 0.004):
            moved = some.copy()
            moved.X[:, moved.var_names.get_loc(gene)] += step
            ends.append((log_odds(moved), bert.scores(moved)[:, bert.genes_.index(gene)]))
        slope = (ends[1][0] - ends[0][0]) / (ends[1][1] - ends[0][1])
        np.testing.assert_allclose(found[gene], slope * score[gene], atol=0.02 * found.abs().max(axis=None))


def test_what_has_no_gradient_is_refused(cohort, bert):
    tasks = [gx.Regression("age"), TYPE]
    model = FineTuned(tasks, encoder=bert, frozen=True, max_epochs=1, device="cpu").fit(cohort)
    with pytest.raises(ValueError, match=r"a classification of the model \(cancer_type\), not 'age'"):
        gradient_times_input(model, cohort, "age")
    levels = gx.GexBERT(**{**TINY, "value_encoder": "levels", "linear": "none"}).fit(cohort)
    model = FineTuned(tasks, encoder=levels, frozen=True, max_epochs=1, device="cpu").fit(cohort)
    with pytest.raises(ValueError, match="levels of expression, which have no gradient"):
        gradient_times_input(model, cohort, "cancer_type")


# ---------------------------------------------------------------------------------------------- figures


def test_attended_genes_are_shown_in_percent_with_each_groups_own_framed(planted, canvas):
    table, groups = planted
    found = attended_genes(table, groups)
    ax = plots.plot_attended(found, n_top=2)
    genes = [t.get_text() for t in ax.get_xticklabels()]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
    shown = np.asarray(ax.images[0].get_array())
    for (row, column), percent in np.ndenumerate(shown):
        group, gene = "abc"[row], genes[column]
        means = [table.loc[rows, gene].mean() for rows in (groups == group, groups != group)]
        assert percent == pytest.approx(100 * (means[0] / means[1] - 1))
    framed = {(int(f.get_y() + 0.5), genes[int(f.get_x() + 0.5)]) for f in ax.patches}
    first = found.groupby("group").head(2)
    assert framed == set(zip(first["group"].map({"a": 0, "b": 1, "c": 2}), first["gene"], strict=True))


def test_genes_beyond_chance_are_blue_and_counted(planted, canvas):
    found, chance = attended_genes(*planted), largest_by_chance(*planted, n=100)
    ax = plots.plot_against_chance(found, chance)
    limits = chance.quantile([0.05, 0.95])
    for bar, points, text, group in zip(ax.patches, ax.collections, ax.texts, "abc", strict=True):
        assert [bar.get_x(), bar.get_x() + bar.get_width()] == pytest.approx(list(limits[group]))
        z = found.loc[found["group"] == group, "z"].abs().to_numpy()
        np.testing.assert_allclose(np.asarray(points.get_offsets())[:, 0], z)
        blue = np.ptp(points.get_facecolors()[:, :3], axis=1) > 0
        np.testing.assert_array_equal(blue, z > limits.loc[0.95, group])
        assert text.get_text() == f"{blue.sum()} of 12"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
