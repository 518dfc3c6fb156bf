"""N-MTLR against closed forms, pycox and finite differences; the masked losses against their unmasked selves."""

import numpy as np
import pytest
import torch
from pycox.models.loss import nll_mtlr
from scipy.special import logsumexp

from gexcore.losses import classification_loss, mtlr_logits, mtlr_loss, mtlr_survival, regression_loss


@pytest.fixture
def survival_batch():
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.normal(size=(50, 9)))  # 10 intervals
    interval, event = rng.integers(0, 9, 50), rng.integers(0, 2, 50)
    return scores, torch.tensor(np.column_stack([interval, event]).astype(float))


def test_mtlr_equals_the_likelihood_written_out(survival_batch):
    scores, target = survival_batch
    f = np.array([[s[k:].sum() for k in range(9)] + [0.0] for s in scores.numpy()])
    log_p = f - logsumexp(f, axis=1, keepdims=True)
    wanted = [-log_p[i, int(k)] if e else -logsumexp(log_p[i, int(k) :]) for i, (k, e) in enumerate(target.numpy())]
    np.testing.assert_allclose(mtlr_loss(scores, target), np.mean(wanted), rtol=1e-6)


def test_mtlr_equals_pycox_with_censored_indices_lowered_by_one(survival_batch):
    # pycox counts a censored index as survived; an index of -1 (nothing survived) it cannot take.
    scores, target = survival_batch
    keep = (target[:, 0] > 0) | (target[:, 1] == 1)
    scores, target = scores[keep], target[keep]
    index = (target[:, 0] - (1 - target[:, 1])).long()
    oracle = nll_mtlr(scores, index, target[:, 1])
    torch.testing.assert_close(mtlr_loss(scores, target).double(), oracle, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_mtlr_stays_finite_at_extreme_scores(survival_batch, size):
    scores = torch.full_like(survival_batch[0], size, dtype=torch.float32).requires_grad_()
    loss = mtlr_loss(scores, survival_batch[1])
    loss.backward()
    assert loss.isfinite()
    assert scores.grad.isfinite().all()
    survival = mtlr_survival(scores.detach())
    assert survival.isfinite().all()
    assert ((survival >= 0) & (survival <= 1)).all()


def test_mtlr_gradient_is_the_numerical_one(survival_batch):
    # float64 inside: mtlr_loss computes in float32, so the check runs on its pieces.
    scores = survival_batch[0][:5].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: mtlr_logits(s).logsumexp(1), scores)
    assert torch.autograd.gradcheck(lambda s: mtlr_survival(s)[:, 1:], scores)


def test_survival_starts_at_one_and_never_rises(survival_batch):
    survival = mtlr_survival(survival_batch[0])
    assert (survival[:, 0] == 1).all()
    assert (survival.diff(dim=1) <= 0).all()


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


def test_missing_labels_leave_a_loss_as_if_the_samples_were_absent(survival_batch):
    rng = np.random.default_rng(1)
    scores, survival = survival_batch
    classes = torch.tensor(rng.integers(0, 9, (50, 1)).astype(float))
    numbers = torch.tensor(rng.normal(size=(50, 1)))
    cases = [(mtlr_loss, scores, survival), (classification_loss, scores, classes)]
    cases += [(regression_loss, scores[:, :1].float(), numbers.float())]
    for loss, s, target in cases:
        holed = target.clone()
        holed[::3] = torch.nan
        keep = torch.arange(50) % 3 != 0
        torch.testing.assert_close(loss(s, holed), loss(s[keep], target[keep]))


def test_classification_and_regression_losses_are_the_textbook_ones():
    scores = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    wanted = (np.log(1 + np.exp(-2.0)) + np.log(1 + np.exp(1.0))) / 2
    np.testing.assert_allclose(classification_loss(scores, torch.tensor([[0.0], [0.0]])), wanted, rtol=1e-6)
    np.testing.assert_allclose(regression_loss(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]])), 2.5)
