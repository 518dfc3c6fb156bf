"""GradNorm's weights against the values its published update settles at; the rest of multitask has its own tests."""

import math

import pytest
import torch

from gexcore.multitask import choose_strategy


def gradnorm(*tasks):
    return choose_strategy("gradnorm", tasks, [])


def combine(strategy, *gradients, losses=(1.0, 1.0, 1.0)):
    """One step of the first tasks, each with a gradient of one parameter."""
    parts = {task: (torch.tensor(loss), 1) for task, loss, _ in zip(strategy.tasks, losses, gradients, strict=False)}
    return strategy.combine([[g] for g in gradients], parts)[0]


def weights(strategy):
    return [w.item() for w in strategy.weights]


def test_weights_bring_the_tasks_to_one_gradient_norm():
    strategy = gradnorm("a", "b")
    a, b = 3 * torch.eye(6)[0], torch.eye(6)[1]
    torch.testing.assert_close(combine(strategy, a, b), a + b)
    assert weights(strategy) == pytest.approx([0.975, 1.025])  # Adam's first step is the learning rate, 0.025
    for _ in range(300):
        combine(strategy, a, b)
    w = weights(strategy)
    assert w == pytest.approx([0.5, 1.5], abs=0.06)  # 3 x 0.5 = 1 x 1.5, up to the length of a step
    torch.testing.assert_close(combine(strategy, a, b), w[0] * a + w[1] * b)


def test_the_task_that_learns_slowly_pulls_harder():
    strategy = gradnorm("a", "b")
    combine(strategy, *torch.eye(6)[:2], losses=(2.0, 8.0))
    for _ in range(300):  # a fell to a quarter of its first loss: relative rates 0.4 and 1.6
        combine(strategy, *torch.eye(6)[:2], losses=(0.5, 8.0))
    assert strategy.first == {"a": 2.0, "b": 8.0}  # those of the first step, not of a later one
    assert weights(strategy)[0] == pytest.approx(0.4**1.5, abs=0.06)


def test_weights_stay_positive_and_sum_to_the_number_of_tasks():
    strategy = gradnorm("a", "b", "c")
    for _ in range(200):
        combine(strategy, *torch.randn(3, 6) * torch.tensor([[1e4], [1.0], [1e-4]]), losses=torch.rand(3).tolist())
        assert min(weights(strategy)) > 0
        assert sum(weights(strategy)) == pytest.approx(3, rel=1e-5)
    assert weights(strategy)[0] < 0.1  # the task whose gradient drowned the others


def test_equal_tasks_keep_equal_weights():
    strategy, gradient = gradnorm("a", "b", "c"), torch.randn(6)
    for _ in range(50):
        combine(strategy, gradient, gradient, gradient)
    assert weights(strategy) == pytest.approx([1, 1, 1])


def test_the_weight_of_an_absent_task_moves_with_the_common_sum_alone():
    strategy = gradnorm("a", "b", "c", "d")
    for weight, value in zip(strategy.weights, [0.4, 1.6, 0.5, 1.5], strict=True):
        weight.data.fill_(value)
    a, b = torch.randn(2, 6)
    torch.testing.assert_close(combine(strategy, a, b), 0.4 * a + 1.6 * b)
    for _ in range(10):
        combine(strategy, a, b)
    w = weights(strategy)
    assert w[3] / w[2] == pytest.approx(3, rel=1e-5)
    assert w[1] / w[0] != pytest.approx(4, rel=0.1)
    assert sum(w) == pytest.approx(4)
    combine(strategy, a, b, a, b, losses=(1.0, 1.0, 5.0, 7.0))
    assert strategy.first == {"a": 1.0, "b": 1.0, "c": 5.0, "d": 7.0}  # each task's own first step


def test_a_first_loss_of_zero_is_survived():
    strategy = gradnorm("a", "b")
    for losses in [(0.0, 1.0), (1.0, 1.0), (0.0, 0.0)]:
        assert combine(strategy, *torch.randn(2, 6), losses=losses).isfinite().all()
    assert all(math.isfinite(w) for w in weights(strategy))
