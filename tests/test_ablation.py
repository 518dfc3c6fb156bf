"""Parts of TxT switched off, against the same arithmetic by hand; trained without, against fits by hand."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

import gexcore as gx
from gexcore import interpret
from gexcore.interpret import prune_heads, pruned, silence_expression

TASKS = [
    gx.Survival("os", time="os_time", event="os_event"),
    gx.Classification("subtype"),
    gx.Regression("age"),
]
METRICS = {
    "os": ["c_index", "c_index_ipcw", "ibs", "auc"],
    "subtype": ["accuracy", "f1", "precision", "recall", "auroc"],
    "age": ["mae", "rmse", "pcc", "scc"],
}
TINY = {"preset": "quick", "n_layers": 2, "n_heads": 2, "d_model": 8, "d_ff": 8, "max_epochs": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def cohort():
    simulated = gx.simulate.simulate_cohort(n_samples=60, n_genes=60)
    return gx.read_cohort(simulated.expression, simulated.clinical)


@pytest.fixture(scope="module")
def parts(cohort):
    return gx.split(cohort, TASKS, seed=0)


@pytest.fixture(scope="module")
def model(parts):
    return gx.TxT(TASKS, **TINY).fit(*parts[:2])


@pytest.fixture
def untouched(model):
    """The model's weights must be the same bits after the test as before."""
    before = {name: value.clone() for name, value in model.module_.state_dict().items()}
    yield
    for name, value in model.module_.state_dict().items():
        assert torch.equal(value, before[name]), name


def scores(model, parts):
    table = gx.evaluate(model.predict(parts[2]), parts[2], train=parts[0])
    return table.set_index(["task", "metric"])["value"].drop(["n", "horizon"], level="metric")


# ----------------------------------------------------------------------------------------- switching off


@pytest.mark.parametrize("head", [1, 2])
def test_a_pruned_head_takes_exactly_its_own_term_out_of_the_attention(model, untouched, head):
    encoder = model.module_.encoder
    attention, strength = encoder.blocks[0].attention, encoder.term()
    x, expression = torch.randn(5, 60, 8), torch.randn(5, 60)  # (B, G, E), (B, G)
    with torch.no_grad():
        own = slice(4 * (head - 1), 4 * head)
        weights = attention.weights(x, expression, strength)[:, head - 1]  # (B, G, G)
        term = weights @ attention.value(x)[..., own] @ attention.out.weight[:, own].T  # (B, G, E)
        whole = attention(x, expression, strength)
        with pruned(model, [(1, head)]):
            rest = attention(x, expression, strength)
    np.testing.assert_allclose(whole - rest, term, atol=1e-5)


def test_a_pruned_head_changes_what_is_predicted_until_the_block_ends(model, parts, untouched):
    before, embedding = model.predict(parts[2])["os"].risk, model.embed(parts[2])
    with pruned(model, [(2, 1)]) as same:
        assert same is model
        assert (model.embed(parts[2]) - embedding).abs().to_numpy().max() > 0.01
        assert not model.predict(parts[2])["os"].risk.equals(before)
    pd.testing.assert_series_equal(model.predict(parts[2])["os"].risk, before, check_exact=True)


def skipping_attention(encoder, expression, layers):
    """Gene vectors of the encoder with the attention branch of some layers left out."""
    x, strength = encoder.genes + expression[..., None] * encoder.value(encoder.genes), encoder.term()
    for layer, block in enumerate(encoder.blocks, 1):
        if layer not in layers:
            x = block(x, expression, strength)
        elif block.norm_first:
            x = x + block.feed_forward(block.norms[1](x))
        else:
            x = block.norms[0](x)
            x = block.norms[1](x + block.feed_forward(x))
    return encoder.norm(x)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("layers", [[1], [2], [1, 2]], ids=str)
def test_without_its_heads_a_layer_passes_on_its_residual_alone(parts, norm_first, layers):
    model = gx.TxT(TASKS[2], norm_first=norm_first, **TINY).fit(*parts[:2])
    encoder, expression = model.module_.encoder, torch.randn(5, 60)
    with torch.no_grad():
        with pruned(model, [(layer, head) for layer in layers for head in (1, 2)]):
            found = encoder(expression)
        expected = skipping_attention(encoder, expression, layers)
        assert (encoder(expression) - expected).abs().max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_come_back_after_an_exception(model, untouched):
    with pytest.raises(KeyboardInterrupt), pruned(model, [(1, 1), (2, 2)]):
        raise KeyboardInterrupt


def test_weights_come_back_from_blocks_within_blocks_and_heads_named_twice(model, untouched):
    with pruned(model, [(1, 1), (1, 1)]), pruned(model, [(1, 1), (1, 2)]):
        assert not model.module_.encoder.blocks[0].attention.out.weight.any()
    assert model.module_.encoder.blocks[0].attention.out.weight.all()


def test_weights_come_back_where_the_network_moved_to_other_memory(model, untouched):
    with pruned(model, [(1, 1)]):
        model.module_.double()
    model.module_.float()


@pytest.mark.parametrize("head", [(0, 1), (3, 1), (1, 0), (1, 3)])
def test_heads_the_model_does_not_have_are_refused(model, untouched, head):
    message = f"no head {head[1]} in layer {head[0]}; the model has 2 layers of 2 heads, counted from 1"
    with pytest.raises(ValueError, match=message), pruned(model, [(1, 1), head]):
        pytest.fail("the block was entered")


def test_a_model_that_is_not_fitted_has_nothing_to_prune():
    with pytest.raises(RuntimeError, match="not fitted"), pruned(gx.TxT(TASKS, **TINY), [(1, 1)]):
        pytest.fail("the block was entered")


def test_pruning_scores_every_head_every_layer_and_every_number_of_a_head(model, parts, untouched):
    table = prune_heads(model, parts[2], train=parts[0])
    assert list(table.columns) == ["layer", "head", "task", "metric", "value", "change"]
    removed = [("none", "none"), ("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    removed += [("1", "all"), ("2", "all"), ("all", "1"), ("all", "2"), ("all", "all")]
    expected = [(*where, task, metric) for where in removed for task in METRICS for metric in METRICS[task]]
    assert list(table.iloc[:, :4].itertuples(index=False, name=None)) == expected
    by_head = dict(list(table.set_index(["task", "metric"]).groupby(["layer", "head"])))
    intact = scores(model, parts)
    assert (by_head["none", "none"]["change"] == 0).all()
    for where, heads in {("2", "1"): [(2, 1)], ("1", "all"): [(1, 1), (1, 2)], ("all", "2"): [(1, 2), (2, 2)]}.items():
        with pruned(model, heads):
            found = scores(model, parts)
        pd.testing.assert_series_equal(by_head[where]["value"], found)
        pd.testing.assert_series_equal(by_head[where]["change"], found - intact, check_names=False)


def test_silenced_paths_score_as_the_model_with_these_weights_at_zero(model, parts, untouched):
    table = silence_expression(model, parts[2], train=parts[0])
    assert list(table.columns) == ["silenced", "task", "metric", "value", "change"]
    by_path = dict(list(table.set_index(["task", "metric"]).groupby("silenced")))
    names = {"none": (), "attention": ("term.query",), "tokens": ("value",), "both": ("term.query", "value")}
    assert list(table["silenced"].unique()) == list(names)
    assert (by_path["none"]["change"] == 0).all()
    for name, modules in names.items():
        dumb = copy.deepcopy(model)
        for part in modules:
            for weight in dumb.module_.encoder.get_submodule(part).parameters():
                weight.data.zero_()
        pd.testing.assert_series_equal(by_path[name]["value"], scores(dumb, parts))
    assert np.ptp(dumb.predict(parts[2])["age"].values) < 1e-4  # years; a rounding error, not a difference


@pytest.mark.parametrize(
    ("term", "value", "names"),
    [(True, False, ["none", "attention"]), (False, True, ["none", "tokens"]), (False, False, ["none"])],
)
def test_only_paths_the_model_has_are_silenced(parts, term, value, names):
    model = gx.TxT(TASKS[2], expression_term=term, value_path=value, **TINY).fit(*parts[:2])
    assert list(silence_expression(model, parts[2])["silenced"].unique()) == names


def test_with_no_path_for_expression_all_patients_get_the_same_prediction(parts):
    model = gx.TxT(TASKS, expression_term=False, value_path=False, **TINY).fit(*parts[:2])
    alike, other = model.predict(parts[2]), gx.TxT(TASKS, **TINY).fit(*parts[:2]).predict(parts[2])
    for spread in (lambda p: np.ptp(p["os"].risk), lambda p: np.ptp(p["subtype"].probabilities, axis=0).max()):
        assert spread(alike) < 1e-4 * spread(other)
    assert np.ptp(alike["age"].values) < 1e-4 * np.ptp(other["age"].values)


# -------------------------------------------------------------------------------------- training without


def gene_vectors(genes):
    return pd.DataFrame(np.random.default_rng(0).normal(size=(len(genes), 4)), index=genes)


def by_vectors(cohort, **how):
    return interpret.compare_gene_vectors(cohort, TASKS, {"given": gene_vectors(cohort.var_names), "own": None}, **how)


COMPARISONS = {  # what is compared, its models, and the settings of one that is not the last
    "vectors": (by_vectors, ["given", "own"], lambda c: ("given", {"gene_embedding": gene_vectors(c.var_names)})),
    "strategies": (
        lambda c, **how: interpret.compare_strategies(c, TASKS, ["equal", "pcgrad-fast", "gradnorm"], **how),
        ["equal", "pcgrad-fast", "gradnorm"],
        lambda c: ("pcgrad-fast", {"multitask": "pcgrad-fast"}),
    ),
    "paths": (
        lambda c, **how: interpret.compare_expression_paths(c, TASKS, **how),
        ["attention", "tokens", "both", "neither"],
        lambda c: ("attention", {"expression_term": True, "value_path": False}),
    ),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_fit_every_model_on_every_split(cohort, name):
    compare, models, one = COMPARISONS[name]
    table = compare(cohort, seeds=[3, 5], **TINY)
    rows = [(m, s, t, metric) for s in (3, 5) for m in models for t in METRICS for metric in METRICS[t]]
    assert list(table[["model", "seed", "task", "metric"]].itertuples(index=False, name=None)) == rows
    which, settings = one(cohort)
    parts = gx.split(cohort, TASKS, seed=5)
    by_hand = scores(gx.TxT(TASKS, seed=5, **TINY, **settings).fit(*parts[:2]), parts)
    found = table[(table["model"] == which) & (table["seed"] == 5)].set_index(["task", "metric"])["value"]
    pd.testing.assert_series_equal(found, by_hand)


def test_task_counts_add_one_task_after_the_other(cohort):
    table = interpret.compare_task_counts(cohort, TASKS, seeds=[3], **TINY)
    models = {"os": ["os"], "os + subtype": ["os", "subtype"], "os + subtype + age": ["os", "subtype", "age"]}
    rows = [(m, 3, t, metric) for m, tasks in models.items() for t in tasks for metric in METRICS[t]]
    assert list(table[["model", "seed", "task", "metric"]].itertuples(index=False, name=None)) == rows
    parts = gx.split(cohort, TASKS, seed=3)  # of all tasks, also for the models of fewer
    by_hand = scores(gx.TxT(TASKS[:2], seed=3, **TINY).fit(*parts[:2]), parts)
    found = table[table["model"] == "os + subtype"].set_index(["task", "metric"])["value"]
    pd.testing.assert_series_equal(found, by_hand)
