"""What is unusual about a cohort and was kept: named, so that nobody has to find it in the results.

Shapes: N samples, G genes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..identifiers import identify_genes
from ..tasks import counted, first_ids

_MERGED = {"mean": "averaged", "max_variance": "the most variable column kept", "first": "the first column kept"}
_FAR = 10.0  # robust standard deviations from the median of the gene
_TAIL = 1e-4  # share of cells that far out which is worth a word; none are expected of normal values
_ENOUGH = 200  # samples that tell median and spread of a gene well enough for this
_BLOCK = 512  # genes looked at together: cohorts are large, no second copy is made


def describe(values: pd.DataFrame, names: pd.Index, *, duplicate_genes: str) -> dict[str, str]:
    """Remarks on checked values (N, G) by subject; ``names`` are those of the genes before duplicates were merged."""
    remarks = {
        "genes": _names(values.columns),
        "duplicates": _duplicates(names, duplicate_genes),
        "missing": _missing(values),
        "tails": _tails(values),
    }
    return {subject: remark for subject, remark in remarks.items() if remark}


def _names(genes: pd.Index) -> str:
    found = identify_genes(genes)
    others = len(genes) - len(found.of("symbol")) - len(found.of("unknown"))
    if others > 0.01 * len(genes) or found.of("date"):
        return f"{found}; networks and gene sets name genes by symbols, and a gene table maps these to them"
    return str(found) if "outdated" in str(found) else ""


def _duplicates(names: pd.Index, how: str) -> str:
    repeated = names[names.duplicated()].unique()
    extra = len(names) - names.nunique()
    return (
        f"{counted(len(repeated), 'gene has', 'genes have')} {counted(extra, 'further column', 'further columns')} "
        f"({first_ids(repeated, 10)}); {_MERGED[how]}"
        if extra
        else ""
    )


def _missing(values: pd.DataFrame) -> str:
    by_gene, by_sample = np.zeros(values.shape[1]), np.zeros(values.shape[0])
    for genes, x in _blocks(values):
        hole = np.isnan(x)
        by_gene[genes] = hole.mean(axis=0)
        by_sample += hole.sum(axis=1)
    if not (n := int(by_sample.sum())):
        return ""
    by_sample /= values.shape[1]
    gene, sample = by_gene.argmax(), by_sample.argmax()
    return (
        f"{counted(n, 'cell', 'cells')} ({n / values.size:.2%}) {'is' if n == 1 else 'are'} missing, in "
        f"{counted((by_gene > 0).sum(), 'gene', 'genes')} and {counted((by_sample > 0).sum(), 'sample', 'samples')}; "
        f"most in gene {values.columns[gene]!r} ({by_gene[gene]:.0%}) and sample "
        f"{values.index[sample]!r} ({by_sample[sample]:.0%}); kept as missing"
    )


def _tails(values: pd.DataFrame) -> str:
    n, farthest, where = 0, 0.0, (0, 0)
    for genes, x in _blocks(values):
        some = x[:: -(-len(x) // _ENOUGH)]
        middle = _median(some)
        off = np.abs(some - middle)
        off[off == 0] = np.nan  # a gene that is mostly zero keeps the spread of what is not
        distance = np.abs(x - middle)
        far = distance > _FAR * 1.4826 * _median(off)
        n += far.sum()
        distance[~far] = 0
        row, column = np.unravel_index(distance.argmax(), x.shape)
        if distance[row, column] > farthest:
            farthest, where = distance[row, column], (row, genes.start + column)
    if not n / values.size > _TAIL:
        return ""
    row, column = where
    return (
        f"{counted(n, 'cell', 'cells')} ({n / values.size:.2%}) {'is' if n == 1 else 'are'} more than {_FAR:g} robust "
        "standard deviations off the median of their gene; the farthest is "
        f"{values.iat[where]:g}, gene {values.columns[column]!r} at {values.index[row]}; kept"
    )


def _blocks(values: pd.DataFrame) -> Iterator[tuple[slice, np.ndarray]]:
    x = values.to_numpy()
    for start in range(0, x.shape[1], _BLOCK):
        genes = slice(start, start + _BLOCK)
        yield genes, x[:, genes].astype("float64")


def _median(x: np.ndarray) -> np.ndarray:
    """Median of every column, NaN where it is empty; much faster than numpy's own on columns with holes."""
    ordered = np.sort(x, axis=0)  # NaN last
    n = (~np.isnan(x)).sum(axis=0)
    below, above = np.maximum((n - 1) // 2, 0), n // 2
    columns = np.arange(x.shape[1])
    return (ordered[below, columns] + ordered[np.minimum(above, len(x) - 1), columns]) / 2
