"""A small web server of a folder that knows ranges, and fails in the ways object stores do when it is told to."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[[str, int], str]
"""(file name, how often it was asked for) -> "", "500", "half" (an answer cut short), "short" (one that claims to be
complete), "flip" (one with a wrong bit), "hang" or "404"."""


class ObjectStore:
    """Files of a folder at ``url``; ``requests`` are the names asked for, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.requests = folder, list[str]()
        self.fault: Fault = lambda name, count: ""
        store, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                with lock:
                    store.requests.append(name)
                    fault = store.fault(name, store.requests.count(name))
                self._answer(body=True, fault=fault)

            def _answer(self, body: bool, fault: str = "") -> None:
                file = store.folder / self.path.lstrip("/")
                if fault == "hang":
                    time.sleep(1.0)
                if fault == "500" or fault == "404" or not file.is_file():
                    self.send_response(500 if fault == "500" else 404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                data, size = file.read_bytes(), file.stat().st_size
                if wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
                    start, end = int(wanted[1]), min(int(wanted[2]) + 1, size)
                    if start >= size:
                        self.send_response(416)
                        self.send_header("Content-Length", "0")
                        self.end_headers()
                        return
                    data = data[start:end]
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
                else:
                    self.send_response(200)
                if fault == "short":
                    data = data[: len(data) // 2]
                if fault == "flip":
                    data = bytes([data[0] ^ 1]) + data[1:]
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Accept-Ranges", "bytes")
                self.end_headers()
                if body:
                    self.wfile.write(data[: len(data) // 2] if fault == "half" else data)
                self.close_connection = fault == "half"

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """A running store of a folder."""
    store = ObjectStore(folder)
    thread = threading.Thread(target=store.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        store.server.shutdown()
        store.server.server_close()
        thread.join()
