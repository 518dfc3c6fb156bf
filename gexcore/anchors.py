"""Survival from a small panel: are genes that matter for it, restored from those that were measured, worth adding?

Anchors are the genes that tell most about survival one by one, chosen on training samples. A Cox model of the observed
genes and the restored anchors stands against one without them, with others restored, and with their true values.
Shapes: N samples, E of them with an event, G genes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import chi2
from tqdm import tqdm

from .baselines.ridge_cox import RidgeCox, RiskSets, check_events
from .cohort import as_cohort
from .metrics import evaluate, without_counts
from .scaling import Scaler
from .tasks import Survival, first_ids

_MAX_STEPS, _TOLERANCE = 40, 1e-10  # Newton steps, and the gain in log likelihood below which they end

# ------------------------------------------------------------------------------------------------ anchors


def univariate_cox(cohort: AnnData, survival: Survival) -> pd.DataFrame:
    """One Cox model for every gene alone, on standardised expression of the samples with a label.

    Parameters
    ----------
    cohort : AnnData
        Training samples: what is chosen by this table must not have seen others.
    survival : Survival
        The outcome.

    Returns
    -------
    pandas.DataFrame
        A row per gene: ``coefficient`` and ``hazard_ratio`` of one standard deviation, ``z`` and ``p`` of the
        likelihood-ratio test (z is the signed root of its statistic). A constant gene has coefficient 0 and p 1.

    Raises
    ------
    ValueError
        Fewer than five events.

    Notes
    -----
    Expression is scaled and cut at five standard deviations (:class:`gexcore.scaling.Scaler`). Ties are Efron's. Where
    the likelihood has no maximum, as for a gene that only the first to die expresses, the coefficient is only some
    large number, but its test stands; a Wald test would call such a gene nothing.

    Examples
    --------
    >>> import gexcore as gx
    >>> table = univariate_cox(gx.load_cohort("demo"), gx.Survival("os", time="os_time", event="os_event"))
    >>> list(table), len(table)
    (['coefficient', 'hazard_ratio', 'z', 'p'], 200)
    """
    cohort = as_cohort(cohort)
    labels = survival.read(cohort.obs).dropna()
    check_events(survival, labels)
    labels = labels.sort_values("time", ascending=False, kind="stable")
    expression = cohort[labels.index].X
    x = Scaler.fit(expression, method="zscore", clip=5.0).transform(expression).astype(float)
    coefficient, gain = _newton(x, RiskSets(labels["time"].to_numpy(), labels["event"].to_numpy()))
    z = np.sign(coefficient) * np.sqrt(2 * gain)
    columns = {"coefficient": coefficient, "hazard_ratio": np.exp(coefficient), "z": z, "p": chi2.sf(2 * gain, 1)}
    return pd.DataFrame(columns, index=cohort.var_names.rename("gene"))


def anchor_genes(train: AnnData, survival: Survival, *, n: int = 50, exclude: Collection[str] = ()) -> list[str]:
    """The genes that tell most about survival one by one: the smallest p of :func:`univariate_cox`, smallest first.

    Parameters
    ----------
    train : AnnData
        Training samples.
    survival : Survival
    n : int
        How many.
    exclude : collection of str
        Genes that are not wanted: those already observed.
    """
    train = as_cohort(train)
    left = train.n_vars - train.var_names.isin(list(exclude)).sum()
    if not 1 <= n <= left:
        message = f"n is a number of genes from 1 to the {left} that are not excluded, not {n}"
        raise ValueError(message)
    return _leading(univariate_cox(train, survival), n, exclude)


def _leading(table: pd.DataFrame, n: int, exclude: Collection[str] = ()) -> list[str]:
    strength = table["z"].abs().drop(exclude, errors="ignore").sort_index()  # p may be too small for a number
    return strength.sort_values(ascending=False, kind="stable").index[:n].tolist()


def _newton(x: np.ndarray, sets: RiskSets) -> tuple[np.ndarray, np.ndarray]:
    """Coefficient (G,) of each gene of x (N, G) alone, and its gain in log partial likelihood over none (G,)."""
    b = np.zeros(x.shape[1])
    start, slope, curvature = _partial_likelihood(x, sets, b)
    best, step = start.copy(), _step(slope, curvature)
    left = np.flatnonzero(step)
    for _ in range(_MAX_STEPS):
        if not left.size:
            break
        here = x if left.size == x.shape[1] else x[:, left]
        value, slope, curvature = _partial_likelihood(here, sets, b[left] + step[left])
        better = value > best[left] - _TOLERANCE
        risen, new = left[better], _step(slope, curvature)
        b[risen], best[risen] = b[risen] + step[risen], value[better]
        step[left] = np.where(better, new, step[left] / 2)
        left = left[~better | (np.abs(step[left] * slope) > _TOLERANCE)]
    return b, best - start


def _step(slope: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    step = np.divide(slope, curvature, out=np.sign(slope), where=curvature > 1e-12)
    return np.clip(step, -1.0, 1.0)  # a likelihood without maximum would send it anywhere


def _partial_likelihood(x: np.ndarray, sets: RiskSets, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Efron's log partial likelihood (G,) at coefficients b (G,), its slope and the negative of its curvature."""
    log_hazard = x * b
    most = log_hazard.max(axis=0)
    hazard = np.exp(log_hazard - most)
    total = sets.at_risk_in_turn(hazard)  # (E, G)
    mean = sets.at_risk_in_turn(hazard * x) / total
    square = sets.at_risk_in_turn(hazard * x**2) / total
    value = log_hazard[sets.events] - most - np.log(total)
    return value.sum(axis=0), (x[sets.events] - mean).sum(axis=0), (square - mean**2).sum(axis=0)


# --------------------------------------------------------------------------------------------------- arms


def score_arms(
    train: AnnData,
    test: AnnData,
    survival: Survival,
    restorers: Mapping[str, Any],
    *,
    observed: Sequence[str],
    n_anchors: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict survival from a panel of observed genes, with and without others restored from it.

    Every arm is a :class:`gexcore.baselines.RidgeCox` fitted on the training samples:

    - ``observed only``: what the others have to beat;
    - ``+ anchors restored by NAME``, ``+ random genes restored by NAME``: as many genes more, restored in training and
      test samples from the observed ones alone. The second tells whether it is the anchors or the mere number;
    - ``+ true anchors``, ``+ true random genes``: the same genes measured, the most a restorer can reach;
    - ``Cox-chosen panel``: as many genes as are observed, those that tell most about survival;
    - ``PCA 200``, ``PCA tuned``: components of the observed genes (all of them where they are fewer).

    Parameters
    ----------
    train, test : AnnData
        With all genes; anchors, scaling and penalties are learned from ``train``.
    survival : Survival
        The outcome.
    restorers : mapping of str to imputer
        Name to a fitted one, whose ``impute(cohort, min_coverage=0.0)`` gives the genes it was trained on. It must not
        have seen the test samples; it may have seen others than ``train``.
    observed : sequence of str
        The genes of the panel.
    n_anchors : int
        Genes that are restored. As many random ones are drawn from those that are neither observed nor anchors.
    seed : int
        Draws the random genes and the folds that choose the penalties.

    Returns
    -------
    pandas.DataFrame
        model (the arm), n_observed, task, metric, value: the scores of :func:`gexcore.evaluate`.

    Raises
    ------
    ValueError
        Genes that the training samples, the test samples or a restorer lack, too few genes or events.

    Notes
    -----
    A restored gene is a function of the observed ones. It brings what the restorer has learned from other samples and a
    gentler penalty, never a new measurement. A restorer that was fitted on ``train`` restores those samples better than
    any test sample, most of all one that looks up neighbours and finds the sample itself.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Survival("os", time="os_time", event="os_event")
    >>> train, _, test = gx.split(cohort, task, seed=0)
    >>> restorers = {"gene mean": gx.baselines.GeneMean().fit(train)}
    >>> scores = score_arms(train, test, task, restorers, observed=train.var_names[:64], n_anchors=20)
    >>> scores.query("metric == 'c_index'")["model"].tolist()[:2]
    ['observed only', '+ anchors restored by gene mean']
    """
    train, test = as_cohort(train), as_cohort(test)
    observed = list(observed)
    _check_genes(train, test, observed, n_anchors)
    scores = []
    for arm, model, fitted_on, scored_on in _arms(train, test, survival, restorers, observed, n_anchors, seed):
        found = evaluate(model.fit(fitted_on).predict(scored_on), scored_on, train=fitted_on)
        scores.append(without_counts(found).assign(model=arm, n_observed=len(observed)))
    return pd.concat(scores, ignore_index=True)[["model", "n_observed", "task", "metric", "value"]]


def compare_arms(
    divisions: Iterable[tuple[AnnData, AnnData, Mapping[str, Any]]],
    survival: Survival,
    *,
    n_observed: Sequence[int] = (64, 256, 1024),
    n_anchors: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Score the arms on repeated divisions of a cohort, for random panels of several sizes.

    Parameters
    ----------
    divisions : iterable of (train, test, restorers)
        As in :func:`score_arms`; a generator fits the restorers of one division at a time.
    survival : Survival
        The outcome.
    n_observed : sequence of int
        Genes of a panel, drawn anew for every division; a larger panel holds the smaller ones of its division.
    n_anchors : int
        As in :func:`score_arms`.
    seed : int
        Draws panels, random genes and inner folds.

    Returns
    -------
    pandas.DataFrame
        model (the arm), seed (the position of the division), n_observed, task, metric, value. One value of
        ``n_observed`` at a time is a table for :func:`gexcore.comparison.differences`.
    """
    tables = []
    bar = tqdm(desc="panels", disable=None, leave=False)
    for position, (train, test, restorers) in enumerate(divisions):
        rng = np.random.default_rng([seed, position])
        order = rng.permutation(np.sort(as_cohort(train).var_names.to_numpy(dtype=object)))
        draw = int(rng.integers(2**32))
        _check_room(max(n_observed), n_anchors, len(order))
        for n in n_observed:
            panel = {"observed": order[:n].tolist(), "n_anchors": n_anchors, "seed": draw}
            tables.append(score_arms(train, test, survival, restorers, **panel).assign(seed=position))
            bar.update()
    bar.close()
    return pd.concat(tables, ignore_index=True)[["model", "seed", "n_observed", "task", "metric", "value"]]


def _arms(
    train: AnnData,
    test: AnnData,
    survival: Survival,
    restorers: Mapping[str, Any],
    observed: list[str],
    n_anchors: int,
    seed: int,
) -> Iterator[tuple[str, RidgeCox, AnnData, AnnData]]:
    """Name, model, training and test samples of every arm."""
    table = univariate_cox(train, survival)
    anchors = _leading(table, n_anchors, observed)
    rest = train.var_names.difference([*observed, *anchors]).to_numpy(dtype=object)  # sorted
    drawn = np.random.default_rng(seed).choice(rest, n_anchors, replace=False).tolist()
    parts, added = (train, test), {"anchors": anchors, "random genes": drawn}

    def arm(genes: list[str], others: Sequence[AnnData] = parts, **options: Any) -> tuple[RidgeCox, AnnData, AnnData]:
        tables = (_joined(part, observed, other, genes) for part, other in zip(parts, others, strict=True))
        return RidgeCox(survival, seed=seed, **options), *tables

    yield "observed only", *arm([])
    for name, restorer in restorers.items():
        restored = [restorer.impute(_hidden(part, observed), min_coverage=0.0) for part in parts]
        _check_restored(name, restored[0], anchors + drawn)
        for what, genes in added.items():
            yield f"+ {what} restored by {name}", *arm(genes, restored)
    for what, genes in added.items():
        yield f"+ true {what}", *arm(genes)
    chosen = _leading(table, len(observed))
    yield "Cox-chosen panel", RidgeCox(survival, seed=seed), *(part[:, chosen].copy() for part in parts)
    yield "PCA 200", *arm([], n_components=200)
    yield "PCA tuned", *arm([], n_components="tuned")


def _hidden(cohort: AnnData, observed: list[str]) -> AnnData:
    """The cohort as a restorer is shown it: all genes, NaN in those not observed, and no clinical column."""
    values = np.where(cohort.var_names.isin(observed), cohort.X, np.nan)
    return AnnData(values.astype(cohort.X.dtype), obs=cohort.obs[[]], var=pd.DataFrame(index=cohort.var_names))


def _joined(cohort: AnnData, observed: list[str], other: AnnData, genes: list[str]) -> AnnData:
    """Observed genes of the cohort and further ones of another table of the same samples."""
    values = np.column_stack([cohort[:, observed].X, other[cohort.obs_names, genes].X])
    return AnnData(values, obs=cohort.obs, var=pd.DataFrame(index=[*observed, *genes]))


# ----------------------------------------------------------------------------------------------- checking


def _check_genes(train: AnnData, test: AnnData, observed: list[str], n_anchors: int) -> None:
    repeated = pd.Index(observed)[pd.Index(observed).duplicated()].unique()
    problems = {
        "of the panel are named twice": repeated,
        "of the panel are not in the training samples": pd.Index(observed).difference(train.var_names, sort=False),
        "of the training samples are not in the test samples": train.var_names.difference(test.var_names, sort=False),
    }
    for problem, genes in problems.items():
        if len(genes):
            message = f"{len(genes)} genes {problem}, first {first_ids(genes)}"
            raise ValueError(message)
    _check_room(len(observed), n_anchors, train.n_vars)


def _check_room(n_observed: int, n_anchors: int, n_genes: int) -> None:
    if n_observed < 1 or n_anchors < 1 or n_observed + 2 * n_anchors > n_genes:
        message = (
            f"{n_observed} observed genes, {n_anchors} anchors and as many random ones must be 1 or more each and fit "
            f"into the {n_genes} genes of the training samples"
        )
        raise ValueError(message)


def _check_restored(name: str, restored: AnnData, genes: list[str]) -> None:
    absent = pd.Index(genes).difference(restored.var_names, sort=False)
    if len(absent):
        message = (
            f"restorer {name!r} does not restore {len(absent)} of the {len(genes)} genes it is asked for, first "
            f"{first_ids(absent)}; fit it on all genes of the training samples"
        )
        raise ValueError(message)
