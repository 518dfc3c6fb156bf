"""SurvConvMixer (BMC Bioinformatics 25:133, 2024): gene sets as tiles of an image, mixed by convolutions.

The image comes first, then the network that reads it, then the estimator.
Shapes: N samples, B samples of a batch, G genes, S gene sets, F filters; K pixels make the side of a tile, T tiles that
of the image.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..estimator import SHORT_TRAINING, MultitaskModule, NeuralEstimator, NeuralSettings, task_heads
from ..tables import read_gene_sets
from ..tasks import CohortWarning, Target, Task, first_ids


@dataclass(frozen=True, kw_only=True)
class SurvConvMixerSettings(NeuralSettings):
    """Settings of SurvConvMixer. The paper searches filters and kernel for every cancer: both defaults are assumed."""

    filters: int = 64  # the paper's search: 16 to 256
    kernel_size: int = 5  # of the depthwise convolutions, in tiles
    n_blocks: int = 2  # of a depthwise and a pointwise convolution
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **NeuralSettings.ranges,
        "filters": (Integral, 1, math.inf),
        "n_blocks": (Integral, 0, math.inf),
    }
    choices: ClassVar[dict[str, tuple]] = {**NeuralSettings.choices, "kernel_size": (3, 5, 7)}


PRESETS: dict[str, dict] = {
    "paper": {
        "hidden": (),  # one linear layer
        "head_dropout": 0.0,
        "multitask": "equal",
        "learning_rate": 1e-3,
        "weight_decay": 0.1,  # published as 1e-4 per step, for an optimiser that does not multiply it by the rate
        "batch_size": 32,  # assumed
        "max_epochs": 50,
        "patience": 10,
    },
    "quick": {
        **SHORT_TRAINING,
        "filters": 16,
        "kernel_size": 3,
        "hidden": (64,),
        "head_dropout": 0.5,
        "learning_rate": 5e-3,
        "averaging": 0.98,
    },
}


def sets_with(gene_sets: Mapping[str, Sequence[str]], genes: Sequence[str]) -> dict[str, list[str]]:
    """The gene sets that hold some of the genes; refused if none does."""
    known = set(genes)
    found = {name: list(members) for name, members in gene_sets.items() if not known.isdisjoint(members)}
    if not found:
        members = sorted({gene for members in gene_sets.values() for gene in members})
        message = (
            f"the {len(gene_sets)} gene sets share no gene with the cohort: the sets hold {first_ids(members)}, "
            f"the cohort {first_ids(genes)}"
        )
        raise ValueError(message)
    return found


# ---------------------------------------------------------------------------------------------- the image


def side_of(n: int) -> int:
    """Side of the smallest square of n cells or more."""
    return math.isqrt(n - 1) + 1


def tile_image(tiles: Sequence[Sequence[int]]) -> np.ndarray:
    """The gene that every pixel shows, (T K, T K), -1 where it shows none; tiles and their genes run row by row."""
    K, T = side_of(max(map(len, tiles))), side_of(len(tiles))
    gene = np.full((T * T, K * K), -1)
    for tile, genes in zip(gene, tiles, strict=False):
        tile[: len(genes)] = genes
    return gene.reshape(T, T, K, K).transpose(0, 2, 1, 3).reshape(T * K, T * K)


# -------------------------------------------------------------------------------------------- the network


def _activated(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.GELU(), nn.BatchNorm2d(convolution.out_channels))


class MixerBlock(nn.Module):
    """A depthwise convolution beside a residual connection mixes tiles, a pointwise one mixes filters."""

    def __init__(self, filters: int, kernel_size: int):
        super().__init__()
        self.depthwise = _activated(nn.Conv2d(filters, filters, kernel_size, padding="same", groups=filters))
        self.pointwise = _activated(nn.Conv2d(filters, filters, 1))

    def forward(self, x: Tensor) -> Tensor:  # (B, F, T, T) -> (B, F, T, T)
        return self.pointwise(x + self.depthwise(x))


class SurvConvMixerModule(MultitaskModule):
    """Images (B, 1, T K, T K), their first S tiles in use, to the raw scores of every task, each (B, n_outputs)."""

    def __init__(self, tile: int, n_sets: int, targets: Sequence[Target], settings: SurvConvMixerSettings):
        super().__init__()
        s, self.n_sets = settings, n_sets
        self.stem = _activated(nn.Conv2d(1, s.filters, tile, stride=tile))
        self.blocks = nn.Sequential(*(MixerBlock(s.filters, s.kernel_size) for _ in range(s.n_blocks)))
        self.dropout = nn.Dropout(s.head_dropout)
        self.heads = task_heads(n_sets * s.filters, targets, s)

    def embed(self, image: Tensor) -> Tensor:
        """F numbers for every gene set, (B, S F)."""
        x = self.blocks(self.stem(image))  # (B, F, T, T)
        x = x.flatten(2)[..., : self.n_sets]  # (B, F, S): without the empty tiles, which a mask sets to 0 as published
        return self.dropout(x.transpose(1, 2).flatten(1))


# ------------------------------------------------------------------------------------------ the estimator


class SurvConvMixer(NeuralEstimator):
    """Predict survival, classes and numbers from an image in which every gene set is a tile.

    Within a tile stand the genes of a set by their mean in the training samples, highest first; a gene stands in each
    of its sets, and genes in no set are not read. Tiles are as large as the largest set needs, the rest is zero.

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    gene_sets : mapping or path of a .gmt file
        Name to genes, as :func:`gexcore.read_gene_sets` returns. Sets that share no gene with the training cohort are
        left out, with a warning.
    preset : {"paper", "quick"}
        ``"paper"``: the published network, as far as it is not searched for. There it predicts death before a horizon
        with one sigmoid, label smoothing and oversampling, and scales every cohort by its own range; here it has the
        heads of this package, one linear layer each, and the training range. Batch norm has the constants of torch.
        That the highest mean comes first is assumed. ``"quick"``: a small model of standardised genes that converges
        in seconds on a CPU.
    seed, device, **settings
        As for :class:`TxT`; settings are fields of :class:`SurvConvMixerSettings`.

    Attributes
    ----------
    settings, history_, genes_, scaler_, targets_, module_
        As in :class:`gexcore.estimator.NeuralEstimator`.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo"), [gx.Classification("subtype"), gx.Regression("age")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> sets = gx.read_gene_sets(gx.data_path("demo/gene_sets.gmt"))
    >>> model = SurvConvMixer(tasks, gene_sets=sets, preset="quick", max_epochs=2).fit(train, val)
    >>> model.predict(test)["subtype"].labels.shape
    (80,)
    """

    settings_class, presets = SurvConvMixerSettings, PRESETS

    def __init__(
        self,
        tasks: Task | Sequence[Task],
        *,
        gene_sets: Mapping[str, Sequence[str]] | str | os.PathLike,
        preset: str = "paper",
        seed: int = 0,
        device: str = "auto",
        **settings,
    ):
        super().__init__(tasks, preset=preset, seed=seed, device=device, **settings)
        sets = gene_sets if isinstance(gene_sets, Mapping) else read_gene_sets(gene_sets)
        self.gene_sets = {name: list(genes) for name, genes in sets.items()}

    @property
    def tiles_(self) -> dict[str, list[str]]:
        """The genes of every tile, in their order, by the name of the set."""
        mean = pd.Series(self.scaler_.inverse(self.scaler_.fill), index=self.genes_)
        ordered = mean.sort_values(ascending=False, kind="stable").index
        tiles = {name: ordered[ordered.isin(genes)].tolist() for name, genes in self.gene_sets.items()}
        return {name: genes for name, genes in tiles.items() if genes}

    def build_module(self, genes: Sequence[str], targets: Sequence[Target]) -> SurvConvMixerModule:
        tiles = self.tiles_
        return SurvConvMixerModule(side_of(max(map(len, tiles.values()))), len(tiles), targets, self.settings)

    def fit_inputs(self, expression: np.ndarray) -> None:
        known = sets_with(self.gene_sets, self.genes_)
        if empty := [name for name in self.gene_sets if name not in known]:
            message = (
                f"{len(empty)} of {len(self.gene_sets)} gene sets share no gene with the cohort, first "
                f"{first_ids(empty)}; left out"
            )
            warnings.warn(message, CohortWarning, stacklevel=2)
        super().fit_inputs(expression)

    def inputs(self, expression: np.ndarray) -> Tensor:
        """Images (N, 1, T K, T K) of expression (N, G)."""
        position = pd.Index(self.genes_)
        gene = tile_image([position.get_indexer(genes) for genes in self.tiles_.values()])  # (T K, T K)
        scaled = np.pad(self.scaler_.transform(expression), ((0, 0), (0, 1)))  # (N, G + 1), the last one for no gene
        return torch.from_numpy(scaled[:, None, gene])

    def extra_config(self) -> dict[str, Any]:
        return {"gene_sets": self.gene_sets}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], state: Mapping[str, np.ndarray], tasks: Sequence[Task], **settings
    ) -> Self:
        return super().from_config(config, state, tasks, gene_sets=config["gene_sets"], **settings)
