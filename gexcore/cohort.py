"""Whatever a user brings becomes one checked AnnData.

Samples are ``obs``, genes are ``var``; tables are joined by id, never by position.
Shapes: N samples, G genes.
"""

from __future__ import annotations

import os
import warnings

import anndata as ad
import numpy as np
import pandas as pd

from .tables import check_path, read_table
from .tasks import CohortWarning, first_ids

_DUPLICATES = ("error", "mean", "max_variance", "first")
# Symbols that practically every human panel holds some of: how rows of genes are told from rows of samples.
_COMMON_GENES = {"ACTB", "EGFR", "ERBB2", "ESR1", "GAPDH", "KRAS", "MKI67", "MYC", "PTEN", "STAT3", "TP53"}


# ---------------------------------------------------------------------------------------------- reading


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

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Data that cannot be meant as they are: the message says what, where and what to do.

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
    if duplicate_genes not in _DUPLICATES:
        message = f"duplicate_genes must be one of {', '.join(_DUPLICATES)}, not {duplicate_genes!r}"
        raise ValueError(message)
    source = _load(expression, "expression")
    source = source.T if genes_as_rows else source
    is_annotated = isinstance(source, ad.AnnData)
    table = source.to_df() if is_annotated else source
    if table.empty:
        message = f"the expression table is empty: {table.shape[0]} samples, {table.shape[1]} genes"
        raise ValueError(message)
    table = table.set_axis(_names(table.index, "sample id", "expression"), axis=0)
    table = table.set_axis(_names(table.columns, "gene name", "expression"), axis=1)
    labels = None if clinical is None else _clinical(clinical)
    _check_orientation(table, labels, genes_as_rows=genes_as_rows)
    _refuse_duplicates(table.index, "sample id", "expression", "keep one row for each sample")
    values = _log2(_numbers(table)) if log2 else _numbers(table)
    values = _merge_duplicates(values, duplicate_genes)
    notes = _check_values(values, log2=log2)

    obs = source.obs.set_axis(values.index, axis=0) if is_annotated else pd.DataFrame(index=values.index)
    if labels is not None:
        notes += _check_match(obs, labels)
        obs = obs.join(labels)
    for note in notes:
        warnings.warn(note, CohortWarning, stacklevel=2)
    x = values.to_numpy("float32")
    if not is_annotated or values.shape != source.shape:
        return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=values.columns))
    cohort = source.copy()
    cohort.X, cohort.obs, cohort.var_names = x, obs, values.columns
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
    return ad.read_h5ad(check_path(data)) if str(data).lower().endswith(".h5ad") else read_table(data)


def _clinical(clinical: str | os.PathLike | pd.DataFrame) -> pd.DataFrame:
    table = _load(clinical, "clinical")
    if isinstance(table, ad.AnnData):
        message = "the clinical table must be a text or parquet file or a DataFrame, not an AnnData: pass its .obs"
        raise TypeError(message)
    if table.empty:
        message = f"the clinical table is empty: {table.shape[0]} samples, {table.shape[1]} columns"
        raise ValueError(message)
    table = table.set_axis(_names(table.index, "sample id", "clinical"), axis=0)
    table = table.set_axis(_names(table.columns, "column name", "clinical"), axis=1)
    _refuse_duplicates(table.columns, "column name", "clinical", "rename or remove the others")
    return table


# --------------------------------------------------------------------------------------------- checking


def _names(index: pd.Index, kind: str, which: str) -> pd.Index:
    names = index.map(lambda name: "" if pd.isna(name) else str(name).strip()).astype(object)
    blank = np.flatnonzero(names == "")
    if len(blank):
        message = (
            f"the {which} table has {len(blank)} entries without a {kind}, first at position {first_ids(blank + 1)}; "
            "name or remove them"
        )
        raise ValueError(message)
    return names.rename(None)


def _refuse_duplicates(names: pd.Index, kind: str, which: str, remedy: str) -> None:
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        message = (
            f"{len(repeated)} {kind}s occur twice or more in the {which} table, first {first_ids(repeated)}; {remedy}"
        )
        raise ValueError(message)


def _check_orientation(table: pd.DataFrame, labels: pd.DataFrame | None, *, genes_as_rows: bool) -> None:
    ids = table.index if labels is None else labels.index
    if labels is not None and table.index.isin(ids).any():
        return
    columns_are_samples = labels is not None and table.columns.isin(ids).any()
    if columns_are_samples or (_count_genes(table.index) >= 3 and _count_genes(table.columns) < 3):
        remedy = "leave out genes_as_rows=True" if genes_as_rows else "pass genes_as_rows=True"
        message = (
            f"the expression table has genes where samples are expected (first {first_ids(table.index)}) "
            f"and samples where genes are expected (first {first_ids(table.columns)}); {remedy}"
        )
        raise ValueError(message)


def _count_genes(names: pd.Index) -> int:
    return int((names.isin(_COMMON_GENES) | names.str.match(r"ENS[A-Z]*G\d+")).sum())


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The table as float64; text cells, infinite values and values beyond float32 are refused by gene."""
    columns, wrong = {}, []
    for i in range(table.shape[1]):
        raw = table.iloc[:, i]
        if pd.api.types.is_numeric_dtype(raw):
            columns[i] = raw.to_numpy("float64", na_value=np.nan)
            continue
        column = pd.to_numeric(raw.astype(object), errors="coerce").astype("float64")
        bad = raw[column.isna() & raw.notna()]
        columns[i] = column.to_numpy()
        if len(bad):
            wrong.append((table.columns[i], bad))
    if wrong:
        gene, bad = wrong[0]
        message = (
            f"{len(wrong)} columns of the expression table hold text, first {gene!r}: {len(bad)} cells, first at "
            f"{first_ids(bad.index)} ({first_ids(bad.unique())}); expression is numbers, leave a cell empty where it "
            "is unknown and keep clinical columns in the clinical table"
        )
        raise ValueError(message)
    values = pd.DataFrame(columns, index=table.index).set_axis(table.columns, axis=1)
    huge = np.abs(values.to_numpy()) > np.finfo("float32").max
    if huge.any():
        message = (
            f"the expression table holds {huge.sum()} infinite values, first in {_place(values, huge)}; "
            "leave a cell empty where its value is unknown"
        )
        raise ValueError(message)
    return values


def _place(values: pd.DataFrame, marked: np.ndarray) -> str:
    gene = int(np.flatnonzero(marked.any(axis=0))[0])
    return f"gene {values.columns[gene]!r} at {first_ids(values.index[marked[:, gene]])}"


def _log2(values: pd.DataFrame) -> pd.DataFrame:
    negative = values.to_numpy() < 0
    if negative.any():
        message = (
            f"log2=True needs values of zero or more, but {negative.sum()} are negative, first in "
            f"{_place(values, negative)}; are they on a log scale already?"
        )
        raise ValueError(message)
    return np.log2(values + 1)


def _merge_duplicates(values: pd.DataFrame, how: str) -> pd.DataFrame:
    genes = values.columns
    if genes.is_unique:
        return values
    if how == "error":
        _refuse_duplicates(genes, "gene", "expression", "pass duplicate_genes='mean', 'max_variance' or 'first'")
    if how == "mean":
        return values.T.groupby(level=0, sort=False).mean().T
    order = np.arange(len(genes))
    if how == "max_variance":
        order = np.argsort(-values.var(ddof=0).fillna(-1).to_numpy(), kind="stable")
    kept = order[~genes[order].duplicated()]
    return values.iloc[:, kept][genes.unique()]


def _check_values(values: pd.DataFrame, *, log2: bool) -> list[str]:
    """Refuse a matrix without variation; return what is worth a warning."""
    x, genes = values.to_numpy(), values.columns
    low, high = np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
    empty, constant = np.isnan(low), low == high
    if empty.all() or (len(x) > 1 and (empty | constant).all()):
        message = f"the expression table has no variation: none of its {len(genes)} genes differs between two samples"
        raise ValueError(message)
    notes = []
    if empty.any():
        notes.append(f"{empty.sum()} genes have no value, first {first_ids(genes[empty])}; kept, they carry nothing")
    if len(x) > 1 and constant.any():
        notes.append(
            f"{constant.sum()} genes are constant, first {first_ids(genes[constant])}; kept, they carry nothing"
        )
    blank = np.isnan(x).all(axis=1)
    if blank.any():
        notes.append(f"{blank.sum()} samples have no expression value, first {first_ids(values.index[blank])}; kept")
    top = np.nanmax(high)
    if not log2 and np.nanmin(low) >= 0 and top > 100:
        kind = "raw counts" if (np.isnan(x) | (x % 1 == 0)).all() else "abundances on a linear scale"
        notes.append(
            f"the expression values look like {kind} (from {np.nanmin(low):g} to {top:g}); used as they are, "
            "log2=True would take log2(x + 1)"
        )
    return notes


def _check_match(obs: pd.DataFrame, labels: pd.DataFrame) -> list[str]:
    """Refuse tables that do not belong together; return what is worth a warning."""
    _refuse_duplicates(labels.index, "sample id", "clinical", "keep one row for each sample")
    matched = obs.index.isin(labels.index)
    unused = labels.index[~labels.index.isin(obs.index)]
    if not matched.any():
        message = (
            "the expression and clinical tables share no sample id: the first has "
            f"{first_ids(obs.index)}, the second {first_ids(labels.index)}; make the ids agree"
        )
        raise ValueError(message)
    twice = obs.columns.intersection(labels.columns)
    if len(twice):
        message = f"columns {first_ids(twice)} stand in both the AnnData and the clinical table; remove them from one"
        raise ValueError(message)
    notes = []
    if not matched.all():
        without = obs.index[~matched]
        notes.append(f"{len(without)} samples have no clinical row, first {first_ids(without)}; kept, labels missing")
    if len(unused):
        notes.append(f"{len(unused)} clinical rows have no expression, first {first_ids(unused)}; not used")
    return notes
