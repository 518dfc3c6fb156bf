"""One file per model, fitted or in training: tensors and JSON in safetensors, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FORMAT = 1  # raised when a reader of the old layout would misread the new one


def check_folder(path: str | os.PathLike) -> Path:
    """The path of a file that is to be written; refused where its folder does not exist."""
    path = Path(path)
    if not path.parent.is_dir():
        message = f"not saved: there is no folder {path.parent}"
        raise FileNotFoundError(message)
    return path


def write_checkpoint(
    path: str | os.PathLike, kind: str, tensors: Mapping[str, Tensor], config: Mapping, *, allow_nan: bool = False
) -> Path:
    """Write ``tensors`` and ``config`` (JSON values) to one file, replacing it in a single step; both keep every bit.

    Raises
    ------
    FloatingPointError
        A tensor holds NaN, and it is not allowed to: such a model is not worth keeping.
    """
    bad = [] if allow_nan else [name for name, t in tensors.items() if t.isnan().any()]
    if bad:
        message = f"not saved: {len(bad)} tensors hold NaN, first {bad[0]!r}"
        raise FloatingPointError(message)
    description = {"kind": kind, "format": FORMAT, "gexcore": version("gexcore"), "torch": torch.__version__}
    metadata = {
        name: json.dumps(value, default=lambda number: number.tolist())
        for name, value in {**description, "config": config}.items()
    }
    content = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)
    path = check_folder(path)
    umask = os.umask(0)
    os.umask(umask)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o666 & ~umask)  # drafts are private, a model file is as public as any other
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return path


def read_checkpoint(path: str | os.PathLike, kind: str) -> tuple[dict[str, Tensor], dict]:
    """Tensors and config of a file written by :func:`write_checkpoint` for the same ``kind`` of model.

    Raises
    ------
    ValueError
        Not a whole safetensors file, not written by gexcore, another kind of model, or a newer format.
    """
    metadata, tensors = _read(path)
    if metadata["kind"] != kind:
        message = f"{path} holds a {metadata['kind']} model, not {kind}"
        raise ValueError(message)
    return tensors, metadata["config"]


def read_kind(path: str | os.PathLike) -> str:
    """The kind of model that a file holds, refused as by :func:`read_checkpoint`."""
    return _read(path)[0]["kind"]


def _read(path: str | os.PathLike) -> tuple[dict, dict[str, Tensor]]:
    if not Path(path).is_file():
        message = f"no model file at {path}"
        raise FileNotFoundError(message)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, json.JSONDecodeError) as error:
        message = f"{path} is not a whole model file; it may be cut short or of another program"
        raise ValueError(message) from error
    kinds = {"kind": str, "format": int, "config": dict}
    if not all(isinstance(metadata.get(name), kind) for name, kind in kinds.items()):
        message = f"{path} is a safetensors file, but not one written by gexcore"
        raise ValueError(message)
    if metadata["format"] > FORMAT:
        message = f"{path} was written by gexcore {metadata['gexcore']}, a newer version; this one cannot read it"
        raise ValueError(message)
    return metadata, tensors
