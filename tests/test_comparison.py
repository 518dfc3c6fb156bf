"""Averages and comparisons over splits against closed forms and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gexcore import Survival
from gexcore.comparison import average_predictions, paired_difference
from gexcore.tasks import SurvivalPrediction

OS = Survival("os", time="t", event="e")


def prediction(risk, ends):
    curves = pd.DataFrame(
        {i: np.linspace(1, end, 3) for i, end in zip(risk, ends, strict=True)}, index=[0.0, 5.0, 10.0]
    )
    return SurvivalPrediction(OS, pd.Series(risk, dtype=float), curves)


def test_risks_are_averaged_as_ranks_and_curves_as_they_are():
    one, two = prediction({"a": 1, "b": 100}, [0.8, 0.2]), prediction({"b": -3, "c": -2}, [0.6, 0.0])
    pooled = average_predictions([one, two], n_times=11)
    assert pooled.risk.to_dict() == {"a": 0.25, "b": 0.5, "c": 0.75}  # b: last of two, then first of two
    np.testing.assert_allclose(pooled.survival.loc[10.0], [0.8, 0.4, 0.0])
    np.testing.assert_allclose(pooled.survival["b"], np.linspace(1, 0.4, 11))
    np.testing.assert_allclose(pooled.survival.index, np.arange(11))


def test_without_curves_only_risks_are_averaged():
    bare = SurvivalPrediction(OS, pd.Series({"a": 1.0, "b": 2.0}))
    assert average_predictions([bare, prediction({"a": 1, "b": 2}, [1, 1])]).survival is None


def test_without_overlap_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = pd.Series(rng.normal(0.1, 1, 12)), pd.Series(rng.normal(size=12))
    oracle = stats.ttest_rel(a, b)
    row = paired_difference(a, b.sample(frac=1, random_state=0), test_ratio=0)  # matched by index
    assert row["p"] == pytest.approx(oracle.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(oracle.confidence_interval()))
    wide = paired_difference(a, b, test_ratio=0.2 / 0.7)
    assert (wide["high"] - wide["low"]) / (row["high"] - row["low"]) == pytest.approx(np.sqrt(1 + 12 * 0.2 / 0.7))


def test_the_correction_keeps_its_level_on_overlapping_splits_where_the_plain_test_does_not():
    # Two classifiers that guess: any difference over resampled test sets is luck.
    rng, rejected = np.random.default_rng(0), {0.0: 0, 0.2 / 0.8: 0}
    for _ in range(300):
        skill = rng.normal(size=(2, 100))  # correctness of two models on the same 100 patients
        tests = [rng.choice(100, 20, replace=False) for _ in range(15)]
        a, b = (pd.Series([model[t].mean() for t in tests]) for model in skill)
        for share in rejected:
            rejected[share] += paired_difference(a, b, test_ratio=share)["p"] < 0.05
    assert rejected[0.0] / 300 > 0.25
    assert rejected[0.2 / 0.8] / 300 < 0.1


def test_one_split_has_a_difference_but_no_interval():
    row = paired_difference(pd.Series([0.7]), pd.Series([0.6]), test_ratio=0.2)
    assert row["difference"] == pytest.approx(0.1)
    assert np.isnan([row["low"], row["high"], row["p"]]).all()
