"""What perturbation finds of the planted genes: from many models, from nothing, and from more patients; by hand:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_perturbation.py
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from studies import DEMO, record

import gexcore as gx
from gexcore.interpret import gene_effects, permuted, perturb_genes

pytestmark = pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")


def effects_of(cohort, tasks, seeds):
    """Effects of all genes on all tasks, over models of different splits."""
    tables = []
    for seed in seeds:
        train, val, test = gx.split(cohort, DEMO, seed=seed)
        model = gx.TxT(tasks, preset="quick", seed=seed).fit(train, val)
        tables.append(perturb_genes(model, test, reference=train))
    return gene_effects(tables)


def recovery(effects, truth):
    """How well the size of an effect tells planted genes of risk and protection from others, and the signs."""
    effect = effects[effects["task"] == "os"].set_index("gene")["effect"]
    planted = truth["role"].isin(["risk", "protective"])
    areas = {}
    for name, others in {
        "no effect": truth["log_hazard_ratio"] == 0,
        "background": truth["role"] == "background",
    }.items():
        among = planted | others
        areas[f"against {name}"] = roc_auc_score(planted[among], effect.abs().reindex(truth.index)[among])
    signs = np.sign(effect.reindex(truth.index[planted])) == np.sign(truth.loc[planted, "log_hazard_ratio"])
    return areas | {"signs": signs.mean()}


def test_planted_genes_are_recovered_by_twenty_models():
    cohort, truth = gx.load_cohort("demo"), gx.load_truth("demo")
    tables = {name: effects_of(cohort, t, range(20)) for name, t in {"together": DEMO, "alone": DEMO[:1]}.items()}
    both = pd.concat(tables, names=["learned"]).reset_index("learned")
    record(both[both["task"] == "os"], "perturbation_demo")
    found = recovery(tables["together"], truth)
    print(found, recovery(tables["alone"], truth))
    assert found["against background"] > 0.9
    assert found["signs"] > 0.9


def test_nothing_is_found_where_labels_are_permuted():
    cohort, rows = gx.load_cohort("demo"), []
    for permutation in range(10):
        effects = effects_of(permuted(cohort, seed=permutation), DEMO, range(5))
        for (task, output), part in effects.groupby(["task", "output"], sort=False):
            found = {"p < 0.05": (part["p"] < 0.05).mean(), "q < 0.05": (part["q"] < 0.05).mean()}
            rows.append({"permutation": permutation, "task": task, "output": output} | found)
    table = pd.DataFrame(rows)
    record(table, "perturbation_permuted")
    assert table["q < 0.05"].mean() <= 0.05


def test_more_patients_tell_more():
    rows = []
    for n in (400, 800, 1600, 3200):
        simulated = gx.simulate.simulate_cohort(n_samples=n, seed=1000 + n)
        cohort = gx.read_cohort(simulated.expression, simulated.clinical)
        effects = effects_of(cohort, DEMO, range(3))
        rows.append({"patients": n, "models": 3} | recovery(effects, simulated.truth.set_index("gene")))
    table = pd.DataFrame(rows)
    record(table, "perturbation_patients")
    assert table["against no effect"].iloc[-1] > 0.95
