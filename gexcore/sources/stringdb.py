"""Parser of STRING: links of proteins become a table of edges between genes, by symbol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd

_ROWS = 1_000_000  # read at once
_PRIOR = 0.041  # of any two proteins, as STRING states it
_CHANNELS = ("neighborhood", "coexpression", "experiments", "database")  # each direct and transferred


def links(files: Mapping[str, Path], *, min_score: float) -> pd.DataFrame:
    """Edges gene_a, gene_b, combined_score (0 to 1000) from STRING's own combined scores."""
    path = files["9606.protein.links.v12.0.txt.gz"]
    return _edges(files, path, ["combined_score"], lambda scores: scores["combined_score"], min_score)


def links_without_text_mining(files: Mapping[str, Path], *, min_score: float) -> pd.DataFrame:
    """Edges as :func:`links` gives them, scores combined without text mining; links with no other evidence go."""
    columns = [column for channel in _CHANNELS for column in (channel, f"{channel}_transferred")]
    columns += ["fusion", "cooccurence", "homology"]
    path = files["9606.protein.links.full.v12.0.txt.gz"]
    return _edges(files, path, columns, combine_channels, max(min_score, 1000 * _PRIOR + 1))


def combine_channels(scores: pd.DataFrame) -> pd.Series:
    """Combine the channels of STRING into one score from 0 to 1000, as its script combine_subscores.py does.

    Each score of s is freed of the prior p = 0.041, (s - p) / (1 - p); direct and transferred evidence, then the
    channels, count as independent, 1 - product of (1 - s); the prior is added again. What co-occurs in genomes counts
    only as far as the two proteins are not homologous. Text mining is left out where ``scores`` has none.
    """
    known = scores / 1000
    free = (known.clip(lower=_PRIOR) - _PRIOR) / (1 - _PRIOR)
    pairs = [name for name in (*_CHANNELS, "textmining") if name in scores]
    doubt = [(1 - free[name]) * (1 - free[f"{name}_transferred"]) for name in pairs]
    if "textmining" in pairs:
        doubt[-1] = 1 - (1 - doubt[-1]) * (1 - known["homology"])
    doubt += [1 - free["fusion"], 1 - free["cooccurence"] * (1 - known["homology"])]
    combined = 1 - reduce(np.multiply, doubt)
    return np.floor(1000 * (combined * (1 - _PRIOR) + _PRIOR))


def _edges(
    files: Mapping[str, Path],
    path: Path,
    columns: list[str],
    score: Callable[[pd.DataFrame], pd.Series],
    min_score: float,
) -> pd.DataFrame:
    proteins = pd.read_csv(files["9606.protein.info.v12.0.txt.gz"], sep="\t", dtype=str, usecols=[0, 1], quoting=3)
    symbols = proteins.set_index(proteins.columns[0])[proteins.columns[1]]
    parts = []
    reader = pd.read_csv(
        path,
        sep=" ",
        usecols=["protein1", "protein2", *columns],
        dtype=dict.fromkeys(columns, "float64"),
        chunksize=_ROWS,
    )
    for chunk in reader:
        once = chunk[chunk["protein1"] < chunk["protein2"]]  # every link stands in the file both ways
        scored = once.assign(combined_score=score(once[columns]))
        kept = scored.loc[scored["combined_score"] >= min_score, ["protein1", "protein2", "combined_score"]]
        parts.append(kept)
    table = pd.concat(parts, ignore_index=True)
    named = pd.DataFrame(
        {
            "gene_a": table["protein1"].map(symbols),
            "gene_b": table["protein2"].map(symbols),
            "combined_score": table["combined_score"],
        }
    )
    return named.dropna(ignore_index=True)
