"""From genes to sets of genes: each set is read by an attention of its own, and attention goes on among the sets.

Shapes: B samples, G genes, E gene vector, D attention width, H heads, d = D / H, P tokens, M memberships (pairs of a
token and a gene it reads).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .encoder import ExpressionEncoder


class SetAttention(nn.Module):
    """Attention of one learned query per token over the genes of its set: the pooling of Lee et al. 2019, conditioned.

    Token p has a vector ``t_p`` and reads the set S(p). With gene vectors ``x_j`` (after a layer norm), expression
    ``g_j`` and the strength ``c_h`` of the expression term,

    ``a_pj = softmax over j in S(p) of (t_p W_Q) . (x_j W_K) / sqrt(2 d) + c_h g_j`` in every head h,

    ``z_p = t_p + [sum_j a_pj x_j W_V, all heads] W_O``  and  ``g_p = mean over heads of sum_j a_pj g_j``.

    The score is that of :class:`ExpressionAttention` for a query whose own expression is 1. What follows attends among
    the ``z_p`` with ``g_p`` for expression. Only pairs that belong together are computed: time and memory grow with M.

    Parameters
    ----------
    members : sequence of sequence of int
        Of each set, the positions of its genes, one or more.
    d_embed, d_model, n_heads : int
    dropout : float
        On attention weights, though not on those that average expression.
    n_tokens : int
        Tokens per set, each with a query of its own: P is the number of sets times this.
    """

    def __init__(
        self,
        members: Sequence[Sequence[int]],
        d_embed: int,
        d_model: int,
        n_heads: int,
        dropout: float = 0.0,
        n_tokens: int = 1,
    ):
        super().__init__()
        sizes = torch.tensor([len(genes) for genes in members]).repeat_interleave(n_tokens)  # (P,)
        genes = [torch.as_tensor(genes) for genes in members for _ in range(n_tokens)]
        self.register_buffer("gene", torch.cat(genes), persistent=False)  # (M,)
        self.register_buffer("token", torch.arange(len(sizes)).repeat_interleave(sizes), persistent=False)  # (M,)
        # As long as a mean of gene vectors: a longer one would drown what is read.
        self.vectors = nn.Parameter(torch.randn(len(sizes), d_embed) / sizes[:, None].sqrt())
        self.norm = nn.LayerNorm(d_embed)
        self.query = nn.Linear(d_embed, d_model, bias=False)
        self.key = nn.Linear(d_embed, d_model, bias=False)
        self.value = nn.Linear(d_embed, d_model, bias=False)
        self.out = nn.Linear(d_model, d_embed, bias=False)
        self.n_heads, self.dropout = n_heads, dropout
        self.scale = 1 / math.sqrt(2 * d_model / n_heads)

    def forward(self, x: Tensor, expression: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        """Gene vectors x (B or 1, G, E), expression (B, G) and strength (H,) to tokens (B, P, E) and theirs (B, P)."""
        x = self.norm(x).transpose(0, 1)  # (G, B or 1, E): rows of the first axis are gathered and added up fastest
        g = expression.T.index_select(0, self.gene)  # (M, B)
        weights = self._weights(x, g, strength)  # (M, B, H)
        level = self._over_members(weights.mean(2) * g)  # (P, B)
        value = self._heads(self.value(x)).index_select(0, self.gene)  # (M, B or 1, H, d)
        kept = F.dropout(weights, self.dropout, self.training).to(value.dtype)
        read = self._over_members((kept[..., None] * value).flatten(2))  # (P, B, D)
        return (self.vectors[:, None] + self.out(read)).transpose(0, 1), level.T

    def weights(self, x: Tensor, expression: Tensor, strength: Tensor) -> Tensor:
        """How much each token takes of each of its genes, (B, H, M); over the genes of a token they sum to 1."""
        g = expression.T.index_select(0, self.gene)  # (M, B)
        return self._weights(self.norm(x).transpose(0, 1), g, strength).permute(1, 2, 0)

    def _weights(self, x: Tensor, g: Tensor, strength: Tensor) -> Tensor:
        q = self._heads(self.query(self.vectors)).index_select(0, self.token)  # (M, H, d)
        k = self._heads(self.key(x)).index_select(0, self.gene)  # (M, B or 1, H, d)
        score = ((q[:, None] * k).sum(-1) * self.scale + strength * g[..., None]).float()  # (M, B, H)
        largest = score.new_full((len(self.vectors), *score.shape[1:]), -math.inf)
        largest.scatter_reduce_(0, self.token[:, None, None].expand_as(score), score.detach(), "amax")  # (P, B, H)
        share = (score - largest.index_select(0, self.token)).exp()
        return share / self._over_members(share).index_select(0, self.token)  # (M, B, H)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1))

    def _over_members(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(self.vectors), *x.shape[1:]).index_add(0, self.token, x)  # (M, ...) -> (P, ...)


class PathwayEncoder(ExpressionEncoder):
    """Hierarchical encoder: genes to tokens of sets (:class:`SetAttention`), then the blocks among the P tokens.

    (B, G) expression becomes (B, P, E), and attention is (B, H, P, P). One expression term serves the attention within
    sets and all layers among them.

    Parameters
    ----------
    n_genes : int
    members, n_tokens
        As in :class:`SetAttention`. A gene in no set is not read.
    n_layers, n_heads, d_model, d_embed, d_ff, dropout, norm_first, expression_term, value_path, checkpointing
        As in :class:`ExpressionEncoder`; ``checkpointing`` counts what happens within sets as a block.

    Examples
    --------
    >>> encoder = PathwayEncoder(50, [range(30), range(20, 50)], n_layers=1, d_model=16, n_heads=2)
    >>> encoder(torch.randn(3, 50)).shape
    torch.Size([3, 2, 16])
    """

    def __init__(
        self,
        n_genes: int,
        members: Sequence[Sequence[int]],
        *,
        n_tokens: int = 1,
        n_heads: int = 4,
        d_model: int = 64,
        d_embed: int | None = None,
        dropout: float = 0.1,
        **settings,
    ):
        super().__init__(n_genes, n_heads=n_heads, d_model=d_model, d_embed=d_embed, dropout=dropout, **settings)
        self.sets = SetAttention(members, d_embed or d_model, d_model, n_heads, dropout, n_tokens)

    def _start(self, expression: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        return self._run(self.sets, self._tokens(expression), expression, strength)  # (B, P, E), (B, P)

    def within_sets(self, expression: Tensor) -> Tensor:
        """Attention of each token to the genes it reads, (B, H, M)."""
        return self.sets.weights(self._tokens(expression), expression, self._strength())
