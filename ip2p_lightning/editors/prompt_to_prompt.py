"""Prompt-to-Prompt (Hertz et al. 2022) on given images, which null-text inversion finds the noise of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor, nn

from ip2p_lightning.diffusion.ddim_inversion import DDIMPath
from ip2p_lightning.diffusion.null_text import Inversion, NullTextInversion
from ip2p_lightning.diffusion.prompt_to_prompt import AttentionPlan, CrossEdit, CrossEdits, PromptToPrompt
from ip2p_lightning.diffusion.token_alignment import cross_edit
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.batches import OnBatchStep, fitted, in_batches
from ip2p_lightning.editors.inversion_memory import InversionMemory
from ip2p_lightning.editors.request import Captions, EditRequest, EditResult, OnStep, need_captions
from ip2p_lightning.models.autoencoder import Autoencoder


class PromptToPromptEditor(Editor):
    """Edits with any text-to-image `StableDiffusionPipeline`.

    Inverts an image under its caption, then samples it again next to the edited caption, which takes over its
    attention. The defaults are those of the paper's code for Stable Diffusion. Nothing is drawn: seeds change nothing.

    Args:
        pipeline: its networks, tokenizer and noise schedule.
        text_scale: weight of classifier-free guidance; 7.5 for Stable Diffusion, about 2 in the embedded world.
        steps: DDIM steps, there and back.
        self_share: share of the steps in which self-attention maps are the original's.
        cross_share: share of the steps in which cross-attention follows the original's.
        kind: how it follows: "replace" words in place, "refine" by alignment, "auto" as the captions allow.
        largest_map: self-attention over more latents than that is never taken over; None for no limit.
        inversion: how the empty texts are optimised.
        memory: of the last inversion, if other editors of this pipeline share it.
        resolution: longer side in pixels at which PIL images are edited (tensors keep their size); None for the
            pipeline's own.
        batch_size: images at once.

    Raises:
        ValueError: shares outside [0, 1].
    """

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        text_scale: float = 7.5,
        steps: int = 50,
        self_share: float = 0.4,
        cross_share: float = 0.8,
        kind: Literal["auto", "replace", "refine"] = "auto",
        largest_map: int | None = 1024,
        inversion: NullTextInversion | None = None,
        memory: InversionMemory | None = None,
        resolution: int | None = None,
        batch_size: int = 4,
    ) -> None:
        if not (0 <= self_share <= 1 and 0 <= cross_share <= 1):
            raise ValueError(f"self_share={self_share} and cross_share={cross_share} are shares of the steps: 0 to 1")
        self.pipeline: Any = pipeline
        self.text_scale, self.steps = text_scale, steps
        self.self_share, self.cross_share, self.largest_map = self_share, cross_share, largest_map
        self.kind: Literal["auto", "replace", "refine"] = kind
        self.inversion, self.memory = inversion or NullTextInversion(), memory
        self.autoencoder = Autoencoder(self.pipeline.vae, scale_original=True)
        network = self.pipeline.unet.config
        self.resolution = resolution or self.autoencoder.factor * network.sample_size
        self.batch_size = batch_size
        self._multiple = self.autoencoder.factor * 2 ** (len(network.down_block_types) - 1)

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """See `Editor.edit_prepared`; reads both captions, neither the instructions, the seeds nor `image_scale`.

        Raises:
            ValueError: captions that are missing or cannot be aligned.
        """
        for caption in need_captions(self, requests, original=True):
            self._cross_edit(caption)

        def change(originals: Tensor, batch: list[EditRequest], on_step: OnBatchStep) -> tuple[Tensor, list[str]]:
            texts = need_captions(self, batch, original=True)
            edits, values = [self._cross_edit(caption) for caption in texts], batch[0].sampling
            scale = self.text_scale if values.text_scale is None else values.text_scale
            edited = self._edited(originals, texts, edits, scale, values.steps or self.steps)[1]
            on_step(1, 1)  # inversion and sampling are one piece of work
            return edited, []

        return in_batches(requests, self.batch_size, change, on_step)

    def fit(self, image: Image.Image) -> Image.Image:
        """A PIL RGB image at the size at which it is edited, see `fitted`."""
        return fitted(image, self.resolution, self._multiple)

    def networks(self) -> list[nn.Module]:
        """The autoencoder and the pipeline's networks."""
        parts = self.pipeline.components.values()
        return [self.autoencoder, *(part for part in parts if isinstance(part, nn.Module))]

    def reconstruct(self, images: Tensor, captions: Sequence[str], *, steps: int | None = None) -> Tensor:
        """Reconstruction of images [B, 3, H, W] by inversion under their captions, which edits start from."""
        both = [Captions(caption, caption) for caption in captions]
        edits = [self._cross_edit(caption) for caption in both]
        return self._edited(images, both, edits, self.text_scale, steps or self.steps)[0]

    def _cross_edit(self, captions: Captions) -> CrossEdit:
        return cross_edit(
            self.pipeline.tokenizer, captions.original, captions.edited, kind=self.kind, share=self.cross_share
        )

    def _edited(
        self, originals: Tensor, captions: list[Captions], edits: list[CrossEdit], scale: float, steps: int
    ) -> tuple[Tensor, Tensor]:
        """The originals as they come back, and the edited images, [B, 3, H, W] each."""
        unet = self.pipeline.unet
        path = DDIMPath(self.pipeline.scheduler, steps, unet.device)
        texts = [caption.original for caption in captions] + [caption.edited for caption in captions]
        with torch.no_grad():
            states, null = self.pipeline.encode_prompt(texts, unet.device, 1, True)
            latents = self.autoencoder.encode_original(originals.to(unet.device, unet.dtype))

        def denoise(sample: Tensor, timestep: Tensor, given: Tensor) -> Tensor:
            return unet(sample, timestep, encoder_hidden_states=given, return_dict=False)[0]

        count = len(captions)
        given = latents, states[:count], null[:count]
        settings = self.pipeline, self.inversion, steps, scale
        memory = self.memory or InversionMemory()
        inverted = memory.get(settings, given, lambda: self.inversion(denoise, path, *given, scale))
        with torch.no_grad():
            clean = self._sample(path, inverted, states, edits, scale)
            return tuple(self.autoencoder.decode(clean).to(originals).chunk(2))  # type: ignore[return-value]

    def _sample(
        self, path: DDIMPath, inverted: Inversion, states: Tensor, edits: list[CrossEdit], scale: float
    ) -> Tensor:
        """Latents [2B, C, h, w] of originals and edited images; those without and those with text, 4B in a call."""
        unet = self.pipeline.unet
        current = torch.cat([inverted.noise] * 2)
        with PromptToPrompt(unet) as control:
            for level in range(len(path)):
                null = inverted.null_states[level]
                control.plan = self._plan(edits, level, len(path), current.device)
                output = unet(
                    torch.cat([current] * 2),
                    path.timesteps[level],
                    encoder_hidden_states=torch.cat([null, null, states]),
                    return_dict=False,
                )[0]
                without, given = output.chunk(2)
                current = path.step(without + scale * (given - without), current, level)
        return current

    def _plan(self, edits: list[CrossEdit], step: int, steps: int, device: torch.device) -> AttentionPlan:
        """Edited images follow originals in the half that reads captions (Hertz et al.)."""
        count = len(edits)
        originals = torch.arange(2 * count, 3 * count, device=device)
        rows = cross = None
        if step < int(self.self_share * steps):
            rows = torch.cat([torch.arange(3 * count, device=device), originals])
        if any(edit.active(step, steps) for edit in edits):
            mappers, own = zip(*(edit.at(step, steps) for edit in edits), strict=True)
            cross = CrossEdits(
                originals + count, originals, torch.stack(mappers).to(device), torch.stack(own).to(device)
            )
        return AttentionPlan(rows, cross, self.largest_map)
