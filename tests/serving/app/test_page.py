"""The page in a real browser, on a real server with a shipped model: the way through it. Failures: `test_failures`."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Browser
from PIL import Image

pytest.importorskip("gradio", reason="the extra `app` is not installed")
import ip2p_lightning as ip2p
from ip2p_lightning.jobs.app import quiet
from ip2p_lightning.serving.app.session import Studio
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.queue import WorkQueue
from tests.serving.app.conftest import Server, begin, edit, shot

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),  # Gradio's counts of events
]


@pytest.fixture
def server(free_port: int, tmp_path: Path) -> Iterator[Server]:
    quiet(free_port)
    editor = ip2p.load_editor("mgie", device="cpu")
    studio = Studio(EditEngine(editor), WorkQueue(capacity=4), "mgie", folder=tmp_path / "preferences")
    found = Server(studio, free_port)
    found.start()
    yield found
    found.stop()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_way_through_the_page(server: Server, castle: Path, tmp_path: Path, width: int, scheme: str) -> None:
    with Browser(tmp_path, width, scheme=scheme) as browser:
        begin(browser, server, castle)
        edit(browser, "make it night", "1: make it night")
        assert "night" in browser.js("document.querySelector('#written textarea').value")
        browser.click("#stronger")
        browser.says("#status", "strength 1.33")
        browser.click("#undo")
        browser.says("#status", "1: make it night, seed 0.")

        browser.click("#settings button")
        browser.fill("#count input[type=number]", "3", shown="#count input[type=range]")
        edit(browser, "make it winter", "3: make it winter")
        browser.wait("document.querySelectorAll('#gallery .thumbnail-item').length == 3")
        browser.js("document.querySelectorAll('#gallery .thumbnail-item')[1].click()")
        browser.says("#status", "you prefer this one")
        browser.click("#good")
        browser.says("#status", "Noted as good")
        shot(browser, f"app-{width}-{scheme}")
        lines = (tmp_path / "preferences" / "preferences.jsonl").read_text(encoding="utf-8").splitlines()
        assert [len(json.loads(line)["rejected"]) for line in lines] == [2, 0]

        browser.fill("#count input[type=number]", "1", shown="#count input[type=range]")
        browser.click("#region button")
        browser.wait("document.querySelector('#mask canvas')")
        time.sleep(1)  # the canvas is laid out
        browser.drag("#mask canvas", (0.35, 0.45), (0.45, 0.6))
        edit(browser, "make it sepia", "6: make it sepia")
        talk = server.session.need()
        turn = talk.turns[5]
        assert turn.mask is not None
        painted = np.asarray(turn.mask) > 0
        moved = np.abs(np.asarray(turn.image, np.int16) - np.asarray(turn.before, np.int16)).max(2) > 0
        assert 0 < painted.mean() < 0.5
        assert moved.any()
        assert not moved[~painted].any()
        shot(browser, f"app-mask-{width}-{scheme}")

        browser.click("#download")
        browser.wait("document.querySelectorAll('#files a[download]').length >= 3")
        links = browser.js("[...document.querySelectorAll('#files a[download]')].map(a => a.href)")
        fetched = {
            link.rpartition("/")[2]: bytes(
                browser.js(f"fetch({link!r}).then(r => r.arrayBuffer()).then(b => [...new Uint8Array(b)])")
            )
            for link in links
        }
        assert Image.open(io.BytesIO(fetched["edit.png"])).tobytes() == talk.image.tobytes()
        recipe = json.loads(fetched["recipe.json"])
        assert [one["instruction"] for one in recipe["edits"]] == ["make it night", "make it winter", "make it sepia"]
        assert recipe["commands"][0].startswith(
            "ip2p edit checkpoint=mgie image=original.png 'instruction=make it night'"
        )
        assert "conversation.json" in zipfile.ZipFile(io.BytesIO(fetched["conversation.zip"])).namelist()
        assert browser.js("document.documentElement.scrollWidth") <= width
        strange = [one for one in browser.requests if not one.startswith((server.address, "data:", "blob:"))]
        assert strange == []
