"""The editor of this package's models: any image in, batches of equal size through the model, images out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn

from ip2p_lightning.conditioners.cut_texts import CutTexts
from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.diffusion.per_sample_guidance import PerSampleGuidance
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.batches import SQUARES_UP_TO, OnBatchStep, fitted, in_batches
from ip2p_lightning.editors.notes import NewWords, learned_kinds
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep, image_size
from ip2p_lightning.interop import load_folder
from ip2p_lightning.methods.editing_model import EditingModel
from ip2p_lightning.models.denoiser import TransformerDenoiser
from ip2p_lightning.precision import FULL, arithmetic

if TYPE_CHECKING:
    from ip2p_lightning.methods.checkpoint import Weights
    from ip2p_lightning.methods.editing import EditingModule


class TrainedEditor(Editor):
    """Edits with an `EditingModel`, or an `EditingModule` that was trained.

    Noise comes from one CPU generator for each image, so that a result does not depend on its batch and hardly on
    the device.

    Args:
        module: put into evaluation mode; edits on the device and in the precision it is in.
        resolution: longer side in pixels at which PIL images are edited (tensors keep their size); None for the
            side the denoiser was built for.
        batch_size: images at once.
        square: squeeze PIL images into squares for the model; None does so at 128 pixels and below, where models
            have seen whole squares alone.
        precision: arithmetic in which it edits: "32-true", "bf16-mixed" or "16-mixed".
    """

    def __init__(
        self,
        module: EditingModel | EditingModule,
        resolution: int | None = None,
        batch_size: int = 8,
        square: bool | None = None,
        precision: str = FULL,
    ) -> None:
        self.module, self.precision = module.eval(), precision
        network = module.denoiser.network.config
        sides = network.sample_size
        self.resolution = resolution or module.autoencoder.factor * (sides if isinstance(sides, int) else max(sides))
        self.batch_size = batch_size
        self._cut = CutTexts()
        self.writes = isinstance(conditioner := module.conditioner, LanguageModelConditioner) and conditioner.expressive
        self.new_words = NewWords(conditioner, ())
        """Notes on words that it has never seen, where its card says what it learned."""
        self.square = self.resolution <= SQUARES_UP_TO if square is None else square
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
        trust: Iterable[str] | None = None,
        precision: str = FULL,
    ) -> TrainedEditor:
        """Edit with a checkpoint of `ip2p train`.

        Args:
            path: the `.ckpt` file.
            resolution: see `TrainedEditor`.
            device: where to edit.
            dtype: precision of the weights; None leaves it.
            weights: "ema" or "raw", see `load_module`.
            batch_size: see `TrainedEditor`.
            trust: packages of yours, and weights that the checkpoint refers to; see `load_method`.
            precision: see `TrainedEditor`.
        """
        from ip2p_lightning.methods.checkpoint import load_module  # imports Lightning

        module = load_module(path, device, weights, trust)
        return cls(module.to(dtype) if dtype else module, resolution, batch_size, precision=precision)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        resolution: int | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        batch_size: int = 8,
        precision: str = FULL,
        trust: Iterable[str] | None = None,
    ) -> TrainedEditor:
        """Edit with a folder in diffusers' format: one that `export` wrote, or any InstructPix2Pix.

        Args:
            folder: path or hub name.
            resolution: see `TrainedEditor`.
            device: where to edit.
            dtype: precision of the weights; None leaves it.
            batch_size: see `TrainedEditor`.
            precision: see `TrainedEditor`.
            trust: packages of yours whose networks may be parts.
        """
        module = load_folder(folder, trust).to(device)
        editor = cls(module.to(dtype) if dtype else module, resolution, batch_size, precision=precision)
        editor.new_words = NewWords(editor.module.conditioner, learned_kinds(folder))
        return editor

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """See `Editor.edit_prepared`; reads the instruction (and an expressive one, if the model writes them)."""
        texts = [request.expressive_instruction or request.instruction for request in requests]
        self._cut.report(self.module.conditioner.cut_texts(texts))

        def change(originals: Tensor, batch: list[EditRequest], on_step: OnBatchStep) -> tuple[Tensor, list[str]]:
            def show(number: int, of: int, latents: Tensor) -> None:
                on_step(number, of, lambda row: self.module.autoencoder.decode(latents[row : row + 1])[0])

            with self.computing():
                results, condition = self.module.edit(
                    originals.to(self.module.device).type(self.module.dtype),
                    [request.instruction for request in batch],
                    expressive_instructions=[request.expressive_instruction for request in batch],
                    generator=[torch.Generator().manual_seed(request.seed) for request in batch],
                    on_step=show,
                    **self._sampling(batch),
                )
            return results, condition.expressive_instructions

        return in_batches(requests, self.batch_size, change, on_step, self.kind)

    def kind(self, request: EditRequest) -> Hashable:
        """See `Editor.kind`: requests of one size and number of steps, whatever their scales."""
        return image_size(request.image), request.sampling.steps or self.module.sampler.steps

    def _sampling(self, batch: Sequence[EditRequest]) -> dict[str, Any]:
        """Steps and guidance of a batch, whose requests differ in their guidance at most."""
        options = [self.module.sampler.options(request.sampling) for request in batch]
        guidance = [each["guidance"] for each in options]
        if any(one != guidance[0] for one in guidance):
            return options[0] | {"guidance": PerSampleGuidance(guidance, range(len(batch)))}
        return options[0]

    def fit(self, image: Image.Image) -> Image.Image:
        """A PIL RGB image at the size at which it is edited, see `fitted`."""
        return fitted(image, self.resolution, self._multiple, self.square)

    def computing(self) -> AbstractContextManager[object]:
        """The arithmetic of the editor, for those who run its networks themselves."""
        return arithmetic(self.precision, self.module.device.type)

    def notes(self, request: EditRequest) -> list[str]:
        """On words that are new to an editor that ships."""
        note = self.new_words.note(request.instruction)
        return [note] if note else []

    def networks(self) -> list[nn.Module]:
        """The module."""
        return [self.module]
