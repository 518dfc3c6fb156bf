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


def test_unknown_methods_and_senseless_clips_are_refused():
    with pytest.raises(ValueError, match="method must be 'minmax' or 'zscore', not 'max'"):
        Scaler.fit(TRAIN, method="max")
    with pytest.raises(ValueError, match="clip must be None or a positive number"):
        Scaler.fit(TRAIN, method="zscore", clip=0)
