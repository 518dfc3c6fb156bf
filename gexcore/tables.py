"""Text and parquet tables as users bring them: separators, decimal marks and encodings found out, damage refused.

A table is rows x columns with the row ids in front; what its rows and columns mean is the caller's business.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
import os
import re
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow as pa

MAX_COLUMNS = 300_000  # no transcriptome has more transcripts

_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet", ".h5ad")
_MISSING = ["na", "Na", "NAN", "Nan"]  # besides the spellings pandas knows
_DECIMAL = re.compile(r"\t\s*[-+]?\d+([.,])\d+(?:[eE][-+]?\d+)?\s*(?=\t|$)")
_BEGINNINGS = {  # of files that are no text, and what to do with them
    b"PK\x03\x04": "an Excel workbook or another zip archive; save its sheet as .csv",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save its sheet as .csv",
    b"\x1f\x8b": "compressed by gzip; let its name end in .gz, or unpack it once more where it does",
    b"BZh": "compressed by bzip2; unpack it",
    b"\xfd7zXZ": "compressed by xz; unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it",
    b"\x89HDF": "an HDF5 file; let its name end in .h5ad if it holds an AnnData",
    b"PAR1": "a parquet file; let its name end in .parquet",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"%PDF": "a PDF document",
    b"<": "a web page; what you meant to download may need a login or has moved",
}
_COMMENTS = {  # how a text begins that holds more than its table
    "!": "a series matrix of GEO: keep what stands between !series_matrix_table_begin and !series_matrix_table_end",
    "#1.": "a GCT file: remove the two lines before its header and its column of descriptions",
    "#": "a file with comments, as those of cBioPortal: remove the lines before its header",
}


def check_path(path: str | os.PathLike) -> Path:
    """The path of an existing file of a known kind."""
    path = Path(path)
    if path.is_dir():
        message = f"{path}: a folder, not a file; name the table in it"
        raise ValueError(message)
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
        Unknown ending, empty or damaged file, another kind of file than its name says, UTF-16, comments before the
        header, no second column, more than 300,000 columns, rows of another length than the header.
    """
    path = check_path(path)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
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
        message = f"{path}: not a complete UTF-8 text table ({_reason(error)}); save or download it again"
        raise ValueError(message) from error
    return table.set_axis(names[1:], axis=1).rename_axis(index=names[0] or None)


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        message = f"{path}: not a UTF-8 text ({_reason(error)}); unpack or save it again"
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


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        message = f"{path}: not a complete parquet file; it was cut short or is of another kind, write it again"
        raise ValueError(message) from error
    has_ids = not isinstance(table.index, pd.RangeIndex)
    return table if has_ids or table.empty else table.set_index(table.columns[0])


def _open(path: Path) -> TextIO:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as handle:
        beginning = handle.read(64)
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = f"{path}: the text is encoded as UTF-16; save it as UTF-8"
        raise ValueError(message)
    what = next((what for start, what in _BEGINNINGS.items() if beginning.lstrip().startswith(start)), None)
    if what:
        message = f"{path}: not a text table but {what}"
        raise ValueError(message)
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _layout(path: Path, handle: TextIO) -> tuple[list[str], str, str]:
    """Column names, delimiter and decimal mark; rows that are longer or shorter than the header are refused."""
    header, second = handle.readline(), handle.readline()
    if not header.strip():
        message = f"{path}: the file is empty or begins with an empty line"
        raise ValueError(message)
    delimiter = max(",\t;", key=header.count)
    _check_header(path, header, second, delimiter)
    names = next(csv.reader([header], delimiter=delimiter))
    if names[-1].endswith(("\n", "\r")):
        message = f"{path}: a quotation mark in the header is not closed there; write every column name in one line"
        raise ValueError(message)
    decimal, wrong = None, []
    for i, (first, n_cells, text) in enumerate(_rows(itertools.chain([second], handle), delimiter)):
        if i == 0 and n_cells == len(names) + 1:
            names = ["", *names]  # R's write.table leaves the id column without a name
        if n_cells not in (0, len(names)):
            wrong.append((first, n_cells))
        if "\0" in text:
            message = f"{path}: the text holds NUL bytes, first in row {first!r}; is it UTF-16? Save it as UTF-8"
            raise ValueError(message.replace("\0", ""))
        if decimal is None and delimiter != ",":
            decimal = _DECIMAL.search(text.replace(delimiter, "\t"))
    if len(names) < 2:
        message = f"{path}: no columns after the id column; commas, tabs or semicolons must separate them"
        raise ValueError(message)
    if wrong:
        halved = delimiter == "," and {n for _, n in wrong} == {2 * len(names) - 1}
        message = (
            f"{path}: the header has {len(names)} columns but {len(wrong)} "
            f"{'row has' if len(wrong) == 1 else 'rows have'} more or fewer, "
            f"first {textwrap.shorten(wrong[0][0], 40)!r}; "
            + (
                "are commas decimal marks, too? Separate the columns by semicolons"
                if halved
                else "was the file cut off?"
            )
        )
        raise ValueError(message)
    return names, delimiter, decimal[1] if decimal else "."


def _check_header(path: Path, header: str, second: str, delimiter: str) -> None:
    n_columns = header.count(delimiter)
    if n_columns > MAX_COLUMNS:
        message = (
            f"{path}: the header has {n_columns:,} columns, and no transcriptome has more than {MAX_COLUMNS:,}; "
            "are line ends missing, or are these no genes?"
        )
        raise ValueError(message)
    fits_the_rows = n_columns > 0 and second.count(delimiter) == n_columns and not second.startswith("#")
    if header.startswith("#") and fits_the_rows and not header.startswith("#1."):
        return  # a header that begins with a #, as those of NCBI and STRING
    what = next((what for start, what in _COMMENTS.items() if header.startswith(start)), None)
    if what:
        message = f"{path}: begins with {textwrap.shorten(header, 40)!r}, as {what}"
        raise ValueError(message)


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[tuple[str, int, str]]:
    """First cell, number of cells and text of every row; only where quotation marks stand need cells be taken apart."""
    for line in lines:
        if '"' in line:
            for row in csv.reader(itertools.chain([line], lines), delimiter=delimiter):
                yield row[0] if row else "", len(row), delimiter.join(row)
        else:
            text = line.rstrip("\r\n")
            yield text.partition(delimiter)[0], text.count(delimiter) + 1 if text else 0, text


def _reason(error: Exception) -> str:
    """What a library found wrong with a file, in words that say more than where in its code."""
    if isinstance(error, UnicodeDecodeError):
        return "it holds bytes that are not UTF-8, as files in Latin-1 or of Windows do"
    if isinstance(error, EOFError):
        return "it ends too early"
    if isinstance(error, gzip.BadGzipFile) and "Not a gzipped" in str(error):
        return "it is not compressed although its name ends in .gz"
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return "its compressed data are damaged"
    return "a quotation mark is opened and not closed, or a row is damaged"
