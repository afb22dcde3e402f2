"""`ip2p serve app=true`: the page and the API in one process, on one queue, behind the same keys."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import pytest
from chromium import Browser

pytest.importorskip("gradio", reason="the extra `app` is not installed")
from ip2p_lightning.config import compose
from ip2p_lightning.jobs.serve import make_app
from ip2p_lightning.serving.keys import Keys
from tests.serving.app.conftest import edit, shot
from tests.serving.conftest import Running, png, serve

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),  # Gradio's counts of events
]
KEY = "0123456789abcdef"
WORDS = ["checkpoint=instruct_pix2pix", "text_to_image=text_to_image", "app=true", "threads=1", "precision=32-true"]


def images_made(running: Running) -> dict[str, float]:
    """Model -> number of images, as the service counts them."""
    lines = httpx.get(f"{running.url}/metrics", timeout=60).text.splitlines()
    found = [line.split('"') for line in lines if line.startswith("ip2p_images_total{")]
    return {words[1]: float(words[2].strip("} ")) for words in found}


def test_page_and_api_share_a_process_and_a_queue(free_port: int, castle: Path, tmp_path: Path) -> None:
    def make():
        return make_app(compose("serve", WORDS), Keys([KEY]), free_port)

    with serve(make) as running, Browser(tmp_path) as browser:
        assert httpx.post(f"{running.url}/v1/images/edits", timeout=60).status_code == 401
        assert httpx.get(f"{running.url}/app/config", timeout=60).status_code == 401
        assert httpx.get(f"{running.url}/app/", headers={"Host": "rebound.example"}, timeout=60).is_success
        browser.open(f"{running.url}/app/")
        for field, words in (("input[type=password]", KEY[:-1]), ("input[type=password]", KEY)):
            browser.write("input:not([type=password]), textarea", "Ada")
            browser.write(field, words)
            browser.click("button.primary, button.lg")
            browser.wait("document.querySelector('#upload') || document.body.innerText.includes('ncorrect')")
        browser.upload("#upload input[type=file]", castle)
        browser.says("#status", "Say what to change")
        edit(browser, "make it night", "1: make it night")
        browser.js(
            "[...document.querySelectorAll('button[role=tab]')].find(b => b.innerText == 'Text to image').click()"
        )
        browser.click("#make")
        browser.says("#image-status", "It can be edited")
        shot(browser, "app-text-to-image")
        browser.click("#image-use")
        browser.says("#status", "Say what to change")
        client = running.client(api_key=KEY)
        assert client.images.edit(image=png(), prompt="make it sepia").data
        assert images_made(running) == {"instruct_pix2pix": 2, "text_to_image": 1}
        os.kill(running.process.pid, signal.SIGTERM)  # while a page is open
        running.process.join(90)
        assert running.process.exitcode == 0, running.log.read_text()
