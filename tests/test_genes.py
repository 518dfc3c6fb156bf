import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gexcore.baselines import LinearModel
from gexcore.cohort import read_cohort
from gexcore.genes import (
    OnSelectedGenes,
    align_genes,
    divide_among_sets,
    fill_in,
    gene_report,
    harmonise,
    select_genes,
)
from gexcore.tasks import CohortWarning, Regression

GENES = ["TP53", "MYC", "EGFR", "ESR1", "KRAS"]
NAMES = [f"g{i:02}" for i in range(60)]
WILD = ["g41", "g17", "g55", "g03"]  # from the most variable gene down


def cohort_of(x, names=NAMES, first=0, **obs):
    samples = [f"p{first + i}" for i in range(len(x))]
    return read_cohort(pd.DataFrame(x, index=samples, columns=names), pd.DataFrame(obs, index=samples) if obs else None)


@pytest.fixture
def planted():
    """Sixty genes of standard deviation 0.5 to 1.5, and four of them 5, 4, 3 and 2.5."""
    rng = np.random.default_rng(0)
    sd = pd.Series(rng.uniform(0.5, 1.5, 60), NAMES)
    sd[WILD] = [5, 4, 3, 2.5]
    return cohort_of(rng.normal(rng.uniform(0, 10, 60), sd, (300, 60)))


@pytest.fixture
def expression():
    x = np.random.default_rng(0).normal(size=(6, 5)).round(3)
    return pd.DataFrame(x, index=[f"p{i}" for i in range(6)], columns=GENES)


# --------------------------------------------------------------------------------------- selection


def test_the_most_variable_genes_are_chosen_in_their_order(planted):
    assert select_genes(planted, n=4) == WILD
    assert select_genes(planted, n=2) == WILD[:2]
    assert sorted(select_genes(planted, n=1000)) == NAMES


def test_only_members_of_the_gene_sets_are_chosen(planted, tmp_path):
    sets = {"a": ["g17", "g00", "nowhere"], "b": ["g03", "g00"]}
    assert select_genes(planted, n=2, gene_sets=sets) == ["g17", "g03"]
    assert sorted(select_genes(planted, gene_sets=sets)) == ["g00", "g03", "g17"]
    path = tmp_path / "sets.gmt"
    path.write_text("".join("\t".join([name, "", *genes]) + "\n" for name, genes in sets.items()))
    assert select_genes(planted, gene_sets=path) == select_genes(planted, gene_sets=sets)


def test_the_choice_depends_neither_on_the_order_of_samples_nor_of_genes(planted):
    rng = np.random.default_rng(1)
    shuffled = planted[rng.permutation(300), rng.permutation(60)]
    assert select_genes(shuffled, n=20) == select_genes(planted, n=20)
    twins = cohort_of(np.repeat(planted.X[:, :1], 3, axis=1), ["c", "a", "b"])
    with pytest.warns(CohortWarning, match="close to a random one"):
        assert select_genes(twins, n=2) == ["a", "b"]


@pytest.mark.parametrize("value", [1e6, -1e6])
def test_one_absurd_cell_chooses_no_gene(planted, value):
    x = planted.X.copy()
    x[5, NAMES.index("g00")] = value
    x[:, NAMES.index("g01")] = 0
    x[7, NAMES.index("g01")] = value
    assert select_genes(cohort_of(x), n=4) == WILD


def test_genes_that_are_constant_empty_or_off_in_one_sample_are_never_chosen(planted):
    planted.X[:, 0], planted.X[:, 1], planted.X[:, 2] = 7, np.nan, [9] + [3] * 299
    assert sorted(select_genes(planted)) == NAMES[3:]


def test_missing_cells_do_not_count(planted):
    planted.X[::2, NAMES.index("g17")] = np.nan
    assert select_genes(planted, n=4) == WILD


@pytest.mark.parametrize("tails", ["light", "heavy"])
def test_scaled_genes_that_vary_alike_are_noticed(tails):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 60)) if tails == "light" else rng.standard_t(1.5, size=(200, 60))
    cohort = cohort_of((x - x.mean(axis=0)) / x.std(axis=0))
    for part in (cohort, cohort[:140]) if tails == "light" else (cohort,):
        with pytest.warns(CohortWarning, match="as after z-scoring: the choice of 10 among 60 is close to a random"):
            select_genes(part, n=10)
    assert len(select_genes(cohort, n=60)) == 60  # where all are taken nothing is chosen


def test_choices_that_cannot_be_made_are_refused(planted):
    with pytest.raises(ValueError, match="n is a number of genes, 1 or more, not 0"):
        select_genes(planted, n=0)
    message = "the 1 gene sets share no gene with the cohort: the sets hold ENSG1, ENSG2, the cohort g00, g01, g02"
    with pytest.raises(ValueError, match=message):
        select_genes(planted, gene_sets={"a": ["ENSG2", "ENSG1"]})
    planted.X[:, :2] = 1
    with pytest.raises(ValueError, match="none of the 2 genes varies between the samples"):
        select_genes(planted[:, NAMES[:2]])


def test_every_gene_of_no_set_is_dealt_to_one_further_set_of_the_usual_size_whatever_the_order():
    sets = {"a": NAMES[:8], "b": [*NAMES[5:10], "absent"], "c": NAMES[10:20]}  # 8, 5 and 10 genes, 20 in all
    divided = divide_among_sets(NAMES, sets)
    others = {name: genes for name, genes in divided.items() if name not in sets}
    assert divided["b"] == NAMES[5:10]
    assert list(others) == [f"other genes {i}" for i in range(1, 6)]
    assert {len(genes) for genes in others.values()} == {8}
    assert sorted(gene for genes in others.values() for gene in genes) == NAMES[20:]
    assert divide_among_sets(NAMES[::-1], sets) == divided
    assert list(divide_among_sets(NAMES[:20], sets)) == ["a", "b", "c"]


def test_a_model_on_selected_genes_reads_those_of_its_own_training_samples(planted):
    planted.obs["age"] = planted.to_df()["g41"]
    train, test = planted[:200].copy(), planted[200:].copy()
    model = OnSelectedGenes(LinearModel([Regression("age")]), n=4).fit(train)
    assert model.genes_ == list(model.model.genes_) == WILD
    test.X[:, NAMES.index("g00")] *= 100  # what varies in test samples alone is not looked at
    predicted = model.predict(test)["age"].values
    assert np.corrcoef(predicted, test.obs["age"])[0, 1] > 0.99
    pd.testing.assert_series_equal(predicted, model.predict(test[:, WILD])["age"].values)


# ------------------------------------------------------------------------------------------ report


def test_the_report_tells_present_absent_and_extra_genes_apart(expression):
    expression.loc[["p0", "p1", "p2"], "MYC"] = np.nan
    report = gene_report(expression, ["MYC", "A1", "TP53"])
    assert report.index.name == "gene"
    assert report["status"].to_dict() == {
        "MYC": "present",
        "A1": "absent",
        "TP53": "present",
        "EGFR": "extra",
        "ESR1": "extra",
        "KRAS": "extra",
    }
    assert report["missing"].tolist() == [0.5, 1, 0, 0, 0, 0]


# ------------------------------------------------------------------------------------- harmonising


@pytest.fixture
def here():
    """The wanted scale: 131 samples, so that every second value is one of the 65 quantiles."""
    return cohort_of(np.random.default_rng(2).normal([0, 5, -3, 8, 1], [1, 2, 0.5, 3, 1], (131, 5)), GENES)


def test_zscore_undoes_another_unit_of_each_gene(here):
    there = cohort_of(here.X * [2, 0.1, 30, 1, 7] + [5, 0, -100, 3, 1], GENES, first=500)
    back = harmonise(there, like=here, method="zscore")
    np.testing.assert_allclose(back.X, here.X, atol=1e-4)
    assert back.X.dtype == np.float32
    assert back.obs_names.equals(there.obs_names)
    assert back.var_names.equals(here.var_names)


def test_quantile_undoes_any_increasing_change_of_scale(here):
    there = cohort_of(np.exp(here.X / 3) + 2, GENES)
    back, x = (np.sort(cohort.X, axis=0) for cohort in (harmonise(there, like=here), here))
    np.testing.assert_allclose(back[1:-1:2], x[1:-1:2], atol=1e-4)  # the quantiles themselves
    assert (back[2:-1:2] >= x[1:-3:2] - 1e-4).all()  # the values between them stay between them
    assert (back[2:-1:2] <= x[3:-1:2] + 1e-4).all()
    np.testing.assert_allclose(back[[0, -1]], x[[1, -2]], atol=1e-4)  # and the outermost are cut
    ranks = [cohort.to_df()[1:-1].rank() for cohort in (here, harmonise(there, like=here))]
    assert ranks[0].corrwith(ranks[1]).min() > 0.999


@pytest.mark.parametrize("method", ["quantile", "zscore"])
def test_other_patients_of_the_same_population_get_its_distribution(here, method):
    other = np.random.default_rng(3).normal([0, 5, -3, 8, 1], [1, 2, 0.5, 3, 1], (400, 5))
    back = harmonise(cohort_of(other * 4 - 20, GENES), like=here, method=method)
    sd = here.X.std(axis=0)
    np.testing.assert_allclose(back.X.mean(axis=0) / sd, here.X.mean(axis=0) / sd, atol=0.05)
    np.testing.assert_allclose(back.X.std(axis=0) / sd, 1, atol=0.1)


@pytest.mark.parametrize("method", ["quantile", "zscore"])
def test_what_is_missing_stays_missing(here, method):
    there = here.copy()
    there.X[3, 0] = np.nan
    there.X[:, 1], there.X[4, 1] = 2, np.nan  # a gene that is constant where it is known
    wanted = here.copy()
    wanted.X[:, 4] = np.nan
    with pytest.warns(CohortWarning, match=r"lacks 1 of 5 genes \(first ESR1\); they count as missing"):
        back = harmonise(there[:, ["KRAS", "TP53", "MYC", "EGFR"]], like=wanted, method=method)
    holes = np.isnan(back.X)
    assert list(back.var_names) == GENES
    assert holes[:, 3:].all()  # one is not in the cohort, the other has no value to follow
    assert np.argwhere(holes[:, :3]).tolist() == [[3, 0], [4, 1]]
    np.testing.assert_allclose(np.delete(back.X[:, 1], 4), here.X[:, 1].mean(), atol=0.1)


@pytest.mark.parametrize("method", ["quantile", "zscore"])
def test_labels_are_not_read_and_stay_as_they_are(here, method):
    rng = np.random.default_rng(4)
    there = cohort_of(here.X * 2, GENES, age=rng.normal(size=131), event=rng.integers(0, 2, 131))
    there.uns["source"] = "elsewhere"
    mixed = there.copy()
    mixed.obs = mixed.obs.sample(frac=1, random_state=0).set_axis(mixed.obs_names)
    back = harmonise(there, like=here, method=method)
    np.testing.assert_array_equal(back.X, harmonise(mixed, like=here, method=method).X)
    pd.testing.assert_frame_equal(back.obs, there.obs)
    assert back.uns["source"] == "elsewhere"


def test_cohorts_too_small_to_know_their_own_distribution_are_refused(here):
    with pytest.raises(ValueError, match=r"9 samples are too few to harmonise: .* of 10 or more"):
        harmonise(here[:9], like=here)
    assert harmonise(here[:10], like=here).n_obs == 10
    with pytest.raises(ValueError, match="harmonise must be 'quantile' or 'zscore', not 'combat'"):
        harmonise(here, like=here, method="combat")


# --------------------------------------------------------------------------------------- alignment


@given(rows=st.permutations(range(6)), columns=st.permutations(range(5)))
def test_order_of_rows_and_columns_never_matters(rows, columns):
    x = np.arange(30.0).reshape(6, 5)
    table = pd.DataFrame(x, index=list("abcdef"), columns=GENES)
    labels = pd.DataFrame({"age": range(6)}, index=table.index)
    cohort = read_cohort(table.iloc[rows, columns], labels.iloc[rows[::-1]])
    cohort = cohort[list("abcdef")]
    np.testing.assert_array_equal(align_genes(cohort, GENES), x)
    assert cohort.obs["age"].tolist() == list(range(6))


def test_absent_genes_are_missing_and_said(expression):
    with pytest.warns(CohortWarning, match=r"the cohort lacks 2 of 5 genes \(first A1, A2\); they count as missing"):
        x = align_genes(read_cohort(expression), ["KRAS", "A1", "TP53", "A2", "MYC"])
    assert x.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(x).all(axis=0), [False, True, False, True, False])
    np.testing.assert_allclose(x[:, [0, 2, 4]], expression[["KRAS", "TP53", "MYC"]], rtol=1e-6)


@pytest.mark.parametrize(
    ("rename", "hint"),
    [
        (str.lower, "5 more would match without upper and lower case"),
        (lambda gene: f"{gene}.2", "5 more would match without the version after the dot"),
        (lambda gene: f"ENSG{len(gene)}{gene}", "one list holds Ensembl ids, the other symbols"),
        (lambda gene: f"X{gene}", "its own genes are called XTP53, XMYC, XEGFR and 2 more$"),
    ],
)
def test_too_few_genes_are_refused_with_the_likely_reason(expression, rename, hint):
    cohort = read_cohort(expression.rename(columns=rename))
    with pytest.raises(ValueError, match=rf"lacks 5 of 5 genes \(first TP53.*coverage 0%, min_coverage is 50%.*{hint}"):
        align_genes(cohort, GENES)


def test_a_coverage_beyond_one_is_refused(expression):
    with pytest.raises(ValueError, match="min_coverage is a share between 0 and 1, not 50"):
        align_genes(expression, GENES, min_coverage=50)


# ------------------------------------------------------------------------------------- filling in


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_measured_values_stay_to_the_bit_and_holes_are_filled(expression, dtype):
    cohort = read_cohort(expression, pd.DataFrame({"age": range(6)}, index=expression.index))
    cohort.X = cohort.X.astype(dtype) + np.array(1e-9, dtype)
    cohort.X[[1, 4], 2] = np.nan
    cohort.uns["source"] = "elsewhere"
    before = cohort.copy()
    wanted = ["KRAS", "A1", "EGFR", "TP53"]
    values = np.arange(24.0).reshape(6, 4)
    filled = fill_in(cohort, wanted, values)
    assert filled.X.dtype == dtype
    assert list(filled.var_names) == wanted
    np.testing.assert_array_equal(filled.X[:, [0, 3]], before.X[:, [4, 0]])
    np.testing.assert_array_equal(filled.X[:, 1], values[:, 1])
    egfr = before.X[:, 2].copy()
    egfr[[1, 4]] = values[[1, 4], 2]
    np.testing.assert_array_equal(filled.X[:, 2], egfr)
    pd.testing.assert_frame_equal(filled.obs, cohort.obs)
    assert filled.uns["source"] == "elsewhere"
    filled.obs["age"], filled.X[:] = 0, 0
    np.testing.assert_array_equal(cohort.X, before.X)
    assert cohort.obs["age"].tolist() == list(range(6))
