"""The study's server as raters meet it: concurrent, killed and started again, blind, and under hostile input."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np
import pytest
from browser import Browser, wait_until
from PIL import Image, PngImagePlugin
from processes import free_port

from ip2p_lightning.evaluation.preference import IMAGE_QUESTIONS, Item
from ip2p_lightning.evaluation.preference_answers import read_answers
from ip2p_lightning.serving.study.answers import export_answers
from ip2p_lightning.serving.study.app import make_app
from ip2p_lightning.serving.study.folder import ANSWERS, FILE, IMAGES, Study
from ip2p_lightning.serving.study.making import make_study

TestClient = pytest.importorskip("fastapi.testclient").TestClient
SYSTEMS = ("secretive", "telltale")


def told(image: Image.Image) -> Image.Image:
    """The image with a system's name wherever a file can hold one."""
    image.info |= {"Software": "telltale", "dpi": (72, 72), "icc_profile": b"telltale", "exif": b"telltale"}
    return image


def items(count: int = 8, edits: bool = False) -> list[Item]:
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for _ in range(count)]
    return [
        Item(
            pair=f"prompt {number}",
            instruction=f"a red house, number {number} </script><img src=x onerror=alert(1)>",
            original=noise[number] if edits else None,
            edits={"secretive": Image.new("RGB", (64, 48), (20 * number, 90, 60)), "telltale": told(noise[number])},
            category=("Colors", "Counting")[number % 2],
        )
        for number in range(count)
    ]


@contextmanager
def served(folder: Path, port: int) -> Iterator[subprocess.Popen]:
    """`ip2p study serve` as a process, until it is killed."""
    command = [sys.executable, "-m", "ip2p_lightning", "study", "serve", f"output={folder}", f"port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: answers_at(port), process)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def answers_at(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


class Simulated:
    """A rater without a browser, who sends an answer again until a reply comes, as the page does.

    Args:
        number: of the rater.
        port: of the server.
        stop: set when the test is over.
    """

    def __init__(self, number: int, port: int, stop: threading.Event) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.draw, self.stop, self.number = Random(number), stop, number
        self.given: dict[str, tuple[str, str]] = {}

    def ask(self, path: str, body: Any = None) -> httpx.Response:
        while not self.stop.is_set():
            try:
                return self.client.get(path) if body is None else self.client.post(path, json=body)
            except httpx.TransportError:
                self.stop.wait(0.1)
        raise RuntimeError("the test is over")

    def work(self) -> None:
        assert self.ask("/join", {"name": f"rater {self.number}"}).status_code == 204
        page = self.ask("/next").json()
        while page["item"]:
            for name in filter(None, page["item"]["images"].values()):
                assert self.ask(f"/images/{name}").status_code == 200
            sides = tuple(self.draw.choice(("left", "same", "right")) for _ in range(2))
            token = page["item"]["token"]
            reply = self.ask("/answer", {"item": token, "follows": sides[0], "looks": sides[1], "milliseconds": 9})
            assert reply.status_code == 200
            self.given[token] = sides
            page = reply.json()


@pytest.mark.browser
@pytest.mark.slow
def test_two_hundred_answers_of_twenty_raters_survive_a_killed_server(tmp_path: Path):
    """19 HTTP clients and a browser; the server gets SIGKILL amid them, and is started again."""
    folder, port, stop = tmp_path / "study", free_port(), threading.Event()
    study = make_study(items(), folder, catch=2)
    raters = [Simulated(number, port, stop) for number in range(19)]
    with Browser(tmp_path / "profile") as browser, ThreadPoolExecutor(19) as pool:
        try:
            with served(folder, port) as server:
                browser.open(f"http://127.0.0.1:{port}/")
                browser.until("!document.getElementById('join').hidden")
                browser.run("document.getElementById('name').value = 'browser'")
                browser.run("document.querySelector('#enter button').click()")
                press_through(browser, 3)
                work = [pool.submit(rater.work) for rater in raters]
                wait_until(lambda: sum(len(rater.given) for rater in raters) > 60, server)
                os.killpg(server.pid, signal.SIGKILL)
                server.wait(30)
            assert 60 < stored(folder) < 200, "the kill was to come amid the answers"
            for key in ("ArrowRight", "ArrowLeft", "Enter"):  # while there is no server
                browser.press(key)
            browser.until("!document.getElementById('notice').hidden")
            with served(folder, port):
                browser.until("document.getElementById('place').textContent == '5 of 10'")
                press_through(browser, 6)
                browser.until("!document.getElementById('end').hidden")
                for one in work:
                    one.result(timeout=120)
        finally:
            stop.set()
    with sqlite3.connect(folder / ANSWERS) as base:
        rows = base.execute("SELECT rater, item, follows, looks, name FROM answers, raters ON rater = token").fetchall()
    assert len(rows) == 200
    assert len({row[:2] for row in rows}) == 200
    found = {(name, study.token(rater, item)): (follows, looks) for rater, item, follows, looks, name in rows}
    for rater in raters:
        assert len(rater.given) == 10
        assert all(found[f"rater {rater.number}", token] == sides for token, sides in rater.given.items())
    browsers = [sides for (name, _), sides in found.items() if name == "browser"]
    assert sorted(browsers) == sorted([("left", "same")] * 9 + [("right", "left")])


def press_through(browser: Browser, count: int) -> None:
    """Answer so many items with the keyboard alone."""
    for _ in range(count):
        browser.until("!document.getElementById('item').hidden")
        place = browser.run("document.getElementById('place').textContent")
        browser.until("[...document.images].filter(i => i.offsetParent).every(i => i.complete && i.naturalWidth)")
        for key in ("ArrowLeft", "ArrowDown", "Enter"):
            browser.press(key)
        changed = f"document.getElementById('place').textContent != '{place}'"
        browser.until(f"!document.getElementById('end').hidden || {changed}")


def stored(folder: Path) -> int:
    with sqlite3.connect(folder / ANSWERS) as base:
        return base.execute("SELECT count(*) FROM answers").fetchone()[0]


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("edits", [False, True])
def test_the_page_fits_a_phone_and_a_screen_in_both_schemes(tmp_path: Path, edits: bool):
    folder, port = tmp_path / "study", free_port()
    make_study(items(edits=edits), folder, catch=0)
    check = """(() => { const e = document.documentElement;
      const texts = [...document.querySelectorAll("body *")].filter(t => t.offsetParent && t.textContent.trim());
      return {scroll: e.scrollWidth, width: innerWidth, broken: [...document.images].filter(
        i => i.offsetParent && !i.naturalWidth).length,
        small: Math.min(...texts.map(t => parseFloat(getComputedStyle(t).fontSize))),
        sides: ["left", "right"].map(id => document.getElementById(id).getBoundingClientRect()).map(
          box => [box.width, box.height, box.top])} })()"""
    with served(folder, port), Browser(tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.run("document.querySelector('#enter button').click()")
        browser.until("!document.getElementById('item').hidden")
        browser.until("[...document.images].filter(i => i.offsetParent).every(i => i.complete && i.naturalWidth)")
        for width in (390, 1280):
            for scheme in ("light", "dark"):
                browser.look(width, scheme)
                seen = browser.run(check)
                assert seen["scroll"] <= width, seen
                assert seen["broken"] == 0
                left, right = seen["sides"]
                assert left == pytest.approx(right, abs=0.1), "no side is larger or higher"
                assert seen["small"] >= 11
                if folder := os.environ.get("IP2P_SCREENSHOTS"):
                    browser.screenshot(Path(folder) / f"study-{width}-{scheme}.png")
        assert browser.run("document.querySelectorAll('img[src=x]').length") == 0, "prompts are text, not HTML"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A rater of a study in `tmp_path / "study"`."""
    make_study(items(), tmp_path / "study", catch=2)
    with TestClient(make_app(tmp_path / "study"), raise_server_exceptions=False) as client:
        client.post("/join", json={})
        yield client


def replies(client: httpx.Client) -> Iterator[httpx.Response]:
    """Everything that a rater ever gets."""
    for path in ("/", "/study.css", "/study.js", "/next", "/nothing", "/images/nothing.png"):
        yield client.get(path)
    page = client.get("/next").json()
    while page["item"]:
        for name in filter(None, page["item"]["images"].values()):
            yield client.get(f"/images/{name}")
        reply = client.post("/answer", json={"item": page["item"]["token"], "follows": "left", "looks": "same"})
        yield reply
        page = reply.json()


def test_nothing_that_a_rater_gets_names_or_tells_a_system(client: httpx.Client, tmp_path: Path):
    study = Study.open(tmp_path / "study")
    images: list[httpx.Response] = []
    for reply in replies(client):
        seen = reply.content + repr(reply.headers).encode() + str(reply.url).encode()
        for word in (*SYSTEMS, study.secret, study.name, "Colors", "Counting", "prompt "):
            assert word.encode() not in seen, f"{reply.url} tells {word}"
        if reply.headers.get("content-type") == "image/png":
            images.append(reply)
    assert len(images) == 2 * len(study.items)
    assert len({tuple(reply.headers.items()) for reply in images}) == 1, "headers do not differ"
    assert len({len(reply.content) for reply in images}) == 1, "sizes in bytes do not differ, though noise packs worse"
    for reply in images:
        with Image.open(io.BytesIO(reply.content)) as image:
            image.load()
            assert image.size == (64, 48)
            assert not image.info
        assert set(re.findall(rb"tEXt|iTXt|zTXt|iCCP|eXIf|pHYs|tIME|gAMA", reply.content)) == set()


def test_a_filled_up_image_keeps_its_pixels(tmp_path: Path):
    study = make_study(items(), tmp_path / "study", catch=0)
    by_pair = {item.pair: item for item in items()}
    for item in study.items:
        for system, name in zip(item.systems, item.images, strict=True):
            file = tmp_path / "study" / IMAGES / name
            assert isinstance(PngImagePlugin.PngImageFile(file), PngImagePlugin.PngImageFile)
            np.testing.assert_array_equal(np.asarray(Image.open(file)), np.asarray(by_pair[item.pair].edits[system]))


def test_sides_orders_and_names_differ_between_raters(tmp_path: Path):
    study = make_study(items(40), tmp_path / "study", catch=0)
    raters = [f"{number:032x}" for number in range(60)]
    left = np.array([[study.first_is_left(rater, item) for item in range(40)] for rater in raters])
    assert 0.45 < left.mean() < 0.55
    assert (np.abs(left.mean(0) - 0.5) < 0.35).all(), "no item prefers a side"
    assert len({tuple(study.plan(rater, {})) for rater in raters}) == 60
    assert len({study.token(rater, item) for rater in raters for item in range(40)}) == 60 * 40
    again = make_study(items(40), tmp_path / "again", catch=0)
    assert [study.first_is_left(raters[0], item) for item in range(40)] != [
        again.first_is_left(raters[0], item) for item in range(40)
    ], "sides cannot be worked out from what raters see"
    shown = [study.items[number].systems[not first] for number, first in enumerate(left[0])]
    assert 8 < sum(name == SYSTEMS[0] for name in shown) < 32


def test_each_rater_gets_what_few_have_and_every_catch_trial(tmp_path: Path):
    make_study(items(8), tmp_path / "study", catch=2, per_rater=4)
    app = make_app(tmp_path / "study")
    store, study = app.state.store, Study.open(tmp_path / "study")
    for number in range(10):
        token = f"{number:032x}"
        store.join(token, "", lambda seen, token=token: study.plan(token, seen))
        assert sum(study.items[item].catch for item in store.rater(token).items) == 2
    counts = np.bincount([item for number in range(10) for item in store.rater(f"{number:032x}").items], minlength=10)
    assert sorted(counts) == [5] * 8 + [10] * 2


HOSTILE = [
    (b"", 422),
    (b"{", 422),
    (b"[" * 4000, 400),
    (b'{"item": "' + b"0" * 24 + b'", "follows": "left", "looks": "left", "rater": "me"}', 422),
    (b'{"item": "' + b"0" * 24 + b'", "follows": "<script>", "looks": "left"}', 422),
    (b'{"item": "\' OR 1=1 --", "follows": "left", "looks": "left"}', 422),
    (b'{"item": "' + b"0" * 24 + b'", "follows": "left", "looks": "left"}', 404),
    (b'{"item": 1e999, "follows": null, "looks": NaN}', 422),
    (b"\xff\xfe\x00", 400),
    (b"x" * 5000, 413),
]


@pytest.mark.parametrize(("body", "status"), HOSTILE)
def test_hostile_answers_are_refused_and_leave_nothing(client: httpx.Client, tmp_path: Path, body: bytes, status: int):
    reply = client.post("/answer", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status
    assert len(reply.content) < 100, "what was sent is not sent back"
    assert stored(tmp_path / "study") == 0
    assert client.get("/next").status_code == 200


@pytest.mark.parametrize("path", ["/images/../study.json", "/images/..%2fstudy.json", "/study.json", "/images/%00"])
def test_no_file_of_the_study_is_served(client: httpx.Client, path: str):
    reply = client.get(path)
    assert reply.status_code == 404
    assert b"secret" not in reply.content


def test_strangers_and_other_sites_get_nothing(client: httpx.Client, tmp_path: Path):
    item = client.get("/next").json()["item"]
    answer = {"item": item["token"], "follows": "left", "looks": "left"}
    with TestClient(client.app) as stranger:  # type: ignore[attr-defined]
        assert stranger.get("/next").status_code == 401
        assert stranger.get(f"/images/{item['images']['left']}").status_code == 401
        assert stranger.post("/answer", json=answer).status_code == 401
        stranger.post("/join", json={})
        assert stranger.post("/answer", json=answer).status_code == 404, "items of other raters are unknown"
    text = {"content-type": "text/plain"}  # what a form of another site can send
    assert client.post("/answer", content=json.dumps(answer), headers=text).status_code in (415, 422)
    assert client.post("/answer", json=answer, headers={"origin": "https://evil.example"}).status_code == 403
    assert stored(tmp_path / "study") == 0


def test_names_are_bounded_and_harmless_and_raters_are_counted(tmp_path: Path):
    make_study(items(), tmp_path / "study", catch=0)
    app = make_app(tmp_path / "study", most_raters=2)
    names = ["=HYPERLINK(1)", "\x1b[31m'); DROP TABLE answers; --"]
    for name in names:
        with TestClient(app) as client:
            assert client.post("/join", json={"name": "x" * 81}).status_code == 422
            assert client.post("/join", json={"name": name}).status_code == 204
            token = client.get("/next").json()["item"]["token"]
            client.post("/answer", json={"item": token, "follows": "left", "looks": "right"})
    with TestClient(app) as client:
        assert client.post("/join", json={}).status_code == 403
    written = export_answers(tmp_path / "study")
    assert (written.count, written.raters) == (2, 2)
    text = written.answers.read_text()
    assert "'=HYPERLINK" in text
    assert "\x1b" not in text


def test_an_item_is_answered_once(client: httpx.Client, tmp_path: Path):
    token = client.get("/next").json()["item"]["token"]
    answer = {"item": token, "follows": "left", "looks": "same"}
    first, again = (client.post("/answer", json=answer) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json(), "what was sent again because its reply was lost is stored once"
    assert client.post("/answer", json=answer | {"looks": "left"}).status_code == 409
    assert stored(tmp_path / "study") == 1


def test_answers_read_back_as_the_raters_gave_them(tmp_path: Path):
    """Raters who always choose one system, whichever side it is on, and one who chooses left and fails the trials."""
    study = make_study(items(), tmp_path / "study", catch=3)
    app = make_app(tmp_path / "study")
    better = {(item.images[0] if item.systems[0] in ("secretive", "right") else item.images[1]) for item in study.items}
    for rater in ("anna", "bo", "lazy"):
        with TestClient(app) as client:
            client.post("/join", json={"name": rater})
            page = client.get("/next").json()
            while page["item"]:
                side = "left" if rater == "lazy" or page["item"]["images"]["left"] in better else "right"
                answer = {"item": page["item"]["token"], "follows": side, "looks": "same" if rater == "lazy" else side}
                page = client.post("/answer", json=answer).json()
    written = export_answers(tmp_path / "study", least_caught=0.8)
    assert (written.raters, written.left_out, written.count) == (3, 1, 16)
    found = read_answers(written.key, [written.answers])
    for question in IMAGE_QUESTIONS:
        rows = found.choices[question]
        assert len(rows) == 16
        assert {(c.first if c.choice == "first" else c.second) for c, _ in rows} == {"secretive"}
        assert {category for _, category in rows} == {"Colors", "Counting"}
        assert {c.rater for c, _ in rows} == {"anna", "bo"}


def test_a_study_is_made_once_and_is_private(tmp_path: Path):
    make_study(items(), tmp_path / "study", catch=1)
    assert (tmp_path / "study" / FILE).stat().st_mode & 0o077 == 0
    assert (tmp_path / "study").stat().st_mode & 0o077 == 0
    with pytest.raises(ValueError, match=r"study\.json is there already"):
        make_study(items(), tmp_path / "study", catch=1)
    with pytest.raises(ValueError, match="two systems"):
        make_study([], tmp_path / "other")
    (tmp_path / "study" / FILE).write_text('{"items": 3}')
    with pytest.raises(ValueError, match="holds something else"):
        Study.open(tmp_path / "study")
