import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gexcore.preprocessing import (
    average_replicates,
    convert_times,
    drop_samples_without_labels,
    keep_one_per_patient,
    select_samples,
    to_log2,
)
from gexcore.tasks import Classification, CohortWarning, Regression, Survival

OS, KIND, AGE = Survival("os", time="os_time", event="os_event"), Classification("kind"), Regression("age")
BARCODES = ["TCGA-A1-0001-06A", "TCGA-A1-0001-01A", "TCGA-A1-0002-01B", "TCGA-A1-0002-01A", "TCGA-A1-0003-11A"]


def cohort_of(x, samples=None, genes=None, **obs):
    x = np.asarray(x, dtype="float32")
    samples = samples or [f"p{i}" for i in range(len(x))]
    genes = genes or [f"g{j}" for j in range(x.shape[1])]
    return ad.AnnData(x, obs=pd.DataFrame(obs, index=samples), var=pd.DataFrame(index=genes))


def patient_of(barcode):
    return barcode[:12]


def refused(match, step, *inputs, error=ValueError, **settings):
    with pytest.raises(error, match=match):
        step(*inputs, **settings)


@pytest.fixture
def barcoded():
    x = np.random.default_rng(0).normal(5, 2, (5, 4))
    x[1, :2], x[2, 0] = np.nan, np.nan
    return cohort_of(x, BARCODES, code=[6, 1, 1, 1, 11])


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    obs = {"os_time": [5.0, 9, 4, 8, 7, 6], "os_event": [1.0, 0, 1, 0, 1, 0], "kind": list("aabbab"), "age": [50.0] * 6}
    cohort = cohort_of(rng.normal(5, 2, (6, 3)), **obs)
    cohort.obs.loc["p1", "age"] = np.nan
    cohort.obs.loc[["p1", "p2"], "kind"] = None
    cohort.obs.loc["p5", ["os_time", "os_event", "age"]] = np.nan
    return cohort


# ------------------------------------------------------------------------------------------ selected samples


def test_samples_are_selected_by_the_values_of_columns_and_the_others_are_counted(barcoded):
    barcoded.obs["tissue"] = ["bone", "breast", None, "breast", "breast"]
    primary, report = select_samples(barcoded, {"code": 1, "tissue": ["breast"]})
    assert primary.obs_names.tolist() == ["TCGA-A1-0001-01A", "TCGA-A1-0002-01A"]
    np.testing.assert_array_equal(primary.X, barcoded.X[[1, 3]])
    assert report["kept"].tolist() == [3, 2]
    assert report["why"].tolist() == ["code is not 1: 6 (1), 11 (1)", "tissue is not breast: missing (1)"]
    assert report["first_ids"].tolist() == ["TCGA-A1-0001-06A, TCGA-A1-0003-11A", "TCGA-A1-0002-01B"]


def test_wanted_numbers_are_compared_as_the_column_is_read(barcoded):
    for wanted in (1, 1.0, "1", [1.0], np.array([1])):
        assert select_samples(barcoded, {"code": wanted})[0].n_obs == 3


def test_selections_that_leave_nothing_are_refused(barcoded):
    refused(r"column 'code' never holds 7; it holds 1 \(3\), 6 \(1\), 11 \(1\)", select_samples, barcoded, {"code": 7})
    refused("no clinical column 'type'; the cohort has code", select_samples, barcoded, {"type": "a"}, error=KeyError)
    barcoded.obs["tissue"] = ["bone", "breast", "breast", "breast", "breast"]
    refused(
        "no sample is left: none has the wanted values of code, tissue together",
        select_samples,
        barcoded,
        {"code": 11, "tissue": "bone"},
    )


# ---------------------------------------------------------------------------------------- one per patient


@pytest.mark.parametrize(
    ("keep", "expected"),
    [("first_id", [1, 3, 4]), ("last_id", [0, 2, 4]), ("most_complete", [0, 3, 4])],
)
def test_one_sample_of_a_patient_is_kept_by_the_rule_whatever_the_order_of_rows(barcoded, keep, expected):
    kept, report = keep_one_per_patient(barcoded, patient_of, keep=keep)
    assert kept.obs_names.tolist() == ["TCGA-A1-0001", "TCGA-A1-0002", "TCGA-A1-0003"]
    assert kept.obs["sample_id"].tolist() == [BARCODES[i] for i in expected]
    np.testing.assert_array_equal(kept.X, barcoded.X[expected])
    assert report[["kept", "dropped"]].values.tolist() == [[3, 2]]
    assert report["why"].item() == f"2 patients have several samples, kept by the rule {keep}"
    backwards = keep_one_per_patient(barcoded[::-1].copy(), patient_of, keep=keep)[0]
    np.testing.assert_array_equal(backwards[kept.obs_names].X, kept.X)


def test_patients_come_from_a_column_too_and_none_may_be_missing(barcoded):
    barcoded.obs["case"] = ["A", "A", "B", "B", "C"]
    assert keep_one_per_patient(barcoded, "case")[0].obs_names.tolist() == ["A", "B", "C"]
    barcoded.obs["case"] = ["A", "A", None, " ", "C"]
    refused("2 samples have no patient, first TCGA-A1-0002-01B", keep_one_per_patient, barcoded, "case")
    refused("2 samples have no patient", keep_one_per_patient, barcoded, "case")
    refused("keep must be one of first_id, last_id", keep_one_per_patient, barcoded, "case", keep="best")


# ----------------------------------------------------------------------------------------------- replicates


def test_replicates_are_averaged_as_pandas_averages_groups():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, (30, 8))
    x[rng.random(x.shape) < 0.3] = np.nan
    tumours = [f"F{i}" for i in rng.integers(0, 12, 30)]
    x[[i for i, tumour in enumerate(tumours) if tumour == tumours[0]], 3] = np.nan  # no replicate has a value
    cohort = cohort_of(x, tumour=tumours)
    averaged, report = average_replicates(cohort, "tumour")
    expected = cohort.to_df().groupby(tumours, sort=False).mean()
    assert averaged.obs_names.tolist() == expected.index.tolist()
    np.testing.assert_allclose(averaged.X, expected, rtol=1e-6)
    assert np.isnan(averaged[tumours[0], "g3"].X.item())
    assert report[["kept", "dropped"]].values.tolist() == [[len(set(tumours)), 30 - len(set(tumours))]]


def test_a_tumour_keeps_the_first_clinical_value_and_columns_at_odds_are_named():
    x = [[1.0], [2.0], [4.0]]
    cohort = cohort_of(x, ["F2repl", "F1", "F2"], age=[52, 40, 51], grade=["3", "1", None], site=["a", "b", "a"])
    averaged, report = average_replicates(cohort, lambda name: name.removesuffix("repl"))
    assert averaged.obs.to_dict("index") == {
        "F2": {"age": 51, "grade": "3", "site": "a"},
        "F1": {"age": 40, "grade": "1", "site": "b"},
    }
    assert averaged.to_df()["g0"].to_dict() == {"F2": 2.5, "F1": 2.0}
    assert report.iloc[1][["what", "changed", "first_ids"]].tolist() == ["columns", 1, "age"]


def test_without_replicates_nothing_changes(barcoded):
    bare = ad.AnnData(barcoded.X, obs=barcoded.obs[[]])
    averaged, report = average_replicates(bare, str)
    np.testing.assert_array_equal(averaged.X, barcoded.X)
    assert averaged.obs_names.equals(barcoded.obs_names)
    assert report["dropped"].tolist() == [0]


def test_replicates_on_a_linear_scale_are_not_averaged():
    linear = cohort_of([[1], [900]], tumour=["F1", "F1"])
    refused("from 1 to 900; bring them to it with to_log2 first", average_replicates, linear, "tumour")


# --------------------------------------------------------------------------------------------------- labels


def test_samples_without_labels_are_dropped_task_by_task(labelled):
    kept, report = drop_samples_without_labels(labelled, [OS, KIND, AGE])
    assert kept.obs_names.tolist() == ["p0", "p3", "p4"]
    assert report[["kept", "dropped"]].values.tolist() == [[5, 1], [3, 2], [3, 0]]
    assert report["first_ids"].tolist() == ["p5", "p1, p2", ""]
    some, report = drop_samples_without_labels(labelled, [KIND, AGE], need="any")
    assert some.obs_names.tolist() == ["p0", "p2", "p3", "p4", "p5"]
    assert report["why"].item() == "no label of any of kind, age"


def test_a_cohort_without_labels_is_refused(labelled):
    labelled.obs["age"] = np.nan
    refused("no sample is left: none has labels of os, age", drop_samples_without_labels, labelled, [OS, AGE])
    refused("need must be 'all' or 'any'", drop_samples_without_labels, labelled, AGE, need="some")


# ---------------------------------------------------------------------------------------------------- scale

ENCODED = {
    "linear": lambda x: x,
    "log2(x)": np.log2,
    "log2(x + 1)": lambda x: np.log2(x + 1),
    "log2(x+0.1)": lambda x: np.log2(x + 0.1),
    "log2(x + 0.001)": lambda x: np.log2(x + 1e-3),
    "log2(x + 1e-3)": lambda x: np.log2(x + 1e-3),
    "ln(x + 1)": np.log1p,
    "log10(x + 0.01)": lambda x: np.log10(x + 0.01),
}


@given(st.sampled_from(sorted(ENCODED)), st.integers(0, 2**32 - 1))
def test_every_scale_comes_to_log2_of_x_plus_one(scale, seed):
    x = np.random.default_rng(seed).lognormal(1, 2, (7, 5))
    x[0, 0], x[1, 1], x[2, 2] = 5000.0, np.nan, 0.0 if scale != "log2(x)" else 1e-3
    cohort = cohort_of(ENCODED[scale](x).round(4))
    back, report = to_log2(cohort, scale=scale)
    np.testing.assert_allclose(back.X, np.log2(x + 1), atol=3e-4)
    assert np.nanmin(back.X) >= 0
    assert back.uns["units"]["X"] == "log2(x + 1)"
    assert report["changed"].item() == (0 if scale == "log2(x + 1)" else 5)


@pytest.mark.parametrize(("scale", "least"), [("log2(x + 1)", 0.0), ("log2(x + 0.1)", np.log2(0.1))])
def test_what_rounding_took_below_the_least_of_a_scale_is_zero(scale, least):
    back, _ = to_log2(cohort_of([[least - 0.004, 5], [2, 3]]), scale=scale)
    assert back.X[0, 0] == 0
    refused("below", to_log2, cohort_of([[least - 0.02, 5], [2, 3]]), scale=scale)


def test_counts_of_samples_read_at_different_depth_become_the_same():
    counts = np.random.default_rng(0).poisson(300, 40)
    back, report = to_log2(cohort_of([counts, 7 * counts]), scale="counts")
    np.testing.assert_array_equal(back.X[0], back.X[1])
    np.testing.assert_allclose(np.exp2(back.X.astype(float)).sum(axis=1) - 40, 1e6, rtol=1e-5)
    assert report["why"].item() == "from counts to log2(CPM + 1)"
    assert back.uns["units"] == {"X": "log2(CPM + 1)"}


def test_the_cohort_that_was_passed_stays_as_it_was(labelled):
    before = labelled.copy()
    to_log2(labelled, scale="log2(x)")
    convert_times(labelled, {"os_time": "years"})
    np.testing.assert_array_equal(labelled.X, before.X)
    pd.testing.assert_frame_equal(labelled.obs, before.obs)
    assert "units" not in labelled.uns


@pytest.mark.parametrize(
    ("scale", "values", "message"),
    [
        ("linear", [[-0.5, 90], [3, 4]], "1 are negative, first in gene 'g0' at p0; are they on a log scale already"),
        ("counts", [[0, 0], [30, 40]], "1 samples have no count, first p0"),
        ("log2(x+1)", [[-1.5, 2], [3, 4]], r"1 values are below 0, the least that log2\(x\+1\) can be \(down to -1.5"),
        ("log2(x+0.1)", [[1, -9.97], [3, 4]], "1 values are below -3.322, the least.* first in gene 'g1' at p0"),
        ("ln(x+1)", [[1, 2], [3, 36893]], r"36893, in gene 'g1' at p1: no ln\(x\+1\) is that large; are .* linear"),
        ("log(x+1)", [[1, 2], [3, 4]], "scale must be 'linear', 'counts' or a logarithm such as"),
    ],
)
def test_a_scale_that_cannot_be_meant_is_refused(scale, values, message):
    refused(message, to_log2, cohort_of(values), scale=scale)


@pytest.mark.parametrize(
    ("scale", "message"), [("linear", "look like a logarithm already"), ("log2(x + 0.001)", "are the values log2")]
)
def test_a_scale_that_is_hardly_meant_is_warned_of(scale, message):
    with pytest.warns(CohortWarning, match=message):
        to_log2(cohort_of([[0.5, 7], [3, 14]]), scale=scale)


# ---------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(("unit", "time"), [("days", 365.25), ("weeks", 365.25 / 7), ("months", 12.0), ("years", 1.0)])
def test_a_year_is_a_year_in_every_unit(unit, time):
    cohort = cohort_of([[1.0], [2.0]], os_time=[time, np.nan], other=[1, 2])
    for to, expected in {"days": 365.25, "months": 12.0, "years": 1.0}.items():
        converted, report = convert_times(cohort, {"os_time": unit}, to=to)
        assert converted.obs["os_time"].tolist() == pytest.approx([expected, np.nan], nan_ok=True)
        assert converted.obs["other"].tolist() == [1, 2]
        assert converted.uns["units"] == {"os_time": to}
        assert report["changed"].item() == (unit != to)


def test_times_in_another_unit_than_said_are_noticed():
    days = cohort_of([[1.0], [2.0]], os_time=[300, 5209])
    refused(
        "'os_time' in months would reach 434 years .p1.; its unit must be", convert_times, days, {"os_time": "months"}
    )
    years = cohort_of([[1.0], [2.0]], os_time=[0.5, 18.3])
    with pytest.warns(CohortWarning, match="'os_time' in days ends after 18.3 days .p1.; is its unit a larger one"):
        convert_times(years, {"os_time": "days"})
    known, _ = convert_times(years, {"os_time": "years"})
    message = r"'os_time' is in months, as uns\['units'\] of the cohort says, not in years; pass 'months'"
    refused(message, convert_times, known, {"os_time": "years"})
    refused("one of days, weeks, months, years, not 'hours'", convert_times, years, {"os_time": "hours"})
    refused("no clinical column 'time'", convert_times, years, {"time": "days"}, error=KeyError)
