"""Training of a dual encoder as CLIP was (Radford et al. 2021), on the images and captions of edit pairs.

An image before an edit and the one after it stand in one batch, each the hardest wrong answer for the other's caption:
what remains between them is the edit, which is what directional similarity must see (InstructPix2Pix section 3.1.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.staged import OptimizerFactory, StagedModule
from ip2p_lightning.models.dual_encoder import DualEncoder, directional_similarity


class ContrastiveModule(StagedModule):
    """A dual encoder and its losses: "contrastive_loss", and "direction_loss" between the changes.

    Args:
        encoder: what learns.
        direction_scale: inverse temperature of the direction loss, above 0.
        optimizer: makes the optimizer from parameter groups.
        stages: the stages of training.
        config: see `StagedModule`.
    """

    parts = ("encoder",)
    learners = ("encoder",)

    def __init__(
        self,
        encoder: DualEncoder,
        direction_scale: float = 10.0,
        optimizer: OptimizerFactory = torch.optim.AdamW,
        stages: Sequence[Stage] = (Stage(),),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(optimizer, stages, config)
        if direction_scale <= 0:
            raise ValueError(f"direction_scale={direction_scale} must be above 0")
        self.encoder = encoder
        self.direction_scale = direction_scale

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Both losses over the B pairs: 2B images against 2B captions, and B changes against B changes."""
        pictures, texts = self.embed(batch)
        changes = [F.normalize(side[1] - side[0], dim=1) for side in (pictures.chunk(2), texts.chunk(2))]
        return {
            "contrastive_loss": matching_loss(self.encoder.scale() * pictures @ texts.T),
            "direction_loss": matching_loss(self.direction_scale * changes[0] @ changes[1].T),
        }

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """The losses, how often an image finds its caption in the batch, and the mean directional similarity."""
        super().validation_step(batch, batch_idx)
        pictures, texts = self.embed(batch)
        own = torch.arange(len(pictures), device=pictures.device)
        found = (pictures @ texts.T).argmax(1) == own
        direction = directional_similarity(*pictures.chunk(2), *texts.chunk(2))
        values = {"val/retrieval": found.float().mean(), "val/direction": direction.mean()}
        self.log_dict(values, batch_size=len(batch), sync_dist=True)

    def embed(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Unit vectors in float32 of images and captions, [2B, D] each, the originals first.

        Raises:
            ValueError: pairs without captions.
        """
        captions = [*batch.original_caption, *batch.edited_caption]
        if not all(captions):
            missing = [
                id
                for id, *both in zip(batch.id, batch.original_caption, batch.edited_caption, strict=True)
                if not all(both)
            ]
            raise ValueError(
                f"pairs {missing[:3]} have no captions, which a dual encoder learns from; use pairs with both"
            )
        pictures = self.encoder.embed_images(torch.cat([batch.original_image, batch.edited_image]))
        return pictures.float(), self.encoder.embed_texts(captions).float()


def matching_loss(logits: Tensor) -> Tensor:
    """CLIP's symmetric cross entropy of logits [N, N] whose diagonal is right; a scalar."""
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
