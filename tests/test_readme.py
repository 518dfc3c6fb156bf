"""What the README tells a newcomer to do works as it stands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import gexcore as gx
from gexcore.cli import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


OWN, RERUNS = blocks("bash")


def test_the_example_runs_on_two_csv_files(tmp_path, monkeypatch, capsys):
    (code,) = blocks("python")
    for name in ("expression.csv", "clinical.csv"):
        (tmp_path / name).write_bytes(gx.data_path(f"demo/{name}").read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('preset="quick"', 'preset="quick", max_epochs=3'), "README.md", "exec"), {})
    assert "c_index" in capsys.readouterr().out
    assert gx.TxT.load("txt.safetensors").tasks[0].name == "os"
    assert len([line for line in code.splitlines() if line and not line.startswith(" ")]) <= 15


def test_the_commands_for_a_cohort_of_ones_own_run_one_after_the_other(tmp_path, monkeypatch):
    for name in ("expression.csv", "clinical.csv"):
        (tmp_path / name).write_bytes(gx.data_path(f"demo/{name}").read_bytes())
    table = pd.read_csv(tmp_path / "expression.csv", index_col=0).iloc[:40, :20]
    table.mask(table > table.quantile(0.95)).to_csv(tmp_path / "holes.csv")
    monkeypatch.chdir(tmp_path)
    short = {"train": ["--max-epochs", "2", "--n-genes", "30"], "impute": ["--max-epochs", "1"]}
    for command in OWN.replace("\\\n", " ").splitlines():
        _, name, *arguments = shlex.split(command)
        assert main([name, *arguments, *short.get(name, [])]) == 0
    for folder in ("trained", "predicted", "filled"):
        assert (tmp_path / folder / "report.html").is_file()
    assert (tmp_path / "trained" / "model.safetensors").is_file()
    assert len(pd.read_csv(tmp_path / "predicted" / "predictions.csv")) == 400


@pytest.mark.parametrize("command", RERUNS.splitlines())
def test_the_reruns_run(command, tmp_path):
    # Fewer and shorter fits, another folder; the rest is the README's.
    command = command.replace("my-run", str(tmp_path / "my-run")).replace("n_splits 3", "n_splits 2")
    command = re.sub(r" -p max_epochs \d+", "", command) + " -p max_epochs 1"
    (tmp_path / "my-run").mkdir()
    program, *arguments = shlex.split(command)
    program = {"python": [sys.executable], "papermill": [sys.executable, "-m", "papermill"]}[program]
    subprocess.run([*program, *arguments], cwd=ROOT, check=True, capture_output=True)
    assert len(list((tmp_path / "my-run").glob("*.ipynb"))) == 1


def test_the_two_commands_are_targets_of_the_makefile():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {"book", "test"} <= set(targets)


def test_every_file_the_readme_names_exists():
    named = set(re.findall(r"`([\w./-]+\.(?:md|txt|yml|py))`", TEXT)) | set(re.findall(r"\]\(([^)]+)\)", TEXT))
    assert named
    assert not [name for name in named if not (ROOT / name).exists()]
