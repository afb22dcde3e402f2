"""Models that shorten descriptions to expressive instructions: of the T5 family as the release, or any chat model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerBase

from ip2p_lightning.models.loading import load_model
from ip2p_lightning.models.triple_format import one_line


class Seq2SeqSummariser:
    """A model of the T5 family; the release used flan-t5-11b-summarizer-filtered with these settings.

    It is asked by `generate` itself: transformers 5 has no summarisation pipeline any more.

    Args:
        model: sequence to sequence, of transformers.
        tokenizer: the model's.
        request: what comes before the text.
        beams: of the search.
        min_length: shortest summary in tokens.
        max_length: longest summary in tokens.
        no_repeat_ngram_size: n-grams that may not repeat; 0 allows all.
        max_input: longest input in tokens; more is cut off.
        batch_size: texts at once.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        request: str = "summarize the following paragraph in 32 words:\n\n",
        beams: int = 5,
        min_length: int = 5,
        max_length: int = 64,
        no_repeat_ngram_size: int = 3,
        max_input: int = 512,
        batch_size: int = 8,
    ) -> None:
        self.model: Any = model.eval()
        self.tokenizer, self.request, self.max_input, self.batch_size = tokenizer, request, max_input, batch_size
        self.settings = {
            "num_beams": beams,
            "min_length": min_length,
            "max_length": max_length,
            "no_repeat_ngram_size": no_repeat_ngram_size,
            "do_sample": False,
        }
        self.name = model.config.name_or_path or type(model).__name__

    def to(self, device: torch.device) -> None:
        """Move the model."""
        self.model.to(device)

    @torch.inference_mode()
    def shorten(self, texts: Sequence[str]) -> list[str]:
        """A summary each."""
        shorter: list[str] = []
        for start in range(0, len(texts), self.batch_size):
            asked = [self.request + text for text in texts[start : start + self.batch_size]]
            inputs = self.tokenizer(
                asked, padding=True, truncation=True, max_length=self.max_input, return_tensors="pt"
            ).to(self.model.device)
            generated = self.model.generate(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, **self.settings
            )
            shorter += cast("list[str]", self.tokenizer.batch_decode(generated, skip_special_tokens=True))
        return [one_line(text) for text in shorter]


class ChatSummariser:
    """A causal language model that follows orders, by its own chat template.

    Args:
        model: causal, of transformers.
        tokenizer: the model's; has a chat template.
        request: the order, before the text.
        max_new_tokens: longest summary in tokens.

    Raises:
        ValueError: a tokenizer without a chat template.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        request: str = "Summarize the following paragraph in one sentence of at most 25 words.\n\n",
        max_new_tokens: int = 64,
    ) -> None:
        if not tokenizer.chat_template:
            raise ValueError("the tokenizer has no chat template; use the tokenizer of a model that follows orders")
        self.model: Any = model.eval()
        self.tokenizer, self.request, self.max_new_tokens = tokenizer, request, max_new_tokens
        self.name = model.config.name_or_path or type(model).__name__

    def to(self, device: torch.device) -> None:
        """Move the model."""
        self.model.to(device)

    @torch.inference_mode()
    def shorten(self, texts: Sequence[str]) -> list[str]:
        """A summary each, by greedy decoding."""
        return [one_line(self._shorten(text)) for text in texts]

    def _shorten(self, text: str) -> str:
        messages = [{"role": "user", "content": self.request + text}]
        inputs = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        ids = cast(Any, inputs)["input_ids"].to(self.model.device)
        generated = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
            pad_token_id=self.tokenizer.eos_token_id,
        )
        return cast(str, self.tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True))


def load_seq2seq(weights: str, dtype: str = "float32", variant: str | None = None) -> PreTrainedModel:
    """A published sequence-to-sequence model; arguments as for `load_model`."""
    return load_model(AutoModelForSeq2SeqLM, weights, None, variant, dtype)
