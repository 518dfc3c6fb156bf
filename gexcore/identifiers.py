"""Names of genes: what kind of identifier each is, and what spreadsheets have made of some.

Nothing here knows which gene an identifier belongs to; that takes a table (:mod:`gexcore.gene_tables`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

_VERSION = r"(?:\.\d+)?(?:_PAR_Y|_\d+)?"
# The first pattern that covers the whole name decides.
_PATTERNS = {
    "ensembl": rf"ENS[A-Z]{{0,6}}G[R\d]\d{{10}}{_VERSION}",  # ENSGR: see on_chromosome_y
    "ensembl_transcript": rf"ENS[A-Z]{{0,6}}T\d{{11}}{_VERSION}",
    "ensembl_protein": rf"(?:\d+\.)?ENS[A-Z]{{0,6}}P\d{{11}}{_VERSION}",  # STRING puts the species in front
    "probe": (
        r"AFFX\S+|X?\w+_[as]t|(?:ILMN|GI)_\d+(?:-[A-Z])?|A_\d\d_P\d+|cg\d{8}"  # Affymetrix, Illumina, Agilent
    ),
    "accession": (
        r"[ANWXY][CGMPRTWZ]_\d{6,}(?:\.\d+)?|(?:[A-Z]\d{5}|[A-Z]{2}\d{6}|[A-Z]{2}\d{8})(?:\.\d+)?(?:_RC)?"
        r"|Contig\d+(?:_RC)?|Hs\.\d+|IMAGE:\d+"  # RefSeq, GenBank, assembled tags, UniGene, clones
    ),
    "entrez": r"\d{1,9}(?:\.0)?",
    "symbol": r"[A-Za-z][A-Za-z0-9]*(?:[-.][A-Za-z0-9.]+)*@?|\d+[A-Z]\d+Rik",
}
_PATTERN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()))
_NOUNS = {
    "symbol": "symbols",
    "ensembl": "Ensembl genes",
    "ensembl_transcript": "Ensembl transcripts",
    "ensembl_protein": "Ensembl proteins",
    "entrez": "Entrez numbers",
    "accession": "accessions",
    "probe": "probes",
    "date": "dates",
    "unknown": "unknown names",
}

# Symbols that spreadsheets take for dates, and those that HGNC has put in their place (Bruford et al. 2020).
_RENAMED = {
    **{f"MARCH{i}": f"MARCHF{i}" for i in range(1, 12)},
    **{f"MARC{i}": f"MTARC{i}" for i in (1, 2)},
    **{f"SEPT{i}": f"SEPTIN{i}" for i in (*range(1, 13), 14)},
    "SEPT13": "SEPTIN7P2",
    "SEPT15": "SELENOF",
    "SEP15": "SELENOF",
    "DEC1": "DELEC1",
}
_DATED = {3: ("MARCH", "MARC"), 9: ("SEPT", "SEP"), 12: ("DEC",)}  # the beginnings of those symbols, by month
_MONTHS = {
    word: month
    for month, words in enumerate(
        (
            "jan janv ene gen",
            "feb fév fev",
            "mar march mars mrz mär märz maart mrt",
            "apr april avr abr",
            "may mai mag maj",
            "jun june juin giu",
            "jul july juil lug",
            "aug août ago",
            "sep sept september set",
            "oct okt ott out",
            "nov november",
            "dec december déc dez dic",
        ),
        1,
    )
    for word in words.split()
}
_DATES = tuple(
    re.compile(pattern, flags=re.IGNORECASE)
    for pattern in (
        r"(?P<day>\d{1,2})(?:[-/ ]|\. ?)(?P<month>[^\W\d]{3,9})\.?(?:[-/. ](?:\d{4}|\d\d?))?",  # 1-Mar, 1-Mar.1, 1. Mrz
        r"(?P<month>[^\W\d]{3,9})\.?(?:[-/.](?P<day>\d\d)| (?P<bare>\d{1,2}))",  # Mar-01, March 1
        r"\d{4}[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?:[T ][\d:.]+)?",  # 2001-03-01 00:00:00
        r"(?P<month>\d{1,2})[-/.](?P<day>\d{1,2})[-/.](?:\d{4}|\d\d)",  # 3/1/2001, or the other way round
    )
)
_SERIAL = re.compile(r"\d{5}(?:\.0)?")  # days since 1899-12-30, as spreadsheets count
_SCIENTIFIC = re.compile(r"\d(?:\.\d+)?e\+\d+", flags=re.IGNORECASE)  # 2310009E13 was a clone of RIKEN


@dataclass(frozen=True)
class GeneIdentifiers:
    """The kind of every gene name in a list.

    ``kinds`` is a Series name -> kind: "symbol", "ensembl", "ensembl_transcript", "ensembl_protein", "entrez",
    "accession" (RefSeq, GenBank, contigs), "probe", "date" (a name that a spreadsheet turned into a date or, as
    2.31E+13, into a number) or "unknown". ``str()`` makes one sentence of it.
    """

    kinds: pd.Series

    @property
    def shares(self) -> pd.Series:
        """Share of each kind that occurs, largest first."""
        return self.kinds.value_counts(normalize=True)

    @property
    def main(self) -> str:
        """The commonest kind."""
        return self.shares.index[0]

    def of(self, kind: str) -> list[str]:
        """The names of one kind, in their order."""
        return self.kinds.index[self.kinds == kind].tolist()

    def __str__(self) -> str:
        count = self.kinds.value_counts()
        said = [f"{n} {_NOUNS[kind]} (first {', '.join(self.of(kind)[:3])})" for kind, n in count.items()]
        renamed = [f"{name} is now {_RENAMED[name]}" for name in self.kinds.index if name in _RENAMED]
        outdated = f"; {len(renamed)} symbols are outdated (first {', '.join(renamed[:3])})" if renamed else ""
        return f"{len(self.kinds)} genes are named by {', '.join(said)}{outdated}"


def identify_genes(names: Iterable[str]) -> GeneIdentifiers:
    """Tell symbols, Ensembl ids, Entrez numbers, accessions, probes and spoilt names apart by their form.

    Of two names joined by ``|`` the first counts, the second where the first is ``?`` (TCGA's legacy files). Five
    digits are the date of a spreadsheet where they stand among symbols and fit a symbol that looks like a date.
    Numbers that only count, 0 1 2 ... or 1 2 3 ..., are unknown names, not Entrez numbers.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    GeneIdentifiers

    Raises
    ------
    ValueError
        There is no name.

    Examples
    --------
    >>> found = identify_genes(["TP53", "HLA-A", "1-Mar"])
    >>> found.main
    'symbol'
    >>> str(found)
    '3 genes are named by 2 symbols (first TP53, HLA-A), 1 dates (first 1-Mar)'
    """
    index = pd.Index([str(name) for name in names], dtype=object)
    if index.empty:
        message = "there is no gene name to identify; pass the names of the columns that hold genes"
        raise ValueError(message)
    kinds = pd.Series([_kind(_first(name)) for name in index], index=index, dtype=object)
    number = kinds == "entrez"
    if number.any():
        values = [int(float(_first(name))) for name in index[number]]
        if len(values) > 1 and values == list(range(values[0], values[0] + len(values))) and values[0] in (0, 1):
            kinds[number] = "unknown"
        elif (kinds == "symbol").sum() > number.sum():
            kinds[[bool(is_number and date_symbols(name)) for name, is_number in zip(index, number, strict=True)]] = (
                "date"
            )
    return GeneIdentifiers(kinds)


def strip_version(name: str) -> str:
    """An identifier without its version and what else is hung on it; symbols stay as they are.

    Examples
    --------
    >>> strip_version("ENSG00000141510.16"), strip_version("ENSG00000182378.15_PAR_Y"), strip_version("NM_000546.6")
    ('ENSG00000141510', 'ENSG00000182378', 'NM_000546')
    >>> strip_version("9606.ENSP00000269305"), strip_version("7157.0"), strip_version("TP53|7157")
    ('ENSP00000269305', '7157', 'TP53')
    >>> strip_version("RP11-34P13.7")
    'RP11-34P13.7'
    """
    name = _first(name)
    kind = _kind(name)
    if kind.startswith("ensembl"):
        stem = re.search(r"ENS[A-Z]*\d+", name)[0]
        return stem.replace("ENSGR", "ENSG0")
    if kind == "entrez":
        return name.removesuffix(".0")
    return re.sub(r"\.\d+(?=$|_RC$)", "", name) if kind == "accession" and not name.startswith("Hs.") else name


def on_chromosome_y(name: str) -> bool:
    """Whether an Ensembl id is the copy on chromosome Y of a gene that chromosome X has as well.

    GENCODE lists the genes of the pseudoautosomal regions twice; until release 24 it wrote ENSGR for the copy. Reads
    are counted on X, so that the copy is empty or repeats the gene.

    Examples
    --------
    >>> [on_chromosome_y(name) for name in ("ENSG00000182378.15_PAR_Y", "ENSGR0000182378.12", "ENSG00000182378.15")]
    [True, True, False]
    """
    return re.match(r"\s*(?:ENS.*_PAR_Y\s*$|ENSGR\d)", name) is not None


def date_symbols(name: str) -> tuple[str, ...]:
    """The current symbols of the genes that a spreadsheet may have turned into this date; none if there are none.

    HGNC has renamed the genes whose symbols look like dates (MARCH1 is MARCHF1, SEPT2 is SEPTIN2, DEC1 is DELEC1),
    so that only their outdated symbols can be spoilt. Where day and month cannot be told apart both readings count.

    Examples
    --------
    >>> date_symbols("1-Mar"), date_symbols("2001-09-02"), date_symbols("4-Oct")
    (('MARCHF1', 'MTARC1'), ('SEPTIN2',), ())
    """
    found = [
        _RENAMED[old]
        for month, day in _month_and_day(name)
        for old in (f"{start}{day}" for start in _DATED.get(month, ()))
        if old in _RENAMED
    ]
    return tuple(dict.fromkeys(found))


def _first(name: str) -> str:
    first, _, rest = name.strip().partition("|")
    return rest if rest and first in ("", "?") else first


def _kind(name: str) -> str:
    found = _PATTERN.fullmatch(name)
    is_number = found is not None and found.lastgroup == "entrez"
    if not is_number and (_month_and_day(name) or _SCIENTIFIC.fullmatch(name)):
        return "date"
    return found.lastgroup if found else "unknown"


def _month_and_day(name: str) -> list[tuple[int, int]]:
    """All readings of a name as a day of a year."""
    name = name.strip()
    if _SERIAL.fullmatch(name):
        day = date(1899, 12, 30) + timedelta(days=int(float(name)))
        return [(day.month, day.day)]
    for pattern in _DATES:
        if found := pattern.fullmatch(name):
            parts = found.groupdict()
            day, month = int(parts["day"] or parts.get("bare")), parts["month"]
            if not month.isdigit():
                readings = [(_MONTHS.get(month.lower(), 0), day)]
            elif name[:4].isdigit():
                readings = [(int(month), day)]
            else:
                readings = [(int(month), day), (day, int(month))]
            return [(m, d) for m, d in readings if 1 <= m <= 12 and 1 <= d <= 31]
    return []
