"""A training that may be broken off at any moment, and goes on after its last whole epoch to the same bits.

All that it remembers is in one file: weights, moments and the random stream of torch as tensors, the rest as JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from .checkpoint import read_checkpoint, write_checkpoint
from .files import check_folder, remove_drafts
from .multitask import EqualWeights, GradNorm
from .streams import InMemory, Streamed


@dataclass
class Progress:
    """How far a training has come, beside the state of what it trains."""

    epoch: int = 0  # the last whole one
    rows: list[tuple[int, str, str, float]] = field(default_factory=list)  # of the history
    best: dict[str, Tensor] | None = None  # weights of the best epoch
    best_epoch: int = 0
    best_loss: float = math.inf


def describe(
    settings: Any,
    module: nn.Module,
    strategy: EqualWeights,
    data: InMemory | Streamed,
    validation: tuple[Tensor, ...] | None,
    generator: np.random.Generator,
    device: torch.device,
) -> dict[str, Any]:
    """What a training is begun with, as JSON values: numbers and words as they are, all else as shapes and a hash."""
    state = module.state_dict()
    layout = [(name, str(t.dtype), list(t.shape)) for name, t in state.items()]
    description = {
        **asdict(settings),
        "strategy": " ".join([*str(strategy).split(), *strategy.tasks]),
        "device": device.type,
        "model": f"{len(layout)} tensors, {sum(t.numel() for t in state.values())} numbers, {_hash([_json(layout)])}",
        "initial weights": _hash(map(_bytes, state.values())),
        "order of samples": _hash([_json(generator.bit_generator.state)]),
        "training data": data.summary if isinstance(data, Streamed) else _summary(data.tensors),
        "validation data": _summary(validation or ()),
    }
    return json.loads(_json(description))  # tuples become lists, as they do in the file


class TrainingFile:
    """The file of one training, and the objects whose state it holds.

    Parameters
    ----------
    path : path
        Its folder must exist.
    label : str
        The name of the model.
    description : mapping
        From :func:`describe`: another training never goes on from this file.
    module, averaged, strategy, optimizer, generator, device
        As in :func:`gexcore.training.train`; ``averaged`` is None where weights are not averaged.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        label: str,
        description: Mapping[str, Any],
        *,
        module: nn.Module,
        averaged: AveragedModel | None,
        strategy: EqualWeights,
        optimizer: Optimizer,
        generator: np.random.Generator,
        device: torch.device,
    ):
        self.path, self.kind, self.description = check_folder(path), f"resumable {label}", dict(description)
        self.modules = {"module": module, "strategy": strategy} | ({"averaged": averaged} if averaged else {})
        self.optimizers, self.generator, self.device = {"moments": optimizer}, generator, device
        # GradNorm moves weights that are no parameters, by an optimiser of its own.
        self.gradnorm = strategy if isinstance(strategy, GradNorm) else None
        if self.gradnorm:
            self.optimizers["moments of weights"] = self.gradnorm._optimizer

    def write(self, progress: Progress) -> None:
        """Keep all that the rest of the training depends on, replacing the file in a single step."""
        parts = {name: module.state_dict() for name, module in self.modules.items()}
        parts |= {name: _moments(optimizer) for name, optimizer in self.optimizers.items()}
        parts |= {"best": progress.best, "random": {"cpu": torch.get_rng_state()}}
        if self.device.type == "cuda":
            parts["random"]["cuda"] = torch.cuda.get_rng_state(self.device)
        config = {
            "description": self.description,
            "progress": {name: value for name, value in vars(progress).items() if name != "best"},
            "generator": self.generator.bit_generator.state,
        }
        if self.gradnorm:
            parts["weights"] = {str(i): weight for i, weight in enumerate(self.gradnorm.weights)}
            config["first losses"] = self.gradnorm.first
        # Copies, because tensors that share memory could not be written.
        tensors = {
            f"{part}/{name}": t.detach().to("cpu", copy=True)
            for part, named in parts.items()
            for name, t in named.items()
        }
        write_checkpoint(self.path, self.kind, tensors, config, allow_nan=True)

    def resume(self) -> Progress:
        """Bring all objects to the state in the file, if there is one, and say how far the training has come.

        Raises
        ------
        ValueError
            The file is not that of a training, or of one that was begun with something else.
        """
        remove_drafts(self.path)  # of processes that were killed while they wrote
        if not self.path.exists():
            return Progress()
        tensors, config = read_checkpoint(self.path, self.kind)
        self._check(config["description"])
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, name = name.partition("/")
            parts.setdefault(part, {})[name] = tensor
        for name, module in self.modules.items():
            module.load_state_dict(parts.get(name, {}))
        for name, optimizer in self.optimizers.items():
            _set_moments(optimizer, parts.get(name, {}))
        if self.gradnorm:
            for i, weight in enumerate(self.gradnorm.weights):
                weight.data.copy_(parts["weights"][str(i)])
            self.gradnorm.first = config["first losses"]
        self.generator.bit_generator.state = config["generator"]
        torch.set_rng_state(parts["random"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(parts["random"]["cuda"], self.device)
        progress = Progress(**config["progress"], best=parts["best"])
        progress.rows = [tuple(row) for row in progress.rows]
        return progress

    def _check(self, begun: Mapping[str, Any]) -> None:
        names = [name for name in {**begun, **self.description} if begun.get(name) != self.description.get(name)]
        if names:
            other = [f"{name} ({begun.get(name)} there, {self.description.get(name)} here)" for name in names]
            message = (
                f"{self.path} belongs to a training that was begun otherwise: {', '.join(other)}; call it as it was "
                "begun, or choose another file"
            )
            raise ValueError(message)


def _moments(optimizer: Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": t for i, moments in state.items() for name, t in moments.items()}


def _set_moments(optimizer: Optimizer, moments: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        i, name = key.split(".")
        state.setdefault(int(i), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _summary(data: Iterable[Tensor]) -> str:
    shapes = ", ".join(" x ".join(map(str, t.shape)) for t in data)
    return f"{shapes}, {_hash(map(_bytes, data))}" if shapes else "none"


def _bytes(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _hash(parts: Iterable[bytes | np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return f"hash {digest.hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, default=lambda array: array.tolist()).encode()
