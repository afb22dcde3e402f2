"""Pairs whose errors can be worked out by hand, pairs of the world, and small encoders of the real classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import alexnet

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation.rows import tensors_of
from ip2p_lightning.metrics.encoders import JudgeReader, OpenClipEncoder, TimmEncoder
from ip2p_lightning.metrics.encoders.dino import dino_preparation
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.world.tokenizer import world_tokenizer


def make_pairs(count: int = 4, size: int = 16, masked: bool = True, seed: int = 0) -> PairBatch:
    """Random pairs that differ in the left half alone, which the mask marks."""
    generator = torch.Generator().manual_seed(seed)
    original = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    mask = torch.zeros(count, 1, size, size)
    mask[..., : size // 2] = 1
    edited = torch.where(mask.bool(), torch.rand(count, 3, size, size, generator=generator) * 2 - 1, original)
    texts = {name: [f"{name} {i}" for i in range(count)] for name in ("original_caption", "edited_caption")}
    return PairBatch(
        id=[f"pair{i}" for i in range(count)],
        original_image=original,
        edited_image=edited,
        instruction=["make it so"] * count,
        expressive_instruction=["it is so"] * count,
        kind=["recolour", "season"] * (count // 2) + ["recolour"] * (count % 2),
        mask=mask if masked else None,
        **texts,
    )


@pytest.fixture
def pairs() -> PairBatch:
    return make_pairs()


@pytest.fixture
def pairs_of() -> Callable[..., PairBatch]:
    return make_pairs


@pytest.fixture(scope="session")
def scenes() -> PairBatch:
    """Six pairs of the world in which things alone change, with captions, masks and attributes."""
    source = WorldSource(6, size=32, level="full", kinds=["recolour", "replace", "add"])
    return PairBatch.collate([tensors_of(source[index], None) for index in range(6)])


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP in open_clip's folder."""
    torch.manual_seed(3)
    encoder = DualEncoder(
        world_tokenizer(), embed_dim=16, image_size=16, patch_size=8, width=32, layers=2, head_width=16,
        text_width=32, text_layers=1, text_heads=2, context_length=24,
    )  # fmt: skip
    return encoder.save(tmp_path_factory.mktemp("clip"), torch.float32)


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> OpenClipEncoder:
    return OpenClipEncoder.from_pretrained(f"local-dir:{clip_folder}")


@pytest.fixture(scope="module")
def dino() -> TimmEncoder:
    """A random vision transformer of timm that looks at 24 of 32 pixels."""
    torch.manual_seed(4)
    network = timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, img_size=24, patch_size=8, embed_dim=24, depth=2, num_heads=2
    )
    return TimmEncoder(network, dino_preparation(32, 24), "random")


@pytest.fixture(scope="module")
def judge() -> JudgeReader:
    """A random judge."""
    torch.manual_seed(5)
    return JudgeReader(AttributeJudge(size=16, widths=(8, 8, 16), hidden=16))


@pytest.fixture(scope="session")
def alexnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of AlexNet's features, as torchvision names them."""
    torch.manual_seed(6)
    with torch.device("meta"):
        names = alexnet().state_dict()
    state = {name: torch.randn(tensor.shape) * 0.05 for name, tensor in names.items() if name.startswith("features")}
    file = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(state, file)
    return file
