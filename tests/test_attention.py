"""The folded attention against the attention written out from the paper's equation."""

import math

import pytest
import torch

from gexcore.attention import ExpressionAttention, ExpressionEncoder, ExpressionTerm, PathwayEncoder, expression

B, G, E, D, H = 3, 20, 12, 16, 4


def written_out(attention, term, x, g):
    """Equation 1 of the TxT paper, patient by patient, head by head, with the D-wide projections of expression."""
    d, out = D // H, []
    for xs, gs in zip(x.expand(len(g), -1, -1), g, strict=True):
        heads, maps = [], []
        for h in range(H):
            rows = slice(h * d, (h + 1) * d)
            q, k, v = (xs @ p.weight[rows].T for p in (attention.query, attention.key, attention.value))
            gq, gk = (gs[:, None] @ p.weight[rows].T for p in (term.query, term.key))  # (G, d)
            a = ((q @ k.T + gq @ gk.T) / math.sqrt(2 * d)).softmax(-1)
            maps.append(a)
            heads.append(a @ v)
        out.append((torch.cat(heads, 1) @ attention.out.weight.T, torch.stack(maps)))
    return torch.stack([o for o, _ in out]), torch.stack([m for _, m in out])


@pytest.mark.parametrize("shared", [True, False])
def test_folded_attention_equals_the_paper_written_out(shared):
    attention, term = ExpressionAttention(E, D, H), ExpressionTerm(D, H)
    x, g = torch.randn(1 if shared else B, G, E), torch.randn(B, G)
    output, weights = written_out(attention, term, x, g)
    torch.testing.assert_close(attention(x, g, term()), output, rtol=0, atol=1e-5)
    torch.testing.assert_close(attention.weights(x, g, term()), weights, rtol=0, atol=1e-5)


def test_gradients_of_the_folded_attention_equal_those_of_the_written_out_one():
    attention, term = ExpressionAttention(E, D, H), ExpressionTerm(D, H)
    x, g = torch.randn(B, G, E), torch.randn(B, G)
    parameters = [*attention.parameters(), *term.parameters()]
    probe = torch.randn(B, G, E)
    folded = torch.autograd.grad((attention(x, g, term()) * probe).sum(), parameters)
    plain = torch.autograd.grad((written_out(attention, term, x, g)[0] * probe).sum(), parameters)
    torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-4)


def test_attention_stores_no_genes_by_genes_matrix():
    # Bytes kept for the backward pass must grow with G, not with its square.
    def kept(n_genes):
        sizes = []

        def pack(t):
            sizes.append(t.numel())
            return t

        attention, term = ExpressionAttention(E, D, H), ExpressionTerm(D, H)
        x, g = torch.randn(1, n_genes, E), torch.randn(1, n_genes)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            attention(x, g, term())
        return max(sizes)

    assert kept(1000) < 12 * kept(100)


@pytest.mark.parametrize("expression_term", [True, False])
def test_attention_rows_sum_to_one_in_every_layer(expression_term):
    encoder = ExpressionEncoder(G, n_layers=3, d_model=D, n_heads=H, expression_term=expression_term).eval()
    layers = list(encoder.attention(torch.randn(B, G)))
    assert [tuple(a.shape) for a in layers] == [(B, H, G, G)] * 3
    for weights in layers:
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, G))


@pytest.mark.parametrize(
    "settings",
    [{}, {"norm_first": False}, {"value_path": True}, {"d_embed": E}, {"expression_term": False}, {"n_features": 24}],
)
def test_permuting_genes_permutes_the_output(settings):
    encoder = ExpressionEncoder(G, n_layers=2, d_model=D, n_heads=H, **settings).eval()
    g, order = torch.randn(B, G), torch.randperm(G)
    before = encoder(g)
    encoder.genes.data = encoder.genes.data[order]
    torch.testing.assert_close(encoder(g[:, order]), before[:, order], rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_features", [None, 24])
def test_a_sample_does_not_see_the_others_in_its_batch(n_features):
    encoder = ExpressionEncoder(G, n_layers=2, d_model=D, n_heads=H, n_features=n_features).eval()
    g = torch.randn(B, G)
    torch.testing.assert_close(encoder(g)[1:2], encoder(g[1:2]), rtol=0, atol=1e-5)


def test_without_expression_all_samples_are_alike_and_with_it_they_differ():
    encoder = ExpressionEncoder(G, n_layers=2, d_model=D, n_heads=H).eval()
    g = torch.randn(2, G)
    assert (encoder(g)[0] - encoder(g)[1]).abs().max() > 1e-3
    encoder.term.query.weight.data.zero_()  # the ablation of the expression term: every c_h is 0
    torch.testing.assert_close(encoder(g)[0], encoder(g)[1])


def test_without_the_expression_term_attention_is_plain_and_only_the_value_path_hears_expression():
    settings, g = {"n_layers": 2, "d_model": D, "n_heads": H}, torch.randn(B, G)
    deaf = ExpressionEncoder(G, **settings, expression_term=False).eval()
    assert not any(name.startswith("term") for name, _ in deaf.named_parameters())
    torch.testing.assert_close(deaf(g), deaf(-5 * g))
    hearing = ExpressionEncoder(G, **settings, expression_term=False, value_path=True).eval()
    assert (hearing(g) - hearing(-5 * g)).abs().max() > 0.1
    # The same weights with a term of strength 0 give the same numbers.
    both = ExpressionEncoder(G, **settings, value_path=True).eval()
    both.load_state_dict(hearing.state_dict(), strict=False)
    assert (both(g) - hearing(g)).abs().max() > 1e-3
    both.term.query.weight.data.zero_()
    torch.testing.assert_close(both(g), hearing(g))


def test_plain_attention_is_the_one_of_torch():
    attention, x = ExpressionAttention(E, D, H), torch.randn(B, G, E)
    plain = torch.nn.MultiheadAttention(D, H, bias=False, kdim=E, vdim=E, batch_first=True)
    with torch.no_grad():
        plain.q_proj_weight.copy_(torch.eye(D) / math.sqrt(2))  # the factor that leaves room for the expression term
        plain.k_proj_weight.copy_(attention.key.weight)
        plain.v_proj_weight.copy_(attention.value.weight)
        plain.out_proj.weight.copy_(torch.eye(D))
    expected = attention.out(plain(attention.query(x), x, x)[0])
    torch.testing.assert_close(attention(x, torch.randn(B, G), torch.zeros(H)), expected, rtol=1e-4, atol=1e-5)


def test_dropout_on_attention_keeps_the_mean_and_the_gradient_replays_the_same_mask(monkeypatch):
    monkeypatch.setattr(expression, "_LARGEST", 7 * H * G)  # seven queries at a time, as with very many genes
    attention, term = ExpressionAttention(E, D, H, dropout=0.3), ExpressionTerm(D, H)
    x, g = torch.randn(1, G, E), torch.randn(B, G)
    plain = attention.eval()(x, g, term())
    attention.train()
    mean = torch.stack([attention(x, g, term()) for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, plain, rtol=0, atol=0.05 * plain.abs().max().item())
    # The output is linear in the value weights, so the gradient times the weights gives the output back,
    # which only holds if the recomputed mask is the one of the forward pass.
    y = attention(x, g, term()).sum()
    (slope,) = torch.autograd.grad(y, attention.value.weight)
    torch.testing.assert_close((slope * attention.value.weight).sum(), y, rtol=1e-4, atol=1e-4)


ENCODERS = {
    "full": lambda **settings: ExpressionEncoder(G, **settings),
    "linear": lambda **settings: ExpressionEncoder(G, n_features=24, **settings),
    "pathways": lambda **settings: PathwayEncoder(G, [range(12), range(5, G), [3]], **settings),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_checkpointing_changes_no_gradient_however_often_it_is_asked_for_and_keeps_less(kind):
    g, probes = torch.randn(B, G), torch.randn(2, B, 1, D)

    def trained(checkpointing):
        torch.manual_seed(0)
        encoder = ENCODERS[kind](n_layers=4, d_model=D, n_heads=H, dropout=0.3, checkpointing=checkpointing)
        kept = []

        def pack(t):
            kept.append(t.numel())
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            y = encoder(g)
        parameters = list(encoder.parameters())
        # Several tasks ask one graph for their gradients, as PCGrad does, and dropout is that of the forward pass.
        first = torch.autograd.grad((y * probes[0]).sum(), parameters, retain_graph=True)
        return y, first, torch.autograd.grad((y * probes[1]).sum(), parameters), sum(kept)

    (y, *gradients, kept), (again, *recomputed, less) = trained(checkpointing=False), trained(checkpointing=True)
    assert torch.equal(y, again)
    torch.testing.assert_close(recomputed, gradients, rtol=0, atol=0)
    assert less < kept / 4


def test_width_must_divide_among_the_heads():
    with pytest.raises(ValueError, match=r"d_model \(10\) must be divisible by n_heads \(4\)"):
        ExpressionEncoder(5, d_model=10, n_heads=4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_and_cpu_agree():
    encoder = ExpressionEncoder(G, n_layers=2, d_model=D, n_heads=H).eval()
    g = torch.randn(B, G)
    torch.testing.assert_close(encoder.cuda()(g.cuda()).cpu(), encoder.cpu()(g), rtol=0, atol=1e-4)
