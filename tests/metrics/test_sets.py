"""Sets of metrics open what they share once, and only if it is used."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ip2p_lightning.config import build, compose
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.metrics import L1, ImageSimilarity, InputSimilarity, InRegion, metric_set
from ip2p_lightning.metrics.encoders import OpenClipEncoder, TimmEncoder
from ip2p_lightning.metrics.perceptual import LPIPS


def test_one_encoder_for_all_who_name_it(clip: OpenClipEncoder) -> None:
    opened: list[str] = []

    def opening(name: str) -> Any:
        opened.append(name)
        return clip

    metrics = metric_set(
        {
            "plain": L1(),
            "truth": partial(ImageSimilarity, encoder="clip"),
            "input": partial(InputSimilarity, encoder="clip", label="to the input"),
            "there": partial(InRegion, region="changed", metric="truth"),
            "left out": None,
            "with it": partial(InRegion, region="changed", metric="left out"),
        },
        {"clip": partial(opening, "clip"), "dino": partial(opening, "dino")},
    )
    assert opened == ["clip"]
    assert list(metrics) == ["plain", "truth", "input", "there"]
    assert metrics["truth"].encoder is metrics["input"].encoder
    assert metrics["there"].metric is metrics["truth"]
    with pytest.raises(ValueError, match="no metric 'nothing'"):
        metric_set({"a": partial(InRegion, region="kept", metric="nothing")}, {})
    with pytest.raises(ValueError, match="no shared part 'clop', only clip"):
        metric_set({"a": partial(ImageSimilarity, encoder="clop")}, {"clip": partial(opening, "clip")})


def test_weights_that_cannot_be_had_are_an_error_or_a_gap(
    clip: OpenClipEncoder, scenes: PairBatch, tmp_path: Path
) -> None:
    tried: list[str] = []

    def lost() -> Any:
        tried.append("dino")
        return TimmEncoder.from_pretrained(weights=str(tmp_path / "dino.pth"))

    metrics: dict[str, Any] = {
        "clip_i": partial(ImageSimilarity, encoder="clip", label="CLIP-I"),
        "dino": partial(ImageSimilarity, encoder="dino", label="DINO"),
        "dino_kept": partial(InRegion, region="kept", metric="dino"),
        "dino_input": partial(InputSimilarity, encoder="dino"),
        "lpips": partial(LPIPS, backbone=tmp_path / "alexnet.pth"),
    }
    shared = {"clip": lambda: clip, "dino": lost}
    with pytest.raises(FileNotFoundError):
        metric_set(metrics, shared)
    tried.clear()
    made = metric_set(metrics, shared, missing="gap")
    assert list(made) == list(metrics)
    assert tried == ["dino"]
    assert made["dino"].label == "DINO"
    assert "alexnet.pth does not exist" in made["lpips"].provenance()["reason"]
    values = {name: metric.measure(scenes.edited_image, scenes) for name, metric in made.items()}
    assert [name for name, value in values.items() if not value.isnan().any()] == ["clip_i"]
    assert all(value.isnan().all() for name, value in values.items() if name != "clip_i")
    assert set(made["lpips"].reasons) == {made["lpips"].provenance()["reason"]}


@pytest.mark.parametrize("name", ["world", "ip2p", "magicbrush", "mgie", "full"])
def test_the_papers_sets_are_built(name: str, clip_folder: Path, alexnet_file: Path, tmp_path: Path) -> None:
    config = compose("evaluate", [f"metrics={name}", "missing=gap"]).metrics
    config.shared.clip.name = f"local-dir:{clip_folder}"
    if "pretrained" in config.shared.clip:
        config.shared.clip.pretrained = None
    if "dino" in config.metrics:
        config.metrics.dino = None
    if "lpips" in config.metrics:
        config.metrics.lpips.backbone = str(alexnet_file)
    metrics = build(config)
    assert all(metric.missing == "gap" for metric in metrics.values() if hasattr(metric, "missing"))
    labels = [metric.label for metric in metrics.values()]
    assert len(set(labels) - {"L1"}) == len(labels) - labels.count("L1")  # L1 in grey levels and on [0, 1]
    if name == "magicbrush":
        assert labels == ["L1", "L2", "CLIP-I", "CLIP-T"]
    if name == "full":
        assert {"CLIP-I (CVS)", "LPIPS where it should change", "CLIP direction", "PSNR"} <= set(labels)
