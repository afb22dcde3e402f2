"""MGIE's ablations FZ and FT: an InstructPix2Pix edits by the expressive instruction itself, without an edit head.

A language model writes the expressive instruction, as in MGIE, and a text encoder reads it, as in InstructPix2Pix. The
paper compares this with the end-to-end model: FZ leaves the InstructPix2Pix as it is, FT trains its denoiser on such
texts. Which of them a run is, its stages say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ip2p_lightning.cache.encoding import Encoding
from ip2p_lightning.conditioners.base import Conditioner, Conditioning
from ip2p_lightning.conditioners.cut_texts import CutText
from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.text import EXPRESSIVE, TextConditioner, filled
from ip2p_lightning.data.pair import PairBatch


class ExpressiveTextConditioner(Conditioner):
    """A writer and a reader, as siblings.

    Losses: the writer's "instruction_loss", unless the writer is frozen.

    Args:
        writer: derives the expressive instruction; its edit head goes unused.
        text: encodes it; the brief instruction takes the place of one that is empty.
    """

    def __init__(self, writer: LanguageModelConditioner, text: TextConditioner) -> None:
        super().__init__()
        self.writer = writer
        self.text = text
        self.embedding_dim = text.embedding_dim

    def forward(self, batch: PairBatch) -> Conditioning:
        """States of the batch's own expressive instructions; the writer learns next to, by its loss."""
        condition = self.text.remembered(batch, EXPRESSIVE) or self.text.encode(filled(batch))
        if self.sees_pictures:
            condition.losses["instruction_loss"] = self.writer(batch).losses["instruction_loss"]
        return condition

    @property
    def sees_pictures(self) -> bool:  # type: ignore[override]
        """The writer does, while it learns."""
        return any(parameter.requires_grad for parameter in self.writer.parameters())

    def encodings(self, losses: Collection[str]) -> list[Encoding]:
        """States of the expressive instructions, unless the text encoder learns."""
        return [] if self.text.learns else [self.text.encoding(EXPRESSIVE)]

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """Instructions that the writer does not read to the end."""
        return self.writer.cut_texts(texts)

    @torch.no_grad()
    def condition(self, instructions: Sequence[str], original_images: Tensor) -> Conditioning:
        """States of the expressive instructions that the writer derives."""
        return self.condition_on(instructions, original_images, [None] * len(instructions))

    @torch.no_grad()
    def condition_on(
        self, instructions: Sequence[str], original_images: Tensor, expressive_instructions: Sequence[str | None]
    ) -> Conditioning:
        """See `Conditioner.condition_on`."""
        written = self.writer.completed(instructions, original_images, expressive_instructions)
        condition = self.text.encode([long or short for long, short in zip(written, instructions, strict=True)])
        condition.expressive_instructions = written
        return condition
