"""What goes wrong on the page is said in a sentence, at each width and in each scheme; the page goes on after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from chromium import Browser
from PIL import Image

pytest.importorskip("gradio", reason="the extra `app` is not installed")
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep, Step
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.jobs.app import quiet
from ip2p_lightning.serving.app.session import Studio
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.queue import WorkQueue
from ip2p_lightning.zoo.registry import load
from tests.serving.app.conftest import Server, begin, edit, shot

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),  # Gradio's counts of events
]


class Held(TrainedEditor):
    """An editor that stops after each step while `go` is not set."""

    go = threading.Event()

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        def step(one: Step) -> None:
            if on_step is not None:
                on_step(one)
            assert self.go.wait(60)

        return super().edit_prepared(requests, step)


@pytest.fixture
def serve(free_port: int) -> Iterator[Callable[[], Server]]:
    """A function that starts the page, each time with a new studio at the same address."""
    quiet(free_port)
    started: list[Server] = []
    editor = load("instruct_pix2pix")
    Held.go.set()

    def start() -> Server:
        held = Held(editor.module, batch_size=1)
        started.append(Server(Studio(EditEngine(held), WorkQueue(capacity=2), "instruct_pix2pix"), free_port))
        started[-1].start()
        return started[-1]

    yield start
    Held.go.set()
    started[-1].stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A broken file, and one of 50 megapixels."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "broken.png").write_bytes(b"no image at all")
    Image.new("1", (7_100, 7_100)).save(folder / "huge.png")
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_what_goes_wrong_is_said(
    serve: Callable[[], Server], castle: Path, files: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    server = serve()
    with Browser(tmp_path, width, scheme=scheme) as browser:
        browser.open(server.address)
        browser.click("#go")
        browser.says("#status", "Choose an image first")
        shot(browser, f"app-no-image-{width}-{scheme}")
        browser.upload("#upload input[type=file]", files / "broken.png")
        browser.says("#status", "not a readable image")
        assert "/" not in browser.text("#status")
        shot(browser, f"app-broken-{width}-{scheme}")
        browser.wait("document.querySelector('#upload input[type=file]')")  # the field is empty again
        browser.upload("#upload input[type=file]", files / "huge.png")
        browser.says("#status", "50,410,000 pixels, more than the limit")
        shot(browser, f"app-huge-{width}-{scheme}")

        begin(browser, server, castle)
        browser.click("#go")
        browser.says("#status", "instruction is empty")
        shot(browser, f"app-no-instruction-{width}-{scheme}")
        edit(browser, "make it night", "1: make it night")

        Held.go.clear()
        pending = server.studio.queue.submit(server.studio.engine, [EditRequest(Image.new("RGB", (16, 16)), "x")] * 2)
        edit(browser, "make it winter", "The queue is full")
        shot(browser, f"app-full-{width}-{scheme}")
        Held.go.set()
        assert all(one.result(60) for one in pending)

        Held.go.clear()
        edit(browser, "make it winter", "step 1 of 1")
        browser.click("#cancel")
        browser.says("#status", "Cancelled; nothing was changed")
        shot(browser, f"app-cancelled-{width}-{scheme}")
        assert len(server.session.need().turns) == 1
        Held.go.set()
        edit(browser, "make it winter", "2: make it winter")

        server.stop()
        browser.click("#stronger")
        browser.wait("document.querySelector('.toast-body')?.innerText.includes('Connection')")
        shot(browser, f"app-gone-{width}-{scheme}")
        serve()
        browser.says("#status", "Choose an image, and say")  # the page has found the new server, and begins again
        shot(browser, f"app-restarted-{width}-{scheme}")
        browser.upload("#upload input[type=file]", castle)
        browser.says("#status", "Say what to change")
        edit(browser, "make it sepia", "1: make it sepia")
        assert browser.js("document.documentElement.scrollWidth") <= width
