"""The command line: ``gexcore benchmark`` fits methods to a cohort and keeps scores, ``gexcore collect`` reads them.

One method on one split is one file, so any number of these commands may fill the same folder at the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from anndata import AnnData

from .bench import METHODS, Context, benchmark, collect, provenance
from .cohort import read_cohort
from .comparison import headlines, mean_scores
from .scores import compare
from .sources import data_path, load_cohort, load_tasks
from .tables import read_gene_sets
from .tasks import Classification, Regression, Survival, Task

_KINDS = {task.kind: task for task in (Survival, Classification, Regression)}
_TASKS = """\
The file of --tasks lists what is predicted, in JSON; a class or number without a "column" is in the column of its name:

  [
    {"kind": "survival", "name": "os", "time": "os_time", "event": "os_event"},
    {"kind": "classification", "name": "subtype"},
    {"kind": "regression", "name": "age", "column": "age_at_diagnosis"}
  ]

methods:
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what is wrong with its arguments or files is one line and the exit status 2.

    Examples
    --------
    >>> main(["benchmark", "--cohort", "demo", "--model", "oracle", "--out", "scores"])
    Traceback (most recent call last):
    SystemExit: 2
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.command(options)
    except (ValueError, KeyError, TypeError, OSError, ImportError) as error:
        text = error.args[0] if isinstance(error, KeyError) else error
        parser.error(str(text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gexcore", description="Transformers for tumour transcriptomes.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    bench = commands.add_parser(
        "benchmark",
        help="fit methods to splits of a cohort and keep their scores",
        description="Fit methods to splits of a cohort and keep their scores, a file for each method and seed.",
        epilog=_TASKS + "\n".join(f"  {name}" for name in METHODS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.set_defaults(command=_benchmark)
    bench.add_argument("--cohort", required=True, metavar="NAME", help="a known cohort, or what --expression is called")
    bench.add_argument("--model", required=True, nargs="+", metavar="NAME", help="methods, listed below")
    bench.add_argument("--seed", nargs="+", type=int, default=range(10), metavar="S", help="splits; default: 0 to 9")
    bench.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="scores; those there are not redone")
    own = bench.add_argument_group("a cohort of your own")
    own.add_argument(
        "--expression", type=Path, metavar="FILE", help="samples x genes; .csv, or .h5ad with clinical columns"
    )
    own.add_argument("--clinical", type=Path, metavar="FILE", help="samples x clinical columns")
    own.add_argument(
        "--tasks", type=Path, metavar="FILE", help="what is predicted, below; known cohorts have their own"
    )
    own.add_argument("--gene-sets", type=Path, metavar="FILE", help="pathways, .gmt; known cohorts have their own")
    own.add_argument("--covariates", nargs="*", metavar="COLUMN", help="clinical columns; default: those of the tasks")
    own.add_argument("--n-genes", type=int, metavar="N", help="only the most variable ones of the training samples")
    networks = bench.add_argument_group("networks")
    networks.add_argument("--preset", default="quick", help='"quick" (default) or "paper"')
    networks.add_argument("--max-epochs", type=int, metavar="N", help="instead of those of the preset")

    tables = commands.add_parser(
        "collect",
        help="make one table of all scores in a folder",
        description="Write scores.csv, provenance.json and, with --against, differences.csv into it; print the means.",
    )
    tables.set_defaults(command=_collect)
    tables.add_argument("folder", type=Path, metavar="FOLDER")
    tables.add_argument("--against", metavar="NAME", help="compare every method with this one, split by split")
    return parser


def _benchmark(options: argparse.Namespace) -> int:
    cohort, tasks, context = _study(options)
    scores = benchmark(options.model, cohort, tasks, seeds=options.seed, context=context, folder=options.out)
    for row in scores[scores["status"] == "failed"].itertuples():
        print(f"failed: {row.model}, seed {row.seed}, {row.task}: {row.error}", file=sys.stderr)
    return 0


def _collect(options: argparse.Namespace) -> int:
    scores = collect(options.folder)
    scores.to_csv(options.folder / "scores.csv", index=False, lineterminator="\n")
    record = json.dumps(provenance(options.folder), indent=1)
    (options.folder / "provenance.json").write_text(record + "\n", encoding="utf-8")
    if options.against:
        table = compare(scores, options.against)
        table.to_csv(options.folder / "differences.csv", index=False, lineterminator="\n")
    for name, part in scores[scores["status"] != "not taken"].groupby("cohort"):
        means = mean_scores(headlines(part)).T.rename_axis(index=None)
        print(f"{name}\n{means.round(3).to_string(na_rep='')}\n")
    return 0


def _study(options: argparse.Namespace) -> tuple[AnnData, list[Task], Context]:
    """Cohort, tasks and what methods may know beside them, as the options say."""
    if options.expression is None:
        if options.clinical is not None:
            message = "--clinical goes with --expression"
            raise ValueError(message)
        cohort, tasks = load_cohort(options.cohort), load_tasks(options.cohort)
    else:
        annotated = options.expression.suffix == ".h5ad"  # clinical columns included
        if options.tasks is None or (options.clinical is None and not annotated):
            message = "--expression goes with --clinical, unless it is an .h5ad file, and with --tasks"
            raise ValueError(message)
        cohort, tasks = read_cohort(options.expression, options.clinical), []
        cohort.uns["name"] = options.cohort
    if options.tasks is not None:
        tasks = read_tasks(options.tasks)
    covariates = options.covariates
    if covariates is None:
        covariates = [column for task in tasks if task.kind != "survival" for column in task.columns]
    context = Context(
        gene_sets=_gene_sets(options),
        covariates=tuple(covariates),
        preset=options.preset,
        max_epochs=options.max_epochs,
        n_genes=options.n_genes,
    )
    return cohort, tasks, context


def _gene_sets(options: argparse.Namespace) -> dict[str, list[str]] | None:
    if options.gene_sets is not None:
        return read_gene_sets(options.gene_sets)
    if options.expression is not None:
        return None
    try:
        return read_gene_sets(data_path(f"{options.cohort}/gene_sets.gmt"))
    except FileNotFoundError:  # transbig has none
        return None


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


if __name__ == "__main__":
    sys.exit(main())
