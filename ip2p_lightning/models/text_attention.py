"""Attention of image tokens to themselves and to a text, whose keys and values stand next to the image's own.

Imagen (Saharia et al. 2022, appendix B) concatenates text keys and values to those of self-attention in the base and
the 64 -> 256 stage, and attends to the text alone in the 256 -> 1024 stage; a LayerNorm on the text states helps both.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TextTimeEmbedding, TimestepEmbedding, Timesteps
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


class TextAttention(nn.Module):
    """Multi-head attention of N image tokens over K text tokens and, if asked for, over the image tokens too.

    Args:
        width: of the image tokens.
        text_width: of the text tokens.
        heads: must divide `width`.
        own: attend to the image tokens as well.
    """

    def __init__(self, width: int, text_width: int, heads: int, own: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.own = nn.Linear(width, 2 * width) if own else None
        self.text = nn.Linear(text_width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens: Tensor, text: Tensor) -> Tensor:
        """[B, N, width] and [B, K, text_width] to [B, N, width]; the residual is the caller's."""
        pairs = self.text(text) if self.own is None else torch.cat([self.own(tokens), self.text(text)], dim=1)
        key, value = pairs.chunk(2, dim=2)
        query, key, value = (self._split(part) for part in (self.query(tokens), key, value))
        # On processors the fused kernel's backward pass is slower than plain matrix products for so few tokens.
        plain = tokens.device.type == "cpu" and torch.is_grad_enabled()
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            attended = F.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class StageCondition(nn.Module):
    """Time, noise level of the low-resolution input and pooled text as one vector, and the text states to attend to.

    Args:
        text_dim: D of the text encoder's states.
        text_width: width they are projected to after a LayerNorm.
        width: of the vector.
        pooling_heads: heads of the attention pooling; must divide `text_width`.
        noise_levels: whether there is a low-resolution input with a noise level.
    """

    def __init__(self, text_dim: int, text_width: int, width: int, pooling_heads: int, noise_levels: bool) -> None:
        super().__init__()
        self.waves = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(width, width)
        self.level = TimestepEmbedding(width, width) if noise_levels else None
        self.text = nn.Sequential(nn.LayerNorm(text_dim), nn.Linear(text_dim, text_width))
        self.pooled = TextTimeEmbedding(text_width, width, pooling_heads)

    def forward(self, timestep: Tensor | float, states: Tensor, levels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The vector [B, width] and the text tokens [B, K, text_width].

        Args:
            timestep: one number, or [B].
            states: [B, K, D] of the text encoder.
            levels: [B] noise levels in 0..999; None for a stage without them.

        Raises:
            ValueError: levels where none are known, or none where they are.
        """
        if (levels is None) != (self.level is None):
            known = "needs" if self.level is not None else "takes no"
            raise ValueError(f"this network {known} class_labels (the low-resolution input's noise level)")
        text = self.text(states)
        vector = self.time(self._waves(timestep, states)) + self.pooled(text)
        if levels is not None and self.level is not None:
            vector = vector + self.level(self._waves(levels, states))
        return vector, text

    def _waves(self, numbers: Tensor | float, states: Tensor) -> Tensor:
        numbers = torch.as_tensor(numbers, device=states.device).expand(len(states))
        return self.waves(numbers).to(states.dtype)
