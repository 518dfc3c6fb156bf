"""What is known about genes beside any cohort: networks and gene sets of the public, by name."""

from __future__ import annotations

import os

import networkx as nx

from ..network import read_network
from .catalogue import SOURCES, find_source
from .fetch import fetched
from .registry import Source

_KINDS = {"cohort": "a cohort", "network": "a network", "gene sets": "gene sets"}


def load_network(
    name: str = "string-v12", *, min_score: float = 400.0, folder: str | os.PathLike | None = None
) -> nx.Graph:
    """A fetched network of genes, as :func:`gexcore.network.read_network` gives it.

    Parameters
    ----------
    name : str
        "string-v12", or "string-v12-no-text-mining", whose scores are combined without that channel.
    min_score : float
        Links with a lower score are left out; 400 is STRING's "medium" confidence. Assumed: the paper states none.
    folder : path, optional
        As in :func:`gexcore.fetch`.

    Raises
    ------
    FileNotFoundError
        Not fetched yet.
    ValueError
        Not the name of a network, or a file that is not the one it should be.

    Examples
    --------
    >>> load_network("hallmark")
    Traceback (most recent call last):
    ValueError: 'hallmark' stands for gene sets, not for a network; there are: string-v12, string-v12-no-text-mining
    """
    source = _of_kind(name, "network")
    return read_network(source.parser(fetched(source, folder), min_score=min_score))


def load_gene_sets(name: str = "hallmark", *, folder: str | os.PathLike | None = None) -> dict[str, list[str]]:
    """Fetched gene sets, as :func:`gexcore.read_gene_sets` reads them.

    Raises
    ------
    FileNotFoundError
        Not fetched yet.
    ValueError
        Not the name of a source of gene sets, or a file that is not the one it should be.
    """
    source = _of_kind(name, "gene sets")
    return source.parser(fetched(source, folder))


def _of_kind(name: str, kind: str) -> Source:
    source = find_source(name)
    if source.kind != kind:
        there = ", ".join(other.name for other in SOURCES.values() if other.kind == kind)
        message = f"{name!r} stands for {_KINDS[source.kind]}, not for {_KINDS[kind]}; there are: {there}"
        raise ValueError(message)
    return source
