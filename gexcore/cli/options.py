"""What several commands ask for in the same words: how the files of a cohort are read, and what is predicted."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from anndata import AnnData

from ..cohort import read_cohort
from ..parallel import is_first
from ..preprocessing import map_genes
from ..sources import read_tasks
from ..tasks import Classification, CohortWarning, Regression, Survival, Task, check_tasks, counted

HIDDEN = 0.1  # share of the measured cells that a check of restored values hides


def at_least(least: int) -> Callable[[str], int]:
    """What an option's text must be: a whole number, ``least`` or more, of nine digits at most."""

    def number(text: str) -> int:
        if not text.strip().isdecimal() or len(text) > 9 or int(text) < least:
            message = (
                f"must be a whole number, {least} or more{', of nine digits at most' * (len(text) > 9)}, not {text!r}"
            )
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return number


def share(text: str) -> float:
    """What an option's text must be: a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        message = f"must be a number from 0 to 1, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return value


def epochs(options: argparse.Namespace) -> dict[str, int]:
    """The setting of ``--max-epochs``, if it is given."""
    return {} if options.max_epochs is None else {"max_epochs": options.max_epochs}


def only_helps(options: argparse.Namespace) -> bool:
    """Whether this process trains along with another one, which alone prints and writes."""
    n = getattr(options, "devices", 1) * getattr(options, "num_nodes", 1)
    return n > 1 and not is_first()


# ---------------------------------------------------------------------------------------------- reading


def add_reading(parser: argparse.ArgumentParser, *, clinical: str | None) -> None:
    """Options of the files and of how they are read; ``clinical`` says what that table is for."""
    parser.add_argument(
        "--expression", required=True, type=Path, metavar="FILE", help="samples x genes, on a log scale: .csv, .h5ad..."
    )
    if clinical is not None:
        parser.add_argument("--clinical", type=Path, metavar="FILE", help=f"samples x clinical columns: {clinical}")
    reading = parser.add_argument_group("how the expression file is read")
    reading.add_argument("--genes-as-rows", action="store_true", help="it is genes x samples")
    reading.add_argument("--log2", action="store_true", help="take log2(x + 1) of every value")
    reading.add_argument(
        "--duplicate-genes",
        default="error",
        metavar="RULE",
        help="of several columns of one gene: mean, max_variance, first, or error (default)",
    )
    reading.add_argument(
        "--gene-table", type=Path, metavar="FILE", help="from its gene ids to symbols: BioMart, HGNC, or two columns"
    )


def read(options: argparse.Namespace) -> AnnData:
    """The cohort that the options name, its gene ids turned into symbols where a table is given."""
    clinical = getattr(options, "clinical", None)
    how = {name: getattr(options, name) for name in ("genes_as_rows", "log2", "duplicate_genes")}
    cohort = read_cohort(options.expression, clinical, **how)
    for subject, remark in cohort.uns.get("reading", {}).items():
        if subject != "genes" or options.gene_table is None:  # a table is what that remark asks for
            warnings.warn(remark, CohortWarning, stacklevel=2)
    if options.gene_table is None:
        return cohort
    rule = "mean" if options.duplicate_genes == "error" else options.duplicate_genes
    mapped, report = map_genes(cohort, options.gene_table, duplicates=rule)
    for row in report[report["dropped"] + report["changed"] > 0].itertuples():
        n = row.dropped or row.changed
        what = counted(n, "gene", "genes")
        message = f"gene table: {what} {'dropped' if row.dropped else 'changed'}, {row.why}, first {row.first_ids}"
        warnings.warn(message, CohortWarning, stacklevel=2)
    return mapped


# ------------------------------------------------------------------------------------------------ tasks


def add_tasks(parser: argparse.ArgumentParser) -> None:
    """Options of what is predicted: by columns, or in a file."""
    tasks = parser.add_argument_group("what is predicted, by columns of the clinical table")
    columns = {"action": "append", "default": [], "nargs": 2, "metavar": ("TIME", "EVENT")}
    tasks.add_argument(
        "--survival", **columns, help="time to an event, and the event: 1 = it happened; may be repeated"
    )
    tasks.add_argument("--classes", nargs="+", default=[], metavar="COLUMN", help="subtype, grade, response...")
    tasks.add_argument("--numbers", nargs="+", default=[], metavar="COLUMN", help="age, size...")
    tasks.add_argument("--tasks", type=Path, metavar="FILE", help="instead: a list in JSON, as of gexcore benchmark")


def chosen_tasks(options: argparse.Namespace) -> Sequence[Task]:
    """Tasks that the options name, an empty sequence where they name none; a survival is called as its time column.

    Raises
    ------
    ValueError
        Tasks both by columns and in a file, or several of one name.
    """
    named = [
        *(Survival(time.removesuffix("_time"), time=time, event=event) for time, event in options.survival),
        *map(Classification, options.classes),
        *map(Regression, options.numbers),
    ]
    if named and options.tasks:
        message = "tasks are named by --survival, --classes and --numbers or listed in the file of --tasks, not both"
        raise ValueError(message)
    if options.tasks:
        named = read_tasks(options.tasks)
    return check_tasks(named) if named else ()
