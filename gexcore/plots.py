"""Every figure of the book: ``plot_x(data, ax=None)`` draws one thing on given axes, or on the current ones, and
returns them; nothing is shown or saved. :func:`use_theme` sets the one look they share.

Shapes: N samples, G genes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from anndata import AnnData
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from .metrics import regression_scores
from .tasks import SurvivalPrediction, Task, ValuePrediction, check_tasks

GREY, LIGHT_GREY = "0.45", "0.88"
METRIC_NAMES = {
    "c_index": "C-index",
    "c_index_ipcw": "C-index, weighted for censoring",
    "ibs": "Integrated Brier score",
    "auc": "Time-dependent AUC",
    "accuracy": "Accuracy",
    "f1": "Macro F1",
    "precision": "Macro precision",
    "recall": "Macro recall",
    "auroc": "AUROC",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "pcc": "Pearson correlation",
    "scc": "Spearman correlation",
}
LOWER_IS_BETTER = {"ibs", "mae", "rmse"}


def use_theme() -> None:
    """Set the look of the book: white, open axes, colour-blind safe, readable at 100 dpi and 4 to 8 inches."""
    sns.set_theme(
        style="ticks",
        palette="colorblind",
        rc={
            "figure.figsize": (6.0, 3.8),
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.title_fontsize": 9,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.edgecolor": "0.3",
            "xtick.major.width": 0.8,
            "ytick.major.width": 0.8,
            "xtick.color": "0.3",
            "ytick.color": "0.3",
            "lines.linewidth": 1.6,
        },
    )


# --------------------------------------------------------------------------------------------- survival


def plot_kaplan_meier(
    time: Sequence[float],
    event: Sequence[float],
    groups: Sequence | None = None,
    *,
    unit: str | None = None,
    at_risk: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Kaplan-Meier curves with 95 % bands, a tick per censoring and the log-rank p value over all groups.

    Parameters
    ----------
    time, event, groups : sequence, shape (N,)
        Follow-up, 1 = event, and group; Series are aligned by sample, samples with anything missing are left out.
        Groups are drawn in sorted order, or in the order of an ordered categorical.
    unit : str, optional
        Unit of time, for the label.
    at_risk : bool
        Write the numbers at risk below the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or plt.gca()
    columns = {"time": time, "event": event} | ({} if groups is None else {"group": groups})
    table = pd.DataFrame(columns).dropna()
    parts = [("all", table)] if groups is None else list(table.groupby("group", observed=True))
    for (name, part), color in zip(parts, sns.color_palette(n_colors=len(parts)), strict=True):
        km = KaplanMeierFitter().fit(part["time"], part["event"])
        curve, band = km.survival_function_.iloc[:, 0], km.confidence_interval_
        ax.step(curve.index, curve, where="post", color=color, label=f"{name} (n = {len(part)})")
        ax.fill_between(band.index, *band.to_numpy().T, step="post", color=color, alpha=0.15, linewidth=0)
        censored = part.loc[part["event"] == 0, "time"]
        ax.plot(censored, km.predict(censored.to_numpy()), "|", color=color, markersize=5, markeredgewidth=0.8)
    ax.set(xlim=(0, None), ylim=(0, 1.02), xlabel=_with_unit("Time", unit), ylabel="Survival probability")
    if len(parts) > 1:
        p = multivariate_logrank_test(table["time"], table["group"], table["event"]).p_value
        title = "log-rank p < 0.001" if p < 0.001 else f"log-rank p = {p:.2g}"
        outside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(parts) > 3 else {}
        ax.legend(title=title, alignment="left", **outside)
    if at_risk:
        _write_at_risk(ax, parts)
    return ax


def _write_at_risk(ax: Axes, parts: Sequence[tuple[str, pd.DataFrame]]) -> None:
    """Numbers at risk under the time axis, one line per group in its colour."""
    ticks = [t for t in ax.get_xticks() if 0 <= t <= ax.get_xlim()[1]]
    for (name, part), color, row in zip(parts, sns.color_palette(n_colors=len(parts)), range(len(parts)), strict=True):
        below = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points", "fontsize": 8, "color": color}
        ax.annotate(f"{name}  ", (0, 0), (-14, -44 - 13 * row), ha="right", **below)
        for t in ticks:
            ax.annotate(str((part["time"] >= t).sum()), (t, 0), (0, -44 - 13 * row), ha="center", **below)


def plot_calibration(
    prediction: SurvivalPrediction,
    cohort: AnnData,
    *,
    at: float,
    n_groups: int = 4,
    unit: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Predicted against observed survival at one time, in equal groups of predicted survival.

    Observed is the Kaplan-Meier estimate with its 95 % interval; a group followed for less than ``at`` has none and
    is left out. On the diagonal the predicted probabilities can be taken at their word.

    Parameters
    ----------
    prediction : SurvivalPrediction
        With survival curves.
    cohort : AnnData
        The predicted samples, with labels.
    at : float
        Time, in the unit of the follow-up.
    n_groups : int
        Number of groups.
    unit : str, optional
        Unit of time, for the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    labels = prediction.task.read(cohort.obs).dropna()
    predicted = pd.Series(prediction.survival_at([at])[:, 0], prediction.survival.columns)[labels.index]
    groups = pd.qcut(predicted.rank(method="first"), n_groups, labels=False)
    points = []
    for _, part in labels.groupby(groups):
        km = KaplanMeierFitter().fit(part["time"], part["event"])
        if part["time"].max() >= at:
            low, high = km.confidence_interval_.loc[:at].iloc[-1]
            points.append((predicted[part.index].mean(), km.predict(at), low, high))
    x, y, low, high = np.array(points).reshape(-1, 4).T
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    ax.errorbar(x, y, yerr=[y - low, high - y], fmt="o-", markersize=5, elinewidth=1, capsize=2)
    when = f"at {at:g} {unit}" if unit else f"at time {at:g}"
    ax.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    ax.set(xlabel=f"Predicted survival {when}", ylabel=f"Observed survival {when}")
    return ax


# ---------------------------------------------------------------------------------- scores and training


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
        Columns epoch, split ("train" or "val"), task, loss.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    means = history.groupby(["split", "epoch"])["loss"].mean()
    validation = history[history["split"] == "val"].pivot(index="epoch", columns="task", values="loss")
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


def plot_observed_predicted(
    prediction: ValuePrediction, cohort: AnnData, *, unit: str | None = None, ax: Axes | None = None
) -> Axes:
    """Predicted against observed values of a regression task, with the diagonal, error and correlation."""
    ax = ax or plt.gca()
    observed = prediction.task.read(cohort.obs).dropna()
    predicted = prediction.values[observed.index]
    scores = regression_scores(observed.to_numpy(), predicted.to_numpy(float))
    ends = [min(observed.min(), predicted.min()), max(observed.max(), predicted.max())]
    ax.plot(ends, ends, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    ax.scatter(observed, predicted, s=18, alpha=0.6, linewidth=0)
    name = _with_unit(prediction.task.name, unit)
    ax.set(xlabel=f"Observed {name}", ylabel=f"Predicted {name}", aspect="equal")
    ax.set_title(f"mean absolute error {scores['mae']:.3g}, r = {scores['pcc']:.2f}", fontsize=9, color="0.3")
    return ax


# ------------------------------------------------------------------------------ cohorts and matrices


def plot_labels(cohort: AnnData, tasks: Task | Sequence[Task], *, ax: Axes | None = None) -> Axes:
    """One bar per task: its classes, events and censorings, or range of values, and in grey what is missing."""
    ax = ax or plt.gca()
    tasks = check_tasks(tasks)
    points_per_sample = 72 * ax.figure.get_figwidth() * ax.get_position().width / cohort.n_obs
    for y, task in enumerate(tasks):
        parts, start = _label_parts(task, cohort.obs), 0
        for (name, n), color in zip(parts.items(), sns.color_palette("Blues_r", len(parts) + 2), strict=False):
            ax.barh(y, n, left=start, height=0.62, color=color, edgecolor="white", linewidth=1.5)
            if n * points_per_sample > 4.6 * max(len(name), len(str(n))) + 4:  # the name fits
                ink = "white" if sum(color) < 1.7 else "0.2"
                ax.text(start + n / 2, y, f"{name}\n{n}", ha="center", va="center", fontsize=8, color=ink)
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

    Names are shown up to 40 rows or columns, values up to 10.

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


def _with_unit(name: str, unit: str | None) -> str:
    return f"{name} ({unit})" if unit else name
