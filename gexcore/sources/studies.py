"""A study: a cohort, known or of one's own, with what is predicted in it and the gene sets that go with it."""

from __future__ import annotations

import json
import os
from dataclasses import MISSING, fields
from pathlib import Path
from typing import NamedTuple

from anndata import AnnData

from ..cohort import read_cohort
from ..tables import read_gene_sets
from ..tasks import Classification, Regression, Survival, Task
from .cohorts import load_cohort, load_tasks
from .embedded import SIMULATED, data_path

_KINDS = {task.kind: task for task in (Survival, Classification, Regression)}


class Study(NamedTuple):
    """A cohort, what is predicted in it, and the gene sets that go with it (None without any)."""

    cohort: AnnData
    tasks: list[Task]
    gene_sets: dict[str, list[str]] | None


def read_study(
    name: str,
    *,
    expression: str | os.PathLike | None = None,
    clinical: str | os.PathLike | None = None,
    tasks: str | os.PathLike | None = None,
    gene_sets: str | os.PathLike | None = None,
) -> Study:
    """A known cohort with its tasks and gene sets, or one's own from files; an empty path counts as none.

    Parameters
    ----------
    name : str
        Of a known cohort (:func:`load_cohort`), or what the files are called.
    expression, clinical : path, optional
        As :func:`gexcore.read_cohort` reads them; ``clinical`` is not needed beside an .h5ad file.
    tasks : path, optional
        As :func:`read_tasks` reads them; known cohorts have their own.
    gene_sets : path, optional
        A .gmt file; simulated cohorts have their own.

    Raises
    ------
    ValueError
        Files that do not go together, or what is wrong with one of them.

    Examples
    --------
    >>> study = read_study("demo")
    >>> study.cohort.n_obs, len(study.tasks), len(study.gene_sets)
    (400, 5, 12)
    """
    if expression:
        annotated = Path(expression).suffix == ".h5ad"  # clinical columns included
        if not tasks or not (clinical or annotated):
            message = "expression goes with clinical columns, unless it is an .h5ad file, and with tasks"
            raise ValueError(message)
        cohort, own_tasks, own_sets = read_cohort(expression, clinical or None), [], None
        cohort.uns["name"] = name
    elif clinical:
        message = "clinical columns go with expression; a known cohort has its own"
        raise ValueError(message)
    else:
        cohort, own_tasks = load_cohort(name), load_tasks(name)
        own_sets = read_gene_sets(data_path(f"{name}/gene_sets.gmt")) if name in SIMULATED else None
    return Study(
        cohort, read_tasks(tasks) if tasks else own_tasks, read_gene_sets(gene_sets) if gene_sets else own_sets
    )


def read_tasks(path: str | os.PathLike) -> list[Task]:
    """Tasks of a JSON file: a list of objects with ``kind``, ``name`` and the columns of the task.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not such a list, an unknown kind, a key too many or too few.
    """
    path = Path(path)
    if not path.is_file():
        message = f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}"
        raise FileNotFoundError(message)
    try:
        entries = json.loads(path.read_bytes())
    except ValueError as error:
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        message = f"{path} is not a list of tasks: no valid JSON{where}; was it cut short?"
        raise ValueError(message) from error
    if not isinstance(entries, list) or not entries:
        message = f"{path} is not a list of tasks: it must be [ ... ] with an object {{ ... }} for each"
        raise ValueError(message)
    return [_task(entry, f"{path} is not a list of tasks: entry {number}") for number, entry in enumerate(entries, 1)]


def _task(entry: object, which: str) -> Task:
    kind = _KINDS.get(entry.get("kind")) if isinstance(entry, dict) else None
    if kind is None:
        message = f"{which} has no known kind; the kinds are {', '.join(_KINDS)}"
        raise ValueError(message)
    settings = {key: value for key, value in entry.items() if key != "kind" and value is not None}
    required = {field.name for field in fields(kind) if field.default is MISSING}
    lacking, strange = required - settings.keys(), settings.keys() - {field.name for field in fields(kind)}
    if lacking or strange or not all(isinstance(value, str) for value in settings.values()):
        keys = ", ".join(field.name for field in fields(kind))
        message = f"{which} has {', '.join(settings) or 'nothing'}, but a {kind.kind} has {keys}, all of them text"
        raise ValueError(message)
    return kind(**settings)
