"""A pretrained encoder with task heads: what is trained and what is not, any panel, files, planted classes."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import gexcore as gx
from gexcore.finetuning import FineTuned

TASKS = [
    gx.Survival("os", time="os_time", event="os_event"),
    gx.Classification("cancer_type"),
    gx.Regression("age"),
]
TINY = {
    "preset": "quick",
    "n_components": 1,
    "n_factors": 8,
    "d_model": 16,
    "d_ff": 16,
    "n_layers": 1,
    "n_heads": 2,
    "panel": 24,
    "n_targets": 24,
    "max_epochs": 1,
    "device": "cpu",
}
SHORT = {"max_epochs": 2, "learning_rate": 0.01, "n_intervals": 8, "device": "cpu"}
QUICKLY = {"max_epochs": 20, "learning_rate": 0.01, "averaging": 0.9, "device": "cpu"}
both = pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trained further"])


@pytest.fixture(scope="module")
def parts():
    simulated = gx.simulate.simulate_pan_cancer(n_samples=160, n_genes=100, seed=1)
    cohort = gx.read_cohort(simulated.expression.iloc[:, :40], simulated.clinical)
    return gx.split(cohort, TASKS, seed=0)


@pytest.fixture(scope="module")
def bert(parts):
    return gx.GexBERT(**TINY).fit(parts[0])


@pytest.fixture(scope="module")
def fitted(parts, bert):
    """Models of the first twelve genes, and what the encoder was before."""
    few = [part[:, :12].copy() for part in parts[:2]]
    before = {name: tensor.clone() for name, tensor in bert.parts()[0].items()}
    models = {frozen: FineTuned(TASKS, encoder=bert, frozen=frozen, **SHORT).fit(*few) for frozen in (True, False)}
    return models, before


def numbers(model, cohort):
    p = model.predict(cohort)
    return np.column_stack([p["os"].risk, p["cancer_type"].probabilities, p["age"].values, model.embed(cohort)])


# ---------------------------------------------------------------------------------------- what is trained


@both
def test_every_task_is_predicted_for_every_sample_by_id(fitted, parts, frozen):
    prediction = fitted[0][frozen].predict(parts[2])
    assert list(prediction) == ["os", "cancer_type", "age"]
    assert prediction["os"].survival.columns.equals(parts[2].obs_names)
    np.testing.assert_allclose(prediction["cancer_type"].probabilities.sum(axis=1), 1)
    assert prediction["age"].values.between(20, 100).all()  # years, not standard deviations


def test_the_given_encoder_stays_as_it_was_and_only_a_copy_is_trained_further(fitted, bert):
    models, before = fitted
    after = bert.parts()[0]
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert {name.split(".")[0] for name, _ in models[True].module_.named_parameters()} == {"heads"}
    encoder = ("genes", "summary_token", "encoder.0.attention.query.weight")
    for name, weight in models[False].module_.restorer.named_parameters():
        moved = not torch.equal(weight, before[f"module.{name}"])
        assert moved or name not in encoder, name
        assert not moved or not name.startswith(("decoder", "head", "readout")), name  # nothing is restored


def test_heads_of_a_frozen_model_read_the_embedding_of_the_encoder(fitted, parts, bert):
    few = parts[2][:, :12].copy()
    found, expected = fitted[0][True].embed(few), bert.embed(few)
    assert found.shape == expected.shape
    for column, own in zip(found, expected, strict=True):  # scaled and shifted
        assert np.corrcoef(found[column], expected[own])[0, 1] == pytest.approx(1, abs=1e-5)


def test_training_further_changes_the_summary_and_not_the_linear_path(fitted, parts, bert):
    few = parts[2][:, :12].copy()
    found, before = fitted[0][False].embed(few), bert.embed(few)
    linear = before.columns.str.startswith("linear")
    alike = np.array([np.corrcoef(found[a], before[b])[0, 1] for a, b in zip(found, before, strict=True)])
    np.testing.assert_allclose(alike[linear], 1, atol=1e-5)
    assert (alike[~linear] < 0.9999).any()


def test_scaling_and_levels_are_those_of_pretraining(parts, bert):
    one_kind = parts[0][parts[0].obs["cancer_type"].isin(["arboma", "beloma"]), 5:20].copy()
    model = FineTuned(TASKS[1], encoder=bert, frozen=True, **SHORT).fit(one_kind)
    for name, array in bert.scaler_.state().items():
        np.testing.assert_array_equal(model.scaler_.state()[name], array[5:20])
    few = parts[2][:, 5:20].copy()
    np.testing.assert_array_equal(model.inputs(few.X), bert.embed(few).to_numpy("float32"))


def test_an_encoder_without_a_linear_path_will_do(parts):
    levels = gx.GexBERT(**{**TINY, "linear": "none", "value_encoder": "levels", "summary": "mean"}).fit(parts[0])
    for frozen in (True, False):
        model = FineTuned(TASKS, encoder=levels, frozen=frozen, **SHORT).fit(*parts[:2])
        assert model.embed(parts[2]).shape == (parts[2].n_obs, 16)


# ---------------------------------------------------------------------------------------------- panels


@both
def test_genes_outside_the_panel_and_the_order_of_genes_are_irrelevant(fitted, parts, frozen):
    model, test = fitted[0][frozen], parts[2]
    expected = numbers(model, test[:, :12].copy())
    np.testing.assert_array_equal(numbers(model, test), expected)
    np.testing.assert_allclose(numbers(model, test[:, ::-1].copy()), expected, atol=1e-5)


@both
def test_a_missing_value_is_a_gene_that_was_not_measured(fitted, parts, frozen):
    model, test = fitted[0][frozen], parts[2][:, :12].copy()
    test.X[:, 3] = np.nan
    with pytest.warns(gx.CohortWarning, match="1 of 12"):
        expected = numbers(model, test[:, np.arange(12) != 3].copy())
    np.testing.assert_array_equal(numbers(model, test), expected)
    assert not np.allclose(numbers(model, parts[2]), expected)


def test_genes_that_pretraining_did_not_know_are_refused(parts, bert):
    train = parts[0].copy()
    train.var_names = [*train.var_names[:38], "NEW1", "NEW2"]
    with pytest.raises(ValueError, match=r"2 of 40 genes were not in pretraining \(NEW1, NEW2\): keep only"):
        FineTuned(TASKS, encoder=bert, **SHORT).fit(train)


@pytest.mark.parametrize("encoder", [gx.GexBERT(**TINY), "bert.safetensors"], ids=["not fitted", "path"])
def test_an_encoder_has_to_be_a_fitted_gexbert(encoder):
    with pytest.raises(TypeError, match="encoder is a fitted GexBERT, not"):
        FineTuned(TASKS, encoder=encoder)


# ----------------------------------------------------------------------------------------------- files


@both
def test_a_saved_model_predicts_the_same_bits_in_a_new_process(fitted, parts, tmp_path, frozen):
    model = fitted[0][frozen]
    model.save(tmp_path / "model.safetensors")
    parts[2].write_h5ad(tmp_path / "test.h5ad")
    code = (
        "import sys; from gexcore.finetuning import FineTuned;"
        "model = FineTuned.load(sys.argv[1] + '/model.safetensors', device='cpu');"
        "p = model.predict(sys.argv[1] + '/test.h5ad'); p['os'].survival.to_pickle(sys.argv[1] + '/os.pkl')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    here = model.predict(parts[2])["os"].survival
    pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "os.pkl"), here, check_exact=True)
    loaded = FineTuned.load(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(numbers(loaded, parts[2]), numbers(model, parts[2]))
    assert loaded.settings == model.settings
    assert loaded.tasks == model.tasks
    assert loaded.genes_ == model.genes_
    pd.testing.assert_frame_equal(loaded.history_, model.history_)
    loaded.save(tmp_path / "again.safetensors")
    first, again = (FineTuned.load(tmp_path / f"{name}.safetensors").input_state() for name in ("model", "again"))
    assert first.keys() == again.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])


def test_the_encoder_of_a_loaded_model_restores_as_before(fitted, parts, bert, tmp_path):
    fitted[0][False].save(tmp_path / "model.safetensors")
    encoder = FineTuned.load(tmp_path / "model.safetensors", device="cpu").encoder
    few = parts[2][:, :12].copy()
    pd.testing.assert_frame_equal(encoder.restore(few, bert.genes_[20:25]), bert.restore(few, bert.genes_[20:25]))


def test_a_file_of_another_model_is_refused(bert, tmp_path):
    bert.save(tmp_path / "bert.safetensors")
    with pytest.raises(ValueError, match="GexBERT"):
        FineTuned.load(tmp_path / "bert.safetensors")


# ------------------------------------------------------------------------------------------- what it learns


@both
def test_planted_cancer_types_are_found_from_partly_labelled_samples(parts, bert, frozen):
    train, val, test = (part.copy() for part in parts)
    train.obs.loc[train.obs_names[60:], "cancer_type"] = np.nan
    train.obs.loc[train.obs_names[:40], ["os_time", "os_event", "age"]] = np.nan
    model = FineTuned(TASKS, encoder=bert, frozen=frozen, **QUICKLY).fit(train, val)
    assert model.history_["loss"].notna().all()
    right = (model.predict(test)["cancer_type"].labels == test.obs["cancer_type"]).mean()
    majority = test.obs["cancer_type"].value_counts(normalize=True).iloc[0]
    assert right > 2 * majority


def test_labels_that_do_not_tell_expression_are_not_found(parts, bert):
    train, val, test = (part.copy() for part in parts)
    for part in (train, val, test):
        part.obs["cancer_type"] = part.obs["cancer_type"].sample(frac=1, random_state=0).to_numpy()
    model = FineTuned(TASKS[1], encoder=bert, frozen=True, **QUICKLY).fit(train, val)
    right = (model.predict(test)["cancer_type"].labels == test.obs["cancer_type"]).mean()
    assert right < 0.45
