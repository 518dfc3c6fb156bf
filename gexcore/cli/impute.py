"""``gexcore impute``: the holes of an expression table filled in, with how sure that is and a check on hidden cells."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from ..baselines import KNN, GeneMean
from ..gexbert import GexBERT
from ..imputation import hide
from ..models import load_model
from ..report import Imputation, imputation_report, score_restoration
from ..tasks import CohortWarning, counted, first_ids
from .options import HIDDEN, add_reading, at_least, epochs, read
from .output import check_output, record, write_folder

_CHECKED = 300  # samples whose hidden cells are restored, at most
_VALIDATION = 0.1  # share of the samples that say when to stop
_SMALL = 30  # a table of fewer samples spares none of them for that

_FILES = """\
FOLDER will hold expression.csv (measured cells as they were read, in the orientation of the file), sd.csv (how sure
each filled cell is), report.html and run.json.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser(
        "impute",
        help="fill in the missing cells of an expression table",
        description="Fill in the missing cells of an expression table with GexBERT.",
        epilog=_FILES,
    )
    parser.set_defaults(command=_impute)
    add_reading(parser, clinical=None)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="a new folder for all that is written"
    )
    how = parser.add_argument_group("the model")
    how.add_argument(
        "--model",
        dest="model_file",
        type=Path,
        metavar="FILE",
        help="a GexBERT; pretrained on the table itself unless given",
    )
    how.add_argument("--preset", default="quick", choices=("quick", "paper"), help="quick: minutes (default), or paper")
    how.add_argument(
        "--seed", default=0, type=at_least(0), metavar="N", help="of the model and of the check; default: 0"
    )
    how.add_argument("--max-epochs", type=at_least(1), metavar="N", help="instead of those of the preset")


def _impute(options: argparse.Namespace) -> int:
    check_output(options.out)
    model = None if options.model_file is None else load_model(options.model_file)
    if model is not None and not isinstance(model, GexBERT):
        message = (
            f"{options.model_file} holds a {type(model).__name__}, which restores no expression; --model is a GexBERT"
        )
        raise ValueError(message)
    cohort = read(options)
    holes = cohort.to_df().isna()
    if not holes.to_numpy().any():
        message = f"{options.expression}: no cell is missing, so there is nothing to fill in"
        raise ValueError(message)
    train, val = _parts(cohort, options.seed)
    part = _known_genes(cohort, train, model)
    shown, hidden = _shown(part, train, options.seed)
    if model is None:
        how = {"preset": options.preset, "seed": options.seed, **epochs(options)}
        model = GexBERT(**how).fit(shown[train].copy(), shown[val].copy() if len(val) else None)
    fitted = {"GexBERT": model, "nearest neighbours": KNN().fit(shown), "gene mean": GeneMean().fit(shown)}
    some = np.random.default_rng(options.seed).permutation(shown.obs_names)[:_CHECKED]
    check = score_restoration(fitted, part[some].copy(), shown[some].copy(), hidden.loc[some], train=shown)

    imputed = model.impute(part)[:, part.var_names]
    filled = holes.copy()
    filled.loc[:, ~holes.columns.isin(part.var_names)] = False
    expression = cohort.to_df()
    expression.loc[:, part.var_names] = imputed.X
    sd = pd.DataFrame(np.nan, index=holes.index, columns=holes.columns, dtype="float32")
    sd.loc[:, part.var_names] = imputed.layers["sd"]
    sd = sd.where(filled)
    n = int(filled.to_numpy().sum())
    run = record(options, {"samples": cohort.n_obs, "genes": cohort.n_vars, "filled": n})
    report = Imputation(filled, holes & ~filled, check, int(hidden.loc[some].to_numpy().sum()), run)
    write_folder(
        options.out,
        tables={},
        texts={"report.html": imputation_report(report)},
        save={
            name: lambda path, table=table: _write(table, path, genes_as_rows=options.genes_as_rows)
            for name, table in {"expression.csv": expression, "sd.csv": sd}.items()
        },
        run=run,
    )
    print(f"wrote {options.out}: {counted(n, 'cell', 'cells')} filled in; open {options.out / 'report.html'}")
    return 0


class Parts(NamedTuple):
    """Ids of the samples that a model learns from, and of those that say when to stop."""

    train: np.ndarray
    val: np.ndarray


def _parts(cohort: AnnData, seed: int) -> Parts:
    known = cohort.obs_names[~np.isnan(cohort.X).all(axis=1)]
    order = np.random.default_rng(seed).permutation(known.to_numpy(dtype=object))
    n_val = round(_VALIDATION * len(order)) if len(order) >= _SMALL else 0
    return Parts(order[n_val:], order[:n_val])


def _known_genes(cohort: AnnData, train: np.ndarray, model: GexBERT | None) -> AnnData:
    """The cohort with the genes that a model can restore; the others are noted where they have holes."""
    known = ~np.isnan(cohort[train].X).all(axis=0) if model is None else cohort.var_names.isin(model.genes_)
    if not known.any():
        message = f"none of the {cohort.n_vars} genes is known to the model, first {first_ids(cohort.var_names)}"
        raise ValueError(message)
    if known.sum() == 1:
        message = f"only one gene is known to the model ({cohort.var_names[known][0]}); it is restored from others"
        raise ValueError(message)
    left = cohort.var_names[~known & np.isnan(cohort.X).any(axis=0)]
    if len(left):
        which = counted(len(left), "gene", "genes")
        why = "without any value" if model is None else "not in its training"
        message = f"missing cells of {which} {why} ({first_ids(left)}) stay as they are"
        warnings.warn(message, CohortWarning, stacklevel=2)
    return cohort[:, known].copy()


def _shown(part: AnnData, train: np.ndarray, seed: int) -> tuple[AnnData, pd.DataFrame]:
    """The table with a share of its measured cells hidden, and which; no gene and no sample loses all of its values."""
    shown, hidden = hide(part, rate=HIDDEN, seed=seed)
    gone = np.isnan(shown[train].X).all(axis=0)[None, :] | np.isnan(shown.X).all(axis=1)[:, None]
    shown.X[gone] = part.X[gone]
    return shown, hidden & ~gone


def _write(table: pd.DataFrame, path: Path, *, genes_as_rows: bool) -> None:
    """Numbers in as few digits as give the same value back."""
    table = table.T.rename_axis("gene") if genes_as_rows else table.rename_axis("sample")
    table.to_csv(path, lineterminator="\n")
