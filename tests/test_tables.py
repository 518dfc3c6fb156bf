import gzip
from pathlib import Path

import pandas as pd
import pytest

from gexcore.tables import read_gene_sets, read_table

EXPECTED = pd.DataFrame({"TP53": [1.5, -2.0], "MYC": [0.25, None]}, index=["007", "p2"])
COMMA = "id,TP53,MYC\n007,1.5,0.25\np2,-2,NA\n"


def check(table):
    pd.testing.assert_frame_equal(table, EXPECTED, check_names=False)


@pytest.mark.parametrize(
    "text",
    [
        COMMA,
        COMMA.replace(",", "\t"),
        COMMA.replace(",", ";"),
        COMMA.replace(",", ";").replace(".", ","),
        COMMA.replace(",", "\t").replace(".", ","),
        COMMA.replace("\n", "\r\n"),
        COMMA.replace("id,", ""),  # as R's write.table writes it
        '"id";"TP53";"MYC"\n"007";"1,5";"0,25"\n"p2";"-2";""\n',
        "\ufeff" + COMMA,
    ],
    ids=["comma", "tab", "semicolon", "semicolon-decimal-comma", "tab-decimal-comma", "crlf", "r", "quoted", "bom"],
)
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".csv.gz", ".TXT.gz"])
def test_every_dialect_reads_the_same(tmp_path, text, ending):
    path = tmp_path / f"table{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    check(read_table(path))


@pytest.mark.parametrize("keep_index", [True, False])
def test_parquet_takes_its_index_or_its_first_column_as_ids(tmp_path, keep_index):
    path = tmp_path / "table.parquet"
    (EXPECTED if keep_index else EXPECTED.rename_axis("id").reset_index()).to_parquet(path)
    check(read_table(str(path)))


def test_repeated_columns_keep_their_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,MYC,MYC\np1,1,2\n")
    assert list(read_table(path).columns) == ["MYC", "MYC"]


def test_one_decimal_point_anywhere_shows_that_commas_in_text_are_no_decimals(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("id\tsize\tnote\np1\t1.5\t2,3 cm\np2\t2.5\tlost\n")
    table = read_table(path)
    assert table["size"].tolist() == [1.5, 2.5]
    assert table["note"].tolist() == ["2,3 cm", "lost"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file is empty"),
        (b"\n\n", "begins with an empty line"),
        (COMMA.encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("id,größe\np1,1\n".encode("latin-1"), "not a complete UTF-8 text table"),
        (b"id|TP53|MYC\np1|1|2\n", "no columns after the id column"),
        (b'id,"TP\n53",MYC\np1,1,2\n', "a quotation mark in the header is not closed there"),
        (b"id,TP53,MYC\np1,1,2\np2,1\n", "header has 3 columns but 1 row has more or fewer, first 'p2'"),
        (b"id,TP53,MYC\np1,1,2\np2,1,2,3,4\n", "header has 3 columns but 1 row has more or fewer"),
    ],
)
def test_damaged_text_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"bad.csv: .*{message}"):
        read_table(path)


@pytest.mark.parametrize("content", [gzip.compress(COMMA.encode() * 100)[:-20], COMMA.encode()], ids=["cut", "plain"])
def test_a_gz_file_that_is_cut_off_or_not_compressed_is_refused(tmp_path, content):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t.csv.gz: not a complete UTF-8 text table \("):
        read_table(path)


def test_a_missing_file_and_an_unknown_ending_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.csv: no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match=r"table.xlsx: unknown kind of file; a table ends in one of .csv .tsv"):
        read_table(tmp_path / "table.xlsx")


# ------------------------------------------------------------------------------------------- gene sets


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_gene_sets_keep_their_order_and_lose_blanks_and_repeats(tmp_path, newline):
    path = tmp_path / "sets.gmt"
    path.write_bytes(newline.join(["\ufeffB\tna\tMYC\tTP53 \tMYC\t", "", "A\t\tKRAS"]).encode())
    assert read_gene_sets(path) == {"B": ["MYC", "TP53"], "A": ["KRAS"]}
    assert list(read_gene_sets(str(path))) == ["B", "A"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A\tna\tMYC\nB\tna\n", "set 'B' in line 2 has no gene; a line is name, description, genes, with tabs"),
        (b"\nA,na,MYC\n", "set 'A,na,MYC' in line 2 has no gene"),
        (b"A\tna\tMYC\nA\tna\tTP53\n", "set 'A' in line 2 is listed twice"),
        (b"\n \n", "the file holds no gene set"),
        (gzip.compress(b"A\tna\tMYC\n", mtime=0), "not a UTF-8 text .* unpack or save it again"),
        ("A\tna\tMYC\n".encode("utf-16"), "not a UTF-8 text"),
    ],
)
def test_files_without_proper_gene_sets_are_refused(tmp_path, content, message):
    path = tmp_path / "sets.gmt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"sets\.gmt: .*{message}"):
        read_gene_sets(path)


def test_a_missing_file_of_gene_sets_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.gmt: no such file"):
        read_gene_sets(tmp_path / "absent.gmt")


def test_the_hallmark_sets_read_as_published():
    path = Path(__file__).parents[2] / "shared" / "cohorts" / "hallmark.gmt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    sets = read_gene_sets(path)
    assert len(sets) == 50
    assert len({gene for genes in sets.values() for gene in genes}) == 4386
    assert all(name.startswith("HALLMARK_") for name in sets)
    assert sets["HALLMARK_TNFA_SIGNALING_VIA_NFKB"][:2] == ["JUNB", "CXCL2"]
