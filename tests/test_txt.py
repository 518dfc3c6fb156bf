"""The TxT estimator: what it promises to anyone who fits it, and that it learns what was planted."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import gexcore as gx
from gexcore.txt import PRESETS, TxTSettings

TASKS = [
    gx.Survival("os", time="os_time", event="os_event"),
    gx.Survival("rfs", time="rfs_time", event="rfs_event"),
    gx.Classification("subtype"),
    gx.Classification("grade"),
    gx.Regression("age"),
]
TINY = {"preset": "quick", "n_layers": 1, "d_model": 8, "n_heads": 2, "d_ff": 8, "max_epochs": 2, "device": "cpu"}
STILL = {**TINY, "max_epochs": 1, "learning_rate": 1e-12}  # fitted, and where it started


@pytest.fixture(scope="module")
def cohort():
    return gx.load_cohort("demo")[:, :40].copy()


@pytest.fixture(scope="module")
def parts(cohort):
    return gx.split(cohort, TASKS, seed=0)


@pytest.fixture(scope="module")
def fitted(parts):
    return gx.TxT(TASKS, **TINY).fit(parts[0], parts[1])


def frames(prediction):
    """Every table of a prediction, by task and kind."""
    return {
        (name, kind): value
        for name, p in prediction.items()
        for kind, value in vars(p).items()
        if isinstance(value, pd.Series | pd.DataFrame)
    }


def same(a, b, **tolerance):
    a, b = frames(a), frames(b)
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_allclose(a[key], b[key].reindex_like(a[key]), **(tolerance or {"rtol": 0, "atol": 0}))


def test_every_task_is_predicted_for_every_sample_by_id(fitted, parts):
    test = parts[2]
    prediction = fitted.predict(test)
    assert list(prediction) == [t.name for t in TASKS]
    assert prediction["os"].risk.index.equals(test.obs_names)
    assert prediction["rfs"].survival.columns.equals(test.obs_names)
    assert (prediction["os"].survival.iloc[0] == 1).all()
    np.testing.assert_allclose(prediction["grade"].probabilities.sum(axis=1), 1)
    assert prediction["age"].values.between(20, 100).all()  # years, not standard deviations
    assert fitted.embed(test).index.equals(test.obs_names)


def test_a_saved_model_predicts_the_same_bits_in_a_new_process(fitted, parts, tmp_path):
    fitted.save(tmp_path / "txt.safetensors")
    parts[2].write_h5ad(tmp_path / "test.h5ad")
    code = (
        "import gexcore as gx, sys; model = gx.TxT.load(sys.argv[1] + '/txt.safetensors', device='cpu');"
        "p = model.predict(sys.argv[1] + '/test.h5ad'); p['os'].survival.to_pickle(sys.argv[1] + '/os.pkl');"
        "p['age'].values.to_pickle(sys.argv[1] + '/age.pkl')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    here = fitted.predict(parts[2])
    pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "os.pkl"), here["os"].survival, check_exact=True)
    pd.testing.assert_series_equal(pd.read_pickle(tmp_path / "age.pkl"), here["age"].values, check_exact=True)
    loaded = gx.TxT.load(tmp_path / "txt.safetensors")
    assert loaded.settings == fitted.settings
    assert loaded.tasks == fitted.tasks
    pd.testing.assert_frame_equal(loaded.history_, fitted.history_)


def test_partial_labels_train_and_a_task_without_labels_in_a_batch_is_left_out(parts):
    train = parts[0].copy()
    train.obs.loc[train.obs_names[5:], "grade"] = np.nan
    train.obs.loc[train.obs_names[10:], ["os_time", "os_event"]] = np.nan
    train.obs.loc[train.obs_names[:10], "os_event"] = 1.0
    train.obs.loc[train.obs_names[:4], "grade"] = [1, 1, 2, 2]
    model = gx.TxT(TASKS, **TINY, batch_size=16).fit(train)
    assert model.history_["loss"].notna().all()


def test_missing_expression_counts_as_the_training_mean(fitted, parts):
    test = parts[2].copy()
    gene = fitted.genes_[3]
    test.X[:, 3] = np.nan
    mean = parts[2].copy()
    mean.X[:, 3] = np.float32(fitted.scaler_.shift[3] + fitted.scaler_.fill[3] / fitted.scaler_.factor[3])
    same(fitted.predict(test), fitted.predict(mean), rtol=1e-4, atol=1e-4)
    with pytest.warns(gx.CohortWarning, match=f"lacks 1 of 40 genes .*{gene}"):
        absent = fitted.predict(parts[2][:, [g for g in fitted.genes_ if g != gene]].copy())
    same(absent, fitted.predict(test))


# ------------------------------------------------------------------------------------------- gene vectors


def vectors_of(genes, width, seed=0):
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(len(genes), width)), index=genes)


def start_of(model, genes):
    return pd.DataFrame(model.fitted_module().encoder.genes.detach().numpy(), index=genes)


def test_gene_vectors_start_where_they_are_given_whatever_their_order_and_surplus(parts):
    genes = parts[0].var_names
    vectors = vectors_of([*genes[::-1], "not in the cohort"], 6)
    model = gx.TxT(TASKS, gene_embedding=vectors, **STILL).fit(parts[0], parts[1])
    np.testing.assert_allclose(start_of(model, genes), vectors.loc[genes], rtol=1e-5, atol=1e-9)
    moved = gx.TxT(TASKS, gene_embedding=vectors, **TINY).fit(parts[0], parts[1])
    assert (start_of(moved, genes) - vectors.loc[genes]).abs().to_numpy().max() > 1e-3  # they are trained as well


def test_genes_without_a_vector_start_at_the_mean_of_all_and_are_named(parts):
    genes = parts[0].var_names
    vectors = vectors_of(genes[:0:-1], 6)
    with pytest.warns(gx.CohortWarning, match=f"1 of 40 genes have no vector .{genes[0]}.; they get the mean"):
        model = gx.TxT(TASKS, gene_embedding=vectors, **STILL).fit(parts[0], parts[1])
    start = start_of(model, genes)
    np.testing.assert_allclose(start.loc[vectors.index], vectors, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(start.loc[genes[0]], vectors.mean(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="gene vectors and cohort share no gene: the vectors are of x, y"):
        gx.TxT(TASKS, gene_embedding=vectors_of(["x", "y"], 6), **TINY).fit(parts[0], parts[1])


@pytest.mark.parametrize("width", [2, 5, 24])  # attention is 8 wide
def test_gene_vectors_of_any_width_train_and_travel_with_the_model(parts, tmp_path, width):
    model = gx.TxT(TASKS, gene_embedding=vectors_of(parts[0].var_names, width), **TINY).fit(parts[0], parts[1])
    model.save(tmp_path / "m.safetensors")
    loaded = gx.TxT.load(tmp_path / "m.safetensors", device="cpu")
    assert start_of(loaded, loaded.genes_).shape == (40, width)
    same(loaded.predict(parts[2]), model.predict(parts[2]))


def test_the_first_loss_is_one_for_every_task(parts):
    # Heads start at the null prediction, and losses are in its units.
    model = gx.TxT(TASKS, **STILL).fit(parts[0])
    np.testing.assert_allclose(model.history_["loss"], 1, atol=1e-3)


def test_paper_settings_are_the_published_ones():
    s = gx.TxT(TASKS).settings
    assert PRESETS["paper"] == {}
    assert s == TxTSettings()
    assert (s.n_layers, s.n_heads, s.d_model, s.d_ff, s.dropout) == (8, 4, 64, 256, 0.1)
    assert (s.learning_rate, s.batch_size, s.patience, s.max_epochs, s.weight_decay) == (1e-4, 64, 30, 1000, 0.0)
    assert (s.pooling, s.hidden, s.scaling, s.n_intervals, s.grid) == ("flatten", (128, 64), "minmax", 64, "uniform")
    assert (s.value_path, s.norm_first, s.expression_term, s.multitask) == (False, True, True, "pcgrad")
    assert (s.attention, s.checkpointing) == ("full", False)


@pytest.mark.parametrize("value_path", [False, True])
@pytest.mark.parametrize("expression_term", [False, True])
def test_only_expression_tells_patients_apart_and_its_paths_are_saved(parts, tmp_path, expression_term, value_path):
    paths = {"expression_term": expression_term, "value_path": value_path}
    model = gx.TxT(TASKS, **{**TINY, **paths}).fit(parts[0], parts[1])
    prediction = model.predict(parts[2])
    assert (prediction["os"].risk.nunique() > 1) == (expression_term or value_path)
    model.save(tmp_path / "m.safetensors")
    loaded = gx.TxT.load(tmp_path / "m.safetensors", device="cpu")
    assert loaded.settings == model.settings
    same(loaded.predict(parts[2]), prediction)


@pytest.mark.parametrize("name", ["expression_term", "value_path", "norm_first", "checkpointing"])
@pytest.mark.parametrize("value", [1.5, "no", None, -1])
def test_a_switch_is_true_or_false(name, value):
    with pytest.raises(ValueError, match=f"{name} must be one of True, False, not {value!r}"):
        gx.TxT(TASKS, **{name: value})


def test_the_multitask_strategy_shapes_training_and_is_saved(parts, fitted, tmp_path):
    model = gx.TxT(TASKS, **{**TINY, "multitask": "pcgrad"}).fit(parts[0], parts[1])
    prediction = model.predict(parts[2])
    assert not prediction["os"].risk.equals(fitted.predict(parts[2])["os"].risk)  # fitted to the mean of the losses
    model.save(tmp_path / "m.safetensors")
    loaded = gx.TxT.load(tmp_path / "m.safetensors", device="cpu")
    assert loaded.settings.multitask == "pcgrad"
    same(loaded.predict(parts[2]), prediction)
    alone = [gx.TxT(TASKS[0], **{**TINY, "multitask": m}).fit(*parts[:2]).predict(parts[2]) for m in ("equal", "mgda")]
    same(*alone)  # one task: nothing to combine
    with pytest.raises(ValueError, match=r"multitask must be one of equal, uncertainty, .*, not 'sum'"):
        gx.TxT(TASKS, multitask="sum")


def test_linear_attention_trains_and_its_draws_are_saved(parts, tmp_path):
    model = gx.TxT(TASKS, attention="linear", n_features=16, **TINY).fit(parts[0], parts[1])
    assert model.module_.encoder.blocks[0].attention.draws.shape == (2, 16, 5)
    model.save(tmp_path / "m.safetensors")
    loaded = gx.TxT.load(tmp_path / "m.safetensors", device="cpu")
    same(loaded.predict(parts[2]), model.predict(parts[2]))
    received = gx.interpret.received_attention(model, parts[2])
    np.testing.assert_allclose(received.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("multitask", ["pcgrad", "pcgrad-fast", "equal"])
def test_checkpointing_changes_no_bit_of_a_training(parts, multitask):
    settings = {**TINY, "multitask": multitask, "dropout": 0.2, "n_layers": 2}
    models = [gx.TxT(TASKS, checkpointing=c, **settings).fit(parts[0], parts[1]) for c in (False, True)]
    same(*(model.predict(parts[2]) for model in models))


@pytest.mark.parametrize("pooling", ["flatten", "mean", "attention", "score"])
def test_the_paper_model_runs_with_every_pooling(parts, pooling):
    train = parts[0][:, :12].copy()
    model = gx.TxT(TASKS, preset="paper", n_layers=2, max_epochs=1, pooling=pooling).fit(train, parts[1][:, :12].copy())
    assert model.predict(parts[2][:, :12].copy())["os"].risk.notna().all()


def test_misuse_is_refused_before_any_compute(parts, fitted, tmp_path):
    with pytest.raises(TypeError, match="there is no setting 'n_layer'; did you mean 'n_layers'"):
        gx.TxT(TASKS, n_layer=2)
    with pytest.raises(ValueError, match="preset must be one of paper, quick, not 'fast'"):
        gx.TxT(TASKS, preset="fast")
    with pytest.raises(TypeError, match="gene_embedding is a DataFrame of genes x 2 or more numbers, not a str"):
        gx.TxT(TASKS, gene_embedding="vectors.csv")
    with pytest.raises(TypeError, match=r"2 or more numbers, not a DataFrame of shape \(40, 1\)"):
        gx.TxT(TASKS, gene_embedding=vectors_of(parts[0].var_names, 1))
    with pytest.raises(ValueError, match="pooling must be one of"):
        gx.TxT(TASKS, pooling="max")
    with pytest.raises(RuntimeError, match="not fitted yet"):
        gx.TxT(TASKS).predict(parts[2])
    for use in (lambda m: m.save(tmp_path / "x"), lambda m: m.embed(parts[2]), lambda m: m.fitted_module()):
        with pytest.raises(RuntimeError, match="not fitted yet"):
            use(gx.TxT(TASKS))
    with pytest.raises(ValueError, match="40 samples are in the training and the validation cohort"):
        gx.TxT(TASKS, **TINY).fit(parts[0], parts[0][:40].copy())
    blank = parts[1].copy()
    blank.obs = blank.obs.assign(**dict.fromkeys(blank.obs, np.nan))
    with pytest.raises(ValueError, match="none of the 40 validation samples has a label"):
        gx.TxT(TASKS, **TINY).fit(parts[0], blank)
    with pytest.raises(KeyError, match="needs column 'size_mm'"):
        gx.TxT(gx.Regression("size_mm"), **TINY).fit(parts[0], parts[1])
    few = parts[2][:, :10].copy()
    with pytest.raises(ValueError, match="min_coverage is 50%"):
        fitted.predict(few)
    with pytest.warns(gx.CohortWarning, match="lacks 30 of 40 genes"):
        assert len(fitted.embed(few, min_coverage=0.25)) == 80


# ------------------------------------------------------------------------------------- another platform


def elsewhere(cohort, seed=0):
    """The cohort as another platform might measure it: each gene with its own positive slope and offset."""
    rng, copy = np.random.default_rng(seed), cohort.copy()
    copy.X = copy.X * rng.uniform(0.2, 5, cohort.n_vars).astype("f4") + rng.uniform(20, 60, cohort.n_vars).astype("f4")
    return copy


def test_values_on_another_scale_are_noticed(fitted, parts):
    with pytest.warns(gx.CohortWarning, match="the median of 100% of the genes lies far outside the training range"):
        fitted.predict(elsewhere(parts[2]))


@pytest.mark.parametrize("method", ["zscore", "quantile"])
def test_harmonised_predictions_do_not_know_the_scale_a_cohort_was_measured_on(fitted, parts, method):
    test = parts[2].copy()
    test.X[::9, 4] = np.nan
    here, there = (fitted.predict(cohort, harmonise=method) for cohort in (test, elsewhere(test)))
    same(here, there, rtol=0, atol=1e-4)  # expression is float32
    embedded = [fitted.embed(cohort, harmonise=method) for cohort in (test, elsewhere(test))]
    np.testing.assert_allclose(*embedded, rtol=0, atol=5e-4)
    assert not here["os"].risk.equals(fitted.predict(test)["os"].risk)  # the test part is no exact copy of training


@pytest.mark.parametrize("method", ["zscore", "quantile"])
def test_harmonising_within_predict_is_harmonising_to_the_training_cohort_before(fitted, parts, tmp_path, method):
    inside = fitted.predict(elsewhere(parts[2]), harmonise=method)
    before = fitted.predict(gx.harmonise(elsewhere(parts[2]), like=parts[0], method=method))
    same(inside, before, rtol=1e-4, atol=1e-4)
    fitted.save(tmp_path / "m.safetensors")  # the training quantiles travel along
    same(gx.TxT.load(tmp_path / "m.safetensors", device="cpu").predict(elsewhere(parts[2]), harmonise=method), inside)


def test_the_training_cohort_harmonised_to_itself_stays_as_it_is(fitted, parts):
    same(fitted.predict(parts[0], harmonise="zscore"), fitted.predict(parts[0]), rtol=1e-4, atol=1e-4)


def test_harmonising_by_an_unknown_method_or_with_too_few_samples_is_refused(fitted, parts):
    with pytest.raises(ValueError, match="harmonise must be 'quantile' or 'zscore', not 'combat'"):
        fitted.predict(parts[2], harmonise="combat")
    with pytest.raises(ValueError, match="5 samples are too few to harmonise"):
        fitted.embed(parts[2][:5].copy(), harmonise="zscore")


def test_the_fitted_network_is_in_evaluation_mode_and_can_be_differentiated(fitted, parts, monkeypatch):
    module = fitted.fitted_module()
    assert not module.training
    # Weights moved to a GPU in inference mode could not be; without a GPU, the mode they are moved in is looked at.
    monkeypatch.setattr(module, "to", lambda device: module if not torch.is_inference_mode_enabled() else None)
    fitted.predict(parts[2])
    x = torch.from_numpy(fitted.scaler_.transform(parts[2].X)).requires_grad_()
    module(x)[0].sum().backward()
    assert (x.grad != 0).any()


def test_numbers_from_numpy_are_settings_like_any_other(parts, tmp_path):
    model = gx.TxT(TASKS, seed=np.int64(3), **{**TINY, "d_ff": np.int64(8), "learning_rate": np.float32(1e-3)})
    model.fit(parts[0], parts[1]).save(tmp_path / "m.safetensors")
    same(gx.TxT.load(tmp_path / "m.safetensors").predict(parts[2]), model.predict(parts[2]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gene_dropout", 1.5),
        ("n_layers", -1),
        ("survival_rank", 0),
        ("n_intervals", 1),
        ("d_model", 0),
        ("n_features", 0),
    ],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a (whole )?number from"):
        gx.TxT(TASKS, **{name: value})


def test_shuffled_labels_teach_nothing(parts):
    # Test C-index over several shuffles: one value has a standard deviation of about 0.05 here, their mean 0.02.
    train, val, test = (part[:, :20].copy() for part in parts)
    task, scores = TASKS[0], []
    for seed in range(6):
        shuffled = train.copy()
        order = np.random.default_rng(seed).permutation(train.n_obs)
        shuffled.obs[list(task.columns)] = train.obs[list(task.columns)].to_numpy()[order]
        model = gx.TxT(task, seed=seed, **{**TINY, "max_epochs": 5}).fit(shuffled, val)
        scores.append(gx.evaluate(model.predict(test), test).set_index("metric").loc["c_index", "value"])
    assert np.mean(scores) == pytest.approx(0.5, abs=0.08)


def test_training_on_a_gpu_agrees_with_the_cpu(parts):
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    on = {
        d: gx.TxT(TASKS, **{**TINY, "device": d, "dropout": 0.0, "head_dropout": 0.0}).fit(*parts[:2])
        for d in ("cpu", "cuda")
    }
    same(on["cpu"].predict(parts[2]), on["cuda"].predict(parts[2]), rtol=1e-2, atol=1e-2)
