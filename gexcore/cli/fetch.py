"""``gexcore fetch``: a public source to the disk, or the list of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..sources import fetch, list_sources


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser(
        "fetch",
        help="bring a public cohort, network or collection of gene sets to the disk",
        description="Bring the files of a public source to the disk: resumed where it was cut, checked, never half.",
    )
    parser.set_defaults(command=_fetch)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("source", nargs="?", metavar="NAME", help="of --list")
    what.add_argument("--list", action="store_true", help="show what there is")
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="default: GEXCORE_DATA, else the cache of the system"
    )


def _fetch(options: argparse.Namespace) -> int:
    if options.list:
        columns = ["kind", "size", "checksum", "contacted", "licence", "what"]
        print(list_sources()[columns].rename_axis(None).to_string())
        return 0
    for path in fetch(options.source, folder=options.folder):
        print(path)
    return 0
