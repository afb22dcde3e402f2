"""Look at a cascade stage while it trains, and measure its samples of held-out captions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.loggers import WandbLogger

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.diffusion.low_resolution import enlarged, reduced
from ip2p_lightning.methods.cascade import CascadeModule
from ip2p_lightning.metrics.captioned_images import CaptionedImages
from ip2p_lightning.metrics.encoders.base import TextEncoder
from ip2p_lightning.metrics.encoders.judge import JudgeReader
from ip2p_lightning.report.caption_sheet import caption_sheet


class CascadeImages(L.Callback):
    """Sample the first held-out captions at validation: images/step-000000.png, and `val/...` of each measure.

    A super-resolution stage is given the reduced true images, so that it is judged by itself.

    Args:
        count: captions, from the first validation batch.
        seed: of the noise, the same each time, so that changes come from training.
        encoder: for CLIP score and distances of distributions; None leaves these out.
        judge: for the share of right attributes; None leaves it out.
    """

    def __init__(
        self, count: int = 8, seed: int = 0, encoder: TextEncoder | None = None, judge: JudgeReader | None = None
    ) -> None:
        self.count, self.seed = count, seed
        self.encoder, self.judge = encoder, judge
        self._last: int | None = None

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: CascadeModule,  # type: ignore[override]
        outputs: Any,
        batch: PairBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Sample, measure and draw the first batch (on every rank: a sharded network's forward is collective)."""
        if batch_idx or dataloader_idx or trainer.sanity_checking or self._last == trainer.global_step:
            return
        self._last = trainer.global_step
        count = min(self.count, len(batch))
        truth = reduced(batch.original_image[:count], pl_module.side)
        low = pl_module.low_resolution
        given = None if low is None else reduced(truth, pl_module.side // low.factor)
        generators = [torch.Generator(truth.device).manual_seed(self.seed + index) for index in range(count)]
        images = pl_module.sample(batch.original_caption[:count], given, generator=generators).clamp(-1, 1)
        figures = CaptionedImages(self.encoder, self.judge)
        attributes = [entry.get("attributes", {}).get("original") for entry in batch.metadata[:count]]
        figures.update(images, batch.original_caption[:count], truth, given, attributes)
        measured = figures.compute()
        for name, value in measured.items():
            pl_module.log(f"val/{name}", value, batch_size=count, sync_dist=True)
        if not trainer.is_global_zero:
            return
        columns = [images, truth] if given is None else [enlarged(given, pl_module.side), images, truth]
        rows = [[to_pil(column[index]) for column in columns] for index in range(count)]
        sheet = caption_sheet(rows, batch.original_caption[:count], columns=2)
        path = Path(trainer.default_root_dir) / "images" / f"step-{trainer.global_step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("images", [sheet])
