"""Closed-form restoration of missing expression: Gaussians of the genes, and factors that explain them.

Expression is standardised per gene and NaN where missing. A missing cell becomes its expectation given the observed
cells of the same sample, with the standard deviation that is left.
Shapes: N samples (n of them with one pattern of missing genes), G genes, O observed and M missing, K components,
F factors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, eigh, solve_triangular
from scipy.special import logsumexp, softmax

_SHRINKAGES = (0.05, 0.1, 0.2, 0.3, 0.5)
_FACTORS = (2, 5, 10, 25, 50, 100, 200)
_PRIOR_SAMPLES = 500  # how many samples the pooled covariance is worth in that of a component
_STARTS = 5  # of a search for groups
_MIN_VARIANCE = 1e-6  # of a gene that is constant in training
_MIN_NOISE = 1e-3  # of a gene that the factors explain wholly
_MAX_STEPS, _TOLERANCE = 200, 1e-5  # of expectation maximisation; log-likelihood per cell


def best_setting(
    values: Sequence,
    fit: Callable[[np.ndarray, float], Callable],
    x: np.ndarray,
    *,
    name: str,
    seed: int,
    n_held: int = 40,
) -> float | int:
    """The setting under which hidden cells of held-out samples are restored with the least squared error.

    A fifth of the samples, ``n_held`` at most, are held out; of each a share of 0.1 to 0.9 of the cells is hidden.
    ``fit(x, value)`` learns from the other samples and returns ``restore``. Along ``values`` the error is taken to fall
    and then to rise: the search ends at the first one that does worse.
    """
    if len(x) < 10:
        message = f"{len(x)} samples are too few to choose {name} by: pass it"
        raise ValueError(message)
    rng = np.random.default_rng(seed)
    held, rest = np.split(rng.permutation(len(x)), [min(n_held, len(x) // 5)])
    truth = x[held]
    hidden = (rng.random(truth.shape) < rng.uniform(0.1, 0.9, (len(held), 1))) & ~np.isnan(truth)
    shown = np.where(hidden, np.nan, truth)
    best, least = values[0], np.inf
    for value in values:
        error = ((fit(x[rest], value)(shown)[0] - truth)[hidden] ** 2).sum()
        if error >= least:
            break
        best, least = value, error
    return best


class _Arrays:
    """A model that is nothing but its arrays."""

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays by name: all a checkpoint needs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """The inverse of :meth:`state`."""
        return cls(**{name: np.asarray(array, dtype="float64") for name, array in state.items()})


# --------------------------------------------------------------------------------------------- Gaussians


@dataclass(frozen=True, eq=False)
class GaussianModel(_Arrays):
    """A Gaussian of all genes, or a mixture of several: ``weights`` (K,), ``means`` (K, G), ``covariances`` (K, G, G).

    A missing cell is restored by linear regression on the observed genes; every component has its own, and the
    observed genes say how much each of them counts.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def fit(
        cls, x: np.ndarray, *, shrinkage: float | None = None, ridge: float = 0.0, n_components: int = 1, seed: int = 0
    ) -> GaussianModel:
        """Mean and shrunk covariance of training samples.

        Parameters
        ----------
        x : numpy.ndarray
            (N, G), NaN where missing. A covariance is that of the samples which have both genes, 0 if none has.
        shrinkage : float, optional
            Share taken from every covariance between two genes, above 0 up to 1; the variances stay. By default the
            one of 0.05 to 0.5 that restores held-out samples best.
        ridge : float
            Added to every variance.
        n_components : int
            Several are for groups of samples whose genes go together in their own ways. A mixture of the leading
            principal components finds the groups; each covariance is drawn towards the pooled one, worth 500 samples.
        seed : int
            Draws held-out samples, hidden cells and the first guess of the groups.
        """
        x = np.asarray(x, dtype="float64")
        if shrinkage is None:

            def restorer(part: np.ndarray, amount: float) -> Callable:
                return cls.fit(part, shrinkage=amount, ridge=ridge, n_components=n_components, seed=seed).restore

            shrinkage = best_setting(_SHRINKAGES, restorer, x, name="shrinkage", seed=seed)
        if not 0 < shrinkage <= 1 or not 1 <= n_components <= len(x):
            message = f"shrinkage is above 0, up to 1, and components are 1 to N; not {shrinkage} and {n_components}"
            raise ValueError(message)
        share = np.ones((len(x), 1))
        if n_components > 1:
            single = cls.fit(x, shrinkage=shrinkage, ridge=ridge)
            share = group_samples(single.restore(x)[0], n_components, np.random.default_rng(seed))
            share = share[:, share.sum(axis=0) > 1]  # a group of no sample is none
        seen = ~np.isnan(x)
        means, sums, counts = zip(*(_moments(x, seen, weight) for weight in share.T), strict=True)
        sums, counts = np.stack(sums), np.stack(counts)  # (K, G, G)
        pooled = sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1.0)
        prior = _PRIOR_SAMPLES if n_components > 1 else 0
        covariances = (sums + prior * pooled) / np.maximum(counts + prior, 1.0)
        variances = np.where(seen.any(axis=0), np.maximum(np.einsum("kgg->kg", covariances), _MIN_VARIANCE), 1.0)
        covariances *= 1 - shrinkage
        np.einsum("kgg->kg", covariances)[:] = variances + ridge
        if not seen.all():  # covariances of pairs need not fit together; without negative directions they do
            values, vectors = np.linalg.eigh(covariances)
            values = np.maximum(values, 1e-3 * values.mean(axis=1, keepdims=True))
            covariances = (vectors * values[:, None]) @ vectors.transpose(0, 2, 1)
        return cls(share.mean(axis=0), np.stack(means), covariances)

    def restore(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expectation and standard deviation of every cell, (N, G) each; an observed cell is itself, with 0."""
        x = np.asarray(x, dtype="float64")
        mean, sd = x.copy(), np.zeros_like(x)
        for rows, seen in _patterns(x):
            if seen.all():
                continue
            condition = self._by_covariance if seen.sum() <= (~seen).sum() else self._by_precision
            conditions = [condition(k, x[np.ix_(rows, seen)], seen) for k in range(len(self.weights))]
            fits = np.stack([fit for fit, _ in conditions]) + np.log(self.weights)[:, None]
            share = softmax(fits, axis=0)  # (K, n)
            counts = np.flatnonzero(share.max(axis=1) > 1e-6)  # the others need no regression
            regressions = [conditions[k][1]() for k in counts]
            means, variances = map(np.stack, zip(*regressions, strict=True))  # (K, n, M), (K, M)
            share = share[counts]
            centre = np.einsum("kn,knm->nm", share, means)
            between = np.einsum("kn,knm->nm", share, (means - centre) ** 2)  # components may disagree
            mean[np.ix_(rows, ~seen)] = centre
            sd[np.ix_(rows, ~seen)] = np.sqrt(np.maximum(share.T @ variances + between, 0.0))
        return mean, sd

    @cached_property
    def _inverses(self) -> list[tuple[np.ndarray, float]]:
        """Precision matrix (G, G) and half the log determinant of every covariance."""
        factors = [np.linalg.cholesky(covariance) for covariance in self.covariances]
        eye = np.eye(len(factors[0]))
        return [(cho_solve((factor, True), eye), np.log(np.diag(factor)).sum()) for factor in factors]

    def _by_covariance(self, k: int, x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, Callable]:
        """Log density (n,) of component k, and its regression: means (n, M), variances (M,). Best if few are seen."""
        hole, mean, covariance = ~seen, self.means[k], self.covariances[k]
        factor = np.linalg.cholesky(covariance[np.ix_(seen, seen)])
        white = solve_triangular(factor, (x - mean[seen]).T, lower=True)  # (O, n)

        def regress() -> tuple[np.ndarray, np.ndarray]:
            root = solve_triangular(factor, covariance[np.ix_(seen, hole)], lower=True)  # (O, M)
            return mean[hole] + white.T @ root, np.diag(covariance)[hole] - (root**2).sum(axis=0)

        return -0.5 * (white**2).sum(axis=0) - np.log(np.diag(factor)).sum(), regress

    def _by_precision(self, k: int, x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, Callable]:
        """The same from the inverse covariance. Best if few are missing."""
        hole, mean, (precision, half_log_det) = ~seen, self.means[k], self._inverses[k]
        off = np.zeros((len(mean), len(x)))  # (G, n), zero where missing
        off[seen] = (x - mean[seen]).T
        pull = precision @ off
        factor = np.linalg.cholesky(precision[np.ix_(hole, hole)])
        white = solve_triangular(factor, pull[hole], lower=True)  # (M, n)
        quadratic = (off * pull).sum(axis=0) - (white**2).sum(axis=0)

        def regress() -> tuple[np.ndarray, np.ndarray]:
            root = solve_triangular(factor, np.eye(len(factor)), lower=True)  # (M, M)
            return mean[hole] - white.T @ root, (root**2).sum(axis=0)

        return -0.5 * quadratic - half_log_det - np.log(np.diag(factor)).sum(), regress


def _patterns(x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows (n,) that have the same genes, and which genes those are (G,)."""
    seen = ~np.isnan(x)
    _, group, size = np.unique(np.packbits(seen, axis=1), axis=0, return_inverse=True, return_counts=True)
    for rows in np.split(np.argsort(group.ravel(), kind="stable"), np.cumsum(size)[:-1]):
        yield rows, seen[rows[0]]


def _moments(x: np.ndarray, seen: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted mean (G,), and sums of products and of weights over the samples that have both genes, (G, G) each."""
    each = weight[:, None] * seen
    mean = (each * np.nan_to_num(x)).sum(axis=0) / np.maximum(each.sum(axis=0), 1e-12)
    off = np.where(seen, x - mean, 0.0)
    counts = weight.sum()[None, None] if seen.all() else each.T @ seen  # (1, 1) for all pairs alike
    return mean, (weight[:, None] * off).T @ off, counts


def principal_axes(x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n largest eigenvalues of the covariance of x, centred, and their eigenvectors (G, n); largest last."""
    small = x.T if len(x) < x.shape[1] else x
    size = small.shape[1]
    values, vectors = eigh(small.T @ small / len(x), subset_by_index=[size - n, size - 1])
    values = np.maximum(values, 1e-12)
    return values, vectors if small is x else x.T @ vectors / np.sqrt(values * len(x))


def group_samples(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Which of k groups each sample belongs to, as shares (N, K): a Gaussian mixture of principal components.

    They are scaled to unit variance, and at most 50: a group has to have about five samples for each. Of several random
    starts the one of greatest likelihood counts.
    """
    x = x - x.mean(axis=0)
    values, vectors = principal_axes(x, max(1, min(50, x.shape[1], len(x) // (5 * k))))
    scores = x @ vectors / np.sqrt(values)
    starts = [_mixture(scores, scores[rng.choice(len(x), k, replace=False)]) for _ in range(_STARTS)]
    return max(starts, key=lambda start: start[0])[1]


def _mixture(scores: np.ndarray, centres: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-likelihood but for a constant, and shares (N, K), of the mixture that is reached from these centres."""
    prior = 20 * np.eye(scores.shape[1])  # twenty samples of unit covariance keep a small group from collapsing
    fits = -0.5 * ((scores[:, None] - centres) ** 2).sum(axis=2)
    share = np.zeros_like(fits)
    for _ in range(50):
        before, share = share, softmax(fits, axis=1)
        if np.array_equal(before, share):  # to the bit, as groups far apart soon are: nothing will move any more
            break
        for j, weight in enumerate(share.T):
            size = weight.sum() + 1e-12
            off = scores - weight @ scores / size
            factor = np.linalg.cholesky(((weight[:, None] * off).T @ off + prior) / (size + 20))
            white = solve_triangular(factor, off.T, lower=True)
            fits[:, j] = -0.5 * (white**2).sum(axis=0) - np.log(np.diag(factor)).sum() + np.log(size)
    return float(logsumexp(fits, axis=1).sum()), softmax(fits, axis=1)


# ----------------------------------------------------------------------------------------------- factors


@dataclass(frozen=True, eq=False)
class FactorModel(_Arrays):
    """Genes as sums of few factors plus noise: ``mean`` (G,), ``loadings`` (G, F), ``noise`` variances (G,).

    The observed cells say what the factors are, and these what a missing cell is, at a cost linear in the genes.
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray

    @classmethod
    def fit(
        cls, x: np.ndarray, *, n_factors: int | None = None, equal_noise: bool = False, seed: int = 0
    ) -> FactorModel:
        """Maximum likelihood by expectation maximisation, until a step adds less than 0.00001 per cell.

        Parameters
        ----------
        x : numpy.ndarray
            (N, G), NaN where missing.
        n_factors : int, optional
            By default the number of 2 to 200 that restores held-out samples best.
        equal_noise : bool
            All genes have the same noise: probabilistic principal components, in closed form if no cell is missing.
        seed : int
            Draws held-out samples and hidden cells.
        """
        x = np.asarray(x, dtype="float64")
        if n_factors is None:
            sizes = [f for f in _FACTORS if f < min(x.shape) / 2] or [1]

            def restorer(part: np.ndarray, f: int) -> Callable:
                return cls.fit(part, n_factors=f, equal_noise=equal_noise).restore

            n_factors = best_setting(sizes, restorer, x, name="n_factors", seed=seed)
        if not 1 <= n_factors < min(x.shape):
            message = f"{len(x)} samples of {x.shape[1]} genes allow 1 to {min(x.shape) - 1} factors, not {n_factors}"
            raise ValueError(message)
        seen = ~np.isnan(x)
        mean = np.where(seen, x, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        off = np.where(seen, x - mean, 0.0)
        values, vectors = principal_axes(off, n_factors)
        left = max(((off**2).sum() / len(x) - values.sum()) / (len(mean) - n_factors), _MIN_NOISE)
        model = cls(mean, vectors * np.sqrt(np.maximum(values - left, _MIN_NOISE)), np.full(len(mean), left))
        if equal_noise and seen.all():
            return model
        before = -np.inf
        for _ in range(_MAX_STEPS):
            model, after = model._improve(x, equal_noise=equal_noise)
            if after - before < _TOLERANCE * seen.sum():
                break
            before = after
        return model

    def restore(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expectation and standard deviation of every cell, (N, G) each; an observed cell is itself, with 0."""
        x = np.asarray(x, dtype="float64")
        mean, sd = x.copy(), np.zeros_like(x)
        for rows, seen, factors, spread, _ in self._explain(x):
            hole = ~seen
            mean[np.ix_(rows, hole)] = self.mean[hole] + factors @ self.loadings[hole].T
            explained = (self.loadings[hole] @ spread * self.loadings[hole]).sum(axis=1)
            sd[np.ix_(rows, hole)] = np.sqrt(explained + self.noise[hole])
        return mean, sd

    def _explain(self, x: np.ndarray) -> Iterator[tuple]:
        """Pattern by pattern: rows, genes, factors (n, F) with their covariance (F, F), total log-likelihood."""
        eye = np.eye(self.loadings.shape[1])
        for rows, seen in _patterns(x):
            noise, off = self.noise[seen], x[np.ix_(rows, seen)] - self.mean[seen]
            scaled = self.loadings[seen] / noise[:, None]  # (O, F)
            factor = np.linalg.cholesky(eye + self.loadings[seen].T @ scaled)
            spread = cho_solve((factor, True), eye)
            pull = off @ scaled  # (n, F)
            factors = pull @ spread
            log_det = 2 * np.log(np.diag(factor)).sum() + np.log(2 * np.pi * noise).sum()
            quadratic = (off**2 / noise).sum() - (pull * factors).sum()
            yield rows, seen, factors, spread, -0.5 * (quadratic + len(rows) * log_det)

    def _improve(self, x: np.ndarray, *, equal_noise: bool) -> tuple[FactorModel, float]:
        """One step of expectation maximisation, and the log-likelihood before it.

        The mean is the loading of one more factor, which is 1 in every sample. The factors may have any mean and
        covariance, taken up by the loadings at the end: far fewer steps (Liu, Rubin and Wu 1998, Biometrika 85:755).
        """
        (n_genes, n_factors), seen = self.loadings.shape, ~np.isnan(x)
        squares = np.zeros((1 if seen.all() else n_genes, n_factors + 1, n_factors + 1))  # one may serve all genes
        products, total, likelihood = np.zeros((n_genes, n_factors + 1)), np.zeros(squares.shape[1:]), 0.0
        for rows, genes, factors, spread, fit in self._explain(x):
            factors = np.column_stack([factors, np.ones(len(rows))])
            square = factors.T @ factors
            square[:-1, :-1] += len(rows) * spread
            squares[genes if len(squares) > 1 else slice(None)] += square
            products[genes] += x[np.ix_(rows, genes)].T @ factors
            total, likelihood = total + square, likelihood + fit
        squares += 1e-9 * np.eye(n_factors + 1)  # for genes without a value
        if len(squares) == 1:
            loadings = np.linalg.solve(squares[0], products.T).T  # (G, F + 1)
        else:
            loadings = np.linalg.solve(squares, products[..., None])[..., 0]
        counts = seen.sum(axis=0)
        left = (np.where(seen, x, 0.0) ** 2).sum(axis=0) - (loadings * products).sum(axis=1)
        noise = np.full(n_genes, left.sum() / counts.sum()) if equal_noise else left / np.maximum(counts, 1)
        noise = np.where(counts > 0, np.maximum(noise, _MIN_NOISE), 1.0)
        centre = total[-1, :-1] / len(x)
        root = np.linalg.cholesky(total[:-1, :-1] / len(x) - np.outer(centre, centre))
        mean, loadings = loadings @ np.append(centre, 1.0), loadings[:, :-1] @ root
        return FactorModel(mean, loadings, noise), likelihood
