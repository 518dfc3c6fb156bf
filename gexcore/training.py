"""The one training loop: device, precision, learning-rate schedule, early stopping, best weights.

It knows nothing of a model but ``losses(module, batch) -> {task: (mean loss, number of samples)}``.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from .multitask import EqualWeights
from .parallel import OneProcess
from .resume import Progress, TrainingFile, describe
from .streams import InMemory, Streamed

Losses = Mapping[str, tuple[Tensor, int]]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a model is trained; the defaults are those of the published TxT code."""

    learning_rate: float = 1e-4  # of Adam
    weight_decay: float = 0.0  # decoupled (AdamW), of matrices only; 0 is plain Adam
    batch_size: int = 64  # samples of a step
    max_epochs: int = 1000  # fewer where patience ends first
    patience: int = 30  # epochs without a better validation loss before training stops
    schedule: str = "constant"  # "cosine": warm-up over a tenth of max_epochs, then down to zero; "linear": over half
    gradient_clip: float | None = None  # largest norm of the gradient
    averaging: float = 0.0  # keep an exponential moving average of the weights with this decay per step
    precision: str = "float32"  # of the computation; or "bfloat16": autocast
    beta1: ClassVar[float] = 0.9  # how long Adam remembers a gradient; a model may make it a setting
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {  # kind, least, below
        "learning_rate": (Real, 1e-30, math.inf),
        "weight_decay": (Real, 0, math.inf),
        "batch_size": (Integral, 2, math.inf),
        "max_epochs": (Integral, 1, math.inf),
        "patience": (Integral, 1, math.inf),
        "gradient_clip": (Real, 1e-30, math.inf),
        "averaging": (Real, 0, 1),
    }
    choices: ClassVar[dict[str, tuple]] = {
        "schedule": ("constant", "cosine", "linear"),
        "precision": ("float32", "bfloat16"),
    }

    def __post_init__(self):
        for name, choices in self.choices.items():
            if getattr(self, name) not in choices:
                message = f"{name} must be one of {', '.join(map(str, choices))}, not {getattr(self, name)!r}"
                raise ValueError(message)
        for name, (kind, least, below) in self.ranges.items():
            value = getattr(self, name)
            if value is None and type(self).__dataclass_fields__[name].default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, kind) or not least <= value < below:
                what = "whole number" if kind is Integral else "number"
                message = f"{name} must be a {what} from {least:g}" + (
                    f" to below {below:g}" if below < math.inf else ""
                )
                message += f", not {value!r}"
                raise ValueError(message)


def choose_settings(kind: type, presets: Mapping[str, Mapping], preset: str, settings: Mapping) -> TrainingSettings:
    """Settings of the given kind: a preset's values, ``settings`` over them; unknown names are refused."""
    if preset not in presets:
        message = f"preset must be one of {', '.join(presets)}, not {preset!r}"
        raise ValueError(message)
    known = [f.name for f in fields(kind)]
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            message = f"there is no setting {name!r}; {hint}"
            raise TypeError(message)
    return kind(**{**presets[preset], **settings})


def choose_device(device: str) -> torch.device:
    """``"auto"`` is the GPU if there is one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Initialisation and dropout drawn from ``seed``; the caller's random state is left as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def batches(n: int, size: int) -> list[slice]:
    """n samples in equal slices of about ``size``: never a slice of one sample, which batch norm cannot take."""
    bounds = np.linspace(0, n, max(1, min(math.ceil(n / size), n // 2)) + 1).round().astype(int)
    return [slice(a, b) for a, b in itertools.pairwise(bounds)]


class MovingAverage(AveragedModel):
    """A second set of weights and buffers: the exponential moving average of those of ``module``, which is trained.

    Whole numbers are not averaged but copied: rounding would turn the position of a gene into that of its neighbour.
    All tensors are looked up once, as in a small network the search takes as long as the rest of a step.
    """

    def __init__(self, module: nn.Module, decay: float):
        super().__init__(module, use_buffers=True)
        own, current = ([t.detach() for t in (*m.parameters(), *m.buffers())] for m in (self.module, module))
        pairs = list(zip(own, current, strict=True))
        self._decay, self._numbers = decay, [pair for pair in pairs if not pair[0].is_floating_point()]
        self._averaged = [list(side) for side in zip(*(p for p in pairs if p[0].is_floating_point()), strict=True)]

    @torch.no_grad()
    def follow(self) -> None:
        """One step towards what the module has become; the first goes all the way."""
        torch._foreach_lerp_(*self._averaged, 1 - self._decay if self.n_averaged else 1.0)
        for own, current in self._numbers:
            own.copy_(current)
        self.n_averaged += 1


def _learning_rate(settings: TrainingSettings, progress: float) -> float:
    # progress: 0 at the first step, 1 after the last possible one
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule == "linear":
        return settings.learning_rate * min(1.0, 2 * (1 - progress))  # constant for the first half
    warm = min(1.0, progress / 0.1)
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * max(0.0, (progress - 0.1) / 0.9)))


def _pooled(parts: list[Losses]) -> dict[str, float]:
    """Mean loss of each task over the labelled samples of several batches."""
    pooled = {}
    for task in dict.fromkeys(task for part in parts for task in part):
        seen = [part[task] for part in parts if task in part]
        pooled[task] = sum(float(loss) * n for loss, n in seen) / sum(n for _, n in seen)
    return pooled


@torch.no_grad()
def evaluate_losses(module: nn.Module, losses: Callable, data: tuple[Tensor, ...], batch_size: int) -> dict[str, float]:
    """Mean loss of each task over all labelled samples, in evaluation mode."""
    module.eval()
    return _pooled([losses(module, tuple(d[part] for d in data)) for part in batches(len(data[0]), batch_size)])


def train(
    module: nn.Module,
    losses: Callable[[nn.Module, tuple[Tensor, ...]], Losses],
    data: tuple[Tensor, ...] | Streamed,
    validation: tuple[Tensor, ...] | None,
    settings: TrainingSettings,
    *,
    strategy: EqualWeights | None = None,
    device: torch.device,
    processes: OneProcess | None = None,
    generator: np.random.Generator,
    label: str,
    checkpoint: str | os.PathLike | None = None,
) -> pd.DataFrame:
    """Train ``module`` in place and leave it at its best validation epoch (the last epoch without validation).

    Parameters
    ----------
    losses : callable
        ``losses(module, batch) -> {task: (mean loss, number of labelled samples)}``; tasks without a labelled sample in
        the batch are left out. Early stopping follows the mean over tasks.
    data, validation : tuple of Tensor
        First axis: samples. Batches are the same rows of every tensor. Training samples that do not fit into memory
        are :class:`gexcore.streams.Streamed`.
    strategy : EqualWeights, optional
        How the losses become the gradients of a step (:mod:`gexcore.multitask`); their mean unless given.
    processes : OneProcess, optional
        Those that train this network together, launched; ``losses`` and ``strategy`` spread a batch over them.
    generator : numpy.random.Generator
        Order of the samples.
    label : str
        Name beside the progress bar.
    checkpoint : path, optional
        After every epoch all that the rest depends on is written to this file, in a single step. The same call later
        goes on after the last whole epoch and ends, on the same machine, with the bits of a training that was never
        broken off. The file stays: once training has ended, the same call returns its result at once. What ``losses``
        draws must come from torch's own generators or from ``generator``. Of several processes the first one writes.

    Returns
    -------
    pandas.DataFrame
        epoch, split ("train", "val"), task, loss; task ``"mean"`` is what early stopping follows.

    Raises
    ------
    FloatingPointError
        The loss was not finite before any epoch could be kept.
    ValueError
        ``checkpoint`` belongs to a training with other settings, initial weights or data, or is no such file, or not
        all processes find it.
    """
    processes = processes or OneProcess(device)
    data = (data if isinstance(data, Streamed) else InMemory(data)).to(device)
    validation = validation and tuple(t.to(device) for t in validation)
    strategy = (strategy or EqualWeights(())).to(device)
    parameters = [p for p in (*module.parameters(), *strategy.parameters()) if p.requires_grad]
    matrices, vectors = ([p for p in parameters if (p.dim() > 1) == matrix] for matrix in (True, False))
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(settings.beta1, 0.999), foreach=True)
    progress, file = Progress(), None
    slices = batches(len(data), settings.batch_size)
    averaged = None  # a second set of weights, only where it is asked for
    if settings.averaging:
        averaged = MovingAverage(module, settings.averaging)
    kept = averaged.module if averaged else module
    if checkpoint is not None:
        begun = describe(settings, module, strategy, data, validation, generator, device)
        state = {"module": module, "averaged": averaged, "strategy": strategy, "optimizer": optimizer}
        file = TrainingFile(checkpoint, label, begun, **state, generator=generator, device=device)
        progress = file.resume()
        if len(found := set(processes.every(progress.epoch))) > 1:
            message = f"{checkpoint} is at epoch {min(found)} for one process and at {max(found)} for another: all "
            message += "machines have to see the same file"
            raise ValueError(message)
    epochs = range(progress.epoch + 1, settings.max_epochs + 1)
    place = {"initial": progress.epoch, "total": settings.max_epochs}
    bar = tqdm(epochs, desc=label, unit="epoch", disable=None if processes.first else True, leave=False, **place)
    for epoch in bar:
        if progress.epoch - progress.best_epoch >= settings.patience:
            break
        module.train()
        processes.begin(epoch)
        seen = []
        for step, batch in enumerate(data.epoch(generator, slices)):
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(settings, (epoch - 1 + step / len(slices)) / settings.max_epochs)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                parts = losses(module, batch)
            if not parts:
                continue
            optimizer.zero_grad()
            strategy.backward(parts)
            if settings.gradient_clip is not None:
                nn.utils.clip_grad_norm_(parameters, settings.gradient_clip)
            optimizer.step()
            if averaged:
                averaged.follow()
            seen.append({task: (loss.detach(), m) for task, (loss, m) in parts.items()})
        processes.align(module, *([averaged] if averaged else []))
        scores = {"train": _pooled(seen)}
        if validation is not None:
            scores["val"] = evaluate_losses(kept, losses, validation, settings.batch_size)
        scores = processes.agreed(scores)
        for split, by_task in scores.items():
            by_task["mean"] = float(np.mean(list(by_task.values())))
            progress.rows += [(epoch, split, task, loss) for task, loss in by_task.items()]
        followed = scores.get("val", scores["train"])["mean"]
        finite = math.isfinite(followed) and math.isfinite(scores["train"]["mean"])
        if validation is None:  # the last step of the epoch has been judged by no loss
            finite = finite and all(bool(p.isfinite().all()) for p in kept.parameters())
        if not finite:
            # Weights that gave NaN are never kept, and no later epoch can heal them.
            message = f"{label}: the loss stopped being finite in epoch {epoch}; a lower learning rate may help"
            if progress.best is None:
                raise FloatingPointError(message)
            message += f". The weights of epoch {progress.best_epoch} are kept"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
            break
        bar.set_postfix(loss=f"{followed:.4f}")
        progress.epoch = epoch
        if validation is None or followed < progress.best_loss:
            progress.best = {name: value.clone() for name, value in kept.state_dict().items()}
            progress.best_epoch, progress.best_loss = epoch, followed
        if file and processes.first:
            file.write(progress)
        processes.wait()
    module.load_state_dict(progress.best)
    module.eval()
    return pd.DataFrame(progress.rows, columns=["epoch", "split", "task", "loss"])


class Phases:
    """Trainings in a row with one stream of random numbers; ``checkpoint`` is a file for each, its name at the end."""

    def __init__(self, label: str, checkpoint: str | os.PathLike | None, *, seed: int, device: torch.device):
        self.label, self.checkpoint, self._histories = label, checkpoint, []
        self._shared = {"device": device, "generator": np.random.default_rng(seed)}

    def train(self, phase: str, *what: Any, strategy: EqualWeights | None = None) -> None:
        """Train as :func:`train` does with the positional arguments ``what``."""
        file = None if self.checkpoint is None else f"{os.fspath(self.checkpoint)}.{phase}"
        how = {"strategy": strategy, "label": f"{self.label}, {phase}", "checkpoint": file}
        history = train(*what, **how, **self._shared)
        before = self._histories[-1]["epoch"].max() if self._histories else 0
        self._histories.append(history.assign(epoch=history["epoch"] + before, phase=phase))

    def history(self) -> pd.DataFrame:
        """What all of them gave: epoch (of all in a row), split, task, loss, phase."""
        return pd.concat(self._histories, ignore_index=True)
