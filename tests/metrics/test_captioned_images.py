"""Images of captions: torchmetrics' distances over a given encoder, CLIP score, consistency, attributes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.image.fid import FrechetInceptionDistance

from ip2p_lightning.metrics.captioned_images import CaptionedImages, consistency
from ip2p_lightning.metrics.encoders import JudgeReader, OpenClipEncoder


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder.from_pretrained("zoo:dual_encoder")


def test_consistency_is_zero_for_the_input_itself_and_counts_grey_levels():
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    low = F.interpolate(images, (8, 8), mode="bilinear", antialias=True)
    assert not consistency(images, low).any()
    torch.testing.assert_close(consistency(images, low + 2 / 255), torch.ones(3))


def test_figures(encoder: OpenClipEncoder):
    torch.manual_seed(0)
    images, truth = torch.rand(2, 60, 3, 64, 64) * 2 - 1
    captions = ["a bus"] * 60
    found = CaptionedImages(encoder)
    for part in range(0, 60, 20):
        found.update(images[part : part + 20], captions[part : part + 20], truth[part : part + 20])
    figures = found.compute()
    similarity = (encoder.pictures(images) * encoder.texts(captions)).sum(1).clamp(min=0).mean() * 100
    assert figures["clip_score"] == pytest.approx(float(similarity), abs=1e-3)
    frechet = FrechetInceptionDistance(feature=_features(encoder, images))
    frechet.update(truth, real=True)
    frechet.update(images, real=False)
    assert figures["frechet_distance"] == pytest.approx(float(frechet.compute()), abs=1e-4)
    assert set(figures) == {"clip_score", "frechet_distance", "kernel_distance"}
    assert len(found.values()["clip_score"]) == 60
    same = CaptionedImages(encoder)
    same.update(truth, captions, truth)
    assert same.compute()["frechet_distance"] == pytest.approx(0, abs=1e-4)


def _features(encoder: OpenClipEncoder, images: torch.Tensor):
    class Features(torch.nn.Module):
        num_features = encoder.pictures(images[:1]).shape[1]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return encoder.pictures(x)

    return Features()


def test_attributes_are_the_judges_share():
    judge = JudgeReader.from_pretrained("zoo:judge")
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    readings = judge.read(images)
    wrong = {**readings[1], next(iter(readings[1])): "nothing like it"}
    found = CaptionedImages(judge=judge)
    found.update(images, ["", ""], images, low=torch.zeros(2, 3, 8, 8), attributes=[readings[0], wrong])
    figures = found.compute()
    assert figures["attributes"] == pytest.approx(1 - 0.5 / len(wrong))
    assert set(figures) == {"attributes", "consistency"}
    found.update(images, ["", ""], images, attributes=[None, None])
    assert len(found.values()["attributes"]) == 2
