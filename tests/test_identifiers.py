import pytest

from gexcore.identifiers import date_symbols, identify_genes, on_chromosome_y, strip_version

KINDS = {
    "symbol": [
        "TP53",
        "HLA-A",
        "NKX2-1",
        "MT-CO1",
        "C1orf112",
        "RP11-34P13.7",
        "LOC100130426",
        "Trp53",
        "esr1",
        "IGH@",
    ],
    "ensembl": [
        "ENSG00000141510",
        "ENSG00000141510.16",
        "ENSG00000182378.15_PAR_Y",
        "ENSGR0000182378.12",
        "ENSMUSG00000059552",
    ],
    "ensembl_transcript": ["ENST00000269305", "ENST00000269305.9", "ENST00000269305.9|ENSG00000141510.16|TP53-201"],
    "ensembl_protein": ["ENSP00000269305", "9606.ENSP00000269305"],
    "entrez": ["7157", "7157.0", "?|100130426", "100130426"],
    "accession": ["NM_000546.6", "NR_024540", "XM_017016245", "AB019691", "U45975", "Contig12345_RC", "Hs.654481"],
    "probe": ["1007_s_at", "200000_at", "AFFX-BioB-3_at", "ILMN_1762337", "A_23_P100001", "cg00000029"],
    "date": ["1-Mar", "Mar-01", "01-Mar", "2001-03-01", "3/1/2001", "1-mars", "2-Sep", "1-Dec", "4-Oct", "2.31E+13"],
    "unknown": ["Y_RNA", "?", "a gene", "G3PDH_570"],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in names])
def test_the_form_of_a_name_tells_its_kind(kind, name):
    assert identify_genes([name]).main == kind


def test_the_commonest_kind_comes_first_and_shares_add_up():
    found = identify_genes(["TP53", "MYC", "KRAS", "NM_000546", "1-Mar"])
    assert found.main == "symbol"
    assert found.shares.to_dict() == {"symbol": 0.6, "accession": 0.2, "date": 0.2}
    assert found.kinds.loc["NM_000546"] == "accession"
    assert found.of("date") == ["1-Mar"]


def test_one_sentence_says_what_is_there_and_what_is_outdated():
    assert str(identify_genes(["TP53", "MARCH1", "SEPT2", "DEC1", "NM_000546"])) == (
        "5 genes are named by 4 symbols (first TP53, MARCH1, SEPT2), 1 accessions (first NM_000546); "
        "3 symbols are outdated (first MARCH1 is now MARCHF1, SEPT2 is now SEPTIN2, DEC1 is now DELEC1)"
    )


def test_legacy_names_of_tcga_count_by_their_symbol():
    found = identify_genes(["TP53|7157", "?|100130426", "MYC|4609"])
    assert found.kinds.tolist() == ["symbol", "entrez", "symbol"]


def test_numbers_are_dates_only_among_symbols_and_only_where_a_symbol_fits():
    symbols = ["TP53", "MYC", "EGFR"]
    assert identify_genes([*symbols, "37316"]).kinds["37316"] == "date"  # the first of March 2002
    assert identify_genes([*symbols, "37330"]).kinds["37330"] == "entrez"  # the fifteenth
    assert identify_genes(["7157", "4609", "37316"]).kinds["37316"] == "entrez"


@pytest.mark.parametrize("start", [0, 1])
def test_numbers_that_only_count_are_no_entrez_numbers(start):
    assert identify_genes(map(str, range(start, start + 5))).main == "unknown"
    assert identify_genes(["7157", "4609"]).main == "entrez"


def test_names_that_occur_twice_are_counted_twice():
    assert identify_genes(["TP53", "TP53", "NM_000546"]).kinds.tolist() == ["symbol", "symbol", "accession"]


def test_no_name_is_refused():
    with pytest.raises(ValueError, match="no gene name to identify"):
        identify_genes([])


@pytest.mark.parametrize(
    "name",
    ["ENSG00000141510.16", "ENSG00000141510.16_2", "ENSG00000141510_PAR_Y", "ENSG00000141510", " ENSG00000141510.16 "],
)
def test_an_ensembl_id_loses_its_version(name):
    assert strip_version(name) == "ENSG00000141510"


@pytest.mark.parametrize("name", ["RP11-34P13.7", "HLA-DRB1", "1007_s_at", "Hs.654481", "Y_RNA", "Contig12345_RC", "?"])
def test_names_without_a_version_stay_as_they_are(name):
    assert strip_version(name) == name


# HGNC's renaming of 2020: Bruford et al., Nature Genetics 52:754, and its symbol reports
@pytest.mark.parametrize(
    ("name", "symbols"),
    [
        *((name, ("MARCHF1", "MTARC1")) for name in ("1-Mar", "01-Mar", "Mar-01", "1. Mrz", "1-mars", "March 1")),
        *(
            (name, ("MARCHF1", "MTARC1"))
            for name in ("2001-03-01", "2001-03-01 00:00:00", "1-Mar-01", "37316", "1-Mar.1")
        ),
        ("3-Mar", ("MARCHF3",)),
        ("11-Mar", ("MARCHF11",)),
        ("12-Mar", ()),
        ("2-Sep", ("SEPTIN2",)),
        ("14-sept", ("SEPTIN14",)),
        ("15-Sep", ("SELENOF",)),
        ("1-déc", ("DELEC1",)),
        ("2-Dec", ()),
        ("4-Oct", ()),
        ("9/2/2001", ("SEPTIN2",)),
        ("2.9.2001", ("SEPTIN2",)),
        ("3/9/2001", ("MARCHF9", "SEPTIN3")),  # the ninth of March or the third of September
        ("40-Mar", ()),
        ("MARCH1", ()),
        ("TP53", ()),
    ],
)
def test_a_date_remembers_the_symbols_it_may_have_been(name, symbols):
    assert date_symbols(name) == symbols


def test_copies_on_chromosome_y_are_known_by_both_spellings_and_have_the_id_of_the_gene():
    copies = ["ENSG00000182378.15_PAR_Y", "ENSGR0000182378.12"]
    assert all(on_chromosome_y(name) for name in copies)
    assert {strip_version(name) for name in copies} == {"ENSG00000182378"}
    assert not any(on_chromosome_y(name) for name in ["ENSG00000129824.16", "TP53", "SRY", "A_PAR_Y"])
