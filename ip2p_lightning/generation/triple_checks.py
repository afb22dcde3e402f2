"""Checks of captions and triples, each with a reject reason to be counted by (InstructPix2Pix section 3.1.1).

Reasons: "empty", "too_long", "unsafe", "copy" (nothing is edited), "unrelated" (another image altogether, where this
is asked for), "duplicate" (a caption or an address seen before); writers add "unparsable" and "refused" (by a server),
the grammar "no_edit".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.models.triple_format import one_line
from ip2p_lightning.safety import TextFilter, UnsafeWords

_ARTICLE = re.compile(r"^(?:an?|the) ")


WORDS = UnsafeWords()
"""The included list."""


class TripleChecks:
    """Everything that can be said of one caption or one triple by itself.

    Args:
        safety: finds unsafe text; None lets everything pass.
        max_caption: longest caption, before or after the edit, in characters.
        max_instruction: longest instruction in characters.
        min_kept: least share of the caption's words that the edited caption must hold, in [0, 1]. The original asks
            for none; a small language model tends to describe another image, of which no edit can be made.
    """

    def __init__(
        self,
        safety: TextFilter | None = WORDS,
        max_caption: int = 400,
        max_instruction: int = 200,
        min_kept: float = 0.0,
    ) -> None:
        if min(max_caption, max_instruction) < 1:
            raise ValueError(f"max_caption={max_caption} and max_instruction={max_instruction} must be at least 1")
        if not 0 <= min_kept <= 1:
            raise ValueError(f"min_kept={min_kept} must be a share, 0 to 1")
        self.safety, self.max_caption, self.max_instruction = safety, max_caption, max_instruction
        self.min_kept = min_kept

    def of_caption(self, caption: Caption) -> Rejected | None:
        """Why nothing should be written for a caption; None if something should."""
        return self._text(caption.id, caption.text, self.max_caption)

    def of_triple(self, triple: EditTriple) -> Rejected | None:
        """Why a triple should not be kept; None if it should."""
        for text, limit in (
            (triple.original_caption, self.max_caption),
            (triple.instruction, self.max_instruction),
            (triple.edited_caption, self.max_caption),
        ):
            if found := self._text(triple.id, text, limit):
                return found
        original, instruction, edited = (
            comparable(text) for text in (triple.original_caption, triple.instruction, triple.edited_caption)
        )
        if len({original, instruction, edited}) < 3:
            return Rejected(triple.id, "copy", f"{triple.instruction} -> {triple.edited_caption}")
        if kept_share(original, edited) < self.min_kept:
            return Rejected(triple.id, "unrelated", f"{triple.instruction} -> {triple.edited_caption}")
        return None

    def _text(self, id: str, text: str, limit: int) -> Rejected | None:
        if not comparable(text):
            return Rejected(id, "empty", text)
        if len(text) > limit:
            return Rejected(id, "too_long", f"{len(text)} characters of at most {limit}: {text[:limit]}")
        if self.safety and (found := self.safety.find(text)):
            return Rejected(id, "unsafe", found)
        return None


class Duplicates:
    """Remembers captions by text and by address, 8 bytes of hash each; the first of two stays.

    The original removes both kinds as well; an image that is linked twice often carries two captions.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def check(self, caption: Caption) -> Rejected | None:
        """None for a caption whose text and address are both new; remembers it only then."""
        keys = {hashed_integer("text", comparable(caption.text)): caption.text}
        if caption.url:
            keys[hashed_integer("url", caption.url.strip())] = caption.url
        for key, value in keys.items():
            if key in self._seen:
                return Rejected(caption.id, "duplicate", value)
        self._seen.update(keys)
        return None


def comparable(text: str) -> str:
    """The text as it is compared: without case, final punctuation, and an article at its beginning."""
    return _ARTICLE.sub("", one_line(text).strip(" .!?").lower())


def kept_share(original: str, edited: str) -> float:
    """Share of the original caption's different words that the edited caption holds, in [0, 1]."""
    words, others = (set(re.findall(r"\w+", text.lower())) for text in (original, edited))
    return len(words & others) / max(1, len(words))


def tally(outcomes: Iterable[Caption | EditTriple | Rejected]) -> Counter[str]:
    """Number of those "kept", and of those rejected for each reason."""
    return Counter(outcome.reason if isinstance(outcome, Rejected) else "kept" for outcome in outcomes)
