"""Figure of mean ranks: methods over many cohorts and tasks, and which of them cannot be told from the best."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..metrics import HEADLINES
from ..ranks import critical_difference
from .theme import LIGHT_GREY

_LOOKS = {"survival": ("C0", "o"), "classification": ("C1", "s"), "regression": ("C2", "^")}  # colour and marker
_MEAN = {"marker": "D", "linestyle": "", "markersize": 6, "markeredgecolor": "0.15"}


def plot_ranks(ranks: pd.DataFrame, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Critical difference diagram: mean ranks with the rank in every block, a row per method, best on top.

    The band reaches from the best mean rank as far as the critical difference. A method with its mean in the band
    (black) cannot be told from the best, one beyond it (white) is worse. Demšar (2006) draws all methods on one line;
    rows leave room for the names of many, and for the single ranks.

    Parameters
    ----------
    ranks : pandas.DataFrame
        From :func:`gexcore.ranks.mean_ranks`.
    alpha : float
        Level of the critical difference (:func:`gexcore.ranks.critical_difference`).
    ax : matplotlib.axes.Axes, optional
        Where to draw; an inch of height is enough for five methods.
    """
    ax = ax or plt.gca()
    means, blocks = ranks["mean_rank"], ranks.drop(columns="mean_rank", level=0)
    (k, n), cohorts = blocks.shape, blocks.columns.get_level_values("cohort").nunique()
    best, reach = means.iloc[0], critical_difference(ranks, alpha=alpha)
    ax.axvspan(best, best + reach, color=LIGHT_GREY, linewidth=0, zorder=0)
    offsets = np.linspace(-0.25, 0.25, n)
    points = {}
    for kind, (color, marker) in _LOOKS.items():
        part = blocks.loc[:, blocks.columns.get_level_values("metric") == HEADLINES[kind]]
        here, offsets = offsets[: part.shape[1]], offsets[part.shape[1] :]
        if part.shape[1]:
            y = np.arange(k)[:, None] + here  # (K, blocks of this kind)
            points[kind] = ax.scatter(part, y, s=14, alpha=0.75, linewidth=0, color=color, marker=marker)
    for y, mean in enumerate(means):
        ax.plot(mean, y, color="white" if mean - best >= reach else "0.15", **_MEAN)
        ax.annotate(f"{mean:.2f}", (1.02, y), xycoords=ax.get_yaxis_transform(), va="center", fontsize=9, color="0.3")
    points["mean"] = Line2D([], [], color="0.15", **_MEAN)
    beside = {"ncols": len(points), "handletextpad": 0.2, "columnspacing": 1.2}
    ax.legend(points.values(), points, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, **beside)
    ax.set_yticks(range(k), means.index)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color="0.8", linewidth=0.5)
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)
    ax.xaxis.get_major_locator().set_params(integer=True)
    label = (
        f"Rank among {k} methods in {n} tasks of {cohorts} cohort{'s' * (cohorts > 1)} (lower is better)\n"
        f"band: cannot be told from the best (critical difference {reach:.2f})"
    )
    ax.set(xlim=(0.5, k + 0.5), ylim=(k - 0.5, -0.5), xlabel=label)
    return ax
