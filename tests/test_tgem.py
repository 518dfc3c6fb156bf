"""T-GEM: the power series is the written-out attention, the network is the published one, planted signal is found."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import gexcore as gx
from gexcore.baselines import tgem
from gexcore.baselines.tgem import TGEM, TGEMModule, TGEMSettings, rank_one_attention

OS = gx.Survival("os", time="os_time", event="os_event")
TASKS = [OS, gx.Classification("subtype"), gx.Regression("age")]
SMALL = {"preset": "quick", "max_epochs": 15, "device": "cpu"}
PAPER = TGEMSettings(**tgem.PRESETS["paper"])


@pytest.fixture(scope="module")
def parts():
    return gx.split(gx.load_cohort("demo"), TASKS, seed=0)


@pytest.fixture(scope="module")
def fitted(parts):
    return TGEM(TASKS, **SMALL).fit(*parts[:2])


def scores(model, cohort):
    return gx.evaluate(model.predict(cohort), cohort).set_index(["task", "metric"])["value"]


def written_out(q, k, v):
    """Attention as the paper has it, all pairs of genes at once."""
    weight = torch.einsum("ri,rj->rij", q, k).softmax(-1)
    return torch.einsum("rij,rj->ri", weight * (1 - torch.eye(q.shape[1], dtype=q.dtype)), v)


def drawn(scale, n_rows=6, n_genes=120, seed=0):
    """Queries, keys and values; rows differ in how far their scores reach."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_rows, n_genes, generator=generator)
    size = scale * torch.linspace(0.5, 1.5, n_rows)[:, None]
    return [x * torch.randn(n_rows, n_genes, generator=generator) * size + 0.3 * scale for _ in range(3)]


def with_gradients(function, arguments, dtype):
    """The value of a function, and the gradients of a weighted sum of it."""
    arguments = [a.to(dtype).requires_grad_() for a in arguments]
    value = function(*arguments)
    weight = torch.randn(value.shape, generator=torch.Generator().manual_seed(9)).to(dtype)
    return value.detach(), *torch.autograd.grad((value * weight).sum(), arguments)


# -------------------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("scale", [0.0, 0.03, 0.5, 1.5, 6.0])
def test_attention_equals_the_written_out_form_in_value_and_gradient(scale):
    arguments = drawn(scale)
    ours = with_gradients(rank_one_attention, arguments, torch.float32)
    exact = with_gradients(written_out, arguments, torch.float64)
    for a, b in zip(ours, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, float(b.abs().max())))


@pytest.mark.parametrize("key", [-38.0, -15.0, 15.0, 38.0])
def test_one_gene_far_from_all_others_costs_no_digits(key):
    q, k, v = drawn(0.5)
    q[:, :2] = torch.tensor([1.0, -1.0]) * q.abs().amax(1, keepdim=True)
    q = q / q[:, :1]
    k[:, 5] = key  # its score cancels in a series that is summed too far out
    ours, exact = (
        with_gradients(f, (q, k, v), dtype)
        for f, dtype in ((rank_one_attention, torch.float32), (written_out, torch.float64))
    )
    for a, b in zip(ours, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, float(b.abs().max())))


def test_the_series_loses_nothing_that_single_precision_would_keep():
    arguments = drawn(0.5)
    exact = with_gradients(written_out, arguments, torch.float64)
    ours, single = (with_gradients(f, arguments, torch.float32) for f in (rank_one_attention, written_out))
    errors = [[float((a - b).abs().max()) for a, b in zip(other, exact, strict=True)] for other in (ours, single)]
    assert (np.array(errors[0]) < 1.5 * np.array(errors[1])).all()


def test_rows_that_reach_too_far_for_a_series_are_written_out_beside_the_others(monkeypatch):
    monkeypatch.setattr(tgem, "_CHUNK", 5000)  # several chunks of rows, and of queries
    near, far = drawn(0.3), drawn(4.0, seed=1)
    mixed = [torch.cat([n[:3], f, n[3:]]) for n, f in zip(near, far, strict=True)]
    seen = []
    for name in ("_series", "_written_out"):
        kept = getattr(tgem, name)
        monkeypatch.setattr(tgem, name, lambda *a, kept=kept, name=name: (seen.append(name), kept(*a))[1])
    ours = with_gradients(rank_one_attention, mixed, torch.float32)
    assert min(seen.count("_series"), seen.count("_written_out")) > 2
    for a, b in zip(ours, with_gradients(written_out, mixed, torch.float64), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, float(b.abs().max())))


@pytest.mark.parametrize("scale", [0.1, 4.0])
def test_a_gene_hears_nothing_of_itself(scale):
    q, k, v = drawn(scale)
    v[:, 7] = 3.0
    alone = torch.zeros_like(v)
    alone[:, 7] = v[:, 7]
    heard = rank_one_attention(q, k, alone)
    assert heard[:, 7].abs().max() < 1e-6
    assert heard.abs().max() > 1e-3
    value = v.requires_grad_()
    (own,) = torch.autograd.grad(rank_one_attention(q, k, value)[:, 7].sum(), value)
    assert own[:, 7].abs().max() < 1e-6


def test_where_all_scores_are_equal_a_gene_hears_the_mean_of_the_others():
    value = torch.tensor([[5.0, 10.0, 15.0, 20.0, 50.0]])
    for query in (0.0, 2.0):
        heard = rank_one_attention(torch.full((1, 5), query), torch.full((1, 5), 3.0), value)
        np.testing.assert_allclose(heard, (100 - value) / 5, rtol=1e-6)  # each weight is a fifth


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_no_array_outgrows_the_chunk_in_either_direction(scale, monkeypatch):
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **kwargs or {})
            tensors = [t for t in (out if isinstance(out, tuple | list) else [out]) if isinstance(t, torch.Tensor)]
            self.size = max(self.size, *(t.numel() for t in tensors), 0)
            return out

    monkeypatch.setattr(tgem, "_CHUNK", 2**15)
    arguments = drawn(scale, n_rows=40, n_genes=300)
    with Largest() as largest:
        with_gradients(rank_one_attention, arguments, torch.float32)
    assert largest.size <= 2**15  # of 40 x 300 x 300 = 3.6 million


def test_autocast_to_half_the_digits_leaves_attention_as_it_is():
    for scale in (0.3, 4.0):
        arguments = drawn(scale)
        expected = rank_one_attention(*arguments)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(rank_one_attention(*arguments), expected, rtol=0, atol=0)


# -------------------------------------------------------------------------------------------- the network


def published(module, x):
    """The forward pass of the paper, head by head."""
    for layer in module.layers:
        out = torch.zeros_like(x)
        for query, key, value, merge in zip(layer.query, layer.key, layer.value, layer.merge, strict=True):
            out = out + merge * written_out(x * query, x * key, x * value)
        centred = out - out.mean(1, keepdim=True)
        out = centred / (centred.square().mean(1, keepdim=True) + 1e-12).sqrt()
        x = x + out * module.norm.weight + module.norm.bias
    return torch.where(x > 0, x, 0.1 * x)


def test_the_network_equals_the_published_one_in_value_and_gradient(parts):
    module = TGEMModule(30, [task.fit(parts[0].obs) for task in TASKS], PAPER).double().eval()
    for name, p in module.named_parameters():
        if not name.startswith("heads"):
            p.data += 0.3 * torch.randn_like(p)
    x = torch.randn(4, 30, dtype=torch.float64)
    weight = torch.randn(4, 30, dtype=torch.float64)
    results = [f(x) for f in (module.embed, lambda x: published(module, x))]
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)
    gradients = [torch.autograd.grad((r * weight).sum(), module.shared_parameters()) for r in results]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
        assert b.abs().max() > 1e-3


def test_parameters_are_those_of_the_paper_and_grow_linearly_with_genes(parts):
    targets = [task.fit(parts[0].obs, **({"n_intervals": 64} if task is OS else {})) for task in TASKS]
    counts = []
    for g in (1000, 1708, 2416):
        module = TGEMModule(g, targets, PAPER)
        per_layer, norm, heads = 3 * 5 * g + 5, 2 * g, (g + 1) * (63 + 5 + 1)
        assert sum(p.numel() for p in module.shared_parameters()) == 3 * per_layer + norm
        assert sum(p.numel() for p in module.parameters()) == 3 * per_layer + norm + heads
        counts.append(sum(p.numel() for p in module.parameters()))
    assert counts[1] - counts[0] == counts[2] - counts[1]
    layer = TGEMModule(1708, targets, PAPER).layers[2]
    assert (layer.merge == 0.001).all()
    assert layer.key.std().item() == pytest.approx(np.sqrt(2 / (1708 + 5)), rel=0.05)


def test_the_paper_preset_is_the_published_one():
    s = TGEM(TASKS).settings
    assert (s.n_layers, s.n_heads, s.dropout, s.hidden) == (3, 5, 0.3, ())
    assert (s.learning_rate, s.batch_size, s.max_epochs, s.weight_decay) == (1e-4, 16, 50, 0.0)


@pytest.mark.parametrize(("name", "value"), [("n_layers", -1), ("n_heads", 0), ("dropout", 1.0)])
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a (whole )?number from"):
        TGEM(TASKS, **{name: value})


# ------------------------------------------------------------------------------------------- the estimator


def test_planted_survival_classes_and_age_are_learned(fitted, parts):
    found = scores(fitted, parts[2])  # null: 0.5, the largest of five classes is a quarter, 0
    assert found["os", "c_index"] > 0.62
    assert found["subtype", "accuracy"] > 0.6
    assert found["age", "pcc"] > 0.35


def test_the_paper_preset_learns_classes(parts):
    model = TGEM(TASKS[1], max_epochs=5, learning_rate=1e-3, device="cpu").fit(parts[0][:, 60:120].copy())
    assert scores(model, parts[2])["subtype", "accuracy"] > 0.5


def test_what_is_embedded_is_one_number_per_gene(fitted, parts):
    assert fitted.embed(parts[2]).shape == (80, 200)
