"""Look at the edits while they train: rows of original | our edit | truth under their instruction."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.loggers import WandbLogger
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from ip2p_lightning.data.pair import PairBatch


class Pictures(L.Callback):
    """Edit the first held-out pairs at validation and keep the grid as a PNG in the run folder (and in wandb).

    Args:
        count: pairs shown, from the first validation batch.
        every_n_steps: at least so many optimizer steps between two grids; 0 for one at each validation.
        steps: sampling steps; None for the sampler's.
        seed: of the initial noise, the same at each grid, so that changes come from training.
    """

    def __init__(self, count: int = 8, every_n_steps: int = 0, steps: int | None = None, seed: int = 0) -> None:
        self.count = count
        self.every_n_steps = every_n_steps
        self.steps = steps
        self.seed = seed
        self._last: int | None = None

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: PairBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the grid of the first batch (on every rank, since a sharded module's forward is collective)."""
        if batch_idx or dataloader_idx or trainer.sanity_checking:
            return
        if self._last is not None and trainer.global_step - self._last < max(1, self.every_n_steps):
            return
        self._last = trainer.global_step
        grid = self.draw(pl_module, batch)
        if not trainer.is_global_zero:
            return
        path = Path(trainer.default_root_dir) / "pictures" / f"step-{trainer.global_step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid.save(path)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("pictures", [grid])

    def draw(self, module: L.LightningModule, batch: PairBatch) -> Image.Image:
        """The grid of the batch's first `count` pairs, edited by `module`.

        Args:
            module: has `edit(original_images, instructions, generator=..., steps=...)`.
            batch: on the module's device.
        """
        originals, texts = batch.original_image[: self.count], batch.instruction[: self.count]
        device = originals.device
        generators = [torch.Generator(device).manual_seed(self.seed + index) for index in range(len(texts))]
        edited, condition = module.edit(originals, texts, generator=generators, steps=self.steps)
        told = condition.expressive_instructions or [""] * len(texts)
        captions = [f"{text}\n{extra}".strip() for text, extra in zip(texts, told, strict=True)]
        return picture_rows([originals, edited, batch.edited_image[: self.count]], captions)


def picture_rows(columns: Sequence[Tensor], captions: Sequence[str], side: int = 128) -> Image.Image:
    """A picture with one row for each caption and one cell for each column.

    Args:
        columns: float [B, 3, H, W] in [-1, 1] each.
        captions: B texts, written beside their row.
        side: pixels of a cell's longer side; smaller pictures are enlarged without smoothing.
    """
    height, width = columns[0].shape[-2:]
    scale = side / max(height, width)
    cell = (max(1, round(width * scale)), max(1, round(height * scale)))
    gap, text_width = 4, 2 * side
    canvas = Image.new("RGB", (len(columns) * (cell[0] + gap) + text_width, len(captions) * (cell[1] + gap)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=12)
    letters = max(8, int(text_width / draw.textlength("n", font=font)))
    resample = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    for row, caption in enumerate(captions):
        top = row * (cell[1] + gap)
        for column, pictures in enumerate(columns):
            picture = to_pil_image(((pictures[row].float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
            canvas.paste(picture.resize(cell, resample), (column * (cell[0] + gap), top))
        lines = [line for part in caption.splitlines() for line in textwrap.wrap(part, letters)]
        shown = "\n".join(lines[: max(1, cell[1] // 16)])
        draw.multiline_text((len(columns) * (cell[0] + gap), top), shown, fill="black", font=font)
    return canvas
