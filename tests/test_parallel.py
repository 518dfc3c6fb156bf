"""Several processes take the steps of one, whatever combines gradients; and they end together."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import processes as ours
import pytest
import torch
from commands import DEMO, SURVIVAL

import gexcore as gx
from gexcore.cli import main
from gexcore.parallel import OneProcess, Processes, choose_processes, is_first
from gexcore.training import seeded

HERE = Path(__file__).parent
CPU = torch.device("cpu")
LIKE_ONE = [*ours.STRATEGIES, "GexBERT", "FineTuned"]
# Adam makes whole steps of the rounding in what has no gradient, such as a bias before a batch norm. No training loss
# shows them, but they are in the running means that predictions are made with.
WITH_BATCH_NORM = ["batch norm in the heads", "MLP", "DeepGene"]
GPUS = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="two GPUs are needed")


@pytest.fixture(autouse=True)
def script(monkeypatch):
    """A script is being run, as several devices ask for; workers of the tests have none."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)


def run(*command, **environment):
    """A command in a process of its own, on one thread."""
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=900, check=False)


def results(file, *arguments, launcher=()):
    """What the script keeps, and how it ended after that."""
    done = run("-W", "error", *launcher, HERE / "processes.py", file, *arguments)
    assert file.exists(), done.stderr
    return torch.load(file, weights_only=False), done


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    file = tmp_path_factory.mktemp("two") / "results.pt"
    return file, *results(file, "all", 2)


@pytest.fixture(scope="module")
def two(launched):
    return launched[1]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 3]
    return results(tmp_path_factory.mktemp("three") / "results.pt", "tiny", 3, launcher=launcher)


@pytest.fixture(scope="module")
def one():
    with torch.random.fork_rng():
        return ours.models({})


def assert_close(ours, theirs, what=("train", "val", "predictions"), tolerance=1e-5):
    for name in what:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=tolerance, atol=tolerance)


# --------------------------------------------------------------------------------------- the same as one


@pytest.mark.parametrize("name", LIKE_ONE)
def test_two_processes_give_the_losses_and_predictions_of_one(name, one, two):
    assert_close(two["models"][name], one[name])


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_batch_norm_sees_the_rows_of_all_processes(name, one, two):
    assert_close(two["models"][name], one[name], ["train"], tolerance=1e-6)
    assert_close(two["models"][name], one[name], tolerance=1e-3)


def test_batch_norm_over_processes_is_that_of_the_whole_batch(two, three):
    for of_some, n in ((two["normed"], 5), (three[0]["normed"], 2)):
        for ours_, theirs in zip(of_some, ours.normed(OneProcess(CPU), n), strict=True):
            torch.testing.assert_close(ours_, theirs, rtol=1e-5, atol=1e-5)


def test_half_the_digits_give_about_the_same(one, two):
    assert np.abs(one["bfloat16"]["train"] - one["equal"]["train"]).max() > 1e-4
    assert_close(two["models"]["bfloat16"], one["bfloat16"], tolerance=1e-2)


def test_what_is_compared_depends_on_how_gradients_are_combined(one):
    losses = [one[name]["train"] for name in ours.STRATEGIES]
    for i, values in enumerate(losses):
        assert all(np.abs(values - other).max() > 5e-5 for other in losses[:i])


def test_a_process_without_a_row_takes_part(three):
    assert_close(three[0]["tiny"], ours.tiny({}))


def test_gradients_are_summed_before_they_are_projected(two):
    # Of all samples the tasks agree, (2, 0) and (2, 1): nothing is projected. Of the first two they do not, (1, 0) and
    # (-1, 1): projected they are (1/2, 1/2) and (0, 1), and those of the last two, (1, 0) and (3, 0), agree.
    np.testing.assert_allclose(two["planted"]["summed"], [4, 1], atol=1e-6)
    np.testing.assert_allclose(two["planted"]["projected first"], [4.5, 1.5], atol=1e-6)
    np.testing.assert_allclose(ours.planted(OneProcess(CPU))["projected first"], [4, 1], atol=1e-6)


def test_below_the_heads_each_process_draws_its_own_numbers_and_above_them_all_draw_those_of_one(two):
    below, above = two["streams"].values()
    assert len(set(below[0] + below[1])) == 8
    assert above[0] == above[1]
    with seeded(7, CPU):
        assert above[0] == torch.rand(3).tolist()


# --------------------------------------------------------------------------------------- broken off, ended


def test_a_training_broken_off_goes_on_to_the_same_bits(two):
    whole, went_on = two["broken off"].values()
    for what, values in whole.items():
        np.testing.assert_array_equal(values, went_on[what])


def test_one_process_goes_on_where_two_were_broken_off(launched, one):
    train, val, other = ours.parts()
    model = gx.TxT(ours.TASKS, **ours.TXT).fit(train, val, checkpoint=launched[0].with_suffix(".none.copy"))
    assert_close(ours.result(model, other), one["equal"])


def test_when_one_process_fails_all_of_them_end(launched, three):
    for done in (launched[2], three[1]):  # the first of two, with nobody above them; of three under torchrun the others
        assert done.returncode != 0
        assert "this process broke" in done.stderr


# --------------------------------------------------------------------------------------- the command


def test_the_command_trains_on_two_devices_and_writes_once(tmp_path, capsys):
    small = ["--n-genes", "15", "--max-epochs", "2", "--perturb", "1", "--classes", "subtype"]
    command = ["train", *DEMO, *SURVIVAL, *small]
    done = run("-m", "gexcore.cli", *command, "--devices", 2, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"wrote {tmp_path / 'two'}: open {tmp_path / 'two' / 'report.html'}"]
    assert main([*command, "--out", f"{tmp_path / 'one'}"]) == 0
    assert done.stderr == capsys.readouterr().err
    ours, theirs = (pd.read_csv(tmp_path / name / "history.csv") for name in ("two", "one"))
    pd.testing.assert_frame_equal(ours[["epoch", "split", "task"]], theirs[["epoch", "split", "task"]])


def test_the_command_says_in_one_line_what_is_wrong_with_its_devices(tmp_path, capsys):
    for wrong in (["--devices", "0"], ["--devices", "2", "--strategy", "fsdp"]):
        with pytest.raises(SystemExit):
            main(["train", *DEMO, *SURVIVAL, "--n-genes", "5", *wrong, "--out", f"{tmp_path / 'out'}"])
        assert len([line for line in capsys.readouterr().err.splitlines() if "error: " in line]) == 1


# --------------------------------------------------------------------------------------- the page of the book


def page(language):
    text = (HERE.parent / "book" / "machines.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_script_of_the_page_runs(tmp_path, monkeypatch, capsys):
    (code,) = page("python")
    for name in ("expression.csv", "clinical.csv"):
        (tmp_path / name).write_bytes(gx.data_path(f"demo/{name}").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "1", "1"])
    exec(compile(code.replace('preset="quick"', 'preset="quick", max_epochs=1'), "train.py", "exec"), {})
    assert "c_index" in capsys.readouterr().out
    assert {"training.safetensors", "txt.safetensors", "history.csv"} <= {path.name for path in tmp_path.iterdir()}


def test_the_commands_of_the_page_are_of_this_program(tmp_path, capsys):
    starts, command, job = page("bash")
    assert [line.split()[-3:] for line in starts.splitlines()] == [["train.py", "2", "1"]] * 2
    _, *words = shlex.split(command.replace("\\\n", " "))
    with pytest.raises(SystemExit):
        main([*words, "--expression", f"{tmp_path / 'absent.csv'}"])
    assert "no such file" in capsys.readouterr().err  # every option is known, and the files are looked for
    assert subprocess.run(["bash", "-n"], input=job, text=True, check=False).returncode == 0


# --------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"devices": 0}, "devices must be a whole number, 1 or more, not 0"),
        ({"devices": True}, "devices must be a whole number, 1 or more, not True"),
        ({"devices": "2"}, "devices must be a whole number, 1 or more, not '2'"),
        ({"num_nodes": 1.5}, "num_nodes must be a whole number, 1 or more, not 1.5"),
        ({"strategy": "fsdp"}, "strategy is 'ddp', not 'fsdp': the gradients of the tasks are combined over the whole"),
        ({"devices": 2, "strategy": "deep-speed"}, "strategy is 'ddp', not 'deep-speed'"),
    ],
    ids=str,
)
def test_devices_that_make_no_sense_are_refused_before_any_file_is_read(how, message):
    for model in (gx.TxT(ours.TASKS), gx.GexBERT(), gx.baselines.MLP(ours.TASKS)):
        with pytest.raises(ValueError, match=message):
            model.fit("absent.csv", **how)


def test_gpus_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"devices is 2, but this machine has 1 GPU$"):
        choose_processes(torch.device("cuda"), devices=2, num_nodes=1, strategy="ddp")
    with pytest.raises(ValueError, match="device is 'cuda' or 'cpu', not 'cuda:1'"):
        choose_processes(torch.device("cuda:1"), devices=2, num_nodes=1, strategy="ddp")


@pytest.mark.parametrize("name", ["OmiEmbed", "AUTOSurv"])
def test_models_trained_in_phases_keep_to_one_device(name):
    sets = {"gene_sets": {"set": ["g0"]}} if name == "AUTOSurv" else {}
    with pytest.raises(ValueError, match=f"{name} trains in phases, for one device: leave out devices and num_nodes"):
        getattr(gx.baselines, name)(ours.TASKS[0], **sets).fit("absent.csv", devices=2)


def test_without_a_script_there_is_nothing_to_start_again(monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__")
    with pytest.raises(ValueError, match="more than one device needs a script"):
        gx.GexBERT().fit("absent.csv", devices=2)


def test_another_number_of_processes_than_were_started_is_refused(monkeypatch):
    for name, value in {"LOCAL_RANK": "0", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="devices=2, num_nodes=1 are 2 processes, but 3 were started"):
        Processes(CPU, devices=2, num_nodes=1).launch()


# --------------------------------------------------------------------------------------- one device


def test_fabric_is_imported_for_several_devices_only(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    train, val, _ = ours.parts()
    model = gx.TxT(ours.TASKS, **{**ours.TXT, "max_epochs": 1})
    assert model.fit(train, val, devices=1, num_nodes=1, strategy="ddp").history_["epoch"].max() == 1
    with pytest.raises(ImportError):
        model.fit(train, val, devices=2)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_the_first_process_is_known_before_they_meet(name, monkeypatch):
    assert is_first()
    monkeypatch.setenv(name, "0")
    assert is_first()
    monkeypatch.setenv(name, "1")
    assert not is_first()


@GPUS
def test_two_gpus_give_the_losses_of_one(tmp_path):
    ours, theirs = (results(tmp_path / f"{n}.pt", "all", n, "cuda")[0]["models"] for n in (2, 1))
    for name in theirs:
        assert_close(ours[name], theirs[name], ["train"], tolerance=1e-2 if name == "bfloat16" else 1e-3)
