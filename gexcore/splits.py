"""Training, validation and test parts of a cohort, stratified by outcome.

A part is an AnnData; which samples it gets depends on their ids, labels and the seed, never on the order of a file.
Several splits make a table, samples x splits, of the words train, val and test, which can be kept and read again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from .cohort import as_cohort
from .files import write_file
from .tables import read_table
from .tasks import Task, check_tasks, first_ids

PARTS = ("train", "val", "test")  # the parts of a split, in order
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
        Copies, rows ordered by sample id; views of a cohort on disk.

    Raises
    ------
    ValueError
        Fractions that are not three shares of 1, a part that would stay empty, samples without a group.
    """
    cohort = _checked(cohort, fractions)
    return take(cohort, _assign(cohort, tasks, seed, fractions, groups))


def split_table(
    cohort: ad.AnnData | pd.DataFrame,
    tasks: Task | Sequence[Task] | None = None,
    *,
    seeds: Sequence[int] = range(10),
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    groups: str | None = None,
) -> pd.DataFrame:
    """Several splits as one table, by default the paper's: ten of 70/10/20.

    Returns
    -------
    pandas.DataFrame
        Samples x seeds, "train", "val" or "test". Column ``s`` is :func:`split` with ``seed=s``.
    """
    cohort = _checked(cohort, fractions)
    return pd.DataFrame({seed: _assign(cohort, tasks, seed, fractions, groups) for seed in seeds})


def cluster_folds(
    cohort: ad.AnnData | pd.DataFrame,
    embedding: pd.DataFrame,
    tasks: Task | Sequence[Task] | None = None,
    *,
    n_folds: int = 5,
    val: float = 0.125,
    seed: int = 0,
) -> pd.DataFrame:
    """Folds of patients who resemble each other: k-means clusters of their embedding, each the test part in turn.

    A model is then judged on a kind of patient it has not seen, which random splits never ask of it. The paper
    clusters its own model's embedding of all patients. That model has seen their labels, so the clusters have, too;
    an embedding made without labels (principal components) gives folds that owe nothing to outcomes.

    Parameters
    ----------
    cohort : AnnData or DataFrame
    embedding : pandas.DataFrame
        Samples x numbers, a row for every sample of the cohort: ``model.embed(cohort)``.
    tasks : sequence of tasks, optional
        What validation parts are stratified by, as in :func:`split`.
    n_folds : int
        Clusters, 2 or more.
    val : float
        Share of the patients outside the test cluster who form the validation part.
    seed : int

    Returns
    -------
    pandas.DataFrame
        Samples x folds (1 is the largest cluster), "train", "val" or "test".

    Raises
    ------
    ValueError
        Samples without a row of finite numbers, too few samples (or different ones) for so many folds.
    """
    cohort = as_cohort(cohort, backed=True)
    cohort = cohort[np.sort(cohort.obs_names.to_numpy(dtype=object))]
    absent = cohort.obs_names.difference(embedding.index)
    if len(absent):
        message = f"{len(absent)} samples have no row in the embedding, first {first_ids(absent)}"
        raise ValueError(message)
    embedding = embedding.loc[cohort.obs_names]
    wrong = embedding.index[embedding.index.duplicated() | ~np.isfinite(embedding).all(axis=1)]
    if len(wrong):
        message = f"{len(wrong)} rows of the embedding are repeated or not finite, first {first_ids(wrong)}"
        raise ValueError(message)
    if not 2 <= n_folds <= cohort.n_obs // 2 or not 0 < val < 1:
        message = f"n_folds must be 2 to half the {cohort.n_obs} samples and val a share, not {n_folds} and {val}"
        raise ValueError(message)
    x = embedding.to_numpy(float)
    if (n_kinds := len(np.unique(x, axis=0))) < n_folds:
        message = f"{n_folds} clusters need as many different patients; the embedding has {n_kinds} different rows"
        raise ValueError(message)
    labels = KMeans(n_folds, n_init=10, random_state=seed).fit_predict(x)
    sizes = np.bincount(labels, minlength=n_folds)
    n_rest = cohort.n_obs - sizes.max()
    if max(1, round(val * n_rest)) >= n_rest:
        message = f"the largest cluster leaves {n_rest} samples, too few for a training part besides val={val}"
        raise ValueError(message)
    strata = _strata(cohort.obs, () if tasks is None else check_tasks(tasks))
    rng = np.random.default_rng(seed)
    folds = {}
    for fold, cluster in enumerate(np.argsort(-sizes, kind="stable"), 1):
        parts = pd.Series("test", index=cohort.obs_names, dtype=object)
        rest = strata[labels != cluster]
        train, held = _halves(rest, None, max(1, round(val * len(rest))), rng)
        parts[train.index], parts[held.index] = "train", "val"
        folds[fold] = parts
    return pd.DataFrame(folds)


def take(cohort: ad.AnnData | pd.DataFrame, parts: pd.Series) -> tuple[ad.AnnData, ad.AnnData, ad.AnnData]:
    """The training, validation and test samples of one split.

    Parameters
    ----------
    cohort : AnnData or DataFrame
    parts : pandas.Series
        "train", "val" or "test" for every sample: a column of a table of splits.

    Returns
    -------
    train, val, test : AnnData
        Copies, rows ordered by sample id; views of a cohort on disk.

    Raises
    ------
    ValueError
        Other samples than those of the cohort, samples that occur twice, or other words.
    """
    if not isinstance(parts, pd.Series):
        message = f"parts must be one column of a table of splits, not {type(parts).__name__}"
        raise TypeError(message)
    _check_table(parts.to_frame(), "parts")
    cohort = as_cohort(cohort, backed=True)
    if cohort.isbacked and cohort.is_view:
        message = "a part of a cohort on disk cannot be divided again: divide the whole, or read the part into memory"
        raise ValueError(message)
    here, there = cohort.obs_names, parts.index
    for where, ids in {"cohort": here.difference(there), "split": there.difference(here)}.items():
        if len(ids):
            message = f"cohort and split are of other samples: {len(ids)} only in the {where}, first {first_ids(ids)}"
            raise ValueError(message)
    divided = (cohort[parts.index[parts == part].sort_values()] for part in PARTS)
    return tuple(part if part.isbacked else part.copy() for part in divided)


def write_splits(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a table of splits as .csv, replacing an older file in a single step."""
    path = Path(path)
    if path.suffix.lower() != ".csv":
        message = f"{path}: splits are written as text; give the file the ending .csv"
        raise ValueError(message)
    write_file(path, _check_table(table, "the table").to_csv(index_label="sample", lineterminator="\n"))


def read_splits(path: str | os.PathLike) -> pd.DataFrame:
    """Read a table of splits; ``take(cohort, table[column])`` gives the parts of one of them.

    Raises
    ------
    ValueError
        Samples that occur twice, or words other than train, val and test.
    """
    table = _check_table(read_table(path), str(path))
    numbered = all(str(name).lstrip("-").isdigit() for name in table.columns)
    return table.set_axis(table.columns.astype(int), axis=1) if numbered else table


def _check_table(table: pd.DataFrame, where: str) -> pd.DataFrame:
    wrong = ~table.isin(PARTS)
    if wrong.to_numpy().any() or table.index.has_duplicates:
        ids = table.index[wrong.any(axis=1)]
        fault = f"{len(ids)} samples are in none of the parts {', '.join(PARTS)} of a split, first {first_ids(ids)}"
        if table.index.has_duplicates:
            fault = f"samples occur twice, first {first_ids(table.index[table.index.duplicated()])}"
        message = f"{where} cannot divide a cohort: {fault}"
        raise ValueError(message)
    return table


def _checked(cohort: ad.AnnData | pd.DataFrame, fractions: tuple[float, float, float]) -> ad.AnnData:
    cohort = as_cohort(cohort, backed=True)
    if len(fractions) != 3 or min(fractions) <= 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        message = f"fractions must be three positive shares that sum to 1 (train, val, test), not {fractions}"
        raise ValueError(message)
    return cohort


def _assign(
    cohort: ad.AnnData,
    tasks: Task | Sequence[Task] | None,
    seed: int,
    fractions: tuple[float, float, float],
    groups: str | None,
) -> pd.Series:
    """Part of every sample, ordered by id."""
    obs = cohort.obs.loc[np.sort(cohort.obs_names.to_numpy(dtype=object))]
    together = None if groups is None else _groups(obs, groups)
    strata = _strata(obs, () if tasks is None else check_tasks(tasks))

    n = len(obs) if together is None else together.nunique()
    n_val, n_test = (round(share * n) for share in fractions[1:])
    sizes = {"train": n - n_val - n_test, "val": n_val, "test": n_test}
    empty = [part for part, size in sizes.items() if size < 1]
    if empty:
        what = "samples" if together is None else f"groups in column {groups!r}"
        message = f"{n} {what} are too few for fractions {fractions}: {first_ids(empty)} would be empty"
        raise ValueError(message)
    rng = np.random.default_rng(seed)
    rest, test = _halves(strata, together, n_test, rng)
    val = _halves(rest, together, n_val, rng)[1]
    parts = pd.Series("train", index=obs.index, dtype=object)
    parts[val.index], parts[test.index] = "val", "test"
    return parts


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
