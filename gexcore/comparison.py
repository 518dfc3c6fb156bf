"""What repeated splits say together: models compared on the same ones, predictions averaged over them; and what is left
of a prediction after imputing.

Shapes: N samples, T times, S splits.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from .cohort import as_cohort
from .imputation import hide
from .metrics import HEADLINES, LOWER_IS_BETTER, evaluate, without_counts
from .splits import split_table, take
from .tasks import ClassPrediction, CohortWarning, Prediction, SurvivalPrediction, Task


def over_splits(
    models: Mapping[str, Callable[[int], Any]],
    cohort: ad.AnnData,
    tasks: Task | Sequence[Task],
    *,
    seeds: Sequence[int] = range(5),
    splits: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Fit and score models on the same splits of a cohort.

    Parameters
    ----------
    models : mapping of str to callable
        Name to ``model(seed)``, an estimator with ``fit(train, val)`` and ``predict(test)``.
    cohort, tasks
        What is split, and the tasks the splits are stratified by.
    seeds : sequence of int
        A split 70/10/20 per seed, and the seed of the models fitted on it.
    splits : pandas.DataFrame, optional
        Other splits (:mod:`gexcore.splits`): every column is one, its position the seed of the models.

    Returns
    -------
    pandas.DataFrame
        model, seed (the column of the split), task, metric, value, seconds (of the fit). Rows ``n`` and ``horizon`` of
        :func:`evaluate` are left out.
    """
    cohort = as_cohort(cohort)
    table = split_table(cohort, tasks, seeds=seeds) if splits is None else splits
    tables = []
    bar = tqdm(total=len(models) * table.shape[1], desc="fits", disable=None, leave=False)
    for position, column in enumerate(table):
        train, val, test = take(cohort, table[column])
        for name, model in models.items():
            start = time.monotonic()
            fitted = model(column if splits is None else position).fit(train, val)
            seconds = time.monotonic() - start
            scores = evaluate(fitted.predict(test), test, train=train)
            tables.append(scores.assign(model=name, seed=column, seconds=seconds))
            bar.update()
    bar.close()
    scores = without_counts(pd.concat(tables, ignore_index=True))
    return scores[["model", "seed", "task", "metric", "value", "seconds"]].reset_index(drop=True)


def after_imputing(
    imputers: Mapping[str, Any],
    models: Mapping[str, Callable[[int], Any]],
    train: ad.AnnData,
    test: ad.AnnData,
    *,
    rates: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    seed: int = 0,
) -> pd.DataFrame:
    """What is left of a prediction when cells of the test samples are missing and somebody fills them in.

    Every model learns once, from the training samples as they are. Then cells of the test samples are hidden completely
    at random, the same for every imputer, filled in, and the tasks predicted from what came out.

    Parameters
    ----------
    imputers : mapping of str to imputer
        Name to a fitted estimator with ``impute(cohort)``.
    models : mapping of str to callable
        Name to ``model(seed)``, an estimator with ``fit(train)`` and ``predict(test)``.
    train, test : AnnData
        With labels. The imputers should have been fitted on ``train`` too.
    rates : sequence of float
        Shares of the observed test cells that are hidden (:func:`gexcore.imputation.hide`). A higher rate hides more
        cells besides those of a lower one.
    seed : int
        Of the models and of the hidden cells.

    Returns
    -------
    pandas.DataFrame
        imputer, model, rate, task, metric, value. Imputer "nothing hidden", at rate 0, is the test samples as they are:
        what the others can reach. Rows ``n`` and ``horizon`` of :func:`evaluate` are left out.
    """
    train, test = as_cohort(train), as_cohort(test)
    fitted = {name: model(seed).fit(train) for name, model in models.items()}
    shown = {rate: hide(test, rate=rate, seed=seed)[0] for rate in rates}
    tables = []

    def score(cohort: ad.AnnData, imputer: str, rate: float) -> None:
        for name, model in fitted.items():
            scores = evaluate(model.predict(cohort), test, train=train)
            tables.append(scores.assign(imputer=imputer, model=name, rate=rate))

    score(test, "nothing hidden", 0.0)
    bar = tqdm(total=len(imputers) * len(shown), desc="imputations", disable=None, leave=False)
    for name, imputer in imputers.items():
        for rate, cohort in shown.items():
            score(imputer.impute(cohort), name, rate)
            bar.update()
    bar.close()
    scores = without_counts(pd.concat(tables, ignore_index=True))
    return scores[["imputer", "model", "rate", "task", "metric", "value"]].reset_index(drop=True)


def differences(scores: pd.DataFrame, reference: str, *, test_ratio: float = 0.2 / 0.7) -> pd.DataFrame:
    """Every model against one of them, on the splits both have.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns model, seed, task, metric, value.
    reference : str
        The model that is subtracted.
    test_ratio : float
        As in :func:`paired_difference`.

    Returns
    -------
    pandas.DataFrame
        model, reference, task, metric, ``mean`` of the model, the difference, low, high, p and splits of
        :func:`paired_difference`, and ``verdict``: "better" or "worse" where the interval excludes zero, "not decided"
        where it holds it.
    """
    if reference not in set(scores["model"]):
        message = f"no model is called {reference!r}; there are {', '.join(scores['model'].unique())}"
        raise ValueError(message)
    rows = []
    for (task, metric), part in scores.groupby(["task", "metric"], sort=False):
        by_model = part.pivot(index="seed", columns="model", values="value")
        for model in part["model"].unique():
            if model != reference and reference in by_model:
                found = paired_difference(by_model[model], by_model[reference], test_ratio=test_ratio)
                names = {"model": model, "reference": reference, "task": task, "metric": metric}
                rows.append(names | {"mean": by_model[model].mean()} | found)
    columns = ["model", "reference", "task", "metric", "mean", "difference", "low", "high", "p", "splits"]
    table = pd.DataFrame(rows, columns=columns)
    higher, lower = table["low"] > 0, table["high"] < 0
    better = higher.where(~table["metric"].isin(LOWER_IS_BETTER), lower)
    verdict = np.select([better, higher | lower], ["better", "worse"], "not decided")
    return table.assign(verdict=verdict)


def headlines(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of a score table with one metric per task: C-index, accuracy, mean absolute error."""
    return scores[scores["metric"].isin(HEADLINES.values())].reset_index(drop=True)


def mean_scores(scores: pd.DataFrame, by: str = "model") -> pd.DataFrame:
    """Means over splits, a row per task and metric, a column per value of ``by``; order as in the table."""
    table = scores.pivot_table(index=["task", "metric"], columns=by, values="value", sort=False)
    return table[scores[by].unique()]


def bootstrap_scores(
    predictions: Mapping[str, Prediction],
    test: ad.AnnData,
    *,
    train: ad.AnnData | None = None,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of one model on one cohort, with percentile intervals over resampled patients.

    The interval says how much the scores depend on who happens to be in the cohort, with the model as it is.

    Parameters
    ----------
    predictions, test, train
        As in :func:`gexcore.evaluate`.
    n : int
        Resampled cohorts.
    level : float
        Coverage of the interval.
    seed : int

    Returns
    -------
    pandas.DataFrame
        task, metric, value, low, high.
    """
    scores = evaluate(predictions, test, train=train)
    rng = np.random.default_rng(seed)
    ids = pd.Index([f"{i}" for i in range(test.n_obs)])
    drawn = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)  # said once, by the scores themselves
        for _ in range(n):
            rows = rng.integers(test.n_obs, size=test.n_obs)
            cohort = ad.AnnData(obs=test.obs.iloc[rows].set_axis(ids))
            again = {name: _resampled(p, test.obs_names[rows], ids) for name, p in predictions.items()}
            drawn.append(evaluate(again, cohort, train=train)["value"].to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a score that never exists has no interval
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return without_counts(scores.assign(low=low, high=high)).reset_index(drop=True)


def _resampled(prediction: Prediction, rows: pd.Index, ids: pd.Index) -> Prediction:
    if isinstance(prediction, SurvivalPrediction):
        survival = None if prediction.survival is None else prediction.survival[rows].set_axis(ids, axis=1)
        return replace(prediction, risk=prediction.risk[rows].set_axis(ids), survival=survival)
    if isinstance(prediction, ClassPrediction):
        return replace(prediction, probabilities=prediction.probabilities.loc[rows].set_axis(ids))
    return replace(prediction, values=prediction.values[rows].set_axis(ids))


def average_predictions(predictions: Sequence[SurvivalPrediction], *, n_times: int = 100) -> SurvivalPrediction:
    """Average the test predictions of several splits, patient by patient.

    Models of different splits rank different patients on scales of their own, so a risk first becomes the patient's
    rank within its split, from 0 to 1. Curves are averaged as they are, on ``n_times`` equal steps to the longest grid.

    Parameters
    ----------
    predictions : sequence of SurvivalPrediction
        One per split; a patient may occur in any number of them.

    Returns
    -------
    SurvivalPrediction
        Every patient who occurs, sorted by id; ``survival`` is None if any of the predictions has none.
    """
    ranks = pd.concat([p.risk.rank().sub(0.5).div(len(p.risk)) for p in predictions])
    risk = ranks.groupby(level=0).mean().rename("risk")
    if any(p.survival is None for p in predictions):
        return SurvivalPrediction(predictions[0].task, risk)
    times = np.linspace(0, max(p.survival.index[-1] for p in predictions), n_times)
    curves = pd.concat([pd.DataFrame(p.survival_at(times), index=p.survival.columns) for p in predictions])
    survival = curves.groupby(level=0).mean().T  # (T, N)
    return SurvivalPrediction(predictions[0].task, risk, survival.set_axis(pd.Index(times, name="time"), axis=0))


def paired_difference(a: pd.Series, b: pd.Series, *, test_ratio: float, level: float = 0.95) -> dict[str, float]:
    """Mean of ``a - b`` over splits, with the corrected resampled t interval of Nadeau and Bengio (2003).

    Training parts of random splits overlap, so their scores are not independent and the plain paired t-test finds
    differences where there are none. The correction widens the variance of the mean from ``s2 / S`` to
    ``s2 (1 / S + test_ratio)``.

    Parameters
    ----------
    a, b : pandas.Series, (S,)
        Scores of two models, matched by index (the split); splits one of them lacks are left out.
    test_ratio : float
        Test samples per training sample of a split, 0.2 / 0.7 for 70/10/20. 0 gives the plain paired t-test.

    Returns
    -------
    dict
        ``difference``, ``low``, ``high`` (interval at ``level``), ``p`` (two-sided), ``splits``; interval and p are NaN
        with fewer than two splits or where all differences are equal up to rounding.
    """
    row = corrected_t((a - b).to_frame().T, test_ratio=test_ratio, level=level).iloc[0]
    values = {"difference": row["mean"]} | {name: row[name] for name in ("low", "high", "p")}
    return {**values, "splits": int(row["splits"])}


def corrected_t(differences: pd.DataFrame, *, test_ratio: float, level: float = 0.95) -> pd.DataFrame:
    """The interval and test of :func:`paired_difference` for many differences at once.

    Parameters
    ----------
    differences : pandas.DataFrame
        A row per comparison, a column per split; NaN is left out.
    test_ratio, level : float
        As there.

    Returns
    -------
    pandas.DataFrame
        mean, low, high, p, splits; a row per comparison.
    """
    mean, n = differences.mean(axis=1), differences.count(axis=1)
    spread = differences.max(axis=1) - differences.min(axis=1)
    alike = spread <= 1e-12 * differences.abs().max(axis=1)  # 0.7 - 0.6 and 0.8 - 0.7 differ by rounding alone
    error = np.sqrt(differences.var(axis=1, ddof=1) * (1 / n.where(n > 0) + test_ratio))
    error = error.where(~alike)  # with one split, or where all say the same, there is none
    half = error * stats.t.ppf((1 + level) / 2, n - 1)
    p = 2 * stats.t.sf(mean.abs() / error, n - 1)
    return pd.DataFrame({"mean": mean, "low": mean - half, "high": mean + half, "p": p, "splits": n})


def false_discovery_rate(p: pd.Series) -> pd.Series:
    """The least false discovery rate at which each test counts (Benjamini and Hochberg 1995); NaN stays NaN."""
    q = p.astype(float).copy()
    q[p.notna()] = stats.false_discovery_control(p.dropna())
    return q
