"""Known cohorts: where each comes from, its units and its licence, and how it becomes an AnnData.

``demo`` and ``demo-pan-cancer`` are simulated and travel with the package; ``transbig`` is real and is read from
scikit-survival. A study adds to a cohort, known or of one's own, what is predicted and which gene sets there are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from anndata import AnnData

from .cohort import read_cohort
from .tables import read_gene_sets
from .tasks import Classification, Regression, Survival, Task

_KINDS = {task.kind: task for task in (Survival, Classification, Regression)}


def load_cohort(name: str) -> AnnData:
    """Load a cohort by name.

    =============== ========= ===== ==========================================================================
    name            samples   genes clinical columns
    =============== ========= ===== ==========================================================================
    demo            400       200   age, size, grade, subtype, os_time, os_event, rfs_time, rfs_event
    demo-pan-cancer 1000      300   cancer_type, age, os_time, os_event
    transbig        198       76    age, size, grade, er, dmfs_time, dmfs_event
    =============== ========= ===== ==========================================================================

    Returns
    -------
    anndata.AnnData
        Samples x genes, clinical columns in ``obs``; ``uns`` holds ``name``, ``citation``, ``licence``, ``note``
        and ``units`` (column to unit).

    Raises
    ------
    ValueError
        The name is not known.
    ImportError
        ``transbig`` without scikit-survival.

    Examples
    --------
    >>> load_cohort("demo").shape
    (400, 200)
    """
    if name not in _COHORTS:
        message = f"no cohort is called {name!r}; known cohorts: {', '.join(_COHORTS)}"
        raise ValueError(message)
    cohort = _COHORTS[name]()
    cohort.uns["name"] = name
    return cohort


def load_tasks(name: str) -> list[Task]:
    """The tasks this book trains on a cohort of :func:`load_cohort`: survival first, then the clinical features.

    Examples
    --------
    >>> [task.name for task in load_tasks("demo")]
    ['os', 'subtype', 'grade', 'age', 'size']
    """
    if name not in _TASKS:
        message = f"no cohort is called {name!r}; known cohorts: {', '.join(_TASKS)}"
        raise ValueError(message)
    return list(_TASKS[name])


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
        own_sets = read_gene_sets(data_path(f"{name}/gene_sets.gmt")) if name in _SIMULATED else None
    return Study(
        cohort, read_tasks(tasks) if tasks else own_tasks, read_gene_sets(gene_sets) if gene_sets else own_sets
    )


def read_tasks(path: str | os.PathLike) -> list[Task]:
    """Tasks of a JSON file: a list of objects with ``kind``, ``name`` and the columns of the task.

    Raises
    ------
    ValueError
        Not such a list, an unknown kind, a key too many or too few.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        return [_KINDS[entry.pop("kind")](**entry) for entry in json.loads(text)]
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        message = (
            f"{path} is not a list of tasks ({type(error).__name__}: {error}); a task is an object with a kind "
            f"({', '.join(_KINDS)}), a name, and time and event (survival) or a column"
        )
        raise ValueError(message) from error


def data_path(name: str) -> Path:
    """Path of an embedded file, e.g. ``data_path("demo/network.tsv")``.

    Raises
    ------
    FileNotFoundError
        No such file; the message lists those there are.
    """
    here = Path(__file__).parent
    folders = [here / "_data", here.parent / "data"]  # an installed package, a checkout
    folder = next((f for f in folders if (f / "demo").is_dir()), folders[0])
    path = folder / name
    if not path.is_file():
        files = ", ".join(sorted(f.relative_to(folder).as_posix() for f in folder.glob("*/*")))
        message = f"no embedded file is called {name!r}; there are: {files or f'none in {folder}'}"
        raise FileNotFoundError(message)
    return path


def load_truth(name: str = "demo") -> pd.DataFrame:
    """Read what is planted in a simulated cohort: one row per gene (index), columns as described in ``data/README.md``.

    Empty cells of text columns, such as ``module``, are empty strings.

    Raises
    ------
    ValueError
        The cohort is not simulated, so nobody knows.

    Examples
    --------
    >>> load_truth("demo-pan-cancer").loc["ECM_01", "role"]
    'anchor'
    """
    if name not in _SIMULATED:
        message = f"no truth is known of {name!r}; simulated cohorts: {', '.join(_SIMULATED)}"
        raise ValueError(message)
    return pd.read_csv(data_path(f"{name}/truth.csv"), index_col="gene", keep_default_na=False)


# ---------------------------------------------------------------------------------------------- parsers


def _simulated(name: str) -> AnnData:
    cohort = read_cohort(data_path(f"{name}/expression.csv"), data_path(f"{name}/clinical.csv"))
    units = {"age": "years", "size": "mm", "os_time": "months", "rfs_time": "months"}
    cohort.uns |= {
        "citation": "Simulated by gexcore.simulate; no patient behind it.",
        "licence": "BSD-3-Clause",
        "note": _SIMULATED[name],
        "units": {"X": "log2(TPM + 1)"} | {column: unit for column, unit in units.items() if column in cohort.obs},
    }
    return cohort


def _transbig() -> AnnData:
    try:
        from sksurv.datasets import load_breast_cancer
    except ImportError as error:
        message = "cohort 'transbig' is read from scikit-survival: pip install gexcore[peers]"
        raise ImportError(message) from error
    table, outcome = load_breast_cancer()
    table.index = pd.Index([f"T{i:03d}" for i in range(1, len(table) + 1)], name="sample")

    clinical = table[["age", "size"]].copy()
    clinical["grade"] = table["grade"].astype(object).replace("unkown", None)  # the source's spelling
    clinical["er"] = table["er"].astype(object)
    clinical["dmfs_time"] = outcome["t.tdm"]
    clinical["dmfs_event"] = outcome["e.tdm"].astype(int)

    probes = table.drop(columns=["age", "size", "grade", "er"])
    cohort = read_cohort(probes.rename(columns=lambda probe: probe.removeprefix("X")), clinical)
    cohort.uns |= {
        "citation": "Desmedt et al. 2007, Clin Cancer Res 13:3207-14; GEO series GSE7390.",
        "licence": "Public GEO series; the copy read here is part of scikit-survival (GPL-3.0-or-later).",
        "note": (
            "198 node-negative breast cancers, the 76 Affymetrix probe sets of the Rotterdam signature. Units are the "
            "source's. The source has no sample names: T001 to T198 are its rows. Two patients have no grade."
        ),
        "units": {"X": "log2 intensity", "age": "years", "size": "cm", "dmfs_time": "days"},
    }
    return cohort


_SIMULATED = {
    "demo": "Gene and subtype names are invented; load_truth() tells what is planted.",
    "demo-pan-cancer": (
        "Names of genes and cancer types are invented; load_truth('demo-pan-cancer') tells what is planted."
    ),
}
_COHORTS: dict[str, Callable[[], AnnData]] = {
    **{name: partial(_simulated, name) for name in _SIMULATED},
    "transbig": _transbig,
}
_TASKS: dict[str, tuple[Task, ...]] = {
    "demo": (
        Survival("os", time="os_time", event="os_event"),
        Classification("subtype"),
        Classification("grade"),
        Regression("age"),
        Regression("size"),
    ),
    "demo-pan-cancer": (
        Survival("os", time="os_time", event="os_event"),
        Classification("cancer_type"),
        Regression("age"),
    ),
    "transbig": (
        Survival("dmfs", time="dmfs_time", event="dmfs_event"),
        Classification("grade"),
        Classification("er"),
        Regression("age"),
        Regression("size"),
    ),
}
