"""A column of events that says the opposite is asked about, with the line that mends it; a right one never is."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from test_real_cohorts import shared

import gexcore as gx
from gexcore.tasks import CohortWarning, Survival
from gexcore.tasks.events import inverted, later_events, named_for_no_event


def administrative(n=200, *, seed=0):
    """Follow-up of a study that ends: constant hazard, entry spread over two thirds of it."""
    rng = np.random.default_rng(seed)
    happens, leaves = rng.exponential(40, n), rng.uniform(20, 60, n)
    return pd.DataFrame({"time": np.minimum(happens, leaves), "event": (happens <= leaves).astype(float)})


# ------------------------------------------------------------------------------------------- by its name


@pytest.mark.parametrize("column", ["alive", "is_alive", "IsAlive", "censored", "cens", "Censorship", "event_free"])
def test_a_column_called_after_those_without_the_event_is_asked_about(column):
    obs = pd.DataFrame({"time": [3.0, 4, 5, 6], column: [1, 0, 1, 1]}, index=list("abcd"))
    message = (
        rf"task 'os': column '{column}' is called as if 1 meant no event, and 3 of 4 samples have 1; .* invert it: "
    )
    with pytest.warns(CohortWarning, match=message) as asked:
        Survival("os", time="time", event=column).fit(obs)
    exec(str(asked[0].message).partition("invert it: ")[2])
    assert obs[column].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    "column",
    ["os_event", "status", "vital_status", "uncensored", "not_alive", "dead_or_alive", "disease_free_survival"],
)
def test_other_names_are_not(column):
    assert not named_for_no_event(column)


def test_times_that_clearly_say_so_overrule_a_name():
    cohort = administrative()  # GBSG2 calls its events cens
    assert inverted("cens", cohort["time"], cohort["event"]) == ""
    assert "is called as if" in inverted("cens", cohort["time"], 1 - cohort["event"])


# ------------------------------------------------------------------------------------------ by its times


def test_the_share_of_later_events_is_that_of_all_pairs():
    time, event = np.array([1.0, 2, 2, 5, 7]), np.array([0, 1, 0, 1, 0])
    pairs = [(t > u) + (t == u) / 2 for t in time[event == 1] for u in time[event == 0]]
    assert later_events(time, event)[0] == np.mean(pairs)


def test_events_that_come_later_than_censorings_are_asked_about():
    obs = administrative()
    task = Survival("os", time="time", event="event")
    task.fit(obs)
    with pytest.warns(CohortWarning, match=r"have the longer times \(\d\d% of pairs\); if 1 means alive or censored"):
        task.fit(obs.assign(event=1 - obs["event"]))


def test_nearly_only_events_at_the_end_of_follow_up_are_asked_about():
    time, event = np.array([*[10.0] * 15, *range(3, 9)]), np.ones(21)
    assert "has 1 for 21 of 21 samples, most of them at the end of follow-up" in inverted("e", time, event)
    assert inverted("e", np.arange(21.0), event) == ""


def labels(name):
    """Time and event of every endpoint of a known cohort."""
    if name in ("demo", "demo-pan-cancer", "transbig"):
        obs = gx.load_cohort(name).obs
    else:
        path = shared(name)
        obs = ad.read_h5ad(path, backed="r").obs if path.suffix == ".h5ad" else pd.read_csv(path, index_col=0)
    columns = [(c, c.replace("time", "event")) for c in obs if c.endswith("_time")]
    return [obs[list(pair)].dropna().to_numpy(float).T for pair in columns]


@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("demo", [True, True]),
        ("demo-pan-cancer", [True]),
        ("transbig", [True]),
        ("nki/clinical.csv", [True]),
        ("nki-symbols/clinical.csv", [True, True]),
        ("tcga-absolute.h5ad", [True]),
        ("tcga-pan-cancer.h5ad", [False]),  # who entered late was censored early
        ("tcga-brca/clinical.csv", [False, False]),
    ],
)
def test_known_cohorts_are_right_and_their_inverse_is_asked_about_where_it_shows(name, shows):
    if name == "transbig":
        pytest.importorskip("sksurv", reason="scikit-survival is not installed")
    found = labels(name)
    assert [inverted("event", *pair) for pair in found] == [""] * len(found)
    assert [bool(inverted("event", time, 1 - event)) for time, event in found] == shows


@pytest.mark.parametrize("n", [30, 300])
def test_no_question_about_a_constant_hazard_however_many_drop_out(n):
    asked = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        happens, leaves = rng.exponential(1, n), np.minimum(rng.exponential(2, n), rng.uniform(0, 3, n))
        asked += bool(inverted("event", np.minimum(happens, leaves), happens <= leaves))
    assert asked == 0


# -------------------------------------------------------------------------------------- other codings


@pytest.mark.parametrize(
    ("cells", "mended"),
    [
        (["dead", "alive"], [1, 0]),
        (["Alive", "Dead", None, "Alive"], [0, 1, None, 0]),
        (["1:DECEASED", "0:LIVING", None], [1, 0, None]),
        (["1:Recurred/Progressed", "0:DiseaseFree"], [1, 0]),
        (["Yes", "No"], [1, 0]),
        (["TRUE", "FALSE", "TRUE"], [1, 0, 1]),
        ([1, 2, 2, None], [0, 1, 1, None]),
        (["1", "2"], [0, 1]),
        ([0, 1, 2], [0, 1, 0]),
    ],
    ids=str,
)
def test_another_coding_is_refused_with_the_line_that_mends_it(cells, mended):
    obs = pd.DataFrame({"t": 1.0, "e": cells}, index=[f"p{i}" for i in range(len(cells))])
    task = Survival("os", time="t", event="e")
    with pytest.raises(ValueError, match=r"column 'e' must .*; if .*, obs\['e'\] = obs\['e'\]") as refused:
        task.read(obs)
    line = str(refused.value)
    exec(line[line.index("obs['e'] = ") :])
    assert [None if np.isnan(e) else e for e in obs["e"].astype(float)] == mended


def test_yes_means_no_event_where_the_column_says_so():
    obs = pd.DataFrame({"t": 1.0, "alive": ["yes", "no"]}, index=["a", "b"])
    with pytest.raises(ValueError, match=r"obs\['alive'\].map\({'yes': 0, 'no': 1}\)$"):
        Survival("os", time="t", event="alive").read(obs)


@pytest.mark.parametrize("cells", [["dead", "lost"], [0, 3], [0.5, 1], list("abcdefgh")], ids=str)
def test_nothing_is_guessed_of_a_coding_nobody_knows(cells):
    obs = pd.DataFrame({"t": 1.0, "e": cells}, index=[f"p{i}" for i in range(len(cells))])
    with pytest.raises(ValueError, match=r"; write 1 where it happened and 0 where it did not \(yet\)$"):
        Survival("os", time="t", event="e").read(obs)
