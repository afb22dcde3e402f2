"""`ip2p convert`: published files become folders that edit alike, and go back; nothing is left half-made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline, StableDiffusionPipeline
from hub_layout import original_file, tiny_text_encoder, tiny_unet, tiny_vae
from safetensors.torch import load_file

from ip2p_lightning.interop import load_folder
from ip2p_lightning.jobs import convert
from ip2p_lightning.models.single_file import SCHEDULE, single_tokenizer


def ckpt(path: Path, more: dict[str, torch.Tensor] | None = None, channels: int = 8) -> Path:
    original_file(path.with_suffix(".safetensors"), channels=channels)
    torch.save({"state_dict": load_file(path.with_suffix(".safetensors")) | (more or {}), "global_step": 1}, path)
    return path


def reference() -> Any:
    """The pipeline of diffusers around the networks whose weights `original_file` writes."""
    kind: Any = StableDiffusionInstructPix2PixPipeline
    return kind(
        unet=tiny_unet(8), vae=tiny_vae(), text_encoder=tiny_text_encoder(49408), tokenizer=single_tokenizer(),
        scheduler=EulerAncestralDiscreteScheduler(**SCHEDULE), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def drawn(pipeline: Any, image: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"num_inference_steps": 3, "generator": generator, "output_type": "pt"}
    return pipeline("make it winter", (image + 1) / 2, guidance_scale=7.5, image_guidance_scale=1.5, **options).images


@torch.no_grad()
def test_instruct_pix2pix_from_its_checkpoint_to_a_folder_and_back(ip2p, tmp_path: Path):
    published = ckpt(tmp_path / "instruct-pix2pix-00-22000.ckpt")
    tensors = len(torch.load(published)["state_dict"])
    printed = ip2p("convert", f"checkpoint={published}", "output=ip2p", "dry_run=true")
    assert sum(int(line.split()[0].replace(",", "")) for line in printed.splitlines()) == tensors
    assert not (tmp_path / "ip2p").exists()
    assert ip2p("convert", f"checkpoint={published}", "output=ip2p").splitlines()[-1] == "ip2p"
    expected = reference()
    folder = StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path / "ip2p")
    for part in ("unet", "vae", "text_encoder"):
        ours, theirs = getattr(folder, part).state_dict(), getattr(expected, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    wanted = drawn(expected, image)
    assert torch.equal(drawn(folder, image), wanted)
    module = load_folder(tmp_path / "ip2p")
    edited, _ = module.edit(
        image, ["make it winter"], steps=3, guidance=module.sampler.guidance.with_scales(7.5, 1.5),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    torch.testing.assert_close((edited + 1) / 2, wanted, atol=1e-4, rtol=0)

    ip2p("convert", "checkpoint=ip2p", "output=again.safetensors")
    before, after = load_file(published.with_suffix(".safetensors")), load_file(tmp_path / "again.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    ip2p("convert", "checkpoint=again.safetensors", "output=half.safetensors", "dtype=float16")
    assert {tensor.dtype for tensor in load_file(tmp_path / "half.safetensors").values()} == {torch.float16}


def test_stable_diffusion_becomes_a_base_to_train_from(ip2p, tmp_path: Path):
    published = ckpt(tmp_path / "v1-5-pruned.ckpt", channels=4)
    ip2p("convert", f"checkpoint={published}", "output=base")
    assert StableDiffusionPipeline.from_pretrained(tmp_path / "base", safety_checker=None).unet.config.in_channels == 4


@pytest.mark.parametrize("output", ["folder", "one.safetensors"])
def test_a_failure_while_writing_leaves_nothing(output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ip2p):
    published = ckpt(tmp_path / "x.ckpt")
    before = sorted(tmp_path.iterdir())

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(convert, "save_file", fail)
    monkeypatch.setattr(StableDiffusionInstructPix2PixPipeline, "save_pretrained", fail)
    source = published if output == "folder" else published.with_suffix(".safetensors")
    assert "no space left" in ip2p("convert", f"checkpoint={source}", f"output={output}", fails=True)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=x.ckpt", "output=there"], "output=there exists already"),
        (["checkpoint=extra.ckpt", "output=new"], "1 unexpected (control_model.x)"),
        (["checkpoint=there", "output=new"], "a folder of diffusers opens as it is"),
        (["checkpoint=world.ckpt", "output=new"], "becomes a folder with ip2p export"),
        (["checkpoint=world.ckpt", "output=new.safetensors"], "not CLIP's; export a folder"),
        (["checkpoint=mgie.ckpt", "output=new.safetensors"], "is a MGIEPipeline: one file"),
    ],
)
def test_what_cannot_be_converted_is_said(words: list[str], message: str, ip2p, checkpoint, tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").touch()
    (tmp_path / "world.ckpt").symlink_to(checkpoint("ip2p/tiny"))
    (tmp_path / "mgie.ckpt").symlink_to(checkpoint("mgie/tiny"))
    (tmp_path / "x.ckpt").touch()
    if "extra" in words[0]:
        ckpt(tmp_path / "extra.ckpt", {"control_model.x": torch.ones(1)})
    assert message in ip2p("convert", *words, fails=True)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.safetensors").exists()
