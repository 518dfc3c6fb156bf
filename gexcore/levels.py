"""Expression as a place among the training values of its gene: a level, a normal score, and the way back.

A value becomes the share p of training values below it; its level is the one of L equal shares that p lies in, its
score the standard normal quantile of p. A score that is only known as a normal distribution (mean and sd) says how
probable each level is (an ordered probit), and with that what value to expect.
Shapes: N samples, G genes, L levels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

_BLOCK = 256  # genes scored together


@dataclass(frozen=True, eq=False)
class Levels:
    """Equal shares of the training values, gene by gene.

    ``edges`` (G, L + 1) are their bounds, from the least to the largest value; ``values`` (G, L) the means within;
    ``counts`` (G,) how many values were there. All are float64.
    """

    edges: np.ndarray
    values: np.ndarray
    counts: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, *, n_levels: int) -> Levels:
        """Learn the levels from training samples x (N, G), NaN where missing; every gene has a value somewhere."""
        share = np.linspace(0, 1, n_levels + 1)
        edges, values, counts = [], [], []
        for column in x.T.astype("float64"):
            known = np.sort(column[~np.isnan(column)])
            below = np.concatenate([[0.0], known.cumsum()])  # sum of the first 0 .. n values
            edges.append(np.quantile(known, share))
            values.append(np.diff(np.interp(share * len(known), np.arange(len(below)), below)) * n_levels / len(known))
            counts.append(len(known))
        return cls(np.array(edges), np.array(values), np.array(counts, dtype="float64"))

    def score(self, x: np.ndarray) -> np.ndarray:
        """Normal scores of x (N, G), (N, G) float32; NaN stays NaN.

        Equal training values share the middle of their places. A score lies within those of the half-first and
        half-last of the training values, whatever x is.
        """
        score, least = np.empty(x.shape, dtype="float32"), 0.5 / self.counts[:, None]
        for start in range(0, x.shape[1], _BLOCK):
            genes = slice(start, start + _BLOCK)
            column = np.ascontiguousarray(x[:, genes].T)  # a gene at a time lies in one piece
            out = np.stack([np.interp(c, *shares) for c, shares in zip(column, self._shares[genes], strict=True)])
            out = np.clip(out, least[genes], 1 - least[genes])  # (genes, N)
            score[:, genes] = ndtri(np.where(np.isnan(column), np.nan, out)).T
        return score

    @functools.cached_property
    def _shares(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Different edges of every gene, and the share of training values below each."""
        share, shares = np.linspace(0, 1, self.edges.shape[1]), []
        for edges in self.edges:
            level, place, ties = np.unique(edges, return_inverse=True, return_counts=True)
            shares.append((level, np.bincount(place, weights=share) / ties))
        return shares

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays by name: all a checkpoint needs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Levels:
        """The inverse of :meth:`state`."""
        return cls(**state)


def level_bounds(n_levels: int) -> Tensor:
    """Scores that part neighbouring levels, (L - 1,)."""
    return torch.from_numpy(ndtri(np.arange(1, n_levels) / n_levels)).float()


def level_of(score: Tensor, bounds: Tensor) -> Tensor:
    """Level 0 .. L - 1 of every score."""
    return torch.bucketize(score, bounds)


def expected_value(mean: Tensor, sd: Tensor, values: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """Expectation and standard deviation of a value whose score has the given mean and sd.

    Parameters
    ----------
    mean, sd : Tensor
        Of the score, any shape.
    values : Tensor
        Means of the gene's levels, (..., L); ``bounds`` (L - 1,) as of :func:`level_bounds`.
    """
    above = torch.special.ndtr((mean.unsqueeze(-1) - bounds) / sd.unsqueeze(-1))  # (..., L - 1): beyond each bound
    expectation = values[..., 0] + (above * values.diff(dim=-1)).sum(-1)
    square = values[..., 0] ** 2 + (above * values.square().diff(dim=-1)).sum(-1)
    return expectation, (square - expectation**2).clamp(min=0).sqrt()


def level_loss(mean: Tensor, sd: Tensor, level: Tensor, bounds: Tensor) -> Tensor:
    """Minus log probability of the true level, for every cell."""
    far = bounds.new_tensor([1e4])  # infinity would do but for its gradient
    edge = torch.cat([-far, bounds, far])  # (L + 1,)
    low, high = ((edge[level + i] - mean) / sd for i in (0, 1))
    # In the upper tail both probabilities round to 1: there the mirror image is taken. In the lower tail torch's ndtr,
    # which is 1 + erf, would round to 0.
    flip = low > 0
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    high, low = (0.5 * torch.erfc(-z / math.sqrt(2)) for z in (high, low))
    return -(high - low).clamp(min=1e-12).log()
