"""`ip2p export ... push=owner/name`: on a hub of this machine, and back by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import TOKEN, hub
from huggingface_hub import constants
from PIL import Image

import ip2p_lightning as ip2p_front
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.evaluate import ExampleSelection
from ip2p_lightning.interop.hub import Destination, HubError
from ip2p_lightning.interop.model_card import CardFacts, with_facts
from ip2p_lightning.metrics import L1

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # huggingface_hub's upload, of httpx


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str]]]:
    """A hub's folder of repositories and what was asked of it, for a user who is logged in."""
    with hub(tmp_path / "hub") as (address, asked):
        (tmp_path / "hub").mkdir()
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield tmp_path / "hub", asked


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    pairs = WorldSource(4, size=16, split="validation")
    kept = ExampleSelection(examples=2, worst=0)
    return evaluate(CopyInput(), pairs, {"error": L1(255)}, name="four scenes", kept=kept).save(tmp_path / "measured")


def test_a_pushed_model_comes_back_by_its_name(ip2p, checkpoint, store, evaluation, tmp_path):
    model = checkpoint("ip2p/tiny")
    words = ["export", f"checkpoint={model}", "push=someone/editor", f"evaluation={evaluation}", "licence=apache-2.0"]
    printed = ip2p(*words, "output=exported", "limits=[It knows no faces.]")
    pushed, _ = store
    assert printed.splitlines()[-1].endswith("/someone/editor")
    assert not (pushed / "someone" / "editor.public").exists()
    own, there = (
        {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (tmp_path / "exported", pushed / "someone" / "editor")
    )
    assert own == there
    assert len(own["unet/diffusion_pytorch_model.safetensors"]) > 10_000, "goes by Git LFS"

    image = Image.new("RGB", (16, 16), "teal")
    edited = [
        ip2p_front.load_editor(str(one), device="cpu").edit(image, "make it night", steps=2).images[0]
        for one in ("someone/editor", tmp_path / "exported")
    ]
    assert edited[0].tobytes() == edited[1].tobytes()

    card = own["README.md"].decode()
    assert card.startswith("---\nlibrary_name: diffusers\n")
    assert "license: apache-2.0\n---" in card
    assert "On 4 pairs of four scenes" in card
    assert "It knows no faces." in card
    assert "| training pairs of WorldSource | CC0-1.0 |" in card
    assert "WorldSource(level=simple" in card
    assert "describe them here before" not in card
    assert str(tmp_path) not in card
    assert str(model.parent) not in card
    assert Image.open(tmp_path / "exported" / "gallery.png").width > 300

    refused = ip2p(*words, "output=again", fails=True)
    assert "push=someone/editor holds" in refused
    assert "overwrite=true" in refused
    assert not (tmp_path / "again").exists(), "found before the work"
    (pushed / "someone" / "editor" / "old.txt").touch()
    ip2p(*words, "output=again", "overwrite=true")
    assert not (pushed / "someone" / "editor" / "old.txt").exists()


def test_a_dry_run_asks_nothing_of_the_network(ip2p, checkpoint, store, tmp_path):
    printed = ip2p("export", f"checkpoint={checkpoint('ip2p/tiny')}", "output=exported", "push=a/b", "dry_run=true")
    lines = printed.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("would upload"))
    assert lines[start].endswith("to a/b (private):")
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines[start + 1 :]}
    files = [file for file in (tmp_path / "exported").rglob("*") if file.is_file()]
    assert listed == {file.relative_to(tmp_path / "exported").as_posix(): file.stat().st_size for file in files}
    assert store[1] == []
    assert "No evaluation came with this model." in (tmp_path / "exported" / "README.md").read_text()


def test_what_is_wrong_is_said_before_a_model_is_opened(ip2p, store, tmp_path, monkeypatch):
    (tmp_path / "x.ckpt").write_bytes(b"never opened")
    words = ["export", "checkpoint=x.ckpt", "output=out"]
    for name in ("editor", "a/b/c", "../x", "a/b..c", "a/" + "x" * 200):
        assert "push=" in ip2p(*words, f"push={name}", fails=True)
    assert "whole editor" in ip2p(*words, "push=a/b", "lora=true", fails=True)
    (store[0] / "someone" / "open").mkdir(parents=True)
    (store[0] / "someone" / "open.public").touch()
    assert "is public; set private=false" in ip2p(*words, "push=someone/open", fails=True)
    monkeypatch.setenv("HF_TOKEN", "hf_of-a-stranger")
    message = ip2p(*words, "push=someone/editor", fails=True)
    assert "hf auth login" in message
    assert "hf_of" not in message
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in ip2p(*words, "push=someone/editor", fails=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in ip2p(*words, "push=someone/editor", fails=True)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "needs a login" in ip2p(*words, "push=someone/editor", fails=True)


def test_words_of_others_are_shown_in_a_card_as_they_are():
    facts = CardFacts(licences={"<script>": "a | b"}, limits=["[x](javascript:y)\n# big"], provenance={"seed": "0"})
    card = with_facts("", facts)
    assert "<script>" not in card.replace("\\<script\\>", "")
    assert "| a \\| b |" in card
    assert "\n# big" not in card
    assert card.startswith("---\n---\n"), "an empty head"
    assert "not stated: ask its author" in card


def test_a_new_repository_is_public_only_where_that_is_asked_for(store, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "README.md").write_text("x")
    for name, private in (("someone/a", True), ("someone/b", False)):
        Destination(name, private).check()
        Destination(name, private).upload(tmp_path / "folder", "first")
    assert not (store[0] / "someone" / "a.public").exists()
    assert (store[0] / "someone" / "b.public").exists()
    with pytest.raises(HubError, match="no name of a repository"):
        Destination("a b/c")
