"""Triples by a causal language model of transformers: few-shot with one that was not tuned, plainly with one that was.

Sampling is the original's of GPT-3: temperature 0.7, frequency penalty 0.1, at most 256 tokens, four tries. What a
caption is answered depends on the seed and its id alone: every row draws from its own stream, and rows are padded on
the left, where nothing reads them. Only the arithmetic of another batch size may differ, in the last bits of a
probability.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from ip2p_lightning.generation.base import Rejected
from ip2p_lightning.generation.triple_checks import TripleChecks
from ip2p_lightning.generation.writers.completion import CompletionWriter
from ip2p_lightning.methods.checkpoint import Weights, load_method
from ip2p_lightning.methods.writer import WriterModule
from ip2p_lightning.models.causal_lm import text_ids
from ip2p_lightning.models.triple_format import END, EXAMPLES, few_shot_prompt, prompt

_TAIL = 8  # tokens in which an end must show: it has four characters


class LanguageModelWriter(CompletionWriter):
    """A causal language model that continues prompts.

    Args:
        model: of transformers.
        tokenizer: the model's.
        shots: examples shown before the caption (up to 6); 0 for a model tuned on the format.
        temperature: of sampling; 0 takes the likeliest token.
        top_p: share of probability from which tokens are drawn.
        frequency_penalty: taken off a token's logit for each time it was written.
        presence_penalty: taken off a token's logit once it was written.
        max_new_tokens: longest answer.
        batch_size: captions at once.
        retries: tries after the first.
        checks: what is refused.
        name: for the run card; the model's own if empty.
        device: "auto" takes an accelerator where there is one.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        shots: int = 6,
        temperature: float = 0.7,
        top_p: float = 1.0,
        frequency_penalty: float = 0.1,
        presence_penalty: float = 0.0,
        max_new_tokens: int = 256,
        batch_size: int = 16,
        retries: int = 3,
        checks: TripleChecks | None = None,
        name: str = "",
        device: str = "auto",
    ) -> None:
        super().__init__(checks, retries)
        if not 0 <= shots <= len(EXAMPLES):
            raise ValueError(f"shots={shots}: there are {len(EXAMPLES)} examples to show")
        if temperature < 0 or not 0 < top_p <= 1 or max_new_tokens < 1 or batch_size < 1:
            raise ValueError(
                f"temperature={temperature} must not be negative, top_p={top_p} must be in (0, 1], "
                f"max_new_tokens={max_new_tokens} and batch_size={batch_size} at least 1"
            )
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.model: Any = cast(Any, model).to(device).eval()
        self.tokenizer = tokenizer
        self.shots, self.max_new_tokens, self.batch_size = shots, max_new_tokens, batch_size
        self.sampling = {
            "temperature": temperature,
            "top_p": top_p,
            "frequency_penalty": frequency_penalty,
            "presence_penalty": presence_penalty,
        }
        self.name = name or model.config.name_or_path or type(model).__name__

    @classmethod
    def from_checkpoint(
        cls, checkpoint: str | Path, weights: Weights = "ema", trust: Iterable[str] | None = None, **options: Any
    ) -> LanguageModelWriter:
        """The writer that `ip2p train experiment=writer/...` tuned; it needs no examples.

        Args:
            checkpoint: the `.ckpt` file.
            weights: "ema" or "raw".
            trust: see `load_method`.
            options: as for the class.
        """
        module = load_method(checkpoint, WriterModule, weights=weights, trust=trust)
        name = f"{module.model.config.name_or_path} tuned as {checkpoint}"
        return cls(module.model, module.tokenizer, **{"shots": 0, "name": name, **options})

    def complete(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str | Rejected]:
        rows = [text_ids(self.tokenizer, self._prompt(caption)) for caption in captions]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))  # rows of a batch are then of like length
        answers: dict[int, str | Rejected] = {}
        room = getattr(self.model.config, "max_position_embeddings", None) or 2**30
        for index in [index for index in order if len(rows[index]) + self.max_new_tokens > room]:
            answers[index] = Rejected(
                "", "too_long", f"{len(rows[index])} tokens with an answer's {self.max_new_tokens}"
            )
        fitting = [index for index in order if index not in answers]
        for start in range(0, len(fitting), self.batch_size):
            batch = fitting[start : start + self.batch_size]
            texts = self._continue([rows[index] for index in batch], [seeds[index] for index in batch])
            answers |= dict(zip(batch, texts, strict=True))
        return [answers[index] for index in range(len(rows))]

    def _prompt(self, caption: str) -> str:
        return few_shot_prompt(caption, EXAMPLES[: self.shots]) if self.shots else prompt(caption)

    @torch.inference_mode()
    def _continue(self, rows: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[str]:
        pad, width = self._pad_id(), max(map(len, rows))
        ids = torch.tensor([[pad] * (width - len(row)) + [*row] for row in rows]).to(self.model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]).to(self.model.device)
        generated = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
            pad_token_id=pad,
            logits_processor=LogitsProcessorList([AddressedSampling(seeds, width, **self.sampling)]),
            stopping_criteria=StoppingCriteriaList([_Ended(self.tokenizer, width)]),
        )
        return [self._text(row) for row in generated[:, width:].tolist()]

    def _text(self, ids: list[int]) -> str:
        """The answer; an end-of-sequence token ends it as well."""
        eos = self.tokenizer.eos_token_id
        ended = eos in ids
        text = cast(str, self.tokenizer.decode(ids[: ids.index(eos)] if ended else ids, skip_special_tokens=True))
        return text + END if ended and END not in text else text

    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return cast(int, self.tokenizer.eos_token_id if pad is None else pad)


class AddressedSampling(LogitsProcessor):
    """Draws each row's next token from its own stream and leaves it alone possible, for greedy generation.

    Penalties are OpenAI's: they count what was written, not the prompt.

    Args:
        seeds: of the rows' streams.
        start: length of the prompts.
        temperature, top_p, frequency_penalty, presence_penalty: see `LanguageModelWriter`.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        start: int,
        temperature: float,
        top_p: float,
        frequency_penalty: float,
        presence_penalty: float,
    ) -> None:
        self.start, self.temperature, self.top_p = start, temperature, top_p
        self.frequency_penalty, self.presence_penalty = frequency_penalty, presence_penalty
        self._streams = [Random(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits [B, V] in; 0 for the drawn token and -inf for all others out."""
        written = input_ids[:, self.start :]
        counts = torch.zeros_like(scores, dtype=torch.float64)
        counts.scatter_add_(1, written, torch.ones_like(written, dtype=torch.float64))
        logits = scores.double() - self.frequency_penalty * counts - self.presence_penalty * (counts > 0)
        if self.temperature == 0:
            chosen = logits.argmax(1, keepdim=True)
        else:
            chosen = self._draw((logits / self.temperature).softmax(1))
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)

    def _draw(self, probabilities: Tensor) -> Tensor:
        if self.top_p < 1:
            ranked, order = probabilities.sort(dim=1, descending=True, stable=True)
            beyond = ranked.cumsum(1) - ranked >= self.top_p
            probabilities = probabilities.masked_fill(torch.zeros_like(beyond).scatter(1, order, beyond), 0.0)
        cumulative = probabilities.cumsum(1)
        points = torch.tensor([[stream.random()] for stream in self._streams], dtype=torch.float64)
        points = points.to(cumulative.device) * cumulative[:, -1:]
        return torch.searchsorted(cumulative, points, right=True).clamp(max=probabilities.shape[1] - 1)


class _Ended(StoppingCriteria):
    """Rows whose last tokens spell the end."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int) -> None:
        self.tokenizer, self.start = tokenizer, start

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        tails = self.tokenizer.batch_decode(input_ids[:, max(self.start, input_ids.shape[1] - _TAIL) :])
        return torch.tensor([END in tail for tail in tails], device=input_ids.device)
