"""``gexcore benchmark`` fits methods to a cohort and keeps their scores, ``gexcore collect`` makes one table of them.

One method on one split is one file, so any number of these commands may fill the same folder at the same time.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from anndata import AnnData

from ..bench import METHODS, Context, benchmark, collect, provenance
from ..comparison import headlines, mean_scores
from ..files import write_file
from ..scores import compare
from ..sources import read_study
from ..tasks import Task

_TASKS = """\
The file of --tasks lists what is predicted, in JSON; a class or number without a "column" is in the column of its name:

  [
    {"kind": "survival", "name": "os", "time": "os_time", "event": "os_event"},
    {"kind": "classification", "name": "subtype"},
    {"kind": "regression", "name": "age", "column": "age_at_diagnosis"}
  ]

methods:
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add both commands to those of a parser."""
    bench = commands.add_parser(
        "benchmark",
        help="fit methods to splits of a cohort and keep their scores",
        description="Fit methods to splits of a cohort and keep their scores, a file for each method and seed.",
        epilog=_TASKS + "\n".join(f"  {name}" for name in METHODS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.set_defaults(command=_benchmark, interrupted="finished scores are kept, and the same command goes on")
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


def _benchmark(options: argparse.Namespace) -> int:
    cohort, tasks, context = _study(options)
    scores = benchmark(options.model, cohort, tasks, seeds=options.seed, context=context, folder=options.out)
    for row in scores[scores["status"] == "failed"].itertuples():
        print(f"failed: {row.model}, seed {row.seed}, {row.task}: {row.error}", file=sys.stderr)
    return 0


def _collect(options: argparse.Namespace) -> int:
    scores = collect(options.folder)
    write_file(options.folder / "scores.csv", scores.to_csv(index=False, lineterminator="\n"))
    write_file(options.folder / "provenance.json", json.dumps(provenance(options.folder), indent=1) + "\n")
    if options.against:
        table = compare(scores, options.against)
        write_file(options.folder / "differences.csv", table.to_csv(index=False, lineterminator="\n"))
    for name, part in scores[scores["status"] != "not taken"].groupby("cohort"):
        means = mean_scores(headlines(part)).T.rename_axis(index=None)
        print(f"{name}\n{means.round(3).to_string(na_rep='')}\n")
    return 0


def _study(options: argparse.Namespace) -> tuple[AnnData, list[Task], Context]:
    """Cohort, tasks and what methods may know beside them, as the options say."""
    files = {name: getattr(options, name) for name in ("expression", "clinical", "tasks", "gene_sets")}
    cohort, tasks, gene_sets = read_study(options.cohort, **files)
    covariates = options.covariates
    if covariates is None:
        covariates = [column for task in tasks if task.kind != "survival" for column in task.columns]
    context = Context(
        gene_sets=gene_sets,
        covariates=tuple(covariates),
        preset=options.preset,
        max_epochs=options.max_epochs,
        n_genes=options.n_genes,
    )
    return cohort, tasks, context
