"""The site of docs/: built strictly, complete, and readable in a browser on a phone and on a screen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import WIDTHS, dom

import ip2p_lightning
from ip2p_lightning.jobs.guide import JOBS

ROOT = Path(__file__).resolve().parents[1]
PROBE = """<body>{frames}<script>onload = () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{ const d = frame.contentDocument;
    const broken = [...d.images].filter(i => !i.naturalWidth).length;
    return [frame.clientWidth, d.documentElement.scrollWidth, broken].join() }});
  document.body.innerHTML = "<p id=probe>" + found.join(" ") + "</p>" }}</script>"""

pytestmark = pytest.mark.slow  # mkdocs reads every docstring of the package


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_there_and_every_job_class_and_package_is_in_the_reference(site: Path):
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.with_suffix(".html").name.replace("README", "index")).is_file()
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert [job for job in JOBS if f"ip2p {job}" not in commands] == []
    front = (site / "reference" / "front_door.html").read_text(encoding="utf-8")
    assert [name for name in ip2p_lightning.__all__ if name not in front] == []
    assert "edit_prepared" in (site / "reference" / "editors.html").read_text(encoding="utf-8")


def test_every_page_of_docs_is_in_the_navigation():
    listed = re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted({page.name for page in (ROOT / "docs").glob("*.md")} - set(listed)) == []


@pytest.mark.browser
@pytest.mark.parametrize("page", ["index", "your_photos", "zoo", "reference/commands", "reference/editors"])
def test_a_page_fits_a_phone_and_a_screen_and_fetches_nothing(page: str, site: Path, tmp_path: Path):
    text = (site / f"{page}.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?|png)"', text) == []
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:800px" src="{(site / page).as_uri()}.html"></iframe>'
        for width in WIDTHS
    )
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.format(frames=frames), encoding="utf-8")
    shown = re.search(r'<p id="probe">(.*?)</p>', dom(probe, "--allow-file-access-from-files", budget=0))
    assert shown
    for width, found in zip(WIDTHS, shown[1].split(), strict=True):
        own, scroll, broken = map(int, found.split(","))
        assert (own, broken) == (width, 0)
        assert scroll <= width
