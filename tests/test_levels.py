"""Levels and normal scores: against ranks and the normal distribution of scipy, and sums over drawn scores."""

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata

from gexcore.levels import Levels, expected_value, level_bounds, level_loss, level_of

RNG = np.random.default_rng(0)
L = 64
BOUNDS = level_bounds(L)


def fitted(*columns, n_levels=L):
    return Levels.fit(np.column_stack(columns), n_levels=n_levels)


def skewed(n=500, genes=4, seed=0):
    """Genes far from normal, each in its own unit."""
    return np.exp(np.random.default_rng(seed).normal(size=(n, genes))) * [1, 3, 0.1, 50][:genes] + 7


# ------------------------------------------------------------------------------------------ normal scores


def test_scores_of_training_values_are_the_normal_scores_of_their_ranks():
    # 65 values are the bounds of 64 levels themselves: nothing is interpolated
    x = np.exp(RNG.normal(size=65))
    share = np.clip((rankdata(x) - 1) / 64, 0.5 / 65, 1 - 0.5 / 65)
    score = fitted(x).score(x[:, None])[:, 0]
    assert score.dtype == np.float32
    np.testing.assert_allclose(score, norm.ppf(share), atol=1e-6)


@pytest.mark.parametrize("n", [40, 300, 1001])
def test_between_the_bounds_a_score_is_off_by_less_than_a_level(n):
    x = np.exp(RNG.normal(size=(n, 3)))
    share = (rankdata(x, axis=0) - 1) / (n - 1)
    found = norm.cdf(Levels.fit(x, n_levels=L).score(x))
    assert np.abs(found - np.clip(share, 0.5 / n, 1 - 0.5 / n)).max() < 1 / L
    assert (np.diff(np.take_along_axis(found, x.argsort(axis=0), 0), axis=0) >= 0).all()


def test_a_change_of_unit_or_any_rising_function_leaves_scores_alone():
    x = RNG.normal(size=(65, 1))  # a rising function keeps the bounds, which here are values
    for changed in (x * 1000 - 3, np.exp(x), x**3):
        np.testing.assert_allclose(fitted(changed).score(changed), fitted(x).score(x), atol=1e-6)


def test_values_between_and_beyond_those_of_training():
    levels = fitted(np.arange(65.0))
    found = levels.score(np.array([[10.5], [-1e9], [1e9], [np.nan]]))[:, 0]
    np.testing.assert_allclose(found[:3], norm.ppf([10.5 / 64, 0.5 / 65, 1 - 0.5 / 65]), atol=1e-6)
    assert np.isnan(found[3])


def test_equal_values_share_the_middle_of_their_places():
    zeros = np.concatenate([np.zeros(33), np.arange(1.0, 33)])  # places 0 to 32 of 64, and the rest one by one
    both = np.concatenate([np.full(33, -1.0), np.ones(32)])
    score = fitted(zeros, both).score(np.array([[0.0, -1.0], [1.0, 1.0], [32.0, 0.0]]))
    np.testing.assert_allclose(score[:, 0], norm.ppf([16 / 64, 33 / 64, 1 - 0.5 / 65]), atol=1e-6)
    np.testing.assert_allclose(score[:2, 1], norm.ppf([16 / 64, 48.5 / 64]), atol=1e-6)
    assert score[0, 1] < score[2, 1] < score[1, 1]


def test_a_constant_gene_has_score_zero_whatever_the_value():
    np.testing.assert_allclose(fitted(np.full(50, 3.0)).score(np.array([[3.0], [9.0], [-9.0]])), 0, atol=1e-6)


def test_missing_training_values_count_for_nothing():
    x = skewed()
    holes = x.copy()
    holes[RNG.random(x.shape) < 0.4] = np.nan
    whole, levels = Levels.fit(holes, n_levels=L), holes[:, 2]
    alone = fitted(levels[~np.isnan(levels)])
    for name, array in alone.state().items():
        np.testing.assert_allclose(getattr(whole, name)[2:3], array, err_msg=name)
    score = whole.score(holes)
    np.testing.assert_array_equal(np.isnan(score), np.isnan(holes))
    assert np.abs(np.nanmean(score, axis=0)).max() < 0.02
    np.testing.assert_allclose(np.nanstd(score, axis=0), 1, atol=0.03)


def test_a_gene_with_a_single_value_is_a_constant():
    levels = fitted([np.nan, 4.0, np.nan])
    np.testing.assert_array_equal(levels.values, np.full((1, L), 4.0))
    np.testing.assert_allclose(levels.score(np.array([[4.0], [5.0]])), 0, atol=1e-6)


# ----------------------------------------------------------------------------------------- the way back


@pytest.mark.parametrize("n", [30, 64, 500])
def test_levels_hold_equal_shares_and_their_means_average_to_the_training_mean(n):
    x = skewed(n)
    levels = Levels.fit(x, n_levels=L)
    np.testing.assert_allclose(levels.values.mean(axis=1), x.mean(axis=0))
    assert (np.diff(levels.values, axis=1) >= -1e-9).all()
    np.testing.assert_array_equal(levels.counts, n)
    if n == L:  # each value is a level of its own
        np.testing.assert_allclose(levels.values, np.sort(x, axis=0).T)


def test_levels_of_many_values_are_the_means_of_sorted_blocks():
    x = skewed(640)
    expected = np.sort(x, axis=0).T.reshape(4, L, 10).mean(axis=2)
    np.testing.assert_allclose(Levels.fit(x, n_levels=L).values, expected)


def test_bounds_part_the_normal_distribution_into_equal_shares():
    np.testing.assert_allclose(np.diff(norm.cdf(BOUNDS), prepend=0, append=1), 1 / L, atol=1e-6)
    score = torch.randn(20000, dtype=torch.float64)
    level = np.floor(norm.cdf(score) * L)
    np.testing.assert_array_equal(level_of(score, BOUNDS.double()), level)
    assert level_of(torch.tensor([-99.0, 99.0]), BOUNDS).tolist() == [0, L - 1]


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.7, 0.3), (-2.5, 0.5), (3.5, 2.0), (0.2, 0.01)])
def test_the_expected_value_and_its_spread_are_those_of_drawn_scores(mean, sd):
    values = torch.from_numpy(Levels.fit(skewed(), n_levels=L).values)  # (4, L)
    # a hundred thousand equally likely scores, one from each equal share of the distribution
    drawn = torch.from_numpy(norm.ppf((np.arange(100_000) + 0.5) / 100_000, mean, sd))
    drawn = values[:, level_of(drawn, BOUNDS.double())]
    args = (torch.full((4,), number, dtype=torch.float64) for number in (mean, sd))
    expectation, spread = expected_value(*args, values, BOUNDS.double())
    np.testing.assert_allclose(expectation, drawn.mean(1), rtol=1e-4)
    np.testing.assert_allclose(spread, drawn.std(1), rtol=1e-2, atol=1e-6)


def test_of_a_score_about_which_nothing_is_known_the_training_mean_is_expected():
    x = skewed()
    values = torch.from_numpy(Levels.fit(x, n_levels=L).values).float()
    expectation, spread = expected_value(torch.zeros(4), torch.ones(4), values, BOUNDS)
    np.testing.assert_allclose(expectation, x.mean(axis=0), rtol=1e-5)
    assert (spread < torch.from_numpy(x.std(axis=0))).all()  # within a level all values count as one
    np.testing.assert_allclose(spread, x.std(axis=0), rtol=0.1)


def test_a_score_known_exactly_has_the_value_of_its_level():
    values = torch.arange(float(L)) ** 2
    middle = torch.from_numpy(norm.ppf((np.arange(L) + 0.5) / L)).float()
    expectation, spread = expected_value(middle, torch.full((L,), 1e-4), values.expand(L, L), BOUNDS)
    np.testing.assert_allclose(expectation, values, rtol=1e-5)
    np.testing.assert_allclose(spread, 0, atol=1e-2)


# --------------------------------------------------------------------------------------------- the loss


def log_probability(mean, sd, level):
    """Of a level, by scipy in the tail where it is exact."""
    edges = norm.ppf(np.arange(L + 1) / L)
    low, high = (edges[level] - mean) / sd, (edges[level + 1] - mean) / sd
    low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)
    return norm.logcdf(high) + np.log1p(-np.exp(norm.logcdf(low) - norm.logcdf(high)))


@pytest.mark.parametrize("sd", [0.3, 1.0, 5.0])
def test_the_loss_is_minus_the_log_probability_of_the_level(sd):
    mean, level = np.meshgrid(np.linspace(-4, 4, 17), np.arange(L), indexing="ij")
    expected = log_probability(mean, sd, level)
    loss = level_loss(torch.from_numpy(mean).float(), torch.tensor(sd), torch.from_numpy(level), BOUNDS)
    possible = expected > np.log(1e-11)  # less likely levels all count as one of 1e-12
    assert possible.mean() > 0.2
    np.testing.assert_allclose(loss.numpy()[possible], -expected[possible], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(loss.numpy()[expected < np.log(1e-13)], -np.log(1e-12), rtol=1e-3)


def test_the_probabilities_of_all_levels_sum_to_one():
    mean, sd = torch.tensor([[0.3], [-6.0], [2.0]]), torch.tensor([[0.5], [1.0], [40.0]])
    loss = level_loss(mean, sd, torch.arange(L).expand(3, L), BOUNDS)
    np.testing.assert_allclose((-loss).exp().sum(1), 1, rtol=1e-4)


def test_both_tails_are_treated_alike():
    level, mean = torch.arange(L), torch.linspace(-7, 7, L)
    mirrored = level_loss(-mean, torch.tensor(0.8), L - 1 - level, BOUNDS)
    np.testing.assert_allclose(level_loss(mean, torch.tensor(0.8), level, BOUNDS), mirrored, rtol=1e-3)


def test_gradients_are_finite_everywhere_and_those_of_differences():
    mean, sd = torch.cartesian_prod(torch.tensor([-50, -3, 0, 3, 50.0]), torch.tensor([1e-3, 1, 50])).T
    for level in (0, 1, 31, L - 1):
        inputs = [t.clone().requires_grad_() for t in (mean, sd)]
        loss = level_loss(*inputs, torch.full(mean.shape, level), BOUNDS)
        loss.sum().backward()
        assert loss.isfinite().all()
        assert all(t.grad.isfinite().all() for t in inputs)
    point = [torch.tensor([0.4, -1.0, 3.0], dtype=torch.float64, requires_grad=True) for _ in range(2)]
    point[1] = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    level = torch.tensor([40, 3, L - 1])
    assert torch.autograd.gradcheck(lambda m, s: level_loss(m, s, level, BOUNDS.double()), point)
    values = torch.arange(float(L), dtype=torch.float64).expand(3, L)
    assert torch.autograd.gradcheck(lambda m, s: expected_value(m, s, values, BOUNDS.double()), point)


# -------------------------------------------------------------------------------------------- keeping


def test_levels_survive_their_state():
    levels = Levels.fit(skewed(), n_levels=16)
    again = Levels.from_state({name: array.copy() for name, array in levels.state().items()})
    x = skewed(seed=1)
    np.testing.assert_array_equal(levels.score(x), again.score(x))
    np.testing.assert_array_equal(levels.values, again.values)
    assert levels.edges.shape == (4, 17)
