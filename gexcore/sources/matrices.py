"""Expression matrices as public sources publish them: text, genes as rows, too wide to be held twice.

A matrix is read a block of genes at a time into one float32 array that grows in place: the pan-cancer matrix of TCGA
(20,531 genes, 11,060 samples) takes 0.9 GB once. Shapes: N samples, G genes.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..tasks import first_ids

CELLS = 4_000_000  # read at once
_MISSING = ["[Not Available]", "[Not Applicable]", "na", "Na"]  # besides the spellings pandas knows


class Matrix(NamedTuple):
    """Expression of samples (N, G), and what became of the source's rows.

    ``unmapped`` rows have no symbol in the table of genes, ``repeated`` rows a symbol that a row with a higher mean
    carries as well.
    """

    x: np.ndarray
    genes: list[str]
    unmapped: list[str]
    repeated: list[str]


def read_header(path: Path, *, sep: str = "\t") -> list[str]:
    """The column names of a text matrix, its first column (the ids of the genes) included."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as handle:
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
        Sample to the columns of the file that belong to it; several columns are averaged after ``rescale``.
    sep : str
        What separates the columns.
    symbols : mapping, optional
        Id of a row to the symbol of a gene; rows without one are left out. Versions of Ensembl ids
        (ENSG00000141510.16) are cut on both sides, the copies of genes on chromosome Y (_PAR_Y) have no symbol.
    rescale : callable, optional
        Takes the values of the source to another scale.

    Returns
    -------
    Matrix
        Of several rows with one symbol the one with the highest mean over the samples stays.

    Raises
    ------
    ValueError
        The file lacks a column, a cell is not a number, or no row has a symbol.
    """
    position = {name: i for i, name in enumerate(read_header(path, sep=sep))}
    used = sorted({position[name] for names in samples.values() for name in names})
    slot = {i: at for at, i in enumerate(used)}
    columns = [[slot[position[name]] for name in names] for names in samples.values()]
    several = [(i, own) for i, own in enumerate(columns) if len(own) > 1]
    known = None if symbols is None else {without_version(name): symbol for name, symbol in symbols.items()}
    reader = pd.read_csv(
        path,
        sep=sep,
        header=None,
        skiprows=1,
        usecols=[0, *used],
        dtype={0: str} | dict.fromkeys(used, "float32"),
        na_values=dict.fromkeys(used, _MISSING),
        chunksize=max(1, CELLS // len(used)),
    )
    rows = np.empty((0, len(columns)), "float32")  # (G, N)
    place, means, unmapped, repeated = {}, [], [], []
    try:
        for chunk in reader:
            names = chunk[0].fillna("").str.strip()
            block = chunk[used].to_numpy("float32")  # (g, columns)
            block = block if rescale is None else rescale(block)
            values = block[:, [own[0] for own in columns]]  # (g, N)
            for i, own in several:
                values[:, i] = block[:, own].mean(axis=1)
            genes = names if known is None else names.map(lambda name: known.get(without_version(name), ""))
            count = (~np.isnan(values)).sum(axis=1)
            levels = np.where(count, np.nansum(values, axis=1) / np.maximum(count, 1), -np.inf)
            rows.resize((len(means) + len(values), len(columns)), refcheck=False)
            for name, gene, level, row in zip(names, genes, levels, values, strict=True):
                if not gene:
                    unmapped.append(name)
                elif gene not in place:
                    place[gene] = len(means)
                    rows[len(means)] = row
                    means.append(level)
                else:
                    repeated.append(name)
                    if level > means[place[gene]]:
                        rows[place[gene]], means[place[gene]] = row, level
    except ValueError as error:
        message = f"{path}: not a matrix of numbers ({error}); was it opened and saved by another program?"
        raise ValueError(message) from error
    if not means:
        message = f"{path}: none of its {len(unmapped)} rows (first {first_ids(unmapped)}) is in the table of genes"
        raise ValueError(message)
    rows.resize((len(means), len(columns)), refcheck=False)
    return Matrix(rows.T, list(place), unmapped, repeated)


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


def without_version(name: str) -> str:
    """The id of a gene without its version; copies on chromosome Y keep theirs, so that no table knows them."""
    stem, dot, version = name.partition(".")
    return stem if dot and version.isdigit() and stem.startswith("ENS") else name


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
