"""The training loop on models small enough to know the answer, and broken off at any step."""

import copy
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from gexcore.checkpoint import write_checkpoint
from gexcore.multitask import EqualWeights, choose_strategy
from gexcore.training import TrainingSettings, batches, choose_device, evaluate_losses, seeded, train

CPU = torch.device("cpu")


def squared(module, batch):
    x, y = batch
    seen = ~y[:, 0].isnan()
    return {"y": (((module(x) - y)[seen] ** 2).mean(), int(seen.sum()))} if seen.any() else {}


def line(n=64, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = x @ [[1.0], [-2.0], [0.5]] + 3 + noise * rng.normal(size=(n, 1))
    return torch.tensor(x).float(), torch.tensor(y).float()


def fit(module, data, validation=None, losses=squared, strategy=None, **settings):
    settings = TrainingSettings(**{"learning_rate": 0.05, "max_epochs": 200, "batch_size": 16, **settings})
    options = {"strategy": strategy, "device": CPU, "generator": np.random.default_rng(0), "label": "test"}
    return train(module, losses, data, validation, settings, **options)


class Number(nn.Module):
    """One number, trained towards 1 by task a and, with four times the curvature, towards 3 by task b."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def losses(self, module, batch):
        return {"a": ((module.value - 1).square().sum(), 2), "b": (4 * (module.value - 3).square().sum(), 2)}


def test_a_line_is_found():
    module = nn.Linear(3, 1)
    fit(module, line(), line(seed=1))
    assert module.weight.tolist()[0] == pytest.approx([1, -2, 0.5], abs=1e-3)
    assert module.bias.item() == pytest.approx(3, abs=1e-3)


def test_the_weights_kept_are_those_of_the_best_validation_epoch():
    module, validation = nn.Sequential(nn.Linear(3, 200), nn.ReLU(), nn.Linear(200, 1)), line(noise=3, seed=1)
    history = fit(module, line(20, noise=3), validation, patience=20)
    followed = history.query("split == 'val' and task == 'mean'").set_index("epoch")["loss"]
    assert followed.idxmin() < followed.index.max()  # it did overfit
    assert followed.index.max() - followed.idxmin() <= 20
    assert evaluate_losses(module, squared, validation, 16)["y"] == pytest.approx(followed.min(), rel=1e-6)


def test_missing_labels_weigh_nothing_in_the_mean():
    x, y = line(40)
    y[::2] = math.nan
    kept = evaluate_losses(nn.Linear(3, 1), squared, (x, y), 7)
    module = nn.Linear(3, 1)
    everything = evaluate_losses(module, squared, (x, y), 7)["y"]
    assert everything == pytest.approx(evaluate_losses(module, squared, (x[1::2], y[1::2]), 40)["y"], rel=1e-6)
    assert set(kept) == {"y"}


def test_a_loss_that_stops_being_finite_never_reaches_the_kept_weights():
    module = nn.Linear(3, 1)
    steps = []

    def breaking(module, batch):
        steps.append(None)
        parts = squared(module, batch)
        return {"y": (parts["y"][0] * (math.nan if len(steps) > 20 else 1), parts["y"][1])}

    with pytest.warns(RuntimeWarning, match="stopped being finite in epoch 6"):
        fit(module, line(), losses=breaking)
    assert all(p.isfinite().all() for p in module.parameters())
    with pytest.raises(FloatingPointError, match="stopped being finite in epoch 1"):
        fit(nn.Linear(3, 1), line(), losses=breaking)


def test_no_batch_holds_a_single_sample():
    for n in range(2, 200):
        for size in (2, 3, 64):
            sizes = [s.stop - s.start for s in batches(n, size)]
            assert sum(sizes) == n
            assert min(sizes) >= 2
            assert max(sizes) <= size + (size == 2)


def test_seeding_leaves_the_callers_random_state_alone():
    before = torch.get_rng_state()
    with seeded(3, CPU):
        first = torch.rand(2)
    with seeded(3, CPU):
        assert torch.equal(first, torch.rand(2))
    assert torch.equal(before, torch.get_rng_state())


def test_the_cosine_schedule_warms_up_and_ends_near_zero(monkeypatch):
    rates = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self, *a: (rates.append(self.param_groups[0]["lr"]), step(self, *a))[1]
    )
    fit(nn.Linear(3, 1), line(), schedule="cosine", learning_rate=0.1, max_epochs=50)
    assert rates[0] == 0
    assert max(rates) == pytest.approx(0.1, rel=1e-2)
    assert rates[-1] < 1e-3
    assert np.argmax(rates) == pytest.approx(len(rates) / 10, abs=1)


def test_averaged_weights_are_the_exponential_mean_of_those_of_every_step():
    path, step = [], torch.optim.AdamW.step

    def recording(self, *a):
        step(self, *a)
        path.append(module.weight.detach().clone())

    module = nn.Linear(3, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", recording)
        fit(module, line(), max_epochs=2, averaging=0.9)
    mean = path[0]
    for weight in path[1:]:
        mean = 0.9 * mean + 0.1 * weight
    torch.testing.assert_close(module.weight.detach(), mean)


def test_weight_decay_shrinks_matrices_and_leaves_biases_alone():
    module, x = nn.Linear(3, 1), torch.zeros(8, 3)  # zero inputs: no gradient reaches the weights
    before = module.weight.detach().clone()
    fit(module, (x, torch.full((8, 1), 2.0)), max_epochs=100, weight_decay=1.0)
    assert (module.weight.abs() < 0.2 * before.abs()).all()
    assert module.bias.item() == pytest.approx(2, abs=0.2)


def test_the_step_follows_the_mean_over_tasks_unless_told_otherwise():
    steps = {}
    for name, strategy in {"none": None, "equal": EqualWeights(["a", "b"])}.items():
        module = Number()
        fit(module, (torch.zeros(2, 1),), losses=module.losses, strategy=strategy)
        steps[name] = module.value.item()
    assert steps["none"] == steps["equal"] == pytest.approx((1 * 1 + 4 * 3) / (1 + 4), abs=1e-2)


def test_what_a_strategy_learns_is_trained_along():
    module, strategy = Number(), choose_strategy("uncertainty", ["a", "b"], [])
    module.value = nn.Parameter(torch.tensor([2.8]), requires_grad=False)
    # With losses that stand still, exp(-s) L / 2 + s / 2 is least where s is log L; no decay pulls s to zero.
    fit(module, (torch.zeros(2, 1),), losses=module.losses, strategy=strategy, max_epochs=600, weight_decay=1.0)
    learned = [s.item() for s in strategy.parameters()]
    assert learned == pytest.approx([math.log(1.8**2), math.log(4 * 0.2**2)], abs=1e-2)


def test_the_callers_device_wins_over_auto():
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schedule", "step"),
        ("precision", "float16"),
        ("batch_size", 1),
        ("batch_size", 2.5),
        ("max_epochs", 0),
        ("learning_rate", "1e-3"),
        ("weight_decay", -1),
        ("averaging", 1.0),
        ("gradient_clip", -1.0),
    ],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        TrainingSettings(**{name: value})


# ------------------------------------------------------------------------------- broken off and resumed


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


def trained(kind, file=None, *, stop=None, call=Interrupted, width=8, seed=0, data=None, label="test", **settings):
    """All bits of a training of ``KINDS``, and its steps; at step ``stop`` it raises."""
    strategy, preset = KINDS[kind]
    settings = {"learning_rate": 0.02, "max_epochs": 60, "batch_size": 16, **preset, **settings}
    n_steps = 0

    def losses(module, batch):
        nonlocal n_steps
        n_steps += module.training
        if module.training and n_steps == stop:
            raise call
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
        validation = None if kind == "without validation" else line(40, noise=1, seed=1)
        history = train(
            module,
            losses,
            data or line(64, noise=1),
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


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from test_training import assert_same, trained

torch.set_num_threads(1)  # a fork does not take other threads along
file = Path(sys.argv[1])

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Kill(Exception):
    def __init__(self):
        kill()

def killed(at, *, step):
    child = os.fork()
    if not child:
        if at != "step":
            home, name = {"writing": (os, "fsync"), "written": (Path, "replace")}[at]
            own, calls = getattr(home, name), []

            def patched(*args):
                calls.append(None)
                if at == "written":
                    own(*args)
                if len(calls) == step:
                    kill()
                if at == "writing":
                    own(*args)

            setattr(home, name, patched)
        trained("averaged", file, stop=step if at == "step" else None, call=Kill)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, at

whole = trained("averaged")
killed("step", step=3)
assert not file.exists()
killed("step", step=10)
killed("writing", step=3)
killed("written", step=2)
last = trained("averaged", file)
assert_same(last, whole)
assert last["steps"] == whole["steps"] - 4 * (2 + 2 + 2)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to be killed are forked")
def test_a_process_killed_in_a_step_or_while_it_writes_loses_that_epoch_alone(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_training_that_ended_in_nan_does_so_again(tmp_path):
    def breaking(module, batch):
        loss = squared(module, batch)["y"][0]
        return {"y": (loss if loss > 5 else loss * math.nan, len(batch[0]))}

    def run(module):
        settings, options = TrainingSettings(learning_rate=0.1), {"label": "test", "checkpoint": tmp_path / "run"}
        generator = np.random.default_rng(0)
        return train(module, breaking, line(), None, settings, device=CPU, generator=generator, **options)

    first = nn.Linear(3, 1)
    second = copy.deepcopy(first)
    with pytest.warns(RuntimeWarning, match="stopped being finite in epoch") as warned:
        history = run(first)
    with pytest.warns(RuntimeWarning, match=str(warned[0].message)):
        again = run(second)
    pd.testing.assert_frame_equal(again, history, check_exact=True)
    assert torch.equal(first.weight, second.weight)


def spoilt(part):
    data = line(64, noise=1)
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
        ({"data": line(62, noise=1)}, "otherwise: training data \\(64 x 3, 64 x 1, hash .* 62 x 3, 62 x 1, hash"),
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
    def run(stop=None):
        steps = []

        def losses(module, batch):
            steps.append(None)
            if len(steps) == stop:
                raise Interrupted
            return squared(module, batch)

        module, generator = nn.Linear(3, 1), np.random.Generator(kind(0))
        nn.init.zeros_(module.weight), nn.init.zeros_(module.bias)
        options = {"device": CPU, "generator": generator, "label": "test", "checkpoint": tmp_path / f"run{whole}"}
        train(module, losses, line(), None, TrainingSettings(max_epochs=5, batch_size=16), **options)
        return [*module.weight[0].tolist(), *generator.random(3)]

    whole = True
    bits = run()
    whole = False
    with pytest.raises(Interrupted):
        run(stop=11)
    assert run() == bits
