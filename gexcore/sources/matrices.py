"""Expression matrices as public sources publish them: text, genes as rows, too wide to be held twice.

A matrix is read a gene at a time into one float32 array that grows in place: the pan-cancer matrix of TCGA
(20,531 genes, 11,060 samples) takes 0.9 GB once. Shapes: N samples, G genes.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pandas as pd

from ..identifiers import on_chromosome_y, strip_version
from ..tasks import first_ids

_GROWTH = 1024  # genes that the array grows by
_MISSING = {"", "NA", "na", "Na", "#N/A", "N/A", "null", "[Not Available]", "[Not Applicable]"}


class Matrix(NamedTuple):
    """Expression of samples (N, G), and what became of the source's rows.

    ``unmapped`` rows have no symbol in the table of genes, or are copies of genes on chromosome Y; ``repeated`` rows
    have a symbol that a row with a higher mean carries as well.
    """

    x: np.ndarray
    genes: list[str]
    unmapped: list[str]
    repeated: list[str]


def read_header(path: Path, *, sep: str = "\t") -> list[str]:
    """The column names of a text matrix, its first column (the ids of the genes) included."""
    with _open(path) as handle:
        return [name.strip() for name in next(csv.reader(handle, delimiter=sep), [])]


def read_matrix(
    path: Path,
    samples: Mapping[str, Sequence[str]],
    *,
    sep: str = "\t",
    symbols: Mapping[str, str] | None = None,
    rescale: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Matrix:
    """Read chosen columns of a text matrix of genes x samples.

    Parameters
    ----------
    path : Path
        Text, or text packed as .gz; the first column names the genes.
    samples : mapping
        Sample to the columns of the header that belong to it; several are averaged after ``rescale``.
    sep : str
        What separates the columns.
    symbols : mapping, optional
        Id of a row to the symbol of a gene; rows without one are left out. Versions of Ensembl ids
        (ENSG00000141510.16) are cut on both sides; copies of genes on chromosome Y are left out
        (:func:`gexcore.identifiers.on_chromosome_y`).
    rescale : callable, optional
        Takes the values of the source to another scale.

    Returns
    -------
    Matrix
        Of several rows with one symbol the one with the highest mean over the samples stays.

    Raises
    ------
    ValueError
        A row is shorter than the header, a cell is not a number, or no row has a symbol.
    """
    with _open(path) as handle:
        lines = csv.reader(handle, delimiter=sep)
        header = [name.strip() for name in next(lines)]
        position = {name: i for i, name in enumerate(header)}
        columns = [position[name] for names in samples.values() for name in names]
        bounds = np.cumsum([0, *(len(names) for names in samples.values())])
        known = None if symbols is None else {strip_version(name): symbol for name, symbol in symbols.items()}
        rows = np.empty((0, len(samples)), "float32")  # (G, N)
        place, means, unmapped, repeated = {}, [], [], []
        for fields in filter(None, lines):
            if len(fields) != len(header):
                message = (
                    f"{path}: row {fields[0]!r} has {len(fields)} cells, the header {len(header)}; was it cut off?"
                )
                raise ValueError(message)
            name = fields[0].strip()
            gene = name if known is None else known.get(strip_version(name), "")
            if not gene or on_chromosome_y(name):
                unmapped.append(name)
                continue
            values = _numbers([fields[i] for i in columns], name, path)  # (columns,)
            values = values if rescale is None else rescale(values)
            if len(columns) > len(samples):
                values = np.add.reduceat(values, bounds[:-1]) / np.diff(bounds)  # (N,)
            there = ~np.isnan(values)
            level = values[there].mean() if there.any() else -np.inf
            if gene in place:
                repeated.append(name)
                if level <= means[place[gene]]:
                    continue
                means[place[gene]] = level
            else:
                place[gene] = len(means)
                means.append(level)
                if len(means) > len(rows):
                    rows.resize((len(rows) + _GROWTH, len(samples)), refcheck=False)
            rows[place[gene]] = values
    if not means:
        message = f"{path}: none of its {len(unmapped)} rows (first {first_ids(unmapped)}) is in the table of genes"
        raise ValueError(message)
    rows.resize((len(means), len(samples)), refcheck=False)
    return Matrix(rows.T, list(place), unmapped, repeated)


def _open(path: Path) -> TextIO:
    return (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="")


def _numbers(cells: list[str], name: str, path: Path) -> np.ndarray:
    try:
        return np.array(cells, "float32")
    except ValueError:  # some are empty or words
        words = [cell.strip() for cell in cells]
    try:
        return np.array(["nan" if word in _MISSING else word for word in words], "float32")
    except ValueError as error:
        message = f"{path}: row {name!r} holds cells that are not numbers ({error}); is it as it was published?"
        raise ValueError(message) from error


def from_log2(offset: float) -> Callable[[np.ndarray], np.ndarray]:
    """From log2(x + offset) to log2(x + 1); what rounding left below zero counts as zero.

    Examples
    --------
    >>> from_log2(0.1)(np.log2(np.array([0.1, 3.1]))).round(6).tolist()
    [0.0, 2.0]
    """
    return lambda values: np.log2(np.maximum(np.exp2(values) - offset, 0) + 1)


def from_linear(values: np.ndarray) -> np.ndarray:
    """From x to log2(x + 1); values below zero, left by a correction of the source, count as zero."""
    return np.log2(np.maximum(values, 0) + 1)


def read_probe_map(path: Path) -> dict[str, str]:
    """Gene id to symbol from a probeMap of UCSC Xena: columns id, gene, chrom and positions."""
    table = pd.read_csv(path, sep="\t", dtype=str, usecols=[0, 1], keep_default_na=False)
    return dict(zip(table.iloc[:, 0], table.iloc[:, 1], strict=True))


def read_gtf_genes(path: Path) -> dict[str, str]:
    """Gene id to symbol from the gene lines of a .gtf.gz of GENCODE."""
    symbols = {}
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            fields = line.split("\t", 9)
            if len(fields) == 9 and fields[2] == "gene":
                notes = dict(note.strip().split(" ", 1) for note in fields[8].split(";") if note.strip())
                symbols[notes["gene_id"].strip('"')] = notes["gene_name"].strip('"')
    return symbols
