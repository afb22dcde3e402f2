"""A model of a few weights that walks through pairs and writes down which ones, on one rank or on two real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image
from torch import nn

from ip2p_lightning.callbacks.checkpoint import Checkpoint
from ip2p_lightning.callbacks.ema import EMA
from ip2p_lightning.callbacks.step_randomness import StepRandomness
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.data.transforms import PairTransform


class Pixels:
    """Pairs of random pixels, drawn by number."""

    name, licence = "pixels", "CC0-1.0"

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> EditPair:
        draw = np.random.default_rng(index)
        pictures = [Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)) for _ in range(2)]
        return EditPair(id=str(index), original_image=pictures[0], edited_image=pictures[1], instruction="")

    def fingerprint(self) -> str:
        return f"pixels {self.count}"


class Walker(L.LightningModule):
    """Learns a little, with dropout from the global generator, and remembers what it saw."""

    def __init__(self, dropout: float = 0.2, schedule: bool = False, length: bool = False) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Dropout(dropout), nn.Linear(4, 1))
        self.schedule, self.length = schedule, length
        self.seen: list[tuple[int, list[str], float]] = []
        self.gradients: list[torch.Tensor] = []

    def training_step(self, batch: PairBatch, batch_idx: int) -> torch.Tensor:
        mean = batch.original_image.mean((2, 3))
        self.seen.append((self.current_epoch, batch.id, float(mean.sum())))
        return (self.network(mean) - batch.edited_image.mean((1, 2, 3))[:, None]).square().mean()

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        self.log("val/loss", torch.rand(()), batch_size=len(batch))  # disturbs the global generator

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.gradients.append(torch.cat([p.grad.flatten() for p in self.parameters()]))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        if not self.schedule:
            return optimizer
        steps = self.trainer.estimated_stepping_batches if self.length else 20  # the first asks for the loader early
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.1, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@dataclass
class Walk:
    """What a walk left: per batch of this rank its epoch, ids and a sum of pixels; weights; gradients of each step."""

    seen: list[tuple[int, list[str], float]]
    weights: list[torch.Tensor]
    gradients: list[torch.Tensor]
    step: int
    epoch: int = field(default=0)


def walk(
    folder: Path,
    *,
    ckpt: Path | None = None,
    pairs: int = 22,
    batch_size: int = 4,
    data: dict[str, Any] | None = None,
    module: dict[str, Any] | None = None,
    watch: Sequence[L.Callback] = (),
    saver: dict[str, Any] | None = None,
    **options: Any,
) -> Walk:
    """Train on this process's rank for 15 steps, keeping a checkpoint of each in `folder` ("step-3.ckpt")."""
    L.seed_everything(5, verbose=False)
    walker = Walker(**module or {})
    source = EditDataModule(
        Pixels(pairs), Pixels(3), transform=PairTransform(4, max_size=6), batch_size=batch_size, **data or {}
    )
    saving: dict[str, Any] = {
        "filename": "step-{step}", "auto_insert_metric_name": False, "save_last": True, "save_top_k": -1,
        "every_n_train_steps": 1, "enable_version_counter": False, "stop_signals": [],
    }  # fmt: skip
    checkpoint = Checkpoint(folder, **{**saving, **(saver or {})})
    distributed = torch.distributed.is_initialized()
    defaults: dict[str, Any] = {
        "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
        "num_sanity_val_steps": 0, "max_steps": 15, "max_epochs": -1, "limit_val_batches": 0,
        "devices": torch.distributed.get_world_size() if distributed else 1,
        "strategy": DDPStrategy(process_group_backend="gloo") if distributed else "auto",
    }  # fmt: skip
    trainer = L.Trainer(callbacks=[EMA(0.9), checkpoint, StepRandomness(), *watch], **{**defaults, **options})
    trainer.fit(walker, source, ckpt_path=ckpt, weights_only=True)
    weights = [parameter.detach().clone() for parameter in walker.parameters()]
    return Walk(walker.seen, weights, walker.gradients, trainer.global_step, trainer.current_epoch)
