"""A list of words and phrases that texts are refused for."""

from __future__ import annotations

import re
from pathlib import Path

_WORD_LIST = Path(__file__).with_name("unsafe_words.txt")


class UnsafeWords:
    """A list of English words and phrases: nudity, sexual acts, gore, self-harm.

    It matches whole words in any case and knows neither context ("a breast of chicken" is safe only because "breast"
    is not listed), other languages, misspellings on purpose, nor slurs. It stands in for the paper's moderation
    endpoint where there is none; for a published dataset put a classifier behind `TextFilter`.

    Args:
        path: a list of your own, one word or phrase a line, `#` before comments; None for the one that is included.

    Raises:
        FileNotFoundError: no such list.
        ValueError: an empty list.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        lines = Path(path or _WORD_LIST).read_text(encoding="utf-8").splitlines()
        terms = [term for line in lines if (term := " ".join(line.partition("#")[0].split()))]
        if not terms:
            raise ValueError(f"{path} lists no word; give one word or phrase a line")
        self.name = f"{len(terms)} unsafe words" + (f" of {Path(path).name}" if path else "")
        spaced = (re.escape(term).replace(r"\ ", r"[\s-]+") for term in terms)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)", re.IGNORECASE)

    def find(self, text: str) -> str:
        """The first word or phrase of the list in a text; "" if there is none."""
        match = self._pattern.search(text)
        return match[0] if match else ""
