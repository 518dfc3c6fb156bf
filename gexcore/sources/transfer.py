"""One file over a network that breaks: resumed where it was cut, tried again after a while, never under its own name.

What has arrived stands beside the place of the file, its name with ``.part``; ``.part.tag`` beside it keeps what the
server calls this version of the file, so that a changed file is never glued to the rest of an older one.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import BinaryIO

import requests
import urllib3
from tqdm import tqdm

WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before another try, as long as nothing new arrives
_TIMEOUT = (10, 60)  # seconds to connect, seconds of silence
_BLOCK = 1 << 20


class NotFetchedError(ConnectionError):
    """A file could not be fetched; the text says why in a few words."""


class _BrokenError(Exception):
    """The transfer broke off and may be tried again."""


def transfer(url: str, part: Path, *, progress: bool) -> None:
    """Fetch ``url`` into ``part``, going on with what stands there already.

    Raises
    ------
    NotFetchedError
        The address answers with an error or a web page, or nothing arrives after several tries.
    OSError
        The disk has too little room.
    """
    waits = iter(WAITS)
    while True:
        before = _size(part)
        try:
            return _attempt(url, part, progress=progress)
        except (_BrokenError, requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            if _size(part) > before:
                waits = iter(WAITS)
            wait = next(waits, None)
            if wait is None:
                raise NotFetchedError(_reason(error)) from error
            time.sleep(wait)
        except requests.RequestException as error:
            message = f"{type(error).__name__}"
            raise NotFetchedError(message) from error


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the server is not accepted here"
    if isinstance(error, requests.exceptions.ProxyError):
        return "no connection by way of the proxy"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error) if isinstance(error, _BrokenError) else "the connection breaks off"


def _attempt(url: str, part: Path, *, progress: bool) -> None:
    tag = part.with_name(part.name + ".tag")
    have = _size(part) if tag.is_file() else 0
    headers = {"Accept-Encoding": "identity"}  # the bytes as they lie on the server
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text(encoding="utf-8")}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == 416:  # nothing beyond what is there: complete, or another file
            if answer.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            message = "the server has a shorter file"
            raise _BrokenError(message)
        _refuse(answer, url)
        if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            message = "the server sends another part of the file than the one asked for"
            raise _BrokenError(message)
        if answer.status_code != 206:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        _check_room(part.parent, (total or 0) - have)
        version = answer.headers.get("ETag", "")
        version = answer.headers.get("Last-Modified", "") if version.startswith("W/") or not version else version
        if not have:  # the old bytes go first: a process killed here never leaves them under the name of a new version
            part.write_bytes(b"")
            _keep(tag, version)
        with (
            part.open("ab", buffering=0) as file,
            tqdm(
                desc=part.name.removesuffix(".part"),
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
                disable=None if progress else True,
            ) as bar,
        ):
            for block in answer.raw.stream(_BLOCK, decode_content=False):
                _write(file, block)
                bar.update(len(block))
            os.fsync(file.fileno())
    if total is not None and _size(part) != total:
        message = f"cut off after {_size(part)} of {total} bytes"
        raise _BrokenError(message)


def _write(file: BinaryIO, block: bytes) -> None:
    try:
        while block:
            block = block[file.write(block) :]
    except OSError as error:  # the disk is full, or a quota used up
        message = f"{file.name}: {error.strerror.lower()}; what has arrived is kept, and the same command goes on"
        raise OSError(message) from error


def _refuse(answer: requests.Response, url: str) -> None:
    status = f"{answer.status_code} {answer.reason}".strip()
    if answer.status_code == 429 or answer.status_code >= 500:
        raise _BrokenError(status)
    if answer.status_code >= 400:
        message = f"{status}; has it moved?"
        raise NotFetchedError(message)
    if answer.headers.get("Content-Type", "").startswith("text/html") and not url.endswith((".html", ".htm")):
        message = "a web page answers instead of the file; has it moved?"
        raise NotFetchedError(message)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        message = (
            f"{folder} has room for {free / 1e9:.1f} GB, the file needs {needed / 1e9:.1f} GB more; name another "
            "folder (folder=, --folder or GEXCORE_DATA)"
        )
        raise OSError(message)


def _keep(tag: Path, version: str) -> None:
    """Without a name for its version a file is never resumed."""
    if version:
        tag.write_text(version, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
