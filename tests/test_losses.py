"""N-MTLR against pycox and observed shares, the other losses against the textbook."""

import numpy as np
import pytest
import torch
from pycox.models.loss import nll_mtlr

from gexcore.losses import classification_loss, mtlr_logits, mtlr_loss, regression_loss


@pytest.fixture
def survival_batch():
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.normal(size=(50, 9)))  # 10 intervals
    interval, event = rng.integers(0, 9, 50), rng.integers(0, 2, 50)
    return scores, torch.tensor(np.column_stack([interval, event]).astype(float))


def test_mtlr_equals_pycox_with_censored_indices_lowered_by_one(survival_batch):
    # pycox counts a censored index as survived; an index of -1 (nothing survived) it cannot take.
    scores, target = survival_batch
    keep = (target[:, 0] > 0) | (target[:, 1] == 1)
    scores, target = scores[keep], target[keep]
    index = (target[:, 0] - (1 - target[:, 1])).long()
    oracle = nll_mtlr(scores, index, target[:, 1])
    torch.testing.assert_close(mtlr_loss(scores, target).double(), oracle, rtol=1e-6, atol=1e-6)


def test_the_best_constant_scores_without_censoring_are_the_observed_shares():
    interval = torch.tensor([0.0, 0, 0, 1, 1, 2])
    target = torch.stack([interval, torch.ones(6)], 1)
    scores = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        loss = mtlr_loss(scores.expand(6, -1), target)
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(
        mtlr_logits(scores.detach()[None]).softmax(1)[0], torch.tensor([3, 2, 1]) / 6, atol=1e-4, rtol=0
    )


def test_classification_and_regression_losses_are_the_textbook_ones():
    scores = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    wanted = (np.log(1 + np.exp(-2.0)) + np.log(1 + np.exp(1.0))) / 2
    np.testing.assert_allclose(classification_loss(scores, torch.tensor([[0.0], [0.0]])), wanted, rtol=1e-6)
    np.testing.assert_allclose(regression_loss(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]])), 2.5)
