"""Prognostic genes restored from small panels; by hand, about an hour on one core:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_anchor_genes.py
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold
from studies import COHORTS, record

import gexcore as gx

FILE = COHORTS / "tcga-pan-cancer.h5ad"
pytestmark = pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")
OS = gx.Survival("os", time="os_time", event="os_event")
N_FOLDS, LEAST_EVENTS = 5, 80


@pytest.mark.skipif(not FILE.is_file(), reason="needs the TCGA pan-cancer table")
def test_anchors_of_tcga():
    cohort = gx.read_cohort(FILE)
    events = cohort.obs.groupby("cancer_type", observed=True)["os_event"].sum()
    cancers = events.index[events >= LEAST_EVENTS]
    strata = cohort.obs["cancer_type"].astype(str) + cohort.obs["os_event"].fillna(0).astype(int).astype(str)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(strata, strata)
    tables = []
    for fold, (inside, outside) in enumerate(folds):
        rng = np.random.default_rng(fold)
        held, kept = np.split(rng.permutation(inside), [len(inside) // 10])
        train, val = cohort[np.sort(kept)].copy(), cohort[np.sort(held)].copy()
        restorers = {  # learned from all cancers, without a label and without a test sample
            "GexBERT": gx.GexBERT(preset="quick", n_components=10, max_epochs=2, seed=fold).fit(train, val),
            "ridge": gx.baselines.GaussianConditional(shrinkage=0.2).fit(train),
            "KNN": gx.baselines.KNN().fit(train),
            "SoftImpute": gx.baselines.SoftImpute(penalty=0.05).fit(train),
        }
        learned, tested = cohort[np.sort(inside)], cohort[np.sort(outside)]
        for cancer in cancers:
            parts = [part[part.obs["cancer_type"] == cancer].copy() for part in (learned, tested)]
            table = gx.anchors.compare_arms([(*parts, restorers)], OS, seed=fold)
            tables.append(table.assign(seed=fold, cancer=cancer))
        record(pd.concat(tables, ignore_index=True), "anchors_tcga")  # a run that breaks off keeps what it has
    assert pd.concat(tables).query("metric == 'c_index'")["value"].notna().all()
    assert len(cancers) >= 6
