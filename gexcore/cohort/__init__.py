"""Whatever a user brings becomes one checked AnnData.

Samples are ``obs``, genes are ``var``; tables are joined by id, never by position. What cannot be meant is refused
(``checks``), what is unusual is reported (``remarks``).
Shapes: N samples, G genes.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from ..tables import check_path, read_table
from ..tasks import CohortWarning
from .checks import (
    DUPLICATES,
    check_dates,
    check_match,
    check_orientation,
    check_values,
    merge_duplicates,
    refuse_duplicates,
    take_log2,
    to_names,
    to_numbers,
)
from .remarks import describe


def read_cohort(
    expression: str | os.PathLike | pd.DataFrame | ad.AnnData,
    clinical: str | os.PathLike | pd.DataFrame | None = None,
    *,
    genes_as_rows: bool = False,
    log2: bool = False,
    duplicate_genes: str = "error",
) -> ad.AnnData:
    """Read expression and clinical data, check them, and join them by sample id.

    Parameters
    ----------
    expression : path, DataFrame or AnnData
        Samples x genes. A path ends in .csv, .tsv or .txt (each also with .gz), .parquet or .h5ad. The first column
        of a text table (the index of a DataFrame) holds the sample ids, the other column names are genes. Comma, tab
        and semicolon separate columns; decimal commas are understood where the comma is not the separator.
    clinical : path or DataFrame, optional
        Samples x clinical columns, ids in the first column (the index). Samples without a row keep missing labels.
    genes_as_rows : bool
        The expression table is genes x samples.
    log2 : bool
        Replace every value x by log2(x + 1).
    duplicate_genes : {"error", "mean", "max_variance", "first"}
        What to do with several columns of one gene: refuse, average them, keep the most variable, keep the first.

    Returns
    -------
    AnnData
        ``X`` (N, G) float32 with NaN for missing values; ids and genes are unique strings; clinical columns in ``obs``.
        ``uns["reading"]`` says, a sentence for each, what is unusual and was kept: "genes" (names that are no symbols,
        or outdated ones), "duplicates" (genes that were merged), "missing" (cells), "tails" (values far beyond the
        rest of their gene). A cohort with none of these has no such entry.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Data that cannot be meant as they are: the message says what, where and what to do. Genes that a spreadsheet
        turned into dates (1-Mar) are among them, since two genes may hide behind one date.

    Warns
    -----
    CohortWarning
        Data that can be used, with the decision taken: unmatched samples, constant or empty genes, unlogged values.

    Examples
    --------
    >>> table = pd.DataFrame({"TP53": [1.5, 2.0], "MYC": [0.5, 3.0]}, index=["p1", "p2"])
    >>> cohort = read_cohort(table, pd.DataFrame({"age": [48, 61]}, index=["p2", "p1"]))
    >>> cohort.obs["age"].to_dict()
    {'p1': 61, 'p2': 48}
    """
    if duplicate_genes not in DUPLICATES:
        message = f"duplicate_genes must be one of {', '.join(DUPLICATES)}, not {duplicate_genes!r}"
        raise ValueError(message)
    source = _load(expression, "expression")
    source = source.T if genes_as_rows else source
    is_annotated = isinstance(source, ad.AnnData)
    table = source.to_df() if is_annotated else source
    if table.empty:
        message = f"the expression table is empty: {table.shape[0]} samples, {table.shape[1]} genes"
        raise ValueError(message)
    table = table.set_axis(to_names(table.index, "sample id", "expression"), axis=0)
    table = table.set_axis(to_names(table.columns, "gene name", "expression"), axis=1)
    labels = None if clinical is None else _clinical(clinical)
    check_orientation(table, labels, genes_as_rows=genes_as_rows)
    refuse_duplicates(table.index, "sample id", "expression", "keep one row for each sample")
    check_dates(table.columns)
    values = take_log2(to_numbers(table)) if log2 else to_numbers(table)
    values = merge_duplicates(values, duplicate_genes)
    notes = check_values(values, log2=log2)
    reading = describe(values, table.columns, duplicate_genes=duplicate_genes)

    obs = source.obs.set_axis(values.index, axis=0) if is_annotated else pd.DataFrame(index=values.index)
    if labels is not None:
        notes += check_match(obs, labels)
        obs = obs.join(labels)
    for note in notes:
        warnings.warn(note, CohortWarning, stacklevel=2)
    x = values.to_numpy("float32")
    if is_annotated and values.shape == source.shape:
        cohort = source.copy()
        cohort.X, cohort.obs, cohort.var_names = x, obs, values.columns
    else:
        said = dict(source.uns) if is_annotated else {}
        cohort = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=values.columns), uns=said)
    cohort.uns.pop("reading", None)  # of an earlier reading
    cohort.uns |= {"reading": reading} if reading else {}
    return cohort


def as_cohort(data: str | os.PathLike | pd.DataFrame | ad.AnnData) -> ad.AnnData:
    """An AnnData with unique names and a dense float ``X`` as it is, anything else through :func:`read_cohort`."""
    if (
        isinstance(data, ad.AnnData)
        and isinstance(data.X, np.ndarray)
        and np.issubdtype(data.X.dtype, np.floating)
        and data.n_obs
        and data.n_vars
        and not np.isinf(data.X).any()
        and data.obs_names.is_unique
        and data.var_names.is_unique
    ):
        return data
    return read_cohort(data)


def _load(data: str | os.PathLike | pd.DataFrame | ad.AnnData, which: str) -> pd.DataFrame | ad.AnnData:
    if isinstance(data, pd.DataFrame | ad.AnnData):
        return data
    if not isinstance(data, str | os.PathLike):
        message = f"the {which} table must be a path, a DataFrame or an AnnData, not {type(data).__name__}"
        raise TypeError(message)
    return _read_h5ad(check_path(data)) if str(data).lower().endswith(".h5ad") else read_table(data)


def _read_h5ad(path: Path) -> ad.AnnData:
    try:
        with h5py.File(path) as file:
            lacking = [name for name in ("X", "obs", "var") if name not in file]
        if not lacking:
            return ad.read_h5ad(path)
    except OSError as error:
        message = f"{path}: not a whole .h5ad file; it was cut short or is of another kind, write or download it again"
        raise ValueError(message) from error
    message = f"{path}: an HDF5 file, but not an AnnData, for it lacks {', '.join(lacking)}; of which program is it?"
    raise ValueError(message)


def _clinical(clinical: str | os.PathLike | pd.DataFrame) -> pd.DataFrame:
    table = _load(clinical, "clinical")
    if isinstance(table, ad.AnnData):
        message = "the clinical table must be a text or parquet file or a DataFrame, not an AnnData: pass its .obs"
        raise TypeError(message)
    if table.empty:
        message = f"the clinical table is empty: {table.shape[0]} samples, {table.shape[1]} columns"
        raise ValueError(message)
    table = table.set_axis(to_names(table.index, "sample id", "clinical"), axis=0)
    table = table.set_axis(to_names(table.columns, "column name", "clinical"), axis=1)
    refuse_duplicates(table.columns, "column name", "clinical", "rename or remove the others")
    return table
