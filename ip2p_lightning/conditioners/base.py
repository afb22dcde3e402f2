"""What every conditioner promises: texts and pictures in, cross-attention states for the denoiser out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from ip2p_lightning.cache.encoding import Encoding
from ip2p_lightning.conditioners.cut_texts import CutText
from ip2p_lightning.data.pair import PairBatch


@dataclass
class Conditioning:
    """What the denoiser is conditioned on.

    Args:
        embeddings: [B, K, D] states under the instruction.
        null_embeddings: [B, K, D] states under the null condition (dropout and guidance use the same ones).
        losses: scalars to be added to the editing loss, by name ("instruction_loss", "alignment_loss").
        expressive_instructions: B texts the model wrote (inference of LGIE and MGIE), else empty.
    """

    embeddings: Tensor
    null_embeddings: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
    expressive_instructions: list[str] = field(default_factory=list)


class Conditioner(nn.Module, ABC):
    """Turns a training batch, or instructions and pictures at inference, into `Conditioning`."""

    embedding_dim: int
    """D, the denoiser's cross-attention width."""
    sees_pictures = False
    """Whether `forward` looks at the pictures of a batch for which no encoding is cached."""

    @property
    def reads(self) -> Sequence[str]:
        """The text fields of a training pair that it reads."""
        return ("instruction",)

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """Those of the texts whose end it does not read; none for a conditioner that reads any length."""
        return []

    def encodings(self, losses: Collection[str]) -> list[Encoding]:
        """What frozen networks inside say of a pair: enough for `forward` where a batch's `cached` holds it.

        Args:
            losses: names of those that are trained on; what they need must not be left out.
        """
        return []

    @abstractmethod
    def forward(self, batch: PairBatch) -> Conditioning:
        """Condition a training batch; `losses` holds what this conditioner itself must learn."""

    @abstractmethod
    def condition(self, instructions: Sequence[str], original_images: Tensor) -> Conditioning:
        """Condition for editing: B instructions and float32 [B, 3, H, W] pictures in [-1, 1]; no gradients."""

    def told(
        self, instructions: Sequence[str], original_images: Tensor, expressive_instructions: Sequence[str | None]
    ) -> Conditioning:
        """Condition on given expressive instructions in the place of written ones, where they are not None.

        Raises:
            ValueError: a conditioner that writes none.
        """
        raise ValueError(
            f"expressive_instruction is for models that write one (LGIE, MGIE); a {type(self).__name__} reads the "
            "instruction alone, so say it there"
        )
