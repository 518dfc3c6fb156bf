"""Processes killed at random moments leave nothing corrupt and go on; and what would be corrupt is found to be."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from killing import KINDS, Rewriting
from sigkill import Kind, kill_often

SLOW = {"kernel", "gexcore train", "gexcore impute"}  # by hand; the commands write as gexcore predict does
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of fork, since Python 3.12


def test_work_killed_at_random_moments_goes_on_as_if_nothing_had_been():
    script, kinds = Path(__file__).with_name("killing.py"), [kind for kind in KINDS if kind not in SLOW]
    command = [sys.executable, str(script), "--kills", "11", "--seed", "0", "--kinds", *kinds]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[:22].rstrip() for line in done.stdout.splitlines()[1:]] == kinds


def test_a_file_written_in_place_is_found_to_be_corrupt():
    def write(path, byte):
        with path.open("wb", buffering=0) as file:
            for _ in range(50):
                file.write(byte * 10_000)

    kind = Rewriting("file", lambda path: write(path, b"a"), lambda path: write(path, b"b"))
    tally = kill_often(kind, 5, np.random.default_rng(0))
    assert tally.corrupt > 0
    assert "holds neither the old nor the new" in tally.faults[0]


def test_work_that_refuses_what_a_killed_process_left_is_found_not_to_go_on():
    class Locked(Kind):
        def work(self, home):
            (home / "lock").touch(exist_ok=False)
            for _ in range(50):
                (home / "file").write_bytes(bytes(10_000))
            (home / "lock").unlink()

        def check(self, home):
            pass

    tally = kill_often(Locked(), 3, np.random.default_rng(0))
    assert tally.resumed < tally.chains
    assert "FileExistsError" in tally.faults[0]
