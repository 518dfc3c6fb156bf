"""A mixture of factor analysers: what the observed genes of a sample say about all others, in closed form.

Samples fall into groups whose genes go together in their own ways; within a group, genes are sums of few factors and
noise. Fitting and restoring cost no more than linear in the genes, and run on any device.
Shapes: B or N samples, G genes, K components, F factors, P axes of the summary.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from .gaussian import FactorModel, best_setting, group_samples, principal_axes

_COMPONENTS = (1, 3, 6, 10, 16)  # tried in this order until one does worse; likewise:
_FACTORS = (8, 16, 32, 64, 128)
_PRIOR_SAMPLES = (500, 250, 125, 60, 30)
_HELD = 200  # samples, at most, that the choice is made by
_MIN_NOISE = 0.02  # of a gene that the factors explain wholly, of a variance of about 1
_SCOUTS = 128  # observed genes that say which components are worth a full look
_PLAUSIBLE = 20.0  # log density by which a component may there fall behind the best
_COUNTS = 0.01  # a component with a smaller share of a sample needs no regression
_STEPS = 20  # of expectation maximisation
_BATCH = 64  # samples restored at once


class FactorMixture(nn.Module):
    """Buffers ``log_weight`` (K,), ``mean`` (K, G), ``loadings`` (K, G, F), ``noise`` (K, G), ``axes`` (G, P).

    Nothing of it is trained by gradients: :meth:`fit` is expectation maximisation.
    """

    def __init__(self, n_genes: int, n_components: int, n_factors: int, n_axes: int):
        super().__init__()
        shapes = {
            "log_weight": (n_components,),
            "mean": (n_components, n_genes),
            "loadings": (n_components, n_genes, n_factors),
            "noise": (n_components, n_genes),
            "axes": (n_genes, n_axes),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.ones(shape))

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        *,
        n_components: int | None = None,
        n_factors: int | None = None,
        prior_samples: int | None = None,
        shrinkage: float = 0.1,
        n_axes: int = 64,
        seed: int = 0,
    ) -> FactorMixture:
        """Learn groups, factors and noise from training samples.

        Parameters
        ----------
        x : numpy.ndarray
            (N, G) of variance about 1, NaN where missing; such cells are first filled in by one factor model.
        n_components : int, optional
            Groups, by default 1 to 16.
        n_factors : int, optional
            At most a fifth of the samples and half of the genes are taken. By default 8 to 128.
        prior_samples : int, optional
            How many samples the covariance of all groups together is worth in that of one, by default 30 to 500.
        shrinkage : float
            Share taken from every covariance between two genes; the variances stay.
        n_axes : int
            Principal axes of all samples that :meth:`summary` projects on, scaled to unit variance there.
        seed : int
            Draws the first guess of the groups, and held-out samples.

        Notes
        -----
        Numbers that are not given are those that restore held-out samples best, each in its turn: of factors, as if
        all samples were one group; of groups; of samples; and of factors again, now fewer. ``settings`` holds them.
        """
        x = np.asarray(x, dtype="float64")
        if np.isnan(x).any():
            x = FactorModel.fit(x, n_factors=max(1, min(25, *(n // 5 for n in x.shape))), seed=seed).restore(x)[0]
        settings = {"n_components": n_components, "n_factors": n_factors, "prior_samples": prior_samples}
        settings = cls._choose(x, settings, {"shrinkage": shrinkage, "n_axes": n_axes, "seed": seed})
        return cls._learn(x, _groups(x, settings), settings)

    @classmethod
    def _learn(cls, x: np.ndarray, group: Tensor, settings: dict[str, int | float]) -> FactorMixture:
        """Factors and noise of samples x (N, G) whose groups (N,) are known."""
        n, n_genes = x.shape
        prior_samples, shrinkage, n_axes = (settings[name] for name in ("prior_samples", "shrinkage", "n_axes"))
        n_factors = min(settings["n_factors"], _most_factors(x))
        z = torch.from_numpy(x).float()
        counts = torch.bincount(group).float()  # (K,)
        mean = torch.zeros(len(counts), n_genes).index_add_(0, group, z) / counts[:, None]
        off = z - mean[group]
        values, vectors = principal_axes(off.double().numpy(), n_factors)
        loadings = torch.from_numpy(vectors * np.sqrt(values * (1 - shrinkage))).float()  # (G, F)
        noise = (off.square().mean(0) - loadings.square().sum(1)).clamp(min=_MIN_NOISE)
        pooled = _factorise(off, torch.full((n,), 1 / n), loadings, noise, shrinkage)
        model = cls(n_genes, len(counts), n_factors, min(n_axes, n - 1, n_genes))
        model.log_weight, model.mean, model.settings = (counts / n).log(), mean, settings
        for k, count in enumerate(counts):
            weight = ((group == k) + prior_samples / n) / (count + prior_samples)
            model.loadings[k], model.noise[k] = (
                pooled if len(counts) == 1 else _factorise(off, weight, *pooled, shrinkage)
            )
        values, vectors = principal_axes(x - x.mean(axis=0), model.axes.shape[1])
        model.axes = torch.from_numpy((vectors / np.sqrt(values))[:, ::-1].copy()).float()
        return model

    @classmethod
    def _choose(cls, x: np.ndarray, wanted: dict[str, int | None], others: dict) -> dict[str, int | float]:
        """All settings of :meth:`fit`, with a number for every None of ``wanted``."""
        most = _most_factors(x)
        free = {name for name, value in wanted.items() if value is None}
        chosen = wanted | others | {"n_factors": min(wanted["n_factors"] or most, most)}
        groups: dict[int, Tensor] = {}  # by their number; the samples that are not held out are always the same ones

        def choose(name: str, values: list[int], **meanwhile: int) -> None:
            def restorer(part: np.ndarray, value: int) -> Callable:
                settings = chosen | meanwhile | {name: value}
                n_components = settings["n_components"]
                if n_components not in groups:
                    groups[n_components] = _groups(part, settings)
                return cls._learn(part, groups[n_components], settings).restore_arrays

            few, held = len(x) < 10 or len(values) == 1, {"seed": others["seed"], "n_held": _HELD}
            chosen[name] = values[0] if few else best_setting(values, restorer, x, name=name, **held)

        default = {"prior_samples": wanted["prior_samples"] or _PRIOR_SAMPLES[0]}
        if "n_factors" in free:
            choose("n_factors", sorted({min(f, most) for f in _FACTORS}), n_components=1, **default)
        if "n_components" in free:
            choose("n_components", [k for k in _COMPONENTS if k == 1 or k <= len(x) // 40], **default)
        if "prior_samples" in free:
            choose("prior_samples", _PRIOR_SAMPLES[: None if chosen["n_components"] > 1 else 1])
        if "n_factors" in free and chosen["n_components"] > 1:
            now = chosen["n_factors"]
            choose("n_factors", [now, *(f for f in _FACTORS[::-1] if f < now)])
        return chosen

    def read(self, x: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What the cells of x (B, G) that are not NaN say: :meth:`restore` and :meth:`summary` at the cost of one."""
        share, states = self._infer(x)
        shape = x.shape if targets is None else targets.shape
        mean, square = (x.new_zeros(shape) for _ in range(2))
        summary = x.new_zeros(len(x), self.axes.shape[1])
        for k, rows, factors, covariance in states:
            genes = slice(None) if targets is None else targets[rows]
            loadings, part = self.loadings[k][genes], share[rows, k, None]  # (G, F) or (b, T, F)
            centre = self.mean[k][genes] + (loadings @ factors[:, :, None])[..., 0]
            spread = self.noise[k][genes] + (loadings @ covariance * loadings).sum(-1)
            mean[rows] += part * centre
            square[rows] += part * (centre**2 + spread)
            summary[rows] += part * (self.mean[k] @ self.axes + factors @ (self.loadings[k].T @ self.axes))
        sd = (square - mean**2).clamp(min=1e-4).sqrt()  # components may disagree: that counts as spread
        return mean, sd, summary

    def restore(self, x: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and sd of every cell, or of target genes (B, T), given the cells of x (B, G) that are not NaN.

        Observed cells too get what the factors make of them: to keep what was measured is up to the caller.
        """
        return self.read(x, targets)[:2]

    def summary(self, x: Tensor) -> Tensor:
        """The expected expression of all genes given those of x (B, G) that are not NaN, on the axes, (B, P)."""
        return self.read(x, torch.zeros(len(x), 0, dtype=torch.long, device=x.device))[2]

    def restore_arrays(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """:meth:`restore` of numpy arrays, batch by batch; an observed cell is itself, with sd 0."""
        parts = [self.restore(part) for part in torch.from_numpy(np.asarray(x)).float().split(_BATCH)]
        mean, sd = (torch.cat(part).double().numpy() for part in zip(*parts, strict=True))
        return np.where(np.isnan(x), mean, x), np.where(np.isnan(x), sd, 0.0)

    def _infer(self, x: Tensor) -> tuple[Tensor, list[tuple[int, Tensor, Tensor, Tensor]]]:
        """Share of each component in each sample (B, K); component, rows (b,), their factors (b, F) and covariance."""
        seen = ~x.isnan()
        count = max(1, int(seen.sum(1).max()))
        genes = seen.int().argsort(dim=1, descending=True, stable=True)[:, :count]  # (B, N): those seen come first
        value, there = x.gather(1, genes).nan_to_num(), seen.gather(1, genes)
        everyone = torch.arange(len(x), device=x.device)
        fits = x.new_full((len(x), len(self.mean)), -math.inf)
        plausible = torch.ones_like(fits, dtype=torch.bool)
        if len(self.mean) > 1 and count > _SCOUTS:
            scout, known = torch.arange(_SCOUTS, device=x.device), seen.sum(1, keepdim=True)
            few = torch.where(known > _SCOUTS, scout * known // _SCOUTS, scout)  # (B, scouts), by each sample alone
            for k in range(len(self.mean)):
                fits[:, k] = self._condition(k, *(part.gather(1, few) for part in (genes, value, there)))[0]
            plausible = fits > fits.amax(1, keepdim=True) - _PLAUSIBLE
            fits = fits.new_full(fits.shape, -math.inf)
        conditions = {}
        for k in range(len(self.mean)):
            rows = everyone[plausible[:, k]]
            if len(rows):
                fit, *posterior = self._condition(k, genes[rows], value[rows], there[rows])
                fits[rows, k] = fit
                conditions[k] = rows, *posterior
        share = (fits + self.log_weight).softmax(1)  # (B, K)
        share = torch.where(share > _COUNTS, share, 0.0)
        share = share / share.sum(1, keepdim=True)
        states = []
        for k, (rows, root, white) in conditions.items():
            kept = share[rows, k] > 0
            if kept.any():
                factors = torch.linalg.solve_triangular(root[kept].mT, white[kept], upper=True)[..., 0]  # (b, F)
                states.append((k, rows[kept], factors, torch.cholesky_inverse(root[kept])))
        return share, states

    def _condition(self, k: int, genes: Tensor, value: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What values (b, N) of genes (b, N), where there, say of component k.

        The log density but for a constant (b,); the Cholesky root of the precision of the factors (b, F, F); and
        root^-1 times the pull on them (b, F, 1).
        """
        weight = there / self.noise[k][genes]  # (b, N), 0 for padding
        loadings, off = self.loadings[k][genes], value - self.mean[k][genes]
        scaled = (loadings * weight[..., None]).mT  # (b, F, N)
        precision = scaled @ loadings
        precision.diagonal(dim1=1, dim2=2).add_(1.0)
        root = torch.linalg.cholesky(precision)
        white = torch.linalg.solve_triangular(root, scaled @ off[..., None], upper=False)  # (b, F, 1)
        quadratic = (off.square() * weight).sum(1) - white.square().sum((1, 2))
        log_det = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1) + (there * self.noise[k][genes].log()).sum(1)
        return -0.5 * (quadratic + log_det), root, white


def _most_factors(x: np.ndarray) -> int:
    return max(1, min(len(x) // 5, x.shape[1] // 2))


def _groups(x: np.ndarray, settings: dict[str, int | float]) -> Tensor:
    """The group of each sample (N,), numbered without gaps."""
    if settings["n_components"] == 1:
        return torch.zeros(len(x), dtype=torch.long)
    share = group_samples(x, settings["n_components"], np.random.default_rng(settings["seed"]))
    return torch.from_numpy(np.unique(share.argmax(axis=1), return_inverse=True)[1])  # some may have stayed empty


def _factorise(off: Tensor, weight: Tensor, loadings: Tensor, noise: Tensor, shrinkage: float) -> tuple[Tensor, Tensor]:
    """Loadings (G, F) and noise (G,) of the shrunk covariance of off (N, G), weighted: maximum likelihood by EM."""
    variance = (weight[:, None] * off.square()).sum(0).clamp(min=1e-6)
    eye = torch.eye(loadings.shape[1])
    for _ in range(_STEPS):
        scaled = loadings / noise[:, None]
        precision = eye + loadings.T @ scaled  # (F, F)
        regression = torch.linalg.solve(precision, scaled.T)  # (F, G): factors from genes
        moved = off.T @ (weight[:, None] * (off @ regression.T))  # (G, F)
        moved = (1 - shrinkage) * moved + shrinkage * variance[:, None] * regression.T
        second = torch.linalg.inv(precision) + regression @ moved
        loadings = torch.linalg.solve(second, moved.T).T
        noise = (variance - (loadings * moved).sum(1)).clamp(min=_MIN_NOISE)
    return loadings, noise
