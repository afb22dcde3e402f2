"""A headless Chromium, driven by its DevTools protocol: what a visitor does to a page, and what the page then shows."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import pytest
from browser import CHROMIUM, FLAGS
from websockets.sync.client import connect

_ONE_SHOT = ("--virtual-time-budget", "--dump-dom", "--window-size")


class Browser:
    """One page of a browser of its own; skips without one.

    Args:
        folder: for the browser's files.
        width, height: of the window in CSS pixels.
        scheme: "light" or "dark".
    """

    def __init__(self, folder: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        if CHROMIUM is None:
            pytest.skip("no chromium on the path; install it to run this test")
        profile = folder / f"profile-{width}-{scheme}"
        flags = [flag for flag in FLAGS if not flag.startswith(_ONE_SHOT)]
        command = [CHROMIUM, *flags, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = profile / "DevToolsActivePort"
        _until(lambda: port_file.is_file() and port_file.read_text().count("\n") > 0, "the browser did not start")
        port = port_file.read_text().splitlines()[0]
        found: list[dict[str, Any]] = []
        _until(lambda: found.extend(_pages(port)) or found, "the browser has no page")
        self._stack = ExitStack()
        wire = connect(found[0]["webSocketDebuggerUrl"], max_size=None, open_timeout=60)
        self._socket = self._stack.enter_context(wire)
        self._number = 0
        self.requests: list[str] = []
        """Addresses that the page asked for."""
        for domain in ("Page", "Runtime", "Network", "DOM"):
            self.send(f"{domain}.enable")
        self.resize(width, height)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._process.terminate()
        self._process.wait(30)

    def send(self, method: str, **values: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": values}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def resize(self, width: int, height: int) -> None:
        phone = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)

    def js(self, expression: str) -> Any:
        """The value of an expression."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until an expression is true."""
        _until(lambda: self.js(f"Boolean({condition})"), condition, seconds, self)

    def text(self, selector: str) -> str:
        return self.js(f"document.querySelector({selector!r})?.innerText ?? ''")

    def says(self, selector: str, words: str, seconds: float = 60) -> None:
        """Until an element's text holds some words."""
        self.wait(f"document.querySelector({selector!r})?.innerText.includes({words!r})", seconds)

    def click(self, selector: str) -> None:
        """Press what is there, once it can be pressed."""
        self.wait(f"(e => e && !e.disabled)(document.querySelector({selector!r}))")
        self.js(f"document.querySelector({selector!r}).click()")

    def write(self, selector: str, words: str) -> None:
        """Type into a field, in place of what is there."""
        self.wait(f"document.querySelector({selector!r})")
        self.js(
            f"(e => {{ e.focus(); e.value = {words!r}; e.dispatchEvent(new Event('input', {{bubbles: true}})); "
            f"e.dispatchEvent(new Event('change', {{bubbles: true}})) }})(document.querySelector({selector!r}))"
        )

    def fill(self, selector: str, value: str, shown: str) -> None:
        """Write a value until another field shows it: a field that is just made does not listen yet."""
        end = time.monotonic() + 30
        while self.js(f"document.querySelector({shown!r})?.value") != value:
            assert time.monotonic() < end, f"{shown} does not become {value}"
            self.write(selector, value)
            time.sleep(0.1)

    def upload(self, selector: str, file: Path) -> None:
        self.wait(f"document.querySelector({selector!r})")
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place of an element and let go at another; places are shares of its sides."""
        self.js(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        left, top, width, height = self.js(
            f"(r => [r.left, r.top, r.width, r.height])(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        steps = [(start[0] + (end[0] - start[0]) * n / 8, start[1] + (end[1] - start[1]) * n / 8) for n in range(9)]
        places = [{"x": left + x * width, "y": top + y * height} for x, y in steps]
        mouse = {"button": "left", "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type="mousePressed", buttons=1, **mouse, **places[0])
        for place in places:
            self.send("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **place)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", buttons=0, **mouse, **places[-1])

    def screenshot(self, file: Path, whole: bool = True) -> Path:
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **options)["data"]))
        return file


def _pages(port: str) -> list[dict[str, Any]]:
    with urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
        return [page for page in json.load(answer) if page["type"] == "page"]


def _until(condition: Any, what: str, seconds: float = 60, browser: Browser | None = None) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            shown = browser.text("body")[:1500] if browser else ""
            raise AssertionError(f"not within {seconds:g} s: {what}\n{shown}")
        time.sleep(0.05)
