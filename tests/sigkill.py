"""SIGKILL at random moments: work is begun in a fork, killed, checked, begun again some times, and then let end.

A moment is drawn from the time that the work takes. In half of the cases the kill then waits until a draft appears or
grows beside the files, and comes within the millisecond or two in which that is written.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

HOME = "killed"  # the name of every folder of work
IN_A_ROW = 5  # kills of the same work, at most
ENOUGH = 5  # faults, after which no more work of the kind is begun
LIMIT = 120  # seconds after which work that nobody kills has long ended
LOOK = 0.0005  # seconds between two looks


class Kind:
    """Work on the files of a folder, and what has to hold of them; failures are assertions."""

    names: tuple[str, ...] = ()  # what may stand in the folder; all else is a draft
    processes = 1  # that do the same at the same time; the first of them is killed

    def begin(self, home: Path) -> None:
        """Put into the folder what stands there before the work."""

    def work(self, home: Path) -> None:
        """In a process of its own; it may find what an earlier one left."""
        raise NotImplementedError

    def learn(self, home: Path) -> None:
        """What work gives that was never broken off."""
        self.end(home)

    def kill(self, leader: int, rng: np.random.Generator) -> None:
        os.killpg(leader, signal.SIGKILL)

    def check(self, home: Path) -> None:
        """What holds after a kill."""
        raise NotImplementedError

    def end(self, home: Path) -> None:
        """What holds when the work has ended."""
        self.check(home)

    def drafts(self, home: Path) -> dict[str, tuple[int, int]]:
        """Size and time of all drafts."""
        found = {}
        for entry in home.iterdir():
            if entry.name not in self.names:
                with suppress(FileNotFoundError):  # it got its name meanwhile
                    found[entry.name] = (entry.stat().st_size, entry.stat().st_mtime_ns)
        return found


@dataclass
class Tally:
    """What came of one kind of work."""

    kills: int = 0
    while_writing: int = 0  # of these, those that left a draft or more of one
    drafts: int = 0  # that were left when the work went on for the last time
    corrupt: int = 0
    chains: int = 0  # of kills of the same work
    resumed: int = 0  # of these, those whose work then ended as if nothing had been
    faults: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.corrupt) or self.resumed < self.chains


def kill_often(kind: Kind, kills: int, rng: np.random.Generator) -> Tally:
    """Begin the work in new folders, kill it some times in each, and let it end."""
    tally = Tally()
    with _folder() as home:
        kind.begin(home)
        begun = time.monotonic()
        _finish(kind, home)
        lasts = time.monotonic() - begun
        kind.learn(home)
    while tally.kills < kills and len(tally.faults) < ENOUGH:
        with _folder() as home:
            kind.begin(home)
            tally.chains += 1
            try:
                for before_it in range(min(rng.integers(1, IN_A_ROW, endpoint=True), kills - tally.kills)):
                    stage, before, begun = "not resumed", kind.drafts(home), time.monotonic()
                    if not _killed(kind, home, rng, lasts):
                        if not before_it:  # the machine was busier when the time was taken
                            lasts = min(lasts, time.monotonic() - begun)
                        break
                    tally.kills += 1
                    tally.while_writing += any(before.get(name) != now for name, now in kind.drafts(home).items())
                    stage = "corrupt"
                    kind.check(home)
                tally.drafts += len(kind.drafts(home))
                stage = "not resumed"
                _finish(kind, home)
                kind.end(home)
                tally.resumed += 1
            except Exception:  # told, and the next work is begun
                tally.corrupt += stage == "corrupt"
                said = home.with_name("said")
                tally.faults.append(f"{stage}:\n{traceback.format_exc()}{said.read_text() if said.exists() else ''}")
    return tally


def _killed(kind: Kind, home: Path, rng: np.random.Generator, lasts: float) -> bool:
    """Whether the work was killed before it had ended."""
    wait_for_draft = rng.random() < 0.5
    leader, *others = [_start(kind, home) for _ in range(kind.processes)]
    ended = _ended(leader, rng.uniform(0, lasts))
    if wait_for_draft and not ended:
        before, deadline = kind.drafts(home).items(), time.monotonic() + LIMIT
        while not (ended := _ended(leader, 0)) and kind.drafts(home).items() <= before and time.monotonic() < deadline:
            pass
        if not ended and time.monotonic() >= deadline:
            _let_end(leader, 0)
        time.sleep(rng.uniform(0, 0.002))
    if not ended:
        kind.kill(leader, rng)
        status = os.waitpid(leader, 0)[1]
        ended = status == 0  # just before
        assert ended or os.WIFSIGNALED(status), "it failed"
    for other in others:
        _let_end(other)
    return not ended


def _finish(kind: Kind, home: Path) -> None:
    for child in [_start(kind, home) for _ in range(kind.processes)]:
        _let_end(child)


def _let_end(child: int, seconds: float = LIMIT) -> None:
    if not _ended(child, seconds):
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        message = "it hangs"
        raise AssertionError(message)


def _ended(child: int, seconds: float) -> bool:
    """Wait for a process to end by itself, and see that it ended well."""
    deadline = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert status == 0, "it failed"
            return True
        if (left := deadline - time.monotonic()) <= 0:
            return False
        time.sleep(min(LOOK, left))


def _start(kind: Kind, home: Path) -> int:
    """A fork in a group of its own; a file beside the folder holds what it says."""
    child = os.fork()
    if child:
        with suppress(OSError):  # the child was faster, and has ended perhaps
            os.setpgid(child, child)
        return child
    status = 1
    try:
        os.setpgid(0, 0)
        tqdm.set_lock(threading.RLock())  # all forks share its own, which nobody opens when one that holds it is killed
        sys.stdout = sys.stderr = home.with_name("said").open("a")
        for descriptor in (1, 2):
            os.dup2(sys.stdout.fileno(), descriptor)
        kind.work(home)
        status = 0
    except BaseException:  # a fork never goes on with what its parent does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder).resolve() / HOME
        home.mkdir()
        yield home
