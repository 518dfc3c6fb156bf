"""What gexcore predict writes is what the functions say, with a word on every gene."""

import numpy as np
import pandas as pd
import pytest
from commands import CLINICAL, DEMO, EXPRESSION, Text, refused

import gexcore as gx
from gexcore.cli import main


@pytest.fixture
def elsewhere(tmp_path, trained):
    """A file of 60 patients that lacks 4 of the model's 20 genes and has a gene of its own."""
    genes = gx.load_model(trained / "model.safetensors").genes_
    table = pd.read_csv(EXPRESSION, index_col=0).iloc[:60].drop(columns=genes[:4]).assign(OWN=np.arange(60) / 10)
    table.to_csv(tmp_path / "e.csv")
    return tmp_path / "e.csv", genes


def test_a_model_says_what_it_did_about_absent_and_extra_genes(trained, elsewhere, tmp_path, capsys):
    file, genes = elsewhere
    out = tmp_path / "out"
    assert main(["predict", f"{trained}/model.safetensors", "--expression", f"{file}", "--out", f"{out}"]) == 0
    assert "note: the cohort lacks 4 of 20 genes" in capsys.readouterr().err
    table = pd.read_csv(out / "genes.csv", index_col="gene")
    assert table.index[table["status"] == "absent"].tolist() == genes[:4]
    assert "OWN" in table.index[table["status"] == "extra"]
    text = f"{Text(out / 'report.html')}"
    assert "16 of the 20 genes of the model are in the file (80%)" in text
    assert f"4 genes are absent (first {genes[0]}, {genes[1]}, {genes[2]} and 1 more)" in text
    assert "takes each at its training mean" in text
    assert "no labels" in text
    predictions = pd.read_csv(out / "predictions.csv", index_col="sample")
    model = gx.load_model(trained / "model.safetensors")
    with pytest.warns(gx.CohortWarning, match="lacks 4"):
        expected = model.predict(file)["os"].risk
    assert predictions["os_risk"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-5)
    assert not (out / "scores.csv").exists()


def test_predictions_are_scored_where_labels_are_known(trained, tmp_path):
    out = tmp_path / "out"
    main(["predict", f"{trained}/model.safetensors", *DEMO, "--out", f"{out}"])
    scores = pd.read_csv(out / "scores.csv").set_index(["task", "metric"])["value"]
    cohort = gx.load_cohort("demo")
    expected = gx.evaluate(gx.load_model(trained / "model.safetensors").predict(cohort), cohort)
    expected = expected.set_index(["task", "metric"])["value"]
    assert scores.to_numpy() == pytest.approx(expected[scores.index].to_numpy(), rel=1e-5)
    assert "higher risk" in (out / "report.html").read_text(encoding="utf-8")


def test_a_clinical_table_without_the_labels_is_noted_and_not_scored(trained, tmp_path, capsys):
    pd.read_csv(CLINICAL, index_col=0)[["age", "os_time"]].to_csv(tmp_path / "c.csv")
    own = ["--expression", f"{EXPRESSION}", "--clinical", f"{tmp_path / 'c.csv'}"]
    main(["predict", f"{trained}/model.safetensors", *own, "--out", f"{tmp_path / 'out'}"])
    assert "note: the clinical table lacks os_time, os_event, subtype" in capsys.readouterr().err
    assert set(pd.read_csv(tmp_path / "out" / "scores.csv")["task"]) == {"age"}


def test_one_labelled_patient_gives_no_score_in_the_summary(trained, tmp_path):
    pd.read_csv(EXPRESSION, index_col=0).iloc[:1].to_csv(tmp_path / "e.csv")
    own = ["--expression", f"{tmp_path / 'e.csv'}", "--clinical", f"{CLINICAL}", "--out", f"{tmp_path / 'out'}"]
    assert main(["predict", f"{trained}/model.safetensors", *own]) == 0
    text = f"{Text(tmp_path / 'out' / 'report.html')}"
    assert "predictions for 1 patient " in text
    assert "Only 1 patient has a label of subtype, too few to say" in text


def test_follow_up_in_another_unit_is_noted(trained, tmp_path, capsys):
    clinical = pd.read_csv(CLINICAL, index_col=0)
    clinical.assign(os_time=clinical["os_time"] * 30.4375).to_csv(tmp_path / "c.csv")
    own = ["--expression", f"{EXPRESSION}", "--clinical", f"{tmp_path / 'c.csv'}"]
    main(["predict", f"{trained}/model.safetensors", *own, "--out", f"{tmp_path / 'days'}"])
    assert "note: os: follow-up reaches 3643.37 here and" in capsys.readouterr().err
    main(["predict", f"{trained}/model.safetensors", *DEMO, "--out", f"{tmp_path / 'months'}"])
    assert "follow-up" not in capsys.readouterr().err


def test_values_of_another_scale_are_noticed_and_harmonised_on_demand(trained, tmp_path, capsys):
    (np.exp2(pd.read_csv(EXPRESSION, index_col=0)) * 50).to_csv(tmp_path / "e.csv")
    own = ["predict", f"{trained}/model.safetensors", "--expression", f"{tmp_path / 'e.csv'}"]
    main([*own, "--out", f"{tmp_path / 'raw'}"])
    assert "note: --harmonise quantile brings values to the training scale" in capsys.readouterr().err
    assert "do not use these predictions" in f"{Text(tmp_path / 'raw' / 'report.html')}"
    main([*own, "--harmonise", "quantile", "--out", f"{tmp_path / 'mapped'}"])
    text = f"{Text(tmp_path / 'mapped' / 'report.html')}"
    assert "do not use these predictions" not in text
    assert "brought to the training distribution (quantile)" in text
    raw, mapped = (pd.read_csv(tmp_path / name / "predictions.csv")["os_risk"] for name in ("raw", "mapped"))
    cohort = gx.load_cohort("demo")
    known = gx.load_model(trained / "model.safetensors").predict(cohort)["os"].risk
    assert mapped.corr(known.reset_index(drop=True)) > 0.99 > raw.corr(known.reset_index(drop=True))


def test_too_few_genes_are_refused_unless_allowed(trained, tmp_path, capsys):
    genes = gx.load_model(trained / "model.safetensors").genes_
    pd.read_csv(EXPRESSION, index_col=0)[genes[:8]].to_csv(tmp_path / "e.csv")
    own = ["predict", f"{trained}/model.safetensors", "--expression", f"{tmp_path / 'e.csv'}"]
    own += ["--out", f"{tmp_path / 'out'}"]
    assert "coverage 40%, --min-coverage is 50%" in refused(capsys, own)
    assert not (tmp_path / "out").exists()
    assert main([*own, "--min-coverage", "0.4"]) == 0
    pd.read_csv(EXPRESSION, index_col=0).rename(columns=str.lower).to_csv(tmp_path / "lower.csv")
    none = [*own[:3], f"{tmp_path / 'lower.csv'}", "--out", f"{tmp_path / 'none'}", "--min-coverage", "0"]
    assert "has none of the model's genes" in refused(capsys, none)
    assert "Most of what the model reads is absent" in f"{Text(tmp_path / 'out' / 'report.html')}"


def test_files_that_are_no_model_are_refused(trained, tmp_path, capsys):
    broken = tmp_path / "m.safetensors"
    broken.write_bytes((trained / "model.safetensors").read_bytes()[:5000])
    more = ["--expression", f"{EXPRESSION}", "--out", f"{tmp_path / 'out'}"]
    assert "not a whole model file" in refused(capsys, ["predict", f"{broken}", *more])
    assert "no model file at" in refused(capsys, ["predict", f"{tmp_path / 'absent'}", *more])
    said = refused(capsys, ["impute", *more, "--model", f"{trained / 'model.safetensors'}"])
    assert "holds a TxT, which restores no expression" in said
    assert not (tmp_path / "out").exists()
