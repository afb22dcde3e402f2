"""Instructions that are none: empty, left over from a language model or a table, another pair's, the same for all."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from ip2p_lightning.data.doctor.finding import Finding

_THING = "(instruction|edit|prompt|caption|version|description)"
_TOKENS = "(im_(start|end)|endoftext|eot_id|s|assistant|user|system|think|image)"
_RESIDUES: dict[str, str] = {
    r"^(sure|certainly|of course|absolutely|okay|ok)\b[,!.]? *(here|i|let|the)\b": "a language model's opening",
    rf"\bhere('s| is| are) (the|an?|your|my|some) .{{0,30}}{_THING}": "a language model's opening",
    r"\bas an? (ai|artificial|large)\b|\b(i('m| am) (sorry|unable)|i cannot|i can't)\b": "a language model's refusal",
    rf"<\|?/?{_TOKENS}\|?>|\[/?INST\]": "a language model's token",
    r"```|^\s*[#>*]{1,3} |\*\*": "markup",
    r"^\s*[\[{].*[\]}]\s*$": "JSON",
    r"\{\w+\}|<(instruction|text|prompt|caption|placeholder)>|\b(TODO|FIXME|lorem ipsum)\b": "a placeholder",
    r"^\s*(edit )?(instruction|prompt|output|answer|assistant|response|caption) ?\d* ?:": "a label",
    r"^\s*(nan|none|null|n/?a|undefined|unknown|test|xxx+|-+|\?+|\.+)\s*$": "no text",
    r"^\s*[\w ()-]+\.(jpe?g|png|webp|txt|json|bmp|tiff?)\s*$": "a file name",
    r"https?://|www\.": "a link",
    r"<\w+[^>]*>|&(amp|quot|lt|gt|nbsp);": "HTML",
    "\ufffd|\u00c3[\u0080-\u00bf\u20ac\u201a-\u203a]|\u00e2\u20ac": "text of another encoding",
}
_RESIDUE = [(re.compile(pattern, re.IGNORECASE), what) for pattern, what in _RESIDUES.items()]
_LETTER = re.compile(r"[^\W\d_]")
_SAME, _UNIQUE, _LEAST = 0.9, 0.9, 10
MOST_WORDS = 60
"""Longer texts do not fit the 77 tokens of CLIP's text encoder."""


def residue(text: str) -> str:
    """Kind of text that is not an instruction; "" for a plausible instruction."""
    if not text.strip():
        return "the instruction is empty"
    for pattern, what in _RESIDUE:
        if found := pattern.search(text):
            return f"{what} in the instruction: {found[0].strip()[:40]!r}"
    if not _LETTER.search(text):
        return f"no word in the instruction: {text.strip()[:40]!r}"
    return ""


def text_findings(ids: Sequence[str], groups: Sequence[str], instructions: Sequence[str]) -> Iterator[Finding]:
    """Faults of texts, alone and next to each other.

    Args:
        ids: of the pairs.
        groups: pairs of one original.
        instructions: of the pairs.
    """
    for id, text in zip(ids, instructions, strict=True):
        if what := residue(text):
            yield Finding(id, "text", what, "write an instruction or leave the pair out")
        elif (words := len(text.split())) > MOST_WORDS:
            yield Finding(id, "text", f"{words} words: encoders of 77 tokens cut the end off", "shorten it")
    yield from _repeated(ids, groups, [" ".join(text.lower().split()).strip(" .!") for text in instructions])


def _repeated(ids: Sequence[str], groups: Sequence[str], plain: Sequence[str]) -> Iterator[Finding]:
    counts = Counter(text for text in plain if text)
    if len(plain) < _LEAST or not counts:
        return
    text, most = counts.most_common(1)[0]
    if most >= _SAME * len(plain):
        detail = f"{most:,} of {len(plain):,} pairs share one instruction: {text[:60]!r}"
        yield Finding("", "text", detail, "fine for a model of one edit; others never learn to read")
    elif len(counts) >= _UNIQUE * len(plain):
        owners: defaultdict[str, list[int]] = defaultdict(list)
        for index, one in enumerate(plain):
            owners[one].append(index)
        for one, found in owners.items():
            if one and len({groups[index] for index in found}) > 1:
                for index in found[1:]:
                    other = ids[found[0]]
                    yield Finding(
                        ids[index], "text", f"the instruction is that of {other!r}, while nearly all others are unique"
                    )
