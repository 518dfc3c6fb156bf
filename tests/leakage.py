"""What a fit has learned, and samples spoilt so that a fit which sees them learns something else."""

import copy
import functools
import inspect
from collections.abc import Mapping
from numbers import Number

import numpy as np
import pandas as pd
import torch

# ------------------------------------------------------------------------------------------ what was learned


def fitted_state(thing, path="model") -> dict[str, np.ndarray]:
    """Every number and word an object holds, by its path; what has no parts and could not be pickled is refused."""
    if isinstance(thing, np.ndarray) and thing.dtype == object:
        thing = {"shape": thing.shape, "cells": thing.ravel().tolist()}
    if isinstance(thing, torch.Tensor | np.ndarray | pd.Index | np.generic | Number | str):
        return {path: np.asarray(thing)}
    if isinstance(thing, pd.Series | pd.DataFrame):
        thing = {"axes": thing.axes, "values": thing.to_numpy()}
    elif isinstance(thing, torch.nn.Module):
        thing = thing.state_dict()
    elif isinstance(thing, list | tuple):
        thing = dict(enumerate(thing))
    elif thing is None or isinstance(thing, type) or inspect.isroutine(thing):
        return {}
    elif not isinstance(thing, Mapping) and hasattr(thing, "__dict__"):
        lazy = {name for name, part in vars(type(thing)).items() if isinstance(part, functools.cached_property)}
        thing = {name: part for name, part in vars(thing).items() if name not in lazy}  # computed when asked for
    elif not isinstance(thing, Mapping):  # compiled, as the trees of scikit-learn are: what pickle would write
        thing = dict(enumerate(thing.__reduce_ex__(4)[1:]))
    return {
        name: value
        for key, part in thing.items()
        if key != "_time_fit_was_called"  # lifelines notes the hour
        for name, value in fitted_state(part, f"{path}.{key}").items()
    }


def without_validation(model):
    """The same model, of whose history only the losses of training samples are left."""
    bare = copy.copy(model)
    for name, part in vars(model).items():
        if name == "history_":
            bare.history_ = part.query("split == 'train'").reset_index(drop=True)
        elif name in ("model", "representation") and hasattr(part, "__dict__"):  # of a wrapper
            setattr(bare, name, without_validation(part))
    return bare


def assert_same(ours, theirs):
    """Two states agree to the bit."""
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        np.testing.assert_array_equal(value, theirs[path], strict=True, err_msg=path)


def assert_nothing_leaks(fit, clean, spoilt, *, compare=fitted_state):
    """``fit`` learns from the spoilt samples outside training what it learned, ``clean``, from the true ones."""
    assert_same(compare(fit(spoilt)), compare(clean))


# ------------------------------------------------------------------------------------------- spoilt samples


def planted(cohort, rows, gene):
    """A meaningless gene now tells the subtype and death of some samples, and dwarfs all others there."""
    spoilt = cohort.copy()
    answer = 10 * spoilt.obs["subtype"].astype("category").cat.codes + 5 * (spoilt.obs["os_event"] == 1)
    spoilt.X[rows, spoilt.var_names.get_loc(gene)] = answer.to_numpy()[rows]
    return spoilt


def mislabelled(cohort, rows):
    """Labels of some samples become unknown, upside down, far too long, or a class of their own."""
    spoilt, ids = cohort.copy(), cohort.obs_names[rows]
    spoilt.obs["subtype"] = spoilt.obs["subtype"].astype(object)
    spoilt.obs.loc[ids, "subtype"] = "a class of the future"
    spoilt.obs.loc[ids, "os_time"] *= 1000
    spoilt.obs.loc[ids[::2], ["os_time", "os_event", "age"]] = np.nan
    spoilt.obs.loc[ids[1::2], "age"] = 120 - spoilt.obs.loc[ids[1::2], "age"]
    return spoilt


def absurd(cohort, rows):
    """Expression of some samples becomes huge, that of every other one is missing but for a gene."""
    spoilt = cohort.copy()
    places = np.flatnonzero(rows)
    spoilt.X[places] = 1e6
    spoilt.X[places[::2], 1:] = np.nan
    return spoilt
