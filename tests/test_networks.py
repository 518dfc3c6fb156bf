"""Attention networks: degrees against networkx, hubs by hand, and files that other programs read."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

import gexcore as gx
from gexcore.interpret.networks import NetworkCollector, attention_networks, outstanding, write_network
from gexcore.interpret.weights import AttentionBlock, stream_attention
from gexcore.plots.networks import plot_network

GENES = pd.Index(list("ABCD"))


def block(weights, *, samples=("s0",), layer=1, n_layers=1):
    """Weights (B, H, G, G) as a block."""
    return AttentionBlock(pd.Index(samples), GENES, layer, n_layers, torch.tensor(weights, dtype=torch.float32))


def networks_of(*blocks, **settings):
    collector = NetworkCollector(**settings)
    for part in blocks:
        collector.add(part)
    return collector.result()


@pytest.fixture
def by_hand():
    """Two heads of one sample: B, C and D attend to A; A to B and to itself; C, in the second head, to D."""
    first, second = np.full((4, 4), 0.25), np.full((4, 4), 0.25)
    first[:, :] = [[0.5, 0.5, 0, 0], [1, 0, 0, 0], [0.9, 0.1, 0, 0], [0.6, 0.2, 0.2, 0]]
    second[2] = [0.1, 0.1, 0.1, 0.7]
    return np.stack([first, second])[None]


def test_edges_lead_from_the_key_to_the_query_of_any_head_and_never_to_the_gene_itself(by_hand):
    networks = networks_of(block(by_hand), threshold=0.4)
    edges = networks.edges()
    found = set(zip(edges["key"], edges["query"], strict=True))
    assert found == {("A", "B"), ("A", "C"), ("A", "D"), ("B", "A"), ("D", "C")}
    assert networks.out_degree.loc["s0"].tolist() == [3, 1, 0, 1]
    assert networks.in_degree.loc["s0"].tolist() == [1, 1, 2, 1]
    strongest = edges.set_index(["key", "query"])["weight"]
    assert strongest["A", "C"] == pytest.approx(0.9)
    assert (edges["share"] == 1).all()


def test_degrees_are_those_of_networkx(by_hand):
    networks = networks_of(block(by_hand), threshold=0.15)
    graph = networks.graph()
    assert dict(graph.out_degree) == networks.out_degree.loc["s0"].to_dict()
    assert dict(graph.in_degree) == networks.in_degree.loc["s0"].to_dict()


def test_degrees_of_a_model_are_those_of_networkx_in_every_sample():
    simulated = gx.simulate.simulate_cohort(n_samples=24, n_genes=60, seed=3)
    cohort = gx.read_cohort(simulated.expression, simulated.clinical)
    sizes = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_ff": 16, "max_epochs": 1}
    model = gx.TxT(gx.Regression("age"), preset="quick", **sizes).fit(cohort)
    networks = attention_networks(model, cohort, threshold=1.5 / 60)
    first, second = stream_attention(model, cohort)  # the layers of all samples at once
    for b, sample in enumerate(cohort.obs_names):
        graph = nx.DiGraph()
        graph.add_nodes_from(cohort.var_names)
        for part in (first, second):
            for _, query, key in (part.weights[b] > 1.5 / 60).nonzero().tolist():
                if query != key:
                    graph.add_edge(cohort.var_names[key], cohort.var_names[query])
        assert graph.number_of_edges() > 20
        assert networks.out_degree.loc[sample].to_dict() == dict(graph.out_degree)
        assert networks.in_degree.loc[sample].to_dict() == dict(graph.in_degree)


def test_an_edge_of_any_chosen_layer_counts(by_hand):
    even = np.full_like(by_hand, 0.25)
    two = [block(even, n_layers=2), block(by_hand, layer=2, n_layers=2)]
    only = networks_of(block(by_hand), threshold=0.4)
    for layers in ("all", "last", 2, [1, 2]):
        pd.testing.assert_frame_equal(networks_of(*two, threshold=0.4, layers=layers).out_degree, only.out_degree)
    assert networks_of(*two, threshold=0.4, layers="first").edges().empty


def test_the_threshold_is_ten_times_an_even_share_unless_given(by_hand):
    simulated = gx.simulate.simulate_cohort(n_samples=20, n_genes=60, seed=3)
    cohort = gx.read_cohort(simulated.expression, simulated.clinical)
    model = gx.TxT(gx.Regression("age"), preset="quick", max_epochs=1).fit(cohort)
    assert attention_networks(model, cohort).threshold == pytest.approx(10 / 60)
    with pytest.raises(ValueError, match="from 0 to below 1"):
        attention_networks(model, cohort, threshold=1.5)


def test_edges_are_counted_over_the_samples_of_each_group(by_hand):
    even = np.full_like(by_hand, 0.25)
    samples = ("s0", "s1", "s2")
    groups = pd.Series({"s2": "x", "s0": "y", "s1": "x", "elsewhere": "y"})
    networks = networks_of(
        block(np.concatenate([by_hand, even, by_hand]), samples=samples), threshold=0.4, groups=groups
    )
    assert networks.sizes == {"all": 3, "x": 2, "y": 1}
    assert networks.edges("all")["share"].tolist() == pytest.approx([2 / 3] * 5)
    assert networks.edges("x")["share"].tolist() == [0.5] * 5
    assert networks.edges("y")["share"].tolist() == [1] * 5
    assert networks.graph("x", least_share=0.6).number_of_edges() == 0
    with pytest.raises(ValueError, match="no group 'z'; the groups are all, x, y"):
        networks.edges("z")
    with pytest.raises(ValueError, match="no group may be called 'all'"):
        NetworkCollector(groups=pd.Series({"s0": "all"}))


def test_a_group_without_patients_and_a_network_without_edges_are_empty_tables(by_hand):
    groups = pd.Series(["x"], ["s0"], dtype=pd.CategoricalDtype(["x", "nobody"]))
    networks = networks_of(block(by_hand), threshold=0.4, groups=groups)
    assert networks.edges("nobody").empty
    assert list(networks.edges("nobody").columns) == ["key", "query", "share", "weight"]
    assert networks.graph("nobody").number_of_nodes() == 4
    nothing = networks_of(block(np.full((1, 2, 4, 4), 0.25)))  # ten times an even share of four genes is never exceeded
    assert nothing.edges().empty
    assert not nothing.hubs().any(axis=None)
    assert not nothing.attractors().any(axis=None)


def test_hubs_exceed_the_mean_by_so_many_standard_deviations():
    degree = pd.DataFrame([[9, 1, 1, 1], [2, 2, 2, 2]], index=["s0", "s1"], columns=GENES)
    mean, sd = 3, np.sqrt(12)  # of the first sample
    assert outstanding(degree, (9 - mean) / sd - 0.01).loc["s0"].tolist() == [True, False, False, False]
    assert not outstanding(degree, (9 - mean) / sd + 0.01).any(axis=None)
    assert not outstanding(degree, 0.5).loc["s1"].any()


def test_one_dominant_edge_makes_one_hub_and_one_attractor():
    single = np.full((1, 1, 4, 4), 0.25)
    single[0, 0, 2] = [0.97, 0.01, 0.01, 0.01]  # C attends to A
    networks = networks_of(block(single), threshold=0.9)
    assert networks.hubs(1.5).loc["s0"].tolist() == [True, False, False, False]
    assert networks.attractors(1.5).loc["s0"].tolist() == [False, False, True, False]


def test_a_written_network_reads_back_the_same(tmp_path, by_hand):
    graph = networks_of(block(by_hand), threshold=0.4).graph()
    write_network(graph, tmp_path / "network.graphml")
    back = nx.read_graphml(tmp_path / "network.graphml")
    assert dict(back.nodes(data=True)) == dict(graph.nodes(data=True))
    assert {e[:2]: e[2] for e in back.edges(data=True)} == {e[:2]: e[2] for e in graph.edges(data=True)}
    assert [f.name for f in tmp_path.iterdir()] == ["network.graphml"]


@pytest.mark.usefixtures("canvas")
def test_the_figure_shows_the_strongest_neighbours_of_a_gene(by_hand):
    graph = networks_of(block(by_hand), threshold=0.15).graph()
    ax = plot_network(graph)
    assert {text.get_text() for text in ax.texts} == set("ABCD")  # A has an edge with every other gene
    assert len(ax.patches) == graph.number_of_edges()
    few = plot_network(graph, center="D", n_genes=1, ax=ax.figure.add_subplot())
    assert {text.get_text() for text in few.texts} == {"D", "C"}  # 0.7, more than from A
    assert len(few.patches) == len(graph.subgraph("CD").edges)
    with pytest.raises(ValueError, match="no gene 'Z'"):
        plot_network(graph, center="Z")


@pytest.mark.usefixtures("canvas")
def test_a_network_without_edges_says_so():
    assert plot_network(nx.DiGraph()).texts[0].get_text() == "no edge"
