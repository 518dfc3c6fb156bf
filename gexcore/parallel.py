"""One training by several processes, each with a device of its own: what they share out and what they agree on.

Each process takes its rows of a batch through the encoder. Where the tasks meet, the rows of all are brought together:
above, every process computes the same; below, gradients are summed before anything is made of them. A step is then that
of one process with the whole batch, whatever combines the gradients of the tasks, and for batch norm too.
Lightning Fabric starts the processes, finds them under torchrun and Slurm, and gives each its device.
Shapes: N rows of a batch, C channels.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class OneProcess:
    """A training on one device: all rows are its own, and there is nobody to agree with."""

    n, first = 1, True

    def __init__(self, device: torch.device):
        self.device = device

    def launch(self) -> None:
        """Start the other processes, or meet those that were started from outside; ``device`` is this one's after."""

    def begin(self, epoch: int) -> None:
        """What is drawn from now on belongs to this epoch."""

    def share(self, function: Callable[[slice], Any], n: int) -> Any:
        """``function(rows)`` of all n rows of a batch: a tensor or a tuple of them, rows first, on every process."""
        return function(slice(None))

    def total(self, gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor | None]:
        """Gradients of the parameters below :meth:`share` by all rows, from those by the rows of each process."""
        return list(gradients)

    def agreed(self, value: Any) -> Any:
        """The first process's value."""
        return value

    def every(self, value: Any) -> list[Any]:
        """The values of all processes."""
        return [value]

    def align(self, *modules: nn.Module) -> None:
        """Give all processes the weights of the first: a GPU does not round alike every time."""

    def wait(self) -> None:
        """Until all processes have come here."""


class Processes(OneProcess):
    """A training on several devices; every process calls the same methods in the same order.

    Parameters
    ----------
    device : torch.device
        Which kind.
    devices, num_nodes : int
        Devices of one machine, and machines.
    """

    def __init__(self, device: torch.device, *, devices: int, num_nodes: int):
        from lightning_fabric import Fabric  # a training on one device does without it

        super().__init__(device)
        self.n, self._how = devices * num_nodes, f"devices={devices}, num_nodes={num_nodes}"
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # every process would say that it is there
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The `srun` command is available")  # which need not be used
            self._fabric = Fabric(accelerator=device.type, devices=devices, num_nodes=num_nodes, strategy="ddp")

    def launch(self) -> None:
        fabric = self._fabric
        if fabric.strategy.cluster_environment.creates_processes_externally:
            started = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or self.n)
            if started != self.n:
                message = (
                    f"{self._how} are {self.n} processes, but {started} were started: let torchrun, srun and every fit "
                    "of a script name the same number"
                )
                raise ValueError(message)
        fabric.launch()
        self.device, self._rank, self.first = fabric.device, fabric.global_rank, fabric.global_rank == 0

    def begin(self, epoch: int) -> None:
        self._drawn = [torch.initial_seed(), epoch, 0]

    def share(self, function: Callable[[slice], Any], n: int) -> Any:
        bounds = [n * i // self.n for i in range(self.n + 1)]
        with self._own_numbers(), _WholeBatchNorm(n):
            own = function(slice(*bounds[self._rank : self._rank + 2]))
        if isinstance(own, Tensor):
            return _Gathered.apply(own, bounds, self._rank)
        return tuple(_Gathered.apply(part, bounds, self._rank) for part in own)

    @contextlib.contextmanager
    def _own_numbers(self) -> Iterator[None]:
        # Dropout below differs from process to process; the common stream stays where one process would have it.
        self._drawn[-1] += 1
        seed = np.random.SeedSequence([*self._drawn, self._rank]).generate_state(1, np.uint64)
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(seed[0] >> 1))
            yield

    def total(self, gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor | None]:
        if not parameters:
            return []
        there = torch.tensor([g is not None for g in gradients], device=self.device)
        filled = (torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True))
        flat = torch.cat([*(g.flatten().float() for g in filled), there.float()])
        dist.all_reduce(flat)
        *pieces, there = flat.split([*(p.numel() for p in parameters), len(parameters)])
        return [
            piece.view(p.shape).to(p.dtype) if used else None
            for piece, p, used in zip(pieces, parameters, there.tolist(), strict=True)
        ]

    def agreed(self, value: Any) -> Any:
        return self._fabric.broadcast(value)

    def every(self, value: Any) -> list[Any]:
        values = [None] * self.n
        dist.all_gather_object(values, value)
        return values

    def align(self, *modules: nn.Module) -> None:
        for module in modules:
            for tensor in module.state_dict().values():
                whole = tensor.contiguous()
                dist.broadcast(whole, 0)
                tensor.copy_(whole)

    def wait(self) -> None:
        self._fabric.barrier()


def choose_processes(device: torch.device, *, devices: int, num_nodes: int, strategy: str) -> OneProcess:
    """The processes of a training, not yet launched.

    Parameters
    ----------
    device : torch.device
        Which kind; of several devices each process gets its own.
    devices, num_nodes : int
        Devices of one machine, and machines. On a CPU a device is a process.
    strategy : {"ddp"}
        Every process holds the whole network.

    Raises
    ------
    ValueError
        No such number or strategy, more GPUs than there are, or no script that could be started for each device.
    """
    if strategy != "ddp":
        message = (
            f"strategy is 'ddp', not {strategy!r}: the gradients of the tasks are combined over the whole network, "
            "which has to be on every device, and not in parts (fsdp, deepspeed) or in one process (dp)"
        )
        raise ValueError(message)
    for name, value in {"devices": devices, "num_nodes": num_nodes}.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            message = f"{name} must be a whole number, 1 or more, not {value!r}"
            raise ValueError(message)
    if devices * num_nodes == 1:
        return OneProcess(device)
    if device.type not in ("cpu", "cuda") or device.index is not None:
        message = f"{devices} devices on each of {num_nodes} machines are chosen for you: device is 'cuda' or 'cpu'"
        message += f", not '{device}'"
        raise ValueError(message)
    if device.type == "cuda" and devices > (there := torch.cuda.device_count()):
        message = f"devices is {devices}, but this machine has {there} GPU{'s' * (there != 1)}"
        raise ValueError(message)
    if not hasattr(sys.modules["__main__"], "__file__"):
        message = (
            "more than one device needs a script, which is started for each of them: write these lines to a file, "
            "or keep to one device in a notebook"
        )
        raise ValueError(message)
    return Processes(device, devices=devices, num_nodes=num_nodes)


def is_first() -> bool:
    """Whether this is the first of the processes that train together: the one that should print and write files.

    Also true where there is but one. The others are known by what Fabric, torchrun or srun tell them, before they meet.

    Examples
    --------
    >>> is_first()
    True
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


class _Gathered(torch.autograd.Function):
    """The rows of all processes from each one's own; all make the same of them, so a gradient comes back whole."""

    @staticmethod
    def forward(ctx, own: Tensor, bounds: Sequence[int], rank: int) -> Tensor:
        ctx.own = slice(*bounds[rank : rank + 2])
        sizes = np.diff(bounds).tolist()
        padded = own.new_zeros(max(sizes), *own.shape[1:])  # every process sends as much
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.own], None, None


class _Summed(torch.autograd.Function):
    """The sum over processes; each makes something else of it, so gradients are summed too."""

    @staticmethod
    def forward(ctx, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class _WholeBatchNorm(TorchFunctionMode):
    """Batch norm in training takes mean and variance over the rows of all processes."""

    def __init__(self, n: int):
        super().__init__()
        self.n = n

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function is F.batch_norm and kwargs["training"]:
            return self._normalised(*args, **kwargs)
        return function(*args, **kwargs)

    def _normalised(
        self,
        x: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        *,
        weight: Tensor | None,
        bias: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
        count, y = self.n * math.prod(x.shape[2:]), x.float()
        mean = _Summed.apply(y.sum(axes)) / count  # (C,)
        y = y - mean.view(shape)
        variance = _Summed.apply(y.square().sum(axes)) / count  # (C,)
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * count / (count - 1), momentum)
        y = y * (variance + eps).rsqrt().view(shape)
        if weight is not None:
            y = y * weight.view(shape) + bias.view(shape)
        return y.to(x.dtype)
