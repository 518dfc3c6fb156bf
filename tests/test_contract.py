"""What every estimator of the package promises, clause by clause, to whoever fits it."""

import copy
import importlib
import inspect
import pkgutil
import random
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from contract import AGE, ESTIMATORS, OS, SUBTYPE, cohort, fitted, results, take
from leakage import assert_same, fitted_state

import gexcore as gx

USES = ("predict", "impute", "embed")
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
TRAIN, VAL, TEST = take(cohort())
SHOWN = TEST.copy()
SHOWN.X[np.random.default_rng(0).random(TEST.shape) < 0.2] = np.nan
# A product of tables adds up in an order that depends on their shape, and a network computes in single precision.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def given():
    """What every fitted estimator gives for the test samples, some cells of which are missing."""
    found = {}

    def of(name):
        if name not in found:
            found[name] = results(fitted(name), SHOWN)
        return found[name]

    return of


def same(ours, theirs, **tolerance):
    """The same tables with the same labels, up to their order; to the bit unless a tolerance is given."""
    assert ours.keys() == theirs.keys()
    for what, table in ours.items():
        other = theirs[what].reindex_like(table)
        np.testing.assert_allclose(table, other, err_msg=what, **(tolerance or {"rtol": 0, "atol": 0}))


def of_samples(tables, ids):
    """The part of tables that some samples have; survival curves are their columns."""
    return {what: table[ids] if what.endswith("survival") else table.loc[ids] for what, table in tables.items()}


def differ(ours, theirs):
    """Some number is another one, beyond rounding."""
    pairs = ((table, theirs[what].reindex_like(table)) for what, table in ours.items())
    return any(not np.allclose(*pair, rtol=1e-6, atol=1e-6) for pair in pairs)


# -------------------------------------------------------------------------------------------- the table


def test_no_estimator_of_the_package_is_missing():
    found = set()
    for module in pkgutil.walk_packages(gx.__path__, "gexcore."):
        if module.name.endswith("__main__"):
            continue
        for thing in vars(importlib.import_module(module.name)).values():
            ours = inspect.isclass(thing) and thing.__module__.startswith("gexcore") and not inspect.isabstract(thing)
            if ours and inspect.isfunction(getattr(thing, "fit", None)) and set(USES) & set(dir(thing)):
                found.add(thing)
    known = {type(entry.make()) for entry in ESTIMATORS.values()}
    assert found == known | {gx.estimator.NeuralEstimator}  # the one that has no network of its own
    assert {vars(gx.baselines)[name] for name in gx.baselines.__all__} < known
    assert {gx.TxT, gx.GexBERT, gx.FineTuned, gx.OnSelectedGenes} < known


# --------------------------------------------------------------------------------------------- before fit


@every_estimator
def test_before_fit_every_use_is_refused_in_the_same_words(name):
    entry = ESTIMATORS[name]
    fresh = entry.make()
    who = entry.refuses or type(fresh).__name__
    uses = [use for use in USES if hasattr(fresh, use)]
    assert entry.use in uses
    for use in uses:
        with pytest.raises(RuntimeError, match=rf"^this {who} is not fitted yet: call fit\(train, val\) first$"):
            getattr(fresh, use)(TEST)


@every_estimator
def test_an_unknown_setting_is_refused_by_name(name):
    with pytest.raises(TypeError, match="colour"):
        ESTIMATORS[name].make(colour="red")


# ---------------------------------------------------------------------------------------- what fit leaves


def surroundings():
    """All that a fit could disturb outside its estimator, but for the cohorts."""
    return {
        "numpy": repr(np.random.get_state()),  # noqa: NPY002 (the state that nothing may touch)
        "random": random.getstate(),
        "torch": torch.get_rng_state().tolist(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": torch.is_grad_enabled(),
        "precision": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warnings": list(warnings.filters),
    }


def unlabelled():
    """Training samples most of which lack a label, some lack all; and validation samples that lack a class."""
    train, val = TRAIN.copy(), VAL.copy()
    ids = train.obs_names
    train.obs.loc[ids[::3], "subtype"] = np.nan
    train.obs.loc[ids[1::5], ["os_time", "os_event"]] = np.nan
    train.obs.loc[ids[2::4], "age"] = np.nan
    train.obs.loc[ids[:2]] = np.nan
    lost = val.obs["subtype"].value_counts().index[-1]
    val.obs.loc[val.obs["subtype"] == lost, "subtype"] = np.nan
    val.obs.loc[val.obs_names[:3]] = np.nan
    return train, val


@every_estimator
def test_some_labels_are_enough_and_another_fit_forgets_them_all(name, given):
    entry = ESTIMATORS[name]
    train, val = unlabelled()
    if not entry.tasks:  # no label is needed at all
        train.obs, val.obs = train.obs[[]], val.obs[[]]
    model = entry.make().fit(train, val)
    found = results(model, SHOWN)
    for what, table in found.items():
        assert np.isfinite(table.to_numpy()).all(), what
    if SUBTYPE in entry.tasks:  # no class is lost
        assert set(found["subtype, probabilities"]) == set(TRAIN.obs["subtype"].dropna())
    if not entry.tasks:
        same(found, given(name))
    assert model.fit(TRAIN, VAL if entry.validation else None) is model
    same(results(model, SHOWN), given(name))
    assert_same(fitted_state(model), fitted_state(fitted(name)))


@every_estimator
def test_the_seed_decides_all_that_is_drawn_and_nothing_around_is_touched(name, given):
    entry, parts = ESTIMATORS[name], [part.copy() for part in (TRAIN, VAL, SHOWN)]
    expected = given(name)
    before = surroundings()
    other = results(entry.make(seed=1).fit(*parts[:2]), parts[2])
    assert surroundings() == before
    for part, untouched in zip(parts, (TRAIN, VAL, SHOWN), strict=True):
        assert_same(*(fitted_state([c.X, c.obs, c.var, dict(c.uns)]) for c in (part, untouched)))
    if not entry.seeded:
        same(other, expected)
    assert entry.chooses or differ(other, expected) == entry.seeded


class BrokenOffError(Exception):
    """A fit ends in the middle."""


@every_estimator
def test_a_fit_that_breaks_off_leaves_the_estimator_as_it_was(name, monkeypatch):
    entry = ESTIMATORS[name]
    model = copy.deepcopy(fitted(name))
    before = fitted_state(copy.deepcopy(model))
    owner, function = entry.last
    run = getattr(owner, function)

    def broken(*args, **kwargs):
        run(*args, **kwargs)
        raise BrokenOffError

    monkeypatch.setattr(owner, function, broken)
    other = TRAIN[:50, 1:].copy()
    other.X += 1.0
    with pytest.raises(BrokenOffError):
        model.fit(other, VAL)
    assert_same(fitted_state(model), before)


@every_estimator
@pytest.mark.parametrize("order", ["order of samples", "order of genes"])
def test_the_order_of_the_training_table_decides_nothing_but_what_is_drawn_by_place(name, order, given):
    entry, rng = ESTIMATORS[name], np.random.default_rng(0)
    why = entry.fit_by.get(order, "")
    if why.startswith("perhaps"):
        return
    rows, columns = rng.permutation(TRAIN.n_obs), rng.permutation(TRAIN.n_vars)
    train = TRAIN[rows].copy() if order == "order of samples" else TRAIN[:, columns].copy()
    found = results(entry.make().fit(train, VAL), SHOWN)
    if why:
        assert differ(found, given(name))
    else:
        same(given(name), found, rtol=1e-6, atol=1e-6)


# -------------------------------------------------------------------------------------------- what is given


@every_estimator
def test_tables_are_labelled_by_the_ids_of_the_samples(name, given):
    entry, ids = ESTIMATORS[name], SHOWN.obs_names
    tables = given(name)
    kinds = {OS: "risk", SUBTYPE: "probabilities", AGE: "values"}
    for task in entry.tasks:
        table = tables[f"{task.name}, {kinds[task]}"]
        assert table.index.equals(ids)
        if task is SUBTYPE:
            assert list(table.columns) == sorted(TRAIN.obs["subtype"].dropna().unique())
            np.testing.assert_allclose(table.sum(axis=1), 1)
        else:
            assert table.name == task.name
    if "os, survival" in tables:
        curves = tables["os, survival"]
        assert curves.columns.equals(ids)
        assert curves.index.name == "time"
        assert (curves.iloc[0] == 1).all()
        assert curves.index[0] == 0
        assert curves.index.is_monotonic_increasing
    if "imputed" in tables:
        assert tables["imputed"].index.equals(ids)
        assert list(tables["imputed"].columns) == list(TRAIN.var_names)
        there = SHOWN.to_df().notna()
        pd.testing.assert_frame_equal(tables["imputed"][there], SHOWN.to_df()[there], check_exact=True)
        assert tables["imputed"].notna().all(axis=None)
    if "embedded" in tables:
        assert tables["embedded"].index.equals(ids)
        assert tables["embedded"].columns.is_unique


@every_estimator
def test_a_sample_gets_the_same_whatever_it_comes_with(name, given):
    model, rng = fitted(name), np.random.default_rng(1)
    shuffled = SHOWN[rng.permutation(SHOWN.n_obs), rng.permutation(SHOWN.n_vars)].copy()
    same(given(name), results(model, shuffled), **ROUNDING)
    for ids in (SHOWN.obs_names[:7], SHOWN.obs_names[[3]]):
        same(of_samples(given(name), ids), results(model, SHOWN[ids].copy()), **ROUNDING)


@every_estimator
def test_labels_are_not_read_and_a_dataframe_will_do(name, given):
    model = fitted(name)
    if ESTIMATORS[name].covariates:
        bare = SHOWN.copy()
        bare.obs = bare.obs.drop(columns="age")
        with pytest.raises(KeyError, match=r"lacks the covariates \['age'\]"):
            model.predict(bare)
        return
    same(given(name), results(model, SHOWN.to_df()))


@every_estimator
def test_a_saved_model_gives_the_same_bits(name, given, tmp_path):
    model = fitted(name)
    if not hasattr(model, "save"):
        assert not isinstance(model, gx.estimator.NeuralEstimator | gx.GexBERT)
        return
    with pytest.raises(RuntimeError, match="is not fitted yet"):
        ESTIMATORS[name].make().save(tmp_path / "never")
    model.save(tmp_path / "model.safetensors")
    for load in (type(model).load, gx.load_model):
        loaded = load(tmp_path / "model.safetensors", device="cpu")
        assert type(loaded) is type(model)
        same(results(loaded, SHOWN), given(name))
        assert (loaded.settings, loaded.seed, repr(loaded)) == (model.settings, model.seed, repr(model))
        pd.testing.assert_frame_equal(loaded.history_, model.history_)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
