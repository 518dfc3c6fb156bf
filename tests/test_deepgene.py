"""DeepGene Transformer: every gene is read, by place; planted signal is found."""

import numpy as np
import pytest
import torch

import gexcore as gx
from gexcore.baselines.deepgene import PRESETS, DeepGene, DeepGeneModule, DeepGeneSettings

OS = gx.Survival("os", time="os_time", event="os_event")
TASKS = [OS, gx.Classification("subtype"), gx.Regression("age")]
LITTLE = {"n_layers": 1, "n_filters": 16, "d_model": 32, "n_heads": 2, "d_ff": 32, "hidden": ()}
SMALL = {"preset": "quick", "max_epochs": 20, "learning_rate": 0.01, "averaging": 0.95, "device": "cpu", **LITTLE}
STILL = {**SMALL, "max_epochs": 1, "learning_rate": 1e-12}  # fitted, and where it started


@pytest.fixture(scope="module")
def parts():
    return gx.split(gx.load_cohort("demo"), TASKS, seed=0)


@pytest.fixture(scope="module")
def targets(parts):
    return [task.fit(parts[0].obs, **({"n_intervals": 64} if task is OS else {})) for task in TASKS]


@pytest.fixture(scope="module")
def fitted(parts):
    return DeepGene(TASKS, **SMALL).fit(*parts[:2])


def scores(model, cohort):
    return gx.evaluate(model.predict(cohort), cohort).set_index(["task", "metric"])["value"]


# -------------------------------------------------------------------------------------------- the network


def test_parameters_of_the_paper_preset_are_counted_by_layer(targets):
    module = DeepGeneModule(1558, targets, DeepGeneSettings(**PRESETS["paper"]))
    d, tokens = 64, 97  # windows of 23 genes, 16 apart: 96 of them end before gene 1558
    convolutions = 32 * (7 + 1) + 2 * 32 + d * (32 * 5 + 1) + 2 * d
    block = 4 * (d * d + d) + 2 * d * 256 + 256 + d + 4 * d
    head = d * 128 + 3 * 128 + 128 * 64 + 3 * 64
    shared = convolutions + tokens * d + 2 * block + 2 * d
    assert sum(p.numel() for p in module.shared_parameters()) == shared
    assert sum(p.numel() for p in module.parameters()) == shared + 3 * head + 65 * (63 + 5 + 1)


@pytest.mark.parametrize(("n_genes", "n_tokens"), [(3, 1), (23, 1), (24, 2), (39, 2), (40, 3), (200, 13)])
def test_every_gene_is_read_whatever_their_number(targets, n_genes, n_tokens):
    module = DeepGeneModule(n_genes, targets, DeepGeneSettings()).eval()
    assert module.places.shape == (n_tokens, 64)
    x = torch.randn(4, n_genes, requires_grad=True)
    embedded = module.embed(x)
    assert embedded.shape == (4, 64)
    (embedded * torch.randn_like(embedded)).sum().backward()
    assert (x.grad != 0).any(0).all()


def test_a_token_reads_23_neighbours(targets):
    module = DeepGeneModule(71, targets, DeepGeneSettings()).eval()
    x = torch.randn(64, 71)
    tokens = module.tokens(x[:, None])  # (B, D, N)
    for gene in range(71):
        y = x.clone()
        y[:, gene] += 3.0
        moved = (module.tokens(y[:, None]) != tokens).flatten(0, 1).any(0)
        assert moved.tolist() == [16 * n <= gene < 16 * n + 23 for n in range(4)]


@pytest.mark.parametrize("positions", [True, False])
def test_only_learned_places_tell_where_on_the_way_a_pattern_stands(targets, positions):
    module = DeepGeneModule(151, targets, DeepGeneSettings(positions=positions)).eval()
    x = torch.zeros(3, 151)
    x[:, 50:60] = torch.randn(3, 10)
    change = (module.embed(x.roll(32, 1)) - module.embed(x)).abs().max()
    assert (change > 1e-3) == positions
    assert (module.embed(x.roll(3, 1)) - module.embed(x)).abs().max() > 1e-3


def test_heads_have_to_share_the_width():
    with pytest.raises(ValueError, match=r"d_model \(64\) must be divisible by n_heads \(7\)"):
        DeepGene(TASKS, n_heads=7)


@pytest.mark.parametrize(("name", "value"), [("n_layers", -1), ("n_filters", 0), ("dropout", 1.0), ("d_ff", 2.5)])
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a (whole )?number from"):
        DeepGene(TASKS, **{name: value})


# ------------------------------------------------------------------------------------------ the estimator


def test_the_order_of_genes_in_training_is_part_of_the_model(parts):
    order = np.random.default_rng(0).permutation(parts[0].n_vars)
    here, there = (DeepGene(TASKS, **STILL).fit(train) for train in (parts[0], parts[0][:, order].copy()))
    assert there.genes_ == [here.genes_[i] for i in order]
    a, b = here.embed(parts[2]), there.embed(parts[2])  # the same weights, on other neighbours
    assert (a - b).abs().max(axis=None) > 0.01


def test_planted_survival_classes_and_age_are_learned(fitted, parts):
    found = scores(fitted, parts[2])  # null: 0.5, the largest of five classes is a quarter, 0
    assert found["os", "c_index"] > 0.6
    assert found["subtype", "accuracy"] > 0.42
    assert found["age", "pcc"] > 0.25
