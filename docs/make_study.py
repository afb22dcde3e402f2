"""Make docs/pictures/study.png: the study's page on a screen and on a phone, comparing 8 and 2 sampling steps.

python docs/make_study.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser import Browser, wait_until
from processes import free_port

from ip2p_lightning import zoo
from ip2p_lightning.evaluation.preference_items import image_items
from ip2p_lightning.evaluation.prompts.run import PromptBenchmark
from ip2p_lightning.evaluation.prompts.systems import PipelineSystem
from ip2p_lightning.evaluation.prompts.world_prompts import world_prompts
from ip2p_lightning.serving.study.making import make_study

SHOWN = (
    "!document.getElementById('item').hidden && "
    "[...document.images].filter(i => i.offsetParent).every(i => i.naturalWidth)"
)


def main() -> None:
    """Make the images, serve the study, and look at its page."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        pipeline = zoo.load("text_to_image")
        systems = [PipelineSystem(f"{steps} steps", pipeline, steps, 1.5, height=64, width=64) for steps in (8, 2)]
        result = PromptBenchmark(world_prompts(3), systems, folder / "benchmark", samples=4).run()
        make_study(image_items(result, folder / "benchmark", 6, 0), folder / "study", catch=1)
        command = [
            sys.executable,
            "-m",
            "ip2p_lightning",
            "study",
            "serve",
            f"output={folder / 'study'}",
            f"port={port}",
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with Browser(folder / "profile") as browser:
                wait_until(lambda: answers(browser, port), process)
                browser.run("document.querySelector('#enter button').click()")
                browser.until(SHOWN)
                browser.press("ArrowLeft")
                shots = []
                for width, scheme in ((1280, "light"), (390, "dark")):
                    browser.look(width, scheme)
                    shots.append(Image.open(browser.screenshot(folder / f"{width}.png")).convert("RGB"))
        finally:
            process.kill()
        both = Image.new("RGB", (sum(shot.width for shot in shots) + 40, max(shot.height for shot in shots)), "#8a8378")
        both.paste(shots[0], (0, 0))
        both.paste(shots[1], (shots[0].width + 40, 0))
        both.resize((both.width // 2, both.height // 2), Image.Resampling.LANCZOS).save("docs/pictures/study.png")


def answers(browser: Browser, port: int) -> bool:
    """True if the server's page is there."""
    browser.open(f"http://127.0.0.1:{port}/")
    return browser.run("document.getElementById('enter') !== null")


if __name__ == "__main__":
    main()
