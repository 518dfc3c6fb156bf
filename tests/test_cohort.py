from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from gexcore.cohort import as_cohort, read_cohort
from gexcore.tasks import CohortWarning

GENES = ["TP53", "MYC", "EGFR", "ESR1", "KRAS"]


@pytest.fixture
def expression():
    x = np.random.default_rng(0).normal(size=(6, 5)).round(3)
    return pd.DataFrame(x, index=[f"p{i}" for i in range(6)], columns=GENES)


@pytest.fixture
def clinical(expression):
    table = {"age": [50, 61, 47, 70, 39, 55], "stage": ["I", "II", "I", np.nan, "III", "II"]}
    return pd.DataFrame(table, index=expression.index)


# ------------------------------------------------------------------------------------- what comes out


def test_a_cohort_is_float32_with_samples_genes_and_clinical_columns(expression, clinical):
    cohort = read_cohort(expression, clinical[::-1])
    assert cohort.X.dtype == np.float32
    np.testing.assert_allclose(cohort.X, expression, rtol=1e-6)
    assert list(cohort.obs_names) == list(expression.index)
    assert list(cohort.var_names) == GENES
    pd.testing.assert_frame_equal(cohort.obs, clinical)


def test_genes_as_rows_is_the_transpose(expression, clinical):
    np.testing.assert_array_equal(
        read_cohort(expression.T, clinical, genes_as_rows=True).X, read_cohort(expression, clinical).X
    )
    assert read_cohort(read_cohort(expression).T, genes_as_rows=True).var_names.tolist() == GENES


def test_integer_matrices_become_float32(expression):
    whole = (expression * 10).round().astype(int)
    for data in (whole, ad.AnnData(whole)):
        assert read_cohort(data).X.dtype == np.float32
        np.testing.assert_array_equal(read_cohort(data).X, whole)


def test_every_spelling_of_missing_is_missing(expression, tmp_path):
    text = expression.astype(str)
    spellings = ["NA", "", "nan", "n/a", "na", "NULL"]
    text["MYC"] = ["0.5", *spellings[1:]]
    text.loc["p5"] = ["1", "2", "3", "4", spellings[0]]
    text.to_csv(tmp_path / "x.csv")
    x = read_cohort(tmp_path / "x.csv").X
    assert np.isnan(x).sum(axis=1).tolist() == [0, 1, 1, 1, 1, 1]


def test_missing_values_of_a_nullable_table_are_nan(expression):
    holes = expression.astype("Float64").mask(expression > 1)
    np.testing.assert_array_equal(np.isnan(read_cohort(holes).X), expression > 1)


def test_an_annotated_matrix_is_copied_with_all_it_carries(expression, clinical):
    source = ad.AnnData(
        sparse.csr_matrix(expression.abs()), obs=pd.DataFrame({"batch": list("aabbcc")}, expression.index)
    )
    source.var_names, source.layers["raw"] = GENES, source.X.copy()
    cohort = read_cohort(source, clinical)
    assert list(cohort.obs) == ["batch", "age", "stage"]
    assert "raw" in cohort.layers
    np.testing.assert_allclose(cohort.X, expression.abs(), rtol=1e-6)
    assert list(source.obs) == ["batch"]
    assert sparse.issparse(source.X)


def test_the_tables_of_the_user_are_left_alone(expression, clinical):
    expression.index = [f" {i} " for i in expression.index]
    before = expression.copy(), clinical.copy()
    cohort = read_cohort(expression, clinical)
    assert cohort.obs["age"].notna().all()  # blanks around an id do not count
    pd.testing.assert_frame_equal(expression, before[0])
    pd.testing.assert_frame_equal(clinical, before[1])


def test_log2_is_taken_of_x_plus_one(expression):
    counts = (expression.abs() * 1000).round()
    np.testing.assert_allclose(read_cohort(counts, log2=True).X, np.log2(counts + 1), rtol=1e-6)


def test_one_sample_is_a_cohort(expression):
    assert read_cohort(expression[:1]).shape == (1, 5)


@pytest.mark.parametrize(
    ("how", "expected"), [("mean", [0.5, 2.5, 4.0]), ("max_variance", [0.0, 5.0, 5.0]), ("first", [1.0, 0.0, 3.0])]
)
def test_duplicate_genes_are_merged_as_asked(how, expected):
    table = pd.DataFrame([[1.0, 7, 0], [0, 8, 5], [3, 9, 5]], index=list("abc"), columns=["MYC", "TP53", "MYC"])
    cohort = read_cohort(table, duplicate_genes=how)
    assert cohort.var_names.tolist() == ["MYC", "TP53"]
    assert cohort[:, "MYC"].X[:, 0].tolist() == expected
    assert cohort[:, "TP53"].X[:, 0].tolist() == [7, 8, 9]


# --------------------------------------------------------------------------------------- what is refused


def refused(message, *args, error=ValueError, **settings):
    with pytest.raises(error, match=message):
        read_cohort(*args, **settings)


def test_duplicate_samples_are_refused(expression, clinical):
    twice = pd.concat([expression, expression[:2]])
    refused("2 sample ids occur twice or more in the expression table, first p0, p1; keep one row", twice)
    refused("1 sample id occurs twice or more in the clinical table, first p0", expression, clinical.iloc[[0, 0, 1]])


def test_duplicate_genes_are_refused_unless_told_what_to_do(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,MYC,TP53,MYC\np1,1,2,3\np2,3,4,5\n")
    refused("1 gene occurs twice or more .* first MYC; pass duplicate_genes='mean', 'max_variance' or 'first'", path)
    refused("duplicate_genes must be one of error, mean, max_variance, first, not 'sum'", path, duplicate_genes="sum")


def test_genes_in_the_place_of_samples_are_noticed(expression, clinical):
    message = r"genes where samples are expected \(first TP53, MYC, EGFR and 2 more\).* pass genes_as_rows=True"
    refused(message, expression.T, clinical)
    refused(message, expression.T)
    ensembl = [f"ENSG0000000{i}" for i in range(5)]
    refused("pass genes_as_rows=True", expression.set_axis(ensembl, axis=1).T)
    refused("leave out genes_as_rows=True", expression, clinical, genes_as_rows=True)
    refused("leave out genes_as_rows=True", expression, genes_as_rows=True)


def test_tables_of_different_patients_are_refused(expression, clinical):
    message = "share no sample id: the first has p0, p1, p2 and 3 more, the second P0, P1, P2 and 3 more"
    refused(message, expression, clinical.rename(index=str.upper))


def test_text_among_the_expression_values_is_refused(expression, clinical):
    table = expression.astype(object)
    table.loc[["p1", "p4"], "MYC"] = ["high", "n.d."]
    refused(r"1 column .* holds text, first 'MYC': 2 cells, first at p1, p4 \(high, n.d.\)", table)
    refused("1 column .* holds text, first 'stage'", expression.join(clinical))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinite_values_are_refused(expression, value):
    expression.loc[["p2", "p3"], "EGFR"] = value
    refused("holds 2 infinite values, first in gene 'EGFR' at p2, p3", expression)


def test_log2_refuses_negative_values(expression):
    table = expression.abs()
    table.loc["p5", "ESR1"] = -0.5
    refused("1 are negative, first in gene 'ESR1' at p5; are they on a log scale already", table, log2=True)


def test_tables_without_rows_columns_or_variation_are_refused(expression, clinical):
    refused("expression table is empty: 0 samples, 5 genes", expression[:0])
    refused("expression table is empty: 6 samples, 0 genes", expression[[]])
    refused("clinical table is empty: 6 samples, 0 columns", expression, clinical[[]])
    refused("no variation: none of its 5 genes differs", expression * 0)
    refused("no variation", expression * np.nan)


def test_names_must_be_there_and_clinical_columns_unique(expression, clinical):
    refused("1 entries without a sample id, first at position 1", expression.rename(index={"p0": None}))
    refused("1 entries without a gene name, first at position 2", expression.rename(columns={"MYC": " "}))
    refused("1 column name occurs twice or more in the clinical table, first age", expression, clinical[["age", "age"]])


def test_one_column_in_two_places_is_refused(expression, clinical):
    cohort = read_cohort(expression, clinical)
    refused("columns age, stage stand in both the AnnData and the clinical table", cohort, clinical)


def test_a_damaged_or_foreign_h5ad_is_refused(expression, tmp_path):
    read_cohort(expression).write_h5ad(tmp_path / "whole.h5ad")
    content = (tmp_path / "whole.h5ad").read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(content[: len(content) // 2])
    refused("cut.h5ad: not a whole .h5ad file; it was cut short", tmp_path / "cut.h5ad")
    (tmp_path / "text.h5ad").write_text("id,MYC\n")
    refused("text.h5ad: not a whole .h5ad file", tmp_path / "text.h5ad")
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["X"] = np.ones(3)
    refused("other.h5ad: an HDF5 file, but not an AnnData, for it lacks obs, var", tmp_path / "other.h5ad")


def test_other_kinds_of_input_are_refused(expression, tmp_path):
    refused("the expression table must be a path, a DataFrame or an AnnData, not list", [[1]], error=TypeError)
    refused("pass its .obs", expression, read_cohort(expression), error=TypeError)
    refused("absent.h5ad: no such file", tmp_path / "absent.h5ad", error=FileNotFoundError)


@pytest.mark.parametrize("date", ["1-Mar", "01-Mar", "Mar-01", "2001-03-01", "1-mars", "37316"])
def test_genes_that_a_spreadsheet_turned_into_dates_are_refused_with_the_symbols_they_may_have_been(expression, date):
    message = rf"turned 1 gene names .* into dates, first {date} \(MARCHF1 or MTARC1\); rename or remove them"
    refused(message, expression.rename(columns={"MYC": date}))


def test_dates_are_refused_before_two_genes_behind_one_date_could_be_averaged(expression):
    twice = expression.rename(columns={"MYC": "1-Mar", "KRAS": "1-Mar"})
    refused("turned 2 gene names", twice, duplicate_genes="mean")


@pytest.mark.parametrize(
    ("spelling", "hint"),
    [
        (str.upper, "upper and lower case"),
        (lambda name: f"{name}.0", "a .0 at the end"),
        (lambda name: name.replace("-", "."), "dots in place of hyphens"),
        (lambda name: f"{name}-01A-11R", "what follows the patient in a TCGA barcode"),
    ],
)
def test_ids_that_agree_but_for_their_spelling_get_a_hint(expression, clinical, spelling, hint):
    ids = [f"TCGA-3C-AA{i}x" for i in range(6)]
    renamed = expression.set_axis([spelling(name) for name in ids])
    refused(rf"share no sample id: .*\(some would but for {hint}\)", renamed, clinical.set_axis(ids))


# --------------------------------------------------------------------------------------- what is warned of


def test_unmatched_samples_are_kept_without_labels_and_said(expression, clinical):
    with pytest.warns(CohortWarning) as caught:
        cohort = read_cohort(expression[:5], clinical[2:].rename(index={"p5": "q"}))
    said = [str(w.message) for w in caught]
    assert said == [
        "2 samples have no clinical row, first p0, p1; kept, labels missing",
        "1 clinical row has no expression, first q; not used",
    ]
    assert cohort.n_obs == 5
    assert cohort.obs["age"].isna().tolist() == [True, True, False, False, False]
    assert Path(caught[0].filename) == Path(__file__)


def test_constant_and_empty_genes_and_empty_samples_are_said(expression):
    expression["MYC"], expression["EGFR"], expression.loc["p3"] = 1.0, np.nan, np.nan
    with pytest.warns(CohortWarning) as caught:
        cohort = read_cohort(expression)
    assert cohort.shape == (6, 5)
    assert [str(w.message) for w in caught] == [
        "1 gene has no value, first EGFR; kept, it carries nothing",
        "1 gene is constant, first MYC; kept, it carries nothing",
        "1 sample has no expression value, first p3; kept",
    ]


def test_values_on_a_linear_scale_are_said(expression):
    with pytest.warns(CohortWarning, match=r"look like raw counts \(from \d+ to \d+\).*log2=True would take log2\(x"):
        read_cohort((expression.abs() * 1000).round())
    with pytest.warns(CohortWarning, match="look like abundances on a linear scale"):
        read_cohort(expression.abs() * 1000 + 0.5)


# -------------------------------------------------------------------------------------- any cohort


def test_as_cohort_hands_a_good_cohort_through_and_reads_the_rest(expression):
    cohort = read_cohort(expression)
    assert as_cohort(cohort) is cohort
    np.testing.assert_array_equal(as_cohort(expression).X, cohort.X)
    assert as_cohort(ad.AnnData(sparse.csr_matrix(cohort.X))).X.dtype == np.float32
    with pytest.raises(ValueError, match="1 sample id occurs twice"):
        as_cohort(cohort[["p0", "p0", "p1"]])


def test_what_an_annotated_table_says_of_itself_survives_merged_genes():
    cohort = ad.AnnData(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 1.0]], "float32"), uns={"units": {"X": "log2"}})
    cohort.obs_names, cohort.var_names = ["p1", "p2"], ["TP53", "TP53", "MYC"]
    merged = read_cohort(cohort, duplicate_genes="mean")
    assert merged.uns["units"] == {"X": "log2"}
    assert merged.X.tolist() == [[1.5, 3.0], [4.5, 1.0]]
