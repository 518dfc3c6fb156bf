"""Autoencoders that fill in missing expression: networks that rebuild cells which are hidden from them.

They are shown the values and which of them are there, at every rate of missing cells from 0.1 to 0.9, and judged by the
hidden cells alone, as GexBERT is.
Shapes: B samples of a batch, G genes, H hidden units, Z units of the narrowest layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor, nn

from ..cohort import as_cohort
from ..cohort.checks import refuse_unfitted
from ..genes import align_genes
from ..training import TrainingSettings, choose_device, seeded
from ..training import train as run_training
from .imputers import Imputer

_RATES = (0.1, 0.9)  # a sample of a training batch loses a share of its cells between these


class _Network(nn.Module):
    """G values and G marks of presence to H to Z units, and back to G values."""

    def __init__(self, n_genes: int, hidden: Sequence[int], *, variational: bool) -> None:
        super().__init__()
        width = [2 * n_genes, *hidden]
        self.variational = variational
        self.encoder = _stack([*width[:-1], (2 if variational else 1) * width[-1]])
        self.decoder = _stack([*reversed(hidden), n_genes])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Restored values (B, G) of x (B, G) with NaN; and the divergence of the code from its prior (B,), if any."""
        code = self._encode(x)
        if not self.variational:
            return self.decoder(code.relu()), None
        mean, log_variance = code.chunk(2, dim=1)  # (B, Z) each
        log_variance = log_variance.clamp(-10, 10)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)  # (B,)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        return self.decoder(mean + noise * (0.5 * log_variance).exp()), divergence

    def embed(self, x: Tensor) -> Tensor:
        """The narrowest layer (B, Z) before its rectifier, or the mean of its distribution."""
        code = self._encode(x)
        return code.chunk(2, dim=1)[0] if self.variational else code

    def _encode(self, x: Tensor) -> Tensor:
        """(B, Z), twice that if variational."""
        return self.encoder(torch.cat([x.nan_to_num(), (~x.isnan()).float()], dim=1))


def _stack(width: Sequence[int]) -> nn.Sequential:
    layers = [part for a, b in itertools.pairwise(width) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class DenoisingAutoencoder(Imputer):
    """A network that narrows and widens again, trained to restore cells hidden from it.

    Parameters
    ----------
    hidden : sequence of int
        Units of the layers down to the narrowest; the way back mirrors them.
    learning_rate, batch_size, max_epochs, patience
        As in :class:`gexcore.training.TrainingSettings`.
    device : str
        "auto" is the GPU if there is one.
    clip, seed
        As in :class:`Imputer`; the seed draws weights, hidden cells and the order of samples.

    Attributes
    ----------
    history_ : pandas.DataFrame
        epoch, split, task, loss.

    Notes
    -----
    Training stops when the hidden cells of the validation samples, the same in every epoch, are restored no better for
    ``patience`` epochs. Without ``val`` a tenth of the training samples is set apart for that.
    """

    beta: float | None = None

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (512, 128),
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        max_epochs: int = 200,
        patience: int = 15,
        device: str = "auto",
        clip: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(clip=clip, seed=seed)
        self.hidden, self.device = tuple(hidden), device
        self.settings = TrainingSettings(
            learning_rate=learning_rate, batch_size=batch_size, max_epochs=max_epochs, patience=patience
        )

    def _learn(self, x: np.ndarray, val: np.ndarray | None) -> _Network:
        device, rng = choose_device(self.device), np.random.default_rng(self.seed)
        if val is None:
            if len(x) < 20:
                message = f"{len(x)} training samples are too few to set a tenth of them apart: pass val"
                raise ValueError(message)
            val, x = np.split(rng.permutation(x), [len(x) // 10])
        shown = np.where(rng.random(val.shape) < rng.uniform(*_RATES, (len(val), 1)), np.nan, val)
        data, validation = (torch.tensor(x).float(),), (torch.tensor(val).float(), torch.tensor(shown).float())
        with seeded(self.seed, device):
            module = _Network(x.shape[1], self.hidden, variational=self.beta is not None).to(device)
            self.history_ = run_training(
                module,
                self._losses,
                data,
                validation,
                self.settings,
                device=device,
                generator=rng,
                label=type(self).__name__,
            )
        return module

    def _losses(self, module: _Network, batch: tuple[Tensor, ...]) -> dict[str, tuple[Tensor, int]]:
        """Squared error of the cells that are there but not shown; which those are comes with validation samples."""
        truth, *given = batch
        shown = given[0] if given else _hide(truth)
        restored, divergence = module(shown)
        hidden = shown.isnan() & ~truth.isnan()
        if not hidden.any():
            return {}
        loss = (restored - truth)[hidden].square().mean()
        if module.training and divergence is not None:
            loss = loss + self.beta * divergence.mean() / truth.shape[1]
        return {"restoration": (loss, int(hidden.sum()))}

    def embed(self, cohort: AnnData, *, min_coverage: float = 0.5) -> pd.DataFrame:
        """The code of every sample, a DataFrame samples x Z: units of the narrowest layer, before their rectifier.

        A variational one gives the mean of its distribution. Missing cells are marked as such, as in training.

        Parameters
        ----------
        cohort, min_coverage
            As in :meth:`impute`.
        """
        refuse_unfitted(self, "model_")
        cohort = as_cohort(cohort)
        x = self.scaler_.standardise(align_genes(cohort, self.genes_, min_coverage=min_coverage))
        code = self._in_parts(self.model_.embed, x)  # (N, Z)
        return pd.DataFrame(code, index=cohort.obs_names, columns=[f"Z{i}" for i in range(1, code.shape[1] + 1)])

    def _fill(self, x: np.ndarray) -> np.ndarray:
        return self._in_parts(lambda part: self.model_(part)[0], x)

    @torch.no_grad()
    def _in_parts(self, function: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
        device = next(self.model_.parameters()).device
        parts = torch.tensor(x).float().split(256)
        return np.concatenate([function(part.to(device)).double().cpu().numpy() for part in parts])


class VariationalAutoencoder(DenoisingAutoencoder):
    """An autoencoder whose narrowest layer is a distribution, drawn towards a standard normal one.

    Parameters
    ----------
    beta : float
        Weight of the divergence from the normal distribution, per gene, beside the mean squared error of a cell: 1
        takes half of a standardised gene's variance for noise. A hole is filled from the mean of the distribution.
    **settings
        As in :class:`DenoisingAutoencoder`.
    """

    def __init__(self, *, beta: float = 1.0, **settings) -> None:
        super().__init__(**settings)
        self.beta = beta


def _hide(x: Tensor) -> Tensor:
    """x (B, G) with NaN at a share of the cells that is drawn for every sample."""
    low, high = _RATES
    rate = low + (high - low) * torch.rand(len(x), 1, device=x.device)
    return x.masked_fill(torch.rand_like(x) < rate, float("nan"))
