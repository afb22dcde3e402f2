"""Pairs of images from a text-to-image model and Prompt-to-Prompt (InstructPix2Pix section 3.1.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from ip2p_lightning.diffusion.ancestral import EulerAncestral
from ip2p_lightning.diffusion.paired_sampling import PairedSampling, PairRequest, check_scheduler
from ip2p_lightning.diffusion.prompt_to_prompt import CrossEdit, PromptToPrompt, injected_steps
from ip2p_lightning.diffusion.token_alignment import cross_edit
from ip2p_lightning.generation.base import Candidate, Draw, EditTriple, Promising, UnmakeableTriple


class PromptToPromptMaker:
    """Samples both images of a pair with the same noise and, for a share p of the steps, the same self-attention.

    What candidates have in common is computed once: those of one seed and guidance share the original, and the edited
    image until their p is over. A pair depends on its candidate alone, up to rounding.

    Args:
        pipeline: text encoder, UNet, autoencoder; in evaluation mode, on the device to use.
        steps: denoising steps; 100 in the paper.
        batch_size: samples in one call of the denoiser; a guided pair alone is four.
        scheduler: `euler_ancestral(pipeline)` if None.
        size: side of the images in pixels; the pipeline's own if None.
        cross: Prompt-to-Prompt's cross-attention edit in addition: "auto", "replace" or "refine"; None as in
            InstructPix2Pix's code.
        cross_share: share of the steps in which cross-attention follows.
        weights: reweighting, in addition to `cross`: word of the edited caption -> factor of its attention, such as
            {"snowy": 2.0}; captions without the word are left alone.
        name: model and version for the run card; the pipeline's path if "".

    Raises:
        ValueError: a scheduler with a memory, a batch that has no room for a pair, or weights without `cross`.
    """

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        steps: int = 100,
        batch_size: int = 32,
        scheduler: Any = None,
        size: int | None = None,
        cross: Literal["auto", "replace", "refine"] | None = None,
        cross_share: float = 0.8,
        weights: Mapping[str, float] | None = None,
        name: str = "",
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps={steps}: at least one denoising step is needed")
        if batch_size < 4:
            raise ValueError(f"batch_size={batch_size}: a guided pair is four samples of the denoiser; give it that")
        if weights and cross is None:
            raise ValueError("weights change what cross-attention edits take over; give cross=auto, replace or refine")
        self.pipeline = pipeline
        self.steps = steps
        self.batch_size = batch_size
        self.scheduler = scheduler or euler_ancestral(pipeline)
        check_scheduler(self.scheduler)
        self.size = size
        self.cross: Literal["auto", "replace", "refine"] | None = cross
        self.cross_share, self.weights = cross_share, dict(weights or {})
        self.name = name or str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)
        self.calls = 0

    def make(self, triple: EditTriple, candidates: Sequence[Draw], steps: int | None = None) -> list[Candidate]:
        """See `PairMaker.make`."""
        made = self.make_promising(triple, candidates, lambda pairs, made: [True] * len(pairs), (), steps)
        return [pair for pair in made if pair is not None]

    @torch.no_grad()
    def make_promising(
        self,
        triple: EditTriple,
        candidates: Sequence[Draw],
        promising: Promising,
        at: Sequence[float],
        steps: int | None = None,
    ) -> list[Candidate | None]:
        """See `PreviewingPairMaker.make_promising`; previews are the estimates of the clean latents, decoded."""
        if not candidates:
            return []
        steps = steps or self.steps
        sampling = PairedSampling(
            self.pipeline.unet,
            self.scheduler,
            self._states(triple),
            [PairRequest(c.seed, c.guidance_scale, injected_steps(c.share, steps)) for c in candidates],
            self._shape(),
            steps,
            self.batch_size,
            self._cross_edit(triple),
        )
        looks = {max(1, round(share * sampling.steps)) for share in at}
        try:
            with PromptToPrompt(self.pipeline.unet) as control:
                while not sampling.finished:
                    sampling.advance(control)
                    if sampling.index in looks and not sampling.finished and sampling.branches:
                        numbers, pairs = self._pictures(sampling, self._clean(sampling), candidates)
                        answers = zip(numbers, promising(pairs, sampling.index / sampling.steps), strict=True)
                        sampling.drop(number for number, keep in answers if not keep)
        finally:
            self.calls += sampling.calls
        made: list[Candidate | None] = [None] * len(candidates)
        for number, pair in zip(*self._pictures(sampling, sampling.latents, candidates), strict=True):
            made[number] = pair
        return made

    def _states(self, triple: EditTriple) -> Tensor:
        """[3, L, D] of "" and both captions."""
        captions = [triple.original_caption, triple.edited_caption]
        states: Any = self.pipeline.encode_prompt(captions, self.pipeline.unet.device, 1, True)
        told, null = states
        return torch.cat([null[:1], told]).to(self.pipeline.unet.dtype)

    def _shape(self) -> tuple[int, int, int]:
        config = self.pipeline.unet.config
        if self.size is not None:
            height = width = self.size // self.pipeline.vae_scale_factor
        else:
            sides = config.sample_size
            height, width = (sides, sides) if isinstance(sides, int) else sides
        return config.in_channels, height, width

    def _cross_edit(self, triple: EditTriple) -> CrossEdit | None:
        if self.cross is None:
            return None
        captions = triple.original_caption, triple.edited_caption
        self._check_captions(captions)
        words = triple.edited_caption.split()
        weights = {word: factor for word, factor in self.weights.items() if word in words}
        return cross_edit(self.pipeline.tokenizer, *captions, kind=self.cross, share=self.cross_share, weights=weights)

    def _check_captions(self, captions: tuple[str, str]) -> None:
        """Raise UnmakeableTriple for captions whose words cannot be followed; nothing but other texts would help."""
        tokenizer: Any = self.pipeline.tokenizer
        for caption, ids in zip(captions, tokenizer(list(captions)).input_ids, strict=True):
            if len(ids) > tokenizer.model_max_length:
                detail = f"{len(ids)} tokens of at most {tokenizer.model_max_length}: {caption}"
                raise UnmakeableTriple("beyond the text encoder", detail)
        if self.cross == "replace" and len(captions[0].split()) != len(captions[1].split()):
            raise UnmakeableTriple(
                "unequal numbers of words", f"{captions[0]} -> {captions[1]}; cross=auto refines these"
            )

    def _clean(self, sampling: PairedSampling) -> Tensor:
        if sampling.clean is None:
            raise ValueError(
                f"{type(self.scheduler).__name__} does not estimate the clean image while it samples, so there are "
                "no previews; use EulerAncestralDiscreteScheduler, DDIMScheduler or DDPMScheduler"
            )
        return sampling.clean

    def _pictures(
        self, sampling: PairedSampling, latents: Tensor, candidates: Sequence[Draw]
    ) -> tuple[list[int], list[Candidate]]:
        rows = sampling.rows()
        images = self._decode(latents)
        return list(rows), [Candidate(candidates[n], images[a], images[b]) for n, (a, b) in rows.items()]

    def _decode(self, latents: Tensor) -> list[Tensor]:
        """Latents [S, C, h, w] to images [3, H, W] in [-1, 1], float32 on the CPU."""
        vae = self.pipeline.vae
        decoded: list[Tensor] = []
        if not len(latents):
            return decoded
        for part in (latents / vae.config.scaling_factor).split(self.batch_size):
            decoded += vae.decode(part.to(vae.dtype)).sample.float().clamp(-1, 1).cpu()
        return decoded


def euler_ancestral(pipeline: StableDiffusionPipeline) -> EulerAncestral:
    """The paper's sampler, with the noise schedule, prediction and spacing of a pipeline."""
    return EulerAncestral.from_config(pipeline.scheduler.config)  # type: ignore[return-value]
