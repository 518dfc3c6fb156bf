"""Parts of the transformer: against torch's own attention and layer norm, and what order and padding may not do."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn
from torch.nn.functional import layer_norm

from gexcore.levels import level_bounds, level_of
from gexcore.transformer import Attention, Block, LevelEmbedding, ValueEmbedding

B, N, M, D, H = 3, 5, 7, 16, 4
PADDING = torch.arange(M) >= torch.tensor([7, 4, 1])[:, None]
masks = pytest.mark.parametrize("padding", [None, PADDING], ids=["whole", "padded"])


def close(ours, theirs, atol=1e-5):
    np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=atol)


def pair():
    return torch.randn(B, N, D), torch.randn(B, M, D)


# ---------------------------------------------------------------------------------------------- attention


def torchs_own(ours):
    """torch's multi-head attention with the same weights."""
    theirs = nn.MultiheadAttention(D, H, batch_first=True)
    parts = [ours.query, ours.key, ours.value]
    theirs.load_state_dict(
        {
            "in_proj_weight": torch.cat([part.weight for part in parts]),
            "in_proj_bias": torch.cat([part.bias for part in parts]),
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    return theirs


@masks
def test_attention_and_its_weights_are_those_of_torch(padding):
    attention, (x, y) = Attention(D, H), pair()
    out, weights = torchs_own(attention)(x, y, y, key_padding_mask=padding, average_attn_weights=False)
    close(attention(x, y, padding), out)
    close(attention.weights(x, y, padding), weights)


@masks
def test_rows_of_weights_sum_to_one_and_padding_is_not_read(padding):
    attention, (x, y) = Attention(D, H), pair()
    weights = attention.weights(x, y, padding)
    assert weights.shape == (B, H, N, M)
    close(weights.sum(-1), torch.ones(B, H, N))
    if padding is not None:
        assert (weights.masked_select(padding[:, None, None].expand_as(weights)) == 0).all()
        assert (weights.masked_select(~padding[:, None, None].expand_as(weights)) > 0).all()


def test_what_stands_in_padding_changes_nothing():
    block, (x, y) = Block(D, H, 32, 0.0), pair()
    other = torch.where(PADDING[..., None], 100.0, y)
    assert torch.equal(block(x, PADDING, y), block(x, PADDING, other))


# ------------------------------------------------------------------------------------------------- blocks


@masks
def test_a_block_is_attention_and_feed_forward_beside_residuals_after_norms(padding):
    block, (x, y) = Block(D, H, 32, 0.0), pair()
    for norms in block.norms:
        nn.init.normal_(norms.weight)
        nn.init.normal_(norms.bias)
    first, second = (lambda t, n=n: layer_norm(t, (D,), n.weight, n.bias) for n in block.norms)
    for asks, reads, given in ((y, first(y), {}), (x, y, {"memory": y})):
        theirs = asks + torchs_own(block.attention)(first(asks), reads, reads, key_padding_mask=padding)[0]
        close(block(asks, padding, **given), theirs + block.feed_forward(second(theirs)))
    close(block.weights(y, padding), block.attention.weights(first(y), first(y), padding))


def test_the_order_of_tokens_is_irrelevant():
    block, (x, y) = Block(D, H, 32, 0.0), pair()
    order = torch.randperm(M)
    close(block(y[:, order], PADDING[:, order]), block(y, PADDING)[:, order])
    close(block(x, PADDING[:, order], y[:, order]), block(x, PADDING, y))
    order = torch.randperm(N)
    close(block(x[:, order], PADDING, y), block(x, PADDING, y)[:, order])


def test_tokens_that_ask_do_not_read_each_other():
    block, (x, y) = Block(D, H, 32, 0.0), pair()
    other = torch.cat([x[:, :1], torch.randn(B, N - 1, D)], 1)
    close(block(other, None, y)[:, 0], block(x, None, y)[:, 0])


def test_dropout_acts_in_training_alone():
    block, (x, _) = Block(D, H, 32, 0.5), pair()
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


# --------------------------------------------------------------------------------------------- expression


def test_every_score_gets_the_vector_of_its_level_and_a_missing_one_its_own():
    embed, score = LevelEmbedding(8, D), torch.randn(B, N)
    score[0, 0] = torch.nan
    vectors = embed(score, torch.empty(B, N, D))
    known = score.nan_to_num(0.1)
    level = np.floor(8 * norm.cdf(known)).astype(int)
    np.testing.assert_array_equal(level, level_of(known, level_bounds(8)))  # levels are told apart alike
    level[0, 0] = 8
    assert torch.equal(vectors, embed.vectors.weight[torch.from_numpy(level)])
    extremes = embed(torch.tensor([[-50.0, 50.0]]), torch.empty(1, 2, D))
    assert torch.equal(extremes[0], embed.vectors.weight[[0, 7]])


def test_a_value_scales_a_map_of_its_gene_and_a_missing_one_has_a_vector_of_its_own():
    embed, score, gene = ValueEmbedding(D), torch.randn(B, N), torch.randn(B, N, D)
    nn.init.normal_(embed.missing)
    score[1, 2] = torch.nan
    vectors = embed(score, gene)
    assert torch.equal(vectors[1, 2], embed.missing)
    close(vectors[0], score[0][:, None] * (gene[0] @ embed.map.weight.T + embed.map.bias))
    close(embed(2 * score, gene)[0], 2 * vectors[0])
    vectors.sum().backward()
    assert all(p.grad.isfinite().all() for p in embed.parameters())
