"""The tokens that MGIE adds to a language model: where the image goes, and the [IMG] tokens whose states edit."""

from __future__ import annotations

import copy
from typing import Any

from transformers import PreTrainedTokenizerBase

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.limits import VISUAL_TOKENS

PATCH, START, END = "<im_patch>", "<im_start>", "<im_end>"


@buildable
def with_visual_tokens(tokenizer: PreTrainedTokenizerBase, count: int = 8) -> PreTrainedTokenizerBase:
    """A copy of a tokenizer with `<im_patch>`, `<im_start>`, `<im_end>` and [IMG0..count-1] appended, in this order.

    On LLaMA's vocabulary they get the published ids 32000-32002 and 32003-32010.

    Args:
        tokenizer: of the language model.
        count: N, number of [IMG] tokens.

    Raises:
        ValueError: fewer than one token, or more than the limit.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}: without [IMG] tokens nothing reaches the edit head")
    VISUAL_TOKENS.check(count, "count")
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([PATCH, START, END, *(f"[IMG{index}]" for index in range(count))], special_tokens=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return tokenizer


def special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The ids of begin, end and padding, as arguments of transformers' configurations."""
    return {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


def visual_token_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of [IMG0], [IMG1], ... as far as the tokenizer has them.

    Raises:
        ValueError: a tokenizer without them.
    """
    vocabulary = tokenizer.get_vocab()
    ids: list[int] = []
    while (token := f"[IMG{len(ids)}]") in vocabulary:
        ids.append(vocabulary[token])
    if not ids:
        raise ValueError("the tokenizer has no [IMG0]; pass it through with_visual_tokens first")
    return ids
