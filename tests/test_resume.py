"""Training broken off at any step and resumed: the bits are those of a training that was not."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from gexcore.checkpoint import write_checkpoint
from gexcore.multitask import choose_strategy
from gexcore.training import TrainingSettings, seeded, train

CPU = torch.device("cpu")


def line(n=64, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = x @ [[1.0], [-2.0], [0.5]] + 3 + noise * rng.normal(size=(n, 1))
    return torch.tensor(x).float(), torch.tensor(y).float()


def squared(module, batch):
    x, y = batch
    return {"y": ((module(x) - y).square().mean(), len(x))}


class Interrupted(Exception):  # noqa: N818 (what happens is no error of the training)
    pass


class TwoTasks(nn.Module):
    """Two tasks on one encoder with batch norm and dropout, and parameters that are shared or lie in columns."""

    def __init__(self, width=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3))
        self.a, self.b = nn.Linear(width, 1), nn.Linear(width, 1)
        self.a.bias = self.b.bias
        self.columns = nn.Parameter(torch.randn(3, width).t() / 2)


KINDS = {  # what is trained, and for how many epochs at most
    "plain": ("equal", {"patience": 6}),
    "averaged": (
        "equal",
        {"averaging": 0.9, "schedule": "cosine", "gradient_clip": 1.0, "weight_decay": 0.1, "max_epochs": 15},
    ),
    "without validation": ("pcgrad", {"max_epochs": 8}),
    "bfloat16": ("equal", {"precision": "bfloat16", "max_epochs": 8}),
    "uncertainty": ("uncertainty", {"max_epochs": 8}),
    "gradnorm": ("gradnorm", {"max_epochs": 8}),
    "gradnorm-fast": ("gradnorm-fast", {"max_epochs": 8}),
    "random": ("random", {"max_epochs": 8}),
}


def trained(kind, file=None, *, stop=None, width=8, seed=0, data=None, label="test", **settings):
    """All bits of a training of ``KINDS``, and its steps; at step ``stop`` it raises."""
    strategy, preset = KINDS[kind]
    settings = {"learning_rate": 0.02, "max_epochs": 60, "batch_size": 16, **preset, **settings}
    n_steps = 0

    def losses(module, batch):
        nonlocal n_steps
        n_steps += module.training
        if module.training and n_steps == stop:
            raise Interrupted
        x, y = batch
        hidden = module.encoder(x) + x @ module.columns.t()
        hidden = chosen.meet(hidden) if torch.is_grad_enabled() else hidden
        return {
            "a": ((module.a(hidden) - y).square().mean(), len(x)),
            "b": (4 * (module.b(hidden) + y.relu()).square().mean(), len(x)),
        }

    with seeded(seed, CPU):
        module = TwoTasks(width)
        shared = [p for name, p in module.named_parameters() if name[0] not in "ab"]
        chosen, generator = choose_strategy(strategy, ["a", "b"], shared), np.random.default_rng(seed)
        validation = None if kind == "without validation" else line(40, seed=1)
        history = train(
            module,
            losses,
            data or line(),
            validation,
            TrainingSettings(**settings),
            strategy=chosen,
            device=CPU,
            generator=generator,
            label=label,
            checkpoint=file,
        )
        streams = {"torch": torch.rand(3), "numpy": torch.from_numpy(generator.random(3))}
    own = {"weights": torch.stack(chosen.weights)} if "gradnorm" in kind else dict(chosen.state_dict())
    return {"history": history, "bits": {**module.state_dict(), **streams, **own}, "steps": n_steps}


def assert_same(ours, theirs):
    pd.testing.assert_frame_equal(ours["history"], theirs["history"], check_exact=True)
    assert ours["bits"].keys() == theirs["bits"].keys()
    for name, value in ours["bits"].items():
        assert torch.equal(value, theirs["bits"][name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_broken_off_at_any_step_ends_with_the_same_bits(kind, tmp_path):
    whole = trained(kind)
    assert_same(trained(kind, tmp_path / "whole"), whole)
    stops = np.random.default_rng(len(kind)).integers(1, whole["steps"] // 3, 3)
    for stop in stops:
        with pytest.raises(Interrupted):
            trained(kind, tmp_path / "parts", stop=stop)
    last = trained(kind, tmp_path / "parts")
    assert_same(last, whole)
    done = sum((stop - 1) // 4 for stop in stops)  # whole epochs of four steps
    assert last["steps"] == whole["steps"] - 4 * done


@pytest.mark.parametrize("kind", ["plain", "averaged"])  # stopped early, and at max_epochs
def test_an_ended_training_returns_its_result_at_once(kind, tmp_path):
    file = tmp_path / "run"
    whole = trained(kind, file)
    assert (whole["history"]["epoch"].max() < KINDS[kind][1].get("max_epochs", 60)) == (kind == "plain")
    before = file.stat()
    again = trained(kind, file, stop=1)
    assert_same(again, whole)
    assert again["steps"] == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_training_that_ended_in_nan_does_so_again(tmp_path):
    def breaking(module, batch):
        loss = squared(module, batch)["y"][0]
        return {"y": (loss if loss > 5 else loss * math.nan, len(batch[0]))}

    def run(module):
        settings, options = TrainingSettings(learning_rate=0.1), {"label": "test", "checkpoint": tmp_path / "run"}
        generator = np.random.default_rng(0)
        return train(module, breaking, line(noise=0), None, settings, device=CPU, generator=generator, **options)

    first = nn.Linear(3, 1)
    second = copy.deepcopy(first)
    with pytest.warns(RuntimeWarning, match="stopped being finite in epoch") as warned:
        history = run(first)
    with pytest.warns(RuntimeWarning, match=str(warned[0].message)):
        again = run(second)
    pd.testing.assert_frame_equal(again, history, check_exact=True)
    assert torch.equal(first.weight, second.weight)


def spoilt(part):
    data = line()
    data[part][7, 0] += 1e-6
    return data


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"learning_rate": 0.03},
            r"otherwise: learning_rate \(0.02 there, 0.03 here\); call it as it was begun, or choose",
        ),
        (
            {"max_epochs": 61, "patience": 7},
            r"otherwise: max_epochs \(60 there, 61 here\), patience \(6 there, 7 here\)",
        ),
        (
            {"width": 9},
            r"otherwise: model \(12 tensors, 107 numbers, hash \w+ there, 12 tensors, 120 numbers, hash \w+",
        ),
        ({"seed": 1}, r"otherwise: initial weights \(hash \w+ there, hash \w+ here\), order of samples \(hash"),
        ({"data": line(62)}, "otherwise: training data \\(64 x 3, 64 x 1, hash .* 62 x 3, 62 x 1, hash"),
        ({"data": spoilt(0)}, "otherwise: training data \\(64 x 3, 64 x 1, hash .* 64 x 3, 64 x 1, hash"),
        ({"data": spoilt(1)}, "otherwise: training data"),
        (
            {"kind": "uncertainty", "max_epochs": 60, "patience": 6},
            r"otherwise: strategy \(EqualWeights\(\) a b there, Unc",
        ),
        ({"kind": "without validation", "max_epochs": 60, "patience": 6}, r"hash \w+ there, none here"),
        ({"label": "TxT"}, "holds a resumable test model, not resumable TxT"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_the_file_of_another_training_is_refused(other, message, tmp_path):
    file = tmp_path / "run"
    with pytest.raises(Interrupted):
        trained("plain", file, stop=9)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=message):
        trained(**{"kind": "plain", "file": file, "stop": 1, **other})
    assert file.read_bytes() == before


def test_what_is_no_file_of_a_training_is_refused_before_the_first_step(tmp_path):
    file = tmp_path / "run"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        trained("plain", tmp_path / "absent" / "run", stop=1)
    file.write_text("epoch,loss\n")
    with pytest.raises(ValueError, match="is not a whole model file"):
        trained("plain", file, stop=1)
    write_checkpoint(file, "TxT", {"a": torch.ones(1)}, {})
    with pytest.raises(ValueError, match="holds a TxT model, not resumable test"):
        trained("plain", file, stop=1)


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_every_generator_of_numpy_goes_on_where_it_was(kind, tmp_path):
    def run(name, stop=None):
        steps = []

        def losses(module, batch):
            steps.append(None)
            if len(steps) == stop:
                raise Interrupted
            return squared(module, batch)

        module, generator = nn.Linear(3, 1), np.random.Generator(kind(0))
        module.load_state_dict({"weight": torch.zeros(1, 3), "bias": torch.zeros(1)})
        options = {"device": CPU, "generator": generator, "label": "test", "checkpoint": tmp_path / name}
        train(module, losses, line(), None, TrainingSettings(max_epochs=5, batch_size=16), **options)
        return [*module.weight[0].tolist(), *generator.random(3)]

    with pytest.raises(Interrupted):
        run("parts", stop=11)
    assert run("parts") == run("whole")
