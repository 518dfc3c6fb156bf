"""From expression to few numbers per sample, and any baseline on top of them.

A representation has ``fit(train, val)`` and ``embed(cohort)``, a table of samples x D: principal components here, the
codes of :mod:`gexcore.baselines.autoencoders`, GexBERT's summaries.
Shapes: N samples, G genes, D numbers per sample.
"""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.decomposition import PCA

from ..cohort import as_cohort
from ..cohort.checks import refuse_unfitted
from ..genes import align_genes
from ..scaling import Scaler
from ..tasks import Prediction


class PrincipalComponents:
    """Principal components of scaled expression, largest variance first (scikit-learn's ``PCA``).

    Parameters
    ----------
    n_components : int
        How many; all there are if genes or samples allow fewer.
    clip : float or None
        Largest absolute z-score of a gene; heavy tails would otherwise be the first components.
    seed : int
        Accepted so that every representation is made alike; nothing here is random.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo")
    >>> PrincipalComponents(n_components=20).fit(cohort).embed(cohort).shape
    (400, 20)
    """

    def __init__(self, *, n_components: int = 50, clip: float | None = 5.0, seed: int = 0) -> None:
        if n_components < 1:
            message = f"n_components is a number of components, 1 or more, not {n_components}"
            raise ValueError(message)
        self.n_components, self.clip, self.seed = n_components, clip, seed

    def fit(self, train: AnnData, val: AnnData | None = None) -> Self:
        """Learn from the training samples; ``val`` is not used."""
        train = as_cohort(train)
        scaler = Scaler.fit(train.X, method="zscore", clip=self.clip)
        if not scaler.factor.any():
            message = f"none of the {train.n_vars} genes varies between the {train.n_obs} training samples"
            raise ValueError(message)
        model = PCA(svd_solver="full").fit(scaler.transform(train.X).astype(float))
        # beyond the rank there is rounding, which a model that scales its inputs would take for a signal
        size = model.singular_values_
        rank = int((size > size[0] * max(train.shape) * np.finfo("float32").eps).sum())
        self.genes_, self.scaler_, self.mean_ = train.var_names, scaler, model.mean_
        self.axes_ = model.components_[: min(self.n_components, rank)]  # (D, G)
        return self

    def embed(self, cohort: AnnData) -> pd.DataFrame:
        """Components of every sample, a DataFrame samples x D; missing cells count as the training mean."""
        refuse_unfitted(self, "axes_")
        cohort = as_cohort(cohort)
        x = self.scaler_.transform(align_genes(cohort, self.genes_)).astype(float)
        components = (x - self.mean_) @ self.axes_.T  # (N, D)
        names = [f"PC{i}" for i in range(1, components.shape[1] + 1)]
        return pd.DataFrame(components, index=cohort.obs_names, columns=names)


class OnRepresentation:
    """A model that reads a representation of the samples in place of their genes.

    Parameters
    ----------
    model : estimator
        With ``fit(train, val)`` and ``predict(test)``: any baseline. The numbers of the representation are its genes;
        the baselines scale them, each by its own spread among the training samples.
    representation : estimator
        With ``embed(cohort)``, and ``fit(train, val)`` unless pretrained.
    pretrained : bool
        The representation is fitted and stays as it is. Otherwise ``fit`` learns it anew, from its training samples
        alone: what was learned on another split may have seen the test samples of this one.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Classification("subtype")
    >>> train, val, test = gx.split(cohort, task, seed=0)
    >>> model = OnRepresentation(gx.baselines.LinearModel(task), PrincipalComponents(n_components=20))
    >>> model.fit(train, val).predict(test)["subtype"].probabilities.shape
    (80, 5)
    """

    def __init__(self, model: Any, representation: Any, *, pretrained: bool = False) -> None:
        self.model, self.representation, self.pretrained = model, representation, pretrained

    def fit(self, train: AnnData, val: AnnData | None = None) -> Self:
        # learned on a copy: a fit that breaks off leaves both parts as they were
        learned = self.representation if self.pretrained else copy.copy(self.representation).fit(train, val)
        self.model.fit(_embedded(learned, train), None if val is None else _embedded(learned, val))
        self.representation = learned
        return self

    def predict(self, test: AnnData) -> dict[str, Prediction]:
        return self.model.predict(_embedded(self.representation, test))


def _embedded(representation: Any, cohort: AnnData) -> AnnData:
    """The cohort with the numbers of a representation in place of its genes."""
    cohort = as_cohort(cohort)
    table = representation.embed(cohort).loc[cohort.obs_names]  # (N, D)
    x, var = table.to_numpy("float32"), pd.DataFrame(index=table.columns.astype(str))
    return AnnData(x, obs=cohort.obs.copy(), var=var)
