"""A web server in front of an S3 server that passes everything on, and fails as object stores do when it is told to."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from object_store import Fault

_ERROR = (
    b"<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>"
)


class S3Front:
    """An S3 endpoint at ``url``; faults ("500", "half", "hang") meet the objects that are read.

    Args:
        server: URL of the real one.
    """

    def __init__(self, server: str) -> None:
        self.requests, self.fault = list[str](), _sound
        front, lock, address = self, threading.Lock(), server.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.split("?")[0].rsplit("/", 1)[-1]
                with lock:
                    front.requests.append(name)
                    fault = front.fault(name, front.requests.count(name))
                self._pass_on(fault)

            def do_HEAD(self) -> None:
                self._pass_on("")

            def _pass_on(self, fault: str) -> None:
                if fault == "hang":
                    time.sleep(1.5)
                if fault == "500":
                    self._send(500, {"Content-Type": "application/xml"}, _ERROR)
                    return
                behind = http.client.HTTPConnection(address)
                behind.request(self.command, self.path, headers=dict(self.headers))
                answer = behind.getresponse()
                headers = {key: value for key, value in answer.getheaders() if key.lower() != "connection"}
                self._send(answer.status, headers, answer.read(), half=fault == "half")
                behind.close()

            def _send(self, status: int, headers: dict[str, str], body: bytes, half: bool = False) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    if key.lower() not in ("content-length", "date", "server"):
                        self.send_header(key, value)
                self.send_header("Content-Length", headers.get("Content-Length", str(len(body))))
                self.end_headers()
                with suppress(ConnectionError):  # whoever asked did not wait
                    self.wfile.write(body[: len(body) // 2] if half else body)
                self.close_connection = half

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    fault: Fault

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


def _sound(name: str, count: int) -> str:
    return ""


@contextmanager
def s3_front(server: str) -> Iterator[S3Front]:
    """A running front of an S3 server."""
    front = S3Front(server)
    thread = threading.Thread(target=front.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        front.server.shutdown()
        front.server.server_close()
        thread.join()
