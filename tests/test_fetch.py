"""Files come over a network that breaks, whole or not at all, and are the files they should be."""

import hashlib
import multiprocessing
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gexcore.cli import main
from gexcore.sources import SOURCES, File, Source, data_folder, fetch, list_sources, transfer
from gexcore.sources.fetch import fetched

DATA = bytes(range(256)) * 2000
ROOT = Path(__file__).parents[1]
PATH = "/download/matrix.tsv.gz"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GEXCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(transfer, "WAITS", (0.0, 0.0))
    return tmp_path / "data" / "toy"


@pytest.fixture
def source(served, folder, monkeypatch):
    """Make a source of one file on the local server."""

    def make(**file):
        served.files.setdefault(PATH, DATA)
        one = File("matrix.tsv.gz", served.url + PATH, **file)
        made = Source("toy", "cohort", "", "", "", "https://example.org/toy", "", (one,), parser=lambda files: None)
        monkeypatch.setitem(SOURCES, "toy", made)
        return made

    return make


def names(folder):
    return {path.name for path in folder.iterdir()} - {".lock"}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_a_file_comes_whole_and_its_checksum_is_recorded_as_sha256sum_writes_it(source, folder):
    source()
    assert fetch("toy") == [folder / "matrix.tsv.gz"]
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA
    assert (folder / "checksums.sha256").read_text() == f"{sha256(DATA)}  matrix.tsv.gz\n"
    assert names(folder) == {"matrix.tsv.gz", "checksums.sha256"}


def test_a_file_that_is_there_is_not_fetched_again(source, served):
    source()
    fetch("toy")
    fetch("toy")
    assert len(served.seen) == 1


def test_a_cut_transfer_goes_on_where_it_was_cut(source, served, folder):
    served.cuts[PATH] = [1000, 200_000]
    source(sha256=sha256(DATA))
    fetch("toy")
    assert [asked for _, asked in served.seen] == [None, "bytes=1000-", "bytes=201000-"]
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA


def test_a_transfer_given_up_is_resumed_by_the_next_call(source, served, folder):
    served.cuts[PATH] = [1000, 0, 0, 0]  # once some bytes, then nothing
    source()
    with pytest.raises(ConnectionError, match="did not come from"):
        fetch("toy")
    assert names(folder) == {"matrix.tsv.gz.part", "matrix.tsv.gz.part.tag"}
    fetch("toy")
    assert served.seen[-1] == (PATH, "bytes=1000-")
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA
    assert names(folder) == {"matrix.tsv.gz", "checksums.sha256"}


def test_a_server_that_knows_no_ranges_starts_over(source, served, folder):
    served.ranges, served.cuts[PATH] = False, [1000]
    source()
    fetch("toy")
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA


def test_a_file_that_changed_after_the_cut_is_not_glued_to_the_old_part(source, served, folder):
    served.cuts[PATH] = [1000, 0, 0, 0]
    source()
    with pytest.raises(ConnectionError):
        fetch("toy")
    served.files[PATH] = DATA[::-1]
    fetch("toy")
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA[::-1]


def test_a_process_killed_where_a_changed_file_begins_leaves_none_of_the_old_one(source, served, folder, monkeypatch):
    served.cuts[PATH] = [1000, 0, 0, 0]
    source()
    with pytest.raises(ConnectionError):
        fetch("toy")
    served.files[PATH], keep = DATA[::-1], transfer._keep

    def killed(*what):
        keep(*what)
        raise KeyboardInterrupt

    monkeypatch.setattr(transfer, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        fetch("toy")
    monkeypatch.setattr(transfer, "_keep", keep)
    fetch("toy")
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA[::-1]


def test_a_process_killed_when_all_has_arrived_fetches_no_byte_again(source, served, folder, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    source()
    module = sys.modules["gexcore.sources.fetch"]
    check = module._check
    monkeypatch.setattr(module, "_check", killed)
    with pytest.raises(KeyboardInterrupt):
        fetch("toy")
    monkeypatch.setattr(module, "_check", check)
    fetch("toy")
    assert [asked for _, asked in served.seen] == [None, f"bytes={len(DATA)}-"]
    assert names(folder) == {"matrix.tsv.gz", "checksums.sha256"}


def test_a_part_that_was_not_asked_for_is_not_glued_on(source, served, folder):
    served.cuts[PATH], served.shift = [1000], 500
    source()
    fetch("toy")
    assert [asked for _, asked in served.seen] == [None, "bytes=1000-", None]
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA


def test_a_part_that_was_complete_already_needs_no_further_byte(source, served, folder):
    source()
    folder.mkdir(parents=True)
    (folder / "matrix.tsv.gz.part").write_bytes(DATA)
    (folder / "matrix.tsv.gz.part.tag").write_text(f'"{sha256(DATA)}"')
    fetch("toy")
    assert served.seen == [(PATH, f"bytes={len(DATA)}-")]
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA


def test_a_busy_server_is_asked_again(source, served, folder):
    served.statuses[PATH] = [503, 429]
    source()
    fetch("toy")
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA


def test_tries_end_and_wait_longer_each_time(source, served, monkeypatch):
    waited = []
    monkeypatch.setattr(transfer, "WAITS", (1.0, 2.0, 4.0))
    monkeypatch.setattr(transfer.time, "sleep", waited.append)
    served.statuses[PATH] = [503] * 9
    source()
    with pytest.raises(ConnectionError, match="503"):
        fetch("toy")
    assert waited == [1.0, 2.0, 4.0]


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(source, served, folder):
    served.files[PATH] = b"another file"
    source(sha256=sha256(DATA))
    with pytest.raises(ValueError, match=rf"matrix\.tsv\.gz is not the file .*{sha256(DATA)} is pinned"):
        fetch("toy")
    assert names(folder) == set()


def test_a_recorded_checksum_is_enforced_on_later_content(source, served, folder):
    source()
    fetch("toy")
    (folder / "matrix.tsv.gz").unlink()
    served.files[PATH] = b"a new version"
    with pytest.raises(ValueError, match=r"recorded in .*checksums\.sha256.*if the source has a new version"):
        fetch("toy")
    assert names(folder) == {"checksums.sha256"}


def test_a_file_damaged_on_the_disk_is_found_before_it_is_used(source, folder):
    made = source()
    fetch("toy")
    (folder / "matrix.tsv.gz").write_bytes(DATA[:-1])
    for use in (lambda: fetch("toy"), lambda: fetched(made)):
        with pytest.raises(ValueError, match=r"Was it cut off or changed\? Delete it"):
            use()


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_moved_file_is_said_once_with_the_page_and_the_place(source, served, folder, status):
    served.statuses[PATH] = [status]
    source()
    with pytest.raises(ConnectionError) as caught:
        fetch("toy")
    text = str(caught.value)
    assert f"{status}" in text
    assert "has it moved?" in text
    assert "https://example.org/toy" in text
    assert str(folder / "matrix.tsv.gz") in text
    assert len(served.seen) == 1
    assert names(folder) == set()


def test_a_web_page_in_place_of_the_file_is_not_taken_for_it(source, served, folder):
    served.kind, served.files[PATH] = "text/html; charset=utf-8", b"<html>We have moved</html>"
    source()
    with pytest.raises(ConnectionError, match="a web page answers instead of the file"):
        fetch("toy")
    assert names(folder) == set()


def test_without_a_network_the_file_is_taken_from_where_the_message_says(folder, monkeypatch):
    monkeypatch.setattr(transfer, "WAITS", (0.0,))
    one = File("matrix.tsv.gz", "http://127.0.0.1:9/matrix.tsv.gz", sha256=sha256(DATA))  # nobody listens there
    made = Source("toy", "cohort", "", "", "", "https://example.org/toy", "", (one,), parser=lambda files: None)
    monkeypatch.setitem(SOURCES, "toy", made)
    with pytest.raises(ConnectionError, match="no connection") as caught:
        fetch("toy")
    assert f"put it at {folder / 'matrix.tsv.gz'}" in str(caught.value)
    (folder / "matrix.tsv.gz").write_bytes(b"not it")
    with pytest.raises(ValueError, match="is not the file that is expected"):
        fetch("toy")
    (folder / "matrix.tsv.gz").write_bytes(DATA)
    assert fetch("toy") == [folder / "matrix.tsv.gz"]


def test_what_was_not_fetched_is_refused_with_the_command_and_no_request(source, served):
    with pytest.raises(FileNotFoundError, match=r"run `gexcore fetch toy`, or download matrix\.tsv\.gz from https"):
        fetched(source())
    assert served.seen == []


def test_a_file_under_its_older_name_is_taken(source, folder):
    made = source(also=("old_name.tsv.gz",))
    folder.mkdir(parents=True)
    (folder / "old_name.tsv.gz").write_bytes(DATA)
    assert fetch("toy") == [folder / "old_name.tsv.gz"]
    assert fetched(made) == {"matrix.tsv.gz": folder / "old_name.tsv.gz"}


def test_too_little_room_is_said_before_anything_is_written(source, folder, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    source()
    with pytest.raises(OSError, match=r"room for 0\.0 GB, the file needs 0\.0 GB more; name another folder"):
        fetch("toy")
    assert "matrix.tsv.gz.part" not in names(folder)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of fork, since Python 3.12
def test_two_processes_at_once_fetch_one_whole_file(source, served, folder):
    source()
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=fetch, args=["toy"]) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=30)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(served.seen) == 1
    assert (folder / "matrix.tsv.gz").read_bytes() == DATA
    assert names(folder) == {"matrix.tsv.gz", "checksums.sha256"}


def test_the_folder_is_the_one_asked_for_then_that_of_the_variable_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEXCORE_DATA", str(tmp_path))
    assert data_folder("here") == Path("here")
    assert data_folder() == tmp_path
    monkeypatch.delenv("GEXCORE_DATA")
    assert data_folder().name == "gexcore"


def test_an_unknown_source_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no source is called 'tcga'; those there are: scan-b, gse96058"):
        fetch("tcga")


def test_the_list_tells_of_every_source_what_is_known_and_hides_nothing():
    table = list_sources()
    assert list(table.index) == list(SOURCES)
    assert (table[["what", "citation", "licence", "page", "awkward"]] != "").all(axis=None)
    assert set(table["contacted"]) == {"never"}
    assert table.loc["string-v12", "checksum"] == "pinned"
    for entry in SOURCES.values():
        for file in entry.files:
            assert file.url.startswith("https://")
            assert file.sha256 is None or len(file.sha256) == 64


def test_the_command_fetches_prints_the_paths_and_lists(source, folder, capsys):
    source()
    assert main(["fetch", "toy", "--folder", str(folder.parent)]) == 0
    assert capsys.readouterr().out == f"{folder / 'matrix.tsv.gz'}\n"
    assert main(["fetch", "--list"]) == 0
    assert "metabric" in capsys.readouterr().out


def test_the_list_fits_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(["fetch", "--list"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 80
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(SOURCES)


def test_a_list_that_is_read_in_part_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m gexcore.cli fetch --list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_interrupted_fetch_says_that_what_arrived_is_kept(source, folder, capsys, monkeypatch):
    source()

    def stopped(url, part, *, progress):
        part.write_bytes(DATA[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["gexcore.sources.fetch"], "transfer", stopped)
    assert main(["fetch", "toy"]) == 130
    said = "gexcore fetch: interrupted, what has arrived is kept, and the same command goes on\n"
    assert capsys.readouterr().err == said
    assert names(folder) == {"matrix.tsv.gz.part"}


def test_a_full_disk_is_said_with_the_file(source, folder, capsys):
    source()
    folder.mkdir(parents=True)
    (folder / "matrix.tsv.gz.part").symlink_to("/dev/full")
    with pytest.raises(SystemExit):
        main(["fetch", "toy"])
    said = f"gexcore fetch: error: {folder / 'matrix.tsv.gz.part'}: no space left on device; what has arrived is kept"
    assert capsys.readouterr().err.startswith(said)


def test_of_a_source_of_several_files_all_that_are_missing_are_named_at_once(folder, monkeypatch):
    monkeypatch.setattr(transfer, "WAITS", ())
    files = [File(f"{name}.tsv", f"http://127.0.0.1:9/{name}") for name in "abc"]
    made = Source("toy", "cohort", "", "", "", "https://example.org/toy", "", tuple(files), parser=lambda files: None)
    monkeypatch.setitem(SOURCES, "toy", made)
    with pytest.raises(
        ConnectionError, match=rf"\(no connection\); .* put it at {folder}/a.tsv, likewise b.tsv, c.tsv,"
    ):
        fetch("toy")


def test_the_command_says_in_one_line_what_is_wrong(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fetch", "tcga"])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert line.startswith("gexcore fetch: error: no source is called 'tcga'; those there are: scan-b")
