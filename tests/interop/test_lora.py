"""Adapters: start as nothing, train alone, export alone or merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from factories import IP2P, WORLD, quiet_trainer, stage, tiny_batch, tiny_loader, tiny_module

from ip2p_lightning.interop import export, export_lora, load_folder
from ip2p_lightning.methods.checkpoint import load_module
from ip2p_lightning.methods.editing import EditingModule

pytest.importorskip("peft", reason="LoRA needs peft")


def adapted(denoiser: dict[str, Any]) -> dict[str, Any]:
    return denoiser | {"lora": {"rank": 2, "alpha": 4}}


def on_the_base(config: dict[str, Any], **changes: Any) -> EditingModule:
    """A module with a fresh adapter on the weights of `tiny_module(config)`."""
    module = tiny_module(config, denoiser=adapted(config["denoiser"]), **changes)
    base = tiny_module(config).state_dict()
    own = {name: tensor for name, tensor in module.state_dict().items() if "lora" in name}
    names = {name.replace(".base_layer", ""): name for name in module.state_dict()}
    module.load_state_dict({names[name]: tensor for name, tensor in base.items()} | own)
    return module


def edit(module: EditingModule) -> torch.Tensor:
    batch = tiny_batch(size=16)
    guidance = module.sampler.guidance.with_scales(7.5, 1.5)
    generator = torch.Generator().manual_seed(0)
    return module.edit(batch.original_image, batch.instruction, generator=generator, guidance=guidance, steps=3)[0]


@pytest.fixture(scope="module")
def trained() -> EditingModule:
    stages = [stage(trainable={"denoiser.*lora*": {"lr": 0.05}})]
    module = on_the_base(IP2P, stages=stages)
    quiet_trainer(max_steps=3).fit(module, tiny_loader(3))
    return module.eval()


def test_untrained_adapter_changes_nothing() -> None:
    for config in (IP2P, WORLD):
        plain = tiny_module(config).eval()
        assert torch.equal(edit(on_the_base(config).eval()), edit(plain))


def test_adapter_alone_is_trained(trained: EditingModule) -> None:
    base = tiny_module().state_dict()
    moved = 0
    for name, tensor in trained.state_dict().items():
        if "lora" in name:
            moved += "lora_B" in name and bool(tensor.any())
        else:
            assert torch.equal(tensor, base[name.replace(".base_layer", "")])
    assert moved
    assert (edit(trained) - edit(tiny_module().eval())).abs().max() > 1e-3


def test_checkpoint_with_an_adapter_reopens(trained: EditingModule, tmp_path: Path) -> None:
    trainer = quiet_trainer(max_steps=3)
    trainer.strategy.connect(trained)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(edit(load_module(tmp_path / "last.ckpt")), edit(trained))


def test_export_merges_the_adapter(trained: EditingModule, tmp_path: Path) -> None:
    before = edit(trained)
    export(trained, tmp_path)
    assert torch.equal(edit(trained), before), "the module keeps its adapter"
    loaded = load_folder(tmp_path)
    assert not any("lora" in name for name in loaded.state_dict())
    torch.testing.assert_close(edit(loaded), before, atol=1e-4, rtol=0)


def test_adapter_alone_loads_on_the_base_in_diffusers(trained: EditingModule, tmp_path: Path) -> None:
    export(tiny_module(), tmp_path / "base")
    file = export_lora(trained, tmp_path / "adapter")
    assert file.is_file()
    assert file.stat().st_size < (tmp_path / "base/unet/diffusion_pytorch_model.safetensors").stat().st_size
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path / "base")
    pipeline.load_lora_weights(tmp_path / "adapter")
    batch = tiny_batch(size=16)
    images = pipeline(
        batch.instruction,
        image=(batch.original_image + 1) / 2,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(0),
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        output_type="pt",
    ).images
    torch.testing.assert_close(images * 2 - 1, edit(trained), atol=2e-4, rtol=0)


def test_transformer_adapter_is_written_and_loads(tmp_path: Path) -> None:
    module = on_the_base(WORLD).eval()
    for name, parameter in module.denoiser.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    export_lora(module, tmp_path)
    base = tiny_module(WORLD).eval()
    base.denoiser.network.load_lora_adapter(tmp_path, prefix="transformer", use_safetensors=True)
    assert torch.equal(edit(base), edit(module))


def test_without_an_adapter_there_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no LoRA adapter"):
        export_lora(tiny_module(), tmp_path)
