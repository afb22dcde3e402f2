"""Text-to-image behind the queue: equal to the pipeline itself, independent of neighbours, at the size asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.serving.drawing import DrawEngine, DrawRequest, within
from ip2p_lightning.serving.queue import WorkQueue
from ip2p_lightning.zoo.registry import load


@pytest.fixture(scope="module")
def engine() -> DrawEngine:
    return DrawEngine(load("text_to_image"), steps=3, text_scale=1.5, batch_size=4)


def test_an_image_is_the_pipelines_own_whoever_shares_its_batch(engine: DrawEngine, queue: WorkQueue) -> None:
    requests = [DrawRequest(f"a {colour} car", seed=seed) for seed, colour in enumerate(("red", "blue", "green"))]
    sizes: list[int] = []
    queue.on_batch = lambda batch: sizes.append(batch.size)
    results = [one.result(60) for one in queue.submit(engine, requests)]
    for request, result in zip(requests, results, strict=True):
        (alone,) = engine.pipeline(
            request.prompt,
            num_inference_steps=3,
            guidance_scale=1.5,
            generator=torch.Generator().manual_seed(request.seed),
        ).images
        assert np.abs(np.asarray(alone, np.int16) - np.asarray(result.image, np.int16)).max() <= 1
    assert sizes == [3]


def test_sizes_are_filled_without_distortion_and_steps_show_the_image(engine: DrawEngine, queue: WorkQueue) -> None:
    shown: list[tuple[int, int] | None] = []
    request = DrawRequest("a red car", size=(200, 100), sampling=SamplingSettings(steps=2))
    (pending,) = queue.submit(engine, [request], on_step=lambda p: shown.append((image := p.image()) and image.size))
    assert pending.result(60).image.size == (100, 100)
    assert shown == [(100, 100)] * 2
    assert within(Image.new("RGB", (64, 32)), (640, 640)).size == (640, 320)
    assert engine.pixels(request) == 20_000


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="the prompt is empty"):
        DrawRequest(" ")
