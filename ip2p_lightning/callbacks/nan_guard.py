"""Stop at the first step that is not finite, before it reaches the weights."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer


class NanGuard(L.Callback):
    """Raise at an optimizer step whose losses or gradients are NaN or infinite.

    The weights are then still those of the step before. The check reads one number from the device for each optimizer
    step (after any gradient accumulation): an accelerator's host waits for the backward pass. With float16, infinite
    gradients are the loss scaler's business, and only the losses are checked.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._batches: list[list[str]] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember whose batch this is."""
        self._batches.append(list(getattr(batch, "id", [])))

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Remember the loss, on its device."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """Check what the step is made of.

        Raises:
            FloatingPointError: names the step, the losses or parameters that are not finite, the batch's ids and what
                to try.
        """
        losses, batches = self._losses, self._batches
        self._losses, self._batches = [], []
        norms = {} if getattr(trainer.precision_plugin, "scaler", None) else _gradient_norms(pl_module)
        if torch.stack([value.float() for value in (*losses, *norms.values())]).sum().isfinite():
            return
        bad = [batch for batch, loss in zip(batches, losses, strict=False) if not loss.isfinite()] or batches
        rate = ", ".join(f"{group['lr']:.3g}" for group in optimizer.param_groups)
        raise FloatingPointError(
            f"step {trainer.global_step + 1} is not finite: {_culprits(trainer, losses, norms)}. "
            f"Batch: {', '.join(id for batch in bad for id in batch) or 'without ids'}. The weights are those of step "
            f"{trainer.global_step}. Lower the learning rate (now {rate}), clip gradients "
            "(trainer.gradient_clip_val=1), use trainer.precision=bf16-mixed or 32-true instead of float16, or look at "
            "these pairs (`ip2p data show`); then go on from the last checkpoint with ckpt=auto"
        )


def _gradient_norms(module: torch.nn.Module) -> dict[str, Tensor]:
    """Norm of each parameter's gradient; of sharded ones over all ranks."""
    gradients = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}
    norms = torch._foreach_norm(list(gradients.values()))
    whole = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
    return dict(zip(gradients, whole, strict=True))


def _culprits(trainer: L.Trainer, losses: list[Tensor], norms: dict[str, Tensor]) -> str:
    logged = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    parts = [f"{name} = {value.item()}" for name, value in logged.items() if not value.isfinite()]
    if not all(loss.isfinite() for loss in losses):
        return ", ".join(parts) or "the loss"
    names = [name for name, norm in norms.items() if not norm.isfinite()]
    return f"gradients of {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
