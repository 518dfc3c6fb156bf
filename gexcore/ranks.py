"""Methods compared over many cohorts and tasks at once: their mean ranks, and how far apart these must be to differ.

Shapes: K methods, N blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from .comparison import headlines
from .metrics import HEADLINES, as_losses
from .tasks import first_ids

_BLOCK = ["cohort", "task", "metric"]


# ---------------------------------------------------------------------------------------------- ranking


def mean_ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Rank methods in every block and average the ranks.

    A block is a task of a cohort with its headline metric (:func:`gexcore.comparison.headlines`); the value of a method
    in it is the mean over splits. Splits are no blocks: those of one cohort share patients, so they are not
    independent, and counting each would find differences where there are none. Tasks of one cohort share patients too,
    though not labels: the more cohorts there are, the further the ranks carry.

    A method that failed on a split, so that its value is NaN, is last in that block, level with others that failed
    there: a mean over the splits that went well would reward the failure. A split on which nobody has a value does not
    count.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns model, seed, task, metric, value, and cohort if there are several: what
        :func:`gexcore.bench.benchmark`, :func:`gexcore.bench.collect` or :func:`gexcore.comparison.over_splits`
        returned. Rows of status "not taken" are no scores. To rank by one kind of task, pass the rows of its metric.

    Returns
    -------
    pandas.DataFrame, (K, 1 + N)
        A row per method, best first. Columns: ``mean_rank``, then the rank in every block (cohort, task, metric), in
        the order of the table; 1 is best, equal values share the mean of their ranks. Only methods with a score in
        every block are ranked; :func:`left_out` names the others.

    Raises
    ------
    ValueError
        No headline metric, scores that occur twice, a method without a row for some splits of a block, fewer than two
        blocks, or fewer than two methods with a score in all of them.

    Examples
    --------
    >>> rows = [("txt", "os", "c_index", 0.70), ("mlp", "os", "c_index", 0.65), ("cox", "os", "c_index", 0.72)]
    >>> rows += [("txt", "age", "mae", 7.0), ("mlp", "age", "mae", 7.5)]
    >>> scores = pd.DataFrame(rows, columns=["model", "task", "metric", "value"]).assign(seed=0)
    >>> mean_ranks(scores)["mean_rank"].to_dict()
    {'txt': 1.0, 'mlp': 2.0}
    >>> left_out(scores).to_dict()
    {'cox': 'age of cohort'}
    """
    losses = _mean_losses(scores)
    if losses.shape[1] < 2:
        message = f"mean ranks are over two blocks or more; scored were {_named(losses.columns) or 'none'}"
        raise ValueError(message)
    ranks = losses.dropna().rank()
    if len(ranks) < 2:
        lacking = [f"{model} lacks {blocks}" for model, blocks in left_out(scores).items()]
        message = (
            f"ranks compare two methods or more; with a score in each of {losses.shape[1]} blocks there is "
            f"{', '.join(ranks.index) or 'none'}{f' ({first_ids(lacking)})' if lacking else ''}"
        )
        raise ValueError(message)
    ranks.insert(0, ("mean_rank", "", ""), ranks.mean(axis=1))
    return ranks.sort_values(("mean_rank", "", ""), kind="stable")


def left_out(scores: pd.DataFrame) -> pd.Series:
    """The methods that :func:`mean_ranks` does not rank, each with the blocks it has no score in, as text."""
    absent = _mean_losses(scores).isna()
    lacking = {model: _named(row.index[row]) for model, row in absent.iterrows() if row.any()}
    return pd.Series(lacking, name="lacks", dtype=object).rename_axis("model")


def _mean_losses(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over splits, methods x blocks, such that less is better: infinite after a failure, NaN if not taken."""
    rows = headlines(scores)
    if rows.empty:
        known = first_ids(scores["metric"].unique(), 12)
        message = f"methods are ranked by {', '.join(HEADLINES.values())}; the table has {known or 'no score'}"
        raise ValueError(message)
    rows = rows if "cohort" in rows else rows.assign(cohort="cohort")
    rows = rows[rows["status"] != "not taken"] if "status" in rows else rows
    split = [*_BLOCK, "seed"]
    if (twice := rows.duplicated([*split, "model"])).any():
        first = rows[twice].iloc[0]
        message = (
            f"{twice.sum()} scores occur twice, first {first['task']} of {first['model']}, seed {first['seed']}: "
            "a column cohort tells cohorts apart"
        )
        raise ValueError(message)
    rows = rows[rows.groupby(split)["value"].transform("count") > 0]
    losses = as_losses(rows).fillna(np.inf)
    by_block = rows.assign(value=losses).pivot(index=split, columns="model", values="value").groupby(_BLOCK)
    n, n_splits = by_block.count().stack(), by_block.size()
    short = [
        f"{model} on {found} of {n_splits[tuple(block)]} of {_named([block])}"
        for (*block, model), found in n.items()
        if 0 < found < n_splits[tuple(block)]
    ]
    if short:
        message = f"methods are ranked by the same splits, and not all were run on all of them: {first_ids(short)}"
        raise ValueError(message)
    order = pd.MultiIndex.from_frame(rows[_BLOCK].drop_duplicates())
    return by_block.mean().loc[order, rows["model"].unique()].T


def _named(blocks: Iterable[Sequence[str]]) -> str:
    return ", ".join(f"{task} of {cohort}" for cohort, task, _ in blocks)


# ---------------------------------------------------------------------------------------------- testing


def friedman(ranks: pd.DataFrame) -> dict[str, float]:
    """Do the methods differ at all, or could the order be another one in every block by chance?

    Equal ranks are not corrected for, which errs towards no difference.

    Parameters
    ----------
    ranks : pandas.DataFrame
        From :func:`mean_ranks`.

    Returns
    -------
    dict
        ``chi2`` of Friedman, ``f`` of Iman and Davenport (1980), which is less conservative, and its ``p``, with K - 1
        and (K - 1)(N - 1) degrees of freedom. Where all blocks have the same order ``f`` is infinite, and p the chance
        of that, (1 / K!)^(N - 1). Source: Demšar 2006, Journal of Machine Learning Research 7:1.
    """
    k, n = len(ranks), ranks.shape[1] - 1
    chi2 = 12 * n / (k * (k + 1)) * ((ranks["mean_rank"] ** 2).sum() - k * (k + 1) ** 2 / 4)
    left = n * (k - 1) - chi2
    if np.isclose(left, 0):
        return {"chi2": float(chi2), "f": np.inf, "p": math.factorial(k) ** (1.0 - n)}
    f = (n - 1) * chi2 / left
    return {"chi2": float(chi2), "f": float(f), "p": float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))}


def critical_difference(ranks: pd.DataFrame, *, alpha: float = 0.05) -> float:
    """How far the mean ranks of two methods have to lie apart, by the test of Nemenyi (1963).

    It allows for the number of pairs, so it may be applied to the best method, which was not chosen in advance. It is
    to be read where :func:`friedman` finds a difference.

    Parameters
    ----------
    ranks : pandas.DataFrame
        From :func:`mean_ranks`.
    alpha : float
        How often any pair may differ by that much if no methods do.

    Returns
    -------
    float
        In ranks. Source: Demšar 2006, Journal of Machine Learning Research 7:1.
    """
    if not 0 < alpha < 1:
        message = f"alpha must be between 0 and 1, not {alpha}"
        raise ValueError(message)
    k, n = len(ranks), ranks.shape[1] - 1
    q = stats.studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))
