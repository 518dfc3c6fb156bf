"""Text and parquet tables as users bring them: separators, decimal marks and encodings found out, damage refused.

A table is rows x columns with the row ids in front; what its rows and columns mean is the caller's business.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import zlib
from pathlib import Path
from typing import TextIO

import pandas as pd

_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet", ".h5ad")
_MISSING = ["na", "Na", "NAN", "Nan"]  # besides the spellings pandas knows
_DECIMAL = re.compile(r"\t\s*[-+]?\d+([.,])\d+(?:[eE][-+]?\d+)?\s*(?=\t|$)")


def check_path(path: str | os.PathLike) -> Path:
    """The path of an existing file of a known kind."""
    path = Path(path)
    if not path.name.lower().endswith(_ENDINGS):
        message = f"{path}: unknown kind of file; a table ends in one of {' '.join(_ENDINGS)}"
        raise ValueError(message)
    if not path.is_file():
        message = f"{path}: no such file"
        raise FileNotFoundError(message)
    return path


def read_table(path: str | os.PathLike) -> pd.DataFrame:
    """A table from a .csv, .tsv, .txt (each also .gz) or .parquet file, its first column as a text index.

    Commas, tabs or semicolons separate columns, whatever the ending says; decimal commas are understood where the
    comma is not the separator. Column names stand as in the file, repeated ones included.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Unknown ending, empty or damaged file, UTF-16, no second column, rows of another length than the header.
    """
    path = check_path(path)
    if path.suffix.lower() == ".parquet":
        table = pd.read_parquet(path)
        has_ids = not isinstance(table.index, pd.RangeIndex)
        return table if has_ids or table.empty else table.set_index(table.columns[0])
    try:
        with _open(path) as handle:
            names, delimiter, decimal = _layout(path, handle)
        with _open(path) as handle:
            table = pd.read_csv(
                handle,
                sep=delimiter,
                decimal=decimal,
                header=None,
                skiprows=1,
                names=range(len(names)),
                index_col=0,
                dtype={0: str},  # "007" stays "007"
                na_values=_MISSING,
                skipinitialspace=True,
                low_memory=False,
            )
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error, pd.errors.ParserError) as error:
        message = f"{path}: not a complete UTF-8 text table ({error}); save or download it again"
        raise ValueError(message) from error
    return table.set_axis(names[1:], axis=1).rename_axis(index=names[0] or None)


def read_gene_sets(path: str | os.PathLike) -> dict[str, list[str]]:
    """Gene sets of a .gmt file: a line per set, its name, a description, then its genes, separated by tabs.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        No text, a line without a gene, or a set that is listed twice.
    """
    path = Path(path)
    if not path.is_file():
        message = f"{path}: no such file"
        raise FileNotFoundError(message)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        message = f"{path}: not a UTF-8 text ({error}); unpack or save it again"
        raise ValueError(message) from error
    sets = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = (cell.strip() for cell in line.split("\t"))
        genes = [gene for gene in rest[1:] if gene]
        if not genes or name in sets:
            what = "is listed twice" if name in sets else "has no gene; a line is name, description, genes, with tabs"
            message = f"{path}: set {name!r} in line {number} {what}"
            raise ValueError(message)
        sets[name] = list(dict.fromkeys(genes))
    if not sets:
        message = f"{path}: the file holds no gene set"
        raise ValueError(message)
    return sets


def _open(path: Path) -> TextIO:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as handle:
        if handle.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            message = f"{path}: the text is encoded as UTF-16; save it as UTF-8"
            raise ValueError(message)
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _layout(path: Path, handle: TextIO) -> tuple[list[str], str, str]:
    """Column names, delimiter and decimal mark; rows that are longer or shorter than the header are refused."""
    header = handle.readline()
    if not header.strip():
        message = f"{path}: the file is empty or begins with an empty line"
        raise ValueError(message)
    delimiter = max(",\t;", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter))
    decimal, wrong = None, []
    for i, row in enumerate(csv.reader(handle, delimiter=delimiter)):
        if i == 0 and len(row) == len(names) + 1:
            names = ["", *names]  # R's write.table leaves the id column without a name
        if row and len(row) != len(names):
            wrong.append(row[0])
        if decimal is None and delimiter != ",":
            decimal = _DECIMAL.search("\t".join(row))
    if len(names) < 2:
        message = f"{path}: no columns after the id column; commas, tabs or semicolons must separate them"
        raise ValueError(message)
    if wrong:
        message = (
            f"{path}: the header has {len(names)} columns but {len(wrong)} rows have more or fewer, "
            f"first {wrong[0]!r}; was the file cut off?"
        )
        raise ValueError(message)
    return names, delimiter, decimal[1] if decimal else "."
