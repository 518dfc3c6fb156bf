"""The attention of TxT at a cost that grows with the genes, not with their pairs: FAVOR+ (Choromanski et al. 2021).

As the expression term folds into one more column of query and key, all of a score is one inner product, and what
approximates the softmax of an inner product approximates the whole of TxT's attention.
Shapes: B samples, G genes, E gene vector, D attention width, H heads, d = D / H, R features.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .expression import ExpressionAttention

_LEAST = 0.1  # added to the strength of the expression term where it is shared out: at 0 its gradient would be noise


class LinearAttention(ExpressionAttention):
    """:class:`ExpressionAttention` approximated by positive orthogonal random features.

    A score is ``q'_i . k'_j``, where ``q'_i = (q_i / (2 d)^(1/4), c_h g_i / b)``, ``k'_j = (k_j / (2 d)^(1/4), b g_j)``
    and ``b^2 = |c_h| + 0.1``. For w normal in n = d + 1 dimensions ``exp(q' . k')`` is the mean of
    ``phi_w(q') phi_w(k')`` with

    ``phi_w(x) = r^(n / 2) exp((1 - r^2) |w|^2 / 4 + r w . x - |x|^2 / 2)``,

    whatever r is, so that R draws of w give the attention of query i as

    ``sum_f phi_f(q'_i) (sum_j phi_f(k'_j) v_j)  /  sum_f phi_f(q'_i) (sum_j phi_f(k'_j))``.

    Both sums over j serve all queries: the cost is G x R instead of G x G. Numerator and denominator are unbiased and
    their errors fall as ``1 / sqrt(R)``, from a start that grows fast with ``|q' + k'|``. What keeps it low changes no
    weight: ``b`` shares the expression term out about evenly; the mean key is taken off all keys; draws are orthogonal
    within every n of them; and ``r^2 = (1 + s) / 2`` is the best for the mean m of ``|q' + k'|^2`` in each sample and
    head (Likhosherstov et al. 2022; FAVOR+ itself has r = 1),
    ``s = (n + 2 m + sqrt((n + 2 m)^2 + 8 n m)) / (2 n)``.

    Draws are made at construction and saved. The weights are never made, so they have no dropout as those of full
    attention do, and nothing has it in their place. :meth:`weights` writes out the ones that are approximated.

    Parameters
    ----------
    d_embed, d_model, n_heads : int
        As in :class:`ExpressionAttention`, whose parameters these are, too.
    n_features : int
        R, of each head.
    """

    def __init__(self, d_embed: int, d_model: int, n_heads: int, n_features: int = 128):
        super().__init__(d_embed, d_model, n_heads)
        self.register_buffer("draws", _orthogonal_draws(n_heads, n_features, d_model // n_heads + 1))

    def forward(self, x: Tensor, expression: Tensor, strength: Tensor) -> Tensor:
        """Gene vectors x (B or 1, G, E), expression (B, G) and strength (H,) to (B, G, E)."""
        q, k, v = (self._heads(p(x)) for p in (self.query, self.key, self.value))  # (B or 1, H, G, d)
        with torch.autocast(x.device.type, enabled=False):  # exponentials in half precision are too coarse
            head = self._attend(q.float(), k.float(), v.float(), expression.float(), strength.float())  # (B, H, G, d)
        return self.out(head.transpose(1, 2).flatten(2))  # (B, G, E)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, strength: Tensor) -> Tensor:
        # Neither b nor r changes what is expected, so no gradient flows through the choice of either.
        b = (strength.detach().abs() + _LEAST).sqrt()  # (H,)
        g_query, g_key = (c[:, None] * g[:, None] for c in (strength / b, b))  # (B, H, G)
        q, k = (math.sqrt(self.scale) * t for t in (q, k))
        k, g_key = k - k.mean(2, keepdim=True), g_key - g_key.mean(2, keepdim=True)
        q, k = (torch.cat([t.expand(*e.shape, -1), e[..., None]], -1) for t, e in ((q, g_query), (k, g_key)))
        half = k.square().sum(-1, keepdim=True) / 2  # (B, H, G, 1); that of a query cancels out
        m = q.detach().square().sum(-1).mean(2) + 2 * half.detach().mean((2, 3))  # (B, H), as the mean key is 0
        r = self._best(m)[..., None, None]  # (B, H, 1, 1)
        draws = self.draws.transpose(1, 2)  # (H, d + 1, R)
        query = r * q @ draws  # (B, H, G, R)
        key = torch.cat([r * k, -half], -1) @ F.pad(draws, (0, 0, 0, 1), value=1.0)  # (B, H, G, R)
        damping = (1 - r**2) / 2 * draws.square().sum(1)[:, None]  # (B, H, 1, R), of query and key together
        # Each feature is measured by its largest key, and each query by its largest feature, which cancels out as well.
        # Nothing overflows then, and no denominator is below 1.
        largest = key.detach().amax(2, keepdim=True)  # (B, H, 1, R)
        key = (key - largest).exp()
        query = query + (largest + damping)
        query = (query - query.detach().amax(-1, keepdim=True)).exp()
        read = key.transpose(2, 3) @ v  # (B, H, R, d)
        return query @ read / (query @ key.sum(2)[..., None])  # (B, H, G, d)

    def _best(self, m: Tensor) -> Tensor:
        n = self.draws.shape[-1]
        s = (n + 2 * m + ((n + 2 * m) ** 2 + 8 * n * m).sqrt()) / (2 * n)
        return ((1 + s) / 2).sqrt()


def _orthogonal_draws(n_heads: int, n_features: int, width: int) -> Tensor:
    """Draws from the standard normal in ``width`` dimensions, orthogonal within every ``width``, (H, R, width)."""
    n_blocks = math.ceil(n_features / width)
    directions, triangle = torch.linalg.qr(torch.randn(n_heads, n_blocks, width, width))
    # The factorisation chooses signs of its own; undone, directions are uniform on the sphere (Mezzadri 2007).
    directions = directions * triangle.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    directions = directions.transpose(2, 3).flatten(1, 2)[:, :n_features]  # (H, R, width)
    return directions * torch.randn(n_heads, n_features, width).norm(dim=-1, keepdim=True)
