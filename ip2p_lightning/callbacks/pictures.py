"""Look at the edits while they train: rows of original | our edit | truth under their instruction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.evaluation.result import Example
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.report.grid import edit_grid


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
        pl_module: EditingModule,  # type: ignore[override]
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
        examples = self.edit(pl_module, batch)
        if not trainer.is_global_zero:
            return
        grid = edit_grid(examples)
        path = Path(trainer.default_root_dir) / "pictures" / f"step-{trainer.global_step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid.save(path)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("pictures", [grid])
                logger.log_table("edits", columns=list(_COLUMNS), data=[_row(trainer.global_step, e) for e in examples])

    def draw(self, module: EditingModule, batch: PairBatch) -> Image.Image:
        """The grid of the batch's first `count` pairs, edited by `module`."""
        return edit_grid(self.edit(module, batch))

    def edit(self, module: EditingModule, batch: PairBatch) -> list[Example]:
        """The batch's first `count` pairs, edited by `module`.

        Args:
            module: what edits.
            batch: on the module's device.
        """
        device, count = batch.original_image.device, min(self.count, len(batch))
        originals, texts = batch.original_image[:count], batch.instruction[:count]
        generators = [torch.Generator(device).manual_seed(self.seed + index) for index in range(count)]
        edited, condition = module.edit(originals, texts, generator=generators, steps=self.steps)
        written = condition.expressive_instructions or [""] * count
        return [
            Example(
                pair=batch.id[index],
                kind=batch.kind[index],
                seed=self.seed + index,
                instruction=texts[index],
                expressive_instruction=batch.expressive_instruction[index],
                written_instruction=written[index],
                original=to_pil(originals[index]),
                edited=to_pil(edited[index]),
                truth=to_pil(batch.edited_image[index]),
            )
            for index in range(count)
        ]


_COLUMNS = ("step", "pair", "kind", "instruction", "written instruction", "original", "edited", "truth")


def _row(step: int, example: Example) -> list[Any]:
    """A row of wandb's table, which compares by pair and step."""
    import wandb

    images = (wandb.Image(image) for image in (example.original, example.edited, example.truth))
    return [step, example.pair, example.kind, example.instruction, example.written_instruction, *images]
