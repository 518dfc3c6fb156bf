"""What the scores of a benchmark say: means with intervals, the paper's table, costs, differences.

All take the tidy table of :func:`gexcore.bench.benchmark`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .comparison import differences, paired_difference
from .metrics import as_losses

TABLE_1 = {  # the metrics of TxT's Table 1, two of each kind of task, and their names there
    "c_index": "C-index",
    "ibs": "IBS",
    "accuracy": "ACC",
    "f1": "F1",
    "mae": "MAE",
    "scc": "SCC",
}
_DASH = "\N{EN DASH}"
_TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"  # a narrow column breaks before an interval and not within


def summarise(scores: pd.DataFrame, *, test_ratio: float = 0.2 / 0.7) -> pd.DataFrame:
    """Every score of every method over splits, with an interval for its mean.

    Parameters
    ----------
    scores : pandas.DataFrame
        From :func:`gexcore.bench.benchmark` or :func:`gexcore.bench.collect`.
    test_ratio : float
        Test samples per training sample. Splits share samples; the interval is widened as that of
        :func:`gexcore.comparison.paired_difference`.

    Returns
    -------
    pandas.DataFrame
        cohort, model, task, metric, mean, sd, low and high (95 %), splits that were scored, splits that failed. The
        mean needs one scored split, the rest two, and no interval surrounds scores that are all equal.
    """
    rows = []
    given = scores[scores["status"] != "not taken"]
    keys = ["cohort", "model", "task", "metric"]
    for names, part in given.groupby(keys, sort=False):
        values = part.set_index("seed")["value"]
        found = paired_difference(values, 0 * values.fillna(0.0), test_ratio=test_ratio)
        row = {"mean": values.mean(), "sd": values.std(), "low": found["low"], "high": found["high"]}
        failed = (part["status"] == "failed").sum()
        rows.append(dict(zip(keys, names, strict=True)) | row | {"splits": found["splits"], "failed": failed})
    return pd.DataFrame(rows, columns=[*keys, "mean", "sd", "low", "high", "splits", "failed"])


def score_table(summary: pd.DataFrame, *, interval: bool = False) -> pd.DataFrame:
    """The form of TxT's Table 1: a row per method, two metrics per task, the best mean of a column starred.

    Parameters
    ----------
    summary : pandas.DataFrame
        From :func:`summarise`, of one cohort.
    interval : bool
        The interval of the mean in brackets, in place of the standard deviation over splits.

    Returns
    -------
    pandas.DataFrame
        Text, in the order of the summary. A dash is a task that the method does not take, or a metric it cannot have: a
        support vector machine gives no survival curve, a constant no correlation.
    """
    if (names := summary["cohort"].unique()).size != 1:
        message = f"a table shows one cohort, the summary has {', '.join(names) or 'none'}"
        raise ValueError(message)
    shown = summary[summary["metric"].isin(TABLE_1)]
    best = as_losses(shown, "mean").groupby([shown["task"], shown["metric"]]).rank(method="min") == 1
    digits = np.where(shown["metric"] == "mae", 2, 3)
    text = []
    for row, star, n in zip(shown.itertuples(), best, digits, strict=True):
        ends = f"{row.low:.{n - 1}f}{_TO}{row.high:.{n - 1}f}"  # a digit less than the mean they surround
        beside = f" ({ends})" if interval else f" ({row.sd:.{n}f})"
        beside = "" if interval and np.isnan(row.low) else beside  # always the same, or a single split
        missing = "failed" if row.failed else _DASH
        text.append(f"{row.mean:.{n}f}{'*' * star}{beside}" if row.splits else missing)
    order = [(task, metric) for task in shown["task"].unique() for metric in TABLE_1]
    table = shown.assign(text=text).pivot(index="model", columns=["task", "metric"], values="text")
    table = table[[column for column in order if column in table]].loc[shown["model"].unique()]
    return table.fillna(_DASH).rename(columns=TABLE_1, level=1).rename_axis(index=None, columns=[None, None])


def costs(scores: pd.DataFrame) -> pd.DataFrame:
    """Seconds and memory of each method on all its tasks, mean over splits, the quickest first.

    Returns
    -------
    pandas.DataFrame
        By model: ``fits`` of a split, their ``seconds`` together, ``peak_mb`` of the largest. Scores of one fit have
        the same duration to the last digit, so that a model of several tasks counts once.
    """
    fits = scores[scores["status"] != "not taken"].drop_duplicates(["cohort", "model", "seed", "seconds"])
    splits = fits.groupby(["model", "cohort", "seed"])
    cost = splits.agg(fits=("seconds", "size"), seconds=("seconds", "sum"), peak_mb=("peak_mb", "max"))
    return cost.groupby("model").mean().sort_values("seconds").rename_axis(index=None)


def compare(scores: pd.DataFrame, reference: str, *, test_ratio: float = 0.2 / 0.7) -> pd.DataFrame:
    """Every method against one of them, split by split, in every cohort.

    Parameters
    ----------
    scores : pandas.DataFrame
        From :func:`gexcore.bench.benchmark` or :func:`gexcore.bench.collect`.
    reference : str
        The method that is subtracted.
    test_ratio : float
        Test samples per training sample.

    Returns
    -------
    pandas.DataFrame
        cohort, then as :func:`gexcore.comparison.differences`, and ``p_holm``: p corrected by Holm (1979) for all
        methods that are compared on that score. Splits on which either failed are left out; ``splits`` counts the rest.
    """
    given = scores[scores["status"] != "not taken"]
    tables = [
        differences(part, reference, test_ratio=test_ratio).assign(cohort=name)
        for name, part in given.groupby("cohort", sort=False)
    ]
    table = pd.concat(tables, ignore_index=True)
    table["p_holm"] = table.groupby(["cohort", "task", "metric"])["p"].transform(holm)
    return table[["cohort", *table.columns.drop("cohort")]]


def holm(p: pd.Series) -> pd.Series:
    """P-values corrected for their number: any false finding among them is as rare as it would be in one test.

    Missing ones stay missing and do not count. Source: Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    ordered = p.dropna().sort_values()
    corrected = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1.0)
    return corrected.reindex(p.index)
