"""Our sampling against diffusers' `StableDiffusionInstructPix2PixPipeline`, on the same networks and noise.

At s_I = 1 one of the three evaluations that the pipeline makes in each step has the factor zero: ours leaves it out and
gives the same image. With a guidance interval the steps outside it need one evaluation, and the image changes; what
that costs is reported as the distance to the whole guidance, and as a share of what guidance changes at all. Of a
trained editor of the embedded world (--editor) it is reported as error against the truth, and that alone is measured
then.

python benchmarks/sampling.py [--quick] [--model FOLDER | --editor CHECKPOINT]
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import logging
from interleaved import clock, interleave, machine, report
from interval import quality, show
from torch import Tensor
from train_step import DEVICE, SCHEDULE, networks

from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import UNetDenoiser

INTERVAL = TwoScaleGuidance(7.5, 1.0, start=0.25, stop=0.65)
"""Of the time in the middle, where guidance matters most (Kynkaanniemi et al. 2024)."""


class Comparison:
    """Both ways to edit, on the same networks and images.

    Args:
        unet, vae, text: the networks.
        size: side of the images.
        count: images edited at once.
        steps: denoising steps.
    """

    def __init__(
        self, unet: UNet2DConditionModel, vae: AutoencoderKL, text: TextConditioner, size: int, count: int, steps: int
    ) -> None:
        world = WorldSource(count, size)
        self.images = torch.stack([to_tensor(world[index].original_image) for index in range(count)]).to(DEVICE)
        self.instructions = [world[index].instruction for index in range(count)]
        self.steps, self.text = steps, text
        scheduler = EulerAncestralDiscreteScheduler(timestep_spacing="linspace", **SCHEDULE)
        self.pipeline = StableDiffusionInstructPix2PixPipeline(
            vae, text.text_encoder, text.tokenizer, unet, scheduler, None, None, requires_safety_checker=False
        )
        self.pipeline.set_progress_bar_config(disable=True)
        self.denoiser, self.autoencoder = UNetDenoiser(unet).eval(), Autoencoder(vae)
        self.sampler = Sampler(scheduler, steps)

    @torch.no_grad()
    def theirs(self) -> Tensor:
        """Images [B, 3, H, W] in [0, 1] by the pipeline at s_T = 7.5, s_I = 1."""
        return self.pipeline(
            self.instructions,
            (self.images + 1) / 2,
            num_inference_steps=self.steps,
            guidance_scale=7.5,
            image_guidance_scale=1.0,
            generator=torch.Generator().manual_seed(0),
            output_type="pt",
        ).images

    @torch.no_grad()
    def ours(self, guidance: TwoScaleGuidance) -> Tensor:
        """The same by our sampler."""
        condition = self.text.condition(self.instructions, self.images)
        latents = self.sampler(
            self.denoiser,
            self.autoencoder.encode_original(self.images),
            condition.states,
            condition.null_states,
            guidance=guidance,
            generator=torch.Generator().manual_seed(0),
        )
        return (self.autoencoder.decode(latents) + 1) / 2


def timed(edit: Callable[[], Any]) -> float:
    """Seconds of one call."""
    begun = clock()
    edit()
    return clock() - begun


def evaluations(guidance: TwoScaleGuidance, steps: int) -> float:
    """Evaluations of the denoiser a step, on average."""
    return sum(len(guidance.branches(step / steps)) for step in range(steps)) / steps


def seeing(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """A random UNet whose output is noise of the right size, so that edits differ by their conditions."""
    torch.nn.init.normal_(unet.conv_out.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    return unet


def opened(model: str | None, divisor: int) -> tuple[UNet2DConditionModel, AutoencoderKL, TextConditioner]:
    """A trained pipeline's networks, or random ones."""
    if model is None:
        unet, vae, text = networks(divisor)
        return seeing(unet.cpu()).to(DEVICE).eval(), vae, text
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        model, safety_checker=None, requires_safety_checker=False, use_safetensors=True
    ).to(DEVICE)
    text = TextConditioner(pipeline.tokenizer, pipeline.text_encoder.requires_grad_(False))
    return pipeline.unet.eval(), pipeline.vae, text.eval()


def main(quick: bool, model: str | None) -> None:
    """Compare the pipeline, ours, and ours with a guidance interval."""
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    divisor, size, count, steps, repeats = (32, 32, 1, 4, 2) if quick else (8, 256, 4, 50, 2)
    compared = Comparison(*opened(model, divisor), size, count, steps)
    whole = TwoScaleGuidance(7.5, 1.0)
    theirs, same, narrow = compared.theirs(), compared.ours(whole), compared.ours(INTERVAL)
    unguided = compared.ours(replace(whole, text_scale=1.0))
    guided_by = (same - unguided).abs().mean()
    facts = {
        "difference": (theirs - same).abs().max().item(),
        "interval": [INTERVAL.start, INTERVAL.stop],
        "evaluations": {"ours": evaluations(whole, steps), "interval": evaluations(INTERVAL, steps)},
        "interval_error_of_255": (narrow - same).abs().mean().item() * 255,
        "share_of_guidance_lost": ((narrow - same).abs().mean() / guided_by.clamp_min(1e-12)).item(),
    }
    ways = {
        "diffusers' pipeline": lambda: timed(compared.theirs),
        "ours": lambda: timed(lambda: compared.ours(whole)),
        "ours, guidance interval": lambda: timed(lambda: compared.ours(INTERVAL)),
    }
    seconds = interleave(ways, repeats)
    report(f"an edit in {steps} steps at s_I = 1", seconds, "diffusers' pipeline", "seconds", facts)


def compare_quality(checkpoint: str, quick: bool) -> None:
    """Cost of the interval for a trained editor, as a table and a line of JSON."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    count, steps, scales = (4, 4, [2.0]) if quick else (128, 8, [1.5, 3.0])
    interval = INTERVAL.start, INTERVAL.stop
    entries = quality(checkpoint, scales, interval, count, steps)
    show(entries, f"{count} held-out pairs in {steps} steps at s_I = 1; interval {interval}")
    print(json.dumps({"pairs": count, "steps": steps, "interval": interval, "quality": entries, "machine": machine()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny networks, a few steps: does it run?")
    parser.add_argument("--model", help="folder or hub name of a trained pipeline, to tell what the interval costs")
    parser.add_argument("--editor", help="checkpoint trained on the world's simple level: quality against the truth")
    arguments = parser.parse_args()
    if arguments.editor:
        compare_quality(arguments.editor, arguments.quick)
    else:
        main(arguments.quick, arguments.model)
