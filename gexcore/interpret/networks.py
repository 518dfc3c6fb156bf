"""Networks of genes read from attention: an edge where one gene attends strongly to another.

Koo et al. 2025: an edge leads from the key to the query whose attention weight exceeds 0.01 in any head, ten times an
even share among their 1000 genes. Genes with many outgoing edges are hubs, many others attend to them; genes with many
incoming edges are attractors, they attend to many others.
Shapes: B samples of a block, N samples, G genes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from ..files import write_file
from ..tasks import first_ids
from ..txt import TxT
from .weights import AttentionBlock, Rows, chosen_layers, read_attention

EVERYONE = "all"  # the group that every sample belongs to


@dataclass(frozen=True, eq=False)
class AttentionNetworks:
    """One network per sample, kept as the degrees of its genes, and its edges counted over groups of samples.

    Attributes
    ----------
    out_degree, in_degree : pandas.DataFrame, (N, G)
        Edges that leave a gene (genes that attend to it) and that reach it (genes it attends to).
    threshold : float
        The weight an edge exceeds.
    sizes : dict
        Group to number of samples, in the order of the groups; "all" comes first.
    counts, strength : dict
        Group to (G, G) arrays key x query: samples with this edge, and the sum over samples of its largest weight in
        any head and chosen layer.
    """

    out_degree: pd.DataFrame
    in_degree: pd.DataFrame
    threshold: float
    sizes: dict[Any, int]
    counts: dict[Any, np.ndarray]
    strength: dict[Any, np.ndarray]

    def hubs(self, n_sd: float = 2.0) -> pd.DataFrame:
        """Which genes are hubs of which sample, (N, G) bool: :func:`outstanding` out-degree."""
        return outstanding(self.out_degree, n_sd)

    def attractors(self, n_sd: float = 2.0) -> pd.DataFrame:
        """Which genes are attractors of which sample, (N, G) bool: :func:`outstanding` in-degree."""
        return outstanding(self.in_degree, n_sd)

    def edges(self, group: Any = EVERYONE) -> pd.DataFrame:
        """Edges that any sample of a group has: key, query, ``share`` of the samples, mean ``weight``; strongest first.

        A group without an edge gives an empty table.
        """
        if group not in self.sizes:
            message = f"there is no group {group!r}; the groups are {first_ids(self.sizes, 12)}"
            raise ValueError(message)
        genes, n = self.out_degree.columns, max(self.sizes[group], 1)
        key, query = np.nonzero(self.counts[group])
        table = pd.DataFrame(
            {
                "key": genes[key],
                "query": genes[query],
                "share": self.counts[group][key, query] / n,
                "weight": self.strength[group][key, query] / n,
            }
        )
        return table.sort_values(["share", "weight"], ascending=False, kind="stable", ignore_index=True)

    def graph(self, group: Any = EVERYONE, *, least_share: float = 0.5) -> nx.DiGraph:
        """Edges key -> query that at least this share of a group's samples have, with ``share`` and ``weight``.

        All genes are nodes, with their mean ``out_degree`` and ``in_degree`` over all samples.
        """
        graph = nx.DiGraph()
        degrees = {"out_degree": self.out_degree.mean(), "in_degree": self.in_degree.mean()}
        for gene in self.out_degree.columns:
            graph.add_node(gene, **{name: float(degree[gene]) for name, degree in degrees.items()})
        edges = self.edges(group)
        for edge in edges[edges["share"] >= least_share].itertuples():
            graph.add_edge(edge.key, edge.query, share=float(edge.share), weight=float(edge.weight))
        return graph


class NetworkCollector:
    """Builds :class:`AttentionNetworks` from streamed attention; for :func:`gexcore.interpret.read_attention`.

    Parameters are those of :func:`attention_networks`.
    """

    def __init__(
        self,
        *,
        threshold: float | None = None,
        layers: str | int | Sequence[int] = "all",
        groups: pd.Series | None = None,
    ):
        if threshold is not None and not 0 <= threshold < 1:
            message = f"threshold is a weight from 0 to below 1, not {threshold}"
            raise ValueError(message)
        self.threshold, self.layers = threshold, layers
        self.groups = pd.Series(dtype=object) if groups is None else groups.dropna()
        if (self.groups == EVERYONE).any():
            message = f"no group may be called {EVERYONE!r}: that is the group of all samples; rename it"
            raise ValueError(message)
        self.sizes: dict[Any, int] = {}
        self.counts: dict[Any, np.ndarray] = {}
        self.strength: dict[Any, np.ndarray] = {}
        self._samples: list[pd.Index] = []
        self._degrees = Rows(), Rows()  # out, in

    def add(self, block: AttentionBlock) -> None:
        if not self.sizes:
            self._begin(block)
        chosen = chosen_layers(self.layers, block.n_layers)
        if block.layer not in chosen:
            return
        strongest = self._strongest[: len(block.samples)]  # (B, G, G): over heads and layers so far
        if block.layer == min(chosen):
            strongest.zero_()
        for head in block.weights.unbind(1):
            torch.maximum(strongest, head, out=strongest)
        if block.layer == max(chosen):
            self._finish(block, strongest)

    def _begin(self, block: AttentionBlock) -> None:
        n = len(block.genes)
        self._genes = block.genes
        self.threshold = 10 / n if self.threshold is None else self.threshold
        for group in [EVERYONE, *self.groups.groupby(self.groups, observed=False).groups]:
            self.sizes[group] = 0
            self.counts[group], self.strength[group] = np.zeros((n, n), "int32"), np.zeros((n, n), "float32")
        # No later block has more samples.
        self._strongest = torch.empty_like(block.weights[:, 0])
        self._edges = torch.empty_like(self._strongest, dtype=torch.bool)

    def _finish(self, block: AttentionBlock, strongest: Tensor) -> None:
        edges = torch.gt(strongest, self.threshold, out=self._edges[: len(strongest)])  # (B, query, key)
        edges.diagonal(dim1=1, dim2=2).fill_(False)  # that a gene attends to itself says nothing of a pair  # noqa: FBT003
        self._samples.append(block.samples)
        for axis, rows in enumerate(self._degrees, start=1):
            rows.add(edges.sum(axis, dtype=torch.int32))
        by_key, weight = (t.transpose(1, 2).cpu().numpy() for t in (edges, strongest))
        for sample, own_edges, own_weight in zip(block.samples, by_key, weight, strict=True):
            for group in {EVERYONE, self.groups.get(sample, EVERYONE)}:
                self.sizes[group] += 1
                self.counts[group] += own_edges
                self.strength[group] += own_weight

    def result(self) -> AttentionNetworks:
        index = self._samples[0].append(self._samples[1:])
        tables = [pd.DataFrame(rows.result().copy(), index, self._genes) for rows in self._degrees]
        return AttentionNetworks(*tables, self.threshold, self.sizes, self.counts, self.strength)


def attention_networks(
    model: TxT,
    cohort: AnnData,
    *,
    threshold: float | None = None,
    layers: str | int | Sequence[int] = "all",
    groups: pd.Series | None = None,
    **how: Any,
) -> AttentionNetworks:
    """The gene network of every sample: an edge key -> query where the weight exceeds a threshold in any head.

    Parameters
    ----------
    model, cohort
        As in :func:`gexcore.interpret.stream_attention`, whose other arguments are taken too.
    threshold : float, optional
        10 / G unless given: ten times an even share, which is the paper's 0.01 at its 1000 genes.
    layers : {"all", "first", "last"} or int or sequence of int
        An edge of any of these layers counts. The paper does not say which it used: "all" is assumed.
    groups : pandas.Series, optional
        Group of each sample, aligned by id; edges are counted for each group too. Samples without one count in "all".

    Returns
    -------
    AttentionNetworks
        Edges from a gene to itself are left out. As the weights of a query sum to 1, no gene has more than
        ``heads x layers / threshold`` incoming edges, while outgoing edges are not limited.

    Examples
    --------
    >>> networks = attention_networks(model, test, groups=clusters)  # doctest: +SKIP
    >>> compare_frequencies(networks.hubs(), clusters)  # doctest: +SKIP
    """
    collector = NetworkCollector(threshold=threshold, layers=layers, groups=groups)
    return read_attention(model, cohort, {"networks": collector}, **how)["networks"]


def outstanding(degree: pd.DataFrame, n_sd: float = 2.0) -> pd.DataFrame:
    """Where a gene's degree exceeds mean + ``n_sd`` standard deviations of all genes of the sample, (N, G) bool.

    ``n_sd`` is the paper's lambda, whose value could not be read from the text at hand; 2 is assumed. A sample whose
    genes all have the same degree, none for example, has no outstanding gene.
    """
    limit = degree.mean(axis=1) + n_sd * degree.std(axis=1, ddof=0)
    return degree.gt(limit, axis=0)


def write_network(graph: nx.DiGraph, path: str | os.PathLike) -> None:
    """Write a network as GraphML, which Cytoscape, Gephi and igraph read; the file appears whole or not at all."""
    written = io.BytesIO()
    nx.write_graphml(graph, written)
    write_file(path, written.getvalue())
