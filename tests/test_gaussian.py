"""Gaussians and factors: conditional expectations by the formula, maximum likelihood by scikit-learn and scipy."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis

from gexcore.gaussian import FactorModel, GaussianModel, best_setting

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(6, 8))
MEAN, COVARIANCE = RNG.normal(size=6), ROOT @ ROOT.T / 8
ONE = GaussianModel(np.ones(1), MEAN[None], COVARIANCE[None])


def factors(n=300, genes=20, rank=3, *, noise=0.5, seed=0):
    """Samples of a factor model; from the first gene to the last the noise grows threefold."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(genes, rank))
    errors = rng.normal(size=(n, genes)) * np.linspace(0.5 * noise, 1.5 * noise, genes)
    return rng.normal(size=(n, rank)) @ loadings.T + errors + np.arange(genes) / 10


def holes(x, rate, seed=0):
    return np.where(np.random.default_rng(seed).random(x.shape) < rate, np.nan, x)


def by_formula(row, mean, covariance):
    """Conditional mean and standard deviation of the missing genes of one sample, and its density."""
    hole, seen = np.isnan(row), ~np.isnan(row)
    weight = covariance[np.ix_(hole, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    centre = mean[hole] + weight @ (row - mean)[seen]
    spread = np.diag(covariance[np.ix_(hole, hole)] - weight @ covariance[np.ix_(seen, hole)])
    return centre, np.sqrt(spread), multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).pdf(row[seen])


# --------------------------------------------------------------------------------------------- Gaussians


@pytest.mark.parametrize("n_missing", [1, 3, 5])
def test_a_missing_cell_becomes_its_conditional_expectation(n_missing):
    x = RNG.multivariate_normal(MEAN, COVARIANCE, 5)
    for row in x:
        row[RNG.permutation(6)[:n_missing]] = np.nan  # few missing: by the precision; many: by the covariance
    mean, sd = ONE.restore(x)
    for row, restored, error in zip(x, mean, sd, strict=True):
        expected = by_formula(row, MEAN, COVARIANCE)
        np.testing.assert_allclose(restored[np.isnan(row)], expected[0])
        np.testing.assert_allclose(error[np.isnan(row)], expected[1])


def test_both_ways_to_condition_agree_on_expectation_spread_and_density():
    x, seen = RNG.normal(size=(4, 3)), np.array([True, False, True, False, False, True])
    ways = [condition(0, x, seen) for condition in (ONE._by_covariance, ONE._by_precision)]
    np.testing.assert_allclose(ways[0][0], ways[1][0])
    for a, b in zip(ways[0][1](), ways[1][1](), strict=True):
        np.testing.assert_allclose(a, b)


@pytest.mark.parametrize("model", [ONE, FactorModel(MEAN, ROOT[:, :2], np.full(6, 0.3))])
def test_observed_cells_stay_to_the_bit_and_an_empty_sample_becomes_the_mean(model):
    x = RNG.normal(size=(4, 6))
    x[1, 2:4] = x[2] = np.nan
    mean, sd = model.restore(x)
    seen = ~np.isnan(x)
    assert (mean[seen] == x[seen]).all()
    assert (sd[seen] == 0).all()
    assert (sd[~seen] > 0).all()
    np.testing.assert_allclose(mean[2], MEAN)
    variance = np.diag(COVARIANCE) if model is ONE else (ROOT[:, :2] ** 2).sum(axis=1) + 0.3
    np.testing.assert_allclose(sd[2], np.sqrt(variance))


@pytest.mark.parametrize("hidden", [[4], [0, 2, 3, 5]])
def test_components_weigh_by_the_density_of_what_is_observed(hidden):
    weights, means = np.array([0.3, 0.7]), np.stack([MEAN, MEAN + 0.5])
    covariances = np.stack([COVARIANCE, np.diag(np.arange(1.0, 7.0))])
    row = RNG.normal(size=6)
    row[hidden] = np.nan
    parts = [by_formula(row, m, c) for m, c in zip(means, covariances, strict=True)]
    share = weights * [p[2] for p in parts]
    share /= share.sum()
    mean = sum(s * p[0] for s, p in zip(share, parts, strict=True))
    second = sum(s * (p[0] ** 2 + p[1] ** 2) for s, p in zip(share, parts, strict=True))
    restored, sd = GaussianModel(weights, means, covariances).restore(row[None])
    np.testing.assert_allclose(restored[0, hidden], mean)
    np.testing.assert_allclose(sd[0, hidden], np.sqrt(second - mean**2))


def test_complete_samples_give_the_sample_covariance_shrunk_off_its_diagonal():
    x = factors()
    model = GaussianModel.fit(x, shrinkage=0.3, ridge=0.1)
    sample = np.cov(x.T, bias=True)
    np.testing.assert_allclose(model.means[0], x.mean(axis=0))
    np.testing.assert_allclose(model.covariances[0], 0.7 * sample + np.diag(0.3 * np.diag(sample) + 0.1))
    assert model.weights.tolist() == [1.0]


def test_incomplete_samples_give_nearly_the_covariance_of_complete_ones():
    x = factors(2000)
    x[:, 3] = np.nan
    complete, incomplete = (GaussianModel.fit(part, shrinkage=0.05) for part in (x, holes(x, 0.4)))
    off = np.abs(complete.covariances - incomplete.covariances)
    assert off.max() < 0.15 * complete.covariances.max()
    assert complete.covariances[0, 3, 3] == pytest.approx(1)  # never seen: what standardised expression has
    assert np.abs(np.delete(complete.covariances[0, 3], 3)).max() < 1e-8
    filled = np.where(np.isnan(holes(x, 0.4)), np.nanmean(x[:, 4]), x)  # a mean in the holes shrinks what it touches
    naive = np.cov(np.delete(filled, 3, axis=1).T, bias=True)
    assert np.abs(naive - np.delete(np.delete(complete.covariances[0], 3, 0), 3, 1)).max() > 2 * off.max()


def test_covariances_of_pairs_that_do_not_fit_together_are_repaired():
    x = np.full((60, 3), np.nan)  # three pairs of genes, never all three: each pair correlated by 1 or -1
    for pair, sign in (((0, 1), 1), ((1, 2), 1), ((0, 2), -1)):
        part = slice(20 * pair[0] + 20 * (pair[1] - pair[0] - 1), None)
        rows = x[part][:20]
        rows[:, pair[0]] = np.linspace(-1, 1, 20)
        rows[:, pair[1]] = sign * rows[:, pair[0]]
    model = GaussianModel.fit(x, shrinkage=0.01)
    assert np.linalg.eigvalsh(model.covariances[0]).min() > 0
    assert np.isfinite(model.restore(x)[0]).all()


def two_kinds(n, seed):
    """Samples of two kinds with the same mean; the genes of each follow five factors of their own."""
    rng = np.random.default_rng(seed)
    loadings, kind = np.random.default_rng(7).normal(size=(2, 20, 5)), rng.integers(0, 2, n)
    return np.einsum("ngf,nf->ng", loadings[kind], rng.normal(size=(n, 5))) + 0.5 * rng.normal(size=(n, 20)), kind


def test_a_mixture_finds_groups_that_differ_in_their_covariance_alone():
    (train, kind), (test, _) = two_kinds(2000, 0), two_kinds(100, 1)
    shown = holes(test, 0.3)
    one, two = (GaussianModel.fit(train, shrinkage=0.05, n_components=k) for k in (1, 2))
    error = {m: ((m.restore(shown)[0] - test)[np.isnan(shown)] ** 2).mean() for m in (one, two)}
    assert error[two] < 0.8 * error[one]
    assert sorted(two.weights) == pytest.approx(sorted([kind.mean(), 1 - kind.mean()]), abs=0.02)


def test_restoring_knows_how_far_off_it_is():
    x = factors(2000)
    shown = holes(x, 0.5)
    for model in (GaussianModel.fit(x, shrinkage=0.01), FactorModel.fit(x, n_factors=3)):
        mean, sd = model.restore(shown)
        hidden = np.isnan(shown)
        off = (mean - x)[hidden] / sd[hidden]
        assert (off**2).mean() == pytest.approx(1, abs=0.1)


# ----------------------------------------------------------------------------------------------- factors


def covariance(model):
    return model.loadings @ model.loadings.T + np.diag(model.noise)


@pytest.mark.parametrize("shape", [(300, 20), (15, 20)])
def test_equal_noise_gives_the_probabilistic_components_of_scikit_learn(shape):
    x = factors(*shape)
    model, oracle = FactorModel.fit(x, n_factors=3, equal_noise=True), PCA(3).fit(x)
    ours, theirs = covariance(model), oracle.get_covariance() * (len(x) - 1) / len(x)  # it divides by N - 1
    if shape[0] > shape[1]:
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    explained = oracle.explained_variance_ * (len(x) - 1) / len(x)
    noise = (x.var(axis=0).sum() - explained.sum()) / (20 - 3)
    np.testing.assert_allclose(model.noise, noise)
    np.testing.assert_allclose(np.linalg.eigvalsh(ours)[-3:], explained[::-1])


def test_noise_of_its_own_for_every_gene_gives_the_factor_analysis_of_scikit_learn():
    x = factors(noise=0.7)
    model = FactorModel.fit(x, n_factors=3)
    oracle = FactorAnalysis(3, tol=1e-4, max_iter=5000).fit(x)
    likelihood = multivariate_normal(model.mean, covariance(model)).logpdf(x).mean()
    assert likelihood == pytest.approx(oracle.score(x), abs=0.05)
    np.testing.assert_allclose(covariance(model), oracle.get_covariance(), atol=0.05)
    assert likelihood > multivariate_normal(x.mean(axis=0), PCA(3).fit(x).get_covariance()).logpdf(x).mean() + 1


@pytest.mark.parametrize("equal_noise", [True, False])
def test_every_step_raises_the_likelihood_of_the_observed_cells(equal_noise):
    x = holes(factors(60, 10), 0.3)
    x[5] = np.nan
    model = FactorModel(np.zeros(10), np.eye(10, 2), np.ones(10))
    course = []
    for _ in range(10):
        expected = 0.0
        for row in x:
            seen = ~np.isnan(row)
            known = covariance(model)[np.ix_(seen, seen)]
            expected += multivariate_normal(model.mean[seen], known).logpdf(row[seen]) if seen.any() else 0.0
        model, likelihood = model._improve(x, equal_noise=equal_noise)
        assert likelihood == pytest.approx(expected)
        course.append(likelihood)
    assert (np.diff(course) > 0).all()


def test_factors_learned_from_holes_are_nearly_those_of_complete_samples():
    x = factors(400)
    x[:, 3] = np.nan
    complete, incomplete = (FactorModel.fit(part, n_factors=3) for part in (x, holes(x, 0.4)))
    scale = np.sqrt(np.outer(*[np.diag(covariance(complete))] * 2))
    np.testing.assert_allclose(covariance(incomplete) / scale, covariance(complete) / scale, atol=0.08)
    np.testing.assert_allclose(incomplete.mean, complete.mean, atol=0.2)
    assert covariance(complete)[3, 3] == pytest.approx(1)  # never seen: what standardised expression has


def test_factors_restore_as_the_gaussian_they_imply():
    x = holes(factors(20), 0.5)
    x[0] = np.nan
    model = FactorModel.fit(factors(), n_factors=3)
    gaussian = GaussianModel(np.ones(1), model.mean[None], covariance(model)[None])
    for a, b in zip(model.restore(x), gaussian.restore(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


# ------------------------------------------------------------------------------------------------ shared


def test_settings_are_chosen_by_what_they_restore():
    x = factors(200, noise=0.3)
    assert FactorModel.fit(x).loadings.shape[1] in (2, 5)  # three were planted
    noise = np.random.default_rng(0).normal(size=(60, 40))
    strong, weak = GaussianModel.fit(x), GaussianModel.fit(noise)
    assert np.abs(strong.covariances[0] - GaussianModel.fit(x, shrinkage=0.05).covariances[0]).max() < 1e-12
    assert np.abs(weak.covariances[0] - GaussianModel.fit(noise, shrinkage=0.5).covariances[0]).max() < 1e-12


def test_a_setting_is_judged_on_samples_it_has_not_seen_and_cells_it_is_not_shown():
    x, log = factors(100) - factors(100).mean(axis=0), []

    def fit(part, value):
        def restore(shown):
            log.append((part, shown))
            return np.nan_to_num(shown) + value, None

        return restore

    assert best_setting([3.0, 1.0, 0.0, 0.5, 9.0], fit, x, name="value", seed=0) == 0.0
    assert len(log) == 4  # 0.5 does worse than 0: the search has ended
    for part, shown in log:
        assert (len(part), len(shown)) == (80, 20)
        held = [np.flatnonzero(((x == row) | np.isnan(row)).all(axis=1)) for row in shown]
        assert not {float(x[i[0], 0]) for i in held} & set(part[:, 0])
        assert 0.3 < np.isnan(shown).mean() < 0.7
    with pytest.raises(ValueError, match="9 samples are too few to choose value by: pass it"):
        best_setting([1.0], fit, x[:9], name="value", seed=0)


@pytest.mark.parametrize(
    "fit", [lambda x: GaussianModel.fit(x, shrinkage=0.2, n_components=2), lambda x: FactorModel.fit(x, n_factors=2)]
)
def test_a_model_survives_its_state_and_depends_on_nothing_but_its_samples(fit):
    x = holes(factors(60), 0.2)
    model, again = fit(x), fit(x.copy())
    copy = type(model).from_state({name: array.copy() for name, array in model.state().items()})
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, again.state()[name])
    for a, b in zip(model.restore(x), copy.restore(x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_constant_genes_are_restored_as_the_constant():
    x = factors(60, 5)
    x[:, 2] = 0.0
    shown = x[:3].copy()
    shown[:, 2] = np.nan
    for model in (GaussianModel.fit(x, shrinkage=0.1), FactorModel.fit(x, n_factors=2)):
        np.testing.assert_allclose(model.restore(shown)[0][:, 2], 0, atol=0.01)


def test_senseless_settings_are_refused():
    x = factors(12, 5)
    with pytest.raises(ValueError, match="shrinkage is above 0, up to 1, and components are 1 to N; not 0 and 1"):
        GaussianModel.fit(x, shrinkage=0)
    with pytest.raises(ValueError, match=r"components are 1 to N; not 0\.5 and 13"):
        GaussianModel.fit(x, shrinkage=0.5, n_components=13)
    with pytest.raises(ValueError, match="12 samples of 5 genes allow 1 to 4 factors, not 5"):
        FactorModel.fit(x, n_factors=5)
