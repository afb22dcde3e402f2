"""The published recipes on the meta device: parameter counts and what is trained, without any weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ip2p_lightning.config import build, compose, plain
from ip2p_lightning.methods.editing import EditingModule

UNET, FIRST_WEIGHTS = 859_520_964, 320 * 4 * 9  # Stable Diffusion 1.5's, and what widening adds
TEXT_ENCODER, AUTOENCODER, EDIT_HEAD = 123_060_480, 83_653_863, 31_958_784
EMBEDDINGS = 32_011 * 4096
LLAMA_7B = 6_738_415_616 + 2 * 11 * 4096  # LLaMA-7B's, and 11 tokens in embeddings and output


def without_weights(node: Any) -> Any:
    """The configuration with architectures in place of weights and the embedded tokenizer in place of the hub's."""
    if isinstance(node, list):
        return [without_weights(value) for value in node]
    if not isinstance(node, dict):
        return node
    if str(node.get("_target_", "")).startswith("transformers.AutoTokenizer"):
        return {"_target_": "ip2p_lightning.world.tokenizer.world_tokenizer"}
    return {key: None if key in ("weights", "path") else without_weights(value) for key, value in node.items()}


def paper_module(family: str) -> EditingModule:
    config = plain(compose("train", [f"experiment={family}/paper", "output_dir=unused", "data.path=unused"]).method)
    config = without_weights(config)
    with torch.device("meta"):  # networks alone: schedulers compute with numbers when they are built
        networks = {part: build(config.pop(part)) for part in ("conditioner", "denoiser", "autoencoder")}
    return build(config, **networks)


def count(module: torch.nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def test_instruct_pix2pix_trains_the_unet_alone() -> None:
    module = paper_module("ip2p")
    assert count(module.denoiser) == UNET + FIRST_WEIGHTS
    assert count(module.conditioner) == TEXT_ENCODER
    assert count(module.autoencoder) == AUTOENCODER
    (group,) = module.parameter_groups()
    assert group["lr"] == 1e-4
    assert count(module, trained=True) == count(module.denoiser)


@pytest.mark.parametrize("family", ["mgie", "lgie"])
def test_mgie_trains_embeddings_output_edit_head_and_unet(family: str) -> None:
    module = paper_module(family)
    language = module.conditioner.model
    language = language.model.language_model if family == "mgie" else language.model
    assert count(language) + EMBEDDINGS == LLAMA_7B
    assert count(module.conditioner.edit_head) == EDIT_HEAD
    groups = module.parameter_groups()
    assert [group["lr"] for group in groups] == [5e-4, 5e-4, 5e-4, 1e-4]
    sizes = [sum(parameter.numel() for parameter in group["params"]) for group in groups]
    assert sizes == [EMBEDDINGS, EMBEDDINGS, EDIT_HEAD, UNET + FIRST_WEIGHTS]
    assert module.stage.loss_weights == {"instruction_loss": 1.0, "editing_loss": 0.5}
    assert not any(parameter.requires_grad for parameter in language.layers.parameters())


def test_shapes_of_a_step_at_the_paper_s_size() -> None:
    """The networks fit together: 256 px, 77 states of 768."""
    module = paper_module("ip2p")
    with torch.device("meta"):
        latents, states = torch.empty(2, 4, 32, 32), torch.empty(2, 77, module.conditioner.embedding_dim)
        assert module.autoencoder.encode_original(torch.empty(2, 3, 256, 256)).shape == latents.shape
        assert module.denoiser(latents, latents, torch.empty(2), states).shape == latents.shape
