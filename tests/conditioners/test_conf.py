"""The configuration groups build what they say, at every size that needs no weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.conditioners.multimodal import VICUNA_TEMPLATE, MultimodalConditioner
from ip2p_lightning.models.visual_tokens import visual_token_ids

CONF = Path(__file__).resolve().parents[2] / "conf"
WORLD_TOKENIZER = {"_target_": "ip2p_lightning.world.tokenizer.world_tokenizer"}


def read(path: str) -> DictConfig:
    return OmegaConf.load(CONF / path)


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("size", ["tiny", "world"])
@pytest.mark.parametrize("family", ["text", "language_model", "multimodal"])
def test_small_conditioners_train_and_condition(family, size, make_batch):
    conditioner = instantiate(read(f"conditioner/{family}_{size}.yaml"))
    batch = make_batch(["make it winter", ""], ["snow", ""], size=16 if size == "tiny" else 64)
    condition = conditioner(batch)
    shape = (2, 16, 32) if size == "tiny" else (2, 24, 128)
    assert condition.embeddings.shape == condition.null_embeddings.shape == shape
    assert conditioner.embedding_dim == shape[-1]
    assert conditioner.condition(batch.instruction, batch.original_image).embeddings.shape == shape


@pytest.mark.parametrize("size", ["tiny", "world"])
def test_the_text_conditioner_can_teach_the_edit_heads(size):
    teacher = instantiate(read(f"conditioner/text_{size}.yaml"))
    for family in ("language_model", "multimodal"):
        instantiate(read(f"conditioner/{family}_{size}.yaml")).align_to(teacher)


@pytest.mark.parametrize("family", ["language_model", "multimodal"])
def test_paper_conditioners_on_the_meta_device(family):
    config = read(f"conditioner/{family}_paper.yaml")
    config.tokenizer.tokenizer = WORLD_TOKENIZER  # the real one needs the hub
    config.model.weights = None
    with torch.device("meta"):
        conditioner = instantiate(config)
    assert parameters(conditioner.edit_head) == 31_958_784
    assert parameters(conditioner.model.base_model.get_input_embeddings()) == 32011 * 4096
    assert len(visual_token_ids(conditioner.tokenizer)) == 8
    if isinstance(conditioner, MultimodalConditioner):
        assert config.template == VICUNA_TEMPLATE


def test_paper_text_conditioner_on_the_meta_device():
    config = read("conditioner/text_paper.yaml")
    config.tokenizer = WORLD_TOKENIZER
    config.text_encoder.weights = None
    with torch.device("meta"):
        assert parameters(instantiate(config)) == 123_060_480
