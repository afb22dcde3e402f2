"""Images from words by a cascade of Imagen, in batches: the same requests and results as `drawing` has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.diffusion.stage_sampling import StageSettings
from ip2p_lightning.editors.request import OnStep, Step
from ip2p_lightning.interop.cascade import Cascade
from ip2p_lightning.serving.drawing import DrawRequest, DrawResult, within
from ip2p_lightning.serving.engines import Ready


class CascadeEngine:
    """Draws with all stages of a cascade: `DrawRequest` in, `DrawResult` out.

    A request's `steps` and `text_scale` are those of every stage; without them each stage has its own.

    Args:
        cascade: its stages.
        batch_size: images at once.
    """

    def __init__(self, cascade: Cascade, batch_size: int = 8) -> None:
        self.cascade, self.batch_size = cascade, batch_size
        self.resolution = list(cascade.stages.values())[-1].side

    def pixels(self, request: DrawRequest) -> int:
        """Those of the last stage's image, or of the size that is asked for."""
        width, height = request.size or (self.resolution, self.resolution)
        return max(width * height, self.resolution**2)

    def prepare(self, requests: Sequence[DrawRequest]) -> list[Ready[DrawRequest]]:
        """See `Engine.prepare`."""
        kinds = [(one.sampling.steps, one.sampling.text_scale) for one in requests]
        return [Ready(request, kind, request.sampling) for request, kind in zip(requests, kinds, strict=True)]

    def run(self, ready: Sequence[Ready[DrawRequest]], on_step: OnStep) -> list[Image.Image]:
        """See `Engine.run`."""
        sampling: SamplingSettings = ready[0].work
        settings = StageSettings(steps=sampling.steps, guidance=sampling.text_scale)
        names, places = list(self.cascade.stages), tuple(range(len(ready)))
        of = sum(sampling.steps or stage.sampler.settings.steps or 0 for stage in self.cascade.stages.values())
        done = 0

        def step(name: str, number: int, of_stage: int) -> None:
            nonlocal done
            done += 1
            on_step(Step(done, max(of, done), places))

        prompts, seeds = zip(*((one.request.prompt, one.request.seed) for one in ready), strict=True)
        with torch.no_grad():
            images = self.cascade(prompts, seeds, dict.fromkeys(names, settings), on_step=step)
        return [to_pil(image) for image in images[names[-1]]]

    def finish(self, raw: Image.Image, ready: Ready[DrawRequest]) -> DrawResult:
        """See `Engine.finish`."""
        return DrawResult(self.partial(raw, ready), ready.request)

    def partial(self, image: Image.Image, ready: Ready[DrawRequest]) -> Image.Image:
        """As large as fits into the size that was asked for."""
        size = ready.request.size
        return image if size is None else within(image, size)
