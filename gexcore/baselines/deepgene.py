"""DeepGene Transformer (Khan and Lee 2023): convolutions along the genes make tokens, a transformer reads them.

No code of the paper is public: the kinds of layers are the paper's, their sizes are assumed. Neighbours in the order of
columns share a token, so the order of genes is part of the model.
Shapes: B samples, G genes, C filters, N tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..estimator import SHORT_TRAINING, MultitaskModule, NeuralEstimator, NeuralSettings, task_heads
from ..tasks import Target
from ..transformer import Block

_KERNELS, _STRIDE = (7, 5), 4  # of the two convolutions
_WINDOW, _STEP = _KERNELS[0] + (_KERNELS[1] - 1) * _STRIDE, _STRIDE**2  # a token reads 23 genes, the next 16 further on


@dataclass(frozen=True, kw_only=True)
class DeepGeneSettings(NeuralSettings):
    """Settings of the DeepGene Transformer; all sizes are assumed."""

    n_filters: int = 32  # of the first convolution
    d_model: int = 64  # width of the tokens, the filters of the second one
    n_layers: int = 2  # of the transformer
    n_heads: int = 8  # of the attention in every layer
    d_ff: int = 256  # width of the feed-forward network in every layer
    dropout: float = 0.2  # on what each sublayer adds
    positions: bool = True  # a learned vector for each token's place
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **NeuralSettings.ranges,
        **dict.fromkeys(("n_filters", "d_model", "n_heads", "d_ff"), (Integral, 1, math.inf)),
        "n_layers": (Integral, 0, math.inf),
        "dropout": (Real, 0, 1),
    }
    choices: ClassVar[dict[str, tuple]] = {**NeuralSettings.choices, "positions": (True, False)}

    def __post_init__(self):
        super().__post_init__()
        if self.d_model % self.n_heads:
            message = f"d_model ({self.d_model}) must be divisible by n_heads ({self.n_heads})"
            raise ValueError(message)


PRESETS: dict[str, dict] = {
    "paper": {"multitask": "equal"},
    "quick": {**SHORT_TRAINING, "hidden": (128,), "head_dropout": 0.5, "weight_decay": 0.1},
}


class DeepGeneModule(MultitaskModule):
    """Scaled expression (B, G) in a fixed order of genes to the raw scores of every task, each (B, n_outputs)."""

    def __init__(self, n_genes: int, targets: Sequence[Target], settings: DeepGeneSettings):
        super().__init__()
        s = settings
        n_tokens = max(1, math.ceil((n_genes - _WINDOW) / _STEP) + 1)
        self.padding = (n_tokens - 1) * _STEP + _WINDOW - n_genes
        self.tokens = nn.Sequential(
            nn.Conv1d(1, s.n_filters, _KERNELS[0], stride=_STRIDE),
            nn.BatchNorm1d(s.n_filters),
            nn.ReLU(),
            nn.Conv1d(s.n_filters, s.d_model, _KERNELS[1], stride=_STRIDE),
            nn.BatchNorm1d(s.d_model),
            nn.ReLU(),
        )
        self.places = nn.Parameter(torch.randn(n_tokens, s.d_model)) if s.positions else None
        self.blocks = nn.ModuleList(Block(s.d_model, s.n_heads, s.d_ff, s.dropout) for _ in range(s.n_layers))
        self.norm = nn.LayerNorm(s.d_model)
        self.head_dropout = nn.Dropout(s.head_dropout)
        self.heads = task_heads(s.d_model, targets, s)

    def embed(self, inputs: Tensor) -> Tensor:
        """The mean token, (B, D)."""
        x = F.pad(inputs, (0, self.padding))  # or the last genes would fill no window
        x = self.tokens(x[:, None]).transpose(1, 2)  # (B, N, D)
        if self.places is not None:
            x = x + self.places
        for block in self.blocks:
            x = block(x)
        return self.head_dropout(self.norm(x).mean(1))


class DeepGene(NeuralEstimator):
    """DeepGene Transformer: a transformer over stretches of neighbouring genes.

    The order of genes is part of the model: it is that of the training cohort's columns, and later cohorts are brought
    to it by name. Train on permuted columns (``train[:, order]``) to see how much a result owes to the order.

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    preset : {"paper", "quick"}
        ``"paper"``: the described network with assumed sizes and the heads of TxT, trained as TxT is but for PCGrad,
        which is TxT's own. ``"quick"``: the same network, trained in minutes on a CPU.
    seed, device
        As in :class:`gexcore.estimator.NeuralEstimator`.
    **settings
        Any field of :class:`DeepGeneSettings`, over the preset's value.

    Notes
    -----
    In the paper convolutions take the place of a positional encoding. Under the mean over tokens, which is assumed,
    that would leave the network blind to which genes it reads; so each token's place has a learned vector, unless
    ``positions`` is False.

    References
    ----------
    Khan and Lee 2023, DeepGene Transformer: Transformer for the gene expression-based classification of cancer
    subtypes, Expert Systems with Applications 226:120047; first as arXiv 2108.11833.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo"), [gx.Classification("subtype"), gx.Regression("age")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> DeepGene(tasks, preset="quick", max_epochs=2).fit(train, val).embed(test).shape
    (80, 64)
    """

    module_class, settings_class, presets = DeepGeneModule, DeepGeneSettings, PRESETS
