"""The servers' part of `kills.py`: kill them while clients ask, start them again, and see what was lost or doubled.

Each server is a process of `python -m ip2p_lightning`, started at one port again and again. Clients are threads here:
each asks one request after another, and asks again where the connection broke, as browsers and OpenAI's client do.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

CLIENTS, STEPS = 3, 4
LIFE = 3.0  # most seconds between a server's first answer and its kill
PATIENCE = 300.0  # seconds within which each request is answered or breaks off
_PAUSE = 0.1

Ask = Callable[[int], Any]


def photo(number: int) -> bytes:
    """A small image as PNG, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (6, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


class Server:
    """A server that is killed and started again at one address.

    Args:
        words: of its command; "{port}" and "{out}" are filled in.
        folder: it works in; its temporary files go to `tmp` there.
    """

    def __init__(self, words: list[str], folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, verify=False)
        self.folder, self.log = folder, folder / "log"
        self.words = [word.format(port=port, out=folder / "out") for word in words]
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it answers."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ip2p_lightning", *self.words],
                cwd=self.folder,
                env=os.environ | {"TMPDIR": str(self.temporary)},
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and process.poll() is None:
            try:
                self.client.get("/")
                return process
            except httpx.TransportError:
                time.sleep(_PAUSE)
        process.kill()
        raise RuntimeError(f"the server does not start: {self.log.read_text()[-500:]}")

    def leftovers(self) -> list[str]:
        """Unfinished files, and temporary ones that an end does not remove."""
        left = [path for path in self.folder.rglob(".*") if path.is_file()]
        left += [path for path in self.temporary.rglob("*") if path.is_file()]
        return [f"left over: {path.relative_to(self.folder)}" for path in left]


class Clients:
    """Threads that ask request after request, each again until it has an answer.

    Args:
        ask: sends the request of a number and checks its answer; raises httpx.TransportError where the server is gone.
    """

    def __init__(self, ask: Ask) -> None:
        self.ask, self.answers = ask, dict[int, Any]()
        self.broken, self.faults = 0, list[str]()
        self._enough, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(first,), daemon=True) for first in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Let each have the answer to its last request."""
        self._enough.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            if thread.is_alive():
                self.faults.append("a client still waits")

    def _work(self, number: int) -> None:
        while not self._enough.is_set():
            try:
                self.answers[number] = self._answer(number)
            except Exception as error:
                self.faults.append(f"request {number}: {type(error).__name__}: {error}")
            number += CLIENTS

    def _answer(self, number: int) -> Any:
        while True:
            try:
                return self.ask(number)
            except httpx.TimeoutException:
                raise  # neither an answer nor an error
            except httpx.ConnectError:
                time.sleep(_PAUSE)  # between two lives
            except httpx.TransportError:
                with self._lock:
                    self.broken += 1


@contextmanager
def killed(server: Server, ask: Ask, kills: int, draw: random.Random, faults: list[str]) -> Iterator[Clients]:
    """Kill it so many times while clients ask; yields the clients, all answered, while its last life goes on."""
    clients = Clients(ask)
    for _ in range(kills):
        process = server.start()
        time.sleep(draw.uniform(0, LIFE))
        if process.poll() is not None:
            faults.append(f"ended by itself, exit {process.returncode}")
        process.kill()
        process.wait()
    process = server.start()
    try:
        clients.finish()
        yield clients
        process.send_signal(signal.SIGTERM)
        if code := process.wait(PATIENCE):
            faults.append(f"exit {code} after SIGTERM: {server.log.read_text()[-300:]}")
    finally:
        process.kill()
        process.wait()
    faults += clients.faults + server.leftovers()
    if not clients.broken:
        faults.append("no kill met a request")


def serve(kills: int, root: Path, draw: random.Random) -> tuple[str, list[str]]:
    """Kill `ip2p serve`; each request has one answer, its own: the same one when it is asked once more.

    Returns:
        What happened, and faults.
    """
    words = ["serve", "checkpoint=instruct_pix2pix", "device=cpu", "threads=1", "port={port}", "log=false"]
    server, faults = Server(words, root / "serve"), list[str]()

    def ask(number: int) -> np.ndarray:
        data = {"prompt": "make it winter", "seed": str(number), "num_inference_steps": str(STEPS)}
        files = {"image": ("a.png", photo(number), "image/png")}
        answer = server.client.post("/v1/images/edits", data=data, files=files)
        (one,) = answer.raise_for_status().json()["data"]
        assert one["seed"] == number, "an answer to another request"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(one["b64_json"]))).convert("RGB"), np.int16)

    with killed(server, ask, kills, draw, faults) as clients:
        furthest = max(int(np.abs(answer - ask(number)).max()) for number, answer in clients.answers.items())
    if furthest > 1:  # a request may share its batch with others
        faults.append(f"an answer differs by {furthest} of 255")
    return f"{len(clients.answers)} answers, {clients.broken} asked again", faults


def app(kills: int, root: Path, draw: random.Random) -> tuple[str, list[str]]:
    """Kill `ip2p app`; each choice that it confirmed is one whole record, and no choice has more records than presses.

    Returns:
        What happened, and faults.
    """
    words = ["app", "checkpoint=instruct_pix2pix", "device=cpu", "port={port}", "preferences={out}"]
    server, faults = Server(words, root / "app"), list[str]()
    pressed, kept = Counter[int](), Counter[int]()

    def ask(number: int) -> None:
        """A visitor edits an image and calls the edit good, as the page does it."""
        visitor = Visitor(server.client)
        image = visitor.upload(photo(number))
        visitor.press("go", [None, image, "make it winter", 7.5, 1.5, STEPS, number, 1, None])
        pressed[number] += 1  # by one thread alone
        status = visitor.press("good", [None])[-1]
        assert status == "Noted as good.", status

    with killed(server, ask, kills, draw, faults) as clients:
        pass
    for line in (server.folder / "out" / "preferences.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        kept[record["chosen"]["seed"]] += 1
        for name in (record["original"], record["chosen"]["image"]):
            if Path(name).stem != hashlib.sha256((server.folder / "out" / name).read_bytes()).hexdigest()[:24]:
                faults.append(f"{name} is not whole")
    for number in clients.answers:
        if not 1 <= kept[number] <= pressed[number]:
            faults.append(f"choice {number}: {kept[number]} records of {pressed[number]} presses")
    return f"{len(clients.answers)} choices, {kept.total()} records, {clients.broken} asked again", faults


class Visitor:
    """A browser's side of Gradio's protocol."""

    def __init__(self, client: httpx.Client) -> None:
        self.client, self.session = client, uuid.uuid4().hex[:11]
        config = client.get("/config").raise_for_status().json()
        ids = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        targets = [(act["id"], *target) for act in config["dependencies"] for target in act["targets"]]
        self.acts = {ids.get(part): act for act, part, event in targets if event == "click"}

    def upload(self, data: bytes) -> dict[str, Any]:
        """Send a file; returns what stands for it."""
        files = {"files": ("a.png", data, "image/png")}
        (path,) = self.client.post("/gradio_api/upload", files=files).raise_for_status().json()
        return {"path": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}

    def press(self, button: str, data: list[Any]) -> list[Any]:
        """Press a button; returns what the page then shows."""
        body = {"data": data, "fn_index": self.acts[button], "session_hash": self.session, "trigger_id": None}
        event = self.client.post("/gradio_api/queue/join", json=body).raise_for_status().json()["event_id"]
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                said = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if said.get("event_id") == event and said["msg"] == "process_completed":
                    assert said["success"], said
                    return said["output"]["data"]
        raise httpx.ReadError("the page ended before the act did")


SERVERS = {"serve": serve, "app": app}
