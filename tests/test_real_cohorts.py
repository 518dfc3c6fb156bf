"""Public cohorts, networks and gene sets as they are: all are read, and what is awkward about each is said by name."""

import gzip
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gexcore.cohort import read_cohort
from gexcore.identifiers import identify_genes
from gexcore.network import read_network
from gexcore.tables import read_gene_sets
from gexcore.tasks import CohortWarning
from gexcore.units import differing_units, likely_unit

COHORTS = Path(__file__).parents[2] / "shared" / "cohorts"


def shared(name):
    path = COHORTS / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


def pair(name):
    return shared(f"{name}/expression.csv.gz"), shared(f"{name}/clinical.csv")


def test_tcga_brca_has_heavy_tails():
    cohort = read_cohort(*pair("tcga-brca"))
    assert cohort.shape == (956, 1558)
    assert cohort.obs["os_event"].sum() == 130
    assert cohort.obs[["pam50", "t_stage", "n_stage", "pfi_event"]].isna().sum().tolist() == [22, 12, 28, 10]
    assert cohort["TCGA-3C-AALJ", "ABL1"].X.item() == np.float32(1.6194)
    assert cohort.X.max() == pytest.approx(36893.3, abs=0.1)
    assert set(cohort.uns["reading"]) == {"tails"}
    assert cohort.uns["reading"]["tails"].endswith("the farthest is 36893.3, gene 'FGF4' at TCGA-A8-A082; kept")
    assert likely_unit(cohort.obs["os_time"].dropna()) == "months"


def test_nki_is_named_by_accessions_and_counts_in_years():
    cohort = read_cohort(*pair("nki"))
    assert cohort.shape == (272, 1554)
    assert cohort.obs["os_event"].sum() == 77
    assert identify_genes(cohort.var_names).main == "accession"
    said = cohort.uns["reading"]["genes"]
    assert said.startswith("1554 genes are named by 1552 accessions (first Contig45645_RC, Contig44916_RC, D25272)")
    assert said.endswith("a gene table maps these to them")
    assert likely_unit(cohort.obs["os_time"]) == "years"


def test_nki_symbols_names_its_duplicated_genes_keeps_its_holes_and_counts_in_days():
    files = pair("nki-symbols")
    with pytest.raises(ValueError, match="8 genes occur twice or more in the expression table, first PECI, AURKA"):
        read_cohort(*files)
    cohort = read_cohort(*files, duplicate_genes="mean")
    assert cohort.shape == (150, 840)
    assert cohort.obs["os_time"].isna().sum() == 21
    said = cohort.uns["reading"]
    assert said["duplicates"].startswith("8 genes have 10 further columns (PECI, AURKA, KIF21A, IGFBP5, PITRM1, ECT2")
    assert said["missing"].startswith(
        "336 cells (0.27%) are missing, in 196 genes and 53 samples; most in gene 'NDUFS1'"
    )
    assert "genes" not in said  # they are symbols
    assert likely_unit(cohort.obs["os_time"].dropna()) == "days"
    with gzip.open(files[0], "rt") as handle:
        header = handle.readline().strip().split(",")
    assert len(header) - 1 - len(set(header[1:])) == 10


def test_the_units_of_the_three_breast_cohorts_are_told_apart():
    times = {name: pd.read_csv(pair(name)[1])["os_time"].dropna() for name in ("tcga-brca", "nki", "nki-symbols")}
    assert "years here and days there" in differing_units("os", times["nki"], times["nki-symbols"])
    assert "days here and months there" in differing_units("os", times["nki-symbols"], times["tcga-brca"])


def test_tcga_absolute_says_which_gene_is_constant():
    path = shared("tcga-absolute.h5ad")
    with pytest.warns(CohortWarning, match="1 gene is constant, first VAMP7"):
        cohort = read_cohort(path)
    assert cohort.shape == (973, 1577)
    assert cohort.obs["cancer_type"].value_counts().to_dict() == {"BLCA": 359, "STAD": 318, "COADREAD": 296}


def test_tcga_pan_cancer_is_read_with_its_clipped_tails():
    cohort = read_cohort(shared("tcga-pan-cancer.h5ad"))
    assert cohort.shape == (4511, 1535)
    assert cohort.obs["cancer_type"].nunique() == 10
    assert "the farthest is 50, gene " in cohort.uns["reading"]["tails"]


def test_string_and_the_hallmark_sets_speak_of_the_genes_of_the_cohorts():
    graph = read_network(shared("string-v12.tsv.gz"))
    assert (len(graph), graph.number_of_edges()) == (17_288, 174_962)
    sets = read_gene_sets(shared("hallmark.gmt"))
    assert len(sets) == 50
    members = {gene for genes in sets.values() for gene in genes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        genes = read_cohort(shared("tcga-absolute.h5ad")).var_names
    for names in (graph, members, genes):
        assert identify_genes(names).shares["symbol"] > 0.99
    assert genes.isin(list(graph)).mean() > 0.9
    assert genes.isin(members).mean() > 0.2
