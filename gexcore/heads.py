"""From gene vectors to predictions: pooling over genes, one head per task, its loss, and the way back to labels.

Shapes: B samples, G genes, E gene vector, P pooled width, K time intervals, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from .losses import classification_loss, mtlr_loss, mtlr_survival, regression_loss
from .tasks import (
    ClassificationTarget,
    ClassPrediction,
    Prediction,
    SurvivalPrediction,
    SurvivalTarget,
    Target,
    ValuePrediction,
)

LOSSES = {"survival": mtlr_loss, "classification": classification_loss, "regression": regression_loss}


# ---------------------------------------------------------------------------------------------- pooling


class FlattenPooling(nn.Module):
    """All gene vectors side by side (the paper's): P = G E."""

    def __init__(self, n_genes: int, d_embed: int, dropout: float):
        super().__init__()
        self.width, self.dropout = n_genes * d_embed, nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, G, E) -> (B, P)
        return self.dropout(x.flatten(1))


class MeanPooling(nn.Module):
    """The mean gene vector: P = E."""

    def __init__(self, n_genes: int, d_embed: int, dropout: float):
        super().__init__()
        self.width = d_embed

    def forward(self, x: Tensor) -> Tensor:  # (B, G, E) -> (B, P)
        return x.mean(1)


class AttentionPooling(nn.Module):
    """A weighted mean of gene vectors, the weights a softmax over genes of a learned score: P = E."""

    def __init__(self, n_genes: int, d_embed: int, dropout: float):
        super().__init__()
        self.width, self.score = d_embed, nn.Linear(d_embed, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, G, E) -> (B, P)
        return (self.score(x).softmax(1) * x).sum(1)


class ScorePooling(nn.Module):
    """One learned score per gene, the same projection for all genes: P = G."""

    def __init__(self, n_genes: int, d_embed: int, dropout: float):
        super().__init__()
        self.width, self.score, self.dropout = n_genes, nn.Linear(d_embed, 1), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, G, E) -> (B, P)
        return self.dropout(self.score(x).squeeze(-1))


POOLINGS = {"flatten": FlattenPooling, "mean": MeanPooling, "attention": AttentionPooling, "score": ScorePooling}


# ------------------------------------------------------------------------------------------------ heads


class Head(nn.Sequential):
    """Task head: (linear, batch norm, leaky ReLU 0.2, dropout) per hidden layer, then linear. Paper: hidden 128, 64.

    With ``rank`` the last layer is a product of two, through ``rank`` numbers per sample. For survival, rank 1 means
    one risk per sample that shifts the scores of all intervals by learned amounts.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, *, hidden: Sequence[int], dropout: float, rank: int | None = None
    ):
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(n_inputs, width), nn.BatchNorm1d(width), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
            n_inputs = width
        if rank is not None:
            layers.append(nn.Linear(n_inputs, rank, bias=False))
            n_inputs = rank
        super().__init__(*layers, nn.Linear(n_inputs, n_outputs))
        self.rank = rank

    def start_at(self, scores: Tensor) -> None:
        """Predict the same ``scores`` (n_outputs,) for every sample, until training finds better."""
        nn.init.zeros_(self[-1 if self.rank is None else -2].weight)
        if self.rank == 1:
            nn.init.ones_(self[-1].weight)  # at first one risk shifts all intervals alike
        self[-1].bias.data.copy_(scores)


def null_scores(target: Target, labels: Tensor) -> Tensor:
    """Scores of the null prediction, the same for every sample, fitted to training labels, (n_outputs,).

    Class frequencies, the mean, or the Kaplan-Meier estimate on the grid. Heads start there, and a task's loss is
    measured in units of this prediction's loss, so that tasks compare. (N-MTLR leaves the survival of a sample
    censored within an interval open, so its own best constant lies a few percent lower on a coarse grid.)
    """
    labels = labels[~labels[:, 0].isnan()].double()
    if isinstance(target, ClassificationTarget):
        return torch.bincount(labels[:, 0].long(), minlength=target.n_outputs).clamp(min=0.5).log().float()
    if not isinstance(target, SurvivalTarget):
        return torch.zeros(1)
    n = target.n_outputs + 1
    interval, event = labels[:, 0].long(), labels[:, 1]
    at_risk = torch.bincount(interval, minlength=n).flip(0).cumsum(0).flip(0)  # (K,)
    hazard = torch.bincount(interval, weights=event, minlength=n) / at_risk.clamp(min=1)
    survival = torch.cat([torch.ones(1).double(), (1 - hazard[:-1]).cumprod(0)])  # (K,), at the edges
    density = torch.cat([-survival.diff(), survival[-1:]])
    log_density = density.clamp(min=0.5 / len(labels) / n).log()  # an empty interval stays possible
    return -log_density.diff().float()


def task_losses(
    heads: Sequence[Head],
    targets: Sequence[Target],
    labels: Sequence[Tensor],
    *,
    by_kind: Mapping[str, Callable] = LOSSES,
) -> Callable:
    """Start each head at its task's null prediction, and measure its loss in that prediction's units.

    Parameters
    ----------
    heads, targets, labels
        One of each per task; labels (N, 1 or 2) are those of all training samples.
    by_kind : mapping of str to callable
        The loss of each kind of task.

    Returns
    -------
    callable
        ``losses(heads, (what they read, *labels)) -> {task: (mean loss, number of labelled samples)}``.
    """
    units = []
    for head, target, label in zip(heads, targets, labels, strict=True):
        null = null_scores(target, label)
        head.start_at(null)
        units.append(float(by_kind[target.task.kind](null.expand(len(label), -1), label)))

    def losses(heads: Sequence[Head], batch: tuple[Tensor, ...]) -> dict[str, tuple[Tensor, int]]:
        read, *labels = batch
        parts = {}
        for head, target, label, unit in zip(heads, targets, labels, units, strict=True):
            scores = head(read)  # of every sample: batch norm learns from those without this label too
            if n := int((~label[:, 0].isnan()).sum()):
                parts[target.task.name] = (by_kind[target.task.kind](scores, label) / unit, n)
        return parts

    return losses


def losses_against_null(
    heads: Sequence[Head],
    targets: Sequence[Target],
    labels: Sequence[Tensor],
    *,
    meet: Callable[[Tensor], Tensor],
    share: Callable = lambda function, n: function(slice(n)),
) -> Callable:
    """:func:`task_losses` of a whole network.

    Parameters
    ----------
    heads, targets, labels
        As there.
    meet : callable
        Where the tasks meet in a training step: ``meet`` of a strategy of :mod:`gexcore.multitask`.
    share : callable
        Who computes what they read, row by row: a method of :class:`gexcore.parallel.OneProcess`.

    Returns
    -------
    callable
        ``losses(module, (inputs, *labels)) -> {task: (mean loss, number of labelled samples)}`` for
        :func:`gexcore.training.train`, where ``module.embed(inputs)`` is what all of ``module.heads`` read.
    """
    of_heads = task_losses(heads, targets, labels)

    def losses(module: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, tuple[Tensor, int]]:
        inputs, *labels = batch
        embedded = share(lambda rows: module.embed(inputs[rows]), len(inputs))  # (B, P)
        return of_heads(module.heads, (meet(embedded) if torch.is_grad_enabled() else embedded, *labels))

    return losses


def decode(target: Target, scores: Tensor, ids: pd.Index) -> Prediction:
    """Scores (B, n_outputs) as a prediction in the task's own terms, indexed by sample."""
    if isinstance(target, SurvivalTarget):
        survival = mtlr_survival(scores.double()).numpy()  # (B, K)
        times = np.minimum(target.edges, target.horizon)  # nobody was followed beyond the horizon
        risk = -np.trapezoid(survival, times, axis=1)  # minus the area under the curve
        curves = pd.DataFrame(survival.T, index=pd.Index(target.edges, name="time"), columns=ids)
        return SurvivalPrediction(target.task, pd.Series(risk, index=ids, name=target.task.name), curves)
    if isinstance(target, ClassificationTarget):
        probabilities = scores.double().softmax(1).numpy()
        return ClassPrediction(target.task, pd.DataFrame(probabilities, index=ids, columns=list(target.classes)))
    values = scores[:, 0].double().numpy() * target.sd + target.mean
    return ValuePrediction(target.task, pd.Series(values, index=ids, name=target.task.name))
