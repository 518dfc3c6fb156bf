"""Autoencoders: what they restore, what they are judged by, and what they promise like every imputer."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from gexcore.baselines.autoencoders import DenoisingAutoencoder, VariationalAutoencoder, _hide, _Network
from gexcore.baselines.imputers import GeneMean
from gexcore.tasks import CohortWarning

GENES = [f"g{j}" for j in range(12)]
QUICK = {"hidden": (32, 8), "device": "cpu", "learning_rate": 3e-3, "max_epochs": 40}
NETWORKS = {
    "denoising": lambda **more: DenoisingAutoencoder(**{**QUICK, **more}),
    "variational": lambda **more: VariationalAutoencoder(**{**QUICK, **more}),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def cohort(n, *, seed):
    """Twelve genes that follow two factors, each at a level of its own."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(2, 12))
    x = 2 * (rng.normal(size=(n, 2)) @ loadings + 0.3 * rng.normal(size=(n, 12))) + np.arange(12)
    obs = pd.DataFrame({"age": rng.integers(30, 80, n)}, index=[f"p{seed}-{i}" for i in range(n)])
    return ad.AnnData(x.astype("float32"), obs=obs, var=pd.DataFrame(index=GENES))


def holes(data, rate, seed=0):
    data = data.copy()
    data.X[np.random.default_rng(seed).random(data.shape) < rate] = np.nan
    return data


TRAIN, VAL, TEST = cohort(300, seed=0), cohort(60, seed=1), cohort(80, seed=2)
SHOWN = holes(TEST, 0.4)
HIDDEN = np.isnan(SHOWN.X)


@pytest.fixture(scope="module")
def fitted():
    return {name: network().fit(TRAIN, VAL) for name, network in NETWORKS.items()}


def error(imputed):
    return np.sqrt(((imputed.X - TEST.X)[HIDDEN] ** 2).mean())


@every_network
def test_hidden_cells_are_restored_better_than_by_the_gene_mean(fitted, name):
    assert error(fitted[name].impute(SHOWN)) < 0.75 * error(GeneMean().fit(TRAIN).impute(SHOWN))


@every_network
def test_observed_values_stay_to_the_bit_and_every_cell_has_one(fitted, name):
    imputed = fitted[name].impute(SHOWN)
    assert (imputed.X[~HIDDEN] == TEST.X[~HIDDEN]).all()
    assert np.isfinite(imputed.X).all()
    pd.testing.assert_frame_equal(imputed.obs, TEST.obs)


@every_network
def test_empty_samples_and_genes_are_filled(fitted, name):
    blank = TEST[:1].copy()
    blank.X[:] = np.nan
    np.testing.assert_allclose(fitted[name].impute(blank).X[0], TRAIN.X.mean(axis=0), atol=1.5)
    empty = TEST.copy()
    empty.X[:, 3] = np.nan
    imputed = fitted[name].impute(empty)
    assert np.corrcoef(imputed.X[:, 3], TEST.X[:, 3])[0, 1] > 0.8
    with pytest.warns(CohortWarning, match="g3"):
        absent = fitted[name].impute(TEST[:, [g for g in GENES if g != "g3"]].copy())
    np.testing.assert_array_equal(absent.X, imputed.X)


@every_network
def test_training_and_validation_samples_may_have_holes(name):
    model = NETWORKS[name]().fit(holes(TRAIN, 0.3, seed=5), holes(VAL, 0.3, seed=6))
    assert error(model.impute(SHOWN)) < 0.85 * error(GeneMean().fit(TRAIN).impute(SHOWN))


@every_network
def test_what_is_missing_counts_as_missing_and_not_as_the_mean(fitted, name):
    means = np.tile(TRAIN.X.mean(axis=0), (80, 1))
    at_the_mean = ad.AnnData(np.where(HIDDEN, means, TEST.X), obs=TEST.obs, var=TEST.var)
    at_the_mean.X[:, 3] = SHOWN.X[:, 3]
    values = [fitted[name].impute(data).X[HIDDEN[:, 3], 3] for data in (SHOWN, at_the_mean)]
    assert np.abs(values[0] - values[1]).mean() > 0.1


def test_the_error_is_that_of_cells_which_are_there_but_not_shown():
    nan = float("nan")
    truth = torch.tensor([[1.0, 2.0, nan], [3.0, 4.0, 5.0]])
    shown = torch.tensor([[1.0, nan, nan], [nan, 4.0, 5.0]])

    class Half(torch.nn.Module):
        def forward(self, x):
            return torch.full_like(x, 0.5), None

    loss, n = DenoisingAutoencoder()._losses(Half(), (truth, shown))["restoration"]
    assert n == 2
    assert loss.item() == pytest.approx((1.5**2 + 2.5**2) / 2)
    assert DenoisingAutoencoder()._losses(Half(), (truth, truth)) == {}


def test_every_rate_from_a_tenth_to_nine_tenths_is_trained_on():
    share = _hide(torch.zeros(2000, 400)).isnan().float().mean(dim=1)
    assert share.min() < 0.13
    assert share.max() > 0.87
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.var() == pytest.approx(0.8**2 / 12, rel=0.1)  # uniform


def test_the_divergence_is_that_of_two_normal_distributions():
    from torch.distributions import Normal, kl_divergence

    network = _Network(5, (6, 3), variational=True).eval()
    x = torch.randn(4, 5)
    x[:, 2] = float("nan")
    restored, divergence = network(x)
    code = network.encoder(torch.cat([x.nan_to_num(), (~x.isnan()).float()], dim=1))
    mean, sd = code[:, :3], (0.5 * code[:, 3:]).exp()
    torch.testing.assert_close(divergence, kl_divergence(Normal(mean, sd), Normal(0.0, 1.0)).sum(dim=1))
    torch.testing.assert_close(restored, network.decoder(mean))
    assert not torch.equal(network.train()(x)[0], network(x)[0])  # in training the code is drawn


def test_a_heavy_divergence_leaves_nothing_but_the_gene_means():
    model = VariationalAutoencoder(beta=1e4, **{**QUICK, "max_epochs": 15}).fit(TRAIN, VAL)
    values = model.impute(SHOWN).X
    spread = [values[HIDDEN[:, j], j].std() / TRAIN.X[:, j].std() for j in range(12)]
    assert max(spread) < 0.2


def test_training_stops_by_the_validation_samples_and_sets_its_own_apart_without():
    followed = NETWORKS["denoising"](learning_rate=0.05, patience=3, max_epochs=60).fit(TRAIN[:40].copy(), VAL)
    course = followed.history_.query("split == 'val' and task == 'mean'").set_index("epoch")["loss"]
    assert course.index.max() == course.idxmin() + 3
    alone = NETWORKS["denoising"](max_epochs=3).fit(TRAIN)
    assert set(alone.history_["split"]) == {"train", "val"}
    with pytest.raises(ValueError, match="19 training samples are too few to set a tenth of them apart: pass val"):
        NETWORKS["denoising"]().fit(TRAIN[:19].copy())
