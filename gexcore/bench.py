"""The bench: all methods of the two papers on the same splits of a cohort, one tidy table of scores and costs.

The scores of one method on one split are one file of a folder, a shard, so that a sweep can be broken off, taken up
again and spread over machines, and is one table in the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from tqdm import tqdm

from .cohort import as_cohort
from .comparison import over_splits
from .files import write_file
from .genes import OnSelectedGenes
from .imputation import Meter
from .methods import METHODS, Context, Method, Tuned
from .metrics import HEADLINES
from .splits import split_table
from .tasks import Task, check_tasks, first_ids

COLUMNS = ["cohort", "model", "seed", "task", "metric", "value", "seconds", "peak_mb", "status", "error"]  # of scores
_PACKAGES = ("gexcore", "anndata", "lifelines", "numpy", "pandas", "scikit-learn", "scikit-survival", "scipy", "torch")


# ------------------------------------------------------------------------------------------- benchmark


def benchmark(
    models: str | Sequence[str] | Mapping[str, Method | Callable[[int], Any]],
    cohort: AnnData | pd.DataFrame | str | os.PathLike,
    tasks: Task | Sequence[Task],
    *,
    seeds: Sequence[int] = range(10),
    context: Context | None = None,
    folder: str | os.PathLike | None = None,
) -> pd.DataFrame:
    """Fit and score methods on the same splits 70/10/20 of a cohort.

    Parameters
    ----------
    models : sequence of str, or mapping of str to Method or callable
        Names in ``METHODS``, or methods of your own by name. ``model(seed)`` makes one estimator for all the tasks it
        predicts, as in :func:`gexcore.comparison.over_splits`.
    cohort : AnnData, DataFrame or path
        ``uns["name"]`` is what it is called, "cohort" unless given.
    tasks : task or sequence of tasks
        What is predicted, and what the splits are stratified by.
    seeds : sequence of int
        A split per seed, and the seed of the methods on it.
    context : Context, optional
        What methods may know beside the tasks.
    folder : path, optional
        Keeps every method and seed in a file ``<cohort>/<model>/seed-<seed>.csv``, with a ``.json`` beside it that says
        what was run, where, when and by which versions. Files that are there are read, not made again: delete the file
        of a fit to repeat it.

    Returns
    -------
    pandas.DataFrame
        cohort, model, seed, task, metric, value; ``seconds`` and ``peak_mb`` of the fit: its duration, and how far the
        main memory of the process rose above where it stood; ``status`` and ``error``. A fit of several tasks together
        gives its cost to each. Status "failed": value is NaN in a row of the task's headline metric, ``error`` says
        what went wrong. Status "not taken": the method does not predict such a task or lacks what it needs, ``error``
        says why. Status "scored" is all else.

    Raises
    ------
    ValueError
        Unknown or no methods, no seeds, too few samples to divide, labels that cannot be read, covariates the cohort
        lacks, or a file in the folder that was made from other samples, tasks or context.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo")
    >>> tasks = [gx.Survival("os", time="os_time", event="os_event"), gx.Regression("age")]
    >>> scores = benchmark(["ridge-cox", "null-model"], cohort, tasks, seeds=[0])
    >>> scores.groupby("model")["status"].unique().map(list).to_dict()
    {'null-model': ['scored'], 'ridge-cox': ['scored', 'not taken']}
    """
    methods = _chosen(models)
    if not len(seeds):
        message = "seeds is empty: a split needs a seed"
        raise ValueError(message)
    cohort, tasks, context = as_cohort(cohort), check_tasks(tasks), context or Context()
    split_table(cohort, tasks, seeds=seeds)  # what cannot be divided is an error here, and not one of every method
    for task in tasks:
        task.read(cohort.obs)
    if absent := [column for column in context.covariates if column not in cohort.obs]:
        message = f"the clinical table lacks the covariates {first_ids(absent)}; it has {first_ids(cohort.obs, 12)}"
        raise ValueError(message)
    name = cohort.uns.get("name", "cohort")
    made_from = None if folder is None else _description(cohort, tasks, context)
    tables = []
    bar = tqdm(total=len(seeds) * len(methods), desc="methods", disable=None, leave=False)
    for seed, (model, method) in product(seeds, methods.items()):
        path = None if folder is None else shard_path(folder, name, model, seed)
        if path is not None and path.exists():
            table = _kept(path, made_from)
        else:
            table = _scores(model, method, cohort, tasks, seed=seed, context=context)
            table = table.assign(cohort=name, model=model, seed=seed)[COLUMNS]
            if path is not None:
                _keep(path, table, {"cohort": name, "model": model, "seed": seed, **made_from})
        tables.append(table)
        bar.update()
    bar.close()
    return pd.concat(tables, ignore_index=True)


def _chosen(models: str | Sequence[str] | Mapping[str, Method | Callable[[int], Any]]) -> dict[str, Method]:
    if isinstance(models, Mapping) and models:
        return {name: model if isinstance(model, Method) else _own(model) for name, model in models.items()}
    names = [models] if isinstance(models, str) else list(models)
    if (unknown := [name for name in names if name not in METHODS]) or not names:
        message = (
            f"no method is {f'called {first_ids(unknown)}' if unknown else 'named'}; there are {', '.join(METHODS)}"
        )
        raise ValueError(message)
    return {name: METHODS[name] for name in names}


def _own(model: Callable[[int], Any]) -> Method:
    return Method(make=lambda tasks, seed, context: model(seed), joint=True)


def _scores(
    name: str, method: Method, cohort: AnnData, tasks: Sequence[Task], *, seed: int, context: Context
) -> pd.DataFrame:
    """task, metric, value, seconds, peak_mb, status, error of one method on one split."""
    fits, why = _fits(method, tasks, context)
    tables = [_without_value(task, "not taken", why) for task in tasks if not any(task in fit for fit in fits)]
    for fit in fits:
        estimator = partial(_estimator, method, fit, context)
        with Meter() as meter:
            try:
                scores = over_splits({name: estimator}, cohort, tasks, seeds=[seed]).assign(status="scored", error="")
            except Exception as error:  # whatever it is, the other methods go on, and the table says so
                text = " ".join(f"{type(error).__name__}: {error}".split())
                scores = pd.concat([_without_value(task, "failed", text) for task in fit])
        seconds = scores["seconds"].fillna(meter.seconds)
        silent = [task for task in fit if task.name not in set(scores["task"])]
        absent = [_without_value(task, "not taken", "the model did not predict this task") for task in silent]
        tables.append(pd.concat([scores.assign(seconds=seconds, peak_mb=meter.megabytes), *absent]))
    order = {task.name: position for position, task in enumerate(tasks)}
    return pd.concat(tables).sort_values("task", key=lambda column: column.map(order), kind="stable")


def _fits(method: Method, tasks: Sequence[Task], context: Context) -> tuple[list[list[Task]], str]:
    """The tasks of each model that is fitted, and why the others are not taken."""
    if lacking := [need.replace("_", " ") for need in method.needs if not getattr(context, need)]:
        return [], f"needs {' and '.join(lacking)}"
    taken = [task for task in tasks if task.kind in method.kinds]
    if method.mixed and len({task.kind == "survival" for task in taken}) < 2:
        return [], "needs survival and another task"
    fits = [taken] if method.joint and taken else [[task] for task in taken]
    return fits, f"predicts {' and '.join(method.kinds)}"


def _estimator(method: Method, tasks: Sequence[Task], context: Context, seed: int) -> Any:
    make = partial(method.make, tasks, seed, context)
    model = Tuned(make, method.grid) if method.grid else make()
    return model if context.n_genes is None else OnSelectedGenes(model, n=context.n_genes)


def _without_value(task: Task, status: str, error: str) -> pd.DataFrame:
    row = {"task": task.name, "metric": HEADLINES[task.kind], "value": np.nan, "seconds": np.nan, "peak_mb": np.nan}
    return pd.DataFrame([row | {"status": status, "error": error}])


# ---------------------------------------------------------------------------------------------- shards


def shard_path(folder: str | os.PathLike, cohort: str, model: str, seed: int) -> Path:
    """Where a folder keeps the scores of one method on one split."""
    for name in (cohort, model):
        if not re.fullmatch(r"\w[\w.+-]*", name):
            message = f"{name!r} is to name a folder: letters, digits and the signs _ . + - only"
            raise ValueError(message)
    return Path(folder, cohort, model, f"seed-{seed}.csv")


def collect(folder: str | os.PathLike) -> pd.DataFrame:
    """All shards of a folder as one table, as :func:`benchmark` returns it.

    Raises
    ------
    FileNotFoundError
        The folder holds none.
    """
    shards = sorted(Path(folder).glob("*/*/seed-*.csv"))
    if not shards:
        message = f"{folder} holds no file <cohort>/<model>/seed-<seed>.csv: run the benchmark first"
        raise FileNotFoundError(message)
    table = pd.concat([_read(path) for path in shards], ignore_index=True)
    return table.sort_values(["cohort", "model", "seed"], kind="stable", ignore_index=True)


def provenance(folder: str | os.PathLike, cohort: str = "*") -> dict[str, Any]:
    """What the shards of a folder were made from, by which versions, on which machines, with which commands, and when.

    A list where shards differ; ``date`` holds the first and the last. All cohorts, unless one is named.
    """
    paths = sorted(Path(folder).glob(f"{cohort}/*/seed-*.json"))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    found = {}
    for key in dict.fromkeys(key for record in records for key in record):
        texts = dict.fromkeys(json.dumps(record.get(key), sort_keys=True) for record in records)
        values = [json.loads(text) for text in texts]
        found[key] = values[0] if len(values) == 1 else values
    dates = [record["date"] for record in records]
    return found | {"date": [min(dates), max(dates)]}


def _read(path: Path) -> pd.DataFrame:
    numbers = {"seed": int, "value": float, "seconds": float, "peak_mb": float}
    missing = {column: [""] for column in ("value", "seconds", "peak_mb")}  # elsewhere an empty cell is an empty text
    kinds = dict.fromkeys(COLUMNS, str) | numbers
    return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=missing, float_precision="round_trip")


def _keep(path: Path, table: pd.DataFrame, description: dict[str, Any]) -> None:
    """Write both files of a shard, the table last and in a single step: where it stands, all is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path.with_suffix(".json"), json.dumps(description | this_run(), indent=1) + "\n")
    write_file(path, table.to_csv(index=False, lineterminator="\n"))


def _kept(path: Path, made_from: dict[str, Any]) -> pd.DataFrame:
    """A shard that is there, refused if it was made from anything else than this call is."""
    description = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if different := [key for key, value in made_from.items() if description[key] != value]:
        message = (
            f"{path} was made from other {first_ids(different)}: take another folder, or delete it to make it anew"
        )
        raise ValueError(message)
    return _read(path)


def _description(cohort: AnnData, tasks: Sequence[Task], context: Context) -> dict[str, Any]:
    """All that scores depend on besides method and seed, as JSON values."""
    ordered = cohort[np.sort(cohort.obs_names.to_numpy(dtype=object))]
    columns = sorted({column for task in tasks for column in task.columns} | set(context.covariates))
    text = ordered.obs[columns].to_csv() + "\n".join(ordered.var_names)
    settings = asdict(context)
    sets = json.dumps(settings.pop("gene_sets"), sort_keys=True)
    description = {
        "samples": f"{cohort.n_obs} x {cohort.n_vars}, {_hash(np.ascontiguousarray(ordered.X), text.encode())}",
        "tasks": [{"kind": task.kind, **vars(task)} for task in tasks],
        "gene_sets": f"{len(context.gene_sets or ())}, {_hash(sets.encode())}",
        "context": settings,
    }
    return json.loads(json.dumps(description))  # tuples become lists, as they do in the file


def _hash(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def this_run() -> dict[str, Any]:
    """Versions, command, machine and time of this process: what a record of its results says."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # scikit-survival is optional
            continue
    hardware = {"machine": platform.platform(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        hardware["gpu"] = torch.cuda.get_device_name()
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"versions": versions, "command": command, "hardware": hardware, "date": date}
