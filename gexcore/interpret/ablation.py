"""What the parts of TxT are worth: parts of a trained model switched off, and models trained without a part.

Every function returns one tidy table. Switching off tells what this model relies on, training without tells what the
part is good for: a model can rely on what another model does without.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd
import torch
from anndata import AnnData

from ..comparison import over_splits
from ..metrics import evaluate, without_counts
from ..tasks import Task, check_tasks
from ..txt import TxT

# ----------------------------------------------------------------------------------------- switching off


@contextlib.contextmanager
def pruned(model: TxT, heads: Iterable[tuple[int, int]]) -> Iterator[TxT]:
    """Within the ``with`` block the given attention heads of a fitted model contribute nothing.

    Parameters
    ----------
    model : TxT
    heads : iterable of (layer, head)
        Both counted from 1. A head is removed by clearing its columns of the layer's output projection; with all
        heads of a layer removed, only the residual connection passes its attention.

    Examples
    --------
    >>> with pruned(model, [(1, 2)]):  # doctest: +SKIP
    ...     model.predict(test)
    """
    blocks = model.fitted_module().encoder.blocks
    parts = []
    for layer, head in heads:
        if not (1 <= layer <= len(blocks) and 1 <= head <= model.settings.n_heads):
            message = (
                f"there is no head {head} in layer {layer}; the model has {len(blocks)} layers of "
                f"{model.settings.n_heads} heads, counted from 1"
            )
            raise ValueError(message)
        weight = blocks[layer - 1].attention.out.weight  # (E, D)
        width = weight.shape[1] // model.settings.n_heads
        parts.append((weight, slice((head - 1) * width, head * width)))
    with _zeroed(parts):
        yield model


@contextlib.contextmanager
def _zeroed(parts: Sequence[tuple[torch.nn.Parameter, slice]]) -> Iterator[None]:
    """Entries of weights, sliced along the last axis, are zero within the block and as they were after it."""
    # Always through the parameter: a view of it would point to old memory once the model moved to another device.
    kept = [weight.detach()[..., entries].clone() for weight, entries in parts]
    try:
        with torch.no_grad():
            for weight, entries in parts:
                weight[..., entries] = 0
        yield
    finally:
        with torch.no_grad():
            for (weight, entries), values in zip(parts, kept, strict=True):
                weight[..., entries].copy_(values)


def prune_heads(model: TxT, test: AnnData, *, train: AnnData | None = None) -> pd.DataFrame:
    """Scores with attention heads removed: each alone, all of one layer, and one number in all layers.

    Parameters
    ----------
    model : TxT
        A fitted model.
    test, train : AnnData
        As in :func:`gexcore.evaluate`.

    Returns
    -------
    pandas.DataFrame
        layer, head, task, metric, value, ``change`` (value minus that of the intact model). Layers and heads are words:
        "1", "2", ..., "all", and "none" for the intact model.
    """
    layers = range(1, len(model.fitted_module().encoder.blocks) + 1)
    numbers = range(1, model.settings.n_heads + 1)
    removed = {("none", "none"): []}
    removed |= {(str(layer), str(head)): [(layer, head)] for layer in layers for head in numbers}
    removed |= {(str(layer), "all"): [(layer, head) for head in numbers] for layer in layers}
    removed |= {("all", str(head)): [(layer, head) for layer in layers] for head in numbers}
    removed["all", "all"] = [(layer, head) for layer in layers for head in numbers]
    tables = []
    for (layer, head), heads in removed.items():
        with pruned(model, heads):
            scores = evaluate(model.predict(test), test, train=train)
        tables.append(without_counts(scores).assign(layer=layer, head=head))
    return _with_change(pd.concat(tables, ignore_index=True), ["layer", "head"])


def silence_expression(model: TxT, test: AnnData, *, train: AnnData | None = None) -> pd.DataFrame:
    """Scores with the paths of expression into a trained model switched off.

    Returns
    -------
    pandas.DataFrame
        silenced ("none", "attention", "tokens", "both"; the paths the model has), task, metric, value, change.
    """
    encoder = model.fitted_module().encoder
    parts = {}
    if encoder.term is not None:
        parts["attention"] = [(encoder.term.query.weight, slice(None))]
    if encoder.value is not None:
        parts["tokens"] = [(encoder.value.weight, slice(None)), (encoder.value.bias, slice(None))]
    silenced = {"none": [], **parts}
    if len(parts) == 2:
        silenced["both"] = parts["attention"] + parts["tokens"]
    tables = []
    for name, weights in silenced.items():
        with _zeroed(weights):
            tables.append(without_counts(evaluate(model.predict(test), test, train=train)).assign(silenced=name))
    return _with_change(pd.concat(tables, ignore_index=True), ["silenced"])


def _with_change(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    intact = table[(table[names] == "none").all(axis=1)].set_index(["task", "metric"])["value"]
    change = table["value"] - intact.reindex(pd.MultiIndex.from_frame(table[["task", "metric"]])).to_numpy()
    return table.assign(change=change)[[*names, "task", "metric", "value", "change"]]


# -------------------------------------------------------------------------------------- training without


def compare_gene_vectors(
    cohort: AnnData,
    tasks: Task | Sequence[Task],
    vectors: Mapping[str, pd.DataFrame | None],
    *,
    seeds: Sequence[int] = range(5),
    **settings,
) -> pd.DataFrame:
    """TxT started from different gene vectors: those of the network, of a rewired one, random ones.

    Parameters
    ----------
    cohort, tasks
        What is split, and what is predicted.
    vectors : mapping of str to DataFrame or None
        Name to gene vectors (:mod:`gexcore.network`); None starts from the model's own random numbers.
    seeds : sequence of int
        One split and one model per seed, the same for all.
    **settings
        Of :class:`gexcore.TxT`, ``preset`` and ``device`` included.

    Returns
    -------
    pandas.DataFrame
        As :func:`gexcore.comparison.over_splits`.
    """
    models = {
        name: lambda seed, given=given: TxT(tasks, gene_embedding=given, seed=seed, **settings)
        for name, given in vectors.items()
    }
    return over_splits(models, cohort, tasks, seeds=seeds)


def compare_strategies(
    cohort: AnnData,
    tasks: Sequence[Task],
    strategies: Sequence[str] = ("equal", "uncertainty", "gradnorm", "pcgrad", "pcgrad-fast"),
    *,
    seeds: Sequence[int] = range(5),
    **settings,
) -> pd.DataFrame:
    """TxT with different ways to make several task gradients one step (:mod:`gexcore.multitask`).

    Parameters and result as in :func:`compare_gene_vectors`.
    """
    models = {name: lambda seed, name=name: TxT(tasks, multitask=name, seed=seed, **settings) for name in strategies}
    return over_splits(models, cohort, tasks, seeds=seeds)


def compare_expression_paths(
    cohort: AnnData, tasks: Task | Sequence[Task], *, seeds: Sequence[int] = range(5), **settings
) -> pd.DataFrame:
    """TxT with expression in the attention scores (the paper), in the tokens, in both, and in neither.

    Without either path all patients look alike to the model: it can only give everybody the same prediction.
    Parameters and result as in :func:`compare_gene_vectors`.
    """
    names = {(True, False): "attention", (False, True): "tokens", (True, True): "both", (False, False): "neither"}
    models = {
        name: lambda seed, term=term, value=value: TxT(
            tasks, expression_term=term, value_path=value, seed=seed, **settings
        )
        for (term, value), name in names.items()
    }
    return over_splits(models, cohort, tasks, seeds=seeds)


def compare_task_counts(
    cohort: AnnData, tasks: Sequence[Task], *, seeds: Sequence[int] = range(5), **settings
) -> pd.DataFrame:
    """TxT trained on the first task alone, on the first two, and so on: what each further task does to the first.

    Parameters and result as in :func:`compare_gene_vectors`; ``model`` reads "os", "os + age", ...
    """
    tasks = check_tasks(tasks)
    subsets = itertools.accumulate((task,) for task in tasks)
    models = {
        " + ".join(task.name for task in subset): lambda seed, subset=subset: TxT(subset, seed=seed, **settings)
        for subset in subsets
    }
    return over_splits(models, cohort, tasks, seeds=seeds)
