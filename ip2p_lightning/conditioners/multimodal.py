"""MGIE (Fu et al. 2024, section 3): a multimodal language model sees the image and derives what to do with it.

`LlavaForConditionalGeneration` reads image and instruction; everything else is as in `LanguageModelConditioner`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlavaForConditionalGeneration
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.models.mllm import retire_unused_vision

VICUNA_TEMPLATE = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: what will this image be like if '{instruction}'\n{picture} "
    "ASSISTANT:"
)
"""The prompt of the paper's release, on the conversation template of Vicuna 1.1."""


class MultimodalConditioner(LanguageModelConditioner):
    """A `LlavaForConditionalGeneration` and an edit head, as siblings.

    Arguments as for `LanguageModelConditioner`, but the template holds "{picture}" too.
    """

    sees_pictures = True

    def __init__(self, model: LlavaForConditionalGeneration, *args: Any, **kwargs: Any) -> None:
        super().__init__(model, *args, **kwargs)
        retire_unused_vision(model)

    def _picture_tokens(self) -> int:
        config = self.model.config
        cells = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
        return cells + (config.vision_feature_select_strategy == "full")

    def _picture_inputs(self, images: Tensor) -> dict[str, Tensor]:
        pixels = clip_pixels(images, self.model.config.vision_config.image_size)
        return {"pixel_values": pixels.to(self.model.dtype)}


def clip_pixels(images: Tensor, size: int) -> Tensor:
    """Images as CLIP's image processor would give them, but on the device and without a detour over PIL.

    Args:
        images: float [B, 3, H, W] in [-1, 1].
        size: side of the result; the shorter side is resized to it (bicubic), the middle of the longer one is kept.

    Returns:
        float32 [B, 3, size, size], normalised with CLIP's mean and deviation.
    """
    height, width = images.shape[-2:]
    if min(height, width) != size:
        scale = size / min(height, width)
        shape = (max(size, int(height * scale)), max(size, int(width * scale)))
        images = F.interpolate(images.float(), shape, mode="bicubic", antialias=True).clamp(-1, 1)
        height, width = shape
    top, left = (height - size) // 2, (width - size) // 2
    images = images[:, :, top : top + size, left : left + size].float()
    mean, std = (
        torch.tensor(value, device=images.device)[:, None, None] for value in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
    )
    return ((images + 1) / 2 - mean) / std
