"""Scores over all that is legal: against their definitions pair by pair, what must not matter, what does not exist."""

import warnings
from fractions import Fraction

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import strategies
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from gexcore.comparison import average_predictions, bootstrap_scores, corrected_t, false_discovery_rate
from gexcore.metrics import (
    brier_score,
    c_index,
    c_index_ipcw,
    classification_scores,
    cumulative_auc,
    evaluate,
    integrated_brier_score,
    kaplan_meier,
    regression_scores,
    supported_horizon,
)
from gexcore.scores import compare, summarise
from gexcore.tasks import (
    Classification,
    ClassPrediction,
    CohortWarning,
    Regression,
    Survival,
    SurvivalPrediction,
    ValuePrediction,
)

OS, GRADE, AGE = Survival("os", time="time", event="event"), Classification("grade"), Regression("age")
FEWER = settings(max_examples=settings.default.max_examples // 5)  # of whole tables
BETWEEN_0_AND_1 = {"c_index", "c_index_ipcw", "auc", "auroc", "accuracy", "f1", "precision", "recall"}


@st.composite
def ranked(draw, *, min_size=1):
    """Time, event and risk of samples."""
    time, event = draw(strategies.survival(min_size=min_size))
    return time, event, draw(strategies.tied(strategies.numbers(largest=strategies.FLOAT32), len(time)))


@st.composite
def weighed(draw):
    """Time, event, risk and curves of test samples, times that training supports, and its censoring curve."""
    first = draw(strategies.times())
    time, event = draw(strategies.survival(max_size=6))
    time, event = np.append(time, [first, 2 * first + 1, 3 * first + 2]), np.append(event, [1, 0, 0])
    risk = draw(strategies.tied(strategies.numbers(largest=strategies.FLOAT32), len(time)))
    past, happened = draw(strategies.survival())
    past, happened = np.append(past, 4e9), np.append(happened, 1)  # so that G is known for all times
    start, horizon = time[event == 1].min(), supported_horizon(time, past, happened)
    times = np.linspace(start, horizon, 5)
    curves = draw(strategies.curves(len(time), [0.0, *times]))[:, 1:]
    return time, event, risk, curves, times, kaplan_meier(past, happened, censoring=True)


def pairs(time, event, risk):
    """(sample with the event, share won) of every comparable pair."""
    for i in np.flatnonzero(event == 1):
        for j in range(len(time)):
            if time[j] > time[i] or (time[j] == time[i] and event[j] == 0):
                yield i, float(risk[i] > risk[j]) + 0.5 * float(risk[i] == risk[j])


def same(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)  # NaN equals NaN


# -------------------------------------------------------------------------------------------- survival


@pytest.mark.parametrize("censoring", [False, True])
@given(strategies.survival())
@example((np.array([1.0, 2, 2, 3]), np.array([0.0, 1, 0, 1])))
def test_kaplan_meier_is_the_product_of_its_definition(censoring, drawn):
    time, event = drawn
    asked = np.concatenate([time, time / 2, [0.0, 2e9]])
    expected = []
    for t in asked:
        product = Fraction(1)
        for u in np.unique(time[time <= t]):
            events, censored = ((time == u) & (event == e) for e in (1, 0))
            lost, at_risk = (censored, (time >= u) & ~events) if censoring else (events, time >= u)
            product *= 1 - Fraction(int(lost.sum()), max(int(at_risk.sum()), 1))
        expected.append(float(product))
    same(kaplan_meier(time, event, censoring=censoring)(asked), expected)


@given(ranked())
def test_concordance_is_the_share_of_comparable_pairs_and_does_not_exist_without_one(drawn):
    won = [share for _, share in pairs(*drawn)]
    same(c_index(*drawn), np.mean(won) if won else np.nan)


@given(ranked(), st.randoms(use_true_random=False), st.integers(-20, 20))
def test_concordance_knows_neither_order_nor_copies_nor_units_nor_any_scale_of_risk(drawn, random, power):
    time, event, risk = drawn
    value, order = c_index(*drawn), random.sample(range(len(time)), len(time))
    same(c_index(time[order], event[order], risk[order]), value)
    same(c_index(*(np.tile(x, 2) for x in drawn)), value)
    same(c_index(time * 2.0**power, event, risk), value)
    ranks = stats.rankdata(risk, method="dense")
    for transformed in (ranks, ranks + 7, np.exp(ranks)):
        same(c_index(time, event, transformed), value)
    same(c_index(time, event, -risk), 1 - value)  # equal risks count one half either way


@given(weighed())
def test_weighted_concordance_is_its_definition_pair_by_pair(drawn):
    time, event, risk, _, times, censored_after = drawn
    found = [(censored_after(time[i]) ** -2.0, won) for i, won in pairs(time, event, risk) if time[i] < times[-1]]
    weight, won = np.array(found).T
    value = c_index_ipcw(time, event, risk, censored_after=censored_after, horizon=times[-1])
    same(value, (weight * won).sum() / weight.sum())


@given(ranked(), st.floats(1e-9, 1e9))
def test_without_censoring_the_weighted_concordance_is_the_plain_one_of_early_events(drawn, horizon):
    time, event, risk = drawn
    cut = np.where(time < horizon, event, 0.0)
    later = np.where((time >= horizon) & (event == 1), np.inf, time)  # no event yet at the horizon
    plain = c_index(later, cut, risk)
    same(c_index_ipcw(time, event, risk, censored_after=lambda t: np.ones_like(t), horizon=horizon), plain)


@given(weighed())
def test_brier_scores_are_the_weighted_squared_errors_of_their_definition(drawn):
    time, event, _, curves, times, censored_after = drawn
    expected = []
    for k, t in enumerate(times):
        parts = [
            curves[i, k] ** 2 / censored_after(time[i]) if time[i] <= t else (1 - curves[i, k]) ** 2 / censored_after(t)
            for i in range(len(time))
            if time[i] > t or event[i] == 1
        ]
        expected.append(sum(parts) / len(time))
    known = {"times": times, "censored_after": censored_after}
    same(brier_score(time, event, curves, **known), expected)
    integrated = integrated_brier_score(time, event, curves, **known)
    assert min(expected) * (1 - 1e-9) <= integrated <= max(expected) * (1 + 1e-9)  # a mean of them


@given(weighed())
def test_auc_is_the_weighted_share_of_pairs_of_cases_and_controls(drawn):
    time, event, risk, _, times, censored_after = drawn
    expected = []
    for t in times:
        cases, controls = np.flatnonzero((event == 1) & (time <= t)), np.flatnonzero(time > t)
        weight = 1 / censored_after(time[cases])
        won = [[(risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]) for j in controls] for i in cases]
        expected.append((weight @ np.array(won)).sum() / (weight.sum() * len(controls)))
    auc, mean = cumulative_auc(time, event, risk, times=times, censored_after=censored_after)
    same(auc, expected)
    assert min(expected) - 1e-9 <= mean <= max(expected) + 1e-9


@given(weighed(), st.randoms(use_true_random=False))
def test_weighted_scores_know_neither_the_order_nor_copies_of_the_test_samples(drawn, random):
    time, event, risk, curves, times, censored_after = drawn
    order = random.sample(range(len(time)), len(time))

    def scores(rows):
        known = {"times": times, "censored_after": censored_after}
        concordance = c_index_ipcw(
            time[rows], event[rows], risk[rows], censored_after=censored_after, horizon=times[-1]
        )
        auc, mean = cumulative_auc(time[rows], event[rows], risk[rows], **known)
        return np.array([concordance, mean, *auc, *brier_score(time[rows], event[rows], curves[rows], **known)])

    same(scores(order), scores(range(len(time))))
    same(scores(order + order), scores(order))


# ----------------------------------------------------------------------------- classification, regression


@given(strategies.classes(), st.data())
def test_scores_of_classes_are_shares_and_auroc_is_missing_with_a_single_class_only(truth, data):
    truth = truth if data.draw(st.booleans()) else truth[:1]
    names = [f"c{i}" for i in range(data.draw(st.integers(2, 6)))]  # fewer or more than occur
    table = pd.DataFrame(data.draw(strategies.probabilities(len(truth), len(names))), columns=names)
    labels = table.idxmax(axis=1).to_numpy()
    found = pd.Series(classification_scores(truth, labels, table))
    assert found.drop("auroc").between(0, 1).all()
    assert found["accuracy"] == (truth == labels).mean()
    compared = names[-1:] if len(names) == 2 else names
    scorable = [c for c in compared if 0 < (truth == c).sum() < len(truth)]
    assert np.isnan(found["auroc"]) == (not scorable)
    if scorable:
        u = [
            stats.mannwhitneyu(table.loc[truth == c, c], table.loc[truth != c, c], method="asymptotic")
            for c in scorable
        ]
        sizes = [(truth == c).sum() * (truth != c).sum() for c in scorable]
        same(found["auroc"], np.mean([test.statistic / size for test, size in zip(u, sizes, strict=True)]))
    twice = classification_scores(np.tile(truth, 2), np.tile(labels, 2), pd.concat([table, table]))
    same(pd.Series(twice), found)


@given(st.data(), st.integers(1, 12), st.integers(-20, 20))
def test_scores_of_numbers_are_finite_and_correlations_are_missing_for_constants_only(data, n, power):
    truth, values = (data.draw(strategies.tied(strategies.numbers(), n)) for _ in range(2))
    found = regression_scores(truth, values)
    assert 0 <= found["mae"] <= found["rmse"] * (1 + 1e-12) < np.inf
    for metric in ("pcc", "scc"):
        assert np.isnan(found[metric]) == (np.ptp(truth) == 0 or np.ptp(values) == 0)
        assert not abs(found[metric]) > 1 + 1e-12
    unit = 2.0**power
    scaled = regression_scores(truth * unit, values * unit)
    same([scaled["mae"], scaled["rmse"]], [found["mae"] * unit, found["rmse"] * unit])
    same([scaled["pcc"], scaled["scc"]], [found["pcc"], found["scc"]])
    same(regression_scores(truth, stats.rankdata(values, method="dense"))["scc"], found["scc"])


# ---------------------------------------------------------------------------------------------- evaluate


@st.composite
def cohorts(draw, *, min_size=1):
    """A clinical table of any legal labels, some of them missing, as a cohort without genes."""
    time, event = draw(strategies.survival(min_size=min_size))
    n = len(time)
    obs = pd.DataFrame(
        {
            "time": np.where(known := draw(strategies.known(n)), time, np.nan),
            "event": np.where(known, event, np.nan),
            "grade": np.where(draw(strategies.known(n)), draw(strategies.tied(st.integers(0, 3), n)), np.nan),
            "age": np.where(draw(strategies.known(n)), draw(strategies.tied(strategies.numbers(), n)), np.nan),
        },
        index=[f"s{i}" for i in range(n)],
    )
    return ad.AnnData(obs=obs)


@st.composite
def predicted(draw, test):
    """Predictions of all three kinds for a cohort."""
    ids, n, grid = test.obs_names, test.n_obs, [0.0, 1.0, 10.0, 1e9]
    risk = pd.Series(draw(strategies.tied(strategies.numbers(largest=strategies.FLOAT32), n)), ids)
    survival = pd.DataFrame(draw(strategies.curves(n, grid)).T, index=grid, columns=ids)
    shares = pd.DataFrame(draw(strategies.probabilities(n, 3)), index=ids, columns=["0", "1", "2"])
    return {
        "os": SurvivalPrediction(OS, risk, draw(st.sampled_from([survival, None]))),
        "grade": ClassPrediction(GRADE, shares),
        "age": ValuePrediction(AGE, pd.Series(draw(strategies.tied(strategies.numbers(), n)), ids)),
    }


def quietly(function, *args, **settings):
    """Without what a reader would want to know of the cohort; any other warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        return function(*args, **settings)


@given(st.data(), cohorts(), cohorts(), st.one_of(st.none(), st.floats(1e-9, 1e9)))
def test_every_score_is_a_number_or_missing_for_the_reason_that_is_documented(data, test, train, horizon):
    predictions = data.draw(predicted(test))
    table = quietly(evaluate, predictions, test, train=train, horizon=horizon)
    found = table.set_index(["task", "metric"])["value"]
    labels, past = (OS.read(part.obs).dropna() for part in (test, train))
    time, event = labels["time"].to_numpy(), labels["event"].to_numpy()
    assert found["os", "n"] == len(labels)
    risk = predictions["os"].risk[labels.index].to_numpy()
    assert np.isnan(found["os", "c_index"]) == (not list(pairs(time, event, risk)))
    last = supported_horizon(time, past["time"].to_numpy(), past["event"].to_numpy())
    early = bool((time[event == 1] < found["os", "horizon"]).any())  # an event before the horizon
    assert np.isnan(found["os", "horizon"]) == np.isnan(last)
    assert not found["os", "horizon"] > last
    for metric in ("c_index_ipcw", "auc", "ibs"):
        exists = early and not (metric == "ibs" and predictions["os"].survival is None)
        assert np.isnan(found["os", metric]) == (not exists), metric
    assert not np.isinf(found).any()
    shares = found[found.index.get_level_values("metric").isin(BETWEEN_0_AND_1)].dropna()
    assert shares.between(0, 1 + 1e-12).all()
    for task in ("grade", "age"):
        scores = found[task].drop(["n", "auroc", "pcc", "scc"], errors="ignore")
        assert (scores.isna() == (found[task, "n"] == 0)).all()


@FEWER
@given(st.data(), cohorts(min_size=2), cohorts())
def test_intervals_over_resampled_patients_exist_where_a_resampled_score_does(data, test, train):
    predictions = data.draw(predicted(test))
    table = quietly(bootstrap_scores, predictions, test, train=train, n=2)
    ends = table[["low", "high"]]
    assert (ends.isna().all(axis=1) | (ends["low"] <= ends["high"])).all()
    assert not np.isinf(ends).any(axis=None)


@FEWER
@given(st.data(), cohorts(min_size=2))
def test_averages_over_splits_are_ranks_and_curves(data, test):
    drawn = [data.draw(predicted(test))["os"] for _ in range(3)]
    average = average_predictions(drawn, n_times=5)
    assert average.risk.between(0, 1).all()
    assert (average.survival is None) == any(p.survival is None for p in drawn)
    if average.survival is not None:
        assert average.survival.to_numpy().min() >= -1e-12
        assert (average.survival.diff().iloc[1:] <= 1e-12).all(axis=None)


# --------------------------------------------------------------------------------------------- comparison

VALUES = st.one_of(st.just(np.nan), st.sampled_from([0.1, 0.6, 0.7]), st.floats(1e-9, 1), strategies.numbers())


@st.composite
def benchmarks(draw):
    """A table of scores: methods, splits and two metrics of one cohort, some of which failed."""
    keys = [
        ("one", model, "age", metric, seed)
        for model in ("a", "b", "c")
        for metric in ("mae", "scc")
        for seed in range(draw(st.integers(1, 5)))
    ]
    table = pd.DataFrame(keys, columns=["cohort", "model", "task", "metric", "seed"])
    table["value"] = draw(st.lists(VALUES, min_size=len(keys), max_size=len(keys)))
    return table.assign(status=np.where(table["value"].isna(), "failed", "scored"))


@given(st.lists(st.lists(VALUES, min_size=4, max_size=4), min_size=1, max_size=3), st.floats(0, 1))
@example([[0.1, 0.1, 0.1, np.nan]], 0.2)
@example([[0.7 - 0.6, 0.8 - 0.7, 0.9 - 0.8, np.nan]], 0.2)
def test_an_interval_surrounds_its_mean_or_is_missing_where_splits_are_one_or_all_alike(rows, test_ratio):
    table = pd.DataFrame(rows)
    found = corrected_t(table, test_ratio=test_ratio)
    for (_, values), (_, row) in zip(table.iterrows(), found.iterrows(), strict=True):
        values = values.dropna()
        alike = len(values) < 2 or np.ptp(values) <= 1e-12 * values.abs().max()
        assert row["splits"] == len(values)
        assert np.isnan(row["mean"]) == values.empty
        assert row[["low", "high", "p"]].isna().all() == alike
        assert alike or (row["low"] <= row["mean"] <= row["high"] and 0 <= row["p"] <= 1)
    flipped = corrected_t(-table, test_ratio=test_ratio)
    same(flipped["low"], -found["high"])
    same(flipped["p"], found["p"])


@FEWER
@given(benchmarks())
def test_summaries_and_comparisons_of_any_scores_say_what_they_rest_on(scores):
    table = summarise(scores)
    assert (table["mean"].isna() == (table["splits"] == 0)).all()
    assert (table["sd"].isna() == (table["splits"] < 2)).all()
    assert not ((table["low"] > table["mean"]) | (table["high"] < table["mean"])).any()
    ours, theirs = compare(scores, "a"), compare(scores, "b")
    assert not (ours["p_holm"] < ours["p"]).any()
    here, there = ours.query("model == 'b'"), theirs.query("model == 'a'")
    same(here["difference"], -there["difference"])
    same(here["low"], -there["high"])
    turned = {"better": "worse", "worse": "better", "not decided": "not decided"}
    assert here["verdict"].tolist() == there["verdict"].map(turned).tolist()
    assert (ours["verdict"] != "not decided").equals((ours["low"] > 0) | (ours["high"] < 0))


@given(st.lists(st.one_of(st.just(np.nan), st.sampled_from([0.0, 0.05, 1.0]), st.floats(0, 1)), max_size=8))
def test_a_false_discovery_rate_is_the_least_of_all_thresholds_that_let_a_test_through(values):
    p = pd.Series(values, dtype=float)
    known = p.dropna()
    expected = [min((1.0, *(t * len(known) / (known <= t).sum() for t in known[known >= x]))) for x in known]
    q = false_discovery_rate(p)
    assert q.isna().equals(p.isna())
    same(q.dropna(), expected)
