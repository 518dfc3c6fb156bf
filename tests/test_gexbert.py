"""GexBERT: what it promises to anyone who fits it, and that it learns what was planted."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from torch.utils._python_dispatch import TorchDispatchMode

import gexcore as gx
from gexcore import pretraining
from gexcore.coexpression import spectral_vectors
from gexcore.pretraining import fit_mixtures

GENES = [f"g{j:02}" for j in range(40)]
TINY = {
    "n_layers": 1,
    "n_decoder_layers": 1,
    "n_heads": 2,
    "d_model": 16,
    "d_ff": 32,
    "panel": 24,
    "n_targets": 24,
    "max_epochs": 2,
    "device": "cpu",
}
QUICK = {**TINY, "preset": "quick", "n_components": 1, "n_factors": 8, "n_folds": 3, "loss": "both"}
PAPER = {**TINY, "preset": "paper", "restoration": "masked", "summary": "mean", "loss": "value"}
every_kind = pytest.mark.parametrize("kind", ["quick", "paper"])


def cohort(n, seed, dtype="float32"):
    """Forty genes that follow four factors, each at a level of its own; age follows the first factor."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 4))
    x = factors @ np.random.default_rng(99).normal(size=(4, 40)) + 0.7 * rng.normal(size=(n, 40)) + np.arange(40) / 4
    obs = pd.DataFrame({"age": 60 + 10 * factors[:, 0]}, index=[f"p{seed}-{i}" for i in range(n)])
    return AnnData(x.astype(dtype), obs=obs, var=pd.DataFrame(index=GENES))


def holes(data, rate, seed=0):
    data = data.copy()
    data.X[np.random.default_rng(seed).random(data.shape) < rate] = np.nan
    return data


TRAIN, VAL, TEST = cohort(160, 0), cohort(40, 1), cohort(40, 2)
SHOWN = holes(TEST, 0.4)
HIDDEN = np.isnan(SHOWN.X)


def bert(**settings):
    return gx.GexBERT(**{**QUICK, **settings})


@pytest.fixture(scope="module")
def fitted():
    return {"quick": bert().fit(TRAIN, VAL), "paper": gx.GexBERT(**PAPER).fit(holes(TRAIN, 0.2), VAL)}


def results(model, data):
    """Everything a model says of a cohort."""
    imputed = model.impute(data)
    return {
        "imputed": imputed.to_df(),
        "sd": imputed.to_df("sd"),
        "restored": model.restore(data, GENES[5:8]),
        "embedded": model.embed(data),
        "attention": model.attention(data),
    }


def same(ours, theirs, atol=0.0):
    assert ours.keys() == theirs.keys()
    for name, table in ours.items():
        other = theirs[name]
        assert sorted(other.index) == sorted(table.index)
        np.testing.assert_allclose(table, other.loc[table.index, table.columns], rtol=0, atol=atol, err_msg=name)


# ---------------------------------------------------------------------------------------------- imputation


@every_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_observed_values_stay_to_the_bit_and_the_rest_is_filled(fitted, kind, dtype):
    shown = AnnData(SHOWN.X.astype(dtype) + np.array(1e-9, dtype), obs=SHOWN.obs, var=SHOWN.var)
    before = shown.X.copy()
    imputed = fitted[kind].impute(shown)
    assert imputed.X.dtype == dtype
    assert (imputed.X[~HIDDEN] == before[~HIDDEN]).all()
    assert np.isfinite(imputed.X).all()
    np.testing.assert_array_equal(shown.X, before)  # what was passed in is left alone
    assert (imputed.layers["sd"][~HIDDEN] == 0).all()
    assert (imputed.layers["sd"][HIDDEN] > 0).all()
    assert np.isfinite(imputed.layers["sd"]).all()
    assert list(imputed.var_names) == GENES
    pd.testing.assert_frame_equal(imputed.obs, SHOWN.obs)


def test_the_standard_deviations_are_those_of_the_errors():
    train, test = cohort(700, 10), cohort(300, 11)
    shown = holes(test, 0.5)
    imputed = bert(shrinkage=0.02, max_epochs=1).fit(train).impute(shown)
    off = np.abs(imputed.X - test.X)[np.isnan(shown.X)] / imputed.layers["sd"][np.isnan(shown.X)]
    assert (off < 1).mean() == pytest.approx(0.683, abs=0.04)
    assert (off < 2).mean() == pytest.approx(0.954, abs=0.02)


def error(imputed, columns=slice(None)):
    return np.sqrt((((imputed.X - TEST.X) / TRAIN.X.std(axis=0))[:, columns][HIDDEN[:, columns]] ** 2).mean())


def test_planted_co_expression_is_restored_better_than_by_means_and_neighbours(fitted):
    by_mean, by_neighbours = (
        error(m.fit(TRAIN).impute(SHOWN)) for m in (gx.baselines.GeneMean(), gx.baselines.KNN(n_neighbors=None))
    )
    found = error(fitted["quick"].impute(SHOWN))
    assert found < 0.9 * by_neighbours
    assert found < 0.55 * by_mean


@every_kind
def test_the_order_of_genes_and_samples_is_irrelevant(fitted, kind):
    rng = np.random.default_rng(0)
    shuffled = SHOWN[rng.permutation(SHOWN.obs_names), rng.permutation(GENES)].copy()
    same(results(fitted[kind], SHOWN), results(fitted[kind], shuffled), atol=1e-4)


@every_kind
def test_a_sample_gets_the_same_alone(fitted, kind):
    together = results(fitted[kind], SHOWN)
    for i in (0, 39):
        alone = results(fitted[kind], SHOWN[i : i + 1].copy())
        same(alone, {name: table.iloc[i : i + 1] for name, table in together.items()}, atol=1e-4)


@every_kind
def test_a_gene_nobody_has_is_filled_whether_its_column_is_empty_or_absent(fitted, kind):
    empty = TEST.copy()
    empty.X[:, [3, 30]] = np.nan
    absent = TEST[:, [g for g in GENES if g not in ("g03", "g30")]].copy()
    same(results(fitted[kind], empty), results(fitted[kind], absent))
    if kind == "quick":
        imputed = fitted[kind].impute(absent)
        assert np.corrcoef(imputed.X[:, 3], TEST.X[:, 3])[0, 1] > 0.7
        np.testing.assert_allclose(imputed.X[:, [3, 30]], fitted[kind].restore(absent, ["g03", "g30"]), atol=1e-4)


@every_kind
def test_a_panel_of_two_genes_is_enough(fitted, kind):
    imputed = fitted[kind].impute(TEST[:, ["g07", "g02"]].copy())
    assert list(imputed.var_names) == GENES
    assert np.isfinite(imputed.X).all()
    assert (imputed.layers["sd"] == 0).sum() == 2 * 40
    with pytest.raises(ValueError, match="coverage 5%, min_coverage is 50%"):
        fitted[kind].impute(TEST[:, ["g07", "g02"]].copy(), min_coverage=0.5)


@every_kind
def test_a_sample_without_any_value_is_said_and_gets_the_training_distribution(fitted, kind):
    blank = SHOWN.copy()
    blank.X[[4, 9]] = np.nan
    with pytest.warns(gx.CohortWarning, match=r"2 samples have no value of any training gene \(p2-4, p2-9\)"):
        imputed = fitted[kind].impute(blank)
    np.testing.assert_array_equal(imputed.X[4], imputed.X[9])
    scale = TRAIN.X.std(axis=0)
    np.testing.assert_allclose(imputed.X[4] / scale, TRAIN.X.mean(axis=0) / scale, atol=0.3)
    np.testing.assert_allclose(imputed.layers["sd"][4] / scale, 1, atol=0.3)
    others = np.delete(np.arange(40), [4, 9])
    np.testing.assert_allclose(imputed.X[others], fitted[kind].impute(SHOWN).X[others], atol=1e-4)
    with pytest.warns(gx.CohortWarning, match="no value of any training gene"):
        attention = fitted[kind].attention(blank)
    assert attention.iloc[4].isna().all()


def test_a_constant_gene_stays_constant():
    flat = TRAIN.copy()
    flat.X[:, 2] = 7.0
    imputed = bert(max_epochs=1).fit(flat).impute(SHOWN)
    np.testing.assert_array_equal(imputed.X[HIDDEN[:, 2], 2], 7.0)
    assert (imputed.layers["sd"][:, 2] == 0).all()


def test_tables_and_cohorts_are_read_alike(fitted):
    table = fitted["quick"].impute(SHOWN.to_df())
    np.testing.assert_array_equal(table.X, fitted["quick"].impute(SHOWN).X)
    model = bert().fit(TRAIN.to_df(), VAL.to_df())
    np.testing.assert_array_equal(model.impute(SHOWN).X, table.X)


@every_kind
def test_restored_genes_come_in_the_order_they_were_asked_for_and_their_own_values_are_not_read(fitted, kind):
    few, asked = TEST[:, GENES[:20]].copy(), ["g35", "g02", "g35"]
    restored = fitted[kind].restore(few, asked)
    assert list(restored.columns) == asked
    assert restored.index.equals(TEST.obs_names)
    np.testing.assert_array_equal(restored.iloc[:, 0], restored.iloc[:, 2])
    for other in (np.nan, 50.0):
        spoilt = few.copy()
        spoilt.X[:, 2] = other
        np.testing.assert_array_equal(fitted[kind].restore(spoilt, asked), restored)
    if kind == "quick":
        imputed = fitted[kind].impute(spoilt[:, few.var_names != "g02"].copy()).to_df()
        np.testing.assert_allclose(restored.iloc[:, :2], imputed[asked[:2]], atol=1e-4)
        assert np.corrcoef(restored["g02"], TEST.to_df()["g02"])[0, 1] > 0.7


# ----------------------------------------------------------------------------------------------- learning


def bent(n, seed):
    """Three hidden numbers, each followed by four genes and squared by one."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 3))
    x = np.c_[np.repeat(hidden, 4, axis=1), hidden**2] + 0.3 * rng.normal(size=(n, 15))
    samples = pd.DataFrame(index=[f"b{seed}-{i}" for i in range(n)])
    return AnnData(x.astype("float32"), obs=samples, var=pd.DataFrame(index=GENES[:15]))


@pytest.mark.parametrize(("linear", "share"), [("none", 0.8), ("mixture", 0.9)])
def test_the_transformer_learns_what_no_linear_path_can(linear, share):
    train, test = bent(400, 0), bent(200, 1)
    shown = test[:, GENES[:12]].copy()
    steady = {"schedule": "constant", "averaging": 0.0, "dropout": 0.0, "small_panels": 0.0, "mask_rates": (0.1, 0.5)}
    rate = 1e-2 if linear == "none" else 5e-3
    settings = {**steady, "loss": "value", "batch_size": 16, "max_epochs": 12, "learning_rate": rate}
    model = bert(linear=linear, **settings).fit(train)
    with pytest.warns(gx.CohortWarning, match="lacks 3 of 15 genes"):
        by_line = gx.baselines.MixtureOfFactors(n_components=1).fit(train).impute(shown)
    found, closed = (np.square(imputed.X - test.X)[:, 12:].mean() ** 0.5 for imputed in (model.impute(shown), by_line))
    assert closed > 0.95 * test.X[:, 12:].std()
    assert found < share * closed


def test_history_has_both_losses_of_every_epoch(fitted):
    history = fitted["quick"].history_
    assert list(history.columns) == ["epoch", "split", "task", "loss"]
    assert sorted(history["epoch"].unique()) == [1, 2]
    assert history.groupby("epoch").size().tolist() == [6, 6]
    wide = history.pivot_table(index=["epoch", "split"], columns="task", values="loss")
    np.testing.assert_allclose(wide["mean"], (wide["value"] + wide["levels"]) / 2)
    paper = fitted["paper"].history_
    assert set(paper["task"]) == {"value", "mean"}
    assert paper["loss"].between(0.5, 1.5).all()  # squared error of z-scores, hardly trained
    alone = bert(max_epochs=1).fit(TRAIN).history_
    assert set(alone["split"]) == {"train"}


def test_the_linear_path_of_a_fold_has_not_seen_it():
    model, rng = bert(n_folds=3), np.random.default_rng(0)
    score, fold = rng.normal(size=(90, 40)).astype("float32"), rng.permutation(90) % 3
    whole, clean = fit_mixtures(score, fold, model.settings, model.seed)
    spoilt = np.where((fold == 1)[:, None], 5 * rng.normal(size=score.shape), score).astype("float32")
    _, after = fit_mixtures(spoilt, fold, model.settings, model.seed)
    for number, (a, b) in enumerate(zip(clean, after, strict=True)):
        unchanged = [torch.equal(getattr(a, name), getattr(b, name)) for name in ("mean", "loadings", "noise")]
        assert unchanged == [number == 1] * 3
        assert torch.equal(a.axes, whole.axes)  # profiles of all folds mean the same


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor anything returned."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        tensors = [t for t in (out if isinstance(out, list | tuple) else [out]) if isinstance(t, torch.Tensor)]
        self.numel = max([self.numel, *(t.numel() for t in tensors)])
        return out


def test_no_table_of_genes_by_genes_is_ever_made():
    n_genes = 6000
    x = np.random.default_rng(0).normal(size=(60, n_genes)).astype("float32")
    names = [f"s{i}" for i in range(60)], [f"w{j}" for j in range(n_genes)]
    wide = AnnData(x, obs=pd.DataFrame(index=names[0]), var=pd.DataFrame(index=names[1]))
    tracemalloc.start()
    try:
        with Largest() as largest:
            model = bert(panel=16, n_targets=16, max_epochs=1, n_folds=2).fit(wide[:40].copy(), wide[40:].copy())
            imputed = model.impute(wide[:4, :3000].copy())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert imputed.shape == (4, n_genes)
    assert 40 * n_genes < largest.numel < n_genes**2 / 8
    assert peak < 4 * n_genes**2 / 2


# ----------------------------------------------------------------------------------------- gene vectors


def test_given_gene_vectors_are_matched_by_name_and_mapped_into_those_learned():
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(41, 3)), index=[*GENES[::-1], "surplus"])
    model = bert(gene_prior=vectors, max_epochs=1).fit(TRAIN)
    given = torch.tensor(vectors.loc[GENES].to_numpy()).float()
    np.testing.assert_array_equal(model.module_.prior, given)
    expected = model.module_.genes + given @ model.module_.from_prior.weight.T
    np.testing.assert_allclose(model.gene_embedding(), expected.detach(), atol=1e-6)
    with pytest.warns(gx.CohortWarning, match=r"1 of 40 genes have no vector \(g00\)"):
        bert(gene_prior=vectors.drop(index="g00"), max_epochs=1).fit(TRAIN)


def test_vectors_of_the_training_samples_may_be_asked_for_by_name(monkeypatch):
    few = TRAIN[:30].copy()  # fewer samples and genes than numbers in a vector
    model = bert(gene_prior="spectral", max_epochs=1).fit(few)
    np.testing.assert_allclose(model.module_.prior, spectral_vectors(few, d=29), atol=1e-6)
    asked = []

    def node2vec(graph, *, seed):
        asked.append((sorted(graph.nodes), seed))
        return pd.DataFrame(np.eye(40, 2), index=sorted(graph.nodes)), None

    monkeypatch.setattr(pretraining, "node2vec", node2vec)
    model = bert(gene_prior="node2vec", max_epochs=1, seed=3).fit(few)
    assert asked == [(GENES, 3)]
    np.testing.assert_array_equal(model.module_.prior, np.eye(40, 2))


def test_txt_takes_the_gene_vectors(fitted):
    vectors = fitted["quick"].gene_embedding()
    assert vectors.shape == (40, 16)
    assert list(vectors.index) == GENES
    tiny = {"preset": "quick", "n_layers": 1, "n_heads": 2, "d_model": 8, "d_ff": 8, "max_epochs": 1, "device": "cpu"}
    model = gx.TxT(gx.Regression("age"), gene_embedding=vectors, learning_rate=1e-12, **tiny).fit(TRAIN)
    np.testing.assert_allclose(model.fitted_module().encoder.genes.detach(), vectors, atol=1e-6)
    assert model.predict(TEST)["age"].values.index.equals(TEST.obs_names)


# --------------------------------------------------------------------------------- samples, attention


def test_samples_are_embedded_by_summary_and_linear_path(fitted):
    quick, paper = (fitted[kind].embed(SHOWN) for kind in ("quick", "paper"))
    axes = fitted["quick"].module_.linear.axes.shape[1]
    assert axes == 40
    assert list(quick.columns) == [f"summary_{i}" for i in range(16)] + [f"linear_{i}" for i in range(axes)]
    assert list(paper.columns) == [f"summary_{i}" for i in range(16)]
    assert quick.index.equals(SHOWN.obs_names)
    score = torch.from_numpy(fitted["quick"].scores(SHOWN))
    np.testing.assert_allclose(quick.filter(like="linear"), fitted["quick"].module_.linear.summary(score), atol=1e-4)
    full = fitted["quick"].embed(cohort(200, 5)).filter(like="linear").iloc[:, :4]
    np.testing.assert_allclose(full.std(), 1, atol=0.2)
    age = cohort(200, 5).obs["age"]
    weights = np.linalg.lstsq(np.c_[full, np.ones(200)], age, rcond=None)[0]
    assert np.corrcoef(np.c_[full, np.ones(200)] @ weights, age)[0, 1] > 0.9  # the planted factors are in it


@every_kind
@pytest.mark.parametrize("by_summary", [False, True])
def test_attention_is_shared_among_the_genes_that_were_read(fitted, kind, by_summary):
    shown = SHOWN.copy()
    shown.X[0, 5:] = np.nan
    attention = fitted[kind].attention(shown, by_summary=by_summary)
    assert attention.index.equals(shown.obs_names)
    assert list(attention.columns) == GENES
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-5)
    assert (attention.min() >= 0).all()
    measured = ~np.isnan(shown.X)
    assert not (attention.notna() & ~measured).any(axis=None)
    np.testing.assert_array_equal(attention.notna().sum(axis=1), np.minimum(measured.sum(axis=1), 24))
    other = fitted[kind].attention(shown, by_summary=not by_summary)
    assert np.nanmax(np.abs(attention - other)) > 1e-3


# --------------------------------------------------------------------------------------------- refusals


def test_genes_that_were_not_in_training_are_named_and_not_used(fitted):
    more = AnnData(
        np.c_[SHOWN.X, np.zeros((40, 2), "float32")], obs=SHOWN.obs, var=pd.DataFrame(index=[*GENES, "new", "newer"])
    )
    with pytest.warns(gx.CohortWarning, match=r"2 of 42 genes were not in training and are not used \(new, newer\)"):
        imputed = fitted["quick"].impute(more)
    np.testing.assert_array_equal(imputed.X, fitted["quick"].impute(SHOWN).X)


def test_a_cohort_of_other_names_is_refused_with_the_likely_reason(fitted):
    upper = SHOWN.copy()
    upper.var_names = [name.upper() for name in GENES]
    for use in (fitted["quick"].impute, fitted["quick"].embed, fitted["quick"].attention):
        with pytest.raises(ValueError, match=r"lacks 40 of 40 genes .* 40 more would match without upper and lower"):
            use(upper)


def test_what_cannot_be_done_is_refused_by_name(fitted):
    with pytest.raises(ValueError, match="2 of 3 genes were not in training, first X, Y"):
        fitted["quick"].restore(SHOWN, ["X", "g01", "Y"])
    fresh = bert()
    assert repr(fresh) == "GexBERT(not fitted)"
    assert repr(fitted["quick"]) == "GexBERT(fitted on 40 genes)"
    for use in (
        lambda: fresh.impute(SHOWN),
        lambda: fresh.restore(SHOWN, ["g01"]),
        lambda: fresh.embed(SHOWN),
        lambda: fresh.attention(SHOWN),
        fresh.gene_embedding,
        lambda: fresh.save("never.safetensors"),
    ):
        with pytest.raises(RuntimeError, match=r"this GexBERT is not fitted yet: call fit\(train, val\) first"):
            use()


def test_cohorts_that_cannot_be_learned_from_are_refused():
    empty = TRAIN.copy()
    empty.X[:, [1, 4]] = np.nan
    with pytest.raises(ValueError, match="2 genes have no value in any training sample, first g01, g04; remove them"):
        bert().fit(empty)
    blank = TRAIN.copy()
    blank.X[7] = np.nan
    with pytest.raises(ValueError, match="1 training samples have no value of any training gene, first p0-7"):
        bert().fit(blank)
    blank = VAL.copy()
    blank.X[2] = np.nan
    with pytest.raises(ValueError, match="1 validation samples have no value of any training gene, first p1-2"):
        bert().fit(TRAIN, blank)
    with pytest.raises(ValueError, match="4 training samples are too few to learn how genes go together, 5 are"):
        bert().fit(TRAIN[:4].copy())
    assert np.isfinite(bert(preset="quick", max_epochs=1).fit(TRAIN[:5].copy()).impute(VAL).X).all()
    with pytest.raises(ValueError, match="5 samples are in the training and the validation cohort, first p0-0"):
        bert().fit(TRAIN, TRAIN[:5].copy())
    with pytest.raises(ValueError, match="the cohort lacks 40 of 40 genes"):
        bert().fit(TRAIN, AnnData(VAL.X, obs=VAL.obs, var=pd.DataFrame(index=[f"x{gene}" for gene in GENES])))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mask_rates": (0.9, 0.1)}, ValueError, "mask_rates are two shares, 0 < low <= high < 1"),
        ({"d_model": 15}, ValueError, r"d_model \(15\) must be divisible by n_heads \(2\)"),
        ({"n_layer": 2}, TypeError, "there is no setting 'n_layer'; did you mean 'n_layers'?"),
        ({"preset": "large"}, ValueError, "preset must be one of paper, quick, not 'large'"),
        ({"gene_prior": "string"}, ValueError, "gene_prior is spectral, node2vec or a DataFrame .*, not 'string'"),
        ({"seed": 0.5}, TypeError, "integer"),
    ],
)
def test_senseless_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        bert(**settings)


def test_attention_needs_an_encoder_layer():
    model = bert(n_layers=0, max_epochs=1).fit(TRAIN)
    assert np.isfinite(model.impute(SHOWN).X).all()
    with pytest.raises(ValueError, match="n_layers is 0: there is no encoder layer whose attention could be read"):
        model.attention(SHOWN)


# ---------------------------------------------------------------------------------------------- keeping


@every_kind
def test_a_saved_model_says_the_same_to_the_bit(fitted, kind, tmp_path):
    fitted[kind].save(tmp_path / "model.safetensors")
    loaded = gx.GexBERT.load(tmp_path / "model.safetensors", device="cpu")
    same(results(fitted[kind], SHOWN), results(loaded, SHOWN))
    assert loaded.settings == fitted[kind].settings
    assert loaded.seed == fitted[kind].seed
    pd.testing.assert_frame_equal(loaded.history_, fitted[kind].history_)
    pd.testing.assert_frame_equal(loaded.gene_embedding(), fitted[kind].gene_embedding(), check_exact=True)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").stat().st_size == (tmp_path / "model.safetensors").stat().st_size


def test_a_model_with_a_prior_is_whole_without_it(tmp_path):
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 3)), index=GENES)
    model = bert(gene_prior=vectors, max_epochs=1).fit(TRAIN)
    model.save(tmp_path / "model.safetensors")
    loaded = gx.GexBERT.load(tmp_path / "model.safetensors")
    same(results(model, SHOWN), results(loaded, SHOWN))
    pd.testing.assert_frame_equal(loaded.gene_embedding(), model.gene_embedding(), check_exact=True)


def test_a_saved_model_imputes_the_same_bits_in_a_new_process(fitted, tmp_path):
    fitted["quick"].save(tmp_path / "model.safetensors")
    SHOWN.write_h5ad(tmp_path / "shown.h5ad")
    code = (
        "import gexcore as gx, sys; model = gx.GexBERT.load(sys.argv[1] + '/model.safetensors', device='cpu');"
        "imputed = model.impute(sys.argv[1] + '/shown.h5ad'); imputed.to_df().to_pickle(sys.argv[1] + '/x.pkl');"
        "imputed.to_df('sd').to_pickle(sys.argv[1] + '/sd.pkl')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    here = fitted["quick"].impute(SHOWN)
    pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "x.pkl"), here.to_df(), check_exact=True)
    pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "sd.pkl"), here.to_df("sd"), check_exact=True)


def test_another_kind_of_model_file_is_refused(fitted, tmp_path):
    fitted["quick"].save(tmp_path / "bert.safetensors")
    with pytest.raises(ValueError, match="holds a GexBERT model, not TxT"):
        gx.TxT.load(tmp_path / "bert.safetensors")
