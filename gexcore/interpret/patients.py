"""Patients as the model sees them: their embedding on a plane, and how wrong the model is about each.

Shapes: N samples, P width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ..tasks import ClassPrediction, Prediction, SurvivalPrediction


def project(embedding: pd.DataFrame, *, method: str = "tsne", perplexity: float = 30.0, seed: int = 0) -> pd.DataFrame:
    """Draw an embedding on a plane.

    t-SNE keeps neighbours together and nothing else: distances between groups and the size of a group mean nothing.

    Parameters
    ----------
    embedding : pandas.DataFrame, (N, P)
        ``model.embed(cohort)``.
    method : {"tsne", "pca"}
        t-SNE (van der Maaten and Hinton 2008), as in the paper, or the first two principal components.
    perplexity : float
        About how many neighbours t-SNE looks at; lowered to a third of the samples where there are few.
    seed : int

    Returns
    -------
    pandas.DataFrame, (N, 2)
        Columns ``x`` and ``y``.
    """
    if method not in ("tsne", "pca"):
        message = f"method must be 'tsne' or 'pca', not {method!r}"
        raise ValueError(message)
    if len(embedding) < 4:
        message = f"{len(embedding)} samples are too few for a map; 4 are the least"
        raise ValueError(message)
    x = embedding.to_numpy(float)
    if x.shape[1] < 2 or (x == x[0]).all():
        message = f"nothing to draw: {x.shape[1]} numbers per sample, and {len(np.unique(x, axis=0))} different samples"
        raise ValueError(message)
    if method == "pca":
        plane = PCA(2, random_state=seed).fit_transform(x)
    else:
        perplexity = min(perplexity, (len(x) - 1) / 3)
        plane = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(x)
    return pd.DataFrame(plane, index=embedding.index, columns=["x", "y"])


def prediction_errors(predictions: Mapping[str, Prediction], test: AnnData) -> pd.DataFrame:
    """How wrong each prediction is, sample by sample.

    Parameters
    ----------
    predictions : mapping of str to prediction
        What ``predict(test)`` returned.
    test : AnnData
        The predicted samples, with their labels in ``obs``.

    Returns
    -------
    pandas.DataFrame
        Samples x tasks, NaN without a label. Numbers: the absolute error in the label's unit. Classes: one minus the
        probability of the true class. Survival: of the pairs with another patient whose order is known, the share
        that the predicted risks order wrongly (NaN without such a pair).
    """
    errors = {}
    for name, prediction in predictions.items():
        labels = prediction.task.read(test.obs).dropna()
        if isinstance(prediction, SurvivalPrediction):
            risk = prediction.risk.loc[labels.index].to_numpy(float)
            error = pd.Series(_discordance(labels["time"].to_numpy(), labels["event"].to_numpy(), risk), labels.index)
        elif isinstance(prediction, ClassPrediction):
            known = prediction.probabilities.columns
            p = prediction.probabilities.loc[labels.index].to_numpy()
            column = known.get_indexer(labels)  # -1: a class the model does not know has probability 0
            error = pd.Series(1 - np.where(column < 0, 0.0, p[np.arange(len(p)), column]), labels.index)
        else:
            error = (prediction.values.loc[labels.index] - labels).abs()
        errors[name] = error.reindex(test.obs_names)
    return pd.DataFrame(errors)


def _discordance(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """Per sample, (N,): share of its comparable pairs in which the earlier event has the lower risk."""
    first = (event == 1)[:, None] & ((time[:, None] < time) | ((time[:, None] == time) & (event == 0)))  # (N, N)
    wrong = first * ((risk[:, None] < risk) + 0.5 * (risk[:, None] == risk))
    pairs = (first | first.T).sum(axis=1)
    return np.divide((wrong + wrong.T).sum(axis=1), pairs, out=np.full(len(time), np.nan), where=pairs > 0)
