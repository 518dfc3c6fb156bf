"""Broken files, one small function per kind: what it makes of the text of a good file, and what has to be said of it.

Every kind has the option of the command it belongs to, the name of its file and a pattern of the sentence expected.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

GENES = ["TP53", "MYC", "EGFR", "ESR1", "KRAS", "ERBB2", "PTEN", "MKI67", "GATA3", "FOXA1", "CDH1", "PIK3CA"]
GENES += ["AKT1", "BRCA1", "BRCA2", "ATM", "RB1", "CCND1", "AURKA", "TOP2A", "XBP1", "KRT5", "KRT17", "VIM"]
SAMPLES = [f"P{i:02d}" for i in range(60)]


def good_files() -> dict[str, str]:
    """The text of every file of a cohort that can be trained on, by option."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(6, 2, (60, len(GENES))).round(3), SAMPLES, GENES)
    clinical = pd.DataFrame(
        {
            "os_time": (10 * rng.exponential(size=60) + 1).round(1),
            "os_event": np.tile([1, 0, 1], 20),
            "subtype": np.tile(["basal", "luminal"], 30),
            "age": rng.integers(30, 80, 60),
        },
        index=SAMPLES,
    )
    tasks = [
        {"kind": "survival", "name": "os", "time": "os_time", "event": "os_event"},
        {"kind": "classification", "name": "subtype"},
        {"kind": "regression", "name": "age"},
    ]
    edges = "".join(f"{a}\t{b}\t900\n" for a, b in itertools.pairwise(GENES))
    return {
        "expression": x.to_csv(index_label="sample"),
        "clinical": clinical.to_csv(index_label="sample"),
        "tasks": json.dumps(tasks, indent=1),
        "gene-sets": "A\tna\t" + "\t".join(GENES[:12]) + "\nB\tna\t" + "\t".join(GENES[12:]) + "\n",
        "network": "gene_a\tgene_b\tscore\n" + edges,
        "gene-table": "id,symbol\n" + "".join(f"{i},{gene}\n" for i, gene in enumerate(GENES, 1001)),
    }


FILE_NAMES = {
    "expression": "expression.csv",
    "clinical": "clinical.csv",
    "tasks": "tasks.json",
    "gene-sets": "sets.gmt",
    "network": "network.tsv",
    "gene-table": "genes.csv",
}


@dataclass(frozen=True)
class Kind:
    """A way for a file to be broken: ``make`` turns the text of a good one into its content."""

    option: str
    file: str
    says: str
    make: Callable[[str], bytes | str]

    @property
    def name(self) -> str:
        return f"{self.option}: {self.make.__name__}"

    def write(self, folder: Path) -> Path:
        """Write the broken file and return its path."""
        content = self.make(good_files()[self.option])
        path = folder / self.file
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


KINDS: list[Kind] = []


def broken(option: str, says: str, *, file: str | None = None) -> Callable:
    """Add a function to the kinds."""

    def add(make: Callable[[str], bytes | str]) -> Callable[[str], bytes | str]:
        KINDS.append(Kind(option, file or FILE_NAMES[option], says, make))
        return make

    return add


def _table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), index_col=0, dtype={0: str})


def _cell(text: str, column: str, value: object, n: int = 2) -> str:
    table = _table(text).astype(object)
    table.iloc[1 : 1 + n, table.columns.get_loc(column)] = value
    return table.to_csv()


# --------------------------------------------------------------------------------- files of another kind


@broken("expression", "ends too early", file="expression.csv.gz")
def gz_cut_short(text):
    return gzip.compress(text.encode())[:-400]


@broken("expression", "compressed data are damaged", file="expression.csv.gz")
def gz_damaged_in_the_middle(text):
    content = bytearray(gzip.compress(text.encode()))
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    return bytes(content)


@broken("expression", "not compressed although its name ends in .gz", file="expression.csv.gz")
def text_named_gz(text):
    return text


@broken("expression", "compressed by gzip; let its name end in .gz")
def gz_named_csv(text):
    return gzip.compress(text.encode())


@broken("expression", "compressed by gzip; .* unpack it once more", file="expression.csv.gz")
def gz_twice(text):
    return gzip.compress(gzip.compress(text.encode()))


@broken("expression", "an Excel workbook or another zip archive; save its sheet as .csv")
def zip_named_csv(text):
    return _zipped({"expression.csv": text})


@broken("clinical", "an Excel workbook or another zip archive; save its sheet as .csv")
def workbook_named_csv(text):
    return _zipped({"[Content_Types].xml": "<Types/>", "xl/worksheets/sheet1.xml": "<worksheet/>"})


@broken("clinical", "an old Excel workbook")
def old_workbook_named_csv(text):
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)


@broken("expression", "unknown kind of file; a table ends in one of", file="expression.xlsx")
def workbook_by_its_name(text):
    return _zipped({"xl/workbook.xml": "<workbook/>"})


@broken("expression", "a picture")
def picture_named_csv(text):
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@broken("expression", "a PDF document")
def pdf_named_csv(text):
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"


@broken("expression", "a web page; what you meant to download may need a login")
def web_page_named_csv(text):
    return "\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"


@broken("expression", "an HDF5 file; let its name end in .h5ad")
def h5ad_named_csv(text):
    return _h5ad(text)


@broken("expression", "not a whole .h5ad file; it was cut short", file="expression.h5ad")
def h5ad_cut_short(text):
    return _h5ad(text)[:5000]


@broken("expression", "not a whole .h5ad file; it was cut short or is of another kind", file="expression.h5ad")
def text_named_h5ad(text):
    return text


@broken("expression", "an HDF5 file, but not an AnnData, for it lacks X, obs, var", file="expression.h5ad")
def h5ad_of_another_program(text):
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["matrix/data"] = np.ones(5)
    return buffer.getvalue()


@broken("expression", "not a complete parquet file", file="expression.parquet")
def parquet_cut_short(text):
    buffer = io.BytesIO()
    _table(text).to_parquet(buffer)
    return buffer.getvalue()[:-200]


@broken("expression", "not a complete parquet file", file="expression.parquet")
def text_named_parquet(text):
    return text


def _zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _h5ad(text):
    import tempfile

    import anndata as ad

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5ad"
        ad.AnnData(_table(text)).write_h5ad(path)
        return path.read_bytes()


# ----------------------------------------------------------------------------- little in it, or too much


@broken("expression", "the file is empty or begins with an empty line")
def nothing(text):
    return ""


@broken("clinical", "the file is empty or begins with an empty line")
def blank_lines(text):
    return "\n\n\n" + text


@broken("expression", "expression table is empty: 0 samples, 24 genes")
def only_a_header(text):
    return text.split("\n")[0] + "\n"


@broken("expression", "no columns after the id column")
def only_ids(text):
    return "\n".join(["sample", *SAMPLES]) + "\n"


@broken("expression", "the header has 1,000,000 columns, and no transcriptome has more than 300,000")
def million_columns(text):
    row = "P{:02d}" + ",1" * 1_000_000 + "\n"
    return "sample," + ",".join(f"g{i}" for i in range(1_000_000)) + "\n" + row.format(0) + row.format(1)


@broken("expression", "the expression table has no variation")
def all_cells_missing(text):
    return (_table(text) * np.nan).to_csv()


@broken("expression", "the expression table has no variation")
def all_cells_alike(text):
    return (_table(text) * 0 + 5).to_csv()


@broken("expression", "1 samples are too few for fractions")
def one_sample(text):
    return "".join(text.splitlines(keepends=True)[:2])


# ------------------------------------------------------------------------------ characters and separators


@broken("expression", "no columns after the id column; commas, tabs or semicolons must separate them")
def pipes_between_columns(text):
    return text.replace(",", "|")


@broken("expression", "no columns after the id column; commas, tabs or semicolons must separate them")
def blanks_between_columns(text):
    return text.replace(",", "  ")


@broken("expression", "the header has 25 columns but 60 rows have more or fewer, first 'P00")
def tabs_below_a_header_of_commas(text):
    header, rest = text.split("\n", 1)
    return header + "\n" + rest.replace(",", "\t")


@broken("clinical", "the header has 5 columns but 60 rows have more or fewer, .* are commas decimal marks, too")
def decimal_commas_between_commas(text):
    table = _table(text)
    halves = [f"{table[column].iloc[i]:.1f}".replace(".", ",") for i in range(60) for column in ("os_time", "age")]
    rows = (f"{s},{a},{b},{a},{b}" for s, a, b in zip(SAMPLES, halves[::2], halves[1::2], strict=True))
    return "\n".join([text.split("\n")[0], *rows]) + "\n"


@broken("expression", r"24 columns .* hold text, first 'TP53': 60 cells, first at P00, P01, P02 .*\(\d+,\d+")
def quoted_decimal_commas(text):
    return _table(text).map(lambda v: f"{v:.3f}".replace(".", ",")).to_csv()


@broken("expression", r"1 columns .* hold text, first 'MYC': 2 cells, first at P01, P02 \(1,234.5\)")
def thousands_separators(text):
    return _cell(text, "MYC", "1,234.5")


@broken("expression", "header has 25 columns but 1 rows have more or fewer, first 'P59'; was the file cut off")
def cut_in_the_last_row(text):
    return text[:-40]


@broken("clinical", "header has 5 columns but 1 rows have more or fewer, first 'P03'")
def a_row_too_long(text):
    lines = text.splitlines()
    lines[4] += ",7,8"
    return "\n".join(lines)


@broken("expression", "encoded as UTF-16; save it as UTF-8")
def utf16(text):
    return text.encode("utf-16")


@broken("expression", "holds NUL bytes, .* is it UTF-16")
def utf16_without_its_mark(text):
    return text.encode("utf-16-le")


@broken("clinical", "bytes that are not UTF-8, as files in Latin-1 or of Windows do")
def latin1(text):
    return text.replace("subtype", "größe").encode("latin-1")


@broken("clinical", "bytes that are not UTF-8")
def two_encodings(text):
    rows = text.replace("basal", "früh").splitlines(keepends=True)
    return "".join(rows[:30]).encode() + "".join(rows[30:]).encode("latin-1")


@broken("expression", "holds NUL bytes, first in row 'P10'")
def nul_bytes(text):
    return text.replace("P10,", "P10,\0\0", 1)


@broken("clinical", "a quotation mark is opened and not closed|rows have more or fewer")
def quotation_mark_left_open(text):
    return text.replace("P05,", 'P05,"', 1)


@broken("clinical", "a quotation mark is opened and not closed")
def quotation_mark_left_open_in_the_last_column(text):
    lines = text.splitlines()
    lines[9] = lines[9].rsplit(",", 1)[0] + ',"55'
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------- layouts of others, names of genes, ids


@broken("expression", "begins with '!Series_title.*a series matrix of GEO: keep what stands between")
def series_matrix_of_geo(text):
    rows = text.replace(",", "\t")
    return f'!Series_title\t"a study"\n!Series_status\t"Public"\n!series_matrix_table_begin\n{rows}'


@broken("expression", "begins with '#1.2', as a GCT file: remove the two lines before its header")
def gct(text):
    body = _table(text).T
    body.insert(0, "Description", "na")
    return "#1.2\n24\t60\n" + body.to_csv(sep="\t", index_label="NAME")


@broken("clinical", "begins with '#Patient Identifier.*cBioPortal: remove the lines before its header")
def header_of_cbioportal(text):
    rows = text.replace(",", "\t")
    return f"#Patient Identifier\tTime\tEvent\tSubtype\tAge\n#STRING\tNUMBER\tNUMBER\tSTRING\tNUMBER\n{rows}"


@broken("clinical", "begins with '# exported 2024.*remove the lines before its header")
def a_line_of_comment(text):
    return "# exported 2024\n" + text


@broken("expression", "hold text, first 'TP53': 1 cells, first at sample")
def header_in_the_middle_again(text):
    lines = text.splitlines()
    return "\n".join([*lines[:30], lines[0], *lines[30:]])


@broken("expression", "2 genes occur twice or more in the expression table, first MYC, KRAS; pass --duplicate-genes")
def genes_listed_twice(text):
    return text.replace("TP53", "MYC", 1).replace("EGFR", "KRAS", 1)


@broken("expression", "1 sample ids occur twice or more in the expression table, first P00")
def samples_listed_twice(text):
    return text.replace("P01,", "P00,", 1)


@broken("expression", "genes where samples are expected .* pass --genes-as-rows")
def rows_and_columns_swapped(text):
    return _table(text).T.to_csv()


@broken("expression", r"turned 1 gene names .* into dates, first 1-Mar \(MARCHF1 or MTARC1\); rename or remove them")
def one_gene_is_a_date(text):
    return text.replace("MYC", "1-Mar", 1)


@broken("expression", "turned 24 gene names of the expression table into dates")
def all_genes_are_dates(text):
    return _table(text).set_axis([f"{i % 12 + 1}-{'Mar' if i < 12 else 'Sep'}" for i in range(24)], axis=1).to_csv()


@broken("expression", r"turned 1 gene names .* first 37317 \(MARCHF2 or MTARC2\)")
def one_gene_is_the_number_of_a_day(text):
    return text.replace("MYC", "37317", 1)


@broken("expression", "1 entries without a gene name, first at position 2")
def a_gene_without_a_name(text):
    return text.replace("MYC", "", 1)


@broken("expression", "1 entries without a sample id, first at position 3")
def a_sample_without_an_id(text):
    return text.replace("P02,", ",", 1)


@broken("clinical", "share no sample id: the first has P00, P01, P02 and 57 more, the second Q00")
def ids_of_other_patients(text):
    return text.replace("\nP", "\nQ")


@broken("clinical", "share no sample id: .* but for upper and lower case")
def ids_in_small_letters(text):
    return text.replace("\nP", "\np")


# -------------------------------------------------------------------------------------------------- cells


@broken("expression", r"1 columns .* hold text, first 'MYC': 2 cells, first at P01, P02 \(low\)")
def text_in_cells(text):
    return _cell(text, "MYC", "low")


@broken("expression", r"hold text, first 'MYC': .* \(#REF!\)")
def broken_references(text):
    return _cell(text, "MYC", "#REF!")


@broken("expression", r"hold text, first 'MYC': .* \(#DIV/0!\)")
def divisions_by_zero(text):
    return _cell(text, "MYC", "#DIV/0!")


@broken("expression", "holds 2 infinite values, first in gene 'MYC' at P01, P02")
def infinite_cells(text):
    return _cell(text, "MYC", "inf")


@broken("expression", "hold text, first 'subtype'")
def clinical_columns_among_genes(text):
    return _table(text).assign(subtype="basal").to_csv()


# ------------------------------------------------------------------------------------------------- labels


@broken("clinical", "column 'os_time' holds 2 negative times, first at P01, P02")
def negative_times(text):
    return _cell(text, "os_time", -3)


@broken("clinical", r"column 'os_time' must hold numbers: 60 cells do not, first at P00.*\(2019-03-04\)")
def times_that_are_dates(text):
    return _table(text).assign(os_time="2019-03-04").to_csv()


@broken("clinical", r"column 'os_event' must be 1 \(event\) or 0 \(censored\): 2 cells hold 2")
def events_of_three_kinds(text):
    return _cell(text, "os_event", 2)


@broken("clinical", r"column 'os_event' must hold numbers: 60 cells do not, .*\(dead, alive\)")
def events_in_words(text):
    return _table(text).assign(os_event=np.tile(["dead", "alive"], 30)).to_csv()


@broken("clinical", "task 'os' has no event among its")
def nobody_has_the_event(text):
    return _table(text).assign(os_event=0).to_csv()


@broken("clinical", r"task 'subtype' needs two classes or more .* found \['basal'\]")
def one_class_only(text):
    return _table(text).assign(subtype="basal").to_csv()


@broken("clinical", "task 'subtype' has .* classes in .* samples: is it a Regression")
def a_class_for_every_patient(text):
    return _table(text).assign(subtype=[f"kind {i}" for i in range(60)]).to_csv()


@broken("clinical", "task 'os' .*labelled|task 'os' has no event among its 0 labelled|no label")
def no_label_at_all(text):
    return _table(text).assign(os_time=np.nan, os_event=np.nan).to_csv()


@broken("clinical", "1 column names occur twice or more in the clinical table, first os_time")
def columns_listed_twice(text):
    return text.replace("age", "os_time", 1)


@broken("clinical", "2 sample ids occur twice or more in the clinical table, first P00, P01; keep one row")
def patients_listed_twice(text):
    lines = text.splitlines()
    return "\n".join([*lines, *lines[1:3]]) + "\n"


@broken("clinical", "task 'os' needs column 'os_time'; the clinical table has months, os_event, subtype, age")
def a_column_of_another_name(text):
    return text.replace("os_time", "months", 1)


# ------------------------------------------------------------------------- tasks, gene sets, networks, tables


@broken("tasks", r"tasks.json is not a list of tasks: no valid JSON in line \d+; was it cut short")
def json_cut_short(text):
    return text[:-30]


@broken("tasks", r"tasks.json is not a list of tasks: it must be \[")
def json_that_is_no_list(text):
    return '{"kind": "survival"}'


@broken("tasks", "tasks.json .* no valid JSON in line 1")
def a_table_in_place_of_tasks(text):
    return "name,time,event\nos,os_time,os_event\n"


@broken("tasks", "tasks.json is not a list of tasks: entry 3 has no known kind; the kinds are survival, class")
def a_task_of_unknown_kind(text):
    return text.replace("regression", "ranking")


@broken("tasks", "entry 1 has name, time, events, but a survival has name, time, event, all of them")
def a_survival_task_without_its_event(text):
    return text.replace('"event"', '"events"')


@broken("tasks", "task 'age' needs column 'years'; the clinical table has os_time, os_event, subtype, age")
def a_task_of_an_absent_column(text):
    return text.replace('"name": "age"', '"name": "age", "column": "years"')


@broken("tasks", "tasks.json is not a list of tasks")
def a_list_without_a_task(text):
    return "[]"


@broken("tasks", "tasks.json is not a list of tasks: no valid JSON")
def tasks_in_utf16_cut_short(text):
    return text.encode("utf-16")[:-31]


@broken("gene-sets", "sets.gmt: the file holds no gene set")
def no_gene_set(text):
    return "\n"


@broken("gene-sets", "has no gene; a line is name, description, genes, with tabs")
def commas_between_genes(text):
    return text.replace("\t", ",")


@broken("gene-sets", "the 2 gene sets share no gene with the cohort")
def gene_sets_of_other_genes(text):
    for gene in GENES:
        text = text.replace(gene, gene.lower().title() + "x")
    return text


@broken("gene-sets", "not a UTF-8 text .* unpack or save it again")
def gene_sets_compressed(text):
    return gzip.compress(text.encode())


@broken("network", "the list of edges has no header line: gene .* stands in its place; add one")
def network_without_a_header(text):
    return text.split("\n", 1)[1]


@broken("network", "column 'score' holds 23 scores that are not numbers from 0 up, first high")
def network_with_scores_in_words(text):
    return text.replace("900", "high")
