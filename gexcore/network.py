"""Gene vectors from a network of genes, such as STRING, and the controls that say what the network is worth.

Shapes: G genes, E numbers per gene vector.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import networkx as nx
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from .tables import read_table
from .tasks import CohortWarning, first_ids

# ------------------------------------------------------------------------------------------- the network


def read_network(edges: str | os.PathLike | pd.DataFrame, *, min_score: float = 0.0) -> nx.Graph:
    """Read an undirected network of genes from a list of edges.

    Parameters
    ----------
    edges : path or DataFrame
        A row per edge: the two genes in the first two columns and a score (optional): the third column, or that called
        combined_score where more follow, as in STRING's detailed files. A path is a text table with a header line
        (.csv, .tsv or .txt, each also with .gz) or .parquet.
    min_score : float
        Edges with a lower score are left out. STRING's scores run from 0 to 1000; 400 is its "medium", 700 its "high"
        confidence. The paper does not state its threshold.

    Returns
    -------
    networkx.Graph
        Genes as nodes in alphabetical order, ``weight`` on every edge (the score, 1 without scores). Of an edge that
        is listed several times the highest score counts; edges from a gene to itself are left out.

    Raises
    ------
    ValueError
        No edge is left, no header line, an end has no name, or a score is not a number from 0 up.
    """
    table = edges if isinstance(edges, pd.DataFrame) else read_table(edges).reset_index()
    if table.shape[1] < 2 or table.empty:
        message = f"a network is a list of edges, two gene columns and perhaps a score; this table is {table.shape}"
        raise ValueError(message)
    given = table.iloc[:, :2].set_axis(["a", "b"], axis=1).reset_index(drop=True)
    ends = given.astype(str).apply(lambda column: column.str.strip())
    blank = (given.isna() | (ends == "")).any(axis=1)
    if blank.any():
        message = (
            f"{blank.sum()} edges lack the name of a gene, first in row {first_ids(blank.index[blank] + 1)}; "
            "name or remove them"
        )
        raise ValueError(message)
    if any(map(pd.api.types.is_float_dtype, given.dtypes)):  # the first genes are the index, or the score comes first
        message = f"columns {first_ids(table.columns[:2])} must name the two genes of an edge, but one holds scores"
        raise ValueError(message)
    header = [name for name in table.columns[:2] if isinstance(name, str) and ends.isin([name]).to_numpy().any()]
    if header:
        message = f"the list of edges has no header line: gene {first_ids(header)} stands in its place; add one"
        raise ValueError(message)
    named = [name for name in table.columns[2:] if name in ("combined_score", "score", "weight")]
    if table.shape[1] > 3 and len(named) != 1:
        message = (
            f"which of the columns {first_ids(table.columns[2:], 12)} is the score of an edge? Leave one beside the "
            "two genes, or call it combined_score"
        )
        raise ValueError(message)
    column = named[0] if named else table.columns[2] if table.shape[1] > 2 else None
    score = pd.Series(1.0, index=ends.index) if column is None else table[column].reset_index(drop=True)
    weight = pd.to_numeric(score, errors="coerce")
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        message = (
            f"column {column!r} holds {wrong.sum()} scores that are not numbers from 0 up, first "
            f"{first_ids(score[wrong].fillna('an empty cell'))} in row {first_ids(wrong.index[wrong] + 1)}"
        )
        raise ValueError(message)
    ordered = np.sort(ends.to_numpy(dtype=object), axis=1)
    listed = pd.DataFrame({"a": ordered[:, 0], "b": ordered[:, 1], "weight": weight.astype(float)})
    kept = listed[(listed["a"] != listed["b"]) & (listed["weight"] >= min_score) & (listed["weight"] > 0)]
    if kept.empty:
        message = f"no edge between two genes is left at min_score={min_score:g}; the highest score is {weight.max():g}"
        raise ValueError(message)
    kept = kept.groupby(["a", "b"], as_index=False)["weight"].max()
    graph = nx.Graph()
    graph.add_nodes_from(np.unique(kept[["a", "b"]].to_numpy(dtype=object)))
    graph.add_weighted_edges_from(kept.itertuples(index=False))
    return graph


def rewire(graph: nx.Graph, *, seed: int = 0, swaps_per_edge: float = 3.0) -> nx.Graph:
    """The same degree for every gene, other partners: the control for what a network's edges are worth.

    Pairs of edges a-b, c-d become a-c, b-d (double edge swap). After three swaps per edge 0.3 % of the edges have not
    been touched. The weights are dealt to the new edges at random.

    Raises
    ------
    RuntimeError
        The network is too dense or too small to be rewired.
    """
    if nx.density(graph) > 0.75:  # nearly every swap would meet an edge that is there already
        message = f"a network that joins {nx.density(graph):.0%} of all pairs of genes is too dense to be rewired"
        raise RuntimeError(message)
    rewired = nx.Graph()
    rewired.add_nodes_from(graph)
    rewired.add_edges_from(graph.edges)
    n_swaps = max(1, round(swaps_per_edge * graph.number_of_edges()))
    try:
        nx.double_edge_swap(rewired, n_swaps, max_tries=50 * n_swaps, seed=seed)
    except nx.NetworkXException as error:
        message = f"a network of {len(graph)} genes and {graph.number_of_edges()} edges cannot be rewired: {error}"
        raise RuntimeError(message) from error
    if dict(rewired.degree) != dict(graph.degree):  # what the control stands for
        message = "rewiring changed the degree of a gene"
        raise RuntimeError(message)
    weights = np.array([weight for _, _, weight in graph.edges.data("weight", default=1.0)])
    order = np.random.default_rng(seed).permutation(len(weights))
    for (a, b), weight in zip(rewired.edges, weights[order], strict=True):
        rewired[a][b]["weight"] = float(weight)
    return rewired


# ------------------------------------------------------------------------------------------- the vectors


def node2vec(
    graph: nx.Graph,
    *,
    dimensions: int = 64,
    n_walks: int = 10,
    walk_length: int = 20,
    window: int = 10,
    p: float = 1.0,
    q: float = 1.0,
    weighted: bool = False,
    n_negative: int = 1,
    n_epochs: int = 1,
    holdout: float = 0.0,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict]:
    """Gene vectors from random walks on a network (Grover and Leskovec 2016).

    Walks of fastnode2vec, skip-gram with negative sampling of gensim, in one thread: the same seed and versions give
    the same bits. Sizes are those of the published TxT code, which trains for up to 100 epochs.

    Parameters
    ----------
    graph : networkx.Graph
        From :func:`read_network`.
    dimensions : int
        E, the width of a vector.
    n_walks, walk_length : int
        Walks from every gene, and genes per walk.
    window : int
        Genes this many steps apart at most predict each other.
    p, q : float
        Return and in-out parameter: a step back has weight 1/p, a step away 1/q, one to a common neighbour 1.
    weighted : bool
        Steps in proportion to the score of the edge.
    n_negative, n_epochs : int
        Negative samples per pair, and passes over the walks.
    holdout : float
        Share of the edges that are left out and then predicted, 0 to below 1. The vectors are those of the remaining
        network, so that the report speaks of them.
    seed : int

    Returns
    -------
    vectors : pandas.DataFrame, (G, E)
        A row per gene with an edge, for ``TxT(gene_embedding=vectors)``.
    report : dict
        ``genes``, ``edges`` (walked on), ``held_out`` (edges), ``isolated`` (genes that held-out edges left alone and
        that have no vector), and from :func:`link_prediction` ``auc`` and ``auc_degree_matched``, NaN without holdout.

    Raises
    ------
    ValueError
        A setting out of its range, or no edge left to walk on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import looks for a notebook's progress bar, which is never shown
        from fastnode2vec import Graph  # numba and gensim take seconds to load
        from fastnode2vec.node2vec import set_seed
    from gensim.models import Word2Vec

    if not 0 <= holdout < 1:
        message = f"holdout is a share of the edges from 0 to below 1, not {holdout}"
        raise ValueError(message)
    positive = {"dimensions": dimensions, "n_walks": n_walks, "walk_length": walk_length - 1, "window": window}
    positive |= {"p": p, "q": q, "n_negative": n_negative, "n_epochs": n_epochs}
    low = [name for name, value in positive.items() if not 0 < value < np.inf]
    if low:
        message = f"these settings must be positive numbers, walk_length 2 or more: {first_ids(low, 9)}"
        raise ValueError(message)
    n_out = round(holdout * graph.number_of_edges())
    if n_out == graph.number_of_edges():
        message = f"no edge is left to walk on: the network has {n_out} and holdout={holdout} takes as many"
        raise ValueError(message)
    rng = np.random.default_rng(seed)
    edges = sorted((*sorted((a, b)), w) for a, b, w in graph.edges.data("weight", default=1.0))
    out = np.zeros(len(edges), dtype=bool)
    out[rng.choice(len(edges), n_out, replace=False)] = True
    known = [edge for edge, is_out in zip(edges, out, strict=True) if not is_out]
    walkable = Graph(
        known if weighted else [edge[:2] for edge in known], directed=False, weighted=weighted, verbose=False
    )
    set_seed(int(rng.integers(2**31)))
    starts = [rng.permutation(len(walkable.node_names)) for _ in range(n_walks)]
    walks = [walkable.generate_random_walk(walk_length, p, q, int(node)) for node in np.concatenate(starts)]
    # Several workers would race for the same weights: no two runs alike.
    model = Word2Vec(
        walks,
        sg=1,
        vector_size=dimensions,
        window=window,
        negative=n_negative,
        epochs=n_epochs,
        min_count=1,
        sample=0,
        workers=1,
        seed=seed,
    )
    vectors = pd.DataFrame(model.wv.vectors, index=pd.Index(model.wv.index_to_key, name="gene")).sort_index()
    report = {
        "genes": len(vectors),
        "edges": len(known),
        "held_out": int(out.sum()),
        "isolated": len(graph) - len(vectors),
        "auc": np.nan,
        "auc_degree_matched": np.nan,
    }
    if out.any():
        report |= link_prediction(vectors, graph, [edge[:2] for edge in np.array(edges, dtype=object)[out]], seed=seed)
    return vectors, report


def link_prediction(
    vectors: pd.DataFrame, graph: nx.Graph, edges: Sequence[tuple[str, str]], *, seed: int = 0
) -> dict[str, float]:
    """How well the cosine of two vectors tells edges from pairs of genes that have none.

    Parameters
    ----------
    vectors : pandas.DataFrame, (G, E)
        Genes that the network lacks take no part.
    graph : networkx.Graph
        The whole network: no pair it joins counts as a non-edge.
    edges : sequence of (gene, gene)
        The edges to tell; those with a gene that has no vector are left out.
    seed : int
        Which pairs without an edge they are told from, as many as there are edges.

    Returns
    -------
    dict
        ``auc``: against random pairs. ``auc_degree_matched``: against pairs in which a gene occurs in proportion to
        its degree, as it does among edges, so that knowing the popular genes does not help. Both are NaN where there
        is no edge to tell, or nothing to tell it from because all genes are joined.
    """
    vectors = vectors[vectors.index.isin([gene for gene, degree in graph.degree if degree])]
    rng = np.random.default_rng(seed)
    position = {gene: i for i, gene in enumerate(vectors.index)}
    true = np.array([(position[a], position[b]) for a, b in edges if a in position and b in position])
    n_pairs, n_joined = len(vectors) * (len(vectors) - 1) // 2, graph.subgraph(vectors.index).number_of_edges()
    if len(true) == 0 or n_joined == n_pairs:
        return {"auc": np.nan, "auc_degree_matched": np.nan}
    unit = vectors.to_numpy(float)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True).clip(min=1e-12)
    degree = np.array([graph.degree(gene) for gene in vectors.index], dtype=float)

    def scores(chance: np.ndarray | None) -> float:
        pairs = []
        while len(pairs) < len(true):
            for i, j in rng.choice(len(unit), (len(true), 2), p=chance):
                if i != j and not graph.has_edge(vectors.index[i], vectors.index[j]):
                    pairs.append((i, j))
        a, b = np.concatenate([true, pairs[: len(true)]]).T
        return float(roc_auc_score(np.repeat([1, 0], len(true)), (unit[a] * unit[b]).sum(axis=1)))

    return {"auc": scores(None), "auc_degree_matched": scores(degree / degree.sum())}


def random_vectors(vectors: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Vectors that know nothing: normal numbers with the mean and standard deviation of each column of ``vectors``."""
    noise = np.random.default_rng(seed).standard_normal(vectors.shape)
    return vectors.mean() + vectors.std(ddof=0) * pd.DataFrame(noise, vectors.index, vectors.columns)


def identity_vectors(genes: Sequence[str]) -> pd.DataFrame:
    """One number per gene, 1 for itself and 0 for the others: nothing shared, and E = G."""
    return pd.DataFrame(np.eye(len(genes)), index=pd.Index(genes, name="gene"))


def vectors_for(genes: Sequence[str], vectors: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``vectors`` in the order of ``genes``, (G, E); genes it lacks get its mean row.

    Raises
    ------
    ValueError
        Genes occur twice, cells are not finite numbers, or no gene is shared.

    Warns
    -----
    CohortWarning
        How many genes got the mean vector, and which.
    """
    repeated = vectors.index[vectors.index.duplicated()]
    numbers = vectors.select_dtypes("number")
    wrong = vectors.columns.difference(numbers.columns[np.isfinite(numbers).all()], sort=False)
    if len(repeated) or len(wrong):
        fault = f"genes occur twice, first {first_ids(repeated)}"
        if len(wrong):
            fault = f"{len(wrong)} columns hold something else than finite numbers, first {first_ids(wrong)}"
        message = f"gene vectors are numbers with the gene as index, one row per gene; {fault}"
        raise ValueError(message)
    absent = [gene for gene in genes if gene not in vectors.index]
    if len(absent) == len(genes):
        message = (
            f"gene vectors and cohort share no gene: the vectors are of {first_ids(vectors.index)}, "
            f"the cohort has {first_ids(genes)}"
        )
        raise ValueError(message)
    if absent:
        message = f"{len(absent)} of {len(genes)} genes have no vector ({first_ids(absent)}); they get the mean vector"
        warnings.warn(message, CohortWarning, stacklevel=2)
    return vectors.reindex(genes).fillna(vectors.mean())
