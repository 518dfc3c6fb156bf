"""The plain network: its layers by hand, and a rival to be taken seriously."""

import numpy as np
import pytest
import torch

import gexcore as gx
from gexcore.baselines import LinearModel
from gexcore.baselines.mlp import MLP, PRESETS, MLPModule, MLPSettings

OS = gx.Survival("os", time="os_time", event="os_event")
TASKS = [OS, gx.Classification("subtype"), gx.Regression("age")]
SMALL = {"preset": "quick", "device": "cpu"}


@pytest.fixture(scope="module")
def parts():
    return gx.split(gx.load_cohort("demo"), TASKS, seed=0)


@pytest.fixture(scope="module")
def fitted(parts):
    return MLP(TASKS, **SMALL).fit(*parts[:2])


def scores(model, cohort):
    return gx.evaluate(model.predict(cohort), cohort).set_index(["task", "metric"])["value"]


def test_the_network_is_what_its_settings_say(parts):
    model = MLP(TASKS, **SMALL, trunk=(7, 5), max_epochs=2).fit(*parts[:2])
    x = model.scaler_.transform(parts[2].X)
    state = {name: t.numpy() for name, t in model.fitted_module().state_dict().items()}
    for linear, norm in ((1, 2), (5, 6)):
        x = x @ state[f"trunk.{linear}.weight"].T + state[f"trunk.{linear}.bias"]
        mean, var, weight, bias = (
            state[f"trunk.{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / np.sqrt(var + 1e-5) * weight + bias
        x = np.where(x > 0, x, 0.2 * x)
    np.testing.assert_allclose(model.embed(parts[2]), x, atol=1e-4)
    age = x @ state["heads.2.0.weight"].T + state["heads.2.0.bias"]
    known = parts[0].obs["age"].dropna().astype(float)
    expected = age[:, 0] * known.std(ddof=0) + known.mean()
    np.testing.assert_allclose(model.predict(parts[2])["age"].values, expected, atol=1e-2)


def test_parameters_of_the_paper_preset_are_counted_by_layer(parts):
    targets = [task.fit(parts[0].obs, **({"n_intervals": 64} if task is OS else {})) for task in TASKS]
    module = MLPModule(1000, targets, MLPSettings(**PRESETS["paper"]))
    shared = 1000 * 512 + 3 * 512 + 512 * 256 + 3 * 256
    head = 256 * 128 + 3 * 128 + 128 * 64 + 3 * 64
    assert sum(p.numel() for p in module.shared_parameters()) == shared
    assert sum(p.numel() for p in module.parameters()) == shared + 3 * head + 65 * (63 + 5 + 1)


def test_genes_are_left_out_in_training_only(parts):
    targets = [task.fit(parts[0].obs) for task in TASKS]
    module = MLPModule(400, targets, MLPSettings(trunk=(3,), gene_dropout=0.25))
    seen = []
    module.trunk[1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    for training in (True, False):
        module.train(training)(torch.ones(10, 400))
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert seen[0].max().item() == pytest.approx(1 / 0.75)
    assert (seen[1] == 1).all()


@pytest.mark.parametrize("trunk", [(), (0,), (8, -1), (8.0,)])
def test_a_trunk_is_one_or_more_layers(trunk):
    with pytest.raises(ValueError, match=r"trunk must be one or more layer widths from 1, not \("):
        MLP(TASKS, trunk=trunk)


@pytest.mark.parametrize("name", ["dropout", "gene_dropout"])
def test_dropout_is_a_share(name):
    with pytest.raises(ValueError, match=f"{name} must be a number from 0 to below 1, not 1"):
        MLP(TASKS, **{name: 1})


def test_planted_survival_classes_and_age_are_learned_as_well_as_by_linear_models(fitted, parts):
    found = scores(fitted, parts[2])  # null: 0.5, the largest of five classes is a quarter, 0
    assert found["os", "c_index"] > 0.65
    linear = scores(LinearModel(TASKS[1:]).fit(parts[0]), parts[2])
    assert found["subtype", "accuracy"] > max(0.75, linear["subtype", "accuracy"] - 0.1)
    assert found["age", "pcc"] > max(0.4, linear["age", "pcc"] - 0.1)
