"""The files of a public source in a folder of the reader's: fetched when asked for, checked whenever they are used.

A folder has a subfolder per source, and in it ``checksums.sha256``, which ``sha256sum -c`` understands: what was
recorded when a file first came. Files put there by hand are taken as well, and checked in the same way.
"""

from __future__ import annotations

import os
import shlex
from contextlib import nullcontext
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from ..files import write_file
from ..tables import sha256
from ..tasks import first_ids
from .catalogue import find_source
from .registry import File, Source
from .transfer import NotFetchedError, transfer

_RECORD = "checksums.sha256"


def data_folder(folder: str | os.PathLike | None = None) -> Path:
    """Where fetched files are kept: ``folder``, else the folder that GEXCORE_DATA names, else the system's cache."""
    return Path(folder or os.environ.get("GEXCORE_DATA") or user_cache_path("gexcore")).expanduser()


def fetch(name: str, *, folder: str | os.PathLike | None = None, progress: bool = True) -> list[Path]:
    """Bring the files of a public source to the disk, unless they are there.

    A transfer that breaks off is resumed, also by the next call; a file has its own name only when it is complete
    and its checksum is right. Several processes may fetch at the same time.

    Parameters
    ----------
    name : str
        Of :func:`gexcore.list_sources`.
    folder : path, optional
        Holds a subfolder per source; default: GEXCORE_DATA, else the cache of the system (:func:`data_folder`).
    progress : bool
        Show a bar where the output is a terminal.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        No such source, or a file that is not the one it should be.
    ConnectionError
        A file could not be fetched: the message says which, and where to put it by hand.
    OSError
        The disk has too little room.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:  # a file put there by hand needs no network
    ...     os.mkdir(f"{folder}/hallmark")
    ...     _ = Path(f"{folder}/hallmark/h.all.v2023.2.Hs.symbols.gmt").write_text("sets")
    ...     [path.name for path in fetch("hallmark", folder=folder)]
    ['h.all.v2023.2.Hs.symbols.gmt']
    """
    source = find_source(name)
    home = data_folder(folder) / source.name
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".lock"):
        for file in source.files:
            if _standing(home, file) is None:
                _bring(source, file, home, progress=progress)
            else:
                _check(_standing(home, file), file, source)
    return [_standing(home, file) for file in source.files]


def fetched(source: Source, folder: str | os.PathLike | None = None) -> dict[str, Path]:
    """The files of a source by name, checked; without any use of the network.

    Raises
    ------
    FileNotFoundError
        Files are missing; the message says how to get them.
    ValueError
        A file is not the one it should be.
    """
    home = data_folder(folder) / source.name
    paths = {file.name: _standing(home, file) for file in source.files}
    if missing := [name for name, path in paths.items() if path is None]:
        there = "" if folder is None else f" --folder {shlex.quote(os.fspath(folder))}"
        message = (
            f"{source.name} is not in {home}: run `gexcore fetch {source.name}{there}`, or download "
            f"{first_ids(missing, 9)} from {source.page} and put it there. If it lies in another folder, name that one "
            "(folder=, or the variable GEXCORE_DATA)"
        )
        raise FileNotFoundError(message)
    shared = not os.access(home, os.W_OK)  # a folder of several readers, filled by another
    with nullcontext() if shared else FileLock(home / ".lock"):
        for file in source.files:
            _check(paths[file.name], file, source)
    return paths


def _standing(home: Path, file: File) -> Path | None:
    return next((home / name for name in (file.name, *file.also) if (home / name).is_file()), None)


def _bring(source: Source, file: File, home: Path, *, progress: bool) -> None:
    path = home / file.name
    others = [other.name for other in source.files if other is not file and _standing(home, other) is None]
    part = path.with_name(path.name + ".part")
    try:
        transfer(file.url, part, progress=progress)
    except NotFetchedError as error:
        message = (
            f"{source.name}: {file.name} did not come from {file.url} ({error}); download it from {source.page}, put "
            f"it at {path}{', likewise ' if others else ''}{first_ids(others, 9)}, and repeat the command"
        )
        raise ConnectionError(message) from error
    tag = part.with_name(part.name + ".tag")
    try:
        _check(part, file, source, name=path.name)
    except ValueError:
        part.unlink()
        tag.unlink(missing_ok=True)
        raise
    part.replace(path)
    tag.unlink(missing_ok=True)  # a process killed before this fetches no byte again


def _check(path: Path, file: File, source: Source, *, name: str | None = None) -> None:
    """Compare a file with the pinned or recorded checksum; record that of a file nothing is known of."""
    name = name or path.name
    record = path.parent / _RECORD
    lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    recorded = {known: digest for digest, _, known in (line.partition("  ") for line in lines)}
    pinned = file.sha256 if name == file.name else None
    expected, digest = pinned or recorded.get(name), sha256(path)
    if expected not in (None, digest):
        origin = "pinned in this package" if pinned else f"recorded in {record} when the file first came"
        message = (
            f"{source.name}: {path.with_name(name)} is not the file that is expected: its sha256 is {digest}, "
            f"{expected} is {origin}. Was it cut off or changed? Delete it and run `gexcore fetch {source.name}`"
        )
        message += "" if pinned else "; if the source has a new version that you want, delete that line as well"
        raise ValueError(message)
    if name not in recorded and os.access(record.parent, os.W_OK):
        write_file(record, "\n".join([*lines, f"{digest}  {name}"]) + "\n")
