"""``gexcore fetch``: a public source to the disk, or the list of them."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from pathlib import Path
from typing import NamedTuple

from ..sources import fetch, list_sources


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser(
        "fetch",
        help="bring a public cohort, network or collection of gene sets to the disk",
        description="Bring the files of a public source to the disk: resumed where it was cut, checked, never half.",
    )
    parser.set_defaults(command=_fetch, interrupted="what has arrived is kept, and the same command goes on")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("source", nargs="?", metavar="NAME", help="of --list")
    what.add_argument("--list", action="store_true", help="show what there is")
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="default: GEXCORE_DATA, else the cache of the system"
    )


def _fetch(options: argparse.Namespace) -> int:
    if options.list:
        print("\n".join(_entry(source) for source in list_sources().reset_index().itertuples()))
        return 0
    for path in fetch(options.source, folder=options.folder):
        print(path)
    return 0


def _entry(source: NamedTuple) -> str:
    """A source in lines that fit the terminal."""
    wrapper = textwrap.TextWrapper(min(shutil.get_terminal_size().columns, 100) - 1, subsequent_indent="    ")
    facts = f"    Size {source.size}; checksums {source.checksum}; contacted {source.contacted}; {source.licence}."
    return "\n".join(wrapper.fill(text) for text in (f"{source.name} ({source.kind}): {source.what}.", facts))
