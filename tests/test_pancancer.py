"""The pan-cancer cohort holds what its truth table says: each type has its own co-expression and its own prognosis."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.metrics import concordance_index_censored

from gexcore.simulate import CANCER_TYPES, PAN_CANCER_MODULES, simulate_pan_cancer


@pytest.fixture(scope="module")
def demo():
    return simulate_pan_cancer()


@pytest.fixture(scope="module")
def large():
    return simulate_pan_cancer(n_samples=6000, seed=1)


def within_types(simulated):
    """Expression with mean 0 and SD 1 in every cancer type: levels are gone, what is left is co-expression."""
    by_type = simulated.expression.groupby(simulated.clinical["cancer_type"])
    return (simulated.expression - by_type.transform("mean")) / by_type.transform("std", ddof=0)


def truth_of(simulated):
    """The truth table in the order of the expression columns."""
    return simulated.truth.set_index("gene").loc[simulated.expression.columns]


def module_levels(z, truth):
    """What the anchors and members of each module say together, (samples, modules)."""
    plain = truth.index[truth["role"].isin(["anchor", "member"])]
    return z[plain].T.groupby(truth.loc[plain, "module"]).mean().T


def cox_table(simulated, name, genes):
    rows = simulated.clinical["cancer_type"] == name
    clinical = simulated.clinical.loc[rows, ["age", "os_time", "os_event"]].astype(float)
    x = simulated.expression.loc[rows, genes]
    return ((x - x.mean()) / x.std(ddof=0)).join(clinical.assign(age=clinical["age"] / 12))


# ----------------------------------------------------------------------------------------------- tables


def test_truth_table_has_every_gene_once_and_all_roles(demo):
    assert demo.expression.shape == (1000, 300)
    assert demo.truth["gene"].is_unique
    assert set(demo.truth["gene"]) == set(demo.expression.columns)
    counts = demo.truth["role"].value_counts()
    assert counts["anchor"] == 16
    assert counts["background"] == 30
    assert (counts[["member", "switching", "gated"]] > 40).all()
    assert demo.network is None


def test_expression_looks_like_log_tpm(demo):
    x = demo.expression.to_numpy()
    assert x.min() >= 0
    assert x.max() < 20
    assert (x == 0).mean() < 0.02
    np.testing.assert_array_equal(x, x.round(2))


def test_gene_sets_are_the_modules(demo):
    assert list(demo.gene_sets) == list(PAN_CANCER_MODULES)
    for name, genes in demo.gene_sets.items():
        assert len(genes) == 30
        assert set(genes) == set(demo.truth.loc[demo.truth["module"] == name, "gene"])


def test_seed_decides_the_cohort(demo):
    again, other = simulate_pan_cancer(seed=0), simulate_pan_cancer(seed=1)
    for field in ("expression", "clinical", "truth"):
        pd.testing.assert_frame_equal(getattr(again, field), getattr(demo, field))
    assert not other.expression.equals(demo.expression)


# ---------------------------------------------------------------------------------------- co-expression


@pytest.mark.parametrize("name", CANCER_TYPES)
def test_correlations_within_a_type_are_products_of_its_loadings(name, large):
    truth = truth_of(large)
    genes = truth.index[(truth["role"] != "gated") & (large.expression.min() > 0)]  # zeros are no longer normal
    rows = large.clinical["cancer_type"] == name
    loading, module = truth.loc[genes, f"loading_{name}"].to_numpy(), truth.loc[genes, "module"].to_numpy()
    expected = np.outer(loading, loading) * (module[:, None] == module)
    off = ~np.eye(len(genes), dtype=bool)
    difference = (large.expression.loc[rows, genes].corr().to_numpy() - expected)[off]
    assert abs(difference).max() < 5.5 / np.sqrt(rows.sum())  # 30,000 pairs, standard error at most 1 / sqrt(n)
    assert difference.std() < 1.1 / np.sqrt(rows.sum())


def test_loadings_of_switching_genes_differ_in_sign_and_of_members_do_not(demo):
    truth = truth_of(demo)
    loadings = truth.filter(like="loading_").rename(columns=lambda column: column.removeprefix("loading_"))
    for name, module in PAN_CANCER_MODULES.items():
        mine = loadings[truth["module"] == name]
        assert (mine[list(module.types)] != 0).all(axis=None)
        assert (mine.drop(columns=list(module.types)) == 0).all(axis=None)
    shared = truth["module"].map(lambda name: name in PAN_CANCER_MODULES and len(PAN_CANCER_MODULES[name].types) == 6)
    up = (loadings > 0).sum(axis=1)[shared]
    assert (up[truth["role"] == "switching"] == 3).all()
    assert (up[truth["role"] != "switching"] == 6).all()
    assert loadings[(truth["role"] == "switching") & shared].gt(0).drop_duplicates().shape[0] > 10


def test_gated_genes_follow_their_module_only_while_their_gate_is_open(large):
    truth, z = truth_of(large), within_types(large)
    level = module_levels(z, truth)
    level /= level.std()
    for gene, row in truth[truth["role"] == "gated"].iterrows():
        active = large.clinical["cancer_type"].isin(PAN_CANCER_MODULES[row["module"]].types)
        opened, closed = active & (level[row["gate"]] > 0.5), active & (level[row["gate"]] < -0.5)
        assert np.corrcoef(z.loc[opened, gene], level.loc[opened, row["module"]])[0, 1] > 0.7
        assert abs(np.corrcoef(z.loc[closed, gene], level.loc[closed, row["module"]])[0, 1]) < 0.25
        assert row["gate"] != row["module"]
        assert len(PAN_CANCER_MODULES[row["gate"]].types) == 6


def test_background_genes_follow_neither_a_gene_nor_the_type(large):
    truth = truth_of(large)
    background = truth.index[truth["role"] == "background"]
    r = large.expression.corr().loc[background].abs().to_numpy()
    assert np.sort(r.ravel())[: -len(background)].max() < 0.07  # 9,000 pairs, standard error 0.013
    means = large.expression[background].groupby(large.clinical["cancer_type"]).mean()
    assert (means.std() < 0.15).all()


# ------------------------------------------------------------------------------------------ restoration


def restored(simulated):
    """Held-out R2 per role of a ridge on half of the genes, and of one that knows the type and how its modules work.

    The second regresses a gene on the level of its module, and on that level while the gate is open, in every type
    alone. What is to be explained is the variance within types, so that a gene's level in a type earns nothing.
    """
    truth, types = truth_of(simulated), simulated.clinical["cancer_type"]
    train, test = train_test_split(simulated.expression.index, stratify=types, random_state=0, test_size=0.3)
    observed = np.random.default_rng(0).permuted(np.arange(len(truth)) < len(truth) / 2)
    x, y = simulated.expression.loc[:, observed], simulated.expression.loc[:, ~observed]
    residual = y - y.loc[train].groupby(types).mean().reindex(types).to_numpy()
    level = module_levels(within_types(simulated).loc[:, observed], truth[observed])

    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(1, 4, 7))).fit(x.loc[train], y.loc[train])
    left = {"linear": y.loc[test] - ridge.predict(x.loc[test]), "knowing": residual.loc[test].copy()}
    modular = truth[~observed & (truth["module"] != "")]
    for (module, gate), genes in modular.groupby(["module", "gate"]).groups.items():
        features = level[[module]].assign(opened=level[module] * (level[gate] > 0 if gate else 1))
        for name in CANCER_TYPES:
            a, b = (rows[types[rows] == name] for rows in (train, test))
            line = LinearRegression().fit(features.loc[a], residual.loc[a, genes])
            left["knowing"].loc[b, genes] -= line.predict(features.loc[b])
    total = (residual.loc[test] ** 2).sum()
    return pd.DataFrame({arm: 1 - (x**2).sum() / total for arm, x in left.items()}).groupby(truth["role"]).mean()


def test_a_linear_restoration_leaves_what_knowing_the_type_and_the_gates_restores(demo):
    explained = restored(demo)
    assert explained.loc["switching", "knowing"] > explained.loc["switching", "linear"] + 0.2
    assert explained.loc["gated", "knowing"] > explained.loc["gated", "linear"] + 0.1
    assert explained.loc[["anchor", "member"], "linear"].min() > 0.25
    assert explained.loc["background", "linear"] < 0.05


def test_without_switches_and_gates_a_linear_restoration_leaves_nothing_to_know():
    control = simulate_pan_cancer(linear=True)
    assert set(control.truth["role"]) == {"anchor", "member", "background"}
    assert (control.truth.filter(like="loading_").nunique(axis=1) == 1).all()
    explained = restored(control)
    assert (explained["knowing"] < explained["linear"] + 0.08).all()


# --------------------------------------------------------------------------------------------- clinical


@pytest.mark.parametrize(("n_genes", "low", "high"), [(4, 0.45, 0.7), (64, 0.95, 1.0)])
def test_type_shows_in_few_genes_for_half_of_the_patients_and_in_many_for_nearly_all(n_genes, low, high, demo):
    types, rng, scores = demo.clinical["cancer_type"], np.random.default_rng(0), []
    for draw in range(10):
        x = demo.expression.iloc[:, rng.choice(300, n_genes, replace=False)]
        x, x_test, y, y_test = train_test_split(x, types, stratify=types, random_state=draw, test_size=0.3)
        scores.append(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y).score(x_test, y_test))
    assert low < np.mean(scores) <= high


def test_age_is_told_by_the_module_that_ages(demo):
    level = module_levels(within_types(demo), truth_of(demo))
    r = level.corrwith(demo.clinical["age"].astype(float))
    assert r["AGING"] > 0.6
    assert r.drop("AGING").abs().max() < 0.12


def test_every_type_has_patients_deaths_and_censored_times_enough(demo):
    clinical = demo.clinical.astype({"os_event": int}).groupby("cancer_type")
    assert clinical.size().min() > 120
    assert clinical["os_event"].sum().min() >= 70
    assert clinical["os_event"].mean().between(0.45, 0.75).all()
    assert not demo.clinical.isna().any(axis=None)


# ----------------------------------------------------------------------------------------------- hazard


@pytest.mark.parametrize("name", CANCER_TYPES)
def test_anchors_are_significant_in_their_types_and_not_in_others(name, demo):
    anchors = demo.truth[demo.truth["role"] == "anchor"].set_index("gene")[f"log_hazard_{name}"]
    table = cox_table(demo, name, anchors.index)
    alone = pd.DataFrame(
        {
            gene: CoxPHFitter().fit(table[[gene, "os_time", "os_event"]], "os_time", "os_event").summary.loc[gene]
            for gene in anchors.index
        }
    ).T
    planted = anchors != 0
    assert planted.sum() == 6
    assert (alone.loc[planted, "p"] < 0.05).all()
    assert (np.sign(alone.loc[planted, "coef"]) == np.sign(anchors[planted])).all()
    assert (alone.loc[~planted, "p"] < 0.05).mean() <= 0.2  # 10 tests, 1 in 20 is significant by chance
    assert alone.loc[~planted, "p"].min() > 0.001


def test_cox_models_recover_the_planted_hazard_ratios_of_every_type(large):
    anchors = large.truth[large.truth["role"] == "anchor"].set_index("gene")
    fits = {
        name: CoxPHFitter().fit(cox_table(large, name, anchors.index), "os_time", "os_event").summary
        for name in CANCER_TYPES
    }
    summary = pd.concat(fits)  # 16 anchors and age in each of 6 types
    planted = pd.concat({name: anchors[f"log_hazard_{name}"] for name in CANCER_TYPES}).reindex(summary.index)
    deviation = (summary["coef"] - planted.fillna(0.25)) / summary["se(coef)"]  # all but age are anchors
    assert deviation.abs().max() < 4.5
    assert (deviation**2).mean() < 1.5  # 1 on average where standard errors are right
    effect = (summary["coef"] * np.sign(planted))[planted.abs() > 0]
    assert len(effect) == 36
    assert abs(effect.mean() - 0.35) < 0.04


def test_each_anchor_is_told_by_the_other_genes_of_its_module_where_that_is_active(demo):
    truth, z = truth_of(demo), within_types(demo)
    members = truth[truth["role"].isin(["anchor", "member"])]
    for gene, module in members.loc[members["role"] == "anchor", "module"].items():
        others = z[members.index[(members["module"] == module)].drop(gene)].mean(axis=1)
        for name in CANCER_TYPES:
            rows = demo.clinical["cancer_type"] == name
            r = np.corrcoef(z.loc[rows, gene], others[rows])[0, 1]
            assert r > 0.75 if name in PAN_CANCER_MODULES[module].types else abs(r) < 0.35


def test_log_hazard_is_the_sum_the_truth_table_states(demo):
    z = within_types(demo)
    types = demo.clinical["cancer_type"]
    eta = types.map(lambda name: CANCER_TYPES[name].log_hazard) + 0.25 * demo.clinical["age"].astype(float) / 12
    for name in CANCER_TYPES:
        effects = demo.truth.set_index("gene")[f"log_hazard_{name}"]
        eta[types == name] += z.loc[types == name, effects.index] @ effects
    np.testing.assert_allclose(demo.log_hazard, eta - eta.mean(), atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_possible_concordance_within_a_type_is_realistic(seed):
    simulated = simulate_pan_cancer(seed=seed)
    for _, clinical in simulated.clinical.groupby("cancer_type"):
        eta = simulated.log_hazard[clinical.index]
        oracle = concordance_index_censored(clinical["os_event"].astype(bool), clinical["os_time"], eta)[0]
        assert 0.7 < oracle < 0.83


def test_hazard_scale_zero_leaves_nothing_to_find(demo):
    null = simulate_pan_cancer(hazard_scale=0.0)
    assert (null.log_hazard == 0).all()
    assert (null.truth.filter(like="log_hazard_") == 0).all(axis=None)
    event = null.clinical["os_event"].astype(bool)
    assert abs(concordance_index_censored(event, null.clinical["os_time"], demo.log_hazard)[0] - 0.5) < 0.04


# --------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(("n_samples", "n_genes"), [(60, 100), (77, 131), (80, 1500)])
def test_any_allowed_size_gives_a_whole_cohort(n_samples, n_genes):
    simulated = simulate_pan_cancer(n_samples=n_samples, n_genes=n_genes, seed=5)
    assert simulated.expression.shape == (n_samples, n_genes)
    assert simulated.truth["gene"].nunique() == n_genes
    assert (simulated.truth["role"] == "anchor").sum() == 16
    assert np.isfinite(simulated.log_hazard).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_samples": 59}, "at least 60 samples and 100 genes.*n_samples=59"),
        ({"n_genes": 99}, "at least 60 samples and 100 genes.*n_genes=99"),
        ({"hazard_scale": float("inf")}, "hazard_scale must be finite, got inf"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        simulate_pan_cancer(**settings)
