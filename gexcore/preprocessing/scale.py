"""The scale of expression and the unit of times: everything becomes log2(x + 1) and one unit of time."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd

from ..cohort import as_cohort
from ..tasks import CohortWarning, Regression, first_ids
from ..units import DAYS
from .report import column_of, join, row

_LOG2_OF_BASE = {"log2": 1.0, "ln": math.log2(math.e), "log10": math.log2(10)}
_LOG = re.compile(r"(log2|ln|log10)\(x(?:\+(\d+\.?\d*(?:e-?\d+)?))?\)")
_ROUNDING = 0.01  # how far, in log2, rounded files fall below the least value of their scale
_HIGHEST = 40.0  # log2 of a million million: no abundance of a gene comes near
_LONGEST = 120 * DAYS["years"]


def to_log2(cohort: ad.AnnData, *, scale: str) -> tuple[ad.AnnData, pd.DataFrame]:
    """Bring expression of a known scale to log2(x + 1), the scale of the paper.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes.
    scale : str
        What the values are now: ``"linear"`` (TPM, FPKM, normalised counts), ``"counts"`` (raw; a sample first becomes
        counts per million over all its genes, so the cohort must still hold them all), or a logarithm ``log2``, ``ln``
        or ``log10`` of x plus a constant, as in ``"log2(x + 0.001)"``, ``"ln(x + 1)"`` or ``"log2(x)"``.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        Missing cells stay missing; values as much as 0.01 (in log2) below the least of their scale have been rounded
        and count as zero. ``uns["units"]["X"]`` says the new scale.

    Raises
    ------
    ValueError
        Values that cannot be on that scale: negative abundances, logarithms below that of the constant or above 10^12.

    Warns
    -----
    CohortWarning
        Values that can be on that scale but look like another.

    Examples
    --------
    >>> import gexcore as gx
    >>> table = pd.DataFrame({"TP53": [-9.9658, 2.0], "MYC": [1.0, 4.0]}, index=["p1", "p2"])
    >>> cohort, report = to_log2(gx.read_cohort(table), scale="log2(x + 0.001)")
    >>> cohort.X.astype(float).round(2).tolist()
    [[0.0, 1.58], [2.32, 4.09]]
    """
    cohort, log = as_cohort(cohort).copy(), _parse(scale)
    if log:
        _check_log(cohort, scale, log)
    else:
        _check_linear(cohort, scale)
    for start in range(0, cohort.n_obs, 500):  # double precision for a block at a time
        part = slice(start, start + 500)
        cohort.X[part] = _converted(cohort.X[part], scale, log)
    same = log == _Log(1.0, 1.0)
    unit = "log2(CPM + 1)" if scale == "counts" else "log2(x + 1)"
    cohort.uns["units"] = dict(cohort.uns.get("units", {})) | {"X": unit}
    why = f"values are {scale} already" if same else f"from {scale} to {unit}"
    return cohort, row("to_log2", "genes", cohort.n_vars, why, changed=() if same else cohort.var_names)


def convert_times(
    cohort: ad.AnnData, units: Mapping[str, str], *, to: str = "months"
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Bring columns of times to one unit.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes, times in ``obs``.
    units : mapping
        Column to its unit now: "days", "weeks", "months" or "years". A month is a twelfth of 365.25 days.
    to : str
        The unit wanted.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        The report has a row per column; ``uns["units"]`` says the new unit.

    Raises
    ------
    KeyError
        No such column.
    ValueError
        An unknown unit or another one than ``uns["units"]`` says, cells that are not numbers, or a time of more than
        120 years.

    Warns
    -----
    CohortWarning
        No time is longer than 30 days.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, _ = convert_times(gx.load_cohort("demo"), {"os_time": "months"}, to="years")
    >>> cohort.obs["os_time"].round(1).tolist()[:3]
    [7.3, 9.6, 2.6]
    """
    if strangers := [unit for unit in (*units.values(), to) if unit not in DAYS]:
        message = f"a unit of time is one of {', '.join(DAYS)}, not {strangers[0]!r}"
        raise ValueError(message)
    cohort, rows = as_cohort(cohort).copy(), []
    said = cohort.uns.get("units", {})
    for column, unit in units.items():
        if said.get(column, unit) != unit:
            message = (
                f"column {column!r} is in {said[column]}, as uns['units'] of the cohort says, not in {unit}; "
                f"pass {said[column]!r}, or correct uns['units']"
            )
            raise ValueError(message)
        days = Regression(column, column=column_of(cohort, column)).read(cohort.obs) * DAYS[unit]
        _check_days(days, column, unit)
        cohort.obs[column] = days / DAYS[to]
        why = f"from {unit} to {to}"
        changed = [] if unit == to else [column]
        rows.append(row("convert_times", "columns", cohort.obs.shape[1], why, changed=changed))
    cohort.uns["units"] = dict(said) | dict.fromkeys(units, to)
    return cohort, join(rows)


class _Log(NamedTuple):
    """A logarithm of x + ``added``, whose values times ``factor`` are log2."""

    factor: float
    added: float


def _parse(scale: str) -> _Log | None:
    if scale in ("linear", "counts"):
        return None
    found = _LOG.fullmatch(re.sub(r"\s", "", scale))
    if found is None:
        message = f"scale must be 'linear', 'counts' or a logarithm such as 'log2(x + 0.001)', not {scale!r}"
        raise ValueError(message)
    return _Log(_LOG2_OF_BASE[found[1]], float(found[2] or 0))


def _converted(values: np.ndarray, scale: str, log: _Log | None) -> np.ndarray:
    if log == _Log(1.0, 1.0):
        return np.maximum(values, 0)
    x = values.astype("float64")
    if log:
        return np.log2(np.maximum(np.exp2(x * log.factor) - log.added, 0) + 1)
    depth = np.nansum(x, axis=1, keepdims=True) if scale == "counts" else 1e6
    return np.log2(x / depth * 1e6 + 1)


def _check_log(cohort: ad.AnnData, scale: str, log: _Log) -> None:
    x, least = cohort.X, math.log2(log.added) if log.added else -math.inf
    low, high = np.nanmin(x), np.nanmax(x)
    if high * log.factor > _HIGHEST:
        message = (
            f"the largest value is {high:g}, in gene {_place(cohort, x >= high)}: no {scale} is that large; "
            "are the values linear?"
        )
        raise ValueError(message)
    under = x * log.factor < least - _ROUNDING
    if under.any():
        message = (
            f"{under.sum()} values are below {least / log.factor:.4g}, the least that {scale} can be (down to "
            f"{low:g}, first in gene {_place(cohort, under)}); are they z-scores, or another logarithm?"
        )
        raise ValueError(message)
    if low >= 0 and -math.inf < least < -1:
        message = (
            f"no value is negative, though {scale} of a gene that is not expressed is {least / log.factor:.4g}; "
            "are the values log2(x + 1)? Used as told"
        )
        warnings.warn(message, CohortWarning, stacklevel=3)


def _check_linear(cohort: ad.AnnData, scale: str) -> None:
    negative, top = cohort.X < 0, np.nanmax(cohort.X)
    if negative.any():
        message = (
            f"{scale} values are zero or more, but {negative.sum()} are negative, first in gene "
            f"{_place(cohort, negative)}; are they on a log scale already?"
        )
        raise ValueError(message)
    if scale == "counts" and (blank := np.nansum(cohort.X, axis=1) == 0).any():
        message = f"{blank.sum()} samples have no count, first {first_ids(cohort.obs_names[blank])}; leave them out"
        raise ValueError(message)
    if top < 30:
        message = f"the largest value is {top:g}: these {scale} values look like a logarithm already; used as told"
        warnings.warn(message, CohortWarning, stacklevel=3)


def _check_days(days: pd.Series, column: str, unit: str) -> None:
    longest = days.max()
    if longest > _LONGEST:
        message = (
            f"column {column!r} in {unit} would reach {longest / DAYS['years']:.0f} years ({days.idxmax()}); "
            "its unit must be a smaller one"
        )
        raise ValueError(message)
    if longest < 30:
        message = (
            f"column {column!r} in {unit} ends after {longest:.3g} days ({days.idxmax()}); is its unit a larger one?"
        )
        warnings.warn(message, CohortWarning, stacklevel=3)


def _place(cohort: ad.AnnData, marked: np.ndarray) -> str:
    gene = int(np.flatnonzero(marked.any(axis=0))[0])
    return f"{cohort.var_names[gene]!r} at {first_ids(cohort.obs_names[marked[:, gene]])}"
