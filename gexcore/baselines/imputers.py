"""Classical ways to fill in missing expression, all with the same ``fit(train)`` and ``impute(cohort)``.

They learn on training samples, standardised gene by gene and cut at ``clip`` standard deviations, and fill in any other
cohort sample by sample: what one sample gets does not depend on those it comes with.
Shapes: N samples, G genes, F factors.
"""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from anndata import AnnData
from scipy.sparse.linalg import svds
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 (makes IterativeImputer importable)
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.neighbors import KNeighborsRegressor

from ..cohort import as_cohort
from ..cohort.checks import refuse_unfitted
from ..gaussian import FactorModel, GaussianModel, best_setting
from ..genes import align_genes, fill_in
from ..levels import Levels, expected_value, level_bounds
from ..mixture import FactorMixture
from ..scaling import Scaler
from ..tasks import first_ids


class Imputer(ABC):
    """Standardised expression in, a model of it kept; a subclass says what is learned and how a hole is filled.

    Parameters
    ----------
    clip : float or None
        Largest absolute z-score of a gene that a model is shown; heavy tails would otherwise rule it.
    seed : int
        Draws whatever is random.
    """

    def __init__(self, *, clip: float | None = 5.0, seed: int = 0) -> None:
        self.clip, self.seed = clip, seed

    def fit(self, train: AnnData, val: AnnData | None = None) -> Self:
        """Learn from the training samples. Only autoencoders use ``val``: it says when to stop.

        Raises
        ------
        ValueError
            Genes without a value in any training sample: nothing can be learned of them.
        """
        train = as_cohort(train)
        empty = np.isnan(train.X).all(axis=0)
        if empty.any():
            message = (
                f"{empty.sum()} genes have no value in any training sample, first {first_ids(train.var_names[empty])}; "
                "remove them"
            )
            raise ValueError(message)
        scaler = Scaler.fit(train.X, method="zscore", clip=self.clip)
        held = None if val is None else scaler.standardise(align_genes(as_cohort(val), train.var_names))
        model = copy.copy(self)  # a fit that breaks off leaves this one as it was
        model.genes_, model.scaler_ = train.var_names, scaler
        model.model_ = model._learn(
            *(x if x is None else x.astype("float64") for x in (scaler.standardise(train.X), held))
        )
        vars(self).update(vars(model))
        return self

    def impute(self, cohort: AnnData, *, min_coverage: float = 0.5) -> AnnData:
        """The cohort with the training genes in their order and a value in every cell.

        Observed values stay as they are, to the bit, and so does ``obs``. Genes are matched by name; one that the
        cohort lacks is filled in for every sample, one that was not in training is left out.

        Parameters
        ----------
        cohort : AnnData, DataFrame or path
            Anything :func:`gexcore.read_cohort` reads, on the scale of the training samples.
        min_coverage : float
            A cohort that has a smaller share of the training genes is refused.
        """
        refuse_unfitted(self, "model_")
        cohort = as_cohort(cohort)
        aligned = align_genes(cohort, self.genes_, min_coverage=min_coverage)
        filled = self._fill(self.scaler_.standardise(aligned).astype("float64"))
        return fill_in(cohort, self.genes_, self.scaler_.inverse(filled))

    @abstractmethod
    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> Any:
        """What is kept of the training samples (N, G)."""

    @abstractmethod
    def _fill(self, x: np.ndarray) -> np.ndarray:
        """Samples (N, G) with a number in every hole; what stands elsewhere is not used."""


class GeneMean(Imputer):
    """The mean or median of the training samples, gene by gene: what every other method has to beat.

    Parameters
    ----------
    statistic : {"mean", "median"}
    clip, seed
        As in :class:`Imputer`.

    Examples
    --------
    >>> import pandas as pd
    >>> train = pd.DataFrame({"MYC": [1.0, 3.0, 5.0], "TP53": [2.0, 4.0, 9.0]}, index=["a", "b", "c"])
    >>> holes = pd.DataFrame({"MYC": [7.0, 2.0, np.nan], "TP53": [8.0, 6.0, 5.0]}, index=["d", "e", "f"])
    >>> GeneMean().fit(train).impute(holes).to_df()["MYC"].to_dict()
    {'d': 7.0, 'e': 2.0, 'f': 3.0}
    """

    def __init__(self, *, statistic: str = "mean", clip: float | None = 5.0, seed: int = 0) -> None:
        super().__init__(clip=clip, seed=seed)
        if statistic not in ("mean", "median"):
            message = f"statistic must be 'mean' or 'median', not {statistic!r}"
            raise ValueError(message)
        self.statistic = statistic

    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> np.ndarray:
        return (np.nanmean if self.statistic == "mean" else np.nanmedian)(x, axis=0)

    def _fill(self, x: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(x), self.model_, x)


class KNN(Imputer):
    """The mean of the nearest training samples that have the gene (scikit-learn's ``KNNImputer``).

    Parameters
    ----------
    n_neighbors : int or None
        None chooses among 5 to 80 on held-out training samples.
    clip, seed
        As in :class:`Imputer`.
    """

    def __init__(self, *, n_neighbors: int | None = 10, clip: float | None = 5.0, seed: int = 0) -> None:
        super().__init__(clip=clip, seed=seed)
        self.n_neighbors = n_neighbors

    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> KNNImputer:
        n = self.n_neighbors
        if n is None:

            def restorer(part: np.ndarray, k: int) -> Callable:
                model = KNNImputer(n_neighbors=k, keep_empty_features=True).fit(part)
                return lambda shown: (model.transform(shown), None)

            n = best_setting((5, 10, 20, 40, 80), restorer, x, name="n_neighbors", seed=self.seed)
        self._complete = None if np.isnan(x).any() else x
        return KNNImputer(n_neighbors=n).fit(x)

    def _fill(self, x: np.ndarray) -> np.ndarray:
        hole = np.isnan(x)
        if self._complete is None or hole[0].all() or not hole[0].any() or (hole != hole[0]).any():
            return self.model_.transform(x)
        # One panel for all samples: the neighbours are the same for every gene, which KNNImputer does not use.
        there, gone, n = ~hole[0], hole[0], min(self.model_.n_neighbors, len(self._complete))
        neighbours = KNeighborsRegressor(n, algorithm="brute").fit(self._complete[:, there], self._complete[:, gone])
        filled = x.copy()
        filled[:, gone] = neighbours.predict(x[:, there])
        return filled


class ChainedEquations(Imputer):
    """Single chained equations: gene after gene is regressed on others, over and over (``IterativeImputer``).

    This is one completed table with the expected values, not multiple imputation pooled by Rubin's rules (MICE).

    Parameters
    ----------
    n_nearest_features : int
        Genes in a regression, drawn anew for each with odds by their correlation; all genes would take hours.
    max_iter : int
        Rounds through all genes. A round fits one regression per gene: about 12 s for 1500 genes of 3600 samples.
    clip, seed
        As in :class:`Imputer`.
    """

    def __init__(
        self, *, n_nearest_features: int = 50, max_iter: int = 5, clip: float | None = 5.0, seed: int = 0
    ) -> None:
        super().__init__(clip=clip, seed=seed)
        self.n_nearest_features, self.max_iter = n_nearest_features, max_iter

    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> IterativeImputer:
        reach = np.abs(x[~np.isnan(x)]).max()
        model = IterativeImputer(
            n_nearest_features=min(self.n_nearest_features, x.shape[1] - 1),
            max_iter=self.max_iter,
            tol=0.0,  # training samples without holes would otherwise end it after one round
            min_value=-reach,
            max_value=reach,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # asked for by tol=0
            return model.fit(x)

    def _fill(self, x: np.ndarray) -> np.ndarray:
        return self.model_.transform(x)


class _Linear(Imputer):
    """Keeps a model of :mod:`gexcore.gaussian`."""

    def _fill(self, x: np.ndarray) -> np.ndarray:
        return self.model_.restore(x)[0]


class GaussianConditional(_Linear):
    """Expectation given the observed genes under a Gaussian with shrunk covariance, or a mixture of such.

    Parameters
    ----------
    shrinkage, n_components
        As in :meth:`gexcore.gaussian.GaussianModel.fit`.
    clip, seed
        As in :class:`Imputer`.
    """

    def __init__(
        self, *, shrinkage: float | None = None, n_components: int = 1, clip: float | None = 5.0, seed: int = 0
    ) -> None:
        super().__init__(clip=clip, seed=seed)
        self.shrinkage, self.n_components = shrinkage, n_components

    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> GaussianModel:
        return GaussianModel.fit(x, shrinkage=self.shrinkage, n_components=self.n_components, seed=self.seed)


class ProbabilisticPCA(_Linear):
    """Expectation given the observed genes when all genes are sums of few factors and noise.

    Parameters
    ----------
    n_factors, equal_noise
        As in :meth:`gexcore.gaussian.FactorModel.fit`; without equal noise this is factor analysis.
    clip, seed
        As in :class:`Imputer`.
    """

    def __init__(
        self, *, n_factors: int | None = None, equal_noise: bool = True, clip: float | None = 5.0, seed: int = 0
    ) -> None:
        super().__init__(clip=clip, seed=seed)
        self.n_factors, self.equal_noise = n_factors, equal_noise

    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> FactorModel:
        return FactorModel.fit(x, n_factors=self.n_factors, equal_noise=self.equal_noise, seed=self.seed)


class MixtureOfFactors(Imputer):
    """Expectation given the observed genes under a mixture of factor analysers of normal scores.

    This is the linear path of :class:`gexcore.GexBERT` by itself: what its transformer adds is the difference.

    Parameters
    ----------
    n_components, n_factors, shrinkage
        As in :meth:`gexcore.mixture.FactorMixture.fit`.
    n_levels : int
        Of expression, as in :class:`gexcore.levels.Levels`.
    clip, seed
        As in :class:`Imputer`.
    """

    def __init__(
        self,
        *,
        n_components: int | None = None,
        n_factors: int | None = None,
        shrinkage: float = 0.1,
        n_levels: int = 64,
        clip: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(clip=clip, seed=seed)
        self.settings = {"n_components": n_components, "n_factors": n_factors, "shrinkage": shrinkage, "seed": seed}
        self.n_levels = n_levels

    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> tuple[Levels, FactorMixture]:
        levels = Levels.fit(x, n_levels=self.n_levels)
        return levels, FactorMixture.fit(levels.score(x), **self.settings)

    def _fill(self, x: np.ndarray) -> np.ndarray:
        levels, mixture = self.model_
        mean, sd = map(torch.from_numpy, mixture.restore_arrays(levels.score(x)))
        values, bounds = torch.from_numpy(levels.values), level_bounds(self.n_levels).double()
        parts = zip(mean.split(64), sd.clamp(min=1e-3).split(64), strict=True)
        return torch.cat([expected_value(*part, values, bounds)[0] for part in parts]).numpy()


class SoftImpute(_Linear):
    """A table Z of low rank, found by soft-thresholding singular values (Mazumder, Hastie and Tibshirani 2010).

    Z minimises half the squared error of the observed cells plus ``penalty`` times the sum of its singular values.

    Parameters
    ----------
    penalty : float or None
        Share of the largest singular value of the training table, above 0 and below 1. None chooses it on held-out
        training samples, along a path from strong to weak on which each solution starts from the one before.
    max_iter, tolerance
        Most thresholdings for one penalty, and the relative change of Z below which they end.
    clip, seed
        As in :class:`Imputer`.

    Attributes
    ----------
    penalty_ : float
        The one that was used.

    Notes
    -----
    Z is also the product of samples and genes, A B', with the penalty as ridge on both. A new sample is one more row of
    A, a ridge regression on its observed genes: what a factor model with loadings B and noise ``penalty`` does.
    """

    def __init__(
        self,
        *,
        penalty: float | None = None,
        max_iter: int = 100,
        tolerance: float = 1e-5,
        clip: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(clip=clip, seed=seed)
        if penalty is not None and not 0 < penalty < 1:
            message = f"penalty is a number between 0 and 1, not {penalty}"
            raise ValueError(message)
        self.penalty, self.max_iter, self.tolerance = penalty, max_iter, tolerance

    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> FactorModel | GaussianModel:
        path, self.penalty_ = np.geomspace(0.7, 0.007, 21), self.penalty
        if self.penalty is None:
            solve = self._solver()
            self.penalty_ = best_setting(
                path, lambda part, share: _quicker(solve(part, share)).restore, x, name="penalty", seed=self.seed
            )
        solve, warm_up = self._solver(), path[path > self.penalty_] if np.isnan(x).any() else []
        return _quicker([solve(x, share) for share in (*warm_up, self.penalty_)][-1])

    def _solver(self) -> Callable[[np.ndarray, float], FactorModel]:
        """``solve(x, share)``, which starts from the table it found last."""
        table = None

        def solve(x: np.ndarray, share: float) -> FactorModel:
            nonlocal table
            known = ~np.isnan(x)
            filled = np.where(known, x, 0.0)
            start = np.random.default_rng(0).normal(size=min(x.shape))  # of the search for the largest singular value
            penalty = share * svds(filled, k=1, v0=start, return_singular_vectors=False)[0]
            table = filled if table is None else table
            for _ in range(self.max_iter):
                before, (table, genes) = table, _soften(np.where(known, x, table), penalty)
                change = ((table - before) ** 2).sum()
                if known.all() or change <= self.tolerance**2 * (before**2).sum():
                    break
            return FactorModel(np.zeros(x.shape[1]), genes, np.full(x.shape[1], penalty))

        return solve


def _quicker(model: FactorModel) -> FactorModel | GaussianModel:
    """The same restoration: factors that are many take longer than the Gaussian they imply."""
    if 4 * model.loadings.shape[1] < len(model.mean):
        return model
    covariance = model.loadings @ model.loadings.T + np.diag(model.noise)
    return GaussianModel(np.ones(1), model.mean[None], covariance[None])


def _soften(x: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """x (N, G) with its singular values lowered by ``penalty``, and its factor B (G, F) whose square they are."""
    long = x if x.shape[0] >= x.shape[1] else x.T
    values, vectors = np.linalg.eigh(long.T @ long)
    size = np.sqrt(np.maximum(values, 0.0))
    vectors, size = vectors[:, size > penalty], size[size > penalty]
    other = long @ vectors / size  # singular vectors of the long side
    table = other * (size - penalty) @ vectors.T
    table, genes = (table, vectors) if long is x else (table.T, other)
    return table, genes * np.sqrt(size - penalty)
