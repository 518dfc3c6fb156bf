"""Figures of small panels: scores of models against the number of genes they were given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from scipy import stats

from ..metrics import LOWER_IS_BETTER
from .theme import METRIC_NAMES

_MARKERS = "osD^vPX"  # seven, so that beyond ten models a colour comes back with another marker


def plot_panel_curves(scores: pd.DataFrame, metric: str = "accuracy", *, ax: Axes | None = None) -> Axes:
    """Mean score over draws against panel size, a line per model, with the 95 % t interval over draws as a band.

    The legend lists the models by their mean over all sizes, best first; colours follow the order of the table.

    Parameters
    ----------
    scores : pandas.DataFrame
        What :func:`gexcore.panels.compare_panels` returned. A model without a score of ``metric`` is left out.
    metric : str
        The score shown.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    part = scores[(scores["metric"] == metric) & scores["value"].notna()]
    if part.empty:
        message = f"the table has no {metric!r}; it has {', '.join(scores['metric'].unique())}"
        raise ValueError(message)
    lower = metric in LOWER_IS_BETTER
    draws = part.groupby(["model", "size"])["value"]
    summary = draws.agg(["mean", "sem", "count"])
    summary["reach"] = summary["sem"] * stats.t.ppf(0.975, summary["count"] - 1)  # NaN of one draw
    lines = {}
    for i, model in enumerate(scores["model"].unique()):
        if model not in summary.index:
            continue
        curve, color = summary.loc[model], sns.color_palette("colorblind")[i % 10]
        ax.fill_between(
            curve.index, curve["mean"] - curve["reach"], curve["mean"] + curve["reach"], color=color, alpha=0.12, lw=0
        )
        marker = _MARKERS[i % len(_MARKERS)]
        (lines[model],) = ax.plot(
            curve["mean"], color=color, marker=marker, markersize=5, markeredgecolor="white", markeredgewidth=0.5
        )
        lines[model].set_label(model)
    order = summary["mean"].groupby(level="model").mean().sort_values(ascending=lower).index
    ax.legend([lines[m] for m in order], order, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    sizes = np.sort(part["size"].unique())
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [f"{size}" for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    direction = "lower is better" if lower else "higher is better"
    ax.set(xlabel="Genes in the panel", ylabel=f"{METRIC_NAMES.get(metric, metric)}\n({direction})")
    return ax
