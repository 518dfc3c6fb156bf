"""Figures of data: labels, expression, and any matrix of genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from anndata import AnnData
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ..tasks import Task, check_tasks
from .theme import GREY, LIGHT_GREY


def plot_labels(cohort: AnnData, tasks: Task | Sequence[Task], *, ax: Axes | None = None) -> Axes:
    """One bar per task: its classes, events and censorings, or range of values, and in grey what is missing."""
    ax = ax or plt.gca()
    tasks = check_tasks(tasks)
    points_per_sample = 72 * ax.figure.get_figwidth() * ax.get_position().width / cohort.n_obs
    for y, task in enumerate(tasks):
        parts, start = _label_parts(task, cohort.obs), 0
        for (name, n), color in zip(parts.items(), sns.color_palette("Blues_r", len(parts) + 2), strict=False):
            ax.barh(y, n, left=start, height=0.62, color=color, edgecolor="white", linewidth=1.5)
            if n * points_per_sample > 4.6 * len(f"{name} ({n})") + 4:  # the name fits
                ink = "white" if sum(color) < 1.7 else "0.2"
                ax.text(start + n / 2, y, f"{name} ({n})", ha="center", va="center", fontsize=8, color=ink)
            start += n
        if start < cohort.n_obs:
            missing = cohort.n_obs - start
            ax.barh(y, missing, left=start, height=0.62, color=LIGHT_GREY, edgecolor="white", linewidth=1.5)
            beside = {"xycoords": ax.get_yaxis_transform(), "va": "center", "fontsize": 8, "color": GREY}
            ax.annotate(f"{missing} missing", (1.01, y), **beside)
    ax.set_yticks(range(len(tasks)), [t.name for t in tasks])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(xlim=(0, cohort.n_obs), ylim=(len(tasks) - 0.5, -0.5), xlabel="Samples")
    return ax


def _label_parts(task: Task, obs: pd.DataFrame) -> dict[str, int]:
    """Label name and count, largest classes first."""
    labels = task.read(obs).dropna()
    if task.kind == "survival":
        events = int(labels["event"].sum())
        return {"event": events, "censored": len(labels) - events}
    if task.kind == "classification":
        return labels.value_counts().to_dict()
    low, middle, high = labels.quantile([0.25, 0.5, 0.75])
    return {f"median {middle:.3g}, middle half {low:.3g} to {high:.3g}": len(labels)}


def plot_expression(
    cohort: AnnData,
    *,
    order: str,
    modules: Mapping[str, str] | str | None = None,
    genes: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Heatmap of expression, samples x genes, each gene standardised; missing cells are grey.

    Parameters
    ----------
    cohort : AnnData
        Expression and clinical table.
    order : str
        Column of ``obs`` that orders the samples; groups of a text column are set apart and named.
    modules : str or mapping of gene to module, optional
        Column of ``var``, or the module of each gene: orders, sets apart and names the genes.
    genes : sequence of str, optional
        Genes to show; all unless given.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    shown = pd.Index(cohort.var_names if genes is None else genes)
    module = None
    if modules is not None:
        module = (cohort.var[modules] if isinstance(modules, str) else pd.Series(dict(modules))).reindex(shown)
        module = module.dropna().sort_values(kind="stable")
        shown = module.index
    by = cohort.obs[order].dropna().sort_values(kind="stable")
    x = cohort[by.index, shown].to_df()
    z = (x - x.mean()) / x.std(ddof=0).replace(0.0, 1.0)
    _heatmap(ax, z.to_numpy(), limit=2.5, diverging=True, label="Expression (z-score per gene)", aspect="auto")
    if pd.api.types.is_numeric_dtype(by):
        ax.set(yticks=[], ylabel=f"{len(by)} samples by {order} ({by.iloc[0]:g} to {by.iloc[-1]:g})")
    else:
        _name_blocks(ax, by, axis="y")
        ax.set_ylabel(order)
    if module is not None:
        _name_blocks(ax, module, axis="x")
    elif len(shown) <= 40:
        ax.set_xticks(range(len(shown)), shown, rotation=90, fontsize=8)
    else:
        ax.set(xticks=[], xlabel=f"{len(shown)} genes")
    return ax


def _name_blocks(ax: Axes, labels: pd.Series, *, axis: str) -> None:
    """Name runs of equal labels along an axis and draw white lines between them."""
    sizes = labels.astype(str).value_counts(sort=False)
    ends = sizes.cumsum()
    for end in ends.iloc[:-1]:
        (ax.axhline if axis == "y" else ax.axvline)(end - 0.5, color="white", linewidth=1.5)
    ticks = (ends - sizes / 2 - 0.5).to_numpy()
    if axis == "y":
        ax.set_yticks(ticks, sizes.index)
    else:
        ax.set_xticks(ticks, sizes.index, rotation=90 if len(sizes) > 6 else 0)
    ax.tick_params(axis=axis, length=0)


def plot_matrix(matrix: pd.DataFrame, *, label: str, limit: float | None = None, ax: Axes | None = None) -> Axes:
    """Heatmap of square cells, for attention, correlation or confusion.

    Names are shown up to 40 rows or columns, values up to 10. A cell without a value is grey.

    Parameters
    ----------
    matrix : pandas.DataFrame
        Values with their names as index and columns, which ``rename_axis`` gives a title.
    label : str
        What the colours mean.
    limit : float, optional
        Value of the strongest colour; the largest absolute value unless given. Matrices with negative values are
        coloured symmetrically around zero.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    values = matrix.to_numpy(float)
    limit = float(np.nanmax(np.abs(values))) if limit is None else limit
    _heatmap(ax, values, limit=limit, diverging=bool(np.nanmin(values) < 0), label=label, aspect="equal")
    if max(matrix.shape) <= 40:
        ax.set_xticks(range(matrix.shape[1]), matrix.columns, rotation=90, fontsize=8)
        ax.set_yticks(range(matrix.shape[0]), matrix.index, fontsize=8)
        ax.tick_params(length=0)
    else:
        ax.set(xticks=[], yticks=[])
    if max(matrix.shape) <= 10:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.6 * limit else "0.2"
                ax.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=8, color=ink)
    ax.set(xlabel=matrix.columns.name or "", ylabel=matrix.index.name or "")
    return ax


def _heatmap(ax: Axes, values: np.ndarray, *, limit: float, diverging: bool, label: str, aspect: str) -> None:
    colours = sns.color_palette("vlag" if diverging else "mako_r", as_cmap=True).with_extremes(bad="0.75")
    low = -limit if diverging else 0.0
    image = ax.imshow(values, cmap=colours, vmin=low, vmax=limit, aspect=aspect, interpolation="nearest")
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, cax=ax.inset_axes([1.03, 0.15, 0.035, 0.7]), label=label)
    bar.outline.set_visible(False)
