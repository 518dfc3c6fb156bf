"""Predictions as one table with a row per patient, and groups of patients by predicted risk.

Shapes: N samples, T times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from lifelines.statistics import logrank_test
from matplotlib.ticker import MaxNLocator

from ..tasks import ClassPrediction, Prediction, SurvivalPrediction

LOWER, HIGHER = "lower risk", "higher risk"


class RiskGroups(NamedTuple):
    """Patients with labels, divided at a risk: ``table`` (time, event, group), ``p`` of the log-rank test (or NaN)."""

    table: pd.DataFrame
    p: float


def patient_table(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """All that was predicted of every patient, samples x columns that begin with the name of their task.

    Survival: ``risk`` (higher = worse), ``median`` (the time by which half of such patients have had the event, missing
    where fewer have within the follow-up that the model knows), ``mean_to_T`` (expected time without event up to T) and
    ``survival_at_T`` at a few round times, all in the unit of the follow-up. Classes: ``predicted`` and
    ``probability_CLASS``. Numbers: ``predicted``, in the unit of the label.

    Examples
    --------
    >>> import gexcore as gx
    >>> index = pd.Index(["a", "b"])
    >>> prediction = gx.tasks.ValuePrediction(gx.Regression("age"), pd.Series([50.0, 61.0], index))
    >>> patient_table({"age": prediction}).to_dict("list")
    {'age_predicted': [50.0, 61.0]}
    """
    columns = {}
    for name, prediction in predictions.items():
        if isinstance(prediction, SurvivalPrediction):
            columns |= {f"{name}_{column}": values for column, values in _survival_columns(prediction).items()}
        elif isinstance(prediction, ClassPrediction):
            columns[f"{name}_predicted"] = prediction.labels
            shares = prediction.probabilities
            columns |= {f"{name}_probability_{label}": values for label, values in shares.items()}
        else:
            columns[f"{name}_predicted"] = prediction.values
    return pd.DataFrame(columns).rename_axis("sample")


def _survival_columns(prediction: SurvivalPrediction) -> dict[str, pd.Series | np.ndarray]:
    columns = {"risk": prediction.risk}
    if prediction.survival is None:
        return columns
    time, curves = prediction.survival.index.to_numpy(float), prediction.survival.to_numpy(float).T  # (T,), (N, T)
    columns["median"] = np.array([_time_to_half(time, curve) for curve in curves])
    columns[f"mean_to_{time[-1]:.4g}"] = np.trapezoid(curves, time, axis=1)
    times = round_times(time[-1])
    values = prediction.survival_at(times)
    return columns | {f"survival_at_{at:g}": values[:, i] for i, at in enumerate(times)}


def round_times(longest: float) -> list[float]:
    """Three to six round times up to the longest of a follow-up, in any unit."""
    ticks = MaxNLocator(5, steps=[1, 2, 3, 5, 6, 10]).tick_values(0, longest)
    return [float(f"{t:.6g}") for t in ticks if 0 < t <= longest]


def _time_to_half(time: np.ndarray, curve: np.ndarray) -> float:
    below = np.flatnonzero(curve <= 0.5)
    if not len(below):
        return np.nan
    i = below[0]
    return float(np.interp(-0.5, -curve[i - 1 : i + 1], time[i - 1 : i + 1]))


def risk_groups(prediction: SurvivalPrediction, obs: pd.DataFrame, *, cut: float) -> RiskGroups:
    """Divide labelled patients by whether their predicted risk exceeds ``cut``.

    Parameters
    ----------
    prediction : SurvivalPrediction
    obs : pandas.DataFrame
        The clinical table of these patients, with the labels of the task.
    cut : float
        The median risk of the training patients, for example.
    """
    labels = prediction.task.read(obs).dropna()
    groups = np.where(prediction.risk[labels.index] > cut, HIGHER, LOWER)
    table = labels.assign(group=pd.Categorical(groups, [LOWER, HIGHER], ordered=True))
    low, high = (table[table["group"] == group] for group in (LOWER, HIGHER))
    if low.empty or high.empty or not table["event"].any():
        return RiskGroups(table, np.nan)
    test = logrank_test(low["time"], high["time"], low["event"], high["event"])
    return RiskGroups(table, float(test.p_value))
