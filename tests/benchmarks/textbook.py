"""Both networks written from the equations, as one would for a lecture: what the package's speed is measured by.

In TxT attention and its expression term are matrices of genes x genes, every task has a backward pass through
everything, and PCGrad works on all parameters in one long vector. In GexBERT attention is a matrix. Weights, losses and
heads are those of the package, so that both compute the same.
Shapes: B samples, G genes, E gene vector, D attention width, H heads, d = D / H.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gexcore.attention import EncoderBlock, ExpressionEncoder, ExpressionTerm
from gexcore.transformer import Attention


def heads_of(x: Tensor, n_heads: int) -> Tensor:
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)  # (B, G, D) -> (B, H, G, d)


def attend(block: EncoderBlock, term: ExpressionTerm, x: Tensor, g: Tensor) -> Tensor:
    """Equation 1 of the paper, its two terms as they stand there."""
    own = block.attention
    q, k, v = (heads_of(project(x), own.n_heads) for project in (own.query, own.key, own.value))
    u, w = (heads_of(project(g[..., None]), own.n_heads) for project in (term.query, term.key))
    width = math.sqrt(2 * q.shape[-1])
    score = q @ k.transpose(2, 3) / width + u @ w.transpose(2, 3) / width  # (B, H, G, G)
    weight = F.dropout(score.softmax(-1), own.dropout, block.training)
    return own.out((weight @ v).transpose(1, 2).flatten(2))  # (B, G, E)


def encode(encoder: ExpressionEncoder, g: Tensor) -> Tensor:
    """Expression (B, G) to gene vectors (B, G, E); pre-norm."""
    x = encoder.genes.expand(len(g), -1, -1)
    for block in encoder.blocks:
        x = x + attend(block, encoder.term, block.norms[0](x), g)
        up, _, dropout, down = block.feed_forward
        x = x + down(F.dropout(F.relu(up(block.norms[1](x))), dropout.p, block.training))
    return encoder.norm(x)


def pcgrad(module: nn.Module, losses: list[Tensor], generator: np.random.Generator) -> None:
    """Yu et al. 2020, algorithm 1, on the gradients of all parameters; their sum becomes the gradient."""
    parameters, gradients = list(module.parameters()), []
    for loss in losses:
        module.zero_grad()
        loss.backward(retain_graph=True)
        gradients.append(
            torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters])
        )
    projected = []
    for i, gradient in enumerate(gradients):
        own = gradient.clone()
        for j in generator.permutation(len(gradients)):
            dot = own @ gradients[j]
            if j != i and dot < 0:
                own -= dot / gradients[j].square().sum() * gradients[j]
        projected.append(own)
    pieces = torch.stack(projected).sum(0).split([p.numel() for p in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)


class WrittenOut(nn.Module):
    """The attention of GexBERT with its weights written out."""

    def __init__(self, own: Attention):
        super().__init__()
        self.own = own

    def forward(self, x: Tensor, y: Tensor, padding: Tensor | None) -> Tensor:
        head = self.own.weights(x, y, padding) @ heads_of(self.own.value(y), self.own.n_heads)  # (B, H, N, d)
        return self.own.out(head.transpose(1, 2).flatten(2))
