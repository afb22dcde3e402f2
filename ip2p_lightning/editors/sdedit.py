"""SDEdit (Meng et al. 2022): noise the original half-way and denoise it under the edited caption."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor, nn

from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.batches import OnBatchStep, fitted, in_batches
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep, need_captions
from ip2p_lightning.models.autoencoder import Autoencoder


class SDEdit(Editor):
    """Edits with any text-to-image `StableDiffusionPipeline`, as diffusers' `StableDiffusionImg2ImgPipeline` does.

    An image's noise comes from a CPU generator of its own, so that a result does not depend on its batch, and every
    strength starts from the same noise.

    Args:
        pipeline: its networks, tokenizer and scheduler.
        strength: share of the noise that is added and removed again: near 0 the original comes back, 1 keeps nothing
            of it but what the noisiest step leaves. InstructPix2Pix sweeps it for its Figure 8.
        text_scale: weight of classifier-free guidance; 7.5 for Stable Diffusion, about 2 in the embedded world.
        steps: denoising steps of the whole way, of which the last `strength` are taken.
        resolution: longer side in pixels at which PIL images are edited (tensors keep their size); None for the
            pipeline's own.
        batch_size: images at once.

    Raises:
        ValueError: a strength that leaves no step, or that is above 1.
    """

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        strength: float = 0.6,
        text_scale: float = 7.5,
        steps: int = 50,
        resolution: int | None = None,
        batch_size: int = 8,
    ) -> None:
        self.pipeline: Any = pipeline
        self.strength, self.text_scale, self.steps = strength, text_scale, steps
        self.autoencoder = Autoencoder(self.pipeline.vae)
        network = self.pipeline.unet.config
        self.resolution = resolution or self.autoencoder.factor * network.sample_size
        self.batch_size = batch_size
        self._multiple = self.autoencoder.factor * 2 ** (len(network.down_block_types) - 1)
        self._taken(steps)

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """See `Editor.edit_prepared`; reads the edited captions, neither the instructions nor `image_scale`.

        Raises:
            ValueError: captions that are missing, or too few steps for the strength.
        """
        need_captions(self, requests)
        for request in requests:
            self._taken(request.sampling.steps or self.steps)

        def change(originals: Tensor, batch: list[EditRequest], on_step: OnBatchStep) -> tuple[Tensor, list[str]]:
            generators = [torch.Generator().manual_seed(request.seed) for request in batch]
            texts = [caption.edited for caption in need_captions(self, batch)]
            values = batch[0].sampling
            scale = self.text_scale if values.text_scale is None else values.text_scale
            return self._edited(originals, texts, generators, scale, values.steps or self.steps, on_step), []

        return in_batches(requests, self.batch_size, change, on_step)

    def fit(self, image: Image.Image) -> Image.Image:
        """A PIL RGB image at the size at which it is edited, see `fitted`."""
        return fitted(image, self.resolution, self._multiple)

    def networks(self) -> list[nn.Module]:
        """The autoencoder and the pipeline's networks."""
        parts = self.pipeline.components.values()
        return [self.autoencoder, *(part for part in parts if isinstance(part, nn.Module))]

    @torch.no_grad()
    def _edited(
        self,
        originals: Tensor,
        texts: list[str],
        generators: list[torch.Generator],
        scale: float,
        steps: int,
        on_step: OnBatchStep,
    ) -> Tensor:
        """Edited images [B, 3, H, W]; draws in the order in which diffusers does: posterior, noise, steps."""
        unet, device = self.pipeline.unet, self.pipeline.unet.device
        scheduler = copy.deepcopy(self.pipeline.scheduler)
        scheduler.set_timesteps(steps, device=device)
        skipped = (steps - self._taken(steps)) * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(skipped)
        guided = scale != 1
        states, null = self.pipeline.encode_prompt(texts, device, 1, guided)
        states = torch.cat([null, states]) if guided else states
        clean = self.autoencoder.encode_edited(originals.to(device, unet.dtype), generators)
        noise = randn_tensor(clean.shape, generators, clean.device, clean.dtype)
        timesteps = scheduler.timesteps[skipped:]
        current = scheduler.add_noise(clean, noise, timesteps[:1].repeat(len(clean)))
        extra = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
        for number, t in enumerate(timesteps, 1):
            noisy = scheduler.scale_model_input(torch.cat([current] * (1 + guided)), t)
            prediction = unet(noisy, t, encoder_hidden_states=states, return_dict=False)[0]
            if guided:
                without, given = prediction.chunk(2)
                prediction = without + scale * (given - without)
            current, *clean = scheduler.step(prediction, t, current, **extra, return_dict=False)
            on_step(number, len(timesteps), self._peek(clean[0] if clean else current))
        return self.autoencoder.decode(current)

    def _peek(self, latents: Tensor) -> Callable[[int], Tensor]:
        return lambda row: self.autoencoder.decode(latents[row : row + 1])[0]

    def _taken(self, steps: int) -> int:
        """Number of steps taken."""
        taken = int(steps * self.strength)
        if not 1 <= taken <= steps:
            raise ValueError(
                f"strength={self.strength} of {steps} steps: strength must lie in (0, 1] and leave at least one step; "
                "use more steps, or CopyInput for a strength of 0"
            )
        return taken
