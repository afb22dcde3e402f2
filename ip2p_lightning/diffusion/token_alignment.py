"""Alignment of the edited caption's tokens with the original's (Hertz et al. 2022): replace, refine, reweight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ip2p_lightning.diffusion.prompt_to_prompt import CrossEdit

Words = Sequence[Sequence[int]]
"""The positions of each word's tokens in a padded caption."""


def replaced(original: Words, edited: Words, length: int) -> Tensor:
    """Mapper [L, L] of word swaps: each word follows the word in its place.

    A word in other tokens shares out the attention of all tokens of its predecessor, 1 / len(target) each, as the
    reference does. What stands before, between and after the words (start, end, padding) follows in order; the
    reference loses the order behind the last swapped word if the swap changed the number of tokens.

    Args:
        original: positions of the original caption's words.
        edited: those of the edited caption.
        length: L.

    Raises:
        ValueError: captions of different numbers of words.
    """
    if len(original) != len(edited):
        raise ValueError(
            f"replacing needs captions of equally many words, got {len(original)} and {len(edited)}; refine instead"
        )
    mapper = torch.zeros(length, length)
    source = target = 0
    for before, after in zip(original, edited, strict=True):
        while source < before[0] and target < after[0]:
            mapper[source, target] = 1
            source, target = source + 1, target + 1
        if len(before) == len(after):
            mapper[list(before), list(after)] = 1
        else:
            mapper[before[0] : before[-1] + 1, after[0] : after[-1] + 1] = 1 / len(after)
        source, target = before[-1] + 1, after[-1] + 1
    for position in range(target, length):
        shifted = source + position - target
        mapper[shifted if shifted < length else position, position] = 1
    return mapper


def refined(original: Sequence[int], edited: Sequence[int], length: int) -> tuple[Tensor, Tensor]:
    """Mapper [L, L] and `own` [L] of captions that share most of their tokens.

    Global alignment (Needleman and Wunsch 1970; match 1, mismatch -1, gap 0, as in the reference); tokens without
    partner keep their own attention.

    Args:
        original: token ids of the original caption, without padding.
        edited: those of the edited caption.
        length: L.
    """
    rows, columns = len(original), len(edited)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows):
        for j in range(columns):
            match = best[i][j] + (1 if original[i] == edited[j] else -1)
            best[i + 1][j + 1] = max(match, best[i][j + 1], best[i + 1][j])
    mapper, own = torch.zeros(length, length), torch.zeros(length)
    own[:columns] = 1
    i, j = rows, columns
    while i and j:
        if original[i - 1] == edited[j - 1] and best[i][j] == best[i - 1][j - 1] + 1:
            i, j = i - 1, j - 1
            mapper[i, j], own[j] = 1, 0
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i -= 1
    padding = torch.arange(columns, length)
    mapper[padding, padding] = 1
    return mapper, own


def word_positions(spans: Sequence[tuple[int, int]], text: str) -> list[list[int]]:
    """Positions of the tokens of each word that is set off by white space.

    Args:
        spans: (first, end) character of each token; empty ones (special tokens) belong to no word.
        text: what was tokenised.

    Raises:
        ValueError: words without tokens: the caption was cut.
    """
    words, start = [], 0
    for word in text.split():
        first = text.index(word, start)
        start = first + len(word)
        tokens = [i for i, (begin, end) in enumerate(spans) if begin < min(end, start) and end > first]
        if not tokens:
            raise ValueError(f"the word {word!r} lies beyond the text encoder's length; shorten the caption {text!r}")
        words.append(tokens)
    return words


def cross_edit(
    tokenizer: object,
    original: str,
    edited: str,
    kind: Literal["auto", "replace", "refine"] = "auto",
    share: float | Mapping[str, float] = 0.8,
    weights: Mapping[str, float] | None = None,
) -> CrossEdit:
    """The cross-attention edit of two captions.

    Args:
        tokenizer: a fast tokenizer of transformers.
        original: caption of the image that is followed.
        edited: caption of the image that follows.
        kind: "replace" words in place, "refine" by alignment; "auto" replaces if there are equally many words.
        share: share of the steps in which attention follows; or by word of the edited caption, with "" for the others
            (0.8 if it is missing).
        weights: word of the edited caption -> factor of its attention (reweighting).

    Raises:
        ValueError: a tokenizer without offsets, captions that are too long or cannot be replaced word by word, or a
            word that the edited caption does not have.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__} does not tell where tokens lie; give a fast tokenizer")
    length: int = tokenizer.model_max_length  # type: ignore[attr-defined]
    ids, spans = zip(*(_encode(tokenizer, text, length) for text in (original, edited)), strict=True)
    words = [word_positions(s, text) for s, text in zip(spans, (original, edited), strict=True)]
    if kind == "auto":
        kind = "replace" if len(words[0]) == len(words[1]) else "refine"
    if kind == "replace":
        mapper, own = replaced(words[0], words[1], length), torch.zeros(length)
    else:
        mapper, own = refined(ids[0], ids[1], length)
    shares = {"": share} if isinstance(share, (int, float)) else {"": 0.8} | dict(share)
    shared = torch.full((length,), float(shares.pop("")), dtype=torch.float64)  # exact in share * steps
    factors = torch.ones(length)
    for table, values in ((shared, shares), (factors, weights or {})):
        for word, value in values.items():
            table[_find(word, edited, words[1])] = value
    return CrossEdit(mapper, own, factors, shared)


def _encode(tokenizer: object, text: str, length: int) -> tuple[list[int], list[tuple[int, int]]]:
    encoded = tokenizer(text, truncation=True, max_length=length, return_offsets_mapping=True)  # type: ignore[operator]
    return encoded["input_ids"], encoded["offset_mapping"]


def _find(word: str, text: str, positions: Words) -> list[int]:
    found = [token for name, tokens in zip(text.split(), positions, strict=True) if name == word for token in tokens]
    if not found:
        raise ValueError(f"the edited caption {text!r} has no word {word!r}; name one of its words")
    return found
