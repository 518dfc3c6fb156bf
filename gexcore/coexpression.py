"""Gene vectors from the training samples themselves: genes that rise and fall together get vectors that are close.

Correlations are those of scaled expression (z-scores cut at five standard deviations), in which a missing cell stands
at its gene's mean: few shared samples then mean a weak correlation, not a chance one.
Shapes: N samples, G genes that vary, B genes of a block.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
from anndata import AnnData

from .cohort import as_cohort
from .gaussian import principal_axes
from .scaling import Scaler

_BLOCK = 256  # genes whose correlations with all others are in memory at once


def correlation_graph(cohort: AnnData | pd.DataFrame, *, n_neighbors: int = 10) -> nx.Graph:
    """Join every gene to those it correlates with most, in either direction.

    Pass the training samples alone: a network of all samples would know the test samples.

    Parameters
    ----------
    cohort : AnnData or DataFrame
        Training samples.
    n_neighbors : int
        Edges that every gene asks for; all other genes if they are fewer. A gene that many ask for has more.

    Returns
    -------
    networkx.Graph
        All genes as nodes in alphabetical order, for :func:`gexcore.network.node2vec`. Edges have ``weight``, the
        absolute Pearson correlation, and ``sign``, 1 or -1. Genes that do not vary have no edge.

    Raises
    ------
    ValueError
        ``n_neighbors`` is not positive, or fewer than two genes vary.

    Examples
    --------
    >>> import gexcore as gx
    >>> graph = correlation_graph(gx.load_cohort("demo-pan-cancer"), n_neighbors=5)
    >>> len(graph), min(degree for _, degree in graph.degree)
    (300, 5)
    """
    if n_neighbors < 1:
        message = f"n_neighbors is a number of genes, 1 or more, not {n_neighbors}"
        raise ValueError(message)
    cohort = as_cohort(cohort)
    genes, unit = _unit_columns(cohort)
    unit = unit.astype("float32")
    n = min(n_neighbors, len(genes) - 1)
    graph = nx.Graph()
    graph.add_nodes_from(sorted(cohort.var_names))
    for start in range(0, len(genes), _BLOCK):
        r = unit[:, start : start + _BLOCK].T @ unit  # (B, G)
        size = np.minimum(np.abs(r), 1.0)
        own = np.arange(len(r))
        size[own, start + own] = -1.0  # no gene is a neighbour of its own
        nearest = np.argpartition(size, -n, axis=1)[:, -n:]  # (B, n)
        for gene, others in enumerate(nearest):
            for other in others[size[gene, others] > 0]:
                weight, sign = float(size[gene, other]), 1 if r[gene, other] > 0 else -1
                graph.add_edge(genes[start + gene], genes[other], weight=weight, sign=sign)
    return graph


def spectral_vectors(cohort: AnnData | pd.DataFrame, *, d: int = 64) -> pd.DataFrame:
    """Vectors whose inner products come as close to the genes' correlations as d numbers allow.

    They are the principal directions of the correlation matrix, each times the root of its eigenvalue. That matrix is
    never made where genes outnumber samples: the cost is linear in the genes.

    Parameters
    ----------
    cohort : AnnData or DataFrame
        Training samples, and no others.
    d : int
        Numbers per gene: at most one less than the samples, and no more than the genes that vary.

    Returns
    -------
    pandas.DataFrame
        A row per gene of the cohort, for ``TxT(gene_embedding=vectors)``; the strongest direction comes first, and in
        each the largest entry is positive. Genes that do not vary have the vector 0.

    Raises
    ------
    ValueError
        ``d`` is out of its range, or fewer than two genes vary.

    Examples
    --------
    >>> import gexcore as gx
    >>> spectral_vectors(gx.load_cohort("demo-pan-cancer"), d=16).shape
    (300, 16)
    """
    cohort = as_cohort(cohort)
    genes, unit = _unit_columns(cohort)
    most = min(len(unit) - 1, len(genes))
    if not 1 <= d <= most:
        message = f"{len(unit)} samples of {len(genes)} genes that vary give 1 to {most} numbers per gene, not {d}"
        raise ValueError(message)
    values, axes = principal_axes(unit, d)
    vectors = (axes * np.sqrt(values * len(unit)))[:, ::-1]  # (G, d), largest first
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(d)])
    table = pd.DataFrame(vectors, index=genes).reindex(cohort.var_names, fill_value=0.0)
    return table.rename_axis("gene")


def _unit_columns(cohort: AnnData) -> tuple[pd.Index, np.ndarray]:
    """The genes that vary, and their scaled expression with mean 0 and length 1: products (N, G) are correlations.

    The order is alphabetical, so that results are the same to the bit in whatever order genes come.
    """
    order = np.argsort(cohort.var_names.to_numpy(dtype=str), kind="stable")
    x = np.asarray(cohort.X)[:, order]
    z = Scaler.fit(x, method="zscore", clip=5.0).transform(x).astype("float64")
    z -= z.mean(axis=0)
    length = np.linalg.norm(z, axis=0)
    varies = length > 0
    if varies.sum() < 2:
        message = f"correlations need two genes that vary between the {len(x)} samples; {varies.sum()} of {len(z.T)} do"
        raise ValueError(message)
    return cohort.var_names[order][varies], z[:, varies] / length[varies]
