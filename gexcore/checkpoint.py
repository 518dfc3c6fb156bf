"""One file per model, fitted or in training: tensors and JSON in safetensors, written whole or not at all.

The same content gives the same bytes. A checksum over all of it tells a file that was damaged or edited from the one
that was written, which safetensors alone does not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .files import write_file

FORMAT = 1  # raised when a reader of the old layout would misread the new one
_KEY = "gexcore"  # the one entry of the file's metadata: of several the order would differ between two writings


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
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    description = {"kind": kind, "format": FORMAT, "gexcore": version("gexcore"), "torch": torch.__version__}
    description |= {"config": _as_json(config)}
    description |= {"checksum": _checksum(description, tensors)}
    return write_file(path, save(tensors, {_KEY: json.dumps(description)}))


def read_checkpoint(path: str | os.PathLike, kind: str) -> tuple[dict[str, Tensor], dict]:
    """Tensors and config of a file written by :func:`write_checkpoint` for the same ``kind`` of model.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not a whole safetensors file, not written by gexcore, another kind of model, a newer format, or other bytes than
        were written.
    """
    description, tensors = _read(path, whole=True)
    if description.pop("checksum", None) != _checksum(description, tensors):
        message = f"{path} is not what gexcore wrote: it is damaged or was edited; take a copy of it, or train again"
        raise ValueError(message)
    if description["kind"] != kind:
        message = f"{path} holds a {description['kind']} model, not {kind}"
        raise ValueError(message)
    return tensors, description["config"]


def read_kind(path: str | os.PathLike) -> str:
    """The kind of model that a file says it holds; what is no model file is refused as by :func:`read_checkpoint`."""
    return _read(path, whole=False)[0]["kind"]


def _read(path: str | os.PathLike, *, whole: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not Path(path).is_file():
        message = f"no model file at {path}"
        raise FileNotFoundError(message)
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()} if whole else {}  # noqa: SIM118 (no mapping)
    except (SafetensorError, json.JSONDecodeError) as error:
        message = f"{path} is not a whole model file; it may be cut short or of another program"
        raise ValueError(message) from error
    kinds = {"kind": str, "format": int, "config": dict}
    known = description if isinstance(description, dict) else {}
    if not all(isinstance(known.get(name), kind) for name, kind in kinds.items()):
        message = f"{path} is a safetensors file, but not one written by gexcore"
        raise ValueError(message)
    if known["format"] > FORMAT:
        message = f"{path} was written by gexcore {known.get('gexcore')}, a newer version; this one cannot read it"
        raise ValueError(message)
    return known, tensors


def _as_json(config: Mapping) -> dict[str, Any]:
    """As a file gives it back: numbers of numpy become plain ones, tuples lists, keys text."""
    return json.loads(json.dumps(config, default=lambda number: number.tolist()))


def _checksum(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    layout = {name: [str(t.dtype), list(t.shape)] for name, t in sorted(tensors.items())}
    digest = hashlib.blake2b(json.dumps([description, layout]).encode(), digest_size=16)
    for name in layout:
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
