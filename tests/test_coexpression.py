"""Gene vectors from samples: against correlations of numpy and pandas, and modules that are planted."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from gexcore import coexpression
from gexcore.coexpression import correlation_graph, spectral_vectors
from gexcore.network import node2vec, vectors_for
from gexcore.tasks import CohortWarning

MODULES, SIZE = 6, 8
GENES = [f"m{module}_{gene}" for module in range(MODULES) for gene in range(SIZE)]


def planted(n=200, seed=0):
    """Six modules of eight genes, each a hidden number plus noise; half of a module's genes follow its opposite."""
    rng = np.random.default_rng(seed)
    hidden = np.repeat(rng.normal(size=(n, MODULES)), SIZE, axis=1) * np.tile([1, -1], len(GENES) // 2)
    x = 2 * hidden + rng.normal(size=(n, len(GENES))) + rng.uniform(0, 10, len(GENES))
    return pd.DataFrame(x, index=[f"p{i}" for i in range(n)], columns=GENES)


def unrelated(n, n_genes, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, n_genes))  # no tails: scaling cuts nothing
    return pd.DataFrame(x, index=[f"p{i}" for i in range(n)], columns=[f"g{i:04}" for i in range(n_genes)])


def with_holes(table, share=0.3, seed=1):
    return table.mask(np.random.default_rng(seed).random(table.shape) < share)


def module(gene):
    return gene.split("_")[0]


def edges(graph):
    return {tuple(sorted((a, b))): (data["weight"], data["sign"]) for a, b, data in graph.edges(data=True)}


def products(vectors):
    return vectors.to_numpy() @ vectors.to_numpy().T


# ----------------------------------------------------------------------------------------- network


@pytest.mark.parametrize("block", [7, 256])
def test_every_gene_is_joined_to_those_of_largest_correlation(monkeypatch, block):
    monkeypatch.setattr(coexpression, "_BLOCK", block)
    table = unrelated(50, 40)
    r = np.corrcoef(table.to_numpy().T)
    nearest = np.argsort(-np.abs(r - np.eye(40)), axis=1)[:, :4]
    expected = {tuple(sorted((table.columns[i], table.columns[j]))) for i in range(40) for j in nearest[i]}
    found = edges(correlation_graph(table, n_neighbors=4))
    assert found.keys() == expected
    position = {gene: i for i, gene in enumerate(table.columns)}
    for (a, b), (weight, sign) in found.items():
        assert weight * sign == pytest.approx(r[position[a], position[b]], abs=1e-5)
        assert sign in (1, -1)


@pytest.mark.parametrize("holes", [False, True])
def test_genes_of_a_planted_module_are_neighbours_whichever_way_they_go(holes):
    table = with_holes(planted()) if holes else planted()
    graph = correlation_graph(table, n_neighbors=SIZE - 1)
    assert list(graph) == sorted(GENES)
    assert all(module(a) == module(b) for a, b in graph.edges)
    assert {graph.degree(gene) for gene in graph} == {SIZE - 1}
    assert {data["sign"] for a, b, data in graph.edges(data=True) if (int(a[-1]) - int(b[-1])) % 2} == {-1}
    assert {data["sign"] for a, b, data in graph.edges(data=True) if not (int(a[-1]) - int(b[-1])) % 2} == {1}


def test_a_missing_cell_counts_as_the_genes_mean():
    table = with_holes(unrelated(60, 12))
    r = table.fillna(table.mean()).corr()
    found = edges(correlation_graph(table, n_neighbors=11))
    assert len(found) == 12 * 11 / 2
    for (a, b), (weight, sign) in found.items():
        assert weight * sign == pytest.approx(r.loc[a, b], abs=1e-5)


def test_genes_measured_together_in_three_samples_are_no_neighbours():
    table = unrelated(100, 30)
    table.loc[:"p49", "g0000"], table.loc["p53":, "g0001"] = np.nan, np.nan
    table.loc["p50":"p52", "g0001"] = table.loc["p50":"p52", "g0000"].to_numpy()
    assert table["g0000"].corr(table["g0001"]) == pytest.approx(1)  # of the three
    assert not correlation_graph(table, n_neighbors=3).has_edge("g0000", "g0001")


def test_one_absurd_sample_joins_no_genes():
    table = unrelated(100, 30)
    table.loc["p7", ["g0003", "g0011"]] = 1e6
    assert np.corrcoef(table["g0003"], table["g0011"])[0, 1] > 0.99
    assert edges(correlation_graph(table, n_neighbors=29))["g0003", "g0011"][0] < 0.4


def test_genes_that_do_not_vary_stand_alone():
    table = planted()
    table["m0_0"] = 3.0
    with pytest.warns(CohortWarning, match="1 gene is constant"):
        graph = correlation_graph(table)
    assert [gene for gene, degree in graph.degree if not degree] == ["m0_0"]
    with pytest.warns(CohortWarning, match="1 gene is constant"):
        vectors = spectral_vectors(table, d=8)
    assert [gene for gene in GENES if not vectors.loc[gene].any()] == ["m0_0"]


def test_where_genes_are_few_all_are_joined():
    table = unrelated(20, 5)
    assert len(correlation_graph(table, n_neighbors=1000).edges) == 10
    with pytest.warns(CohortWarning, match="constant"):
        assert len(correlation_graph(table.assign(g0000=1.0, g0001=1.0, g0002=1.0)).edges) == 1


def test_correlations_of_all_pairs_are_never_in_memory_at_once():
    n_genes = 3000
    table = unrelated(12, n_genes)
    tracemalloc.start()
    correlation_graph(table, n_neighbors=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * n_genes**2  # one copy of them in single precision


def test_node2vec_walks_on_the_network():
    graph = correlation_graph(planted(), n_neighbors=SIZE + 4)  # five of another module for each gene
    vectors, report = node2vec(graph, dimensions=16, weighted=True, n_epochs=3)
    assert list(vectors.index) == sorted(GENES)
    assert report["edges"] == graph.number_of_edges()
    unit = vectors.to_numpy() / np.linalg.norm(vectors.to_numpy(), axis=1, keepdims=True)
    cosine, same = unit @ unit.T, np.equal.outer(*[[module(gene) for gene in vectors.index]] * 2)
    np.fill_diagonal(cosine, np.nan)
    assert np.nanmean(cosine[same]) > np.nanmean(cosine[~same]) + 0.3


# ----------------------------------------------------------------------------------------- vectors


@pytest.mark.parametrize(("n", "n_genes", "rank"), [(100, 30, 30), (20, 50, 19)])
def test_inner_products_are_the_correlations_when_no_direction_is_left_out(n, n_genes, rank):
    table = unrelated(n, n_genes)
    vectors = spectral_vectors(table, d=rank)
    assert vectors.index.equals(table.columns)
    assert vectors.index.name == "gene"
    np.testing.assert_allclose(products(vectors), np.corrcoef(table.to_numpy().T), atol=1e-5)


@pytest.mark.parametrize(("n", "n_genes"), [(100, 30), (20, 50)])
@pytest.mark.parametrize("d", [1, 7])
def test_nothing_of_the_same_length_comes_closer_to_the_correlations(n, n_genes, d):
    table = unrelated(n, n_genes)
    r = np.corrcoef(table.to_numpy().T)
    values = np.sort(np.linalg.eigvalsh(r))[::-1]
    vectors = spectral_vectors(table, d=d)
    left = ((products(vectors) - r) ** 2).sum()
    assert left == pytest.approx((values[d:] ** 2).sum(), rel=1e-4)  # Eckart and Young
    np.testing.assert_allclose((vectors**2).sum(), values[:d], rtol=1e-4)  # the strongest direction first


@pytest.mark.parametrize("holes", [False, True])
def test_vectors_of_a_planted_module_are_near(holes):
    table = with_holes(planted()) if holes else planted()
    vectors = spectral_vectors(table, d=MODULES)
    unit = vectors.to_numpy() / np.linalg.norm(vectors.to_numpy(), axis=1, keepdims=True)
    cosine, same = np.abs(unit @ unit.T), np.equal.outer(*[[module(gene) for gene in GENES]] * 2)
    assert cosine[same].min() > 0.9
    assert cosine[~same].max() < 0.5


def test_the_largest_entry_of_each_direction_is_positive():
    table = planted()
    vectors = spectral_vectors(table, d=8).to_numpy()
    assert (vectors.max(axis=0) == np.abs(vectors).max(axis=0)).all()
    turned = spectral_vectors(table.iloc[::-1], d=8).to_numpy()  # in another order sums round otherwise
    np.testing.assert_allclose(turned, vectors, atol=1e-6)


def test_models_take_the_vectors():
    vectors = spectral_vectors(planted(), d=8)
    chosen = vectors_for(["m3_1", "m0_0"], vectors)
    pd.testing.assert_frame_equal(chosen, vectors.loc[["m3_1", "m0_0"]], check_names=False)


# -------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_genes_changes_no_bit(seed):
    table = with_holes(unrelated(40, 300))
    table["g0100"] = table["g0200"] = table["g0000"]  # ties
    shuffled = table.sample(frac=1, axis=1, random_state=seed)
    ours, theirs = correlation_graph(table), correlation_graph(shuffled)
    assert list(ours.edges(data=True)) == list(theirs.edges(data=True))
    vectors = spectral_vectors(shuffled, d=20)
    assert vectors.index.equals(shuffled.columns)
    same = spectral_vectors(table, d=20)
    pd.testing.assert_frame_equal(vectors.loc[table.columns], same, check_exact=True, check_names=False)


def test_samples_that_are_not_handed_over_have_no_say():
    table = planted()
    spoilt = table.copy()
    spoilt.loc["p100":, "m0_0"] = 100 * table.loc["p100":, "m5_1"]
    assert edges(correlation_graph(spoilt)) != edges(correlation_graph(table))
    assert edges(correlation_graph(spoilt[:100])) == edges(correlation_graph(table[:100]))
    pd.testing.assert_frame_equal(spectral_vectors(spoilt[:100], d=9), spectral_vectors(table[:100], d=9))


@pytest.mark.filterwarnings("ignore::gexcore.tasks.CohortWarning")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: correlation_graph(t, n_neighbors=0), "n_neighbors is a number of genes, 1 or more, not 0"),
        (lambda t: spectral_vectors(t, d=0), "20 samples of 5 genes that vary give 1 to 5 numbers per gene, not 0"),
        (lambda t: spectral_vectors(t), "20 samples of 5 genes that vary give 1 to 5 numbers per gene, not 64"),
        (lambda t: spectral_vectors(t[:4], d=4), "4 samples of 5 genes that vary give 1 to 3 numbers per gene, not 4"),
        (
            lambda t: correlation_graph(t[["g0000"]].assign(flat=1.0)),
            "two genes that vary between the 20 samples; 1 of 2 do",
        ),
        (lambda t: spectral_vectors(t[:1]), "two genes that vary between the 1 samples; 0 of 5 do"),
    ],
)
def test_what_cannot_be_had_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(unrelated(20, 5))
