"""Integrated gradients: they add up, are exact for a linear network, and leave the model alone."""

import copy
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import gexcore as gx
from gexcore.baselines import MLP, AUTOSurv, RidgeCox
from gexcore.estimator import MultitaskModule, NeuralEstimator, task_heads
from gexcore.finetuning import FineTuned
from gexcore.interpret.gradients import integrated_gradients
from gexcore.tasks import CohortWarning

OS = gx.Survival("os", time="os_time", event="os_event")
AGE, SUBTYPE = gx.Regression("age"), gx.Classification("subtype")
TASKS = [OS, SUBTYPE, AGE]
SHORT = {"max_epochs": 12, "learning_rate": 0.01, "averaging": 0.0, "batch_size": 16, "device": "cpu"}


class LinearModule(MultitaskModule):
    """Every score is a weighted sum of scaled expression."""

    def __init__(self, n_genes, targets, settings):
        super().__init__()
        self.encoder = nn.Linear(n_genes, 4, bias=False)
        self.heads = task_heads(4, targets, settings)

    def embed(self, inputs):
        return self.encoder(inputs)


class Linear(NeuralEstimator):
    module_class = LinearModule


@pytest.fixture(scope="module")
def parts(planted):
    """Gene 2 is the same for everybody in training, and two cells of a test sample are missing."""
    cohort = planted(140, groups=3, size=3, free=2)
    train, test = cohort[:100].copy(), cohort[100:].copy()
    train.X[:, 2] = 5.0
    test.X[0, [4, 7]] = np.nan
    return train, test


MODELS = {
    "TxT, quick": lambda: gx.TxT(TASKS, preset="quick", **SHORT),
    "TxT, the paper's paths": lambda: gx.TxT(TASKS, scaling="zscore", n_layers=2, d_model=8, d_ff=16, **SHORT),
    "MLP": lambda: MLP(TASKS, preset="quick", **SHORT),
}


@pytest.fixture(scope="module")
def fitted(parts):
    return {name: model().fit(parts[0]) for name, model in MODELS.items()}


@pytest.fixture(scope="module")
def linear(parts):
    return Linear(TASKS, hidden=(), n_intervals=8, **SHORT).fit(parts[0])


def said(model, cohort, task, output=None):
    """What a model predicts of a task as one number per sample, from its predictions."""
    prediction = model.predict(cohort)[task]
    if task == "subtype":
        p = prediction.probabilities
        p = p.max(axis=1) if output is None else p[output]
        return np.log(p / (1 - p))
    return prediction.risk if task == "os" else prediction.values


def mean_patient(model):
    return ad.AnnData(np.full((1, len(model.genes_)), np.nan, "float32"), var=pd.DataFrame(index=model.genes_))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("task", "output"), [("os", None), ("subtype", "basal"), ("subtype", "luminal"), ("age", None)]
)
def test_the_shares_of_a_sample_add_up_to_its_distance_from_the_mean_patient(parts, fitted, name, task, output):
    model, test = fitted[name], parts[1]
    shares = integrated_gradients(model, test, task, output=output, n_steps=128)
    assert list(shares.index) == list(test.obs_names)
    assert list(shares.columns) == model.genes_
    distance = said(model, test, task, output) - said(model, mean_patient(model), task, output).iloc[0]
    assert distance.std() > 1e-3
    np.testing.assert_allclose(shares.sum(axis=1), distance, atol=0.01 * distance.abs().max())


def test_more_steps_come_closer(parts, fitted):
    model, test = fitted["TxT, quick"], parts[1]
    distance = said(model, test, "os") - said(model, mean_patient(model), "os").iloc[0]
    off = [(integrated_gradients(model, test, "os", n_steps=n).sum(axis=1) - distance).abs().max() for n in (1, 8, 64)]
    assert off[0] > 5 * off[1] > 5 * off[2]


def test_unless_a_class_is_named_the_one_that_is_given_is_explained(parts, fitted):
    model, test = fitted["TxT, quick"], parts[1]
    labels = model.predict(test)["subtype"].labels
    by_class = {name: integrated_gradients(model, test, "subtype", output=name) for name in labels.unique()}
    assert len(by_class) == 2
    found = integrated_gradients(model, test, "subtype")
    expected = pd.DataFrame({i: by_class[label].loc[i] for i, label in labels.items()}).T
    pd.testing.assert_frame_equal(found, expected, check_names=False)


@pytest.mark.parametrize("n_steps", [1, 5])
def test_of_a_linear_network_they_are_weight_times_distance(parts, linear, n_steps):
    test = parts[1]
    module, scaler = linear.module_, linear.scaler_
    with torch.no_grad():
        weight = {
            t.task.name: (h[-1].weight @ module.encoder.weight).numpy()
            for t, h in zip(linear.targets_, module.heads, strict=True)
        }
    distance = scaler.transform(test.X) - scaler.fill
    found = integrated_gradients(linear, test, "age", n_steps=n_steps)
    np.testing.assert_allclose(found, weight["age"][0] * linear.targets_[2].sd * distance, rtol=1e-4, atol=1e-5)
    found = integrated_gradients(linear, test, "subtype", output="luminal", n_steps=n_steps)
    np.testing.assert_allclose(found, (weight["subtype"][1] - weight["subtype"][0]) * distance, rtol=1e-4, atol=1e-5)


def test_genes_that_say_nothing_get_nothing(parts, fitted, linear):
    test = parts[1]
    for model in fitted.values():
        shares = integrated_gradients(model, test, "os", n_steps=4)
        assert (shares["g2"] == 0).all()  # constant in training
        assert (shares.loc["p100", ["g4", "g7"]] == 0).all()  # without a value
        assert (shares.drop("p100")[["g4", "g7"]] != 0).all(axis=None)
    unread = copy.deepcopy(linear)
    unread.module_.encoder.weight.data[:, 3] = 0
    shares = integrated_gradients(unread, test, "os", n_steps=4)
    assert (shares["g3"] == 0).all()
    assert (shares["g4"].drop("p100") != 0).all()


def test_a_model_that_does_not_hear_expression_gives_no_gene_anything(parts):
    train, test = parts
    model = gx.TxT(AGE, preset="quick", expression_term=False, value_path=False, **SHORT).fit(train)
    assert (integrated_gradients(model, test, "age", n_steps=2) == 0).all(axis=None)


def test_a_sample_is_explained_alike_whoever_comes_with_it_and_in_whatever_order(parts, fitted):
    model, test = fitted["MLP"], parts[1]
    whole = integrated_gradients(model, test, "os", n_steps=8)
    some = integrated_gradients(model, test[5:2:-1, ::-1].copy(), "os", n_steps=8)
    pd.testing.assert_frame_equal(some, whole.loc[some.index], atol=1e-6)


def test_the_model_stays_as_it_was(parts, linear):
    test, model = parts[1], copy.deepcopy(linear)
    model.module_.heads[0][-1].weight.requires_grad_(requires_grad=False)
    model.module_.zero_grad()
    before = {name: (p.detach().clone(), p.requires_grad) for name, p in model.module_.named_parameters()}
    predicted = model.predict(test)["os"].risk
    integrated_gradients(model, test, "os", n_steps=4)
    for name, parameter in model.module_.named_parameters():
        assert torch.equal(parameter, before[name][0])
        assert parameter.requires_grad == before[name][1]
        assert parameter.grad is None
    assert not any(part.training for part in model.module_.modules())
    pd.testing.assert_series_equal(model.predict(test)["os"].risk, predicted)


def test_absent_genes_get_nothing_and_are_named(parts, fitted):
    model, test = fitted["MLP"], parts[1]
    with pytest.warns(CohortWarning, match="lacks 1 of 11 genes .first g0"):
        shares = integrated_gradients(model, test[:, 1:].copy(), "age", n_steps=2)
    assert (shares["g0"] == 0).all()


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        ("grade", {}, "task names one of the model's (os, subtype, age), not 'grade'"),
        ("subtype", {"output": "her2"}, "(classification) is one of its classes (basal, luminal), not 'her2'"),
        ("age", {"output": "basal"}, "output of task 'age' (regression) is for classifications only, not 'basal'"),
        ("os", {"n_steps": 0}, "n_steps is a number of points on the line, 1 or more, not 0"),
    ],
)
def test_what_cannot_be_explained_is_refused(parts, fitted, task, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        integrated_gradients(fitted["MLP"], parts[1], task, **arguments)


def test_models_that_read_something_else_are_refused(parts):
    train, test = parts
    with pytest.raises(RuntimeError, match="not fitted yet"):
        integrated_gradients(MLP(OS), test, "os")
    with pytest.raises(TypeError, match="a RidgeCox has no gradient"):
        integrated_gradients(RidgeCox(OS).fit(train), test, "os")
    pathways = AUTOSurv(OS, gene_sets={"a": ["g0", "g1"]}, preset="quick", vae_epochs=1, max_epochs=1, device="cpu")
    bert = gx.GexBERT(preset="quick", n_components=1, max_epochs=1, n_factors=2, d_model=8, n_heads=1, device="cpu")
    tuned = FineTuned(AGE, encoder=bert.fit(train), frozen=True, max_epochs=1, device="cpu")
    for model, task in ((pathways, "os"), (tuned, "age")):
        with pytest.raises(TypeError, match=f"{type(model).__name__} does not read scaled expression gene by gene"):
            integrated_gradients(model.fit(train), test, task)
