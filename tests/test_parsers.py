"""Every source, from its true format through a real transfer to the cohort, network or gene sets it stands for."""

import dataclasses
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from gexcore.sources import SOURCES, fetch, load_cohort, load_gene_sets, load_network, load_tasks
from gexcore.sources.clinical import events, follow_up, numbers, read_clinical
from gexcore.sources.stringdb import combine_channels
from gexcore.tasks import Survival

FIXTURES = Path(__file__).parents[1] / "data" / "formats"
COHORTS = [source.name for source in SOURCES.values() if source.kind == "cohort"]


@pytest.fixture
def public(served, tmp_path, monkeypatch):
    """Fetch a source from the local server, which has the fixtures, into a folder of its own."""
    monkeypatch.setenv("GEXCORE_DATA", str(tmp_path))

    def get(name):
        source = SOURCES[name]
        files = []
        for file in source.files:
            path = f"/{name}/{quote(file.name)}"
            served.files[path] = (FIXTURES / name / file.name).read_bytes()
            files.append(dataclasses.replace(file, url=served.url + path, sha256=None, size=None))
        monkeypatch.setitem(SOURCES, name, dataclasses.replace(source, files=tuple(files)))
        return fetch(name)

    return get


def cells(cohort, gene):
    return cohort[:, gene].X.ravel().tolist()


def change(cohort, of, step):
    report = cohort.uns["report"]
    return report.loc[(report["of"] == of) & (report["step"] == step), "change"].item()


def test_the_fixtures_hold_every_file_of_every_source():
    for source in SOURCES.values():
        assert {file.name for file in source.files} == {path.name for path in (FIXTURES / source.name).iterdir()}


def test_scan_b_is_patients_of_the_follow_up_on_the_log_scale(public):
    public("scan-b")
    cohort = load_cohort("scan-b")
    assert list(cohort.obs_names) == ["Q000001", "Q000002", "Q000004"]
    assert list(cohort.var_names) == ["TP53", "ESR1", "MYC"]
    # FPKM 3, 1 and a tumour sequenced twice with 7 and 1: log2(x + 1) 2, 1 and the mean of 3 and 1
    np.testing.assert_allclose(cells(cohort, "TP53"), [2, 1, 2], rtol=1e-6)
    np.testing.assert_allclose(cells(cohort, "MYC"), 5)  # the higher of its two rows, FPKM 31
    assert cohort.obs["age"].tolist() == [65, 40, 75]
    assert cohort.obs["nhg"].iloc[:2].tolist() == ["2", "3"]
    assert cohort.obs["pam50"].isna().tolist() == [False, False, True]  # "unclassified" is no class
    np.testing.assert_allclose(cohort.obs["os_time"], [120, 24, 12])
    np.testing.assert_allclose(cohort.obs["drfi_time"], [120, 12, np.nan])
    assert cohort.obs["os_event"].tolist() == [0, 1, 0]
    assert (change(cohort, "samples", "no follow-up"), change(cohort, "samples", "replicates")) == (-1, -1)
    assert (change(cohort, "genes", "no symbol"), change(cohort, "genes", "repeated symbol")) == (-1, -1)


def test_the_first_of_two_replicates_stays_where_that_is_asked_for(public):
    public("scan-b")
    np.testing.assert_allclose(cells(load_cohort("scan-b", replicates="first"), "TP53"), [2, 1, 3], rtol=1e-6)
    public("gse96058")
    np.testing.assert_allclose(cells(load_cohort("gse96058", replicates="first"), "TP53"), [2, 1, 0], atol=1e-6)
    with pytest.raises(ValueError, match="replicates must be one of mean, first, not 'last'"):
        load_cohort("gse96058", replicates="last")


def test_gse96058_comes_from_log2_of_fpkm_and_a_tenth_with_labels_by_key(public):
    public("gse96058")
    cohort = load_cohort("gse96058")
    assert list(cohort.obs_names) == ["F1", "F2", "F3"]
    np.testing.assert_allclose(cells(cohort, "TP53"), [2.5, 1, 0], atol=1e-6)  # F1 and F1repl: FPKM 3 and 7
    assert "1-Mar" in cohort.var_names  # the source's own; what it may have been is not decided here
    assert cohort.obs["age"].tolist() == [43, 67, 55]
    assert cohort.obs["nhg"].tolist()[0] == "3"
    assert cohort.obs["size"].isna().tolist() == [False, True, False]
    np.testing.assert_allclose(cohort.obs["os_time"], [72, 24, 12])  # F2's keys changed places
    assert cohort.obs["os_event"].tolist() == [0, 1, 0]
    assert change(cohort, "samples", "replicates") == -1


def test_tcga_brca_is_one_primary_tumour_a_patient_by_symbol(public):
    public("tcga-brca")
    cohort = load_cohort("tcga-brca")
    assert list(cohort.obs_names) == ["TCGA-A1-A0SB", "TCGA-A2-A0T2", "TCGA-A7-A0CE"]
    assert cells(cohort, "TP53") == [2, 1.5, 3.25]  # vial A of the first; the scale stays
    assert cells(cohort, "MYC") == [3.5, 2.5, 4.5]  # the row with the higher mean
    assert cells(cohort, "WASH6P") == [1, 2, 3]  # not its empty copy on chromosome Y
    assert cohort.n_vars == 4
    assert cohort.obs.loc["TCGA-A7-A0CE"].isna().all()  # no clinical row
    assert cohort.obs["pam50"].iloc[:2].tolist() == ["Normal", "Basal"]  # not that of normal tissue
    assert cohort.obs["stage"].isna().tolist() == [False, True, True]
    np.testing.assert_allclose(cohort.obs["os_time"].iloc[:2], [12, 24])
    np.testing.assert_allclose(cohort.obs["pfi_time"].iloc[:2], [12, np.nan])
    steps = {step: change(cohort, "samples", step) for step in ("other tissue", "second sample", "redacted", "kept")}
    assert steps == {"other tissue": -2, "second sample": -1, "redacted": -1, "kept": 3}
    assert change(cohort, "genes", "no symbol") == -2


def test_target_aml_is_primary_marrow_before_blood_with_age_in_years(public):
    public("target-aml")
    cohort = load_cohort("target-aml")
    assert list(cohort.obs_names) == ["TARGET-20-PAABLA", "TARGET-20-PABGKN"]
    assert cells(cohort, "TP53") == [2, 1]
    np.testing.assert_allclose(cohort.obs["age"], [10, 2])
    np.testing.assert_allclose(cohort.obs["os_time"], [24, 60])
    assert cohort.obs["os_event"].tolist() == [1, 0]


def test_metabric_reads_codes_with_words_and_leaves_claudin_low_out_of_pam50(public):
    public("metabric")
    cohort = load_cohort("metabric")
    assert list(cohort.obs_names) == ["MB-0002", "MB-0000", "MB-0005", "MB-0006"]
    assert cells(cohort, "MYC") == [9.5, 9.25, 9, 9]
    np.testing.assert_allclose(cells(cohort, "ESR1"), [12.5, np.nan, 11, 6])
    assert cohort.obs["os_event"].tolist()[:3] == [1, 0, 1]
    assert cohort.obs["rfs_event"].tolist()[:3] == [1, 0, 0]
    assert cohort.obs["nhg"].tolist()[:3] == ["3", "3", "2"]
    assert cohort.obs["pam50"].tolist()[0] == "LumA"
    assert cohort.obs["pam50"].isna().tolist() == [False, True, False, True]
    assert cohort.obs.loc["MB-0006", ["age", "size", "os_time"]].isna().all()
    assert change(cohort, "samples", "no patient") == -1
    assert "2 samples are claudin-low" in cohort.uns["report"]["note"].str.cat(sep=" ")


def test_metabric_takes_the_expression_file_under_its_older_name(public, tmp_path):
    public("metabric")
    (tmp_path / "metabric" / "data_mrna_illumina_microarray.txt").rename(
        tmp_path / "metabric" / "data_expression_median.txt"
    )
    assert load_cohort("metabric").n_obs == 4


def test_tcga_pan_cancer_keeps_missing_cells_and_leukaemias(public):
    public("tcga-pan-cancer")
    cohort = load_cohort("tcga-pan-cancer")
    assert list(cohort.obs_names) == ["TCGA-A1-A0SB", "TCGA-AB-2802", "TCGA-OR-A5J1"]
    assert cells(cohort, "TP53") == [9.25, 8, 10.5]
    np.testing.assert_allclose(cells(cohort, "100130426"), [0.5, np.nan, np.nan])
    assert cohort.obs["cancer_type"].tolist() == ["BRCA", "LAML", "ACC"]
    assert cohort.obs["disease"].tolist()[1] == "acute myeloid leukemia"
    np.testing.assert_allclose(cohort.obs["os_time"], [48, 12, 24])


def test_tcga_toil_comes_from_log2_of_tpm_and_a_thousandth(public):
    public("tcga-toil")
    cohort = load_cohort("tcga-toil")
    np.testing.assert_allclose(cells(cohort, "TP53"), [1, 0, 2], atol=1e-3)  # TPM 1, 0 and 3
    np.testing.assert_allclose(2 ** cohort[:, "MYC"].X.ravel() - 1, [30, 4, 8], rtol=1e-3)
    assert cohort.n_vars == 2


@pytest.mark.parametrize("name", COHORTS)
def test_a_fetched_cohort_has_its_tasks_says_where_it_is_from_and_survives_a_file(name, public, tmp_path):
    public(name)
    cohort = load_cohort(name)
    assert cohort.X.dtype == np.float32
    assert cohort.uns["name"] == name
    assert all(cohort.uns[key] for key in ("citation", "licence", "note"))
    assert set(cohort.uns["units"]) <= {"X", *cohort.obs.columns}
    tasks = load_tasks(name)
    assert isinstance(tasks[0], Survival)
    for task in tasks:
        assert cohort.obs[list(task.columns)].notna().all(axis=1).any()
    of_samples = cohort.uns["report"][cohort.uns["report"]["of"] == "samples"].set_index("step")["change"]
    assert of_samples.drop("kept").sum() == of_samples["kept"] == cohort.n_obs
    of_genes = cohort.uns["report"][cohort.uns["report"]["of"] == "genes"].set_index("step")["change"]
    assert of_genes.drop("kept").sum() == of_genes["kept"] == cohort.n_vars
    cohort.write_h5ad(tmp_path / "cohort.h5ad")
    again = read_h5ad(tmp_path / "cohort.h5ad")
    np.testing.assert_array_equal(again.X, cohort.X)
    assert again.uns["report"]["note"].tolist() == cohort.uns["report"]["note"].tolist()
    said = cohort.uns.get("reading", {})
    assert again.uns.get("reading", {}) == said
    assert ("missing" in said) == np.isnan(cohort.X).any()
    assert ("genes" in said) == (name in ("gse96058", "tcga-pan-cancer"))  # a date, a gene id among the symbols


def test_a_cohort_that_was_not_fetched_is_an_error_that_says_the_command(served, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"run `gexcore fetch metabric --folder {tmp_path}`"):
        load_cohort("metabric", folder=tmp_path)
    assert served.seen == []


def test_an_option_that_a_cohort_does_not_have_is_refused_by_name():
    with pytest.raises(TypeError, match="cohort 'metabric' has no option 'replicates'; options: none"):
        load_cohort("metabric", replicates="mean")
    with pytest.raises(TypeError, match="cohort 'scan-b' has no option 'repeats'; options: replicates"):
        load_cohort("scan-b", repeats="mean")


def test_a_file_cut_off_before_it_came_is_said_to_be_damaged(tmp_path):
    home = tmp_path / "tcga-pan-cancer"
    home.mkdir()
    for path in (FIXTURES / "tcga-pan-cancer").iterdir():
        data = path.read_bytes()
        (home / path.name).write_bytes(data[:-20] if "geneExp" in path.name else data)
    with pytest.raises(ValueError, match=r"tcga-pan-cancer: a file in .* is damaged .*run `gexcore fetch"):
        load_cohort("tcga-pan-cancer", folder=tmp_path)


def test_string_links_become_edges_between_symbols_once(public):
    public("string-v12")
    graph = load_network("string-v12")
    assert {frozenset(edge): weight for *edge, weight in graph.edges(data="weight")} == {
        frozenset({"TP53", "MDM2"}): 998,
        frozenset({"TP53", "MYC"}): 699,
        frozenset({"MDM2", "MYC"}): 488,
    }
    assert load_network("string-v12", min_score=700).number_of_edges() == 1


def test_without_text_mining_the_other_channels_are_combined_anew(public):
    public("string-v12-no-text-mining")
    graph = load_network("string-v12-no-text-mining", min_score=0)
    assert not graph.has_edge("TP53", "MYC")  # text mining was all there was
    # 1 - (1 - (0.8 - p) / (1 - p)) (1 - (0.9 - p) / (1 - p)) with p = 0.041, and p again
    free = [(score - 0.041) / 0.959 for score in (0.8, 0.9)]
    expected = (1 - (1 - free[0]) * (1 - free[1])) * 0.959 + 0.041
    assert graph["TP53"]["MDM2"]["weight"] == int(1000 * expected)


def test_all_channels_together_give_the_combined_score_of_the_file():
    table = pd.read_csv(FIXTURES / "string-v12-no-text-mining" / "9606.protein.links.full.v12.0.txt.gz", sep=" ")
    combined = combine_channels(table.drop(columns=["protein1", "protein2", "combined_score"]))
    np.testing.assert_allclose(combined, table["combined_score"], atol=1)


def test_homologous_proteins_count_less_for_what_occurs_together():
    def score(homology):
        channels = ["neighborhood", "coexpression", "experiments", "database"]
        row = dict.fromkeys([*channels, *(f"{name}_transferred" for name in channels), "fusion"], 0)
        return combine_channels(pd.DataFrame([row | {"cooccurence": 600, "homology": homology}])).item()

    assert score(0) in (599, 600)
    assert score(1000) in (40, 41)
    assert score(0) > score(500) > score(1000)


def test_gene_sets_are_those_of_the_file(public):
    public("hallmark")
    assert load_gene_sets() == {
        "HALLMARK_HYPOXIA": ["VEGFA", "CA9"],
        "HALLMARK_P53_PATHWAY": ["TP53", "MDM2", "CDKN1A"],
    }


def test_a_source_of_another_kind_is_refused_with_those_of_the_kind():
    with pytest.raises(ValueError, match="'metabric' stands for a cohort, not for gene sets; there are: hallmark"):
        load_gene_sets("metabric")


# --------------------------------------------------------------------------------------- clinical tables


@pytest.mark.parametrize("word", ["[Not Available]", "[Discrepancy]", "not reported", "#N/A", "NA", "'--", ""])
def test_words_for_missing_are_missing(tmp_path, word):
    (tmp_path / "c.tsv").write_text(f"# a remark\nid\tage\np1\t50\np2\t{word}\n")
    assert read_clinical(tmp_path / "c.tsv", ["age"], index="id")["age"].isna().tolist() == [False, True]


def test_a_clinical_table_of_another_version_is_refused_with_what_it_has(tmp_path):
    (tmp_path / "c.tsv").write_text("id\tage\np1\t50\n")
    with pytest.raises(ValueError, match=r"c\.tsv lacks column sex, stage; it has id, age\. Is it another version\?"):
        read_clinical(tmp_path / "c.tsv", ["age", "sex", "stage"], index="id")
    book = FIXTURES / "tcga-brca" / "TCGA-CDR-SupplementalTableS1.xlsx"
    with pytest.raises(ValueError, match=r"has no sheet 'CDR' but TCGA-CDR, ExtraEndpoints"):
        read_clinical(book, ["OS"], index="bcr_patient_barcode", sheet="CDR")


def test_cells_that_are_no_numbers_or_events_are_refused_by_name():
    with pytest.raises(ValueError, match="column 'age' holds 1 cells that are not numbers, first old at p2"):
        numbers(pd.Series(["50", "old"], index=["p1", "p2"], name="age"))
    with pytest.raises(ValueError, match="column 'OS' holds 1 cells that are not numbers, first DECEASED"):
        events(pd.Series(["1:DECEASED", "DECEASED"], index=["p1", "p2"], name="OS"))


def test_follow_up_below_zero_is_missing_and_its_event_with_it():
    columns = pd.Series(["365.25", "-3", None, "30.4375"], name="t"), pd.Series(["1", "1", "0", None], name="e")
    table = pd.DataFrame(follow_up("os", *columns, unit="days"))
    assert list(table) == ["os_time", "os_event"]
    np.testing.assert_allclose(table, [[12, 1]] + [[np.nan, np.nan]] * 3)
