from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import gexcore as gx
from gexcore.preprocessing import (
    convert_times,
    drop_flat_genes,
    keep_gene_sets,
    keep_variable_genes,
    map_genes,
    preprocess,
    to_log2,
)
from gexcore.preprocessing.report import COLUMNS
from gexcore.tasks import Classification, CohortWarning, Survival

COHORTS = Path(__file__).parents[2] / "shared" / "cohorts"
OS, KIND = Survival("os", time="os_time", event="os_event"), Classification("kind")


def cohort_of(x, samples=None, genes=None, **obs):
    x = np.asarray(x, dtype="float32")
    samples = samples or [f"p{i}" for i in range(len(x))]
    genes = genes or [f"g{j}" for j in range(x.shape[1])]
    return ad.AnnData(x, obs=pd.DataFrame(obs, index=samples), var=pd.DataFrame(index=genes))


def shared(name):
    path = COHORTS / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


def refused(match, step, *inputs, error=ValueError, **settings):
    with pytest.raises(error, match=match):
        step(*inputs, **settings)


# --------------------------------------------------------------------------------------------- gene symbols

TABLE = pd.DataFrame(
    {
        "id": ["ENSG00000000001.3", "ENSG00000000002", "ENSG00000000003", "ENSG00000000004", "ENSG00000000004"],
        "symbol": ["A1", "B2", "A1", "C3", "D4"],
    }
)
IDS = ["ENSG00000000002.7", "ENSG00000000001.1", "ENSG00000000004.2", "ENSG00000000003.5", "ENSG00000000009.1", "B2X"]


def test_ids_become_symbols_and_the_unknown_and_the_ambiguous_are_dropped():
    x = np.random.default_rng(0).normal(5, [1, 1, 1, 3, 1, 1], (9, 6))
    mapped, report = map_genes(cohort_of(x, genes=IDS, age=range(9)), TABLE)
    assert mapped.var_names.tolist() == ["B2", "A1"]
    np.testing.assert_allclose(mapped.X, np.column_stack([x[:, 0], x[:, [1, 3]].mean(axis=1)]), rtol=1e-6)
    assert mapped.var["gene_id"].tolist() == [IDS[0], f"{IDS[1]} {IDS[3]}"]
    assert mapped.obs["age"].tolist() == list(range(9))
    assert report["kept"].tolist() == [4, 3, 2, 2]
    assert report["dropped"].tolist() == [2, 1, 1, 0]
    assert report["first_ids"].tolist()[:3] == [f"{IDS[4]}, B2X", IDS[2], IDS[3]]
    assert report["why"].tolist()[-1] == "named by symbols; 50.0% covered"


def test_of_several_ids_of_one_symbol_the_rule_chooses():
    x = np.random.default_rng(0).normal(5, [1, 1, 1, 3, 1, 1], (9, 6)).astype("float32")
    cohort = cohort_of(x, genes=IDS)
    for rule, column in {"first": 1, "max_variance": 3}.items():
        mapped, report = map_genes(cohort, TABLE, duplicates=rule)
        np.testing.assert_array_equal(mapped.X, x[:, [0, column]])
        assert report.loc[2, "first_ids"] == IDS[4 - column]
    refused(
        "1 symbols have several ids, first A1 .ENSG00000000003.5.; pass", map_genes, cohort, TABLE, duplicates="error"
    )
    refused("duplicates must be one of mean", map_genes, cohort, TABLE, duplicates="sum")


def test_names_that_are_symbols_of_the_table_already_stay():
    cohort = cohort_of(np.eye(3), genes=["A1", "ENSG00000000002", "Z9"])
    assert map_genes(cohort, TABLE)[0].var_names.tolist() == ["A1", "B2"]


@pytest.mark.parametrize("copy", ["ENSG00000000002.7_PAR_Y", "ENSGR0000000002.7"])
def test_an_empty_copy_on_chromosome_y_does_not_halve_its_gene(copy):
    x = np.random.default_rng(0).normal(5, 1, (9, 2))
    cohort = cohort_of(np.column_stack([x, np.zeros(9)]), genes=["ENSG00000000002.7", "ENSG00000000001.1", copy])
    mapped, report = map_genes(cohort, TABLE)
    np.testing.assert_allclose(mapped[:, "B2"].X.ravel(), x[:, 0], rtol=1e-6)
    assert report.loc[0, ["why", "first_ids"]].tolist() == ["copies on chromosome Y of genes on X", copy]
    alone = cohort_of(np.eye(2), genes=[copy, "ENSG00000000001.1"])
    assert map_genes(alone, TABLE)[0].var_names.tolist() == ["B2", "A1"]


def test_a_table_for_other_names_is_refused_with_what_both_hold():
    cohort = cohort_of(np.eye(4), genes=["NM_000546", "NM_002467", "Contig45645_RC", "ENSG00000000002"])
    message = (
        "names 1 of 4 genes: coverage 25%, min_coverage is 50%. In the cohort 4 genes are named by 3 accessions .*; in "
        "the table .* Ensembl genes"
    )
    refused(message, map_genes, cohort, TABLE)
    assert map_genes(cohort, TABLE, min_coverage=0.25)[0].var_names.tolist() == ["B2"]
    refused("names 0 of 3 genes", map_genes, cohort[:, :3].copy(), TABLE, min_coverage=0)
    refused("min_coverage is a share between 0 and 1, not 50", map_genes, cohort, TABLE, min_coverage=50)


# -------------------------------------------------------------------------------------------- genes that stay


def test_genes_without_variation_in_training_are_dropped():
    x = np.random.default_rng(0).normal(size=(8, 5))
    x[:4, 1], x[:4, 2], x[4:, 3], x[:4, 4] = 7, np.nan, 7, [np.nan, 1, 1, np.nan]
    kept, report = drop_flat_genes(cohort_of(x), train=["p0", "p1", "p2", "p3"])
    assert kept.var_names.tolist() == ["g0", "g3"]
    assert kept.n_obs == 8
    assert report["first_ids"].tolist() == ["g2", "g1, g4"]
    assert drop_flat_genes(cohort_of(x), train=None)[0].n_vars == 5
    refused("all 5 are constant or empty in the 1 training samples", drop_flat_genes, cohort_of(x), train=["p0"])


def test_members_of_gene_sets_stay(tmp_path):
    cohort = cohort_of(np.eye(4), genes=["A", "B", "C", "D"])
    path = tmp_path / "sets.gmt"
    path.write_text("one\t\tC\tA\ntwo\t\tA\tX\n")
    for sets in (path, {"one": ["C", "A"], "two": ["A", "X"]}):
        kept, report = keep_gene_sets(cohort, sets)
        assert kept.var_names.tolist() == ["A", "C"]
        assert report["first_ids"].tolist() == ["B, D", "X"]
    refused("the 1 sets hold Y, the cohort A, B, C and 1 more", keep_gene_sets, cohort, {"one": ["Y"]})


def test_the_most_variable_genes_of_the_training_samples_stay():
    rng = np.random.default_rng(0)
    x = rng.normal(5, [1, 4, 2, 3], (60, 4))
    x[30:, 0] *= 50
    kept, report = keep_variable_genes(cohort_of(x), train=[f"p{i}" for i in range(30)], n=2)
    assert kept.var_names.tolist() == ["g1", "g3"]
    assert kept.n_obs == 60
    assert report["why"].item() == "not among the 2 most variable genes of 30 training samples"
    assert report["first_ids"].item() == "g0, g2"


def test_training_samples_must_be_samples_of_the_cohort():
    cohort = cohort_of(np.eye(5))
    message = "the cohort lacks 1 of the 2 train samples, first nobody; train names samples of this cohort, such as p0"
    refused(message, drop_flat_genes, cohort, train=["p0", "nobody"])
    refused("train is empty", keep_variable_genes, cohort, train=[])


# ----------------------------------------------------------------------------------------------- all together


SHAPES = np.random.default_rng(1).permutation(np.geomspace(0.2, 20, 40))  # of gamma distributions: small ones vary


@pytest.fixture
def raw():
    """As a public file: a replicate, two samples of a patient, normal tissue, log2(x + 0.001), Ensembl ids, days."""
    rng = np.random.default_rng(0)
    samples = [f"T-{i:03}-01" for i in range(60)] + ["T-000-01r", "T-001-06", "T-002-11"]
    genes = [f"ENSG{i:011}.{i % 7}" for i in range(40)]
    x = rng.gamma(SHAPES, 200, (63, 40))
    x[:, 5] = 0
    obs = {
        "tissue": ["tumour"] * 62 + ["normal"],
        "os_time": rng.integers(20, 4000, 63).astype(float),
        "os_event": rng.integers(0, 2, 63).astype(float),
        "kind": rng.choice(["a", "b"], 63),
    }
    obs["os_time"][7] = np.nan
    obs["os_event"][7] = np.nan
    return cohort_of(np.log2(x + 0.001), samples, genes, **obs)


def raw_options():
    symbols = [f"G{i}" for i in range(38)]
    return {
        "where": {"tissue": "tumour"},
        "scale": "log2(x + 0.001)",
        "tumour": lambda name: name.removesuffix("r"),
        "patient": lambda name: name[:5],
        "times": {"os_time": "days"},
        "gene_table": pd.DataFrame({"id": [f"ENSG{i:011}" for i in range(38)], "symbol": symbols}),
        "gene_sets": {"one": symbols[:20], "two": symbols[10:30]},
        "n_genes": 12,
    }


def test_a_public_file_becomes_a_training_table_with_a_row_for_every_reason(raw):
    cohort, report = preprocess(raw, [OS, KIND], train=lambda c: gx.split(c, [OS], seed=0)[0], **raw_options())
    assert cohort.shape == (59, 12)
    assert set(cohort.var_names) <= {f"G{i}" for i in range(30)} - {"G5"}
    assert cohort.obs["os_time"].max() < 4000 / 30
    linear = np.exp2(raw.to_df().loc[["T-000-01", "T-000-01r"]].astype(float)) - 0.001
    expected = np.log2(linear + 1).mean()[[f"ENSG{int(g[1:]):011}.{int(g[1:]) % 7}" for g in cohort.var_names]]
    np.testing.assert_allclose(cohort["T-000"].X[0], expected, rtol=1e-5)

    assert report.columns.tolist() == COLUMNS
    steps = "select_samples to_log2 average_replicates keep_one_per_patient convert_times drop_samples_without_labels"
    steps += " map_genes drop_flat_genes keep_gene_sets keep_variable_genes"
    assert report["step"].drop_duplicates().tolist() == ["as read", *steps.split()]
    for what, left in {"samples": 59, "genes": 12}.items():
        rows = report[report["what"] == what]
        np.testing.assert_array_equal(rows["kept"].iloc[1:], rows["kept"].iloc[0] - rows["dropped"].cumsum().iloc[1:])
        assert rows["kept"].iloc[-1] == left


def test_steps_that_are_not_asked_for_are_left_out(raw):
    cohort, report = preprocess(raw, OS, train=None, n_genes=None)
    assert cohort.shape == (62, 39)
    assert set(report["step"]) == {"as read", "drop_samples_without_labels", "drop_flat_genes"}


def test_training_samples_may_be_named_and_the_rest_has_no_say(raw):
    options = raw_options() | {"duplicates": "max_variance"}
    options["gene_table"].loc[1::2, "symbol"] = options["gene_table"].loc[::2, "symbol"].to_numpy()  # pairs of ids
    train = [f"T-{i:03}" for i in range(10, 50)]
    clean, report = preprocess(raw, [OS], train=train, **options)
    spoilt = raw.copy()
    outside = ~spoilt.obs_names.str[:5].isin(train)
    spoilt.X[outside] = np.log2(np.random.default_rng(2).gamma(SHAPES[::-1] / 9, 200, (outside.sum(), 40)) + 0.001)
    again, told = preprocess(spoilt, [OS], train=train, **options)
    assert again.var_names.equals(clean.var_names)
    pd.testing.assert_frame_equal(again.var, clean.var)
    pd.testing.assert_frame_equal(told, report)
    np.testing.assert_array_equal(again[train].X, clean[train].X)
    whole = preprocess(spoilt, [OS], train=None, **options)[0]
    assert not whole.var_names.equals(clean.var_names)  # learned on all samples the genes would be others


# ---------------------------------------------------------------------------------------------- real cohorts


def test_tcga_absolute_comes_to_the_paper_scale_and_its_hallmark_genes():
    path, sets = shared("tcga-absolute.h5ad"), shared("hallmark.gmt")
    with pytest.warns(CohortWarning, match="VAMP7"):
        raw = gx.read_cohort(path)
    tasks = [OS, Classification("cancer_type")]
    cohort, report = preprocess(
        raw,
        tasks,
        train=lambda c: gx.split(c, tasks, seed=0)[0],
        where={"cancer_type": ["BLCA", "STAD"]},
        scale="log2(x + 0.001)",
        gene_sets=sets,
        n_genes=500,
    )
    assert cohort.shape == (359 + 318, 500)
    tpm = np.exp2(raw[cohort.obs_names, cohort.var_names].X.astype(float)) - 0.001
    np.testing.assert_allclose(cohort.X, np.log2(np.maximum(tpm, 0) + 1), atol=1e-5)
    assert cohort.X.min() == 0
    flat = report.query("step == 'drop_flat_genes'")
    assert flat["dropped"].sum() == 1
    assert "VAMP7" in set(flat["first_ids"])


def test_accessions_of_nki_are_recognised_and_its_years_become_months():
    folder = shared("nki")
    cohort = gx.read_cohort(folder / "expression.csv.gz", folder / "clinical.csv")
    refused("coverage 0%.*1552 accessions", map_genes, cohort, TABLE)
    refused("are they z-scores, or another logarithm", to_log2, cohort, scale="log2(x + 1)")
    months = convert_times(cohort, {"os_time": "years"})[0]
    assert months.obs["os_time"].max() == pytest.approx(12 * cohort.obs["os_time"].max())


def test_patients_of_nki_symbols_without_survival_are_dropped():
    folder = shared("nki-symbols")
    cohort = gx.read_cohort(folder / "expression.csv.gz", folder / "clinical.csv", duplicate_genes="mean")
    kept, report = preprocess(cohort, OS, train=None, times={"os_time": "days"}, n_genes=None)
    assert kept.n_obs == 150 - 21
    assert report.query("step == 'drop_samples_without_labels'")["dropped"].item() == 21
    assert 10 < kept.obs["os_time"].median() < 200
