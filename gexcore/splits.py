"""Training, validation and test parts of a cohort, stratified by outcome.

A part is an AnnData; which samples it gets depends on their ids, labels and the seed, never on the order of a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from .cohort import as_cohort
from .tasks import Task, check_tasks, first_ids

_DRAWS = 100  # random divisions of the groups, of which the best balanced is taken


def split(
    cohort: ad.AnnData | pd.DataFrame,
    tasks: Task | Sequence[Task] | None = None,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    groups: str | None = None,
) -> tuple[ad.AnnData, ad.AnnData, ad.AnnData]:
    """Divide a cohort at random into training, validation and test samples.

    Parameters
    ----------
    cohort : AnnData or DataFrame
        Samples x genes.
    tasks : sequence of tasks, optional
        The event of the first survival task and the class of the first classification task are spread evenly over
        the parts, patients without that label as a class of their own. Combinations too rare for it are pooled.
    seed : int
        The same seed gives the same parts, whatever the order of the rows.
    fractions : tuple of float
        Shares of training, validation and test, together 1.
    groups : str, optional
        Column of ``obs`` (patient, hospital, batch) whose groups stay together. ``fractions`` then counts groups;
        of 100 random divisions the one nearest to the fractions and the strata is taken.

    Returns
    -------
    train, val, test : AnnData
        Copies, rows ordered by sample id.

    Raises
    ------
    ValueError
        Fractions that are not three shares of 1, a part that would stay empty, samples without a group.
    """
    cohort = as_cohort(cohort)
    if len(fractions) != 3 or min(fractions) <= 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        message = f"fractions must be three positive shares that sum to 1 (train, val, test), not {fractions}"
        raise ValueError(message)
    cohort = cohort[np.sort(cohort.obs_names.to_numpy(dtype=object))]
    together = None if groups is None else _groups(cohort.obs, groups)
    strata = _strata(cohort.obs, () if tasks is None else check_tasks(tasks))

    n = cohort.n_obs if together is None else together.nunique()
    n_val, n_test = (round(share * n) for share in fractions[1:])
    sizes = {"train": n - n_val - n_test, "val": n_val, "test": n_test}
    empty = [part for part, size in sizes.items() if size < 1]
    if empty:
        what = "samples" if together is None else f"groups in column {groups!r}"
        message = f"{n} {what} are too few for fractions {fractions}: {first_ids(empty)} would be empty"
        raise ValueError(message)
    rng = np.random.default_rng(seed)
    rest, test = _halves(strata, together, n_test, rng)
    train, val = _halves(rest, together, n_val, rng)
    return tuple(cohort[part.index.sort_values()].copy() for part in (train, val, test))


def _strata(obs: pd.DataFrame, tasks: Sequence[Task]) -> pd.Series:
    """One string per sample: event and class of the first task of each kind."""
    strata = pd.Series("", index=obs.index)
    for kind in ("survival", "classification"):
        task = next((t for t in tasks if t.kind == kind), None)
        if task is not None:
            labels = task.read(obs)
            strata += "|" + (labels["event"] if kind == "survival" else labels).astype(object).map(str)
    return strata


def _groups(obs: pd.DataFrame, column: str) -> pd.Series:
    if column not in obs:
        message = f"groups must name a column of obs; {column!r} is not among {first_ids(obs.columns, 12)}"
        raise KeyError(message)
    missing = obs[column].isna()
    if missing.any():
        message = (
            f"column {column!r} is empty for {missing.sum()} samples, first {first_ids(obs.index[missing])}; "
            "every sample needs a group"
        )
        raise ValueError(message)
    return obs[column].astype(str)


def _halves(
    strata: pd.Series, groups: pd.Series | None, n: int, rng: np.random.Generator
) -> tuple[pd.Series, pd.Series]:
    """All samples (groups) but ``n``, and ``n`` samples (groups), each stratum divided in proportion."""
    state = int(rng.integers(2**32))
    if groups is None:
        return train_test_split(strata, test_size=n, stratify=_pool_rare(strata, n), random_state=state)
    groups = groups[strata.index]
    draws = GroupShuffleSplit(_DRAWS, test_size=n, random_state=state).split(strata, groups=groups)
    members = pd.get_dummies(strata).to_numpy(float)  # (samples, strata)
    wanted = members.sum(axis=0) * n / groups.nunique()
    first, second = min(draws, key=lambda draw: np.sum((members[draw[1]].sum(axis=0) - wanted) ** 2 / wanted))
    return strata.iloc[first], strata.iloc[second]


def _pool_rare(strata: pd.Series, n: int) -> pd.Series:
    """Strata too small to reach both sides become one; if that is still too small it joins the largest."""
    smallest = max(2, math.ceil(len(strata) / min(n, len(strata) - n)))
    rare = strata.map(strata.value_counts()) < smallest
    return strata.mask(rare, "rare" if rare.sum() >= smallest or rare.all() else strata.mode()[0])
