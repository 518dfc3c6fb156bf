"""A stand-in for CNN+FMAP (Yan et al. 2025): genes on a map by their correlation, read by an Inception network.

No code of that paper is public and its abstract names the parts only. The map and the sizes here follow AggMap and
AggMapNet (Shen et al. 2022), whose words the abstract uses; what is neither there nor here is said to be assumed.
Shapes: N samples, B samples of a batch, G genes, K cells along the map, F filters, P units of the dense layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from torch import Tensor, nn

from ..estimator import SHORT_TRAINING, MultitaskModule, NeuralEstimator, NeuralSettings, task_heads
from ..tasks import Target, Task
from .survconvmixer import side_of


@dataclass(frozen=True, kw_only=True)
class FeatureMapSettings(NeuralSettings):
    """Settings of the network on a feature map; sizes are AggMapNet's, those of the gated convolution are assumed."""

    filters: int = 48  # of the first convolution
    kernel_size: int = 11  # of the first convolution
    inception: int = 32  # filters of each convolution in the first Inception layer; twice as many in the second
    gated: int = 64  # filters of the gated convolution, 3 x 3
    dense: int = 128  # units of the layer that the heads read
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **NeuralSettings.ranges,
        **dict.fromkeys(("filters", "inception", "gated", "dense"), (Integral, 1, math.inf)),
    }
    choices: ClassVar[dict[str, tuple]] = {**NeuralSettings.choices, "kernel_size": (3, 5, 7, 9, 11, 13)}


PRESETS: dict[str, dict] = {
    "paper": {
        "hidden": (),  # one linear layer
        "head_dropout": 0.0,
        "multitask": "equal",
        "learning_rate": 1e-4,
        "batch_size": 128,
        "max_epochs": 200,
    },
    "quick": {
        **SHORT_TRAINING,
        "filters": 16,
        "kernel_size": 5,
        "inception": 8,
        "gated": 32,
        "dense": 64,
        "hidden": (),
        "head_dropout": 0.5,
        "weight_decay": 0.1,
    },
}


# ------------------------------------------------------------------------------------------------ the map


def gene_map(x: np.ndarray) -> np.ndarray:
    """A cell of a square map for every gene, so that genes which vary together are neighbours.

    The squared distance of two genes is 1 minus their correlation. Classical multidimensional scaling puts them on a
    plane whose axes are stretched to the square; then cells are assigned so that the sum of squared distances from gene
    to cell is least, which takes time in proportion to G cubed. AggMap embeds by UMAP instead.

    Parameters
    ----------
    x : numpy.ndarray
        (N, G) scaled expression of training samples, without holes.

    Returns
    -------
    numpy.ndarray
        (G,) whole numbers, row by row from 0 to K K - 1, each at most once; K is the side of the smallest square that
        holds G cells.
    """
    centred = x - x.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)  # a constant gene correlates with none
    plane = PCA(2, svd_solver="full").fit_transform(unit.T)  # (G, 2), the classical scaling of |a - b|^2 = 2 (1 - r)
    K = side_of(len(plane))
    spot = (plane - plane.min(axis=0)) / np.ptp(plane, axis=0) * (K - 1)
    cell = np.indices((K, K)).reshape(2, -1).T  # (K K, 2)
    return linear_sum_assignment(cdist(spot, cell, "sqeuclidean"))[1]


# -------------------------------------------------------------------------------------------- the network


class Inception(nn.Module):
    """Convolutions of three sizes side by side, F' filters each; there is no branch of pooling."""

    def __init__(self, n_inputs: int, filters: int):
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(n_inputs, filters, size, padding="same") for size in (5, 3, 1))

    def forward(self, x: Tensor) -> Tensor:  # (B, F, K, K) -> (B, 3 F', K, K)
        return torch.cat([branch(x) for branch in self.branches], dim=1).relu()


class GatedConvolution(nn.Module):
    """A convolution that another one lets through, from 0 to 1 (Dauphin et al. 2017)."""

    def __init__(self, n_inputs: int, filters: int):
        super().__init__()
        self.value, self.gate = (nn.Conv2d(n_inputs, filters, 3, padding="same") for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:  # (B, F, K, K) -> (B, F', K, K)
        return self.value(x) * self.gate(x).sigmoid()


class FeatureMapModule(MultitaskModule):
    """Maps (B, 1, K, K) of any size to the raw scores of every task, each (B, n_outputs)."""

    def __init__(self, targets: Sequence[Target], settings: FeatureMapSettings):
        super().__init__()
        s = settings
        self.features = nn.Sequential(
            nn.Conv2d(1, s.filters, s.kernel_size, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            Inception(s.filters, s.inception),
            nn.MaxPool2d(3, stride=2, padding=1),
            Inception(3 * s.inception, 2 * s.inception),
            GatedConvolution(6 * s.inception, s.gated),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.dense = nn.Sequential(nn.Linear(s.gated, s.dense), nn.ReLU(), nn.Dropout(s.head_dropout))
        self.heads = task_heads(s.dense, targets, s)

    def embed(self, image: Tensor) -> Tensor:
        """The dense layer, (B, P)."""
        return self.dense(self.features(image))


# ------------------------------------------------------------------------------------------ the estimator


class FeatureMapCNN(NeuralEstimator):
    """Predict survival, classes and numbers from a map on which correlated genes are neighbours.

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    preset : {"paper", "quick"}
        ``"paper"``: sizes, rate, batches and epochs of AggMapNet, with a gated convolution before the global pooling.
        One channel for all genes, the training range as their scale, early stopping and a linear layer per task are
        assumed. ``"quick"``: a small model of standardised genes that converges in a minute on a CPU.
    seed, device, **settings
        As for :class:`TxT`; settings are fields of :class:`FeatureMapSettings`.

    Attributes
    ----------
    cells_ : numpy.ndarray
        (G,) the cell of every gene of ``genes_`` (:func:`gene_map`), learned on the training samples.
    settings, history_, genes_, scaler_, targets_, module_
        As in :class:`gexcore.estimator.NeuralEstimator`.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo"), [gx.Classification("subtype"), gx.Regression("age")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> model = FeatureMapCNN(tasks, preset="quick", max_epochs=2).fit(train, val)
    >>> model.predict(test)["subtype"].labels.shape
    (80,)
    """

    settings_class, presets = FeatureMapSettings, PRESETS

    def build_module(self, genes: Sequence[str], targets: Sequence[Target]) -> FeatureMapModule:
        return FeatureMapModule(targets, self.settings)

    def fit_inputs(self, expression: np.ndarray) -> None:
        if len(self.genes_) < 4:
            message = f"a map of genes needs four of them or more, but the cohort has {len(self.genes_)}"
            raise ValueError(message)
        super().fit_inputs(expression)
        self.cells_ = gene_map(self.scaler_.transform(expression).astype(float))

    def inputs(self, expression: np.ndarray) -> Tensor:
        """Maps (N, 1, K, K) of expression (N, G), 0 where there is no gene."""
        K = side_of(len(self.cells_))
        cells = np.zeros((len(expression), K * K), dtype="float32")
        cells[:, self.cells_] = self.scaler_.transform(expression)
        return torch.from_numpy(cells.reshape(-1, 1, K, K))

    def input_state(self) -> dict[str, np.ndarray]:
        return {**super().input_state(), "cells": self.cells_}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], state: Mapping[str, np.ndarray], tasks: Sequence[Task], **settings
    ) -> Self:
        scaler = {name: array for name, array in state.items() if name != "cells"}
        model = super().from_config(config, scaler, tasks, **settings)
        model.cells_ = state["cells"]
        return model
