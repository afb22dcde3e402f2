"""Training of the judge: it learns to read attributes off true images, before and after an edit alike.

Both images of a pair are shown, so that it knows every medium and photo operation that edits lead to.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.noise import checked_noise, noised
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.models.judge import ABSENT, AttributeJudge


class JudgeModule(StagedModule):
    """A judge and the step that trains it; its loss is "attribute_loss".

    Args:
        judge: what learns.
        noise: largest standard deviation of the noise laid over training images, in units of their range [-1, 1]
            (an image's own is uniform below it), so that the judge bears with the grain of edited images.
        **training: optimizer, stages and config, see `StagedModule`.

    Raises:
        ValueError: negative noise.
    """

    parts = ("judge",)
    learners = ("judge",)

    def __init__(self, judge: AttributeJudge, noise: float = 0.0, **training: Any) -> None:
        super().__init__(**training)
        self.judge = judge
        self.noise = checked_noise(noise)

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The cross entropy of the attributes of both images."""
        images, labels = self.pictures(batch)
        return {"attribute_loss": self.judge.loss(self.judge(self._noised(images, generator)), labels)}

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """The loss, and "val/accuracy": the share of attributes that are read right, without noise."""
        images, labels = self.pictures(batch)
        logits = self.judge(images)
        read = torch.stack([answers.argmax(1) for answers in self.judge.split(logits).values()], dim=1)
        right = (read == labels)[labels != ABSENT].float().mean()
        values = {"val/attribute_loss": self.judge.loss(logits, labels), "val/accuracy": right}
        self.log_dict(values, batch_size=len(batch), sync_dist=True)

    def pictures(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Both images of each pair [2B, 3, H, W], and their labels [2B, attributes].

        Raises:
            ValueError: pairs whose attributes are not known.
        """
        known = [entry.get("attributes") for entry in batch.metadata]
        if len(known) != len(batch) or None in known:
            raise ValueError(
                f"pairs {batch.id[:3]} come without attributes, which a judge learns from; use the embedded world "
                "(data=world), or shards rendered from it"
            )
        descriptions = [entry[side] for side in ("original", "edited") for entry in known if entry]
        images = torch.cat([batch.original_image, batch.edited_image])
        return images, self.judge.labels(descriptions).to(images.device)

    def _noised(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.noise:
            return images
        return noised(images, self.noise, generator).clamp(-1, 1)
