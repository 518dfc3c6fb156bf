"""The network of GexBERT: panels of any genes in any order and company, and the closed form it starts from."""

import numpy as np
import pytest
import torch
from torch import nn

from gexcore.levels import expected_value
from gexcore.mixture import FactorMixture
from gexcore.restorer import GexBERTSettings, Restorer

G, L, T = 20, 16, 6
TINY = {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_decoder_layers": 1, "n_heads": 2, "n_levels": L, "dropout": 0.0}
linear_or_not = pytest.mark.parametrize("linear", ["none", "mixture"])
both_restorations = pytest.mark.parametrize("restoration", ["held_out", "masked"])
both_summaries = pytest.mark.parametrize("summary", ["token", "mean"])


def network(*, linear="mixture", prior=None, trained=True, **settings):
    """A network in evaluation mode; ``trained``: what starts at zero is something."""
    score = np.random.default_rng(0).normal(size=(60, 3)) @ np.random.default_rng(1).normal(size=(3, G))
    score = (score / score.std(axis=0)).astype("float32")
    mixture = None if linear == "none" else FactorMixture.fit(score, n_components=2, n_factors=3, n_axes=5)
    values = torch.randn(G, L).sort(1).values
    module = Restorer(values, GexBERTSettings(**{**TINY, **settings}), prior=prior, linear=mixture)
    if trained:
        for parameter in (*module.head.parameters(), module.readout):
            nn.init.normal_(parameter, std=0.3)
    return module.eval()


def scores(n=8, rate=0.4):
    """Samples that lack more and more genes; the first has all."""
    score = torch.randn(n, G)
    return torch.where(torch.rand(n, G) < torch.linspace(0, 2 * rate, n)[:, None], torch.nan, score)


def asked(n=8):
    return torch.stack([torch.randperm(G)[:T] for _ in range(n)])


def close(ours, theirs, atol=1e-5):
    np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=atol)


# -------------------------------------------------------------------------------------------- the start


@both_restorations
@pytest.mark.parametrize("n_panels", [1, 3])
def test_before_training_the_linear_path_speaks_alone_to_the_bit(restoration, n_panels):
    module, score, targets = network(trained=False, restoration=restoration, panel=8), scores(), asked()
    mean, sd = module.linear.restore(score, targets)
    expected = expected_value(mean, sd, module.values[targets], module.bounds)
    found = module.restore(score, targets)
    assert torch.equal(found[0], expected[0])
    close(found[1], expected[1], atol=1e-4)
    close(module.restore(score, targets, n_panels)[0], expected[0])


def test_before_training_without_a_linear_path_everything_is_the_training_distribution():
    module, score, targets = network(linear="none", trained=False), scores(), asked()
    value, sd = module.restore(score, targets)
    close(value, module.values[targets].mean(-1), atol=1e-4)
    close(sd, module.values[targets].std(-1, correction=0), atol=1e-3)


@linear_or_not
def test_nothing_of_the_linear_path_is_trained_and_all_else_can_be(linear):
    module = network(linear=linear, prior=torch.randn(G, 3))
    names = {name for name, _ in module.named_parameters()}
    assert not any(name.startswith("linear") for name in names)
    score, targets = scores(), asked()
    value, sd = module.restore(score, targets)
    (value.square().sum() + sd.sum()).backward()
    idle = {name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle == set()


# ------------------------------------------------------------------------------------- order and company


@linear_or_not
@both_restorations
@pytest.mark.parametrize("encoder", ["levels", "continuous"])
def test_a_sample_gets_the_same_alone_and_among_samples_with_more_genes(linear, restoration, encoder):
    module = network(linear=linear, restoration=restoration, value_encoder=encoder, panel=7)
    score, targets = scores(), asked()
    score[-1] = torch.nan  # a sample without any value
    together = (*module.restore(score, targets, 2), module.represent(score, 2))
    for i in range(len(score)):
        one = slice(i, i + 1)
        alone = (*module.restore(score[one], targets[one], 2), module.represent(score[one], 2))
        for ours, theirs in zip(alone, together, strict=True):
            close(ours, theirs[one], atol=1e-4)


@both_restorations
def test_targets_that_fill_up_a_row_change_nothing(restoration):
    # samples with fewer holes than others are asked for genes they have: those must not disturb the others
    module, score = network(restoration=restoration, n_targets=4), scores()
    holes = [torch.where(row.isnan())[0] for row in score]
    measured = [torch.where(~row.isnan())[0] for row in score]
    for row, hole, known in zip(score[1:], holes[1:], measured[1:], strict=True):
        alone = module.restore(row[None], hole[None])
        longer = module.restore(row[None], torch.cat([hole, known])[None])
        for ours, theirs in zip(longer, alone, strict=True):
            close(ours[:, : len(hole)], theirs, atol=1e-4)


def test_the_order_of_a_panel_and_what_stands_in_its_padding_are_irrelevant():
    module, genes, score, targets = network(), torch.stack([torch.randperm(G) for _ in range(4)]), scores(4), asked(4)
    padding = torch.arange(G) >= torch.tensor([20, 11, 4, 1])[:, None]
    order = torch.randperm(G)
    other = [torch.where(padding, torch.randint(G, (4, G)), genes), torch.where(padding, 9.0, score), padding]
    for theirs in ([t[:, order] for t in (genes, score, padding)], other):
        decoded = [module.decode(module.encode(*p), targets, p[2]) for p in ((genes, score, padding), theirs)]
        for a, b in zip(*decoded, strict=True):
            close(a, b)
        close(*(module.summarise(module.encode(*p), p[2]) for p in ((genes, score, padding), theirs)))


def test_targets_do_not_read_each_other():
    module, score, targets = network(), scores(), asked()
    whole = module.restore(score, targets)
    for i in range(T):
        for a, b in zip(module.restore(score, targets[:, i : i + 1]), whole, strict=True):
            close(a, b[:, i : i + 1])


@both_restorations
def test_the_value_of_every_gene_of_the_panel_is_read(restoration):
    module, targets = network(linear="none", restoration=restoration, value_encoder="continuous"), asked(1)
    score = scores(1).requires_grad_()
    module.restore(score, targets)[0].sum().backward()
    assert (score.grad != 0).all()


# ------------------------------------------------------------------------------------------------ panels


@pytest.mark.parametrize("panel", [1, 7, 20, 50])
def test_panels_share_all_measured_genes_each_once_and_evenly_drawn(panel):
    module, score = network(panel=panel), scores()
    score[3] = torch.nan
    count = (~score.isnan()).sum(1)
    seen = torch.zeros_like(score)
    panels = list(module.panels(score, G))
    assert len(panels) == -(-int(count.max()) // panel)
    for i, (genes, shown, padding, there) in enumerate(panels):
        assert genes.shape[1] <= panel
        assert torch.equal(there, (~padding).any(1) | (torch.tensor(i == 0)))
        assert torch.equal(shown[~padding], score.gather(1, genes)[~padding])
        seen.scatter_add_(1, genes, (~padding).float())
    assert torch.equal(seen, (~score.isnan()).float())
    assert len(list(module.panels(score, 2))) == min(2, len(panels))


def test_which_genes_are_read_first_depends_neither_on_their_position_nor_on_other_samples():
    module, score = network(panel=5), scores()
    genes = next(module.panels(score, 1))[0]
    for i, row in enumerate(score):
        known = torch.where(~row.isnan())[0]
        expected = known[module.order[known].argsort()][:5]
        assert torch.equal(genes[i, : len(expected)], expected)


@linear_or_not
def test_several_panels_are_averaged_and_their_disagreement_counts(linear):
    module, score, targets = network(linear=linear, panel=8), torch.randn(3, G), asked(3)
    score[1, 9:] = torch.nan  # nine genes fill a panel and one place of the next
    score[2, 8:] = torch.nan  # a single panel
    opinions = []
    estimate, profile = module.read(score, targets)
    for genes, shown, padding, _ in module.panels(score, 3):
        mean, sd = module.decode(module.encode(genes, shown, padding, profile), targets, padding, estimate)
        opinions.append(module.expect(mean, sd, targets))
    values, sds = (torch.stack(part) for part in zip(*opinions, strict=True))  # (3, B, T)
    value, sd = module.restore(score, targets, 3)
    for i, n in enumerate((3, 2, 1)):
        close(value[i], values[:n, i].mean(0))
        variance = sds[:n, i].square().mean(0) + values[:n, i].var(0, correction=0)
        close(sd[i], variance.sqrt(), atol=1e-3)
    assert not torch.allclose(value[0], module.restore(score, targets, 1)[0][0], atol=1e-3)


@both_summaries
@linear_or_not
def test_a_sample_is_the_mean_summary_of_its_panels_beside_the_linear_path(summary, linear):
    module, score = network(summary=summary, linear=linear, panel=8), scores(3)
    profile = module.read(score, asked(3))[1]
    expected = torch.stack(
        [
            module.summarise(module.encode(genes, shown, padding, profile), padding)
            for genes, shown, padding, _ in module.panels(score[:1].expand(3, -1), 3)
        ]
    ).mean(0)[0]
    found = module.represent(score, 3)
    if linear == "none":
        assert found.shape == (3, 16)
    else:
        close(found[:, 16:], module.linear.summary(score))
        assert torch.equal(module.represent(score, 3, profile), found)
        expected = module.represent(score[:1], 3)[0, :16]
    close(found[0, :16], expected)


def test_the_mean_summary_leaves_padding_and_the_summary_token_out():
    module, memory = network(summary="mean"), torch.randn(2, 5, 16)
    padding = torch.tensor([[False, False, True, True], [False] * 4])
    close(module.summarise(memory, padding), torch.stack([memory[0, 1:3].mean(0), memory[1, 1:].mean(0)]))
    close(module.summarise(memory), memory[:, 1:].mean(1))
    close(network(summary="token").summarise(memory, padding), memory[:, 0])


# --------------------------------------------------------------------------------------- genes, attention


def test_gene_vectors_are_learned_ones_and_a_map_of_the_prior():
    prior = torch.randn(G, 3)
    module = network(prior=prior)
    close(module.gene_vectors(), module.genes + prior @ module.from_prior.weight.T)
    assert network().gene_vectors() is not None
    assert "prior" in module.state_dict()


def test_attention_is_what_the_encoder_used():
    module, score = network(), scores(4)
    ((genes, shown, padding, _),) = module.panels(score, 1)
    layers = list(module.attention(genes, shown, padding))
    assert len(layers) == 2
    for weights in layers:
        assert weights.shape == (4, 2, G + 1, G + 1)
        close(weights.sum(-1), torch.ones(4, 2, G + 1))
        assert (weights[..., 1:].masked_select(padding[:, None, None]) == 0).all()
    x = module.tokens(genes, shown, None)
    block, whole = module.encoder[0], nn.functional.pad(padding, (1, 0))
    value = block.attention.value(block.norms[0](x)).unflatten(-1, (2, -1)).transpose(1, 2)
    read = block.attention.out((layers[0] @ value).transpose(1, 2).flatten(2))
    after = x + read
    after = after + block.feed_forward(block.norms[1](after))
    close(after, block(x, whole))


# ---------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_model": 30, "n_heads": 4}, r"d_model \(30\) must be divisible by n_heads \(4\)"),
        ({"mask_rates": (0.9, 0.1)}, r"mask_rates are two shares, 0 < low <= high < 1, not \(0.9, 0.1\)"),
        ({"mask_rates": (0.0, 0.5)}, "mask_rates are two shares"),
        ({"mask_rates": (0.5, 1.0)}, "mask_rates are two shares"),
        ({"mask_rates": (0.5,)}, "mask_rates are two shares"),
        ({"panel": 0}, "panel must be a whole number from 1, not 0"),
        ({"n_levels": 1}, "n_levels must be a whole number from 2, not 1"),
        ({"dropout": -0.1}, "dropout must be a number from 0"),
        ({"n_components": 0}, "n_components must be a whole number from 1, not 0"),
        ({"restoration": "hidden"}, "restoration must be one of held_out, masked, not 'hidden'"),
        ({"linear": True}, "linear must be one of none, mixture, not True"),
        ({"loss": "mse"}, "loss must be one of value, levels, both, not 'mse'"),
        ({"value_encoder": "bins"}, "value_encoder must be one of levels, continuous, not 'bins'"),
        ({"summary": "cls"}, "summary must be one of token, mean, not 'cls'"),
    ],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GexBERTSettings(**settings)
