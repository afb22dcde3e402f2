"""Pages as a reader gets them: their tags, and what a real browser makes of them on a phone and on a screen."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (390, 1280)
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
    "--window-size=1300,900",
    "--dump-dom",
]
CHECK = """
onload = () => {
  const shade = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(
      v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
  const solid = e => { for (; e; e = e.parentElement) { const c = e.ownerDocument.defaultView.getComputedStyle(e)
      .backgroundColor; if (!/, 0\\)$/.test(c)) return c } return "rgb(255, 255, 255)" };
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const d = frame.contentDocument, e = d.documentElement, images = [...d.images];
    const texts = [...d.body.querySelectorAll("*")].filter(t => t.offsetParent && !t.closest("svg") &&
      [...t.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
    const contrast = texts.map(t => { const a = shade(frame.contentWindow.getComputedStyle(t).color),
      b = shade(solid(t)); return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) });
    return {width: e.clientWidth, scroll: e.scrollWidth, images: images.length,
      broken: images.filter(i => !i.naturalWidth).length, height: e.scrollHeight, contrast: Math.min(...contrast),
      small: Math.min(...texts.map(t => parseFloat(frame.contentWindow.getComputedStyle(t).fontSize))),
      page: shade(frame.contentWindow.getComputedStyle(d.body).backgroundColor)} });
  document.body.innerHTML = "<p id=probe>" + JSON.stringify(found) + "</p>" }
"""


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


def dom(page: Path, *flags: str, budget: int = 5000) -> str:
    """The document that Chromium makes of a page once its scripts have run; skips without a browser.

    Args:
        page: the file.
        flags: of Chromium.
        budget: virtual milliseconds for the page's timers; 0 stops at the load event, as pages with web workers need,
            for which virtual time never passes.
    """
    if CHROMIUM is None:
        pytest.skip("no chromium on the path; install it to run this test")
    timers = [f"--virtual-time-budget={budget}"] if budget else []
    command = [CHROMIUM, *FLAGS, *timers, *flags, f"--user-data-dir={page.parent / 'profile'}", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


def seen_in_a_browser(page: str, scheme: str, folder: Path) -> list[dict[str, Any]]:
    """What Chromium says of a page at each of `WIDTHS`, after the checks that every page must pass; skips without one.

    Args:
        page: HTML.
        scheme: "light" or "dark".
        folder: for the browser's files.
    """
    frames = "".join(  # because a headless window cannot be as narrow as a phone
        f'<iframe style="border:0;width:{width}px;height:800px" srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    )
    probe = folder / "probe.html"
    probe.write_text(f'<meta name="color-scheme" content="light dark"><body>{frames}<script>{CHECK}</script>')
    dark = "--blink-settings=preferredColorScheme=" + ("0" if scheme == "dark" else "1")
    shown = dom(probe, dark)
    probed = re.search(r'<p id="probe">(.*?)</p>', shown)
    assert probed, shown[:500]
    seen = json.loads(probed.group(1))
    for width, found in zip(WIDTHS, seen, strict=True):
        assert found["width"] == width
        assert found["scroll"] <= width
        assert found["broken"] == 0
        assert found["contrast"] >= 4.5, "the least that WCAG 2 asks of small text"
        assert found["small"] >= 11
        assert (found["page"] < 0.05) == (scheme == "dark")
    return seen


class Browser:
    """A headless Chromium that is driven over its DevTools protocol; skips without one.

    Args:
        folder: for the browser's files.
    """

    def __init__(self, folder: Path) -> None:
        if CHROMIUM is None:
            pytest.skip("no chromium on the path; install it to run this test")
        client = pytest.importorskip("websockets.sync.client")
        keep = ("--virtual-time-budget", "--dump-dom")
        flags = [flag for flag in FLAGS if not flag.startswith(keep)]
        command = [CHROMIUM, *flags, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = folder / "DevToolsActivePort"
        wait_until(lambda: port_file.is_file() and len(port_file.read_text().split()) > 1, self.process)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as reply:
            page = next(entry for entry in json.load(reply) if entry["type"] == "page")
        self.stack = ExitStack()
        self.socket = self.stack.enter_context(client.connect(page["webSocketDebuggerUrl"], max_size=2**26))
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()
        self.process.terminate()
        self.process.wait(30)

    def send(self, method: str, **params: Any) -> Any:
        """A command of the protocol and its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == self.number:
                assert "error" not in message, message["error"]
                return message["result"]
            self.events.append(message)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true; returns its value."""
        wait_until(lambda: self.run(script), self.process)
        return self.run(script)

    def open(self, address: str) -> None:
        """Go to an address, and wait for the page."""
        self.send("Page.navigate", url=address)
        self.until("document.readyState == 'complete'")

    def press(self, key: str) -> None:
        """Press and release a key."""
        extra = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, **(extra if kind == "keyDown" else {}))

    def look(self, width: int, scheme: str) -> None:
        """Show the page at a width, in the light or the dark scheme."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 500
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, file: Path) -> Path:
        """Write what the page looks like, as PNG."""
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]))
        return file


def wait_until(done: Callable[[], Any], process: subprocess.Popen, seconds: float = 120) -> None:
    """Wait until something is true, as long as a process lives."""
    end = time.monotonic() + seconds
    while not done():
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
