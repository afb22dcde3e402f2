"""Similarities equal the published evaluations, transcribed, and say who lacks a caption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import transforms

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import (
    L1,
    L2,
    CaptionSimilarity,
    DirectionSimilarity,
    EditMetric,
    ImageSimilarity,
    InputSimilarity,
)
from ip2p_lightning.metrics.encoders import OpenClipEncoder, TimmEncoder

pytestmark = pytest.mark.numeric


@pytest.fixture
def images(scenes: PairBatch) -> Tensor:
    """Edits that are neither the input nor the truth, in 8 bits."""
    generator = torch.Generator().manual_seed(2)
    mixed = 0.3 * scenes.original_image + 0.7 * scenes.edited_image
    noisy = (mixed + 0.1 * torch.randn(mixed.shape, generator=generator)).clamp(-1, 1)
    return noisy.add(1).mul(127.5).round().div(127.5).sub(1)


def instruct_pix2pix(
    folder: Path, original: Tensor, edited: Tensor, texts: tuple[str, str], scaled: bool
) -> dict[str, float]:
    """InstructPix2Pix's ClipSimilarity for one edit: squeezed bicubically without smoothing, normalised, cosines.

    Its evaluation gives pictures in [-1, 1] (`scaled` False); its data set's filter gives [0, 1].
    """
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()

    def features(picture: Tensor) -> Tensor:
        picture = (picture[None] + 1) / 2 if scaled else picture[None]
        small = F.interpolate(picture, size=16, mode="bicubic", align_corners=False)
        state = model.encode_image((small - 0.5) / 0.5)
        return state / state.norm(dim=1, keepdim=True)

    with torch.no_grad():
        before, after = features(original), features(edited)
        said = model.encode_text(tokenizer(list(texts)))
        said = said / said.norm(dim=1, keepdim=True)
    cosines = {
        "t": F.cosine_similarity(after, said[1:]),
        "direction": F.cosine_similarity(after - before, said[1:] - said[:1]),
        "input": F.cosine_similarity(before, after),
    }
    return {name: cosine.item() for name, cosine in cosines.items()}


@pytest.mark.parametrize("legacy", [False, True])
def test_equals_instruct_pix2pix_evaluation(legacy: bool, clip_folder: Path, scenes: PairBatch, images: Tensor) -> None:
    encoder = OpenClipEncoder.from_pretrained(
        f"local-dir:{clip_folder}", preparation="interpolated", legacy_range=legacy
    )
    ours: dict[str, EditMetric] = {
        "t": CaptionSimilarity(encoder),
        "direction": DirectionSimilarity(encoder),
        "input": InputSimilarity(encoder),
    }
    values = {name: metric.measure(images, scenes) for name, metric in ours.items()}
    for index in range(len(scenes)):
        texts = scenes.original_caption[index], scenes.edited_caption[index]
        theirs = instruct_pix2pix(clip_folder, scenes.original_image[index], images[index], texts, not legacy)
        for name, value in theirs.items():
            assert values[name][index].item() == pytest.approx(value, abs=1e-4), name


def magic_brush(images: Tensor, pairs: PairBatch, encode: Any, said: Tensor | None) -> dict[str, list[float]]:
    """MagicBrush's image_eval for each pair: PIL pictures opened from disk, one at a time, cosines of raw features."""
    result: dict[str, list[float]] = {name: [] for name in ("l1", "l2", "picture", "text")}
    for index in range(len(pairs)):
        made, truth = to_pil(images[index]), to_pil(pairs.edited_image[index])
        made = made.resize(truth.size)
        one, other = transforms.ToTensor()(made), transforms.ToTensor()(truth)
        result["l1"].append(torch.nn.L1Loss()(one, other).item())
        result["l2"].append(torch.nn.MSELoss()(one, other).item())
        first, second = encode(made), encode(truth)
        result["picture"].append(float(first @ second / (first.norm() * second.norm())))
        if said is not None:
            text = said[index].float()
            result["text"].append(float(first @ text / (first.norm() * text.norm())))
    return result


def test_equals_magic_brush_evaluation(
    clip_folder: Path, clip: OpenClipEncoder, scenes: PairBatch, images: Tensor
) -> None:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    model.eval()
    with torch.no_grad():
        said = model.encode_text(open_clip.get_tokenizer(f"local-dir:{clip_folder}")(scenes.edited_caption))
        theirs = magic_brush(images, scenes, lambda picture: model.encode_image(transform(picture)[None])[0], said)
    ours: dict[str, EditMetric] = {
        "l1": L1(),
        "l2": L2(),
        "picture": ImageSimilarity(clip, "CLIP-I"),
        "text": CaptionSimilarity(clip),
    }
    for name, metric in ours.items():
        torch.testing.assert_close(
            metric.measure(images, scenes), torch.tensor(theirs[name]), rtol=0, atol=1e-4, msg=name
        )


def test_equals_magic_brush_dino(dino: TimmEncoder, scenes: PairBatch, images: Tensor) -> None:
    """Its transform has other sizes (256 and 224) and the same steps."""
    bicubic = transforms.InterpolationMode.BICUBIC
    normal = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    steps = transforms.Resize(32, interpolation=bicubic), transforms.CenterCrop(24), transforms.ToTensor(), normal
    transform = transforms.Compose(steps)
    with torch.no_grad():
        theirs = magic_brush(images, scenes, lambda picture: dino.network(transform(picture)[None])[0], None)
    ours = ImageSimilarity(dino, "DINO").measure(images, scenes)
    torch.testing.assert_close(ours, torch.tensor(theirs["picture"]), rtol=0, atol=1e-4)


def test_missing_captions_are_an_error_or_a_gap_that_was_asked_for(
    clip: OpenClipEncoder, scenes: PairBatch, images: Tensor
) -> None:
    bare = replace(scenes, edited_caption=["", *scenes.edited_caption[1:]])
    for metric in (CaptionSimilarity(clip), DirectionSimilarity(clip)):
        message = rf"{metric.label} needs .*edited image, which '{bare.id[0]}' lacks.*gap"
        with pytest.raises(ValueError, match=message):
            metric.measure(images, bare)
    whole = CaptionSimilarity(clip).measure(images, scenes)
    gapped = CaptionSimilarity(clip, missing="gap")
    gapped.update(images, bare)
    assert gapped.per_sample()[0].isnan()
    torch.testing.assert_close(gapped.per_sample()[1:], whole[1:])
    assert gapped.compute() == pytest.approx(whole[1:].mean().item(), abs=1e-6)
    with pytest.raises(ValueError, match="missing='ignore': choose error"):
        CaptionSimilarity(clip, missing="ignore")  # type: ignore[arg-type]


def test_direction_sees_the_edit_not_the_picture(clip: OpenClipEncoder, scenes: PairBatch) -> None:
    metric = DirectionSimilarity(clip)
    there = metric.measure(scenes.edited_image, scenes)
    back = replace(scenes, original_caption=scenes.edited_caption, edited_caption=scenes.original_caption)
    torch.testing.assert_close(metric.measure(scenes.edited_image, back), -there, rtol=0, atol=1e-5)
