"""Does training really train? TxT against linear models on the same splits; minutes, so run by hand:

python -m pytest -s tests/benchmarks
"""

import time

import numpy as np
import pandas as pd
import pytest
from studies import BREAST, COHORTS, DEMO, read_breast_cancers

import gexcore as gx


def compare(cohort, tasks, seeds):
    """Mean scores, a table (task, metric) x (linear, txt), and the longest training time."""
    survival = [t for t in tasks if t.kind == "survival"]
    others = [t for t in tasks if t.kind != "survival"]
    tables, seconds = [], []
    for seed in seeds:
        train, val, test = gx.split(cohort, tasks, seed=seed)
        start = time.monotonic()
        model = gx.TxT(tasks, preset="quick", seed=seed).fit(train, val)
        seconds.append(time.monotonic() - start)
        peers = [gx.baselines.ElasticNetCox(survival, seed=seed), gx.baselines.LinearModel(others, seed=seed)]
        rivals = {name: p for peer in peers for name, p in peer.fit(train).predict(test).items()}
        for name, prediction in {"txt": model.predict(test), "linear": rivals}.items():
            tables.append(gx.evaluate(prediction, test, train=train).assign(model=name))
    table = pd.concat(tables).pivot_table(index=["task", "metric"], columns="model", values="value", sort=False)
    print(f"\n{table.round(3).to_string()}\nlongest training {max(seconds):.0f} s")
    return table, max(seconds)


def test_multitask_txt_holds_its_own_against_linear_models_on_demo():
    table, _ = compare(gx.load_cohort("demo"), DEMO, range(5))
    assert table.loc[("os", "c_index"), "txt"] >= table.loc[("os", "c_index"), "linear"] - 0.01
    assert table.loc[("subtype", "accuracy"), "txt"] >= table.loc[("subtype", "accuracy"), "linear"] - 0.02


def test_shuffled_labels_give_a_c_index_of_one_half_on_demo():
    cohort, columns, scores = gx.load_cohort("demo"), list(DEMO[0].columns), []
    for seed in range(10):
        train, val, test = gx.split(cohort, DEMO, seed=seed)
        for part in (train, val):
            order = np.random.default_rng(seed).permutation(part.n_obs)
            part.obs[columns] = part.obs[columns].to_numpy()[order]
        model = gx.TxT(DEMO[0], preset="quick", seed=seed).fit(train, val)
        scores.append(gx.evaluate(model.predict(test), test).set_index("metric").loc["c_index", "value"])
    print(f"\nshuffled labels: {np.mean(scores):.3f} +- {np.std(scores, ddof=1):.3f}")
    assert np.mean(scores) == pytest.approx(0.5, abs=0.05)


@pytest.mark.skipif(not (COHORTS / "tcga-brca").is_dir(), reason="needs the TCGA-BRCA tables")
def test_txt_learns_pam50_on_tcga_breast_cancers_in_ten_minutes():
    table, seconds = compare(read_breast_cancers(), BREAST, [0])
    assert seconds < 600
    assert table.loc[("pam50", "accuracy"), "txt"] >= table.loc[("pam50", "accuracy"), "linear"] - 0.03
