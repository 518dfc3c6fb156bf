"""Patients on a plane and their errors, against planted groups, other libraries and counting by hand."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors
from sksurv.metrics import concordance_index_censored

from gexcore.interpret import prediction_errors, project
from gexcore.tasks import (
    Classification,
    ClassPrediction,
    Regression,
    Survival,
    SurvivalPrediction,
    ValuePrediction,
)

OS = Survival("os", time="time", event="event")


def cohort(**columns) -> ad.AnnData:
    obs = pd.DataFrame(columns)
    obs.index = [f"s{i}" for i in obs.index]
    return ad.AnnData(obs=obs)


def two_groups(n=40, width=12):
    """n samples around one point, then n around another, ten standard deviations apart."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * n, width)) + 10 * np.repeat(np.eye(width)[:2], n, axis=0)
    return pd.DataFrame(x, index=[f"s{i}" for i in rng.permutation(2 * n)])


# -------------------------------------------------------------------------------------------- the plane


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_a_plane_keeps_ids_and_planted_groups(method):
    embedding = two_groups()
    plane = project(embedding, method=method)
    assert plane.index.equals(embedding.index)
    assert list(plane.columns) == ["x", "y"]
    neighbours = NearestNeighbors(n_neighbors=6).fit(plane).kneighbors(return_distance=False)
    assert ((neighbours < 40) == (np.arange(80) < 40)[:, None]).all()


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_the_same_seed_gives_the_same_plane(method):
    embedding = two_groups(n=15)
    pd.testing.assert_frame_equal(project(embedding, method=method, seed=3), project(embedding, method=method, seed=3))


def test_principal_components_are_those_of_the_singular_value_decomposition():
    embedding = two_groups()
    centred = embedding - embedding.mean()
    expected = centred.to_numpy() @ np.linalg.svd(centred)[2][:2].T
    plane = project(embedding, method="pca").to_numpy()
    np.testing.assert_allclose(np.abs(plane), np.abs(expected), atol=1e-8)  # the sign of an axis is free


def test_a_few_samples_are_drawn_too():
    plane = project(two_groups(n=2))
    assert np.isfinite(plane.to_numpy()).all()


@pytest.mark.parametrize(
    ("embedding", "method", "message"),
    [
        (two_groups(), "umap", "method must be 'tsne' or 'pca', not 'umap'"),
        (two_groups()[:3], "tsne", "3 samples are too few"),
        (two_groups().iloc[:, :1], "pca", "nothing to draw: 1 numbers per sample"),
        (two_groups() * 0, "tsne", "nothing to draw: 12 numbers per sample, and 1 different samples"),
    ],
)
def test_what_makes_no_plane_is_refused(embedding, method, message):
    with pytest.raises(ValueError, match=message):
        project(embedding, method=method)


# ------------------------------------------------------------------------------------------- the errors


def patients(seed, n=40):
    """Rounded times and risks, so that events, censorings and risks tie."""
    rng = np.random.default_rng(seed)
    test = cohort(time=rng.exponential(8, n).round(), event=rng.integers(0, 2, n).astype(float))
    return test, pd.Series(rng.normal(size=n).round(1), test.obs_names)


def comparable(time, event, i, j):
    """Whether it is known who of two patients had the event first."""
    first, second = (i, j) if (time[i], -event[i]) < (time[j], -event[j]) else (j, i)
    return event[first] == 1 and (time[first] < time[second] or event[second] == 0)


@pytest.mark.parametrize("seed", range(4))
def test_errors_of_survival_weighted_by_pairs_are_one_minus_the_c_index(seed):
    test, risk = patients(seed)
    error = prediction_errors({"os": SurvivalPrediction(OS, risk)}, test)["os"]
    time, event = test.obs["time"].to_numpy(), test.obs["event"].to_numpy()
    pairs = np.array([sum(comparable(time, event, i, j) for j in range(40) if j != i) for i in range(40)])
    oracle = concordance_index_censored(event == 1, time, risk.to_numpy())[0]
    assert (error.isna() == (pairs == 0)).all()
    assert (error.fillna(0) * pairs).sum() / pairs.sum() == pytest.approx(1 - oracle)


def test_errors_of_survival_count_wrong_pairs_as_by_hand():
    # event at 1, event at 2, censored at 2, censored at 0: the last one is comparable with nobody
    test = cohort(time=[1.0, 2.0, 2.0, 0.0], event=[1.0, 1.0, 0.0, 0.0])
    risk = pd.Series([5.0, 7.0, 5.0, 9.0], test.obs_names)
    found = prediction_errors({"os": SurvivalPrediction(OS, risk)}, test)["os"]
    # wrong: the first before the second; tied, one half: the first and the third; right: the second before the third
    assert found.tolist() == pytest.approx([1.5 / 2, 1 / 2, 0.5 / 2, np.nan], nan_ok=True)


def test_errors_are_absolute_differences_and_the_probability_missing_from_the_true_class():
    test = cohort(age=[50.0, np.nan, 70.0], grade=["1", "2", None], stage=["a", "b", "unheard of"])
    ids = test.obs_names
    grade = pd.DataFrame({"1": [0.9, 0.2, 0.5], "2": [0.1, 0.8, 0.5]}, ids)
    stage = pd.DataFrame({"a": [0.25, 0.0, 0.0], "b": [0.75, 1.0, 1.0]}, ids)
    predictions = {
        "age": ValuePrediction(Regression("age"), pd.Series([53.0, 1e6, 68.5], ids)),
        "grade": ClassPrediction(Classification("grade"), grade[["2", "1"]]),  # classes are found by name
        "stage": ClassPrediction(Classification("stage"), stage),
    }
    found = prediction_errors(predictions, test)
    expected = {"age": [3.0, np.nan, 1.5], "grade": [0.1, 0.2, np.nan], "stage": [0.75, 0.0, 1.0]}
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected, ids))


def test_errors_match_patients_by_id():
    test, risk = patients(0)
    straight = prediction_errors({"os": SurvivalPrediction(OS, risk)}, test)
    mixed = prediction_errors({"os": SurvivalPrediction(OS, risk[::-1])}, test)
    pd.testing.assert_frame_equal(straight, mixed)


def test_patients_without_a_label_have_no_error_and_count_in_no_pair():
    test, risk = patients(1)
    hidden = test.copy()
    hidden.obs.loc[hidden.obs_names[30:], ["time", "event"]] = np.nan
    found = prediction_errors({"os": SurvivalPrediction(OS, risk)}, hidden)
    assert found["os"][30:].isna().all()
    pd.testing.assert_frame_equal(found[:30], prediction_errors({"os": SurvivalPrediction(OS, risk)}, test[:30]))


def test_a_task_without_any_label_has_no_error():
    test = cohort(time=[np.nan] * 2, event=[np.nan] * 2, age=[np.nan] * 2, grade=[None] * 2)
    ids = test.obs_names
    predictions = {
        "os": SurvivalPrediction(OS, pd.Series([1.0, 2.0], ids)),
        "age": ValuePrediction(Regression("age"), pd.Series([1.0, 2.0], ids)),
        "grade": ClassPrediction(Classification("grade"), pd.DataFrame({"1": 0.5, "2": 0.5}, ids)),
    }
    found = prediction_errors(predictions, test)
    assert found.shape == (2, 3)
    assert found.isna().all(axis=None)
