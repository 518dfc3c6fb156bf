"""Pages hold what they were given, whatever signs it has, and what they say of patients is true."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from lifelines.statistics import logrank_test
from sklearn.metrics import accuracy_score

import gexcore as gx
from gexcore.metrics import c_index
from gexcore.report import (
    Picture,
    Points,
    Section,
    Table,
    Text,
    page,
    patient_table,
    picture,
    risk_groups,
    round_times,
    score_models,
)
from gexcore.report.page import number
from gexcore.report.scores import verdict
from gexcore.tasks import ClassPrediction, SurvivalPrediction, ValuePrediction

EVIL = "<script>alert('$x_$')</script>"
OS, KIND, AGE = gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype"), gx.Regression("age")


class Reader(HTMLParser):
    """Tags with their attributes, and the text that is seen."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def of(html, tag):
    return [attributes for name, attributes in Reader(html).tags if name == tag]


@pytest.fixture
def html():
    table = pd.DataFrame({EVIL: [EVIL, "b"], "n": [1234, 5]}, index=pd.Index(["<i>", "j"], name="<b>gene"))
    blocks = [Text(EVIL), Points([EVIL]), Table(table, EVIL), picture(lambda ax: ax.set_title(EVIL), alt=EVIL)]
    return page(EVIL, EVIL, [Section(EVIL, blocks)], footer=EVIL)


def test_names_of_a_file_are_text_wherever_they_stand(html):
    tags, text = Reader(html).tags, Reader(html).text
    assert not {tag for tag, _ in tags} & {"script", "i", "b", "iframe", "object", "link"}
    assert text.count(EVIL) == 10  # title, h1, summary, h2, p, li, th, td, caption, footer
    assert of(html, "img")[0]["alt"] == EVIL
    assert of(html, "div")[0]["aria-label"] == EVIL


def test_a_page_fetches_nothing_and_says_its_language(html):
    drawn = base64.b64decode(of(html, "img")[0]["src"].removeprefix("data:image/svg+xml;base64,")).decode()
    assert "<svg" in drawn
    assert "<script" not in drawn
    links = re.findall(r"(?:src|href|url\()\s*=?\s*[\"']?([^\"'>\s)]+)", html)
    assert [link for link in links if not link.startswith("data:")] == []
    assert of(html, "html")[0]["lang"] == "en"
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_a_table_aligns_numbers_and_scrolls_in_its_own_box(html):
    cells = of(html, "td")
    assert [cell.get("class") for cell in cells] == [None, "number"] * 2
    assert "1,234" in Reader(html).text
    (box,) = of(html, "div")
    assert (box["class"], box["tabindex"]) == ("scroll", "0")


def test_the_same_figure_gives_the_same_bytes():
    first, second = (picture(lambda ax: ax.plot([1, 2]), alt="a line") for _ in range(2))
    assert isinstance(first, Picture)
    assert first == second


@pytest.mark.parametrize(
    ("value", "text"), [(0.7244, "0.724"), (0.0, "0.000"), (1.25e-5, "1.25e-05"), (61.6, "61.600"), (1.2e31, "1.2e+31")]
)
def test_numbers_show_figures_whatever_their_unit(value, text):
    assert number(value) == text


def curves(values, times, ids):
    return pd.DataFrame(values, index=pd.Index(times, name="time"), columns=ids)


def test_the_patient_table_reads_off_the_curves():
    ids = pd.Index(["a", "b"])
    survival = curves([[1.0, 1.0], [0.6, 0.9], [0.4, 0.8]], [0.0, 10.0, 20.0], ids)
    predictions = {
        "os": SurvivalPrediction(OS, pd.Series([2.0, 1.0], ids), survival),
        "subtype": ClassPrediction(KIND, pd.DataFrame({"lum": [0.3, 0.8], "bas": [0.7, 0.2]}, index=ids)),
        "age": ValuePrediction(AGE, pd.Series([50.0, 61.0], ids)),
    }
    table = patient_table(predictions)
    assert table["os_median"].tolist() == pytest.approx([15.0, np.nan], nan_ok=True)  # a line from 0.6 to 0.4
    assert table["os_mean_to_20"].tolist() == pytest.approx([8.0 + 5.0, 9.5 + 8.5])
    assert table.loc["a", ["os_survival_at_5", "os_survival_at_15"]].tolist() == pytest.approx([0.8, 0.5])
    assert table["subtype_predicted"].tolist() == ["bas", "lum"]
    assert table["subtype_probability_bas"].tolist() == [0.7, 0.2]
    assert table["age_predicted"].tolist() == [50.0, 61.0]


@pytest.mark.parametrize("longest", [0.7, 8.3, 131.7, 3650.0])
def test_round_times_are_few_and_within_the_follow_up(longest):
    times = round_times(longest)
    assert 2 <= len(times) <= 6
    assert 0 < times[0] < times[-1] <= longest
    assert all(float(f"{time:.2g}") == time for time in times)


def test_patients_are_divided_at_the_cut_and_compared_by_the_log_rank_test():
    rng = np.random.default_rng(0)
    ids = pd.Index([f"p{i}" for i in range(60)])
    risk = pd.Series(rng.normal(size=60), ids)
    obs = pd.DataFrame({"os_time": rng.exponential(np.exp(-risk)), "os_event": rng.integers(2, size=60)}, ids)
    obs.loc["p0", "os_event"] = np.nan  # a half label is none
    with pytest.warns(gx.CohortWarning, match="only one of"):
        table, p = risk_groups(SurvivalPrediction(OS, risk), obs, cut=0.2)
    assert table["group"].eq("higher risk").equals(risk.drop("p0") > 0.2)
    high = table["group"] == "higher risk"
    parts = [table.loc[part, column] for column in ("time", "event") for part in (high, ~high)]
    assert p == pytest.approx(logrank_test(*parts).p_value)
    with pytest.warns(gx.CohortWarning, match="only one of"):
        assert np.isnan(risk_groups(SurvivalPrediction(OS, risk), obs, cut=9.0).p)


@pytest.fixture(scope="module")
def compared():
    """Ages of 150 patients: one model knows them, one half knows them, one is blind; subtypes: all guess alike."""
    rng = np.random.default_rng(1)
    ids = pd.Index([f"p{i}" for i in range(150)])
    age, kind = pd.Series(rng.normal(60, 10, 150), ids), pd.Series(rng.choice(["x", "y"], 150), ids)
    obs = pd.DataFrame({"age": age, "subtype": kind, "os_time": np.exp(-age / 20), "os_event": 1.0})
    test = gx.read_cohort(pd.DataFrame({"g": rng.normal(size=150), "h": rng.normal(size=150)}, ids), obs)
    guess = ClassPrediction(KIND, pd.DataFrame({"x": rng.random(150), "y": 0.5}, index=ids))
    noise = pd.Series(rng.normal(0, 10, 150), ids)
    models = {
        name: {
            "os": SurvivalPrediction(OS, known),
            "subtype": guess,
            "age": ValuePrediction(AGE, known),
        }
        for name, known in {"knows": age + 0.01 * noise, "half": age + noise, "blind": age.mean() + noise}.items()
    }
    return models, test, score_models(models, test)


def test_every_model_is_scored_as_by_the_metrics_themselves(compared):
    models, test, scores = compared
    value = scores.set_index(["task", "metric", "model"])["value"]
    obs = test.obs
    for name, predicted in models.items():
        expected = c_index(obs["os_time"].to_numpy(), obs["os_event"].to_numpy(), predicted["os"].risk.to_numpy())
        assert value["os", "c_index", name] == pytest.approx(expected)
        assert value["age", "mae", name] == pytest.approx((predicted["age"].values - obs["age"]).abs().mean())
    accuracy = accuracy_score(obs["subtype"], models["knows"]["subtype"].labels)
    assert value["subtype", "accuracy", "half"] == pytest.approx(accuracy)


def test_intervals_hold_the_value_and_tell_models_apart_only_where_they_differ(compared):
    scores = compared[2].dropna(subset="low").set_index(["task", "model"])
    assert (scores["low"] <= scores["value"]).all()
    assert (scores["value"] <= scores["high"]).all()
    said = {
        key: verdict(row["metric"], row["less_low"], row["less_high"])
        for key, row in scores.iterrows()
        if key[1] != "knows"
    }
    assert [said["os", "half"], said["age", "half"], said["age", "blind"]] == ["better"] * 3
    assert said["subtype", "half"] == "not told apart"
    first = scores["value"].xs("knows", level="model")
    rivals = scores.drop("knows", level="model")
    assert (first[rivals.index.get_level_values("task")].to_numpy() - rivals["value"]).to_numpy() == pytest.approx(
        rivals["less_than_first"].to_numpy()
    )


def test_a_width_of_the_interval_is_that_of_the_central_limit(compared):
    models, test, scores = compared
    error = (models["half"]["age"].values - test.obs["age"]).abs()
    row = scores.set_index(["task", "metric", "model"]).loc[("age", "mae", "half")]
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * error.std() / np.sqrt(150), rel=0.15)
