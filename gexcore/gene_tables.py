"""Tables that say which symbol an identifier stands for, in the layouts of those who publish them."""

from __future__ import annotations

import os
import warnings

import pandas as pd

from .identifiers import strip_version
from .tables import read_table
from .tasks import CohortWarning, first_ids

# Columns by their names in small letters, blanks and # removed: of BioMart, HGNC, NCBI, Xena, STRING and GEO platforms.
_SYMBOLS = (
    "hgncsymbol",
    "symbol",
    "genesymbol",
    "gene_symbol",
    "hugo_symbol",
    "genename",
    "gene_name",
    "preferred_name",
    "gene",
)
_IDS = {
    "genestableid",
    "genestableidversion",
    "transcriptstableid",
    "transcriptstableidversion",
    "proteinstableid",
    "proteinstableidversion",
    "ncbigene(formerlyentrezgene)id",
    "refseqmrnaid",
    "ensembl_gene_id",
    "ensembl_id",
    "entrez_id",
    "entrez_gene_id",
    "refseq_accession",
    "geneid",
    "gene_id",
    "dbxrefs",
    "id",
    "probe_id",
    "string_protein_id",
}
_EARLIER = ("prev_symbol",)  # aliases would name several genes each


def read_gene_table(table: str | os.PathLike | pd.DataFrame) -> pd.DataFrame:
    """Read which symbol each identifier stands for.

    Parameters
    ----------
    table : path or DataFrame
        A text table (.csv, .tsv or .txt, each also with .gz) or .parquet with a header line, as exported by Ensembl
        BioMart, HGNC (complete set), UCSC Xena (probeMap), NCBI (gene_info), STRING (protein.info) or GEO (platform);
        or any two columns: the identifier, then the symbol.

    Returns
    -------
    pandas.DataFrame
        One column ``symbol``; index ``id``, unique text without versions (:func:`gexcore.identifiers.strip_version`).
        A row for every identifier in every column that holds some, HGNC's earlier symbols among them.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        No column of symbols or of identifiers can be told, or no row has both.

    Warns
    -----
    CohortWarning
        Identifiers that stand for several symbols, as some probes do: they are left out.

    Examples
    --------
    >>> exported = pd.DataFrame({"Gene stable ID version": ["ENSG00000141510.16"], "Gene name": ["TP53"]})
    >>> read_gene_table(exported)["symbol"].to_dict()
    {'ENSG00000141510': 'TP53'}
    """
    listed = read_gene_pairs(table)
    several = listed.loc[listed["id"].duplicated(), "id"].unique()
    if len(several):
        message = f"{len(several)} identifiers stand for several symbols, first {first_ids(several)}; left out"
        warnings.warn(message, CohortWarning, stacklevel=2)
    return listed[~listed["id"].isin(several)].set_index("id")


def read_gene_pairs(table: str | os.PathLike | pd.DataFrame) -> pd.DataFrame:
    """All pairs of an identifier and a symbol in a gene table, columns ``id`` and ``symbol``.

    As :func:`read_gene_table`, but with a row for every symbol of an identifier.
    """
    given = table.copy() if isinstance(table, pd.DataFrame) else read_table(table)
    if not isinstance(given.index, pd.RangeIndex):
        given = given.reset_index()
    given = given.set_axis([str(name).strip() for name in given.columns], axis=1)
    symbol, ids = _columns(given)
    symbols = _text(given[symbol])
    pairs = [_pairs(given[column], symbols) for column in ids]
    known = set(symbols.dropna())
    for column in given.columns[given.columns.isin(_EARLIER)]:
        earlier = _pairs(given[column], symbols)
        pairs.append(earlier[~earlier["id"].isin(known)])  # some are the symbol of another gene today
    listed = pd.concat(pairs).drop_duplicates()
    if listed.empty:
        message = f"no row of the gene table has both a symbol ({symbol!r}) and an identifier ({first_ids(ids)})"
        raise ValueError(message)
    return listed


def _columns(table: pd.DataFrame) -> tuple[str, list[str]]:
    """The column of symbols and those of identifiers."""
    plain = {name.lower().replace(" ", "").lstrip("#"): name for name in reversed(table.columns)}
    symbol = next((plain[name] for name in _SYMBOLS if name in plain), None)
    ids = [name for key, name in plain.items() if key in _IDS and name != symbol]
    if symbol and ids:
        return symbol, ids[::-1]
    if table.shape[1] == 2:
        return table.columns[1], [table.columns[0]]
    message = (
        f"no column of {'identifiers' if symbol else 'symbols'} in the gene table, which has "
        f"{first_ids(table.columns, 12)}; call them 'id' and 'symbol', or leave two columns, the identifier first"
    )
    raise ValueError(message)


def _pairs(ids: pd.Series, symbols: pd.Series) -> pd.DataFrame:
    """One row per identifier; a cell of several, and cross-references such as Ensembl:ENSG..., are taken apart."""
    cells = _text(ids).dropna()
    cells = cells[symbols.reindex(cells.index).notna()].str.split("|").explode().str.strip()
    if str(ids.name).lower() == "dbxrefs":
        cells = cells[cells.str.startswith("Ensembl:")].str.removeprefix("Ensembl:")
    cells = cells[cells != ""]
    return pd.DataFrame({"id": cells.map(strip_version), "symbol": symbols.loc[cells.index]})


def _text(column: pd.Series) -> pd.Series:
    """Cells without outer blanks, empty where nothing is meant or several genes are (``A /// B``)."""
    whole = pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all()
    cells = column.astype("Int64" if whole else object).astype(object)
    text = cells.map(str, na_action="ignore").str.strip()
    return text.mask(text.isin(["", "-", "---", "?"]) | text.str.contains(" /// ", na=False))
