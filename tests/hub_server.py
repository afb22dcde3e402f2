"""A hub on this machine: repositories of one folder, by the protocol that huggingface_hub speaks."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve `root/owner/name/...`; gives the address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *arguments: object) -> None:
            pass

        def _answer(self, body: bool) -> None:
            path = self.path.split("?")[0].strip("/")
            asked.append(path)
            words = path.split("/")
            if words[:2] == ["api", "models"]:
                folder = root / "/".join(words[2:4])
                files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
                names = [file.relative_to(folder).as_posix() for file in files]
                if not files:
                    return self._missing("RepoNotFound")
                if "tree" in words:
                    listed = [{"type": "file", "path": name, "size": 1, "oid": REVISION} for name in names]
                    return self._send(json.dumps(listed).encode(), body, {"Content-Type": "application/json"})
                info = {"id": "/".join(words[2:4]), "sha": REVISION, "siblings": [{"rfilename": n} for n in names]}
                return self._send(json.dumps(info).encode(), body, {"Content-Type": "application/json"})
            file = root / "/".join(words[:2]) / "/".join(words[4:])
            if not file.is_file():
                return self._missing("EntryNotFound")
            data = file.read_bytes()
            tag = hashlib.sha1(data).hexdigest()
            return self._send(data, body, {"ETag": f'"{tag}"', "X-Repo-Commit": REVISION})

        def _send(self, data: bytes, body: bool, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def _missing(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
