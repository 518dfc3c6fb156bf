"""Linear attention against the full attention it approximates."""

import pytest
import torch

from gexcore.attention import ExpressionAttention, ExpressionEncoder, LinearAttention

B, G, E, D, H = 3, 40, 12, 16, 4


def full_attention(size=0.15):
    full = ExpressionAttention(E, D, H)
    for projection in (full.query, full.key):
        torch.nn.init.normal_(projection.weight, std=size)
    return full


def linear_like(full, n_features, seed=0):
    torch.manual_seed(seed)
    linear = LinearAttention(E, D, H, n_features)
    linear.load_state_dict(full.state_dict() | {"draws": linear.draws})
    return linear


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    return torch.randn(B, G, E), torch.randn(B, G), torch.tensor([0.05, -0.3, -0.05, 0.0])


def errors(full, inputs, n_features, n_draws):
    """Output of several draws less that of full attention, (draws, B, G, E)."""
    with torch.no_grad():
        return torch.stack([linear_like(full, n_features, s)(*inputs) - full(*inputs) for s in range(n_draws)])


def rms(x):
    return x.square().mean().sqrt().item()


def test_the_error_falls_with_the_root_of_the_number_of_features(inputs):
    full = full_attention()
    few, many = (rms(errors(full, inputs, n, 30)) for n in (64, 1024))
    assert few / many == pytest.approx(4, rel=0.2)
    assert many < 0.2 * rms(full(*inputs))


def test_over_many_draws_the_errors_cancel(inputs):
    # Numerator and denominator are unbiased, their ratio all but: the mean of 100 draws errs a tenth as much as one.
    found = errors(full_attention(), inputs, 256, 100)
    assert rms(found.mean(0)) < 0.15 * rms(found)


def test_it_approximates_better_than_features_that_leave_length_to_chance(inputs):
    # The textbook's FAVOR+ (Choromanski et al. 2021, equation 4), written out for scores as long as a model's.
    full = full_attention(0.3)
    x, g, strength = inputs
    with torch.no_grad():
        q, k, v = (full._heads(p(x)) for p in (full.query, full.key, full.value))
        q, k = (full.scale**0.5 * t for t in full._fold(q, k, g, strength))
        textbook = []
        for seed in range(30):
            torch.manual_seed(seed)
            w = torch.randn(H, 128, q.shape[-1])
            phi_q, phi_k = ((t @ w.mT - t.square().sum(-1, keepdim=True) / 2).exp() for t in (q, k))
            head = phi_q @ (phi_k.mT @ v) / (phi_q @ phi_k.sum(2)[..., None])
            textbook.append(full.out(head.transpose(1, 2).flatten(2)) - full(*inputs))
    assert rms(errors(full, inputs, 128, 30)) < 0.7 * rms(torch.stack(textbook))


def test_the_weights_it_approximates_are_those_of_full_attention(inputs):
    full = full_attention()
    torch.testing.assert_close(linear_like(full, 8).weights(*inputs), full.weights(*inputs))


def test_its_gradients_point_where_those_of_full_attention_do(inputs):
    full, probe = full_attention(), torch.randn(B, G, E)
    x, g, strength = inputs
    strength.requires_grad_()

    def gradient(attention):
        parameters = [strength, *(getattr(attention, n).weight for n in ("query", "key", "value", "out"))]
        return torch.autograd.grad((attention(x, g, strength) * probe).sum(), parameters)

    several = zip(*(gradient(linear_like(full, 512, seed)) for seed in range(20)), strict=True)
    drawn = [torch.stack(parts).mean(0) for parts in several]
    for found, expected in zip(drawn, gradient(full), strict=True):
        assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.95


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0])
def test_outputs_and_gradients_are_finite_whatever_the_scores(inputs, size):
    x, g, strength = inputs
    x, g, strength = (size * x).requires_grad_(), 5 * g, (size * strength).requires_grad_()
    linear = linear_like(full_attention(1.0), 32)
    y = linear(x, g, strength)
    y.square().sum().backward()
    assert y.isfinite().all()
    for t in (x, strength, *linear.parameters()):
        assert t.grad.isfinite().all()
    # A weighted mean leaves the range of its values nowhere: all weights are positive and sum to 1.
    value = linear.value(x)  # (B, G, D)
    linear.out.weight.data = torch.eye(E, D)
    mean, slack = linear(x, g, strength), 1e-4 * (1 + size)
    assert (mean >= value[..., :E].amin(1, keepdim=True) - slack).all()
    assert (mean <= value[..., :E].amax(1, keepdim=True) + slack).all()


def test_draws_are_standard_normal_and_orthogonal_within_each_width():
    torch.manual_seed(0)
    draws = LinearAttention(E, 16, 4, 2000).draws  # (H, R, 5)
    assert draws.shape == (4, 2000, 5)
    blocks = draws.view(4, 400, 5, 5)
    inner = blocks @ blocks.mT
    off = inner - torch.diag_embed(inner.diagonal(dim1=2, dim2=3))
    torch.testing.assert_close(off, torch.zeros_like(off), rtol=0, atol=1e-4)
    flat = draws.flatten(0, 1)
    torch.testing.assert_close(flat.mean(0), torch.zeros(5), rtol=0, atol=0.05)
    torch.testing.assert_close(flat.T @ flat / len(flat), torch.eye(5), rtol=0, atol=0.05)
    assert flat.pow(4).mean().item() == pytest.approx(3, abs=0.2)


def test_it_keeps_nothing_that_grows_with_the_square_of_the_genes():
    def kept(n_genes):
        sizes = []

        def pack(t):
            sizes.append(t.numel())
            return t

        attention = LinearAttention(E, D, H, 32)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            attention(torch.randn(1, n_genes, E), torch.randn(1, n_genes), torch.ones(H))
        return max(sizes)

    assert kept(1000) < 12 * kept(100)


def test_within_autocast_it_computes_in_single_precision(inputs):
    linear = linear_like(full_attention(), 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = linear(*inputs)
    torch.testing.assert_close(rounded.float(), linear(*inputs), rtol=0.05, atol=0.02)


def test_a_linear_encoder_saves_its_draws_and_gives_the_same_numbers_again():
    settings = {"n_layers": 2, "d_model": D, "n_heads": H, "n_features": 16}
    first, second = (ExpressionEncoder(G, **settings).eval() for _ in range(2))
    g = torch.randn(B, G)
    assert (first(g) - second(g)).abs().max() > 1e-3
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(g), second(g))
