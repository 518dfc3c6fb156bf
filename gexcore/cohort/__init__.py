"""Whatever a user brings becomes one checked AnnData.

Samples are ``obs``, genes are ``var``; tables are joined by id, never by position. What cannot be meant is refused
(``checks``), what is unusual is reported (``remarks``); both know a matrix by its ``tally``. A file larger than memory
stays on disk (``backed``).
Shapes: N samples, G genes.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from ..tables import check_path, read_table
from ..tasks import CohortWarning
from .backed import ExpressionFile, load, open_backed, open_file, whole
from .checks import (
    DUPLICATES,
    check_dates,
    check_match,
    check_orientation,
    check_values,
    finite_blocks,
    merge_duplicates,
    refuse_duplicates,
    take_log2,
    to_names,
    to_numbers,
)
from .remarks import describe
from .tally import Tally, scouts, tally_blocks, tally_table


def read_cohort(
    expression: str | os.PathLike | pd.DataFrame | ad.AnnData,
    clinical: str | os.PathLike | pd.DataFrame | None = None,
    *,
    genes_as_rows: bool = False,
    log2: bool = False,
    duplicate_genes: str = "error",
    backed: bool = False,
) -> ad.AnnData:
    """Read expression and clinical data, check them, and join them by sample id.

    Parameters
    ----------
    expression : path, DataFrame or AnnData
        Samples x genes. A path ends in .csv, .tsv or .txt (each also with .gz), .parquet or .h5ad. The first column
        of a text table (the index of a DataFrame) holds the sample ids, the other column names are genes. Comma, tab
        and semicolon separate columns; decimal commas are understood where the comma is not the separator. Booleans
        count as 1 and 0.
    clinical : path or DataFrame, optional
        Samples x clinical columns, ids in the first column (the index). Samples without a row keep missing labels.
    genes_as_rows : bool
        The expression table is genes x samples.
    log2 : bool
        Replace every value x by log2(x + 1).
    duplicate_genes : {"error", "mean", "max_variance", "first"}
        What to do with several columns of one gene: refuse, average them, keep the most variable, keep the first.
    backed : bool
        Leave the expression of a .h5ad file on disk, as anndata does under this name: for a file larger than memory,
        ``X`` dense or sparse by samples (CSR). Every check is made all the same, on the whole file, block by block.

    Returns
    -------
    AnnData
        ``X`` (N, G) float32 with NaN for missing values; ids and genes are unique strings; clinical columns in ``obs``.
        ``uns["reading"]`` says, a sentence for each, what is unusual and was kept: "genes" (names that are no symbols,
        or outdated ones), "duplicates" (genes that were merged), "missing" (cells), "tails" (values far beyond the
        rest of their gene). A cohort with none of these has no such entry. With ``backed`` an AnnData in backed mode,
        of which ``obs``, ``var`` and ``uns`` are in memory. :func:`gexcore.split` and :func:`gexcore.select_genes` take
        it, :class:`gexcore.GexBERT` learns from it by the batch, and all else reads into memory what it is given, as
        this function does: ``cohort[:, genes]`` or, of one part, ``cohort[train.obs_names, genes]``.

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
    labels = None if clinical is None else _clinical(clinical)
    if backed:
        changes = {"genes_as_rows": genes_as_rows, "log2": log2, "duplicate_genes": duplicate_genes != "error"}
        cohort, notes = _backed(expression, labels, [name for name, asked in changes.items() if asked])
    else:
        options = {"genes_as_rows": genes_as_rows, "log2": log2, "duplicate_genes": duplicate_genes}
        cohort, notes = _in_memory(expression, labels, **options)
    for note in notes:
        warnings.warn(note, CohortWarning, stacklevel=2)
    return cohort


def _in_memory(
    expression: str | os.PathLike | pd.DataFrame | ad.AnnData,
    labels: pd.DataFrame | None,
    *,
    genes_as_rows: bool,
    log2: bool,
    duplicate_genes: str,
) -> tuple[ad.AnnData, list[str]]:
    """The checked cohort, and what is worth a warning."""
    source = _load(expression, "expression")
    source = source.T if genes_as_rows else source
    is_annotated = isinstance(source, ad.AnnData)
    table = source.to_df() if is_annotated else source
    _refuse_empty(table.shape)
    table = table.set_axis(to_names(table.index, "sample id", "expression"), axis=0)
    table = table.set_axis(to_names(table.columns, "gene name", "expression"), axis=1)
    remedy = "leave out genes_as_rows=True" if genes_as_rows else "pass genes_as_rows=True"
    _check_names(table.index, table.columns, labels, remedy)
    values = take_log2(to_numbers(table)) if log2 else to_numbers(table)
    values = merge_duplicates(values, duplicate_genes)
    tally = tally_table(values)
    notes = check_values(tally, log2=log2)

    obs = source.obs.set_axis(values.index, axis=0) if is_annotated else pd.DataFrame(index=values.index)
    if labels is not None:
        notes += check_match(obs, labels)
        obs = obs.join(labels)
    x = values.to_numpy("float32")
    if is_annotated and values.shape == source.shape:
        cohort = source.copy()
        cohort.X, cohort.obs, cohort.var_names = x, obs, values.columns
    else:
        said = dict(source.uns) if is_annotated else {}
        cohort = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=values.columns), uns=said)
    return _remarked(cohort, tally, table.columns, duplicate_genes), notes


def _backed(path: str | os.PathLike, labels: pd.DataFrame | None, changes: list[str]) -> tuple[ad.AnnData, list[str]]:
    """As :func:`_in_memory`, but the expression stays in the file, so that none of ``changes`` can be made."""
    if not isinstance(path, str | os.PathLike) or not str(path).lower().endswith(".h5ad"):
        kind = path if isinstance(path, str | os.PathLike) else type(path).__name__
        message = f"backed=True leaves the expression in a .h5ad file, not in a {kind}: pass the path of such a file"
        raise ValueError(message)
    if changes:
        message = (
            f"backed=True leaves the file as it is, without {' and '.join(changes)}: write a changed file, or change "
            "some genes of it in memory, as in read_cohort(cohort[:, genes], log2=True)"
        )
        raise ValueError(message)
    cohort = open_backed(check_path(path))
    _refuse_empty(cohort.shape)
    _check_names(cohort.obs_names, cohort.var_names, labels, "write it anew, transposed: backed=True reads by samples")
    refuse_duplicates(cohort.var_names, "gene", "expression", "rename or remove them: backed=True cannot merge them")
    file, samples, genes = ExpressionFile(cohort), cohort.obs_names, cohort.var_names
    some = file.raw(np.arange(cohort.n_obs)[scouts(cohort.n_obs)])
    tally = tally_blocks(samples, genes, some, finite_blocks(file.blocks(), samples, genes))
    notes = check_values(tally, log2=False)
    if labels is not None:
        notes += check_match(cohort.obs, labels)
        cohort.obs = cohort.obs.join(labels)
    return _remarked(cohort, tally, cohort.var_names, "error"), notes


def _refuse_empty(shape: tuple[int, int]) -> None:
    if 0 in shape:
        message = f"the expression table is empty: {shape[0]} samples, {shape[1]} genes"
        raise ValueError(message)


def _check_names(samples: pd.Index, genes: pd.Index, labels: pd.DataFrame | None, remedy: str) -> None:
    check_orientation(samples, genes, labels, remedy)
    refuse_duplicates(samples, "sample id", "expression", "keep one row for each sample")
    check_dates(genes)


def _remarked(cohort: ad.AnnData, tally: Tally, names: pd.Index, duplicate_genes: str) -> ad.AnnData:
    cohort.uns.pop("reading", None)  # of an earlier reading
    reading = describe(tally, names, duplicate_genes=duplicate_genes)
    cohort.uns |= {"reading": reading} if reading else {}
    return cohort


def as_cohort(data: str | os.PathLike | pd.DataFrame | ad.AnnData, *, backed: bool = False) -> ad.AnnData:
    """An AnnData with unique names and a dense float ``X`` as it is, anything else through :func:`read_cohort`.

    The expression of a cohort on disk is read into memory, unless the caller takes it as it is (``backed``).
    """
    if isinstance(data, ad.AnnData) and data.isbacked:
        return data if backed else as_cohort(load(data))
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
    if isinstance(data, ad.AnnData):
        return load(data) if data.isbacked else data
    if isinstance(data, pd.DataFrame):
        return data
    if not isinstance(data, str | os.PathLike):
        message = f"the {which} table must be a path, a DataFrame or an AnnData, not {type(data).__name__}"
        raise TypeError(message)
    return _read_h5ad(check_path(data)) if str(data).lower().endswith(".h5ad") else read_table(data)


def _read_h5ad(path: Path) -> ad.AnnData:
    open_file(path).close()
    with whole(path):
        return ad.read_h5ad(path)


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
