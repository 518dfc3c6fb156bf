"""What cannot be meant as it is: each check refuses by name, and says what to do.

Shapes: N samples, G genes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ..identifiers import date_symbols, identify_genes
from ..tasks import counted, first_ids
from ..tasks import to_numbers as numbers_of
from .tally import Block, Tally

DUPLICATES = ("error", "mean", "max_variance", "first")
# Symbols that practically every human panel holds some of: how rows of genes are told from rows of samples.
_COMMON_GENES = {"ACTB", "EGFR", "ERBB2", "ESR1", "GAPDH", "KRAS", "MKI67", "MYC", "PTEN", "STAT3", "TP53"}
# Sample ids as two programs may have written them differently.
_SPELLINGS = {
    "upper and lower case": str.upper,
    "a .0 at the end": lambda name: name.removesuffix(".0"),
    "dots in place of hyphens": lambda name: name.replace(".", "-"),
    "what follows the patient in a TCGA barcode": lambda name: name[:12] if name.startswith("TCGA") else name,
}


def refuse_overlap(train: AnnData, val: AnnData | None) -> None:
    """What chooses the epoch must not have been trained on."""
    if val is not None and (both := train.obs_names.intersection(val.obs_names)).size:
        message = f"{both.size} samples are in the training and the validation cohort, first {first_ids(both)}"
        raise ValueError(message)


def refuse_unfitted(model: Any, learned: str) -> None:
    """Refuse to use an estimator that has not ``learned`` yet, an attribute its fit sets."""
    if not hasattr(model, learned):
        message = f"this {type(model).__name__} is not fitted yet: call fit(train, val) first"
        raise RuntimeError(message)


def to_names(index: pd.Index, kind: str, which: str) -> pd.Index:
    """Names as text without outer blanks; one that is missing is refused."""
    names = index.map(lambda name: "" if pd.isna(name) else str(name).strip()).astype(object)
    blank = np.flatnonzero(names == "")
    if len(blank):
        message = (
            f"the {which} table has {len(blank)} entries without a {kind}, first at position {first_ids(blank + 1)}; "
            "name or remove them"
        )
        raise ValueError(message)
    return names.rename(None)


def refuse_duplicates(names: pd.Index, kind: str, which: str, remedy: str) -> None:
    """Refuse names that occur twice."""
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        message = (
            f"{counted(len(repeated), f'{kind} occurs', f'{kind}s occur')} twice or more in the {which} table, first "
            f"{first_ids(repeated)}; {remedy}"
        )
        raise ValueError(message)


def check_orientation(samples: pd.Index, genes: pd.Index, labels: pd.DataFrame | None, remedy: str) -> None:
    """Refuse a table whose rows and columns have changed places."""
    if labels is not None and samples.isin(labels.index).any():
        return
    columns_are_samples = labels is not None and genes.isin(labels.index).any()
    if columns_are_samples or (_count_genes(samples) >= 3 and _count_genes(genes) < 3):
        message = (
            f"the expression table has genes where samples are expected (first {first_ids(samples)}) "
            f"and samples where genes are expected (first {first_ids(genes)}); {remedy}"
        )
        raise ValueError(message)


def _count_genes(names: pd.Index) -> int:
    return int((names.isin(_COMMON_GENES) | names.str.match(r"ENS[A-Z]*G\d+")).sum())


def check_dates(genes: pd.Index) -> None:
    """Refuse gene names that a spreadsheet has turned into dates: nobody can tell which genes they are."""
    dates = identify_genes(genes).of("date")
    if dates:
        meant = [f"{name} ({' or '.join(date_symbols(name)) or 'of unknown origin'})" for name in dict.fromkeys(dates)]
        message = (
            f"a spreadsheet has turned {len(dates)} gene names of the expression table into dates, first "
            f"{first_ids(meant)}; rename or remove them, and have spreadsheets read gene names as text"
        )
        raise ValueError(message)


def to_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The table as float64; text cells, infinite values and values beyond float32 are refused by gene."""
    numeric = np.array([pd.api.types.is_any_real_numeric_dtype(dtype) for dtype in table.dtypes])
    x, wrong = np.empty(table.shape), []
    x[:, numeric] = table.loc[:, numeric].to_numpy("float64", na_value=np.nan)
    for i in np.flatnonzero(~numeric):
        raw = table.iloc[:, i]
        column = numbers_of(raw)
        bad = raw[column.isna() & raw.notna()]
        x[:, i] = column
        if len(bad):
            wrong.append((table.columns[i], bad))
    if wrong:
        gene, bad = wrong[0]
        columns = f"{counted(len(wrong), 'column', 'columns')} of the expression table"
        message = (
            f"{columns} {'holds' if len(wrong) == 1 else 'hold'} text, first {gene!r}: "
            f"{counted(len(bad), 'cell', 'cells')}, first at {first_ids(bad.index)} "
            f"({first_ids([textwrap.shorten(str(cell), 40) for cell in bad.astype(str).unique()])}); "
            "expression is numbers, leave a cell empty where it is unknown and keep clinical columns in the "
            "clinical table"
        )
        raise ValueError(message)
    for _ in finite_blocks([(np.arange(len(x)), x)], table.index, table.columns):
        pass
    return pd.DataFrame(x, index=table.index, columns=table.columns)


def finite_blocks(blocks: Iterable[Block], samples: pd.Index, genes: pd.Index) -> Iterator[Block]:
    """The blocks as they are; infinite values and values beyond float32 are refused once all have been looked at."""
    n, first, found = 0, len(genes), []
    for rows, x in blocks:
        huge = np.abs(x) > np.finfo("float32").max
        if huge.any():
            n += int(huge.sum())
            gene = int(np.flatnonzero(huge.any(axis=0))[0])
            if gene < first:
                first, found = gene, []
            found += rows[huge[:, first]].tolist()
        elif not n:
            yield rows, x
    if n:
        message = (
            f"the expression table holds {n} infinite values, first in gene {genes[first]!r} at "
            f"{first_ids(samples[sorted(found)])}; leave a cell empty where its value is unknown"
        )
        raise ValueError(message)


def _place(values: pd.DataFrame, marked: np.ndarray) -> str:
    gene = int(np.flatnonzero(marked.any(axis=0))[0])
    return f"gene {values.columns[gene]!r} at {first_ids(values.index[marked[:, gene]])}"


def take_log2(values: pd.DataFrame) -> pd.DataFrame:
    """log2(x + 1); negative values are refused."""
    negative = values.to_numpy() < 0
    if negative.any():
        message = (
            f"log2=True needs values of zero or more, but {negative.sum()} are negative, first in "
            f"{_place(values, negative)}; are they on a log scale already?"
        )
        raise ValueError(message)
    return np.log2(values + 1)


def merge_duplicates(values: pd.DataFrame, how: str) -> pd.DataFrame:
    """One column for each gene, by one of ``DUPLICATES``."""
    genes = values.columns
    if genes.is_unique:
        return values
    if how == "error":
        refuse_duplicates(genes, "gene", "expression", "pass duplicate_genes='mean', 'max_variance' or 'first'")
    if how == "mean":
        return values.T.groupby(level=0, sort=False).mean().T
    order = np.arange(len(genes))
    if how == "max_variance":
        order = np.argsort(-values.var(ddof=0).fillna(-1).to_numpy(), kind="stable")
    kept = order[~genes[order].duplicated()]
    return values.iloc[:, kept][genes.unique()]


def check_values(tally: Tally, *, log2: bool) -> list[str]:
    """Refuse a matrix without variation; return what is worth a warning."""
    genes, several = tally.genes, len(tally.samples) > 1
    empty, constant = np.isnan(tally.low), tally.low == tally.high
    if empty.all() or (several and (empty | constant).all()):
        message = f"the expression table has no variation: none of its {len(genes)} genes differs between two samples"
        raise ValueError(message)
    notes = []
    if empty.any():
        which = counted(empty.sum(), "gene has", "genes have")
        notes.append(f"{which} no value, first {first_ids(genes[empty])}; kept, {_nothing(empty)}")
    if several and constant.any():
        which = counted(constant.sum(), "gene is", "genes are")
        notes.append(f"{which} constant, first {first_ids(genes[constant])}; kept, {_nothing(constant)}")
    blank = tally.missing_by_sample == len(genes)
    if blank.any():
        which = counted(blank.sum(), "sample has", "samples have")
        notes.append(f"{which} no expression value, first {first_ids(tally.samples[blank])}; kept")
    bottom, top = np.nanmin(tally.low), np.nanmax(tally.high)
    if not log2 and bottom >= 0 and top > 100:
        kind = "raw counts" if tally.whole else "abundances on a linear scale"
        notes.append(
            f"the expression values look like {kind} (from {bottom:g} to {top:g}); used as they are, "
            "log2=True would take log2(x + 1)"
        )
    return notes


def _nothing(genes: np.ndarray) -> str:
    return "it carries nothing" if genes.sum() == 1 else "they carry nothing"


def check_match(obs: pd.DataFrame, labels: pd.DataFrame) -> list[str]:
    """Refuse tables that do not belong together; return what is worth a warning."""
    refuse_duplicates(labels.index, "sample id", "clinical", "keep one row for each sample")
    matched = obs.index.isin(labels.index)
    unused = labels.index[~labels.index.isin(obs.index)]
    if not matched.any():
        message = (
            "the expression and clinical tables share no sample id: the first has "
            f"{first_ids(obs.index)}, the second {first_ids(labels.index)}; make the ids agree"
            f"{_spelling_hint(obs.index, labels.index)}"
        )
        raise ValueError(message)
    twice = obs.columns.intersection(labels.columns)
    if len(twice):
        message = f"columns {first_ids(twice)} stand in both the AnnData and the clinical table; remove them from one"
        raise ValueError(message)
    notes = []
    if not matched.all():
        without = obs.index[~matched]
        which = counted(len(without), "sample has", "samples have")
        notes.append(f"{which} no clinical row, first {first_ids(without)}; kept, labels missing")
    if len(unused):
        which = counted(len(unused), "clinical row has", "clinical rows have")
        notes.append(f"{which} no expression, first {first_ids(unused)}; not used")
    return notes


def _spelling_hint(ids: pd.Index, others: pd.Index) -> str:
    for what, key in _SPELLINGS.items():
        if set(map(key, ids)) & set(map(key, others)):
            return f" (some would but for {what})"
    return ""
