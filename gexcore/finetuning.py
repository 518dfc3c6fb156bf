"""From GexBERT to the tasks of TxT: a pretrained encoder with a head per task, frozen or trained further.

Neither paper has this bridge. The cohort may have any panel of the genes GexBERT was pretrained on.
Shapes: B samples, G genes of the pretraining cohort, D width of the summary, P axes of the linear path.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from .estimator import MultitaskModule, NeuralEstimator, NeuralSettings, task_heads
from .gexbert import GexBERT
from .restorer import Restorer
from .tasks import Target, Task, first_ids


@dataclass(frozen=True, kw_only=True)
class FineTunedSettings(NeuralSettings):
    """Settings of a GexBERT with task heads; none of them is a paper's."""

    frozen: bool = False  # only the heads are trained
    choices: ClassVar[dict[str, tuple]] = {**NeuralSettings.choices, "frozen": (True, False)}


class FineTunedModule(MultitaskModule):
    """The encoder's summary and the linear path's, brought to unit variance, to task heads.

    Inputs are scores (B, G) beside the linear path's profile (B, P), which no step changes; of a frozen encoder
    (``restorer`` None) summary and profile (B, D + P).
    """

    def __init__(self, restorer: Restorer | None, width: int, targets: Sequence[Target], settings: FineTunedSettings):
        super().__init__()
        self.restorer = restorer
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.heads = task_heads(width, targets, settings)

    def embed(self, inputs: Tensor) -> Tensor:
        if self.restorer is None:
            return self.norm(inputs)
        n_genes = self.restorer.genes.shape[0]
        score, profile = inputs[:, :n_genes], inputs[:, n_genes:]
        profile = profile if profile.shape[1] else None
        return self.norm(self.restorer.represent(score, profile=profile))


class FineTuned(NeuralEstimator):
    """A pretrained GexBERT that predicts survival, classes and numbers together.

    Parameters
    ----------
    tasks : task or sequence of tasks
        As for :class:`TxT`.
    encoder : GexBERT
        Fitted; it is copied, not changed. It should have seen no test sample.
    preset : {"quick"}
    seed, device, **settings
        As for :class:`TxT`; settings are fields of :class:`FineTunedSettings`, ``frozen`` among them.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo-pan-cancer"), [gx.Classification("cancer_type")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> bert = gx.GexBERT(preset="quick", n_components=1, max_epochs=1, n_factors=8).fit(train, val)
    >>> few = list(train.var_names[:20])
    >>> model = gx.FineTuned(tasks, encoder=bert, frozen=True, max_epochs=2).fit(train[:, few].copy(), val)
    >>> model.predict(test[:, few].copy())["cancer_type"].labels.shape
    (200,)
    """

    settings_class = FineTunedSettings
    presets: ClassVar[Mapping[str, Mapping]] = {
        "quick": {
            "hidden": (64,),
            "head_dropout": 0.3,
            "n_intervals": 16,
            "grid": "quantile",
            "multitask": "equal",
            "survival_rank": 1,
            "scaling": "zscore",
            "scaling_clip": 5.0,
            "learning_rate": 1e-3,
            "weight_decay": 0.1,
            "batch_size": 32,
            "max_epochs": 30,
            "patience": 10,
            "schedule": "cosine",
            "gradient_clip": 1.0,
            "averaging": 0.98,
        }
    }

    def __init__(
        self,
        tasks: Task | Sequence[Task],
        *,
        encoder: GexBERT,
        preset: str = "quick",
        seed: int = 0,
        device: str = "auto",
        **settings,
    ):
        super().__init__(tasks, preset=preset, seed=seed, device=device, **settings)
        if not isinstance(encoder, GexBERT) or not hasattr(encoder, "module_"):
            message = f"encoder is a fitted GexBERT, not {encoder!r}"
            raise TypeError(message)
        self.encoder = encoder

    def build_module(self, genes: Sequence[str], targets: Sequence[Target]) -> FineTunedModule:
        restorer = self.encoder.module_
        width = self.encoder.settings.d_model + (0 if restorer.linear is None else restorer.linear.axes.shape[1])
        copied = None if self.settings.frozen else copy.deepcopy(restorer).cpu()
        return FineTunedModule(copied, width, targets, self.settings)

    def fit_inputs(self, expression: np.ndarray) -> None:
        """Scaling and levels are those of pretraining; nothing is learned of these samples."""
        known = pd.Index(self.encoder.genes_)
        position = known.get_indexer(self.genes_)
        if (position < 0).any():
            strange = [gene for gene, place in zip(self.genes_, position, strict=True) if place < 0]
            message = (
                f"{len(strange)} of {len(position)} genes were not in pretraining ({first_ids(strange)}): keep only "
                "those in encoder.genes_"
            )
            raise ValueError(message)
        self.scaler_ = self.encoder.scaler_.of(position)

    def inputs(self, expression: np.ndarray) -> Tensor:
        bert = self.encoder
        whole = np.full((len(expression), len(bert.genes_)), np.nan, dtype="float32")
        whole[:, pd.Index(bert.genes_).get_indexer(self.genes_)] = expression
        score = bert.levels_.score(bert.scaler_.standardise(whole))
        represented = bert.represent(score).astype("float32")  # (N, D + P)
        if self.settings.frozen:
            return torch.from_numpy(represented)
        return torch.from_numpy(np.concatenate([score, represented[:, bert.settings.d_model :]], axis=1))

    def input_state(self) -> dict[str, np.ndarray]:
        return {name: tensor.cpu().numpy() for name, tensor in self.encoder.parts()[0].items()}

    def extra_config(self) -> dict[str, Any]:
        return {"encoder": self.encoder.parts()[1]}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], state: Mapping[str, np.ndarray], tasks: Sequence[Task], **settings
    ) -> Self:
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        model = cls(tasks, encoder=GexBERT.from_parts(tensors, config["encoder"]), **settings)
        model.genes_ = config["genes"]
        model.fit_inputs(np.empty(0))
        return model
