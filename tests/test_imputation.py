"""Hiding, scoring and comparing: masks by their rates, scores by their formulas, costs by what is spent."""

import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from gexcore.baselines.imputers import GaussianConditional, GeneMean
from gexcore.imputation import Meter, compare_imputers, hide, score_imputation
from gexcore.scaling import Scaler

GENES = [f"g{j:02d}" for j in range(30)]


def cohort(n, *, seed=0, missing=0.0):
    """Thirty genes that follow three factors, at levels from 0 to 29."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) @ np.random.default_rng(99).normal(size=(3, 30)) + 0.5 * rng.normal(size=(n, 30))
    x = (x + np.arange(30)).astype("float32")
    x[rng.random(x.shape) < missing] = np.nan
    obs = pd.DataFrame({"age": rng.normal(60, 9, n)}, index=[f"p{seed}-{i}" for i in range(n)])
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=GENES))


TRAIN, TEST = cohort(120), cohort(60, seed=1)

# ------------------------------------------------------------------------------------------------ hiding


@pytest.mark.parametrize("pattern", ["mcar", "low"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_cells_are_hidden_at_the_rate_among_those_that_are_there(pattern, rate):
    data = cohort(60, missing=0.2)
    shown, hidden = hide(data, pattern=pattern, rate=rate, seed=3)
    seen = ~np.isnan(data.X)
    assert hidden.to_numpy().sum() == round(rate * seen.sum())
    assert not (hidden.to_numpy() & ~seen).any()
    assert (np.isnan(shown.X) == (hidden.to_numpy() | ~seen)).all()
    kept = ~np.isnan(shown.X)
    assert (shown.X[kept] == data.X[kept]).all()
    assert np.isnan(data.X).sum() == (~seen).sum()  # what was passed in is left alone
    assert list(hidden.index) == list(data.obs_names)
    assert list(hidden.columns) == GENES
    pd.testing.assert_frame_equal(shown.obs, data.obs)


def test_cells_hidden_at_random_are_spread_over_samples_and_genes_by_chance():
    hidden = hide(cohort(500), rate=0.3, seed=0)[1]
    for axis, n in ((0, 500), (1, 30)):
        share = hidden.mean(axis=axis)
        assert share.var() == pytest.approx(0.3 * 0.7 / n, rel=0.5)  # binomial
    assert abs(np.corrcoef(hidden.to_numpy().ravel(), cohort(500).X.ravel())[0, 1]) < 0.02


def test_whole_genes_are_hidden_from_everybody():
    hidden = hide(cohort(60), pattern="genes", rate=0.4, seed=0)[1]
    assert set(hidden.mean()) == {0.0, 1.0}
    assert hidden.any().sum() == 12


def test_low_values_are_hidden_more_often_by_the_odds_that_are_promised():
    data = cohort(2000)
    low = hide(data, pattern="low", rate=0.02, seed=0)[1].to_numpy()
    z = (data.X - data.X.mean()) / data.X.std()
    rank = np.argsort(np.argsort(data.X.ravel())).reshape(data.shape) / data.X.size
    lower, upper = (np.abs(rank - share) < 0.02 for share in (0.1587, 0.8413))  # one standard deviation either way
    assert low[lower].mean() / low[upper].mean() == pytest.approx(np.exp(2), rel=0.25)
    assert z[low].mean() < -0.5


def test_a_seed_hides_the_same_cells_and_a_higher_rate_hides_more_besides():
    for pattern in ("mcar", "genes", "low"):
        masks = [
            hide(TEST, pattern=pattern, rate=rate, seed=seed)[1]
            for rate, seed in ((0.3, 0), (0.3, 0), (0.6, 0), (0.3, 1))
        ]
        pd.testing.assert_frame_equal(masks[0], masks[1])
        assert (masks[2] >= masks[0]).all(axis=None)
        assert (masks[3] != masks[0]).any(axis=None)


def test_unknown_patterns_and_senseless_rates_are_refused():
    with pytest.raises(ValueError, match="pattern must be one of mcar, genes, low and rate between 0 and 1, not 'row'"):
        hide(TEST, pattern="row", rate=0.5, seed=0)
    with pytest.raises(ValueError, match="not 'mcar' and 1"):
        hide(TEST, rate=1, seed=0)


# ----------------------------------------------------------------------------------------------- scoring


def noisy(truth, seed=0):
    """The truth with errors that grow from gene to gene."""
    errors = np.random.default_rng(seed).normal(size=truth.shape) * np.linspace(0.1, 3, truth.n_vars)
    return ad.AnnData((truth.X + errors).astype("float32"), obs=truth.obs, var=truth.var)


def test_scores_are_their_formulas_on_the_standardised_hidden_cells():
    hidden, guess = hide(TEST, rate=0.4, seed=0)[1], noisy(TEST)
    found = score_imputation(TEST, guess, hidden, train=TRAIN).set_index(["stratum", "metric"])["value"]
    scaler = Scaler.fit(TRAIN.X, method="zscore", clip=5.0)
    a, b = (scaler.transform(x).astype(float) for x in (TEST.X, guess.X))
    strata = {"all": slice(0, 30), "low": slice(0, 10), "middle": slice(10, 20), "high": slice(20, 30)}
    assert list(found.index) == [(s, m) for s in strata for m in ("rmse", "mae", "pcc_gene", "pcc_sample")]
    for name, part in strata.items():  # the level of a gene is its number
        x, y, mask = a[:, part], b[:, part], hidden.to_numpy()[:, part]
        assert found[name, "rmse"] == pytest.approx(np.sqrt(np.mean((x - y)[mask] ** 2)))
        assert found[name, "mae"] == pytest.approx(np.mean(np.abs(x - y)[mask]))
        for metric, (p, q, m) in {"pcc_gene": (x, y, mask), "pcc_sample": (x.T, y.T, mask.T)}.items():
            each = [pearsonr(p[m[:, j], j], q[m[:, j], j])[0] for j in range(m.shape[1]) if m[:, j].sum() >= 3]
            assert found[name, metric] == pytest.approx(np.median(each))


def test_the_truth_itself_scores_perfectly_and_other_cells_do_not_count():
    hidden = hide(TEST, rate=0.4, seed=0)[1]
    ours = TEST.copy()
    ours.X[~hidden.to_numpy()] = 1e6
    found = score_imputation(TEST, ours, hidden, train=TRAIN).set_index(["stratum", "metric"])["value"].unstack()
    assert (found[["rmse", "mae"]] == 0).all(axis=None)
    np.testing.assert_allclose(found[["pcc_gene", "pcc_sample"]], 1)


def test_the_gene_mean_correlates_by_nothing_and_is_off_by_one_standard_deviation():
    shown, hidden = hide(TEST, rate=0.5, seed=0)
    mean = GeneMean().fit(TRAIN).impute(shown)
    found = score_imputation(TEST, mean, hidden, train=TRAIN).set_index(["stratum", "metric"])["value"]["all"]
    assert np.corrcoef(mean.X[hidden], TEST.X[hidden])[0, 1] > 0.9  # on raw values it would look excellent
    assert found["pcc_gene"] == found["pcc_sample"] == 0  # and not a correlation of rounding errors
    assert found["rmse"] == pytest.approx(1, abs=0.15)


def test_cells_are_matched_by_sample_and_gene():
    hidden, guess = hide(TEST, rate=0.4, seed=0)[1], noisy(TEST)
    expected = score_imputation(TEST, guess, hidden, train=TRAIN)
    rng = np.random.default_rng(0)
    mixed = [d[rng.permutation(d.obs_names), rng.permutation(GENES)].copy() for d in (TEST, guess)]
    mixed.append(hidden.sample(frac=1, random_state=0).sample(frac=1, axis=1, random_state=1))
    pd.testing.assert_frame_equal(score_imputation(*mixed, train=TRAIN[:, GENES[::-1]].copy()), expected)


def test_genes_unknown_or_constant_in_training_are_left_out():
    hidden, guess = hide(TEST, rate=0.4, seed=0)[1], noisy(TEST)
    flat, fewer = TRAIN.copy(), TRAIN[:, GENES[:-1]].copy()
    flat.X[:, -1] = 3.0
    scores = [score_imputation(TEST, guess, hidden, train=train) for train in (flat, fewer)]
    pd.testing.assert_frame_equal(*scores)


def test_what_cannot_be_scored_is_missing_or_refused():
    hidden = hide(TEST, rate=0.4, seed=0)[1]
    nothing = score_imputation(TEST, noisy(TEST), hidden & False, train=TRAIN)
    assert nothing["value"].isna().all()
    single = hidden & False
    single.iloc[:2, 4] = True  # two cells have no correlation
    found = score_imputation(TEST, noisy(TEST), single, train=TRAIN).set_index(["stratum", "metric"])["value"]
    assert found["low"].notna().tolist() == [True, True, False, False]
    guess = noisy(TEST)
    guess.X[2, 5] = np.nan
    with pytest.raises(ValueError, match="1 hidden cells have no imputed value, first gene 'g05' of sample 'p1-2'"):
        score_imputation(TEST, guess, hidden | True, train=TRAIN)
    with pytest.raises(ValueError, match="hidden cells have no true value, first gene 'g00' of sample 'p1-1'"):
        score_imputation(TEST[[0]].copy(), guess, hidden | True, train=TRAIN)


# --------------------------------------------------------------------------------------------- comparing


class Recorder:
    """The gene mean, with a note of all it is shown."""

    def __init__(self, name, seed, log):
        self.name, self.seed, self.log = name, seed, log

    def fit(self, train, val=None):
        self.log.append(("fit", self.name, self.seed, train, val))
        self.inner = GeneMean().fit(train)
        return self

    def impute(self, test):
        self.log.append(("impute", self.name, self.seed, np.isnan(test.X)))
        return self.inner.impute(test)


def test_every_method_is_fitted_once_per_seed_and_fills_in_the_same_cells():
    log = []
    methods = {name: lambda seed, name=name: Recorder(name, seed, log) for name in ("a", "b")}
    table = compare_imputers(methods, TRAIN, TEST, val=TEST, rates=(0.2, 0.6), patterns=("mcar", "genes"), seeds=(4, 9))
    fits = [entry for entry in log if entry[0] == "fit"]
    assert [(name, seed) for _, name, seed, *_ in fits] == [("a", 4), ("b", 4), ("a", 9), ("b", 9)]
    assert all(train is TRAIN and val is TEST for *_, train, val in fits)
    for seed in (4, 9):
        shown = {name: [e[3] for e in log if e[:3] == ("impute", name, seed)] for name in ("a", "b")}
        expected = [hide(TEST, pattern=p, rate=r, seed=seed)[1] for p in ("mcar", "genes") for r in (0.2, 0.6)]
        for masks in shown.values():
            for mask, hidden in zip(masks, expected, strict=True):
                np.testing.assert_array_equal(mask, hidden)
    keys = ["model", "seed", "pattern", "rate", "stratum", "metric"]
    assert list(table.columns) == [*keys, "value", "fit_seconds", "seconds", "megabytes"]
    assert len(table) == 2 * 2 * 2 * 2 * 16
    assert not table.duplicated(keys).any()
    a, b = (table[table["model"] == name]["value"].to_numpy() for name in ("a", "b"))
    np.testing.assert_array_equal(a, b)


def test_scores_in_the_comparison_are_those_of_the_method():
    methods = {"mean": lambda seed: GeneMean(), "gaussian": lambda seed: GaussianConditional(shrinkage=0.1, seed=seed)}
    table = compare_imputers(methods, TRAIN, TEST, rates=(0.4,), seeds=(2,))
    shown, hidden = hide(TEST, rate=0.4, seed=2)
    for name, method in methods.items():
        expected = score_imputation(TEST, method(2).fit(TRAIN).impute(shown), hidden, train=TRAIN)
        ours = table[table["model"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours[["stratum", "metric", "value"]], expected)
    best = table.query("stratum == 'all' and metric == 'rmse'").set_index("model")["value"]
    assert best["gaussian"] < 0.8 * best["mean"]


def test_the_meter_counts_seconds_and_the_peak_of_memory_not_its_end():
    with Meter() as meter:
        block = np.ones(20_000_000)  # 160 MB
        time.sleep(0.1)
        del block
    assert 0.1 <= meter.seconds < 2
    assert np.isnan(meter.megabytes) or 120 < meter.megabytes < 400
