"""What is refused among captions and triples, each with a reason to be counted by (InstructPix2Pix section 3.1.1).

Reasons: "empty", "too_long", "unsafe", "copy" (nothing is edited), "unrelated" (another picture altogether, where this
is asked for), "duplicate" (a caption or an address seen before); writers add "unparsable" and "refused" (by a server),
the grammar "no_edit".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.models.triple_format import one_line

_ARTICLE = re.compile(r"^(?:an?|the) ")
_WORD_LIST = Path(__file__).with_name("unsafe_words.txt")


class TextSafety(Protocol):
    """Finds text that should not become pictures."""

    name: str
    """For the run card."""

    def find(self, text: str) -> str:
        """What is unsafe about the text; "" if nothing is."""
        ...


class UnsafeWords:
    """A list of English words and phrases: nudity, sexual acts, gore, self-harm.

    It matches whole words in any case and knows neither context ("a breast of chicken" is safe only because "breast"
    is not listed), other languages, misspellings on purpose, nor slurs. It stands in for the paper's moderation
    endpoint where there is none; for a published dataset put a classifier behind `TextSafety`.

    Args:
        path: a list of your own, one word or phrase a line, `#` before comments; None for the one that is included.

    Raises:
        FileNotFoundError: no such list.
        ValueError: an empty list.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        lines = Path(path or _WORD_LIST).read_text(encoding="utf-8").splitlines()
        terms = [term for line in lines if (term := one_line(line.partition("#")[0]))]
        if not terms:
            raise ValueError(f"{path} lists no word; give one word or phrase a line")
        self.name = f"{len(terms)} unsafe words" + (f" of {Path(path).name}" if path else "")
        spaced = (re.escape(term).replace(r"\ ", r"[\s-]+") for term in terms)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)", re.IGNORECASE)

    def find(self, text: str) -> str:
        match = self._pattern.search(text)
        return match[0] if match else ""


WORDS = UnsafeWords()
"""The included list."""


class TripleChecks:
    """Everything that can be said of one caption or one triple by itself.

    Args:
        safety: finds unsafe text; None lets everything pass.
        max_caption: longest caption, before or after the edit, in characters.
        max_instruction: longest instruction in characters.
        min_kept: least share of the caption's words that the edited caption must hold, in [0, 1]. The original asks
            for none; a small language model tends to describe another picture, of which no edit can be made.
    """

    def __init__(
        self,
        safety: TextSafety | None = WORDS,
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

    The original removes both kinds as well; a picture that is linked twice often carries two captions.
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
    """How many were "kept", and how many were rejected for each reason."""
    return Counter(outcome.reason if isinstance(outcome, Rejected) else "kept" for outcome in outcomes)
