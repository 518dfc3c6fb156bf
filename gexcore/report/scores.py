"""Scores of several models on the same patients, with what another draw of the patients might have given.

Shapes: N test samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ..imputation import score_imputation
from ..metrics import HEADLINES, LOWER_IS_BETTER, c_index, evaluate
from ..tasks import ClassPrediction, Prediction, SurvivalPrediction

Predictions = Mapping[str, Prediction]


def score_models(
    models: Mapping[str, Predictions],
    test: AnnData,
    *,
    train: AnnData | None = None,
    n: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score models on the same patients, and compare the first with each of the others on resampled ones.

    Parameters
    ----------
    models : mapping
        Name to what its ``predict(test)`` returned.
    test, train : AnnData
        As in :func:`gexcore.evaluate`.
    n : int
        Resampled cohorts, the same for all models.
    level : float
        Coverage of the percentile intervals.
    seed : int

    Returns
    -------
    pandas.DataFrame
        task, metric, model, value, and of the headline metric of each task low, high (of the value),
        ``less_than_first`` (the first model's value less this one's), less_low, less_high: what depends on who happens
        to be among the patients, with the models as they are. NaN elsewhere.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Regression("age")
    >>> train, _, test = gx.split(cohort, task, seed=0)
    >>> models = {"linear": gx.baselines.LinearModel(task), "null": gx.baselines.Null(task)}
    >>> predicted = {name: model.fit(train).predict(test) for name, model in models.items()}
    >>> scores = score_models(predicted, test, train=train).set_index(["metric", "model"])
    >>> bool(scores.loc[("mae", "null"), "less_high"] < 0)  # the linear model errs by less
    True
    """
    tables = [evaluate(predicted, test, train=train).assign(model=name) for name, predicted in models.items()]
    scores = pd.concat(tables, ignore_index=True)[["task", "metric", "model", "value"]]
    first, rng = next(iter(models)), np.random.default_rng(seed)
    quantiles, rows = [(1 - level) / 2, (1 + level) / 2], {}
    for task in models[first]:
        metric = HEADLINES[models[first][task].task.kind]
        drawn = _resampled({name: predicted[task] for name, predicted in models.items()}, test, n, rng)
        for name, values in drawn.items():
            ends = [*_interval(values, quantiles), *_interval(drawn[first] - values, quantiles)]
            rows[task, metric, name] = ends if name != first else [*ends[:2], np.nan, np.nan]
    ends = pd.DataFrame.from_dict(rows, orient="index", columns=["low", "high", "less_low", "less_high"])
    ends.index = pd.MultiIndex.from_tuples(rows, names=["task", "metric", "model"])
    scores = scores.join(ends, on=["task", "metric", "model"])
    value = scores[scores["model"] == first].set_index(["task", "metric"])["value"]
    theirs = pd.MultiIndex.from_frame(scores[["task", "metric"]])
    known = scores["less_low"].notna()
    less = (value.reindex(theirs).to_numpy() - scores["value"]).where(known)
    scores.insert(6, "less_than_first", less)
    order = {task: i for i, task in enumerate(models[first])}
    return scores.sort_values("task", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def score_restoration(
    models: Mapping[str, Any], truth: AnnData, shown: AnnData, hidden: pd.DataFrame, *, train: AnnData
) -> pd.DataFrame:
    """Scores of fitted models, each with ``impute(shown)``, on hidden cells: model, metric, value.

    ``truth``, ``hidden`` and ``train`` are as in :func:`gexcore.imputation.score_imputation`.
    """
    tables = []
    for name, model in models.items():
        scores = score_imputation(truth, model.impute(shown), hidden, train=train)
        tables.append(scores[scores["stratum"] == "all"].assign(model=name)[["model", "metric", "value"]])
    return pd.concat(tables, ignore_index=True)


def verdict(metric: str, low: float, high: float) -> str:
    """``better``, ``worse`` or ``not told apart``: what an interval of a difference says of the first model."""
    if not (low > 0 or high < 0):
        return "not told apart"
    return "better" if (low > 0) != (metric in LOWER_IS_BETTER) else "worse"


def _resampled(
    predictions: Mapping[str, Prediction], test: AnnData, n: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The headline metric of every model in ``n`` cohorts of patients drawn anew."""
    task = next(iter(predictions.values())).task
    labels = task.read(test.obs).dropna()
    score = {name: _scorer(prediction, labels) for name, prediction in predictions.items()}
    draws = rng.integers(max(1, len(labels)), size=(n, len(labels)))
    return {name: np.array([function(rows) for rows in draws]) for name, function in score.items()}


def _scorer(prediction: Prediction, labels: pd.DataFrame | pd.Series) -> Callable[[np.ndarray], float]:
    """The headline metric as a function of the rows that count."""
    if isinstance(prediction, SurvivalPrediction):
        time, event = labels["time"].to_numpy(), labels["event"].to_numpy()
        risk = prediction.risk[labels.index].to_numpy()
        return lambda rows: c_index(time[rows], event[rows], risk[rows])
    if isinstance(prediction, ClassPrediction):
        cost = (prediction.labels[labels.index].to_numpy() == labels.to_numpy()).astype(float)
    else:
        cost = np.abs(prediction.values[labels.index].to_numpy(float) - labels.to_numpy(float))
    return lambda rows: float(cost[rows].mean()) if len(rows) else np.nan


def _interval(values: np.ndarray, quantiles: list[float]) -> list[float]:
    values = values[~np.isnan(values)]
    return list(np.quantile(values, quantiles)) if len(values) else [np.nan, np.nan]
