"""Every method on TCGA: breast cancers with five tasks, survival over ten cancers; by hand, three hours on one core:

GEXCORE_SWEEP=sweep GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_peers.py

Fits that stand in the folder GEXCORE_SWEEP are not made again. ``gexcore benchmark`` and the Snakefile can fill it on
several cores or machines; the book's page on rerunning has the commands.
"""

import json
import os
from pathlib import Path

import pytest
from studies import BREAST, COHORTS, read_breast_cancers, record

import gexcore as gx
from gexcore.bench import METHODS, Context, benchmark, provenance
from gexcore.scores import TABLE_1

N_GENES = 500  # of 1558 and 1535: single-task TxT alone would take a day on all
pytestmark = [
    pytest.mark.skipif(not COHORTS.is_dir(), reason="needs the TCGA cohorts"),
    pytest.mark.filterwarnings("ignore::gexcore.CohortWarning"),
]


def methods(tasks):
    """All by name, without the searches; one model of several tasks needs several."""
    return [name for name, m in METHODS.items() if not m.grid and not (len(tasks) == 1 and m.joint)]


def study(name, cohort, tasks, *, seeds, covariates):
    cohort.uns["name"] = name
    sets = gx.read_gene_sets(COHORTS / "hallmark.gmt")
    context = Context(gene_sets=sets, covariates=covariates, n_genes=N_GENES)
    folder = Path(os.environ.get("GEXCORE_SWEEP", "sweep"))
    scores = benchmark(methods(tasks), cohort, tasks, seeds=seeds, context=context, folder=folder)
    kept = scores[scores["metric"].isin(TABLE_1) & (scores["status"] != "not taken")]
    table = f"benchmark_{name.replace('-', '_')}"
    record(kept, table)
    if to := os.environ.get("GEXCORE_RECORD"):
        said = provenance(folder, name) | {"command": __doc__.split("\n\n")[1]}  # no paths of the machine
        Path(to, f"{table}.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    assert (kept["status"] == "scored").all()
    assert gx.comparison.headlines(kept)["value"].notna().all()  # no cell of the table is missing


def test_breast_cancers():
    study("tcga-brca", read_breast_cancers(), BREAST, seeds=range(10), covariates=("pam50", "t_stage", "age"))


def test_survival_over_ten_cancers():
    cohort = gx.read_cohort(COHORTS / "tcga-pan-cancer.h5ad")
    covariates = ("cancer_type", "age", "is_female")
    study("tcga-pan-cancer", cohort, BREAST[:1], seeds=range(3), covariates=covariates)
