"""Attention weights of TxT, streamed: a few samples and one layer at a time, reduced before the next ones come.

The weights of 500 patients, 1000 genes, 8 layers and 4 heads would fill 64 GB. What is asked of them (how much a gene
receives, how a pair of genes attends to each other, which edges a network has) is far smaller and is collected on the
way; several collectors can share one pass.
Shapes: B samples of a block, N samples, H heads, G genes, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from ..cohort import as_cohort
from ..tasks import first_ids
from ..training import choose_device
from ..txt import TxT

_HELD = 2**23  # attention weights held at once, a few times over: a quarter of a gigabyte


class AttentionBlock(NamedTuple):
    """The attention of one layer in a few samples: ``weights[b, h, i, j]``, (B, H, G, G), says how much gene i (the
    query) attends to gene j (the key) in head h; every row sums to 1. Layers are counted from 1. In a model with
    ``attention="pathways"`` gene sets take the place of genes, here and in all that is made of blocks.
    """

    samples: pd.Index
    genes: pd.Index
    layer: int
    n_layers: int
    weights: Tensor


class Collector(Protocol):
    """Something that makes its result of one block after the other."""

    def add(self, block: AttentionBlock) -> None:
        """Take a block: all layers of some samples, then all layers of the next ones, in the order of the cohort."""

    def result(self) -> Any:
        """What came of all blocks."""


# ------------------------------------------------------------------------------------------------ stream


def stream_attention(
    model: TxT, cohort: AnnData, *, harmonise: str | None = None, min_coverage: float = 0.5
) -> Iterator[AttentionBlock]:
    """Attention weights of every sample, layer by layer; memory does not depend on the number of samples.

    Parameters
    ----------
    model : TxT
        A fitted model.
    cohort, harmonise, min_coverage
        As in :meth:`gexcore.TxT.predict`.

    Yields
    ------
    AttentionBlock
        All layers of the first few samples, then all layers of the next ones.

    Examples
    --------
    >>> for block in stream_attention(model, test):  # doctest: +SKIP
    ...     print(block.layer, block.weights.sum(-1))  # all ones
    """
    encoder = getattr(model.fitted_module(), "encoder", None)
    if not hasattr(encoder, "attention"):
        message = f"attention weights are read of a TxT, not of a {type(model).__name__}"
        raise TypeError(message)
    if not len(encoder.blocks):
        message = "n_layers is 0: there is no encoder layer whose attention could be read"
        raise ValueError(message)
    cohort = as_cohort(cohort)
    inputs = model.read(cohort, harmonise=harmonise, min_coverage=min_coverage)
    return _blocks(model, inputs, cohort.obs_names)  # everything above is checked now, not at the first block


def _blocks(model: TxT, inputs: Tensor, samples: pd.Index) -> Iterator[AttentionBlock]:
    device, genes, encoder = choose_device(model.device), pd.Index(model.attending()), model.module_.encoder
    model.module_.to(device).eval()
    size = max(1, _HELD // (encoder.n_heads * len(genes) ** 2))
    for start in range(0, len(inputs), size):
        rows = slice(start, start + size)
        layers = encoder.attention(inputs[rows].to(device))
        for layer in range(1, len(encoder.blocks) + 1):
            with torch.no_grad():  # around each step, not around the loop: what the caller does meanwhile is hers
                weights = next(layers)  # (B, H, G, G)
            yield AttentionBlock(samples[rows], genes, layer, len(encoder.blocks), weights)


def read_attention(
    model: TxT,
    cohort: AnnData,
    collectors: Mapping[str, Collector],
    *,
    harmonise: str | None = None,
    min_coverage: float = 0.5,
) -> dict[str, Any]:
    """The results of several collectors from one pass over the attention of a cohort.

    Parameters
    ----------
    model, cohort, harmonise, min_coverage
        As in :func:`stream_attention`.
    collectors : mapping of str to collector
        :class:`ReceivedAttention`, :class:`PairAttention`, :class:`MeanPairAttention`,
        :class:`gexcore.interpret.NetworkCollector`, or anything with their two methods.

    Returns
    -------
    dict
        Name to result.
    """
    for block in stream_attention(model, cohort, harmonise=harmonise, min_coverage=min_coverage):
        for collector in collectors.values():
            collector.add(block)
    return {name: collector.result() for name, collector in collectors.items()}


def chosen_layers(layers: str | int | Sequence[int], n_layers: int) -> set[int]:
    """The numbers, from 1, that ``layers`` stands for: "all", "first", "last", one number or several."""
    named = {"all": range(1, n_layers + 1), "first": [1], "last": [n_layers]}
    numbers = {layers} if isinstance(layers, int) else set(named.get(layers, ()) if isinstance(layers, str) else layers)
    if not numbers or not numbers <= set(named["all"]):
        message = f"layers is 'all', 'first', 'last' or numbers from 1 to {n_layers}, not {layers!r}"
        raise ValueError(message)
    return numbers


# -------------------------------------------------------------------------------------------- collectors


class ReceivedAttention:
    """Mean attention that each gene receives from all genes (itself included), over heads and the chosen layers.

    The result is a DataFrame samples x genes whose rows sum to 1, so that 1 / G is an even share.
    """

    def __init__(self, *, layers: str | int | Sequence[int] = "all"):
        self.layers = layers
        self._mean = _MeanOverLayers()

    def add(self, block: AttentionBlock) -> None:
        chosen, self._genes = chosen_layers(self.layers, block.n_layers), block.genes
        if block.layer in chosen:
            self._mean.add(block, block.weights.mean((1, 2)), chosen)  # (B, G)

    def result(self) -> pd.DataFrame:
        return self._mean.table(self._genes)


class PairAttention:
    """How much one gene attends to another, through all layers and heads of every sample.

    The result is tidy: sample, query, key, layer, head (both from 1), weight.

    Parameters
    ----------
    pairs : sequence of (query, key)
        Genes that attend, and whom they attend to; give both orders to see both directions.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]):
        self.pairs = [tuple(pair) for pair in pairs]
        self._parts: list[pd.DataFrame] = []

    def add(self, block: AttentionBlock) -> None:
        weights = _of_pairs(block, self.pairs)  # (B, H, P)
        axes = [block.samples, range(1, weights.shape[1] + 1), range(len(self.pairs))]
        rows = pd.MultiIndex.from_product(axes, names=["sample", "head", "pair"]).to_frame(index=False)
        place = rows.pop("pair").to_numpy()
        rows["query"], rows["key"] = (pd.Index(genes)[place] for genes in zip(*self.pairs, strict=True))
        self._parts.append(rows.assign(layer=block.layer, weight=weights.flatten().cpu().numpy()))

    def result(self) -> pd.DataFrame:
        table = pd.concat(self._parts)[["sample", "query", "key", "layer", "head", "weight"]]
        return table.sort_values(["layer", "head"], kind="stable", ignore_index=True)


class MeanPairAttention:
    """How much one gene attends to another in every sample, averaged over heads and the chosen layers.

    For many pairs, of which :class:`PairAttention` would make a row per layer, head and sample. The result is a
    DataFrame samples x pairs, its columns (query, key) in the order given.

    Parameters
    ----------
    pairs : sequence of (query, key)
        As in :class:`PairAttention`.
    layers : {"all", "first", "last"} or int or sequence of int
        Layers to average over, counted from 1.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], *, layers: str | int | Sequence[int] = "all"):
        self.pairs, self.layers = [tuple(pair) for pair in pairs], layers
        self._mean = _MeanOverLayers()

    def add(self, block: AttentionBlock) -> None:
        chosen = chosen_layers(self.layers, block.n_layers)
        if block.layer in chosen:
            self._mean.add(block, _of_pairs(block, self.pairs).mean(1), chosen)  # (B, P)

    def result(self) -> pd.DataFrame:
        return self._mean.table(pd.MultiIndex.from_tuples(self.pairs, names=["query", "key"]))


class Rows:
    """Rows that come block by block, in one array.

    Kept one by one, small pieces would come to lie between the large ones that are made for each block and let go, and
    leave holes in memory that grow with the cohort.
    """

    def __init__(self):
        self._n, self._rows = 0, None

    def add(self, rows: Tensor) -> None:
        """Append (B, columns) to what is there."""
        rows, end = rows.cpu().numpy(), self._n + len(rows)
        if self._rows is None or end > len(self._rows):
            larger = np.empty((2 * max(end, 256), rows.shape[1]), rows.dtype)
            if self._n:
                larger[: self._n] = self.result()
            self._rows = larger
        self._rows[self._n : end] = rows
        self._n = end

    def result(self) -> np.ndarray:
        """All rows, (N, columns): a view, and not a copy."""
        return self._rows[: self._n]


class _MeanOverLayers:
    """A table samples x columns of what is averaged over the chosen layers, block by block."""

    def __init__(self):
        self._samples: list[pd.Index] = []
        self._rows = Rows()

    def add(self, block: AttentionBlock, values: Tensor, chosen: set[int]) -> None:
        share = values / len(chosen)  # (B, columns)
        if block.layer == min(chosen):
            self._samples.append(block.samples)
            self._rows.add(share)
        else:
            self._rows.result()[-len(share) :] += share.cpu().numpy()

    def table(self, columns: pd.Index) -> pd.DataFrame:
        index = self._samples[0].append(self._samples[1:])
        return pd.DataFrame(self._rows.result().copy(), index=index, columns=columns)


def _of_pairs(block: AttentionBlock, pairs: Sequence[tuple[str, str]]) -> Tensor:
    """The weights of some pairs, (B, H, P)."""
    strangers = pd.Index([gene for pair in pairs for gene in pair]).unique().difference(block.genes)
    if len(strangers) or not pairs:
        message = (
            f"pairs name genes of the model, or its gene sets where these attend ({first_ids(block.genes)}); unknown: "
            f"{first_ids(strangers) or 'there is no pair'}"
        )
        raise ValueError(message)
    queries, keys = (block.genes.get_indexer(list(genes)) for genes in zip(*pairs, strict=True))
    return block.weights[:, :, queries, keys]


def received_attention(
    model: TxT, cohort: AnnData, *, layers: str | int | Sequence[int] = "all", **how: Any
) -> pd.DataFrame:
    """Mean attention each gene receives, a DataFrame samples x genes; a row sums to 1.

    Parameters
    ----------
    model, cohort
        As in :func:`stream_attention`, whose other arguments are taken too.
    layers : {"all", "first", "last"} or int or sequence of int
        Layers to average over, counted from 1.
    """
    return read_attention(model, cohort, {"received": ReceivedAttention(layers=layers)}, **how)["received"]


def pair_attention(model: TxT, cohort: AnnData, pairs: Sequence[tuple[str, str]], **how: Any) -> pd.DataFrame:
    """Attention between given genes in every sample, layer and head; as :class:`PairAttention`.

    Parameters
    ----------
    model, cohort
        As in :func:`stream_attention`, whose other arguments are taken too.
    pairs : sequence of (query, key)
        The query attends to the key.
    """
    return read_attention(model, cohort, {"pairs": PairAttention(pairs)}, **how)["pairs"]


def mean_pair_attention(
    model: TxT,
    cohort: AnnData,
    pairs: Sequence[tuple[str, str]],
    *,
    layers: str | int | Sequence[int] = "all",
    **how: Any,
) -> pd.DataFrame:
    """Attention between given genes, averaged over heads and layers: samples x pairs; as :class:`MeanPairAttention`.

    Parameters
    ----------
    model, cohort
        As in :func:`stream_attention`, whose other arguments are taken too.
    pairs, layers
        As in :class:`MeanPairAttention`.
    """
    return read_attention(model, cohort, {"pairs": MeanPairAttention(pairs, layers=layers)}, **how)["pairs"]
