"""Does the condition still depend on the instruction? An edit head can collapse to a constant and the loss hides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.rounding import RELATIVE, ratio


class ConditioningMonitor(L.Callback):
    """Log "val/instruction_dependence" of the first validation batch, and warn while it is below a threshold.

    The same images are conditioned twice, once with each other's texts. Dependence is the root mean square of the
    difference, over the root mean square of the embeddings' variation across positions and samples: 0 says that
    the denoiser is conditioned alike whatever the instruction.

    Args:
        threshold: dependence below which to warn.
        after: optimizer steps before the first warning; an untrained edit head may well depend on little.
    """

    def __init__(self, threshold: float = 0.01, after: int = 100) -> None:
        self.threshold = threshold
        self.after = after

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: EditingModule,  # type: ignore[override]
        outputs: Any,
        batch: PairBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure on the first batch (on every rank, since a sharded conditioner's forward is collective)."""
        if batch_idx or dataloader_idx:
            return
        dependence = instruction_dependence(pl_module.conditioner, batch)
        if dependence.isnan():  # one instruction alone in the batch
            return
        pl_module.log("val/instruction_dependence", dependence, batch_size=len(batch), rank_zero_only=True)
        if trainer.global_step >= self.after and dependence < self.threshold:
            rank_zero_warn(
                f"the conditioning hardly depends on the instruction ({dependence.item():.2g}, warned below "
                f"{self.threshold:g}): the edit head may have collapsed to a constant. Align it first (a stage that "
                "trains on alignment_loss), or lower its learning rate"
            )


@torch.no_grad()
def instruction_dependence(conditioner: torch.nn.Module, batch: PairBatch) -> Tensor:
    """Change of the embeddings [B, K, D] when only the texts change: a scalar, 0 for none.

    It is NaN if all instructions of the batch are the same.

    Args:
        conditioner: `conditioner(batch) -> Conditioning`.
        batch: pairs with their texts.
    """
    others = {name: _rotated(getattr(batch, name)) for name in ("instruction", "expressive_instruction")}
    embeddings = conditioner(batch).embeddings.float()
    exchanged = conditioner(replace(batch, **others)).embeddings.float()
    differing = [a != b for a, b in zip(batch.instruction, others["instruction"], strict=True)]
    change = (embeddings - exchanged)[differing].square().mean().sqrt()
    spread = (embeddings - embeddings.mean(dim=(0, 1))).square().mean().sqrt()
    least = RELATIVE * embeddings.abs().max().item()  # embeddings that are all the same tell no instructions apart
    return ratio(change, spread, least, otherwise=0.0)


def _rotated(texts: list[str]) -> list[str]:
    return [*texts[1:], *texts[:1]]
