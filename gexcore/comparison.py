"""What repeated splits say together: predictions averaged over them, and models compared on the same ones.

Shapes: N samples, T times, S splits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from .tasks import SurvivalPrediction


def average_predictions(predictions: Sequence[SurvivalPrediction], *, n_times: int = 100) -> SurvivalPrediction:
    """Average the test predictions of several splits, patient by patient.

    Models of different splits rank different patients on scales of their own, so a risk first becomes the patient's
    rank within its split, from 0 to 1. Curves are averaged as they are, on ``n_times`` equal steps to the longest grid.

    Parameters
    ----------
    predictions : sequence of SurvivalPrediction
        One per split; a patient may occur in any number of them.

    Returns
    -------
    SurvivalPrediction
        Every patient who occurs, sorted by id; ``survival`` is None if any of the predictions has none.
    """
    ranks = pd.concat([p.risk.rank().sub(0.5).div(len(p.risk)) for p in predictions])
    risk = ranks.groupby(level=0).mean().rename("risk")
    if any(p.survival is None for p in predictions):
        return SurvivalPrediction(predictions[0].task, risk)
    times = np.linspace(0, max(p.survival.index[-1] for p in predictions), n_times)
    curves = pd.concat([pd.DataFrame(p.survival_at(times), index=p.survival.columns) for p in predictions])
    survival = curves.groupby(level=0).mean().T  # (T, N)
    return SurvivalPrediction(predictions[0].task, risk, survival.set_axis(pd.Index(times, name="time"), axis=0))


def paired_difference(a: pd.Series, b: pd.Series, *, test_ratio: float, level: float = 0.95) -> dict[str, float]:
    """Mean of ``a - b`` over splits, with the corrected resampled t interval of Nadeau and Bengio (2003).

    Training parts of random splits overlap, so their scores are not independent and the plain paired t-test finds
    differences where there are none. The correction widens the variance of the mean from ``s2 / S`` to
    ``s2 (1 / S + test_ratio)``.

    Parameters
    ----------
    a, b : pandas.Series, (S,)
        Scores of two models, matched by index (the split); splits one of them lacks are left out.
    test_ratio : float
        Test samples per training sample of a split, 0.2 / 0.7 for 70/10/20. 0 gives the plain paired t-test.

    Returns
    -------
    dict
        ``difference``, ``low``, ``high`` (interval at ``level``), ``p`` (two-sided), ``splits``; interval and p are NaN
        with fewer than two splits or where all differences are equal.
    """
    difference = (a - b).dropna()
    n = len(difference)
    error = np.sqrt(difference.var(ddof=1) * (1 / n + test_ratio)) if n > 1 else np.nan
    mean, row = difference.mean(), {"low": np.nan, "high": np.nan, "p": np.nan}
    if error > 0:
        low, high = stats.t.interval(level, n - 1, loc=mean, scale=error)
        row = {"low": low, "high": high, "p": 2 * stats.t.sf(abs(mean) / error, n - 1)}
    return {"difference": mean, **row, "splits": n}
