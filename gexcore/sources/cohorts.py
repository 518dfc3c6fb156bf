"""Known cohorts by name, with the tasks that are trained on them.

``demo`` and ``demo-pan-cancer`` are simulated and travel with the package; ``transbig`` is real and is read from
scikit-survival; the others are read from the files that :func:`gexcore.fetch` brought.
"""

from __future__ import annotations

import gzip
import inspect
import os
import zipfile
import zlib

import pandas as pd
from anndata import AnnData

from ..cohort import read_cohort
from ..tasks import Classification, Regression, Survival, Task
from .catalogue import SOURCES
from .embedded import simulated_cohort
from .fetch import fetched


def load_cohort(name: str, *, folder: str | os.PathLike | None = None, **options) -> AnnData:
    """Load a cohort by name; the network is never used.

    =============== ========= ======= =====================================================================
    name            samples   genes   clinical columns
    =============== ========= ======= =====================================================================
    demo            400       200     age, size, grade, subtype, os_time, os_event, rfs_time, rfs_event
    demo-pan-cancer 1000      300     cancer_type, age, os_time, os_event
    transbig        198       76      age, size, grade, er, dmfs_time, dmfs_event
    scan-b          fetched           age, size, nhg, pam50, os_time, os_event, drfi_time, drfi_event
    gse96058        fetched           age, size, nhg, pam50, os_time, os_event
    tcga-brca       fetched           age, gender, stage, pam50, os_time, os_event, pfi_time, pfi_event
    target-aml      fetched           age, gender, os_time, os_event
    metabric        fetched           age, size, nhg, pam50, os_time, os_event, rfs_time, rfs_event
    tcga-pan-cancer fetched           cancer_type, disease, age, gender, os_time, os_event, pfi_time, pfi_event
    tcga-toil       fetched           as tcga-pan-cancer
    =============== ========= ======= =====================================================================

    Parameters
    ----------
    name : str
        One of the above; :func:`gexcore.list_sources` tells about the fetched ones.
    folder : path, optional
        Where :func:`gexcore.fetch` put the files, if it was told.
    **options
        Of scan-b and gse96058: ``replicates``, "mean" (default, assumed) or "first".

    Returns
    -------
    anndata.AnnData
        Samples x genes, clinical columns in ``obs``; ``uns`` holds ``name``, ``citation``, ``licence``, ``note``
        and ``units`` (column to unit). Fetched cohorts are patients x symbols on the scale log2(x + 1) or, of a
        microarray, log2; times are months; ``uns["report"]`` is a table of what was left out and why, and
        ``uns["reading"]`` says what is unusual and was kept, as :func:`gexcore.read_cohort` does.

    Raises
    ------
    FileNotFoundError
        The files of the cohort are not in the folder.
    ValueError
        The name is not known, or a file is damaged or not the one it should be.
    TypeError
        The cohort has no such option.
    ImportError
        ``transbig`` without scikit-survival.

    Examples
    --------
    >>> load_cohort("demo").shape
    (400, 200)
    """
    _check_name(name)
    source = SOURCES.get(name)
    taken = [] if source is None else list(inspect.signature(source.parser).parameters)[1:]
    if strange := [option for option in options if option not in taken]:
        message = f"cohort {name!r} has no option {strange[0]!r}; options: {', '.join(taken) or 'none'}"
        raise TypeError(message)
    if source is None:
        cohort = _transbig() if name == "transbig" else simulated_cohort(name)
    else:
        files = fetched(source, folder)
        try:
            cohort = source.parser(files, **options)
        except (EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
            where = next(iter(files.values())).parent
            message = (
                f"{name}: a file in {where} is damaged ({error}); delete it, and its line in checksums.sha256, and run "
                f"`gexcore fetch {name}`"
            )
            raise ValueError(message) from error
        note = f"The files, before they were read: {source.awkward}"
        cohort.uns |= {"citation": source.citation, "licence": source.licence, "note": note}
    cohort.uns["name"] = name
    return cohort


def load_tasks(name: str) -> list[Task]:
    """The tasks this book trains on a cohort of :func:`load_cohort`: survival first, then the clinical features.

    Of scan-b the paper trains the two endpoints apart, each with the four clinical features.

    Examples
    --------
    >>> [task.name for task in load_tasks("demo")]
    ['os', 'subtype', 'grade', 'age', 'size']
    """
    _check_name(name)
    return list(_TASKS[name])


def _check_name(name: str) -> None:
    if name not in _TASKS:
        message = f"no cohort is called {name!r}; known cohorts: {', '.join(_TASKS)}"
        raise ValueError(message)


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


_OS = Survival("os", time="os_time", event="os_event")
_AGE, _SIZE = Regression("age"), Regression("size")
_PAM50, _NHG = Classification("pam50"), Classification("nhg")
_TASKS: dict[str, tuple[Task, ...]] = {
    "demo": (_OS, Classification("subtype"), Classification("grade"), _AGE, _SIZE),
    "demo-pan-cancer": (_OS, Classification("cancer_type"), _AGE),
    "transbig": (
        Survival("dmfs", time="dmfs_time", event="dmfs_event"),
        Classification("grade"),
        Classification("er"),
        _AGE,
        _SIZE,
    ),
    "scan-b": (_OS, Survival("drfi", time="drfi_time", event="drfi_event"), _PAM50, _NHG, _AGE, _SIZE),
    "gse96058": (_OS, _PAM50, _NHG, _AGE, _SIZE),
    "tcga-brca": (_OS, Survival("pfi", time="pfi_time", event="pfi_event"), _PAM50, _AGE),
    "target-aml": (_OS, _AGE),
    "metabric": (_OS, Survival("rfs", time="rfs_time", event="rfs_event"), _PAM50, _NHG, _AGE, _SIZE),
    "tcga-pan-cancer": (_OS, Classification("cancer_type"), _AGE),
    "tcga-toil": (_OS, Classification("cancer_type"), _AGE),
}
