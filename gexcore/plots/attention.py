"""Figures of attention: the genes that groups of samples attend to, and how far chance alone would get."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .cohorts import plot_matrix
from .theme import GREY, LIGHT_GREY


def plot_attended(attended: pd.DataFrame, *, n_top: int = 5, ax: Axes | None = None) -> Axes:
    """Heatmap groups x genes of attention compared with the other groups; a group's own first genes are framed.

    Parameters
    ----------
    attended : pandas.DataFrame
        What :func:`gexcore.interpret.attended_genes` returned.
    n_top : int
        Genes shown of each group, those of the largest z; one that is among the first of several stands once.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    groups = attended["group"].unique()
    first = attended.groupby("group", sort=False).head(n_top)
    shown = first["gene"].unique()
    percent = 100 * attended["difference"] / attended["others"]
    matrix = attended.assign(percent=percent).pivot(index="group", columns="gene", values="percent")
    matrix = matrix.loc[groups, shown].rename_axis(index=None, columns=None)
    plot_matrix(matrix, label="Attention, % more than\nin the other groups", ax=ax)
    places = zip(pd.Index(shown).get_indexer(first["gene"]), pd.Index(groups).get_indexer(first["group"]), strict=True)
    for column, row in places:
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="0.1", linewidth=1.2))
    return ax


def plot_against_chance(attended: pd.DataFrame, chance: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """A row per group: the size of every gene's z as a dot, in grey how large the largest gets by chance.

    Blue are the genes beyond the 95 % quantile of chance; their number stands beside the row.

    Parameters
    ----------
    attended : pandas.DataFrame
        What :func:`gexcore.interpret.attended_genes` returned.
    chance : pandas.DataFrame
        What :func:`gexcore.interpret.largest_by_chance` returned for the same table and groups.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    groups, blue = list(attended["group"].unique()), sns.color_palette("colorblind")[0]
    beside = {"xycoords": ax.get_yaxis_transform(), "va": "center", "fontsize": 9}
    rng = np.random.default_rng(0)
    for y, group in enumerate(groups):
        low, high = chance[group].quantile([0.05, 0.95])
        ax.barh(y, high - low, left=low, height=0.74, color=LIGHT_GREY, zorder=1, label="" if y else "by chance, 90 %")
        z = attended.loc[attended["group"] == group, "z"].abs().dropna().to_numpy()
        colors = np.where((z > high)[:, None], (*blue, 0.8), (*[float(GREY)] * 3, 0.5))
        ax.scatter(z, y + rng.uniform(-0.25, 0.25, len(z)), s=9, c=colors, linewidth=0, zorder=2)
        ax.annotate(f"{(z > high).sum()} of {len(z)}", (1.02, y), **beside)
    ax.set_yticks(range(len(groups)), groups)
    ax.tick_params(axis="y", length=0)
    ax.set(ylim=(len(groups) - 0.5, -0.5), xlabel="Size of z (group against the others), a dot per gene")
    ax.set_xlim(left=0)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    return ax
