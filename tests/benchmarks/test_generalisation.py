"""Trained on one cohort, applied to another one; by hand, about ten minutes:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_generalisation.py
"""

import pandas as pd
import pytest
from studies import COHORTS, read_breast_cancers, record

import gexcore as gx

NKI = COHORTS / "nki-symbols"
TASKS = [gx.Survival("os", time="os_time", event="os_event"), gx.Regression("age")]


@pytest.mark.skipif(not NKI.is_dir(), reason="needs the NKI and TCGA-BRCA tables")
@pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")
def test_tcga_breast_cancers_to_nki():
    tcga = read_breast_cancers()
    nki = gx.read_cohort(NKI / "expression.csv.gz", NKI / "clinical.csv", duplicate_genes="mean")
    report = gx.gene_report(nki, tcga.var_names)
    shared = list(report.index[report["status"] == "present"])  # 76 of 1558
    train, val, test = gx.split(tcga, TASKS, seed=0)
    models = {
        "TxT, all genes": (gx.TxT(TASKS, preset="quick"), list(tcga.var_names)),
        "TxT, shared genes": (gx.TxT(TASKS, preset="quick"), shared),
        "elastic-net Cox, shared genes": (gx.baselines.ElasticNetCox(TASKS[0]), shared),
    }
    tables = []
    for name, (model, genes) in models.items():
        model.fit(train[:, genes].copy(), val)
        tables.append(gx.comparison.bootstrap_scores(model.predict(test), test).assign(model=name, to="TCGA test"))
        for method in (None, "zscore", "quantile"):
            cohort = nki if method is None else gx.harmonise(nki, like=train[:, shared].copy(), method=method)
            options = {"min_coverage": 0.0} if name.startswith("TxT") else {}
            scores = gx.comparison.bootstrap_scores(model.predict(cohort, **options), cohort)
            tables.append(scores.assign(model=name, to=f"NKI, {method or 'as it is'}"))
    print(report["status"].value_counts().to_string())
    table = pd.concat(tables)[["model", "to", "task", "metric", "value", "low", "high"]]
    record(table, "external_tcga_to_nki")
    assert table["value"].notna().all()
