"""What is unusual about a cohort and kept is said by name, and nothing is said of a clean one."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gexcore.cohort import read_cohort, tally


@pytest.fixture
def expression():
    x = np.random.default_rng(0).normal(size=(6, 5)).round(3)
    return pd.DataFrame(x, index=[f"p{i}" for i in range(6)], columns=["TP53", "MYC", "EGFR", "ESR1", "KRAS"])


def test_a_clean_cohort_has_nothing_to_remark(expression):
    assert "reading" not in read_cohort(expression).uns


def test_missing_cells_are_counted_by_gene_and_sample(expression):
    expression.loc[["p1", "p2"], "EGFR"] = np.nan
    expression.loc["p2", "KRAS"] = np.nan
    assert read_cohort(expression).uns["reading"] == {
        "missing": "3 cells (10.00%) are missing, in 2 genes and 2 samples; most in gene 'EGFR' (33%) and sample 'p2' "
        "(40%); kept as missing"
    }


@pytest.mark.parametrize("how", ["mean", "max_variance", "first"])
def test_merged_genes_are_named(expression, how):
    said = read_cohort(expression.rename(columns={"EGFR": "MYC"}), duplicate_genes=how).uns["reading"]["duplicates"]
    assert said.startswith("1 gene has 1 further column (MYC); ")
    assert {"mean": "averaged", "max_variance": "most variable", "first": "first column"}[how] in said


def test_heavy_tails_are_told_from_normal_values():
    x = np.random.default_rng(0).normal(size=(400, 25))
    table = pd.DataFrame(x, [f"p{i}" for i in range(400)], [f"G{j}" for j in range(25)])
    assert "reading" not in read_cohort(table).uns
    table.iloc[7, 3], table.iloc[8, 4] = 99.0, -500.0
    said = read_cohort(table).uns["reading"]["tails"]
    assert said.startswith("2 cells (0.02%) are more than 10 robust standard deviations off the median of their gene")
    assert "the farthest is -500, gene 'G4' at p8" in said


def test_genes_that_are_mostly_zero_have_no_heavy_tails():
    x = np.random.default_rng(0).gamma(2.0, size=(400, 25))
    x[np.random.default_rng(1).uniform(size=x.shape) < 0.8] = 0
    table = pd.DataFrame(x, [f"p{i}" for i in range(400)], [f"G{j}" for j in range(25)])
    assert "reading" not in read_cohort(table).uns


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("ENSG0000000000{}.3", "5 Ensembl genes"),
        ("NM_00000{}", "5 accessions"),
        ("20000{}_s_at", "5 probes"),
        ("715{}", "5 Entrez numbers"),
    ],
)
def test_names_that_are_no_symbols_are_said_with_what_to_do(expression, name, noun):
    said = read_cohort(expression.set_axis([name.format(i) for i in range(5)], axis=1)).uns["reading"]["genes"]
    assert said.startswith(f"5 genes are named by {noun} (first ")
    assert said.endswith("a gene table maps these to them")


def test_outdated_symbols_are_said(expression):
    said = read_cohort(expression.rename(columns={"MYC": "SEPT2"})).uns["reading"]["genes"]
    assert said.endswith("1 symbols are outdated (first SEPT2 is now SEPTIN2)")


def test_remarks_are_written_with_the_cohort_and_renewed_when_it_is_read(tmp_path, expression):
    expression.loc["p1", "EGFR"] = np.nan
    read_cohort(expression).write_h5ad(tmp_path / "x.h5ad")
    again = ad.read_h5ad(tmp_path / "x.h5ad")
    assert set(again.uns["reading"]) == {"missing"}
    again.X[1, 2] = 0.5
    assert "reading" not in read_cohort(again).uns


def test_remarks_do_not_depend_on_how_many_samples_are_looked_at_together(monkeypatch):
    x = np.random.default_rng(0).standard_t(2, size=(50, 23))
    x[np.random.default_rng(1).uniform(size=x.shape) < 0.1] = np.nan
    table = pd.DataFrame(x, [f"p{i}" for i in range(50)], [f"G{j}" for j in range(23)])
    whole = read_cohort(table).uns["reading"]
    assert set(whole) == {"missing", "tails"}
    monkeypatch.setattr(tally, "_CELLS", 4 * 23)
    assert read_cohort(table).uns["reading"] == whole
