"""What checks and remarks need to know of a matrix, gathered in one pass over blocks of its samples.

A table in memory and a file too large for it are looked at in the same way, so that the same is said of both.
Shapes: N samples, G genes, n samples of a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

FAR = 10.0  # robust standard deviations from the median of the gene
_ENOUGH = 200  # samples that tell median and spread of a gene well enough for this
_CELLS = 1_000_000  # looked at together, 8 MB; cohorts are large, and no second copy is made of them

Block = tuple[np.ndarray, np.ndarray]  # positions of samples (n,), and their expression (n, G) float64


@dataclass
class Tally:
    """Of each gene its range and what it lacks, of each sample what it lacks, and the cells far off all others."""

    samples: pd.Index
    genes: pd.Index
    low: np.ndarray  # (G,), NaN where a gene has no value; likewise
    high: np.ndarray  # (G,)
    missing_by_gene: np.ndarray  # cells, (G,)
    missing_by_sample: np.ndarray  # cells, (N,)
    whole: bool = True  # no value has decimals
    n_far: int = 0  # cells more than FAR robust standard deviations off the median of their gene
    distance: float = 0.0  # of the farthest of them from that median
    farthest: tuple[float, int, int] = (np.nan, 0, 0)  # its value, sample and gene

    @property
    def n_cells(self) -> int:
        return len(self.samples) * len(self.genes)


def scouts(n: int) -> slice:
    """Evenly spaced samples, about two hundred of n, whose median and spread stand for all."""
    return slice(None, None, -(-n // _ENOUGH))


def rows_together(n_genes: int) -> int:
    """How many samples are looked at together."""
    return max(1, _CELLS // n_genes)


def tally_table(values: pd.DataFrame) -> Tally:
    """The tally of a table samples x genes in memory."""
    x = values.to_numpy()
    return tally_blocks(values.index, values.columns, x[scouts(len(x))].astype("float64"), _blocks(x))


def _blocks(x: np.ndarray) -> Iterator[Block]:
    for rows in np.split(np.arange(len(x)), range(size := rows_together(x.shape[1]), len(x), size)):
        yield rows, x[rows[0] : rows[-1] + 1].astype("float64")


def tally_blocks(samples: pd.Index, genes: pd.Index, some: np.ndarray, blocks: Iterable[Block]) -> Tally:
    """Look once at every block; ``some`` (n, G) are the expression of :func:`scouts`."""
    empty = np.full(len(genes), np.nan)
    seen = Tally(samples, genes, empty, empty, np.zeros(len(genes), int), np.zeros(len(samples), int))
    middle = _median(some)
    off = np.abs(some - middle)
    off[off == 0] = np.nan  # a gene that is mostly zero keeps the spread of what is not
    reach = FAR * 1.4826 * _median(off)
    for rows, x in blocks:
        hole = np.isnan(x)
        seen.missing_by_gene += hole.sum(axis=0)
        seen.missing_by_sample[rows] = hole.sum(axis=1)
        seen.low = np.fmin(seen.low, np.fmin.reduce(x, axis=0))
        seen.high = np.fmax(seen.high, np.fmax.reduce(x, axis=0))
        seen.whole = seen.whole and bool((hole | (x % 1 == 0)).all())
        distance = np.abs(x - middle)
        far = distance > reach
        seen.n_far += int(far.sum())
        distance[~far] = 0
        row, gene = np.unravel_index(distance.argmax(), x.shape)
        if distance[row, gene] > seen.distance:
            seen.distance, seen.farthest = distance[row, gene], (x[row, gene], int(rows[row]), int(gene))
    return seen


def _median(x: np.ndarray) -> np.ndarray:
    """Median of every column, NaN where it is empty; much faster than numpy's own on columns with holes."""
    ordered = np.sort(x, axis=0)  # NaN last
    n = (~np.isnan(x)).sum(axis=0)
    below, above = np.maximum((n - 1) // 2, 0), n // 2
    columns = np.arange(x.shape[1])
    return (ordered[below, columns] + ordered[np.minimum(above, len(x) - 1), columns]) / 2
