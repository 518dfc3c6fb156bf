import pandas as pd
import pytest

from gexcore.gene_tables import read_gene_table
from gexcore.tasks import CohortWarning

LAYOUTS = {
    "biomart": (
        "Gene stable ID\tGene stable ID version\tNCBI gene (formerly Entrezgene) ID\tGene name\n"
        "ENSG00000141510\tENSG00000141510.18\t7157\tTP53\n"
        "ENSG00000136997\tENSG00000136997.22\t4609\tMYC\n"
        "ENSG00000290825\tENSG00000290825.1\t\t\n"
    ),
    "hgnc": (
        "hgnc_id\tsymbol\tname\talias_symbol\tprev_symbol\tentrez_id\tensembl_gene_id\trefseq_accession\n"
        'HGNC:11998\tTP53\ttumor protein p53\t"p53|LFS1"\t\t7157\tENSG00000141510\tNM_000546\n'
        'HGNC:7553\tMYC\tMYC proto-oncogene\t"c-Myc"\t"OLDMYC|V-MYC"\t4609\tENSG00000136997\t"NM_002467|NM_001354870"\n'
    ),
    "gene_info": (
        "#tax_id\tGeneID\tSymbol\tLocusTag\tSynonyms\tdbXrefs\tdescription\n"
        "9606\t7157\tTP53\t-\tBCC7|LFS1\tMIM:191170|HGNC:HGNC:11998|Ensembl:ENSG00000141510\ttumor protein p53\n"
        "9606\t4609\tMYC\t-\tMRTL\tMIM:190080|Ensembl:ENSG00000136997|AllianceGenome:HGNC:7553\tMYC\n"
    ),
    "xena": (
        "id\tgene\tchrom\tchromStart\tchromEnd\tstrand\n"
        "ENSG00000141510.16\tTP53\tchr17\t7661779\t7687550\t-\n"
        "ENSG00000136997.17\tMYC\tchr8\t127735434\t127742951\t+\n"
    ),
    "string": (
        "#string_protein_id\tpreferred_name\tprotein_size\tannotation\n"
        "9606.ENSP00000269305\tTP53\t393\tCellular tumor antigen p53; Acts as a tumor suppressor\n"
        "9606.ENSP00000478887\tMYC\t454\tMyc proto-oncogene protein\n"
    ),
    "two columns": "probe,name of the gene\n201746_at,TP53\n202431_s_at,MYC\n",
}
IDS = {
    "biomart": {"ENSG00000141510": "TP53", "ENSG00000136997": "MYC", "7157": "TP53", "4609": "MYC"},
    "hgnc": {
        "ENSG00000141510": "TP53",
        "ENSG00000136997": "MYC",
        "7157": "TP53",
        "4609": "MYC",
        "NM_000546": "TP53",
        "NM_002467": "MYC",
        "NM_001354870": "MYC",
        "OLDMYC": "MYC",
        "V-MYC": "MYC",
    },
    "gene_info": {"7157": "TP53", "4609": "MYC", "ENSG00000141510": "TP53", "ENSG00000136997": "MYC"},
    "xena": {"ENSG00000141510": "TP53", "ENSG00000136997": "MYC"},
    "string": {"ENSP00000269305": "TP53", "ENSP00000478887": "MYC"},
    "two columns": {"201746_at": "TP53", "202431_s_at": "MYC"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_of_those_who_publish_tables_are_known(tmp_path, layout):
    path = tmp_path / f"genes.{'csv' if layout == 'two columns' else 'tsv'}"
    path.write_text(LAYOUTS[layout])
    table = read_gene_table(path)
    assert table["symbol"].to_dict() == IDS[layout]
    assert table.index.is_unique
    assert table.index.name == "id"


def test_a_table_in_memory_is_read_with_its_ids_as_a_column_or_as_index():
    table = pd.DataFrame({"id": ["7157", "4609"], "symbol": ["TP53", "MYC"]})
    for given in (table, table.set_index("id")):
        assert read_gene_table(given)["symbol"].to_dict() == {"7157": "TP53", "4609": "MYC"}


def test_numbers_with_a_hole_are_still_whole_numbers():
    table = pd.DataFrame({"entrez_id": [7157.0, None, 4609.0], "symbol": ["TP53", "EGFR", "MYC"]})
    assert read_gene_table(table).index.tolist() == ["7157", "4609"]


def test_an_identifier_of_several_genes_is_left_out_and_said():
    table = pd.DataFrame(
        {"ID": ["a_at", "b_at", "b_at", "c_at"], "Gene Symbol": ["TP53", "MYC", "KRAS", "HLA-A /// HLA-B"]}
    )
    with pytest.warns(CohortWarning, match="1 identifiers stand for several symbols, first b_at; left out"):
        assert read_gene_table(table)["symbol"].to_dict() == {"a_at": "TP53"}


def test_an_earlier_symbol_that_another_gene_has_today_does_not_count():
    table = pd.DataFrame({"symbol": ["NEW", "OLD"], "prev_symbol": ["OLD", None], "entrez_id": [1, 2]})
    assert "OLD" not in read_gene_table(table).index


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["a", "b", "c"], "no column of symbols in the gene table, which has a, b, c; call them 'id' and 'symbol'"),
        (["symbol", "b", "c"], "no column of identifiers in the gene table"),
    ],
)
def test_a_table_that_names_neither_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        read_gene_table(pd.DataFrame([["x", "y", "z"]], columns=columns))


def test_a_table_without_a_symbol_in_any_row_is_refused():
    table = pd.DataFrame({"id": ["7157", "4609"], "symbol": ["-", None]})
    with pytest.raises(ValueError, match=r"no row of the gene table has both a symbol \('symbol'\) and an identifier"):
        read_gene_table(table)
