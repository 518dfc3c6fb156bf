"""OmiEmbed (Cancers 13:3047, 2021): a variational autoencoder of expression, and one head per task on its mean.

The network comes first, then how its losses become a step, then the estimator with its three phases.
Shapes: B samples of a batch, G genes, Z units of the code, P = Z what the heads read.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import ClassVar

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..estimator import SHORT_TRAINING, MultitaskModule, NeuralEstimator, NeuralSettings, Tensors
from ..heads import LOSSES, Head, task_losses
from ..losses import absolute_loss
from ..multitask import EqualWeights, GradNorm, Parts
from ..parallel import OneProcess
from ..tasks import Target, Task
from ..training import Losses, Phases

VAE = "autoencoder"  # its phase, and its loss beside those of the tasks


@dataclass(frozen=True, kw_only=True)
class OmiEmbedSettings(NeuralSettings):
    """Settings of OmiEmbed; the defaults are those of the published code."""

    widths: tuple[int, ...] = (1024, 1024, 512)  # of the encoder; the decoder mirrors them
    latent: int = 128  # units of the code
    dropout: float = 0.2  # in encoder and decoder
    kl_weight: float = 0.01  # of the divergence from the prior, both in means over cells
    vae_weight: float = 0.001  # of the autoencoder's loss in the joint phase
    vae_epochs: int = 50  # of the first phase
    head_epochs: int = 50  # of the second
    max_epochs: int = 100  # of the third
    patience: int = 100  # there is no early stopping
    head_dropout: float = 0.2  # of classes
    regression_dropout: float = 0.01  # published: after the second hidden layer only
    survival_hidden: tuple[int, ...] = (512, 256)  # of the survival head
    survival_dropout: float = 0.5  # in it
    scaling_clip: float | None = 0.0  # the decoder is compared with values from 0 to 1
    n_intervals: int = 257  # 256 scores
    multitask: str = "gradnorm"
    weight_decay: float = 1e-4
    beta1: float = 0.5  # of Adam
    schedule: str = "linear"  # of the joint phase: down to zero over its second half; constant before
    batch_size: int = 32
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **NeuralSettings.ranges,
        **dict.fromkeys(("latent", "vae_epochs", "head_epochs"), (Integral, 1, math.inf)),
        **dict.fromkeys(("kl_weight", "vae_weight"), (Real, 0, math.inf)),
        **dict.fromkeys(("beta1", "dropout", "regression_dropout", "survival_dropout"), (Real, 0, 1)),
    }
    choices: ClassVar[dict[str, tuple]] = {
        **NeuralSettings.choices,
        "scaling": ("minmax",),
        "scaling_clip": (0.0,),
        "multitask": ("gradnorm", "equal"),
    }


PRESETS: dict[str, dict] = {
    "paper": {},
    "quick": {
        **SHORT_TRAINING,
        "scaling": "minmax",
        "scaling_clip": 0.0,
        "schedule": "linear",
        "widths": (128, 64),
        "latent": 32,
        "vae_epochs": 15,
        "head_epochs": 10,
        "hidden": (64,),
        "head_dropout": 0.5,
        "regression_dropout": 0.2,
        "survival_hidden": (64,),
        "weight_decay": 0.1,
    },
}


# ---------------------------------------------------------------------------------------------- network


class ExpressionVAE(nn.Module):
    """Expression from 0 to 1 (B, G) to the mean and log variance of a code, each (B, Z), and to logits (B, G)."""

    def __init__(self, n_genes: int, settings: OmiEmbedSettings):
        super().__init__()
        s = self.settings = settings
        self.encoder = _blocks((n_genes, *s.widths), s.dropout)
        self.mean, self.log_variance = (nn.Linear(s.widths[-1], s.latent) for _ in range(2))
        self.decoder = _blocks((s.latent, *reversed(s.widths)), s.dropout)
        self.decoder.append(nn.Linear(s.widths[0], n_genes))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_variance(hidden)

    def loss(self, x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Cross-entropy of a cell, and the code's divergence from a normal distribution per unit."""
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        logits = self.decoder(mean + noise * (0.5 * log_variance).exp())  # (B, G)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        return F.binary_cross_entropy_with_logits(logits, x) + self.settings.kl_weight * divergence


def _blocks(widths: Sequence[int], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.Dropout(dropout), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


class SurvivalHead(Head):
    """Head without batch norm: (linear, dropout, tanh) per hidden layer, then linear."""

    def __init__(
        self, n_inputs: int, n_outputs: int, *, hidden: Sequence[int], dropout: float, rank: int | None = None
    ):
        widths = (n_inputs, *hidden)
        super().__init__(widths[-1], n_outputs, hidden=(), dropout=dropout, rank=rank)
        layers = [(nn.Linear(a, b), nn.Dropout(dropout), nn.Tanh()) for a, b in itertools.pairwise(widths)]
        for position, layer in enumerate(itertools.chain.from_iterable(layers)):
            self.insert(position, layer)


def _head(target: Target, s: OmiEmbedSettings) -> Head:
    if target.task.kind == "survival":
        settings = {"hidden": s.survival_hidden, "dropout": s.survival_dropout, "rank": s.survival_rank}
        return SurvivalHead(s.latent, target.n_outputs, **settings)
    dropout = s.regression_dropout if target.task.kind == "regression" else s.head_dropout
    return Head(s.latent, target.n_outputs, hidden=s.hidden, dropout=dropout)


class OmiEmbedModule(MultitaskModule):
    """The autoencoder, and one head per target on the mean of its code."""

    def __init__(self, n_genes: int, targets: Sequence[Target], settings: OmiEmbedSettings):
        super().__init__()
        self.vae = ExpressionVAE(n_genes, settings)
        self.heads = nn.ModuleList(_head(target, settings) for target in targets)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def embed(self, inputs: Tensor) -> Tensor:
        """The mean of the code, (B, Z): no sample of it is drawn for the heads."""
        return self.vae.mean(self.vae.encoder(inputs))


# ----------------------------------------------------------------------------------------------- losses


_LOSSES = {**LOSSES, "regression": absolute_loss}  # by kind of task


class LastLayerGradNorm(GradNorm):
    """GradNorm on the layer that gives the mean; its weights then hold for all that lies below.

    The loss of the autoencoder is no task: it is added as it is.
    """

    LEARNING_RATE = 1e-3  # the published code's

    def __init__(self, tasks: Sequence[str], layer: nn.Linear):
        super().__init__(tasks, [layer.weight], exact=False)

    def backward(self, parts: Parts) -> None:
        tasks = {task: part for task, part in parts.items() if task != VAE}
        parts[VAE][0].backward(retain_graph=True)
        if tasks:
            super().backward(tasks)

    def combine(self, gradients: Sequence[Sequence[Tensor]], parts: Parts) -> list[Tensor]:
        weights = [float(self.weights[self.tasks.index(task)].detach()) for task in parts]
        super().combine([self._of_parameters(g, keep=True) for (g,) in gradients], parts)
        return [sum(weight * g for weight, (g,) in zip(weights, gradients, strict=True))]


# -------------------------------------------------------------------------------------------- estimator


class OmiEmbed(NeuralEstimator):
    """Predict survival, classes and numbers from the code of a variational autoencoder.

    Training has three phases: the autoencoder alone; the heads alone, on codes that no longer move; both together.

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    preset : {"paper", "quick"}
        ``"paper"``: the published network and settings, of expression alone. Unlike there, heads start at the null
        prediction and task losses are in its units; ``val`` chooses the epoch of the joint phase; GradNorm keeps the
        first losses of the joint phase throughout; weight decay is decoupled. ``"quick"``: a small model that converges
        in seconds on a CPU.
    seed, device, **settings
        As for :class:`TxT`; settings are fields of :class:`OmiEmbedSettings`. ``multitask`` is ``"gradnorm"``, on the
        layer that gives the mean of the code, or ``"equal"``.

    Attributes
    ----------
    history_ : pandas.DataFrame
        epoch (of all phases in a row), split, task, loss, phase ("autoencoder", "heads", "joint"). The loss of the
        autoencoder is a task of its own, weighted by ``vae_weight`` in the joint phase.
    settings, genes_, scaler_, targets_, module_
        As in :class:`gexcore.estimator.NeuralEstimator`.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo"), [gx.Classification("subtype"), gx.Regression("age")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> model = OmiEmbed(tasks, preset="quick", vae_epochs=2, head_epochs=2, max_epochs=2).fit(train, val)
    >>> model.embed(test).shape
    (80, 32)
    """

    module_class, settings_class, presets = OmiEmbedModule, OmiEmbedSettings, PRESETS
    in_phases = True

    def __init__(
        self, tasks: Task | Sequence[Task], *, preset: str = "paper", seed: int = 0, device: str = "auto", **settings
    ):
        super().__init__(tasks, preset=preset, seed=seed, device=device, **settings)
        if VAE in (task.name for task in self.tasks):
            message = f"{VAE!r} is the name of the autoencoder's own loss: call the task otherwise"
            raise ValueError(message)

    def train_module(
        self, data: Tensors, validation: Tensors | None, *, processes: OneProcess, checkpoint: str | os.PathLike | None
    ) -> pd.DataFrame:
        """Train in three phases; ``checkpoint`` is a file for each, whose name stands behind the path."""
        s, module, names = self.settings, self.module_.to(processes.device), [task.name for task in self.tasks]
        phases = Phases("OmiEmbed", checkpoint, seed=self.seed, device=processes.device)
        of_tasks = task_losses(module.heads, self.targets_, data[1:], by_kind=_LOSSES)
        strategy = EqualWeights(names)
        if s.multitask == "gradnorm" and len(names) > 1:
            strategy = LastLayerGradNorm(names, module.vae.mean)

        def of_vae(vae: ExpressionVAE, batch: Tensors) -> Losses:
            x = batch[0]
            return {VAE: (vae.loss(x, *vae.encode(x)), len(x))}

        def of_all(module: OmiEmbedModule, batch: Tensors) -> Losses:
            x, *labels = batch
            mean, log_variance = module.vae.encode(x)
            read = strategy.meet(mean) if torch.is_grad_enabled() else mean
            loss = s.vae_weight * module.vae.loss(x, mean, log_variance)
            return {**of_tasks(module.heads, (read, *labels)), VAE: (loss, len(x))}

        alone = replace(s, max_epochs=s.vae_epochs, schedule="constant")
        phases.train(VAE, module.vae, of_vae, data, None, alone)
        # The autoencoder is no part of what is trained next: neither a step nor a batch norm can move it.
        (codes,) = self._batched(lambda x: [module.embed(x)], [data[0]])
        alone = replace(alone, max_epochs=s.head_epochs)
        phases.train("heads", module.heads, of_tasks, (codes, *data[1:]), None, alone)
        phases.train("joint", module, of_all, data, validation, s, strategy=strategy)
        return phases.history()
