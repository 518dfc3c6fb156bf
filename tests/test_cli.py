"""The command line says and does what the functions do, and the sweep asks for what is not there yet."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from commands import refused

import gexcore as gx
from gexcore.bench import Context, benchmark, collect
from gexcore.cli import main
from gexcore.scores import compare
from gexcore.sources import read_tasks

ROOT = Path(__file__).parents[1]
TASKS = [
    gx.Survival("os", time="os_time", event="os_event"),
    gx.Classification("subtype"),
    gx.Regression("years", column="age"),
]
JSON = [{"kind": task.kind, **vars(task)} for task in TASKS]


@pytest.fixture
def files(tmp_path):
    """The demo cohort as a stranger's three files, and a list of tasks."""
    for name in ("expression.csv", "clinical.csv", "gene_sets.gmt"):
        shutil.copy(gx.data_path(f"demo/{name}"), tmp_path / name)
    (tmp_path / "tasks.json").write_text(json.dumps(JSON))
    return tmp_path


def own(files):
    return ["--expression", f"{files / 'expression.csv'}", "--clinical", f"{files / 'clinical.csv'}"]


def test_the_command_keeps_the_scores_that_the_function_returns(tmp_path):
    names = ["null-model", "clinical-cox"]
    assert main(["benchmark", "--cohort", "demo", "--model", *names, "--seed", "1", "2", "--out", f"{tmp_path}"]) == 0
    context = Context(
        covariates=("subtype", "grade", "age", "size"),
        gene_sets=gx.read_gene_sets(gx.data_path("demo/gene_sets.gmt")),
    )
    study = gx.load_cohort("demo"), gx.load_tasks("demo")
    returned = benchmark(names, *study, seeds=[1, 2], context=context).drop(columns=["seconds", "peak_mb"])
    kept = collect(tmp_path).drop(columns=["seconds", "peak_mb"])
    order = ["model", "seed"]
    expected = returned.sort_values(order, kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(kept, expected, check_exact=True)
    again = benchmark(names, *study, seeds=[1, 2], context=context, folder=tmp_path)
    again = again.sort_values(order, kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(again, collect(tmp_path), check_exact=True)  # with its seconds: nothing ran again


def test_a_cohort_of_three_files_is_a_study(files):
    arguments = ["benchmark", "--cohort", "mine", *own(files), "--tasks", f"{files / 'tasks.json'}"]
    arguments += ["--model", "clinical-cox", "autosurv", "linear-model", "--seed", "0", "--out", f"{files / 'out'}"]
    main([*arguments, "--n-genes", "20"])
    table = collect(files / "out").set_index(["model", "task"]).sort_index()
    assert set(table["cohort"]) == {"mine"}
    assert table.loc[("autosurv", "os"), "error"].tolist() == ["needs gene sets"]
    assert table.loc[("linear-model", "years"), "status"].eq("scored").all()
    said = json.loads((files / "out" / "mine" / "clinical-cox" / "seed-0.json").read_text())
    assert said["context"]["covariates"] == ["subtype", "age"]  # the columns of the tasks beside survival
    assert said["context"]["n_genes"] == 20
    assert said["tasks"] == json.loads(json.dumps(JSON))


def test_a_public_cohort_that_was_not_fetched_is_one_line_that_says_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GEXCORE_DATA", f"{tmp_path / 'data'}")
    arguments = ["benchmark", "--cohort", "tcga-brca", "--model", "null-model", "--out", f"{tmp_path / 'out'}"]
    assert "run `gexcore fetch tcga-brca`, or download" in refused(capsys, arguments)
    assert not any(tmp_path.iterdir())


def test_an_interrupted_benchmark_says_that_finished_scores_are_kept(tmp_path, capsys, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gexcore.cli.benchmark.benchmark", stopped)
    arguments = ["benchmark", "--cohort", "demo", "--model", "null-model", "--out", f"{tmp_path}"]
    assert main(arguments) == 130
    said = "gexcore benchmark: interrupted, finished scores are kept, and the same command goes on\n"
    assert capsys.readouterr().err == said


def test_covariates_and_gene_sets_can_be_named(files):
    arguments = ["benchmark", "--cohort", "mine", *own(files), "--tasks", f"{files / 'tasks.json'}"]
    arguments += ["--gene-sets", f"{files / 'gene_sets.gmt'}", "--covariates", "size", "--max-epochs", "1"]
    main([*arguments, "--model", "survconvmixer", "clinical-cox", "--seed", "0", "--out", f"{files / 'out'}"])
    assert set(collect(files / "out")["status"]) == {"scored", "not taken"}
    said = json.loads((files / "out" / "mine" / "survconvmixer" / "seed-0.json").read_text())
    assert said["context"] == {"covariates": ["size"], "preset": "quick", "max_epochs": 1, "n_genes": None}
    assert said["gene_sets"].startswith("12, ")


def test_collecting_writes_both_tables_and_prints_the_means(tmp_path, capsys):
    names = ["null-model", "pca-cox", "ridge-cox"]
    main(["benchmark", "--cohort", "demo", "--model", *names, "--seed", "0", "1", "--out", f"{tmp_path}"])
    main(["collect", f"{tmp_path}", "--against", "null-model"])
    scores = collect(tmp_path)
    assert len(pd.read_csv(tmp_path / "scores.csv")) == len(scores)
    found = pd.read_csv(tmp_path / "differences.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(found, compare(scores, "null-model"), check_exact=True)
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record["model"] == sorted(names)
    assert record["seed"] == [0, 1]
    assert record["versions"]["pandas"] == pd.__version__  # one value where all shards agree
    assert record["date"] == sorted(record["date"])
    printed = capsys.readouterr().out
    mean = scores[(scores["model"] == "pca-cox") & (scores["metric"] == "c_index")]["value"].mean()
    assert f"{mean:.3f}" in printed


def test_an_annotated_file_needs_no_clinical_table(files, tmp_path):
    cohort = gx.read_cohort(files / "expression.csv", files / "clinical.csv")
    cohort.write_h5ad(tmp_path / "mine.h5ad")
    arguments = ["benchmark", "--cohort", "mine", "--model", "null-model", "--seed", "0"]
    arguments += ["--tasks", f"{files}/tasks.json"]
    main([*arguments, "--expression", f"{tmp_path / 'mine.h5ad'}", "--out", f"{tmp_path / 'a'}"])
    tables = ["--expression", f"{files}/expression.csv", "--clinical", f"{files}/clinical.csv"]
    main([*arguments, *tables, "--out", f"{tmp_path / 'b'}"])
    found, expected = (collect(tmp_path / name)["value"] for name in "ab")
    pd.testing.assert_series_equal(found, expected, check_exact=True)


def test_failures_are_said_and_do_not_stop_the_command(tmp_path, capsys):
    (tmp_path / "sets.gmt").write_text("MOUSE\tnone of these\tTrp53\tMyc\n")
    arguments = ["benchmark", "--cohort", "demo", "--model", "autosurv", "null-model", "--seed", "0"]
    assert main([*arguments, "--gene-sets", f"{tmp_path / 'sets.gmt'}", "--out", f"{tmp_path}"]) == 0
    assert "failed: autosurv, seed 0, os: " in capsys.readouterr().err
    assert collect(tmp_path).groupby("model")["status"].unique().map(list).to_dict() == {
        "autosurv": ["failed", "not taken"],
        "null-model": ["scored"],
    }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["--cohort", "demo2"], "no cohort is called 'demo2'"),
        (["--model", "oracle"], "no method is called oracle"),
        (["--clinical", "c.csv"], "clinical columns go with expression"),
        (["--expression", "e.csv"], "expression goes with clinical columns"),
        (["--covariates", "smoking"], "covariates smoking"),
        (["--tasks", "absent.json"], "absent.json"),
        (["--gene-sets", "absent.gmt"], "absent.gmt: no such file"),
        (["--seed", "x"], "invalid int value"),
        (["--preset", "huge"], "preset must be 'quick' or 'paper', not 'huge'"),
        (["--max-epochs", "0"], "max_epochs must be 1 or more"),
        (["--depth", "3"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_one_message_and_leave_nothing(tmp_path, monkeypatch, capsys, change, text):
    monkeypatch.chdir(tmp_path)
    arguments = ["benchmark", "--cohort", "demo", "--model", "null-model", "--out", "out"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, *change])
    assert stop.value.code == 2
    assert text in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_tasks_are_read_from_the_list_that_the_help_shows(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["benchmark", "--help"])
    shown = capsys.readouterr().out
    (tmp_path / "tasks.json").write_text(shown[shown.index("  [\n") : shown.index("  ]\n") + 4])
    assert read_tasks(tmp_path / "tasks.json") == [
        gx.Survival("os", time="os_time", event="os_event"),
        gx.Classification("subtype"),
        gx.Regression("age", column="age_at_diagnosis"),
    ]
    assert "ridge-cox\n" in shown


@pytest.mark.skipif(find_spec("snakemake") is None, reason="needs snakemake, of the extra cluster")
def test_the_sweep_asks_for_the_fits_that_are_not_there(tmp_path):
    assert planned(tmp_path, "--config", "models=null-model,pca-cox", "seeds=0,1", "out=scores")[0] == 4
    arguments = ["benchmark", "--cohort", "demo", "--model", "null-model", "pca-cox", "--seed", "1"]
    main([*arguments, "--out", f"{tmp_path / 'scores'}"])
    assert planned(tmp_path, "--config", "models=null-model,pca-cox", "seeds=0,1", "out=scores")[0] == 2


@pytest.mark.skipif(find_spec("snakemake") is None, reason="needs snakemake, of the extra cluster")
def test_the_sweep_hands_on_the_options_of_a_cohort_of_your_own(tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        "cohort:\n"
        "  demo:\n"
        "  mine: {expression: my data/e.csv, clinical: c.csv, tasks: t.json}\n"
        "models: [txt]\n"
        "seeds: [7]\n"
        "options: --preset paper\n"
    )
    n, commands = planned(tmp_path, "--configfile", "sweep.yaml")
    assert n == 2
    fit = "benchmark --cohort {} --model txt --seed 7 --out sweep {}--preset paper"
    own = "--expression 'my data/e.csv' --clinical c.csv --tasks t.json "
    assert fit.format("demo", " ") in commands
    assert fit.format("mine", own) in commands
    assert "collect sweep --against txt" in commands


def planned(folder, *arguments):
    """How many fits a sweep would make in a folder, and all it says."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--printshellcmds", "--cores", "1"]
    command += ["--snakefile", ROOT / "Snakefile", "--directory", folder, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    return int(re.search(r"^fit +(\d+)$", said, flags=re.MULTILINE)[1]), said
