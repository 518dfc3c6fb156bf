"""Pretraining of GexBERT: genes are hidden from the network, and it is judged by what it restores of them.

Shapes: B samples, G genes, N genes of a panel, T targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from .coexpression import correlation_graph, spectral_vectors
from .cohort.backed import ExpressionFile, load
from .levels import Levels, level_loss, level_of
from .mixture import FactorMixture
from .network import node2vec, vectors_for
from .restorer import GexBERTSettings, Restorer
from .scaling import Scaler
from .streams import Streamed
from .tasks import first_ids

PRIORS = ("spectral", "node2vec")
LOSSES = {"value": ("value",), "levels": ("levels",), "both": ("value", "levels")}


def some_samples(cohort: AnnData, chosen: np.ndarray) -> AnnData:
    """Samples by position, in memory; the cohort itself where it is there and they are all of it."""
    if cohort.isbacked:
        return load(cohort, samples=chosen)
    return cohort if len(chosen) == cohort.n_obs else cohort[chosen].copy()


def training_samples(
    train: AnnData, fold: np.ndarray, scaler: Scaler, levels: Levels, buffer: int
) -> Streamed | tuple[Tensor, ...]:
    """Scores, values and folds of all training samples; of a cohort on disk they are read when they are needed."""

    def prepared(x: np.ndarray, samples: np.ndarray) -> tuple[Tensor, ...]:
        _refuse_blank(x, train.obs_names[samples], "training")
        values = scaler.standardise(x)
        return tuple(map(torch.from_numpy, (levels.score(values), values, fold[samples])))

    if not train.isbacked:
        return prepared(train.X, np.arange(train.n_obs))
    file = ExpressionFile(train)
    return Streamed(
        lambda samples: prepared(file.read(samples), samples), file.place, buffer=buffer, summary=file.fingerprint()
    )


def validation_samples(
    values: np.ndarray, levels: Levels, rates: tuple[float, float], rng: np.random.Generator
) -> tuple[Tensor, ...]:
    """Scores, values, folds (none), shares to hide and the order that says which: the same in every epoch."""
    order = torch.from_numpy(rng.random(values.shape).astype("float32"))
    shares, fold = torch.linspace(*rates, len(values)), torch.full((len(values),), -1)
    return torch.from_numpy(levels.score(values)), torch.from_numpy(values), fold, shares, order


def fit_mixtures(
    score: np.ndarray, fold: np.ndarray, settings: GexBERTSettings, seed: int
) -> tuple[FactorMixture | None, list[FactorMixture]]:
    """The linear path, and one fitted without each fold: what it leaves over of samples it has not seen."""
    s = settings
    if s.linear == "none":
        return None, []
    how = {"n_components": s.n_components, "n_factors": s.n_factors, "shrinkage": s.shrinkage}
    whole = FactorMixture.fit(score, **how, seed=seed)
    folds = [FactorMixture.fit(score[fold != f], **whole.settings) for f in range(s.n_folds)]
    for mixture in folds:
        mixture.axes = whole.axes  # one meaning of a profile
    return whole, folds


def prior_vectors(prior: str | pd.DataFrame, train: AnnData, seed: int) -> Tensor:
    """Vectors of the training genes known beforehand, (G, any width): given, or from correlations of the samples."""
    if isinstance(prior, str) and prior == "spectral":
        varying = int((np.nanmax(train.X, axis=0) > np.nanmin(train.X, axis=0)).sum())
        prior = spectral_vectors(train, d=min(64, train.n_obs - 1, varying))
    elif isinstance(prior, str):
        prior, _ = node2vec(correlation_graph(train), seed=seed)
    return torch.tensor(vectors_for(train.var_names, prior).to_numpy(float)).float()


def _refuse_blank(x: np.ndarray, samples: pd.Index, what: str) -> None:
    if (blank := np.isnan(x).all(axis=1)).any():
        names = first_ids(samples[blank])
        message = f"{blank.sum()} {what} samples have no value of any training gene, first {names}; remove them"
        raise ValueError(message)


def check_cohorts(train: AnnData, val: AnnData | None) -> None:
    """Refuse cohorts that nothing can be learned from or tried on."""
    if train.n_obs < 5:
        message = f"{train.n_obs} training samples are too few to learn how genes go together, 5 are the least"
        raise ValueError(message)
    if (empty := np.isnan(train.X).all(axis=0)).any():
        names = first_ids(train.var_names[empty])
        message = f"{empty.sum()} genes have no value in any training sample, first {names}; remove them"
        raise ValueError(message)
    for cohort, what in ((train, "training"), (val, "validation")):
        known = [] if cohort is None else cohort.var_names.isin(train.var_names)
        if any(known):
            _refuse_blank(cohort.X[:, known], cohort.obs_names, what)


# ----------------------------------------------------------------------------------------------- hiding


@dataclass(frozen=True)
class Hidden:
    """One step's choice: what the encoder sees and what is to be restored; indices of genes with padding."""

    seen: Tensor  # (B, G) True where the linear path and, as far as the panel reaches, the encoder see the value
    panel: Tensor  # (B, N)
    panel_padding: Tensor | None  # (B, N)
    targets: Tensor  # (B, T)
    counts: Tensor | None  # (B, T) True where a target counts; None: everywhere

    def of(self, rows: slice) -> Hidden:
        """The choice for some samples."""
        return Hidden(*(None if t is None else t[rows] for t in vars(self).values()))


def hide(score: Tensor, rates: Tensor, settings: GexBERTSettings, order: Tensor) -> Hidden:
    """Hide a share of the genes of every sample.

    Parameters
    ----------
    score : Tensor
        (B, G), NaN where nothing was measured: such cells are neither shown nor asked for.
    rates : Tensor
        Share of the measured genes that is hidden, (B,).
    order : Tensor
        (B, G) random numbers: the genes of a sample stand in this order, the first are shown, the last asked for.
    """
    known = ~score.isnan()
    n_known = known.sum(1)  # (B,)
    n_seen = ((1 - rates) * n_known).round().long().clamp(min=1)
    n_seen = torch.minimum(n_seen, (n_known - 1).clamp(min=0))  # one at least is hidden
    genes = order.masked_fill(~known, math.inf).argsort(1)  # (B, G)
    place = torch.arange(score.shape[1], device=score.device)
    seen = torch.zeros_like(known).scatter_(1, genes, place < n_seen[:, None])
    n_panel = int(n_seen.max().clamp(min=1, max=settings.panel))
    n_targets = int((n_known - n_seen).max().clamp(min=1, max=settings.n_targets))
    padding = place[:n_panel] >= n_seen[:, None]
    targets = genes.gather(1, (n_known[:, None] - 1 - place[:n_targets]).clamp(min=0))
    counts = place[:n_targets] < (n_known - n_seen)[:, None]
    return Hidden(
        seen, genes[:, :n_panel], padding if padding.any() else None, targets, None if counts.all() else counts
    )


def restore_hidden(
    module: Restorer,
    score: Tensor,
    choice: Hidden,
    estimate: tuple[Tensor, Tensor] | None,
    profile: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Mean and sd of the targets' scores, (B, T) each, from what the choice shows and the linear path makes of it."""
    panel, padding, targets = choice.panel, choice.panel_padding, choice.targets
    shown = torch.where(choice.seen, score, math.nan).gather(1, panel)  # (B, N)
    if module.settings.restoration == "masked":  # targets stand in the encoder too, without a value
        if padding is not None or choice.counts is not None:
            there = torch.ones_like(panel, dtype=torch.bool) if padding is None else ~padding
            counts = torch.ones_like(targets, dtype=torch.bool) if choice.counts is None else choice.counts
            padding = ~torch.cat([there, counts], 1)
        panel = torch.cat([panel, targets], 1)
        shown = torch.cat([shown, shown.new_full(targets.shape, math.nan)], 1)
    return module.decode(module.encode(panel, shown, padding, profile), targets, padding, estimate)


def restoration_losses(
    module: Restorer,
    batch: tuple[Tensor, ...],
    folds: list[FactorMixture],
    share: Callable = lambda function, n: function(slice(n)),
) -> dict:
    """Losses of one batch for :func:`gexcore.training.train`, of restored positions only.

    ``batch`` is (scores (B, G), values (B, G), fold (B,)), and for validation samples also (rates (B,), order (B, G)):
    the same genes are then hidden in every epoch. In training all samples of a step lose the same share of their genes,
    each sample other ones; the linear path is that of the other folds. ``share`` says who restores which samples, as a
    method of :class:`gexcore.parallel.OneProcess`.
    """
    score, value, fold, *fixed = batch
    s = module.settings
    rates, order = fixed or _draw(score, s)
    choice = hide(score, rates, s, order)

    def restored(rows: slice) -> tuple[Tensor, Tensor]:
        own = choice.of(rows)
        shown = torch.where(own.seen, score[rows], math.nan)
        if fixed or not folds:
            estimate, profile = module.read(shown, own.targets)
        else:
            estimate, profile = _read_by_fold(folds, fold[rows], shown, own.targets)
        return restore_hidden(module, score[rows], own, estimate, profile)

    mean, sd = share(restored, len(score))
    kept = slice(None) if choice.counts is None else choice.counts
    true_value, true_score = (t.gather(1, choice.targets)[kept] for t in (value, score))
    count = true_value.numel()
    if count == 0:
        return {}
    losses = {}
    if "value" in LOSSES[s.loss]:
        expectation, _ = module.expect(mean, sd, choice.targets)
        losses["value"] = ((expectation[kept] - true_value).square().mean(), count)
    if "levels" in LOSSES[s.loss]:
        level = level_of(true_score, module.bounds)
        losses["levels"] = (level_loss(mean[kept], sd[kept], level, module.bounds).mean(), count)
    return losses


def _draw(score: Tensor, settings: GexBERTSettings) -> tuple[Tensor, Tensor]:
    """Share of genes to hide, the same for all samples (B,), and the order that says which, (B, G)."""
    low, high = settings.mask_rates
    rate = low + (high - low) * torch.rand(())
    if torch.rand(()) < settings.small_panels:
        rate = 1 - min(1.0, 4 / score.shape[1]) ** torch.rand(())
    return rate.to(score).expand(len(score)), torch.rand_like(score)


@torch.no_grad()
def _read_by_fold(
    folds: list[FactorMixture], fold: Tensor, shown: Tensor, targets: Tensor
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """What a mixture that has not seen the sample makes of it: mean and sd of the targets, and the profile."""
    mean, sd, profile = (shown.new_empty(len(shown), n) for n in (targets.shape[1],) * 2 + (folds[0].axes.shape[1],))
    with torch.autocast(shown.device.type, enabled=False):
        for number in fold.unique():
            rows = fold == number
            mean[rows], sd[rows], profile[rows] = folds[number].read(shown[rows], targets[rows])
    return (mean, sd), profile
