"""Hiding and restoring: what is hidden reaches nothing but the loss, and the loss is of hidden cells alone."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import nn

from gexcore import pretraining
from gexcore.levels import level_loss, level_of
from gexcore.mixture import FactorMixture
from gexcore.pretraining import hide, restoration_losses, restore_hidden
from gexcore.restorer import GexBERTSettings, Restorer

B, G, L = 12, 30, 16
TINY = {"d_model": 16, "d_ff": 32, "n_layers": 1, "n_decoder_layers": 1, "n_heads": 2, "n_levels": L, "loss": "both"}
both_restorations = pytest.mark.parametrize("restoration", ["held_out", "masked"])
linear_or_not = pytest.mark.parametrize("linear", ["none", "mixture"])
both_encoders = pytest.mark.parametrize("encoder", ["levels", "continuous"])
both_modes = pytest.mark.parametrize("mode", ["training", "validation"])


def mixture(seed):
    x = np.random.default_rng(seed).normal(size=(50, 3)) @ np.random.default_rng(9).normal(size=(3, G))
    return FactorMixture.fit(x.astype("float32"), n_components=2, n_factors=4, n_axes=5)


def network(*, linear="mixture", trained=True, **settings):
    linear = None if linear == "none" else mixture(0)
    module = Restorer(torch.randn(G, L).sort(1).values, GexBERTSettings(**TINY | settings), prior=None, linear=linear)
    if trained:
        for parameter in (*module.head.parameters(), module.readout):
            nn.init.normal_(parameter, std=0.3)
    return module, [] if linear is None else [mixture(1), mixture(2)]


def samples(rate=0.3):
    """Scores with cells never measured, more and more of them; the values that belong to them, and folds."""
    score = torch.randn(B, G)
    score[torch.rand(B, G) < torch.linspace(0, 2 * rate, B)[:, None]] = torch.nan
    return score, torch.where(score.isnan(), torch.nan, torch.randn(B, G)), torch.arange(B) % 2


def batch(mode):
    score, value, fold = samples()
    fixed = () if mode == "training" else (torch.linspace(0.1, 0.9, B), torch.rand(B, G))
    return score, value, fold, *fixed


def hidden_of(mode, data, settings, seed=3):
    """What a step with this seed hides: of each sample, (B, G)."""
    torch.manual_seed(seed)
    rates, order = data[3:] or pretraining._draw(data[0], settings)
    return ~hide(data[0], rates, settings, order).seen & ~data[0].isnan()


@pytest.fixture
def restored(monkeypatch):
    """Mean and sd of the targets in every step, in order."""
    seen = []

    def record(*args, restore=restore_hidden):
        seen.append(restore(*args))
        return seen[-1]

    monkeypatch.setattr(pretraining, "restore_hidden", record)
    return seen


# ------------------------------------------------------------------------------------------------- hiding


@pytest.mark.parametrize("panel", [5, 100])
@pytest.mark.parametrize("n_targets", [4, 100])
def test_measured_genes_are_shown_or_asked_for_and_others_neither(panel, n_targets):
    settings, (score, *_) = GexBERTSettings(panel=panel, n_targets=n_targets), samples()
    rates, order, known = torch.linspace(0.05, 0.95, B), torch.rand(B, G), ~score.isnan()
    choice = hide(score, rates, settings, order)
    n_known = known.sum(1)
    assert not (choice.seen & ~known).any()
    wanted = ((1 - rates) * n_known).round()
    np.testing.assert_array_equal(choice.seen.sum(1), wanted.clamp(min=1).minimum(n_known - 1))
    padding = choice.panel_padding if choice.panel_padding is not None else torch.zeros_like(choice.panel).bool()
    counts = choice.counts if choice.counts is not None else torch.ones_like(choice.targets).bool()
    for i in range(B):
        shown, targets = choice.panel[i][~padding[i]].tolist(), choice.targets[i][counts[i]].tolist()
        hidden = torch.where(known[i] & ~choice.seen[i])[0].tolist()
        seen = torch.where(choice.seen[i])[0].tolist()
        assert len(set(shown)) == len(shown) == min(panel, len(seen))
        assert len(set(targets)) == len(targets) == min(n_targets, len(hidden))
        assert set(shown) <= set(seen)
        assert set(targets) <= set(hidden)
        assert not set(shown) & set(targets)


def test_which_genes_are_hidden_is_uniform_over_genes():
    score = torch.zeros(4000, G)
    choice = hide(score, torch.full((4000,), 0.4), GexBERTSettings(), torch.rand(4000, G))
    np.testing.assert_allclose(choice.seen.float().mean(0), 0.6, atol=0.04)
    assert choice.panel_padding is None
    assert choice.counts is None


def test_of_a_single_gene_nothing_is_shown_and_of_none_nothing_is_asked():
    score = torch.full((3, G), torch.nan)
    score[1, 7], score[2, [4, 5]] = 1.0, 1.0
    choice = hide(score, torch.full((3,), 0.1), GexBERTSettings(), torch.rand(3, G))
    assert choice.seen.sum(1).tolist() == [0, 0, 1]
    assert choice.counts.sum(1).tolist() == [0, 1, 1]
    assert choice.targets[1][choice.counts[1]].tolist() == [7]
    module, _ = network()
    (score, value), fold = (score, score), torch.zeros(3, dtype=torch.long)
    losses = restoration_losses(module.eval(), (score, value, fold, torch.full((3,), 0.1), torch.rand(3, G)), [])
    assert {n for _, n in losses.values()} == {2}
    assert all(loss.isfinite() for loss, _ in losses.values())
    nothing = torch.full((3, G), torch.nan)
    assert restoration_losses(module, (nothing, nothing, fold, torch.full((3,), 0.1), torch.rand(3, G)), []) == {}


def test_rates_are_uniform_between_the_mask_rates_and_small_panels_on_a_log_scale():
    score = torch.zeros(2, 400)
    settings = GexBERTSettings(mask_rates=(0.2, 0.6))
    rates = torch.stack([pretraining._draw(score, settings)[0] for _ in range(2000)])
    assert torch.equal(rates[:, 0], rates[:, 1])  # all samples of a step lose the same share
    assert kstest(rates[:, 0], "uniform", (0.2, 0.4)).pvalue > 0.001
    small = GexBERTSettings(mask_rates=(0.2, 0.6), small_panels=1.0)
    shown = torch.stack([400 * (1 - pretraining._draw(score, small)[0][0]) for _ in range(2000)])
    assert shown.min() >= 4 - 1e-3
    assert kstest(shown.log(), "uniform", (np.log(4), np.log(100))).pvalue > 0.001
    some = GexBERTSettings(mask_rates=(0.2, 0.2), small_panels=0.3)
    share = np.mean([pretraining._draw(score, some)[0][0].item() != pytest.approx(0.2) for _ in range(2000)])
    assert share == pytest.approx(0.3, abs=0.05)
    order = pretraining._draw(score, settings)[1]
    assert not torch.equal(order[0], order[1])  # but each sample other genes


# --------------------------------------------------------------------------- hidden cells reach nothing


@both_modes
@both_restorations
@linear_or_not
@both_encoders
def test_hidden_values_change_no_bit_of_what_is_restored(restored, mode, restoration, linear, encoder):
    module, folds = network(linear=linear, restoration=restoration, value_encoder=encoder, panel=8, n_targets=9)
    module.train(mode == "training")  # dropout too is the same, given the seed
    data = batch(mode)
    hidden = hidden_of(mode, data, module.settings)
    assert 0.05 < hidden.float().mean() < 0.9
    for score in (data[0], torch.where(hidden, 3 * torch.randn(B, G), data[0]), data[0]):
        torch.manual_seed(3)
        restoration_losses(module, (score, *data[1:]), folds)
    first, spoilt, again = restored
    for a, b, c in zip(first, spoilt, again, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
    # whereas what is shown does count
    shown = torch.where(hidden, data[0], data[0] + 1)
    torch.manual_seed(3)
    restoration_losses(module, (shown, *data[1:]), folds)
    assert not torch.equal(restored[-1][0], first[0])


@both_restorations
def test_no_gradient_flows_to_hidden_cells(restored, restoration):
    module, folds = network(linear="none", restoration=restoration, value_encoder="continuous")
    score, value, fold, rates, order = batch("validation")
    score.requires_grad_()
    restoration_losses(module, (score, value, fold, rates, order), folds)
    (restored[0][0].sum() + restored[0][1].sum()).backward()
    seen = hide(score, rates, module.settings, order).seen
    assert (score.grad[~seen] == 0).all()
    assert (score.grad[seen] != 0).all()


@both_restorations
@linear_or_not
def test_what_is_restored_in_training_is_what_an_imputation_restores(restored, restoration, linear):
    module, folds = network(linear=linear, restoration=restoration)
    score, value, fold, rates, order = batch("validation")
    module.eval()
    with torch.no_grad():
        restoration_losses(module, (score, value, fold, rates, order), folds)
        choice = hide(score, rates, module.settings, order)
        for i in range(B):
            targets = choice.targets[i] if choice.counts is None else choice.targets[i][choice.counts[i]]
            shown = torch.where(choice.seen[i], score[i], torch.nan)[None]
            expected, _ = module.restore(shown, targets[None])
            mean, sd = (part[i : i + 1, : len(targets)] for part in restored[0])
            np.testing.assert_allclose(module.expect(mean, sd, targets[None])[0], expected, atol=1e-4)


# ----------------------------------------------------------------------------------------------- the loss


@both_modes
def test_the_loss_is_the_mean_over_restored_cells(restored, mode):
    module, folds = network(dropout=0.0, n_targets=9)
    data = batch(mode)
    hidden = hidden_of(mode, data, module.settings)
    torch.manual_seed(3)
    losses = restoration_losses(module, data, folds)
    torch.manual_seed(3)
    rates, order = data[3:] or pretraining._draw(data[0], module.settings)
    choice = hide(data[0], rates, module.settings, order)
    (mean, sd), squares, logs = restored[0], [], []
    expectation = module.expect(mean, sd, choice.targets)[0]
    for i in range(B):
        for j, gene in enumerate(choice.targets[i].tolist()):
            if choice.counts is None or choice.counts[i, j]:
                assert hidden[i, gene]
                squares.append((expectation[i, j] - data[1][i, gene]) ** 2)
                level = level_of(data[0][i, gene], module.bounds)
                logs.append(level_loss(mean[i, j], sd[i, j], level, module.bounds))
    assert losses["value"][1] == losses["levels"][1] == len(squares)
    torch.testing.assert_close(losses["value"][0], torch.stack(squares).mean())
    torch.testing.assert_close(losses["levels"][0], torch.stack(logs).flatten().mean())


@both_modes
def test_values_of_shown_and_unmeasured_cells_are_not_asked_for(mode):
    module, folds = network(dropout=0.0)
    data = batch(mode)
    hidden = hidden_of(mode, data, module.settings)
    spoilt = (data[0], torch.where(hidden, data[1], 1e6), *data[2:])
    results = []
    for part in (data, spoilt):
        torch.manual_seed(3)
        results.append(restoration_losses(module, part, folds)["value"][0])
    assert torch.equal(*results)


@pytest.mark.parametrize(("loss", "names"), [("value", ["value"]), ("levels", ["levels"]), ("both", None)])
def test_the_losses_asked_for_are_returned(loss, names):
    module, folds = network(loss=loss)
    assert list(restoration_losses(module, batch("training"), folds)) == (names or ["value", "levels"])


def test_in_training_a_sample_meets_the_mixture_that_has_not_seen_it(restored):
    module, folds = network(trained=False)
    data = batch("training")
    torch.manual_seed(3)
    restoration_losses(module, data, folds)
    torch.manual_seed(3)
    rates, order = pretraining._draw(data[0], module.settings)
    choice = hide(data[0], rates, module.settings, order)
    shown = torch.where(choice.seen, data[0], torch.nan)
    for number, linear in enumerate(folds):
        rows = data[2] == number
        for ours, theirs in zip(restored[0], linear.restore(shown[rows], choice.targets[rows]), strict=True):
            np.testing.assert_allclose(ours[rows].detach(), theirs, atol=1e-5)
    fixed = batch("validation")
    restoration_losses(module.eval(), fixed, folds)
    choice = hide(fixed[0], fixed[3], module.settings, fixed[4])
    shown = torch.where(choice.seen, fixed[0], torch.nan)
    assert torch.equal(restored[1][0], module.linear.restore(shown, choice.targets)[0])
