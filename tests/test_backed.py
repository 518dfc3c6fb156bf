"""Cohorts on disk: read, judged, divided, learned from and predicted as those in memory, in bounded memory."""

import threading
import tracemalloc
import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch import nn

import gexcore as gx
from gexcore import gexbert, streams
from gexcore.cohort import as_cohort, backed, read_cohort, tally
from gexcore.levels import Levels
from gexcore.pretraining import training_samples
from gexcore.scaling import Scaler
from gexcore.streams import BLOCK, InMemory, Streamed
from gexcore.tasks import CohortWarning
from gexcore.training import TrainingSettings, batches, train

GENES = [f"g{j:02}" for j in range(30)]
SMALL = {
    "preset": "quick",
    "n_layers": 1,
    "n_heads": 2,
    "d_model": 16,
    "d_ff": 32,
    "panel": 20,
    "n_targets": 20,
    "n_components": 1,
    "n_factors": 4,
    "max_epochs": 2,
    "fit_samples": 80,
    "device": "cpu",
}


def cohort(n=400, seed=0):
    """Thirty genes that follow three factors; some cells are missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) @ np.random.default_rng(9).normal(size=(3, 30)) + 0.5 * rng.normal(size=(n, 30)) + 8
    x[rng.random(x.shape) < 0.02] = np.nan
    obs = pd.DataFrame({"kind": rng.choice(["a", "b"], n), "age": rng.integers(30, 80, n).astype(float)})
    obs.index = [f"p{i}" for i in rng.permutation(n)]  # the file is in no order of ids
    return ad.AnnData(x.astype("float32"), obs=obs, var=pd.DataFrame(index=GENES))


def write(data, path, kind="dense"):
    data = data.copy()
    if kind == "csr":
        data.X = sparse.csr_matrix(data.X)
    new = path.with_name("new.h5ad")  # a file that is open is not written to
    data.write_h5ad(new, compression="gzip" if kind == "compressed" else None)
    return new.replace(path)


@pytest.fixture
def path(tmp_path):
    return write(cohort(), tmp_path / "cohort.h5ad")


def said(function):
    """What a call returns, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, [str(w.message) for w in caught]


every_kind = pytest.mark.parametrize("kind", ["dense", "compressed", "csr"])

# ---------------------------------------------------------------------------------------------------- reading


def unusual(name):
    data = cohort()
    if name == "holes in one place":
        data.X[3:9, 4] = np.nan
    elif name == "empty and constant genes, a blank sample":
        data.X[:, 3], data.X[:, [5, 6]] = np.nan, 4.5
        data.X[17] = np.nan
    elif name == "counts":
        data.X = np.random.default_rng(0).poisson(60, data.shape).astype("float32")
    elif name == "linear":
        data.X = np.exp(data.X)
    elif name == "tails":
        data.X[[3, 300, 301], [1, 2, 2]] = 900, -700, 901
    elif name == "probes":
        data.var_names = [f"20{j:04}_s_at" for j in range(30)]
    return data


@every_kind
@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "holes in one place",
        "empty and constant genes, a blank sample",
        "counts",
        "linear",
        "tails",
        "probes",
    ],
)
def test_the_same_is_said_of_a_file_on_disk_and_of_one_in_memory(tmp_path, monkeypatch, kind, name):
    path = write(unusual(name), tmp_path / "x.h5ad", kind)
    clinical = pd.DataFrame({"stage": ["I", "II"]}, index=["p3", "stranger"])
    expected, remarks = said(lambda: read_cohort(path, clinical))
    monkeypatch.setattr(tally, "_CELLS", 30 * 37)  # several blocks, the last of them smaller
    found, notes = said(lambda: read_cohort(path, clinical, backed=True))
    assert notes == remarks
    assert len(notes) >= 2  # of samples without a clinical row, and the reverse
    assert found.isbacked
    assert found.uns.get("reading") == expected.uns.get("reading")
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    assert found.var_names.equals(expected.var_names)
    np.testing.assert_array_equal(as_cohort(found).X, expected.X)


def spoilt(name):
    data = cohort()
    if name == "infinite":
        data.X[[200, 7, 300], [4, 4, 9]] = np.inf
    elif name == "dates":
        data.var_names = ["1-Mar", *GENES[1:]]
    elif name == "two of a name":
        data.obs_names = ["p1", "p1", *data.obs_names[2:]]
    elif name == "no name":
        data.obs_names = ["", *[f"q{i}" for i in range(399)]]
    elif name == "all alike":
        data.X[:] = 3
    return data


@every_kind
@pytest.mark.parametrize("name", ["infinite", "dates", "two of a name", "no name", "all alike"])
def test_what_is_refused_in_memory_is_refused_on_disk_in_the_same_words(tmp_path, monkeypatch, kind, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of anndata, that names are not unique
        path = write(spoilt(name), tmp_path / "x.h5ad", kind)
        monkeypatch.setattr(tally, "_CELLS", 30 * 37)
        with pytest.raises(ValueError, match=r".") as expected:
            read_cohort(path)
        with pytest.raises(ValueError, match=r".") as found:
            read_cohort(path, backed=True)
    assert str(found.value) == str(expected.value)


def test_a_file_without_samples_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the expression table is empty: 0 samples, 30 genes"):
        read_cohort(write(cohort()[:0], tmp_path / "x.h5ad"), backed=True)


def test_what_would_change_the_file_is_refused_with_what_to_do(tmp_path, path):
    with pytest.raises(ValueError, match=r"without genes_as_rows and log2: write a changed file, or change some genes"):
        read_cohort(path, backed=True, log2=True, genes_as_rows=True)
    with pytest.raises(ValueError, match="without duplicate_genes: write"):
        read_cohort(path, backed=True, duplicate_genes="mean")
    twice = cohort()
    twice.var_names = ["g01", *GENES[1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        write(twice, tmp_path / "twice.h5ad")
        with pytest.raises(ValueError, match=r"1 gene occurs twice .* first g01; rename or remove them: backed=True"):
            read_cohort(tmp_path / "twice.h5ad", backed=True)
    turned = cohort()
    turned.obs_names = ["TP53", "MYC", "EGFR", "ESR1", *turned.obs_names[4:]]
    with pytest.raises(ValueError, match=r"genes where samples are expected .*; write it anew, transposed"):
        read_cohort(write(turned, tmp_path / "turned.h5ad"), backed=True)
    for other in (cohort(), "expression.csv"):
        with pytest.raises(ValueError, match=r"leaves the expression in a \.h5ad file, not in a (AnnData|expression)"):
            read_cohort(other, backed=True)


def test_some_genes_can_be_changed_in_memory(path):
    on_disk = read_cohort(path, backed=True)
    changed = read_cohort(on_disk[:, ["g03", "g01"]], log2=True)
    np.testing.assert_allclose(changed.X, np.log2(read_cohort(path)[:, ["g03", "g01"]].X + 1), rtol=1e-6)


@pytest.mark.parametrize("kind", ["whole numbers", "float64"])
def test_other_numbers_are_read_as_float32(tmp_path, kind):
    data = cohort()
    x = np.nan_to_num(data.X).round().astype("int16") if kind == "whole numbers" else data.X.astype("float64") / 3
    data = ad.AnnData(x, obs=data.obs, var=data.var)
    found = as_cohort(read_cohort(write(data, tmp_path / "x.h5ad"), backed=True))
    assert found.X.dtype == np.float32
    np.testing.assert_array_equal(found.X, x.astype("float32"))


def broken(name, path):
    if name == "cut short":
        path.write_bytes(path.read_bytes()[:20_000])
    elif name == "text":
        path.write_text("no h5ad")
    elif name == "csc":
        data = cohort()
        data.X = sparse.csc_matrix(data.X)
        data.write_h5ad(path)
    else:
        with h5py.File(path, "r+") as file:
            if name == "words":
                x = file["X"][:].astype("S5")
                del file["X"]
                file["X"] = x
            elif name == "no X":
                del file["X"]
            elif name == "too few rows":
                x = file["X"][:200]
                del file["X"]
                file["X"] = x
            elif name == "half a sparse matrix":
                x = sparse.csr_matrix(file["X"][:])
                del file["X"]
                ad.io.write_elem(file, "X", x)
                values = file["X/data"][:100]
                del file["X/data"]
                file["X/data"] = values
            elif name == "old":
                del file["obs"].attrs["_index"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut short", r"not a whole \.h5ad file; it was cut short"),
        ("text", r"not a whole \.h5ad file; it was cut short or is of another kind"),
        ("csc", r"X is sparse by genes \(CSC\), .* cohort.X = cohort.X.tocsr\(\)"),
        ("words", r"X holds \|S5 values; expression is numbers"),
        ("no X", "an HDF5 file, but not an AnnData, for it lacks X"),
        ("too few rows", "X has 200 x 30 cells for 400 x 30 samples and genes; it was not written to its end"),
        ("half a sparse matrix", "the parts of the sparse X do not fit each other; it was not written to its end"),
    ],
)
def test_a_broken_file_is_one_clear_sentence(path, name, message):
    broken(name, path)
    with pytest.raises(ValueError, match=message) as refused:
        read_cohort(path, backed=True)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_file_damaged_within_is_found_when_it_is_read(tmp_path):
    path = write(cohort(3000), tmp_path / "x.h5ad", "compressed")
    with h5py.File(path) as file:
        chunk = file["X"].id.get_chunk_info(file["X"].id.get_num_chunks() - 1)
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\0" * chunk.size)
    with pytest.raises(ValueError, match=r"not a whole \.h5ad file"):
        read_cohort(path, backed=True)


def test_a_file_that_changes_under_the_reader_is_refused(path):
    file = backed.ExpressionFile(read_cohort(path, backed=True))
    file.read(np.arange(10))
    write(cohort(seed=1), path)
    with pytest.raises(ValueError, match="has changed while it was read; read the cohort again"):
        file.read(np.arange(10))


def test_a_file_with_other_samples_than_before_is_refused(path):
    on_disk = read_cohort(path, backed=True)
    write(cohort(300), path)
    with pytest.raises(ValueError, match="has other samples than the cohort that was read from it"):
        as_cohort(on_disk)


# -------------------------------------------------------------------------------------- some samples and genes


@every_kind
def test_samples_and_genes_are_found_by_name_in_any_order(tmp_path, kind):
    data = cohort()
    on_disk = read_cohort(write(data, tmp_path / "x.h5ad", kind), backed=True)
    rng = np.random.default_rng(0)
    for _ in range(5):
        samples, genes = rng.permutation(data.obs_names)[:90], rng.permutation(GENES)[:7]
        np.testing.assert_array_equal(as_cohort(on_disk[samples, genes]).X, data[samples, genes].X)


def test_a_few_genes_of_a_large_file_take_little_memory(tmp_path):
    n, n_genes = 2000, 4000
    path, genes = tmp_path / "large.h5ad", [f"G{j}" for j in range(n_genes)]
    x = np.random.default_rng(0).normal(size=(n, n_genes)).astype("float32")
    obs = pd.DataFrame(index=[f"p{i}" for i in range(n)])
    ad.AnnData(x, obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)
    on_disk = ad.read_h5ad(path, backed="r")
    tracemalloc.start()
    some = as_cohort(on_disk[:, genes[::10]])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(some.X, x[:, ::10])
    assert peak < 6 * some.X.nbytes < x.nbytes  # them, and one block of the file


def test_what_does_not_fit_into_memory_is_refused(path, monkeypatch):
    on_disk = read_cohort(path, backed=True)
    monkeypatch.setattr(backed.os, "sysconf", {"SC_PHYS_PAGES": 20, "SC_PAGE_SIZE": 1024}.get)
    with pytest.raises(
        ValueError, match=r"400 samples x 30 genes are 0.0 GiB, more than half of .*; choose genes first"
    ):
        as_cohort(on_disk)
    assert as_cohort(on_disk[:, ["g01"]]).shape == (400, 1)


@pytest.mark.parametrize("groups", [None, "age"])
def test_a_cohort_on_disk_is_divided_as_one_in_memory(path, groups):
    on_disk, whole, task = read_cohort(path, backed=True), read_cohort(path), gx.Classification("kind")
    for here, there in zip(gx.split(on_disk, task, groups=groups), gx.split(whole, task, groups=groups), strict=True):
        assert here.isbacked
        assert list(here.obs_names) == list(there.obs_names)
        np.testing.assert_array_equal(as_cohort(here).X, there.X)
    with pytest.raises(ValueError, match="a part of a cohort on disk cannot be divided again"):
        gx.split(here)


def test_genes_are_chosen_on_a_stated_draw_of_the_samples(path, monkeypatch):
    on_disk, whole = read_cohort(path, backed=True), read_cohort(path)
    sets = {"some": GENES[3:20]}
    assert gx.select_genes(on_disk, n=9) == gx.select_genes(whole, n=9)
    assert gx.select_genes(on_disk, n=9, gene_sets=sets) == gx.select_genes(whole, n=9, gene_sets=sets)
    monkeypatch.setattr(gx.genes, "_DRAWN", 50)
    rows = np.sort(np.random.default_rng(0).choice(400, 50, replace=False))
    assert gx.select_genes(on_disk, n=9) == gx.select_genes(whole[rows].copy(), n=9)


# ------------------------------------------------------------------------------------------------- streams


def streamed(n, buffer, place=None, read=None):
    """A stream whose samples are their own numbers, and the calls by which they were read."""
    calls = []

    def numbers(samples):
        calls.append(samples)
        return torch.from_numpy(samples)[:, None] * torch.ones(1, 3), torch.from_numpy(samples)

    return Streamed(read or numbers, np.arange(n) if place is None else place, buffer=buffer, summary=""), calls


@pytest.mark.parametrize(("n", "size", "buffer"), [(1000, 32, 128), (1000, 7, 64), (129, 64, 64), (640, 32, 10_000)])
def test_an_epoch_visits_every_sample_once_and_reads_it_once(n, size, buffer):
    stream, calls = streamed(n, buffer, place=np.random.default_rng(1).permutation(n) * 3)
    generator, slices = np.random.default_rng(0), batches(n, size)
    epochs = [list(stream.epoch(generator, slices)) for _ in range(2)]
    orders = [torch.cat([number for _, number in epoch]) for epoch in epochs]
    for epoch, order in zip(epochs, orders, strict=True):
        assert [len(number) for _, number in epoch] == [part.stop - part.start for part in slices]
        assert all((vectors == number[:, None]).all() for vectors, number in epoch)
        assert order.sort().values.tolist() == list(range(n))
    assert not orders[0].equal(orders[1])
    assert np.sort(np.concatenate(calls)).tolist() == np.repeat(range(n), 2).tolist()


def test_the_order_of_a_stream_that_fits_the_buffer_is_that_of_memory():
    n, slices = 300, batches(300, 32)
    stream, _ = streamed(n, 320)
    memory = InMemory([torch.arange(n)])
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(3):
        for (_, ours), (theirs,) in zip(stream.epoch(first, slices), memory.epoch(second, slices), strict=True):
            assert ours.equal(theirs)


def test_a_batch_is_drawn_from_all_over_a_file_that_is_sorted_by_study():
    n, study = 64 * 400, 640  # forty studies, one after the other
    stream, calls = streamed(n, 64 * 64)
    drawn = [len(np.unique(number // study)) for _, number in stream.epoch(np.random.default_rng(0), batches(n, 64))]
    at_random = [len(np.unique(part // study)) for part in np.split(np.random.default_rng(0).permutation(n), n // 64)]
    assert np.mean(drawn) > 0.75 * np.mean(at_random)  # 32 of the forty
    assert all(len(np.unique(samples // BLOCK)) * BLOCK == len(samples) for samples in calls)  # whole blocks


def test_no_more_than_the_buffer_is_in_memory(monkeypatch):
    n, buffer = 64 * 200, 64 * 10
    stream, most = streamed(n, buffer)[0], []
    own = streams._Blocks.batch

    def watched(self, samples):
        batch = own(self, samples)
        most.append(len(self._held))
        return batch

    monkeypatch.setattr(streams._Blocks, "batch", watched)
    assert sum(len(number) for _, number in stream.epoch(np.random.default_rng(0), batches(n, 32))) == n
    assert max(most) <= 10 + 1 + streams._TOGETHER


def test_the_next_batches_are_read_while_a_step_is_computed():
    read = threading.Event()

    def numbers(samples):
        if 640 in samples:  # of a block that no batch of the first read needs
            read.set()
        assert threading.current_thread() is not threading.main_thread()
        return (torch.from_numpy(samples),)

    stream, _ = streamed(64 * 11, 64, place=None, read=numbers)
    stream.order = lambda generator: np.arange(64 * 11)
    epoch = stream.epoch(np.random.default_rng(0), batches(64 * 11, 64))
    next(epoch)
    next(epoch)
    next(epoch)
    assert read.wait(10)
    epoch.close()
    assert not any(thread.name.startswith("reader") for thread in threading.enumerate())


@pytest.mark.parametrize("buffer", [64, 256])
def test_a_small_buffer_teaches_what_was_planted_in_samples_that_lie_in_order(buffer):
    x = np.sort(np.random.default_rng(0).normal(size=(1000, 1)).astype("float32"), axis=0)
    stream = Streamed(lambda rows: (torch.from_numpy(x[rows]),), np.arange(1000), buffer=buffer, summary="")
    module = nn.Linear(1, 1)

    def losses(module, batch):
        return {"y": ((module(batch[0]) - 3 * batch[0] + 2).square().mean(), len(batch[0]))}

    settings = TrainingSettings(learning_rate=0.1, max_epochs=15, batch_size=32, schedule="cosine")
    how = {"device": torch.device("cpu"), "generator": np.random.default_rng(0), "label": "test"}
    train(module, losses, stream, None, settings, **how)
    assert [module.weight.item(), module.bias.item()] == pytest.approx([3, -2], abs=0.02)


# ------------------------------------------------------------------------------------------------- GexBERT


def parts(path):
    """Training and validation part on disk, and the same in memory."""
    on_disk, whole = read_cohort(path, backed=True), read_cohort(path)
    return (*gx.split(on_disk, seed=0)[:2], *gx.split(whole, seed=0)[:2])


def bits(model):
    return {name: t for name, t in model.parts()[0].items() if isinstance(t, torch.Tensor)}


@every_kind
def test_a_stream_within_the_buffer_trains_to_the_bits_of_a_training_in_memory(tmp_path, kind):
    train, val, train_here, val_here = parts(write(cohort(), tmp_path / "x.h5ad", kind))
    ours, theirs = gx.GexBERT(**SMALL).fit(train, val), gx.GexBERT(**SMALL).fit(train_here, val_here)
    pd.testing.assert_frame_equal(ours.history_, theirs.history_, check_exact=True)
    assert bits(ours).keys() == bits(theirs).keys()
    assert all(t.equal(bits(theirs)[name]) for name, t in bits(ours).items())


def test_all_of_a_small_cohort_is_fitted_on_wherever_it_lies(path):
    train, val, train_here, val_here = parts(path)
    settings = SMALL | {"fit_samples": 280}
    ours, theirs = gx.GexBERT(**settings).fit(train, val), gx.GexBERT(**settings).fit(train_here, val_here)
    assert all(t.equal(bits(theirs)[name]) for name, t in bits(ours).items())
    default = gx.GexBERT(**{name: value for name, value in SMALL.items() if name != "fit_samples"})
    assert all(t.equal(bits(theirs)[name]) for name, t in bits(default.fit(train_here, val_here)).items())


def test_a_streamed_training_that_was_broken_off_ends_with_the_same_bits(tmp_path, path, monkeypatch):
    train, val, *_ = parts(path)
    settings = SMALL | {"max_epochs": 4, "buffer_samples": 64}
    whole = gx.GexBERT(**settings).fit(train, val)
    own, calls = gexbert.restoration_losses, []

    def interrupted(module, batch, **how):
        calls.append(None)
        if len(calls) == 24:
            raise KeyboardInterrupt
        return own(module, batch, **how)

    monkeypatch.setattr(gexbert, "restoration_losses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gx.GexBERT(**settings).fit(train, val, checkpoint=tmp_path / "run")
    assert (tmp_path / "run").exists()
    monkeypatch.setattr(gexbert, "restoration_losses", own)
    resumed = gx.GexBERT(**settings).fit(train, val, checkpoint=tmp_path / "run")
    pd.testing.assert_frame_equal(resumed.history_, whole.history_, check_exact=True)
    assert all(t.equal(bits(whole)[name]) for name, t in bits(resumed).items())


def test_a_training_does_not_go_on_with_another_file(tmp_path, path):
    train, val, *_ = parts(path)
    gx.GexBERT(**SMALL).fit(train, val, checkpoint=tmp_path / "run")
    other = cohort()
    other.X = other.X + np.float32(0.5)
    changed, held, *_ = parts(write(other, tmp_path / "other.h5ad"))
    with pytest.raises(ValueError, match=r"begun otherwise: .*training data \(280 x 30 in a file, hash \w+ there"):
        gx.GexBERT(**SMALL).fit(changed, held, checkpoint=tmp_path / "run")


def test_what_the_reader_finds_wrong_ends_the_training(tmp_path):
    data = cohort()
    train, val, *_ = parts(write(data, tmp_path / "x.h5ad"))
    chosen = train.obs_names[backed.drawn(280, 80, 0)]
    unseen = train.obs_names.difference(chosen)[0]
    data.X[data.obs_names.get_loc(unseen)] = np.nan
    path = write(data, tmp_path / "x.h5ad")
    with pytest.warns(CohortWarning, match="1 sample has no expression value"):
        train, val, *_ = parts(path)
    with pytest.raises(ValueError, match=f"1 training samples have no value of any training gene, first {unseen}"):
        gx.GexBERT(**SMALL).fit(train, val)
    data.X[data.obs_names.get_loc(unseen)] = 1.0
    train, val, *_ = parts(write(data, path))
    data.X[data.obs_names.get_loc(unseen), 3] = np.inf
    write(data, path)
    with pytest.raises(ValueError, match=f"holds infinite values, first in sample {unseen}"):
        gx.GexBERT(**SMALL).fit(train, val)
    with pytest.raises(ValueError, match="280 samples are in the training and the validation cohort"):
        gx.GexBERT(**SMALL).fit(train, train)


@pytest.fixture(scope="module")
def model():
    return gx.GexBERT(**SMALL).fit(cohort(150, seed=5))


def results(model, data):
    imputed = model.impute(data)
    return {
        "imputed": imputed.to_df(),
        "sd": imputed.to_df("sd"),
        "restored": model.restore(data, GENES[5:8]),
        "embedded": model.embed(data),
        "attention": model.attention(data),
    }


def test_a_cohort_on_disk_is_imputed_embedded_and_explained_part_by_part(tmp_path, model, monkeypatch):
    data = cohort(150)[:, GENES[:25]].copy()
    data.var_names = [*GENES[:24], "stranger"]
    path = write(data, tmp_path / "x.h5ad")
    expected, remarks = said(lambda: results(model, read_cohort(path)) | {"obs": model.impute(read_cohort(path)).obs})
    monkeypatch.setattr(tally, "_CELLS", 30 * 40)  # parts of 32 samples
    sizes, own = [], model._score
    monkeypatch.setattr(model, "_score", lambda raw, samples: sizes.append(len(raw)) or own(raw, samples))
    on_disk = read_cohort(path, backed=True)
    found, notes = said(lambda: results(model, on_disk) | {"obs": model.impute(on_disk).obs})
    assert notes == remarks
    assert sizes == 5 * [32, 32, 32, 32, 22]
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)


def test_an_imputed_cohort_that_would_not_fit_into_memory_is_refused(path, model, monkeypatch):
    on_disk = read_cohort(path, backed=True)
    monkeypatch.setattr(backed.os, "sysconf", {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 1024}.get)
    with pytest.raises(ValueError, match=r"impute some samples at a time, as in impute\(cohort\[:10_000\]\)"):
        model.impute(on_disk)
    assert model.impute(on_disk[:100]).n_obs == 100


# ---------------------------------------------------------------------------------------- models with labels


def test_txt_reads_its_genes_and_no_others(path, monkeypatch):
    on_disk, whole = read_cohort(path, backed=True), read_cohort(path)
    tasks = [gx.Classification("kind"), gx.Regression("age")]
    train, val, test = gx.split(on_disk, tasks)
    genes = gx.select_genes(train, n=6)
    read, own = [], backed.ExpressionFile.raw

    def watched(self, samples, *more):
        x = own(self, samples, *more)
        read.append((x.shape, list(self.genes)))
        return x

    monkeypatch.setattr(backed.ExpressionFile, "raw", watched)
    settings = {"preset": "quick", "max_epochs": 2, "device": "cpu"}
    ours = gx.TxT(tasks, **settings).fit(on_disk[train.obs_names, genes], val)
    predicted = ours.predict(test)
    assert read == [((part.n_obs, 6), genes) for part in (train, val, test)]  # each once
    train, val, test = gx.split(whole, tasks)
    theirs = gx.TxT(tasks, **settings).fit(train[:, genes].copy(), val).predict(test)
    pd.testing.assert_series_equal(predicted["age"].values, theirs["age"].values, check_exact=True)
    pd.testing.assert_frame_equal(predicted["kind"].probabilities, theirs["kind"].probabilities, check_exact=True)


def test_every_other_model_reads_what_it_is_given(path):
    tasks = [gx.Regression("age")]
    train, val, test = gx.split(read_cohort(path, backed=True), tasks)
    here = gx.split(read_cohort(path), tasks)
    for model in (gx.baselines.LinearModel, lambda tasks: gx.OnSelectedGenes(gx.baselines.LinearModel(tasks), n=9)):
        ours = model(tasks).fit(train, val).predict(test)["age"].values
        theirs = model(tasks).fit(*here[:2]).predict(here[2])["age"].values
        pd.testing.assert_series_equal(ours, theirs, check_exact=True)


# ---------------------------------------------------------------------------------------------------- memory


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tally, "_CELLS", 100_000)
    monkeypatch.setattr(gx.genes, "_DRAWN", 200)
    peaks, genes = [], [f"G{j}" for j in range(800)]
    for n in (2000, 8000):
        x = np.random.default_rng(0).standard_normal((n, 800), dtype="float32") * np.linspace(
            1, 5, 800, dtype="float32"
        )
        whole = ad.AnnData(x, obs=pd.DataFrame(index=[f"p{i}" for i in range(n)]), var=pd.DataFrame(index=genes))
        scaler = Scaler.fit(x[:200], method="zscore")
        levels = Levels.fit(scaler.standardise(x[:200]), n_levels=8)
        path = write(whole, tmp_path / "x.h5ad")
        del x, whole
        tracemalloc.start()
        train, *_ = gx.split(read_cohort(path, backed=True))
        gx.select_genes(train, n=5)
        stream = training_samples(train, np.zeros(train.n_obs, int), scaler, levels, 128)
        slices = batches(train.n_obs, 32)
        assert sum(len(score) for score, *_ in stream.epoch(np.random.default_rng(0), slices)) == train.n_obs
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 0.1 * 6000 * 800 * 4  # of the bytes by which the file is larger
