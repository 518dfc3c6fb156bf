"""The folder a command writes: it appears whole, with a record of how it was made, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..bench import this_run
from ..files import sync
from ..tables import sha256

_INPUTS = ("expression", "clinical", "tasks", "gene_table", "gene_sets", "shared_with", "network", "model_file")


def check_output(folder: Path) -> Path:
    """The folder that is to be written.

    Raises
    ------
    OSError
        It holds something already, or stands where nothing can be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        message = f"--out {folder} is there already and not empty: name another folder"
        raise FileExistsError(message)
    parent = folder.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        what = "cannot be written to" if parent.is_dir() else "does not exist"
        message = f"--out {folder}: the folder {parent} {what}"
        raise FileNotFoundError(message)
    return folder


def record(options: Namespace, counts: Mapping[str, Any]) -> dict[str, Any]:
    """How a command was run: versions, command, machine, date, seed, counts, notes and the files it read."""
    paths = [path for name in _INPUTS if (path := getattr(options, name, None)) is not None]
    return {
        **this_run(),
        "command": options.written_as,
        "seed": getattr(options, "seed", None),
        "counts": dict(counts),
        "notes": list(options.notes),
        "inputs": {str(path): sha256(path) for path in paths},
    }


def write_folder(
    folder: Path,
    *,
    tables: Mapping[str, pd.DataFrame],
    texts: Mapping[str, str],
    run: Mapping[str, Any],
    save: Mapping[str, Callable[[Path], None]] | None = None,
) -> None:
    """Write all files of a command beside the folder and give them its name in the last step.

    They are on the disk before that. A process killed meanwhile leaves a hidden draft ``.<name>.<random>.part`` beside
    the folder, which may be deleted; every other failure leaves nothing.

    Parameters
    ----------
    folder : Path
        As :func:`check_output` allowed it.
    tables, texts, save : mapping
        File name to a table (with its index, numbers of six digits), to a text, or to what writes it.
    run : mapping
        What ``run.json`` says; the checksums of all other files join it.
    """
    # Random, because a command in a container has the process id of the one that was killed before it.
    unique = tempfile.mkdtemp(dir=folder.absolute().parent, prefix=f".{folder.name}.", suffix=".part")
    draft = Path(unique, folder.name)
    draft.mkdir()  # with the permissions of any folder, which the draft around it has not
    try:
        for name, table in tables.items():
            table.to_csv(draft / name, lineterminator="\n", float_format="%.6g")
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8")
        for name, write in (save or {}).items():
            write(draft / name)
        sums = {path.name: sha256(path) for path in sorted(draft.iterdir())}
        text = json.dumps({**run, "outputs": sums}, indent=1, default=str)
        (draft / "run.json").write_text(text + "\n", encoding="utf-8")
        for path in (*draft.iterdir(), draft):
            sync(path)
        if folder.exists():
            folder.rmdir()  # it is empty
        draft.rename(folder)
        sync(folder.absolute().parent)
    finally:
        shutil.rmtree(unique)
