"""Pages as a reader gets them: their tags, and what a real browser makes of them on a phone and on a screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
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
    "--virtual-time-budget=5000",
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


def dom(page: Path, *flags: str) -> str:
    """The document that Chromium makes of a page once its scripts have run; skips without a browser."""
    if CHROMIUM is None:
        pytest.skip("no chromium on the path; install it to run this test")
    command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={page.parent / 'profile'}", page.as_uri()]
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
