"""Gene-wise scaling that is learned on training samples and travels with a model.

Shapes: N samples, G genes.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .tasks import CohortWarning

_BLOCK = 1024  # genes looked at together, in several copies of their values; likewise
_CELLS = 1_000_000


@dataclass(frozen=True, eq=False)
class Scaler:
    """Gene-wise scaling learned on training samples: cut to ``low..high``, then ``(x - shift) * factor``.

    A missing cell becomes ``fill``, the gene's training mean on the scaled scale. A gene that is constant or empty in
    training has ``factor`` 0 and scales to 0 everywhere. ``levels`` are quantiles of the training values, (G, 65); all
    other arrays are (G,). All are float64.
    """

    method: str
    clip: float | None
    low: np.ndarray
    high: np.ndarray
    shift: np.ndarray
    factor: np.ndarray
    fill: np.ndarray
    levels: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, *, method: str, clip: float | None = None) -> Scaler:
        """Learn the scaling from training samples.

        A standard deviation does not survive one absurd cell. "zscore" with ``clip`` therefore first cuts each gene
        at its median +- ``clip`` robust standard deviations, 1.4826 times the median distance from the median (of
        the cells that are off it, so that genes which are mostly zero keep a scale), and takes mean and standard
        deviation of what that leaves.

        Parameters
        ----------
        x : numpy.ndarray
            (N, G) expression of the training samples, NaN where missing.
        method : {"minmax", "zscore"}
            Training range to 0..1 (TxT's), or training mean 0 and standard deviation 1.
        clip : float, optional
            "zscore": scaled values lie within -clip..clip. "minmax": within -clip..1 + clip. None cuts nothing.
        """
        if method not in ("minmax", "zscore"):
            message = f"method must be 'minmax' or 'zscore', not {method!r}"
            raise ValueError(message)
        if clip is not None and not (clip > 0 or (clip == 0 and method == "minmax")):
            message = f"clip must be None or a positive number (0 too for 'minmax'), not {clip!r}"
            raise ValueError(message)
        x = np.asarray(x)
        bounds = np.linspace(0, x.shape[1], max(1, -(-x.shape[1] // _BLOCK)) + 1).round().astype(int)
        parts = [cls._fit(x[:, a:b], method, clip).state() for a, b in itertools.pairwise(bounds)]
        return cls(method, clip, **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    @classmethod
    def _fit(cls, x: np.ndarray, method: str, clip: float | None) -> Scaler:
        x = np.asarray(x, dtype="float64")
        x = np.where(np.isnan(x).all(axis=0), 0.0, x)
        levels = _levels(x)
        least, most = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        constant = least == most
        reach = np.inf if clip is None else clip
        if method == "minmax":
            shift, width = least, np.where(constant, 1.0, most - least)
            low, high = least - reach * width, most + reach * width
        else:
            median = np.nanmedian(x, axis=0)
            distance = np.abs(x - median)
            off = np.where(constant, 1.0, np.where(distance > 0, distance, np.nan))
            robust = 1.4826 * np.nanmedian(off, axis=0)
            low, high = median - reach * robust, median + reach * robust
            x = np.clip(x, low, high)
            shift, width = np.nanmean(x, axis=0), np.where(constant, 1.0, np.nanstd(x, axis=0))
            low, high = np.maximum(low, shift - reach * width), np.minimum(high, shift + reach * width)
        factor = np.where(constant, 0.0, 1.0 / width)
        fill = (np.nanmean(np.clip(x, low, high), axis=0) - shift) * factor
        return cls(method, clip, low, high, shift, factor, fill, levels)

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Scaled expression, (N, G) float32 without NaN."""
        x, scaled = np.asarray(x), np.empty(np.shape(x), dtype="float32")
        size = max(1, _CELLS // x.shape[1])
        for rows in (slice(start, start + size) for start in range(0, len(x), size)):
            z = (np.clip(x[rows].astype("float64"), self.low, self.high) - self.shift) * self.factor  # (n, G)
            scaled[rows] = np.where(np.isnan(z), self.fill, z)
        return scaled

    def standardise(self, x: np.ndarray) -> np.ndarray:
        """As :meth:`transform`, but a missing cell stays NaN."""
        return np.where(np.isnan(x), np.nan, self.transform(x)).astype("float32")

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Scaled values (N, G) in the unit of the cohort, (N, G) float64; a constant gene has its constant."""
        width = np.divide(1.0, self.factor, out=np.zeros_like(self.factor), where=self.factor > 0)
        return z * width + self.shift

    def harmonise(self, x: np.ndarray, method: str) -> np.ndarray:
        """Values (N, G) of a cohort measured elsewhere, mapped gene by gene to the training distribution.

        Both methods compare 65 quantiles of a gene here and in training, so a few absurd cells change nothing.

        Parameters
        ----------
        method : {"quantile", "zscore"}
            ``"quantile"``: a value becomes the training value of its rank, within the outermost quantiles (1/130 and
            129/130). ``"zscore"``: mean and standard deviation of the quantiles become those of training. NaN stays
            NaN.
        """
        if method not in ("quantile", "zscore"):
            message = f"harmonise must be 'quantile' or 'zscore', not {method!r}"
            raise ValueError(message)
        if len(x) < 10:
            message = f"{len(x)} samples are too few to harmonise: their own distribution is needed, of 10 or more"
            raise ValueError(message)
        x = np.asarray(x, dtype="float64")
        own = _levels(np.where(np.isnan(x).all(axis=0), 0.0, x))  # (G, Q)
        if method == "zscore":
            spread = own.std(axis=1)
            factor = np.divide(self.levels.std(axis=1), spread, out=np.zeros_like(spread), where=spread > 0)
            return (x - own.mean(axis=1)) * factor + self.levels.mean(axis=1)
        mapped = np.empty_like(x)
        for gene, (here, there) in enumerate(zip(own, self.levels, strict=True)):
            level, rank, ties = np.unique(here, return_inverse=True, return_counts=True)
            mapped[:, gene] = np.interp(x[:, gene], level, np.bincount(rank, weights=there) / ties)
        return np.where(np.isnan(x), np.nan, mapped)  # np.interp fills the holes of a constant gene

    def check_range(self, x: np.ndarray) -> None:
        """Warn where more than a fifth of the genes lie wholly elsewhere than in training: another scale or unit."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # genes without a value have no median
            z = (np.nanmedian(np.asarray(x, dtype="float64"), axis=0) - self.shift) * self.factor
        far = (z < -1) | (z > 2) if self.method == "minmax" else np.abs(z) > 3
        if far.mean() > 0.2:
            message = (
                f"the median of {far.mean():.0%} of the genes lies far outside the training range; are these values on "
                "the scale the model was trained on (log or not, the same unit)?"
            )
            warnings.warn(message, CohortWarning, stacklevel=2)

    def of(self, genes: Sequence[int]) -> Scaler:
        """The scaling of some of the genes, given by position, in that order."""
        return replace(self, **{name: array[list(genes)] for name, array in self.state().items()})

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays by name; with ``method`` and ``clip`` they are all a checkpoint needs."""
        return {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray], *, method: str, clip: float | None) -> Scaler:
        """The inverse of :meth:`state`."""
        return cls(method, clip, **state)


def _levels(x: np.ndarray) -> np.ndarray:
    """65 evenly spaced quantiles of every gene, (G, 65), the outermost at 1/130 and 129/130."""
    return np.nanquantile(x, (np.arange(65) + 0.5) / 65, axis=0).T
