"""Stable Diffusion in the original layout: files are opened whole, both ways, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler
from hub_layout import original_file, tiny_text_encoder, tiny_unet, tiny_vae
from safetensors.torch import load_file, save_file
from torch import Tensor

from ip2p_lightning.models.original_layout import original_tensors
from ip2p_lightning.models.single_file import SCHEDULE, open_original, single_tokenizer
from ip2p_lightning.models.weight_files import WeightsError
from ip2p_lightning.world.tokenizer import world_tokenizer

WORDS = 49408


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """The tensors of an InstructPix2Pix file as its authors wrote it, and those of its networks in diffusers' names."""
    path = tmp_path_factory.mktemp("file") / "x.safetensors"
    parts = original_file(path, channels=8)
    tensors = load_file(path)
    averages = {
        "model_ema." + "".join(name.split(".")[1:]): tensor + 1
        for name, tensor in tensors.items()
        if name.startswith("model.diffusion_model.")
    }
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = {
        "betas": betas.float(), "alphas_cumprod": torch.ones(1000), "posterior_mean_coef1": torch.ones(1000),
        "sqrt_recipm1_alphas_cumprod": torch.ones(1000), "logvar": torch.zeros(1000),
        "scale_factor": torch.tensor(0.18215),
        "model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(3),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
    }  # fmt: skip
    return tensors | averages | kept, parts


def ckpt(path: Path, tensors: dict[str, Tensor], **more: Any) -> Path:
    torch.save({"state_dict": tensors, "global_step": 3, **more}, path)
    return path


@pytest.mark.parametrize("averaged", [True, False])
def test_every_tensor_of_a_published_checkpoint_is_accounted_for(averaged: bool, published: Any, tmp_path: Path):
    tensors, expected = published
    parts, account = open_original(ckpt(tmp_path / "x.ckpt", tensors), torch.float32, averaged)
    account.check()
    assert sum(account.taken.values()) + sum(account.left_out.values()) == len(tensors)
    assert account.taken == {part: len(network.state_dict()) for part, network in parts.items()}
    for part, state in expected.items():
        own = {name.removeprefix("text_model."): tensor for name, tensor in parts[part].state_dict().items()}
        assert own.keys() == state.keys()
        moved = part == "unet" and averaged
        assert all(torch.equal(own[name], tensor + moved) for name, tensor in state.items()), part


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"model.diffusion_model.extra.weight": torch.ones(3)}, "unexpected .*extra.weight"),
        (lambda t: t | {"control_model.x": torch.ones(3)}, "1 unexpected .*control_model.x"),
        (lambda t: {n: v for n, v in t.items() if "ema.diffusion_modelout2bias" not in n}, "unexpected .*model_ema"),
        (lambda t: {n: v for n, v in t.items() if n != "first_stage_model.quant_conv.bias"}, "1 missing .vae.quant_"),
        (lambda t: t | {"first_stage_model.quant_conv.bias": torch.ones(3)}, r"1 reshaped .*is \[3\], the model needs"),
    ],
)
def test_tensors_that_would_be_lost_or_drawn_are_named(
    change: Callable[[dict], dict], message: str, published: Any, tmp_path: Path
):
    _, account = open_original(ckpt(tmp_path / "x.ckpt", change(published[0])), torch.float32)
    with pytest.raises(WeightsError, match=message):
        account.check()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"betas": torch.linspace(1e-4, 0.02, 1000)}, "noise schedule"), ({"scale_factor": torch.tensor(1.0)}, "latents")],
)
def test_another_training_is_refused(change: dict[str, Tensor], message: str, published: Any, tmp_path: Path):
    with pytest.raises(WeightsError, match=message):
        open_original(ckpt(tmp_path / "x.ckpt", published[0] | change), torch.float32)


@pytest.mark.parametrize(
    "name",
    ["input_blocks.0.0.weight", "out.2.weight", "input_blocks.1.0.out_layers.3.weight", "input_blocks.1.1.norm.weight"],
)
def test_a_file_without_one_of_its_tensors_is_refused_in_a_line(name: str, published: Any, tmp_path: Path):
    tensors = {n: t for n, t in published[0].items() if n != f"model.diffusion_model.{name}" and "_ema" not in n}
    with pytest.raises(WeightsError) as caught:
        open_original(ckpt(tmp_path / "x.ckpt", tensors), torch.float32)[1].check()
    assert "\n" not in str(caught.value)


def pipeline(**changes: Any) -> dict[str, Any]:
    parts = {"unet": tiny_unet(8), "vae": tiny_vae(), "text_encoder": tiny_text_encoder(WORDS)}
    others = {"tokenizer": single_tokenizer(), "scheduler": EulerAncestralDiscreteScheduler(**SCHEDULE)}
    merged = parts | others | changes
    return {"parts": {part: merged[part] for part in parts}, **{name: merged[name] for name in others}, "origin": "x"}


def changed(part: Any, **values: Any) -> Any:
    """A part of the same class with other values in its configuration."""
    kept = {name: value for name, value in part.config.items() if not name.startswith("_")}
    return type(part).from_config(kept | values)


def test_the_original_names_are_those_of_the_authors(tmp_path: Path):
    original_file(tmp_path / "x.safetensors", channels=8)
    expected, written = load_file(tmp_path / "x.safetensors"), original_tensors(**pipeline())
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda: {"tokenizer": world_tokenizer()}, "not CLIP's"),
        (lambda: {"scheduler": changed(EulerAncestralDiscreteScheduler(**SCHEDULE), beta_end=0.02)}, "beta_end=0.02"),
        (
            lambda: {"unet": changed(tiny_unet(8), attention_head_dim=4)},
            "attention_head",
        ),
        (lambda: {"vae": changed(tiny_vae(), scaling_factor=1.0)}, "scaling_factor=1.0"),
        (lambda: {"vae": changed(tiny_vae(), mid_block_add_attention=False)}, "vae"),
    ],
)
def test_what_one_file_cannot_say_is_refused(changes: Callable[[], dict], message: str):
    with pytest.raises(WeightsError, match=message):
        original_tensors(**pipeline(**changes()))


def test_safetensors_without_prefix_of_a_state_dict_open_as_well(tmp_path: Path):
    save_file(
        {name: tensor.contiguous() for name, tensor in original_tensors(**pipeline()).items()},
        tmp_path / "x.safetensors",
    )
    _, account = open_original(tmp_path / "x.safetensors", torch.float16)
    account.check()
    assert not account.left_out
