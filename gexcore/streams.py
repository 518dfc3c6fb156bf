"""Training samples epoch by epoch: from memory, or read ahead from where they lie while the network computes.

Shapes: N samples, first axis of all tensors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

Batch = tuple[Tensor, ...]
_AHEAD = 4  # batches that are ready, or being made, while a step is computed
BLOCK = 64  # samples read together


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
    samples pass. A batch is thus drawn from about ``buffer / 64`` places of the file, and no more blocks than these
    are in memory. Where all samples fit into the buffer, the order is that of :class:`InMemory`.

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
        self.summary, self._read, self._buffer = summary, read, buffer
        self._by_place = np.argsort(place, kind="stable")
        rank = np.empty_like(self._by_place)
        rank[self._by_place] = np.arange(len(rank))
        self._block, self._within = rank // BLOCK, rank % BLOCK  # of every sample
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self._by_place)

    def to(self, device: torch.device) -> Streamed:
        self._device = device
        return self

    def order(self, generator: np.random.Generator) -> np.ndarray:
        """The samples in the order of an epoch, (N,)."""
        n_open = max(1, self._buffer // BLOCK)
        n_blocks = -(-len(self) // BLOCK)
        if n_blocks <= n_open:
            return generator.permutation(len(self))
        begins = generator.permutation(n_blocks)[self._block]
        return np.argsort(begins + n_open * generator.random(len(self)), kind="stable")

    def epoch(self, generator: np.random.Generator, slices: Sequence[slice]) -> Iterator[Batch]:
        """The batches of an epoch, each one of ``slices`` of the order drawn."""
        order, blocks, ready = self.order(generator), {}, deque()
        left = np.bincount(self._block)
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            try:
                for part in slices:
                    ready.append(reader.submit(self._batch, order[part], blocks, left))
                    if len(ready) > _AHEAD:
                        yield self._moved(ready.popleft().result())
                while ready:
                    yield self._moved(ready.popleft().result())
            finally:
                reader.shutdown(cancel_futures=True)

    def _batch(self, samples: np.ndarray, blocks: dict[int, Batch], left: np.ndarray) -> Batch:
        """A batch out of the blocks at hand; those it lacks are read, those that are used up are let go."""
        of, batch = self._block[samples], None
        for block in np.unique(of):
            if block not in blocks:
                blocks[block] = self._read(self._by_place[block * BLOCK : (block + 1) * BLOCK])
            rows = torch.from_numpy(np.flatnonzero(of == block))
            within = torch.from_numpy(self._within[samples[rows.numpy()]])
            batch = batch or tuple(t.new_empty(len(samples), *t.shape[1:]) for t in blocks[block])
            for whole, piece in zip(batch, blocks[block], strict=True):
                whole[rows] = piece[within]
            left[block] -= len(rows)
            if not left[block]:
                del blocks[block]
        return tuple(t.pin_memory() for t in batch) if self._device.type == "cuda" else batch

    def _moved(self, batch: Batch) -> Batch:
        return tuple(t.to(self._device, non_blocking=True) for t in batch)
