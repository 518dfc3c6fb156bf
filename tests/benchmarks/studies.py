"""The cohorts and tasks of the benchmarks."""

import os
from pathlib import Path

import gexcore as gx

COHORTS = Path(__file__).parents[3] / "shared" / "cohorts"
DEMO = gx.load_tasks("demo")
BREAST = [
    gx.Survival("os", time="os_time", event="os_event"),
    gx.Survival("pfi", time="pfi_time", event="pfi_event"),
    gx.Classification("pam50"),
    gx.Classification("t_stage"),
    gx.Regression("age"),
]


def read_breast_cancers():
    """TCGA-BRCA: 956 patients, 1558 genes."""
    return gx.read_cohort(COHORTS / "tcga-brca" / "expression.csv.gz", COHORTS / "tcga-brca" / "clinical.csv")


def record(table, name):
    """Keep a table for the book where GEXCORE_RECORD names a folder (notebooks/recorded), and print it in any case."""
    print(f"\n{name}\n{table.round(3).to_string()}")
    if folder := os.environ.get("GEXCORE_RECORD"):
        table.to_csv(Path(folder, f"{name}.csv"), index=False, float_format="%.6g", lineterminator="\n")
