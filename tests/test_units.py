import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from gexcore.metrics import evaluate
from gexcore.tasks import CohortWarning, Survival, SurvivalPrediction
from gexcore.units import differing_units, likely_unit

DAYS = np.random.default_rng(0).uniform(200, 5000, 40)


@pytest.mark.parametrize(("divisor", "unit"), [(1, "days"), (30.44, "months"), (365.25, "years")])
def test_the_longest_follow_up_tells_the_unit(divisor, unit):
    assert likely_unit(DAYS / divisor) == unit


def test_two_units_are_told_apart_and_one_is_not():
    here, there = np.median(DAYS), np.median(DAYS / 30.44)
    assert differing_units("os", DAYS, DAYS / 30.44) == (
        f"task 'os': the median follow-up is {here:g} in the test samples and {there:g} in "
        "training; is the unit another one: days here and months there? Only c_index does not depend on it"
    )
    assert "years here and months there" in differing_units("os", DAYS / 365.25, DAYS / 30.44)
    assert differing_units("os", DAYS, 3 * DAYS) == ""
    assert differing_units("os", DAYS[:0], DAYS) == differing_units("os", DAYS, DAYS[:0]) == ""


def test_scores_of_a_cohort_in_another_unit_are_warned_of_and_concordance_stays():
    task = Survival("os", time="t", event="e")
    obs = pd.DataFrame({"t": DAYS, "e": np.tile([1.0, 0.0], 20)}, index=[f"p{i}" for i in range(40)])
    train = AnnData(obs=obs.assign(t=DAYS / 30.44))
    predictions = {"os": SurvivalPrediction(task, risk=-obs["t"])}
    with pytest.warns(CohortWarning, match="days here and months there"):
        scores = evaluate(predictions, AnnData(obs=obs), train=train)
    assert scores.set_index("metric")["value"]["c_index"] == 1
    evaluate(predictions, AnnData(obs=obs), train=AnnData(obs=obs))  # says nothing
