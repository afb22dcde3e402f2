"""Imagen's condition: the states of a frozen text encoder for captions (Saharia et al. 2022, section 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ip2p_lightning.cache.encoding import Encoding, tokenizer_digest
from ip2p_lightning.conditioners.base import Conditioner, Conditioning
from ip2p_lightning.conditioners.cut_texts import CutText, beyond
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.limits import PADDED_TOKENS

NullText = Literal["zeros", "empty"]
ORIGINAL, EDITED = "original_caption_states", "edited_caption_states"
"""Names of cached states."""


class CaptionConditioner(Conditioner):
    """Captions padded to one length and encoded by a network that never learns.

    The encoder sees the attention mask; the denoiser sees the states of all K tokens, padding included, since
    diffusers' IF pipelines give it no mask. `forward` conditions on both captions of each pair, the original's first.

    Args:
        tokenizer: truncates and pads; must have a pad token.
        text_encoder: `encoder(input_ids, attention_mask)` gives `last_hidden_state` [B, K, D]: T5's encoder, CLIP's.
        max_length: K; diffusers' IF pipelines know 77 alone.
        null_text: the null condition: "zeros" (Imagen), or the states of the "empty" text (DeepFloyd IF).

    Raises:
        ValueError: no pad token, a length beyond the encoder's positions, more than the limit of padded tokens, or an
            unknown null text.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: PreTrainedModel,
        max_length: int = 77,
        null_text: NullText = "zeros",
    ) -> None:
        super().__init__()
        if tokenizer.pad_token_id is None:
            raise ValueError("the tokenizer has no pad token; set tokenizer.pad_token, for instance to its eos token")
        limit = getattr(text_encoder.config, "max_position_embeddings", None)
        if limit is not None and max_length > limit:
            raise ValueError(
                f"max_length={max_length} exceeds the text encoder's {limit} positions; lengthen it "
                f"(text_encoder.positions={max_length}), or set max_length={limit}"
            )
        if null_text not in ("zeros", "empty"):
            raise ValueError(f"null_text={null_text!r}: choose zeros (Imagen) or empty (DeepFloyd IF)")
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder.requires_grad_(False).eval()
        self.max_length = PADDED_TOKENS.check(max_length, "max_length")
        self.null_text = null_text
        self.embedding_dim = text_encoder.config.hidden_size

    @property
    def reads(self) -> Sequence[str]:
        """Both captions."""
        return ("original_caption", "edited_caption")

    def train(self, mode: bool = True) -> CaptionConditioner:
        """The text encoder stays in evaluation mode."""
        super().train(mode)
        self.text_encoder.eval()
        return self

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """See `Conditioner.cut_texts`."""
        return beyond(self.tokenizer, texts, self.max_length)

    def forward(self, batch: PairBatch) -> Conditioning:
        """States [2B, K, D] of the captions of the batch's 2B images, cached or encoded.

        Raises:
            ValueError: images without captions.
        """
        if ORIGINAL in batch.cached:
            return self.recalled(torch.cat([batch.cached[ORIGINAL], batch.cached[EDITED]]))
        captions = [*batch.original_caption, *batch.edited_caption]
        if not all(captions):
            raise ValueError(
                f"some of the pairs {batch.id[:3]} ... have no captions, which text-to-image learns from; use pairs "
                "that have both"
            )
        return self.encode(captions)

    def condition(self, instructions: Sequence[str], original_images: Tensor) -> Conditioning:
        """States of B texts; the images are not looked at."""
        return self.encode(instructions)

    def encodings(self, losses: Collection[str]) -> list[Encoding]:
        """States of both captions."""
        return [
            self._encoding(ORIGINAL, lambda batch: batch.original_caption, lambda pair: pair.original_caption),
            self._encoding(EDITED, lambda batch: batch.edited_caption, lambda pair: pair.edited_caption),
        ]

    def encode(self, texts: Sequence[str]) -> Conditioning:
        """States [B, K, D] of B texts, and the null condition."""
        return self.recalled(self.states(texts))

    def recalled(self, states: Tensor) -> Conditioning:
        """Conditioning of states [B, K, D]."""
        null = torch.zeros_like(states) if self.null_text == "zeros" else self.states([""]).expand_as(states)
        return Conditioning(states, null)

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> Tensor:
        """[B, K, D] of B texts."""
        device = next(self.text_encoder.parameters()).device
        tokens = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return self.text_encoder(
            tokens.input_ids.to(device), attention_mask=tokens.attention_mask.to(device)
        ).last_hidden_state

    def _encoding(self, name: str, texts: Callable[[PairBatch], list[str]], key: Callable[[EditPair], str]) -> Encoding:
        return Encoding(
            name,
            self.text_encoder,
            lambda batch: {name: self.states(texts(batch))},
            key,
            {"tokenizer": tokenizer_digest(self.tokenizer), "length": self.max_length, "masked": True},
        )
