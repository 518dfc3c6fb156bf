"""Groups of patients and what differs between two: against scipy's tests, planted differences and shuffled groups."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from gexcore.comparison import paired_difference
from gexcore.interpret.groups import (
    cluster_patients,
    compare_frequencies,
    compare_values,
    differential_attention,
)

GENES = [f"G{i}" for i in range(40)]
IDS = [f"s{i}" for i in range(60)]


@pytest.fixture
def groups():
    return pd.Series(["a"] * 25 + ["b"] * 35, IDS)


@pytest.fixture
def selected(groups):
    """A fifth of everything is selected, G0 nearly always in b, G1 nearly always in a, G2 always, G3 never."""
    table = pd.DataFrame(np.random.default_rng(0).random((60, 40)) < 0.2, IDS, GENES)
    table["G0"], table["G1"] = (np.random.default_rng(1).random(60) < 0.05 + 0.9 * (groups == name) for name in "ba")
    return table.assign(G2=True, G3=False)


@pytest.fixture
def values():
    """Noise; G0 is higher in b, G1 is a constant, G2 one per group, G3 has a single value in a."""
    table = pd.DataFrame(np.random.default_rng(2).normal(5, 1, (60, 40)), IDS, GENES)
    table.loc[IDS[25:], "G0"] += 2
    table["G1"], table["G2"] = 0.1, [0.1] * 25 + [0.3] * 35
    table.loc[IDS[1:25], "G3"] = np.nan
    table.loc[IDS[:4], "G4"] = np.nan
    return table


# ----------------------------------------------------------------------------------------------- clusters


@pytest.fixture
def embedding():
    """Ten, fifteen and twenty samples around three corners."""
    corner = np.repeat([0, 1, 2], [10, 15, 20])
    x = np.random.default_rng(0).normal(size=(45, 6)) + 9 * np.eye(6)[corner]
    return pd.DataFrame(x, IDS[:45]), corner


def test_planted_clusters_are_found_and_the_largest_comes_first(embedding):
    table, corner = embedding
    found = cluster_patients(table, k=3)
    assert found.name == "cluster"
    assert found.index.equals(table.index)
    assert found.tolist() == pd.Series(corner).map({0: "3", 1: "2", 2: "1"}).tolist()
    assert adjusted_rand_score(corner, cluster_patients(table, k=2)) > 0.5
    assert set(cluster_patients(table, k=1)) == {"1"}


def test_clusters_are_numbered_by_the_mean_of_another_number_whatever_the_seed(embedding):
    table, corner = embedding
    risk = pd.Series(corner % 2 - 0.1 * corner, table.index).sample(frac=1, random_state=0)  # 0, 0.9, -0.2
    for seed in range(3):
        found = cluster_patients(table, k=3, order_by=risk, seed=seed)
        assert found.tolist() == pd.Series(corner).map({0: "2", 1: "3", 2: "1"}).tolist()
        pd.testing.assert_series_equal(found, cluster_patients(table, k=3, order_by=risk, seed=seed))


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda x: x[:3], {"k": 4}, r"different samples \(3\), not 4"),
        (lambda x: x * 0, {"k": 2}, r"different samples \(1\), not 2"),
        (lambda x: x, {"k": 0}, "not 0"),
        (
            lambda x: x.drop(index=["s3", "s5"]).reindex(x.index),
            {},
            "2 samples have a cell without a number, first s3, s5",
        ),
        (lambda x: x, {"order_by": pd.Series(1.0, IDS[:40])}, "lacks a number for 5 of 45 samples, first s40, s41"),
    ],
)
def test_what_makes_no_clusters_is_refused(embedding, change, settings, said):
    with pytest.raises(ValueError, match=said):
        cluster_patients(change(embedding[0]), **settings)


# -------------------------------------------------------------------------------------------- frequencies


def test_shares_are_compared_by_fishers_exact_test(selected, groups):
    found = compare_frequencies(selected, groups.sample(frac=1, random_state=0))
    assert (found[["n_first", "n_second"]] == [25, 35]).all(axis=None)
    for row in found.itertuples():
        a, b = (selected.loc[groups == name, row.gene].sum() for name in "ab")
        assert (row.first, row.second) == (a / 25, b / 35)
        assert row.p == pytest.approx(stats.fisher_exact([[a, 25 - a], [b, 35 - b]]).pvalue)
        assert row.log2_ratio == pytest.approx(np.log2((b + 0.5) / 36 / ((a + 0.5) / 26)))
    np.testing.assert_allclose(found["q"], stats.false_discovery_control(found["p"]))
    assert found["p"].is_monotonic_increasing
    assert found.set_index("gene").loc[["G2", "G3"], "p"].tolist() == [1, 1]


def test_core_genes_are_those_planted_and_bear_the_name_of_their_group(selected, groups):
    core = compare_frequencies(selected, groups).set_index("gene")["core"]
    assert core[core != ""].to_dict() == {"G0": "b", "G1": "a"}
    ordered = groups.astype(pd.CategoricalDtype(["unused", "b", "a"], ordered=True))
    turned = compare_frequencies(selected, ordered).set_index("gene")
    assert turned.loc["G0", "first"] > 0.8 > 0.2 > turned.loc["G0", "second"]
    assert turned["core"].eq(core).all()
    assert (compare_frequencies(selected, groups, least_ratio=50)["core"] == "").all()
    assert (compare_frequencies(selected, groups, level=0)["core"] == "").all()


def test_a_gene_selected_in_no_sample_of_a_group_has_a_finite_ratio(groups):
    table = pd.DataFrame({"G0": groups == "b"})
    found = compare_frequencies(table, groups).loc[0]
    assert (found["first"], found["second"], found["core"]) == (0, 1, "b")
    assert found["log2_ratio"] == pytest.approx(np.log2(35.5 / 36 / (0.5 / 26)))


def test_groups_dealt_at_random_have_no_core_genes(selected, groups):
    small, corrected = [], []
    for seed in range(60):
        dealt = pd.Series(np.random.default_rng(seed).permutation(groups), groups.index)
        found = compare_frequencies(selected, dealt)
        small.append((found["p"] < 0.05).mean())
        corrected.append((found["core"] != "").any())
    assert 0 < np.mean(small) < 0.05  # the test of small counts stays below its level
    assert np.mean(corrected) < 0.1


def test_without_a_significant_gene_or_any_gene_the_table_has_its_columns(selected, groups):
    found = compare_frequencies(selected[["G2", "G3"]], groups)
    assert found["core"].tolist() == ["", ""]
    nothing = compare_frequencies(selected[[]], groups)
    assert nothing.empty
    assert list(nothing.columns) == list(found.columns)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (pd.Series("a", IDS), "not 1: of 60 samples in the table 60 are of 'a'"),
        (pd.Series(list("abc") * 20, IDS), "not 3: of 60 samples in the table 20 are of 'a', 20 are of 'b', 20 are"),
        (pd.Series(list("abb"), ["x", "y", "z"]), "not 0: .* none has a group, groups has x, y, z"),
        (pd.Series({"s0": None, "s1": "a"}), "not 1: of 60 samples in the table 1 are of 'a'"),
        (pd.Series(list("abb"), ["s1", "s2", "s1"]), "1 samples occur more than once in groups, first s1"),
    ],
)
def test_anything_but_two_groups_is_refused(selected, given, said):
    for compare in (compare_frequencies, compare_values):
        with pytest.raises(ValueError, match=said):
            compare(selected, given)


def test_numbers_are_not_taken_for_selected_genes(selected, groups):
    with pytest.raises(ValueError, match="1 columns hold something else, first G7"):
        compare_frequencies(selected.assign(G7=1.0), groups)


# ------------------------------------------------------------------------------------------------- values


def test_values_are_compared_by_welchs_test(values, groups):
    found = compare_values(values, groups[::-1])
    assert found["name"].tolist() == GENES
    for row in found.drop([1, 2, 3]).itertuples():
        a, b = (values.loc[groups == name, row.name].dropna() for name in "ab")
        test = stats.ttest_ind(b, a, equal_var=False)
        assert (row.t, row.p) == (pytest.approx(test.statistic), pytest.approx(test.pvalue))
        assert (row.first, row.second) == (pytest.approx(a.mean()), pytest.approx(b.mean()))
        assert row.difference == pytest.approx(b.mean() - a.mean())
        assert row.stars == ("***" if row.p < 1e-3 else "**" if row.p < 0.01 else "*" if row.p < 0.05 else "ns")
    known = found["p"].notna()
    np.testing.assert_allclose(found["q"][known], stats.false_discovery_control(found["p"][known]))
    assert found.loc[0, "stars"] == "***"
    assert found["stars"].isin(["*", "**"]).any()


def test_constants_and_single_values_have_no_test_and_no_warning(values, groups):
    found = compare_values(values, groups).set_index("name")
    assert found.loc["G1", ["t", "p", "stars"]].tolist() == [0, 1, "ns"]
    assert found.loc[["G2", "G3"], ["t", "p", "q"]].isna().all(axis=None)
    assert found.loc[["G2", "G3"], "stars"].tolist() == ["", ""]
    assert found.loc["G2", "difference"] == pytest.approx(0.2)
    assert found["p"].notna().sum() == 38
    only = compare_values(values[["G2"]], groups)
    assert only["q"].isna().all()
    assert list(compare_values(values[[]], groups).columns) == list(only.columns)


def test_shuffled_groups_give_small_p_in_one_column_of_twenty(values, groups):
    table = values.drop(columns=["G0", "G1", "G2", "G3"])
    small, corrected = [], []
    for seed in range(60):
        dealt = pd.Series(np.random.default_rng(seed).permutation(groups), groups.index)
        found = compare_values(table, dealt)
        small.append((found["p"] < 0.05).mean())
        corrected.append((found["q"] < 0.05).any())
    assert np.mean(small) == pytest.approx(0.05, abs=0.015)
    assert np.mean(corrected) < 0.12


# ---------------------------------------------------------------------------------------------- attention


@pytest.fixture
def networks():
    """Attention of samples in two networks: G0 gains a tenth, G1 loses one, the rest is noise."""
    rng = np.random.default_rng(3)
    before = pd.DataFrame(rng.gamma(9, 1 / 9, (60, 40)), IDS, GENES)
    after = before + rng.normal(0, 0.05, (60, 40))
    return after + 0.1 * np.eye(40)[0] - 0.1 * np.eye(40)[1], before


def test_the_same_samples_in_two_networks_are_compared_in_pairs(networks):
    after, before = networks
    found = differential_attention(after.sample(frac=1, random_state=0), before)
    for row in found.itertuples():
        test = stats.ttest_rel(after[row.gene], before[row.gene])
        assert (row.t, row.p) == (pytest.approx(test.statistic), pytest.approx(test.pvalue))
        assert (row.before, row.after) == (
            pytest.approx(before[row.gene].mean()),
            pytest.approx(after[row.gene].mean()),
        )
        assert row.percent == pytest.approx(100 * (row.after / row.before - 1))
    np.testing.assert_allclose(found["q"], stats.false_discovery_control(found["p"]))
    assert found["p"].is_monotonic_increasing
    assert set(found["gene"][:2]) == {"G0", "G1"}
    assert found.loc[found["gains"], "gene"].tolist() == ["G0"]


def test_rows_that_are_not_pairs_are_compared_by_welchs_test(networks):
    after, before = networks
    found = differential_attention(after.set_axis(range(60)), before[:20].set_axis(range(20)), paired=False)
    for row in found.itertuples():
        test = stats.ttest_ind(after[row.gene], before.loc[IDS[:20], row.gene], equal_var=False)
        assert (row.t, row.p) == (pytest.approx(test.statistic), pytest.approx(test.pvalue))


def test_overlapping_splits_widen_the_test_as_they_do_for_scores(networks):
    after, before = (table[:5] for table in networks)
    plain = differential_attention(after, before).set_index("gene")
    found = differential_attention(after, before, test_ratio=0.2 / 0.7).set_index("gene")
    for gene in GENES[:5]:
        expected = paired_difference(after[gene], before[gene], test_ratio=0.2 / 0.7)
        assert found.loc[gene, "p"] == pytest.approx(expected["p"])
        assert found.loc[gene, "difference"] == pytest.approx(expected["difference"])
    np.testing.assert_allclose(found["t"] / plain["t"].loc[found.index], (1 + 5 * 0.2 / 0.7) ** -0.5)


def test_two_seeds_of_one_model_differ_in_most_genes_and_kinds_of_models_do_not():
    """What the docstring warns of: each trained model has habits of its own, on top of the noise of samples."""
    rng = np.random.default_rng(4)
    samples = rng.normal(1, 0.1, (60, 40))
    models = [pd.DataFrame(samples + rng.normal(0, 0.1, 40) + rng.normal(0, 0.02, (60, 40))) for _ in range(16)]
    one, other = models[:2]
    assert (differential_attention(one, other)["q"] < 0.05).mean() > 0.9
    first, second = (pd.concat([m.mean() for m in part], axis=1).T for part in (models[:8], models[8:]))
    assert (differential_attention(first, second, paired=False)["q"] < 0.05).mean() < 0.05


def test_only_rows_and_genes_of_both_tables_count(networks):
    after, before = networks
    after = after.mask(np.eye(60, 40, dtype=bool))
    found = differential_attention(after.drop(columns="G9").drop(index="s7"), before.drop(columns="G5")).set_index(
        "gene"
    )
    assert sorted(found.index) == sorted(set(GENES) - {"G5", "G9"})
    a, b = (table["G0"].drop(["s0", "s7"]) for table in (after, before))
    assert found.loc["G0", "p"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert found.loc["G0", "before"] == pytest.approx(b.mean())


def test_a_gene_without_attention_or_with_the_same_everywhere_is_no_error(networks):
    after, before = (table.assign(G2=0.0, G3=0.5) for table in networks)
    found = differential_attention(after.assign(G3=0.75), before).set_index("gene")
    assert found.loc["G2", ["difference", "t", "p"]].tolist() == [0, 0, 1]
    assert np.isnan(found.loc["G2", "percent"])
    assert found.loc["G3", ["t", "p", "q"]].isna().all()
    assert found.loc["G3", "percent"] == 50
    assert not found.loc["G3", "gains"]
    assert found.index[-1] == "G3"


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda x: x.add_prefix("X"), {}, "share no gene: after has XG0, XG1, XG2 and 37 more, before G0, G1"),
        (lambda x: x.set_axis(range(60)), {}, "2 rows of the same id are the least for a t-test, not 0"),
        (lambda x: x[:1], {"paired": False}, "2 rows on each side are the least for a t-test, not 1"),
        (lambda x: pd.concat([x, x[:2]]), {}, "2 rows occur again, first s0, s1"),
        (lambda x: x, {"paired": False, "test_ratio": 0.3}, "test_ratio=0.3 corrects paired rows"),
    ],
)
def test_networks_that_cannot_be_compared_are_refused(networks, change, settings, said):
    with pytest.raises(ValueError, match=said):
        differential_attention(change(networks[0]), networks[1], **settings)
