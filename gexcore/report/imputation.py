"""The reports of restored expression: of a table whose holes were filled in, and of a pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..plots import plot_history
from ..tasks import counted
from .page import Block, Picture, Points, Section, Table, page, picture
from .training import footer, made, notes

_LISTED = 10  # genes and samples with most holes
_METRICS = {
    "rmse": "RMSE",
    "mae": "Mean absolute error",
    "pcc_gene": "Correlation across samples",
    "pcc_sample": "Correlation across genes",
}


@dataclass(frozen=True)
class Imputation:
    """What an imputation report tells of.

    ``filled`` and ``left`` are samples x genes, True in the cells that were filled in and in those that could not be;
    ``check`` holds model, metric and value of a self check on ``checked`` cells that had been hidden from the model,
    its first model the one that filled the table in.
    """

    filled: pd.DataFrame
    left: pd.DataFrame
    check: pd.DataFrame
    checked: int
    run: Mapping[str, Any]


def imputation_report(imputation: Imputation) -> str:
    """One page of html about a table whose holes were filled in."""
    filled, left = imputation.filled, imputation.left
    n, share = int(filled.to_numpy().sum()), filled.to_numpy().mean()
    part = f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
    which = f"{counted(n, 'cell', 'cells')} ({part}) had no value and {'was' if n == 1 else 'were'}"
    summary = f"{which} filled in. {_verdict(imputation.check)}"
    size = f"{counted(filled.shape[0], 'sample', 'samples')} x {counted(filled.shape[1], 'gene', 'genes')}"
    counts = [f"{size}; every measured value is as it was read."]
    if left.to_numpy().any():
        empty = left.columns[left.any()]
        which = f"cells of {counted(len(empty), 'gene', 'genes')} the model does not know"
        counts.append(f"{int(left.to_numpy().sum()):,} {which} stay empty.")
    counts.append("sd.csv says how sure each filled cell is: a standard deviation in the unit of the table.")
    sections = [
        Section("Self check", checks(imputation.check, imputation.checked) if imputation.checked else []),
        Section(
            "What was filled in",
            [Points(counts), _most(filled, axis=0, name="gene"), _most(filled, axis=1, name="sample")],
        ),
        Section("The file", notes(imputation.run)),
        Section(
            "What to doubt",
            [
                Points(
                    [
                        "The self check hides cells at random. Cells that are missing for a reason, low values for "
                        "example, are harder.",
                        "A filled cell is an expectation: a table of them varies less than measured ones do. Do not "
                        "test for differences as if they had been measured.",
                    ]
                )
            ],
        ),
        made(imputation.run),
    ]
    title = "Imputation report"
    return page(title, summary, [s for s in sections if s.blocks], footer=footer(imputation.run))


def pretraining_report(
    parts: Mapping[str, int], check: pd.DataFrame, checked: int, history: pd.DataFrame, run: Mapping[str, Any]
) -> str:
    """One page of html about a pretraining: ``parts`` counts samples, the rest is as in :class:`Imputation`."""
    which = counted(parts["train"], "sample", "samples")
    summary = f"GexBERT learned from {which} how genes go together, without any label. "
    sections = [
        Section("How well it restores", checks(check, checked)),
        Section("The training", [_history(history), *notes(run)]),
        made(run),
    ]
    return page("GexBERT: pretraining report", summary + _verdict(check), sections, footer=footer(run))


def checks(check: pd.DataFrame, n: int) -> list[Block]:
    """A table of models x metrics, and how it was made."""
    table = check.pivot(index="model", columns="metric", values="value")[list(_METRICS)]
    table = table.loc[check["model"].unique()].rename(columns=_METRICS).rename_axis(columns=None)
    caption = (
        f"{n:,} measured cells were hidden and restored. Errors are in standard deviations of a gene; filling in a "
        "gene's mean errs by about one, and less is better. Correlations are medians over genes, and over samples."
    )
    return [Table(table, caption)]


def _verdict(check: pd.DataFrame) -> str:
    rmse = check[check["metric"] == "rmse"].set_index("model")["value"]
    if rmse.isna().any():
        return "Too few measured cells could be hidden to say how well it restores."
    model, *rivals = rmse.index
    best = rmse[rivals].idxmin()
    text = f"On measured cells hidden from it, {model} is off by {rmse[model]:.2f} standard deviations, {best} by "
    text += f"{rmse[best]:.2f}"
    return text + ("." if rmse[model] < rmse[best] else f": {best}, the simpler method, restores this table as well.")


def _most(filled: pd.DataFrame, *, axis: int, name: str) -> Table:
    """Genes or samples with most cells filled in."""
    counts, n = filled.sum(axis=axis), filled.shape[axis]
    some = counts[counts > 0].sort_values(ascending=False, kind="stable").head(_LISTED)
    table = pd.DataFrame({"cells filled": some.astype(int), "share": [f"{count / n:.1%}" for count in some]})
    total = int((counts > 0).sum())
    return Table(
        table.rename_axis(name), f"{total:,} of {counted(len(counts), name, f'{name}s')} had holes; those with most."
    )


def _history(history: pd.DataFrame) -> Picture:
    n = int(history["epoch"].max())
    return picture(
        lambda ax: plot_history(history, ax=ax),
        alt=f"Training and validation loss over {n} epochs.",
        caption="Loss of the restored genes; the weights kept are those of the best epoch.",
        size=(6.4, 3.2),
    )
