"""Figures of models: their scores over splits, what sets them apart, what their parts are worth, their training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ..metrics import LOWER_IS_BETTER
from .theme import GREY, METRIC_NAMES

BETTER, *_, WORSE = sns.color_palette("vlag", 9)  # the ends of the diverging colours


def plot_scores(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """One score of several models: a point per split, mean and standard deviation, best model on top.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns model, seed, task, metric, value, with a single task and metric.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    task, metric = _only_score(table)
    lower = metric in LOWER_IS_BETTER
    splits = table.groupby("model", sort=False)["value"]
    summary = pd.DataFrame({"mean": splits.mean(), "sd": splits.std().fillna(0.0)})
    summary = summary.sort_values("mean", ascending=not lower, kind="stable")
    for y, (model, (mean, sd)) in enumerate(summary.iterrows()):
        values = table.loc[table["model"] == model, "value"]
        ax.scatter(values, y + np.linspace(-0.18, 0.18, len(values)), s=16, alpha=0.6, linewidth=0, color="C0")
        ax.errorbar(mean, y, xerr=sd, fmt="o", color="0.15", markersize=5, elinewidth=1.4, capsize=3)
        text = f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ± {sd:.3f}"
        ax.annotate(text, (1.02, y), xycoords=ax.get_yaxis_transform(), va="center", fontsize=9, color="0.3")
    _name_rows(ax, summary.index)
    direction = "lower is better" if lower else "higher is better"
    ax.set(ylim=(-0.5, len(summary) - 0.5), xlabel=f"{METRIC_NAMES.get(metric, metric)}, {task} ({direction})")
    return ax


def plot_differences(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Models against a reference in one score: differences with their 95 % intervals, the reference at zero.

    Blue: the whole interval is on the better side of zero; red: on the worse side; grey: zero is in it, or one split
    gave no interval.

    Parameters
    ----------
    table : pandas.DataFrame
        What :func:`gexcore.comparison.differences` returned, rows of a single task and metric.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    task, metric = _only_score(table)
    lower = metric in LOWER_IS_BETTER
    ax.axvline(0, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    for y, row in enumerate(table.itertuples()):
        color = {"better": BETTER, "worse": WORSE}.get(row.verdict, GREY)
        if row.high >= row.low:
            ax.plot([row.low, row.high], [y, y], color=color, linewidth=2, solid_capstyle="round")
        ax.plot(row.difference, y, "o", color=color, markersize=7, markeredgecolor="white")
        beside = {"xycoords": ax.get_yaxis_transform(), "va": "center", "fontsize": 9, "color": "0.3"}
        ax.annotate(_signed(row.difference), (1.02, y), **beside)
    _name_rows(ax, table["model"])
    direction = "\N{LEFTWARDS ARROW} lower is better" if lower else "higher is better \N{RIGHTWARDS ARROW}"
    label = f"{METRIC_NAMES.get(metric, metric)}, {task}: difference to {table['reference'].iloc[0]}\n({direction})"
    ax.set(ylim=(len(table) - 0.5, -0.5), xlabel=label)
    ax.locator_params(axis="x", nbins=5)
    return ax


def plot_pruning(table: pd.DataFrame, task: str, metric: str, *, ax: Axes | None = None) -> Axes:
    """Change of a score with attention heads removed: layers x heads, red where the score got worse, blue where better.

    The last row removes one head from all layers, the last column all heads of one layer. A cell is blank where there
    is no score.

    Parameters
    ----------
    table : pandas.DataFrame
        What :func:`gexcore.interpret.prune_heads` returned.
    task, metric : str
        The score shown.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    part = table[(table["task"] == task) & (table["metric"] == metric) & (table["layer"] != "none")]
    if part.empty:
        known = ", ".join(f"{t} {m}" for t, m in dict.fromkeys(zip(table["task"], table["metric"], strict=True)))
        message = f"the table has no {metric!r} of task {task!r}; it has {known}"
        raise ValueError(message)
    layers, heads = (sorted(part[name].unique(), key=_number_or_last) for name in ("layer", "head"))
    change = part.pivot(index="layer", columns="head", values="change").loc[layers, heads].to_numpy(float)
    limit = float(np.abs(np.nan_to_num(change)).max()) or 1.0
    colours = sns.color_palette("vlag" if metric in LOWER_IS_BETTER else "vlag_r", as_cmap=True)
    image = ax.imshow(change, cmap=colours, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    small = {"ha": "center", "va": "center", "fontsize": 8 if len(heads) < 9 else 7}
    for (row, column), value in np.ndenumerate(change):
        ink = "white" if abs(value) > 0.6 * limit else "0.2"
        ax.text(column, row, "" if np.isnan(value) else _signed(value), color=ink, **small)
    for names, line in ((layers, ax.axhline), (heads, ax.axvline)):
        for end, name in enumerate(names[1:]):
            line(end + 0.5, color="white", linewidth=6 if name == "all" else 1.5)
    ax.set_xticks(range(len(heads)), heads)
    ax.set_yticks(range(len(layers)), layers)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="Head removed", ylabel="Layer")
    label = f"{METRIC_NAMES.get(metric, metric)}, {task}: change\n(red is worse)"
    bar = ax.figure.colorbar(image, cax=ax.inset_axes([1.03, 0.1, 0.035, 0.8]), label=label)
    bar.outline.set_visible(False)
    return ax


def plot_history(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Loss by epoch: means over tasks for both parts, thin validation lines per task, best epoch marked.

    Parameters
    ----------
    history : pandas.DataFrame
        Columns epoch, split ("train" or "val"), task (one of them "mean"), loss, as ``TxT.history_`` has them.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    means = history[history["task"] == "mean"].set_index(["split", "epoch"])["loss"]
    tasks = history[(history["split"] == "val") & (history["task"] != "mean")]
    validation = tasks.pivot(index="epoch", columns="task", values="loss")
    blue, orange, *others = sns.color_palette(n_colors=2 + validation.shape[1])
    ax.plot(means["train"], color=blue, label="training, mean")
    if not validation.empty:
        ax.plot(means["val"], color=orange, label="validation, mean", linewidth=2.2)
        best = means["val"].idxmin()
        ax.plot(best, means["val"][best], "o", color=orange, markersize=6, label=f"best epoch ({best})")
    if validation.shape[1] > 1:
        for task, color in zip(validation, others, strict=True):
            ax.plot(validation[task], color=color, linewidth=0.9, label=f"validation, {task}")
    ax.set(xlabel="Epoch", ylabel="Loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _only_score(table: pd.DataFrame) -> tuple[str, str]:
    """Task and metric of a table that holds one of each."""
    shown = table[["task", "metric"]].drop_duplicates()
    if len(shown) != 1:
        message = f"a score plot shows one metric of one task, the table has {list(shown.itertuples(index=False))}"
        raise ValueError(message)
    return tuple(shown.iloc[0])


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}".replace("-", "\N{MINUS SIGN}")  # + 0.0: no negative zero


def _number_or_last(name: str) -> float:
    return np.inf if name == "all" else int(name)
