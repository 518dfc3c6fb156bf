"""Figure of costs: seconds, memory or any other number against the size of a problem, a line per way of solving it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, NullLocator

_MARKERS = "osD^vPX"


class _Plain(LogFormatter):
    """Numbers as they are, where a logarithmic axis names them."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:,g}" if super().__call__(x, pos) else ""


def plot_costs(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    labels: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One number against another on logarithmic axes, where equal steps are equal ratios; a line per value of ``by``.

    Parameters
    ----------
    table : pandas.DataFrame
        A row per point; rows without a value are left out.
    x, y, by : str
        Columns. Lines come in the order in which ``by`` names them first, and keep their colours in every figure that
        names the same.
    labels : mapping of str to str, optional
        Columns to the words on the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax, labels = ax or plt.gca(), labels or {}
    for i, name in enumerate(table[by].unique()):
        part = table[table[by] == name].dropna(subset=[x, y]).sort_values(x)
        look = {"color": sns.color_palette("colorblind")[i % 10], "marker": _MARKERS[i % len(_MARKERS)]}
        ax.plot(part[x], part[y], label=name, markersize=5, markeredgecolor="white", markeredgewidth=0.5, **look)
    sizes = sorted(table[x].unique())
    ax.set(xscale="log", yscale="log", xlabel=labels.get(x, x), ylabel=labels.get(y, y))
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:,g}")
    ax.yaxis.set_minor_formatter(_Plain())
    ax.legend()
    return ax
