"""Seconds and memory of TxT against a textbook implementation and against the machine; by hand, on a quiet machine:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_speed.py

Every number is made in a process of its own; ratios are of one run. About half an hour on two cores.
"""

import time

import numpy as np
import pandas as pd
import pytest
import textbook
import torch
from stopwatch import alone, measure, rates
from studies import DEMO, record

import gexcore as gx
from gexcore import heads
from gexcore.multitask import choose_strategy
from gexcore.txt import TxTModule, TxTSettings

BASE = {"genes": 1000, "layers": 8, "batch": 16, "tasks": 5, "dropout": 0.1, "checkpointing": False}
PAPER_HEADS, PAPER_WIDTH, PAPER_HIDDEN = 4, 64, 256


def make(case):
    """The network of the paper, its losses, and a batch of random expression with the labels of ``demo``."""
    torch.manual_seed(0)
    cohort, tasks = gx.load_cohort("demo"), DEMO[: case["tasks"]]
    targets = [task.fit(cohort.obs) for task in tasks]
    labels = [torch.from_numpy(target.encode(cohort.obs[: case["batch"]])) for target in targets]
    settings = TxTSettings(n_layers=case["layers"], dropout=case["dropout"], checkpointing=case["checkpointing"])
    module = TxTModule(case["genes"], targets, settings.d_model, settings)
    return module, targets, labels, torch.rand(case["batch"], case["genes"])


def textbook_step(case):
    module, targets, labels, expression = make(case)
    losses, optimizer = heads.task_losses(module.heads, targets, labels), torch.optim.Adam(module.parameters(), lr=1e-4)
    generator = np.random.default_rng(0)

    def step():
        parts = losses(module.heads, (module.pool(textbook.encode(module.encoder, expression)), *labels))
        textbook.pcgrad(module, [loss for loss, _ in parts.values()], generator)
        optimizer.step()

    return step


def package_step(case, multitask, dtype):
    """As gexcore.training takes it."""
    module, targets, labels, expression = make(case)
    strategy = choose_strategy(multitask, [target.task.name for target in targets], module.shared_parameters())
    losses = heads.losses_against_null(module.heads, targets, labels, meet=strategy.meet)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=0.0)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            parts = losses(module, (expression, *labels))
        optimizer.zero_grad()
        strategy.backward(parts)
        optimizer.step()

    return step


def forward(case, implementation, dtype):
    module, _, _, expression = make(case)
    module.eval()
    encode = (lambda g: textbook.encode(module.encoder, g)) if implementation == "textbook" else module.encoder

    @torch.no_grad()
    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            encode(expression)

    return step


def products(case):
    """Billions of operations in the matrix products of a forward pass through the encoder."""
    g, b, d, h = case["genes"], case["batch"], PAPER_WIDTH, PAPER_HEADS
    by_layer = 2 * b * g * (4 * d * d + 2 * d * PAPER_HIDDEN) + 2 * b * g * g * (2 * d + h)
    return (case["layers"] * by_layer - 2 * (b - 1) * g * 3 * d * d) / 1e9  # of the first layer once, not for all


def make_step(what, case):
    kind, *how = what
    return {"step": package_step, "textbook": textbook_step, "forward": forward}[kind](case, *how)


def measured(cases):
    rows = []
    for what, changes, repeats in cases:
        case = {**BASE, **changes}
        kind, multitask, precision = (*what, "pcgrad", "float32")[:3] if what[0] == "textbook" else what
        row = measure(make_step, what, case, repeats=repeats)
        rows.append({"what": kind, "form": multitask, "precision": precision, **case, **row})
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


STEP, FAST = ("step", "pcgrad"), ("step", "pcgrad-fast")


def test_textbook_and_package_compute_the_same():
    case = {**BASE, "genes": 60, "layers": 2, "dropout": 0.0}
    module, _, _, expression = make(case)
    found, expected = module.encoder(expression), textbook.encode(module.encoder, expression)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_training_step_at_the_size_of_the_paper():
    forms = [(*form, precision) for form in (STEP, FAST) for precision in ("float32", "bfloat16")]
    cases = [(what, {"dropout": rate}, 3) for rate in (0.1, 0.0) for what in forms]
    cases += [(("step", "equal", "float32"), {}, 3)]
    cases += [(("textbook",), {"dropout": rate}, 1) for rate in (0.1, 0.0)]
    cases += [((*FAST, "bfloat16"), {"checkpointing": True}, 3)]
    table = measured(cases)
    record(table, "speed_step")
    of = table[~table["checkpointing"]].set_index(["dropout", "what", "form", "precision"]).sort_index()
    for rate, exact, fast in ((0.1, 9, 25), (0.0, 7, 20)):
        by_hand = of.loc[(rate, "textbook", "pcgrad", "float32")]
        ratio = by_hand["seconds"] / of.loc[(rate, "step"), "seconds"]
        print(
            rate, ratio.round(1).to_dict(), (by_hand["peak_mb"] / of.loc[(rate, "step"), "peak_mb"]).round(1).to_dict()
        )
        if "avx512_bf16" in open("/proc/cpuinfo").read():  # noqa: PTH123, SIM115
            assert ratio[("pcgrad", "bfloat16")] > exact
            assert ratio[("pcgrad-fast", "bfloat16")] > fast


def test_a_training_step_against_genes_layers_samples_and_tasks():
    ours, exact, by_hand = (*FAST, "bfloat16"), (*STEP, "bfloat16"), ("textbook",)
    cases = [(what, {"genes": n}, 1) for n in (250, 500, 1000) for what in (by_hand, exact, ours)]
    cases += [(what, {"genes": n}, 1) for n in (2500, 5000) for what in (exact, ours)]
    cases += [(what, {"layers": n}, 1) for n in (1, 2, 4) for what in (by_hand, exact, ours)]
    cases += [(what, {"batch": n}, 1) for n in (4, 8) for what in (by_hand, exact, ours)]
    cases += [(what, {"batch": n}, 1) for n in (32, 64) for what in (exact, ours)]
    cases += [(what, {"tasks": n}, 1) for n in (2, 3) for what in (by_hand, exact, ours)]
    record(measured(cases), "speed_sizes")


def test_a_training_step_of_20000_genes():
    table = measured([((*FAST, "bfloat16"), {"genes": 20_000, "batch": 4, "checkpointing": True}, 1)])
    record(table, "speed_20000")
    assert table["peak_mb"].max() < 24 * 1024


def test_forward_passes_against_the_rate_of_matrix_products():
    table = measured(
        [(("forward", how, dtype), {}, 5) for how in ("textbook", "package") for dtype in ("float32", "bfloat16")]
    )
    limit = rates()
    table["gflop"] = products(BASE)
    table["of_float32_limit"] = table["gflop"] / table["seconds"] / limit["float32"]
    record(table.assign(limit=table["precision"].map(limit)), "speed_forward")


PARTS = {
    "gexcore::attend": "attention",
    "aten::mm": "dense layers",
    "aten::native_layer_norm": "layer norms",
    **dict.fromkeys(("aten::relu", "aten::clamp_min", "aten::add"), "ReLU and residuals"),
}


def profile(dtype, threads):
    """Seconds of a forward pass, by what they go to."""
    torch.set_num_threads(threads)
    step = forward(BASE, "package", dtype)
    step()
    with torch.profiler.profile() as seen:
        step()
    seconds = dict.fromkeys([*PARTS.values(), "copies and the rest"], 0.0)
    for event in seen.key_averages():
        seconds[PARTS.get(event.key, "copies and the rest")] += event.self_cpu_time_total / 1e6
    return {"precision": dtype, **seconds}


def test_where_the_time_of_a_forward_pass_goes():
    table = pd.DataFrame([alone(profile, dtype, torch.get_num_threads()) for dtype in ("float32", "bfloat16")])
    record(table.melt("precision", var_name="part", value_name="seconds"), "speed_profile")
    assert (table["copies and the rest"] < 0.2 * table.drop(columns="precision").sum(axis=1)).all()


def test_scores_in_bfloat16_are_those_in_float32():
    """Wide enough for the matrix units to do the products of attention; settings set before any score was seen."""
    wide = {"n_layers": 2, "n_heads": 4, "d_model": 64, "batch_size": 64, "max_epochs": 25}
    models = {
        precision: lambda seed, precision=precision: gx.TxT(
            DEMO, preset="quick", precision=precision, seed=seed, **wide
        )
        for precision in ("float32", "bfloat16")
    }
    # Another seed says how far apart two trainings are that differ in nothing that matters.
    models["float32, another seed"] = lambda seed: gx.TxT(DEMO, preset="quick", seed=seed + 100, **wide)
    scores = gx.comparison.over_splits(models, gx.load_cohort("demo"), DEMO, seeds=range(5))
    record(scores, "speed_precision")
    shown = gx.comparison.differences(gx.comparison.headlines(scores), "float32")
    print(shown.round(3).to_string())
    assert (shown.loc[shown["model"] == "bfloat16", "verdict"] == "not decided").all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_steps_on_a_gpu():
    rows = []
    for multitask in ("pcgrad", "pcgrad-fast"):
        module, targets, labels, expression = make(BASE)
        strategy = choose_strategy(multitask, [t.task.name for t in targets], module.shared_parameters())
        losses = heads.losses_against_null(module.heads, targets, labels, meet=strategy.meet)
        module, batch = module.cuda(), tuple(t.cuda() for t in (expression, *labels))
        for _ in range(4):
            torch.cuda.synchronize()
            start = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16):
                parts = losses(module, batch)
            strategy.backward(parts)
            torch.cuda.synchronize()
            rows.append({"form": multitask, "seconds": time.perf_counter() - start})
    record(pd.DataFrame(rows).groupby("form", as_index=False).min(), "speed_gpu")
