"""Tiny editors, and a service in a process of its own with OpenAI's client for it."""

from __future__ import annotations

import base64
import io
import logging
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from factories import IP2P, MGIE, seeing, tiny_module
from fastapi import FastAPI
from PIL import Image
from processes import start

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep, Step
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.serving.api import create_app
from ip2p_lightning.serving.drawing import DrawEngine
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.models import Models
from ip2p_lightning.serving.queue import WorkQueue
from ip2p_lightning.serving.server import address, bind, run
from ip2p_lightning.zoo.registry import load


def tiny_editor(config: Mapping[str, Any] = IP2P) -> TrainedEditor:
    """Four steps at 16 pixels; the same weights in every process."""
    torch.manual_seed(0)
    return TrainedEditor(seeing(tiny_module(config)), resolution=16, square=False, batch_size=4)


@pytest.fixture(scope="package")
def editor() -> TrainedEditor:
    return tiny_editor()


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    queue = WorkQueue(capacity=16)
    yield queue
    queue.close(0)


class Held(Editor):
    """Copies images once `go` is set, in as many steps as asked for; keeps the batches that it was given."""

    batch_size = 4

    def __init__(self) -> None:
        self.go, self.started = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        self.batches.append([request.instruction for request in requests])
        self.started.set()
        steps = requests[0].sampling.steps or 1
        for number in range(1, steps + 1):
            assert self.go.wait(20)
            if on_step is not None:
                on_step(Step(number, steps, tuple(range(len(requests)))))
        if any(request.instruction == "fail" for request in requests):
            raise RuntimeError("it broke")
        return [EditResult(request.image, request) for request in requests]


@pytest.fixture
def held() -> Held:
    return Held()


def picture(size: tuple[int, int] = (16, 16), seed: int = 0) -> Image.Image:
    noise = torch.rand(3, size[1], size[0], generator=torch.Generator().manual_seed(seed))
    return to_pil(noise * 2 - 1)


class Moody(Editor):
    """Does what it is told: "fail" fails, "fail once" fails the first time, "wait" takes four seconds."""

    batch_size = 4

    def __init__(self) -> None:
        self.failed = False

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        instruction = requests[0].instruction
        if instruction == "fail" or (instruction == "fail once" and not self.failed):
            self.failed = instruction == "fail once"
            raise RuntimeError(f"broke in {__file__}")
        for number in range(200 if instruction == "wait" else 1):
            time.sleep(0.02 if instruction == "wait" else 0)
            if on_step is not None:
                on_step(Step(number + 1, 200, tuple(range(len(requests)))))
        return [EditResult(request.image, request) for request in requests]


def serve(make: Callable[[], FastAPI], port: int = 0) -> AbstractContextManager[Running]:
    """A service in a process of its own; `make` is called there."""

    @contextmanager
    def running() -> Iterator[Running]:
        def work(taken: socket.socket) -> None:
            logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
            run(make(), taken, 5)

        with bind("127.0.0.1", port) as taken:
            url, log = address(taken), Path(tempfile.mkdtemp()) / "log.txt"
            process = start(work, log, given=(taken,))
        try:
            yield Running(url, process, log)
        finally:
            process.kill()
            process.join(10)
            shutil.rmtree(log.parent)

    return running()


@dataclass
class Running:
    """A service: where it is, its process, and what it prints."""

    url: str
    process: Any
    log: Path

    def client(self, retries: int = 0, **options: Any) -> openai.OpenAI:
        """OpenAI's own client."""
        return openai.OpenAI(
            base_url=f"{self.url}/v1", max_retries=retries, **{"api_key": "sk-nothing-in-particular", **options}
        )

    def health(self) -> dict[str, Any]:
        """What `/healthz` says."""
        return httpx.get(f"{self.url}/healthz").json()


@pytest.fixture(scope="package")
def mgie() -> TrainedEditor:
    return tiny_editor(MGIE)


@pytest.fixture(scope="package")
def service() -> Iterator[Running]:
    """The default edits in four steps, "mgie" writes, "moody" does what it is told, "world" draws."""

    def make() -> FastAPI:
        edits = {"tiny": tiny_editor(), "mgie": tiny_editor(MGIE), "moody": Moody()}
        engines = {name: EditEngine(editor) for name, editor in edits.items()}
        draws = {"world": DrawEngine(load("text_to_image"), 4, 1.5)}
        return create_app(Models(engines, draws), WorkQueue(capacity=8), hosts=("127.0.0.1",), timeout=20)

    with serve(make) as running:
        yield running


def png(image: Image.Image | None = None, mode: str = "RGB") -> tuple[str, bytes, str]:
    """An image as OpenAI's client takes it."""
    file = io.BytesIO()
    (image or picture((24, 16))).convert(mode).save(file, "PNG")
    return "photo.png", file.getvalue(), "image/png"


def decoded(text: str | None) -> Image.Image:
    """The image of base64."""
    return Image.open(io.BytesIO(base64.b64decode(text or "")))
