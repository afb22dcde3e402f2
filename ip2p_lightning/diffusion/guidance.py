"""Classifier-free guidance with two scales (InstructPix2Pix eq. 3), without the evaluations that cancel.

The paper writes e = e(0,0) + s_I (e(I,0) - e(0,0)) + s_T (e(I,T) - e(I,0)). Collected by branch that is
(1 - s_I) e(0,0) + (s_I - s_T) e(I,0) + s_T e(I,T), and a branch whose coefficient is exactly zero need not be run:
s_I = 1 saves a third of the work, s_I = s_T = 1 two thirds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.states import States

Denoise = Callable[[Tensor, Tensor, Tensor, States], Tensor]


@dataclass(frozen=True)
class Branch:
    """One evaluation of the denoiser: its factor, and which conditions it sees."""

    coefficient: float
    image: bool
    text: bool


@buildable
@dataclass(frozen=True)
class TwoScaleGuidance:
    """Guidance scales for text and original.

    Args:
        text_scale: s_T; larger edits more. 5 to 10 at the paper's size, 1 to 3 for the embedded models.
        image_scale: s_I; larger stays closer to the original. 1 to 1.5 at the paper's size.
        start: fraction of the sampling steps after which guidance begins (0 = at once).
        stop: fraction after which it ends (1 = never). Outside, the conditional prediction is used as it is
            (Kynkaanniemi et al. 2024).

    Raises:
        ValueError: an interval that is not 0 <= start <= stop <= 1.
    """

    text_scale: float = 7.5
    image_scale: float = 1.5
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop <= 1:
            raise ValueError(f"guidance interval start={self.start}, stop={self.stop}: need 0 <= start <= stop <= 1")

    def with_scales(self, text_scale: float | None = None, image_scale: float | None = None) -> TwoScaleGuidance:
        """A copy with other scales; None keeps this object's."""
        return replace(
            self,
            text_scale=self.text_scale if text_scale is None else float(text_scale),
            image_scale=self.image_scale if image_scale is None else float(image_scale),
        )

    def branches(self, progress: float) -> list[Branch]:
        """The evaluations needed at `progress` in [0, 1) of sampling, those with a zero factor left out."""
        # IP2P eq. 3 with its terms collected by evaluation, so that a factor of zero saves one:
        #   e(0, 0) + s_I (e(I, 0) - e(0, 0)) + s_T (e(I, T) - e(I, 0))
        # = s_T e(I, T) + (s_I - s_T) e(I, 0) + (1 - s_I) e(0, 0)
        # Both scales 1, as outside the interval, leave e(I, T) alone.
        inside = self.start <= progress < self.stop
        text, image = (self.text_scale, self.image_scale) if inside else (1.0, 1.0)
        candidates = [
            Branch(text, image=True, text=True),
            Branch(image - text, image=True, text=False),
            Branch(1 - image, image=False, text=False),
        ]
        return [branch for branch in candidates if branch.coefficient != 0]

    def __call__(
        self,
        denoise: Denoise,
        noisy: Tensor,
        original: Tensor,
        timesteps: Tensor,
        states: States,
        null: States,
        progress: float = 0.0,
    ) -> Tensor:
        """Guided prediction [B, C, h, w] from one batched call of the denoiser.

        Args:
            denoise: `(noisy, original, timesteps, states) -> prediction`.
            noisy: [B, C, h, w].
            original: [B, C, h, w] latents of the original images.
            timesteps: [B].
            states: of B samples, under the instruction.
            null: of B samples, under the null condition.
            progress: fraction of the sampling steps already done.
        """
        branches = self.branches(progress)
        zeros = torch.zeros_like(original)  # "no image" is zero latents, as conditioning dropout trains it
        # All branches in one call of the denoiser: the batch is [branch 0 of B samples, branch 1 of B samples, ...].
        prediction = denoise(
            torch.cat([noisy] * len(branches)),
            torch.cat([original if branch.image else zeros for branch in branches]),
            torch.cat([timesteps] * len(branches)),
            States.cat([states if branch.text else null for branch in branches]),
        )
        parts = prediction.chunk(len(branches))
        guided = branches[0].coefficient * parts[0]
        for branch, part in zip(branches[1:], parts[1:], strict=True):
            guided = guided + branch.coefficient * part
        return guided
