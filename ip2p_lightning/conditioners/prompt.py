"""Input and target sequence of a language model: prompt, expressive instruction, [IMG] tokens, end.

Token ids are put together piece by piece, never by tokenising one long string: the [IMG] tokens stand next to each
other whatever a tokenizer makes of spaces, and a command that spells "[IMG0]" or "</s>" stays ordinary text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ip2p_lightning.conditioners.cut_texts import CutText, beyond
from ip2p_lightning.models.visual_tokens import END, PATCH, START, visual_token_ids

IGNORED = -100
PICTURE, INSTRUCTION = "{picture}", "{instruction}"


@dataclass(frozen=True)
class Sequences:
    """B prompts with their answers, padded on the right to the longest.

    Args:
        input_ids: [B, S].
        attention_mask: [B, S], 1 on real tokens.
        labels: [B, S], -100 on prompt and padding.
        visual_positions: [B, N], indices of the states that PREDICT [IMG0..N-1].
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    visual_positions: Tensor


class Prompt:
    """Builds the token sequences of instructions and answers.

    Args:
        tokenizer: from `with_visual_tokens`.
        template: text with "{instruction}" and, for models with eyes, "{picture}"; the answer follows it directly.
        picture_tokens: patches of an image, 0 for models without eyes.
        max_text_length: longest prompt and answer together in tokens, patches not counted. Expressive instructions
            are cut first, then the instruction; the [IMG] tokens never.

    Raises:
        ValueError: a template that lacks a placeholder, has one too many, or is itself too long.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, template: str, picture_tokens: int = 0, max_text_length: int = 256
    ) -> None:
        wanted = {INSTRUCTION: 1, PICTURE: int(picture_tokens > 0)}
        for placeholder, times in wanted.items():
            if template.count(placeholder) != times:
                raise ValueError(
                    f"the prompt template {template!r} holds {placeholder} {template.count(placeholder)} times; "
                    f"this model needs it {times} times"
                )
        self.tokenizer = tokenizer
        self.template = template
        self.visual_ids = visual_token_ids(tokenizer)
        self.max_text_length = max_text_length
        # Spaces next to an image are dropped, as the tokenizer of the release did around special tokens.
        self._parts = [part.strip() for part in template.split(PICTURE)]
        vocabulary = tokenizer.get_vocab()
        self._picture = (
            [vocabulary[token] for token in (START, *[PATCH] * picture_tokens, END)] if picture_tokens else []
        )
        self._bos = [] if tokenizer.bos_token_id is None else [cast(int, tokenizer.bos_token_id)]
        self._eos, self._pad = cast(int, tokenizer.eos_token_id), cast(int, tokenizer.pad_token_id)
        self._room = max_text_length - len(self.visual_ids) - 1
        if self._text_length(self._prompt("")) > self._room:
            raise ValueError(
                f"max_text_length={max_text_length} has no room for the prompt template and "
                f"{len(self.visual_ids)} [IMG] tokens; raise it or shorten the template"
            )

    @property
    def stop_ids(self) -> list[int]:
        """Tokens that end an expressive instruction: [IMG0] and the end of sequence."""
        return [self.visual_ids[0], self._eos]

    @property
    def silent_ids(self) -> list[int]:
        """Tokens that are never part of an expressive instruction and do not end it either."""
        special = {*self._picture, *self._bos, *self.visual_ids, self._pad}
        return sorted(special - {*self.stop_ids})

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """Those that do not fit into a prompt."""
        template = self._text_length(self._prompt(""))
        return beyond(self.tokenizer, texts, self._room - template)

    def prompts(self, instructions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask [B, S] of prompts alone, padded on the left, to be continued by the model."""
        rows = [self._fitting(instruction) for instruction in instructions]
        width = max(map(len, rows))
        ids = [[self._pad] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids), torch.tensor(mask)

    def sequences(self, instructions: Sequence[str], expressive: Sequence[str]) -> Sequences:
        """Prompts with their answers: expressive instruction (may be empty), [IMG0..N-1], end of sequence."""
        prompts = [self._fitting(instruction) for instruction in instructions]
        answers = []
        for prompt, text in zip(prompts, expressive, strict=True):
            written = self._tokens(text.strip())[: max(0, self._room - self._text_length(prompt))]
            answers.append([*written, *self.visual_ids, self._eos])
        lengths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)]
        width = max(lengths)
        shape = (len(prompts), width)
        ids = torch.full(shape, self._pad)
        labels = torch.full(shape, IGNORED)
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            ids[row, : lengths[row]] = torch.tensor(prompt + answer)
            labels[row, len(prompt) : lengths[row]] = torch.tensor(answer)
        ends = torch.tensor(lengths)[:, None]
        count = len(self.visual_ids)
        # The end of sequence is the last token, [IMG0] stands `count` before it, and the state before predicts it.
        return Sequences(ids, (torch.arange(width) < ends).long(), labels, ends - count - 2 + torch.arange(count))

    def read(self, generated: Sequence[int]) -> str:
        """The expressive instruction in generated ids: what stands before the first stop token."""
        stops = set(self.stop_ids)
        length = next((index for index, token in enumerate(generated) if token in stops), len(generated))
        return self._text(list(generated[:length])).strip()

    def _fitting(self, instruction: str) -> list[int]:
        """The prompt's ids, the instruction cut from its end until they fit."""
        ids = self._prompt(instruction)
        while (excess := self._text_length(ids) - self._room) > 0:
            kept = self._tokens(instruction)[:-excess]
            instruction = self._text(kept)
            ids = self._prompt(instruction)
        return ids

    def _prompt(self, instruction: str) -> list[int]:
        before, *after = [self._tokens(part.replace(INSTRUCTION, instruction)) for part in self._parts]
        return [*self._bos, *before, *self._picture, *(after[0] if after else [])]

    def _text_length(self, prompt: list[int]) -> int:
        return len(prompt) - len(self._picture)

    def _tokens(self, text: str) -> list[int]:
        ids = (
            self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids
            if text
            else []
        )
        return cast("list[int]", ids)

    def _text(self, ids: list[int]) -> str:
        return cast(str, self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
