"""What the README tells a newcomer to do works as it stands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import gexcore as gx

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_the_example_runs_on_two_csv_files(tmp_path, monkeypatch, capsys):
    (code,) = blocks("python")
    for name in ("expression.csv", "clinical.csv"):
        (tmp_path / name).write_bytes(gx.data_path(f"demo/{name}").read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('preset="quick"', 'preset="quick", max_epochs=3'), "README.md", "exec"), {})
    assert "c_index" in capsys.readouterr().out
    assert gx.TxT.load("txt.safetensors").tasks[0].name == "os"
    assert len([line for line in code.splitlines() if line and not line.startswith(" ")]) <= 15


@pytest.mark.parametrize("command", blocks("bash")[0].splitlines())
def test_the_reruns_run(command, tmp_path):
    # Fewer and shorter fits, another folder; the rest is the README's.
    command = command.replace("my-run", str(tmp_path / "my-run")).replace("n_splits 3", "n_splits 2")
    if "max_epochs" not in command:
        command += " -p max_epochs 1"
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
