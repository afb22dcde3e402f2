"""The page "From your photos to an editor", command by command, with few steps."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHORT = {
    "train": [
        "stages.0.max_steps=3",
        "trainer.val_check_interval=3",
        "callbacks.pictures.count=1",
        "~callbacks.summary",
    ],
    "evaluate": ["count=2", "show=1", "intervals.resamples=20"],
}


def page_commands() -> list[list[str]]:
    """The words of each `ip2p` command of the page."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", (DOCS / "your_photos.md").read_text(encoding="utf-8"), re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("ip2p ")]


@pytest.mark.slow
def test_from_photos_to_an_editor(ip2p, tmp_path: Path):
    spec = importlib.util.spec_from_file_location("make_your_photos", DOCS / "make_your_photos.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    images = script.photographs(None, 20)
    for image in images:
        image.thumbnail((96, 96))
    script.make(tmp_path / "photos", images)
    commands = page_commands()
    assert 9 <= len(commands) <= 20
    printed = [ip2p(*words, *SHORT.get(words[0], [])) for words in commands]
    assert "80 pairs (test 8, train 64, validation 8) in data/mine" in printed[0]
    assert "no validation pairs" not in printed[0]
    kinds = {line.split(": ")[1] for line in printed[3].splitlines() if line.startswith("  IMG")}
    assert kinds <= {"small"}, printed[3]
    with Image.open(tmp_path / "dusk.png") as dusk, Image.open(tmp_path / "photos/IMG 0001.jpg") as original:
        assert dusk.size == original.size
    assert (tmp_path / "film.png").is_file()
    assert (tmp_path / "measured/report.html").is_file()
    assert (tmp_path / "my_editor/model_index.json").is_file()
