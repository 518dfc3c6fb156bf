"""AUTOSurv (npj Precision Oncology 8:4, 2024): an autoencoder through pathways, and a small Cox network on its code.

The variant that reads no other molecules than genes. The autoencoder comes first, then the Cox network, then the
estimator.
Shapes: N samples, B samples of a batch, G genes, S gene sets, Z units of the code, C clinical columns.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from anndata import AnnData
from torch import Tensor, nn

from ..cohort import as_cohort
from ..estimator import NeuralEstimator, Tensors
from ..genes import align_genes
from ..losses import cox_loss
from ..multitask import EqualWeights, Parts
from ..parallel import OneProcess
from ..tables import read_gene_sets
from ..tasks import Survival, SurvivalPrediction, Target
from ..training import Losses, Phases, TrainingSettings, batches
from .classical import ClinicalCox, _survival_prediction
from .ridge_cox import RiskSets
from .survconvmixer import sets_with


@dataclass(frozen=True, kw_only=True)
class AUTOSurvSettings(TrainingSettings):
    """Settings of AUTOSurv; those that every model has are the Cox networks'.

    Published are grids that are searched for each cancer. The defaults are their middle, the lower one of four values,
    which is assumed; the width of the code is the published one.
    """

    latent: int = 16  # units of the code; grid 8 to 64
    vae_epochs: int = 1600  # grid 800 to 2400
    vae_learning_rate: float = 0.005  # grid 0.001 to 0.1
    vae_weight_decay: float = 0.005  # grid 0.0005 to 0.1
    n_cycles: int = 4  # of annealing; grid 2 to 10
    ramp: float = 0.5  # share of a cycle in which the divergence gains its weight; grid 0.3 to 0.9
    hidden: int = 16  # grid 8 to 32
    dropout: float = 0.3  # of the code and of the hidden layer; grids 0.1 to 0.5
    max_epochs: int = 500
    patience: int = 200
    learning_rate: float = 0.0075  # grid 0.0025 to 0.05
    weight_decay: float = 5e-4  # grid 0.0001 to 0.001
    batch_size: int = 1_000_000  # all samples at once, in both trainings
    scaling: ClassVar[str] = "minmax"  # no settings: the decoder is compared with values from 0 to 1
    scaling_clip: ClassVar[float] = 0.0
    n_intervals: ClassVar[int] = 64  # nor these: no network reads the grid
    grid: ClassVar[str] = "quantile"
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **TrainingSettings.ranges,
        **dict.fromkeys(("latent", "vae_epochs", "n_cycles", "hidden"), (Integral, 1, math.inf)),
        "vae_learning_rate": (Real, 1e-30, math.inf),
        "vae_weight_decay": (Real, 0, math.inf),
        "ramp": (Real, 1e-30, 1),
        "dropout": (Real, 0, 1),
    }


PRESETS: dict[str, dict] = {
    "paper": {},
    "quick": {
        "vae_epochs": 400,
        "vae_learning_rate": 0.01,
        "n_cycles": 2,
        "max_epochs": 200,
        "patience": 50,
    },
}


# ------------------------------------------------------------------------------------------ autoencoder


class MaskedLinear(nn.Linear):
    """A linear layer with the weights of a mask (outputs, inputs) of 0 and 1; the others are 0 and stay so."""

    def __init__(self, mask: Tensor):
        super().__init__(*mask.T.shape)
        self.register_buffer("mask", mask, persistent=False)
        self.weight.data *= mask

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)  # no gradient outside the mask


class PathwayVAE(nn.Module):
    """Expression from 0 to 1 through one unit per gene set to a code, and back; mask (S, G) is 1 for a set's genes."""

    def __init__(self, mask: Tensor, latent: int):
        super().__init__()
        n_sets, n_genes = mask.shape
        self.pathways = nn.Sequential(MaskedLinear(mask), nn.BatchNorm1d(n_sets), nn.ReLU())
        self.mean, self.log_variance = (
            nn.Sequential(nn.Linear(n_sets, latent), nn.BatchNorm1d(latent)) for _ in range(2)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, n_sets),
            nn.BatchNorm1d(n_sets),
            nn.ReLU(),
            MaskedLinear(mask.T.contiguous()),
            nn.BatchNorm1d(n_genes),  # its result is the logit of expression
        )


def vae_losses(vae: PathwayVAE, batch: Tensors) -> Losses:
    """Cross-entropy of a sample, and its code's divergence from a normal distribution: sums, means over samples."""
    x = batch[0]
    pathways = vae.pathways(x)  # (B, S)
    mean, log_variance = vae.mean(pathways), vae.log_variance(pathways)  # (B, Z)
    noise = torch.randn_like(mean) if vae.training else torch.zeros_like(mean)
    logits = vae.decoder(mean + noise * (0.5 * log_variance).exp())  # (B, G)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum() / len(x)
    return {"reconstruction": (reconstruction, len(x)), "divergence": (divergence, len(x))}


def cyclic_weight(step: int, cycle: int, ramp: float) -> float:
    """Weight of the divergence: 0.1 at the start of a cycle, up to 1 over a share of it (Fu et al. 2019)."""
    passed = step % cycle / cycle
    return min(1.0, passed / ramp) if passed else 0.1


class CyclicAnnealing(EqualWeights):
    """Reconstruction, and divergence by a weight that grows anew in each cycle of so many steps."""

    def __init__(self, cycle: int, ramp: float):
        super().__init__(["reconstruction", "divergence"])
        self.cycle, self.ramp = cycle, ramp
        self.register_buffer("step", torch.zeros((), dtype=torch.long))  # goes on where a training was broken off

    def backward(self, parts: Parts) -> None:
        (reconstruction, _), (divergence, _) = (parts[name] for name in self.tasks)
        (reconstruction + cyclic_weight(int(self.step), self.cycle, self.ramp) * divergence).backward()
        self.step += 1


# ------------------------------------------------------------------------------------------ Cox network


class CoxNetwork(nn.Module):
    """Code beside clinical columns (B, Z + C) to log hazards (B, 1)."""

    def __init__(self, n_clinical: int, settings: AUTOSurvSettings):
        super().__init__()
        s = settings
        self.code = nn.Sequential(nn.Dropout(s.dropout), nn.BatchNorm1d(s.latent))
        self.network = nn.Sequential(
            nn.Linear(s.latent + n_clinical, s.hidden),
            nn.Tanh(),
            nn.Dropout(s.dropout),
            nn.BatchNorm1d(s.hidden),
            nn.Linear(s.hidden, 1, bias=False),
        )
        nn.init.uniform_(self.network[-1].weight, -0.001, 0.001)
        self.n_clinical = n_clinical

    def forward(self, x: Tensor) -> Tensor:
        code, clinical = x.tensor_split([x.shape[1] - self.n_clinical], dim=1)
        return self.network(torch.cat([self.code(code), clinical], dim=1))


def breslow_hazard(log_hazard: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Times with an event and the cumulative hazard there of log hazard 0, (2, number of times)."""
    order = np.argsort(-time, kind="stable")
    sets = RiskSets(time[order], event[order])
    at_risk = sets.at_risk(np.exp(log_hazard[order]))[::-1]  # at each event, earliest first
    times, first = np.unique(time[order][sets.events][::-1], return_index=True)
    return np.stack([times, np.add.reduceat(1 / at_risk, first).cumsum()])


# -------------------------------------------------------------------------------------------- estimator


class AUTOSurvModule(nn.Module):
    """The autoencoder, and one Cox network per task on the mean of its code."""

    def __init__(self, mask: Tensor, n_clinical: int, n_tasks: int, settings: AUTOSurvSettings):
        super().__init__()
        self.vae = PathwayVAE(mask, settings.latent)
        self.heads = nn.ModuleList(CoxNetwork(n_clinical, settings) for _ in range(n_tasks))

    def embed(self, inputs: Tensor) -> Tensor:
        """The mean of the code, (B, Z)."""
        return self.vae.mean(self.vae.pathways(inputs))

    def log_hazards(self, features: Tensor) -> Tensor:
        """One column for each task, (B, Z + C) to (B, number of tasks)."""
        return torch.cat([head(features) for head in self.heads], dim=1)


class AUTOSurv(NeuralEstimator):
    """Cox regression by a small network on the code of an autoencoder that sees genes through their pathways.

    The autoencoder is trained first, on all samples and without labels; what it says of a sample is then fixed.

    Parameters
    ----------
    tasks : Survival or a sequence of them
        What to predict; each task has a Cox network of its own.
    gene_sets : mapping or path of a .gmt file
        Name to genes, as :func:`gexcore.read_gene_sets` returns. Genes in no set are not read, and sets without a gene
        of the training cohort are left out.
    covariates : sequence of str
        Columns of ``obs`` that stand beside the code, coded as in :class:`ClinicalCox`.
    preset : {"paper", "quick"}
        ``"paper"``: the published network with settings from the middle of its grids. Unlike there, the Cox networks
        stop early on validation samples (published: in the end on test samples) and by their likelihood, not by
        concordance; tied times share their risk sets; weights outside the mask have no gradient; weight decay is
        decoupled. ``"quick"``: fewer epochs, seconds on a CPU.
    seed, device, **settings
        As for :class:`TxT`; settings are fields of :class:`AUTOSurvSettings`.

    Attributes
    ----------
    genes_ : list of str
        Genes of the training cohort that are in a set, which every later cohort is aligned to by name.
    history_ : pandas.DataFrame
        epoch (of both trainings in a row), split, task, loss, phase ("autoencoder", "cox").
    hazards_ : dict of str to numpy.ndarray
        By task the baseline, (2, number of times) as :func:`breslow_hazard` estimates it.
    settings, scaler_, targets_, module_
        As in :class:`gexcore.estimator.NeuralEstimator`.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Survival("os", time="os_time", event="os_event")
    >>> train, val, test = gx.split(cohort, task, seed=0)
    >>> sets = gx.read_gene_sets(gx.data_path("demo/gene_sets.gmt"))
    >>> model = AUTOSurv(task, gene_sets=sets, covariates=["age"], preset="quick", vae_epochs=4, max_epochs=4)
    >>> model.fit(train, val).predict(test)["os"].risk.shape
    (80,)
    """

    kinds: ClassVar[tuple[str, ...]] = ("survival",)
    settings_class, presets, in_phases = AUTOSurvSettings, PRESETS, True

    def __init__(
        self,
        tasks: Survival | Sequence[Survival],
        *,
        gene_sets: Mapping[str, Sequence[str]] | str | os.PathLike,
        covariates: Sequence[str] = (),
        preset: str = "paper",
        seed: int = 0,
        device: str = "auto",
        **settings,
    ):
        super().__init__(tasks, preset=preset, seed=seed, device=device, **settings)
        if strange := [f"{t.name} ({t.kind})" for t in self.tasks if t.kind not in self.kinds]:
            message = f"AUTOSurv predicts survival, not {', '.join(strange)}"
            raise TypeError(message)
        sets = gene_sets if isinstance(gene_sets, Mapping) else read_gene_sets(gene_sets)
        self.gene_sets = {name: list(genes) for name, genes in sets.items()}
        self.covariates = list(covariates)

    def build_module(self, genes: Sequence[str], targets: Sequence[Target]) -> AUTOSurvModule:
        members = [pd.Index(genes).isin(members) for members in self.gene_sets.values()]
        mask = torch.tensor(np.stack([known for known in members if known.any()])).float()  # (S, G)
        n_clinical = len(self.clinical_.numeric_) + len(self.clinical_.categories_)
        return AUTOSurvModule(mask, n_clinical, len(targets), self.settings)

    def choose_genes(self, genes: Sequence[str]) -> list[str]:
        """Those in a gene set."""
        members = {gene for genes in sets_with(self.gene_sets, genes).values() for gene in genes}
        return [gene for gene in genes if gene in members]

    def fit_labels(self, train: AnnData) -> None:
        super().fit_labels(train)  # refuses useless labels
        self.clinical_ = ClinicalCox(self.tasks, covariates=self.covariates)
        self.clinical_._learn_inputs(train)

    def tensors(self, cohort: AnnData) -> Tensors:
        """Expression (N, G), clinical columns (N, C), and times and events (N, 2) of each task, NaN where missing."""
        labels = [torch.from_numpy(task.read(cohort.obs).to_numpy()) for task in self.tasks]
        return self.inputs(align_genes(cohort, self.genes_)), self._clinical(cohort), *labels

    def _clinical(self, cohort: AnnData) -> Tensor:
        return torch.from_numpy(self.clinical_._inputs(cohort)).float()

    def train_module(
        self, data: Tensors, validation: Tensors | None, *, processes: OneProcess, checkpoint: str | os.PathLike | None
    ) -> pd.DataFrame:
        """Train the autoencoder, then the Cox networks; ``checkpoint`` is a file for each, its name behind the path."""
        if validation and not any(label[:, 1].nansum() for label in validation[2:]):
            n = len(validation[0])
            message = f"none of the {n} validation samples has an event, so nothing can say when to stop"
            raise ValueError(message)
        exact = [label.numpy() for label in data[2:]]  # the baseline keeps all digits of a time
        data, validation = (part and tuple(tensor.float() for tensor in part) for part in (data, validation))
        s, module = self.settings, self.module_.to(processes.device)
        phases = Phases("AUTOSurv", checkpoint, seed=self.seed, device=processes.device)
        n_steps = s.vae_epochs * len(batches(len(data[0]), s.batch_size))
        annealing = CyclicAnnealing(max(1, n_steps // s.n_cycles), s.ramp)
        vae = {"max_epochs": s.vae_epochs, "learning_rate": s.vae_learning_rate, "weight_decay": s.vae_weight_decay}
        phases.train("autoencoder", module.vae, vae_losses, data, None, replace(s, **vae), strategy=annealing)

        def coded(part: Tensors) -> Tensors:
            x, clinical, *labels = part
            (codes,) = self._batched(lambda x: [module.embed(x)], [x], len(x))
            return torch.cat([codes, clinical], dim=1), *labels

        def losses(heads: nn.ModuleList, batch: Tensors) -> Losses:
            features, *labels = batch
            parts = {}
            for task, head, label in zip(self.tasks, heads, labels, strict=True):
                log_hazard, known = head(features)[:, 0], ~label[:, 0].isnan()
                if n := int(label[known, 1].sum()):
                    parts[task.name] = (cox_loss(log_hazard[known], *label[known].T), n)
            return parts

        read = coded(data)
        phases.train("cox", module.heads, losses, read, validation and coded(validation), s)
        self.hazards_ = {}
        for task, risk, label in zip(self.tasks, self._risks(read[0]), exact, strict=True):
            known = ~np.isnan(label[:, 0])
            self.hazards_[task.name] = breslow_hazard(risk[known], *label[known].T)
        return phases.history()

    def _risks(self, features: Tensor) -> np.ndarray:
        """Log hazards, (number of tasks, N)."""
        (scores,) = self._batched(lambda part: [self.module_.log_hazards(part)], [features], len(features))
        return scores.double().numpy().T

    def predict(
        self, cohort: AnnData, *, harmonise: str | None = None, min_coverage: float = 0.5
    ) -> dict[str, SurvivalPrediction]:
        """Log hazard and survival of every sample; arguments as in :meth:`gexcore.estimator.NeuralEstimator.predict`.

        Covariates are read from ``cohort``; survival is that of the Breslow baseline at the training events.
        """
        cohort = as_cohort(cohort)
        codes = self.embed(cohort, harmonise=harmonise, min_coverage=min_coverage)  # (N, Z)
        features = torch.cat([torch.tensor(codes.to_numpy()), self._clinical(cohort)], dim=1)
        predictions = {}
        for task, risk in zip(self.tasks, self._risks(features), strict=True):
            times, hazard = self.hazards_[task.name]
            curves = np.exp(-np.exp(risk)[:, None] * hazard)  # (N, number of times)
            predictions[task.name] = _survival_prediction(task, risk, times, curves, cohort.obs_names)
        return predictions

    def input_state(self) -> dict[str, np.ndarray]:
        return {**super().input_state(), **{f"hazard {name}": h for name, h in self.hazards_.items()}}

    def extra_config(self) -> dict[str, Any]:
        learned = {name: value for name, value in vars(self.clinical_).items() if name.endswith("_")}
        return {"gene_sets": self.gene_sets, "covariates": self.covariates, "clinical": learned}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], state: Mapping[str, np.ndarray], tasks: Sequence[Survival], **settings
    ) -> Self:
        inputs = {"gene_sets": config["gene_sets"], "covariates": config["covariates"]}
        scaler = {name: array for name, array in state.items() if not name.startswith("hazard ")}
        model = super().from_config(config, scaler, tasks, **inputs, **settings)
        model.hazards_ = {task.name: state[f"hazard {task.name}"] for task in tasks}
        model.clinical_ = ClinicalCox(tasks, covariates=config["covariates"])
        learned, numeric = config["clinical"], config["clinical"]["numeric_"]
        moments = {name: pd.Series(learned[name], numeric, dtype=float) for name in ("median_", "mean_", "sd_")}
        vars(model.clinical_).update(learned | moments)
        return model
