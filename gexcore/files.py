"""A file is written whole or not at all: whatever happens, its name holds the old content or the new."""

from __future__ import annotations

import glob
import os
import tempfile
from pathlib import Path


def check_folder(path: str | os.PathLike) -> Path:
    """The path of a file that is to be written; refused where its folder does not exist."""
    path = Path(path)
    if not path.parent.is_dir():
        message = f"not saved: there is no folder {path.parent}"
        raise FileNotFoundError(message)
    return path


def write_file(path: str | os.PathLike, content: bytes | str) -> Path:
    """Write ``content`` (text as UTF-8, its line ends as they are), replacing an older file in a single step.

    It is on the disk before it gets its name. A process killed meanwhile leaves a hidden draft
    ``.<name>.<random>.part`` beside the file, nothing else; every other failure leaves nothing.
    """
    path = check_folder(path)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o666 & ~_umask())  # drafts are private, the file is as public as any other
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync(path.parent)
    return path


def remove_drafts(path: str | os.PathLike) -> None:
    """Remove what killed processes left of ``path``; nobody else may be writing it."""
    path = Path(path)
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk where the system knows how."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
