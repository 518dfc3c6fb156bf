"""Known cohorts load with the numbers their sources state."""

import sys

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad
from sksurv.datasets import load_breast_cancer

from gexcore.simulate import simulate_cohort, simulate_pan_cancer
from gexcore.sources import data_path, load_cohort, load_tasks, load_truth, read_study, read_tasks
from gexcore.tables import read_gene_sets
from gexcore.tasks import Regression, Survival

SIMULATED = {"demo": simulate_cohort, "demo-pan-cancer": simulate_pan_cancer}


@pytest.mark.parametrize(("name", "shape"), [("demo", (400, 200)), ("demo-pan-cancer", (1000, 300))])
def test_demo_cohorts_are_the_simulated_cohorts(name, shape):
    cohort, simulated = load_cohort(name), SIMULATED[name]()
    assert cohort.shape == shape
    expected = simulated.expression.loc[cohort.obs_names, cohort.var_names]
    np.testing.assert_allclose(cohort.X, expected, atol=1e-5)
    assert list(cohort.obs) == list(simulated.clinical)
    for column in simulated.clinical:
        left, right = cohort.obs[column], simulated.clinical.loc[cohort.obs_names, column]
        assert (left.isna().to_numpy() == right.isna().to_numpy()).all()
        assert (left.dropna().astype(str).astype(object) == right[right.notna()].astype(left.dtype).astype(str)).all()


@pytest.mark.parametrize("name", SIMULATED)
def test_truth_is_the_simulated_truth_indexed_by_gene(name):
    truth, planted = load_truth(name), SIMULATED[name]().truth.set_index("gene")
    pd.testing.assert_frame_equal(truth, planted, check_dtype=False)
    assert set(truth.index) == set(load_cohort(name).var_names)


def test_truth_is_that_of_demo_unless_another_is_asked_for_and_real_cohorts_have_none():
    pd.testing.assert_frame_equal(load_truth(), load_truth("demo"))
    with pytest.raises(ValueError, match="no truth is known of 'transbig'; simulated cohorts: demo, demo-pan-cancer"):
        load_truth("transbig")


@pytest.mark.parametrize("name", ["demo", "demo-pan-cancer", "transbig"])
def test_tasks_of_a_cohort_find_their_labels_in_it(name):
    labels = load_cohort(name).obs
    tasks = load_tasks(name)
    assert isinstance(tasks[0], Survival)
    for task in tasks:
        columns = [task.time, task.event] if isinstance(task, Survival) else [task.column or task.name]
        assert labels[columns].notna().all(axis=1).mean() > 0.9


def test_transbig_has_the_numbers_of_its_source():
    cohort = load_cohort("transbig")
    assert cohort.shape == (198, 76)
    assert cohort.obs["dmfs_event"].sum() == 51  # stated by scikit-survival's description
    assert cohort.obs["er"].value_counts().to_dict() == {"positive": 134, "negative": 64}
    assert cohort.obs["age"].between(24, 60).all()
    assert cohort.obs["size"].between(0.1, 5).all()  # cm: the study took tumours up to 5 cm
    assert cohort.obs["dmfs_time"].max() == 9108


def test_transbig_expression_equals_the_source_under_affymetrix_names():
    cohort, (table, _) = load_cohort("transbig"), load_breast_cancer()
    assert cohort.var_names.str.fullmatch(r"\d+(_[a-z])?_at").all()
    np.testing.assert_allclose(cohort[:, "200726_at"].X.ravel(), table["X200726_at"], rtol=1e-6)


def test_unknown_grades_of_transbig_are_missing_labels():
    grade = load_cohort("transbig").obs["grade"]
    assert grade.isna().sum() == 2
    assert set(grade.dropna()) == {"poorly differentiated", "intermediate", "well differentiated"}


@pytest.mark.parametrize("name", ["demo", "demo-pan-cancer", "transbig"])
def test_cohorts_say_where_they_come_from_and_survive_a_file(name, tmp_path):
    cohort = load_cohort(name)
    assert cohort.uns["name"] == name
    assert all(cohort.uns[key] for key in ("citation", "licence", "note"))
    assert set(cohort.uns["units"]) <= {"X", *cohort.obs.columns}
    cohort.write_h5ad(tmp_path / "cohort.h5ad")
    again = read_h5ad(tmp_path / "cohort.h5ad")
    assert dict(again.uns["units"]) == cohort.uns["units"]


def test_unknown_cohort_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no cohort is called 'tcga'; known cohorts: demo, demo-pan-cancer, transbig"):
        load_cohort("tcga")


def test_transbig_without_scikit_survival_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sksurv.datasets", None)
    with pytest.raises(ImportError, match=r"pip install gexcore\[peers\]"):
        load_cohort("transbig")


def test_embedded_files_are_found_by_name_and_others_refused_with_a_list():
    assert data_path("demo/network.tsv").read_text().startswith("gene_a\tgene_b\tscore\n")
    with pytest.raises(FileNotFoundError, match=r"'demo/net\.tsv'; there are: .*demo/network\.tsv"):
        data_path("demo/net.tsv")


def test_a_known_study_has_its_own_tasks_and_gene_sets():
    study = read_study("demo", expression="", tasks="")
    assert study.cohort.shape == (400, 200)
    assert study.tasks == load_tasks("demo")
    assert study.gene_sets == read_gene_sets(data_path("demo/gene_sets.gmt"))
    assert read_study("transbig").gene_sets is None


def test_a_study_of_files_is_what_the_files_say(tmp_path):
    (tmp_path / "tasks.json").write_text('[{"kind": "regression", "name": "age"}]')
    files = {name: data_path(f"demo/{name}.csv") for name in ("expression", "clinical")}
    study = read_study("mine", **files, tasks=tmp_path / "tasks.json")
    assert study.cohort.uns["name"] == "mine"
    assert list(study.cohort.obs_names) == list(load_cohort("demo").obs_names)
    assert study.tasks == [Regression("age")]
    assert study.gene_sets is None
    study.cohort.write_h5ad(tmp_path / "whole.h5ad")
    again = read_study(
        "mine",
        expression=tmp_path / "whole.h5ad",
        tasks=tmp_path / "tasks.json",
        gene_sets=data_path("demo/gene_sets.gmt"),
    )
    assert again.cohort.obs["age"].equals(study.cohort.obs["age"])
    assert len(again.gene_sets) == 12


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"expression": "e.csv", "tasks": "t.json"}, "expression goes with clinical columns"),
        ({"expression": "e.csv", "clinical": "c.csv"}, "and with tasks"),
        ({"clinical": "c.csv"}, "a known cohort has its own"),
    ],
)
def test_files_that_do_not_make_a_study_are_refused_before_they_are_read(files, said):
    with pytest.raises(ValueError, match=said):
        read_study("mine", **files)


@pytest.mark.parametrize(
    "text",
    [
        "os, age",
        '{"kind": "survival"}',
        '[{"kind": "count", "name": "n"}]',
        '[{"name": "age"}]',
        '[{"kind": "regression"}]',
        '[{"kind": "regression", "name": "age", "unit": "years"}]',
    ],
)
def test_a_list_of_tasks_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "tasks.json").write_text(text)
    with pytest.raises(ValueError, match=r"tasks\.json is not a list of tasks"):
        read_tasks(tmp_path / "tasks.json")
