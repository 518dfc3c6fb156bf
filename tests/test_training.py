"""The training loop on models small enough to know the answer."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gexcore.multitask import EqualWeights, choose_strategy
from gexcore.training import MovingAverage, TrainingSettings, batches, choose_device, evaluate_losses, seeded, train

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


def test_without_validation_a_last_step_into_nothing_is_not_kept():
    def steep(module, batch):
        loss, n = squared(module, batch)["y"]
        return {"y": (loss + (0 * module.weight.sum()).sqrt(), n)}  # a loss that is finite, of no finite slope

    with pytest.raises(FloatingPointError, match="stopped being finite in epoch 1"):
        fit(nn.Linear(3, 1), line(), losses=steep, batch_size=1000)


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


def test_positions_that_a_module_holds_are_those_of_its_averaged_copy():
    module, positions = nn.Linear(3, 1), torch.arange(1000)
    module.register_buffer("positions", positions)
    averaged = MovingAverage(module, 0.95)  # 0.95 n + 0.05 n is below n for some n, and would be cut to n - 1
    for _ in range(3):
        averaged.follow()
    assert torch.equal(averaged.module.positions, positions)


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
