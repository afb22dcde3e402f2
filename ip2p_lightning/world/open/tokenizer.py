"""Tokenizer of the open level's texts: as `world.tokenizer`, with the words of its captions and instructions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from transformers import PreTrainedTokenizerFast

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.world.open.distribution import sample
from ip2p_lightning.world.open.edits import EDITS
from ip2p_lightning.world.open.texts import caption
from ip2p_lightning.world.tokenizer import PROMPT, train_tokenizer
from ip2p_lightning.world.tokenizer import texts as drawn_texts

FOLDER = Path(__file__).parent / "tokenizer_files"


@buildable
def open_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer that lies in the package (no download); see `world.tokenizer.world_tokenizer`."""
    return PreTrainedTokenizerFast.from_pretrained(str(FOLDER))


def texts(samples: int = 400, scenes: int = 6000) -> Iterator[str]:
    """Texts in which every word of the open level occurs, and those of the other levels."""
    yield PROMPT
    yield from drawn_texts(samples)
    rng = Random(0)
    for number in range(scenes):
        yield caption(sample(rng), number)
    for make in EDITS.values():
        for _ in range(samples):
            change = make(sample(rng), rng)
            if change is not None:
                yield change.instruction
                yield change.expressive_instruction


if __name__ == "__main__":
    train_tokenizer(sorted(set(texts())), FOLDER)
