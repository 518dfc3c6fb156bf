"""AUTOSurv: masks that hold, the Cox likelihood with ties, and a planted signal that is found by way of pathways."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import NelsonAalenFitter
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv
from torch import nn

from gexcore.baselines.autosurv import (
    AUTOSurv,
    CyclicAnnealing,
    MaskedLinear,
    PathwayVAE,
    breslow_hazard,
    cyclic_weight,
    vae_losses,
)
from gexcore.losses import cox_loss
from gexcore.metrics import c_index
from gexcore.tasks import Classification, Survival
from gexcore.training import Phases

OS, RFS = (Survival(name, time=f"{name}_time", event=f"{name}_event") for name in ("os", "rfs"))
SETS = {f"S{i}": [f"g{j}" for j in range(5 * i, 5 * i + 15)] for i in range(28)}  # a gene is in three of them
SMALL = {"gene_sets": SETS, "preset": "quick", "latent": 8, "vae_epochs": 60, "max_epochs": 80, "device": "cpu"}
TINY = {**SMALL, "vae_epochs": 6, "max_epochs": 4}


@pytest.fixture(scope="module")
def parts() -> list[ad.AnnData]:
    """Five programmes of thirty genes; the first carries one hazard, the second another, and age adds to the first."""
    rng = np.random.default_rng(0)
    n = 420
    programme, age = rng.normal(size=(n, 5)), rng.normal(size=n)
    x = np.column_stack([np.repeat(programme, 30, axis=1), np.zeros((n, 10))]) + rng.normal(0, 0.7, size=(n, 160))
    obs = pd.DataFrame({"age": 60 + 10 * age, "smoker": np.where(rng.random(n) < 0.3, "yes", "no")})
    for task, risk in ((OS, 1.2 * programme[:, 0] + 0.8 * age), (RFS, 1.2 * programme[:, 1])):
        happens, leaves = rng.exponential(20 * np.exp(-risk)), rng.uniform(5, 60, size=n)
        obs[task.time] = np.minimum(happens, leaves).round(1)
        obs[task.event] = (happens <= leaves).astype(float)
    genes = pd.DataFrame(index=[f"g{j}" for j in range(160)])
    data = ad.AnnData(x.astype("float32"), obs=obs.set_axis([f"p{i}" for i in range(n)]), var=genes)
    return [data[:240].copy(), data[240:300].copy(), data[300:].copy()]


@pytest.fixture(scope="module")
def fitted(parts) -> AUTOSurv:
    return AUTOSurv([OS, RFS], covariates=["age", "smoker"], **SMALL).fit(*parts[:2])


def numbers(model, cohort) -> pd.DataFrame:
    return pd.concat([part for p in model.predict(cohort).values() for part in (p.risk, p.survival.T)], axis=1)


def concordance(model, test, task=OS) -> float:
    time, event = test.obs[[task.time, task.event]].to_numpy().T
    return c_index(time, event, model.predict(test)[task.name].risk.to_numpy())


def with_ties(n=60):
    rng = np.random.default_rng(3)
    return rng.normal(size=n), rng.integers(1, 9, size=n).astype(float), (rng.random(n) < 0.6).astype(float)


# ------------------------------------------------------------------------------------------ autoencoder


def test_layers_are_the_published_ones_and_weights_those_of_the_mask():
    G, S, Z, H, C = 100, 20, 16, 16, 2
    model = AUTOSurv(OS, gene_sets=SETS, covariates=["age", "smoker"])
    model.clinical_ = SimpleNamespace(numeric_=["age"], categories_=[("smoker", "yes")])
    module = model.build_module([f"g{j}" for j in range(G)], [OS])  # 20 sets have a gene of the panel
    vae, (cox,) = module.vae, module.heads

    def widths(part):
        return [(m.in_features, m.out_features) for m in part.modules() if isinstance(m, nn.Linear)]

    assert widths(vae.pathways) == [(G, S)]
    assert widths(vae.mean) == widths(vae.log_variance) == [(S, Z)]
    assert widths(vae.decoder) == [(Z, S), (S, G)]
    assert widths(cox) == [(Z + C, H), (H, 1)]
    masked = [m for m in vae.modules() if isinstance(m, MaskedLinear)]
    n_members = 17 * 15 + (14 + 9 + 4) + 3  # three sets reach beyond the panel
    assert [int((m.weight != 0).sum()) for m in masked] == [n_members, n_members]
    linear = 2 * S * G + (S + G) + 3 * S * Z + (2 * Z + S)  # the weights of the mask are some of the first
    norms = 2 * (S + 2 * Z + S + G)
    assert sum(p.numel() for p in vae.parameters()) == linear + norms
    assert sum(p.numel() for p in cox.parameters()) == 2 * Z + ((Z + C) * H + H) + 2 * H + H
    assert cox.network[-1].bias is None
    assert cox.network[-1].weight.abs().max() <= 0.001


def test_weights_and_gradients_outside_the_mask_are_zero_after_training(parts):
    model = AUTOSurv(OS, **{**TINY, "vae_weight_decay": 0.5, "averaging": 0.5}).fit(parts[0])
    module, x = model.fitted_module().train(), model.inputs(parts[0][:, model.genes_].X)
    sum(loss for loss, _ in vae_losses(module.vae, (x,)).values()).backward()
    member = np.array([[gene in genes for gene in model.genes_] for genes in SETS.values()])
    for layer, mask in ((module.vae.pathways[0], member), (module.vae.decoder[3], member.T)):
        for values in (layer.weight.detach(), layer.weight.grad):
            assert (values.numpy()[~mask] == 0).all()
            assert (values.numpy()[mask] != 0).mean() > 0.9


def test_a_pathway_hears_its_own_genes_alone_and_genes_of_no_set_are_not_read(parts, fitted):
    assert fitted.genes_ == [f"g{j}" for j in range(150)]
    pathways, x = fitted.fitted_module().vae.pathways[0], torch.rand(1, 150)
    other = x.clone()
    other[0, 12] += 1
    with torch.no_grad():
        moved = (pathways(other) != pathways(x))[0].tolist()
    assert [name for name, differs in zip(SETS, moved, strict=True) if differs] == ["S0", "S1", "S2"]
    test = parts[2].copy()
    test.X[:, 150:] = 100
    pd.testing.assert_frame_equal(numbers(fitted, test), numbers(fitted, parts[2]), check_exact=True)


def test_loss_of_the_autoencoder_is_summed_over_genes_and_units():
    vae, x = PathwayVAE(torch.ones(3, 6), 4).eval(), torch.rand(5, 6)
    pathways = vae.pathways(x)
    mean, sd = vae.mean(pathways), (vae.log_variance(pathways) / 2).exp()
    p = vae.decoder(mean).sigmoid()
    losses = vae_losses(vae, (x,))
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean()
    torch.testing.assert_close(losses["reconstruction"][0], expected)
    code, prior = torch.distributions.Normal(mean, sd), torch.distributions.Normal(0.0, 1.0)
    divergence = torch.distributions.kl_divergence(code, prior).sum(1).mean()
    torch.testing.assert_close(losses["divergence"][0], divergence)


def test_weight_of_the_divergence_grows_anew_in_each_cycle():
    cycle = [0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]  # 10 steps, half of them a ramp
    assert [cyclic_weight(step, 10, 0.5) for step in range(25)] == pytest.approx(cycle + cycle + cycle[:5])
    w = torch.tensor(1.0, requires_grad=True)
    annealing, slopes = CyclicAnnealing(10, 0.5), []
    for _ in range(12):
        w.grad = None
        annealing.backward({"divergence": (5 * w, 1), "reconstruction": (3 * w, 1)})
        slopes.append(w.grad.item())
    assert slopes == pytest.approx([3 + 5 * weight for weight in cycle + cycle[:2]])


@pytest.mark.parametrize(("batch_size", "n_steps"), [(1000, 12), (60, 4 * 12)])
def test_cycles_are_shares_of_the_training_whatever_the_batch(parts, monkeypatch, batch_size, n_steps):
    steps, backward = [], CyclicAnnealing.backward
    monkeypatch.setattr(
        CyclicAnnealing, "backward", lambda a, p: (steps.append((int(a.step), a.cycle)), backward(a, p))
    )
    settings = {**TINY, "vae_epochs": 12, "n_cycles": 3, "batch_size": batch_size, "max_epochs": 1}
    AUTOSurv(OS, **settings).fit(parts[0])
    assert steps == [(step, n_steps // 3) for step in range(n_steps)]


# --------------------------------------------------------------------------------------- Cox regression


def test_cox_loss_is_the_breslow_likelihood_written_out_in_any_order():
    f, time, event = with_ties()
    terms = [f[i] - np.log(np.exp(f[time >= time[i]]).sum()) for i in np.flatnonzero(event)]
    assert len(np.unique(time[event == 1])) < len(terms)  # there are ties
    order = np.random.default_rng(0).permutation(len(f))
    for rows in (slice(None), order):
        loss = cox_loss(*(torch.tensor(v[rows]) for v in (f, time, event)))
        assert loss.item() == pytest.approx(-np.mean(terms), rel=1e-12)
    large = torch.tensor([800.0, 0.0, -800.0], requires_grad=True)
    cox_loss(large, torch.tensor([3.0, 2.0, 1.0]), torch.ones(3)).backward()
    assert large.grad.isfinite().all()


def test_cox_loss_and_breslow_hazard_are_those_of_scikit_survival():
    x, time, event = with_ties(200)
    reference = CoxPHSurvivalAnalysis(ties="breslow").fit(x[:, None], Surv.from_arrays(event == 1, time))
    slope = torch.tensor(float(reference.coef_[0]), dtype=torch.double, requires_grad=True)
    cox_loss(slope * torch.tensor(x), torch.tensor(time), torch.tensor(event)).backward()
    assert slope.grad.item() == pytest.approx(0, abs=1e-6)  # the optimum is theirs
    times, hazard = breslow_hazard(x * reference.coef_[0], time, event)
    expected = reference.cum_baseline_hazard_
    np.testing.assert_allclose(hazard, expected(times), rtol=1e-6)
    assert times.tolist() == sorted(set(time[event == 1]))


def test_baseline_without_risks_is_that_of_nelson_and_aalen():
    _, time, event = with_ties()
    times, hazard = breslow_hazard(np.zeros(len(time)), time, event)
    expected = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(time, event).cumulative_hazard_at_times(times)
    np.testing.assert_allclose(hazard, expected)


# --------------------------------------------------------------------------------------- what is learned


def test_planted_hazards_are_found_each_by_its_own_task(parts, fitted):
    test = parts[2]
    assert concordance(fitted, test, OS) > 0.65
    assert concordance(fitted, test, RFS) > 0.65
    prediction = fitted.predict(test)["os"]
    curves = prediction.survival
    assert curves.index[0] == 0
    assert curves.index.is_monotonic_increasing
    assert (curves.iloc[0] == 1).all()
    assert (curves.diff().iloc[1:] <= 0).all(axis=None)
    assert prediction.risk.corr(curves.mean(), method="spearman") < -0.999
    low, high = (curves.loc[:, prediction.risk.rank(pct=True).between(*q)].mean(axis=1) for q in ((0, 0.5), (0.5, 1)))
    assert low.iloc[-1] > high.iloc[-1] + 0.1


def test_clinical_columns_add_what_no_gene_knows(parts):
    train, val, test = (part.copy() for part in parts)
    for part in (train, val, test):
        part.X = np.random.default_rng(0).permutation(part.X)  # genes of another patient
    genes, both = (
        concordance(AUTOSurv(OS, covariates=columns, **SMALL).fit(train, val), test) for columns in ([], ["age"])
    )
    assert both > 0.56
    assert both > genes + 0.06


def test_samples_without_a_label_teach_the_autoencoder_alone(parts):
    train, val, test = parts
    partial = train.copy()
    partial.obs.loc[partial.obs_names[::3], ["os_time", "os_event"]] = np.nan
    partial.obs.loc[partial.obs_names[::5], ["rfs_time", "rfs_event", "age"]] = np.nan
    model = AUTOSurv([OS, RFS], covariates=["age"], **TINY).fit(partial, val)
    assert numbers(model, test).notna().all(axis=None)
    whole = AUTOSurv([OS, RFS], covariates=["age"], **TINY).fit(train, val)
    np.testing.assert_array_equal(model.embed(test), whole.embed(test))


# ----------------------------------------------------------------------------------------------- phases


def test_the_code_is_fixed_before_any_label_is_read_and_validation_samples_choose_the_epoch(parts, monkeypatch):
    train, val, _ = parts
    modules, moved, run, build = [], {}, Phases.train, AUTOSurv.build_module
    monkeypatch.setattr(AUTOSurv, "build_module", lambda *args: modules.append(build(*args)) or modules[0])

    def state():
        return {name: tensor.clone() for name, tensor in modules[0].state_dict().items()}

    def watched(phases, phase, *what, **how):
        before = state()
        run(phases, phase, *what, **how)
        moved[phase] = {name.split(".")[0] for name, tensor in state().items() if not tensor.equal(before[name])}

    monkeypatch.setattr(Phases, "train", watched)
    model = AUTOSurv(OS, **{**TINY, "max_epochs": 60, "patience": 10, "learning_rate": 0.05}).fit(train, val)
    assert moved == {"autoencoder": {"vae"}, "cox": {"heads"}}
    history = model.history_.query("task == 'os' and split == 'val'")
    best = history.loc[history["loss"].idxmin()]
    risk = torch.from_numpy(model.predict(val)["os"].risk.to_numpy())
    time, event = torch.from_numpy(val.obs[["os_time", "os_event"]].to_numpy().T)
    assert best["loss"] == pytest.approx(cox_loss(risk, time, event).item(), rel=1e-5)
    assert history["epoch"].min() == TINY["vae_epochs"] + 1
    assert history["epoch"].max() == best["epoch"] + 10 < TINY["vae_epochs"] + 60  # it stopped early
    assert set(model.history_.query("phase == 'autoencoder'")["task"]) == {"reconstruction", "divergence", "mean"}


@pytest.mark.parametrize("steps", [4, 8])  # of the first training and of the second
def test_a_training_that_is_broken_off_goes_on_to_the_same_bits(parts, tmp_path, monkeypatch, steps):
    expected = numbers(AUTOSurv([OS, RFS], **TINY).fit(*parts[:2]), parts[2])
    seen, step = [], torch.optim.AdamW.step

    def broken(*args, **how):
        seen.append(1)
        if len(seen) == steps + 1:
            raise KeyboardInterrupt
        return step(*args, **how)

    model = AUTOSurv([OS, RFS], **TINY)
    monkeypatch.setattr(torch.optim.AdamW, "step", broken)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*parts[:2], checkpoint=tmp_path / "run")
    assert not hasattr(model, "module_")
    model.fit(*parts[:2], checkpoint=tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"run.autoencoder", "run.cox"}
    pd.testing.assert_frame_equal(numbers(model, parts[2]), expected, check_exact=True)


# ------------------------------------------------------------------------------------------ same results


def test_a_second_fit_and_a_file_give_the_same_bits(parts, fitted, tmp_path):
    settings = {"covariates": ["age", "smoker"], **SMALL}
    expected = numbers(fitted, parts[2])
    second = AUTOSurv([OS, RFS], **settings).fit(*parts[:2])
    pd.testing.assert_frame_equal(numbers(second, parts[2]), expected, check_exact=True)
    fitted.save(tmp_path / "m.safetensors")
    loaded = AUTOSurv.load(tmp_path / "m.safetensors", device="cpu")
    assert (loaded.settings, loaded.gene_sets, loaded.genes_) == (fitted.settings, SETS, fitted.genes_)
    pd.testing.assert_frame_equal(loaded.history_, fitted.history_)
    holes = parts[2].copy()
    holes.obs.loc[holes.obs_names[::2], "age"], holes.obs.loc[holes.obs_names[::3], "smoker"] = np.nan, "unknown"
    for test in (parts[2], holes):
        pd.testing.assert_frame_equal(numbers(loaded, test), numbers(fitted, test), check_exact=True)


# --------------------------------------------------------------------------------------------- refusals


def test_what_the_model_cannot_learn_from_is_refused(parts):
    train, val, _ = parts
    with pytest.raises(ValueError, match="1 gene sets share no gene with the cohort: the sets hold a, b, the co"):
        AUTOSurv(OS, **{**TINY, "gene_sets": {"other": ["b", "a"]}}).fit(train)
    with pytest.raises(TypeError, match=r"AUTOSurv predicts survival, not subtype \(classification\)"):
        AUTOSurv([OS, Classification("subtype")], **TINY)
    with pytest.raises(TypeError, match="there is no setting 'scaling'"):
        AUTOSurv(OS, **TINY, scaling="zscore")
    with pytest.raises(ValueError, match="ramp must be a number from"):
        AUTOSurv(OS, **TINY, ramp=0)
    with pytest.raises(KeyError, match="lacks the covariates \\['stage'\\]"):
        AUTOSurv(OS, covariates=["stage"], **TINY).fit(train)
    with pytest.raises(ValueError, match="60 samples are in the training and the validation cohort, first p240"):
        AUTOSurv(OS, **TINY).fit(ad.concat([train, val]), val)
    quiet = val.copy()
    quiet.obs["os_event"] = 0.0
    with pytest.raises(ValueError, match="none of the 60 validation samples has an event"):
        AUTOSurv(OS, **TINY).fit(train, quiet)
    with pytest.raises(RuntimeError, match="this AUTOSurv is not fitted yet"):
        AUTOSurv(OS, **TINY).predict(val)
