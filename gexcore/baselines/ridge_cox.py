"""Cox regression with a ridge penalty, on genes or on their principal components, quick enough for hundreds of fits.

All penalties are tried at once: one column of coefficients for each, and every step is a product of tables.
Shapes: N samples, E of them with an event, G genes, C components, L settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..tasks import Survival, SurvivalPrediction, Task
from .classical import _folds, _Peer, _survival_prediction

_SPREADS = np.geomspace(0.03, 3.0, 9)  # of log hazards, before the data are seen: one penalty for each
_COMPONENTS = (5, 10, 20, 50, 100, 200)
_MAX_STEPS = 50
MIN_EVENTS = 5  # one for each fold of the inner cross-validation


class RiskSets:
    """Sums over those at risk, and over the events so far, as cumulative sums over samples ordered by time.

    Parameters
    ----------
    time, event : numpy.ndarray, shape (N,)
        Follow-up, longest first, and 1 = event.

    Attributes
    ----------
    events : numpy.ndarray, shape (E,)
        Rows of the samples with an event.
    """

    def __init__(self, time: np.ndarray, event: np.ndarray) -> None:
        self.events = np.flatnonzero(event == 1)
        happened = time[self.events]
        self._last = np.searchsorted(-time, -happened, side="right") - 1  # the last who is still there
        self._so_far = len(happened) - np.searchsorted(-happened, -time, side="left")
        self._first = np.flatnonzero(np.diff(happened, prepend=np.inf))  # events at one time stand together
        self._n_tied = np.diff(self._first, append=len(happened))

    def at_risk(self, x: np.ndarray) -> np.ndarray:
        """Sums of x (N, ...) over the samples at risk at each event, (E, ...)."""
        return np.cumsum(x, axis=0)[self._last]

    def at_risk_in_turn(self, x: np.ndarray) -> np.ndarray:
        """As :meth:`at_risk`, but of d events at one time the l-th finds l/d of them gone (Efron 1977)."""
        sums, tied = self.at_risk(x), np.repeat(self._n_tied, self._n_tied)
        rows = np.flatnonzero(tied > 1)
        gone = (np.arange(len(tied)) - np.repeat(self._first, self._n_tied)) / tied
        together = np.repeat(np.add.reduceat(x[self.events], self._first, axis=0), self._n_tied, axis=0)
        sums[rows] -= gone[rows, None] * together[rows]
        return sums

    def so_far(self, x: np.ndarray) -> np.ndarray:
        """Sums of x (E, ...) over the events up to the time of each sample, (N, ...)."""
        sums = np.cumsum(x[::-1], axis=0)
        return np.concatenate([np.zeros_like(sums[:1]), sums])[self._so_far]

    def log_likelihood(self, log_hazard: np.ndarray) -> np.ndarray:
        """Breslow's log partial likelihood (L,) of log hazards (N, L)."""
        most = log_hazard.max(axis=0)
        return (log_hazard[self.events] - most - np.log(self.at_risk(np.exp(log_hazard - most)))).sum(axis=0)


def check_events(task: Task, labels: pd.DataFrame) -> None:
    """Refuse labels without missing ones from which no Cox model can be learned."""
    if task.kind != "survival":
        message = f"a Cox model needs a Survival task, not {task.name} ({task.kind})"
        raise TypeError(message)
    if (n := int(labels["event"].sum())) < MIN_EVENTS:
        message = (
            f"task {task.name!r} has {n} events among its {len(labels)} labelled training samples; a Cox model needs "
            f"{MIN_EVENTS} or more"
        )
        raise ValueError(message)


@dataclass(frozen=True, eq=False)
class CoxFit:
    """A fitted Cox model: ``coefficient`` (G,) of scaled genes less ``centre`` (G,), and the cumulative ``hazard`` at
    the event ``times`` of a sample in the centre. ``penalty`` and ``n_components`` are those that were used.
    """

    coefficient: np.ndarray
    centre: np.ndarray
    times: np.ndarray
    hazard: np.ndarray
    penalty: float
    n_components: int


class RidgeCox(_Peer):
    """Cox regression on scaled expression, or on its principal components, with a ridge penalty.

    Parameters
    ----------
    task : Survival or a sequence of them
        What to predict.
    n_components : int, "tuned" or None
        Principal components of the labelled training samples that are kept, or as many as there are if they are
        fewer; "tuned" chooses among 5 to 200 together with the penalty. None keeps the genes.
    penalty : float, optional
        Weight of half the sum of squared coefficients against the log partial likelihood. None chooses it.
    clip : float or None
        Largest absolute z-score of a gene.
    seed : int
        Draws the folds of the inner cross-validation.

    Attributes
    ----------
    models_ : dict of str to CoxFit
        By task: the coefficients, the penalty and the number of components.

    Notes
    -----
    The penalty is the one of best cross-validated partial likelihood (Verweij and van Houwelingen 1993), five folds
    stratified by event. Of nine that are tried, the weakest leaves log hazards a standard deviation of 3 before the
    data are seen, the strongest one of 0.03. Components keep their variances, so a ridge penalty shrinks the small ones
    most, and all of them together give the model of the genes. Ties are Breslow's, and so is the baseline.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Survival("os", time="os_time", event="os_event")
    >>> train, _, test = gx.split(cohort, task, seed=0)
    >>> RidgeCox(task, n_components=20).fit(train).predict(test)["os"].risk.shape
    (80,)
    """

    def __init__(
        self,
        task: Survival | Sequence[Survival],
        *,
        n_components: int | str | None = None,
        penalty: float | None = None,
        clip: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(task, clip=clip, seed=seed)
        counts = isinstance(n_components, int) and n_components > 0
        if not (counts or n_components in (None, "tuned")):
            message = f"n_components is a positive number, 'tuned' or None, not {n_components!r}"
            raise ValueError(message)
        if penalty is not None and not penalty > 0:
            message = f"penalty is a positive number or None, not {penalty!r}"
            raise ValueError(message)
        self.n_components, self.penalty = n_components, penalty

    def _fit_task(self, task: Survival, x: np.ndarray, labels: pd.DataFrame) -> CoxFit:
        check_events(task, labels)
        order = np.argsort(-labels["time"].to_numpy(), kind="stable")
        time, event = labels["time"].to_numpy()[order], labels["event"].to_numpy()[order]
        centre = x.mean(axis=0)
        z, genes = _components((x - centre)[order])
        if self.n_components is not None:
            z = z[:, : max(_COMPONENTS) if self.n_components == "tuned" else self.n_components]
        counts, penalties = self._settings(z)
        best = 0
        if len(counts) > 1:
            folds = _folds(labels["event"], seed=self.seed)[order]
            best = int(np.argmax(_cross_validated(z, time, event, folds, counts=counts, penalties=penalties)))
        k, penalty, sets = int(counts[best]), float(penalties[best]), RiskSets(time, event)
        weights = _solve(z[:, :k], sets, counts=counts[[best]], penalties=penalties[[best]], tolerance=1e-12)
        at_risk = sets.at_risk(np.exp(z[:, :k] @ weights))[:, 0]
        times, first = np.unique(time[sets.events][::-1], return_index=True)
        hazard = np.add.reduceat(1 / at_risk[::-1], first).cumsum()
        return CoxFit(genes[:, :k] @ weights[:, 0], centre, times, hazard, penalty, k)

    def _settings(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of components (L,) and penalties (L,) to choose from."""
        counts = _COMPONENTS if self.n_components == "tuned" else (z.shape[1],)
        counts = np.unique(np.minimum(counts, z.shape[1]))
        variance = (z**2).sum() / len(z)
        penalties = np.array([self.penalty]) if self.penalty is not None else variance / _SPREADS**2
        return np.repeat(counts, len(penalties)), np.tile(penalties, len(counts))

    def _predict_task(self, task: Survival, model: CoxFit, x: np.ndarray, samples: pd.Index) -> SurvivalPrediction:
        risk = (x - model.centre) @ model.coefficient
        curves = np.exp(-np.exp(risk)[:, None] * model.hazard)
        return _survival_prediction(task, risk, model.times, curves, samples)


def _components(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (N, C) of a centred table (N, G), largest first, and their directions (G, C)."""
    wide = x.shape[0] < x.shape[1]
    square, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = np.flatnonzero(square > 1e-10 * square[-1])[::-1]
    size, vectors = np.sqrt(square[kept]), vectors[:, kept]
    return (vectors * size, x.T @ vectors / size) if wide else (x @ vectors, vectors)


def _cross_validated(
    z: np.ndarray, time: np.ndarray, event: np.ndarray, folds: np.ndarray, *, counts: np.ndarray, penalties: np.ndarray
) -> np.ndarray:
    """(L,): what the samples of a fold add to the log partial likelihood of a model that has not seen them, summed."""
    everyone, total = RiskSets(time, event), np.zeros(len(penalties))
    for fold in np.unique(folds):
        rest = folds != fold
        sets = RiskSets(time[rest], event[rest])
        log_hazard = z @ _solve(z[rest], sets, counts=counts, penalties=penalties, tolerance=1e-4)
        total += everyone.log_likelihood(log_hazard) - sets.log_likelihood(log_hazard[rest])
    return total


def _solve(z: np.ndarray, sets: RiskSets, *, counts: np.ndarray, penalties: np.ndarray, tolerance: float) -> np.ndarray:
    """Coefficients (C, L) of the first ``counts`` components, by Newton steps that are halved where they overshoot.

    ``tolerance`` is the gain in log likelihood that a last step promises.
    """
    n_components, n_settings = z.shape[1], len(penalties)
    used = np.arange(n_components)[:, None] < counts  # (C, L)
    # hazards of a Cox model sum to the number of events: a sample's curvature is E / N on average
    scale = used / (penalties + len(sets.events) / len(z) * (z**2).sum(axis=0)[:, None])
    weights, log_hazard = np.zeros((n_components, n_settings)), np.zeros((len(z), n_settings))
    left = np.arange(n_settings)
    for _ in range(_MAX_STEPS):
        w, f, penalty = weights[:, left], log_hazard[:, left], penalties[left]
        step, f_step, gain = _newton_step(z, sets, w, f, penalty=penalty, used=used[:, left], scale=scale[:, left])
        size, before = np.ones(len(left)), _objective(sets, w, f, penalty)
        while True:
            worse = _objective(sets, w + size * step, f + size * f_step, penalty) < before
            if not (worse & (gain > tolerance)).any():
                break
            size[worse] /= 2
        weights[:, left], log_hazard[:, left] = w + size * step, f + size * f_step
        left = left[gain > tolerance]
        if not left.size:
            break
    return weights


def _objective(sets: RiskSets, weights: np.ndarray, log_hazard: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    return sets.log_likelihood(log_hazard) - penalty / 2 * (weights**2).sum(axis=0)


def _newton_step(
    z: np.ndarray,
    sets: RiskSets,
    weights: np.ndarray,
    log_hazard: np.ndarray,
    *,
    penalty: np.ndarray,
    used: np.ndarray,
    scale: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton's step (C, L), what it adds to the log hazards (N, L), and half of what it promises to gain (L,).

    The system is solved by conjugate gradients: the matrix, one for each setting, is never formed.
    """
    hazard = np.exp(log_hazard - log_hazard.max(axis=0))
    at_risk = sets.at_risk(hazard)
    cumulative = sets.so_far(1 / at_risk)
    residual = -hazard * cumulative
    residual[sets.events] += 1
    slope = used * (z.T @ residual - penalty * weights)

    step, f_step = np.zeros_like(slope), np.zeros_like(log_hazard)
    left, direction = slope, scale * slope
    square = first = (left * direction).sum(axis=0)
    for _ in range(len(slope)):
        f = z @ direction
        curved = hazard * (cumulative * f - sets.so_far(sets.at_risk(hazard * f) / at_risk / at_risk))
        curved = used * (z.T @ curved + penalty * direction)
        length = _ratio(square, (direction * curved).sum(axis=0))
        step, f_step = step + length * direction, f_step + length * f
        left = left - length * curved
        towards = scale * left
        before, square = square, (left * towards).sum(axis=0)
        if (square <= 1e-4 * first).all():
            break
        direction = towards + _ratio(square, before) * direction
    return step, f_step, (slope * step).sum(axis=0) / 2


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
