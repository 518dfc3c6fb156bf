"""Columns of events that may say the opposite: 1 = alive, 1 = censored, 1 and 2, words. Asked about, never guessed.

Shapes: N samples.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from scipy.stats import rankdata

# Words in the name of a column by which its 1 stands for no event, or for one after all.
_NOT_HAPPENED = {"alive", "cens", "censor", "censored", "censoring", "censorship", "living", "survived", "surviving"}
_HAPPENED = {"dead", "death", "deceased", "died", "event", "loss", "no", "non", "not", "uncensored"}
# Words in cells.
_YES, _NO = {"1", "t", "true", "y", "yes"}, {"0", "f", "false", "n", "no"}
_EVENTS = {"dead", "death", "deceased", "died", "event", "progressed", "progression", "recurred", "recurrence"}
_EVENTS |= {"recurred/progressed", "relapse", "relapsed", "uncensored"}
_NONE = {"alive", "censored", "living", "no event", "none", "survived"}
_NONE |= {
    f"{what}{gap}free" for what in ("disease", "event", "progression", "recurrence", "relapse") for gap in ("", " ")
}

_ENOUGH = 10  # samples with and without an event, of which times are compared
_LATE, _VERY_LATE = 0.65, 0.75  # share of pairs with an event and without one in which the event is the later
_SURE = 3.0  # standard errors of that share from one half
_SEVERAL = 6  # kinds of cells that are named in a message
_WRITE = "write 1 where it happened and 0 where it did not (yet)"
_MOST = 0.9  # share of events that are seldom seen unless everybody is followed to the end


def named_for_no_event(column: str) -> bool:
    """Whether a column is called as if its 1 stood for patients without the event.

    Examples
    --------
    >>> [named_for_no_event(name) for name in ("is_alive", "Censoring", "disease_free", "relapseFree")]
    [True, True, True, True]
    >>> [named_for_no_event(name) for name in ("os_event", "dead_or_alive", "not_censored", "disease_free_survival")]
    [False, False, False, False]
    """
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)]
    if len(words) > 1 and words[-1] == "free":
        return True
    return not _NOT_HAPPENED.isdisjoint(words) and _HAPPENED.isdisjoint(words)


def share_above(values: np.ndarray, chosen: np.ndarray) -> float:
    """Share of the pairs of a chosen sample and another in which the chosen one has the higher value, ties half."""
    n, m = int(chosen.sum()), int((~chosen).sum())
    return float((rankdata(values)[chosen].sum() - n * (n + 1) / 2) / (n * m))


def later_events(time: np.ndarray, event: np.ndarray) -> tuple[float, float]:
    """Share of the pairs of a sample with an event and one without in which the event is the later, ties half.

    Also how many standard errors that is from one half (Mann and Whitney's test).
    """
    with_event = event == 1
    n, m = int(with_event.sum()), int((~with_event).sum())
    if not n or not m:
        return 0.5, 0.0
    share = share_above(time, with_event)
    return share, float((share - 0.5) / np.sqrt((n + m + 1) / (12 * n * m)))


def inverted(column: str, time: np.ndarray, event: np.ndarray) -> str:
    """A question where a column of 0 and 1 seems to hold 1 for patients without the event; else empty.

    By name: it is called alive, censored, disease_free..., and its times do not clearly say otherwise (GBSG2 calls
    its events ``cens``). By its times: who is censored when a study ends has been followed for longer than who had
    the event before. So 1 is asked about where it comes later than 0 in more than 65 % of pairs while half or more
    of the samples have it, or in more than 75 % of pairs; or where nine of ten have it and most of those at the end of
    follow-up. Of cohorts in which many are censored early, because they entered late, neither coding shows in the
    times: those of TCGA with few deaths are not asked about, even where they are inverted.

    Parameters
    ----------
    column : str
    time, event : numpy.ndarray, shape (N,)
        Without NaN.
    """
    share, errors = later_events(time, event)
    n, rate = int(event.sum()), float(event.mean()) if len(event) else 0.0
    enough = min(n, len(event) - n) >= _ENOUGH
    late = enough and errors > _SURE and share > (_LATE if rate >= 0.5 else _VERY_LATE)
    early = enough and errors < -_SURE and share < 1 - _LATE
    at_the_end = len(event) >= 2 * _ENOUGH and rate >= _MOST and np.median(time[event == 1]) >= _MOST * time.max()
    if named_for_no_event(column) and not early:
        why = f"is called as if 1 meant no event, and {n:,} of {len(event):,} samples have 1"
    elif late:
        why = f"has 1 for {n:,} of {len(event):,} samples, and these have the longer times ({share:.0%} of pairs)"
    elif at_the_end:
        why = f"has 1 for {n:,} of {len(event):,} samples, most of them at the end of follow-up"
    else:
        return ""
    return f"column {column!r} {why}; if 1 means alive or censored there, invert it: {_set(column, '1 - {}')}"


def recoding(column: str, cells: pd.Series, numbers: pd.Series) -> str:
    """How to turn a column that is not of 0 and 1 into one: a line of Python, with the condition it holds under.

    Parameters
    ----------
    column : str
    cells, numbers : pandas.Series
        As they stand, without missing ones, and as floats, NaN where a cell is no number.

    Examples
    --------
    >>> recoding("status", pd.Series(["Alive", "Dead", "Alive"]), pd.Series(float("nan"), range(3)))
    "if that is what they mean, obs['status'] = obs['status'].map({'Alive': 0, 'Dead': 1})"
    """
    if numbers.notna().all():
        return _of_numbers(column, set(numbers.unique()))
    if not all(isinstance(cell, str) for cell in cells):
        return _WRITE
    kinds = cells.unique()
    if all(re.match(r"[01]:", kind) for kind in kinds):  # as cBioPortal writes it
        return f"if 1 stands before the word for an event, {_set(column, '{}.str[0].astype(float)')}"
    words = [" ".join(re.sub(r"[_-]", " ", kind).lower().split()) for kind in kinds]
    yes, no = (_NO, _YES) if named_for_no_event(column) else (_YES, _NO)
    if len(words) > _SEVERAL or not _EVENTS | _NONE | yes | no >= set(words):
        return _WRITE
    code = {kind: int(word in _EVENTS | yes) for kind, word in zip(kinds, words, strict=True)}
    return f"if that is what they mean, {_set(column, '{}')}.map({code})"


def _of_numbers(column: str, numbers: set[float]) -> str:
    if numbers <= {1, 2}:
        return f"if 1 is censored and 2 the event, as in R's survival, {_set(column, '{}.astype(float) - 1')}"
    if numbers <= {0, 1, 2}:
        return f"if 2 is another event that ends the follow-up, {_set(column, '{}.astype(float).replace(2, 0)')}"
    return _WRITE


def _set(column: str, value: str) -> str:
    name = f"obs[{column!r}]"
    return f"{name} = {value.format(name)}"
