"""What travels with the package: two simulated cohorts with their truth, their network and their gene sets."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from anndata import AnnData

from ..cohort import read_cohort

SIMULATED = {
    "demo": "Gene and subtype names are invented; load_truth() tells what is planted.",
    "demo-pan-cancer": (
        "Names of genes and cancer types are invented; load_truth('demo-pan-cancer') tells what is planted."
    ),
}


def data_path(name: str) -> Path:
    """Path of an embedded file, e.g. ``data_path("demo/network.tsv")``.

    Raises
    ------
    FileNotFoundError
        No such file; the message lists those there are.
    """
    here = Path(__file__).parents[1]
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
    if name not in SIMULATED:
        message = f"no truth is known of {name!r}; simulated cohorts: {', '.join(SIMULATED)}"
        raise ValueError(message)
    return pd.read_csv(data_path(f"{name}/truth.csv"), index_col="gene", keep_default_na=False)


def simulated_cohort(name: str) -> AnnData:
    """A cohort of :data:`SIMULATED`."""
    cohort = read_cohort(data_path(f"{name}/expression.csv"), data_path(f"{name}/clinical.csv"))
    units = {"age": "years", "size": "mm", "os_time": "months", "rfs_time": "months"}
    cohort.uns |= {
        "citation": "Simulated by gexcore.simulate; no patient behind it.",
        "licence": "BSD-3-Clause",
        "note": SIMULATED[name],
        "units": {"X": "log2(TPM + 1)"} | {column: unit for column, unit in units.items() if column in cohort.obs},
    }
    return cohort
