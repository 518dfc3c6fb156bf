"""Figures of survival: Kaplan-Meier curves and calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from anndata import AnnData
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ..tasks import SurvivalPrediction
from .theme import GREY, with_unit


def plot_kaplan_meier(
    time: Sequence[float],
    event: Sequence[float],
    groups: Sequence | None = None,
    *,
    unit: str | None = None,
    at_risk: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Kaplan-Meier curves with 95 % bands, a tick per censoring and the log-rank p value over all groups.

    Parameters
    ----------
    time, event, groups : sequence, shape (N,)
        Follow-up, 1 = event, and group; Series are aligned by sample, samples with anything missing are left out.
        Groups are drawn in sorted order, or in the order of an ordered categorical.
    unit : str, optional
        Unit of time, for the label.
    at_risk : bool
        Write the numbers at risk below the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or plt.gca()
    columns = {"time": time, "event": event} | ({} if groups is None else {"group": groups})
    table = pd.DataFrame(columns).dropna()
    parts = [("all", table)] if groups is None else list(table.groupby("group", observed=True))
    for (name, part), color in zip(parts, sns.color_palette(n_colors=len(parts)), strict=True):
        km = KaplanMeierFitter().fit(part["time"], part["event"])
        curve, band = km.survival_function_.iloc[:, 0], km.confidence_interval_
        ax.step(curve.index, curve, where="post", color=color, label=f"{name} (n = {len(part)})")
        ax.fill_between(band.index, *band.to_numpy().T, step="post", color=color, alpha=0.15, linewidth=0)
        censored = part.loc[part["event"] == 0, "time"]
        ax.plot(censored, km.predict(censored.to_numpy()), "|", color=color, markersize=5, markeredgewidth=0.8)
    ax.set(xlim=(0, None), ylim=(0, 1.02), xlabel=with_unit("Time", unit), ylabel="Survival probability")
    if len(parts) > 1:
        p = multivariate_logrank_test(table["time"], table["group"], table["event"]).p_value
        title = "log-rank p < 0.001" if p < 0.001 else f"log-rank p = {p:.2g}"
        outside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(parts) > 3 else {}
        ax.legend(title=title, alignment="left", **outside)
    if at_risk:
        _write_at_risk(ax, parts)
    return ax


def _write_at_risk(ax: Axes, parts: Sequence[tuple[str, pd.DataFrame]]) -> None:
    """Numbers at risk under the time axis, one line per group in its colour."""
    ticks = [t for t in ax.get_xticks() if 0 <= t <= ax.get_xlim()[1]]
    for (name, part), color, row in zip(parts, sns.color_palette(n_colors=len(parts)), range(len(parts)), strict=True):
        below = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points", "fontsize": 8, "color": color}
        ax.annotate(f"{name}  ", (0, 0), (-14, -44 - 13 * row), ha="right", **below)
        for t in ticks:
            ax.annotate(str((part["time"] >= t).sum()), (t, 0), (0, -44 - 13 * row), ha="center", **below)


def plot_calibration(
    prediction: SurvivalPrediction,
    cohort: AnnData,
    *,
    at: float,
    n_groups: int = 4,
    unit: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Predicted against observed survival at one time, in equal groups of predicted survival.

    Observed is the Kaplan-Meier estimate with its 95 % interval; a group followed for less than ``at`` has none and
    is left out. On the diagonal the predicted probabilities can be taken at their word.

    Parameters
    ----------
    prediction : SurvivalPrediction
        With survival curves.
    cohort : AnnData
        The predicted samples, with labels.
    at : float
        Time, in the unit of the follow-up.
    n_groups : int
        Number of groups.
    unit : str, optional
        Unit of time, for the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    labels = prediction.task.read(cohort.obs).dropna()
    predicted = pd.Series(prediction.survival_at([at])[:, 0], prediction.survival.columns)[labels.index]
    groups = pd.qcut(predicted.rank(method="first"), n_groups, labels=False)
    points = []
    for _, part in labels.groupby(groups):
        km = KaplanMeierFitter().fit(part["time"], part["event"])
        if part["time"].max() >= at:
            low, high = km.confidence_interval_.loc[:at].iloc[-1]
            points.append((predicted[part.index].mean(), km.predict(at), low, high))
    x, y, low, high = np.array(points).reshape(-1, 4).T
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    ax.errorbar(x, y, yerr=[y - low, high - y], fmt="o-", markersize=5, elinewidth=1, capsize=2)
    when = f"at {at:g} {unit}" if unit else f"at time {at:g}"
    ax.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    ax.set(xlabel=f"Predicted survival {when}", ylabel=f"Observed survival {when}")
    return ax
