"""The compiled attention against the attention written out, and torch without it."""

import math

import pytest
import torch
from scipy import stats

import gexcore as gx
from gexcore.attention import ExpressionEncoder, fused

B, H = 3, 2

pytestmark = pytest.mark.skipif(fused._library(16, torch.float32) is None, reason="needs a C++ compiler")


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(fused, "_LEAST", 0)


def draw(n_genes, d, *, shared=False, samples=B, seed=0):
    """q, k, v, expression, strength in double precision; ``shared``: one set of vectors for all samples."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(1 if shared else samples, n_genes, H * d)] * 3 + [(samples, n_genes), (H,)]
    return [torch.randn(shape, generator=generator).double().requires_grad_() for shape in shapes]


def written_out(q, k, v, g, c, scale, kept=None):
    q, k, v = (x.unflatten(-1, (H, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.transpose(2, 3) * scale + c[:, None, None] * g[:, None, :, None] * g[:, None, None]).softmax(-1)
    weights = weights if kept is None else weights * kept
    return (weights @ v).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("n_genes", "d"), [(1, 16), (31, 16), (64, 8), (150, 5), (77, 32), (40, 64)])
def test_values_and_gradients_are_those_of_the_attention_written_out(n_genes, d, shared):
    exact = draw(n_genes, d, shared=shared)
    single = [t.detach().float().requires_grad_() for t in exact]
    expected, found = written_out(*exact, 0.3), fused.attend(*single, scale=0.3)
    assert torch.allclose(found.double(), expected, atol=1e-5)
    up = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    for a, b in zip(
        torch.autograd.grad(found, single, up), torch.autograd.grad(expected, exact, up.double()), strict=True
    ):
        assert torch.allclose(a.double(), b, atol=1e-4 * max(1.0, float(b.abs().max())))


def test_scores_beyond_the_range_of_exp_do_no_harm():
    for strength in (-500.0, 500.0):
        q, k, v, g, _ = (t.detach().float() for t in draw(50, 16))
        c = torch.full((H,), strength)
        found = fused.attend(q, k, v, g, c, scale=1.0)
        assert torch.allclose(found, written_out(q, k, v, g, c, 1.0), atol=1e-3)


def test_threads_do_not_change_a_bit():
    inputs = [t.detach().float() for t in draw(60, 16)]
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(fused.attend(*inputs, scale=0.3))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


# ---------------------------------------------------------------------------------------------- dropout


def mask(n_genes, rate, seed):
    """What dropout does to the weights of every pair: with queries of zero and unit values the heads show it."""
    zeros = torch.zeros(B, n_genes, H * 64)
    values = torch.eye(n_genes, 64).repeat(1, H).expand(B, -1, -1)
    torch.manual_seed(seed)
    heads = fused.attend(zeros, zeros, values, torch.zeros(B, n_genes), torch.zeros(H), scale=1.0, dropout=rate)
    return heads.unflatten(-1, (H, -1)).transpose(1, 2)[..., :n_genes] * n_genes  # (B, H, G, G)


def test_dropout_keeps_the_share_it_should_and_scales_what_it_keeps():
    kept = mask(64, 0.1, seed=0)
    values = kept.unique()
    assert torch.allclose(values, torch.tensor([0.0, 1 / 0.9]), atol=1e-5)
    n = kept.numel()
    assert stats.binomtest(int((kept == 0).sum()), n, 0.1).pvalue > 1e-3


def test_dropped_pairs_are_independent_of_their_neighbours_and_of_other_heads_samples_and_draws():
    dropped, again = ((mask(64, 0.3, seed=seed) == 0).double() for seed in (0, 1))
    others = [dropped.roll(1, dim) for dim in range(4)] + [dropped.transpose(2, 3), again]
    for other in others:
        r = torch.corrcoef(torch.stack([dropped.flatten(), other.flatten()]))[0, 1]
        assert abs(float(r)) < 4 / math.sqrt(dropped.numel())


def test_gradients_with_dropout_are_those_of_the_same_mask():
    n_genes, d, rate = 40, 64, 0.25
    kept = mask(n_genes, rate, seed=3).double()
    exact = draw(n_genes, d)
    single = [t.detach().float().requires_grad_() for t in exact]
    torch.manual_seed(3)
    found, expected = fused.attend(*single, scale=0.1, dropout=rate), written_out(*exact, 0.1, kept)
    assert torch.allclose(found.double(), expected, atol=1e-5)
    up = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    for a, b in zip(
        torch.autograd.grad(found, single, up), torch.autograd.grad(expected, exact, up.double()), strict=True
    ):
        assert torch.allclose(a.double(), b, atol=1e-4 * max(1.0, float(b.abs().max())))


# ----------------------------------------------------------------------------------------- whole encoder


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_an_encoder_gives_the_same_with_and_without_it(always, monkeypatch, precision):
    torch.manual_seed(0)
    encoder = ExpressionEncoder(60, n_layers=2, n_heads=H, d_model=32, dropout=0.0)
    expression, up, results = torch.randn(B, 60), torch.randn(B, 60, 32), []
    for at_hand in (True, False):
        if not at_hand:
            monkeypatch.setattr(fused, "_library", lambda d, dtype: None)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            out = encoder(expression)
        gradients = torch.autograd.grad((out * up).sum(), list(encoder.parameters()))
        results.append([out.detach(), *gradients])
    tolerance = 1e-5 if precision is torch.float32 else 0.05
    for a, b in zip(*results, strict=True):
        assert float((a - b).norm()) <= tolerance * float(b.norm())


def test_small_cohorts_and_wide_heads_stay_with_torch():
    small, large = torch.zeros(2, 100), torch.zeros(16, 1000)
    assert not fused.serves(small, 64, 4, dropout=0.0)
    assert fused.serves(small, 64, 4, dropout=0.1)
    assert fused.serves(large, 64, 4, dropout=0.0)
    assert not fused.serves(large, 1024, 4, dropout=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert fused.serves(small, 64, 4, dropout=0.0)


def test_torch_serves_a_network_that_torch_compiles():
    encoder, g = ExpressionEncoder(60, n_layers=1, n_heads=H, d_model=32, dropout=0.0), torch.randn(B, 60)
    with torch.autocast("cpu", torch.bfloat16):
        compiled = torch.compile(encoder, backend="eager", fullgraph=True)(g)
        torch.testing.assert_close(compiled, encoder(g), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_torch_serves(monkeypatch, compiler):
    monkeypatch.setenv("CXX", compiler)
    assert fused._library.__wrapped__(16, torch.float32) is None


def test_an_interrupted_compilation_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(fused, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setitem(fused._SOURCES, torch.float32, tmp_path / "broken.cpp")
    (tmp_path / "broken.cpp").write_text("no C++")
    assert fused._library.__wrapped__(16, torch.float32) is None
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".so"]


def test_a_model_trains_with_it(always):
    cohort, task = gx.load_cohort("demo")[:40].copy(), gx.Regression("age")
    model = gx.TxT(task, n_layers=1, max_epochs=2).fit(cohort)
    again = gx.TxT(task, n_layers=1, max_epochs=2).fit(cohort)
    assert model.history_.equals(again.history_)
