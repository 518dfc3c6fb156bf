"""T-GEM (Zhang et al. 2022): attention between genes whose tokens are single numbers, their expression.

A score of this attention is a product of two numbers, so what a gene hears is a power series of its query. That takes
some 10 to 70 passes over the genes instead of G, and no G x G matrix; it is exact to single precision.
Shapes: B samples, G genes, H heads, R rows (one per sample and head), Q queries computed at once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..estimator import SHORT_TRAINING, MultitaskModule, NeuralEstimator, NeuralSettings, task_heads
from ..tasks import Target

_REACH = 16.0  # largest exponent left to the series: double precision keeps nine digits beside exp(16)
_ERROR = 1e-9  # of the series, as a share of the largest value
_CHUNK = 2**20  # numbers held at once


@dataclass(frozen=True, kw_only=True)
class TGEMSettings(NeuralSettings):
    """Settings of T-GEM; the defaults are those of the paper and its published code."""

    n_layers: int = 3  # of attention
    n_heads: int = 5  # of every layer
    dropout: float = 0.3  # on what a layer adds
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **NeuralSettings.ranges,
        "n_layers": (Integral, 0, math.inf),
        "n_heads": (Integral, 1, math.inf),
        "dropout": (Real, 0, 1),
    }


PRESETS: dict[str, dict] = {
    "paper": {
        "hidden": (),  # one linear layer
        "head_dropout": 0.0,
        "scaling": "zscore",  # assumed, as is the cut: the published code reads a file of prepared values
        "scaling_clip": 5.0,
        "multitask": "equal",
        "batch_size": 16,
        "max_epochs": 50,
    },
    "quick": {**SHORT_TRAINING, "n_layers": 1, "n_heads": 2, "hidden": (128,), "head_dropout": 0.5},
}


# -------------------------------------------------------------------------------------------- attention


def rank_one_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What every gene hears from the others, ``sum over j != i of softmax_j(q_i k_j) v_j``.

    The softmax is over all genes; its diagonal is left out afterwards. With the middle c of the queries, weights
    ``w = softmax(c k)`` and the mean m of the keys under w, it is a ratio of sums over genes that have a power series,

        sum_j w_j exp((q_i - c) (k_j - m)) v_j = sum_n (q_i - c)^n  sum_j w_j (k_j - m)^n v_j / n!

    and the same without v below the bar, where it is at least 1 by Jensen's inequality: the remainder of the series
    bounds the error. Terms are summed in double precision, a few rows at a time. Rows whose exponents pass 16 are
    written out, a few queries at a time. The backward pass computes each chunk again.

    Memory, beside the arguments: 2^20 numbers per array (or, if that is more, all terms of one row, or one query of
    every row), whatever the batch.

    Parameters
    ----------
    query, key, value : Tensor, (R, G)

    Returns
    -------
    Tensor, (R, G)
    """
    with torch.no_grad():
        low, high = query.aminmax(dim=1, keepdim=True)
        middle = (low + high) / 2  # (R, 1)
        mean = ((middle * key).softmax(1) * key).sum(1, keepdim=True)  # (R, 1)
        reach = ((high - low) / 2 * (key - mean).abs().amax(1, keepdim=True))[:, 0]  # (R,), largest exponents
        near = reach <= _REACH  # (R,)
    out = torch.zeros_like(value)
    if near.any():
        n_terms = _n_terms(float(reach[near].max()))
        size = max(1, _CHUNK // (2 * n_terms * query.shape[1]))
        rows = (t[near].double().split(size) for t in (query, key, value, middle, mean))
        out[near] = torch.cat(_recomputed(functools.partial(_series, n_terms), *rows)).to(out.dtype)
    if not near.all():
        q, k, v = (t[~near] for t in (query, key, value))
        size = max(1, _CHUNK // k.numel())
        genes = torch.arange(k.shape[1], device=k.device).split(size)
        out[~near] = torch.cat(_recomputed(functools.partial(_written_out, k, v), q.split(size, 1), genes), 1)
    return out


def _n_terms(reach: float) -> int:
    """Terms of the exponential series whose remainder, at most exp(reach) reach^n / n!, is below the error."""
    n, remainder = 0, math.exp(reach)
    while remainder > _ERROR:
        n += 1
        remainder *= reach / n
    return n


def _series(n_terms: int, query: Tensor, key: Tensor, value: Tensor, middle: Tensor, mean: Tensor) -> Tensor:
    weight = (middle * key).softmax(1)
    q, k = (query - middle)[:, None], (key - mean)[:, None]  # (R, 1, G)
    term = torch.stack([weight, weight * value], 1)  # (R, 2, G)
    moments = []
    for n in range(1, n_terms + 1):
        moments.append(term.sum(2, keepdim=True))  # (R, 2, 1)
        term = term * (k / n)
    total = torch.zeros_like(term)
    for moment in reversed(moments):
        total = total * q + moment  # (R, 2, G)
    below, above = total.unbind(1)
    own = weight * (q * k).exp()[:, 0]  # of a gene to itself
    return (above - own * value) / below


def _written_out(key: Tensor, value: Tensor, query: Tensor, genes: Tensor) -> Tensor:
    weight = (query[:, :, None] * key[:, None]).softmax(2)  # (R, Q, G)
    own = weight[:, torch.arange(len(genes), device=genes.device), genes]  # (R, Q)
    return (weight * value[:, None]).sum(2) - own * value[:, genes]  # (R, Q)


def _recomputed(function: Callable[..., Tensor], *chunks: Iterable[Tensor]) -> list[Tensor]:
    """The function of each chunk, computed again in the backward pass instead of kept."""
    return [checkpoint(function, *chunk, use_reentrant=False) for chunk in zip(*chunks, strict=True)]


# -------------------------------------------------------------------------------------------- the network


class GeneAttention(nn.Module):
    """One layer: a query, a key and a value weight for every gene in every head, and a weight for every head."""

    def __init__(self, n_genes: int, n_heads: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Parameter(torch.empty(n_heads, n_genes)) for _ in range(3))
        for weight in (self.query, self.key, self.value):
            nn.init.xavier_normal_(weight)
        self.merge = nn.Parameter(torch.full((n_heads,), 0.001))

    def forward(self, x: Tensor) -> Tensor:  # (B, G) -> (B, G)
        q, k, v = ((x[:, None] * weight).flatten(0, 1) for weight in (self.query, self.key, self.value))  # (R, G)
        heads = rank_one_attention(q, k, v).unflatten(0, (len(x), -1))  # (B, H, G)
        return (heads * self.merge[:, None]).sum(1)


class TGEMModule(MultitaskModule):
    """Scaled expression (B, G) to the raw scores of every task, each (B, n_outputs)."""

    def __init__(self, n_genes: int, targets: Sequence[Target], settings: TGEMSettings):
        super().__init__()
        s = settings
        self.layers = nn.ModuleList(GeneAttention(n_genes, s.n_heads) for _ in range(s.n_layers))
        self.norm = nn.LayerNorm(n_genes, eps=1e-12)  # one for all layers; published: 1e-6 beside the deviation
        self.dropout, self.head_dropout = nn.Dropout(s.dropout), nn.Dropout(s.head_dropout)
        self.heads = task_heads(n_genes, targets, s)

    def embed(self, inputs: Tensor) -> Tensor:
        """One number per gene, (B, G)."""
        x = inputs
        for layer in self.layers:
            x = x + self.norm(self.dropout(layer(x)))
        return self.head_dropout(F.leaky_relu(x, 0.1))


class TGEM(NeuralEstimator):
    """T-GEM, a transformer whose tokens are the expression values themselves.

    Every layer adds to the expression of a gene what it hears from the other genes, and the heads read the result, one
    number per gene. Parameters grow linearly with genes.

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    preset : {"paper", "quick"}
        ``"paper"``: the published network and settings, with a linear head. That model knows classes only: as in every
        network here, numbers are standardised and survival is N-MTLR. Unlike there, heads start at the null prediction,
        training can stop early, and inputs are z-scores (assumed). ``"quick"``: one layer of two attention heads, with
        the task heads and training of TxT's ``"quick"``.
    seed, device
        As in :class:`gexcore.estimator.NeuralEstimator`.
    **settings
        Any field of :class:`TGEMSettings`, over the preset's value.

    Notes
    -----
    The published code declares feed-forward layers that it never uses; there are none here.

    References
    ----------
    Zhang et al. 2022, Transformer for Gene Expression Modeling (T-GEM), Cancers 14:4763.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo"), [gx.Classification("subtype"), gx.Regression("age")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> TGEM(tasks, preset="quick", max_epochs=2).fit(train, val).embed(test).shape
    (80, 200)
    """

    module_class, settings_class, presets = TGEMModule, TGEMSettings, PRESETS
