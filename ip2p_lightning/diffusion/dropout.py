"""Conditioning dropout, which teaches one denoiser the three conditions that guidance combines (IP2P section 3.2.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.states import States


@buildable
class ConditioningDropout:
    """Drop the text, the image, or both, each for its share of the samples.

    One uniform number decides for a sample, as in the released code, so the three shares are disjoint; dropping is
    done by masking, so that every parameter takes part in every step (DDP).

    Args:
        text: share of samples that lose the text alone.
        image: share of samples that lose the image alone.
        both: share of samples that lose both.

    Raises:
        ValueError: shares that are negative or add up to more than 1.
    """

    def __init__(self, text: float = 0.05, image: float = 0.05, both: float = 0.05) -> None:
        if min(text, image, both) < 0 or text + image + both > 1:
            raise ValueError(f"dropout shares text={text}, image={image}, both={both} must be >= 0 and sum to <= 1")
        self.text, self.image, self.both = text, image, both

    def __call__(
        self,
        states: States,
        null: States,
        original: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[States, Tensor]:
        """Return the states and the original's latents with conditions dropped.

        Args:
            states: of B samples, under the instruction.
            null: of the null condition, which take the place of dropped ones, mask and pooled vectors included.
            original: [B, C, h, w]; dropped ones become zeros.
            generator: source of randomness.
        """
        u = torch.rand(len(states), device=states.embeddings.device, dtype=torch.float32, generator=generator)
        drop_text = u < self.text + self.both
        drop_image = (u >= self.text) & (u < self.text + self.both + self.image)
        return states.where(drop_text, null), torch.where(
            drop_image[:, None, None, None], torch.zeros_like(original), original
        )
