"""Broken files, a small function per kind: what it makes of the text of a good file, and what has to be said of it."""

from . import another_kind, characters, contents, names, other_files
from .kinds import FILE_NAMES, GENES, KINDS, SAMPLES, good_files

__all__ = [
    "FILE_NAMES",
    "GENES",
    "KINDS",
    "SAMPLES",
    "another_kind",
    "characters",
    "contents",
    "good_files",
    "names",
    "other_files",
]
