"""The notebooks and the runner that executes them."""

import os
import select
import time

import nbformat
import pytest
import run
import yaml

SOURCES = sorted(run.HERE.glob("[0-9][0-9]_*.py"))
every_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


@every_notebook
def test_the_stored_notebook_has_the_cells_of_its_source(source):
    stored = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    written = run.read_source(source)
    assert [(c.id, c.cell_type, c.source, c.metadata) for c in stored.cells] == [
        (c.id, c.cell_type, c.source, c.metadata) for c in written.cells
    ]


@every_notebook
def test_the_stored_notebook_was_executed_whole_and_in_silence(source):
    stored = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert run.faults(stored) == []


@every_notebook
def test_a_notebook_has_one_parameters_cell(source):
    tagged = [c for c in run.read_source(source).cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1


def test_every_stored_notebook_has_a_source():
    assert {p.stem for p in run.HERE.glob("*.ipynb")} == {p.stem for p in SOURCES}


@pytest.mark.parametrize("settings", sorted(run.HERE.glob("params/*.yaml")), ids=lambda path: path.stem)
def test_paper_scale_settings_are_parameters_of_their_notebook(settings):
    (source,) = [s for s in SOURCES if s.stem == settings.stem.split(".")[0]]
    run.check_parameters(source, yaml.safe_load(settings.read_text()))


# ----------------------------------------------------------------------------------------------- runner


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A notebook folder of its own, with one small notebook in it."""
    monkeypatch.setattr(run, "HERE", tmp_path)
    (tmp_path / "01_add.py").write_text(
        '# %% [markdown]\n# # Add\n\n# %% tags=["parameters"]\na: int = 1  # first number\n\n# %%\nprint(a + 1)\n'
    )
    return tmp_path


def printed(path):
    return [o["text"] for c in nbformat.read(path, as_version=4).cells for o in c.get("outputs", [])]


def test_printed_text_is_kept_in_one_piece(folder):
    (folder / "01_add.py").write_text(
        '# %% tags=["parameters"]\na: int = 1  # first number\n\n# %%\nimport sys\nimport time\n\nfor i in range(3):\n'
        "    print(i)\n    sys.stdout.flush()\n    time.sleep(0.3)\n"
    )
    run.execute(folder / "01_add.py", {}, folder)
    assert printed(folder / "01_add.ipynb") == ["0\n1\n2\n"]


def test_two_runs_give_the_same_bytes(folder):
    assert run.main([]) == 0
    first = (folder / "01_add.ipynb").read_bytes()
    assert run.main(["01"]) == 0
    assert (folder / "01_add.ipynb").read_bytes() == first
    assert printed(folder / "01_add.ipynb") == ["2\n"]


def test_several_notebooks_run_at_once_and_the_first_failure_is_told(folder, capsys):
    text = (folder / "01_add.py").read_text()
    (folder / "02_fail.py").write_text(text + "\nraise RuntimeError('no such luck')\n")
    assert run.main([]) == 1
    told = capsys.readouterr()
    assert "02_fail" in told.err
    assert "no such luck" in told.err
    assert not (folder / "02_fail.ipynb").exists()
    (folder / "02_fail.py").write_text(text)
    assert run.main([]) == 0
    assert sorted(line.split()[0] for line in capsys.readouterr().out.splitlines()) == ["01_add", "02_fail"]
    assert printed(folder / "02_fail.ipynb") == ["2\n"]


def test_a_run_with_other_parameters_goes_to_the_folder_that_was_named(folder):
    (folder / "five.yaml").write_text("a: 5\n")
    assert run.main(["01_add", "-f", str(folder / "five.yaml"), "-o", str(folder / "out")]) == 0
    assert printed(folder / "out" / "01_add.ipynb") == ["6\n"]
    assert not (folder / "01_add.ipynb").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["01", "-p", "b", "2", "-o", "out"], "01_add has no parameter b; it has a"),
        (["01", "-p", "a", "2"], "say with -o FOLDER"),
        (["07"], "'07' names 0 notebooks; there are 01_add"),
        (["-f", "absent.yaml", "-o", "out"], "absent.yaml"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_one_line(folder, capsys, arguments, said):
    assert run.main(arguments) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
    assert not list(folder.glob("**/*.ipynb"))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("raise RuntimeError('no such luck')", "no such luck"),
        ("import sys; print('beware', file=sys.stderr)", "01_add-03 wrote to stderr: beware"),
        ("import os; print(os.getcwd() + '/data.csv')", "01_add-03 shows a path of this machine"),
    ],
)
def test_a_failed_run_leaves_the_old_notebook(folder, capsys, cell, said):
    (folder / "01_add.ipynb").write_text("old")
    with (folder / "01_add.py").open("a") as source:
        source.write(f"\n# %%\n{cell}\n")
    assert run.main([]) == 1
    assert said in capsys.readouterr().err
    assert (folder / "01_add.ipynb").read_text() == "old"
    assert sorted(p.name for p in folder.iterdir()) == ["01_add.ipynb", "01_add.py"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of fork, since Python 3.12
def test_a_process_does_not_outlive_the_one_that_started_it():
    reading, writing = os.pipe()
    parent = os.fork()
    if not parent:
        starter = os.getpid()
        if not os.fork():
            run.end_with(starter)
            time.sleep(60)
        os._exit(0)
    os.close(writing)
    os.waitpid(parent, 0)
    assert select.select([reading], [], [], 20)[0]  # no process has the other end open
    os.close(reading)


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("1e-4", 1e-4), ("False", False), ("[1, 2]", [1, 2]), ("demo", "demo")]
)
def test_values_on_the_command_line_are_read_as_python(text, value):
    assert run.read_value(text) == value
