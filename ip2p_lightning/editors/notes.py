"""Notes on an edit: words that the editor has never seen, and seeds that change nothing."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ip2p_lightning.conditioners.base import Conditioner
from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.data.images import as_rgb
from ip2p_lightning.editors.request import EditResult
from ip2p_lightning.models.folder_files import WeightsError, read_settings
from ip2p_lightning.shipped import CARD

_ALIKE = 2.0
"""Mean difference in grey levels below which the edits of two seeds count as one."""
_KIND = re.compile(r"scenes: (\w+), success")


def learned_kinds(folder: str | Path) -> tuple[str, ...]:
    """The kinds of edits that a shipped editor's card measures; empty for any other folder."""
    card = Path(folder) / CARD
    if not (card.exists() or card.is_symlink()):
        return ()
    figures = read_settings(card).get("figures")
    if not isinstance(figures, dict):
        raise WeightsError(f"{card} has no figures; copy it again, or remove it")
    return tuple(kind[1].replace("_", " ") for name in figures if (kind := _KIND.fullmatch(name)))


class NewWords:
    """Notes on words that an editor of the drawn world has never seen.

    Its tokenizer has one token for every word that training showed, so that a word of several tokens is a new one. Some
    new words are one token, too, and are not found.

    A service makes notes on other threads than edits. Padding and truncation are a state of a tokenizer, which all its
    callers share: a note would change what an edit is reading at that moment. So this has a tokenizer of its own.

    Args:
        conditioner: of the editor.
        kinds: of edits that it learned; there are no notes without any.
    """

    def __init__(self, conditioner: Conditioner, kinds: Sequence[str]) -> None:
        reads = kinds and isinstance(conditioner, TextConditioner | LanguageModelConditioner)
        self.kinds, self._lock = kinds, threading.Lock()
        self._tokenizer: Any = copy.deepcopy(conditioner.tokenizer) if reads else None  # type: ignore[attr-defined]

    def note(self, instruction: str) -> str:
        """The note on an instruction; "" where there is nothing new."""
        if self._tokenizer is None:
            return ""
        words = dict.fromkeys(re.findall(r"[^\W\d_]+", instruction))
        new = [word for word in words if self._tokens(word) > 1]
        if not new:
            return ""
        lower = [word for word in new if self._tokens(word.lower()) == 1]
        hint = f" (write {lower[0].lower()!r} in lower case)" if lower else ""
        named = ", ".join(map(repr, new[:3])) + (" and others" if len(new) > 3 else "")
        return f"this editor has never seen {named}{hint}; it learned: {', '.join(self.kinds)}"

    def _tokens(self, word: str) -> int:
        with self._lock:
            return len(self._tokenizer.tokenize(f" {word}"))


def with_seed_notes(edits: Sequence[EditResult]) -> list[EditResult]:
    """Results with a note where several seeds of one image and instruction gave nearly the same."""
    alike: dict[tuple[int, str], list[int]] = {}
    for place, edit in enumerate(edits):
        if isinstance(edit.image, Image.Image):
            alike.setdefault((id(edit.request.image), edit.request.instruction), []).append(place)
    noted = list(edits)
    for places in alike.values():
        if len({edits[place].request.seed for place in places}) < 2:
            continue
        small = [_small(edits[place].image) for place in places]  # type: ignore[arg-type]
        most = max(float(np.abs(one - small[0]).mean()) for one in small[1:])
        if most < _ALIKE:
            note = f"seeds change this edit by {most:.1f} of 255 grey levels at most: one of them is enough"
            for place in places:
                noted[place] = replace(edits[place], notes=(*edits[place].notes, note))
    return noted


def _small(image: Image.Image) -> np.ndarray:
    return np.asarray(as_rgb(image).resize((64, 64), Image.Resampling.BOX), np.float32)
