"""Perturbed genes: closed forms of linear models, one gene at a time by hand, planted genes, and cohorts dealt anew."""

import re
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import gexcore as gx
from gexcore.baselines import ElasticNetCox, LinearModel, RidgeCox
from gexcore.comparison import paired_difference
from gexcore.interpret.perturbation import gene_effects, permuted, perturb_genes
from gexcore.tasks import CohortWarning, ValuePrediction

OS = gx.Survival("os", time="os_time", event="os_event")
AGE, SUBTYPE = gx.Regression("age"), gx.Classification("subtype")
TASKS = [OS, SUBTYPE, AGE]
COLUMNS = ["task", "output", "gene", "direction", "effect", "low", "high", "same_sign", "n"]


class Curved:
    """Age is the sum of the squares of two genes; another gene is not read. Sizes of all cohorts are kept."""

    def __init__(self):
        self.sizes = []

    def predict(self, cohort):
        self.sizes.append(cohort.n_obs)
        values = cohort.to_df()[["a", "b"]].fillna(0.0).astype(float)
        return {"age": ValuePrediction(AGE, (values**2).sum(axis=1))}


class Rounding(Curved):
    """As networks do, it computes a little else for the same sample in more company."""

    def predict(self, cohort):
        exact = super().predict(cohort)["age"]
        return {"age": ValuePrediction(AGE, exact.values + 1e-9 * cohort.n_obs)}


@pytest.fixture
def three():
    """Genes a, b and c of 30 samples; c is on a scale of its own."""
    x = np.random.default_rng(1).normal(size=(30, 3)) * [1, 2, 50]
    return ad.AnnData(pd.DataFrame(x.astype("float32"), [f"s{i}" for i in range(30)], list("abc")))


@pytest.fixture
def parts(planted):
    cohort = planted(240, groups=3, size=3, free=6)
    return cohort[:180].copy(), cohort[180:].copy()


@pytest.fixture(scope="module")
def txt(planted):
    cohort = planted(80, groups=3, size=2, free=2)
    return gx.TxT(TASKS, preset="quick", max_epochs=3, device="cpu").fit(cohort[:60].copy()), cohort[60:].copy()


def rows(table, **chosen):
    """Rows of some values, by gene."""
    return table[np.logical_and.reduce([table[name] == value for name, value in chosen.items()])].set_index("gene")


# -------------------------------------------------------------------------------------------- one model


def test_the_effect_on_a_linear_model_is_coefficient_times_standard_deviation(parts):
    train, test = parts
    for task, model in ((OS, RidgeCox(OS, clip=None)), (AGE, LinearModel(AGE, clip=None))):
        fitted = model.fit(train).models_[task.name]
        coefficient = fitted.coefficient if task is OS else fitted.coef_  # of genes in training standard deviations
        found = perturb_genes(model, test, shift=1.5, reference=train)
        assert list(found) == COLUMNS
        for direction, sign in (("up", 1), ("down", -1)):
            part = rows(found, task=task.name, direction=direction)
            assert list(part.index) == list(train.var_names)
            np.testing.assert_allclose(part["effect"], sign * 1.5 * coefficient, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(part["high"] - part["low"], 0, atol=1e-5)  # the same in every sample
            assert (part["same_sign"] == 1).all()
        own = perturb_genes(model, test, genes=["g1"])
        ratio = test.to_df()["g1"].std(ddof=0) / train.to_df()["g1"].std(ddof=0)
        assert own["effect"].tolist() == pytest.approx([coefficient[1] * ratio, -coefficient[1] * ratio], rel=1e-4)


def test_all_genes_at_once_are_one_gene_at_a_time(txt):
    model, test = txt
    found = perturb_genes(model, test, shift=0.7)
    before = model.predict(test)
    for gene in test.var_names:
        for direction, sign in (("up", 1), ("down", -1)):
            moved = test.copy()
            column = moved.var_names.get_loc(gene)
            moved.X[:, column] += sign * 0.7 * test.X[:, column].std()
            after = model.predict(moved)
            change = {("os", ""): after["os"].risk - before["os"].risk}
            change["age", ""] = after["age"].values - before["age"].values
            for name in ("basal", "luminal"):
                change["subtype", name] = (after["subtype"].probabilities - before["subtype"].probabilities)[name]
            for (task, output), by_hand in change.items():
                row = rows(found, task=task, output=output, direction=direction).loc[gene]
                assert row["effect"] == pytest.approx(by_hand.mean(), rel=1e-3, abs=1e-6)
                interval = stats.t.interval(0.95, 19, loc=by_hand.mean(), scale=stats.sem(by_hand))
                assert (row["low"], row["high"]) == pytest.approx(interval, rel=1e-3, abs=1e-6)
                assert row["same_sign"] == (np.sign(by_hand) == np.sign(by_hand.mean())).mean()
                assert row["n"] == 20
    assert found["effect"].abs().max() > 1e-3


@pytest.mark.parametrize("max_rows", [1, 7, 30, 100])
def test_the_size_of_chunks_changes_nothing_and_is_never_exceeded(three, max_rows):
    expected = perturb_genes(Curved(), three)
    model = Curved()
    pd.testing.assert_frame_equal(perturb_genes(model, three, max_rows=max_rows), expected)
    assert max(model.sizes[1:]) <= max_rows  # the first is the cohort as it is
    assert sum(model.sizes[1:]) == 3 * 2 * 30


def test_samples_that_disagree_are_counted(three):
    found = rows(perturb_genes(Curved(), three, shift=0.5), direction="up")
    x, sd = three.to_df()["a"], three.to_df()["a"].std(ddof=0)
    change = (x + 0.5 * sd) ** 2 - x**2
    assert found.loc["a", "effect"] == pytest.approx(change.mean(), abs=1e-5)
    assert found.loc["a", "same_sign"] == (np.sign(change) == np.sign(change.mean())).mean() < 1
    assert found.loc["c", ["effect", "low", "high"]].tolist() == [0, 0, 0]  # read by nobody
    assert np.isnan(found.loc["c", "same_sign"])


def test_a_subset_and_the_order_of_genes_change_nothing(txt):
    model, test = txt
    whole = perturb_genes(model, test).set_index(["task", "output", "gene", "direction"])
    some = perturb_genes(model, test[:, ::-1].copy(), genes=["g4", "g0", "g4"])
    assert list(some["gene"].unique()) == ["g4", "g0"]
    some = some.set_index(["task", "output", "gene", "direction"])
    pd.testing.assert_frame_equal(some, whole.loc[some.index], atol=1e-6)


def test_a_view_is_perturbed_as_its_copy_is_and_stays_as_it_was(three):
    before, some = three.X.copy(), three[5:12]
    pd.testing.assert_frame_equal(perturb_genes(Curved(), some), perturb_genes(Curved(), some.copy()))
    assert some.is_view
    assert (before == three.X).all()


def test_a_missing_value_stays_missing_and_its_sample_does_not_count(three):
    holes = three.copy()
    holes.X[:12, 0] = np.nan
    found = perturb_genes(Curved(), holes, reference=three)
    expected = perturb_genes(Curved(), three[12:].copy(), reference=three)
    pd.testing.assert_frame_equal(found[found["gene"] == "a"], expected[expected["gene"] == "a"])
    assert found.groupby("gene")["n"].first().to_dict() == {"a": 18, "b": 30, "c": 30}
    rounded = perturb_genes(Rounding(), holes, reference=three)
    agree, expected = (table.loc[table["gene"] == "a", "same_sign"] for table in (rounded, found))
    pd.testing.assert_series_equal(agree, expected)
    holes.X[:, 0] = np.nan
    empty = perturb_genes(Curved(), holes)
    assert empty.loc[empty["gene"] == "a", ["effect", "low", "high", "same_sign"]].isna().all(axis=None)
    assert (empty.loc[empty["gene"] == "a", "n"] == 0).all()


def test_a_gene_that_is_constant_in_the_reference_is_not_shifted(three):
    still = three.copy()
    still.X[:, 0] = 0.1  # a mean of many is not 0.1 to the last bit
    found = perturb_genes(Curved(), three, genes=["c", "a", "b"], reference=still)
    assert (found.loc[found["gene"] == "a", ["effect", "low", "high"]] == 0).all(axis=None)
    alone = perturb_genes(Curved(), three, genes=["b"])
    pd.testing.assert_frame_equal(found[found["gene"] == "b"].reset_index(drop=True), alone)


def test_of_a_cohort_without_some_genes_the_others_are_shifted_and_it_is_said_once(parts):
    train, test = parts
    model = LinearModel(AGE).fit(train)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = perturb_genes(model, test[:, 2:].copy(), max_rows=64)
    assert [w.category for w in caught] == [CohortWarning]
    assert "lacks 2 of 15 genes" in str(caught[0].message)
    assert list(found["gene"].unique()) == list(test.var_names[2:])
    on_some = gx.OnSelectedGenes(LinearModel(AGE), n=4).fit(train)
    assert list(perturb_genes(on_some, test)["gene"].unique()) == on_some.genes_


def test_clinical_columns_travel_with_their_sample(parts):
    train, test = parts
    model = gx.baselines.ClinicalCox(OS, covariates=["tumour"]).fit(train)
    found = perturb_genes(model, test, genes=["g0", "g1"], max_rows=50)
    assert (found["effect"] == 0).all()  # no gene matters: a mixed-up covariate would


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"genes": ["a", "nobody", "TP53"]}, "the cohort lacks 2 of 3 genes to shift, first nobody, TP53; its own"),
        ({"reference": "half"}, "the reference lacks 1 of 3 genes to shift, first c"),
        ({"genes": []}, "there is no gene to shift: name some of the cohort's (a, b, c)"),
        ({"shift": 0.0}, "shift is a positive number of standard deviations, not 0.0"),
        ({"shift": np.nan}, "not nan"),
        ({"max_rows": 0}, "max_rows is a number of samples, 1 or more, not 0"),
    ],
)
def test_what_cannot_be_shifted_is_refused_before_any_prediction(three, arguments, said):
    model = Curved()
    if "reference" in arguments:
        arguments = {"reference": three[:, :2].copy()}
    with pytest.raises(ValueError, match=re.escape(said)):
        perturb_genes(model, three, **arguments)
    assert model.sizes == []


# ------------------------------------------------------------------------------------------ many models


@pytest.fixture
def perturbed():
    """Tables of five models: effects of four genes on a number, and on two classes."""
    rng = np.random.default_rng(3)
    outputs = [("age", ""), ("subtype", "basal"), ("subtype", "luminal")]
    keys = [(*output, gene, way) for output in outputs for gene in "abcd" for way in ("up", "down")]
    mean = np.array(
        [{"a": 0.2, "b": -2.0, "c": 0.0, "d": 1.0}[gene] * (1 if way == "up" else -1) for *_, gene, way in keys]
    )
    return [
        pd.DataFrame(keys, columns=["task", "output", "gene", "direction"]).assign(effect=mean + rng.normal(0, 0.3, 24))
        for _ in range(5)
    ]


def test_effects_over_models_are_those_of_paired_difference(perturbed):
    found = gene_effects(perturbed, test_ratio=0.25).set_index(["task", "output", "gene"])
    assert len(found) == 12
    for key, row in found.iterrows():
        steps = []
        for table in perturbed:
            effect = table.set_index(["task", "output", "gene", "direction"])["effect"]
            steps.append((effect[(*key, "up")] - effect[(*key, "down")]) / 2)
        steps = pd.Series(steps)
        oracle = paired_difference(steps, 0 * steps, test_ratio=0.25)
        assert row[["effect", "low", "high", "p", "models"]].tolist() == pytest.approx(list(oracle.values()))
        assert row["same_sign"] == (np.sign(steps) == np.sign(steps.mean())).mean()
    for _, part in found.groupby(["task", "output"]):
        np.testing.assert_allclose(part["q"], stats.false_discovery_control(part["p"]))
        assert part["effect"].abs().is_monotonic_decreasing
        assert part.index.get_level_values("gene")[0] == "b"
    assert list(found.index.droplevel("gene").unique()) == [("age", ""), ("subtype", "basal"), ("subtype", "luminal")]
    assert found["same_sign"].min() < 1


def test_one_model_has_effects_but_no_interval_and_names_do_not_matter(perturbed):
    alone = gene_effects(perturbed[:1])
    assert alone[["low", "high", "p", "q"]].isna().all(axis=None)
    assert alone["effect"].notna().all()
    assert (alone["models"] == 1).all()
    pd.testing.assert_frame_equal(gene_effects(dict(zip("vwxyz", perturbed, strict=True))), gene_effects(perturbed))


def test_a_gene_that_some_models_lack_is_judged_by_the_others(perturbed):
    fewer = [perturbed[0][perturbed[0]["gene"] != "d"], *perturbed[1:]]
    found, rest = (gene_effects(tables).query("gene == 'd'") for tables in (fewer, perturbed[1:]))
    assert (found["models"] == 4).all()
    columns = ["effect", "low", "high", "p", "same_sign"]
    np.testing.assert_allclose(found[columns], rest[columns])
    assert list(gene_effects(fewer)["task"].unique()) == ["age", "subtype"]


def test_tables_read_back_from_text_say_the_same(perturbed, tmp_path):
    perturbed[0].to_csv(tmp_path / "one.csv", index=False)
    again = [pd.read_csv(tmp_path / "one.csv"), *perturbed[1:]]
    pd.testing.assert_frame_equal(gene_effects(again), gene_effects(perturbed))


def test_what_is_no_list_of_tables_is_refused(perturbed):
    for wrong in ([], perturbed[0], [perturbed[0].drop(columns="direction")]):
        with pytest.raises(ValueError, match="a table of perturb_genes for each model"):
            gene_effects(wrong)


# ---------------------------------------------------------------------------------------- planted, chance


def fitted_effects(cohort):
    tables = []
    for seed in range(3):
        train, _, test = gx.split(cohort, TASKS, seed=seed)
        models = RidgeCox(OS).fit(train), LinearModel([SUBTYPE, AGE]).fit(train)
        tables.append(pd.concat([perturb_genes(model, test, reference=train) for model in models]))
    return gene_effects(tables)


def test_planted_genes_rank_first_with_their_sign_and_not_once_the_patients_are_dealt_anew(planted):
    # genes 0 to 4 raise the hazard, 5 to 9 make basal, 10 to 14 raise the age
    cohort = planted(320, groups=3, size=5, free=25)
    groups = {("os", ""): range(5), ("subtype", "basal"): range(5, 10), ("age", ""): range(10, 15)}
    found, chance = fitted_effects(cohort), fitted_effects(permuted(cohort, seed=1))
    for (task, output), members in groups.items():
        own = [f"g{j}" for j in members]
        part = rows(found, task=task, output=output)
        assert set(part.index[:5]) == set(own)
        assert (part.loc[own, "effect"] > 0).all()
        assert part.loc[own, "effect"].min() > 1.5 * rows(chance, task=task, output=output)["effect"].abs().max()
    basal, luminal = (rows(found, task="subtype", output=name)["effect"] for name in ("basal", "luminal"))
    np.testing.assert_allclose(basal, -luminal[basal.index], atol=1e-12)


def test_dealt_patients_keep_their_clinical_rows_whole_and_lose_their_genes(planted):
    cohort = planted(200, groups=3, size=2)
    dealt = permuted(cohort, seed=4)
    assert list(dealt.obs_names) == list(cohort.obs_names)
    np.testing.assert_array_equal(dealt.X, cohort.X)
    order = list(cohort.obs)
    one, two = (part.obs.sort_values(order).reset_index(drop=True) for part in (cohort, dealt))
    pd.testing.assert_frame_equal(one, two)
    factor = cohort.X[:, 4:].mean(axis=1)
    assert np.corrcoef(factor, cohort.obs["age"])[0, 1] > 0.7 > 0.2 > abs(np.corrcoef(factor, dealt.obs["age"])[0, 1])
    pd.testing.assert_frame_equal(permuted(cohort, seed=4).obs, dealt.obs)
    assert not permuted(cohort, seed=5).obs.equals(dealt.obs)
    dealt.obs["age"] = 0.0
    dealt.X[:] = 0.0
    assert cohort.obs["age"].min() > 0 < cohort.X.max()


def test_a_lasso_that_leaves_a_gene_out_does_not_move_with_it(parts):
    train, test = parts
    model = ElasticNetCox(OS, l1_ratio=1.0).fit(train)
    path, alpha = model.models_["os"]
    coefficient = path.coef_[:, np.flatnonzero(path.alphas_ == alpha)[0]]
    found = rows(perturb_genes(model, test, reference=train), direction="up")
    np.testing.assert_allclose(found.loc[train.var_names[coefficient == 0], "effect"], 0, atol=1e-9)
    assert (found.loc[train.var_names[coefficient > 0], "effect"] > 0).all()
