"""The network on a feature map: correlated genes are neighbours, and training samples alone place them."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

import gexcore as gx
from gexcore.baselines.fmap import FeatureMapCNN, FeatureMapModule, GatedConvolution, Inception, gene_map

OS = gx.Survival("os", time="os_time", event="os_event")
TASKS = [OS, gx.Classification("subtype"), gx.Regression("age")]
TINY = {
    "preset": "quick",
    "filters": 8,
    "inception": 4,
    "gated": 16,
    "dense": 16,
    "n_intervals": 8,
    "max_epochs": 2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def cohort(planted):
    """Three groups of sixteen genes, whose neighbours in the table are not their neighbours in truth."""
    return planted(groups=3, size=16)[:, np.random.default_rng(0).permutation(48)].copy()


@pytest.fixture(scope="module")
def parts(cohort):
    return cohort[:180].copy(), cohort[180:220].copy(), cohort[220:].copy()


@pytest.fixture(scope="module")
def fitted(parts):
    return FeatureMapCNN(TASKS, **TINY).fit(*parts[:2])


def numbers(model, cohort):
    p = model.predict(cohort)
    return np.column_stack([p["os"].risk, p["subtype"].probabilities, p["age"].values, model.embed(cohort)])


# ------------------------------------------------------------------------------------------------ the map


def neighbours(cells, side):
    """Pairs of genes, by position, whose cells share an edge."""
    gene = np.full((side, side), -1)
    gene.flat[cells] = np.arange(len(cells))
    pairs = [(gene[1:], gene[:-1]), (gene[:, 1:], gene[:, :-1])]
    a, b = (np.concatenate([pair[end].ravel() for pair in pairs]) for end in (0, 1))
    both = (a >= 0) & (b >= 0)
    return a[both], b[both]


@pytest.mark.parametrize(("n_genes", "side"), [(4, 2), (5, 3), (36, 6), (37, 7), (1558, 40)])
def test_every_gene_has_a_cell_of_its_own_in_the_smallest_square(n_genes, side):
    cells = gene_map(np.random.default_rng(0).normal(size=(30, n_genes)))
    assert len(set(cells)) == len(cells) == n_genes
    assert 0 <= cells.min() <= cells.max() < side**2


def test_genes_that_lie_on_a_plane_are_found_where_they_lie():
    spot = np.random.default_rng(0).uniform(size=(100, 2))
    covariance = np.exp(-((spot[:, None] - spot[None]) ** 2).sum(2))
    x = np.random.default_rng(1).multivariate_normal(np.zeros(100), covariance, size=500)
    found = np.column_stack(np.divmod(gene_map(x), 10))
    assert spearmanr(pdist(spot), pdist(found)).statistic > 0.8  # no direction of the map has a meaning


def test_neighbouring_cells_hold_correlated_genes():
    x = gx.load_cohort("demo").X.astype(float)
    r = np.corrcoef(x.T)
    near = r[neighbours(gene_map(x), 15)].mean()
    anywhere = r[np.triu_indices(len(r), 1)].mean()
    by_chance = r[neighbours(np.random.default_rng(0).permutation(225)[:200], 15)].mean()
    assert near > anywhere + 0.2
    assert abs(by_chance - anywhere) < 0.05


def test_the_map_depends_neither_on_units_nor_on_the_order_of_genes(cohort):
    x = cohort.X.astype(float)
    cells = gene_map(x)
    np.testing.assert_array_equal(gene_map(x * np.linspace(0.1, 9, 48) + 5), cells)
    order = np.random.default_rng(0).permutation(48)
    np.testing.assert_array_equal(gene_map(x[:, order]), cells[order])


def test_constant_genes_and_holes_have_their_place_too(parts):
    train = parts[0].copy()
    train.X[:, 3] = 1.0
    train.X[::7, 5:20] = np.nan
    with pytest.warns(gx.CohortWarning, match="1 gene is constant"):
        model = FeatureMapCNN(TASKS, **TINY).fit(gx.read_cohort(train))
    assert len(set(model.cells_)) == 48
    assert np.isfinite(numbers(model, parts[2])).all()


def test_a_gene_shows_its_scaled_value_in_its_cell_and_the_rest_is_empty(fitted, parts):
    maps = fitted.inputs(parts[2].X).numpy()
    assert maps.shape == (100, 1, 7, 7)
    shown = maps.reshape(100, 49)
    np.testing.assert_array_equal(shown[:, fitted.cells_], fitted.scaler_.transform(parts[2].X))
    assert not shown[:, np.setdiff1d(np.arange(49), fitted.cells_)].any()


# -------------------------------------------------------------------------------------------- the network


def test_layers_have_the_sizes_of_aggmapnet_and_a_gate(parts):
    module = FeatureMapModule([OS.fit(parts[0].obs)], FeatureMapCNN(OS).settings)
    count = [sum(p.numel() for p in part.parameters()) for part in (*module.features, module.dense, module.heads)]
    taps = 5 * 5 + 3 * 3 + 1
    inception = [48 * 32 * taps + 3 * 32, 96 * 64 * taps + 3 * 64]
    gated, dense = 2 * (192 * 64 * 9 + 64), 64 * 128 + 128
    assert [n for n in count if n] == [48 * 11 * 11 + 48, *inception, gated, dense, 129 * 63]
    x, shapes = torch.rand(2, 1, 40, 40), []
    with torch.inference_mode():
        for layer in module.features:
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
        assert module.embed(torch.rand(2, 1, 40, 40)).shape == (2, 128)
    maps = [(48, 40, 40), (48, 40, 40), (48, 20, 20), (96, 20, 20), (96, 10, 10), (192, 10, 10), (64, 10, 10)]
    assert shapes == [*maps, (64, 1, 1), (64,)]


def test_an_inception_layer_sees_squares_of_five_three_and_one():
    layer, point = Inception(1, 2), torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    for branch in layer.branches:
        branch.weight.data.abs_()
        branch.bias.data.zero_()
    seen = layer(point)[0] > 0  # (6, 9, 9)
    for pair, side in zip(seen.split(2), (5, 3, 1), strict=True):
        expected = torch.zeros(9, 9, dtype=bool)
        expected[4 - side // 2 : 5 + side // 2, 4 - side // 2 : 5 + side // 2] = True
        assert (pair == expected).all()


def test_a_gate_lets_through_all_nothing_or_half():
    layer, x = GatedConvolution(2, 3), torch.randn(1, 2, 5, 5)
    layer.gate.weight.data.zero_()
    for bias, share in ((100.0, 1.0), (-100.0, 0.0), (0.0, 0.5)):
        layer.gate.bias.data.fill_(bias)
        torch.testing.assert_close(layer(x), share * layer.value(x))


# ------------------------------------------------------------------------------------------ what is fitted


def test_validation_and_test_samples_place_no_gene(fitted, parts):
    train, val, test = (part.copy() for part in parts)
    val.X[:] = np.random.default_rng(1).normal(50, 20, size=val.shape)
    spoilt = FeatureMapCNN(TASKS, **TINY).fit(train, val)
    np.testing.assert_array_equal(spoilt.cells_, fitted.cells_)
    np.testing.assert_array_equal(spoilt.inputs(test.X), fitted.inputs(test.X))
    before = numbers(fitted, test)
    test.X[60:] *= 3
    np.testing.assert_array_equal(numbers(fitted, test)[:60], before[:60])
    train.X[:, :16] = np.random.default_rng(2).normal(size=(180, 16))
    assert (FeatureMapCNN(TASKS, **TINY).fit(train, val).cells_ != fitted.cells_).any()


# ------------------------------------------------------------------------------------- files and messages


def test_a_model_file_gives_back_the_model_with_its_map(fitted, parts, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    loaded = FeatureMapCNN.load(tmp_path / "m.safetensors", device="cpu")
    assert loaded.settings == fitted.settings
    np.testing.assert_array_equal(loaded.cells_, fitted.cells_)
    np.testing.assert_array_equal(numbers(loaded, parts[2]), numbers(fitted, parts[2]))
    np.testing.assert_array_equal(numbers(loaded.fit(*parts[:2]), parts[2]), numbers(fitted, parts[2]))


def test_bad_input_is_refused_by_name(parts):
    with pytest.raises(ValueError, match="a map of genes needs four of them or more, but the cohort has 3"):
        FeatureMapCNN(OS, **TINY).fit(parts[0][:, :3].copy())
    with pytest.raises(ValueError, match="kernel_size must be one of 3, 5, 7, 9, 11, 13, not 4"):
        FeatureMapCNN(OS, kernel_size=4)
    with pytest.raises(TypeError, match="there is no setting 'filter'; did you mean 'filters'"):
        FeatureMapCNN(OS, filter=4)
