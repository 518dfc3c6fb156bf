"""The linear path: against Gaussians by the formula, scikit-learn's factor analysis, and groups that are planted."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import FactorAnalysis

from gexcore import mixture
from gexcore.gaussian import GaussianModel
from gexcore.mixture import FactorMixture

GENES = 24


def made(n_components, *, n_genes=GENES, n_factors=5, apart=1.0, seed=0):
    """A mixture of known parameters."""
    rng = np.random.default_rng(seed)
    model = FactorMixture(n_genes, n_components, n_factors, 6)
    parts = {
        "log_weight": np.log(np.arange(1, n_components + 1) / np.arange(1, n_components + 1).sum()),
        "mean": apart * rng.normal(size=(n_components, n_genes)),
        "loadings": rng.normal(size=(n_components, n_genes, n_factors)) / 2,
        "noise": rng.uniform(0.2, 1, (n_components, n_genes)),
        "axes": rng.normal(size=(n_genes, 6)),
    }
    model.load_state_dict({name: torch.from_numpy(part).float() for name, part in parts.items()})
    return model


def as_gaussian(model):
    """The same distribution with whole covariances."""
    loadings, noise = model.loadings.double(), model.noise.double()
    covariances = loadings @ loadings.mT + torch.diag_embed(noise)
    return GaussianModel(*(t.double().numpy() for t in (model.log_weight.exp(), model.mean, covariances)))


def drawn(model, n, seed=1):
    gaussian, rng = as_gaussian(model), np.random.default_rng(seed)
    group = rng.choice(len(gaussian.weights), n, p=gaussian.weights / gaussian.weights.sum())
    roots = np.linalg.cholesky(gaussian.covariances)[group]  # (n, G, G)
    noise = rng.normal(size=(n, len(model.axes), 1))
    return (gaussian.means[group] + (roots @ noise)[..., 0]).astype("float32")


def holes(x, rate, seed=2):
    rates = np.broadcast_to(rate, len(x))
    return np.where(np.random.default_rng(seed).random(x.shape) < rates[:, None], np.nan, x).astype("float32")


def two_groups(n, seed):
    """Genes 0 to 3 tell the group; what rises with the hidden number in one group falls with it in the other."""
    rng = np.random.default_rng(seed)
    group, hidden = rng.integers(0, 2, n), rng.normal(size=(n, 1))
    sign = np.where(np.arange(GENES) < 14, 1, np.where(group == 0, 1, -1)[:, None])
    x = sign * hidden + 0.4 * rng.normal(size=(n, GENES))
    x[:, :4] = 1.5 * np.where(group == 0, 1, -1)[:, None] + 0.5 * rng.normal(size=(n, 4))
    return x.astype("float32")


def error(model, x, shown):
    return np.sqrt(((model.restore_arrays(shown)[0] - x)[np.isnan(shown)] ** 2).mean())


# ---------------------------------------------------------------------------------------------- restoring


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("n_components", [1, 3])
def test_restoration_is_the_conditional_expectation_under_the_covariance_it_implies(monkeypatch, n_components, rate):
    monkeypatch.setattr(mixture, "_COUNTS", 0.0)  # components of the smallest share too
    model = made(n_components, apart=0.3)
    shown = holes(drawn(model, 50), rate)
    mean, sd = model.restore_arrays(shown)
    expected = as_gaussian(model).restore(shown)
    np.testing.assert_allclose(mean, expected[0], atol=1e-4)
    np.testing.assert_allclose(sd, expected[1], atol=1e-4)
    assert (mean[~np.isnan(shown)] == shown[~np.isnan(shown)]).all()


def test_leaving_out_components_of_small_share_changes_little():
    model = made(4, apart=0.3)
    shown = holes(drawn(model, 200), 0.8)
    mean, sd = model.restore_arrays(shown)
    expected = as_gaussian(model).restore(shown)
    np.testing.assert_allclose(mean, expected[0], atol=0.15)
    assert np.abs(mean - expected[0]).mean() < 0.002
    assert np.abs(sd - expected[1]).mean() < 0.005


def test_cells_that_were_observed_get_what_the_factors_make_of_them():
    model = made(1)
    x = torch.from_numpy(drawn(model, 20))
    loadings, noise = model.loadings[0].double(), model.noise[0].double()
    weights = torch.linalg.solve(torch.eye(5) + loadings.T / noise @ loadings, loadings.T / noise)  # (F, G)
    factors = (x - model.mean[0]).double() @ weights.T
    np.testing.assert_allclose(model.restore(x)[0], model.mean[0] + factors @ loadings.T, atol=1e-4)


def test_a_sample_without_any_value_gets_mean_and_spread_of_the_mixture():
    model = made(3)
    mean, sd = model.restore_arrays(np.full((2, GENES), np.nan))
    gaussian = as_gaussian(model)
    centre = gaussian.weights @ gaussian.means
    variances = np.einsum("kgg->kg", gaussian.covariances) + (gaussian.means - centre) ** 2
    np.testing.assert_allclose(mean, [centre] * 2, atol=1e-5)
    np.testing.assert_allclose(sd, [np.sqrt(gaussian.weights @ variances)] * 2, atol=1e-5)


def test_targets_are_the_same_cells_as_in_a_restoration_of_all():
    model = made(3, apart=0.3)
    x = torch.from_numpy(holes(drawn(model, 40), 0.7))
    targets = torch.stack([torch.randperm(GENES)[:7] for _ in range(40)])
    for part, whole in zip(model.restore(x, targets), model.restore(x), strict=True):
        np.testing.assert_allclose(part, whole.gather(1, targets), atol=1e-5)
    assert model.restore(x, targets[:, :0])[0].shape == (40, 0)


def test_the_summary_is_the_restored_profile_on_the_axes():
    model = made(3, apart=0.3)
    x = torch.from_numpy(holes(drawn(model, 40), 0.7))
    np.testing.assert_allclose(model.summary(x), model.restore(x)[0] @ model.axes, atol=1e-4)


def test_a_sample_gets_the_same_alone_and_in_any_company():
    model = made(3, apart=0.3)
    x = torch.from_numpy(holes(drawn(model, 30), np.linspace(0, 1, 30)))
    together = (*model.restore(x), model.summary(x))
    for i in range(30):
        alone = (*model.restore(x[i : i + 1]), model.summary(x[i : i + 1]))
        for ours, theirs in zip(alone, together, strict=True):
            np.testing.assert_allclose(ours[0], theirs[i], atol=1e-4)
    batches = model.restore_arrays(np.tile(x, (5, 1)))[0]
    np.testing.assert_allclose(batches, np.tile(batches[:30], (5, 1)), atol=1e-4)


def test_looking_at_few_genes_first_only_saves_work(monkeypatch):
    model = made(6, n_genes=60, apart=2.0)
    x = torch.from_numpy(holes(drawn(model, 60), np.linspace(0, 0.9, 60)))
    looks = []

    def condition(self, k, genes, value, there, look=FactorMixture._condition):
        looks.append(genes.numel())
        return look(self, k, genes, value, there)

    monkeypatch.setattr(FactorMixture, "_condition", condition)
    results = {}
    for scouts in (10_000, 20):
        monkeypatch.setattr(mixture, "_SCOUTS", scouts)
        looks.clear()
        results[scouts] = (*model.restore(x), model.summary(x), sum(looks))
    *whole, all_cells = results.pop(10_000)
    *saved, cells = results.pop(20)
    assert cells < 0.8 * all_cells
    for ours, theirs in zip(saved, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_which_genes_are_looked_at_first_does_not_depend_on_the_other_samples(monkeypatch):
    model = made(6, n_genes=60, apart=0.3)
    monkeypatch.setattr(mixture, "_SCOUTS", 4)
    monkeypatch.setattr(mixture, "_PLAUSIBLE", 0.1)  # so that it matters which they are
    x = torch.from_numpy(holes(drawn(model, 60), np.linspace(0, 0.8, 60)))
    together = model.restore(x)[0]
    alone = torch.cat([model.restore(row[None])[0] for row in x])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_a_mixture_survives_its_state():
    model = FactorMixture.fit(two_groups(300, 0), n_components=2, n_factors=4)
    again = FactorMixture(GENES, *model.loadings.shape[::2], model.axes.shape[1])
    again.load_state_dict(model.state_dict())
    shown = holes(two_groups(20, 1), 0.5)
    np.testing.assert_array_equal(again.restore_arrays(shown), model.restore_arrays(shown))
    assert not list(model.parameters())  # no gradient ever moves it


# ------------------------------------------------------------------------------------------------ fitting


def test_one_component_fits_as_well_as_factor_analysis():
    x = drawn(made(1), 800)
    model = FactorMixture.fit(x, n_components=1, n_factors=5, shrinkage=0.0)
    (covariance,), (mean,) = as_gaussian(model).covariances, model.mean.double().numpy()
    ours = multivariate_normal(mean, covariance).logpdf(x).mean()
    assert ours > FactorAnalysis(n_components=5, tol=1e-6, max_iter=5000).fit(x).score(x) - 0.02 * GENES / 10
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("shrinkage", [0.0, 0.4])
def test_shrinkage_lowers_covariances_and_keeps_variances(shrinkage):
    x = drawn(made(1, n_factors=2), 5000)
    model = FactorMixture.fit(x, n_components=1, n_factors=2, shrinkage=shrinkage)
    sample = np.cov(x.T, bias=True)
    expected = np.where(np.eye(GENES), sample, (1 - shrinkage) * sample)
    np.testing.assert_allclose(as_gaussian(model).covariances[0], expected, atol=0.06)
    np.testing.assert_allclose(np.diag(as_gaussian(model).covariances[0]), np.diag(sample), rtol=0.01)


def test_groups_whose_genes_go_together_in_opposite_ways_need_two_components():
    train, test = two_groups(4000, 0), two_groups(300, 1)
    shown = test.copy()
    shown[:, 14:] = np.nan  # only the group says which way the hidden number counts
    one, two = (FactorMixture.fit(train, n_components=k, n_factors=6) for k in (1, 2))
    assert error(two, test, shown) < 0.6 * error(one, test, shown)
    assert error(two, test, shown) < 0.6  # noise alone is 0.4
    np.testing.assert_allclose(two.log_weight.exp(), 0.5, atol=0.03)
    markers = two.mean[:, :4].mean(1)
    np.testing.assert_allclose(np.sort(markers), [-1.5, 1.5], atol=0.1)


def test_the_number_of_components_is_the_one_that_restores_held_out_samples():
    assert len(FactorMixture.fit(two_groups(800, 0), n_factors=6).mean) > 1
    assert len(FactorMixture.fit(drawn(made(1), 300), n_factors=6).mean) == 1
    assert len(FactorMixture.fit(drawn(made(1), 9)).mean) == 1  # too few to try


def test_as_many_factors_are_taken_as_restore_held_out_samples_best():
    few, many = (drawn(made(1, n_genes=80, n_factors=f), 400) for f in (4, 30))
    kept = [FactorMixture.fit(x, n_components=1).loadings.shape[2] for x in (few, many)]
    assert kept[0] == 8  # the least that is tried
    assert kept[1] in (32, 40)  # 40 is half of the genes


def test_the_order_of_genes_is_irrelevant():
    train, shown = two_groups(400, 0), holes(two_groups(30, 1), 0.5)
    order = np.random.default_rng(3).permutation(GENES)
    ours, theirs = (FactorMixture.fit(x, n_components=2, n_factors=5) for x in (train, train[:, order]))
    for a, b in zip(ours.restore_arrays(shown), theirs.restore_arrays(shown[:, order]), strict=True):
        np.testing.assert_allclose(a[:, order], b, atol=1e-4)


def test_training_samples_may_have_holes():
    train, test = two_groups(400, 0), two_groups(100, 1)
    shown = holes(test, 0.5)
    whole, broken = (FactorMixture.fit(x, n_components=2, n_factors=6) for x in (train, holes(train, 0.2)))
    assert error(broken, test, shown) < 1.1 * error(whole, test, shown)


def test_the_seed_decides_and_the_callers_random_state_is_left_alone():
    x, shown = two_groups(300, 0), holes(two_groups(10, 1), 0.5)
    state = torch.get_rng_state()
    first, second = (FactorMixture.fit(x, n_components=3, n_factors=4, seed=5).restore_arrays(shown) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (torch.get_rng_state() == state).all()


def test_the_axes_give_training_samples_unit_variance_a_constant_gene_or_not():
    x = two_groups(400, 0)
    for constant in ([], [5]):
        x[:, constant] = 0.0
        model = FactorMixture.fit(x, n_components=1, n_factors=6, n_axes=4)
        scores = (x - x.mean(axis=0)) @ model.axes.numpy()
        np.testing.assert_allclose(scores.T @ scores / len(x), np.eye(4), atol=1e-3)
    everything = FactorMixture.fit(x, n_components=1, n_factors=6)  # as many axes as genes
    assert everything.summary(torch.from_numpy(holes(two_groups(30, 1), 0.5))).abs().max() < 20


@pytest.mark.parametrize("shape", [(3, 5), (12, 1), (6, 200)])
def test_few_samples_and_few_genes_are_enough(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    model = FactorMixture.fit(x, n_components=2)
    mean, sd = model.restore_arrays(holes(x, 0.5))
    assert np.isfinite(mean).all()
    assert np.isfinite(sd).all()
    assert model.summary(torch.from_numpy(x)).isfinite().all()
