"""Text-to-image systems behind one protocol: a pipeline of diffusers, or images that another system made before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import listed
from ip2p_lightning.data.paths import file_inside
from ip2p_lightning.evaluation.prompts.prompt_set import Prompt
from ip2p_lightning.metrics.encoders.base import weights_digest

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")


class TextToImage(Protocol):
    """Makes images of prompts. An image depends on (prompt, sample) alone, not on its batch."""

    name: str
    """For tables."""

    def fingerprint(self) -> str:
        """Changes whenever an image may."""
        ...

    def make(self, prompts: Sequence[Prompt], sample: int) -> list[Image.Image]:
        """An image for each prompt, PIL RGB.

        Args:
            prompts: a batch.
            sample: which of several images of each prompt, from 0; the seed of its noise.
        """
        ...


class PipelineSystem:
    """A text-to-image pipeline of diffusers.

    Args:
        name: for tables.
        pipeline: takes prompts, `num_inference_steps`, `guidance_scale` and generators.
        steps: of sampling.
        guidance_scale: of classifier-free guidance.
        options: other arguments of the pipeline's call.
    """

    def __init__(self, name: str, pipeline: Any, steps: int, guidance_scale: float, **options: Any) -> None:
        self.name, self.pipeline, self.options = name, pipeline, options
        self.steps, self.guidance_scale = steps, guidance_scale

    def fingerprint(self) -> str:
        parts = self.pipeline.components.items()
        digests = {name: weights_digest(part) for name, part in parts if isinstance(part, torch.nn.Module)}
        settings = (type(self.pipeline).__name__, self.steps, self.guidance_scale, sorted(self.options.items()))
        return hashlib.sha256(repr((sorted(digests.items()), settings)).encode()).hexdigest()[:16]

    def make(self, prompts: Sequence[Prompt], sample: int) -> list[Image.Image]:
        noise = [torch.Generator().manual_seed(_seed(prompt.id, sample)) for prompt in prompts]
        output = self.pipeline(
            [prompt.text for prompt in prompts],
            num_inference_steps=self.steps,
            guidance_scale=self.guidance_scale,
            generator=noise,
            output_type="pil",
            **self.options,
        )
        return [image.convert("RGB") for image in output.images]


class FolderSystem:
    """Images that another system has made: `<folder>/<prompt id>-<sample>.png`, or `<prompt id>.png` of one sample.

    Args:
        name: for tables.
        folder: of the images.

    Raises:
        FileNotFoundError: no such folder.
    """

    def __init__(self, name: str, folder: str | Path) -> None:
        self.name, self.folder = name, Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder} is no folder of images of the prompts")

    def fingerprint(self) -> str:
        found = listed(self.folder, {ending.lower() for ending in _ENDINGS}, LeftOut())
        files = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in found)
        return hashlib.sha256(repr(files).encode()).hexdigest()[:16]

    def make(self, prompts: Sequence[Prompt], sample: int) -> list[Image.Image]:
        """See `TextToImage.make`.

        Raises:
            FileNotFoundError: a prompt without an image; names the files that it may have.
        """
        return [open_image(self._file(prompt.id, sample)) for prompt in prompts]

    def _file(self, id: str, sample: int) -> Path:
        names = [f"{id}-{sample}", *([id] if sample == 0 else [])]
        for name in names:
            for ending in _ENDINGS:
                try:  # also where macOS has written accents apart from their letters
                    return file_inside(self.folder, name + ending, f"prompt {id!r}")
                except UnusablePair as error:
                    if error.reason != "an image is missing":
                        raise
        called = " or ".join(names)
        raise FileNotFoundError(
            f"{self.folder} has no image of prompt {id!r}, sample {sample}; it should be called {called}.png"
        )


def _seed(id: str, sample: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{id}/{sample}".encode()).digest()[:6], "big")
