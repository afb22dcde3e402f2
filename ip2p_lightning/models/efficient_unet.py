"""Imagen's Efficient U-Net (Saharia et al. 2022, appendix B.1), which diffusers' UNet cannot express.

Most blocks stand at low resolution, where activations are small; skip connections are scaled by 1 / sqrt 2; each
level downsamples before its convolutions and upsamples after them, so that none runs at the level above's resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal, cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ip2p_lightning.models.text_attention import StageCondition, TextAttention

Attention = Literal["none", "cross", "self"]


class EfficientUNet(ModelMixin, ConfigMixin):
    """Predicts an image from a noised one (and a low-resolution one next to it), text and noise level.

    It has the surface of diffusers' UNet, so that diffusers' IF pipelines run it. These split a predicted variance
    off; none is learnt here, and zeros stand in its place.

    Args:
        sample_size: side of the images in pixels; any multiple of 2 ** levels can be asked for.
        in_channels: channels of the noised image and of what is concatenated to it.
        image_channels: C of the prediction.
        widths: channels of each level, from high to low resolution; each level halves the sides.
        blocks: residual blocks of each level, in either direction.
        attention: of each level: "none"; "cross", one attention to the text after the blocks (the 256 -> 1024
            stage); "self", a transformer block over image and text after each residual block (64 -> 256).
        heads: attention heads; must divide the widths of levels with attention.
        text_dim: D of the text encoder's states.
        text_width: width they are projected to.
        condition_width: of the vector of time, noise level and pooled text.
        pooling_heads: heads of the pooling of the text.
        norm_groups: of the group norms; must divide the widths.
        noise_levels: whether `class_labels` tells the noise level of a low-resolution input.

    Raises:
        ValueError: widths, blocks and attention of different lengths.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        sample_size: int = 256,
        in_channels: int = 6,
        image_channels: int = 3,
        widths: Sequence[int] = (128, 256, 512, 1024),
        blocks: Sequence[int] = (2, 4, 8, 8),
        attention: Sequence[Attention] = ("none", "none", "none", "self"),
        heads: int = 8,
        text_dim: int = 4096,
        text_width: int = 512,
        condition_width: int = 512,
        pooling_heads: int = 8,
        norm_groups: int = 32,
        noise_levels: bool = True,
    ) -> None:
        super().__init__()
        if not len(widths) == len(blocks) == len(attention):
            raise ValueError(f"widths={widths}, blocks={blocks} and attention={attention} must have one entry a level")
        self.gradient_checkpointing = False
        self.condition = StageCondition(text_dim, text_width, condition_width, pooling_heads, noise_levels)
        self.stem = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        above = (widths[0], *widths[:-1])
        common = (heads, text_width, condition_width, norm_groups)
        levels = list(zip(widths, blocks, attention, strict=True))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(above, widths, strict=True))
        self.down = nn.ModuleList(Level(*level, *common) for level in levels)
        self.up = nn.ModuleList(Level(*level, *common) for level in levels)
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in zip(above, widths, strict=True))
        self.norm = nn.GroupNorm(norm_groups, widths[0])
        self.head = nn.Conv2d(widths[0], image_channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        cross_attention_kwargs: object = None,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """[B, in_channels, H, W] to [B, 2C, H, W], the second half zeros.

        Args:
            sample: the noised image, with what is concatenated to it.
            timestep: one number, or [B].
            encoder_hidden_states: [B, K, D] states of the text.
            class_labels: [B] noise levels of the low-resolution input.
            cross_attention_kwargs: not used; diffusers' pipelines pass it.
            return_dict: return an output object in place of a tuple.
        """
        vector, text = self.condition(timestep, encoder_hidden_states, class_labels)
        x = self.stem(sample)
        skips = [x]
        for shrink, level in zip(self.shrink, self.down, strict=True):
            x = self._level(level, shrink(x), vector, text)
            skips.append(x)
        skips.pop()  # of the lowest level, which the way up begins with
        for grow, level in zip(reversed(self.grow), reversed(self.up), strict=True):
            x = self._level(level, x, vector, text)
            x = grow(F.interpolate(x, scale_factor=2.0, mode="nearest")) + skips.pop() / sqrt(2)
        predicted = self.head(F.silu(self.norm(x)))
        output = torch.cat([predicted, torch.zeros_like(predicted)], dim=1)
        return UNet2DConditionOutput(sample=output) if return_dict else (output,)

    def _level(self, level: nn.Module, x: Tensor, vector: Tensor, text: Tensor) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(level, x, vector, text, use_reentrant=False)
        return level(x, vector, text)


class Level(nn.Module):
    """The blocks of one level in one direction, under one scale and shift from the condition.

    Args:
        width: channels.
        blocks: residual blocks.
        attention: see `EfficientUNet`.
        heads, text_width, condition_width, norm_groups: see `EfficientUNet`.
    """

    def __init__(
        self,
        width: int,
        blocks: int,
        attention: Attention,
        heads: int,
        text_width: int,
        condition_width: int,
        norm_groups: int,
    ) -> None:
        super().__init__()
        self.combine = nn.Linear(condition_width, 2 * width)
        self.blocks = nn.ModuleList(ResidualBlock(width, norm_groups) for _ in range(blocks))
        count = {"none": 0, "cross": 1, "self": blocks}[attention]
        self.attention = nn.ModuleList(
            TokenBlock(width, text_width, heads, norm_groups, own=attention == "self") for _ in range(count)
        )

    def forward(self, x: Tensor, vector: Tensor, text: Tensor) -> Tensor:
        """[B, C, h, w], [B, condition_width] and [B, K, text_width] to [B, C, h, w]."""
        scale, shift = self.combine(F.silu(vector))[:, :, None, None].chunk(2, dim=1)
        behind = len(self.blocks) - len(self.attention)  # a single attention stands behind the last block
        for number, block in enumerate(self.blocks):
            x = block(x, scale, shift)
            if number >= behind:
                x = self.attention[number - behind](x, text)
        return x


class ResidualBlock(nn.Module):
    """Group norm, swish and convolution, twice; the condition scales and shifts the second norm."""

    def __init__(self, width: int, norm_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(norm_groups, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(norm_groups, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(cast(Tensor, self.conv2.bias))

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """[B, C, h, w], twice [B, C, 1, 1], to [B, C, h, w]."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden) * (1 + scale) + shift))


class TokenBlock(nn.Module):
    """Attention over the positions of a feature map and the text; with `own`, a feed-forward part follows."""

    def __init__(self, width: int, text_width: int, heads: int, norm_groups: int, own: bool) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, width)
        self.attention = TextAttention(width, text_width, heads, own)
        self.feed = feed_forward(width, norm=True) if own else None

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """[B, C, h, w] and [B, K, text_width] to [B, C, h, w]."""
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(self.norm(x).flatten(2).transpose(1, 2), text)
        if self.feed is not None:
            tokens = tokens + self.feed(tokens)
        return tokens.transpose(1, 2).reshape(x.shape)


def feed_forward(width: int, norm: bool) -> nn.Sequential:
    """A feed-forward part of four times the width that starts as zero."""
    first, last = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*([nn.LayerNorm(width)] if norm else []), first, nn.GELU(), last)
