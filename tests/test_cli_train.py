"""What gexcore train writes is what the functions say, or nothing."""

import hashlib
import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pandas as pd
import pytest
from commands import CLINICAL, DEMO, EXPRESSION, FILES, SMALL, SURVIVAL, TASKS, Text, refused

import gexcore as gx
from gexcore.cli import main


def test_training_writes_a_model_that_predicts_what_is_written_beside_it(trained):
    assert {path.name for path in trained.iterdir()} == FILES
    cohort = gx.load_cohort("demo")
    test = gx.split(cohort, TASKS, seed=0)[2]
    predicted = gx.load_model(trained / "model.safetensors").predict(test)
    table = pd.read_csv(trained / "predictions.csv", index_col="sample")
    assert table.index.tolist() == test.obs_names.tolist()
    assert table["os_risk"].to_numpy() == pytest.approx(predicted["os"].risk.to_numpy(), rel=1e-5)
    assert table["age_predicted"].to_numpy() == pytest.approx(predicted["age"].values.to_numpy(), rel=1e-5)
    assert table["subtype_predicted"].tolist() == predicted["subtype"].labels.tolist()
    assert table["os_time"].tolist() == test.obs["os_time"].tolist()


def test_training_scores_the_model_beside_a_linear_and_a_null_model(trained):
    train, _, test = gx.split(gx.load_cohort("demo"), TASKS, seed=0)
    scores = pd.read_csv(trained / "scores.csv").set_index(["model", "task", "metric"])["value"]
    genes = gx.select_genes(train, n=20)
    ridge = gx.baselines.RidgeCox(TASKS[0], seed=0).fit(train[:, genes].copy())
    expected = gx.evaluate(ridge.predict(test), test).set_index("metric")["value"]["c_index"]
    assert scores["linear model", "os", "c_index"] == pytest.approx(expected, rel=1e-5)
    assert scores["null model", "os", "c_index"] == 0.5
    assert set(scores.index.get_level_values("model")) == {"TxT", "linear model", "null model"}


def test_gene_effects_are_those_of_perturbing_the_model(trained):
    train, _, test = gx.split(gx.load_cohort("demo"), TASKS, seed=0)
    table = pd.read_csv(trained / "genes.csv", keep_default_na=False).set_index(["task", "output", "gene"])
    genes = table.index.get_level_values("gene").unique()
    assert len(genes) == 3
    model = gx.load_model(trained / "model.safetensors")
    effects = gx.interpret.gene_effects([gx.interpret.perturb_genes(model, test, genes=genes, reference=train)])
    expected = effects.set_index(["task", "output", "gene"])["effect"]
    found = table["effect"].astype(float)
    assert found.to_numpy() == pytest.approx(expected[found.index].to_numpy(), rel=1e-4, abs=1e-7)


def test_the_record_names_every_file_by_its_checksum(trained):
    run = json.loads((trained / "run.json").read_text())
    assert run["inputs"][f"{EXPRESSION}"] == hashlib.sha256(EXPRESSION.read_bytes()).hexdigest()
    assert set(run["outputs"]) == FILES - {"run.json"}
    for name, checksum in run["outputs"].items():
        assert hashlib.sha256((trained / name).read_bytes()).hexdigest() == checksum
    assert run["counts"] == {"train_samples": 280, "val_samples": 40, "test_samples": 80, "genes": 20}
    assert run["seed"] == 0
    assert run["command"].startswith("gexcore train --expression ")


def test_the_report_says_numbers_of_the_tables(trained):
    text = f"{Text(trained / 'report.html')}"
    scores = pd.read_csv(trained / "scores.csv").set_index(["model", "task", "metric"])
    value = scores.loc[("TxT", "os", "c_index"), "value"]
    assert f"names the one with the earlier event (os) in {value:.0%} of cases" in text
    assert (
        f"a linear model on the same patients in {scores.loc[('linear model', 'os', 'c_index'), 'value']:.0%}" in text
    )
    assert "TxT learned from 280 patients and was tested on 80" in text
    assert "no medical device" in text


def test_the_same_tasks_in_a_file_give_the_same_numbers_and_another_seed_others(trained, tmp_path):
    tasks = [{"kind": task.kind, **vars(task)} for task in TASKS]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    again = ["train", *DEMO, "--tasks", f"{tmp_path / 'tasks.json'}", *SMALL]
    main([*again, "--out", f"{tmp_path / 'same'}"])
    main([*again, "--seed", "1", "--out", f"{tmp_path / 'other'}"])
    for name in ("predictions.csv", "scores.csv", "genes.csv", "history.csv"):
        assert (tmp_path / "same" / name).read_bytes() == (trained / name).read_bytes()
    assert (tmp_path / "other" / "scores.csv").read_bytes() != (trained / "scores.csv").read_bytes()


def test_a_network_and_gene_sets_reach_the_model(tmp_path):
    more = ["--network", f"{gx.data_path('demo/network.tsv')}", "--gene-sets", f"{gx.data_path('demo/gene_sets.gmt')}"]
    main(["train", *DEMO, *SURVIVAL, *SMALL, *more, "--out", f"{tmp_path / 'out'}"])
    model = gx.load_model(tmp_path / "out" / "model.safetensors")
    members = {gene for genes in gx.read_gene_sets(gx.data_path("demo/gene_sets.gmt")).values() for gene in genes}
    assert len(model.genes_) == 20
    assert set(model.genes_) <= members
    assert model.d_embed == 64  # of node2vec; the model's own would be 16


def test_names_with_signs_of_html_do_not_become_html(tmp_path):
    table = pd.read_csv(EXPRESSION, index_col=0)
    genes = gx.select_genes(gx.split(gx.load_cohort("demo"), TASKS[:1], seed=0)[0], n=20)
    table = table.rename(columns={gene: f"<script>{gene}</script>$_$" for gene in genes})
    clinical = pd.read_csv(CLINICAL, index_col=0)
    clinical["<b>kind"] = clinical["subtype"].replace("basal", "<img src=x onerror=alert(1)>")
    table.to_csv(tmp_path / "e.csv")
    clinical.to_csv(tmp_path / "c.csv")
    own = ["--expression", f"{tmp_path / 'e.csv'}", "--clinical", f"{tmp_path / 'c.csv'}"]
    main(["train", *own, *SURVIVAL, "--classes", "<b>kind", *SMALL, "--out", f"{tmp_path / 'out'}"])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["--survival", "time", "os_event"], "task 'time' needs column 'time'; the clinical table has age, size"),
        (["--survival", "subtype", "os_event"], "column 'subtype' must hold numbers"),
        (["--numbers", "subtype"], "column 'subtype' must hold numbers"),
        (["--classes", "os_time"], "is it for --numbers?"),
        (["--numbers", "age", "age"], "every task needs its own name"),
        (["--tasks", "tasks.json"], "not both"),
        (["--expression", "absent.csv"], "absent.csv: no such file"),
        (["--clinical", "absent.csv"], "absent.csv: no such file"),
        (["--network", "absent.tsv"], "absent.tsv: no such file"),
        (["--gene-sets", "absent.gmt"], "absent.gmt: no such file"),
        (["--genes-as-rows"], "leave out --genes-as-rows"),
        (["--n-genes", "0"], "--n-genes: must be a whole number, 1 or more, not '0'"),
        (["--max-epochs", "few"], "--max-epochs: must be a whole number"),
        (["--model", "oracle"], "invalid choice: 'oracle'"),
        (["--model", "gexbert"], "reads no label"),
        (["--duplicate-genes", "sum"], "--duplicate-genes must be one of"),
        (["--out", "absent/out"], "absent does not exist"),
        (["--seed", "9" * 20], "of nine digits at most"),
        (["--max-epochs", "²"], "--max-epochs: must be a whole number, 1 or more, not '²'"),
        (["--survival", "age", "subtype"], "write 1 where it happened and 0 where it did not"),
    ],
)
def test_what_is_wrong_with_a_training_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys, change, text):
    monkeypatch.chdir(tmp_path)
    assert text in refused(capsys, ["train", *DEMO, *SURVIVAL, "--out", "out", *change])
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_holds_something_is_refused_before_anything_is_read(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    arguments = ["train", "--expression", "absent.csv", *SURVIVAL, "--out", f"{tmp_path}"]
    assert "is there already and not empty: name another folder" in refused(capsys, arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_training_without_tasks_says_how_to_name_them(tmp_path, capsys):
    said = refused(capsys, ["train", *DEMO, "--out", f"{tmp_path / 'out'}"])
    assert "name columns with --survival, --classes or --numbers" in said


@pytest.mark.parametrize("where", ["gexcore.txt.TxT.fit", "gexcore.cli.train.training_report", "pathlib.Path.rename"])
def test_an_interruption_leaves_nothing(tmp_path, monkeypatch, capsys, where):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupt)
    assert main(["train", *DEMO, *SURVIVAL, *SMALL, "--out", f"{tmp_path / 'out'}"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "gexcore train: interrupted, nothing was written"
    assert not [*tmp_path.iterdir()]


def test_notes_are_lines_without_file_names_and_stand_in_the_report(tmp_path, capsys):
    table = pd.read_csv(EXPRESSION, index_col=0).assign(FLAT=1.0)
    table.to_csv(tmp_path / "e.csv")
    own = ["--expression", f"{tmp_path / 'e.csv'}", "--clinical", f"{CLINICAL}"]
    main(["train", *own, *SURVIVAL, *SMALL, "--out", f"{tmp_path / 'out'}"])
    note = "1 gene is constant, first FLAT; kept, it carries nothing"
    assert f"note: {note}\n" in capsys.readouterr().err
    assert note in f"{Text(tmp_path / 'out' / 'report.html')}"
    assert json.loads((tmp_path / "out" / "run.json").read_text())["notes"] == [note]


def test_a_table_of_ids_names_the_genes(tmp_path, capsys):
    table = pd.read_csv(EXPRESSION, index_col=0)
    ids = {gene: f"ENSG{number:011d}" for number, gene in enumerate(table.columns)}
    table.rename(columns={gene: f"{name}.7" for gene, name in ids.items()}).to_csv(tmp_path / "e.csv")
    known = pd.Series({name: gene for gene, name in ids.items()}, name="symbol").iloc[5:]
    known.rename_axis("ensembl_id").to_csv(tmp_path / "table.csv")
    own = ["--expression", f"{tmp_path / 'e.csv'}", "--clinical", f"{CLINICAL}"]
    own += ["--gene-table", f"{tmp_path / 'table.csv'}"]
    main(["train", *own, *SURVIVAL, *SMALL, "--out", f"{tmp_path / 'out'}"])
    assert set(gx.load_model(tmp_path / "out" / "model.safetensors").genes_) <= set(table.columns)
    assert "5 genes dropped, no symbol in the table" in capsys.readouterr().err


def test_a_model_for_another_hospital_reads_the_genes_that_both_have(tmp_path, capsys):
    table = pd.read_csv(EXPRESSION, index_col=0)
    shared = table.columns[5:40]
    table[shared].iloc[::-1, ::-1].assign(OWN=1.5).iloc[:7].to_csv(tmp_path / "theirs.csv")
    own = [*DEMO, *SURVIVAL, *SMALL, "--shared-with", f"{tmp_path / 'theirs.csv'}"]
    assert main(["train", *own, "--out", f"{tmp_path / 'out'}"]) == 0
    assert "note: 35 of 200 genes are in" in capsys.readouterr().err
    assert set(gx.load_model(tmp_path / "out" / "model.safetensors").genes_) <= set(shared)


def test_a_label_called_like_a_prediction_stands_beside_it(tmp_path):
    clinical = pd.read_csv(CLINICAL, index_col=0).rename(columns={"size": "age_predicted"})
    clinical.to_csv(tmp_path / "c.csv")
    own = ["--expression", f"{EXPRESSION}", "--clinical", f"{tmp_path / 'c.csv'}", "--numbers", "age", "age_predicted"]
    assert main(["train", *own, *SMALL, "--out", f"{tmp_path / 'out'}"]) == 0
    table = pd.read_csv(tmp_path / "out" / "predictions.csv", index_col="sample")
    labels = clinical["age_predicted"].loc[table.index]
    assert table["age_predicted_in_the_clinical_table"].tolist() == pytest.approx(labels.tolist(), nan_ok=True)
    assert table["age_predicted"].notna().all()


def test_names_without_a_glyph_are_drawn_and_not_noted(tmp_path, capsys):
    clinical = pd.read_csv(CLINICAL, index_col=0)
    clinical["subtype"] = "日本 " + clinical["subtype"]
    clinical.to_csv(tmp_path / "c.csv")
    own = ["--expression", f"{EXPRESSION}", "--clinical", f"{tmp_path / 'c.csv'}", "--classes", "subtype"]
    assert main(["train", *own, *SMALL, "--out", f"{tmp_path / 'out'}"]) == 0
    assert "Glyph" not in capsys.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    figures = [b64decode(data).decode() for data in re.findall(r"svg\+xml;base64,([^\"]+)", page)]
    assert any("日本" in figure for figure in figures)  # as text, for the fonts of the reader


def test_a_score_of_a_few_patients_is_no_verdict(tmp_path):
    clinical = pd.read_csv(CLINICAL, index_col=0)
    test = gx.split(gx.load_cohort("demo"), seed=0)[2].obs_names
    clinical.loc[clinical.index.isin(test[1:]), "age"] = float("nan")
    clinical.to_csv(tmp_path / "c.csv")
    own = ["--expression", f"{EXPRESSION}", "--clinical", f"{tmp_path / 'c.csv'}", "--numbers", "age"]
    assert main(["train", *own, *SMALL, "--out", f"{tmp_path / 'out'}"]) == 0
    text = f"{Text(tmp_path / 'out' / 'report.html')}"
    assert "On so few patients the two cannot be told apart" in text
    assert "age: only 1 test patient has a label" in text


def test_two_tables_without_a_shared_gene_are_refused(tmp_path, capsys):
    pd.DataFrame({"TP53": [1.0, 2.0], "MYC": [3.0, 1.0]}, index=["a", "b"]).to_csv(tmp_path / "theirs.csv")
    own = ["train", *DEMO, *SURVIVAL, "--shared-with", f"{tmp_path / 'theirs.csv'}", "--out", f"{tmp_path / 'out'}"]
    assert "share no gene" in refused(capsys, own)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.csv"]


def test_the_program_says_one_line_and_exits_with_2(tmp_path):
    command = [sys.executable, "-m", "gexcore.cli", "train", "--expression", "absent.csv", "--out", "out"]
    environment = os.environ | {"PYTHONPATH": f"{Path(gx.__file__).parents[1]}"}
    done = subprocess.run(
        [*command, *SURVIVAL], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gexcore train: error: absent.csv: no such file\n"
    assert not [*tmp_path.iterdir()]
