"""What tests share: torch draws the same numbers in each, whatever ran before; cohorts with planted groups of genes."""

import os

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from commands import trained  # noqa: F401, a fixture of the tests of commands
from hypothesis import settings
from matplotlib import pyplot as plt
from serving import served  # noqa: F401, a fixture of all tests

from gexcore import plots

settings.register_profile("ci", max_examples=50, derandomize=True, deadline=None, database=None)
settings.register_profile("thorough", max_examples=10_000, deadline=None, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def canvas():
    """Figures drawn off screen in the look of the book, closed afterwards."""
    with mpl.rc_context(), mpl.rc_context({"backend": "Agg"}):
        plots.use_theme()
        yield
        plt.close("all")


@pytest.fixture(scope="session")
def planted():
    """Makes cohorts: every group of genes follows a factor, and factors tell the hazard, the subtype and the age."""

    def make(n=320, *, groups, size, free=0, told_by=(0, 1, 2)):
        rng = np.random.default_rng(0)
        factor = rng.normal(size=(n, groups))
        x = np.column_stack([np.repeat(factor, size, axis=1), np.zeros((n, free))])
        x += rng.normal(0, 0.7, x.shape) + rng.uniform(2, 9, x.shape[1])
        risk, kind, age = (factor[:, group] for group in told_by)
        happens, leaves = rng.exponential(20 * np.exp(-1.5 * risk)), rng.uniform(5, 60, n)
        obs = pd.DataFrame(
            {
                "os_time": np.minimum(happens, leaves).round(1),
                "os_event": (happens <= leaves).astype(float),
                "subtype": np.where(kind + rng.normal(0, 0.3, n) > 0, "basal", "luminal"),
                "age": 60 + 8 * age + rng.normal(0, 3, n),
                "tumour": 20 + 5 * risk + rng.normal(0, 3, n),  # a covariate that knows the hazard too
            },
            index=[f"p{i}" for i in range(n)],
        )
        genes = pd.DataFrame(index=[f"g{j}" for j in range(x.shape[1])])
        return ad.AnnData(x.astype("float32"), obs=obs, var=genes)

    return make
