"""Known sets among chosen and ranked genes: against scipy, gseapy end to end, running sums by hand, planted sets;
areas under the ROC curve against scikit-learn and the theory of ranks.
"""

import socket
from pathlib import Path

import gseapy
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from gexcore.interpret.enrichment import enriched_sets, ranked_sets, told_apart
from gexcore.tables import read_gene_sets

BACKGROUND = [f"G{i}" for i in range(100)]
ENRICHED = ["set", "size", "hits", "expected", "odds_ratio", "p", "q", "genes"]
RANKED = ["set", "size", "nes", "p", "q", "leading"]


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        message = "the network was asked"
        raise AssertionError(message)

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.fixture(scope="module")
def hallmark():
    path = Path(__file__).parents[2] / "shared" / "cohorts" / "hallmark.gmt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    return read_gene_sets(path)


# ---------------------------------------------------------------------------------------- chosen genes


def test_enrichment_is_fishers_exact_test_within_the_background():
    sets = {"planted": [*BACKGROUND[:10], "unread"], "all over": BACKGROUND[::4], "absent": ["unread"]}
    chosen = [*BACKGROUND[:7], *BACKGROUND[50:63]]
    found = enriched_sets(chosen, sets, background=BACKGROUND).set_index("set")
    assert list(found.index) == ["planted", "all over"]
    for name, row in found.iterrows():
        inside, hit = np.isin(BACKGROUND, sets[name]), np.isin(BACKGROUND, chosen)
        counts = np.sum([[(inside == a) & (hit == b) for b in (True, False)] for a in (True, False)], axis=-1)
        (a, b), (c, d) = counts + 0.5
        assert (row["size"], row["hits"]) == (counts[0].sum(), counts[0, 0])
        assert row["expected"] == pytest.approx(counts[0].sum() * 20 / 100)
        assert row["odds_ratio"] == pytest.approx(a * d / (b * c))
        assert row["p"] == pytest.approx(stats.fisher_exact(counts, alternative="greater").pvalue)
        assert row["p"] == pytest.approx(stats.hypergeom.sf(row["hits"] - 1, 100, row["size"], 20))
    p = found["p"]
    np.testing.assert_allclose(found["q"], [min(2 * p.iloc[0], p.iloc[1]), p.iloc[1]])
    assert found.loc["planted", "q"] < 0.01 < 0.3 < found.loc["all over", "q"]
    assert found.loc["planted", "genes"] == ";".join(BACKGROUND[:7])


def test_chosen_members_are_named_in_the_order_they_were_given():
    found = enriched_sets(["d", "a", "c", "a"], {"set": ["a", "b", "c", "a"]}, background=list("abcdef"))
    assert found.loc[0, ["size", "hits", "genes"]].tolist() == [3, 2, "a;c"]


def test_sets_without_a_hit_count_among_the_tests():
    sets = {f"other {i}": BACKGROUND[50 + i : 55 + i] for i in range(9)} | {"planted": BACKGROUND[:5]}
    found = enriched_sets(BACKGROUND[:4], sets, background=BACKGROUND).set_index("set")
    assert len(found) == 10
    assert found.loc["planted", "q"] == pytest.approx(10 * found.loc["planted", "p"])
    others = found.drop("planted")
    assert (others[["hits", "p", "q"]] == [0, 1, 1]).all(axis=None)
    assert (others["genes"] == "").all()
    np.testing.assert_allclose(others["odds_ratio"], 0.5 * 91.5 / (5.5 * 4.5))  # 0, 4, 5 and 91 genes, half added


def test_enrichment_is_what_gseapy_finds_end_to_end_without_the_network(hallmark, offline):
    background = sorted({gene for genes in hallmark.values() for gene in genes})
    strangers = np.random.default_rng(0).choice(background, 60, replace=False)
    chosen = list(dict.fromkeys([*hallmark["HALLMARK_HYPOXIA"][:80], *strangers]))
    found = enriched_sets(chosen, hallmark, background=background).set_index("set")
    theirs = gseapy.enrich(chosen, hallmark, background=background, outdir=None, no_plot=True).results.set_index("Term")
    assert len(found) == 50 >= len(theirs)
    assert (found.drop(theirs.index)["hits"] == 0).all()
    ours = found.loc[theirs.index]
    np.testing.assert_allclose(ours["p"], theirs["P-value"].astype(float))
    np.testing.assert_allclose(ours["odds_ratio"], theirs["Odds Ratio"].astype(float))
    assert (ours["hits"].astype(str) + "/" + ours["size"].astype(str)).tolist() == theirs["Overlap"].tolist()
    assert all(set(a.split(";")) == set(b.split(";")) for a, b in zip(ours["genes"], theirs["Genes"], strict=True))
    np.testing.assert_allclose(found["q"], stats.false_discovery_control(found["p"]))
    assert found.index[0] == "HALLMARK_HYPOXIA"
    assert found["q"].iloc[0] < 1e-50 < found["q"].iloc[1]


def test_nothing_chosen_and_sets_of_foreign_genes_are_no_accident():
    sets = {"one": BACKGROUND[:5], "two": BACKGROUND[5:20]}
    found = enriched_sets([], sets, background=BACKGROUND)
    assert list(found.columns) == ENRICHED
    assert (found[["hits", "expected", "p", "q"]] == [0, 0, 1, 1]).all(axis=None)
    foreign = enriched_sets(BACKGROUND[:3], {"mouse": ["Trp53", "Myc"]}, background=BACKGROUND)
    assert foreign.empty
    assert list(foreign.columns) == ENRICHED


@pytest.mark.parametrize(
    ("genes", "sets", "background", "said"),
    [
        (["a", "X", "Y"], {"set": ["a"]}, ["a", "b"], "2 of 3 genes are not in the background, first X, Y"),
        (["a"], {}, ["a", "b"], "0 gene sets and a background of 2 genes"),
        ([], {"set": ["a"]}, [], "1 gene sets and a background of 0 genes"),
    ],
)
def test_what_cannot_be_tested_is_refused(genes, sets, background, said):
    with pytest.raises(ValueError, match=said):
        enriched_sets(genes, sets, background=background)


# ---------------------------------------------------------------------------------------- ranked genes


@pytest.fixture(scope="module")
def scores():
    """Genes in mixed case, 20 of which score high and 20 low."""
    rng = np.random.default_rng(0)
    names = [f"C{i}orf{i}" if i % 2 else f"G{i}" for i in range(400)]
    return pd.Series(rng.normal(size=400) + np.repeat([1.5, -1.5, 0], [20, 20, 360]), names).sample(
        frac=1, random_state=1
    )


def members(start, n=20):
    return [f"C{i}orf{i}" if i % 2 else f"G{i}" for i in range(start, start + n)]


def enrichment_score(ranked, inside):
    """Running sum of Subramanian et al. with weight 1: its value farthest from zero, and where."""
    step = np.where(inside, np.abs(ranked) / np.abs(ranked)[inside].sum(), -1 / (~inside).sum())
    total = step.cumsum()
    at = np.abs(total).argmax()
    return total[at], at


def test_planted_sets_stand_at_their_ends_and_sets_drawn_by_chance_nowhere(scores, offline):
    rng = np.random.default_rng(2)
    drawn = {f"drawn {i}": list(rng.choice(scores.index, 20, replace=False)) for i in range(20)}
    found = ranked_sets(scores, {"high": members(0), "low": members(20), **drawn}).set_index("set")
    assert list(found.columns) == RANKED[1:]
    assert set(found.index[:2]) == {"high", "low"}
    assert found.loc["high", "nes"] > 2
    assert found.loc["low", "nes"] < -2
    assert (found["q"].iloc[:2] < 0.02).all()
    assert (found["q"].iloc[2:] > 0.05).all()
    np.testing.assert_allclose(found["q"], stats.false_discovery_control(found["p"]))
    assert found["p"].min() == 1 / 1000


@pytest.mark.parametrize("first", [0, 20, 45])
def test_a_ranking_is_scored_as_the_running_sum_against_shuffles(scores, first):
    row = ranked_sets(scores, {"set": members(first), "unread": ["X"] * 9}, n_shuffles=2000).loc[0]
    ordered = scores.sort_values(ascending=False)
    ranked, inside = ordered.to_numpy(), ordered.index.isin(members(first))
    score, peak = enrichment_score(ranked, inside)
    rng = np.random.default_rng(5)
    chance = np.array([enrichment_score(ranked, rng.permutation(inside))[0] for _ in range(2000)])
    same = chance[np.sign(chance) == np.sign(score)]
    assert row["size"] == 20
    assert row["nes"] == pytest.approx(score / np.abs(same).mean(), rel=0.05)
    assert row["p"] == pytest.approx(max((np.abs(same) >= abs(score)).mean(), 1 / 2000), abs=0.04)
    part = ordered[: peak + 1] if score > 0 else ordered[peak:][::-1]
    assert row["leading"].split(";") == list(part.index[part.index.isin(members(first))])


def test_genes_without_a_score_are_left_out_and_small_and_full_sets_too(scores):
    holes = scores.mask(scores.index.isin(members(0, 17)))
    sets = {"three": members(0), "low": members(20), "everything": list(scores.index)}
    found = ranked_sets(holes, sets)
    assert found["set"].tolist() == ["low"]
    assert ranked_sets(holes, sets, min_size=3)["size"].tolist() == [20, 3]
    nothing = ranked_sets(scores, {"foreign": ["X", "Y"]})
    assert nothing.empty
    assert list(nothing.columns) == RANKED


def test_tied_scores_stand_in_an_order_drawn_by_the_seed_without_a_word(scores, capfd):
    rounded = scores.round(0)
    sets = {"high": members(0), "none": members(60)}
    found = ranked_sets(rounded, sets, seed=1)
    pd.testing.assert_frame_equal(found, ranked_sets(rounded, sets, seed=1))
    assert ranked_sets(rounded, sets, seed=2).loc[1, "leading"] != found.loc[1, "leading"]
    assert found.loc[0, "set"] == "high"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda s: pd.concat([s, s[:2]]), {}, "2 genes occur again, first"),
        (lambda s: s.replace(s.iloc[0], np.inf), {}, "1 are infinite, first"),
        (lambda s: s * 0, {}, "400 genes have a score and 1 different ones"),
        (lambda s: s * np.nan, {}, "0 genes have a score and 0 different ones"),
        (lambda s: s, {"n_shuffles": 0}, "too small: n_shuffles"),
        (lambda s: s, {"gene_sets": {}}, "too small: gene_sets"),
    ],
)
def test_what_makes_no_ranking_is_refused(scores, change, settings, said):
    with pytest.raises(ValueError, match=said):
        ranked_sets(change(scores), **{"gene_sets": {"high": members(0)}, **settings})


# ------------------------------------------------------------------------------------------ told apart


def test_the_area_is_that_of_scikit_learn_ties_included(scores):
    for given in (scores, scores.round(0), scores.mask(scores.index.isin(members(0, 17)))):
        known = given.dropna()
        found = told_apart(given, [*members(0), *members(60), "unread"])
        true = known.index.isin([*members(0), *members(60)])
        assert found["area"] == pytest.approx(roc_auc_score(true, known))
        assert (found["genes"], found["others"]) == (true.sum(), (~true).sum())


def test_chance_spreads_as_the_rank_sum_of_random_genes_does(scores):
    found = told_apart(scores, members(0), n_draws=20000)
    n, others = found["genes"], found["others"]
    half = 1.96 * np.sqrt((n + others + 1) / (12 * n * others))  # Mann-Whitney, no ties
    assert found["low"] == pytest.approx(0.5 - half, abs=0.01)
    assert found["high"] == pytest.approx(0.5 + half, abs=0.01)
    ordered = scores.sort_values().index
    assert told_apart(scores, ordered[-20:])["area"] == 1
    assert told_apart(scores, ordered[:20])["area"] == 0
    assert told_apart(scores, ordered[:20], n_draws=999)["p"] == pytest.approx(1 / 1000)


def test_p_is_uniform_over_random_sets_and_two_sided(scores):
    rng = np.random.default_rng(3)
    p = [told_apart(scores, rng.choice(scores.index, 20, replace=False), n_draws=200, seed=i)["p"] for i in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    high, low = (told_apart(sign * scores, members(0))["p"] for sign in (1, -1))
    assert high == low


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda s: pd.concat([s, s[:2]]), {}, "2 genes have two scores, first"),
        (lambda s: s, {"n_draws": 0}, "1 or more, not 0"),
        (lambda s: s, {"genes": ["X"]}, "0 of 400 genes with a score are true"),
        (lambda s: s[members(0)], {}, "20 of 20 genes with a score are true"),
    ],
)
def test_where_there_is_nothing_to_tell_apart_it_says_so(scores, change, settings, said):
    with pytest.raises(ValueError, match=said):
        told_apart(change(scores), **{"genes": members(0), **settings})
