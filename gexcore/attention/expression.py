"""Self-attention conditioned on expression, which no kernel needs to be told.

Expression enters TxT as an untied term of the attention score, one number per pair of genes and head. That term has
rank one, so it folds into one extra column of query and key, and fused kernels never store a G x G matrix.
Shapes: B samples, G genes, E gene vector, D attention width, H heads, d = D / H.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import fused

_LANES = 8  # fused kernels want head widths in multiples of this
_CHUNK = 2**22  # attention weights held at once where they must be written out
_LARGEST = 2**26  # of a single sample; where it has more, they are written out for some of its queries at a time


class ExpressionTerm(nn.Module):
    """The transcriptome-based positional embedding of TxT (Koo et al. 2025, equation 1).

    The paper projects the expression g of query i and key j to D numbers each and multiplies them head by head,
    ``(g_i u_h) . (g_j v_h) / sqrt(2 d)``. As g is a scalar this is ``c_h g_i g_j``, with one number per head,
    ``c_h = u_h . v_h / sqrt(2 d)``. One term serves every layer.
    """

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.query = nn.Linear(1, d_model, bias=False)
        self.key = nn.Linear(1, d_model, bias=False)
        self.n_heads = n_heads

    def forward(self) -> Tensor:
        """The strength c of the term in each head, (H,)."""
        u, v = (p.weight.view(self.n_heads, -1) for p in (self.query, self.key))  # (H, d)
        return (u * v).sum(1) / math.sqrt(2 * u.shape[1])  # (H,)


class ExpressionAttention(nn.Module):
    """Multi-head self-attention with the expression term added to its scores.

    ``softmax_j(q_i . k_j / sqrt(2 d) + c_h g_i g_j)``: the factor 2 shares the variance between the two terms,
    as in TUPE (Ke et al. 2021).
    """

    def __init__(self, d_embed: int, d_model: int, n_heads: int, dropout: float = 0.0):
        super().__init__()
        self.query = nn.Linear(d_embed, d_model, bias=False)
        self.key = nn.Linear(d_embed, d_model, bias=False)
        self.value = nn.Linear(d_embed, d_model, bias=False)
        self.out = nn.Linear(d_model, d_embed, bias=False)
        self.n_heads, self.dropout = n_heads, dropout
        self.scale = 1 / math.sqrt(2 * d_model / n_heads)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, G, D) -> (B, H, G, d)

    def forward(self, x: Tensor, expression: Tensor, strength: Tensor) -> Tensor:
        """Gene vectors x (B or 1, G, E), expression (B, G) and strength (H,) to (B, G, E)."""
        dropout = self.dropout if self.training else 0.0
        if fused.serves(expression, self.out.in_features, self.n_heads, dropout):
            # One product for all three, and no copies of its parts.
            q, k, v = F.linear(x, torch.cat([p.weight for p in (self.query, self.key, self.value)])).chunk(3, -1)
            return self.out(fused.attend(q, k, v, expression, strength, scale=self.scale, dropout=dropout))
        q, k, v = (self._heads(p(x)) for p in (self.query, self.key, self.value))  # (B or 1, H, G, d)
        q, k = self._fold(q, k, expression.to(q.dtype), strength.to(q.dtype))  # (B, H, G, d + 1, padded)
        v = F.pad(v, (0, q.shape[-1] - v.shape[-1])).expand(*q.shape[:3], -1)
        head = _attend(q, k, v, self.scale, dropout)
        head = head[..., : self.out.in_features // self.n_heads]  # (B, H, G, d)
        return self.out(head.transpose(1, 2).flatten(2))  # (B, G, E)

    def _fold(self, q: Tensor, k: Tensor, g: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        # (q, c g_i / scale) . (k, g_j) * scale = q . k * scale + c g_i g_j: plain attention, one column wider.
        shape = (g.shape[0], self.n_heads, g.shape[1])
        g_query = (strength[:, None] / self.scale * g[:, None]).unsqueeze(-1)  # (B, H, G, 1)
        g_key = g[:, None, :, None].expand(*shape, 1)
        blank = g.new_zeros(()).expand(*shape, -(q.shape[-1] + 1) % _LANES)  # pads d + 1 to the kernel's lanes
        q, k = (torch.cat([p.expand(*shape, -1), extra, blank], -1) for p, extra in ((q, g_query), (k, g_key)))
        return q, k

    def weights(self, x: Tensor, expression: Tensor, strength: Tensor) -> Tensor:
        """Attention weights as the paper writes them, (B, H, G, G); every row sums to 1."""
        q, k = self._fold(*(self._heads(p(x)) for p in (self.query, self.key)), expression, strength)
        return (q * self.scale @ k.transpose(2, 3)).softmax(-1)  # folded: two matrices of genes x genes, and no third


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float) -> Tensor:
    if dropout == 0 or q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scale)

    # The CPU's fused kernel has no dropout. A few samples at a time, recomputed in the backward pass, memory stays at
    # one chunk's weights instead of those of every sample in every layer.
    def chunk(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.dropout((q @ k.transpose(-2, -1) * scale).softmax(-1), dropout) @ v

    def rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = q.split(max(1, _LARGEST // (q.shape[1] * k.shape[2])), dim=2)
        return torch.cat([checkpoint(chunk, part, k, v, use_reentrant=False) for part in parts], 2)

    size = max(1, _CHUNK // (q.shape[1] * q.shape[2] ** 2))
    parts = zip(*(t.split(size) for t in (q, k, v)), strict=True)
    return torch.cat([rows(*part) for part in parts])
