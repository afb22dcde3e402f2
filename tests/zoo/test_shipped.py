"""The weights in the package: small enough, openable, and doing what their cards say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ip2p_lightning import zoo
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.sources.photos import PhotoSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.jobs.zoo import folder_size
from ip2p_lightning.shipped import CARD, EDITORS, NAMES, WEIGHTS
from ip2p_lightning.zoo.card import Card
from ip2p_lightning.zoo.curves import CURVE
from ip2p_lightning.zoo.editing import PHOTO_KINDS

SHIPPED = sorted(path.parent.name for path in WEIGHTS.glob(f"*/{CARD}"))


def test_all_weights_together_fit_into_forty_megabytes():
    assert set(SHIPPED) == set(NAMES)
    assert folder_size(WEIGHTS) <= 40_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_a_folder_holds_safetensors_and_a_card_of_figures(name: str):
    folder = zoo.path(name)
    assert list(folder.rglob("*.safetensors"))
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".ckpt", ".pkl")]
    card = Card.load(folder)
    assert card.measured_on["count"] >= 500
    assert card.figures
    assert 500 < (folder / CURVE).stat().st_size < 20_000
    assert card.markdown() == (folder / "README.md").read_text(encoding="utf-8")


def test_the_judge_reads_new_scenes():
    pairs = WorldSource(40, level="full", split="validation", seed=5)
    images = torch.stack([to_tensor(pairs[index].edited_image) for index in range(40)])
    right = [
        reading.get(name) == value
        for reading, index in zip(zoo.load("judge").read(images), range(40), strict=True)
        for name, value in pairs[index].metadata["attributes"]["edited"].items()
    ]
    assert sum(right) / len(right) > 0.95


def test_the_text_to_image_model_draws_what_the_caption_says():
    pairs = WorldSource(8, split="validation", seed=5)
    captions = [pairs[index].original_caption for index in range(8)]
    generator = torch.Generator().manual_seed(0)
    drawn = zoo.load("text_to_image")(
        captions, num_inference_steps=6, guidance_scale=1.5, generator=generator, output_type="pt"
    ).images
    for reading, index in zip(zoo.load("judge").read(drawn * 2 - 1), range(8), strict=True):
        truth = pairs[index].metadata["attributes"]["original"]
        assert sum(reading.get(name) == value for name, value in truth.items()) >= len(truth) - 1


@pytest.mark.parametrize("name", EDITORS)
def test_an_editor_opens_by_its_name_and_halves_the_error(name: str):
    editor = load_editor(name, "cpu")
    for pairs in (
        WorldSource(16, split="validation", seed=5),
        PhotoSource(16, kinds=PHOTO_KINDS, split="test", seed=5),
    ):
        chosen = [pairs[index] for index in range(16)]
        before, truth = (
            torch.stack([to_tensor(getattr(pair, f"{side}_image")) for pair in chosen])
            for side in ("original", "edited")
        )
        edited = editor.edit(before, [pair.instruction for pair in chosen]).images
        assert (edited - truth).abs().mean() < 0.5 * (before - truth).abs().mean()


@pytest.mark.slow
def test_every_model_opens_in_a_process_that_has_imported_nothing_else():
    program = (
        "from ip2p_lightning import zoo\nimport sys\nfor name in sys.argv[1:]: print(type(zoo.load(name)).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *reversed(SHIPPED)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == len(SHIPPED)


def test_an_editor_that_is_not_there_says_how_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ip2p_lightning.shipped.WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="ip2p train experiment=zoo/lgie"):
        load_editor("lgie", "cpu")
