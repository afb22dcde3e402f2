"""diffusers pipelines for the models that no pipeline of diffusers can run, MGIE's above all.

A pipeline holds components in their own formats, each of which loads alone with `from_pretrained`, and lends them to
an `EditingModel` for the work, so that an image is the same here and there.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from diffusers import (
    DDPMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, LlavaForConditionalGeneration, PreTrainedModel, PreTrainedTokenizerBase

# diffusers opens classes of ours in modules that are imported, and in no others.
import ip2p_lightning.models.identity
import ip2p_lightning.models.patch_pca
import ip2p_lightning.models.taef2  # noqa: F401
from ip2p_lightning.conditioners.base import Conditioner
from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.multimodal import MultimodalConditioner
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.data.images import as_rgb
from ip2p_lightning.diffusion.objective import DiffusionObjective, FlowMatchingObjective
from ip2p_lightning.diffusion.sampling import Sampler
from ip2p_lightning.diffusion.settings import PAPER, SamplingSettings
from ip2p_lightning.methods.editing_model import EditingModel
from ip2p_lightning.methods.request import check_instructions
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import TransformerDenoiser, UNetDenoiser
from ip2p_lightning.models.edit_head import EditHead

_USAGE: dict[str, Any] = {"residual": 0.0, "scale_original": False, **asdict(PAPER)}
"""Settings of the parts' use, with the values for folders that state none."""


@dataclass
class EditingPipelineOutput(BaseOutput):
    """Output of a pipeline.

    Args:
        images: edited images, in the `output_type` asked for.
        expressive_instructions: what a language model wrote for each, else empty.
    """

    images: Any
    expressive_instructions: list[str]


class EditingPipeline(DiffusionPipeline):
    """Denoiser, autoencoder and scheduler, and how they are used. Subclasses add what conditions.

    The keyword values that are no components stand in `model_index.json`: `residual` (see `Denoiser`),
    `scale_original` (see `Autoencoder`), and the defaults of sampling (see `SamplingSettings`).
    """

    _optional_components = ["unet", "transformer"]

    def __init_subclass__(cls, **options: Any) -> None:
        """Name the values of `_USAGE` in the signature of `__init__`, where diffusers looks for what it may pass."""
        super().__init_subclass__(**options)
        signature = inspect.signature(cls.__init__)
        named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        usage = [inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=v) for k, v in _USAGE.items()]
        cls.__init__.__signature__ = signature.replace(parameters=[*named, *usage])  # type: ignore[attr-defined]

    @abstractmethod
    def conditioner(self) -> Conditioner:
        """The conditioner around the pipeline's components."""

    def as_module(self) -> EditingModel:
        """An `EditingModel` around the pipeline's components (shared, not copied)."""
        values: Any = self.config
        kind, network = (UNetDenoiser, self.unet) if self.unet else (TransformerDenoiser, self.transformer)
        return EditingModel(
            conditioner=self.conditioner(),
            denoiser=kind(network, residual=values.residual),  # type: ignore[arg-type]
            autoencoder=Autoencoder(self.vae, scale_original=values.scale_original),
            objective=objective_of(self.scheduler),
            sampler=Sampler.of(self.scheduler, SamplingSettings.read(values)),
        ).eval()

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        image: Image.Image | Tensor | Sequence[Image.Image],
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> EditingPipelineOutput | tuple[Any, list[str]]:
        """Edit images, with the names of `StableDiffusionInstructPix2PixPipeline`.

        Args:
            prompt: one instruction, or one for each image.
            image: one image (for every instruction), or as many as instructions; PIL of any mode, or tensors
                [B, 3, H, W] in [0, 1] as diffusers has them. Sides are floored to what the autoencoder divides by.
            num_inference_steps: None for the pipeline's own.
            guidance_scale: s_T; None for the pipeline's own.
            image_guidance_scale: s_I; None for the pipeline's own.
            generator: one, or one for each image.
            output_type: "pil", "np" or "pt".
            return_dict: return an `EditingPipelineOutput` instead of a tuple of its fields.

        Raises:
            ValueError: an empty instruction, or numbers that do not agree.
        """
        module = self.as_module()
        processor = VaeImageProcessor(vae_scale_factor=module.autoencoder.factor)
        if not isinstance(image, Tensor):
            image = [as_rgb(picture) for picture in ([image] if isinstance(image, Image.Image) else image)]
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        pixels = processor.preprocess(image).to(self._execution_device).type(module.denoiser.network.dtype)
        pixels = pixels.expand(len(prompts), -1, -1, -1) if len(pixels) == 1 else pixels
        check_instructions(prompts, len(pixels))
        edited, condition = module.edit(
            pixels,
            prompts,
            generator=generator,
            **module.sampler.options(SamplingSettings(num_inference_steps, guidance_scale, image_guidance_scale)),
        )
        images = processor.postprocess(edited, output_type=output_type)
        self.maybe_free_model_hooks()
        output = EditingPipelineOutput(images=images, expressive_instructions=condition.expressive_instructions)
        return output if return_dict else output.to_tuple()


class TextEditingPipeline(EditingPipeline):
    """A text encoder conditions, as in InstructPix2Pix, on architectures other than Stable Diffusion's.

    Args:
        text_encoder: CLIP's.
        tokenizer: its `model_max_length` is the number of conditioning states.
        vae: autoencoder with the surface of diffusers' VAEs.
        scheduler: for sampling.
        unet: denoiser, or
        transformer: denoiser.
        mask, pooled: see `TextConditioner`.
        usage: see `EditingPipeline`.
    """

    model_cpu_offload_seq = "text_encoder->unet->transformer->vae"

    def __init__(
        self,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        vae: Any,
        scheduler: Any,
        unet: UNet2DConditionModel | None = None,
        transformer: SD3Transformer2DModel | None = None,
        mask: bool = False,
        pooled: bool = False,
        **usage: Any,
    ) -> None:
        super().__init__()
        self.register_modules(
            text_encoder=text_encoder, tokenizer=tokenizer, vae=vae, scheduler=scheduler, unet=unet,
            transformer=transformer,
        )  # fmt: skip
        asked = {name: True for name, value in (("mask", mask), ("pooled", pooled)) if value}
        self.register_to_config(**_USAGE | usage | asked)

    def conditioner(self) -> Conditioner:
        """See `EditingPipeline.conditioner`."""
        asked = {name: True for name in ("mask", "pooled") if name in self.config}
        return TextConditioner(self.tokenizer, self.text_encoder, **asked)


class MGIEPipeline(EditingPipeline):
    """MGIE and LGIE: a language model derives the expressive instruction, the edit head the denoiser's conditioning.

    Args:
        mllm: `LlavaForConditionalGeneration` (MGIE), or a causal language model (LGIE).
        tokenizer: with the [IMG] tokens.
        edit_head: visual tokens to conditioning states.
        vae: autoencoder with the surface of diffusers' VAEs.
        scheduler: for sampling.
        unet: denoiser, or
        transformer: denoiser.
        template: the prompt, with "{instruction}" and for MGIE "{picture}".
        max_text_length, max_new_tokens, no_repeat_ngram_size, expressive: see `LanguageModelConditioner`.
        usage: see `EditingPipeline`.
    """

    model_cpu_offload_seq = "mllm->edit_head->unet->transformer->vae"

    def __init__(
        self,
        mllm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        edit_head: EditHead,
        vae: Any,
        scheduler: Any,
        unet: UNet2DConditionModel | None = None,
        transformer: SD3Transformer2DModel | None = None,
        template: str = "{instruction}",
        max_text_length: int = 256,
        max_new_tokens: int = 96,
        no_repeat_ngram_size: int = 0,
        expressive: bool = True,
        **usage: Any,
    ) -> None:
        super().__init__()
        self.register_modules(
            mllm=mllm, tokenizer=tokenizer, edit_head=edit_head, vae=vae, scheduler=scheduler, unet=unet,
            transformer=transformer,
        )  # fmt: skip
        self.register_to_config(
            template=template, max_text_length=max_text_length, max_new_tokens=max_new_tokens,
            no_repeat_ngram_size=no_repeat_ngram_size, expressive=expressive, **_USAGE | usage,
        )  # fmt: skip

    def conditioner(self) -> Conditioner:
        """See `EditingPipeline.conditioner`."""
        sees = isinstance(self.mllm, LlavaForConditionalGeneration)
        values: Any = self.config
        return (MultimodalConditioner if sees else LanguageModelConditioner)(
            self.mllm,
            self.tokenizer,
            self.edit_head,
            template=values.template,
            max_text_length=values.max_text_length,
            max_new_tokens=values.max_new_tokens,
            no_repeat_ngram_size=values.no_repeat_ngram_size,
            expressive=values.expressive,
        )


def objective_of(scheduler: Any) -> DiffusionObjective | FlowMatchingObjective:
    """The objective whose training a scheduler undoes."""
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        return FlowMatchingObjective(scheduler)
    noising: Any = DDPMScheduler.from_config(scheduler.config)
    return DiffusionObjective(noising)
