"""Pooling, the null prediction every head starts from, and decoding back to labels."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import KaplanMeierFitter

from gexcore import Classification, Regression, Survival
from gexcore.heads import LOSSES, POOLINGS, Head, decode, losses_against_null, null_scores
from gexcore.losses import mtlr_survival

IDS = pd.Index(["a", "b", "c"])


@pytest.fixture
def obs():
    rng = np.random.default_rng(0)
    time, censored = rng.exponential(10, 300), rng.exponential(15, 300)
    return pd.DataFrame(
        {
            "time": np.minimum(time, censored),
            "event": (time <= censored).astype(int),
            "grade": rng.choice([1, 2, 3], 300, p=[0.2, 0.3, 0.5]),
            "age": rng.normal(60, 10, 300),
        }
    )


TASKS = [Survival("os", time="time", event="event"), Classification("grade"), Regression("age")]


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_other_constant_scores_fit_worse_than_the_null_scores(task, obs):
    target = task.fit(obs)
    labels = torch.from_numpy(target.encode(obs))
    null = null_scores(target, labels).requires_grad_()
    loss = LOSSES[task.kind](null.expand(len(labels), -1), labels)
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = null.detach() + 0.3 * torch.randn(null.shape, generator=rng)
        assert LOSSES[task.kind](other.expand(len(labels), -1), labels) > loss


def test_the_null_survival_curve_is_kaplan_meier_at_the_edges(obs):
    target = TASKS[0].fit(obs, n_intervals=8)
    null = null_scores(target, torch.from_numpy(target.encode(obs)))
    # Kaplan-Meier with times floored to the grid: what the likelihood sees.
    floored = target.edges[np.searchsorted(target.edges, obs["time"], side="right") - 1]
    km = KaplanMeierFitter().fit(floored, obs["event"])
    before = km.survival_function_at_times(target.edges[1:] - 1e-9)
    np.testing.assert_allclose(mtlr_survival(null[None])[0], [1.0, *before], atol=1e-3)


def test_null_scores_ignore_missing_labels(obs):
    target = TASKS[1].fit(obs)
    labels = torch.from_numpy(target.encode(obs))
    holed = torch.cat([labels, torch.full((50, 1), torch.nan)])
    assert torch.equal(null_scores(target, labels), null_scores(target, holed))


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_has_the_width_it_states(name):
    pool = POOLINGS[name](7, 4, 0.0)
    assert pool(torch.randn(3, 7, 4)).shape == (3, pool.width)


@pytest.mark.parametrize("name", ["mean", "attention"])
def test_mean_and_attention_pooling_do_not_know_the_order_of_genes(name):
    pool, x = POOLINGS[name](7, 4, 0.0), torch.randn(3, 7, 4)
    torch.testing.assert_close(pool(x), pool(x[:, torch.randperm(7)]))


def test_a_head_has_the_layers_of_the_paper():
    head = Head(10, 5, hidden=(128, 64), dropout=0.1)
    assert [type(layer).__name__ for layer in head] == ["Linear", "BatchNorm1d", "LeakyReLU", "Dropout"] * 2 + [
        "Linear"
    ]
    assert [layer.out_features for layer in head if isinstance(layer, torch.nn.Linear)] == [128, 64, 5]


@pytest.mark.parametrize("rank", [None, 1, 2])
def test_a_head_starts_at_the_given_scores_and_can_leave_them(rank):
    head, x, start = Head(10, 5, hidden=(8,), dropout=0.0, rank=rank), torch.randn(6, 10), torch.arange(5.0)
    head.start_at(start)
    torch.testing.assert_close(head(x), start.expand(6, -1))
    head(x).square().sum().backward()
    assert any(layer.weight.grad.abs().sum() > 0 for layer in head if isinstance(layer, torch.nn.Linear))


def test_a_survival_head_of_rank_one_ranks_patients_the_same_in_every_interval():
    head = Head(10, 5, hidden=(), dropout=0.0, rank=1)
    shift = head(torch.randn(6, 10)).detach()
    shift = shift - shift[0]
    assert torch.linalg.matrix_rank(shift, tol=1e-5) == 1


class Network(torch.nn.Module):
    def __init__(self, targets):
        super().__init__()
        self.embed = torch.nn.Linear(4, 6)
        self.heads = torch.nn.ModuleList(Head(6, t.n_outputs, hidden=(5,), dropout=0.0) for t in targets)


@pytest.fixture
def trained(obs):
    """A network, the losses of its heads, a batch of all samples, and what met in it so far."""
    targets, met = [task.fit(obs) for task in TASKS], []
    labels = [torch.from_numpy(t.encode(obs)) for t in targets]
    network = Network(targets)

    def meet(representation):
        met.append(representation)
        return 2 * representation

    losses = losses_against_null(network.heads, targets, labels, meet=meet)
    return network, losses, (torch.randn(300, 4), *labels), met


def test_every_head_starts_with_a_loss_of_one(trained):
    network, losses, batch, _ = trained
    parts = losses(network, batch)
    assert list(parts) == ["os", "grade", "age"]
    assert [n for _, n in parts.values()] == [300, 300, 300]
    assert [loss.item() for loss, _ in parts.values()] == pytest.approx([1, 1, 1], rel=1e-5)


def test_heads_read_what_the_tasks_meet_in_while_training_and_only_then(trained):
    network, losses, batch, met = trained
    torch.nn.init.normal_(network.heads[2][-1].weight)
    network.eval()  # batch norm would undo the factor
    seen = losses(network, batch)["age"][0]
    torch.testing.assert_close(met[0], network.embed(batch[0]))
    unit = batch[3].square().mean()
    expected = (network.heads[2](2 * network.embed(batch[0])) - batch[3]).square().mean() / unit
    torch.testing.assert_close(seen, expected)
    with torch.no_grad():
        seen = losses(network, batch)["age"][0]
        expected = (network.heads[2](network.embed(batch[0])) - batch[3]).square().mean() / unit
    torch.testing.assert_close(seen, expected)
    assert len(met) == 1


def test_losses_are_those_of_the_network_at_hand(trained):
    network, losses, batch, _ = trained  # training also asks for those of averaged weights, a copy
    other = copy.deepcopy(network)
    torch.nn.init.normal_(other.heads[0][-1].weight)
    ours, theirs = losses(network, batch), losses(other, batch)
    assert theirs["os"][0] > ours["os"][0] + 0.1
    torch.testing.assert_close(theirs["age"][0], ours["age"][0])


def test_a_task_without_a_label_in_the_batch_is_left_out_and_its_batch_norm_still_learns(trained):
    network, losses, (x, survival, grade, age), _ = trained
    grade, age = torch.full_like(grade, torch.nan), torch.where(torch.arange(300)[:, None] < 7, age, torch.nan)
    parts = losses(network, (x, survival, grade, age))
    assert {task: n for task, (_, n) in parts.items()} == {"os": 300, "age": 7}
    assert network.heads[1][1].running_mean.abs().max() > 0


def test_decoded_risk_is_minus_the_restricted_mean_and_higher_is_worse(obs):
    target = TASKS[0].fit(obs, n_intervals=5, grid="uniform")
    early, late = torch.tensor([[9.0, 0, 0, 0]]), torch.tensor([[0.0, 0, 0, -9.0]])
    pred = decode(target, torch.cat([early, late, torch.zeros(1, 4)]), IDS)
    assert pred.risk["a"] > pred.risk["c"] > pred.risk["b"]
    # Zero scores: all five intervals equally likely, so survival falls in straight steps of one fifth.
    np.testing.assert_allclose(pred.survival["c"], [1, 0.8, 0.6, 0.4, 0.2], rtol=1e-6)
    width = np.diff(np.minimum(target.edges, obs["time"].max()))
    np.testing.assert_allclose(-pred.risk["c"], (width * [0.9, 0.7, 0.5, 0.3]).sum(), rtol=1e-6)


def test_classes_and_values_come_back_in_their_own_terms(obs):
    pred = decode(TASKS[1].fit(obs), torch.eye(3) * 5, IDS)
    assert pred.labels.tolist() == ["1", "2", "3"]
    np.testing.assert_allclose(pred.probabilities.sum(axis=1), 1)
    pred = decode(TASKS[2].fit(obs), torch.tensor([[0.0], [1.0], [-1.0]]), IDS)
    mean, sd = obs["age"].mean(), obs["age"].std(ddof=0)
    np.testing.assert_allclose(pred.values, [mean, mean + sd, mean - sd])
