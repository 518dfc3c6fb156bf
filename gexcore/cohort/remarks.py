"""What is unusual about a cohort and was kept: named, so that nobody has to find it in the results."""

from __future__ import annotations

import pandas as pd

from ..identifiers import identify_genes
from ..tasks import counted, first_ids
from .tally import FAR, Tally

_MERGED = {"mean": "averaged", "max_variance": "the most variable column kept", "first": "the first column kept"}
_TAIL = 1e-4  # share of cells that far out which is worth a word; none are expected of normal values


def describe(tally: Tally, names: pd.Index, *, duplicate_genes: str) -> dict[str, str]:
    """Remarks on checked values by subject; ``names`` are those of the genes before duplicates were merged."""
    remarks = {
        "genes": _names(tally.genes),
        "duplicates": _duplicates(names, duplicate_genes),
        "missing": _missing(tally),
        "tails": _tails(tally),
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


def _missing(tally: Tally) -> str:
    by_gene = tally.missing_by_gene / len(tally.samples)
    by_sample = tally.missing_by_sample / len(tally.genes)
    if not (n := int(tally.missing_by_gene.sum())):
        return ""
    gene, sample = by_gene.argmax(), by_sample.argmax()
    return (
        f"{counted(n, 'cell', 'cells')} ({n / tally.n_cells:.2%}) {'is' if n == 1 else 'are'} missing, in "
        f"{counted((by_gene > 0).sum(), 'gene', 'genes')} and {counted((by_sample > 0).sum(), 'sample', 'samples')}; "
        f"most in gene {tally.genes[gene]!r} ({by_gene[gene]:.0%}) and sample "
        f"{tally.samples[sample]!r} ({by_sample[sample]:.0%}); kept as missing"
    )


def _tails(tally: Tally) -> str:
    n = tally.n_far
    if not n / tally.n_cells > _TAIL:
        return ""
    value, sample, gene = tally.farthest
    return (
        f"{counted(n, 'cell', 'cells')} ({n / tally.n_cells:.2%}) {'is' if n == 1 else 'are'} more than {FAR:g} "
        "robust standard deviations off the median of their gene; the farthest is "
        f"{value:g}, gene {tally.genes[gene]!r} at {tally.samples[sample]}; kept"
    )
