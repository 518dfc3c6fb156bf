"""Scores of predictions: pure functions of arrays, and :func:`evaluate`, which makes one tidy table of them.

Risks rank patients, higher = worse; censoring weights always come from the training samples.
Shapes: N test samples, E of them with an event, M training samples, T times, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import rankdata
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from .tasks import ClassPrediction, CohortWarning, Prediction, SurvivalPrediction, ValuePrediction, first_ids
from .tasks.events import share_above
from .units import differing_units

HEADLINES = {"survival": "c_index", "classification": "accuracy", "regression": "mae"}  # one score per kind of task
LOWER_IS_BETTER = {"ibs", "mae", "rmse"}  # of all other metrics the higher value is better

StepFunction = Callable[[np.ndarray], np.ndarray]

# --------------------------------------------------------------------------------------------- survival


def kaplan_meier(time: np.ndarray, event: np.ndarray, *, censoring: bool = False) -> StepFunction:
    """Kaplan-Meier estimate of P(T > t), or of P(C > t) for the censoring times.

    At a tied time events come before censorings, so patients with an event there are no longer at risk of being
    censored: scikit-survival's convention. (lifelines and pycox, given events as censorings, leave them at risk.) The
    curve is continuous from the right and keeps its last value beyond the last time.

    Parameters
    ----------
    time, event : numpy.ndarray, shape (M,)
        Follow-up and 1 = event, 0 = censored.
    censoring : bool
        Estimate the distribution of censoring times instead of event times.

    Returns
    -------
    callable
        Maps times of any shape to probabilities of that shape.
    """
    grid, index = np.unique(time, return_inverse=True)
    leaving = np.bincount(index, minlength=grid.size)
    events = np.bincount(index, weights=event, minlength=grid.size)
    at_risk = time.size - np.cumsum(leaving) + leaving - (events if censoring else 0)
    lost = leaving - events if censoring else events
    curve = np.append(1.0, np.cumprod(1 - lost / np.maximum(at_risk, 1)))
    return lambda t: curve[np.searchsorted(grid, t, side="right")]


def c_index(time: np.ndarray, event: np.ndarray, risk: np.ndarray, *, weight: np.ndarray | None = None) -> float:
    """Harrell's concordance: the share of comparable pairs in which the higher risk has the earlier event.

    A pair is comparable if one sample has an event and the other is followed for longer, or is censored at that
    very time: the pairs of R, lifelines and scikit-survival. Equal risks count one half. Ties are exact, so a monotone
    transform of the risk changes nothing; scikit-survival takes risks within 1e-8 for equal.

    Parameters
    ----------
    time, event, risk : numpy.ndarray, shape (N,)
        Follow-up, 1 = event, and predicted risk (higher = worse).
    weight : numpy.ndarray, shape (N,), optional
        Weight of the pairs in which a sample is the one with the event; 1 unless given.

    Returns
    -------
    float
        Between 0 and 1; NaN without a comparable pair.
    """
    case = event == 1
    later = (time > time[case, None]) | ((time == time[case, None]) & ~case)  # (E, N)
    pairs = later if weight is None else later * weight[case, None]
    total = pairs.sum()
    return float((pairs * _wins(risk, case)).sum() / total) if total > 0 else np.nan


def c_index_ipcw(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, *, censored_after: StepFunction, horizon: float
) -> float:
    """Uno's concordance: pairs weighted by 1 / G(event time)^2, with events before ``horizon``.

    ``censored_after`` is G(t) = P(C > t) of the training samples: ``kaplan_meier(time, event, censoring=True)``.
    An event at the horizon itself is too late, as for scikit-survival's ``tau``. NaN without a comparable pair.
    Source: Uno et al. 2011, Statistics in Medicine 30:1105.
    """
    weight = _case_weights(time, event, censored_after, upto=horizon) ** 2
    return c_index(time, event, risk, weight=np.where(time < horizon, weight, 0.0))


def brier_score(
    time: np.ndarray, event: np.ndarray, survival: np.ndarray, *, times: np.ndarray, censored_after: StepFunction
) -> np.ndarray:
    """Mean squared error of predicted survival at each time, weighted for censoring.

    Parameters
    ----------
    time, event : numpy.ndarray, shape (N,)
        Follow-up and 1 = event.
    survival : numpy.ndarray, shape (N, T)
        Predicted probability of no event by each of ``times``.
    times : numpy.ndarray, shape (T,)
        Times at which G is above zero.
    censored_after : callable
        G(t) = P(C > t) of the training samples.

    Returns
    -------
    numpy.ndarray, shape (T,)
        0 is perfect; 0.25 is a coin without knowledge. Samples censored by a time weigh nothing there, but count among
        the N, as in scikit-survival. Source: Graf et al. 1999, Statistics in Medicine 18:2529.
    """
    weight = _case_weights(time, event, censored_after, upto=times[-1])[:, None]
    happened, free = (time[:, None] <= times) & (event[:, None] == 1), time[:, None] > times  # (N, T)
    return (survival**2 * happened * weight + (1 - survival) ** 2 * free / censored_after(times)).mean(axis=0)


def integrated_brier_score(
    time: np.ndarray, event: np.ndarray, survival: np.ndarray, *, times: np.ndarray, censored_after: StepFunction
) -> float:
    """:func:`brier_score` averaged over the span of ``times`` by the trapezoidal rule."""
    score = brier_score(time, event, survival, times=times, censored_after=censored_after)
    return float(np.trapezoid(score, times) / (times[-1] - times[0]))


def cumulative_auc(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, *, times: np.ndarray, censored_after: StepFunction
) -> tuple[np.ndarray, float]:
    """Time-dependent AUC: how well risk tells samples with an event by time t from those free of it after t.

    Cases are weighted by 1 / G(event time). The mean weighs each time by the drop of the Kaplan-Meier curve of
    the evaluated samples since the time before.

    Returns
    -------
    auc : numpy.ndarray, shape (T,)
        NaN at times without a case or without a control.
    mean : float
        NaN if any of the times has no control, or if there is no case at all.
        Source: Lambert and Chevret 2016, Statistical Methods in Medical Research 25:2088.
    """
    case = event == 1
    weight = _case_weights(time, event, censored_after, upto=times[-1])[case]
    cases = (time[case, None] <= times) * weight[:, None]  # (E, T)
    controls = (time[:, None] > times).astype(float)  # (N, T)
    pairs = cases.sum(axis=0) * controls.sum(axis=0)
    won = (cases * (_wins(risk, case) @ controls)).sum(axis=0)
    auc = np.divide(won, pairs, out=np.full(times.size, np.nan), where=pairs > 0)
    drop = -np.diff(kaplan_meier(time, event)(times), prepend=1.0)
    mean = float((auc * drop)[drop > 0].sum() / drop.sum()) if drop.sum() > 0 else np.nan
    return auc, mean


def _wins(risk: np.ndarray, case: np.ndarray) -> np.ndarray:
    """(E, N): 1 where the case has the higher risk, one half where the risks are equal."""
    return (risk[case, None] > risk) + 0.5 * (risk[case, None] == risk)


def _case_weights(time: np.ndarray, event: np.ndarray, censored_after: StepFunction, *, upto: float) -> np.ndarray:
    """(N,): 1 / G(event time), and 0 for censored samples and events after ``upto``, where G may be unknown."""
    used = (event == 1) & (time <= upto)
    return np.divide(1.0, censored_after(time), out=np.zeros(time.size), where=used)


def supported_horizon(time: np.ndarray, train_time: np.ndarray, train_event: np.ndarray) -> float:
    """The last time at which censoring weights and test controls exist.

    That is the smaller of the last training time with G > 0 and the last test time before the very last; NaN if
    there is none.
    """
    censored_after = kaplan_meier(train_time, train_event, censoring=True)
    known = train_time[censored_after(train_time) > 0]
    followed = time[time < time.max(initial=-np.inf)]
    return float(min(known.max(), followed.max())) if known.size and followed.size else np.nan


def _score_survival(
    prediction: SurvivalPrediction, labels: pd.DataFrame, train: pd.DataFrame | None, horizon: float | None
) -> dict[str, float]:
    time, event = labels["time"].to_numpy(), labels["event"].to_numpy()
    risk = prediction.risk.loc[labels.index].to_numpy(float)
    scores = {"c_index": c_index(time, event, risk)}
    if train is None:
        return scores
    past, happened = train["time"].to_numpy(), train["event"].to_numpy()
    asked = horizon if horizon is not None else np.quantile(past, 0.9) if past.size else np.nan
    horizon = float(np.minimum(asked, supported_horizon(time, past, happened)))
    scores |= {"c_index_ipcw": np.nan, "ibs": np.nan, "auc": np.nan, "horizon": horizon}
    start = time[event == 1].min(initial=np.inf)
    if start < horizon:
        censored_after = kaplan_meier(past, happened, censoring=True)
        times = np.linspace(start, horizon, 100)
        known = {"times": times, "censored_after": censored_after}
        scores["c_index_ipcw"] = c_index_ipcw(time, event, risk, censored_after=censored_after, horizon=horizon)
        scores["auc"] = cumulative_auc(time, event, risk, **known)[1]
        if prediction.survival is not None:
            survival = replace(prediction, survival=prediction.survival[labels.index]).survival_at(times)
            scores["ibs"] = integrated_brier_score(time, event, survival, **known)
    return scores


# ----------------------------------------------------------------------------- classification, regression


def classification_scores(truth: np.ndarray, labels: np.ndarray, probabilities: pd.DataFrame) -> dict[str, float]:
    """Accuracy, macro-averaged F1, precision and recall, and AUROC.

    Macro averages run over all classes that occur among true or predicted labels; a class never predicted has
    precision 0, a class without true samples recall 0. AUROC compares each class with the rest and is averaged
    over the classes that have both; with two classes it is the plain one. NaN if the truth is a single class.

    Parameters
    ----------
    truth, labels : numpy.ndarray of str, shape (N,)
        True and predicted classes.
    probabilities : pandas.DataFrame, shape (N, C)
        One column per class of the model.
    """
    if truth.size == 0:
        return dict.fromkeys(("accuracy", "f1", "precision", "recall", "auroc"), np.nan)
    precision, recall, f1, _ = precision_recall_fscore_support(truth, labels, average="macro", zero_division=0)
    compared = probabilities.columns[-1:] if probabilities.shape[1] == 2 else probabilities.columns
    scorable = [c for c in compared if 0 < (truth == c).sum() < truth.size]
    auroc = [share_above(probabilities[c].to_numpy(), truth == c) for c in scorable]
    scores = {"accuracy": accuracy_score(truth, labels), "f1": f1, "precision": precision, "recall": recall}
    return {k: float(v) for k, v in scores.items()} | {"auroc": float(np.mean(auroc)) if auroc else np.nan}


def regression_scores(truth: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Mean absolute error and root mean squared error in the label's unit, Pearson and Spearman correlation.

    Correlations are NaN where truth or prediction is constant.
    """
    if truth.size == 0:
        return dict.fromkeys(("mae", "rmse", "pcc", "scc"), np.nan)
    error = values - truth
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "pcc": _correlation(truth, values),
        "scc": _correlation(rankdata(truth), rankdata(values)),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan


# ---------------------------------------------------------------------------------------------- evaluate


def evaluate(
    predictions: Mapping[str, Prediction],
    test: AnnData,
    *,
    train: AnnData | None = None,
    horizon: float | None = None,
) -> pd.DataFrame:
    """Score predictions against the labels of ``test``, aligned by sample id.

    Samples with a missing label are left out of that task's scores; the row ``n`` counts the rest. What cannot be
    computed is NaN: concordance without comparable pairs, censoring-weighted scores without a test event before
    the horizon, ``ibs`` for a method without survival curves, ``auroc`` with one class, correlations of constants.

    Parameters
    ----------
    predictions : mapping of str to prediction
        What ``predict(test)`` returned, by task name.
    test : AnnData
        The predicted samples, with their labels in ``obs``.
    train : AnnData, optional
        The training samples, whose censoring distribution weighs ``c_index_ipcw``, ``ibs`` and ``auc``. Without
        them these three, and ``horizon``, are absent: test labels must not weigh themselves. A warning says where
        their follow-up seems to have another unit.
    horizon : float, optional
        The time up to which the three are computed, in the unit of the follow-up; by default the 90th percentile
        of the training follow-up, events and censorings alike. Either is limited to what both parts support
        (:func:`supported_horizon`), and the row ``horizon`` says which time was used. ``ibs`` and ``auc`` are
        means over 100 equal steps from the first test event to the horizon.

    Returns
    -------
    pandas.DataFrame
        Columns task, metric, value. Survival: n, c_index, c_index_ipcw, ibs, auc, horizon. Classification: n,
        accuracy, f1, precision, recall, auroc. Regression: n, mae, rmse, pcc, scc.

    Raises
    ------
    ValueError
        Samples of ``test`` without a prediction, predictions for other samples, ids that occur twice, or
        predictions that are not numbers.
    """
    rows = []
    for name, prediction in predictions.items():
        _check_samples(name, prediction, test.obs_names)
        labels = prediction.task.read(test.obs).dropna()
        if isinstance(prediction, SurvivalPrediction):
            past = None if train is None else prediction.task.read(train.obs).dropna()
            if past is not None and (message := differing_units(name, labels["time"], past["time"])):
                warnings.warn(message, CohortWarning, stacklevel=2)
            scores = _score_survival(prediction, labels, past, horizon)
        elif isinstance(prediction, ClassPrediction):
            known = prediction.probabilities.columns
            if not (seen := labels.isin(known)).all():
                message = (
                    f"task {name!r}: {(~seen).sum()} samples have a class the model does not know "
                    f"({first_ids(sorted(labels[~seen].unique()))}; it knows {first_ids(known)}); they count as errors"
                )
                warnings.warn(message, CohortWarning, stacklevel=2)
            predicted = prediction.labels.loc[labels.index].to_numpy()
            scores = classification_scores(labels.to_numpy(), predicted, prediction.probabilities.loc[labels.index])
        else:
            scores = regression_scores(labels.to_numpy(), prediction.values.loc[labels.index].to_numpy(float))
        rows += [(name, metric, value) for metric, value in ({"n": float(len(labels))} | scores).items()]
    return pd.DataFrame(rows, columns=["task", "metric", "value"])


def without_counts(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of an :func:`evaluate` table that are scores: neither ``n`` nor ``horizon``."""
    return scores[~scores["metric"].isin(["n", "horizon"])]


def as_losses(scores: pd.DataFrame, value: str = "value") -> pd.Series:
    """A column of a score table with the sign that makes less better in every metric."""
    return scores[value].where(scores["metric"].isin(LOWER_IS_BETTER), -scores[value])


def _check_samples(name: str, prediction: Prediction, samples: pd.Index) -> None:
    """Refuse predictions that do not cover exactly the test samples with numbers."""
    if isinstance(prediction, SurvivalPrediction):
        tables = [prediction.risk.to_frame()] + ([] if prediction.survival is None else [prediction.survival.T])
    else:
        tables = [prediction.values.to_frame() if isinstance(prediction, ValuePrediction) else prediction.probabilities]
    for table in tables:
        ids = table.index
        problems = {
            "has samples that occur twice, or the test cohort does": ids[ids.duplicated()].union(
                samples[samples.duplicated()], sort=False
            ),
            "lacks samples of the test cohort": samples.difference(ids, sort=False),
            "holds samples that the test cohort lacks": ids.difference(samples, sort=False),
            "is not a number for samples": ids[table.isna().any(axis=1)],
        }
        for problem, wrong in problems.items():
            if len(wrong):
                message = f"the prediction of task {name!r} {problem}: {len(wrong)}, first {first_ids(wrong)}"
                raise ValueError(message)
