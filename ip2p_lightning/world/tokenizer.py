"""Tokenizer of the world's texts: byte-level BPE in which every word of the world is one token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from ip2p_lightning.config.parts import buildable
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.world.edits import EDITS
from ip2p_lightning.world.levels import LEVELS

FOLDER = Path(__file__).parent / "tokenizer_files"
PAD, BOS, UNK, EOS = "<pad>", "<s>", "<unk>", "</s>"
MAX_LENGTH = 77
PROMPT = "what will this image be like if USER: ASSISTANT: describe the edited picture"
"""Words around instructions in the prompts of language models."""


@buildable
def world_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer that lies in the package (no download).

    Texts become ``<s> words </s>``; ask for ``add_special_tokens=False`` for the words alone. ``</s>`` has the largest
    id, as CLIP's pooling expects; padding is on the right.
    """
    return PreTrainedTokenizerFast.from_pretrained(str(FOLDER))


def texts(samples: int = 400) -> Iterator[str]:
    """Texts in which every word of the world occurs: drawn edits of every level and kind, and all image edits."""
    yield PROMPT
    rng = Random(0)
    for level in LEVELS.values():
        for kind in level.edits:
            for _ in range(samples if kind in EDITS else 0):
                change = EDITS[kind](level.sample(level, rng), level, rng)
                if change is not None:
                    yield change.instruction
                    yield change.expressive_instruction
                    yield change.original_caption
    for variants in PICTURE_EDITS.values():
        for edit in variants:
            yield from edit.phrases
            yield edit.look.format(what="the scene")


def words(samples: int = 400) -> set[str]:
    """All words of `texts`, without punctuation."""
    return {word for text in texts(samples) for word in re.findall(r"[A-Za-z]+", text)}


def train_tokenizer(corpus: Iterable[str], folder: Path) -> None:
    """Train byte-level BPE until every word of the corpus is one token, and save it as a transformers folder.

    Args:
        corpus: texts.
        folder: where to save.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=8192,
        min_frequency=1,
        special_tokens=[PAD, BOS, UNK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([EOS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}",
        pair=f"{BOS} $A {EOS} $B {EOS}",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS)), (EOS, tokenizer.token_to_id(EOS))],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        padding_side="right",
        model_max_length=MAX_LENGTH,
    ).save_pretrained(str(folder))


if __name__ == "__main__":
    train_tokenizer(sorted(set(texts())), FOLDER)
