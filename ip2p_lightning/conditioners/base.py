"""Interface of conditioners: texts and images in, cross-attention states for the denoiser out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from ip2p_lightning.cache.encoding import Encoding
from ip2p_lightning.conditioners.cut_texts import CutText
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.states import States


@dataclass
class Conditioning:
    """Conditioning of the denoiser.

    Args:
        embeddings: [B, K, D] states under the instruction.
        null_embeddings: [B, K, D] states under the null condition (dropout and guidance use the same ones).
        losses: scalars to be added to the editing loss, by name ("instruction_loss", "alignment_loss").
        expressive_instructions: B texts the model wrote (inference of LGIE and MGIE), else empty.
        mask, null_mask: bool [B, K], True where a token is real and not padding; None: the denoiser attends to all.
        pooled, null_pooled: [B, P] one vector for the whole condition, for denoisers that take one; None: none.

    Raises:
        ValueError: a mask or pooled vectors of one condition alone: dropout and guidance exchange the two.
    """

    embeddings: Tensor
    null_embeddings: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
    expressive_instructions: list[str] = field(default_factory=list)
    mask: Tensor | None = None
    null_mask: Tensor | None = None
    pooled: Tensor | None = None
    null_pooled: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("mask", "pooled"):
            if (getattr(self, name) is None) != (getattr(self, f"null_{name}") is None):
                raise ValueError(f"conditioning has only one of {name} and null_{name}; give both, or neither")

    @classmethod
    def of(cls, states: States, null: States) -> Conditioning:
        """From the states under the instruction and those under the null condition."""
        return cls(
            states.embeddings,
            null.embeddings,
            mask=states.mask,
            null_mask=null.mask,
            pooled=states.pooled,
            null_pooled=null.pooled,
        )

    @property
    def states(self) -> States:
        """States under the instruction."""
        return States(self.embeddings, self.mask, self.pooled)

    @property
    def null_states(self) -> States:
        """States under the null condition."""
        return States(self.null_embeddings, self.null_mask, self.null_pooled)


class Conditioner(nn.Module, ABC):
    """Turns a training batch, or instructions and images at inference, into `Conditioning`."""

    embedding_dim: int
    """D, the denoiser's cross-attention width."""
    sees_pictures = False
    """True if `forward` looks at the images of a batch for which no encoding is cached."""

    @property
    def reads(self) -> Sequence[str]:
        """The text fields of a training pair that it reads."""
        return ("instruction",)

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """Those of the texts whose end it does not read; none for a conditioner that reads any length."""
        return []

    def encodings(self, losses: Collection[str]) -> list[Encoding]:
        """Encodings by frozen networks inside, for the cache: enough for `forward` where a batch's `cached` holds it.

        Args:
            losses: names of those that are trained on; what they need must not be left out.
        """
        return []

    @abstractmethod
    def forward(self, batch: PairBatch) -> Conditioning:
        """Condition a training batch; `losses` holds what this conditioner itself must learn."""

    @abstractmethod
    def condition(self, instructions: Sequence[str], original_images: Tensor) -> Conditioning:
        """Condition for editing: B instructions and float32 [B, 3, H, W] images in [-1, 1]; no gradients."""

    def condition_on(
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
