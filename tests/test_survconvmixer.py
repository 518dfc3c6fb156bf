"""SurvConvMixer: which gene stands where, what the network makes of it, and that it learns what a gene set tells."""

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines.utils import concordance_index
from scipy.signal import correlate2d
from scipy.special import erf

import gexcore as gx
from gexcore.baselines.survconvmixer import (
    MixerBlock,
    SurvConvMixer,
    SurvConvMixerModule,
    side_of,
    tile_image,
)
from gexcore.tasks import CohortWarning

OS = gx.Survival("os", time="os_time", event="os_event")
TASKS = [OS, gx.Classification("subtype"), gx.Regression("age")]
TINY = {"preset": "quick", "filters": 8, "hidden": (), "n_intervals": 8, "max_epochs": 2, "device": "cpu"}
LEARNING = {**TINY, "max_epochs": 20, "learning_rate": 0.01, "averaging": 0.9, "head_dropout": 0.2}
SETS = {f"S{k}": [f"g{j}" for j in range(8 * k, 8 * k + 8)] for k in range(6)} | {"mixed": ["g0", "g9", "g40"]}


@pytest.fixture(scope="module")
def parts(planted):
    """Six sets of eight genes, and four genes that are in no set."""
    cohort = planted(groups=6, size=8, free=4)
    return cohort[:180].copy(), cohort[180:220].copy(), cohort[220:].copy()


@pytest.fixture(scope="module")
def fitted(parts):
    return SurvConvMixer(TASKS, gene_sets=SETS, **TINY).fit(*parts[:2])


def numbers(model, cohort):
    p = model.predict(cohort)
    return np.column_stack([p["os"].risk, p["subtype"].probabilities, p["age"].values, model.embed(cohort)])


# ---------------------------------------------------------------------------------------------- the image


def test_tiles_and_their_genes_run_row_by_row_and_the_rest_is_empty():
    expected = [
        [0, 1, 5, -1],
        [2, -1, -1, -1],
        [3, 4, -1, -1],
        [-1, -1, -1, -1],
    ]
    np.testing.assert_array_equal(tile_image([[0, 1, 2], [5], [3, 4]]), expected)


def test_forty_sets_of_46_genes_make_the_image_of_the_paper():
    sizes = [46, *range(1, 40)]
    image = tile_image([range(size) for size in sizes])
    assert image.shape == (49, 49)
    assert (image >= 0).sum() == sum(sizes)
    assert (image[35:42, 35:] == -1).all()  # the last two tiles of the sixth row
    assert (image[42:] == -1).all()  # and the whole seventh
    assert [side_of(n) for n in (1, 2, 4, 5, 9, 10, 49, 50)] == [1, 2, 2, 3, 3, 4, 7, 8]


def test_genes_of_a_tile_stand_by_their_mean_in_training(parts):
    train, val, test = (part.copy() for part in parts)
    train.X[::5, :30] = np.nan
    val.X, test.X = -val.X, -test.X
    model = SurvConvMixer(TASKS, gene_sets=SETS, **TINY, scaling="minmax", scaling_clip=None).fit(train, val)
    mean = pd.Series(np.nanmean(train.X.astype(float), axis=0), index=train.var_names)
    assert model.tiles_ == {
        name: mean[genes].sort_values(ascending=False).index.tolist() for name, genes in SETS.items()
    }


def test_every_gene_stands_in_each_of_its_sets_with_its_scaled_value(fitted, parts):
    test = parts[2]
    image = fitted.inputs(test.X).numpy()  # 7 sets of up to 8 genes: 3 x 3 tiles of 3 x 3 pixels
    assert image.shape == (test.n_obs, 1, 9, 9)
    tiles = image.reshape(-1, 3, 3, 3, 3).swapaxes(2, 3).reshape(-1, 9, 9)
    scaled = pd.DataFrame(fitted.scaler_.transform(test.X), columns=test.var_names)
    for tile, genes in zip(tiles.swapaxes(0, 1), fitted.tiles_.values(), strict=False):
        np.testing.assert_array_equal(tile[:, : len(genes)], scaled[genes])
        assert not tile[:, len(genes) :].any()
    assert not tiles[:, 7:].any()


# -------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize(("filters", "kernel"), [(16, 3), (64, 5), (256, 7)])
def test_layers_have_the_parameters_of_the_paper(parts, filters, kernel):
    settings = SurvConvMixer(OS, gene_sets=SETS, filters=filters, kernel_size=kernel).settings
    module = SurvConvMixerModule(7, 40, [OS.fit(parts[0].obs)], settings)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in module.named_children()}
    norm = 2 * filters
    assert count["stem"] == (7 * 7 + 1) * filters + norm
    assert count["blocks"] == 2 * ((kernel**2 + 1) * filters + norm + (filters + 1) * filters + norm)
    assert count["heads"] == (40 * filters + 1) * 63  # 9 of the 49 tiles are empty; 64 grid edges
    with torch.inference_mode():
        image = torch.rand(2, 1, 49, 49)
        assert module.stem(image).shape == module.blocks(module.stem(image)).shape == (2, filters, 7, 7)
        assert module.embed(image).shape == (2, 40 * filters)


def test_a_block_is_what_the_equations_say():
    block, x = MixerBlock(3, 3).eval(), torch.randn(1, 3, 4, 4)
    for norm in (block.depthwise[2], block.pointwise[2]):
        norm.running_mean.uniform_(-1, 1), norm.running_var.uniform_(0.5, 2)
    weights = {name: tensor.double().numpy() for name, tensor in block.state_dict().items()}

    def activated(z, name):
        z = z * (1 + erf(z / np.sqrt(2))) / 2
        mean, var = (weights[f"{name}.2.running_{moment}"][:, None, None] for moment in ("mean", "var"))
        return (z - mean) / np.sqrt(var + 1e-5)

    image = x[0].double().numpy()
    kernel, shift = weights["depthwise.0.weight"][:, 0], weights["depthwise.0.bias"]
    spatial = np.stack([correlate2d(a, k, mode="same") + b for a, k, b in zip(image, kernel, shift, strict=True)])
    mixed = image + activated(spatial, "depthwise")
    across = np.einsum("oi,ihw->ohw", weights["pointwise.0.weight"][..., 0, 0], mixed)
    expected = activated(across + weights["pointwise.0.bias"][:, None, None], "pointwise")
    with torch.inference_mode():
        np.testing.assert_allclose(block(x)[0], expected, atol=1e-5)


def test_a_gene_is_seen_first_in_the_tiles_of_its_sets_alone(fitted, parts):
    test, stem = parts[2], fitted.fitted_module().stem
    other = test.X.copy()
    other[:, test.var_names.get_loc("g9")] += 1  # in set 1 and in the mixed one, which is the seventh
    with torch.inference_mode():
        changed = (stem(fitted.inputs(other)) != stem(fitted.inputs(test.X))).any(dim=(0, 1))
    np.testing.assert_array_equal(changed, [[False, True, False], [False, False, False], [True, False, False]])


def test_what_the_blocks_make_of_empty_tiles_changes_no_output(fitted, parts):
    module, before = fitted.fitted_module(), numbers(fitted, parts[2])

    def spoil(rows, columns):
        def hook(_module, _inputs, x):
            x = x.clone()
            x[:, :, rows, columns] = 1e6
            return x

        handle = module.blocks.register_forward_hook(hook)
        after = numbers(fitted, parts[2])
        handle.remove()
        return after

    np.testing.assert_array_equal(spoil(2, slice(1, None)), before)  # the eighth and the ninth tile
    assert (spoil(2, slice(1)) != before).any()  # the seventh holds a set


def test_pixels_without_a_gene_and_genes_without_a_set_change_no_output(parts):
    sets = {name: genes for name, genes in SETS.items() if name != "mixed"}
    model = SurvConvMixer(TASKS, gene_sets=sets, **TINY).fit(*parts[:2])
    before, other = numbers(model, parts[2]), parts[2].copy()
    other.X[:, 48:] += 100
    np.testing.assert_array_equal(numbers(model, other), before)
    weight = model.fitted_module().stem[0].weight.data
    weight[:, 0, 2, 2] += 100  # the ninth pixel of tiles of eight genes
    np.testing.assert_array_equal(numbers(model, parts[2]), before)
    weight[:, 0, 2, 1] += 100
    assert (numbers(model, parts[2]) != before).any()


# ---------------------------------------------------------------------------------------- what is learned


def test_what_gene_sets_tell_of_survival_class_and_number_is_learned_together(parts):
    train, val, test = parts
    p = SurvConvMixer(TASKS, gene_sets=SETS, **LEARNING).fit(train, val).predict(test)
    assert concordance_index(test.obs["os_time"], -p["os"].risk, test.obs["os_event"]) > 0.7  # null: 0.5
    most = test.obs["subtype"].value_counts(normalize=True).max()
    assert (p["subtype"].labels == test.obs["subtype"]).mean() > most + 0.2
    assert p["age"].values.corr(test.obs["age"]) > 0.7  # null: 0


def test_validation_and_test_samples_lay_out_nothing(fitted, parts):
    train, val, test = (part.copy() for part in parts)
    val.X[:] = np.random.default_rng(1).normal(50, 20, size=val.shape)
    spoilt = SurvConvMixer(TASKS, gene_sets=SETS, **TINY).fit(train, val)
    assert spoilt.tiles_ == fitted.tiles_
    np.testing.assert_array_equal(spoilt.inputs(test.X), fitted.inputs(test.X))
    before = numbers(fitted, test)
    test.X[60:] *= 3
    np.testing.assert_array_equal(numbers(fitted, test)[:60], before[:60])


# ------------------------------------------------------------------------------------- files and messages


def test_a_model_file_gives_back_the_model_with_its_gene_sets(fitted, parts, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    loaded = SurvConvMixer.load(tmp_path / "m.safetensors", device="cpu")
    assert loaded.gene_sets == SETS
    assert loaded.tiles_ == fitted.tiles_
    np.testing.assert_array_equal(numbers(loaded, parts[2]), numbers(fitted, parts[2]))
    np.testing.assert_array_equal(numbers(loaded.fit(*parts[:2]), parts[2]), numbers(fitted, parts[2]))


def test_gene_sets_may_be_a_file(tmp_path):
    lines = ["\t".join([name, "simulated", *genes]) for name, genes in SETS.items()]
    (tmp_path / "sets.gmt").write_text("\n".join(lines))
    assert SurvConvMixer(OS, gene_sets=tmp_path / "sets.gmt").gene_sets == SETS


def test_sets_without_a_gene_of_the_cohort_are_left_out_with_a_warning(fitted, parts, tmp_path):
    strange = {"far": ["x1"], **SETS, "away": ["x1", "x2"]}
    with pytest.warns(CohortWarning, match="2 of 9 gene sets share no gene with the cohort, first far, away; left out"):
        model = SurvConvMixer(TASKS, gene_sets=strange, **TINY).fit(*parts[:2])
    assert model.tiles_ == fitted.tiles_
    np.testing.assert_array_equal(numbers(model, parts[2]), numbers(fitted, parts[2]))
    model.save(tmp_path / "m.safetensors")
    SurvConvMixer.load(tmp_path / "m.safetensors")  # says nothing more


def test_bad_input_is_refused_by_name(parts):
    with pytest.raises(ValueError, match="the 1 gene sets share no gene with the cohort: the sets hold TP53, the coh"):
        SurvConvMixer(OS, gene_sets={"p53": ["TP53"]}, **TINY).fit(parts[0])
    with pytest.raises(ValueError, match="kernel_size must be one of 3, 5, 7, not 4"):
        SurvConvMixer(OS, gene_sets=SETS, kernel_size=4)
    with pytest.raises(TypeError, match="there is no setting 'filter'; did you mean 'filters'"):
        SurvConvMixer(OS, gene_sets=SETS, filter=4)
