"""Parts of a transformer that reads any panel of genes: attention, blocks, and tokens of gene and expression.

A token belongs to a gene; nothing depends on the order of genes. Samples with fewer genes than others are padded.
Shapes: B samples, N tokens that ask, M tokens that are read, D width, H heads, d = D / H, L levels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head scaled dot-product attention; tokens x read tokens y."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))
        self.n_heads = n_heads

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, N, D) -> (B, H, N, d)

    def forward(self, x: Tensor, y: Tensor, padding: Tensor | None) -> Tensor:
        """Tokens x (B, N, D) and y (B, M, D), padding (B, M) True where y holds none, to (B, N, D)."""
        q, k, v = self._heads(self.query(x)), self._heads(self.key(y)), self._heads(self.value(y))
        mask = None if padding is None else ~padding[:, None, None]  # (B, 1, 1, M)
        head = _attend(q, k, v, mask)  # (B, H, N, d)
        return self.out(head.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, y: Tensor, padding: Tensor | None) -> Tensor:
        """Attention weights, (B, H, N, M); every row sums to 1."""
        q, k = self._heads(self.query(x)), self._heads(self.key(y))
        score = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        return (
            score.masked_fill(padding[:, None, None], -math.inf).softmax(-1)
            if padding is not None
            else score.softmax(-1)
        )


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    with torch.autocast("cpu", enabled=False):  # whose kernel takes longer over half the digits
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)


class Block(nn.Module):
    """Attention and a token-wise feed-forward layer, each after a layer norm and beside a residual connection."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float):
        super().__init__()
        self.attention = Attention(d_model, n_heads)
        self.feed_forward = nn.Sequential(nn.Linear(d_model, d_ff), nn.GELU(), nn.Linear(d_ff, d_model))
        self.norms = nn.ModuleList([nn.LayerNorm(d_model), nn.LayerNorm(d_model)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, padding: Tensor | None = None, memory: Tensor | None = None) -> Tensor:
        """Tokens x (B, N, D) read each other, or only ``memory`` (B, M, D); ``padding`` is of what is read."""
        own = self.norms[0](x)
        x = x + self.dropout(self.attention(own, own if memory is None else memory, padding))
        return x + self.dropout(self.feed_forward(self.norms[1](x)))

    def weights(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Self-attention weights, (B, H, N, N)."""
        own = self.norms[0](x)
        return self.attention.weights(own, own, padding)


class LevelEmbedding(nn.Module):
    """A learned vector per level of expression, and one for a missing value."""

    def __init__(self, n_levels: int, d_model: int):
        super().__init__()
        self.vectors, self.n_levels = nn.Embedding(n_levels + 1, d_model), n_levels
        nn.init.normal_(self.vectors.weight, std=0.5)

    def forward(self, score: Tensor, gene: Tensor) -> Tensor:
        """Normal scores (B, N), NaN where missing, to (B, N, D); ``gene`` (B, N, D) is not looked at."""
        share = torch.special.ndtr(score)
        level = (share * self.n_levels).nan_to_num(nan=self.n_levels).long()
        return self.vectors(torch.where(score.isnan(), self.n_levels, level.clamp(max=self.n_levels - 1)))


class ValueEmbedding(nn.Module):
    """Continuous expression: the score times a map of the gene's vector; a learned vector where it is missing."""

    def __init__(self, d_model: int):
        super().__init__()
        self.map, self.missing = nn.Linear(d_model, d_model), nn.Parameter(torch.zeros(d_model))
        nn.init.normal_(self.map.bias, std=0.5)  # expression is heard from the first step

    def forward(self, score: Tensor, gene: Tensor) -> Tensor:
        """Normal scores (B, N), NaN where missing, and gene vectors (B, N, D) to (B, N, D)."""
        return torch.where(score.isnan()[..., None], self.missing, score.nan_to_num()[..., None] * self.map(gene))
