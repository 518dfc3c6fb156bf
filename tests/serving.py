"""A web server on this machine that can break transfers in the ways real ones do."""

import hashlib
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Served:
    """Files by path, and how the server treats each: what tests set and look at.

    ``cuts`` are the bytes after which the next answers break off, ``statuses`` what is answered before the file is,
    ``ranges`` whether parts of files are served, ``shift`` how far off the next part is, ``pause`` the seconds after
    each 64 KB, ``seen`` the Range header of every request.
    """

    def __init__(self, url):
        self.url = url
        self.files, self.cuts, self.statuses, self.seen = {}, {}, {}, []
        self.shift, self.ranges, self.pause, self.kind = 0, True, 0.0, "application/octet-stream"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self):
        with suppress(ConnectionError):  # who asked has gone
            super().handle()

    def do_GET(self):
        served = self.server.served
        served.seen.append((self.path, self.headers.get("Range")))
        statuses = served.statuses.get(self.path, [])
        if statuses or self.path not in served.files:
            self.send_response(statuses.pop(0) if statuses else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = served.files[self.path]
        tag = f'"{hashlib.sha256(data).hexdigest()}"'
        start = 0
        if served.ranges and self.headers.get("Range") and self.headers.get("If-Range") == tag:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            start, served.shift = start + served.shift, 0
        if start and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", tag)
        self.send_header("Content-Type", served.kind)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cuts = served.cuts.get(self.path, [])
        if cuts:
            self.wfile.write(data[start : start + cuts.pop(0)])
            self.close_connection = True
        else:
            for first in range(start, len(data), 1 << 16):
                self.wfile.write(data[first : first + (1 << 16)])
                time.sleep(served.pause)

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """The server, for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.served = Served(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def served():
    with serving() as one:
        yield one
