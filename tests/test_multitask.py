"""Several task gradients made one step: against closed forms, torchjd's own loops and a solver of convex problems."""

import copy
import itertools
import math
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchjd import aggregation
from torchjd.autojac import jac_to_grad, mtl_backward

import gexcore as gx
from gexcore.attention import ExpressionEncoder
from gexcore.multitask import STRATEGIES, EqualWeights, choose_strategy
from gexcore.training import TrainingSettings, train

TASKS = ["a", "b", "c"]
ON_GRADIENTS = [name for name in STRATEGIES if name not in ("equal", "uncertainty")]
TORCHJD = {  # written again here: what each name stands for
    "pcgrad": aggregation.PCGrad,
    "mgda": aggregation.MGDA,
    "cagrad": lambda: aggregation.CAGrad(c=0.4, norm_eps=1e-8),
    "imtl-g": aggregation.IMTLG,
    "aligned-mtl": aggregation.AlignedMTL,
    "fairgrad": lambda: aggregation.FairGrad(alpha=2.0),
    "graddrop": aggregation.GradDrop,
    "config": aggregation.ConFIG,
    "random": aggregation.Random,
}


def choose(name, tasks=TASKS, shared=()):
    if name.startswith("cagrad"):
        pytest.importorskip("cvxpy")
    return choose_strategy(name, tasks, list(shared))


class Network(nn.Module):
    """An encoder and a head per task; the targets of the tasks differ, so their gradients conflict."""

    def __init__(self, encoder=None):
        super().__init__()
        self.encoder = encoder or nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4))
        self.heads = nn.ModuleDict({t: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)) for t in TASKS})
        self.x, self.y = torch.randn(6, 5), torch.randn(6, 3) * torch.tensor([1.0, 3.0, 0.3])

    def parts(self, representation, tasks=TASKS):
        columns = {task: self.y[:, [i]] for i, task in enumerate(TASKS)}
        return {t: ((self.heads[t](representation) - columns[t]).square().mean(), 6) for t in tasks}

    def step(self, name, tasks=TASKS, present=TASKS):
        """Gradients by name of the parameter, those of one step of a copy."""
        network = copy.deepcopy(self)
        strategy = choose(name, tasks, network.encoder.parameters()).to(self.x.device)
        torch.manual_seed(1)
        strategy.backward(network.parts(strategy.meet(network.encoder(network.x)), present))
        return {name: p.grad for name, p in network.named_parameters()}


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors])


def combined(name, *gradients):
    """The combination of task gradients, each handed over as two tensors as if of two parameters."""
    strategy = choose(name, TASKS[: len(gradients)])
    return flat(strategy.combine([[g[:2].view(2, 1), g[2:]] for g in gradients], {}))


def opposed(n=2, size=6):
    """Random gradients, every two of which conflict."""
    while True:
        gradients = torch.randn(n, size) * torch.tensor([1.0, 2.0, 0.5])[:n, None]
        if (gradients @ gradients.T).fill_diagonal_(-1).max() < 0:
            return gradients


# ------------------------------------------------------------------------------------------ whose gradient


def test_equal_weights_follow_the_mean_loss():
    network = Network()
    grads = network.step("equal")
    sum(loss for loss, _ in network.parts(network.encoder(network.x)).values()).backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(grads[name], parameter.grad / 3)


@pytest.mark.parametrize("name", TORCHJD)
def test_the_exact_way_is_the_multitask_loop_of_torchjd(name):
    network = Network()
    grads = network.step(name)
    features = network.encoder(network.x)
    mtl_backward([loss for loss, _ in network.parts(features).values()], features)
    torch.manual_seed(1)
    jac_to_grad(network.encoder.parameters(), TORCHJD[name]())
    for key, parameter in network.named_parameters():
        torch.testing.assert_close(grads[key], parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", TORCHJD)
def test_the_fast_way_combines_gradients_of_the_representation(name):
    network = Network()
    grads = network.step(f"{name}-fast")
    features = network.encoder(network.x)
    received = [
        torch.autograd.grad(loss, features, retain_graph=True)[0] for loss, _ in network.parts(features).values()
    ]
    torch.manual_seed(1)
    features.backward(TORCHJD[name]()(torch.stack(received).flatten(1)).view_as(features))
    for key, parameter in network.encoder.named_parameters():
        torch.testing.assert_close(grads[f"encoder.{key}"], parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ON_GRADIENTS)
def test_a_head_gets_the_gradient_of_its_own_loss_and_nothing_else(name):
    network = Network()
    grads = network.step(name)
    for task, (loss, _) in network.parts(network.encoder(network.x)).items():
        own = torch.autograd.grad(loss, network.heads[task].parameters())
        for gradient, (key, _) in zip(own, network.heads[task].named_parameters(), strict=True):
            torch.testing.assert_close(grads[f"heads.{task}.{key}"], gradient)


@pytest.mark.parametrize(("name", "passes"), [("equal", 1), ("pcgrad", 3), ("pcgrad-fast", 1), ("gradnorm-fast", 1)])
def test_backward_passes_through_the_encoder(name, passes):
    network, seen = Network(), []
    strategy = choose(name, TASKS, network.encoder.parameters())
    representation = network.encoder(network.x)
    representation.register_hook(lambda gradient: seen.append(gradient))
    strategy.backward(network.parts(strategy.meet(representation)))
    assert len(seen) == passes


@pytest.mark.parametrize("name", ["pcgrad", "mgda", "upgrad"])
def test_both_ways_agree_below_which_lengths_are_kept(name):
    # Z = Q W with orthogonal inputs Q: gradients of the matrix W are those of Z, turned.
    network = Network(nn.Linear(6, 4, bias=False))
    network.x = torch.linalg.qr(torch.randn(6, 6)).Q
    exact, fast, plain = (network.step(n)["encoder.weight"] for n in (name, f"{name}-fast", "equal"))
    torch.testing.assert_close(exact, fast, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(exact / exact.norm(), plain / plain.norm(), rtol=0.01)  # it was not for want of conflict


def test_all_passes_of_the_exact_way_see_the_same_dropout(monkeypatch):
    # On a CPU attention weights are recomputed in every pass, here two samples at a time.
    monkeypatch.setattr("gexcore.attention.expression._CHUNK", 2 * 2 * 5 * 5)
    encoder = nn.Sequential(ExpressionEncoder(5, n_layers=2, n_heads=2, d_model=4, d_ff=8, dropout=0.4), nn.Flatten())
    network = Network(nn.Sequential(encoder, nn.Linear(20, 4)))
    strategy = choose("random", TASKS, network.encoder.parameters())
    torch.manual_seed(1)
    parts = network.parts(strategy.meet(network.encoder(network.x)))
    torch.manual_seed(2)
    strategy.backward(parts)
    rows = []
    for task in TASKS:  # one forward pass for each
        torch.manual_seed(1)
        (loss, _) = network.parts(network.encoder(network.x))[task]
        rows.append(flat(torch.autograd.grad(loss, network.encoder.parameters())))
    torch.manual_seed(2)
    expected = aggregation.Random()(torch.stack(rows))
    torch.testing.assert_close(flat(p.grad for p in network.encoder.parameters()), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["pcgrad", "pcgrad-fast", "aligned-mtl-fast", "gradnorm"])
def test_bfloat16_gives_about_the_same_step(name):
    network = Network()
    exact = network.step(name)
    with torch.autocast("cpu", torch.bfloat16):
        assert network.encoder(network.x).dtype == torch.bfloat16
        rounded = network.step(name)
    assert all(gradient.dtype == torch.float32 for gradient in rounded.values())
    assert (flat(rounded.values()) - flat(exact.values())).norm() < 0.03 * flat(exact.values()).norm()


# ---------------------------------------------------------------------------------------------- aggregators


def test_pcgrad_takes_from_each_of_two_gradients_what_conflicts_with_the_other():
    a, b = opposed() * torch.tensor([[0.2], [1.0]])
    result = combined("pcgrad", a, b)
    torch.testing.assert_close(result, a - (a @ b) / (b @ b) * b + b - (a @ b) / (a @ a) * a)
    assert min(a @ result, b @ result) > 0 > a @ (a + b)  # the plain sum climbs the first task's loss


def test_pcgrad_of_three_tasks_is_its_published_algorithm_in_one_of_its_random_orders():
    gradients = opposed(3)

    def projected(i, order):
        g = gradients[i].clone()
        for j in order:
            g -= min(g @ gradients[j], torch.tensor(0.0)) / gradients[j].square().sum() * gradients[j]
        return g

    choices = [[projected(i, order) for order in itertools.permutations({0, 1, 2} - {i})] for i in range(3)]
    possible = [sum(parts) for parts in itertools.product(*choices)]
    results = [combined("pcgrad", *gradients) for _ in range(20)]
    found = [[k for k, p in enumerate(possible) if torch.allclose(r, p, atol=1e-5)] for r in results]
    assert all(found)
    assert len({tuple(k) for k in found}) > 1


def test_pcgrad_is_the_sum_where_nothing_conflicts():
    gradients = torch.rand(3, 6)
    torch.testing.assert_close(combined("pcgrad", *gradients), gradients.sum(0))


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_mgda_of_two_tasks_is_the_shortest_vector_between_them(scale):
    a, b = torch.randn(2, 6)
    a = a * scale
    share = (((b - a) @ b) / (a - b).square().sum()).clamp(0, 1)  # Sener and Koltun 2018, algorithm 1
    torch.testing.assert_close(combined("mgda", a, b), share * a + (1 - share) * b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
def test_projections_onto_the_dual_cone_are_those_of_a_solver_and_conflict_with_no_task(name):
    cp = pytest.importorskip("cvxpy")
    gradients = opposed(3)

    def projection(vector):  # the nearest vector without a negative product
        x = cp.Variable(6)
        problem = cp.Problem(cp.Minimize(cp.sum_squares(x - vector.numpy())), [gradients.numpy() @ x >= 0])
        problem.solve(cp.CLARABEL)
        return x.value

    result = combined(name, *gradients)
    whole = projection(gradients.mean(0)) if name == "dualproj" else np.mean([projection(g) for g in gradients], axis=0)
    np.testing.assert_allclose(result, whole, atol=1e-4)
    assert (gradients @ result).min() > -1e-5


@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
@pytest.mark.parametrize("apart", [0, 1e-7, 1e-5, 1e-3])
def test_opposed_gradients_are_projected_to_something_no_longer_than_they_are(name, apart):
    for _ in range(30):
        gradients = torch.randn(3, 50)
        gradients[1] = -torch.rand(()) * gradients[0] + apart * torch.randn(50)
        result, length = combined(name, *gradients), gradients.norm(dim=1)
        assert result.norm() <= length.mean() * 1.001
        assert (gradients @ result / length).min() > -1e-3 * length.mean()


@pytest.mark.parametrize("name", ["pcgrad", "mgda", "cagrad", "upgrad", "dualproj", "imtl-g", "aligned-mtl", "config"])
def test_gradients_a_thousandth_as_long_combine_to_one_a_thousandth_as_long(name):
    gradients = opposed(3)
    results = []
    for unit in (1, 1e-3):
        torch.manual_seed(1)
        results.append(combined(name, *(unit * gradients)) / unit)
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


def test_weights_of_uncertainty_follow_the_published_formula():
    network, strategy = Network(), choose("uncertainty")
    s = torch.tensor([0.5, -1.0, 0.0])
    for parameter, value in zip(strategy.parameters(), s, strict=True):
        parameter.data = value.clone()
    parts = network.parts(strategy.meet(network.encoder(network.x)))
    values = torch.stack([loss for loss, _ in parts.values()])
    expected = torch.autograd.grad((torch.exp(-s) * values / 2 + s / 2).sum(), network.parameters(), retain_graph=True)
    strategy.backward(parts)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    slopes = torch.stack([p.grad for p in strategy.parameters()])
    torch.testing.assert_close(slopes, (1 - torch.exp(-s) * values.detach()) / 2)


# --------------------------------------------------------------------------------------------- every strategy


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_task_absent_from_the_batch_takes_no_part(name):
    network, present = Network(), ["a", "c"]
    grads, without = network.step(name, TASKS, present), network.step(name, present, present)
    assert all(g is None for key, g in grads.items() if key.startswith("heads.b"))
    for key in grads.keys() - {key for key in grads if key.startswith("heads.b")}:
        torch.testing.assert_close(grads[key], without[key], rtol=0, atol=0)


def test_a_single_task_is_trained_plainly():
    network = Network()
    (loss, _) = network.parts(network.encoder(network.x), ["a"])["a"]
    expected = torch.autograd.grad(loss, network.encoder.parameters())
    for name in STRATEGIES:
        assert type(choose_strategy(name, ["a"], [])) is EqualWeights
    grads = network.step("pcgrad", ["a"], ["a"])
    for gradient, (key, _) in zip(expected, network.encoder.named_parameters(), strict=True):
        assert torch.equal(grads[f"encoder.{key}"], gradient)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_loss_that_is_not_finite_is_reported_by_the_training_loop(name):
    network = Network()
    strategy = choose(name, TASKS, network.encoder.parameters())

    def losses(module, batch):
        parts = module.parts(strategy.meet(module.encoder(module.x)))
        return {**parts, "b": (parts["b"][0] * math.nan, 6)}

    settings = TrainingSettings(max_epochs=1)
    options = {"strategy": strategy, "device": torch.device("cpu"), "generator": np.random.default_rng(0)}
    with pytest.raises(FloatingPointError, match="the loss stopped being finite in epoch 1"):
        train(network, losses, (network.x,), None, settings, label="test", **options)


@pytest.fixture(scope="module")
def cohort():
    simulated = gx.simulate.simulate_cohort(n_samples=60, n_genes=60, missing=0.3)
    return gx.read_cohort(simulated.expression, simulated.clinical)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_trains_the_encoder(name, cohort):
    choose(name)
    tasks = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("grade"), gx.Regression("age")]
    start = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 4)), index=cohort.var_names)
    size = {"preset": "quick", "d_model": 4, "d_ff": 4, "max_epochs": 1, "device": "cpu"}
    plain = {"schedule": "constant", "averaging": 0.0, "weight_decay": 0.0}  # only gradients move the gene vectors
    model = gx.TxT(tasks, gene_embedding=start, multitask=name, **size, **plain).fit(cohort)
    moved = model.module_.encoder.genes.detach().numpy() - start.to_numpy()
    assert (np.abs(moved) > 1e-4).mean() > 0.5
    assert np.isfinite(model.history_["loss"]).all()


def test_an_unknown_strategy_is_refused_with_the_list():
    with pytest.raises(ValueError, match=r"multitask must be one of equal, uncertainty, gradnorm, .*, not 'pcgard'"):
        gx.TxT(gx.Regression("age"), multitask="pcgard")


def test_cagrad_without_its_solver_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ImportError, match=r"multitask='cagrad-fast' .* pip install gexcore\[peers\]"):
        choose_strategy("cagrad-fast", TASKS, [])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [name for name in STRATEGIES if not name.startswith(("graddrop", "random"))])
def test_gpu_and_cpu_agree(name):
    network = Network()
    on_cpu = network.step(name)
    network.x, network.y = network.x.cuda(), network.y.cuda()
    for key, gradient in network.cuda().step(name).items():
        torch.testing.assert_close(gradient.cpu(), on_cpu[key], rtol=1e-3, atol=1e-4)
