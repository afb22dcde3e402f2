"""Texts of more tokens than a conditioner reads, whose rest is cut: named when editing, counted before training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)
_NAMED = 20
_LOOKED_AT = 200_000


@dataclass(frozen=True)
class CutText:
    """A text of which the end is not read.

    Args:
        text: all of it.
        tokens: how many it has.
        limit: how many of them are read.
    """

    text: str
    tokens: int
    limit: int

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 60 else f"{self.text[:40]} ... {self.text[-15:]}"
        return f"{shown!r} has {self.tokens:,} tokens, of which the first {self.limit:,} are read"


class Reader(Protocol):
    """Protocol of parts that read texts, such as a `Conditioner`."""

    @property
    def reads(self) -> Sequence[str]: ...

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]: ...


class CutTexts:
    """Warns of each text that is cut, once; of the first twenty by name, and then by their number."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def report(self, found: Iterable[CutText]) -> None:
        """Warn of those that are new."""
        for cut in found:
            if cut.text in self._seen:
                continue
            self._seen.add(cut.text)
            count = len(self._seen)
            if count <= _NAMED:
                log.warning("text too long: %s; what follows changes nothing, so say it shorter", cut)
            elif count % 100 == 0:
                log.warning("%s texts so far are too long and were cut", f"{count:,}")


def beyond(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], limit: int) -> list[CutText]:
    """Those of more tokens than the limit, each once.

    Args:
        tokenizer: adds its special tokens, which count.
        texts: to look at.
        limit: tokens that are read.
    """
    candidates = [text for text in dict.fromkeys(texts) if len(text.encode("utf-8", "replace")) + 8 > limit]
    if not candidates:
        return []
    lengths = [len(ids) for ids in tokenizer(candidates, truncation=False, verbose=False).input_ids]
    counted = zip(candidates, lengths, strict=True)
    return [CutText(text, tokens, limit) for text, tokens in counted if tokens > limit]


def warn_of_data(reader: Reader, sources: Mapping[str, Any]) -> None:
    """Warn how many texts of the data are cut or missing, by split and field; of sources that know their texts.

    Args:
        reader: that will read them.
        sources: by split.
    """
    for split, source in sources.items():
        for name in reader.reads:
            texts = list(islice(_column(source, name), _LOOKED_AT))
            first = "the first " if len(texts) == _LOOKED_AT else ""
            if empty := sum(not text for text in texts) if name == "expressive_instruction" else 0:
                log.warning(
                    "%s of %s%s %s pairs have no expressive instruction: of them the instruction loss is that of the "
                    "[IMG] tokens alone, and the model learns to write nothing; give the dataset such texts, or set "
                    "conditioner.expressive=false",
                    f"{empty:,}",
                    first,
                    f"{len(texts):,}",
                    split,
                )
            found = reader.cut_texts(list(dict.fromkeys(texts)))
            if not found:
                continue
            long = {cut.text for cut in found}
            count = sum(text in long for text in texts)
            log.warning(
                "%s of %s%s %s pairs have an %s that is too long and is cut; the longest: %s",
                f"{count:,}",
                first,
                f"{len(texts):,}",
                split,
                name.replace("_", " "),
                max(found, key=lambda cut: cut.tokens),
            )


def _column(source: Any, name: str) -> Iterable[str]:
    """A text field of all pairs, of a source or the parts of a joined one; nothing where it must be drawn first."""
    for part in getattr(source, "sources", [source]):
        if hasattr(part, "column"):
            yield from part.column(name)
