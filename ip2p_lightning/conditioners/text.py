"""InstructPix2Pix's condition: the states of a text encoder for the instruction, those of "" as the null condition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ip2p_lightning.conditioners.base import Conditioner, Conditioning
from ip2p_lightning.data.pair import PairBatch


class TextConditioner(Conditioner):
    """Texts padded to one length and encoded, as Stable Diffusion does it (no attention mask).

    An encoder none of whose parameters requires gradients runs without them and in evaluation mode.

    Args:
        tokenizer: truncates and pads; must have a pad token.
        text_encoder: `encoder(input_ids)` gives `last_hidden_state` [B, K, D]; `config.hidden_size` is D.
        max_length: K, tokens a text is padded or cut to; the smaller of both parts' limits if None.
        expressive_probability: how often training shows the expressive instruction in place of the brief one: 0 for
            InstructPix2Pix, 1 for fine-tuning on expressive instructions (MGIE's ablation "FT"), between for a
            teacher that understands both. Pairs without one always show the brief instruction.

    Raises:
        ValueError: a length beyond the encoder's positions, a probability outside [0, 1], or no pad token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: PreTrainedModel,
        max_length: int | None = None,
        expressive_probability: float = 0.0,
    ) -> None:
        super().__init__()
        limit = text_encoder.config.max_position_embeddings
        self.max_length = max_length or min(tokenizer.model_max_length, limit)
        if self.max_length > limit:
            raise ValueError(
                f"max_length={self.max_length} exceeds the text encoder's {limit} positions; set max_length={limit}"
            )
        if not 0 <= expressive_probability <= 1:
            raise ValueError(f"expressive_probability must lie in [0, 1], got {expressive_probability}")
        if tokenizer.pad_token_id is None:
            raise ValueError("the tokenizer has no pad token; set tokenizer.pad_token, for instance to its eos token")
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.expressive_probability = expressive_probability
        self.embedding_dim = text_encoder.config.hidden_size

    def forward(self, batch: PairBatch) -> Conditioning:
        """States of the batch's texts; this conditioner has no losses of its own."""
        return self.encode(self._texts(batch))

    @torch.no_grad()
    def condition(self, instructions: Sequence[str], original_images: Tensor) -> Conditioning:
        """States of the instructions; the pictures are not looked at."""
        return self.encode(instructions)

    def encode(self, texts: Sequence[str]) -> Conditioning:
        """States [B, K, D] of B texts and, from the same pass, of ""."""
        ids = self.tokenizer(
            [*texts, ""], padding="max_length", truncation=True, max_length=self.max_length, return_tensors="pt"
        ).input_ids
        learns = any(parameter.requires_grad for parameter in self.text_encoder.parameters())
        if self.text_encoder.training != (self.training and learns):
            self.text_encoder.train(self.training and learns)
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            device = next(self.text_encoder.parameters()).device
            states = self.text_encoder(ids.to(device, non_blocking=True)).last_hidden_state
        return Conditioning(states[:-1], states[-1:].expand(len(texts), -1, -1))

    def _texts(self, batch: PairBatch) -> list[str]:
        if not self.expressive_probability:
            return batch.instruction
        chosen = (torch.rand(len(batch)) < self.expressive_probability).tolist()
        texts = zip(chosen, batch.expressive_instruction, batch.instruction, strict=True)
        return [expressive if take and expressive else brief for take, expressive, brief in texts]
