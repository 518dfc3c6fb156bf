"""A file has its old content or its new one, whatever goes wrong in between."""

import os

import pytest

from gexcore.files import remove_drafts, write_file

resource = pytest.importorskip("resource", reason="the limit of a file's size is set as POSIX does")


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    for content, expected in {"\u00fc\n\r\n": b"\xc3\xbc\n\r\n", b"\x00\xff": b"\x00\xff", "": b""}.items():
        assert write_file(tmp_path / "file", content).read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_is_as_public_as_any_other_and_needs_a_folder(tmp_path):
    (tmp_path / "plain").touch()
    assert write_file(tmp_path / "file", "").stat().st_mode == (tmp_path / "plain").stat().st_mode
    with pytest.raises(FileNotFoundError, match="not saved: there is no folder"):
        write_file(tmp_path / "absent" / "file", "")


@pytest.fixture
def full_disk():
    """No file may grow beyond a thousand bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_runs_full_leaves_the_old_file_and_no_draft(tmp_path, full_disk):
    write_file(tmp_path / "file", "old")
    with pytest.raises(OSError, match="File too large"):
        write_file(tmp_path / "file", "new" * 1000)
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_an_interruption_at_any_step_leaves_the_old_file_and_no_draft(tmp_path, step, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    write_file(tmp_path / "file", "old")
    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else type(tmp_path), step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_file(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_drafts_of_one_file_are_removed_and_nothing_else(tmp_path):
    for name in (".a[1].xy.part", ".a[1].z.part", ".a1.x.part", ".b.x.part", "a[1]", ".a[1].part.txt"):
        (tmp_path / name).touch()
    remove_drafts(tmp_path / "a[1]")
    assert {path.name for path in tmp_path.iterdir()} == {".a1.x.part", ".b.x.part", "a[1]", ".a[1].part.txt"}
