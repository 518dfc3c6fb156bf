"""Angles between task gradients, against gradients taken one task at a time."""

import numpy as np
import pytest
import torch

import gexcore as gx
from gexcore import heads
from gexcore.interpret import gradient_cosines

SURVIVAL = gx.Survival("os", time="os_time", event="os_event")
TASKS = [SURVIVAL, gx.Classification("subtype"), gx.Regression("age")]


@pytest.fixture(scope="module")
def cohort():
    drawn = gx.simulate.simulate_cohort(n_samples=70, n_genes=60, seed=3)
    return gx.read_cohort(drawn.expression, drawn.clinical)


@pytest.fixture(scope="module")
def model(cohort):
    return gx.TxT(TASKS, preset="quick", max_epochs=2, batch_size=16, averaging=0.0, device="cpu").fit(cohort)


def written_out(model, cohort, parameters):
    """The gradient of each task's mean loss over the whole cohort at once, flattened."""
    expression = torch.from_numpy(model.scaler_.transform(cohort[:, model.genes_].X))
    rows = []
    for i, target in enumerate(model.targets_):
        model.module_.zero_grad()
        label = torch.from_numpy(target.encode(cohort.obs))
        heads.LOSSES[target.task.kind](model.module_(expression)[i], label).backward()
        rows.append(torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters]))
    model.module_.zero_grad()
    unit = torch.nn.functional.normalize(torch.stack(rows), dim=1)
    return (unit @ unit.T).numpy()


def test_cosines_are_those_of_the_gradients_below_the_heads(model, cohort):
    shared = [*model.module_.encoder.parameters(), *model.module_.pool.parameters()]
    found = gradient_cosines(model, cohort)
    assert list(found.index) == list(found.columns) == ["os", "subtype", "age"]
    np.testing.assert_allclose(found, written_out(model, cohort, shared), atol=1e-4)


def test_heads_pull_the_cosines_towards_zero(model, cohort):
    shared, everything = (gradient_cosines(model, cohort, parameters=p).to_numpy() for p in ("shared", "all"))
    np.testing.assert_allclose(everything, written_out(model, cohort, list(model.module_.parameters())), atol=1e-4)
    off = ~np.eye(3, dtype=bool)
    assert (np.abs(everything[off]) < np.abs(shared[off])).all()


def test_a_task_against_itself_with_the_opposite_sign_conflicts_fully(cohort):
    cohort = cohort.copy()
    cohort.obs["youth"] = -cohort.obs["age"].astype(float)
    tasks = [gx.Regression("age"), gx.Regression("youth")]
    model = gx.TxT(tasks, preset="quick", max_epochs=1, device="cpu").fit(cohort)
    # Both heads start as copies and learn opposite answers from one vector.
    young, old = model.module_.heads[1], model.module_.heads[0]
    young.load_state_dict(old.state_dict())
    with torch.no_grad():
        young[-1].weight.neg_()
        young[-1].bias.neg_()
    assert gradient_cosines(model, cohort).loc["age", "youth"] == pytest.approx(1, abs=1e-4)  # mirrored
    with torch.no_grad():
        young[-1].weight.neg_()
        young[-1].bias.neg_()
    assert gradient_cosines(model, cohort).loc["age", "youth"] < 0


def test_the_model_stays_as_it_was(model, cohort):
    before = {name: value.clone() for name, value in model.module_.state_dict().items()}
    gradient_cosines(model, cohort)
    assert all(torch.equal(value, before[name]) for name, value in model.module_.state_dict().items())
    assert all(p.grad is None for p in model.module_.parameters())


def test_a_task_without_labels_has_no_angle(model, cohort):
    cohort = cohort.copy()
    cohort.obs["age"] = np.nan
    found = gradient_cosines(model, cohort)
    assert found["age"].isna().all()
    assert found.loc["os", "subtype"] == pytest.approx(gradient_cosines(model, cohort).loc["os", "subtype"])


def test_other_words_are_refused(model, cohort):
    with pytest.raises(ValueError, match="parameters must be 'shared' or 'all', not 'heads'"):
        gradient_cosines(model, cohort, parameters="heads")
