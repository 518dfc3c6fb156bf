"""Losses, targets and heads over all that is legal: against their definitions, and what must not matter to them."""

import numpy as np
import pandas as pd
import pytest
import strategies
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.special import logsumexp
from torch.autograd import gradcheck

from gexcore.heads import Head, decode, losses_against_null, null_scores, task_losses
from gexcore.losses import (
    absolute_loss,
    classification_loss,
    cox_loss,
    mtlr_logits,
    mtlr_loss,
    mtlr_survival,
    regression_loss,
)
from gexcore.tasks import Classification, Regression, Survival, target_from_dict, target_to_dict

OS, GRADE, AGE = Survival("os", time="time", event="event"), Classification("grade"), Regression("age")
LABELLED = {  # the losses whose labels may be missing, and how many scores each of their samples has
    mtlr_loss: 5,
    classification_loss: 4,
    regression_loss: 1,
    absolute_loss: 1,
}


@st.composite
def batches(draw, loss, *, largest=1e4, min_size=1):
    """Scores and labels of a batch, for one of the losses whose labels may be missing."""
    n, width = draw(st.integers(min_size, 8)), LABELLED[loss]
    scores = draw(strategies.scores(n, width, largest=largest))
    if loss is mtlr_loss:
        interval = draw(strategies.tied(st.integers(0, width).map(float), n))
        target = np.column_stack([interval, draw(strategies.events(n))])
    elif loss is classification_loss:
        target = draw(strategies.tied(st.integers(0, width - 1).map(float), n))[:, None]
    else:
        target = draw(strategies.tied(strategies.numbers(largest=1e4), n))[:, None]
    return scores, torch.from_numpy(target.astype("float32"))


def each_loss(test):
    return pytest.mark.parametrize("loss", LABELLED, ids=lambda loss: loss.__name__)(test)


def hidden(target, known):
    return torch.where(torch.from_numpy(known)[:, None], target, torch.nan)


def close(a, b, *, scale=1.0, rtol=1e-5):
    """Equal, up to rounding of numbers as large as ``scale``."""
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6 * max(1.0, float(scale)))


# ---------------------------------------------------------------------------------- labels may be missing


@each_loss
@given(data=st.data())
def test_a_loss_is_a_finite_number_from_zero_up_and_so_is_its_gradient(loss, data):
    scores, target = data.draw(batches(loss, largest=data.draw(st.sampled_from([1e4, 1e18]))))
    value = loss(scores.requires_grad_(), target)
    value.backward()
    assert value.isfinite()
    assert value >= -1e-6 * scores.detach().abs().max()
    assert scores.grad.isfinite().all()


@each_loss
@given(data=st.data())
def test_unlabelled_samples_are_as_absent_and_have_no_gradient(loss, data):
    scores, target = data.draw(batches(loss))
    known = data.draw(strategies.known(len(scores)))
    value = loss(scores.requires_grad_(), hidden(target, known))
    assert value.isnan() == (not known.any())  # the mean of nothing
    if known.any():
        value.backward()
        torch.testing.assert_close(value, loss(scores[known], target[known]))
        assert (scores.grad[~known] == 0).all()


@each_loss
@given(data=st.data())
def test_a_loss_is_the_mean_over_samples_in_any_order_and_any_number_of_copies(loss, data):
    scores, target = data.draw(batches(loss, min_size=2))
    order = data.draw(st.permutations(range(len(scores))))
    cut = data.draw(st.integers(1, len(scores) - 1))
    whole, largest = loss(scores, target), 5 * scores.abs().max() ** 2 + target.abs().max() ** 2
    parts = loss(scores[:cut], target[:cut]) * cut + loss(scores[cut:], target[cut:]) * (len(scores) - cut)
    close(whole, parts / len(scores), scale=largest)
    close(whole, loss(scores[order], target[order]), scale=largest)
    close(whole, loss(torch.cat([scores, scores]), torch.cat([target, target])), scale=largest)


@each_loss
@given(data=st.data())
def test_a_gradient_is_the_numerical_one(loss, data):
    scores, target = data.draw(batches(loss, largest=1e3))
    if loss is absolute_loss:
        assume((scores - target).abs().min() > 1e-3)  # it has none where they are equal
    assert gradcheck(lambda s: loss(s, target.double()), scores.double().requires_grad_(), eps=1e-4, atol=1e-3)


@given(data=st.data())
def test_mtlr_is_the_likelihood_of_an_interval_or_of_all_that_are_still_possible(data):
    scores, target = data.draw(batches(mtlr_loss))
    logits = np.array([[row[k:].sum() for k in range(6)] for row in scores.double().numpy()])  # (N, K)
    np.testing.assert_allclose(mtlr_logits(scores.double()), logits, rtol=1e-9, atol=1e-9)
    seen = [f[int(k)] if e else logsumexp(f[int(k) :]) for f, (k, e) in zip(logits, target.numpy(), strict=True)]
    close(mtlr_loss(scores, target), np.mean(logsumexp(logits, axis=1) - seen), scale=np.abs(logits).max())


@given(scores=strategies.scores(3, 5, largest=strategies.FLOAT32))
def test_a_survival_curve_starts_at_one_and_never_rises_whatever_the_scores(scores):
    curve = mtlr_survival(scores.double())
    assert (curve[:, 0] == 1).all()
    assert (curve.diff(dim=1) <= 0).all()
    assert (curve >= 0).all()


# -------------------------------------------------------------------------------------------------- Cox


@st.composite
def hazards(draw, *, largest=1e4):
    """Log hazards, times and events of samples of which one or more has an event."""
    time, event = draw(strategies.survival())
    assume(event.any())
    return draw(strategies.scores(len(time), largest=largest)), torch.from_numpy(time), torch.from_numpy(event)


@given(hazards())
def test_cox_is_the_partial_likelihood_of_its_definition(batch):
    f, time, event = (x.double().numpy() for x in batch)
    parts = [logsumexp(f[time >= t]) - own for own, t, e in zip(f, time, event, strict=True) if e]
    np.testing.assert_allclose(cox_loss(*batch), np.mean(parts), rtol=1e-9, atol=1e-9)


@given(hazards(), st.randoms(use_true_random=False), st.integers(-9, 9), st.integers(-20, 20))
def test_cox_knows_neither_the_order_nor_the_unit_of_time_nor_the_level_of_hazard(batch, random, level, power):
    f, time, event = batch
    order = random.sample(range(len(f)), len(f))
    value, scale = cox_loss(*batch), f.abs().max()
    close(value, cox_loss(f[order], time[order], event[order]), scale=1e-6 * scale)
    close(value, cox_loss(f, time * 2.0**power, event), scale=1e-6 * scale)
    close(value, cox_loss(f.double() + level, time, event), scale=1e-6 * scale)
    close(value + np.log(2), cox_loss(*(torch.cat([x, x]) for x in batch)), scale=1e-6 * scale)  # twice the risk sets


@given(hazards(largest=strategies.FLOAT32))
def test_cox_is_finite_whatever_the_hazards_and_so_is_its_gradient(batch):
    value = cox_loss(batch[0].requires_grad_(), *batch[1:])
    value.backward()
    assert value.isfinite()
    assert value >= -1e-12 * batch[0].detach().abs().max()
    assert batch[0].grad.isfinite().all()


@given(hazards(largest=1e3))
def test_the_gradient_of_cox_is_the_numerical_one(batch):
    f, time, event = batch
    assert gradcheck(lambda f: cox_loss(f, time, event), f.double().requires_grad_(), eps=1e-4, atol=1e-4)


@given(strategies.survival())
def test_cox_without_an_event_does_not_exist(drawn):
    time, event = (torch.from_numpy(x) for x in drawn)
    assert cox_loss(torch.zeros(len(time)), time, event).isnan() == (not event.any())


# ---------------------------------------------------------------------------------------------- targets


def refused(task, fit, *reasons):
    """What ``fit`` returns, or None where it refuses, in one sentence that names the task and one of the reasons."""
    try:
        return fit()
    except ValueError as error:
        message = str(error)
        assert repr(task.name) in message
        assert "\n" not in message
        assert any(reason in message for reason in reasons), message
        return None


@pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")
@given(strategies.survival(), strategies.survival(), st.integers(2, 9), st.sampled_from(["uniform", "quantile"]))
def test_a_grid_of_times_is_laid_or_refused_and_every_time_lies_in_its_interval(drawn, others, n_intervals, grid):
    obs, later = (pd.DataFrame({"time": time, "event": event}) for time, event in (drawn, others))
    target = refused(OS, lambda: OS.fit(obs, n_intervals=n_intervals, grid=grid), "no event", "at time 0")
    assert (target is None) == (not (obs["time"] * obs["event"]).any())
    if target is None:
        return
    assert 2 <= len(target.edges) <= n_intervals
    assert target.edges[0] == 0
    assert (np.diff(target.edges) > 0).all()
    assert target.edges[-1] > obs["time"].max() == target.horizon
    interval, event = target.encode(later).T
    ends = np.append(target.edges, np.inf)
    k = interval.astype(int)
    assert ((ends[k] <= later["time"]) & (later["time"] < ends[k + 1])).all()
    np.testing.assert_array_equal(event, later["event"])
    again = target_from_dict(target_to_dict(target))
    np.testing.assert_array_equal(again.encode(later), target.encode(later))


@given(strategies.classes(), st.data())
def test_classes_come_back_as_they_were_and_missing_ones_stay_missing(labels, data):
    known = data.draw(strategies.known(len(labels)))
    obs = pd.DataFrame({"grade": np.where(known, labels, None)})
    target = refused(GRADE, lambda: GRADE.fit(obs), "needs two classes", "is it a Regression")
    n_classes = len(set(labels[known]))
    assert (target is None) == (n_classes < 2 or n_classes > known.sum() / 2)
    if target is not None:
        encoded = target.encode(obs)[:, 0]
        np.testing.assert_array_equal(np.isnan(encoded), ~known)
        assert [target.classes[int(i)] for i in encoded[known]] == labels[known].tolist()


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(strategies.tied(strategies.numbers(), n), strategies.known(n))))
@example((np.array([0.0, 5e-324]), np.ones(2, bool)))
@example((np.array([1e308, -1e308]), np.ones(2, bool)))
@example((np.array([1e9, np.nextafter(1e9, 2e9)]), np.ones(2, bool)))
def test_numbers_are_standardised_or_refused_and_come_back(drawn):
    values, known = drawn
    obs = pd.DataFrame({"age": np.where(known, values, np.nan)})
    target = refused(AGE, lambda: AGE.fit(obs), "constant or empty", "too close together or too far apart")
    if np.unique(values[known]).size < 2:
        assert target is None
    if target is not None:
        encoded = target.encode(obs)[:, 0]
        np.testing.assert_array_equal(np.isnan(encoded), ~known)
        assert np.isfinite(encoded[known]).all()
        back = encoded[known].astype(float) * target.sd + target.mean
        np.testing.assert_allclose(back, values[known], rtol=1e-6, atol=1e-6 * np.abs(values[known]).max())


@pytest.mark.parametrize("n_intervals", [-1, 0, 1])
@pytest.mark.parametrize("grid", ["uniform", "quantile"])
def test_a_grid_of_fewer_than_two_edges_is_refused(n_intervals, grid):
    obs = pd.DataFrame({"time": [1.0, 2.0], "event": [1, 0]})
    with pytest.raises(ValueError, match=f"n_intervals is 2 or more, not {n_intervals}"):
        OS.fit(obs, n_intervals=n_intervals, grid=grid)


# ------------------------------------------------------------------------------------------------ heads


@st.composite
def fitted(draw):
    """A target of any kind and the labels (N, 1 or 2) it was fitted to, some of them missing."""
    task = draw(st.sampled_from([OS, GRADE, AGE]))
    if task is OS:
        time, event = draw(strategies.survival(min_size=2))
        assume((time * event).any())
        columns = {"time": time, "event": event}
    elif task is GRADE:
        columns = {"grade": draw(strategies.classes())}
    else:
        n = draw(st.integers(2, 12))
        columns = {"age": draw(strategies.tied(strategies.numbers(), n))}
        assume(np.ptp(columns["age"]) > 0)
    obs = pd.DataFrame(columns)
    grid = {"n_intervals": draw(st.integers(2, 9)), "grid": draw(st.sampled_from(["uniform", "quantile"]))}
    target = task.fit(obs, **grid) if task is OS else task.fit(obs)
    missing = draw(st.integers(0, 3))
    labels = torch.from_numpy(target.encode(obs))
    return target, torch.cat([labels, torch.full((missing, labels.shape[1]), torch.nan)])


class Network(torch.nn.Module):
    """One layer and one head."""

    def __init__(self, target):
        super().__init__()
        self.embed = torch.nn.Linear(2, 3)
        self.heads = torch.nn.ModuleList([Head(3, target.n_outputs, hidden=(), dropout=0.0)])


@pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")
@given(fitted())
def test_every_head_starts_at_a_loss_of_one_with_a_finite_gradient(drawn):
    target, labels = drawn
    network, n = Network(target), int((~labels[:, 0].isnan()).sum())
    losses = losses_against_null(network.heads, [target], [labels], meet=lambda x: x)
    (name, (loss, counted)), *_ = losses(network, (torch.randn(len(labels), 2), labels)).items()
    assert (name, counted) == (target.task.name, n)
    assert loss.item() == pytest.approx(1, rel=1e-4)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in network.heads.parameters())
    alone = task_losses(network.heads, [target], [labels])(network.heads, (torch.randn(len(labels), 3), labels))
    assert alone[name][0].item() == pytest.approx(1, rel=1e-4)
    unlabelled = losses(network, (torch.randn(2, 2), torch.full_like(labels[:2], torch.nan)))
    assert unlabelled == {}


@pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")
@given(fitted(), st.data())
def test_no_scores_decode_to_anything_but_a_prediction(drawn, data):
    target, labels = drawn
    assert null_scores(target, labels).isfinite().all()
    ids = pd.Index(["a", "b", "c"])
    prediction = decode(target, data.draw(strategies.scores(3, target.n_outputs, largest=strategies.FLOAT32)), ids)
    if target.task is OS:
        assert (prediction.risk.between(-target.horizon * (1 + 1e-12), 0)).all()
        assert prediction.survival.columns.equals(prediction.risk.index)
        assert (prediction.survival.diff().iloc[1:] <= 0).all(axis=None)
        assert prediction.survival.to_numpy().min() >= 0
    elif target.task is GRADE:
        np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1)
        assert prediction.labels.isin(target.classes).all()
    else:
        assert np.isfinite(prediction.values).all()
