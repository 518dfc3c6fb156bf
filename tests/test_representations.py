"""Representations and models on them: components by scikit-learn, codes that help, nothing learned outside training."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import gexcore as gx
from gexcore.baselines import (
    DenoisingAutoencoder,
    LinearModel,
    Majority,
    OnRepresentation,
    PrincipalComponents,
    VariationalAutoencoder,
)

TASK = gx.Classification("subtype")
QUICK = {"hidden": (32, 6), "device": "cpu", "learning_rate": 5e-3, "max_epochs": 30}
REPRESENTATIONS = {
    "components": lambda: PrincipalComponents(n_components=6),
    "denoising": lambda: DenoisingAutoencoder(**QUICK),
    "variational": lambda: VariationalAutoencoder(beta=0.1, **QUICK),
}
every_representation = pytest.mark.parametrize("name", REPRESENTATIONS)


def cohort(n, *, seed):
    """Twelve genes that follow three factors, at levels and spreads of their own; two factors tell the subtype."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    factors = rng.normal(size=(n, 3))
    x = factors @ fixed.normal(size=(3, 12)) + 0.4 * rng.normal(size=(n, 12))
    obs = pd.DataFrame(
        {"subtype": np.array(["basal", "her2", "luminal"])[(factors * [2, 2, 0] + rng.normal(size=(n, 3))).argmax(1)]},
        index=[f"p{seed}-{i}" for i in range(n)],
    )
    genes = pd.DataFrame(index=[f"g{j}" for j in range(12)])
    return ad.AnnData((x * np.geomspace(0.2, 5, 12) + np.arange(12)).astype("float32"), obs=obs, var=genes)


TRAIN, VAL, TEST = cohort(240, seed=0), cohort(60, seed=1), cohort(300, seed=2)


@pytest.fixture(scope="module")
def fitted():
    return {name: make().fit(TRAIN, VAL) for name, make in REPRESENTATIONS.items()}


def accuracy(predictions, test=TEST):
    return (predictions["subtype"].labels == test.obs["subtype"]).mean()


# ------------------------------------------------------------------------------------------- principal components


def test_components_are_those_of_scikit_learn_on_standardised_genes():
    ours = PrincipalComponents(n_components=5, clip=None).fit(TRAIN).embed(TEST)
    scaler = StandardScaler().fit(TRAIN.X)
    oracle = PCA(5).fit(scaler.transform(TRAIN.X))
    theirs = oracle.transform(scaler.transform(TEST.X))
    signs = np.sign((ours.to_numpy() * theirs).sum(axis=0))
    np.testing.assert_allclose(ours * signs, theirs, atol=1e-4)
    assert list(ours) == ["PC1", "PC2", "PC3", "PC4", "PC5"]
    assert list(ours.index) == list(TEST.obs_names)


def test_components_of_training_samples_are_uncorrelated_and_one_absurd_cell_makes_none_of_them():
    wild = TRAIN.copy()
    wild.X[0, 3] = 1e6
    table = PrincipalComponents(n_components=12).fit(wild).embed(wild)
    covariance = np.cov(table.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-8)
    assert (np.diff(np.diag(covariance)) < 0).all()
    assert table.abs().max(axis=None) < 15


def test_there_are_no_more_components_than_directions_in_which_samples_differ():
    doubled = ad.AnnData(
        np.column_stack([TRAIN.X, TRAIN.X, np.ones(240)]),
        obs=TRAIN.obs,
        var=pd.DataFrame(index=list(map(str, range(25)))),
    )
    assert PrincipalComponents(n_components=50).fit(doubled).embed(doubled).shape == (240, 12)
    assert PrincipalComponents(n_components=50).fit(TRAIN[:8].copy()).embed(TEST).shape == (300, 7)


def test_components_that_cannot_be_found_are_refused():
    with pytest.raises(ValueError, match="n_components is a number of components, 1 or more, not 0"):
        PrincipalComponents(n_components=0)
    flat = ad.AnnData(np.ones((240, 12), "float32"), obs=TRAIN.obs, var=TRAIN.var)
    with pytest.raises(ValueError, match="none of the 12 genes varies between the 240 training samples"):
        PrincipalComponents().fit(flat)


# ---------------------------------------------------------------------------------------------- any of them


@every_representation
def test_six_numbers_hold_the_three_factors(fitted, name):
    x, y = (np.column_stack([np.ones(len(part)), fitted[name].embed(part)]) for part in (TRAIN, TEST))
    fixed = np.random.default_rng(99).normal(size=(3, 12))
    means = [(part.X - np.arange(12)) / np.geomspace(0.2, 5, 12) @ np.linalg.pinv(fixed) for part in (TRAIN, TEST)]
    guess = y @ np.linalg.lstsq(x, means[0], rcond=None)[0]
    for factor in range(3):
        assert np.corrcoef(guess[:, factor], means[1][:, factor])[0, 1] > 0.8


@every_representation
def test_missing_cells_have_a_representation(fitted, name):
    holes = TEST.copy()
    holes.X[::2, :3] = np.nan
    assert fitted[name].embed(holes).notna().all(axis=None)


@pytest.mark.parametrize("name", ["denoising", "variational"])
def test_the_code_of_an_autoencoder_is_what_its_decoder_reads(fitted, name):
    import torch

    model = fitted[name]
    code = torch.tensor(model.embed(TEST).to_numpy()).float()
    with torch.no_grad():
        restored = model.model_.decoder(code.relu() if name == "denoising" else code).numpy()
    assert (code < 0).any()  # the rectifier takes half of a unit's range away
    np.testing.assert_allclose(restored, model._fill(model.scaler_.standardise(TEST.X)), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------------------- a model on top of them


@every_representation
def test_a_model_on_six_numbers_beats_the_null_model_and_nears_the_one_on_all_genes(name):
    ours = accuracy(OnRepresentation(LinearModel(TASK), REPRESENTATIONS[name]()).fit(TRAIN, VAL).predict(TEST))
    assert ours > accuracy(Majority(TASK).fit(TRAIN).predict(TEST)) + 0.2
    assert ours > accuracy(LinearModel(TASK).fit(TRAIN).predict(TEST)) - 0.1


class Noted:
    """Notes what it is fitted on; the numbers of a sample are two of its genes."""

    def __init__(self):
        self.seen = []

    def fit(self, train, val=None):
        self.seen.append((train, val))
        return self

    def embed(self, cohort):
        table = cohort.to_df()[["g1", "g4"]].set_axis([0, 1], axis=1)
        return table[::-1]  # matched by id


def test_the_model_reads_the_numbers_of_each_sample_and_its_clinical_table():
    class Recorder(Noted):
        def predict(self, test):
            return test

    model = OnRepresentation(recorder := Recorder(), Noted()).fit(TRAIN, VAL)
    for given, cohort in zip((*recorder.seen[0], model.predict(TEST)), (TRAIN, VAL, TEST), strict=True):
        np.testing.assert_array_equal(given.X, cohort[:, ["g1", "g4"]].X)
        assert list(given.var_names) == ["0", "1"]
        pd.testing.assert_frame_equal(given.obs, cohort.obs)


def test_a_representation_is_learned_anew_from_every_training_part_unless_it_is_pretrained():
    noted = Noted()
    for train in (TRAIN, VAL):
        OnRepresentation(LinearModel(TASK), noted).fit(train, TEST)
    assert [(a is b, v is TEST) for (a, v), b in zip(noted.seen, (TRAIN, VAL), strict=True)] == [(True, True)] * 2
    OnRepresentation(LinearModel(TASK), noted, pretrained=True).fit(TRAIN, VAL)
    assert len(noted.seen) == 2
