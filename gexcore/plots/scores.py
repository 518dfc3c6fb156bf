"""Figures of models: their scores over splits, their training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from .theme import LOWER_IS_BETTER, METRIC_NAMES


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
    shown = table[["task", "metric"]].drop_duplicates()
    if len(shown) != 1:
        message = f"a score plot shows one metric of one task, the table has {list(shown.itertuples(index=False))}"
        raise ValueError(message)
    task, metric = shown.iloc[0]
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
    ax.set_yticks(range(len(summary)), summary.index)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    direction = "lower is better" if lower else "higher is better"
    ax.set(ylim=(-0.5, len(summary) - 0.5), xlabel=f"{METRIC_NAMES.get(metric, metric)}, {task} ({direction})")
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
