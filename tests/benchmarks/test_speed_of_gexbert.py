"""Seconds and memory of pretraining and imputation against a textbook implementation and against the machine; by hand:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_speed_of_gexbert.py

The paper preset on 1000 genes, half of them hidden: panels of 500 genes and as many targets. Some minutes on two cores.
"""

import pandas as pd
import textbook
import torch
from stopwatch import measure, rates
from studies import record

from gexcore.pretraining import restoration_losses
from gexcore.restorer import PRESETS, GexBERTSettings, Restorer

GENES, BATCH = 1000, 64
FORMS = [(how, precision) for how in ("textbook", "package") for precision in ("float32", "bfloat16")]


def make(implementation):
    """The network, and scores of samples as pretraining draws them, no value missing."""
    torch.manual_seed(0)
    settings = GexBERTSettings(**PRESETS["paper"] | {"mask_rates": (0.5, 0.5)})
    values = torch.randn(GENES, settings.n_levels).sort(1).values
    module = Restorer(values, settings, prior=None, linear=None)
    torch.nn.init.normal_(module.head.weight, std=0.1)  # which begins with zeros, that hide any difference
    if implementation == "textbook":
        for block in (*module.encoder, *module.decoder):
            block.attention = textbook.WrittenOut(block.attention)
    return module, torch.randn(BATCH, GENES)


def autocast(precision):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")


def pretraining(implementation, precision):
    """A step: hide, restore, compare, go back."""
    module, score = make(implementation)
    batch = score, score.clone(), torch.zeros(BATCH, dtype=torch.long)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)

    def step():
        with autocast(precision):
            losses = [loss for loss, _ in restoration_losses(module, batch, []).values()]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()

    return step


def imputation(implementation, precision):
    """The missing half of every sample, as :meth:`gexcore.GexBERT.impute` fills it in."""
    module, score = make(implementation)
    module.eval()
    targets = torch.rand(BATCH, GENES).argsort(1)[:, : GENES // 2]
    score.scatter_(1, targets, torch.nan)

    @torch.no_grad()
    def step():
        with autocast(precision):
            return module.restore(score, targets)

    return step


def products(passes):
    """Billions of operations in the matrix products of encoder and decoder, for one pass forward or several."""
    s, n, t = GexBERTSettings(**PRESETS["paper"]), 1 + GENES // 2, GENES // 2
    dense = 4 * s.d_model**2 + 2 * s.d_model * s.d_ff  # of a token in a block, if it asks and is read
    encoder = s.n_layers * n * (dense + 2 * n * s.d_model)
    decoder = s.n_decoder_layers * (t * (dense - 2 * s.d_model**2 + 2 * n * s.d_model) + n * 2 * s.d_model**2)
    return passes * 2 * BATCH * (encoder + decoder) / 1e9


def test_textbook_and_package_compute_the_same():
    found, expected = (imputation(how, "float32")() for how in ("package", "textbook"))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_pretraining_and_imputation():
    limit, rows = rates(), []
    for what, make_step, passes in (("pretraining", pretraining, 3), ("imputation", imputation, 1)):
        for how, precision in FORMS:
            row = {"what": what, "implementation": how, "precision": precision, "genes": GENES, "batch": BATCH}
            row |= measure(make_step, how, precision, repeats=3) | {"gflop": products(passes)}
            rows.append(row | {"of_limit": row["gflop"] / row["seconds"] / limit[precision]})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    record(table, "speed_gexbert")
    seconds = table.set_index(["what", "implementation", "precision"])["seconds"]
    assert (seconds.xs("package", level=1) < 1.05 * seconds.xs("textbook", level=1)).all()
