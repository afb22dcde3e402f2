"""The page on a real server in a thread, and what a visitor does with it."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from chromium import Browser

from ip2p_lightning.serving.app.session import Session, Studio
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.reading import scene_of_words

SHOTS = os.environ.get("IP2P_SCREENSHOTS")
"""Folder for screenshots of docs/app.md."""


@dataclass
class Server:
    """A server in a thread."""

    studio: Studio
    port: int
    run: Path | None = None
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def session(self) -> Session:
        (found,) = [session for session in self.studio.sessions if session.talk is not None]
        return found

    def start(self) -> None:
        from ip2p_lightning.serving.app.page import page, served

        config = uvicorn.Config(served(page(self.studio, self.run)), port=self.port, log_level="error", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.02)

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(30)
        self.studio.queue.close(timeout=1)


@pytest.fixture(scope="package")
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def castle(tmp_path: Path) -> Path:
    draw(scene_of_words("a red castle by the sea on a clear summer day"), 128).save(tmp_path / "castle.png")
    return tmp_path / "castle.png"


def begin(browser: Browser, server: Server, file: Path) -> None:
    browser.open(server.address)
    browser.upload("#upload input[type=file]", file)
    browser.says("#status", "Say what to change")


def edit(browser: Browser, words: str, says: str) -> None:
    browser.write("#say textarea", words)
    browser.click("#go")
    browser.says("#status", says)


def shot(browser: Browser, name: str) -> None:
    if SHOTS:
        time.sleep(1)
        browser.screenshot(Path(SHOTS) / f"{name}.png")
