"""Images from words: requests to a text-to-image pipeline, in batches, each from the noise of its own seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.batches import SQUARES_UP_TO, fitted
from ip2p_lightning.editors.request import OnStep, Step, checked_seed
from ip2p_lightning.serving.engines import Ready


@dataclass(frozen=True)
class DrawRequest:
    """One image that is asked for.

    Args:
        prompt: what it shows.
        seed: of the noise; equal seeds give equal images, whatever else is in the batch.
        size: width and height in pixels; None for the model's own.
        sampling: overrides of the model's steps and `text_scale`; the others say nothing here.

    Raises:
        ValueError: an empty prompt, or a seed out of range.
    """

    prompt: str
    seed: int = 0
    size: tuple[int, int] | None = None
    sampling: SamplingSettings = field(default_factory=SamplingSettings)

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError("the prompt is empty; say what the image shows, for example 'a red castle by the sea'")
        object.__setattr__(self, "seed", checked_seed(self.seed))


@dataclass(frozen=True)
class DrawResult:
    """Result of a request: RGB at the size that was asked for."""

    image: Image.Image
    request: DrawRequest


class DrawEngine:
    """Draws with a `StableDiffusionPipeline`: `DrawRequest` in, `DrawResult` out.

    It draws at the model's own resolution, in the proportions of the size that was asked for (models of 128 pixels and
    less know squares alone), and brings the image to that size, whole and undistorted.

    Args:
        pipeline: its networks, tokenizer and scheduler.
        steps: where a request says none.
        text_scale: weight of classifier-free guidance where a request says none.
        batch_size: images at once.
    """

    def __init__(
        self, pipeline: StableDiffusionPipeline, steps: int = 50, text_scale: float = 7.5, batch_size: int = 8
    ) -> None:
        self.pipeline: Any = pipeline
        self.defaults = SamplingSettings(steps=steps, text_scale=text_scale)
        self.batch_size = batch_size
        network = self.pipeline.unet.config
        self.resolution = network.sample_size * self.pipeline.vae_scale_factor
        self._multiple = self.pipeline.vae_scale_factor * 2 ** (len(network.down_block_types) - 1)

    def pixels(self, request: DrawRequest) -> int:
        """Those of the image that is asked for."""
        width, height = request.size or (self.resolution, self.resolution)
        return width * height

    def prepare(self, requests: Sequence[DrawRequest]) -> list[Ready[DrawRequest]]:
        """See `Engine.prepare`."""
        ready = []
        for request in requests:
            square = (self.resolution, self.resolution)
            blank = Image.new("1", request.size or square)
            size = fitted(blank, self.resolution, self._multiple, self.resolution <= SQUARES_UP_TO).size
            values = request.sampling.over(self.defaults)
            ready.append(Ready(request, (size, values.steps, values.text_scale), (size, values)))
        return ready

    @torch.no_grad()
    def run(self, ready: Sequence[Ready[DrawRequest]], on_step: OnStep) -> list[Image.Image]:
        """See `Engine.run`."""
        (width, height), values = ready[0].work
        places = tuple(range(len(ready)))

        def step(pipeline: Any, index: int, _: Any, state: dict[str, Any]) -> dict[str, Any]:
            on_step(Step(index + 1, pipeline.num_timesteps, places, self._peek(state["latents"])))
            return state

        return self.pipeline(
            [one.request.prompt for one in ready],
            height=height,
            width=width,
            num_inference_steps=values.steps,
            guidance_scale=values.text_scale,
            generator=[torch.Generator().manual_seed(one.request.seed) for one in ready],
            callback_on_step_end=step,
        ).images

    def finish(self, raw: Image.Image, ready: Ready[DrawRequest]) -> DrawResult:
        """See `Engine.finish`."""
        return DrawResult(self.partial(raw, ready), ready.request)

    def partial(self, image: Image.Image, ready: Ready[DrawRequest]) -> Image.Image:
        """As large as fits into the size that was asked for."""
        size = ready.request.size
        return image if size is None else within(image, size)

    def _peek(self, latents: torch.Tensor) -> Callable[[int], torch.Tensor]:
        vae = self.pipeline.vae

        def decoded(row: int) -> torch.Tensor:
            scaled = latents[row : row + 1] / vae.config.scaling_factor
            return vae.decode(scaled, return_dict=False)[0][0].clamp(-1, 1)

        return decoded


def within(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image as large as fits into a size, in its own proportions (Lanczos)."""
    scale = min(size[0] / image.width, size[1] / image.height)
    fitting = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image if fitting == image.size else image.resize(fitting, Image.Resampling.LANCZOS)
