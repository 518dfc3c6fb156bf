"""Figure of perturbed genes: what one step of each does to a prediction."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from .theme import GREY, with_unit

LOWERS, *_, RAISES = sns.color_palette("vlag", 9)  # the ends of the diverging colours


def plot_effects(
    effects: pd.DataFrame,
    *,
    task: str,
    output: str = "",
    n_top: int = 10,
    unit: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The genes of the largest effects on one prediction, with their intervals, the largest on top.

    Red genes raise the prediction, blue ones lower it. A dot is filled where the interval excludes zero, and hollow
    where it holds it or one model gave none.

    Parameters
    ----------
    effects : pandas.DataFrame
        What :func:`gexcore.interpret.gene_effects` returned.
    task, output : str
        The prediction that is shown; ``output`` is the class of a classification.
    n_top : int
        Genes shown.
    unit : str, optional
        Of the effect, for the axis.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    effects = effects.fillna({"output": ""})  # a text file gives an empty output back as missing
    part = effects[(effects["task"] == task) & (effects["output"] == output)].dropna(subset="effect")
    if part.empty:
        known = dict.fromkeys(zip(effects["task"], effects["output"], strict=True))
        names = ", ".join(repr(" ".join(name).strip()) for name in known) or "none"
        message = f"the table has no effect on task {task!r}, output {output!r}; it has effects on {names}"
        raise ValueError(message)
    shown = part.sort_values("effect", key=abs, ascending=False, kind="stable").head(n_top)
    ax.axvline(0, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    for y, row in enumerate(shown.itertuples()):
        color = RAISES if row.effect > 0 else LOWERS
        ax.plot([row.low, row.high], [y, y], color=color, linewidth=2, solid_capstyle="round", zorder=1)
        decided = row.low > 0 or row.high < 0
        ax.plot(row.effect, y, "o", color=color, markersize=6, markerfacecolor=color if decided else "white")
    ax.set_yticks(range(len(shown)), shown["gene"])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    what = f"{task}, {output}" if output else task
    ax.set(ylim=(len(shown) - 0.5, -0.5), xlabel=with_unit(f"{what}:\nchange with one step up", unit))
    ax.locator_params(axis="x", nbins=5)
    return ax
