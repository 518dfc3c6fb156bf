"""TxT, the Transcriptome Transformer (Koo et al. 2025): one encoder over genes, one head per task.

The network comes first, then the estimator that fits it to a cohort and predicts for another.
Shapes: B samples, G genes, E gene vector, P pooled width.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from .attention import ExpressionEncoder, PathwayEncoder
from .estimator import SHORT_TRAINING, MultitaskModule, NeuralEstimator, NeuralSettings, task_heads
from .genes import check_gene_sets, divide_among_sets
from .heads import POOLINGS
from .network import vectors_for
from .tasks import Target, Task


@dataclass(frozen=True, kw_only=True)
class TxTSettings(NeuralSettings):
    """Settings of TxT; the defaults are the paper's (main text and published code)."""

    n_layers: int = 8  # of the encoder
    n_heads: int = 4  # of the attention in every layer
    d_model: int = 64  # width of attention, and of gene vectors unless gene_embedding brings its own
    d_ff: int = 256  # width of the feed-forward network in every layer
    dropout: float = 0.1  # of attention weights and in the feed-forward network
    norm_first: bool = True  # layer norm before each sublayer; False: after it
    expression_term: bool = True  # expression in the attention scores, the paper's only path
    value_path: bool = False  # expression also in the tokens
    pooling: str = "flatten"  # what becomes of the gene vectors; or "mean", "attention", "score"
    gene_dropout: float = 0.0  # share of genes whose expression is set to 0 in each training step
    attention: str = "full"  # or "linear", of random features; "pathways": within gene sets, then among them
    n_features: int = 128  # of linear attention, per head
    n_tokens: int = 1  # of pathways, per gene set
    checkpointing: bool = False  # blocks are computed again in the backward pass, in the memory of one of them
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **NeuralSettings.ranges,
        **dict.fromkeys(("n_heads", "d_model", "d_ff", "n_features", "n_tokens"), (Integral, 1, math.inf)),
        **dict.fromkeys(("dropout", "gene_dropout"), (Real, 0, 1)),
        "n_layers": (Integral, 0, math.inf),
    }
    choices: ClassVar[dict[str, tuple]] = {
        **NeuralSettings.choices,
        "pooling": tuple(POOLINGS),
        "attention": ("full", "linear", "pathways"),
        **dict.fromkeys(("norm_first", "expression_term", "value_path", "checkpointing"), (True, False)),
    }


PRESETS: dict[str, dict] = {
    "paper": {},
    # Converges in minutes on two cores and holds its own against linear models on a few hundred patients: one layer,
    # expression in the tokens, one score per gene instead of G x E inputs to every head, and much dropout.
    "quick": {
        **SHORT_TRAINING,
        "n_layers": 1,
        "n_heads": 1,
        "d_model": 16,
        "d_ff": 64,
        "dropout": 0.0,  # attention without dropout takes the CPU's fused kernel
        "value_path": True,
        "pooling": "score",
        "hidden": (128,),
        "head_dropout": 0.5,
        "gene_dropout": 0.2,
    },
}


class TxTModule(MultitaskModule):
    """The network of TxT: scaled expression (B, G) to the raw scores of every task, each (B, n_outputs).

    With pathways ``members`` holds, for each gene set, the positions of its genes, and heads read tokens, not genes.
    """

    def __init__(
        self,
        n_genes: int,
        targets: Sequence[Target],
        d_embed: int,
        settings: TxTSettings,
        members: Sequence[Sequence[int]] | None = None,
    ):
        super().__init__()
        s = settings
        shape = {
            "n_layers": s.n_layers,
            "n_heads": s.n_heads,
            "d_model": s.d_model,
            "d_embed": d_embed,
            "d_ff": s.d_ff,
            "dropout": s.dropout,
            "norm_first": s.norm_first,
            "expression_term": s.expression_term,
            "value_path": s.value_path,
            "checkpointing": s.checkpointing,
        }
        if s.attention == "pathways":
            self.encoder = PathwayEncoder(n_genes, members, n_tokens=s.n_tokens, **shape)
            n_genes = len(members) * s.n_tokens
        else:
            n_features = s.n_features if s.attention == "linear" else None
            self.encoder = ExpressionEncoder(n_genes, n_features=n_features, **shape)
        self.pool = POOLINGS[s.pooling](n_genes, d_embed, s.head_dropout)
        self.gene_dropout = s.gene_dropout
        self.heads = task_heads(self.pool.width, targets, s)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2 and name not in ("encoder.genes", "encoder.sets.vectors"):
                nn.init.xavier_uniform_(parameter)

    def embed(self, expression: Tensor) -> Tensor:
        """The pooled gene vectors, (B, P)."""
        if self.training and self.gene_dropout:
            expression = expression * (torch.rand_like(expression) >= self.gene_dropout)
        return self.pool(self.encoder(expression))


class TxT(NeuralEstimator):
    """Predict survival, classes and numbers together from bulk expression.

    Missing expression stands at its training mean.

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    gene_embedding : pandas.DataFrame, optional
        Starting gene vectors, genes x E, for example node2vec vectors of a protein network. Genes it lacks start from
        its mean vector, with a warning. Without it gene vectors start at random. They are trained either way.
    gene_sets : mapping or path of a .gmt file, optional
        With ``attention="pathways"``, and there needed: set to genes. Each set is read into tokens of its own, and
        attention goes on among these (:class:`gexcore.attention.PathwayEncoder`). Genes in no set are not dropped:
        :func:`gexcore.genes.divide_among_sets` has sets for them, too.
    preset : {"paper", "quick"}
        ``"paper"``: the published network and settings. Unlike there, gene vectors start at random unless given, and
        heads at the null prediction; intervals are floored; task losses are standardised, PCGrad projects their
        gradients on the shared parameters only, and early stopping follows the mean of the standardised losses.
        ``"quick"``: a small model that converges in minutes on a CPU.
    seed : int
        Initial weights, dropout and the order of samples. The same seed, versions and threads give the same bits.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ...
    **settings
        Any field of :class:`TxTSettings`, over the preset's value.

    Attributes
    ----------
    settings : TxTSettings
    tokens_ : dict
        With pathways: what attention goes on among, name to genes, the sets of the training cohort in their order.
    history_, genes_, scaler_, targets_, module_
        As in :class:`gexcore.estimator.NeuralEstimator`.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo")
    >>> tasks = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> model = gx.TxT(tasks, preset="quick", max_epochs=2).fit(train, val)
    >>> model.predict(test)["os"].risk.shape
    (80,)
    """

    settings_class, presets = TxTSettings, PRESETS

    def __init__(
        self,
        tasks: Task | Sequence[Task],
        *,
        gene_embedding: pd.DataFrame | None = None,
        gene_sets: Mapping[str, Sequence[str]] | str | os.PathLike | None = None,
        preset: str = "paper",
        seed: int = 0,
        device: str = "auto",
        **settings,
    ):
        super().__init__(tasks, preset=preset, seed=seed, device=device, **settings)
        if gene_embedding is not None and (not isinstance(gene_embedding, pd.DataFrame) or gene_embedding.shape[1] < 2):
            found = f"{type(gene_embedding).__name__} of shape {getattr(gene_embedding, 'shape', ())}"
            message = f"gene_embedding is a DataFrame of genes x 2 or more numbers, not a {found}"
            raise TypeError(message)
        self.gene_embedding = gene_embedding
        self.d_embed = self.settings.d_model if gene_embedding is None else gene_embedding.shape[1]
        if (self.settings.attention == "pathways") != (gene_sets is not None):
            message = (
                f"gene_sets belong to attention='pathways': attention is {self.settings.attention!r}, and gene_sets "
                f"are {'not given' if gene_sets is None else 'given'}"
            )
            raise ValueError(message)
        self.gene_sets = None if gene_sets is None else check_gene_sets(gene_sets)

    def build_module(self, genes: Sequence[str], targets: Sequence[Target]) -> TxTModule:
        """The network, its gene vectors where ``gene_embedding`` has them."""
        members = None
        if self.gene_sets is not None:
            sets, position = divide_among_sets(genes, self.gene_sets), pd.Index(genes)
            members = [position.get_indexer(of_set) for of_set in sets.values()]
            n = self.settings.n_tokens
            self.tokens_ = {
                name if n == 1 else f"{name}, token {i}": of_set
                for name, of_set in sets.items()
                for i in range(1, n + 1)
            }
        module = TxTModule(len(genes), targets, self.d_embed, self.settings, members)
        if self.gene_embedding is not None:
            start = torch.tensor(vectors_for(genes, self.gene_embedding).to_numpy(float))
            module.encoder.genes.data.copy_(start)  # in another memory order the same numbers would round otherwise
        return module

    def attending(self) -> list[str]:
        """Names of what attends to each other in the layers of the fitted model: its genes, or tokens of gene sets."""
        self.fitted_module()
        return self.genes_ if self.gene_sets is None else list(self.tokens_)

    def extra_config(self) -> dict[str, Any]:
        """The width of the gene vectors, which need not be that of the settings, and the gene sets that are read."""
        if self.gene_sets is None:
            return {"d_embed": self.d_embed}
        read = {name: genes for name, genes in self.gene_sets.items() if not set(genes).isdisjoint(self.genes_)}
        return {"d_embed": self.d_embed, "gene_sets": read}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], state: Mapping[str, np.ndarray], tasks: Sequence[Task], **settings
    ) -> Self:
        model = super().from_config(config, state, tasks, gene_sets=config.get("gene_sets"), **settings)
        model.d_embed = config["d_embed"]
        return model

    def _batched(self, function: Callable, parts: Iterable[Tensor]) -> list[Tensor]:
        if self.module_.encoder.hears_expression():
            return super()._batched(function, parts)
        parts = list(parts)  # rounding, row by row, must not rank patients that are alike
        alike = super()._batched(function, [parts[0][:1]])
        return [result.expand(sum(map(len, parts)), -1) for result in alike]
