import networkx as nx
import numpy as np
import pandas as pd
import pytest

from gexcore.network import identity_vectors, random_vectors, read_network, rewire, vectors_for
from gexcore.tasks import CohortWarning

LISTED = pd.DataFrame(
    [("TP53", "MDM2", 990), ("MDM2", "TP53", 700), ("MYC", "MAX", 800), ("MYC", "MYC", 999), ("MAX", "TP53", 0)],
    columns=["protein1", "protein2", "score"],
)


def pairs(graph):
    return {tuple(sorted(edge)) for edge in graph.edges}


# ----------------------------------------------------------------------------------------- reading


def test_edges_listed_in_both_directions_count_once_with_the_highest_score():
    network = read_network(LISTED)
    assert list(network) == ["MAX", "MDM2", "MYC", "TP53"]
    assert {(*sorted((a, b)), w) for a, b, w in network.edges.data("weight")} == {
        ("MDM2", "TP53", 990.0),
        ("MAX", "MYC", 800.0),
    }  # neither the gene joined to itself nor the pair with score 0


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 1, 0, 4, 3]])
@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "parquet"])
def test_files_read_like_tables_in_any_order(tmp_path, rows, ending):
    path, table = tmp_path / f"edges.{ending}", LISTED.iloc[rows]
    if ending == "parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False, sep="\t" if "tsv" in ending else ",")
    network, expected = read_network(path), read_network(LISTED)
    assert list(network.edges.data("weight")) == list(expected.edges.data("weight"))


def test_min_score_leaves_out_weaker_edges_and_their_genes():
    assert pairs(read_network(LISTED, min_score=800)) == {("MDM2", "TP53"), ("MAX", "MYC")}
    assert list(read_network(LISTED, min_score=801)) == ["MDM2", "TP53"]


def test_edges_without_scores_weigh_one_and_entrez_ids_become_text():
    network = read_network(pd.DataFrame({"a": [7157, 4609], "b": [4193, 4149]}))
    assert sorted(network.edges.data("weight")) == [("4149", "4609", 1.0), ("4193", "7157", 1.0)]


def test_of_several_columns_the_combined_score_is_the_score():
    detailed = LISTED.rename(columns={"score": "combined_score"})
    detailed.insert(2, "neighborhood", 0)
    assert pairs(read_network(detailed)) == pairs(read_network(LISTED))
    with pytest.raises(ValueError, match="which of the columns neighborhood, cooccurence is the score"):
        read_network(detailed.rename(columns={"combined_score": "cooccurence"}))


def test_blanks_around_names_do_not_make_other_genes():
    assert pairs(read_network(LISTED.replace("MDM2", " MDM2 "))) == pairs(read_network(LISTED))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (LISTED[["protein1"]], r"two gene columns and perhaps a score; this table is \(5, 1\)"),
        (LISTED[:0], r"this table is \(0, 3\)"),
        (LISTED.replace("MAX", None), "2 edges lack the name of a gene, first in row 3, 5; name or remove them"),
        (LISTED.replace("MDM2", " "), "2 edges lack the name of a gene, first in row 1, 2"),
        (LISTED.astype({"score": float}).set_index("protein1"), "columns protein2, score must name the two genes"),
        (LISTED.set_axis(["MAX", "BRCA1", "900"], axis=1), "has no header line: gene MAX stands in its place"),
        (
            LISTED.replace(700, "high"),
            "column 'score' holds 1 scores that are not numbers from 0 up, first high in row 2",
        ),
        (LISTED.replace(700, -1), "1 scores that are not numbers from 0 up, first -1 in row 2"),
        (LISTED.astype({"score": float}).replace(700, np.nan), "not numbers from 0 up, first an empty cell in row 2"),
        (LISTED.iloc[[3]], "no edge between two genes is left at min_score=0"),
    ],
)
def test_lists_that_cannot_be_meant_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        read_network(table)


def test_a_min_score_on_another_scale_names_the_highest_score():
    with pytest.raises(ValueError, match=r"is left at min_score=400; the highest score is 0.999"):
        read_network(LISTED.assign(score=LISTED["score"] / 1000), min_score=400)


# ---------------------------------------------------------------------------------------- rewiring


def test_rewiring_keeps_every_degree_and_hardly_an_edge():
    graph = nx.gnm_random_graph(500, 2000, seed=0)
    nx.set_edge_attributes(graph, {edge: float(i) for i, edge in enumerate(graph.edges)}, "weight")
    other = rewire(graph, seed=0)
    assert dict(other.degree) == dict(graph.degree)
    assert nx.number_of_selfloops(other) == 0
    # By chance 1.6 % of all pairs are joined, and 0.3 % of the edges are never drawn.
    assert len(pairs(graph) & pairs(other)) / 2000 < 0.035
    assert sorted(w for *_, w in other.edges.data("weight")) == list(range(2000))
    assert pairs(rewire(graph, seed=0)) == pairs(other) != pairs(rewire(graph, seed=1))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.complete_graph(300), "a network that joins 100% of all pairs of genes is too dense to be rewired"),
        (nx.star_graph(20), "a network of 21 genes and 20 edges cannot be rewired"),
        (nx.path_graph(3), "a network of 3 genes and 2 edges cannot be rewired"),
    ],
    ids=["complete", "star", "small"],
)
def test_networks_that_have_no_other_edges_are_refused(graph, message):
    with pytest.raises(RuntimeError, match=message):
        rewire(graph)


# --------------------------------------------------------------------------------- other vectors


def test_random_vectors_share_mean_and_spread_of_each_column_and_nothing_else():
    rng = np.random.default_rng(0)
    vectors = pd.DataFrame(rng.normal([0, 5, -3], [1, 0.1, 4], (4000, 3)), index=[f"g{i}" for i in range(4000)])
    noise = random_vectors(vectors, seed=1)
    assert noise.index.equals(vectors.index)
    assert noise.columns.equals(vectors.columns)
    np.testing.assert_allclose((noise.mean() - vectors.mean()) / vectors.std(), 0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(noise.std() / vectors.std(), 1, atol=0.05)
    assert noise.corrwith(vectors).abs().max() < 0.07
    pd.testing.assert_frame_equal(noise, random_vectors(vectors, seed=1))
    assert not np.allclose(noise, random_vectors(vectors, seed=2))


def test_identity_vectors_share_nothing():
    vectors = identity_vectors(["TP53", "MYC", "KRAS"])
    assert list(vectors.index) == ["TP53", "MYC", "KRAS"]
    np.testing.assert_array_equal(vectors.to_numpy() @ vectors.to_numpy().T, np.eye(3))


# ---------------------------------------------------------------------------- vectors of a cohort

VECTORS = pd.DataFrame([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]], index=["TP53", "MYC", "KRAS"])


def test_vectors_come_in_the_order_of_the_genes_asked_for():
    assert vectors_for(["KRAS", "TP53"], VECTORS).to_numpy().tolist() == [[5, 0], [1, 2]]


def test_genes_without_a_vector_get_the_mean_vector_and_are_named():
    with pytest.warns(CohortWarning, match=r"2 of 3 genes have no vector \(A1, A2\); they get the mean vector"):
        chosen = vectors_for(["A1", "MYC", "A2"], VECTORS)
    assert chosen.to_numpy().tolist() == [[3, 2], [3, 4], [3, 2]]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (pd.concat([VECTORS, VECTORS[:1]]), "one row per gene; genes occur twice, first TP53"),
        (VECTORS.replace(4.0, np.inf), "1 columns hold something else than finite numbers, first 1"),
        (VECTORS.rename_axis("gene").reset_index(), "with the gene as index, .* finite numbers, first gene"),
        (
            VECTORS.rename(index=str.lower),
            "share no gene: the vectors are of tp53, myc, kras, the cohort has TP53, MYC",
        ),
    ],
)
def test_vectors_that_cannot_be_meant_are_refused(vectors, message):
    with pytest.raises(ValueError, match=message):
        vectors_for(["TP53", "MYC"], vectors)
