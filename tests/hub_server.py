"""A hub on this machine: repositories of one folder, by the protocol that huggingface_hub speaks, to read and to write.

Files of more than `SMALL` bytes come by Git LFS, as on the hub. Who writes needs the token `TOKEN`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of-a-writer"
SMALL = 10_000
PUBLIC = ".public"
"""File at the side of a repository's folder, `name.public`, that makes it public; others are private."""


class _Handler(BaseHTTPRequestHandler):
    """The requests of `huggingface_hub` that reading and uploading take."""

    root: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_PUT(self) -> None:
        (self.root / ".lfs").mkdir(exist_ok=True)
        (self.root / ".lfs" / self.path.rpartition("/")[2]).write_bytes(self._body())
        self._send(b"", True, {})

    def do_POST(self) -> None:
        path = self.path.split("?")[0].strip("/")
        self.asked.append(f"POST {path}")
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._missing("", 403)
        words = path.split("/")
        if path == "api/repos/create":
            return self._json(self._created(json.loads(body)))
        if "preupload" in words:
            listed = json.loads(body)["files"]
            modes = [(one["path"], "lfs" if one["size"] > SMALL else "regular") for one in listed]
            return self._json({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes]})
        if "lfs" in words:
            place = f"http://{self.headers['Host']}/lfs/"
            objects = [
                {**one, "actions": {"upload": {"href": place + one["oid"]}}} for one in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        if path == "api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        assert "commit" in words, path
        self._commit(self.root / "/".join(words[2:4]), [json.loads(line) for line in body.splitlines()])
        name = "/".join(words[2:4])
        return self._json(
            {"commitUrl": f"http://{self.headers['Host']}/{name}/commit/{REVISION}", "commitOid": REVISION}
        )

    def _created(self, asked_for: dict) -> dict:
        name = f"{asked_for.get('organization') or 'someone'}/{asked_for['name']}"
        (self.root / name).mkdir(parents=True, exist_ok=True)
        if not asked_for.get("private", asked_for.get("visibility") == "private"):
            (self.root / name).with_suffix(PUBLIC).touch()
        return {"url": f"http://{self.headers['Host']}/{name}", "name": name, "id": name}

    def _commit(self, folder: Path, lines: list[dict]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "deletedFile":
                (folder / value["path"]).unlink()
            if line["key"] not in ("file", "lfsFile"):
                continue
            (folder / value["path"]).parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "file":
                (folder / value["path"]).write_bytes(base64.b64decode(value["content"]))
            else:
                shutil.copy(self.root / ".lfs" / value["oid"], folder / value["path"])

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), True, {"Content-Type": "application/json"})

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0].strip("/")
        self.asked.append(path)
        words = path.split("/")
        if path == "api/whoami-v2":
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            return self._json({"type": "user", "name": "someone"}) if known else self._missing("", 401)
        if words[:2] == ["api", "models"]:
            folder = self.root / "/".join(words[2:4])
            files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
            names = [file.relative_to(folder).as_posix() for file in files]
            if not folder.is_dir():
                return self._missing("RepoNotFound")
            if "tree" in words:
                listed = [{"type": "file", "path": name, "size": 1, "oid": REVISION} for name in names]
                return self._send(json.dumps(listed).encode(), body, {"Content-Type": "application/json"})
            private = not folder.with_suffix(PUBLIC).exists()
            siblings = [{"rfilename": name} for name in names]
            info = {"id": "/".join(words[2:4]), "sha": REVISION, "siblings": siblings, "private": private}
            return self._send(json.dumps(info).encode(), body, {"Content-Type": "application/json"})
        file = self.root / "/".join(words[:2]) / "/".join(words[4:])
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

    def _missing(self, code: str, status: int = 404) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def hub(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve `root/owner/name/...`; gives the address, and the paths that were asked for."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"root": root, "asked": asked}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
