"""Streamed attention: the collectors against the whole tensors, and rows that sum to one."""

import numpy as np
import pandas as pd
import pytest
import torch

import gexcore as gx
from gexcore.interpret import weights as streamed
from gexcore.interpret.weights import (
    MeanPairAttention,
    PairAttention,
    ReceivedAttention,
    mean_pair_attention,
    pair_attention,
    read_attention,
    received_attention,
    stream_attention,
)

SIZES = {"n_layers": 3, "n_heads": 4, "d_model": 16, "d_ff": 16, "max_epochs": 1}


@pytest.fixture(scope="module")
def cohort():
    simulated = gx.simulate.simulate_cohort(n_samples=30, n_genes=60, seed=3)
    return gx.read_cohort(simulated.expression, simulated.clinical)


@pytest.fixture(scope="module")
def model(cohort):
    return gx.TxT(gx.Regression("age"), preset="quick", **SIZES).fit(cohort)


@pytest.fixture(scope="module")
def whole(model, cohort):
    """All weights at once, (N, layers, heads, G, G)."""
    with torch.no_grad():
        return torch.stack(list(model.module_.encoder.attention(model.read(cohort))), 1).numpy()


@pytest.fixture(params=[1, 7, 1000], ids=lambda n: f"{n} samples a block")
def held(request, monkeypatch):
    monkeypatch.setattr(streamed, "_HELD", request.param * 4 * 60**2)


def test_blocks_hold_every_sample_and_layer_once_and_rows_sum_to_one(held, model, cohort, whole):
    seen = []
    for block in stream_attention(model, cohort):
        np.testing.assert_allclose(block.weights.sum(-1), 1, atol=1e-5)
        rows = cohort.obs_names.get_indexer(block.samples)
        np.testing.assert_allclose(block.weights, whole[rows, block.layer - 1], atol=1e-6)
        seen += [(sample, block.layer) for sample in block.samples]
        assert block.n_layers == 3
        assert list(block.genes) == list(cohort.var_names)
    assert sorted(seen) == [(sample, layer) for sample in cohort.obs_names for layer in (1, 2, 3)]


@pytest.mark.parametrize(
    ("layers", "rows"), [("all", [0, 1, 2]), ("first", [0]), ("last", [2]), (2, [1]), ([3, 1], [0, 2])]
)
def test_attention_received_is_the_mean_over_layers_heads_and_queries(held, model, cohort, whole, layers, rows):
    received = received_attention(model, cohort, layers=layers)
    expected = whole[:, rows].mean((1, 2, 3))
    np.testing.assert_allclose(received, expected, atol=1e-6)
    np.testing.assert_allclose(received.sum(axis=1), 1, atol=1e-5)
    assert list(received.index) == list(cohort.obs_names)
    assert list(received.columns) == list(cohort.var_names)


def test_a_pair_is_followed_through_every_layer_and_head_in_both_directions(held, model, cohort, whole):
    a, b = cohort.var_names[[5, 41]]
    table = pair_attention(model, cohort, [(a, b), (b, a)])
    assert len(table) == 30 * 3 * 4 * 2
    places = cohort.var_names.get_indexer
    expected = whole[
        cohort.obs_names.get_indexer(table["sample"]),
        table["layer"] - 1,
        table["head"] - 1,
        places(table["query"]),
        places(table["key"]),
    ]
    np.testing.assert_allclose(table["weight"], expected, atol=1e-6)
    assert not table.duplicated(["sample", "query", "key", "layer", "head"]).any()


@pytest.mark.parametrize(("layers", "rows"), [("all", [0, 1, 2]), (2, [1]), ([3, 1], [0, 2])])
def test_mean_attention_of_many_pairs_is_the_mean_over_layers_and_heads(held, model, cohort, whole, layers, rows):
    places = np.random.default_rng(0).permutation(60).reshape(30, 2)
    pairs = [tuple(pair) for pair in cohort.var_names.to_numpy()[places]]
    table = mean_pair_attention(model, cohort, pairs, layers=layers)
    np.testing.assert_allclose(table, whole[:, rows].mean((1, 2))[:, *places.T], atol=1e-6)
    assert list(table.index) == list(cohort.obs_names)
    assert list(table.columns) == pairs
    query, key = pairs[7]
    tidy = pair_attention(model, cohort, [pairs[7]])
    tidy = tidy[tidy["layer"].isin([row + 1 for row in rows])]
    expected = tidy.groupby("sample", sort=False)["weight"].mean()
    np.testing.assert_allclose(table[query, key], expected[table.index], atol=1e-6)


def test_several_collectors_share_one_pass(model, cohort):
    pair = tuple(cohort.var_names[:2])
    found = read_attention(
        model, cohort, {"r": ReceivedAttention(), "p": PairAttention([pair]), "m": MeanPairAttention([pair])}
    )
    pd.testing.assert_frame_equal(found["r"], received_attention(model, cohort))
    pd.testing.assert_frame_equal(found["p"], pair_attention(model, cohort, [pair]))
    pd.testing.assert_frame_equal(found["m"], mean_pair_attention(model, cohort, [pair]))


def test_reading_leaves_the_model_as_it_was(model, cohort):
    before = model.predict(cohort)["age"].values
    received_attention(model, cohort)
    assert all(p.requires_grad for p in model.module_.parameters())
    assert torch.is_grad_enabled()
    pd.testing.assert_series_equal(model.predict(cohort)["age"].values, before)


def test_a_caller_may_differentiate_between_two_blocks(model, cohort):
    stream = stream_attention(model, cohort)
    next(stream)
    x = torch.ones(2, requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("layers", ["second", 0, 4, [1, 9], []])
def test_unknown_layers_are_refused(model, cohort, layers):
    with pytest.raises(ValueError, match="numbers from 1 to 3"):
        received_attention(model, cohort, layers=layers)


def test_what_has_no_attention_is_refused_before_anything_is_read(model, cohort):
    mlp = gx.baselines.MLP(gx.Regression("age"), max_epochs=1).fit(cohort)
    with pytest.raises(TypeError, match="not of a MLP"):
        stream_attention(mlp, cohort)
    flat = gx.TxT(gx.Regression("age"), preset="quick", n_layers=0, max_epochs=1).fit(cohort)
    with pytest.raises(ValueError, match="n_layers is 0"):
        stream_attention(flat, cohort)
    with pytest.raises(RuntimeError, match="not fitted"):
        stream_attention(gx.TxT(gx.Regression("age")), cohort)
    with pytest.raises(ValueError, match="unknown: NOBODY"):
        pair_attention(model, cohort, [(cohort.var_names[0], "NOBODY")])
    with pytest.raises(ValueError, match="there is no pair"):
        mean_pair_attention(model, cohort, [])
