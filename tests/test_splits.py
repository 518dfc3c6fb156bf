import itertools

import numpy as np
import pandas as pd
import pytest

from gexcore.cohort import read_cohort
from gexcore.splits import split
from gexcore.tasks import Classification, Regression, Survival

TASKS = [Regression("age"), Survival("os", time="time", event="event"), Classification("subtype")]


def make_cohort(n=200, seed=0):
    rng = np.random.default_rng(seed)
    ids = [f"p{i}" for i in range(n)]
    labels = {
        "time": rng.exponential(10, n),
        "event": rng.permutation(np.arange(n) % 4 == 0).astype(float),
        "subtype": rng.permutation(np.resize(["A", "A", "B", "C", None], n)),
        "age": rng.normal(60, 10, n),
        "site": rng.permutation(np.resize(np.repeat(np.arange(20), np.arange(1, 21)), n)),
    }
    x = pd.DataFrame(rng.normal(size=(n, 3)), index=ids, columns=["TP53", "MYC", "KRAS"])
    return read_cohort(x, pd.DataFrame(labels, index=ids))


def ids(parts):
    return [part.obs_names.tolist() for part in parts]


def test_the_parts_divide_the_cohort_in_the_fractions_asked_for():
    cohort = make_cohort()
    parts = split(cohort, TASKS, fractions=(0.6, 0.15, 0.25))
    assert [part.n_obs for part in parts] == [120, 30, 50]
    assert sorted(itertools.chain(*ids(parts))) == sorted(cohort.obs_names)
    for part in parts:
        np.testing.assert_array_equal(part.X, cohort[part.obs_names].X)


def test_events_and_classes_are_spread_evenly():
    cohort = make_cohort()
    for part in split(cohort, TASKS):
        assert part.obs["event"].mean() == pytest.approx(0.25, abs=1 / part.n_obs)
        for subtype in ("A", "B", "C"):
            whole = (cohort.obs["subtype"] == subtype).mean()
            assert (part.obs["subtype"] == subtype).mean() == pytest.approx(whole, abs=2 / part.n_obs)
        assert part.obs["subtype"].isna().mean() == pytest.approx(0.2, abs=2 / part.n_obs)


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows():
    cohort = make_cohort()
    shuffled = cohort[np.random.default_rng(3).permutation(cohort.n_obs)]
    for groups in (None, "site"):
        assert ids(split(cohort, TASKS, seed=4, groups=groups)) == ids(split(shuffled, TASKS, seed=4, groups=groups))
        assert ids(split(cohort, TASKS, seed=4, groups=groups)) != ids(split(cohort, TASKS, seed=5, groups=groups))


def test_the_global_random_state_is_neither_used_nor_changed():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    split(make_cohort(), TASKS)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_rare_strata_are_pooled_rather_than_refused():
    cohort = make_cohort(60)
    cohort.obs["subtype"] = pd.Series(["lone"] + ["pair"] * 2 + ["B"] * 57, cohort.obs_names)
    assert [part.n_obs for part in split(cohort, TASKS)] == [42, 6, 12]
    cohort.obs["subtype"] = [f"class {i}" for i in range(60)]
    assert [part.n_obs for part in split(cohort, TASKS)] == [42, 6, 12]


@pytest.mark.parametrize("n", range(5, 40, 3))
@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.2), (0.2, 0.2, 0.6), (0.34, 0.33, 0.33)])
def test_small_cohorts_split_or_say_which_part_would_be_empty(n, fractions):
    cohort = make_cohort(n)
    if n * min(fractions) < 0.51:
        with pytest.raises(ValueError, match=rf"{n} samples are too few for fractions .*: val would be empty"):
            split(cohort, TASKS, fractions=fractions)
    else:
        assert sum(part.n_obs for part in split(cohort, TASKS, fractions=fractions)) == n


def test_no_group_is_in_two_parts_and_the_fractions_hold_roughly():
    cohort = make_cohort()
    for seed in range(5):
        parts = split(cohort, TASKS, seed=seed, groups="site")
        sites = [set(part.obs["site"]) for part in parts]
        assert sum(len(part) for part in sites) == cohort.obs["site"].nunique()
        assert [part.n_obs / 200 for part in parts] == pytest.approx([0.7, 0.1, 0.2], abs=0.06)


def test_groups_must_exist_be_complete_and_be_enough():
    cohort = make_cohort()
    with pytest.raises(KeyError, match="groups must name a column of obs; 'hospital' is not among time, event"):
        split(cohort, groups="hospital")
    with pytest.raises(ValueError, match="column 'subtype' is empty for 40 samples, first p"):
        split(cohort, groups="subtype")
    cohort.obs["half"] = np.arange(200) % 2
    with pytest.raises(ValueError, match="2 groups in column 'half' are too few"):
        split(cohort, groups="half")


@pytest.mark.parametrize("fractions", [(0.7, 0.3), (0.8, 0.0, 0.2), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_that_are_not_three_shares_of_one_are_refused(fractions):
    with pytest.raises(ValueError, match="three positive shares that sum to 1"):
        split(make_cohort(), fractions=fractions)
