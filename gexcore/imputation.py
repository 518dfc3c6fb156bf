"""How well missing expression is filled in: cells are hidden, filled in by every method, and compared with the truth.

Shapes: N samples, G genes.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import norm, rankdata
from tqdm import tqdm

from .cohort import as_cohort
from .scaling import Scaler

PATTERNS = ("mcar", "genes", "low")  # which cells :func:`hide` takes


# ------------------------------------------------------------------------------------------------ hiding


def hide(cohort: AnnData, *, pattern: str = "mcar", rate: float, seed: int) -> tuple[AnnData, pd.DataFrame]:
    """Take observed values out of a cohort.

    Parameters
    ----------
    cohort : AnnData
        Its values are the truth; cells without one stay so and do not count.
    pattern : {"mcar", "genes", "low"}
        "mcar": cells completely at random. "genes": whole genes, for every sample, as on another panel. "low": low
        values more often, as below a detection limit; with every standard deviation (normal score) that a value stands
        higher among all of the cohort, it leaves e times less readily.
    rate : float
        Share of the observed cells (of the genes) that is hidden, between 0 and 1.
    seed : int
        Draws the cells.

    Returns
    -------
    cohort : AnnData
        A copy with NaN in the hidden cells.
    hidden : pandas.DataFrame
        Samples x genes, True where a value was taken out.

    Examples
    --------
    >>> import gexcore as gx
    >>> shown, hidden = hide(gx.load_cohort("demo"), pattern="genes", rate=0.25, seed=0)
    >>> int(hidden.all().sum())
    50
    """
    if pattern not in PATTERNS or not 0 < rate < 1:
        message = f"pattern must be one of {', '.join(PATTERNS)} and rate between 0 and 1, not {pattern!r} and {rate}"
        raise ValueError(message)
    cohort, rng = as_cohort(cohort).copy(), np.random.default_rng(seed)
    seen = ~np.isnan(cohort.X)
    if pattern == "genes":
        hidden = seen & _first(rng.random(cohort.n_vars), rate)
    else:
        wait = rng.exponential(size=int(seen.sum()))  # cells leave one by one, each after a wait of its own
        if pattern == "low":
            values = cohort.X[seen]
            wait *= np.exp(norm.ppf((rankdata(values) - 0.5) / len(values)))
        hidden = np.zeros(seen.shape, dtype=bool)
        hidden[seen] = _first(wait, rate)
    cohort.X[hidden] = np.nan
    return cohort, pd.DataFrame(hidden, index=cohort.obs_names, columns=cohort.var_names)


def _first(order: np.ndarray, rate: float) -> np.ndarray:
    """The given share of entries with the lowest numbers."""
    return rankdata(order, method="ordinal") <= round(rate * len(order))


# ----------------------------------------------------------------------------------------------- scoring


def score_imputation(truth: AnnData, imputed: AnnData, hidden: pd.DataFrame, *, train: AnnData) -> pd.DataFrame:
    """Compare imputed with true values in the hidden cells.

    Every gene is standardised with mean and standard deviation of the training samples, cut at five of them
    (:class:`gexcore.scaling.Scaler`). On raw values the genes' own levels would decide: filling in the training mean
    would correlate with the truth by more than 0.9.

    Parameters
    ----------
    truth, imputed : AnnData
        Matched by sample id and gene name.
    hidden : pandas.DataFrame
        Samples x genes, True in the cells that are scored.
    train : AnnData
        The training samples. Genes they lack, or in which they do not differ, are left out.

    Returns
    -------
    pandas.DataFrame
        Columns stratum, metric, value. ``rmse`` and ``mae`` are over all hidden cells; ``pcc_gene`` is the median over
        genes of the correlation across samples, ``pcc_sample`` that over samples across genes, each of three hidden
        cells or more (a constant imputation correlates by 0). Strata: "all" genes, and the thirds of them with "low",
        "middle" and "high" training means.

    Raises
    ------
    ValueError
        A hidden cell has no true or no imputed value.
    """
    train = as_cohort(train)
    scaler, genes = Scaler.fit(train.X, method="zscore", clip=5.0), train.var_names
    varies = scaler.factor > 0
    mask = hidden.reindex(columns=genes, fill_value=False).to_numpy() & varies
    values = []
    for name, cohort in (("true", truth), ("imputed", imputed)):
        table = as_cohort(cohort).to_df().reindex(index=hidden.index, columns=genes)
        lacking = np.argwhere(table.isna().to_numpy() & mask)
        if len(lacking):
            row, column = lacking[0]
            message = (
                f"{len(lacking)} hidden cells have no {name} value, first gene {genes[column]!r} of sample "
                f"{hidden.index[row]!r}"
            )
            raise ValueError(message)
        values.append(scaler.transform(table.to_numpy()).astype("float64"))
    third = np.full(len(genes), -1)
    third[varies] = 3 * (rankdata(scaler.shift[varies], method="ordinal") - 1) // varies.sum()
    strata = {"all": varies} | {name: third == i for i, name in enumerate(("low", "middle", "high"))}
    scores = {name: _scores(*values, mask & chosen) for name, chosen in strata.items()}
    rows = [(name, metric, value) for name, metrics in scores.items() for metric, value in metrics.items()]
    return pd.DataFrame(rows, columns=["stratum", "metric", "value"])


def _scores(truth: np.ndarray, imputed: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    off = (imputed - truth)[mask]
    return {
        "rmse": float(np.sqrt((off**2).mean())) if off.size else np.nan,
        "mae": float(np.abs(off).mean()) if off.size else np.nan,
        "pcc_gene": _median_correlation(truth, imputed, mask),
        "pcc_sample": _median_correlation(truth.T, imputed.T, mask.T),
    }


def _median_correlation(truth: np.ndarray, imputed: np.ndarray, mask: np.ndarray) -> float:
    """Median over columns of the correlation in the masked cells; NaN if there is none."""
    n = np.maximum(mask.sum(axis=0), 1)
    a, b = (np.where(mask, x - np.where(mask, x, 0.0).sum(axis=0) / n, 0.0) for x in (truth, imputed))
    spread_a, spread_b = (np.sqrt((x**2).sum(axis=0) / n) for x in (a, b))
    exists = (mask.sum(axis=0) >= 3) & (spread_a > 1e-4)  # less than that is rounding
    r = (a * b).sum(axis=0) / n / np.where(exists & (spread_b > 1e-4), spread_a * spread_b, np.inf)
    return float(np.median(r[exists])) if exists.any() else np.nan


# --------------------------------------------------------------------------------------------- comparing


def compare_imputers(
    imputers: Mapping[str, Callable[[int], Any]],
    train: AnnData,
    test: AnnData,
    *,
    val: AnnData | None = None,
    rates: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    patterns: Sequence[str] = ("mcar",),
    seeds: Sequence[int] = range(5),
) -> pd.DataFrame:
    """Fit every method once per seed, and score it on the same hidden cells of the test samples as the others.

    Parameters
    ----------
    imputers : mapping of str to callable
        Name to ``imputer(seed)``, an estimator with ``fit(train, val)`` and ``impute(test)``.
    train, test, val : AnnData
        ``val`` is for methods that stop by it.
    rates, patterns
        What is hidden, as in :func:`hide`: every pattern at every rate. A higher rate hides more cells besides those of
        a lower one.
    seeds : sequence of int
        Each is the seed of the methods and of the hidden cells.

    Returns
    -------
    pandas.DataFrame
        model, seed, pattern, rate, stratum, metric, value (:func:`score_imputation`), ``fit_seconds``, ``seconds`` (of
        imputing the test samples) and ``megabytes``: the most that either took of memory, beyond what was in use
        before; measured every hundredth of a second, NaN where the system does not say.
    """
    train, test = as_cohort(train), as_cohort(test)
    tables = []
    bar = tqdm(total=len(imputers) * len(seeds), desc="fits", disable=None, leave=False)
    for seed in seeds:
        tasks = {(p, r): hide(test, pattern=p, rate=r, seed=seed) for p in patterns for r in rates}
        for name, imputer in imputers.items():
            with Meter() as fit:
                model = imputer(seed).fit(train, val)
            for (pattern, rate), (cohort, hidden) in tasks.items():
                with Meter() as use:
                    imputed = model.impute(cohort)
                labels = {"model": name, "seed": seed, "pattern": pattern, "rate": rate}
                costs = {"fit_seconds": fit.seconds, "seconds": use.seconds}
                costs["megabytes"] = max(fit.megabytes, use.megabytes)
                scores = score_imputation(test, imputed, hidden, train=train)
                tables.append(pd.DataFrame(labels, index=scores.index).join(scores).assign(**costs))
            bar.update()
    bar.close()
    return pd.concat(tables, ignore_index=True)


class Meter:
    """How long the work inside takes, and how far the memory of the process rises above where it stood.

    A thread looks every hundredth of a second, so a peak between two looks is missed, and so is memory that the
    process had left over from before.

    Attributes
    ----------
    seconds : float
        From entering to leaving, whether or not the work went well.
    megabytes : float
        The most main memory in use, less what was in use before; NaN where the system does not say (only Linux does).

    Examples
    --------
    >>> with Meter() as meter:
    ...     block = np.ones(1_000_000)
    >>> meter.seconds < 10
    True
    """

    def __enter__(self) -> Self:
        self._before = self._peak = _resident()
        self._done, self._watcher = threading.Event(), threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._start = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.monotonic() - self._start
        self._done.set()
        self._watcher.join()
        self.megabytes = (max(self._peak, _resident()) - self._before) / 1e6

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self._peak = max(self._peak, _resident())


def _resident() -> float:
    """Bytes of memory in use by this process."""
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * mmap.PAGESIZE if file.exists() else np.nan
