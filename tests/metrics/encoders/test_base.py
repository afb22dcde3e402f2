"""Each batch is encoded once for all metrics, and never taken for another."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import ViTConfig, ViTModel

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import CaptionSimilarity, DirectionSimilarity, ImageSimilarity, InputSimilarity
from ip2p_lightning.metrics.encoders import OpenClipEncoder, TimmEncoder, TransformersEncoder
from ip2p_lightning.metrics.encoders.base import weights_digest

pytestmark = pytest.mark.numeric


def counted(network: nn.Module) -> list[int]:
    """Sizes of the batches that go through a network, from now on."""
    sizes: list[int] = []
    network.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    return sizes


def test_metrics_share_what_their_encoder_has_seen(clip: OpenClipEncoder, scenes: PairBatch) -> None:
    clip = copy.deepcopy(clip)
    sizes = counted(clip.network.visual)
    metrics = [ImageSimilarity(clip), InputSimilarity(clip), CaptionSimilarity(clip), DirectionSimilarity(clip)]
    images = (scenes.original_image + scenes.edited_image) / 2
    for metric in metrics:
        metric.measure(images, scenes)
    assert sizes == [6, 6, 6]  # images, truth, input
    for metric in metrics:
        metric.measure(scenes.original_image, scenes)  # the baseline costs nothing more
    assert sizes == [6, 6, 6]


def test_a_changed_or_new_picture_is_encoded_anew(clip: OpenClipEncoder) -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    before = clip.pictures(images).clone()
    images.mul_(-1)
    after = clip.pictures(images)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(clip.pictures(images.clone()), after)
    for _ in range(30):  # memory of tensors that are gone is used again
        fresh = torch.rand(2, 3, 16, 16)
        torch.testing.assert_close(clip.pictures(fresh), clip._encode(fresh))
    with torch.inference_mode():
        silent = torch.rand(2, 3, 16, 16)
        first = clip.pictures(silent)
        silent.mul_(-1)
        assert not torch.allclose(first, clip.pictures(silent))


def test_copies_and_pickles_start_without_memory(clip: OpenClipEncoder) -> None:
    images = torch.rand(2, 3, 16, 16)
    features = clip.pictures(images)
    for other in (copy.deepcopy(clip), copy.deepcopy(ImageSimilarity(clip)).encoder):
        torch.testing.assert_close(other.pictures(images), features)
    assert pickle.loads(pickle.dumps(clip._remembered))._kept == {}


def test_folders_hub_names_and_errors(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs weights"):
        OpenClipEncoder.from_pretrained("ViT-B-32-quickgelu")
    with pytest.raises(ValueError, match="interpolated"):
        OpenClipEncoder.from_pretrained(f"local-dir:{clip_folder}", legacy_range=True)
    with pytest.raises(FileNotFoundError, match="no folder"):
        OpenClipEncoder.from_pretrained(f"local-dir:{tmp_path / 'nothing'}")
    with pytest.raises(ValueError, match="the zoo has no 'nobody'"):
        OpenClipEncoder.from_pretrained("zoo:nobody")
    facts = OpenClipEncoder.from_pretrained(f"local-dir:{clip_folder}").provenance()
    assert facts["weights"] == f"local-dir:{clip_folder}"
    assert "Resize" in facts["preparation"]


def test_class_token_of_transformers_and_timm(dino: TimmEncoder) -> None:
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=24, patch_size=8
    )
    encoder = TransformersEncoder(ViTModel(config, add_pooling_layer=False), dino.preparation, "random")
    images = torch.rand(3, 3, 40, 30) * 2 - 1
    for one in (encoder, dino):
        features = one.pictures(images)
        torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
        torch.testing.assert_close(features[1:2], one.pictures(images[1:2]))
    with torch.no_grad():
        state = encoder.network(dino.preparation(images)).last_hidden_state[:, 0]
    torch.testing.assert_close(encoder.pictures(images), state / state.norm(dim=1, keepdim=True))


def test_opens_from_folders(tmp_path: Path) -> None:
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=24, patch_size=8
    )
    model = ViTModel(config, add_pooling_layer=False)
    model.save_pretrained(tmp_path)
    encoder = TransformersEncoder.from_pretrained(str(tmp_path), resize=32, crop=24)
    images = torch.rand(2, 3, 32, 32)
    again = TransformersEncoder(model, encoder.preparation, "random")
    torch.testing.assert_close(encoder.pictures(images), again.pictures(images))
    assert encoder.train().network.training is False


def test_a_digest_knows_every_weight() -> None:
    network = nn.Linear(2, 2)
    before = weights_digest(network)
    assert weights_digest(copy.deepcopy(network)) == before
    network.bias.data[0] += 1e-6
    assert weights_digest(network) != before


def test_measures_are_taken_in_the_type_of_the_weights_whatever_the_job_computes_in(clip: OpenClipEncoder) -> None:
    images, texts = torch.rand(2, 3, 16, 16), ["a red castle", "a tent"]
    before = clip.pictures(images), clip.texts(texts)
    inside = copy.deepcopy(clip)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(inside.pictures(images), before[0])
        assert torch.equal(inside.texts(texts), before[1])
