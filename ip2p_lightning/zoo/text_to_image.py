"""The text-to-image model: packed, opened, and how much of its captions the judge finds in its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.generation.pipelines import load_pipeline
from ip2p_lightning.methods.checkpoint import load_method
from ip2p_lightning.methods.text_to_image import TextToImageModule
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.zoo.card import batches
from ip2p_lightning.zoo.figures import Tally, family
from ip2p_lightning.zoo.precision import open_in_float32
from ip2p_lightning.zoo.registry import load as load_model

SUMMARY = "a Stable Diffusion in small: 64-pixel scenes of the embedded world from their captions"
EXPERIMENT = "zoo/text_to_image"
LEVEL = "simple"
LARGEST_BYTES = 12_000_000
LIMITS = (
    "It knows the captions of the embedded world's simple level alone, and draws 64 x 64 pixels.",
    "Its figures are what the judge finds; put the judge's own accuracy on true images next to them.",
)
STEPS, GUIDANCE = 8, 1.5


def pack(checkpoint: Path, folder: Path) -> None:
    """Write the averaged weights of a run of `zoo/text_to_image` as a `StableDiffusionPipeline` in float16."""
    pipeline = load_method(checkpoint, TextToImageModule).pipeline()
    pipeline.unet.half()
    pipeline.text_encoder.half()
    pipeline.save_pretrained(str(folder))
    open_in_float32(folder)


def load(folder: Path) -> StableDiffusionPipeline:
    """The pipeline in float32, without progress bars."""
    return load_pipeline(folder)


def measure(pipeline: StableDiffusionPipeline, pairs: PairSource, root: Path | None = None) -> dict[str, Interval]:
    """The judge's readings of images generated from the originals' captions, and of the originals themselves.

    Args:
        pipeline: what is measured.
        pairs: pairs with captions and attributes; a different seed for each.
        root: where the judge lies; in the package if None.

    Returns:
        "accuracy" and one figure for each family of attributes, and "ceiling", the accuracy on the true images.
    """
    judge: AttributeJudge = load_model("judge", root)
    made, true = Tally(), Tally()
    for number, batch in enumerate(batches(pairs)):
        side = batch.original_image.shape[-1]
        output: Any = pipeline(
            batch.original_caption,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            height=side,
            width=side,
            generator=torch.Generator().manual_seed(number),
            output_type="pt",
        )
        truths = [entry["attributes"]["original"] for entry in batch.metadata]
        for tally, pictures in ((made, output.images * 2 - 1), (true, batch.original_image)):
            for reading, truth in zip(judge.read(pictures), truths, strict=True):
                tally.compare(reading, truth)
    figures = made.intervals(first=("accuracy", *dict.fromkeys(map(family, judge.attributes))))
    return figures | {"ceiling": true.intervals()["accuracy"]}
