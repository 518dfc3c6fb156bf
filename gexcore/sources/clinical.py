"""Clinical tables as public sources publish them: their words for missing, their units, their barcodes."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..tasks import first_ids
from ..units import DAYS

PAM50 = ("LumA", "LumB", "Her2", "Basal", "Normal")
# Words of GDC, TCGA, cBioPortal and GEO for a value that is not there, besides those that pandas knows.
_MISSING = [
    *(f"[{word}]" for word in ("Not Available", "Not Applicable", "Not Evaluated", "Unknown", "Discrepancy")),
    *("not reported", "Not Reported", "unknown", "Unknown", "not available", "'--", "--", "na", "Na"),
]


def read_clinical(path: Path, columns: Sequence[str], *, index: str, sheet: str | None = None) -> pd.DataFrame:
    """Columns of a clinical table as text, missing where one of the known words stands.

    Parameters
    ----------
    path : Path
        Tab-separated text (also .gz) or .xlsx; lines that begin with # before the header are passed over.
    columns : sequence of str
        The columns wanted, in this order.
    index : str
        The column of ids.
    sheet : str, optional
        Of an .xlsx file.

    Raises
    ------
    ValueError
        The file lacks a column or the sheet.
    """
    how = {"dtype": str, "na_values": _MISSING}
    if path.suffix == ".xlsx":
        with pd.ExcelFile(path) as book:
            if sheet not in book.sheet_names:
                message = f"{path} has no sheet {sheet!r} but {first_ids(book.sheet_names, 12)}; is it another version?"
                raise ValueError(message)
            table = book.parse(sheet, **how)
    else:
        table = pd.read_csv(path, sep="\t", skiprows=_remarks(path), quotechar='"', **how)
    table.columns = [str(name).strip() for name in table.columns]
    if absent := [name for name in (index, *columns) if name not in table]:
        message = (
            f"{path} lacks column {first_ids(absent)}; it has {first_ids(table.columns, 12)}. Is it another version?"
        )
        raise ValueError(message)
    table = table.dropna(subset=[index]).set_index(index)[list(columns)]
    return table.apply(lambda column: column.str.strip())


def _remarks(path: Path) -> int:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig") as handle:
        return next((i for i, line in enumerate(handle) if not line.startswith("#")), 0)


def numbers(column: pd.Series) -> pd.Series:
    """A text column as floats.

    Raises
    ------
    ValueError
        A cell is neither a number nor a known word for missing.
    """
    values = pd.to_numeric(column, errors="coerce").astype(float)
    if (wrong := values.isna() & column.notna()).any():
        message = (
            f"column {column.name!r} holds {wrong.sum()} cells that are not numbers, first "
            f"{first_ids(column[wrong].unique())} at {first_ids(column.index[wrong])}; is the file as it was published?"
        )
        raise ValueError(message)
    return values


def months(column: pd.Series, unit: str) -> pd.Series:
    """Times in months from a text column in ``unit`` ("days", "months"); a time below zero is missing."""
    times = numbers(column) * (DAYS[unit] / DAYS["months"])
    return times.where(times >= 0)


def follow_up(name: str, times: pd.Series, happened: pd.Series, *, unit: str) -> dict[str, pd.Series]:
    """Columns ``<name>_time`` in months and ``<name>_event`` of text columns; what lacks one of the two has neither."""
    time, event = months(times, unit), events(happened)
    known = time.notna() & event.notna()
    return {f"{name}_time": time.where(known), f"{name}_event": event.where(known)}


def events(column: pd.Series) -> pd.Series:
    """1 or 0 from 1 and 0, 1.0 and 0.0, or a code with its word such as 1:DECEASED.

    Raises
    ------
    ValueError
        Anything else.

    Examples
    --------
    >>> events(pd.Series(["1:DECEASED", "0:LIVING", None])).tolist()
    [1.0, 0.0, nan]
    """
    return numbers(column.str.partition(":")[0].str.strip().rename(column.name))


def grades(column: pd.Series) -> pd.Series:
    """1, 2 or 3 as text, whether the source writes 1, 1.0 or G1."""
    return column.str.extract(r"^G?([123])(?:\.0)?$")[0].astype(object)


def subtypes(column: pd.Series) -> pd.Series:
    """The five classes of PAM50; other words (claudin-low, NC, unclassified) are missing."""
    return column.str.removeprefix("BRCA.").where(lambda names: names.isin(PAM50)).astype(object)


def one_per_patient(columns: Iterable[str], barcode: str, codes: Sequence[str]) -> tuple[dict[str, str], int, int]:
    """One primary tumour for each patient, by barcode.

    Parameters
    ----------
    columns : iterable of str
        Sample ids.
    barcode : str
        Regular expression with two groups: the patient and the code of the sample type.
    codes : sequence of str
        Sample types that are kept, the preferred first. Of several samples of one type the first in alphabetical
        order stays (vial A before B).

    Returns
    -------
    tuple
        Patient to sample, how many samples are of other types (normal tissue, metastases, cell lines), and how many
        primary tumours are a second one of their patient.

    Examples
    --------
    >>> one_per_patient(["TCGA-A1-A0SB-11A", "TCGA-A1-A0SB-01B", "TCGA-A1-A0SB-01A"], TCGA, ["01"])
    ({'TCGA-A1-A0SB': 'TCGA-A1-A0SB-01A'}, 1, 1)
    """
    found = [(re.match(barcode, name), name) for name in columns]
    kept = [(match[1], codes.index(match[2]), name) for match, name in found if match and match[2] in codes]
    patients = {patient: name for patient, _, name in sorted(kept, reverse=True)}
    return dict(sorted(patients.items())), len(found) - len(kept), len(kept) - len(patients)


TCGA = r"(TCGA-\w\w-\w{4})-(\d\d)"
TARGET_AML = r"(TARGET-2[01]-\w+)-(\d\d)[A-Z]"
