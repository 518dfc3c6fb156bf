"""The estimator of every neural model, on two networks small enough to be written out by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import gexcore as gx
from gexcore.checkpoint import read_checkpoint
from gexcore.estimator import MultitaskModule, NeuralEstimator, NeuralSettings, task_heads
from gexcore.training import TrainingSettings
from gexcore.txt import TxTModule, TxTSettings

AGE = gx.Regression("age")
TASKS = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype"), AGE]
TINY = {"hidden": (4,), "n_intervals": 8, "max_epochs": 2, "batch_size": 32, "device": "cpu"}


class LinearModule(MultitaskModule):
    """Scaled expression times a learned matrix."""

    def __init__(self, n_genes, targets, settings):
        super().__init__()
        self.encoder = nn.Linear(n_genes, 4, bias=False)
        self.heads = task_heads(4, targets, settings)

    def embed(self, inputs):
        return self.encoder(inputs)


class Linear(NeuralEstimator):
    def build_module(self, genes, targets):
        return LinearModule(len(genes), targets, self.settings)


class PanelModule(MultitaskModule):
    """The mean of the known vectors of those genes a sample has a value of, weighted by the value."""

    def __init__(self, vectors, targets, settings):
        super().__init__()
        self.vectors = nn.Parameter(vectors, requires_grad=False)
        self.projection = nn.Linear(vectors.shape[1], 4)
        self.heads = task_heads(4, targets, settings)

    def pool(self, inputs):
        return inputs.nan_to_num() @ self.vectors / (~inputs.isnan()).sum(1, keepdim=True)

    def embed(self, inputs):
        return self.projection(self.pool(inputs))


class Panel(NeuralEstimator):
    """Vectors of more genes than the panel, learned elsewhere and left as they are; holes stay holes."""

    def __init__(self, tasks, *, vectors, **settings):
        super().__init__(tasks, **settings)
        self.vectors = vectors

    def build_module(self, genes, targets):
        start = torch.tensor(np.ascontiguousarray(self.vectors.loc[genes], dtype="float32"))  # as a file gives it back
        return PanelModule(start, targets, self.settings)

    def fit_inputs(self, expression):
        super().fit_inputs(expression)
        self.median_ = np.nanmedian(expression, axis=0)

    def inputs(self, expression):
        return torch.from_numpy(expression - self.median_).float()

    def input_state(self):
        return {**super().input_state(), "median": self.median_}

    def extra_config(self):
        return {"vectors": self.vectors.to_dict("split")}

    @classmethod
    def from_config(cls, config, state, tasks, **settings):
        scaler, vectors = {**state}, pd.DataFrame(**config["vectors"])
        median = scaler.pop("median")
        model = super().from_config(config, scaler, tasks, vectors=vectors, **settings)
        model.median_ = median
        return model


@pytest.fixture(scope="module")
def parts():
    cohort = gx.load_cohort("demo")[:, :12].copy()
    cohort.X[np.random.default_rng(0).random(cohort.shape) < 0.1] = np.nan
    return gx.split(cohort, TASKS, seed=0)


@pytest.fixture(scope="module")
def linear(parts):
    return Linear(TASKS, **TINY).fit(*parts[:2])


@pytest.fixture(scope="module")
def panel(parts):
    genes = [*parts[0].var_names[::-1], "of no panel"]
    vectors = pd.DataFrame(np.random.default_rng(1).normal(size=(13, 3)), index=genes)
    return Panel(TASKS, vectors=vectors, scaling="zscore", weight_decay=0.1, **TINY).fit(*parts[:2])


def numbers(model, cohort):
    p = model.predict(cohort)
    return np.column_stack([p["os"].risk, p["subtype"].probabilities, p["age"].values, model.embed(cohort)])


# ---------------------------------------------------------------------------------------- what is fitted


def test_a_linear_network_finds_the_least_squares_solution(parts):
    train, _, test = (part[:, :4].copy() for part in parts)
    for part in (train, test):
        part.X[np.isnan(part.X)] = 0.0
    settings = {"hidden": (), "learning_rate": 0.05, "max_epochs": 300, "batch_size": 1000, "schedule": "cosine"}
    model = Linear(AGE, scaling="zscore", device="cpu", **settings).fit(train)
    a, b = (np.column_stack([part.X, np.ones(part.n_obs)]).astype(float) for part in (train, test))
    known = train.obs["age"].notna()
    expected = b @ np.linalg.lstsq(a[known], train.obs["age"][known].to_numpy(float))[0]
    np.testing.assert_allclose(model.predict(test)["age"].values, expected, atol=0.01)  # years


def test_the_way_into_the_network_is_learned_on_training_samples_and_may_keep_holes(panel, parts):
    train, _, test = parts
    for cohort in (train, test):
        centred = pd.DataFrame(cohort.X, cohort.obs_names, cohort.var_names) - np.nanmedian(train.X, axis=0)
        known = panel.vectors.loc[centred.columns]
        expected = (centred.fillna(0) @ known).div(centred.notna().sum(axis=1), axis=0)
        with torch.inference_mode():
            pooled = panel.fitted_module().pool(panel.inputs(cohort.X))
            embedded = panel.fitted_module().projection(torch.tensor(expected.to_numpy("float32")))
        np.testing.assert_allclose(pooled, expected, atol=1e-6)
        np.testing.assert_allclose(panel.embed(cohort), embedded, atol=1e-5)


def test_holes_reach_the_network_in_training_too(panel, parts, monkeypatch):
    seen, embed = [], PanelModule.embed

    def watched(module, inputs):
        seen.append(inputs.isnan().sum().item())
        return embed(module, inputs)

    monkeypatch.setattr(PanelModule, "embed", watched)
    Panel(TASKS, vectors=panel.vectors, **{**TINY, "max_epochs": 1}).fit(*parts[:2])
    assert sum(seen) == sum(np.isnan(part.X).sum() for part in parts[:2])  # one epoch: every sample once


def test_weights_that_are_not_to_be_trained_stay(panel):
    start = panel.vectors.loc[panel.genes_].to_numpy("float32")
    np.testing.assert_array_equal(panel.fitted_module().vectors, start)


@pytest.mark.parametrize("multitask", ["pcgrad", "pcgrad-fast", "gradnorm"])
def test_where_nothing_is_shared_that_could_be_trained_there_is_nothing_to_combine(parts, multitask):
    class Frozen(Linear):
        def build_module(self, genes, targets):
            module = super().build_module(genes, targets)
            module.encoder.requires_grad_(requires_grad=False)
            return module

    models = [Frozen(TASKS, **TINY, multitask=name).fit(*parts[:2]) for name in (multitask, "equal")]
    np.testing.assert_array_equal(*(numbers(model, parts[2]) for model in models))
    assert len(models[0].history_["task"].unique()) == 4


def test_validation_and_test_samples_fit_no_input(parts, monkeypatch):
    given = []
    monkeypatch.setattr(Linear, "fit_inputs", lambda self, x: (given.append(x), NeuralEstimator.fit_inputs(self, x)))
    Linear(TASKS, **TINY).fit(*parts[:2]).predict(parts[2])
    assert len(given) == 1
    np.testing.assert_array_equal(given[0], parts[0].X)


@pytest.mark.parametrize("fault", ["labels", "network"])
def test_a_fit_that_breaks_off_leaves_the_model_as_it_was(parts, fault, monkeypatch):
    model = Linear(TASKS, **TINY).fit(*parts[:2])
    before, state = numbers(model, parts[2]), {**vars(model)}
    train = parts[0][::2, :6].copy()
    train.X *= 3
    if fault == "labels":
        train.obs["subtype"] = "one"
        with pytest.raises(ValueError, match="needs two classes"):
            model.fit(train)
    else:
        monkeypatch.setattr(LinearModule, "embed", lambda module, inputs: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            model.fit(train)
        monkeypatch.undo()
    assert vars(model).keys() == state.keys()
    assert all(vars(model)[name] is value for name, value in state.items())
    np.testing.assert_array_equal(numbers(model, parts[2]), before)


# ------------------------------------------------------------------------------------- network and heads


def test_every_parameter_is_shared_or_of_one_head(panel):
    module = panel.fitted_module()
    shared = module.shared_parameters()
    assert [id(p) for p in shared] == [id(p) for p in (module.vectors, *module.projection.parameters())]
    assert len(shared) + len(list(module.heads.parameters())) == len(list(module.parameters()))


def test_heads_fit_their_targets_and_only_survival_heads_have_a_rank(parts):
    targets = [task.fit(parts[0].obs) for task in TASKS]
    built = task_heads(7, targets, NeuralSettings(hidden=(5,), survival_rank=1))
    scores = [head(torch.zeros(3, 7)) for head in built]
    assert [s.shape for s in scores] == [(3, t.n_outputs) for t in targets]
    assert [head.rank for head in built] == [1, None, None]


def test_what_a_model_embeds_is_what_its_heads_read(linear, parts):
    embedded = torch.tensor(linear.embed(parts[2]).to_numpy())
    module, test = linear.fitted_module(), parts[2]
    with torch.inference_mode():
        probabilities = module.heads[1](embedded).softmax(1)
    np.testing.assert_allclose(linear.predict(test)["subtype"].probabilities, probabilities, atol=1e-5)


def test_patients_alike_to_txt_are_alike_in_its_predictions_however_rows_are_rounded(parts, monkeypatch):
    model = gx.TxT(TASKS, preset="quick", max_epochs=1, value_path=False, expression_term=False, device="cpu")
    model.fit(parts[0])
    exact = TxTModule.embed
    monkeypatch.setattr(TxTModule, "embed", lambda m, x: exact(m, x) + 1e-3 * torch.arange(len(x))[:, None])
    assert len(np.unique(numbers(model, parts[2]), axis=0)) == 1
    monkeypatch.setattr(model.fitted_module().encoder, "hears_expression", lambda: True)
    assert len(np.unique(numbers(model, parts[2]), axis=0)) > 1


# -------------------------------------------------------------------------------------- settings and files


def test_settings_of_a_model_stand_on_those_of_all():
    with pytest.raises(ValueError, match="head_dropout must be a number from 0 to below 1, not 1"):
        Linear(TASKS, head_dropout=1)
    with pytest.raises(TypeError, match="there is no setting 'n_layers'"):
        Linear(TASKS, n_layers=2)
    with pytest.raises(ValueError, match="preset must be one of paper, not 'quick'"):
        Linear(TASKS, preset="quick")
    for above, below in ((TxTSettings, NeuralSettings), (NeuralSettings, TrainingSettings)):
        assert above.ranges.items() >= below.ranges.items()
        assert above.choices.items() >= below.choices.items()


@pytest.mark.parametrize("name", ["linear", "panel"])
def test_a_model_file_gives_back_the_model_with_all_that_is_its_own(name, parts, tmp_path, request):
    model = request.getfixturevalue(name)
    model.save(tmp_path / "m.safetensors")
    loaded = type(model).load(tmp_path / "m.safetensors", device="cpu")
    assert loaded.settings == model.settings
    assert not loaded.fitted_module().training
    np.testing.assert_array_equal(numbers(loaded, parts[2]), numbers(model, parts[2]))
    np.testing.assert_array_equal(numbers(loaded.fit(*parts[:2]), parts[2]), numbers(model, parts[2]))  # same seed


def test_a_model_of_another_kind_is_refused_and_messages_name_the_model(linear, parts, tmp_path):
    linear.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="holds a Linear model, not TxT"):
        gx.TxT.load(tmp_path / "m.safetensors")
    with pytest.raises(RuntimeError, match="this Linear is not fitted yet"):
        Linear(TASKS).predict(parts[2])
    assert repr(linear) == "Linear(os, subtype, age; fitted on 12 genes)"
    assert repr(Linear(AGE)) == "Linear(age; not fitted)"


def test_files_of_txt_keep_the_names_older_files_have(parts, tmp_path):
    gx.TxT(TASKS, preset="quick", max_epochs=1, device="cpu").fit(parts[0]).save(tmp_path / "m.safetensors")
    tensors, config = read_checkpoint(tmp_path / "m.safetensors", "TxT")
    assert config.keys() == {"settings", "seed", "d_embed", "targets", "genes", "history"}
    scaler = {f"scaler.{name}" for name in ("low", "high", "shift", "factor", "fill", "levels")}
    assert {name for name in tensors if not name.startswith("module.")} == scaler
    assert {name.split(".")[1] for name in tensors if name.startswith("module.")} == {"encoder", "pool", "heads"}
