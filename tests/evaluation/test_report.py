"""The page is one safe file: no script, no address, everything escaped; and it fits a phone."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.evaluation import EvaluationResult
from ip2p_lightning.evaluation.curves import Curve
from ip2p_lightning.evaluation.report import Command, Report, TrainingRun, data_url, render_report, words, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=5000",
    "--window-size=1300,900",
    "--dump-dom",
]


@pytest.fixture(scope="module")
def report(scene_result: EvaluationResult, photo_result: EvaluationResult) -> Report:
    steps = tuple(range(0, 200, 10))
    curve = Curve("editing loss", steps, tuple(1 / (1 + step) for step in steps))
    return Report(
        title="Edit by <saying> so & more",
        lede="A short paragraph.",
        results=[scene_result, photo_result],
        runs=[TrainingRun("InstructPix2Pix", "Twenty points.", [curve], 61)],
        phases=[("render pairs", 3.2), ("train", 61.0)],
        machine="2 cores",
        settings={"seed": 0},
        commands=[Command("Edit", 'ip2p edit instruction="make it winter"')],
    )


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_report(report)


class Tags(HTMLParser):
    """Start tags and their attributes, and whether every tag that needs it is closed in order."""

    VOID = frozenset({"meta", "link", "img", "br", "line", "path", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_well_formed_without_scripts_or_addresses(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    names = {name for name, _ in tags.seen}
    assert not names & {"script", "iframe", "object", "embed", "form"}
    for name, attributes in tags.seen:
        for key in ("src", "href", "srcset", "action"):
            if key in attributes:
                assert (attributes[key] or "").startswith("data:"), (name, key)
        assert not any(key.startswith("on") for key in attributes)
    assert "url(" not in page
    assert "@import" not in page


def test_pictures_are_the_examples(page: str, scene_result: EvaluationResult) -> None:
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(sources) == 3 * (8 + 6 + 4 + 2)
    first = Image.open(io.BytesIO(base64.b64decode(sources[0])))
    assert np.array_equal(np.asarray(first), np.asarray(scene_result.examples[0].original))


def test_texts_are_escaped(report: Report, scene_result: EvaluationResult) -> None:
    evil = replace(
        scene_result.examples[0], instruction="<img src=x onerror=alert(1)>", written_instruction="<b>hi</b> x"
    )
    result = EvaluationResult("a <set>", scene_result.rows, scene_result.metrics, [evil])
    page = render_report(replace(report, results=[result]))
    assert "<img src=x" not in page
    assert "<b>hi" not in page
    assert "Edit by &lt;saying&gt; so &amp; more" in page


def test_figures_of_the_page_are_those_of_the_result(page: str, scene_result: EvaluationResult) -> None:
    error = scene_result.figures["error"]
    assert f"<b>{error.ours.estimate:.1f}<small>" in page
    assert "What it cannot do yet" in page
    assert "1 min 1 s" in page
    assert "prefers-color-scheme: dark" in page


def test_a_report_of_nothing_but_a_title(tmp_path: Path) -> None:
    file = write_report(Report("Empty", "Nothing yet.", []), tmp_path / "new" / "report.html")
    assert "Nothing yet." in file.read_text()


def test_words_that_differ_are_marked() -> None:
    assert str(words("a red <tent> now", "a blue <tent> now")) == "a <mark>red</mark> &lt;tent&gt; now"
    assert str(words("same", "same")) == "same"
    assert str(words("", "something")) == ""


def test_large_pictures_are_shrunk() -> None:
    picture = Image.open(io.BytesIO(base64.b64decode(data_url(Image.new("RGB", (2000, 1000))).split(",")[1])))
    assert picture.size == (384, 192)


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_fits_the_screen_and_loads_its_pictures(page: str, width: int, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on the path; install it to run this test")
    inner = html.escape(page)  # in a frame, because a headless window cannot be as narrow as a phone
    probe = tmp_path / "probe.html"
    probe.write_text(
        f'<body><iframe id="frame" style="border:0;width:{width}px;height:800px" srcdoc="{inner}"></iframe><script>'
        "onload = () => { const d = frame.contentDocument, e = d.documentElement, images = [...d.images];"
        'document.body.innerHTML = "<p id=probe>" + JSON.stringify({scroll: e.scrollWidth, client: e.clientWidth,'
        "images: images.length, broken: images.filter(i => !i.naturalWidth).length,"
        "height: e.scrollHeight}) + '</p>' }</script>"
    )
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", probe.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<p id="probe">(.*?)</p>', dom)
    assert found, dom[:500]
    measured = json.loads(found.group(1))
    assert measured["client"] == width
    assert measured["scroll"] <= width
    assert measured["images"] == 60
    assert measured["broken"] == 0
    assert measured["height"] > 1000
