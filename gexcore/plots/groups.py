"""Figures of what differs between two groups of patients, selected genes, gene sets among them, values; and of how well
scores of genes tell a set apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from ..interpret.groups import compare_values, two_groups
from .theme import GREY, LIGHT_GREY

_LEVEL = 0.05
_COLORS = ("C0", "C1")  # of the first and the second group
_DOTS = [("o", "C0"), ("x", GREY), ("D", "C1"), ("s", "0.2")]  # kinds in one row, by shape and colour
_BESIDE = {"va": "center", "fontsize": 9, "color": "0.3"}


def plot_volcano(
    table: pd.DataFrame, *, names: Sequence[str] = ("1", "2"), n_labels: int = 8, ax: Axes | None = None
) -> Axes:
    """How often genes are selected in two groups: ratio of the shares against q, core genes in the group's colour.

    Dashed lines stand at twice the share and at q = 0.05. Genes with the same counts lie on the same point, drawn
    larger and labelled once. Labels go to the core genes of smallest p; one that finds no free place near its point is
    left out.

    Parameters
    ----------
    table : pandas.DataFrame
        What :func:`gexcore.interpret.compare_frequencies` returned.
    names : (str, str)
        The groups, first and second, as ``core`` names them.
    n_labels : int
        Points labelled at most.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    _check_rows(table, "gene")
    strange = set(table["core"]) - {"", *names}
    if strange:
        message = f"names gives the groups as {tuple(names)}, the table has core genes of {sorted(strange)}"
        raise ValueError(message)
    ax = ax or plt.gca()
    shown = table.assign(y=-np.log10(table["q"].clip(lower=np.finfo(float).tiny)))
    points = (
        shown.groupby(["core", "log2_ratio", "y", "p"], as_index=False)["gene"]
        .agg(list)
        .sort_values("p", kind="stable")
    )
    size = 10 * points["gene"].str.len() ** 0.5
    for x in (-1, 1):
        ax.axvline(x, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    ax.axhline(-np.log10(_LEVEL), color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    for name, color in [("", GREY), *zip(names, _COLORS, strict=True)]:
        part = points["core"] == name
        n = (table["core"] == name).sum()
        look = {"s": size[part], "color": color, "alpha": 0.8 if name else 0.4, "linewidth": 0}
        ax.scatter(points["log2_ratio"][part], points["y"][part], label=f"core of {name} ({n})" if name else "", **look)
    reach = 1.25 * max(points["log2_ratio"].abs().max(), 1.2)
    ax.set(xlim=(-reach, reach), ylim=(-0.03 * max(points["y"].max(), 1.5), 1.15 * max(points["y"].max(), 1.5)))
    ax.set(xlabel=f"log2 ratio of the shares, {names[1]} over {names[0]}", ylabel="\N{MINUS SIGN}log10 q")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, ncols=2, handletextpad=0.2)
    core = points[points["core"] != ""]
    _label(ax, core[["log2_ratio", "y"]].to_numpy(), [_listed(genes) for genes in core["gene"][:n_labels]])
    return ax


def plot_enrichment(table: pd.DataFrame, *, n_top: int = 8, ax: Axes | None = None) -> Axes:
    """Bars of -log10 q of the first gene sets, the smallest on top; hits of all members beside, q = 0.05 dashed red.

    Parameters
    ----------
    table : pandas.DataFrame
        What :func:`gexcore.interpret.enriched_sets` returned.
    n_top : int
        Sets shown, from the top of the table.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    _check_rows(table, "gene set")
    ax = ax or plt.gca()
    top = table.head(n_top)
    length = -np.log10(top["q"].clip(lower=np.finfo(float).tiny))
    ax.barh(range(len(top)), length, height=0.7, color=np.where(top["q"] < _LEVEL, "C0", "0.75"))
    ax.axvline(-np.log10(_LEVEL), color="red", linewidth=1, linestyle="--")
    for y, (hits, size) in enumerate(zip(top["hits"], top["size"], strict=True)):
        ax.annotate(f"{hits}/{size}", (1.02, y), xycoords=ax.get_yaxis_transform(), **_BESIDE)
    words = top["set"].str.removeprefix("HALLMARK_").str.replace("_", " ")
    ax.set_yticks(range(len(top)), [textwrap.fill(name, 22) for name in words], fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.set(ylim=(len(top) - 0.4, -0.6), xlim=(0, 1.05 * max(length.max(), 1.5)), xlabel="\N{MINUS SIGN}log10 q")
    return ax


def plot_boxes(
    values: pd.DataFrame, groups: pd.Series, *, tests: pd.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """A box per column and group over its samples, with the stars of the test between the two groups above.

    Boxes reach over the middle half with the median as a line, whiskers as far as 1.5 times that from its ends.

    Parameters
    ----------
    values : pandas.DataFrame, (N, G)
        Few columns, on one scale.
    groups : pandas.Series, (N,)
        The group of each sample, aligned by id: two of them.
    tests : pandas.DataFrame, optional
        What :func:`gexcore.interpret.compare_values` returned for these columns; made here unless given. A column that
        it lacks has no stars.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    _check_rows(values.T, "column")
    parts = two_groups(values, groups)
    tests = compare_values(values, groups) if tests is None else tests
    ax = ax or plt.gca()
    rng = np.random.default_rng(0)
    for (name, part), color, side in zip(parts.items(), _COLORS, (-0.2, 0.2), strict=True):
        columns = [part[column].dropna().to_numpy() for column in values]
        look = {"widths": 0.34, "showfliers": False, "patch_artist": True, "manage_ticks": False}
        drawn = ax.boxplot(columns, positions=np.arange(len(columns)) + side, **look)
        plt.setp(drawn["boxes"], facecolor=color, alpha=0.45)
        plt.setp([*drawn["whiskers"], *drawn["caps"]], color=GREY, linewidth=0.9)
        plt.setp(drawn["medians"], color="0.1", linewidth=1.4)
        drawn["boxes"][0].set_label(f"{name} ({len(part)})")
        for x, numbers in enumerate(columns):
            jitter = rng.uniform(-0.12, 0.12, len(numbers))
            ax.scatter(x + side + jitter, numbers, s=5, color=color, alpha=0.35, linewidth=0, zorder=0)
    low, high = np.nanmin(values), np.nanmax(values)
    stars = tests.set_index("name")["stars"].reindex(values.columns, fill_value="")
    for x, (column, text) in enumerate(stars.items()):
        if text:
            y = values[column].max() + 0.04 * (high - low)
            ax.plot([x - 0.2, x + 0.2], [y, y], color=GREY, linewidth=0.8)
            ax.annotate(text, (x, y), (0, 1), textcoords="offset points", ha="center", va="bottom", fontsize=9)
    ax.set_xticks(range(values.shape[1]), values.columns)
    ax.tick_params(axis="x", length=0)
    ax.set(xlim=(-0.5, values.shape[1] - 0.5), ylim=(low - 0.05 * (high - low), high + 0.16 * (high - low)))
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, ncols=2)
    return ax


def plot_areas(areas: pd.DataFrame, *, rows: str, kinds: str | None = None, ax: Axes | None = None) -> Axes:
    """A dot per score for how well it tells some genes apart: 1 always, 0.5 as dice do; the range of chance in grey.

    Parameters
    ----------
    areas : pandas.DataFrame
        A row per score with what :func:`gexcore.interpret.told_apart` returned of it, all for as many genes.
    rows : str
        Column that names the row a dot stands in, in order of first appearance.
    kinds : str, optional
        Column of up to four kinds of dots.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    _check_rows(areas, "area")
    ax = ax or plt.gca()
    ax.axvspan(areas["low"].mean(), areas["high"].mean(), color=LIGHT_GREY, linewidth=0, zorder=0)
    ax.axvline(0.5, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    names = pd.Index(areas[rows].unique())
    parts = [("", areas)] if kinds is None else list(areas.groupby(kinds, sort=False))
    for (name, part), (marker, color) in zip(parts, _DOTS[: len(parts)], strict=True):
        look = {"s": 20, "alpha": 0.8, "linewidth": 1 if marker == "x" else 0}
        ax.scatter(part["area"], names.get_indexer(part[rows]), label=name, marker=marker, color=color, **look)
    ax.set_yticks(range(len(names)), names)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlim=(-0.02, 1.02), xticks=[0, 0.5, 1], xlabel="Area under the ROC curve")
    return ax


def _check_rows(table: pd.DataFrame, what: str) -> None:
    if table.empty:
        message = f"there is nothing to draw: the table has no {what}"
        raise ValueError(message)


def _listed(genes: list[str]) -> str:
    return ", ".join(genes[:2]) + (f" +{len(genes) - 2}" if len(genes) > 2 else "")


def _label(ax: Axes, points: np.ndarray, names: Sequence[str]) -> None:
    """Name the first points, each at the nearest place that covers no point and no other name, outwards first."""
    ax.figure.draw_without_rendering()  # the layout tells how large everything is
    scale, inside, spots = ax.figure.dpi / 72, ax.get_window_extent(), ax.transData.transform(points)
    taken = [Bbox.from_bounds(*(spot - 3 * scale), 6 * scale, 6 * scale) for spot in spots]
    turns = np.radians([0, 35, -35, 90, -90, 145, -145, 180])
    for point, spot, name in zip(points, spots, names, strict=False):
        outwards = np.copysign(1.0, point[0])
        measured = ax.text(*point, name, fontsize=8)
        size = measured.get_window_extent().size
        measured.remove()
        for distance, turn in ((d, t) for d in (5, 12, 20, 30, 42, 56) for t in turns):
            way = np.array([outwards * np.cos(turn), np.sin(turn)])
            shift = way * (distance * scale + size / 2)  # from the point to the middle of the name
            box = Bbox.from_bounds(*(spot + shift - size / 2), *size)
            within = inside.contains(*box.p0) and inside.contains(*box.p1)
            if within and not any(box.overlaps(other) for other in taken):
                line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
                place = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 8}
                ax.annotate(name, point, shift / scale, arrowprops=line if distance > 5 else None, **place)
                taken.append(box.padded(2 * scale))
                break
