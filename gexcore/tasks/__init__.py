"""What is predicted: survival, a class or a number, how its labels are read, and what a prediction holds.

A task is a frozen description that names columns of a clinical table. Fitted on training samples it becomes
a target, which turns any table into one float array (NaN where a label is missing) and back. Columns of events that
say the opposite are asked about (``events``).
Shapes: N samples, K time intervals, C classes.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

import numpy as np
import pandas as pd

from . import events


class CohortWarning(UserWarning):
    """Something in the data a reader would want to know, with the decision that was taken."""


def first_ids(ids: Sequence, n: int = 3) -> str:
    """``a, b, c and 7 more``: how every message of the package names samples and genes."""
    shown = ", ".join(_short(str(i)) for i in list(ids)[:n])
    return shown if len(ids) <= n else f"{shown} and {len(ids) - n} more"


def _short(name: str) -> str:
    """A name in one line, however long it is and whatever it holds."""
    name = " ".join(name.split())
    return name if len(name) <= 80 else f"{name[:77]}..."


def counted(n: int, one: str, many: str) -> str:
    """``1 gene is``, ``1,200 genes are``: a number with the words that go with it."""
    return f"{n:,} {one if n == 1 else many}"


# ---------------------------------------------------------------------------------------------- reading


def to_numbers(raw: pd.Series) -> pd.Series:
    """Cells as float64, booleans as 0 and 1; NaN for what is missing and for what is no number."""
    cells = raw.astype(object)
    if pd.api.types.infer_dtype(cells) not in ("string", "floating", "empty"):
        cells = cells.map(_real)
    return pd.to_numeric(cells, errors="coerce").astype(float)


def _real(cell: object) -> float | str:
    """What pandas takes for a number or for none; it stumbles over some objects and takes complex numbers for real."""
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, numbers.Real | Decimal | np.bool_):
        return np.nan
    try:
        return float(cell)
    except OverflowError:
        return np.inf


def _column(obs: pd.DataFrame, column: str, task: str) -> pd.Series:
    if column not in obs:
        message = f"task {task!r} needs column {column!r}; the clinical table has {first_ids(obs.columns, 12)}"
        raise KeyError(message)
    return obs[column]


def _numbers(
    obs: pd.DataFrame, column: str, task: str, *, remedy: str = "leave a cell empty where it is unknown"
) -> pd.Series:
    """A clinical column as float64; cells that are neither numbers nor missing are refused by name."""
    raw = _column(obs, column, task)
    values = to_numbers(raw)
    if (wrong := values.isna() & raw.notna()).any():
        message = (
            f"column {column!r} must hold numbers: {counted(wrong.sum(), 'cell does', 'cells do')} not, first at "
            f"{first_ids(obs.index[wrong])} ({first_ids(raw[wrong].astype(str).unique())}); {remedy}"
        )
        raise ValueError(message)
    if (infinite := np.isinf(values)).any():
        message = f"column {column!r} holds {infinite.sum()} infinite values, first at {first_ids(obs.index[infinite])}"
        raise ValueError(message)
    return values


@dataclass(frozen=True)
class Survival:
    """Time to an event that some patients have not had yet.

    Parameters
    ----------
    name : str
        What predictions and scores are called.
    time : str
        Column of follow-up times, any unit, zero or more.
    event : str
        Column of events: 1 = it happened at that time, 0 = censored there.
    """

    name: str
    time: str
    event: str
    kind: ClassVar[str] = "survival"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.time, self.event)

    def read(self, obs: pd.DataFrame) -> pd.DataFrame:
        """Checked labels: float columns ``time`` and ``event``, both NaN where either is missing.

        Raises
        ------
        ValueError
            Negative times, events other than 0 and 1, cells that are not numbers.
        """
        time = _numbers(obs, self.time, self.name)
        given = _column(obs, self.event, self.name).dropna()
        remedy = events.recoding(self.event, given, to_numbers(given))
        event = _numbers(obs, self.event, self.name, remedy=remedy)
        if (negative := time < 0).any():
            message = (
                f"column {self.time!r} holds {negative.sum()} negative times, first at "
                f"{first_ids(obs.index[negative])}; a time to an event is zero or more"
            )
            raise ValueError(message)
        if (odd := event.notna() & ~event.isin([0.0, 1.0])).any():
            message = (
                f"column {self.event!r} must be 1 (event) or 0 (censored): "
                f"{counted(odd.sum(), 'cell holds', 'cells hold')} "
                f"{first_ids(sorted(event[odd].unique()))}, first at {first_ids(obs.index[odd])}; {remedy}"
            )
            raise ValueError(message)
        if (half := time.isna() ^ event.isna()).any():
            message = (
                f"task {self.name!r}: {half.sum()} samples have only one of {self.time!r} and {self.event!r}, first "
                f"{first_ids(obs.index[half])}; their {self.name!r} label counts as missing"
            )
            warnings.warn(message, CohortWarning, stacklevel=2)
        return pd.DataFrame({"time": time, "event": event}).mask(time.isna() | event.isna())

    def fit(self, obs: pd.DataFrame, *, n_intervals: int = 64, grid: str = "uniform") -> SurvivalTarget:
        """Lay the time grid on the training samples (:class:`SurvivalTarget`).

        Parameters
        ----------
        n_intervals : int
            Number of grid edges, 2 or more. The paper uses 64.
        grid : {"uniform", "quantile"}
            Equal widths up to 1.1 times the longest follow-up (the paper's), or equal shares of the events.

        Warns
        -----
        CohortWarning
            The event seems to be coded the other way round (:func:`gexcore.tasks.events.inverted`), or one time is so
            long that the grid is lost on it.
        """
        if n_intervals < 2:
            message = f"task {self.name!r}: n_intervals is 2 or more, not {n_intervals}"
            raise ValueError(message)
        labels = self.read(obs).dropna()
        if doubt := events.inverted(self.event, labels["time"].to_numpy(), labels["event"].to_numpy()):
            warnings.warn(f"task {self.name!r}: {doubt}", CohortWarning, stacklevel=2)
        happened = labels.loc[labels["event"] == 1, "time"]
        if happened.empty:
            message = f"task {self.name!r} has no event among its {len(labels)} labelled training samples"
            raise ValueError(message)
        if happened.max() == 0:
            message = f"task {self.name!r}: every event is at time 0, so there is no time to learn"
            raise ValueError(message)
        end = 1.1 * labels["time"].max()
        if grid == "uniform":
            edges = np.linspace(0.0, end, n_intervals)
        elif grid == "quantile":
            inner = np.quantile(happened, np.linspace(0, 1, n_intervals)[1:-1])
            edges = np.unique(np.concatenate([[0.0], inner, [end]]))
        else:
            message = f"grid must be 'uniform' or 'quantile', not {grid!r}"
            raise ValueError(message)
        share = np.unique(np.searchsorted(edges, happened, side="right"), return_counts=True)[1].max() / len(happened)
        if share > 0.9 and len(edges) > 4 and len(happened) > 2:
            longest = f"the longest time is {labels['time'].max():g} ({labels['time'].idxmax()})"
            message = (
                f"task {self.name!r}: {share:.0%} of the events fall into one of {len(edges)} time intervals; "
                f"{longest}. Is it in another unit? grid='quantile' copes with long tails"
            )
            warnings.warn(message, CohortWarning, stacklevel=2)
        return SurvivalTarget(self, edges, horizon=float(labels["time"].max()))


@dataclass(frozen=True)
class Classification:
    """One of several classes; ``column`` is ``name`` unless said otherwise."""

    name: str
    column: str | None = None
    kind: ClassVar[str] = "classification"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column or self.name,)

    def read(self, obs: pd.DataFrame) -> pd.Series:
        """Labels as strings without outer blanks, missing where the cell is empty; whole numbers lose their ``.0``."""
        raw = _column(obs, self.columns[0], self.name).astype(object)
        labels = raw.map(lambda v: str(int(v) if isinstance(v, float) and v.is_integer() else v).strip())
        return labels.where(raw.notna() & labels.ne(""), None)

    def fit(self, obs: pd.DataFrame) -> ClassificationTarget:
        """List the classes of the training samples (:class:`ClassificationTarget`)."""
        labels = self.read(obs).dropna()
        classes = tuple(sorted(labels.unique()))
        if len(classes) < 2:
            found = first_ids(classes) or "none"
            message = f"task {self.name!r} needs two classes or more among the training samples, found {found}"
            raise ValueError(message)
        if len(classes) > len(labels) / 2:
            message = f"task {self.name!r} has {len(classes)} classes in {len(labels)} samples: is it a Regression?"
            raise ValueError(message)
        return ClassificationTarget(self, classes)


@dataclass(frozen=True)
class Regression:
    """A number; ``column`` is ``name`` unless said otherwise."""

    name: str
    column: str | None = None
    kind: ClassVar[str] = "regression"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column or self.name,)

    def read(self, obs: pd.DataFrame) -> pd.Series:
        """Labels as floats, NaN where the cell is empty."""
        return _numbers(obs, self.columns[0], self.name)

    def fit(self, obs: pd.DataFrame) -> RegressionTarget:
        """Mean and standard deviation of the training samples (:class:`RegressionTarget`)."""
        labels = self.read(obs).dropna()
        if labels.empty or labels.min() == labels.max():
            message = f"task {self.name!r} is constant or empty among the {len(labels)} labelled training samples"
            raise ValueError(message)
        with np.errstate(over="ignore"):
            mean, sd = float(labels.mean()), float(labels.std(ddof=0))
        if not 0 < sd < np.inf:
            message = (
                f"task {self.name!r}: numbers from {labels.min():g} to {labels.max():g} are too close together or too "
                "far apart to be standardised"
            )
            raise ValueError(message)
        return RegressionTarget(self, mean=mean, sd=sd)


Task = Survival | Classification | Regression
_KINDS: dict[str, type[Task]] = {t.kind: t for t in (Survival, Classification, Regression)}


def check_tasks(tasks: Task | Sequence[Task]) -> tuple[Task, ...]:
    """One task or several, with different names, as a tuple."""
    tasks = (tasks,) if isinstance(tasks, Task) else tuple(tasks)
    if (strangers := [t for t in tasks if not isinstance(t, Task)]) or not tasks:
        message = f"tasks are Survival, Classification or Regression objects, got {strangers or 'none'}"
        raise TypeError(message)
    names = [t.name for t in tasks]
    if len(set(names)) < len(names) or "mean" in names:
        message = f"every task needs its own name, and 'mean' is the mean over tasks; got {names}"
        raise ValueError(message)
    return tasks


# ---------------------------------------------------------------------------------------------- targets


@dataclass(frozen=True)
class SurvivalTarget:
    """A survival task on a time grid fitted to training samples.

    ``edges`` 0 = t_0 < ... < t_{K-1} open K intervals [t_k, t_{k+1}), the last one without end. A time falls
    into the interval that contains it (floor); the published code rounds to the nearest edge instead, which puts
    half of all events one interval late. ``horizon`` is the longest training follow-up.
    """

    task: Survival
    edges: np.ndarray
    horizon: float

    @property
    def n_outputs(self) -> int:
        return len(self.edges) - 1

    def encode(self, obs: pd.DataFrame) -> np.ndarray:
        """(N, 2) float32: interval index and event, NaN where missing."""
        labels = self.task.read(obs)
        interval = np.searchsorted(self.edges, labels["time"], side="right") - 1.0
        return np.column_stack([np.where(labels["time"].isna(), np.nan, interval), labels["event"]]).astype("float32")

    def state(self) -> dict:
        return {"edges": self.edges.tolist(), "horizon": self.horizon}


@dataclass(frozen=True)
class ClassificationTarget:
    """A classification task with the classes of the training samples, in sorted order."""

    task: Classification
    classes: tuple[str, ...]

    @property
    def n_outputs(self) -> int:
        return len(self.classes)

    def encode(self, obs: pd.DataFrame) -> np.ndarray:
        """(N, 1) float32: class index, NaN where missing or never seen in training (warned)."""
        labels = self.task.read(obs)
        index = labels.map({c: i for i, c in enumerate(self.classes)}, na_action="ignore").astype(float)
        if (unseen := index.isna() & labels.notna()).any():
            message = (
                f"task {self.task.name!r}: {unseen.sum()} samples have a class the training samples lack "
                f"({first_ids(sorted(labels[unseen].unique()))}), first {first_ids(obs.index[unseen])}; "
                "their label counts as missing"
            )
            warnings.warn(message, CohortWarning, stacklevel=2)
        return index.to_numpy("float32")[:, None]

    def state(self) -> dict:
        return {"classes": list(self.classes)}


@dataclass(frozen=True)
class RegressionTarget:
    """A regression task standardised with the training mean and standard deviation."""

    task: Regression
    mean: float
    sd: float
    n_outputs: ClassVar[int] = 1

    def encode(self, obs: pd.DataFrame) -> np.ndarray:
        """(N, 1) float32: standardised value, NaN where missing."""
        return ((self.task.read(obs) - self.mean) / self.sd).to_numpy("float32")[:, None]

    def state(self) -> dict:
        return {"mean": self.mean, "sd": self.sd}


Target = SurvivalTarget | ClassificationTarget | RegressionTarget


def target_to_dict(target: Target) -> dict:
    """A fitted target as plain JSON values, for checkpoints."""
    return {"kind": target.task.kind, "task": vars(target.task), "state": target.state()}


def target_from_dict(saved: Mapping) -> Target:
    """The inverse of :func:`target_to_dict`."""
    task, state = _KINDS[saved["kind"]](**saved["task"]), saved["state"]
    if task.kind == "survival":
        return SurvivalTarget(task, np.asarray(state["edges"], dtype=float), state["horizon"])
    if task.kind == "classification":
        return ClassificationTarget(task, tuple(state["classes"]))
    return RegressionTarget(task, **state)


# ------------------------------------------------------------------------------------------ predictions


@dataclass(frozen=True)
class SurvivalPrediction:
    """Predicted survival of N samples.

    ``risk`` is one number per sample, higher = worse. ``survival`` holds probabilities, times x samples, the first row
    1 at time 0; it is None where a method ranks patients only.
    """

    task: Survival
    risk: pd.Series
    survival: pd.DataFrame | None = None

    def survival_at(self, times: Sequence[float]) -> np.ndarray:
        """Survival probability at any times, (N, len(times)), linear between grid times, flat after the last."""
        if self.survival is None:
            message = "this method ranks patients but predicts no survival curve"
            raise ValueError(message)
        grid = self.survival.index.to_numpy(float)
        return np.stack([np.interp(times, grid, curve) for curve in self.survival.to_numpy(float).T])


@dataclass(frozen=True)
class ClassPrediction:
    """Class probabilities, a DataFrame samples x classes."""

    task: Classification
    probabilities: pd.DataFrame

    @property
    def labels(self) -> pd.Series:
        """The most probable class of every sample."""
        return self.probabilities.idxmax(axis=1)


@dataclass(frozen=True)
class ValuePrediction:
    """Predicted values in the label's own unit, a Series over samples."""

    task: Regression
    values: pd.Series


Prediction = SurvivalPrediction | ClassPrediction | ValuePrediction
