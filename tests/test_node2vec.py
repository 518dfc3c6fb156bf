from collections import Counter
from itertools import pairwise
from pathlib import Path

import gensim.models
import networkx as nx
import numpy as np
import pandas as pd
import pytest

from gexcore.network import identity_vectors, link_prediction, node2vec, read_network, rewire

STRING = Path(__file__).parents[2] / "shared" / "cohorts" / "string-v12.tsv.gz"


def named(graph):
    return nx.relabel_nodes(graph, {node: f"g{node:04}" for node in graph})


def communities(n=10, size=20, inside=0.6, outside=0.005, seed=0):
    return named(nx.planted_partition_graph(n, size, inside, outside, seed=seed))


def pairs(graph):
    return {tuple(sorted(edge)) for edge in graph.edges}


def cosines(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.fixture
def walks(monkeypatch):
    """The walks that skip-gram is given."""
    seen = []

    class Recorder(gensim.models.Word2Vec):
        def __init__(self, sentences, **settings):
            seen.extend(sentences)
            super().__init__(sentences, **settings)

    monkeypatch.setattr("gensim.models.Word2Vec", Recorder)
    return seen


# ----------------------------------------------------------------------------------------- walking


def test_the_same_seed_gives_the_same_bits_whatever_the_order_of_the_edges():
    edges = nx.to_pandas_edgelist(communities(3)).assign(score=1.0)
    turned = edges.sample(frac=1, random_state=1)[["target", "source", "score"]]
    vectors, report = node2vec(read_network(edges), dimensions=8, holdout=0.1, seed=3)
    unsorted = nx.from_pandas_edgelist(turned, "target", "source", "score")
    again, same = node2vec(unsorted, dimensions=8, holdout=0.1, seed=3)
    other, _ = node2vec(read_network(edges), dimensions=8, holdout=0.1, seed=4)
    pd.testing.assert_frame_equal(vectors, again, check_exact=True)
    assert report == same
    assert not np.allclose(vectors, other)


def test_genes_of_one_community_have_closer_vectors():
    graph = communities(2, 60, 0.3, 0.02)
    vectors, report = node2vec(graph, dimensions=16, n_epochs=3)
    assert vectors.shape == (120, 16)
    assert list(vectors.index) == sorted(graph)
    assert (report["genes"], report["edges"], report["held_out"], report["isolated"]) == (120, len(graph.edges), 0, 0)
    assert np.isnan([report["auc"], report["auc_degree_matched"]]).all()
    cosine, one = cosines(vectors.to_numpy()), np.arange(120) < 60
    np.fill_diagonal(cosine, np.nan)
    inside, across = np.nanmean(cosine[one][:, one], axis=1), cosine[one][:, ~one].mean(axis=1)
    assert (inside > across + 0.5).all()


def test_held_out_edges_are_predicted_where_partners_mean_something_and_not_after_rewiring():
    graph = communities()
    real = [node2vec(graph, dimensions=16, holdout=0.2, n_epochs=3, seed=seed)[1] for seed in range(3)]
    null = [node2vec(rewire(graph, seed=s), dimensions=16, holdout=0.2, n_epochs=3, seed=s)[1] for s in range(3)]
    for auc in ("auc", "auc_degree_matched"):
        assert min(report[auc] for report in real) > 0.85
        assert np.mean([report[auc] for report in null]) == pytest.approx(0.5, abs=0.06)


def test_held_out_edges_are_not_walked_on(walks):
    graph = communities(3)
    _, report = node2vec(graph, dimensions=2, holdout=0.3, n_walks=20)
    steps = {tuple(sorted(step)) for walk in walks for step in pairwise(walk)}
    assert report["held_out"] == round(0.3 * len(graph.edges))
    assert report["edges"] == len(graph.edges) - report["held_out"]
    assert steps < pairs(graph)
    assert len(steps) == report["edges"]  # all others are, in 24 000 steps


def test_every_gene_starts_as_many_walks_as_asked_for(walks):
    graph = communities(2)
    node2vec(graph, dimensions=2, n_walks=3, walk_length=7)
    assert Counter(walk[0] for walk in walks) == dict.fromkeys(graph, 3)
    assert {len(walk) for walk in walks} == {7}


def test_genes_left_without_an_edge_are_counted_and_have_no_vector():
    vectors, report = node2vec(named(nx.star_graph(10)), dimensions=2, holdout=0.5)
    assert len(vectors) == 6
    nothing = {"auc": np.nan, "auc_degree_matched": np.nan}  # no held-out edge has two vectors
    assert report == pytest.approx({"genes": 6, "edges": 5, "held_out": 5, "isolated": 5, **nothing}, nan_ok=True)


@pytest.mark.parametrize(("weighted", "expected"), [(True, [0.1, 0.2, 0.7]), (False, [1 / 3, 1 / 3, 1 / 3])])
def test_weighted_steps_follow_the_scores(walks, weighted, expected):
    star = pd.DataFrame([("hub", "a", 100), ("hub", "b", 200), ("hub", "c", 700)])
    node2vec(read_network(star), dimensions=2, n_walks=500, weighted=weighted)
    after = Counter(b for walk in walks for a, b in pairwise(walk) if a == "hub")
    assert [after[leaf] / after.total() for leaf in "abc"] == pytest.approx(expected, abs=0.02)  # 20 000 steps


@pytest.mark.parametrize(("p", "q"), [(1, 1), (4, 0.5), (0.25, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_p_and_q_weigh_steps_as_in_the_paper(walks, p, q, weighted):
    # From a to b; then back to a, on to c, which a knows as well, or away to d.
    network = read_network(pd.DataFrame([("a", "b"), ("a", "c"), ("b", "c"), ("b", "d")], columns=["x", "y"]))
    node2vec(network, dimensions=2, n_walks=1000, p=p, q=q, weighted=weighted)
    third = Counter(
        z for walk in walks for x, y, z in zip(walk, walk[1:], walk[2:], strict=False) if (x, y) == ("a", "b")
    )
    weights = np.array([1 / p, 1, 1 / q])
    assert third.total() > 4000
    assert [third[gene] / third.total() for gene in "acd"] == pytest.approx(weights / weights.sum(), abs=0.03)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"holdout": 1.0}, "holdout is a share of the edges from 0 to below 1, not 1.0"),
        ({"holdout": 0.9}, "no edge is left to walk on: the network has 3 and holdout=0.9 takes as many"),
        ({"p": 0, "q": -1}, "these settings must be positive numbers, walk_length 2 or more: p, q"),
        ({"walk_length": 1}, "walk_length 2 or more: walk_length"),
        ({"n_negative": 0, "n_epochs": 0}, "walk_length 2 or more: n_negative, n_epochs"),
    ],
)
def test_settings_that_leave_nothing_to_learn_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        node2vec(nx.path_graph(4), **settings)


def test_a_network_without_edges_is_refused():
    with pytest.raises(ValueError, match="no edge is left to walk on: the network has 0"):
        node2vec(nx.empty_graph(4))


# --------------------------------------------------------------------------------- judging vectors


def test_vectors_that_name_the_clique_predict_all_of_its_edges():
    cliques = named(nx.disjoint_union_all([nx.complete_graph(5)] * 6))
    vectors = pd.DataFrame(np.repeat(np.eye(6), 5, axis=0), index=sorted(cliques))
    assert link_prediction(vectors, cliques, list(cliques.edges)) == {"auc": 1.0, "auc_degree_matched": 1.0}
    alike = vectors * 0 + 1
    assert link_prediction(alike, cliques, list(cliques.edges)) == {"auc": 0.5, "auc_degree_matched": 0.5}
    more = pd.concat([vectors, pd.DataFrame(np.eye(6), index=[f"stranger {i}" for i in range(6)])])
    assert link_prediction(more, cliques, list(cliques.edges)) == {"auc": 1.0, "auc_degree_matched": 1.0}


def test_knowing_the_popular_genes_helps_against_random_pairs_only():
    graph = rewire(named(nx.barabasi_albert_graph(600, 4, seed=0)), seed=0)
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(600, 20)), index=sorted(graph))
    vectors[0] += [3 * np.log(graph.degree(gene)) for gene in vectors.index]  # popular genes point one way
    report = link_prediction(vectors, graph, list(graph.edges))
    assert report["auc"] > 0.65
    assert report["auc_degree_matched"] == pytest.approx(0.5, abs=0.06)


def test_where_all_genes_are_joined_there_is_nothing_to_predict():
    complete = named(nx.complete_graph(5))
    report = link_prediction(identity_vectors(sorted(complete)), complete, list(complete.edges))
    assert np.isnan(list(report.values())).all()


# ---------------------------------------------------------------------------------- a real network


def test_edges_of_string_are_predicted_and_those_of_its_rewired_twin_only_by_popularity():
    if not STRING.exists():
        pytest.skip(f"{STRING.name} is not on this machine")
    graph = read_network(STRING)
    assert (len(graph), graph.number_of_edges()) == (17288, 174962)
    graph = read_network(STRING, min_score=990)  # a fast selection; all of it is in the benchmarks
    settings = {"dimensions": 16, "n_walks": 3, "holdout": 0.1}
    real, twin = (node2vec(network, **settings)[1] for network in (graph, rewire(graph)))
    assert real["auc_degree_matched"] > 0.85
    assert twin["auc_degree_matched"] == pytest.approx(0.5, abs=0.03)
    assert real["auc"] > twin["auc"] + 0.1
