"""The editor of this package's models: any picture in, batches of equal size through the model, pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor

from ip2p_lightning.data.images import as_rgb, to_pil, to_tensor
from ip2p_lightning.editors.base import Captions, EditResult, Pictures, check_request
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
        tensors = list(images) if isinstance(images, Tensor) else [to_tensor(self.fit(image)) for image in images]
        edited: list[Any] = [None] * len(tensors)
        texts = [""] * len(tensors)
        options = {"guidance": self.module.sampler.guidance.with_scales(text_scale, image_scale), "steps": steps}
        for indices in self._batches(tensors):
            generators = [torch.Generator().manual_seed(each[index]) for index in indices]
            results, condition = self.module.edit(
                torch.stack([tensors[index] for index in indices]).to(self.module.device).type(self.module.dtype),
                [instructions[index] for index in indices],
                generator=generators,
                **options,
            )
            written = condition.expressive_instructions or [""] * len(indices)
            for index, result, text in zip(indices, results, written, strict=True):
                edited[index], texts[index] = result.to(tensors[index]), text
        pictures = torch.stack(edited) if isinstance(images, Tensor) else [to_pil(result) for result in edited]
        return EditResult(pictures, texts if any(texts) else [])  # type: ignore[arg-type]

    def fit(self, image: Image.Image) -> Image.Image:
        """A picture of any mode as RGB at the size it is edited at.

        The longer side becomes `resolution` and both sides are multiples of what the networks divide by; the little
        that the ratio of the sides changes by is cropped (Lanczos).
        """
        image = as_rgb(image)
        scale = self.resolution / max(image.size)
        width, height = (max(1, round(side * scale / self._multiple)) * self._multiple for side in image.size)
        return (
            image if (width, height) == image.size else ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
        )

    def _batches(self, tensors: Sequence[Tensor]) -> list[list[int]]:
        """Indices of pictures of one size, at most `batch_size` together."""
        sizes: dict[torch.Size, list[int]] = {}
        for index, tensor in enumerate(tensors):
            sizes.setdefault(tensor.shape, []).append(index)
        step = self.batch_size
        return [same[start : start + step] for same in sizes.values() for start in range(0, len(same), step)]
