import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from gexcore.scaling import Scaler

RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.normal(3, 2, (80, 5)), RNG.normal(3, 4, (20, 5))


@pytest.mark.parametrize(("method", "oracle"), [("minmax", MinMaxScaler()), ("zscore", StandardScaler())])
def test_scaling_equals_scikit_learn_on_unseen_samples(method, oracle):
    ours = Scaler.fit(TRAIN, method=method).transform(TEST)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, oracle.fit(TRAIN).transform(TEST), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("method", "oracle"), [("minmax", MinMaxScaler()), ("zscore", StandardScaler())])
def test_missing_cells_do_not_count_and_become_the_training_mean(method, oracle):
    holes = TRAIN.copy()
    holes[::7, 1] = np.nan
    scaler, oracle = Scaler.fit(holes, method=method), oracle.fit(holes)
    np.testing.assert_allclose(scaler.transform(TEST), oracle.transform(TEST), rtol=1e-6, atol=1e-6)
    mean = oracle.transform(np.nanmean(holes, axis=0, keepdims=True))
    np.testing.assert_allclose(scaler.transform(np.full((1, 5), np.nan)), mean, atol=1e-6)


@pytest.mark.parametrize("method", ["minmax", "zscore"])
@pytest.mark.parametrize("clip", [None, 5.0])
@pytest.mark.parametrize("value", [0.1, 3.0, np.nan])
def test_genes_without_variation_in_training_scale_to_zero(method, clip, value):
    x = TRAIN.copy()
    x[:, 2] = value
    scaler = Scaler.fit(x, method=method, clip=clip)
    z = scaler.transform(np.where(np.arange(5) == 2, [[value], [7.0], [np.nan]], 0.0))
    assert (z[:, 2] == 0).all()
    assert np.isfinite(z).all()


def test_clip_bounds_what_comes_out():
    wild = np.array([[-1e9] * 5, [1e9] * 5])
    assert Scaler.fit(TRAIN, method="minmax").transform(wild).max() > 1e8
    np.testing.assert_allclose(
        Scaler.fit(TRAIN, method="minmax", clip=0).transform(wild), [[0] * 5, [1] * 5], atol=1e-6
    )
    np.testing.assert_allclose(Scaler.fit(TRAIN, method="minmax", clip=0.5).transform(wild), [[-0.5] * 5, [1.5] * 5])
    assert np.abs(Scaler.fit(TRAIN, method="zscore", clip=3).transform(wild)).max() <= 3 + 1e-6


@pytest.mark.parametrize("share_of_zeros", [0.0, 0.8])
def test_one_huge_cell_does_not_flatten_a_gene(share_of_zeros):
    x = RNG.normal(8, 1, (200, 1))
    x[: int(200 * share_of_zeros)] = 0
    spoiled = x.copy()
    spoiled[-1] = 36893.0
    clean = Scaler.fit(x, method="zscore", clip=5).transform(x)
    after = Scaler.fit(spoiled, method="zscore", clip=5).transform(spoiled)
    assert np.corrcoef(clean[:-1, 0], after[:-1, 0])[0, 1] > 0.9999
    assert after[:-1].std() > 0.5
    assert after[-1] == after.max() <= 5
    assert Scaler.fit(spoiled, method="zscore").transform(spoiled)[:-1].std() < 0.01


def test_clip_leaves_a_well_behaved_gene_alone():
    plain, clipped = (Scaler.fit(TRAIN, method="zscore", clip=clip).transform(TRAIN) for clip in (None, 5))
    np.testing.assert_array_equal(plain, clipped)


def test_values_far_from_zero_keep_their_differences():
    x = 1e6 + np.arange(10.0)[:, None]
    np.testing.assert_allclose(Scaler.fit(x, method="minmax").transform(x)[:, 0], np.arange(10) / 9, atol=1e-6)


def test_a_scaler_survives_its_state():
    scaler = Scaler.fit(TRAIN, method="zscore", clip=5)
    again = Scaler.from_state({name: array.copy() for name, array in scaler.state().items()}, method="zscore", clip=5)
    np.testing.assert_array_equal(scaler.transform(TEST), again.transform(TEST))


@pytest.mark.parametrize("method", ["minmax", "zscore"])
def test_the_inverse_brings_scaled_values_back_to_their_unit(method):
    x = TRAIN.copy()
    x[:, 2], x[:, 3] = 7.0, np.nan
    scaler = Scaler.fit(x, method=method)
    back = scaler.inverse(scaler.transform(TEST).astype("float64"))
    assert back.dtype == np.float64
    np.testing.assert_allclose(back[:, [0, 1, 4]], TEST[:, [0, 1, 4]], atol=1e-5)
    np.testing.assert_array_equal(back[:, 2], 7.0)  # a constant gene is what it was, whatever is restored of it
    np.testing.assert_array_equal(scaler.inverse(np.full((1, 5), 3.0))[0, 2:4], [7.0, 0.0])
    np.testing.assert_allclose(
        scaler.inverse(scaler.fill), scaler.inverse(scaler.transform(np.full((1, 5), np.nan)))[0]
    )


def test_the_inverse_of_a_cut_value_is_where_it_was_cut():
    scaler = Scaler.fit(TRAIN, method="zscore", clip=2.0)
    back = scaler.inverse(scaler.transform(np.array([[-1e9] * 5, [1e9] * 5])))
    np.testing.assert_allclose(back, [scaler.low, scaler.high], rtol=1e-6)


@pytest.mark.parametrize("clip", [None, 2.0])
def test_standardising_is_scaling_that_leaves_holes(clip):
    holes = TEST.copy()
    holes[::3, 1], holes[:, 4] = np.nan, np.nan
    scaler = Scaler.fit(TRAIN, method="zscore", clip=clip)
    z = scaler.standardise(holes)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(z), np.isnan(holes))
    np.testing.assert_array_equal(z[~np.isnan(holes)], scaler.transform(TEST)[~np.isnan(holes)])


def test_some_genes_scale_as_they_do_among_all():
    scaler = Scaler.fit(TRAIN, method="zscore", clip=2.0)
    few = scaler.of([3, 0])
    np.testing.assert_array_equal(few.transform(TEST[:, [3, 0]]), scaler.transform(TEST)[:, [3, 0]])
    np.testing.assert_array_equal(few.levels, Scaler.fit(TRAIN[:, [3, 0]], method="zscore", clip=2.0).levels)
    assert (few.method, few.clip) == ("zscore", 2.0)
    assert all(len(array) == 2 for array in few.state().values())
    assert len(scaler.shift) == 5


def test_unknown_methods_and_senseless_clips_are_refused():
    with pytest.raises(ValueError, match="method must be 'minmax' or 'zscore', not 'max'"):
        Scaler.fit(TRAIN, method="max")
    with pytest.raises(ValueError, match="clip must be None or a positive number"):
        Scaler.fit(TRAIN, method="zscore", clip=0)


# ------------------------------------------------------------------------------- levels, harmonising


@pytest.mark.parametrize("settings", [{"method": "minmax"}, {"method": "zscore", "clip": 2.0}])
def test_levels_are_65_quantiles_of_the_uncut_training_values(settings):
    x = TRAIN.copy()
    x[::7, 1], x[:, 2] = np.nan, np.nan
    levels = Scaler.fit(x, **settings).levels
    assert levels.shape == (5, 65)
    share = (np.arange(65) + 0.5) / 65
    np.testing.assert_allclose(levels[0], np.quantile(TRAIN[:, 0], share))
    np.testing.assert_allclose(levels[1], np.quantile(x[~np.isnan(x[:, 1]), 1], share))
    assert (levels[2] == 0).all()


def test_the_training_samples_themselves_stay_within_their_outermost_quantiles():
    scaler = Scaler.fit(TRAIN, method="zscore")
    np.testing.assert_allclose(scaler.harmonise(TRAIN, "zscore"), TRAIN, atol=1e-12)
    cut = np.clip(TRAIN, scaler.levels[:, 0], scaler.levels[:, -1])
    np.testing.assert_allclose(scaler.harmonise(TRAIN, "quantile"), cut, atol=1e-12)


@pytest.mark.parametrize("method", ["quantile", "zscore"])
def test_another_unit_does_not_change_what_is_harmonised(method):
    scaler = Scaler.fit(TRAIN, method="zscore")
    one, two = (scaler.harmonise(TEST * unit + zero, method) for unit, zero in [(1, 0), (1000, -7)])
    np.testing.assert_allclose(one, two, atol=1e-9)


@pytest.mark.parametrize("method", ["quantile", "zscore"])
def test_one_absurd_sample_does_not_move_the_others(method):
    scaler, other = Scaler.fit(TRAIN, method="zscore"), np.random.default_rng(1).normal(3, 4, (400, 5))
    spoiled = other.copy()
    spoiled[0] = 1e6
    clean, after = (scaler.harmonise(x, method)[1:] for x in (other, spoiled))
    assert np.abs(after - clean).mean() < 0.02  # a hundredth of the standard deviation of the training samples


def test_equal_values_share_the_mean_of_their_ranks():
    scaler = Scaler.fit(np.arange(131.0)[:, None], method="minmax")
    half = np.repeat([[0.0], [5.0]], [65, 66], axis=0)  # 32 of the 65 quantiles are 0, 33 are 5
    mapped = scaler.harmonise(half, "quantile")
    assert set(np.round(mapped[:, 0], 9)) == {np.mean(np.arange(1, 65, 2)), np.mean(np.arange(65, 131, 2))}


@pytest.mark.parametrize("method", ["quantile", "zscore"])
def test_genes_constant_in_either_cohort_become_its_mean_and_holes_stay(method):
    x, y = TRAIN.copy(), TEST.copy()
    x[:, 0], y[:, 1], y[3, :3] = 4, 9, np.nan
    y[:, 4] = np.nan
    mapped = Scaler.fit(x, method="zscore").harmonise(y, method)
    np.testing.assert_allclose(np.delete(mapped[:, 0], 3), 4)
    np.testing.assert_allclose(np.delete(mapped[:, 1], 3), TRAIN[:, 1].mean(), atol=0.1)
    np.testing.assert_array_equal(np.isnan(mapped), np.isnan(y))


def test_a_scaler_harmonises_alike_after_its_state():
    scaler = Scaler.fit(TRAIN, method="minmax", clip=0)
    again = Scaler.from_state(scaler.state(), method="minmax", clip=0)
    np.testing.assert_array_equal(scaler.harmonise(TEST, "quantile"), again.harmonise(TEST, "quantile"))


def test_unknown_ways_and_too_few_samples_are_refused():
    scaler = Scaler.fit(TRAIN, method="zscore")
    with pytest.raises(ValueError, match="harmonise must be 'quantile' or 'zscore', not 'rank'"):
        scaler.harmonise(TEST, "rank")
    with pytest.raises(ValueError, match="9 samples are too few to harmonise"):
        scaler.harmonise(TEST[:9], "quantile")
