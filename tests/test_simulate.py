"""The simulated cohort holds what its truth table says, and the embedded files are this very cohort."""

import dataclasses
import runpy
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from scipy.stats import kruskal, spearmanr
from sklearn.metrics import adjusted_rand_score
from sksurv.metrics import concordance_index_censored

from gexcore.simulate import MODULES, SUBTYPES, simulate_cohort, write_cohort

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def demo():
    return simulate_cohort()


def standardised(expression):
    return (expression - expression.mean()) / expression.std(ddof=0)


def true_covariates(simulated):
    """Every term of the true log hazard, with its coefficient as the simulator's docstring states it."""
    z, clinical = standardised(simulated.expression), simulated.clinical
    terms = {"grade": clinical["grade"], "size": np.log2(clinical["size"].astype(float)), "age": clinical["age"] / 12}
    coefficients = {"grade": 0.25, "size": 0.15, "age": 0.25}
    for row in simulated.truth.itertuples():
        if row.log_hazard_ratio != 0:
            terms[row.gene], coefficients[row.gene] = z[row.gene], row.log_hazard_ratio
        if row.partner > row.gene:
            pair = f"{row.gene} x {row.partner}"
            terms[pair], coefficients[pair] = z[row.gene] * z[row.partner], row.pair_log_hazard_ratio
    return pd.DataFrame(terms).astype(float), pd.Series(coefficients)


def cox_summary(simulated, endpoint="os"):
    terms, coefficients = true_covariates(simulated)
    outcome = simulated.clinical[[f"{endpoint}_time", f"{endpoint}_event"]].astype(float)
    table = terms.join(outcome).dropna()
    summary = CoxPHFitter().fit(table, *outcome.columns).summary
    return summary.assign(truth=coefficients, deviation=(summary["coef"] - coefficients) / summary["se(coef)"])


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize(("name", "options"), [("demo", []), ("demo-pan-cancer", ["--pan-cancer"])])
def test_embedded_files_are_what_the_command_writes_byte_for_byte(name, options, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gexcore.simulate", str(tmp_path), *options])
    runpy.run_module("gexcore.simulate", run_name="__main__")
    written = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    assert written == {f.name: f.read_bytes() for f in (DATA / name).iterdir()}
    assert sum(map(len, written.values())) < 1_600_000
    assert not any(b"\r" in content for content in written.values())


def test_options_of_the_command_reach_the_simulator(tmp_path, monkeypatch):
    options = ["--n-samples", "30", "--n-genes", "70", "--seed", "4"]
    monkeypatch.setattr(sys, "argv", ["gexcore.simulate", str(tmp_path), *options])
    runpy.run_module("gexcore.simulate", run_name="__main__")
    expression = pd.read_csv(tmp_path / "expression.csv", index_col="sample")
    pd.testing.assert_frame_equal(expression, simulate_cohort(n_samples=30, n_genes=70, seed=4).expression)


def test_files_read_back_to_the_tables_they_were_written_from(tmp_path, demo):
    write_cohort(demo, tmp_path / "new" / "folder")
    expression = pd.read_csv(tmp_path / "new" / "folder" / "expression.csv", index_col="sample")
    clinical = pd.read_csv(tmp_path / "new" / "folder" / "clinical.csv", index_col="sample")
    truth = pd.read_csv(tmp_path / "new" / "folder" / "truth.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(expression, demo.expression)
    pd.testing.assert_frame_equal(clinical, demo.clinical, check_dtype=False)
    pd.testing.assert_frame_equal(truth, demo.truth, check_dtype=False)


def test_seed_decides_the_cohort(demo):
    again, other = simulate_cohort(seed=0), simulate_cohort(seed=1)
    for field in ("expression", "clinical", "network", "truth"):
        pd.testing.assert_frame_equal(getattr(again, field), getattr(demo, field))
    assert not other.expression.equals(demo.expression)


# ------------------------------------------------------------------------------------------- expression


def test_expression_looks_like_log_tpm(demo):
    x = demo.expression
    assert x.shape == (400, 200)
    assert x.index.is_unique
    assert x.columns.is_unique
    assert x.to_numpy().min() >= 0
    assert x.to_numpy().max() < 20
    assert (x.std() > 0.3).all()


def test_truth_table_has_every_gene_once(demo):
    assert demo.truth["gene"].is_unique
    assert set(demo.truth["gene"]) == set(demo.expression.columns)
    assert set(demo.truth["role"]) == {"regulator", "risk", "protective", "interaction", "member", "background"}


def test_genes_of_a_module_correlate_more_than_genes_of_different_modules(demo):
    module = demo.truth.set_index("gene")["module"].loc[demo.expression.columns].to_numpy()
    r = np.abs(demo.expression.corr().to_numpy())
    same = (module[:, None] == module) & (module != "") & ~np.eye(len(module), dtype=bool)
    background = (module[:, None] == "") | (module == "")
    assert r[same].mean() > 0.4
    assert r[~same & ~background].mean() < 0.25
    assert r[background & ~np.eye(len(module), dtype=bool)].mean() < 0.06


def test_regulator_follows_its_module_better_than_any_member(demo):
    z = standardised(demo.expression)
    for name in MODULES:
        genes = demo.truth.loc[demo.truth["module"] == name, "gene"]
        others = {gene: z[gene].corr(z[genes.drop(genes.index[genes == gene])].mean(axis=1)) for gene in genes}
        assert max(others, key=others.get) == f"{name}_TF"


def test_modules_move_with_the_traits_the_truth_table_names(demo):
    clinical = demo.clinical.dropna()
    level = demo.expression.loc[clinical.index]
    for name, module in MODULES.items():
        regulator = level[f"{name}_TF"]
        if "subtype" in module.traits:
            assert kruskal(*[regulator[clinical["subtype"] == s] for s in SUBTYPES]).pvalue < 1e-10
        for trait in {"age", "grade", "size"} & set(module.traits):
            assert spearmanr(regulator, clinical[trait].astype(float)).pvalue < 1e-4


# --------------------------------------------------------------------------------------------- clinical


def test_clinical_variables_are_correlated(demo):
    clinical = demo.clinical.dropna()
    assert spearmanr(clinical["grade"], clinical["size"]).statistic > 0.15
    high_grade = (clinical["grade"] == 3).groupby(clinical["subtype"]).mean()
    assert high_grade["cycling"] > high_grade["hormonal"] + 0.2
    age = clinical.groupby("subtype")["age"].mean()
    assert age["basal"] < age["hormonal"]


def test_missing_labels_have_the_stated_share_and_endpoints_stay_whole(demo):
    assert demo.clinical.isna().sum().to_dict() == {
        "age": 0, "size": 10, "grade": 20, "subtype": 10, "os_time": 0, "os_event": 0, "rfs_time": 10, "rfs_event": 10,
    }  # fmt: skip
    assert (demo.clinical["rfs_time"].isna() == demo.clinical["rfs_event"].isna()).all()
    assert not simulate_cohort(missing=0).clinical.isna().any().any()


@pytest.mark.parametrize("seed", range(4))
def test_censoring_and_the_best_possible_concordance_are_realistic(seed):
    simulated = simulate_cohort(seed=seed)
    event = simulated.clinical["os_event"].astype(bool)
    assert 0.4 < 1 - event.mean() < 0.6
    assert 0.35 < 1 - simulated.clinical["rfs_event"].mean() < 0.6
    oracle = concordance_index_censored(event, simulated.clinical["os_time"], simulated.log_hazard)[0]
    assert 0.73 < oracle < 0.82


def test_recurrence_comes_before_or_with_the_end_of_overall_survival(demo):
    clinical = demo.clinical.dropna()
    assert (clinical["rfs_time"] <= clinical["os_time"]).all()
    assert (clinical["os_time"] > 0).all()
    assert clinical.loc[clinical["os_event"] == 1, "rfs_event"].eq(1).all()


# ----------------------------------------------------------------------------------------------- hazard


def test_log_hazard_is_the_sum_the_truth_table_states():
    simulated = simulate_cohort(missing=0, seed=3)
    terms, coefficients = true_covariates(simulated)
    eta = (terms * coefficients).sum(axis=1)
    np.testing.assert_allclose(simulated.log_hazard, eta - eta.mean(), atol=1e-10)


@pytest.mark.parametrize("endpoint", ["os", "rfs"])
def test_cox_model_recovers_the_planted_hazard_ratios_on_both_endpoints(endpoint):
    summary = cox_summary(simulate_cohort(n_samples=4000, missing=0), endpoint)
    assert summary["deviation"].abs().max() < 3.5
    assert (summary["deviation"] ** 2).mean() < 2  # 1 on average where standard errors are right
    assert (summary["coef"] - summary["truth"]).abs().max() < 0.15


def test_product_of_each_interacting_pair_is_significant_in_the_demo(demo):
    summary = cox_summary(demo)
    pairs = summary.index.str.contains(" x ")
    assert pairs.sum() == 3
    assert (summary.loc[pairs, "p"] < 0.01).all()


def test_hazard_scale_zero_leaves_nothing_to_find():
    null = simulate_cohort(hazard_scale=0.0)
    assert (null.log_hazard == 0).all()
    assert (null.truth[["log_hazard_ratio", "pair_log_hazard_ratio"]] == 0).all(axis=None)
    strong = simulate_cohort().log_hazard
    c_index = concordance_index_censored(null.clinical["os_event"].astype(bool), null.clinical["os_time"], strong)[0]
    assert abs(c_index - 0.5) < 0.06


def test_pair_scale_zero_makes_the_hazard_additive():
    additive = simulate_cohort(pair_scale=0.0, missing=0)
    terms, coefficients = true_covariates(additive)
    assert coefficients[coefficients.index.str.contains(" x ")].eq(0).all()
    alone = terms.loc[:, ~terms.columns.str.contains(" x ")]
    assert np.corrcoef((alone * coefficients[alone.columns]).sum(axis=1), additive.log_hazard)[0, 1] > 1 - 1e-12


# ------------------------------------------------------------------------------------ network, gene sets


def test_network_communities_are_the_modules(demo):
    graph = nx.from_pandas_edgelist(demo.network, "gene_a", "gene_b")
    communities = nx.community.louvain_communities(graph, seed=0)
    found = {gene: i for i, genes in enumerate(communities) for gene in genes}
    planted = demo.truth[(demo.truth["module"] != "") & demo.truth["gene"].isin(found)]
    assert adjusted_rand_score(planted["module"], planted["gene"].map(found)) > 0.8
    assert nx.community.modularity(graph, communities) > 0.5


def test_network_lists_each_pair_once_with_regulators_as_hubs_and_pairs_joined(demo):
    edges = [frozenset(edge) for edge in demo.network[["gene_a", "gene_b"]].to_numpy()]
    assert len(set(edges)) == len(edges)
    assert {len(edge) for edge in edges} == {2}
    assert demo.network["score"].between(0, 1000).all()
    degree = pd.concat([demo.network["gene_a"], demo.network["gene_b"]]).value_counts()
    truth = demo.truth.set_index("gene").assign(degree=degree).fillna({"degree": 0})
    for name in MODULES:
        assert truth.loc[truth["module"] == name, "degree"].idxmax() == f"{name}_TF"
    assert truth.loc[truth["role"] == "member", "degree"].std() > 2
    paired = truth[truth["partner"] != ""]
    assert all(frozenset(pair) in edges for pair in paired["partner"].items())


def test_network_has_false_edges_of_lower_score(demo):
    module = demo.truth.set_index("gene")["module"]
    same = demo.network["gene_a"].map(module) == demo.network["gene_b"].map(module)
    assert 0.1 < (~same).mean() < 0.4
    assert demo.network.loc[same, "score"].median() > demo.network.loc[~same, "score"].median() + 100


def test_gene_sets_are_the_modules_and_three_sets_by_chance(demo):
    assert list(demo.gene_sets) == [*MODULES, "CHANCE_1", "CHANCE_2", "CHANCE_3"]
    for name in MODULES:
        assert set(demo.gene_sets[name]) == set(demo.truth.loc[demo.truth["module"] == name, "gene"])
    lines = (DATA / "demo" / "gene_sets.gmt").read_text().splitlines()
    assert {line.split("\t")[0]: line.split("\t")[2:] for line in lines} == demo.gene_sets


# --------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(("n_samples", "n_genes"), [(20, 60), (33, 101), (60, 1500)])
def test_any_allowed_size_gives_a_whole_cohort(n_samples, n_genes):
    simulated = simulate_cohort(n_samples=n_samples, n_genes=n_genes, seed=5)
    assert simulated.expression.shape == (n_samples, n_genes)
    assert len(simulated.truth) == n_genes
    assert (simulated.truth["role"] == "interaction").sum() == 6
    assert np.isfinite(simulated.log_hazard).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_samples": 5}, "at least 20 samples and 60 genes.*n_samples=5"),
        ({"n_genes": 59}, "at least 20 samples and 60 genes.*n_genes=59"),
        ({"hazard_scale": float("nan")}, "must be finite"),
        ({"pair_scale": float("inf")}, "must be finite"),
        ({"missing": -0.1}, "between 0 and 0.5"),
        ({"missing": 0.7}, "between 0 and 0.5"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        simulate_cohort(**settings)


def test_simulated_cohort_is_frozen(demo):
    with pytest.raises(dataclasses.FrozenInstanceError):
        demo.truth = None
