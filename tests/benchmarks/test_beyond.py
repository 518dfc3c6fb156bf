"""TxT beyond 1000 genes: what more genes bring, and what they cost; by hand, hours on one core:

GEXCORE_SWEEP=sweep GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_beyond.py

For the cost alone add ``-k step``, on a machine that does nothing else. Fits that stand in the folder GEXCORE_SWEEP
are not made again.
"""

import os
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from stopwatch import alone
from studies import BREAST, COHORTS, DEMO, read_breast_cancers, record

import gexcore as gx
from gexcore import baselines
from gexcore.bench import Method
from gexcore.genes import divide_among_sets
from gexcore.imputation import Meter
from gexcore.simulate import simulate_cohort
from gexcore.txt import TxTModule, TxTSettings

needs_tcga = pytest.mark.skipif(not COHORTS.is_dir(), reason="needs the TCGA cohorts")
SWEEP = Path(os.environ.get("GEXCORE_SWEEP", "sweep"))
# Chosen before any test score was seen: the quick preset, and one more where a pathway keeps all of its vector, since
# the preset's single score per gene would leave the heads a single number of each pathway.
WHOLE = {"pooling": "flatten"}


# ----------------------------------------------------------------------------------------------- quality


def on_genes(n, make):
    """A method that reads n genes, those that vary most in training; None: all there are."""

    def estimator(tasks, seed, context):
        model = make(tasks, seed)
        return model if n is None else gx.OnSelectedGenes(model, n=n)

    return estimator


def txt(**settings):
    return lambda tasks, seed: gx.TxT(tasks, preset="quick", seed=seed, **settings)


def linear_model(tasks, seed):
    kind = baselines.ElasticNetCox if tasks[0].kind == "survival" else baselines.LinearModel
    return kind(tasks, seed=seed)


def study(name, cohort, tasks, sets, *, seeds):
    """Scores of linear models and of each form of TxT on 250 genes, on 1000, on all."""
    pathways = {"attention": "pathways", "gene_sets": sets}
    forms = {
        ("full", txt()): (250, 1000),
        ("linear", txt(attention="linear")): (1000, None),
        ("pathways", txt(**pathways)): (1000, None),
        ("pathways-whole", txt(**pathways, **WHOLE)): (1000, None),
    }
    label = {250: "250", 1000: "1000", None: "all"}
    models = {f"linear-model-{label[n]}": Method(make=on_genes(n, linear_model)) for n in label}
    for (form, make), numbers in forms.items():
        models |= {f"{form}-{label[n]}": Method(make=on_genes(n, make), joint=True) for n in numbers}
    cohort.uns["name"] = name
    scores = gx.benchmark(models, cohort, tasks, seeds=seeds, folder=SWEEP)
    assert (scores["status"] == "scored").all()
    heads = gx.comparison.headlines(scores)
    n = heads["model"].str.extract(r"-(250|1000|all)$")[0].replace("all", str(cohort.n_vars))
    heads = heads.drop(columns=["cohort", "status", "error"]).assign(genes=n.astype(int))
    record(heads, f"beyond_{name.replace('-', '_')}")
    print(gx.comparison.mean_scores(heads).T.round(3).to_string())
    print(heads.groupby("model", sort=False)[["seconds", "peak_mb"]].mean().round(0).to_string())
    print(gx.comparison.differences(heads, "full-1000").round(3).to_string())
    return heads


@needs_tcga
@pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")
def test_breast_cancers_of_tcga_on_up_to_all_their_genes():
    sets = gx.read_gene_sets(COHORTS / "hallmark.gmt")
    study("tcga-brca", read_breast_cancers(), BREAST, sets, seeds=range(5))


def test_simulated_cohort_of_5000_genes_in_minutes_a_fit():
    # No cohort at hand has so many genes. Here it is known what they hold: a survival that hangs on the activity of
    # nine modules, which hundreds of genes show, and on single genes and pairs, which more genes only hide.
    simulated = simulate_cohort(n_samples=400, n_genes=5000, seed=1)
    cohort = gx.read_cohort(simulated.expression, simulated.clinical)
    heads = study("simulated-5000", cohort, DEMO, simulated.gene_sets, seeds=range(3))
    assert heads.loc[heads["model"].str.startswith("pathways") & (heads["genes"] == 5000), "seconds"].median() < 600


# -------------------------------------------------------------------------------------------------- cost

BATCH, STEPS = 4, 3
GENES = (250, 1000, 2500, 5000, 10000, 20000)


def step(form, n_genes, checkpointing):
    """Seconds and megabytes of one training step of the encoder, pooled to a score per gene or token."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings = TxTSettings(
        n_layers=4, n_heads=4, d_model=64, d_ff=256, dropout=0.0, value_path=True, pooling="score",
        attention=form, checkpointing=checkpointing,
    )  # fmt: skip
    genes = [f"G{i}" for i in range(n_genes)]
    rng, members = np.random.default_rng(0), None
    if form == "pathways":  # like the hallmark sets in a whole transcriptome: 50 of 200 genes in 20,000
        sets = {f"S{i}": rng.choice(genes, n_genes // 100, replace=False) for i in range(50)}
        position = pd.Index(genes)
        members = [position.get_indexer(of_set) for of_set in divide_among_sets(genes, sets).values()]
    module = TxTModule(n_genes, [], settings.d_model, settings, members)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
    expression = torch.from_numpy(rng.standard_normal((BATCH, n_genes), dtype="float32"))
    seconds = []
    with Meter() as memory:
        for _ in range(1 if form == "full" and n_genes > 5000 else STEPS):
            with Meter() as meter:
                module.embed(expression).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
            seconds.append(meter.seconds)
    row = {"attention": form, "checkpointing": checkpointing, "genes": n_genes, "tokens": module.pool.width}
    return row | {"seconds": statistics.median(seconds), "peak_mb": memory.megabytes}


def test_seconds_and_memory_of_a_step_against_genes():
    cases = [(form, n, False) for n in GENES for form in ("pathways", "linear", "full")]
    cases += [(form, n, True) for n in (5000, 20000) for form in ("linear", "full")]
    rows = []
    for case in cases:  # a process each: none finds memory that another left over
        rows.append(alone(step, *case))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows).sort_values(["attention", "checkpointing", "genes"], kind="stable")
    record(table.assign(batch=BATCH, layers=4, heads=4, width=64), "beyond_cost")
    cost = table[~table["checkpointing"]].set_index(["attention", "genes"])
    for form in ("linear", "pathways"):  # four times the genes: far from sixteen times the cost
        assert cost.loc[(form, 20000), "peak_mb"] < 8 * cost.loc[(form, 5000), "peak_mb"]
        assert cost.loc[(form, 20000), "seconds"] < 8 * cost.loc[(form, 5000), "seconds"]
