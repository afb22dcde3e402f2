"""A callback that tells from inside each rank what it trains, and that can end a rank on purpose."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as L


class Witness(L.Callback):
    """Leave `witness-<rank>.json` in the run folder at the end of the fit.

    Args:
        dies: rank that is killed at its second batch; -1 for none.
        unbuilt: rank that raises already while it is built; -1 for none.
    """

    def __init__(self, dies: int = -1, unbuilt: int = -1) -> None:
        if unbuilt == int(os.environ.get("LOCAL_RANK", 0)):
            raise ValueError("this rank cannot be built")
        self.dies = dies
        self.ids: list[str] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int):
        self.ids += batch.id
        if batch_idx == 1 and trainer.global_rank == self.dies:
            print("the last words", flush=True)
            os._exit(3)

    def on_fit_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        told = {
            "world": trainer.world_size,
            "launcher": type(trainer.strategy.launcher).__name__,
            "folder": trainer.default_root_dir,
            "dropout": pl_module.dropout.text,
            "rates": [group["lr"] for group in pl_module.parameter_groups()],
            "weights": sum(weight.double().abs().sum().item() for weight in pl_module.denoiser.parameters()),
            "ids": self.ids,
        }
        path = Path(trainer.default_root_dir) / f"witness-{trainer.global_rank}.json"
        path.write_text(json.dumps(told))
