"""The encoder over genes: blocks of attention and feed-forward layers on one set of gene vectors.

Shapes: B samples, G genes, E gene vector, D attention width, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .expression import ExpressionAttention, ExpressionTerm
from .linear import LinearAttention


class FeedForward(nn.Sequential):
    """Linear, ReLU, dropout, linear: gene by gene."""

    def __init__(self, d_embed: int, d_ff: int, dropout: float):
        up, down = nn.Linear(d_embed, d_ff, bias=False), nn.Linear(d_ff, d_embed, bias=False)
        super().__init__(up, nn.ReLU(), nn.Dropout(dropout), down)

    def forward(self, x: Tensor) -> Tensor:  # (B, G, E) -> (B, G, E)
        up, _, dropout, down = self
        if x.is_cuda or not (self.training and dropout.p):
            return super().forward(x)
        return down(_ReluDropout.apply(up(x), dropout.p))


class _ReluDropout(torch.autograd.Function):
    """ReLU and dropout on a CPU, which keep nothing but their result: it is zero wherever no gradient passes.

    A mask takes 16 random bits a number, so that the share that is dropped is a multiple of 2^-16.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        bound = round(rate * 2**16)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = bits[: x.numel()].view(x.shape) >= bound - 2**15
        ctx.scale = 1 / (1 - bound / 2**16)
        y = x.relu().mul_(ctx.scale).mul_(kept)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return (grad * ctx.scale).mul_(y > 0), None


class EncoderBlock(nn.Module):
    """Attention and a gene-wise feed-forward layer, each with a residual connection and a layer norm.

    With ``n_features`` the attention is a :class:`LinearAttention` of so many.
    """

    def __init__(
        self,
        d_embed: int,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float,
        norm_first: bool,  # noqa: FBT001
        n_features: int | None = None,
    ):
        super().__init__()
        if n_features is None:
            self.attention = ExpressionAttention(d_embed, d_model, n_heads, dropout)
        else:
            self.attention = LinearAttention(d_embed, d_model, n_heads, n_features)
        self.feed_forward = FeedForward(d_embed, d_ff, dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(d_embed), nn.LayerNorm(d_embed)])
        self.norm_first = norm_first

    def forward(self, x: Tensor, expression: Tensor, strength: Tensor) -> Tensor:  # (B or 1, G, E) -> (B, G, E)
        if self.norm_first:
            x = x + self.attention(self.norms[0](x), expression, strength)
            return x + self.feed_forward(self.norms[1](x))
        x = self.norms[0](x + self.attention(x, expression, strength))
        return self.norms[1](x + self.feed_forward(x))


class ExpressionEncoder(nn.Module):
    """Transformer encoder over genes: (B, G) expression to (B, G, E) gene vectors of each sample.

    Every sample starts from the same gene vectors; expression tells them apart, through the attention alone
    (the paper's model) or also through the token itself (``value_path``).

    Parameters
    ----------
    n_genes : int
    n_layers, n_heads : int
        Encoder blocks and attention heads. The paper's code uses 8 and 4.
    d_model : int
        Total width of the heads; divisible by ``n_heads``.
    d_embed : int, optional
        Width of the gene vectors; ``d_model`` unless given.
    d_ff : int
        Hidden width of the feed-forward layers.
    dropout : float
        On attention weights and in the feed-forward layers.
    norm_first : bool
        Layer norm before each sublayer (pre-norm) or after it (post-norm); a last layer norm always follows.
    expression_term : bool
        Expression enters the attention scores, the paper's only path.
    value_path : bool
        Tokens become ``e_i + g_i (W e_i + b)`` with a learned map W, b, so that values and residuals carry expression
        too. Not in the paper, where expression only reweights attention.
    n_features : int, optional
        Every block has a :class:`LinearAttention` of so many features; full attention unless given.
    checkpointing : bool
        The backward pass computes each block anew instead of finding its insides stored: the same gradients from the
        memory of one block, for the time of one more forward pass.

    Examples
    --------
    >>> encoder = ExpressionEncoder(n_genes=50, n_layers=2, d_model=16, n_heads=2)
    >>> encoder(torch.randn(3, 50)).shape
    torch.Size([3, 50, 16])
    """

    def __init__(
        self,
        n_genes: int,
        *,
        n_layers: int = 8,
        n_heads: int = 4,
        d_model: int = 64,
        d_embed: int | None = None,
        d_ff: int = 256,
        dropout: float = 0.1,
        norm_first: bool = True,
        expression_term: bool = True,
        value_path: bool = False,
        n_features: int | None = None,
        checkpointing: bool = False,
    ):
        super().__init__()
        if d_model % n_heads:
            message = f"d_model ({d_model}) must be divisible by n_heads ({n_heads})"
            raise ValueError(message)
        d_embed = d_embed or d_model
        self.genes = nn.Parameter(torch.randn(n_genes, d_embed))
        self.n_heads, self.term = n_heads, ExpressionTerm(d_model, n_heads) if expression_term else None
        self.blocks = nn.ModuleList(
            EncoderBlock(d_embed, d_model, n_heads, d_ff, dropout, norm_first, n_features) for _ in range(n_layers)
        )
        self.checkpointing = checkpointing
        self.norm = nn.LayerNorm(d_embed)
        self.value = nn.Linear(d_embed, d_embed) if value_path else None
        if value_path:
            nn.init.normal_(self.value.bias)  # as large as a gene vector: expression is heard from the first step

    def _strength(self) -> Tensor:  # (H,)
        return self.genes.new_zeros(self.n_heads) if self.term is None else self.term()

    def hears_expression(self) -> bool:
        """Whether expression can make any difference: a path whose weights are all zero carries nothing."""
        token = self.value is not None and any(p.any() for p in self.value.parameters())
        return bool(token or self._strength().any())

    def _tokens(self, expression: Tensor) -> Tensor:
        # Without the value path the first layer sees one set of gene vectors for all samples: its projections are
        # computed once, not B times.
        if self.value is None:
            return self.genes[None]  # (1, G, E)
        return self.genes + expression[..., None] * self.value(self.genes)  # (B, G, E)

    def _start(self, expression: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        """What the first block is given: vectors (B or 1, G, E) and their expression (B, G)."""
        return self._tokens(expression), expression

    def _run(self, module: Callable, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(module, *inputs, use_reentrant=False)
        return module(*inputs)

    def forward(self, expression: Tensor) -> Tensor:
        """Expression (B, G), no missing values, to gene vectors (B, G, E)."""
        strength = self._strength()
        x, level = self._start(expression, strength)
        for block in self.blocks:
            x = self._run(block, x, level, strength)
        return self.norm(x).expand(len(expression), -1, -1)  # without blocks and value path all samples share one x

    def attention(self, expression: Tensor) -> Iterator[Tensor]:
        """Attention weights layer by layer, each (B, H, G, G); one layer is held at a time."""
        strength = self._strength()
        x, level = self._start(expression, strength)
        for block in self.blocks:
            yield block.attention.weights(block.norms[0](x) if block.norm_first else x, level, strength)
            x = block(x, level, strength)
