"""How several task gradients become one step: scores and seconds of the strategies, by hand, about 20 minutes:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_multitask.py
"""

import time

import numpy as np
import pandas as pd
import pytest
import torch
from studies import BREAST, COHORTS, DEMO, read_breast_cancers, record

import gexcore as gx
from gexcore import heads
from gexcore.multitask import choose_strategy
from gexcore.training import train
from gexcore.txt import TxTModule, TxTSettings

STRATEGIES = ["equal", "uncertainty", "gradnorm", "pcgrad", "pcgrad-fast", "upgrad"]


def show(scores, name):
    """Mean scores by strategy, and every strategy against equal weights, split by split."""
    record(scores.drop(columns="seconds"), name)
    shown = gx.comparison.headlines(scores)
    table = gx.comparison.mean_scores(shown)
    paired = gx.comparison.differences(shown, "equal")
    for part in (table.round(3), paired.round(3)):
        print(f"\n{part.to_string()}")
    return table


def test_strategies_on_demo():
    table = show(
        gx.interpret.compare_strategies(gx.load_cohort("demo"), DEMO, STRATEGIES, preset="quick"), "strategies_demo"
    )
    assert (table.loc[("os", "c_index")] > 0.6).all()


@pytest.mark.skipif(not (COHORTS / "tcga-brca").is_dir(), reason="needs the TCGA-BRCA tables")
def test_strategies_on_tcga_breast_cancers():
    models = {
        name: lambda seed, name=name: gx.OnSelectedGenes(
            gx.TxT(BREAST, preset="quick", multitask=name, seed=seed), n=250
        )
        for name in ("equal", "uncertainty", "gradnorm-fast", "pcgrad", "pcgrad-fast", "upgrad-fast")
    }
    table = show(
        gx.comparison.over_splits(models, read_breast_cancers(), BREAST, seeds=range(5)), "strategies_tcga_brca"
    )
    assert (table.loc[("pam50", "accuracy")] > 0.8).all()


def test_seconds_of_a_step_of_the_paper_network():
    """Eight layers, 500 genes, 16 patients, five tasks; ratios to equal weights in one run."""
    generator = torch.Generator().manual_seed(0)
    cohort = gx.load_cohort("demo")[:48]
    targets = [task.fit(cohort.obs) for task in DEMO]
    labels = [torch.from_numpy(t.encode(cohort.obs)) for t in targets]
    expression = torch.rand(48, 500, generator=generator)
    seconds = {}
    for name in ("equal", *STRATEGIES):  # the first run warms up
        settings = TxTSettings(dropout=0.0, batch_size=16, max_epochs=1)
        module = TxTModule(500, targets, settings.d_model, settings)
        strategy = choose_strategy(name, [t.task.name for t in targets], module.shared_parameters())
        losses = heads.losses_against_null(module.heads, targets, labels, meet=strategy.meet)
        data = (expression, *labels)
        options = {"strategy": strategy, "device": torch.device("cpu"), "label": name}
        start = time.monotonic()
        train(module, losses, data, None, settings, generator=np.random.default_rng(0), **options)
        seconds[name] = (time.monotonic() - start) / 3
    table = pd.DataFrame({"seconds": seconds, "ratio": pd.Series(seconds) / seconds["equal"]})
    record(table.rename_axis("strategy").reset_index(), "seconds_per_step")
    assert table.loc["pcgrad-fast", "seconds"] < table.loc["pcgrad", "seconds"]
