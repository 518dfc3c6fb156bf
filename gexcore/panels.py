"""How far a model gets with few genes: every model is fitted and scored on the same small panels.

Random panels show what a model makes of whatever was measured; panels of the most variable genes what it makes of a
good choice. Shapes: N samples, G genes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import stats
from tqdm import tqdm

from .cohort import as_cohort
from .genes import select_genes
from .metrics import LOWER_IS_BETTER, evaluate, without_counts
from .tasks import Task, first_ids


class Panel(NamedTuple):
    """Genes a model may read, with the names of the panel in tables: its size and the number of its draw."""

    size: int
    draw: int
    genes: list[str]


# ----------------------------------------------------------------------------------------------- drawing


def random_panels(genes: Sequence[str], sizes: Sequence[int], *, n_draws: int = 10, seed: int = 0) -> list[Panel]:
    """Draw panels at random; of one draw, a larger panel holds every gene of a smaller one.

    Parameters
    ----------
    genes : sequence of str
        What is drawn from.
    sizes : sequence of int
        Genes per panel.
    n_draws : int
        Panels per size. More of them leave the first ones as they are.
    seed : int

    Returns
    -------
    list of Panel
        Tuples (size, draw, genes), by size and then by draw.

    Examples
    --------
    >>> for panel in random_panels(["EGFR", "ESR1", "KRAS", "MYC", "TP53"], [1, 3], n_draws=2):
    ...     print(*panel)
    1 0 ['KRAS']
    1 1 ['TP53']
    3 0 ['KRAS', 'TP53', 'MYC']
    3 1 ['TP53', 'ESR1', 'KRAS']
    """
    genes = pd.Index(genes)
    _check_sizes(sizes, len(genes))
    if n_draws < 1:
        message = f"n_draws is a number of panels of each size, 1 or more, not {n_draws}"
        raise ValueError(message)
    if not genes.is_unique:
        twice = genes[genes.duplicated()].unique()
        message = f"{len(twice)} genes are listed twice or more, first {first_ids(twice)}; list each once"
        raise ValueError(message)
    rng = np.random.default_rng(seed)
    orders = [genes[rng.permutation(len(genes))] for _ in range(n_draws)]
    return [Panel(size, draw, order[:size].tolist()) for size in sizes for draw, order in enumerate(orders)]


def top_variance_panels(train: AnnData, sizes: Sequence[int]) -> list[Panel]:
    """The most variable genes, a panel per size, all of draw 0 (:func:`gexcore.select_genes`).

    Parameters
    ----------
    train : AnnData
        The training samples alone.
    sizes : sequence of int
        Genes per panel.
    """
    train = as_cohort(train)
    _check_sizes(sizes, train.n_vars)
    ranked = select_genes(train, n=max(sizes))
    _check_sizes(sizes, len(ranked), what="genes that vary between the training samples")
    return [Panel(size, 0, ranked[:size]) for size in sizes]


def _check_sizes(sizes: Sequence[int], n_genes: int, *, what: str = "genes") -> None:
    wrong = [size for size in sizes if not 1 <= size <= n_genes]
    if wrong or len(sizes) == 0 or len(set(sizes)) < len(sizes):
        advice = f"; leave out {first_ids(wrong)}" if wrong else ""
        message = (
            f"sizes must be different numbers from 1 to {n_genes}, the number of {what}, not {list(sizes)}{advice}"
        )
        raise ValueError(message)


# --------------------------------------------------------------------------------------------- comparing


def compare_panels(
    models: Mapping[str, Callable[[int], Any]],
    train: AnnData,
    test: AnnData,
    task: Task,
    panels: Sequence[Panel],
    *,
    val: AnnData | None = None,
) -> pd.DataFrame:
    """Fit every model on every panel, and score it on the test samples.

    A model is handed the genes of the panel and nothing else that was measured, and test samples without their labels.

    Parameters
    ----------
    models : mapping of str to callable
        Name to ``model(seed)``, an estimator with ``fit(train, val)`` and ``predict(test)``. The seed is the number of
        the draw.
    train, test, val : AnnData
        ``val`` is for models that stop by it.
    task : Classification, Regression or Survival
        What is scored; every model predicts it.
    panels : sequence of Panel
        From :func:`random_panels` or :func:`top_variance_panels`, or any tuples (size, draw, genes). Each pair of size
        and draw occurs once: random and chosen panels are scored in tables of their own.

    Returns
    -------
    pandas.DataFrame
        model, size, draw, metric, value, seconds (of the fit). Metrics are those of :func:`gexcore.evaluate`; of a
        classification, ``recall`` is the balanced accuracy where every class has test samples.
    """
    train, test, val = as_cohort(train), as_cohort(test), None if val is None else as_cohort(val)
    task.read(test.obs)  # labels that cannot be scored are refused before the first fit
    _check_panels(panels, {"training": train, "test": test} | ({} if val is None else {"validation": val}))
    tables = []
    bar = tqdm(total=len(models) * len(panels), desc="fits", disable=None, leave=False)
    for size, draw, genes in panels:
        given, held = _on_panel(train, genes), None if val is None else _on_panel(val, genes)
        asked = _on_panel(test, genes)
        asked.obs = asked.obs.drop(columns=list(task.columns))
        for name, model in models.items():
            start = time.monotonic()
            fitted = model(draw).fit(given.copy(), None if held is None else held.copy())
            seconds = time.monotonic() - start
            prediction = fitted.predict(asked.copy())[task.name]
            scores = without_counts(evaluate({task.name: prediction}, test, train=train))
            tables.append(scores.assign(model=name, size=size, draw=draw, seconds=seconds))
            bar.update()
    bar.close()
    return pd.concat(tables, ignore_index=True)[["model", "size", "draw", "metric", "value", "seconds"]]


def _check_panels(panels: Sequence[Panel], parts: Mapping[str, AnnData]) -> None:
    if not panels:
        message = "there is no panel to compare on: pass those of random_panels or top_variance_panels"
        raise ValueError(message)
    labels = pd.Index([f"size {size}, draw {draw}" for size, draw, _ in panels])
    if not labels.is_unique:
        twice = labels[labels.duplicated()].unique()
        message = (
            f"{len(twice)} panels occur twice or more, first {twice[0]}; score panels of another choice or seed in a "
            "table of their own"
        )
        raise ValueError(message)
    for label, (_, _, genes) in zip(labels, panels, strict=True):
        if len(genes) == 0:
            message = f"the panel of {label} is empty; a model needs a gene or more"
            raise ValueError(message)
        for part, cohort in parts.items():
            lacking = pd.Index(genes).difference(cohort.var_names, sort=False)
            if len(lacking):
                message = (
                    f"the {part} samples lack {len(lacking)} of the {len(genes)} genes of the panel of {label}, first "
                    f"{first_ids(lacking)}; draw panels from the genes that all parts share"
                )
                raise ValueError(message)


def _on_panel(cohort: AnnData, genes: Sequence[str]) -> AnnData:
    """Expression of the panel and ``obs``; layers, raw values and the like would carry other genes along."""
    return AnnData(cohort[:, genes].X.copy(), obs=cohort.obs.copy(), var=pd.DataFrame(index=pd.Index(genes)))


# -------------------------------------------------------------------------------------------- one against all


def against_best_rival(
    scores: pd.DataFrame, model: str, *, metric: str = "accuracy", level: float = 0.95
) -> pd.DataFrame:
    """One model against each of the others, paired on the same panels.

    Parameters
    ----------
    scores : pandas.DataFrame
        What :func:`compare_panels` returned, for one split of the samples.
    model : str
        The one the others are subtracted from.
    metric : str
        The score that is compared.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        A row per size and rival: size, rival, ``best`` (it has the best mean of all rivals at that size), ``mean`` of
        the model, ``rival_mean``, ``difference`` (mean of model minus rival over the draws both have), low, high,
        draws. Sorted by size, best rival first.

    Notes
    -----
    The interval is that of the paired t-test over draws of genes. It covers which genes happened to be measured, for
    the training and test samples at hand. It does not cover which patients these are: all draws are scored on the same
    test samples, and other splits or another cohort may differ by more than the interval is wide. Nested panels make
    the rows of different sizes depend on one another, and no row is corrected for their number. The best rival is
    picked by the very scores it is compared on, which flatters the rival.
    """
    part = scores[scores["metric"] == metric]
    names = list(dict.fromkeys(part["model"]))
    if model not in names or len(names) < 2:
        message = f"{model!r} needs rivals in scores of {metric!r}; those are of {', '.join(names) or 'no model'}"
        raise ValueError(message)
    twice = part[part.duplicated(["model", "size", "draw"])]
    if len(twice):
        message = (
            f"{len(twice)} panels are scored twice or more, first size {twice['size'].iloc[0]}, draw "
            f"{twice['draw'].iloc[0]} for {twice['model'].iloc[0]!r}; pass the scores of one split at a time"
        )
        raise ValueError(message)
    rows = []
    for size, group in part.groupby("size"):
        by_model = group.pivot(index="draw", columns="model", values="value").reindex(columns=names)
        rivals = by_model.drop(columns=model).mean().sort_values(ascending=metric in LOWER_IS_BETTER, kind="stable")
        for rank, rival in enumerate(rivals.index):
            pairs = by_model[[model, rival]].dropna()
            means = {"mean": pairs[model].mean(), "rival_mean": pairs[rival].mean()}
            interval = _paired_interval(pairs[model] - pairs[rival], level)
            rows.append({"size": size, "rival": rival, "best": rank == 0, **means, **interval, "draws": len(pairs)})
    return pd.DataFrame(rows)


def _paired_interval(difference: pd.Series, level: float) -> dict[str, float]:
    """Mean and t interval; no interval from fewer than two differences or from equal ones."""
    mean, low, high = difference.mean(), np.nan, np.nan
    if len(difference) > 1 and difference.std() > 0:
        low, high = stats.t.interval(level, len(difference) - 1, loc=mean, scale=difference.sem())
    return {"difference": mean, "low": low, "high": high}
