"""A plain network of expression with the heads of TxT: what a model of genes and their ties has to beat.

Shapes: B samples of a batch, G genes, P units of the last shared layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

from torch import Tensor, nn

from ..estimator import SHORT_TRAINING, MultitaskModule, NeuralEstimator, NeuralSettings, task_heads
from ..tasks import Target


@dataclass(frozen=True, kw_only=True)
class MLPSettings(NeuralSettings):
    """Settings of the network; TxT's paper only names an MLP, so all sizes are assumed."""

    trunk: tuple[int, ...] = (512, 256)  # shared layers below the heads
    dropout: float = 0.1  # after each shared layer
    gene_dropout: float = 0.0  # share of genes left out in each training step, the others scaled up
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **NeuralSettings.ranges,
        **dict.fromkeys(("dropout", "gene_dropout"), (Real, 0, 1)),
    }

    def __post_init__(self):
        super().__post_init__()
        if not self.trunk or any(not isinstance(width, Integral) or width < 1 for width in self.trunk):
            message = f"trunk must be one or more layer widths from 1, not {self.trunk!r}"
            raise ValueError(message)


PRESETS: dict[str, dict] = {
    "paper": {"multitask": "equal"},
    # One layer, half of its inputs and units left out in every step: a few hundred samples carry no more.
    "quick": {**SHORT_TRAINING, "trunk": (128,), "dropout": 0.5, "gene_dropout": 0.5, "hidden": ()},
}


class MLPModule(MultitaskModule):
    """Scaled expression (B, G) to the raw scores of every task, each (B, n_outputs)."""

    def __init__(self, n_genes: int, targets: Sequence[Target], settings: MLPSettings):
        super().__init__()
        s = settings
        layers: list[nn.Module] = [nn.Dropout(s.gene_dropout)]
        width = n_genes
        for units in s.trunk:
            layers += [nn.Linear(width, units), nn.BatchNorm1d(units), nn.LeakyReLU(0.2), nn.Dropout(s.dropout)]
            width = units
        self.trunk = nn.Sequential(*layers)
        self.heads = task_heads(width, targets, s)

    def embed(self, inputs: Tensor) -> Tensor:
        """The last shared layer, (B, P)."""
        return self.trunk(inputs)


class MLP(NeuralEstimator):
    """A multilayer perceptron of expression: shared layers as in the heads (linear, batch norm, leaky ReLU, dropout).

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    preset : {"paper", "quick"}
        ``"paper"``: two shared layers below the heads of TxT, trained as TxT is but for PCGrad, which is TxT's own;
        TxT's paper names this rival without its sizes. ``"quick"``: one shared layer and linear heads, regularised for
        a few hundred samples; seconds on a CPU.
    seed, device
        As in :class:`gexcore.estimator.NeuralEstimator`.
    **settings
        Any field of :class:`MLPSettings`, over the preset's value.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo"), [gx.Classification("subtype"), gx.Regression("age")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> MLP(tasks, preset="quick", max_epochs=2).fit(train, val).embed(test).shape
    (80, 128)
    """

    module_class, settings_class, presets = MLPModule, MLPSettings, PRESETS
