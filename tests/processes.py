"""Trainings that tests compare between one process and several; as a script, the part of one of several.

``python processes.py FILE MODE N [DEVICE]`` keeps the results of a mode, "all" or "tiny", on N devices in a file, and
ends in a training that fails.
"""

import shutil
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch

import gexcore as gx
from gexcore import parallel, training
from gexcore.baselines import MLP, DeepGene
from gexcore.multitask import choose_strategy

STRATEGIES = ["equal", "uncertainty", "pcgrad", "pcgrad-fast", "upgrad", "gradnorm", "gradnorm-fast", "random"]
TASKS = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("kind"), gx.Regression("age")]
SMALL = {"preset": "quick", "n_intervals": 6, "hidden": (), "head_dropout": 0.0, "max_epochs": 3, "batch_size": 13}
SMALL |= {"learning_rate": 0.005, "schedule": "constant", "averaging": 0.0, "weight_decay": 0.1}
TXT = {**SMALL, "d_model": 6, "d_ff": 8, "gene_dropout": 0.0}
PLAIN = {**SMALL, "dropout": 0.0, "gene_dropout": 0.0}  # of an MLP


class Interrupted(Exception):  # noqa: N818 (what happens is no error of the training)
    pass


def parts(n=50):
    """Training, validation and other samples; an age is known of six of them, so that batches lack the task."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n + 30, 12)).astype("float32")
    obs = pd.DataFrame(
        {
            "os_time": rng.exponential(np.exp(-x[:, 0])),
            "os_event": rng.integers(0, 2, len(x)).astype(float),
            "kind": np.where(x[:, 1] + x[:, 2] > 0, "a", "b"),
            "age": np.where(np.arange(len(x)) % 9, np.nan, 60 + 5 * x[:, 3]),
        },
        index=[f"p{i}" for i in range(len(x))],
    )
    cohort = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(12)]))
    return cohort[:n].copy(), cohort[n : n + 15].copy(), cohort[n + 15 :].copy()


def result(model, other):
    predicted = model.predict(other)
    values = predicted["os"].survival.to_numpy(), predicted["kind"].probabilities, predicted["age"].values
    return {**losses(model), "predictions": np.concatenate([np.ravel(v) for v in values])}


def losses(model):
    return {split: part["loss"].to_numpy() for split, part in model.history_.groupby("split")}


def models(where):
    """Every way to combine gradients, batch norm below the heads, and GexBERT, alone and fine-tuned."""
    train, val, other = parts()
    fits = {name: gx.TxT(TASKS, multitask=name, **TXT) for name in STRATEGIES}
    fits["bfloat16"] = gx.TxT(TASKS, precision="bfloat16", **TXT)
    fits["batch norm in the heads"] = gx.TxT(TASKS, **{**TXT, "hidden": (6,)})
    fits["MLP"] = MLP(TASKS, **{**PLAIN, "multitask": "pcgrad"})
    fits["DeepGene"] = DeepGene(TASKS, **{**SMALL, "dropout": 0.0})
    results = {name: result(model.fit(train, val, **where), other) for name, model in fits.items()}
    small = {"d_model": 8, "d_ff": 8, "n_heads": 2, "panel": 6, "n_targets": 4, "n_factors": 2, "n_components": 1}
    bert = gx.GexBERT(preset="quick", loss="both", batch_size=13, max_epochs=3, **small).fit(train, val, **where)
    results["GexBERT"] = {**losses(bert), "predictions": bert.embed(other).to_numpy()}
    tuned = {name: SMALL[name] for name in ("n_intervals", "hidden", "head_dropout", "max_epochs", "batch_size")}
    model = gx.FineTuned(TASKS, encoder=bert, multitask="pcgrad", **tuned).fit(train, val, **where)
    return results | {"FineTuned": result(model, other)}


def broken_off(where, file):
    """A training that stops in its third epoch and goes on from its file; a copy of the file is left."""
    train, val, other = parts()
    evaluate, calls = training.evaluate_losses, []

    def interrupted(*what):
        calls.append(None)
        if len(calls) == 3:
            raise Interrupted
        return evaluate(*what)

    dropped = {**TXT, "gene_dropout": 0.3, "head_dropout": 0.2}  # numbers drawn alike, and others drawn apart
    whole = result(gx.TxT(TASKS, **dropped).fit(train, val, **where), other)
    training.evaluate_losses = interrupted
    for settings in (TXT, dropped):
        calls.clear()
        path = file.with_suffix(".none" if settings is TXT else ".dropped")
        try:
            gx.TxT(TASKS, **settings).fit(train, val, checkpoint=path, **where)
        except Interrupted:
            if parallel.is_first():
                shutil.copy(path, path.with_suffix(f"{path.suffix}.copy"))
    training.evaluate_losses = evaluate
    went_on = result(gx.TxT(TASKS, **dropped).fit(train, val, checkpoint=path, **where), other)
    return {"whole": whole, "went on": went_on}


def planted(processes):
    """PCGrad of two tasks that conflict among the first two of four samples, but not among all; before and after."""
    inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    of_a, of_b = torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.tensor([-1.0, 1.0, 3.0, 0.0])  # dot products: -1 and 3
    gradients = {}
    for name, how in {"summed": {"total": processes.total}, "projected first": {}}.items():
        weight = torch.nn.Parameter(torch.zeros(2))
        strategy = choose_strategy("pcgrad", ["a", "b"], [weight], **how)
        read = strategy.meet(processes.share(lambda rows, weight=weight: inputs[rows] @ weight[:, None], 4))  # (4, 1)
        strategy.backward({"a": ((of_a * read[:, 0]).sum(), 4), "b": ((of_b * read[:, 0]).sum(), 4)})
        gradients[name] = weight.grad
    gradients["projected first"] = sum(processes.every(gradients["projected first"]))
    return gradients


def streams(processes):
    """What is drawn below the heads, sample by sample in two batches, and above them by every process."""
    below = [processes.share(lambda rows: torch.rand(rows.stop - rows.start, 1), 4)[:, 0].tolist() for _ in range(2)]
    return {"below": below, "above": processes.every(torch.rand(3).tolist())}


def normed(processes, n):
    """Batch norm of n samples with two places each, its running moments, and gradients of inputs and parameters."""
    rng = np.random.default_rng(0)
    x, weight = (torch.tensor(rng.normal(2, 3, size=(n, 3, 2)), dtype=torch.float32) for _ in range(2))
    norm = torch.nn.BatchNorm1d(3)
    parameters = [x.requires_grad_(), *norm.parameters()]
    y = processes.share(lambda rows: norm(x[rows]), n)
    own = torch.autograd.grad((weight * y).sum(), parameters)
    return [y.detach(), norm.running_mean, norm.running_var, *processes.total(own, parameters)]


def meeting(n, device, *, size):
    processes = parallel.choose_processes(torch.device(device), devices=n, num_nodes=1, strategy="ddp")
    processes.launch()
    with training.seeded(7, processes.device):
        processes.begin(1)
        drawn = streams(processes)
    return {"planted": planted(processes), "streams": drawn, "normed": normed(processes, size)}


def tiny(where):
    """Batches of two samples: of three processes one has none."""
    train, val, other = parts(12)
    settings = {**TXT, "batch_size": 2, "max_epochs": 2, "learning_rate": 5e-4, "multitask": "pcgrad"}
    return result(gx.TxT(TASKS, **settings).fit(train, val, **where), other)


def failing(where, *, first):
    """The first process raises in its second epoch, or all the others do."""
    evaluate, calls = training.evaluate_losses, []

    def failed(*what):
        calls.append(None)
        if len(calls) == 2 and parallel.is_first() == first:
            message = "this process broke"
            raise RuntimeError(message)
        return evaluate(*what)

    training.evaluate_losses = failed
    gx.TxT(TASKS, **TXT).fit(*parts()[:2], **where)


if __name__ == "__main__":
    file, mode, n, device = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), (*sys.argv[4:], "cpu")[0]
    where = {"devices": n}
    if mode == "all":
        results = {"models": models(where), "broken off": broken_off(where, file), **meeting(n, device, size=5)}
    else:
        results = {"tiny": tiny(where), "normed": meeting(n, device, size=2)["normed"]}
    if parallel.is_first():
        torch.save(results, file)
    failing(where, first=mode == "all")
