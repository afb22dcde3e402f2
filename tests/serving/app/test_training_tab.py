"""The tab that follows a training: losses, validation images and measures of a real run appear while it goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser

pytest.importorskip("gradio", reason="the extra `app` is not installed")
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.jobs.app import quiet
from ip2p_lightning.serving.app.session import Studio
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.queue import WorkQueue
from tests.serving.app.conftest import Server, shot

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),  # Gradio's counts of events
]
WORDS = [
    "experiment=ip2p/tiny",
    "stages.0.max_steps=100000",
    "trainer.check_val_every_n_epoch=null",
    "trainer.val_check_interval=10",
    "trainer.precision=32-true",
]
STEP = "Number(document.querySelector('#run').innerText.match(/step ([\\d,]+)/)?.[1].replace(',', '') ?? -1)"
IMAGES = "document.querySelectorAll('#validation img').length"


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Path]:
    """Folder of a run that goes on until the test ends."""
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "ip2p_lightning", "train", *WORDS, f"output_dir={folder}"]
    with (tmp_path / "log.txt").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        yield folder
        process.kill()


@pytest.fixture
def server(free_port: int, training: Path, editor: TrainedEditor) -> Iterator[Server]:
    quiet(free_port)
    found = Server(Studio(EditEngine(editor), WorkQueue(capacity=2), "tiny"), free_port, run=training)
    found.start()
    yield found
    found.stop()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light")])
def test_a_training_is_followed_while_it_goes_on(server: Server, tmp_path: Path, width: int, scheme: str) -> None:
    with Browser(tmp_path, width, scheme=scheme) as browser:
        browser.open(server.address)
        browser.wait("[...document.querySelectorAll('button[role=tab]')].some(b => b.innerText == 'Training')")
        browser.js("[...document.querySelectorAll('button[role=tab]')].find(b => b.innerText == 'Training').click()")
        browser.wait(f"{STEP} >= 10 && {IMAGES} >= 1", 120)
        first = browser.js(f"[{STEP}, {IMAGES}]")
        browser.wait(f"{STEP} > {first[0]} && {IMAGES} > {first[1]}", 60)  # of itself, without a click
        browser.wait("document.querySelector('#losses canvas, #losses svg')")
        browser.wait("document.querySelector('#measures canvas, #measures svg')")
        shot(browser, f"app-training-{width}-{scheme}")
        assert browser.js("document.documentElement.scrollWidth") <= width
