"""What is said about a public source: its files, its terms, who reads it, and what is awkward about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """One file of a source.

    Parameters
    ----------
    name : str
        What it is called on the disk.
    url : str
        Where it comes from.
    sha256 : str, optional
        Its checksum; None is recorded on first use.
    size : int, optional
        In bytes; None is learned from the server.
    also : tuple of str
        Names of the same file in older downloads.
    contacted : str, optional
        Date when the address last answered; None: never tried.
    """

    name: str
    url: str
    sha256: str | None = None
    size: int | None = None
    also: tuple[str, ...] = ()
    contacted: str | None = None


@dataclass(frozen=True)
class Source:
    """A cohort, network or collection of gene sets of the public: its files, its terms, and who reads it.

    ``parser`` takes the files (name to path) and gives an AnnData, a table of edges or gene sets, after ``kind``.
    """

    name: str
    kind: str
    what: str
    citation: str
    licence: str
    page: str
    awkward: str
    files: tuple[File, ...]
    parser: Callable

    @property
    def size(self) -> int | None:
        """Bytes of all files, None where one is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(sizes)
