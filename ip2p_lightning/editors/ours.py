"""The editor of this package's models: any picture in, batches of equal size through the model, pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.editors.base import Captions, EditResult, Pictures, check_request
from ip2p_lightning.editors.batches import fitted, in_batches
from ip2p_lightning.interop import load_folder
from ip2p_lightning.methods.checkpoint import Weights, load_module
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.models.denoiser import TransformerDenoiser


class TrainedEditor:
    """Edits with an `EditingModule`.

    Noise comes from one CPU generator for each picture, so that a result does not depend on its batch and hardly on
    the device.

    Args:
        module: put into evaluation mode; edits on the device and in the precision it is in.
        resolution: longer side in pixels at which PIL pictures are edited (tensors keep their size); None for the
            side the denoiser was built for.
        batch_size: pictures at once.
    """

    def __init__(self, module: EditingModule, resolution: int | None = None, batch_size: int = 8) -> None:
        self.module = module.eval()
        network = module.denoiser.network.config
        sides = network.sample_size
        self.resolution = resolution or module.autoencoder.factor * (sides if isinstance(sides, int) else max(sides))
        self.batch_size = batch_size
        transformer = isinstance(module.denoiser, TransformerDenoiser)
        cells = network.patch_size if transformer else 2 ** (len(network.down_block_types) - 1)
        self._multiple = module.autoencoder.factor * cells
        self._limit = network.pos_embed_max_size * self._multiple if transformer else None
        if self._limit and self.resolution > self._limit:
            raise ValueError(
                f"resolution={self.resolution}: this model's positions end at {self._limit} pixels; choose at most that"
            )

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        resolution: int | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        weights: Weights = "ema",
        batch_size: int = 8,
    ) -> TrainedEditor:
        """Edit with a checkpoint of `ip2p train`.

        Args:
            path: the `.ckpt` file.
            resolution: see `TrainedEditor`.
            device: where to edit.
            dtype: precision of the weights; None leaves it.
            weights: "ema" or "raw", see `load_module`.
            batch_size: see `TrainedEditor`.
        """
        module = load_module(path, device, weights)
        return cls(module.to(dtype) if dtype else module, resolution, batch_size)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        resolution: int | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        batch_size: int = 8,
    ) -> TrainedEditor:
        """Edit with a folder in diffusers' format: one that `export` wrote, or any InstructPix2Pix.

        Args:
            folder: path or hub name.
            resolution: see `TrainedEditor`.
            device: where to edit.
            dtype: precision of the weights; None leaves it.
            batch_size: see `TrainedEditor`.
        """
        module = load_folder(folder).to(device)
        return cls(module.to(dtype) if dtype else module, resolution, batch_size)

    def edit(
        self,
        images: Pictures,
        instructions: Sequence[str],
        *,
        seeds: Sequence[int] | int = 0,
        text_scale: float | None = None,
        image_scale: float | None = None,
        steps: int | None = None,
        captions: Sequence[Captions] | None = None,
        truth: Pictures | None = None,
        ids: Sequence[str] | None = None,
    ) -> EditResult[Pictures]:
        """See `Editor.edit`; reads the instruction alone, no captions."""
        each = check_request(images, instructions, seeds)
        texts = [""] * len(images)
        options = {"guidance": self.module.sampler.guidance.with_scales(text_scale, image_scale), "steps": steps}

        def change(originals: Tensor, places: list[int]) -> Tensor:
            results, condition = self.module.edit(
                originals.to(self.module.device).type(self.module.dtype),
                [instructions[place] for place in places],
                generator=[torch.Generator().manual_seed(each[place]) for place in places],
                **options,
            )
            for place, text in zip(places, condition.expressive_instructions, strict=False):
                texts[place] = text
            return results

        edited = in_batches(images, self.batch_size, self.fit, change)
        return EditResult(edited, texts if any(texts) else [])

    def fit(self, image: Image.Image) -> Image.Image:
        """A picture of any mode as RGB at the size it is edited at, see `fitted`."""
        return fitted(image, self.resolution, self._multiple)
