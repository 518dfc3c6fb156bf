"""OmiEmbed: the published network, phases that touch only what they should, a planted signal that is found."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gexcore.baselines.omiembed import (
    VAE,
    ExpressionVAE,
    LastLayerGradNorm,
    OmiEmbed,
    OmiEmbedSettings,
)
from gexcore.heads import task_losses
from gexcore.losses import absolute_loss
from gexcore.metrics import c_index
from gexcore.tasks import Classification, Regression, Survival
from gexcore.training import Phases

OS = Survival("os", time="os_time", event="os_event")
SUBTYPE, AGE = Classification("subtype"), Regression("age")
TASKS = [OS, SUBTYPE, AGE]
SMALL = {
    "preset": "quick",
    "widths": (32,),
    "latent": 12,
    "vae_epochs": 10,
    "head_epochs": 5,
    "max_epochs": 15,
    "hidden": (16,),
    "head_dropout": 0.2,
    "survival_hidden": (16,),
    "learning_rate": 5e-3,
    "averaging": 0.95,
    "device": "cpu",
}
TINY = {**SMALL, "vae_epochs": 2, "head_epochs": 2, "max_epochs": 2}


@pytest.fixture(scope="module")
def parts(planted) -> list[ad.AnnData]:
    """Five groups of ten genes, and ten genes of noise."""
    data = planted(420, groups=5, size=10, free=10)
    return [data[:240].copy(), data[240:300].copy(), data[300:].copy()]


@pytest.fixture(scope="module")
def fitted(parts) -> OmiEmbed:
    return OmiEmbed(TASKS, **SMALL).fit(*parts[:2])


def numbers(model, cohort) -> pd.DataFrame:
    p = model.predict(cohort)
    return pd.concat([p["os"].risk, p["os"].survival.T, p["subtype"].probabilities, p["age"].values], axis=1)


def concordance(model, test) -> float:
    time, event = test.obs[["os_time", "os_event"]].to_numpy().T
    return c_index(time, event, model.predict(test)["os"].risk.to_numpy())


# ---------------------------------------------------------------------------------------------- network


def test_layers_and_parameters_are_the_published_ones(parts):
    G, C = 60, 2
    model = OmiEmbed(TASKS)
    targets = [OS.fit(parts[0].obs, n_intervals=model.settings.n_intervals), *(t.fit(parts[0].obs) for t in TASKS[1:])]
    module = model.build_module(list(parts[0].var_names), targets)

    def widths(part):
        return [(m.in_features, m.out_features) for m in part.modules() if isinstance(m, nn.Linear)]

    vae, (survival, classes, value) = module.vae, module.heads
    assert widths(vae.encoder) == [(G, 1024), (1024, 1024), (1024, 512)]
    assert widths(vae.mean) == widths(vae.log_variance) == [(512, 128)]
    assert widths(vae.decoder) == [(128, 512), (512, 1024), (1024, 1024), (1024, G)]
    assert widths(survival) == [(128, 512), (512, 256), (256, 256)]
    assert widths(classes) == [(128, 128), (128, 64), (64, C)]
    assert widths(value) == [(128, 128), (128, 64), (64, 1)]
    assert [sum(isinstance(m, nn.BatchNorm1d) for m in part.modules()) for part in (vae, *module.heads)] == [6, 0, 2, 2]
    both_ways = 2 * (1024 * 1024 + 1024 * 512) + 3 * 512 * 128  # weights between layers that G does not touch
    biases = (1024 + 1024 + 512 + 2 * 128) + (512 + 1024 + 1024 + G)
    norms = 2 * 2 * (1024 + 1024 + 512)
    assert sum(p.numel() for p in vae.parameters()) == 2 * 1024 * G + both_ways + biases + norms
    of_survival = (128 * 512 + 512) + (512 * 256 + 256) + (256 * 256 + 256)
    assert sum(p.numel() for p in survival.parameters()) == of_survival
    assert sum(p.numel() for p in classes.parameters()) == (128 * 128 + 3 * 128) + (128 * 64 + 3 * 64) + 65 * C


def test_paper_settings_are_the_published_ones():
    s = OmiEmbed(TASKS).settings
    assert (s.vae_epochs, s.head_epochs, s.max_epochs) == (50, 50, 100)
    assert (s.kl_weight, s.vae_weight, s.learning_rate, s.weight_decay, s.batch_size) == (0.01, 0.001, 1e-4, 1e-4, 32)
    assert (s.dropout, s.head_dropout, s.regression_dropout, s.survival_dropout) == (0.2, 0.2, 0.01, 0.5)
    assert (s.scaling, s.multitask, LastLayerGradNorm.ALPHA) == ("minmax", "gradnorm", 1.5)
    assert (s.beta1, s.schedule) == (0.5, "linear")


def test_adam_forgets_by_half_and_the_rate_falls_in_the_second_half_of_the_joint_phase(parts, monkeypatch):
    seen, step = [], torch.optim.AdamW.step

    def watched(optimizer):
        seen.append((optimizer.param_groups[0]["lr"], *optimizer.param_groups[0]["betas"]))
        step(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    settings = {**TINY, "vae_epochs": 1, "head_epochs": 1, "max_epochs": 4, "batch_size": 1000, "learning_rate": 1e-3}
    OmiEmbed(AGE, **settings).fit(parts[0])
    assert seen == [pytest.approx((1e-3 * share, 0.5, 0.999)) for share in (1, 1, 1, 1, 1, 0.5)]


def test_loss_of_the_autoencoder_is_cross_entropy_and_a_hundredth_of_the_divergence_per_unit():
    vae = ExpressionVAE(7, OmiEmbedSettings(widths=(5,), latent=3)).eval()
    x = torch.rand(6, 7)
    mean, log_variance = vae.encode(x)
    p = vae.decoder(mean).sigmoid()
    cross_entropy = -(x * p.log() + (1 - x) * (1 - p).log()).mean()
    code, prior = (torch.distributions.Normal(m, sd) for m, sd in ((mean, (log_variance / 2).exp()), (0.0, 1.0)))
    divergence = torch.distributions.kl_divergence(code, prior).mean()
    torch.testing.assert_close(vae.loss(x, mean, log_variance), cross_entropy + 0.01 * divergence)
    drawn = [vae.train().loss(x, mean, log_variance + 2).item() for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_heads_read_the_mean_and_never_the_spread_of_the_code(parts, fitted, tmp_path):
    expected = numbers(fitted, parts[2])
    fitted.save(tmp_path / "m.safetensors")
    other = OmiEmbed.load(tmp_path / "m.safetensors", device="cpu")
    nn.init.normal_(other.fitted_module().vae.log_variance.weight)
    torch.manual_seed(1)
    pd.testing.assert_frame_equal(numbers(other, parts[2]), expected, check_exact=True)
    module, x = fitted.fitted_module(), fitted.inputs(parts[2].X)
    with torch.no_grad():
        np.testing.assert_allclose(fitted.embed(parts[2]), module.vae.encode(x)[0], atol=1e-6)
        age = module.heads[2](module.vae.encode(x)[0])[:, 0] * fitted.targets_[2].sd + fitted.targets_[2].mean
    np.testing.assert_allclose(fitted.predict(parts[2])["age"].values, age, rtol=1e-5)


def test_a_number_is_learned_by_its_absolute_error():
    scores, target = torch.randn(6, 1), torch.tensor([[1.0], [torch.nan], [-2.0], [0.5], [torch.nan], [3.0]])
    known = [0, 2, 3, 5]
    torch.testing.assert_close(absolute_loss(scores, target), (scores - target)[known].abs().mean())


# ----------------------------------------------------------------------------------------------- phases


def test_each_phase_moves_only_what_it_trains(parts, monkeypatch):
    modules, moved, train = [], {}, Phases.train
    build = OmiEmbed.build_module
    monkeypatch.setattr(OmiEmbed, "build_module", lambda *args: modules.append(build(*args)) or modules[0])

    def state():
        return {name: tensor.clone() for name, tensor in modules[0].state_dict().items()}

    def watched(phases, phase, *what, **how):
        before = state()
        train(phases, phase, *what, **how)
        moved[phase] = {name.split(".")[0] for name, tensor in state().items() if not tensor.equal(before[name])}
        still = [n for n, p in modules[0].named_parameters() if n.split(".")[0] in moved[phase] and p.equal(before[n])]
        assert not still, phase

    monkeypatch.setattr(Phases, "train", watched)
    model = OmiEmbed(TASKS, **TINY, multitask="gradnorm").fit(*parts[:2])
    assert moved == {VAE: {"vae"}, "heads": {"heads"}, "joint": {"vae", "heads"}}
    history = model.history_
    assert history.groupby("phase")["epoch"].agg(["min", "max"]).to_dict("index") == {
        VAE: {"min": 1, "max": 2},
        "heads": {"min": 3, "max": 4},
        "joint": {"min": 5, "max": 6},
    }
    assert set(history.loc[history["phase"] == VAE, "task"]) == {VAE, "mean"}
    assert set(history.loc[history["phase"] == "heads", "task"]) == {"os", "subtype", "age", "mean"}
    assert set(history.loc[history["split"] == "val", "phase"]) == {"joint"}


def test_the_autoencoder_counts_a_thousandth_in_the_joint_phase(parts):
    model = OmiEmbed(AGE, **{**TINY, "vae_weight": 0.001, "averaging": 0.0}).fit(*parts[:2])
    vae, x = model.fitted_module().vae, model.inputs(parts[1].X)
    with torch.no_grad():
        expected = 0.001 * vae.loss(x, *vae.encode(x)).item()
    val = model.history_.query("split == 'val'").pivot_table(index="epoch", columns="task", values="loss")
    best = val.loc[val["mean"].idxmin()]
    assert best[VAE] == pytest.approx(expected, rel=1e-3)
    assert best["mean"] == pytest.approx((best[VAE] + best["age"]) / 2)


def test_heads_start_at_the_null_prediction_whose_loss_is_one(parts):
    model = OmiEmbed(TASKS, **TINY)
    targets = [t.fit(parts[0].obs) for t in TASKS]
    labels = [torch.from_numpy(t.encode(parts[0].obs)) for t in targets]
    heads = model.build_module(list(parts[0].var_names), targets).heads.eval()
    read = torch.randn(len(labels[0]), model.settings.latent)
    losses = task_losses(heads, targets, labels)(heads, (read, *labels))
    assert {task: loss.item() for task, (loss, _) in losses.items()} == pytest.approx(dict.fromkeys(losses, 1.0))


def test_gradnorm_looks_at_the_layer_of_the_mean_and_weighs_all_below_it():
    below, layer = nn.Linear(5, 4), nn.Linear(4, 3)
    a, b, decoder = nn.Linear(3, 1), nn.Linear(3, 1), nn.Linear(3, 5)
    x = torch.randn(8, 5)

    def terms(mean, read):
        return {"a": 9 * a(read).square().mean(), "b": b(read).square().mean(), VAE: F.mse_loss(decoder(mean), x)}

    mean = layer(below(x).tanh())
    plain, shared = terms(mean, mean), [below.weight, layer.weight, layer.bias]
    of_a, of_b, of_vae = (torch.autograd.grad(loss, shared, retain_graph=True) for loss in plain.values())
    strategy = LastLayerGradNorm(["a", "b"], layer)
    for weight, value in zip(strategy.weights, (0.5, 1.5), strict=True):
        weight.data.fill_(value)
    strategy.backward({name: (loss, 8) for name, loss in terms(mean, strategy.meet(mean)).items()})
    for parameter, *parts in zip(shared, of_a, of_b, of_vae, strict=True):
        torch.testing.assert_close(parameter.grad, 0.5 * parts[0] + 1.5 * parts[1] + parts[2])
    assert decoder.weight.grad is not None
    norms = torch.stack([0.5 * of_a[1].norm(), 1.5 * of_b[1].norm()])
    step = -1e-3 * torch.sign(norms - norms.mean())  # all rates are 1 at first; Adam's first step is its rate
    expected = torch.tensor([0.5, 1.5]) + step
    torch.testing.assert_close(torch.stack([w.detach() for w in strategy.weights]), 2 * expected / expected.sum())


# --------------------------------------------------------------------------------------- what is learned


def accuracy_above_majority(model, test) -> float:
    majority = test.obs["subtype"].value_counts(normalize=True).max()
    return (model.predict(test)["subtype"].labels == test.obs["subtype"]).mean() - majority


def correlation(model, test) -> float:
    return np.corrcoef(model.predict(test)["age"].values, test.obs["age"])[0, 1]


def test_planted_signal_of_all_kinds_is_found_together(parts, fitted):
    train, val, test = parts
    for model in (fitted, OmiEmbed(TASKS, **{**SMALL, "multitask": "gradnorm"}).fit(train, val)):
        assert concordance(model, test) > 0.65
        assert accuracy_above_majority(model, test) > 0.2
        assert correlation(model, test) > 0.6
        prediction = model.predict(test)["os"]
        assert prediction.risk.corr(prediction.survival.mean(), method="spearman") < -0.95


def test_samples_with_some_labels_only_are_learned_from(parts):
    train, val, test = parts
    partial = train.copy()
    partial.obs.loc[partial.obs_names[::2], ["os_time", "os_event", "age"]] = np.nan
    partial.obs.loc[partial.obs_names[1::2], "subtype"] = None
    for multitask in ("equal", "gradnorm"):
        model = OmiEmbed(TASKS, **{**TINY, "batch_size": 16, "multitask": multitask}).fit(partial, val)
        assert numbers(model, test).notna().all(axis=None)


# ------------------------------------------------------------------------------------------ same results


@pytest.mark.parametrize("calls", [12, 33])  # in the first and the last phase
def test_a_training_that_is_broken_off_goes_on_to_the_same_bits(parts, tmp_path, monkeypatch, calls):
    settings = {**TINY, "multitask": "gradnorm"}
    expected = numbers(OmiEmbed(TASKS, **settings).fit(*parts[:2]), parts[2])
    seen, loss = [], ExpressionVAE.loss

    def broken(*args):
        seen.append(1)
        if len(seen) == calls + 1:
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(ExpressionVAE, "loss", broken)
    model = OmiEmbed(TASKS, **settings)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*parts[:2], checkpoint=tmp_path / "run")
    assert not hasattr(model, "module_")
    model.fit(*parts[:2], checkpoint=tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {f"run.{phase}" for phase in (VAE, "heads", "joint")}
    pd.testing.assert_frame_equal(numbers(model, parts[2]), expected, check_exact=True)


def test_the_order_of_samples_and_genes_is_irrelevant_and_values_beyond_the_training_range_are_cut(parts, fitted):
    test, rng = parts[2], np.random.default_rng(1)
    expected = numbers(fitted, test)
    assert list(expected.index) == list(test.obs_names)
    shuffled = test[rng.permutation(test.obs_names), rng.permutation(test.var_names)]
    pd.testing.assert_frame_equal(numbers(fitted, shuffled).loc[expected.index], expected)
    inputs = fitted.inputs(parts[0].X * 100)
    assert (inputs.min(), inputs.max()) == (0, 1)


# --------------------------------------------------------------------------------------------- refusals


def test_settings_that_the_decoder_cannot_take_and_unknown_ones_are_refused():
    with pytest.raises(ValueError, match="scaling must be one of minmax, not 'zscore'"):
        OmiEmbed(AGE, scaling="zscore")
    with pytest.raises(ValueError, match=r"scaling_clip must be one of 0\.0, not None"):
        OmiEmbed(AGE, scaling_clip=None)
    with pytest.raises(ValueError, match="multitask must be one of gradnorm, equal, not 'pcgrad'"):
        OmiEmbed(AGE, multitask="pcgrad")
    with pytest.raises(ValueError, match="vae_epochs must be a whole number from 1"):
        OmiEmbed(AGE, vae_epochs=0)
    with pytest.raises(ValueError, match="call the task otherwise"):
        OmiEmbed(Regression("autoencoder", column="age"))


def test_cohorts_that_overlap_or_cannot_say_when_to_stop_are_refused(parts):
    train, val, _ = parts
    with pytest.raises(ValueError, match="60 samples are in the training and the validation cohort, first p240"):
        OmiEmbed(AGE, **TINY).fit(ad.concat([train, val]), val)
    blind = val.copy()
    blind.obs["age"] = np.nan
    with pytest.raises(ValueError, match="none of the 60 validation samples has a label"):
        OmiEmbed(AGE, **TINY).fit(train, blind)
