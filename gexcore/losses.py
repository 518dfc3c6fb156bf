"""Losses as pure functions of tensors: N-MTLR and Cox for survival, and masked errors for classes and numbers.

Every loss but Cox's takes labels with NaN where they are missing and returns the mean over the labelled samples; it is
NaN where no sample has a label, and Cox's where none has an event. All compute in float32 or, of scores that are
float64, in that. For scores up to 1e18 every loss is finite.
Shapes: B samples, K time intervals, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _at_least_single(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def mtlr_logits(scores: Tensor) -> Tensor:
    """Unnormalised log-probability of each interval, (B, K - 1) scores to (B, K) logits.

    Multitask logistic regression (Yu et al. 2011; its neural form N-MTLR, Fotso 2018): interval k collects the scores
    of all edges it precedes, ``f_k = s_k + ... + s_{K-2}``; the last interval, beyond the grid, has ``f_{K-1} = 0``.
    """
    logits = scores.flip(-1).cumsum(-1).flip(-1)  # (B, K - 1)
    return F.pad(logits, (0, 1))  # (B, K)


def mtlr_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of N-MTLR, the mean over labelled samples.

    An event in interval k contributes ``log p_k``; a sample censored in k contributes ``log(p_k + ... + p_{K-1})``,
    so the interval of censoring counts as possible (the convention of the TxT code and of torchmtlr; pycox's
    ``nll_mtlr`` equals it once its censored indices are lowered by one). Log-sum-exp throughout: the published code
    overflows beyond a mean score of 1.4 at 64 edges.

    Parameters
    ----------
    scores : Tensor, (B, K - 1)
    target : Tensor, (B, 2)
        Interval index and event, NaN where unlabelled (:class:`gexcore.tasks.SurvivalTarget`).
    """
    labelled = ~target[:, 0].isnan()
    logits = mtlr_logits(_at_least_single(scores[labelled]))  # (b, K)
    interval, event = target[labelled, 0].long(), target[labelled, 1].bool()
    k = torch.arange(logits.shape[1], device=logits.device)
    possible = torch.where(event[:, None], k == interval[:, None], k >= interval[:, None])  # (b, K)
    seen = logits.masked_fill(~possible, -torch.inf).logsumexp(1)  # (b,)
    return (logits.logsumexp(1) - seen).mean()


def mtlr_survival(scores: Tensor) -> Tensor:
    """Survival probability at each of the K edges, (B, K); 1 at the first edge, time 0."""
    density = mtlr_logits(scores).softmax(1)  # (B, K)
    survival = density.flip(1).cumsum(1).flip(1).clamp(max=1.0)
    survival[:, 0] = 1.0  # the sum of a softmax, free of rounding
    return survival


def cox_loss(log_hazard: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Negative log partial likelihood per event; (B,) each, in any order.

    Events at one time share their risk set, as in R's ``coxph(ties = "breslow")`` and scikit-survival's default; R's
    own default and lifelines follow Efron. Samples censored at the time of an event are at risk of it.
    """
    order = time.argsort(descending=True)
    f, t, happened = log_hazard[order].double(), time[order], event[order].bool()
    last = torch.searchsorted(-t, -t, right=True) - 1  # of all who share a time: they are in each other's risk sets
    at_risk = f.logcumsumexp(0)[last]
    return (at_risk - f)[happened].mean()


def classification_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of (B, C) scores against (B, 1) class indices, NaN where unlabelled."""
    labelled = ~target[:, 0].isnan()
    return F.cross_entropy(_at_least_single(scores[labelled]), target[labelled, 0].long())


def regression_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of (B, 1) scores against (B, 1) standardised values, NaN where unlabelled."""
    labelled = ~target[:, 0].isnan()
    return F.mse_loss(_at_least_single(scores[labelled]), target[labelled])


def absolute_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of (B, 1) scores against (B, 1) standardised values, NaN where unlabelled."""
    labelled = ~target[:, 0].isnan()
    return F.l1_loss(_at_least_single(scores[labelled]), target[labelled])
