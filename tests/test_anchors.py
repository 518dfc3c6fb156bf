"""Cox models of one gene and of many under a ridge against lifelines and scikit-survival, and the arms of anchors.

What is restored, from what, and that no test sample has a say in it is read off restorers and models that take notes.
"""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index
from sklearn.decomposition import PCA
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

import gexcore as gx
from gexcore import anchors
from gexcore.baselines import KNN, GaussianConditional, GeneMean
from gexcore.baselines.ridge_cox import RidgeCox, RiskSets, _cross_validated
from gexcore.comparison import differences
from gexcore.scaling import Scaler

OS = gx.Survival("os", time="os_time", event="os_event")
STRONG, WEAK = [f"strong{j}" for j in range(10)], [f"weak{j}" for j in range(30)]
OTHER = [f"other{j}" for j in range(40)]
GENES = STRONG + WEAK + OTHER


def planted(n=300, seed=0):
    """A hidden factor carries the hazard; some genes follow it closely, some loosely, the others not at all."""
    rng = np.random.default_rng(seed)
    hidden, away = rng.normal(size=(2, n, 1))
    strong = hidden + 0.3 * rng.normal(size=(n, 10))
    weak = hidden + 3.0 * rng.normal(size=(n, 30))
    other = away + rng.normal(size=(n, 40))
    happens, leaves = rng.exponential(20 * np.exp(-1.2 * hidden[:, 0])), rng.uniform(5, 60, size=n)
    outcome = {"os_time": np.minimum(happens, leaves).round(), "os_event": (happens <= leaves).astype(float)}
    obs = pd.DataFrame(outcome, index=[f"p{i}" for i in range(n)])
    x = np.hstack([strong, weak, other]).astype("float32")
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=GENES))


def division(cohort, n=200):
    return cohort[:n].copy(), cohort[n:].copy()


COHORT = planted()
TRAIN, TEST = division(COHORT)
PANEL = WEAK[:10] + OTHER[:10]


def scaled(cohort):
    """What a model is shown: standardised genes, and their outcome as lifelines and scikit-survival want it."""
    x = Scaler.fit(cohort.X, method="zscore", clip=5.0).transform(cohort.X).astype(float)
    return pd.DataFrame(x, index=cohort.obs_names, columns=cohort.var_names)


def outcome(cohort):
    return Surv.from_arrays(cohort.obs["os_event"] == 1, cohort.obs["os_time"])


def lifelines_cox(table, **options):
    return CoxPHFitter(**options).fit(table, "os_time", "os_event", fit_options={"precision": 1e-12})


# ---------------------------------------------------------------------------------------------- risk sets


def test_sums_over_risk_sets_are_those_of_their_definition():
    rng = np.random.default_rng(0)
    time, event, x = -np.sort(-rng.integers(1, 8, 30)), rng.integers(0, 2, 30), rng.random((30, 3))
    sets = RiskSets(time, event)
    happened = time[event == 1]
    np.testing.assert_allclose(sets.at_risk(x), [x[time >= t].sum(axis=0) for t in happened])
    y = rng.random((len(happened), 3))
    np.testing.assert_allclose(sets.so_far(y), [y[happened <= t].sum(axis=0) for t in time])


# ----------------------------------------------------------------------------------------- gene by gene


def test_coefficients_and_tests_are_those_of_lifelines_with_ties():
    table, z = anchors.univariate_cox(TRAIN, OS), scaled(TRAIN)
    assert TRAIN.obs.query("os_event == 1")["os_time"].duplicated().sum() > 50
    for gene in (*STRONG[:3], *WEAK[:3], *OTHER[:3]):
        theirs = lifelines_cox(z[[gene]].join(TRAIN.obs))
        ours, test = table.loc[gene], theirs.log_likelihood_ratio_test()
        assert ours["coefficient"] == pytest.approx(theirs.params_[gene], abs=1e-6)
        assert ours["hazard_ratio"] == pytest.approx(theirs.hazard_ratios_[gene], abs=1e-6)
        assert ours["z"] ** 2 == pytest.approx(test.test_statistic, abs=1e-6)
        assert ours["p"] == pytest.approx(test.p_value, abs=1e-6)
        assert np.sign(ours["z"]) == np.sign(ours["coefficient"])


def test_a_gene_that_only_the_first_to_die_expresses_is_worth_the_log_of_those_at_risk():
    data = TRAIN[TRAIN.obs["os_time"] > TRAIN.obs["os_time"].min()].copy()
    first = data.obs.query("os_event == 1")["os_time"].idxmin()
    data.obs.loc[first, "os_time"] = 0.5
    data.X[:, 0] = data.obs_names == first
    row = anchors.univariate_cox(data, OS).iloc[0]
    assert row["z"] ** 2 / 2 == pytest.approx(np.log(data.n_obs), abs=1e-4)
    assert 3 < row["coefficient"] < 100


def test_a_constant_gene_tells_nothing_and_samples_without_label_count_for_nothing():
    data = TRAIN.copy()
    data.X[:, 5], data.X[:, 6] = 7.0, np.nan
    pd.testing.assert_frame_equal(
        anchors.univariate_cox(data, OS).iloc[5:7],
        pd.DataFrame({"coefficient": 0.0, "hazard_ratio": 1.0, "z": 0.0, "p": 1.0}, index=STRONG[5:7]),
        check_names=False,
    )
    partial = COHORT.copy()
    partial.obs.loc[TEST.obs_names, ["os_time", "os_event"]] = np.nan
    pd.testing.assert_frame_equal(anchors.univariate_cox(partial, OS), anchors.univariate_cox(TRAIN, OS))


def test_anchors_are_the_genes_with_the_planted_hazard():
    assert set(anchors.anchor_genes(TRAIN, OS, n=10)) == set(STRONG)
    best = anchors.anchor_genes(TRAIN, OS, n=80)
    assert anchors.univariate_cox(TRAIN, OS)["p"][best].is_monotonic_increasing
    assert anchors.anchor_genes(TRAIN, OS, n=5, exclude=best[:3]) == best[3:8]
    rng = np.random.default_rng(0)
    shuffled = TRAIN[rng.permutation(TRAIN.obs_names), rng.permutation(GENES)].copy()
    assert anchors.anchor_genes(shuffled, OS, n=80) == best


# ------------------------------------------------------------------------------------------------- ridge


@pytest.mark.parametrize("genes", [GENES, WEAK[:5]])
@pytest.mark.parametrize("n", [40, 200])
def test_ridge_coefficients_and_curves_are_those_of_scikit_survival(genes, n):
    train, test = TRAIN[:n, genes].copy(), TEST[:, genes].copy()
    fitted = RidgeCox(OS, penalty=8.0).fit(train)
    theirs = CoxPHSurvivalAnalysis(alpha=8.0, tol=1e-12).fit(scaled(train).to_numpy(), outcome(train))
    np.testing.assert_allclose(fitted.models_["os"].coefficient, theirs.coef_, atol=1e-6)
    prediction, z = fitted.predict(test)["os"], fitted.scaler_.transform(test.X).astype(float)
    shift = fitted.models_["os"].centre @ theirs.coef_
    np.testing.assert_allclose(prediction.risk, theirs.predict(z) - shift, atol=1e-5)
    for patient, curve in zip(test.obs_names, theirs.predict_survival_function(z), strict=True):
        steps = prediction.survival[patient].iloc[1:]
        np.testing.assert_allclose(steps, curve(steps.index), atol=1e-6)


def test_ridge_coefficients_are_those_of_lifelines_without_ties():
    train = TRAIN[:, GENES[5:20]].copy()
    train.obs["os_time"] += np.linspace(0, 0.5, train.n_obs)
    z = (train.to_df() - train.X.mean(axis=0)) / train.X.std(axis=0, ddof=1)  # lifelines penalises per unit of this
    theirs = lifelines_cox(z.join(train.obs), penalizer=0.05)
    penalty = 0.05 * train.n_obs * train.n_obs / (train.n_obs - 1)
    ours = RidgeCox(OS, penalty=penalty, clip=None).fit(train).models_["os"].coefficient
    np.testing.assert_allclose(ours / np.sqrt(1 - 1 / train.n_obs), theirs.params_, atol=1e-6)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e3])
def test_at_the_optimum_the_slope_of_the_likelihood_is_the_pull_of_the_penalty(penalty):
    model = RidgeCox(OS, penalty=penalty).fit(TRAIN).models_["os"]
    x, time, event = scaled(TRAIN).to_numpy(), TRAIN.obs["os_time"].to_numpy(), TRAIN.obs["os_event"].to_numpy()
    hazard = np.exp(x @ model.coefficient)
    slope = sum(
        x[i] - hazard[time >= time[i]] @ x[time >= time[i]] / hazard[time >= time[i]].sum()
        for i in np.flatnonzero(event == 1)
    )
    np.testing.assert_allclose(slope, penalty * model.coefficient, atol=1e-4)


def test_components_are_those_of_the_labelled_samples_and_all_of_them_are_the_genes():
    cohort = COHORT.copy()
    cohort.X[200:] += 3  # no labels there, so the others are off centre
    cohort.obs.loc[TEST.obs_names, "os_event"] = cohort.obs.loc[TEST.obs_names, "os_time"] = np.nan
    z = scaled(cohort)[:200]
    pca = PCA(6, svd_solver="full").fit(z)
    theirs = CoxPHSurvivalAnalysis(alpha=3.0, tol=1e-12).fit(pca.transform(z), outcome(TRAIN))
    ours = RidgeCox(OS, n_components=6, penalty=3.0).fit(cohort).models_["os"]
    np.testing.assert_allclose(ours.coefficient, theirs.coef_ @ pca.components_, atol=1e-6)
    whole, genes = (RidgeCox(OS, n_components=k, penalty=3.0).fit(TRAIN[:50]).models_["os"] for k in (200, None))
    assert whole.n_components == 49  # of 50 samples, less their mean
    np.testing.assert_allclose(whole.coefficient, genes.coefficient, atol=1e-8)


def test_the_cross_validated_likelihood_is_that_of_models_fitted_one_by_one():
    data = TRAIN[np.argsort(-TRAIN.obs["os_time"].to_numpy(), kind="stable")]
    x, y = scaled(data).to_numpy()[:, :12], outcome(data)
    folds, counts, penalties = np.arange(len(x)) % 4, np.array([12, 12, 5]), np.array([2.0, 50.0, 2.0])
    expected = np.zeros(3)
    for fold in range(4):
        rest = folds != fold
        for setting, (k, penalty) in enumerate(zip(counts, penalties, strict=True)):
            b = CoxPHSurvivalAnalysis(alpha=penalty, tol=1e-12).fit(x[rest, :k], y[rest]).coef_
            expected[setting] += breslow(x[:, :k] @ b, y) - breslow(x[rest, :k] @ b, y[rest])
    ours = _cross_validated(x, y["time"], y["event"], folds, counts=counts, penalties=penalties)
    np.testing.assert_allclose(ours, expected, atol=0.02)


def breslow(log_hazard, y):
    at_risk = y["time"] >= y["time"][:, None]
    return (log_hazard - np.log(at_risk @ np.exp(log_hazard)))[y["event"]].sum()


def test_the_penalty_is_strong_where_there_is_nothing_to_learn_and_few_components_do_where_one_carries_all():
    noise = TRAIN.copy()
    noise.X = np.random.default_rng(3).normal(size=noise.shape).astype("float32")
    nothing, something = (RidgeCox(OS).fit(data).models_["os"].penalty for data in (noise, TRAIN))
    assert nothing > 5 * something
    model = RidgeCox(OS, n_components="tuned").fit(TRAIN)
    assert model.models_["os"].n_components <= 20
    risk = model.predict(TEST)["os"].risk
    assert concordance_index(TEST.obs["os_time"], -risk, TEST.obs["os_event"]) > 0.7


@pytest.mark.parametrize("n_components", [None, 20, "tuned"])
def test_ridge_keeps_ids_learns_from_labelled_training_samples_alone_and_fills_holes(n_components):
    def model():
        return RidgeCox(OS, n_components=n_components)

    expected = model().fit(TRAIN).predict(TEST)["os"]
    spare = COHORT.copy()
    spare.obs.loc[TEST.obs_names, ["os_time", "os_event"]] = np.nan
    spare.X[200:] = spare.X[:100]  # unlabelled, so only the scale of the genes can change
    assert model().fit(spare).predict(TEST)["os"].risk.corr(expected.risk) > 0.99
    rng = np.random.default_rng(1)
    shuffled = TEST[rng.permutation(TEST.obs_names), rng.permutation(GENES)].copy()
    again = model().fit(TRAIN, TEST).predict(shuffled)["os"]
    pd.testing.assert_series_equal(again.risk[expected.risk.index], expected.risk)
    assert (expected.survival.iloc[0] == 1).all()
    assert (expected.survival.diff().iloc[1:] <= 0).all(axis=None)
    holes = TEST.copy()
    holes.X[::3, ::2] = np.nan
    assert np.isfinite(model().fit(TRAIN).predict(holes)["os"].risk).all()


# -------------------------------------------------------------------------------------------------- arms


class Notes:
    """A restorer that keeps what it is shown and hands out the work."""

    def __init__(self, restorer):
        self.restorer, self.shown = restorer, []

    def impute(self, cohort, *, min_coverage):
        self.shown.append(cohort.copy())
        return self.restorer.impute(cohort, min_coverage=min_coverage)


@pytest.fixture
def models(monkeypatch):
    """Every model of the arms, in their order, with the cohorts it was fitted and judged on."""
    kept = []

    class Noted(RidgeCox):
        def fit(self, train, val=None):
            kept.append(self)
            self.train = train.copy()
            return super().fit(train, val)

        def predict(self, test):
            self.test = test.copy()
            return super().predict(test)

    monkeypatch.setattr(anchors, "RidgeCox", Noted)
    return kept


def score(train=TRAIN, test=TEST, restorers=None, **options):
    restorers = {"mean": GeneMean().fit(train)} if restorers is None else restorers
    return anchors.score_arms(train, test, OS, restorers, **{"observed": PANEL, "n_anchors": 8} | options)


def by_arm(scores, models):
    return dict(zip(scores["model"].unique(), models, strict=True))


def test_every_arm_reads_the_genes_it_is_named_after(models):
    panel = STRONG[:2] + PANEL  # two of the best are observed
    arms = by_arm(score(observed=panel), models)
    assert list(arms) == [
        "observed only",
        "+ anchors restored by mean",
        "+ random genes restored by mean",
        "+ true anchors",
        "+ true random genes",
        "Cox-chosen panel",
        "PCA 200",
        "PCA tuned",
    ]
    genes = {name: list(model.train.var_names) for name, model in arms.items()}
    best = anchors.anchor_genes(TRAIN, OS, n=8, exclude=panel)
    assert genes["observed only"] == genes["PCA 200"] == genes["PCA tuned"] == panel
    assert genes["+ anchors restored by mean"] == genes["+ true anchors"] == panel + best
    assert genes["+ random genes restored by mean"] == genes["+ true random genes"]
    drawn = genes["+ true random genes"][len(panel) :]
    assert len(set(drawn)) == 8
    assert not set(drawn) & {*panel, *best}
    assert genes["Cox-chosen panel"] == anchors.anchor_genes(TRAIN, OS, n=len(panel))
    assert [arms[name].n_components for name in ("observed only", "PCA 200", "PCA tuned")] == [None, 200, "tuned"]
    for arm in arms.values():
        assert list(arm.test.var_names) == list(arm.train.var_names)
        assert list(arm.test.obs_names) == list(TEST.obs_names)


def test_observed_genes_keep_their_values_and_only_the_others_are_restored(models):
    restorer = GaussianConditional(shrinkage=0.3).fit(TRAIN)
    arms = by_arm(score(restorers={"gaussian": restorer}), models)
    for part, cohort in (("train", TRAIN), ("test", TEST)):
        hidden = cohort.copy()
        hidden.X[:, ~cohort.var_names.isin(PANEL)] = np.nan
        expected = restorer.impute(hidden).to_df()
        for what in ("anchors", "random genes"):
            table = getattr(arms[f"+ {what} restored by gaussian"], part).to_df()
            pd.testing.assert_frame_equal(table[PANEL], cohort.to_df()[PANEL])
            pd.testing.assert_frame_equal(table, expected[table.columns])
            true = getattr(arms[f"+ true {what}"], part).to_df()
            pd.testing.assert_frame_equal(true, cohort.to_df()[table.columns])


def test_a_restorer_is_shown_the_observed_genes_and_nothing_else():
    restorer = Notes(KNN().fit(TRAIN))
    score(restorers={"knn": restorer})
    for shown, cohort in zip(restorer.shown, (TRAIN, TEST), strict=True):
        assert shown.obs.columns.empty
        assert np.isnan(shown[:, ~shown.var_names.isin(PANEL)].X).all()
        np.testing.assert_array_equal(shown[:, PANEL].X, cohort[:, PANEL].X)


def test_scores_are_those_of_lifelines(models):
    scores = score().query("metric == 'c_index'").set_index("model")["value"]
    for (arm, value), model in zip(scores.items(), models, strict=True):
        risk = RidgeCox.predict(model, model.test)["os"].risk
        expected = concordance_index(TEST.obs["os_time"], -risk, TEST.obs["os_event"])
        assert value == pytest.approx(expected, abs=1e-3), arm


def spoilt_labels():
    test = TEST.copy()
    test.obs["os_time"] *= 1000
    test.obs["os_event"] = 1 - test.obs["os_event"]
    return test


def spoilt_expression():
    test = TEST.copy()
    test.X[:, ::2] = 50 * test.X[:, ::2] + 100
    return test


@pytest.mark.filterwarnings("ignore:task 'os'. the median follow-up")  # the spoilt times look like another unit
@pytest.mark.parametrize("spoilt", [spoilt_labels, spoilt_expression])
def test_nothing_is_learned_from_test_samples(models, spoilt):
    restorer = {"knn": KNN().fit(TRAIN)}
    score(restorers=restorer)
    before = models.copy()
    models.clear()
    score(test=spoilt(), restorers=restorer)
    assert len(before) == len(models) == 8
    for ours, theirs in zip(before, models, strict=True):
        np.testing.assert_array_equal(ours.train.X, theirs.train.X)
        assert list(ours.train.var_names) == list(theirs.train.var_names)
        for name, value in vars(ours.models_["os"]).items():
            np.testing.assert_array_equal(value, vars(theirs.models_["os"])[name], err_msg=name)


def test_what_was_not_observed_in_test_samples_does_not_touch_the_restored_arms():
    test = TEST.copy()
    test.X[:, ~test.var_names.isin(PANEL)] *= -3
    before, after = (score(test=t).query("metric == 'c_index'").set_index("model")["value"] for t in (TEST, test))
    changed = before.index[before != after]
    assert set(changed) == {"+ true anchors", "+ true random genes", "Cox-chosen panel"}


def test_true_anchors_beat_the_observed_genes_alone_and_restoring_by_the_mean_adds_nothing():
    scores = pd.concat([score(*division(planted(seed=s))) for s in range(3)])
    mean = scores.query("metric == 'c_index'").groupby("model")["value"].mean()
    assert mean["+ true anchors"] > mean["observed only"] + 0.05
    assert mean["+ true anchors"] > mean["+ true random genes"] + 0.05
    assert mean["Cox-chosen panel"] > mean["observed only"] + 0.05
    assert mean["+ anchors restored by mean"] == pytest.approx(mean["observed only"], abs=1e-3)


def test_a_restorer_that_knows_more_samples_lifts_the_restored_anchors():
    train, test = division(planted(400, seed=5), 80)
    many = planted(2000, seed=6)
    rich = {"rich": GaussianConditional(shrinkage=0.05).fit(many), "mean": GeneMean().fit(train)}
    scores = score(train, test, restorers=rich, observed=WEAK).query("metric == 'c_index'")
    scores = scores.set_index("model")["value"]
    assert scores["+ anchors restored by rich"] > scores["+ anchors restored by mean"] + 0.01


# ------------------------------------------------------------------------------------- repeated divisions


@pytest.fixture(scope="module")
def compared():
    """One cancer type of the embedded cohort, divided three times, with restorers that have seen the other types."""
    cohort = gx.load_cohort("demo-pan-cancer")
    mine = cohort.obs["cancer_type"] == "arboma"
    others = cohort[~mine].copy()

    divisions = []
    for seed in range(3):
        train, _, test = gx.split(cohort[mine], OS, seed=seed)
        known = ad.concat([train, others])
        restorers = {"mean": GeneMean(), "gaussian": GaussianConditional(shrinkage=0.2)}
        divisions.append((train, test, {name: restorer.fit(known) for name, restorer in restorers.items()}))
    return divisions, anchors.compare_arms(divisions, OS, n_observed=(20, 100), n_anchors=15)


def test_the_table_is_one_for_paired_differences(compared):
    table = compared[1]
    assert list(table) == ["model", "seed", "n_observed", "task", "metric", "value"]
    assert set(table["metric"]) == {"c_index", "c_index_ipcw", "ibs", "auc"}
    assert table["value"].notna().all()
    assert table.groupby(["model", "n_observed", "metric"])["seed"].agg(list).map(lambda s: s == [0, 1, 2]).all()
    for _, part in table.groupby("n_observed"):
        found = differences(part, "observed only").query("metric == 'c_index'")
        assert (found["splits"] == 3).all()
        assert len(found) == 9


def test_panels_are_drawn_anew_for_each_division_and_grow_by_adding(compared, monkeypatch):
    panels = []

    def noted(*data, observed, **options):
        panels.append(observed)
        return pd.DataFrame({"model": [""], "n_observed": 0, "task": "", "metric": "", "value": 0.0})

    monkeypatch.setattr(anchors, "score_arms", noted)
    for seed in (0, 0, 1):
        anchors.compare_arms(compared[0], OS, n_observed=(20, 100), n_anchors=15, seed=seed)
    assert panels[:6] == panels[6:12]
    small, large = panels[:6:2], panels[1:6:2]
    assert all(b[:20] == a and len(b) == len(set(b)) == 100 for a, b in zip(small, large, strict=True))
    assert len({*map(tuple, small), *map(tuple, panels[12::2])}) == 6


def test_the_same_seed_gives_the_same_table(compared):
    divisions, table = compared
    again = anchors.compare_arms(iter(divisions[:1]), OS, n_observed=(20, 100), n_anchors=15)
    pd.testing.assert_frame_equal(again, table[table["seed"] == 0].reset_index(drop=True))


# -------------------------------------------------------------------------------------------- bad input


def test_what_cannot_be_done_is_refused_by_name():
    few = TRAIN.copy()
    few.obs["os_event"] = (few.obs_names == "p3").astype(float)
    for call in (anchors.univariate_cox, lambda c, s: RidgeCox(s).fit(c), lambda c, _: score(c)):
        with pytest.raises(ValueError, match=r"'os' has 1 events among its 200 labelled .*; a Cox model needs 5"):
            call(few, OS)
    unknown = gx.Survival("dfs", time="dfs_time", event="dfs_event")
    with pytest.raises(KeyError, match="task 'dfs' needs column 'dfs_time'; the clinical table has os_time, os_event"):
        anchors.score_arms(TRAIN, TEST, unknown, {}, observed=PANEL, n_anchors=8)
    with pytest.raises(TypeError, match=r"a Cox model needs a Survival task, not os_time \(regression\)"):
        anchors.univariate_cox(TRAIN, gx.Regression("os_time"))
    with pytest.raises(ValueError, match="from 1 to the 60 that are not excluded, not 61"):
        anchors.anchor_genes(TRAIN, OS, n=61, exclude=PANEL)
    for match, options in {
        "1 genes of the panel are named twice, first weak0": {"observed": ["weak0", "weak0"]},
        "1 genes of the panel are not in the training samples, first MYC": {"observed": ["MYC"]},
        "80 observed genes, 8 anchors .* fit into the 80 genes": {"observed": GENES},
        "20 observed genes, 0 anchors .* 1 or more": {"n_anchors": 0},
        "10 genes of the training samples are not in the test samples, first strong0": {"test": TEST[:, GENES[10:]]},
        "restorer 'half' does not restore 8 of the 16 .*, first strong": {"restorers": {"half": half()}},
    }.items():
        with pytest.raises(ValueError, match=match):
            score(**options)
    with pytest.raises(ValueError, match=r"100 observed genes, 8 anchors .* fit into the 80 genes"):
        anchors.compare_arms([(TRAIN, TEST, {})], OS, n_observed=(20, 100), n_anchors=8)
    with pytest.raises(ValueError, match="n_components is a positive number, 'tuned' or None, not 'all'"):
        RidgeCox(OS, n_components="all")
    with pytest.raises(ValueError, match="penalty is a positive number or None, not 0"):
        RidgeCox(OS, penalty=0)


def half():
    return GeneMean().fit(TRAIN[:, WEAK + OTHER].copy())
