"""Units of time: how long each is, and which one the follow-up of a cohort seems to have, as no column says it."""

from __future__ import annotations

import numpy as np

DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}  # in each
_APART = 8.0  # medians of two cohorts differ by less; days and months differ by 30, months and years by 12


def likely_unit(times: np.ndarray) -> str:
    """The unit that follow-up times of cancer patients seem to have, judged by the longest: a guess.

    Examples
    --------
    >>> likely_unit([0.5, 18.3]), likely_unit([6.0, 220.0]), likely_unit([180.0, 6100.0])
    ('years', 'months', 'days')
    """
    longest = np.max(times)
    return "years" if longest <= 45 else "months" if longest <= 450 else "days"


def differing_units(task: str, times: np.ndarray, past: np.ndarray) -> str:
    """A sentence where the medians of two parts, test and training, are too far apart for one unit; else empty.

    Parameters
    ----------
    task : str
        Name of the survival task.
    times, past : numpy.ndarray
        Follow-up of test and training samples, without NaN.
    """
    if not len(times) or not len(past):
        return ""
    here, there = np.median(times), np.median(past)
    if not max(here, there) > _APART * min(here, there):
        return ""
    units = [likely_unit(times), likely_unit(past)]
    asked = f": {units[0]} here and {units[1]} there?" if units[0] != units[1] else "?"
    return (
        f"task {task!r}: the median follow-up is {here:g} in the test samples and {there:g} in training; is the unit "
        f"another one{asked} Only c_index does not depend on it"
    )
