"""Figures of restored expression: true against restored values of a gene, and scores against how much was hidden."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ..metrics import LOWER_IS_BETTER
from ..tasks import first_ids
from .theme import GREY, METRIC_NAMES, with_unit

_MARKERS = "osD^vP"  # beyond ten models the colours start again with another marker
_NAMES = METRIC_NAMES | {"pcc_gene": "Correlation across samples", "pcc_sample": "Correlation across genes"}
_HIDDEN = {"genes": "Share of genes hidden", "low": "Share of cells hidden, low ones first"}


def plot_restoration(
    true: pd.Series,
    restored: pd.Series,
    *,
    groups: pd.Series | None = None,
    unit: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """True against restored values of one gene, with their correlation and the diagonal of a perfect restoration.

    Parameters
    ----------
    true, restored : pandas.Series
        Aligned by sample; samples that lack either are left out.
    groups : pandas.Series, optional
        Group of every sample, shown as its colour; a legend stands beside the axes.
    unit : str, optional
        Unit of the values, for the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    table = pd.DataFrame({"true": true, "restored": restored}).dropna()
    if table.empty:
        message = (
            f"no sample has both values: the true ones are of {first_ids(true.dropna().index)}, the restored ones of "
            f"{first_ids(restored.dropna().index)}"
        )
        raise ValueError(message)
    dots = {"s": 14, "linewidth": 0.3, "edgecolor": "white"}
    if groups is None:
        ax.scatter(table["true"], table["restored"], **dots)
    else:
        for name, part in table.groupby(groups.reindex(table.index), observed=True):
            ax.scatter(part["true"], part["restored"], label=f"{name}", **dots)
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.2)
    ends = [table.min(axis=None), table.max(axis=None)]
    ax.plot(ends, ends, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    r = np.corrcoef(table["true"], table["restored"])[0, 1] if (table.std() > 0).all() else 0.0
    ax.text(0.04, 0.96, f"r = {r:.2f}", transform=ax.transAxes, va="top", fontsize=9, color="0.3")
    ax.set(xlabel=with_unit("True", unit), ylabel=with_unit("Restored", unit), aspect="equal")
    return ax


def plot_imputation(
    scores: pd.DataFrame, metric: str = "rmse", *, highlight: Sequence[str] = (), ax: Axes | None = None
) -> Axes:
    """Mean score over seeds against the share that was hidden, a line per model; the legend lists the best first.

    Colours follow the order of the models in the table.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns model, rate, metric, value: rows of :func:`gexcore.imputation.compare_imputers` of one pattern and one
        stratum, or any other table that has them.
    metric : str
        The score shown.
    highlight : sequence of str
        Models drawn with thick lines, before the others.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    part = scores[scores["metric"] == metric]
    if part.empty:
        message = f"the table has no {metric!r}; it has {', '.join(scores['metric'].unique())}"
        raise ValueError(message)
    for name in ("pattern", "stratum", "task"):
        if name in part and part[name].nunique() > 1:
            message = f"the table has several of {name} ({', '.join(part[name].unique())}): choose the rows of one"
            raise ValueError(message)
    lower = metric in LOWER_IS_BETTER
    curves = part.pivot_table(index="rate", columns="model", values="value")
    lines = {}
    for i, model in enumerate(part["model"].unique()):
        front = model in highlight
        (lines[model],) = ax.plot(
            curves[model].dropna(),
            color=sns.color_palette("colorblind")[i % 10],
            marker=_MARKERS[i // 10 % len(_MARKERS)],
            linewidth=2.6 if front else 1.1,
            markersize=6 if front else 4,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=3 if front else 2,
            label=model,
        )
    order = curves.mean().sort_values(ascending=lower).index
    ax.legend([lines[m] for m in order], order, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.set_xticks(curves.index, [f"{rate:.0%}" for rate in curves.index])
    (pattern,) = part["pattern"].unique() if "pattern" in part else ("mcar",)
    direction = "lower is better" if lower else "higher is better"
    label = f"{_NAMES.get(metric, metric)}\n({direction})"
    ax.set(xlabel=_HIDDEN.get(pattern, "Share of cells hidden"), ylabel=label)
    return ax
