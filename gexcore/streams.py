"""Training samples epoch by epoch: from memory, or read ahead from where they lie while the network computes.

Shapes: N samples, first axis of all tensors.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

Batch = tuple[Tensor, ...]
BLOCK = 64  # neighbours that are read together
_TOGETHER = 8  # blocks prepared at a time: what is done gene by gene costs the same for 64 samples and for 512
_AHEAD = 8  # batches that are ready, or being made, while a step is computed


class InMemory:
    """Tensors with the same samples on their first axis; every epoch is one random order of all of them."""

    def __init__(self, tensors: Sequence[Tensor]):
        self.tensors = tuple(tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def to(self, device: torch.device) -> InMemory:
        return InMemory([t.to(device) for t in self.tensors])

    def epoch(self, generator: np.random.Generator, slices: Sequence[slice]) -> Iterator[Batch]:
        """The batches of an epoch, each one of ``slices`` of the order drawn."""
        order = torch.from_numpy(generator.permutation(len(self))).to(self.tensors[0].device)
        return (tuple(t[order[part]] for t in self.tensors) for part in slices)


class Streamed:
    """Samples that are read in blocks of neighbours, by a thread of its own, ahead of the steps that need them.

    An epoch visits every sample once, in an order that is random but lets neighbours be read together: the blocks come
    one after the other in random order, and the samples of each are spread at random over the time in which ``buffer``
    samples pass. A batch is thus drawn from about ``buffer / 64`` places of the file, and not many more blocks than
    these are in memory. Where all samples fit into the buffer, the order is that of :class:`InMemory`.

    Parameters
    ----------
    read : callable
        Positions of samples (n,) to their tensors, called from one thread.
    place : numpy.ndarray
        Where each sample lies, (N,): neighbours in this order are read together.
    buffer : int
        Samples in memory at a time.
    summary : str
        What tells these data from others, for a training that goes on.
    """

    def __init__(self, read: Callable[[np.ndarray], Batch], place: np.ndarray, *, buffer: int, summary: str):
        self.summary, self.read, self._buffer = summary, read, buffer
        self.by_place = np.argsort(place, kind="stable")
        rank = np.empty_like(self.by_place)
        rank[self.by_place] = np.arange(len(rank))
        self.block, self.within = rank // BLOCK, rank % BLOCK  # of every sample
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.by_place)

    def to(self, device: torch.device) -> Streamed:
        self._device = device
        return self

    def order(self, generator: np.random.Generator) -> np.ndarray:
        """The samples in the order of an epoch, (N,)."""
        n_open = max(1, self._buffer // BLOCK)
        n_blocks = -(-len(self) // BLOCK)
        if n_blocks <= n_open:
            return generator.permutation(len(self))
        begins = generator.permutation(n_blocks)[self.block]
        return np.argsort(begins + n_open * generator.random(len(self)), kind="stable")

    def epoch(self, generator: np.random.Generator, slices: Sequence[slice]) -> Iterator[Batch]:
        """The batches of an epoch, each one of ``slices`` of the order drawn."""
        order, ready = self.order(generator), deque()
        blocks = _Blocks(self, order)
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            try:
                for part in slices:
                    ready.append(reader.submit(blocks.batch, order[part]))
                    if len(ready) > _AHEAD:
                        yield self._moved(ready.popleft().result())
                while ready:
                    yield self._moved(ready.popleft().result())
            finally:
                reader.shutdown(cancel_futures=True)

    def _moved(self, batch: Batch) -> Batch:
        if self._device.type == "cuda":
            batch = tuple(t.pin_memory() for t in batch)
        return tuple(t.to(self._device, non_blocking=True) for t in batch)


class _Blocks:
    """The blocks at hand within an epoch, read in the order in which it needs them."""

    def __init__(self, stream: Streamed, order: np.ndarray):
        self._stream, self._held = stream, {}
        blocks, first, self._left = np.unique(stream.block[order], return_index=True, return_counts=True)
        self._coming = iter(blocks[np.argsort(first)])

    def batch(self, samples: np.ndarray) -> Batch:
        """The tensors of some samples; what is used up is let go."""
        of, batch = self._stream.block[samples], None
        for block in np.unique(of):
            while block not in self._held:
                self._read()
            rows = np.flatnonzero(of == block)
            within = torch.from_numpy(self._stream.within[samples[rows]])
            batch = batch or tuple(t.new_empty(len(samples), *t.shape[1:]) for t in self._held[block])
            for whole, held in zip(batch, self._held[block], strict=True):
                whole[torch.from_numpy(rows)] = held[within]
            self._left[block] -= len(rows)
            if not self._left[block]:
                del self._held[block]
        return batch

    def _read(self) -> None:
        blocks = list(itertools.islice(self._coming, _TOGETHER))
        parts = [self._stream.by_place[block * BLOCK : (block + 1) * BLOCK] for block in blocks]
        tensors = self._stream.read(np.concatenate(parts))
        pieces = zip(*(t.split([len(part) for part in parts]) for t in tensors), strict=True)
        self._held |= dict(zip(blocks, pieces, strict=True))
