"""What users get wrong, at the command line: any picture edits, everything else ends in one message with a remedy."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

QUICK = ["~callbacks.pictures", "~callbacks.summary"]


def png_header(path: Path, width: int, height: int) -> None:
    """A PNG that says it is large; its pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")))


def pictures_of_all_kinds(folder: Path) -> dict[str, tuple[int, int]]:
    """Files of odd modes and shapes -> what a viewer says their size is."""
    folder.mkdir()
    plain = Image.fromarray(np.arange(40 * 24 * 3, dtype=np.uint8).reshape(24, 40, 3))
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (1, 1), "red").save(folder / "pixel.png")
    Image.fromarray(np.linspace(0, 65_535, 960).astype(np.uint16).reshape(24, 40)).save(folder / "deep.png")
    plain.convert("CMYK").save(folder / "cmyk.jpg")
    plain.convert("RGBA").save(folder / "alpha.png")
    plain.quantize(8).save(folder / "palette.png", transparency=0)
    plain.convert("1").save(folder / "bilevel.png")
    plain.save(folder / "turned.jpg", exif=turned)
    plain.save(folder / "moving.gif", save_all=True, append_images=[plain.rotate(180)])
    sizes = dict.fromkeys(("deep", "cmyk", "alpha", "palette", "bilevel", "moving"), (40, 24))
    return sizes | {"pixel": (1, 1), "turned": (24, 40)}


def test_pictures_of_every_mode_and_size_are_edited(ip2p, checkpoint, tmp_path):
    sizes = pictures_of_all_kinds(tmp_path / "photos")
    model = checkpoint("ip2p/tiny")
    ip2p("edit", f"checkpoint={model}", "image=photos", "instruction=make it winter", "output=out", "steps=1")
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(sizes)
    for name, (width, height) in sizes.items():
        (file,) = (tmp_path / "out").glob(f"{name}.*")
        with Image.open(file) as edited:
            assert edited.size == (width, height), name


def test_a_bomb_is_refused_before_anything_is_edited(ip2p, checkpoint, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    png_header(tmp_path / "bomb.png", 20_000, 20_000)
    words = [f"checkpoint={checkpoint('ip2p/tiny')}", "image=[a.png,bomb.png]", "instruction=x", "output=out"]
    message = ip2p("edit", *words, fails=True)
    assert "bomb.png: too large to decode" in message
    assert "make it smaller first" in message
    assert not (tmp_path / "out").exists()


def test_a_resolution_that_would_take_all_memory(ip2p, checkpoint, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = [f"checkpoint={checkpoint('ip2p/tiny')}", "image=a.png", "instruction=x", "output=b.png"]
    assert "resolution=100000 must be a whole number from 1 to 8192" in ip2p(
        "edit", *words, "resolution=100000", fails=True
    )


def test_a_step_that_is_not_finite(ip2p):
    message = ip2p("train", "experiment=ip2p/tiny", "stages.0.trainable={denoiser.*:{lr:1e30}}", *QUICK, fails=True)
    assert "is not finite" in message
    assert "Lower the learning rate (now 1e+30)" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["experiment=mgie/tiny", "ckpt={path}"],
            r"was trained with another conditioner; these differ: conditioner._ta",
        ),
        (
            ["experiment=ip2p/tiny", "denoiser.network.widths=[16,24]", "ckpt={path}"],
            "denoiser.network.widths ([16, 32] ",
        ),
        (
            [
                "experiment=ip2p/tiny",
                "denoiser.network.widths=[16,24]",
                "init=[{{checkpoint: '{path}', from: denoiser}}]",
            ],
            "weights of another architecture than UNetDenoiser's",
        ),
        (["experiment=ip2p/tiny", "conditioner=text_world"], "set denoiser.network.embedding_dim=128"),
        (["experiment=ip2p/tiny", "autoencoder=identity"], "set denoiser.network.latent_channels=3"),
    ],
)
def test_parts_and_checkpoints_of_another_architecture(ip2p, checkpoint, words, message):
    path = checkpoint("ip2p/tiny")
    printed = ip2p("train", *(word.format(path=path) for word in words), *QUICK, fails=True)
    assert message in printed
    assert len(printed) < 900, "one screen"


def test_checkpoints_of_other_programs(ip2p, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "whole.ckpt")
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / "other.ckpt")
    for name, message in [("whole", "holds more than tensors and plain values"), ("other", "holds no configuration")]:
        words = [f"checkpoint={name}.ckpt", "image=a.png", "instruction=x", "output=b.png"]
        printed = ip2p("edit", *words, fails=True)
        assert f"{name}.ckpt: " in printed
        assert message in printed
        assert "two options" not in printed, "torch's advice to run the code in it"


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.precision=bf16-mixed"],
        ["denoiser.gradient_checkpointing=true", "conditioner.gradient_checkpointing=true"],
        ["objective.weights=[{_target_:ip2p_lightning.diffusion.weights.MinSNR,gamma:5}]"],
        ["experiment=ip2p/tiny", "ablation=lora", "denoiser.lora.rank=2"],
        ["ablation=visual_tokens", "conditioner.tokenizer.count=2"],
        ["ablation=no_expressive"],
        ["ablation=no_dropout"],
        ["dropout.text=0.2", "dropout.image=0", "stages.0.loss_weights.instruction_loss=0"],
        ["sampler.guidance.start=0.2", "sampler.guidance.stop=0.8"],
    ],
    ids=lambda words: words[0].split("=")[0] + "=" + words[0].split("=")[1][:16],
)
def test_what_the_configuration_offers_trains(ip2p, words):
    experiment = [] if words[0].startswith("experiment=") else ["experiment=mgie/tiny"]
    assert "step 1/1" in ip2p("train", *experiment, "trainer.max_steps=1", *QUICK, *words)


def test_a_pattern_that_the_stage_does_not_have(ip2p):
    message = ip2p("train", "experiment=ip2p/tiny", "stages.0.trainable={denoiser.*lora*:{lr:1e-3}}", fails=True)
    assert "stages.0.trainable has no 'denoiser.*lora*'" in message
    assert "did you mean" not in message
