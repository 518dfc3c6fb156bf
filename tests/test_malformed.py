"""Every kind of broken file is one clear sentence and the exit status 2: no traceback, no output, no waiting."""

import json
import os
import re
import subprocess
import sys
import time
import tracemalloc

import pytest
import torch
from malformed import FILE_NAMES, GENES, KINDS, SAMPLES, good_files
from safetensors.torch import save_file

from gexcore.cli import main
from gexcore.cohort import read_cohort
from gexcore.tables import read_table

COMMAND = "train"
CRYPTIC = re.compile(r"Traceback|Errno|[A-Za-z]+(Error|Exception)\b|0x|codec can't|<[a-z_]+ object|tokenizing|nan\b")
SECONDS = 20  # of a busy machine; none needs more than two on an idle one
NAMES = {kind.name: kind for kind in KINDS}


@pytest.fixture
def files(tmp_path):
    """Good files by option, in a folder of their own."""
    paths = {option: tmp_path / "good" / name for option, name in FILE_NAMES.items()}
    (tmp_path / "good").mkdir()
    for option, text in good_files().items():
        paths[option].write_text(text)
    return paths


def command(files, out, **changed):
    """Words of a command that reads what it must and what is changed."""
    used = {option: files[option] for option in ("expression", "clinical", "tasks")} | changed
    words = [word for option, path in used.items() for word in (f"--{option}", str(path))]
    return [COMMAND, *words, "--max-epochs", "1", "--out", str(out)]


def sentence(capsys, arguments):
    """What is said on the error stream, which is one line besides notes, when a command ends with status 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return check(said.err, arguments[0])


def check(error_stream, name):
    lines = [line for line in error_stream.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, error_stream
    start = f"gexcore {name}: error: "
    assert lines[0].startswith(start)
    assert len(lines[0]) < 400
    assert not CRYPTIC.search(lines[0]), lines[0]
    return lines[0].removeprefix(start)


@pytest.mark.parametrize("kind", NAMES)
def test_a_broken_file_is_one_clear_sentence_and_leaves_nothing(tmp_path, files, capsys, kind):
    kind = NAMES[kind]
    (tmp_path / "bad").mkdir()
    path = kind.write(tmp_path / "bad")
    began = time.perf_counter()
    said = sentence(capsys, command(files, tmp_path / "out", **{kind.option: path}))
    assert time.perf_counter() - began < SECONDS
    assert re.search(kind.says, said), said
    told = {"expression": "expression", "clinical": "clinical|column|task|expression", "tasks": "task|column"}
    told["expression"] += "|samples are too few"
    told["network"] = "list of edges|column"
    assert re.search(f"{re.escape(path.name)}|{told.get(kind.option, kind.option.split('-')[0])}", said), said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "good"]


def test_there_are_enough_kinds_to_speak_of_any_file():
    assert len({kind.make for kind in KINDS}) >= 45


@pytest.mark.parametrize("name", ["a folder", "an absent file"])
@pytest.mark.parametrize("option", ["expression", "clinical", "tasks", "gene-sets", "network"])
def test_a_folder_or_nothing_in_the_place_of_a_file_is_said(tmp_path, files, capsys, option, name):
    path = tmp_path / "good" / f"x-{FILE_NAMES[option]}"
    if name == "a folder":
        path.mkdir()
    said = sentence(capsys, command(files, tmp_path / "out", **{option: path}))
    assert f"{path}: " in said
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_must_not_be_read_is_said(tmp_path, files, capsys):
    files["expression"].chmod(0)
    assert "permission denied" in sentence(capsys, command(files, tmp_path / "out"))


@pytest.mark.parametrize(
    "kind", ["expression: million_columns", "expression: one_gene_is_a_date", "tasks: json_cut_short"]
)
def test_the_command_itself_ends_with_status_2_and_no_traceback(tmp_path, files, kind):
    kind = NAMES[kind]
    arguments = command(files, tmp_path / "out", **{kind.option: kind.write(tmp_path)})
    done = subprocess.run(
        [sys.executable, "-m", "gexcore.cli", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(kind.says, check(done.stderr, COMMAND))
    assert not (tmp_path / "out").exists()


def test_a_million_columns_are_refused_by_the_header_in_little_memory(tmp_path):
    path = NAMES["expression: million_columns"].write(tmp_path)
    tracemalloc.start()
    with pytest.raises(ValueError, match="1,000,000 columns"):
        read_table(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * path.stat().st_size


# ------------------------------------------------------------------------------------------- model files


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b""), "not a whole model file"),
        (lambda path: path.write_text("sample,TP53\np1,1\n"), "not a whole model file"),
        (lambda path: path.write_bytes(b"\x80\x04\x95" + bytes(300)), "not a whole model file"),  # a pickle
        (lambda path: save_file({"weight": torch.ones(3)}, path), "not one written by gexcore"),
        (
            lambda path: save_file({"w": torch.ones(3)}, path, {"kind": '["TxT"]', "format": "1", "config": "{}"}),
            "not one written by gexcore",
        ),
        (lambda path: None, "no model file at"),
    ],
    ids=["empty", "table", "pickle", "foreign", "strange", "absent"],
)
@pytest.mark.parametrize("words", [("predict", "{}"), ("impute", "--model", "{}")], ids=lambda words: words[0])
def test_a_broken_model_file_is_said(tmp_path, files, capsys, make, says, words):
    path = tmp_path / "model.safetensors"
    make(path)
    arguments = [*(word.format(path) for word in words), "--expression", str(files["expression"])]
    said = sentence(capsys, [*arguments, "--out", str(tmp_path / "out")])
    assert says in said
    assert "model.safetensors" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "kind", [name for name in NAMES if name.startswith("expression: ") and "one_sample" not in name][::6]
)
def test_imputation_refuses_the_same_files_in_the_same_words(tmp_path, capsys, kind):
    path = NAMES[kind].write(tmp_path)
    arguments = ["impute", "--expression", str(path), "--max-epochs", "1", "--out", str(tmp_path / "out")]
    assert re.search(NAMES[kind].says, sentence(capsys, arguments))


# ------------------------------------------------------------------- what looks broken and is not


@pytest.mark.parametrize(
    ("option", "change"),
    [
        ("expression", lambda text: text.encode("utf-8-sig")),
        ("expression", lambda text: text.replace("\n", "\r").encode()),
        ("expression", lambda text: text.replace("\n", "\r\n").encode()),
        ("expression", lambda text: re.sub(r"^(P\d\d),", r" \1  ,", text, flags=re.MULTILINE).encode()),
        ("expression", lambda text: text.replace("\n", "\n\n").rstrip().replace("\n\n", "\n", 1).encode()),
        ("expression", lambda text: text.replace("sample", "", 1).encode()),
        ("clinical", lambda text: text.replace("basal", '"basal"').encode()),
        (
            "clinical",
            lambda text: re.sub(
                r"(\d+)$", r'\1,"a, ""note""\non two lines"', text.replace("age", "age,note"), flags=re.MULTILINE
            ).encode(),
        ),
    ],
    ids=["bom", "cr", "crlf", "blanks", "blank-lines", "no-name-of-ids", "quotes", "quoted-newlines"],
)
def test_oddities_that_harm_nothing_are_read(files, option, change):
    expected = read_cohort(files["expression"], files["clinical"])
    files[option].write_bytes(change(good_files()[option]))
    found = read_cohort(files["expression"], files["clinical"])
    assert found.obs_names.tolist() == SAMPLES
    assert found.var_names.tolist() == GENES
    assert (found.X == expected.X).all()
    assert found.obs[expected.obs.columns].equals(expected.obs)
    assert json.loads(files["tasks"].read_text())


def test_what_is_unusual_and_kept_is_a_note_of_the_command(tmp_path, files, capsys):
    text = re.sub(r"^(P0[1-4]),[^,]*", r"\1,", good_files()["expression"], flags=re.MULTILINE)
    files["expression"].write_text(text)
    files["clinical"].write_text(NAMES["clinical: one_class_only"].make(good_files()["clinical"]))
    with pytest.raises(SystemExit):
        main(command(files, tmp_path / "out"))
    assert "note: 4 cells (0.28%) are missing, in 1 gene and 4 samples; most in gene 'TP53'" in capsys.readouterr().err


def test_events_that_seem_inverted_are_asked_about_in_a_note(tmp_path, files, capsys):
    for option in ("clinical", "tasks"):
        files[option].write_text(good_files()[option].replace("os_event", "alive"))
    main(command(files, tmp_path / "out"))
    said = capsys.readouterr().err
    assert "note: task 'os': column 'alive' is called as if 1 meant no event" in said
    assert "invert it: obs['alive'] = 1 - obs['alive']" in said
