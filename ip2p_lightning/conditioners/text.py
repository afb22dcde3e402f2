"""InstructPix2Pix's condition: the states of a text encoder for the instruction, those of "" as the null condition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ip2p_lightning.cache.encoding import Encoding, tokenizer_digest
from ip2p_lightning.conditioners.base import Conditioner, Conditioning
from ip2p_lightning.conditioners.cut_texts import CutText, beyond
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.limits import PADDED_TOKENS
from ip2p_lightning.states import States

BRIEF, EXPRESSIVE = "brief_states", "expressive_states"
"""Names of cached states: of the instruction, and of the expressive instruction or, where there is none, the brief."""


class TextConditioner(Conditioner):
    """Texts padded to one length and encoded, as Stable Diffusion does it.

    An encoder none of whose parameters requires gradients runs without them and in evaluation mode.

    Args:
        tokenizer: truncates and pads; must have a pad token.
        text_encoder: `encoder(input_ids)` gives `last_hidden_state` [B, K, D]; `config.hidden_size` is D.
        max_length: K, tokens a text is padded or cut to; the smaller of both parts' limits if None.
        expressive_probability: how often training shows the expressive instruction in place of the brief one: 0 for
            InstructPix2Pix, 1 for fine-tuning on expressive instructions (MGIE's ablation "FT"), between for a
            teacher that understands both. Pairs without one always show the brief instruction.
        mask: tell the denoiser which tokens are padding, and the text encoder, too; Stable Diffusion 1.5 and its
            descendants attend to padding.
        pooled: give the text encoder's pooled vectors to a denoiser that takes them.

    Raises:
        ValueError: a length beyond the encoder's positions or the limit of padded tokens, a probability outside [0, 1],
            or no pad token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: PreTrainedModel,
        max_length: int | None = None,
        expressive_probability: float = 0.0,
        mask: bool = False,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        limit = text_encoder.config.max_position_embeddings
        self.max_length = max_length or min(tokenizer.model_max_length, limit, PADDED_TOKENS.value)
        if self.max_length > limit:
            raise ValueError(
                f"max_length={self.max_length} exceeds the text encoder's {limit} positions; set max_length={limit}"
            )
        PADDED_TOKENS.check(self.max_length, "max_length")
        if not 0 <= expressive_probability <= 1:
            raise ValueError(f"expressive_probability must lie in [0, 1], got {expressive_probability}")
        if tokenizer.pad_token_id is None:
            raise ValueError("the tokenizer has no pad token; set tokenizer.pad_token, for instance to its eos token")
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.expressive_probability = expressive_probability
        self.embedding_dim = text_encoder.config.hidden_size
        self.mask, self.pooled = mask, pooled
        self._null: tuple[Any, States] | None = None

    @property
    def learns(self) -> bool:
        """True if any parameter of the text encoder requires gradients."""
        return any(parameter.requires_grad for parameter in self.text_encoder.parameters())

    @property
    def reads(self) -> Sequence[str]:
        """The instruction, and the expressive one where training shows it."""
        return ("instruction", "expressive_instruction") if self.expressive_probability else ("instruction",)

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """See `Conditioner.cut_texts`."""
        return beyond(self.tokenizer, texts, self.max_length)

    def forward(self, batch: PairBatch) -> Conditioning:
        """States of the batch's texts, cached or encoded; this conditioner has no losses of its own."""
        known = [self._cached(batch, name) for name in (BRIEF, EXPRESSIVE) if name in batch.cached]
        if not known:
            return self.encode(self._texts(batch))
        if len(known) == 1:
            return self.recalled(known[0])
        chosen = self._chosen(len(batch)).to(known[0].embeddings.device, non_blocking=True)
        return self.recalled(known[0].where(chosen, known[1]))

    def encodings(self, losses: Collection[str]) -> list[Encoding]:
        """States of the texts that training may show; none while the text encoder learns."""
        p = self.expressive_probability
        if self.learns:
            return []
        return [self.encoding(BRIEF)] * (p < 1) + [self.encoding(EXPRESSIVE)] * (p > 0)

    def encoding(self, name: str) -> Encoding:
        """States of the brief (`BRIEF`) or of the expressive instructions (`EXPRESSIVE`) of pairs."""
        brief = name == BRIEF
        texts: Callable[[PairBatch], list[str]] = (lambda batch: batch.instruction) if brief else filled
        key: Callable[[EditPair], str] = lambda pair: "" if brief else pair.expressive_instruction  # noqa: E731
        return Encoding(
            name,
            self.text_encoder,
            lambda batch: self._kept(name, self.encode(texts(batch)).states),
            lambda pair: key(pair) or pair.instruction,
            {"tokenizer": tokenizer_digest(self.tokenizer), "length": self.max_length}
            | {option: True for option in ("mask", "pooled") if getattr(self, option)},
        )

    def remembered(self, batch: PairBatch, name: str) -> Conditioning | None:
        """Conditioning of the cached states `BRIEF` or `EXPRESSIVE` of a batch; None where there are none."""
        return self.recalled(self._cached(batch, name)) if name in batch.cached else None

    def recalled(self, states: States) -> Conditioning:
        """Conditioning of cached states."""
        return Conditioning.of(states, self.null().expand(len(states)))

    @torch.no_grad()
    def condition(self, instructions: Sequence[str], original_images: Tensor) -> Conditioning:
        """States of the instructions; the images are not looked at."""
        return self.encode(instructions)

    def encode(self, texts: Sequence[str]) -> Conditioning:
        """States [B, K, D] of B texts, and those of "": from the same pass while the encoder learns, else kept."""
        if self.learns:
            states = self._states([*texts, ""])
            return Conditioning.of(states[:-1], states[-1:].expand(len(texts)))
        return self.recalled(self._states(texts))

    def null(self) -> States:
        """States of "", a single row, computed once for the same weights, device and precision.

        Changed weights are known by the version that torch counts of each tensor; what writes to `data` behind its
        back, as averages do, concerns weights that learn, whose states are never kept.
        """
        weights = list(self.text_encoder.parameters())
        kind = weights[0].device.type
        arithmetic = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        mark = arithmetic, self.training, *((weight.data_ptr(), weight._version) for weight in weights)
        if self._null is None or self._null[0] != mark:
            with torch.no_grad():
                self._null = mark, self._states([""])
        return self._null[1]

    def _states(self, texts: Sequence[str]) -> States:
        read = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        learns = self.learns
        if self.text_encoder.training != (self.training and learns):
            self.text_encoder.train(self.training and learns)
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            device = next(self.text_encoder.parameters()).device
            mask = read.attention_mask.to(device, non_blocking=True) if self.mask else None
            masked = {"attention_mask": mask} if self.mask else {}
            output = self.text_encoder(read.input_ids.to(device, non_blocking=True), **masked)
            pooled = output.pooler_output if self.pooled else None
            return States(output.last_hidden_state, None if mask is None else mask.bool(), pooled)

    def _kept(self, name: str, states: States) -> dict[str, Tensor]:
        """Tensors that a cache keeps of states, by name."""
        parts = {name: states.embeddings, f"{name}_mask": states.mask, f"{name}_pooled": states.pooled}
        return {part: tensor for part, tensor in parts.items() if tensor is not None}

    def _cached(self, batch: PairBatch, name: str) -> States:
        return States(*(batch.cached.get(f"{name}{part}") for part in ("", "_mask", "_pooled")))  # type: ignore[arg-type]

    def _texts(self, batch: PairBatch) -> list[str]:
        if not self.expressive_probability:
            return batch.instruction
        texts = zip(self._chosen(len(batch)).tolist(), filled(batch), batch.instruction, strict=True)
        return [expressive if take else brief for take, expressive, brief in texts]

    def _chosen(self, count: int) -> Tensor:
        """Mask of samples that show the expressive instruction: bool [B], drawn on the CPU."""
        return torch.rand(count) < self.expressive_probability


def filled(batch: PairBatch) -> list[str]:
    """The expressive instructions of a batch, the brief one in the place of one that is empty."""
    return [long or short for long, short in zip(batch.expressive_instruction, batch.instruction, strict=True)]
