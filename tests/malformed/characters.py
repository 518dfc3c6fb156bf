"""Little in a file or too much, and characters and separators gone wrong."""

import numpy as np

from .kinds import SAMPLES, broken, table_of, with_cells


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
    return (table_of(text) * np.nan).to_csv()


@broken("expression", "the expression table has no variation")
def all_cells_alike(text):
    return (table_of(text) * 0 + 5).to_csv()


@broken("expression", "1 samples are too few for fractions")
def one_sample(text):
    return "".join(text.splitlines(keepends=True)[:2])


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
    table = table_of(text)
    halves = [f"{table[column].iloc[i]:.1f}".replace(".", ",") for i in range(60) for column in ("os_time", "age")]
    rows = (f"{s},{a},{b},{a},{b}" for s, a, b in zip(SAMPLES, halves[::2], halves[1::2], strict=True))
    return "\n".join([text.split("\n")[0], *rows]) + "\n"


@broken("expression", r"24 columns .* hold text, first 'TP53': 60 cells, first at P00, P01, P02 .*\(\d+,\d+")
def quoted_decimal_commas(text):
    return table_of(text).map(lambda v: f"{v:.3f}".replace(".", ",")).to_csv()


@broken("expression", r"1 column .* holds text, first 'MYC': 2 cells, first at P01, P02 \(1,234.5\)")
def thousands_separators(text):
    return with_cells(text, "MYC", "1,234.5")


@broken("expression", "header has 25 columns but 1 row has more or fewer, first 'P59'; was the file cut off")
def cut_in_the_last_row(text):
    return text[:-40]


@broken("clinical", "header has 5 columns but 1 row has more or fewer, first 'P03'")
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


@broken("clinical", "a quotation mark is opened and not closed|rows? ha(s|ve) more or fewer")
def quotation_mark_left_open(text):
    return text.replace("P05,", 'P05,"', 1)


@broken("clinical", "a quotation mark is opened and not closed")
def quotation_mark_left_open_in_the_last_column(text):
    lines = text.splitlines()
    lines[9] = lines[9].rsplit(",", 1)[0] + ',"55'
    return "\n".join(lines) + "\n"
