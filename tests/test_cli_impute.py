"""What gexcore impute writes: measured cells as they were, holes filled, a check on hidden cells."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import DEMO, EXPRESSION, FILES, Text, refused

import gexcore as gx
from gexcore.cli import main


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
    assert "missing cells of 4 genes not in its training" in capsys.readouterr().err
    filled = pd.read_csv(tmp_path / "out" / "expression.csv", index_col="gene").T
    assert filled.iloc[:, :20].notna().all(axis=None)
    assert filled.iloc[:, 20:].isna().sum().tolist() == table.iloc[:, 20:].isna().sum().tolist()
    model = ["predict", f"{bert / 'model.safetensors'}", "--expression", f"{EXPRESSION}", "--out", f"{tmp_path / 'p'}"]
    assert "gexcore impute --model" in refused(capsys, model)


def test_a_table_without_holes_has_nothing_to_fill_in(tmp_path, capsys):
    arguments = ["impute", "--expression", f"{EXPRESSION}", "--out", f"{tmp_path / 'out'}"]
    assert "no cell is missing" in refused(capsys, arguments)


def test_one_gene_cannot_be_restored_and_few_cells_cannot_be_checked(tmp_path, capsys):
    table = pd.read_csv(EXPRESSION, index_col=0).iloc[:6, :2]
    table = table.mask(np.array([[1, 0], [0, 0], [0, 1], [0, 0], [1, 0], [0, 0]], bool))
    table.iloc[:, :1].to_csv(tmp_path / "one.csv")
    table.to_csv(tmp_path / "two.csv")
    more = ["--max-epochs", "1", "--out", f"{tmp_path / 'out'}"]
    assert "only one gene is known" in refused(capsys, ["impute", "--expression", f"{tmp_path / 'one.csv'}", *more])
    assert main(["impute", "--expression", f"{tmp_path / 'two.csv'}", *more]) == 0
    text = f"{Text(tmp_path / 'out' / 'report.html')}"
    assert "3 cells (25.0%) had no value and were filled in. Too few measured cells could be hidden" in text
    assert "Self check" not in text


def test_a_fine_tuned_model_restores_what_a_file_lacks(tmp_path):
    arguments = ["train", "--model", "fine-tuned", *DEMO, "--classes", "subtype", "--n-genes", "20"]
    main([*arguments, "--max-epochs", "1", "--perturb", "1", "--out", f"{tmp_path / 'out'}"])
    model = gx.load_model(tmp_path / "out" / "model.safetensors")
    assert isinstance(model, gx.FineTuned)
    pd.read_csv(EXPRESSION, index_col=0)[model.genes_[:12]].to_csv(tmp_path / "e.csv")
    own = ["--expression", f"{tmp_path / 'e.csv'}", "--out", f"{tmp_path / 'p'}"]
    main(["predict", f"{tmp_path / 'out' / 'model.safetensors'}", *own])
    assert "its linear path restores" in f"{Text(tmp_path / 'p' / 'report.html')}"
