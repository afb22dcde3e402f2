"""A transformer over patches of pixels, to be trained to predict the clean image.

Plain patches of pixels suffice where the network predicts the image itself, which lies on a low-dimensional manifold,
and not the noise, which does not (Li and He 2025, "Back to Basics: Let Denoising Generative Models Denoise").
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ip2p_lightning.models.efficient_unet import feed_forward
from ip2p_lightning.models.positions import token_positions
from ip2p_lightning.models.text_attention import StageCondition, TextAttention


class PixelTransformer(ModelMixin, ConfigMixin):
    """Stands in the place of a cascade's UNet: the same arguments, and zeros for the variance it does not predict.

    Args:
        sample_size: side of the images in pixels, a multiple of `patch_size`; other sides up to twice it can be asked
            for.
        in_channels: channels of the noised image and of what is concatenated to it.
        image_channels: C of the prediction.
        patch_size: pixels a token covers, per side.
        width: of the tokens; a multiple of 4 and of `heads`.
        layers: blocks.
        heads: attention heads.
        text_dim: D of the text encoder's states.
        text_width: width they are projected to.
        pooling_heads: heads of the pooling of the text.
        noise_levels: whether `class_labels` tells the noise level of a low-resolution input.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 3,
        image_channels: int = 3,
        patch_size: int = 4,
        width: int = 192,
        layers: int = 6,
        heads: int = 3,
        text_dim: int = 128,
        text_width: int = 128,
        pooling_heads: int = 4,
        noise_levels: bool = False,
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        self.patch_size, self.channels = patch_size, image_channels
        self.condition = StageCondition(text_dim, text_width, width, pooling_heads, noise_levels)
        self.embed = nn.Conv2d(in_channels, width, patch_size, patch_size)
        self.blocks = nn.ModuleList(PixelBlock(width, text_width, heads) for _ in range(layers))
        self.modulate = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, patch_size**2 * image_channels)
        for layer in (self.modulate, self.head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        cross_attention_kwargs: object = None,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """[B, in_channels, H, W] to [B, 2C, H, W], the second half zeros; arguments as `EfficientUNet.forward`."""
        vector, text = self.condition(timestep, encoder_hidden_states, class_labels)
        patches = self.embed(sample)
        rows, columns = patches.shape[2:]
        places = token_positions(max(rows, columns), patches.shape[1]).unflatten(1, (max(rows, columns), -1))
        x = patches.flatten(2).transpose(1, 2)
        x = x + places[:, :rows, :columns].flatten(1, 2).to(x)
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = cast(Tensor, checkpoint(block, x, vector, text, use_reentrant=False))
            else:
                x = block(x, vector, text)
        scale, shift = self.modulate(F.silu(vector))[:, None].chunk(2, dim=2)
        x = self.head(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift)
        x = F.pixel_shuffle(x.transpose(1, 2).unflatten(2, (rows, columns)), self.patch_size)
        output = torch.cat([x, torch.zeros_like(x)], dim=1)
        return UNet2DConditionOutput(sample=output) if return_dict else (output,)


class PixelBlock(nn.Module):
    """Attention over image and text, and a feed-forward part, both modulated by the condition (adaLN-zero)."""

    def __init__(self, width: int, text_width: int, heads: int) -> None:
        super().__init__()
        self.attention = TextAttention(width, text_width, heads)
        self.feed = feed_forward(width, norm=False)
        self.modulate = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(cast(Tensor, self.modulate.bias))
        with torch.no_grad():  # the parts end in zero weights; open gates let them learn from the first step
            self.modulate.bias[2 * width : 3 * width] = 1
            self.modulate.bias[5 * width :] = 1

    def forward(self, x: Tensor, vector: Tensor, text: Tensor) -> Tensor:
        """[B, N, width], [B, width] and [B, K, text_width] to [B, N, width]."""
        parts = self.modulate(F.silu(vector))[:, None].chunk(6, dim=2)
        x = x + parts[2] * self.attention(F.layer_norm(x, x.shape[-1:]) * (1 + parts[0]) + parts[1], text)
        return x + parts[5] * self.feed(F.layer_norm(x, x.shape[-1:]) * (1 + parts[3]) + parts[4])
