"""Figures: what the artists hold is what the data say."""

import anndata as ad
import lifelines
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from lifelines.statistics import logrank_test
from matplotlib import pyplot as plt

from gexcore import plots
from gexcore.tasks import Classification, Regression, Survival, SurvivalPrediction

OS = Survival("os", time="time", event="event")


pytestmark = pytest.mark.usefixtures("canvas")


@pytest.fixture
def cohort() -> ad.AnnData:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 6)).astype("float32")
    happens, leaves = rng.exponential(20 * np.exp(-x[:, 0])), rng.uniform(5, 60, size=90)
    obs = pd.DataFrame(
        {
            "time": np.minimum(happens, leaves).round(1),
            "event": (happens <= leaves).astype(float),
            "subtype": np.repeat(["luminal", "basal", None], [50, 30, 10]),
            "age": rng.normal(60, 10, size=90),
        },
        index=[f"s{i}" for i in range(90)],
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=list("abcdef")))


def texts(ax):
    return [t.get_text() for t in ax.texts]


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def drawn_by_each_plot(cohort, ax=None):
    samples = cohort.obs_names
    survival = pd.DataFrame(np.linspace(1, 0.2, 5)[:, None] ** np.linspace(0.5, 2, 90), range(0, 50, 10), samples)
    risk = SurvivalPrediction(OS, pd.Series(np.linspace(0, 1, 90), samples), survival)
    table = pd.DataFrame({"model": "a", "seed": range(3), "task": "os", "metric": "auc", "value": [0.6, 0.7, 0.8]})
    differences = table.iloc[:1].assign(reference="linear", difference=0.1, low=0.0, high=0.2, verdict="not decided")
    pruning = table.iloc[:1].assign(layer="1", head="1", change=-0.1)
    plane = pd.DataFrame({"x": range(90), "y": 0}, samples)
    history = pd.DataFrame({"epoch": [0, 1] * 2, "split": ["train"] * 2 + ["val"] * 2, "task": "mean", "loss": 1.0})
    return {
        "kaplan meier": lambda: plots.plot_kaplan_meier(cohort.obs["time"], cohort.obs["event"], ax=ax),
        "calibration": lambda: plots.plot_calibration(risk, cohort, at=20, ax=ax),
        "scores": lambda: plots.plot_scores(table, ax=ax),
        "differences": lambda: plots.plot_differences(differences, ax=ax),
        "pruning": lambda: plots.plot_pruning(pruning, "os", "auc", ax=ax),
        "embedding": lambda: plots.plot_embedding(plane, cohort.obs["age"], ax=ax),
        "history": lambda: plots.plot_history(history, ax=ax),
        "labels": lambda: plots.plot_labels(cohort, OS, ax=ax),
        "expression": lambda: plots.plot_expression(cohort, order="age", ax=ax),
        "matrix": lambda: plots.plot_matrix(cohort.to_df().corr(), label="Correlation", ax=ax),
    }


def test_every_plot_draws_on_the_given_axes_and_returns_them(cohort):
    for name in drawn_by_each_plot(cohort):
        figure, (left, right) = plt.subplots(1, 2)
        assert drawn_by_each_plot(cohort, ax=left)[name]() is left, name
        assert not right.has_data(), name
        assert figure.axes == [left, right], name
        figure.canvas.draw()


def test_every_plot_without_axes_uses_the_current_ones(cohort):
    for name, draw in drawn_by_each_plot(cohort).items():
        _, ax = plt.subplots()
        assert draw() is ax, name


def test_kaplan_meier_curves_bands_ticks_and_p_value_are_those_of_lifelines(cohort):
    obs = cohort.obs
    ax = plots.plot_kaplan_meier(obs["time"], obs["event"], obs["subtype"], unit="months")
    one, two = (obs[obs["subtype"] == k] for k in ("basal", "luminal"))
    km = lifelines.KaplanMeierFitter().fit(one["time"], one["event"])
    curve = lines(ax)["basal (n = 30)"]
    assert curve.get_xdata() == pytest.approx(km.survival_function_.index)
    assert curve.get_ydata() == pytest.approx(km.survival_function_.iloc[:, 0])
    assert curve.get_drawstyle() == "steps-post"
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(km.confidence_interval_.min(axis=None))
    ticks = next(line for line in ax.lines if line.get_marker() == "|")
    assert sorted(ticks.get_xdata()) == sorted(one.loc[one["event"] == 0, "time"])
    p = logrank_test(one["time"], two["time"], one["event"], two["event"]).p_value
    assert ax.get_legend().get_title().get_text() == f"log-rank p = {p:.2g}"
    assert ax.get_xlabel() == "Time (months)"


def test_kaplan_meier_aligns_series_by_sample(cohort):
    obs = cohort.obs
    straight = plots.plot_kaplan_meier(obs["time"], obs["event"], obs["subtype"], ax=plt.figure().gca())
    mixed = plots.plot_kaplan_meier(obs["time"][::-1], obs["event"], obs["subtype"], ax=plt.figure().gca())
    for label in ("basal (n = 30)", "luminal (n = 50)"):
        np.testing.assert_allclose(lines(straight)[label].get_xydata(), lines(mixed)[label].get_xydata())


def test_kaplan_meier_of_a_group_without_censoring_is_drawn():
    ax = plots.plot_kaplan_meier([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 0], ["a", "a", "b", "b"], at_risk=True)
    assert lines(ax)["a (n = 2)"].get_ydata().tolist() == [1, 0.5, 0]


def test_numbers_at_risk_count_samples_followed_until_the_tick():
    ax = plots.plot_kaplan_meier([5.0, 10.0, 20.0, 20.0], [1, 1, 0, 0], at_risk=True)
    ticks = [t for t in ax.get_xticks() if 0 <= t <= ax.get_xlim()[1]]
    assert texts(ax) == ["all  ", *(str(sum(x >= t for x in (5, 10, 20, 20))) for t in ticks)]


def test_calibration_compares_mean_prediction_with_kaplan_meier_of_each_group(cohort):
    samples = cohort.obs_names
    at_20 = pd.Series(np.random.default_rng(1).permutation(np.linspace(0.1, 0.9, 90)), samples)
    survival = pd.DataFrame([np.ones(90), at_20.to_numpy()], index=[0.0, 20.0], columns=samples)
    prediction = SurvivalPrediction(OS, -at_20, survival)
    ax = plots.plot_calibration(prediction, cohort, at=20, n_groups=3, unit="months")
    lowest = at_20.nsmallest(30)
    km = lifelines.KaplanMeierFitter().fit(*cohort.obs.loc[lowest.index, ["time", "event"]].to_numpy().T)
    points = ax.containers[0].lines[0]
    assert len(points.get_xdata()) == 3
    assert points.get_xydata()[0] == pytest.approx([lowest.mean(), km.predict(20)])
    bar = ax.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert bar == pytest.approx(km.confidence_interval_.loc[:20].iloc[-1].to_numpy())
    assert ax.get_xlabel() == "Predicted survival at 20 months"


def test_calibration_leaves_out_what_nobody_was_followed_for(cohort):
    survival = pd.DataFrame(1.0, index=[0.0, 99.0], columns=cohort.obs_names)
    ax = plots.plot_calibration(SurvivalPrediction(OS, survival.iloc[0], survival), cohort, at=99)
    assert len(ax.containers[0].lines[0].get_xdata()) == 0


def test_labels_count_classes_events_and_what_is_missing(cohort):
    ax = plots.plot_labels(cohort, [Classification("subtype"), OS, Regression("age")])
    widths = {y: [b.get_width() for b in ax.patches if round(b.get_y() + b.get_height() / 2) == y] for y in range(3)}
    events = int(cohort.obs["event"].sum())
    assert widths == {0: [50, 30, 10], 1: [events, 90 - events], 2: [90]}
    assert {"luminal (50)", "basal (30)", "10 missing"} <= set(texts(ax))


def test_expression_is_standardised_and_ordered_by_clinic_and_module(cohort):
    modules = {"f": "one", "a": "two", "c": "one"}
    ax = plots.plot_expression(cohort, order="subtype", modules=modules)
    shown = np.asarray(ax.images[0].get_array())
    table = cohort[[*cohort.obs_names[50:80], *cohort.obs_names[:50]], ["c", "f", "a"]].to_df()
    assert shown == pytest.approx(((table - table.mean()) / table.std(ddof=0)).to_numpy(), abs=1e-5)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["basal", "luminal"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["one", "two"]
    assert ax.get_yticks().tolist() == [14.5, 54.5]


def test_a_matrix_with_negative_values_is_coloured_symmetrically_and_a_small_one_is_written_out(cohort):
    matrix = cohort.to_df().corr()
    ax = plots.plot_matrix(matrix, label="Correlation")
    assert np.asarray(ax.images[0].get_array()) == pytest.approx(matrix.to_numpy())
    assert ax.images[0].get_clim() == (-1, 1)
    assert [t.get_text() for t in ax.get_yticklabels()] == list("abcdef")
    assert texts(ax)[:2] == ["1", f"{matrix.iloc[0, 1]:.3g}"]
    assert plots.plot_matrix(matrix.abs(), label="Strength", ax=plt.figure().gca()).images[0].get_clim() == (0, 1)


def test_a_cell_without_a_value_has_no_number_in_it():
    matrix = pd.DataFrame({"a": [0.25, np.nan], "b": [0.5, 1.0]})
    ax = plots.plot_matrix(matrix, label="Correlation", ax=plt.figure().gca())
    assert texts(ax) == ["0.25", "0.5", "1"]


def test_the_theme_is_white_open_and_safe_for_the_colour_blind():
    assert mpl.rcParams["figure.facecolor"] == "white"
    assert mpl.rcParams["axes.spines.top"] is False
    assert sns.color_palette() == sns.color_palette("colorblind")


def test_costs_are_a_line_each_on_axes_where_equal_ratios_are_equal_steps():
    table = pd.DataFrame(
        {
            "genes": [1000, 250, 250, 1000],
            "seconds": [8.0, 1.0, 0.5, np.nan],
            "form": ["full", "full", "linear", "linear"],
        }
    )
    ax = plots.plot_costs(table, x="genes", y="seconds", by="form", labels={"genes": "Genes"})
    full, linear = ax.get_lines()
    assert full.get_xydata().tolist() == [[250, 1.0], [1000, 8.0]]
    assert linear.get_xydata().tolist() == [[250, 0.5]]
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "log", "Genes", "seconds")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["250", "1,000"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["full", "linear"]
