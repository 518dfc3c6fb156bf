"""What a step of preprocessing has done: a table with a row for every reason.

``step`` and ``what`` (samples, genes, columns) say where, ``kept`` how many are left, ``dropped`` and ``changed`` how
many were touched, ``why`` the rule, and ``first_ids`` names the first of those that were touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anndata as ad
import numpy as np
import pandas as pd

from ..tasks import Classification, first_ids

COLUMNS = ["step", "what", "kept", "dropped", "changed", "why", "first_ids"]


def row(step: str, what: str, kept: int, why: str, *, dropped: Sequence = (), changed: Sequence = ()) -> pd.DataFrame:
    """One row of a report; a row drops or changes, never both."""
    touched = first_ids(dropped if len(dropped) else changed)
    return pd.DataFrame([[step, what, kept, len(dropped), len(changed), why, touched]], columns=COLUMNS)


def join(reports: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several reports as one."""
    return pd.concat(reports, ignore_index=True)


def keys_of(cohort: ad.AnnData, by: str | Callable[[str], str], kind: str) -> pd.Series:
    """The patient or tumour of every sample, from a column of ``obs`` or made of the sample id."""
    if callable(by):
        keys = pd.Series([by(name) for name in cohort.obs_names], index=cohort.obs_names, dtype=object)
    else:
        keys = Classification(kind, column=column_of(cohort, by)).read(cohort.obs)
    if (without := keys.isna() | keys.eq("")).any():
        message = (
            f"{without.sum()} samples have no {kind}, first {first_ids(keys.index[without])}; every sample needs one: "
            "fill it in, or leave these samples out first"
        )
        raise ValueError(message)
    return keys


def column_of(cohort: ad.AnnData, column: str) -> str:
    """The name of a clinical column that is there."""
    if column not in cohort.obs:
        message = (
            f"there is no clinical column {column!r}; the cohort has {first_ids(cohort.obs.columns, 12) or 'none'}"
        )
        raise KeyError(message)
    return column


def refuse_empty(left: Sequence, kind: str, why: str) -> None:
    """No step may leave a cohort without samples or genes."""
    if not len(left):
        message = f"no {kind} is left: {why}"
        raise ValueError(message)


def training_part(cohort: ad.AnnData, train: ad.AnnData | Sequence[str] | None) -> ad.AnnData:
    """The samples something may be learned from; None stands for all."""
    if train is None:
        return cohort
    ids = pd.Index(train.obs_names if isinstance(train, ad.AnnData) else train)
    if ids.empty or len(strangers := ids.difference(cohort.obs_names, sort=False)):
        what = "train is empty" if ids.empty else f"the cohort lacks {len(strangers)} of the {len(ids)} train samples"
        where = "" if ids.empty else f", first {first_ids(strangers)}"
        message = f"{what}{where}; train names samples of this cohort, such as {first_ids(cohort.obs_names)}"
        raise ValueError(message)
    return cohort[cohort.obs_names.isin(ids)]


def mean_of_groups(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Means of the rows of every group 0, 1, ... over the cells that have a value; a row of its own stays as it is."""
    first = np.unique(groups, return_index=True)[1]
    means = x[first].copy()
    for group in np.flatnonzero(np.bincount(groups) > 1):
        rows = x[groups == group].astype("float64")
        known = (~np.isnan(rows)).sum(axis=0)
        total = np.nansum(rows, axis=0)
        means[group] = np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)
    return means
