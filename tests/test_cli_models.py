"""Training, predicting and imputing from the command line: what is written is what the functions say, or nothing."""

import hashlib
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gexcore as gx
from gexcore.cli import main

EXPRESSION, CLINICAL = (gx.data_path(f"demo/{name}.csv") for name in ("expression", "clinical"))
DEMO = ["--expression", f"{EXPRESSION}", "--clinical", f"{CLINICAL}"]
SURVIVAL = ["--survival", "os_time", "os_event"]
TASKS = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype"), gx.Regression("age")]
SMALL = ["--n-genes", "20", "--max-epochs", "2", "--perturb", "3"]
FILES = {"model.safetensors", "scores.csv", "predictions.csv", "genes.csv", "history.csv", "report.html", "run.json"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of gexcore train, with survival, a class and a number."""
    out = tmp_path_factory.mktemp("trained") / "out"
    assert main(["train", *DEMO, *SURVIVAL, "--classes", "subtype", "--numbers", "age", *SMALL, "--out", f"{out}"]) == 0
    return out


def refused(capsys, arguments):
    """The one line that a command says when it refuses its arguments."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"gexcore {arguments[0]}: error: ")
    return lines[0]


class Text(HTMLParser):
    """The text of a page."""

    def __init__(self, path):
        super().__init__()
        self.parts = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_data(self, data):
        self.parts.append(data)

    def __str__(self):
        return " ".join(" ".join(self.parts).split())


# ------------------------------------------------------------------------------------------------ train


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
        f"a linear model on the same patients has {scores.loc[('linear model', 'os', 'c_index'), 'value']:.3f}" in text
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
        (["--classes", "os_time"], "is it a Regression?"),
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
    note = "1 genes are constant, first FLAT; kept, they carry nothing"
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


# ---------------------------------------------------------------------------------------------- predict


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


# ----------------------------------------------------------------------------------- pretrain and impute


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    """60 patients x 24 genes with 5 % of the cells empty, genes as rows."""
    folder = tmp_path_factory.mktemp("holes")
    table = pd.read_csv(EXPRESSION, index_col=0).iloc[:60, :24]
    table = table.mask(np.random.default_rng(0).random(table.shape) < 0.05)
    table.T.to_csv(folder / "e.csv", index_label="gene")
    return folder / "e.csv", table


@pytest.fixture(scope="module")
def imputed(holes, tmp_path_factory):
    out = tmp_path_factory.mktemp("imputed") / "out"
    arguments = ["impute", "--expression", f"{holes[0]}", "--genes-as-rows", "--max-epochs", "1", "--out", f"{out}"]
    assert main(arguments) == 0
    return out


def test_measured_cells_stay_as_they_were_written_and_holes_are_filled(holes, imputed):
    file, table = holes
    before = [line.split(",") for line in file.read_text().splitlines()]
    after = [line.split(",") for line in (imputed / "expression.csv").read_text().splitlines()]
    assert [len(row) for row in after] == [len(row) for row in before]
    different = [
        (a, b) for old, new in zip(before, after, strict=True) for a, b in zip(old, new, strict=True) if a != b
    ]
    assert len(different) == table.isna().to_numpy().sum()
    assert all(a == "" and np.isfinite(float(b)) for a, b in different)
    sd = pd.read_csv(imputed / "sd.csv", index_col="gene").T
    assert sd.notna().equals(table.isna().rename_axis(None).rename_axis(columns="gene")[sd.columns])
    assert (sd.stack() > 0).all()


def test_an_imputation_reports_a_check_on_hidden_cells(holes, imputed):
    text = f"{Text(imputed / 'report.html')}"
    n = holes[1].isna().to_numpy().sum()
    assert f"{n} cells ({n / holes[1].size:.1%}) had no value and were filled in" in text
    assert all(name in text for name in ("GexBERT", "nearest neighbours", "gene mean", "RMSE"))
    assert json.loads((imputed / "run.json").read_text())["counts"] == {"samples": 60, "genes": 24, "filled": int(n)}


def test_a_pretrained_model_fills_in_other_files_and_says_which_genes_it_does_not_know(holes, tmp_path, capsys):
    pd.read_csv(EXPRESSION, index_col=0).iloc[60:140, :20].to_csv(tmp_path / "e.csv")
    bert = tmp_path / "bert"
    main(
        [
            "train",
            "--model",
            "gexbert",
            "--expression",
            f"{tmp_path / 'e.csv'}",
            "--max-epochs",
            "1",
            "--out",
            f"{bert}",
        ]
    )
    assert {path.name for path in bert.iterdir()} == FILES - {"predictions.csv", "genes.csv"}
    models = set(pd.read_csv(bert / "scores.csv")["model"])
    assert models == {"GexBERT", "nearest neighbours", "gene mean"}
    file, table = holes
    own = ["impute", "--expression", f"{file}", "--genes-as-rows", "--model", f"{bert / 'model.safetensors'}"]
    assert main([*own, "--out", f"{tmp_path / 'out'}"]) == 0
    assert "4 genes with missing cells were not in its training" in capsys.readouterr().err
    filled = pd.read_csv(tmp_path / "out" / "expression.csv", index_col="gene").T
    assert filled.iloc[:, :20].notna().all(axis=None)
    assert filled.iloc[:, 20:].isna().sum().tolist() == table.iloc[:, 20:].isna().sum().tolist()
    model = ["predict", f"{bert / 'model.safetensors'}", "--expression", f"{EXPRESSION}", "--out", f"{tmp_path / 'p'}"]
    assert "gexcore impute --model" in refused(capsys, model)


def test_a_table_without_holes_has_nothing_to_fill_in(tmp_path, capsys):
    arguments = ["impute", "--expression", f"{EXPRESSION}", "--out", f"{tmp_path / 'out'}"]
    assert "no cell is missing" in refused(capsys, arguments)


def test_a_fine_tuned_model_restores_what_a_file_lacks(tmp_path):
    arguments = ["train", "--model", "fine-tuned", *DEMO, "--classes", "subtype", "--n-genes", "20"]
    main([*arguments, "--max-epochs", "1", "--perturb", "1", "--out", f"{tmp_path / 'out'}"])
    model = gx.load_model(tmp_path / "out" / "model.safetensors")
    assert isinstance(model, gx.FineTuned)
    pd.read_csv(EXPRESSION, index_col=0)[model.genes_[:12]].to_csv(tmp_path / "e.csv")
    own = ["--expression", f"{tmp_path / 'e.csv'}", "--out", f"{tmp_path / 'p'}"]
    main(["predict", f"{tmp_path / 'out' / 'model.safetensors'}", *own])
    assert "its linear path restores" in f"{Text(tmp_path / 'p' / 'report.html')}"


# ------------------------------------------------------------------------------------------- the program


def test_the_program_says_one_line_and_exits_with_2(tmp_path):
    command = [sys.executable, "-m", "gexcore.cli", "train", "--expression", "absent.csv", "--out", "out"]
    environment = os.environ | {"PYTHONPATH": f"{Path(gx.__file__).parents[1]}"}
    done = subprocess.run(
        [*command, *SURVIVAL], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gexcore train: error: absent.csv: no such file\n"
    assert not [*tmp_path.iterdir()]
