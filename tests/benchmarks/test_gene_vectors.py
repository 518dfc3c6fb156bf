"""What a network's gene vectors are worth, against those of a rewired network and random ones; by hand, about an hour:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_gene_vectors.py
"""

import time

import pytest
from studies import BREAST, COHORTS, DEMO, read_breast_cancers, record

import gexcore as gx
from gexcore import network

pytestmark = pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")  # genes without a vector, in every fit
STRING = COHORTS / "string-v12.tsv.gz"
needs_string = pytest.mark.skipif(not STRING.is_file(), reason="needs the STRING network")


def vector_kinds(graph):
    """Sixteen numbers a gene, the width of the quick preset."""
    vectors, _ = network.node2vec(graph, dimensions=16)
    rewired, _ = network.node2vec(network.rewire(graph), dimensions=16)
    return {"node2vec": vectors, "rewired": rewired, "random": network.random_vectors(vectors)}


@needs_string
def test_node2vec_on_all_of_string_in_45_seconds():
    graph = network.read_network(STRING)
    start = time.monotonic()
    _, report = network.node2vec(graph, holdout=0.1)
    seconds = time.monotonic() - start
    rewired, _ = network.node2vec(network.rewire(graph))
    control = network.link_prediction(rewired, graph, list(graph.edges)[::10])
    print(f"\n{seconds:.1f} s; {report}; true edges on the rewired network: {control}")
    assert seconds < 45
    assert report["auc"] > 0.85
    assert control["auc"] < report["auc"] - 0.2


def test_gene_vectors_on_demo():
    kinds = vector_kinds(network.read_network(gx.data_path("demo/network.tsv")))
    scores = gx.interpret.compare_gene_vectors(gx.load_cohort("demo"), DEMO, kinds, seeds=range(10), preset="quick")
    record(scores.drop(columns="seconds"), "gene_vectors_demo")
    print(gx.comparison.differences(scores, "node2vec").round(3).to_string())
    assert set(scores["model"]) == set(kinds)


@needs_string
def test_gene_vectors_on_tcga_breast_cancers():
    kinds = vector_kinds(network.read_network(STRING))
    models = {
        name: lambda seed, given=given: gx.OnSelectedGenes(
            gx.TxT(BREAST, gene_embedding=given, preset="quick", seed=seed), n=250
        )
        for name, given in kinds.items()
    }
    scores = gx.comparison.over_splits(models, read_breast_cancers(), BREAST, seeds=range(5))
    record(scores.drop(columns="seconds"), "gene_vectors_tcga_brca")
    print(gx.comparison.differences(scores, "node2vec").round(3).to_string())
    assert set(scores["model"]) == set(kinds)
