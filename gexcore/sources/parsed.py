"""How a parser ends: matrix and labels joined by id into one AnnData that says what became of the source's rows.

``uns["report"]`` has a row per step: ``step``, ``of`` (samples or genes), ``change`` in their number, ``note``;
``uns["reading"]`` says what is unusual, as after :func:`gexcore.read_cohort`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from anndata import AnnData

from ..cohort import as_cohort
from ..cohort.remarks import describe
from ..cohort.tally import tally_table
from ..tasks import first_ids
from .matrices import Matrix


def parsed(
    matrix: Matrix,
    samples: Sequence[str],
    labels: pd.DataFrame,
    *,
    units: dict[str, str],
    steps: Sequence[tuple[str, int, str]],
) -> AnnData:
    """Join a matrix (N, G) with labels; ``steps`` are the parser's own rows of the report, about samples."""
    bare = [sample for sample in samples if sample not in labels.index]
    rows = [(step, "samples", change, note) for step, change, note in steps]
    rows += [
        ("no labels", "samples", 0, f"{len(bare)} samples have no clinical row and stay without labels"),
        ("kept", "samples", len(samples), "samples of the cohort"),
        ("read", "genes", len(matrix.genes) + len(matrix.unmapped) + len(matrix.repeated), "rows of the file"),
        (
            "no symbol",
            "genes",
            -len(matrix.unmapped),
            _note("rows without a symbol in the table of genes, and copies on chromosome Y", matrix.unmapped),
        ),
        (
            "repeated symbol",
            "genes",
            -len(matrix.repeated),
            _note("of several rows of one symbol the one with the highest mean stays", matrix.repeated),
        ),
        ("kept", "genes", len(matrix.genes), "genes of the cohort"),
    ]
    obs = labels.reindex(samples)
    obs.index.name = None
    cohort = as_cohort(AnnData(matrix.x, obs=obs, var=pd.DataFrame(index=matrix.genes)))
    cohort.uns["units"] = {column: unit for column, unit in units.items() if column == "X" or column in cohort.obs}
    cohort.uns["report"] = pd.DataFrame(rows, columns=["step", "of", "change", "note"])
    values = pd.DataFrame(cohort.X, index=cohort.obs_names, columns=cohort.var_names, copy=False)
    reading = describe(tally_table(values), values.columns, duplicate_genes="first")
    cohort.uns |= {"reading": reading} if reading else {}
    return cohort


def _note(what: str, names: Sequence[str]) -> str:
    return f"{what}; first {first_ids(names)}" if names else what
