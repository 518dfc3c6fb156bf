"""Patients in groups, and what differs between two of them: what is selected how often, values, attention.

Every table has the size of a difference beside its ``p`` and its ``q``, the false discovery rate over the table by
Benjamini and Hochberg. Clusters differ by construction in what they were found in and in what that was made from:
between clusters of a model's embedding, ``p`` of its attention puts genes in order and proves nothing.
Shapes: N samples, P width of the embedding, G genes or other columns.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.cluster import KMeans

from ..comparison import false_discovery_rate
from ..tasks import first_ids

# ------------------------------------------------------------------------------------------------ groups


def cluster_patients(
    embedding: pd.DataFrame, *, k: int = 2, order_by: pd.Series | None = None, seed: int = 0
) -> pd.Series:
    """Cluster samples by k-means, as in the paper the patients of one subtype in the latent space.

    Columns count as they are: none is standardised.

    Parameters
    ----------
    embedding : pandas.DataFrame, (N, P)
        ``model.embed(cohort)``.
    k : int
        Clusters.
    order_by : pandas.Series, optional
        A number per sample, aligned by id: cluster "1" has the lowest mean, of predicted risk for example. Without it
        cluster "1" is the largest.
    seed : int
        Of the ten starts, of which the best counts.

    Returns
    -------
    pandas.Series, (N,)
        Words from "1" to ``str(k)``, named "cluster".

    Raises
    ------
    ValueError
        Fewer different samples than clusters, a cell without a number, or a sample that ``order_by`` lacks.

    Examples
    --------
    >>> embedding = pd.DataFrame({"x": [0.0, 0.1, 5.0, 5.1, 5.2]}, index=list("abcde"))
    >>> cluster_patients(embedding).to_dict()
    {'a': '2', 'b': '2', 'c': '1', 'd': '1', 'e': '1'}
    """
    x = embedding.to_numpy(float)
    holes = embedding.index[~np.isfinite(x).all(axis=1)]
    if len(holes):
        message = f"{len(holes)} samples have a cell without a number, first {first_ids(holes)}; leave them out"
        raise ValueError(message)
    different = len(np.unique(x, axis=0))
    if not 1 <= k <= different:
        message = f"k is a number of clusters, from 1 to the number of different samples ({different}), not {k}"
        raise ValueError(message)
    order = pd.Series(0.0, embedding.index) if order_by is None else order_by.reindex(embedding.index)
    unordered = order.index[order.isna()]
    if len(unordered):
        message = f"order_by lacks a number for {len(unordered)} of {len(x)} samples, first {first_ids(unordered)}"
        raise ValueError(message)
    code, _ = pd.factorize(KMeans(k, n_init=10, random_state=seed).fit_predict(x))  # 0 is that of the first sample
    key = -np.bincount(code) if order_by is None else np.bincount(code, order) / np.bincount(code)
    number = np.argsort(np.argsort(key, kind="stable"))
    return pd.Series((number[code] + 1).astype(str), embedding.index, dtype=object, name="cluster")


def two_groups(table: pd.DataFrame, groups: pd.Series) -> dict[object, pd.DataFrame]:
    """Rows of a table in the first and in the second group, by the names of the groups.

    Samples are matched by id; those without a group and those the table lacks are left out. Groups are in sorted order
    or that of a categorical.

    Raises
    ------
    ValueError
        An id occurs twice, or not exactly two groups have samples.
    """
    for name, index in (("the table", table.index), ("groups", groups.index)):
        if not index.is_unique:
            twice = index[index.duplicated()].unique()
            message = f"{len(twice)} samples occur more than once in {name}, first {first_ids(twice)}"
            raise ValueError(message)
    known = groups.reindex(table.index).dropna()
    rows = {name: table.loc[known.index[at]] for name, at in known.groupby(known, observed=True).indices.items()}
    if len(rows) != 2:
        counts = ", ".join(f"{len(part)} are of {name!r}" for name, part in rows.items())
        counts = counts or f"none has a group, groups has {first_ids(groups.index) or 'no sample'}"
        message = f"two groups are compared, not {len(rows)}: of {len(table)} samples in the table {counts}"
        raise ValueError(message)
    return rows


# ----------------------------------------------------------------------------------- between two groups


def compare_frequencies(
    selected: pd.DataFrame, groups: pd.Series, *, least_ratio: float = 2.0, level: float = 0.05
) -> pd.DataFrame:
    """Genes that are selected in more samples of one group than of the other: its core genes, if hubs are selected.

    Parameters
    ----------
    selected : pandas.DataFrame of bool, (N, G)
        Whether a gene stands out in a sample (:func:`gexcore.interpret.outstanding`).
    groups : pandas.Series, (N,)
        The group of each sample, aligned by id: two of them.
    least_ratio, level : float
        What makes a core gene: the larger share is more than ``least_ratio`` times the smaller, and q below ``level``.

    Returns
    -------
    pandas.DataFrame
        A row per gene, smallest p first: gene, ``first`` and ``second`` (share of the samples of each group),
        ``n_first`` and ``n_second`` (samples), ``log2_ratio`` (of the second share over the first, with half a sample
        added to the selected and one to all, so that it stays finite at none), ``p`` (Fisher's exact test, two-sided),
        ``q``, and ``core``: the name of the group of which it is a core gene, or "".

    Raises
    ------
    ValueError
        Cells are not True or False, or as in :func:`two_groups`.

    Examples
    --------
    >>> ids = [f"s{i}" for i in range(20)]
    >>> selected = pd.DataFrame({"PLAU": [False] * 10 + [True] * 10, "MYC": [True, False] * 10}, index=ids)
    >>> found = compare_frequencies(selected, pd.Series(["low"] * 10 + ["high"] * 10, ids))
    >>> found[["gene", "first", "second", "p"]].round(4)
       gene  first  second    p
    0  PLAU    1.0     0.0  0.0
    1   MYC    0.5     0.5  1.0
    >>> found["core"].tolist()
    ['high', '']
    """
    other = selected.columns.difference(selected.select_dtypes("bool").columns, sort=False)
    if len(other):
        message = f"selected holds True and False; {len(other)} columns hold something else, first {first_ids(other)}"
        raise ValueError(message)
    (first, second), parts = zip(*two_groups(selected, groups).items(), strict=True)
    (n, a), (m, b) = ((len(part), part.sum().to_numpy()) for part in parts)
    counts, row = np.unique(np.stack([a, b]), axis=1, return_inverse=True)  # few of so many genes differ in them
    p = np.array([stats.fisher_exact([[i, n - i], [j, m - j]]).pvalue for i, j in counts.T])[row]
    q = stats.false_discovery_control(p)
    log2_ratio = np.log2((b + 0.5) / (m + 1)) - np.log2((a + 0.5) / (n + 1))
    more = np.where(log2_ratio > 0, str(second), str(first))
    core = np.where((q < level) & (np.abs(log2_ratio) > np.log2(least_ratio)), more, "")
    shares = {"first": a / n, "second": b / m, "n_first": n, "n_second": m}
    table = pd.DataFrame({"gene": selected.columns, **shares, "log2_ratio": log2_ratio, "p": p, "q": q, "core": core})
    return table.sort_values("p", kind="stable").reset_index(drop=True)


def compare_values(values: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Welch's t-test of every column between two groups: expression of genes, attention of pairs, predicted risk.

    Parameters
    ----------
    values : pandas.DataFrame, (N, G)
        Numbers; NaN is left out, column by column.
    groups : pandas.Series, (N,)
        The group of each sample, aligned by id: two of them.

    Returns
    -------
    pandas.DataFrame
        A row per column, in their order: name, ``first`` and ``second`` (means of the groups), ``difference`` (second
        less first), ``t``, ``p``, ``q``, and ``stars`` of p: "***" below 0.001, "**" below 0.01, "*" below 0.05, "ns".
        Without a test, t, p and q are NaN and stars "": less than two values in a group, or two constants. Where both
        are the same constant, t is 0 and p 1.

    Raises
    ------
    ValueError
        As in :func:`two_groups`.

    Examples
    --------
    >>> values = pd.DataFrame({"ESR1": [1.0, 2.0, 3.0, 7.0, 8.0, 9.0]}, index=list("abcdef"))
    >>> compare_values(values, pd.Series(list("xxxyyy"), index=list("abcdef"))).round(3)
       name  first  second  difference      t      p      q stars
    0  ESR1    2.0     8.0         6.0  7.348  0.002  0.002    **
    """
    tested = _welch(*two_groups(values.astype(float), groups).values())
    thresholds = [tested["p"].isna(), *(tested["p"] < limit for limit in (0.001, 0.01, 0.05))]
    table = tested.assign(stars=np.select(thresholds, ["", "***", "**", "*"], "ns"))
    return table.rename_axis("name").reset_index()


# --------------------------------------------------------------------------------- between two networks


def differential_attention(
    after: pd.DataFrame, before: pd.DataFrame, *, paired: bool = True, test_ratio: float = 0.0, level: float = 0.05
) -> pd.DataFrame:
    """Genes that receive more or less attention in one kind of model than in another, a t-test per gene.

    What the test says depends on what a row is. With samples as rows, read by one model of each kind (the paper), it
    asks whether these two trained networks differ. They do: so do two runs of the same model that differ in their
    seed. To hear about the kind of model, give a row per seed or split: the mean over samples of one trained model.

    Parameters
    ----------
    after, before : pandas.DataFrame, (N, G)
        Attention per sample or per trained model, of a multitask and of a single-task model for example. Genes are
        matched by name, those of one table are left out.
    paired : bool
        Rows of the same id belong together (paired t-test); those of one table and, gene by gene, those with a NaN on
        one side are left out. Otherwise Welch's test.
    test_ratio : float
        Where rows are overlapping splits: test samples per training sample, which widens the variance of the mean
        difference (:func:`gexcore.comparison.paired_difference`).
    level : float
        Of ``gains``.

    Returns
    -------
    pandas.DataFrame
        A row per gene, smallest p first: gene, ``before`` and ``after`` (means), ``difference``, ``percent`` (of the
        mean before), ``t``, ``p``, ``q``, ``gains`` (more attention after, and q below ``level``). Without a test (less
        than two rows, or all differences the same and not zero) t, p and q are NaN.

    Raises
    ------
    ValueError
        No gene is shared, there are less than two rows, an id occurs twice, or ``test_ratio`` without pairs.

    Examples
    --------
    >>> before = pd.DataFrame({"PLAU": [1.0, 2.0, 3.0], "MYC": [2.0, 2.0, 2.0]})
    >>> after = before + pd.DataFrame({"PLAU": [1.0, 1.1, 0.9], "MYC": [0.1, -0.1, 0.0]})
    >>> differential_attention(after, before)[["gene", "percent", "p", "gains"]].round(3)
       gene  percent      p  gains
    0  PLAU     50.0  0.003   True
    1   MYC      0.0  1.000  False
    """
    genes = after.columns.intersection(before.columns, sort=False)
    if genes.empty:
        message = (
            f"after and before share no gene: after has {first_ids(after.columns)}, before {first_ids(before.columns)}"
        )
        raise ValueError(message)
    if test_ratio and not paired:
        message = f"test_ratio={test_ratio:g} corrects paired rows of overlapping splits, and paired is False"
        raise ValueError(message)
    repeated = [*after.index[after.index.duplicated()], *before.index[before.index.duplicated()]] if paired else []
    if repeated:
        message = f"{len(repeated)} rows occur again, first {first_ids(repeated)}; paired rows are matched by id"
        raise ValueError(message)
    after, before = after[genes].astype(float), before[genes].astype(float)
    if paired:
        shared = after.index.intersection(before.index, sort=False)
        after, before = after.loc[shared], before.loc[shared]
    if min(len(after), len(before)) < 2:
        what = "rows of the same id" if paired else "rows on each side"
        message = f"2 {what} are the least for a t-test, not {min(len(after), len(before))}"
        raise ValueError(message)
    tested = _paired(before, after, test_ratio) if paired else _welch(before, after)
    tested = tested.rename(columns={"first": "before", "second": "after"})
    percent = 100 * tested["difference"] / tested["before"].where(tested["before"] != 0)
    tested.insert(3, "percent", percent)
    table = tested.assign(gains=(tested["difference"] > 0) & (tested["q"] < level)).rename_axis("gene").reset_index()
    order = np.lexsort([-table["t"].abs(), table["p"]])  # NaN last
    return table.iloc[order].reset_index(drop=True)


# --------------------------------------------------------------------------------------------- the tests


def _welch(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    a, b = first.var() / first.count(), second.var() / second.count()  # NaN with one value
    with np.errstate(invalid="ignore", divide="ignore"):  # constants
        degrees = (a + b) ** 2 / (a**2 / (first.count() - 1) + b**2 / (second.count() - 1))
    return _tested(first.mean(), second.mean(), np.sqrt(a + b), degrees)


def _paired(first: pd.DataFrame, second: pd.DataFrame, test_ratio: float) -> pd.DataFrame:
    difference = second - first
    n = difference.count()
    error = np.sqrt(difference.var() * (1 / n + test_ratio))
    known = difference.notna()
    return _tested(first.where(known).mean(), second.where(known).mean(), error, n - 1)


def _tested(first: pd.Series, second: pd.Series, error: pd.Series, degrees: pd.Series) -> pd.DataFrame:
    """Two means with their t-test; a standard error that is only rounding counts as none."""
    difference, rounding = second - first, 1e-12 * (first.abs() + second.abs())
    t = (difference / error.where(error > rounding)).mask((error <= rounding) & (difference.abs() <= rounding), 0.0)
    p = pd.Series(2 * stats.t.sf(t.abs(), degrees), t.index).mask(t == 0, 1.0)
    means = {"first": first, "second": second, "difference": difference}
    return pd.DataFrame({**means, "t": t, "p": p, "q": false_discovery_rate(p)})
