"""A vision-language model as judge of edits: two questions, strict answers, verdicts kept on disk by content.

The scheme is VIEScore's (Ku et al. 2024), in words of our own. Semantic consistency (SC): does the edit do what was
asked, and nothing else; the judge sees both images. Perceptual quality (PQ): is the edited image natural and whole;
the judge sees it alone. Each question asks for two marks from 0 to 10, of which the lower counts, and the overall mark
is sqrt(SC x PQ).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ip2p_lightning.data.images import as_rgb
from ip2p_lightning.files import write_whole

PROTOCOL = 2
"""Goes up whenever a question's words change, so that old verdicts are not taken for new ones."""

TOP = 10.0
_MAX_ANSWER = 20_000


def _two_marks(first: str, second: str) -> str:
    return (
        f'Answer with one JSON object and nothing after it: {{"reason": "<one or two sentences>", "marks": [<{first}>, '
        f"<{second}>]}}. Marks are numbers from 0 to 10; use the whole range, and halves if you need them."
    )


CONSISTENCY = (
    "Rate how well an image editor followed an instruction. The first image is the input, the second is the edited "
    "image.<montage> The instruction was:\n<instruction>\n"
    "Give two scores. done: to what extent the edited image shows what the instruction asked for (0: not at all; 5: "
    "half of it, or the wrong amount; 10: completely). kept: to what extent everything that the instruction did not "
    "mention is unchanged (0: a completely different image; 5: clear changes that were not asked for; 10: nothing else "
    "changed). An edited image that equals the input scores 0 for done.\n" + _two_marks("done", "kept")
)
QUALITY = (
    "Rate the quality of an image. It may be a photograph, a drawing or a painting; its content does not matter.\n"
    "Give two scores. natural: light, shadows, proportions and perspective are consistent (0: not at all; 10: fully, "
    "in the image's own style). clean: the image is free of artefacts (0: smeared, broken or full of noise; 5: visible "
    "artefacts in places; 10: none).\n" + _two_marks("natural", "clean")
)


@dataclass(frozen=True)
class Question:
    """A question to a judge.

    Args:
        text: the question.
        pictures: it is about, in order, PIL RGB.
        seed: for judges that draw.
    """

    text: str
    pictures: tuple[Image.Image, ...]
    seed: int = 0


class Answerer(Protocol):
    """A vision-language model. `name` goes into provenance, `fingerprint` into the key of stored verdicts."""

    name: str

    def fingerprint(self) -> str:
        """Changes whenever an answer may."""
        ...

    def answer(self, questions: Sequence[Question]) -> list[str]:
        """A text for each question; "" where the model will not answer."""
        ...


@dataclass(frozen=True)
class Verdict:
    """Marks of one edit.

    Args:
        consistency: marks for done and kept; None if the answer could not be read.
        quality: marks for natural and clean; likewise.
        reasons: what the judge said about each.
        failures: why answers could not be read.
    """

    consistency: tuple[float, float] | None
    quality: tuple[float, float] | None
    reasons: tuple[str, str] = ("", "")
    failures: tuple[str, ...] = ()

    @property
    def sc(self) -> float:
        """Semantic consistency, 0 to 10; NaN if unknown."""
        return math.nan if self.consistency is None else min(self.consistency)

    @property
    def pq(self) -> float:
        """Perceptual quality, 0 to 10; NaN if unknown."""
        return math.nan if self.quality is None else min(self.quality)

    @property
    def overall(self) -> float:
        """Geometric mean of both, 0 to 10; NaN if either is unknown."""
        return math.sqrt(self.sc * self.pq)


@dataclass(frozen=True)
class Edit:
    """An edit to be judged: original and edited image, and the instruction."""

    original: Image.Image
    edited: Image.Image
    instruction: str


class VLMJudge:
    """Judges edits, each but once: verdicts are kept in a folder under a hash of images, instruction and judge.

    Args:
        answerer: the model.
        cache: folder of verdicts; None keeps none. Several processes may share it.
        attempts: how often an unreadable answer is asked for again, with another seed, before it counts as a failure.
            A model that does not draw gives the same answer again: leave it at 1.
        montage: show the two images side by side in one, for models that take one image.
        side: longest side in pixels of what the judge sees; larger images are reduced.

    Raises:
        ValueError: numbers out of range.
    """

    def __init__(
        self,
        answerer: Answerer,
        cache: str | Path | None = None,
        attempts: int = 1,
        montage: bool = False,
        side: int = 768,
    ) -> None:
        if attempts < 1 or side < 16:
            raise ValueError(f"attempts={attempts} must be at least 1, side={side} at least 16")
        self.answerer, self.attempts, self.montage, self.side = answerer, attempts, montage, side
        self.cache = None if cache is None else Path(cache)
        self.asked = 0
        """Answers that the model gave; what came from the folder is not counted."""
        self._known: dict[str, _Answer] = {}
        self._failed: dict[str, str] = {}

    @property
    def failures(self) -> Counter[str]:
        """Reason -> questions whose answers could not be read, each counted once."""
        return Counter(self._failed.values())

    def judge(self, edits: Sequence[Edit]) -> list[Verdict]:
        """A verdict for each edit."""
        questions = [self._questions(edit) for edit in edits]
        keys = [(self._key(first), self._key(second)) for first, second in questions]
        unique = {
            key: q for both, asked in zip(keys, questions, strict=True) for key, q in zip(both, asked, strict=True)
        }
        for key in unique:
            if key not in self._known and (answer := self._stored(key)) is not None:
                self._known[key] = answer
        new = {key: question for key, question in unique.items() if key not in self._known and key not in self._failed}
        for attempt in range(self.attempts):
            self._ask({key: question for key, question in new.items() if key not in self._known}, attempt)
        return [self._verdict(*both) for both in keys]

    def _ask(self, questions: Mapping[str, Question], seed: int) -> None:
        if not questions:
            return
        answers = self.answerer.answer([Question(q.text, q.pictures, seed) for q in questions.values()])
        self.asked += len(answers)
        for key, text in zip(questions, answers, strict=True):
            answer = read_answer(text)
            if isinstance(answer, str):
                self._failed[key] = answer
            else:
                self._failed.pop(key, None)
                self._known[key] = answer
                self._store(key, answer, text)

    def _verdict(self, consistency: str, quality: str) -> Verdict:
        named = {"consistency": consistency, "quality": quality}
        marks = [answer and answer.marks for answer in map(self._known.get, named.values())]
        reasons = [answer.reason if answer else "" for answer in map(self._known.get, named.values())]
        failures = [f"{name}: {self._failed[key]}" for name, key in named.items() if key not in self._known]
        return Verdict(marks[0], marks[1], (reasons[0], reasons[1]), tuple(failures))

    def provenance(self) -> dict[str, Any]:
        """Provenance of the judge; `failures` has the number of unreadable answers."""
        return {
            "judge": self.answerer.name,
            "fingerprint": self.answerer.fingerprint(),
            "protocol": PROTOCOL,
            "montage": self.montage,
            "side": self.side,
        }

    def _questions(self, edit: Edit) -> tuple[Question, Question]:
        original, edited = self._reduced(edit.original), self._reduced(edit.edited)
        both = (_side_by_side(original, edited),) if self.montage else (original, edited)
        note = " Both are shown in one image, the first on the left." if self.montage else ""
        asked = CONSISTENCY.replace("<montage>", note).replace("<instruction>", edit.instruction)
        return Question(asked, both), Question(QUALITY, (edited,))

    def _reduced(self, image: Image.Image) -> Image.Image:
        image = as_rgb(image)
        if max(image.size) <= self.side:
            return image
        scale = self.side / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        return image.resize(size, Image.Resampling.LANCZOS)

    def _key(self, question: Question) -> str:
        digest = hashlib.sha256(f"{PROTOCOL}\n{self.answerer.fingerprint()}\n{question.text}".encode())
        for picture in question.pictures:
            digest.update(f"\n{picture.size}".encode() + picture.tobytes())
        return digest.hexdigest()

    def _stored(self, key: str) -> _Answer | None:
        if self.cache is None or not (file := self.cache / key[:2] / f"{key}.json").is_file():
            return None
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            answer = read_answer(values["answer"])
        except (ValueError, KeyError, TypeError, OSError):
            return None  # damaged: asked again and written again
        return None if isinstance(answer, str) else answer

    def _store(self, key: str, answer: _Answer, text: str) -> None:
        """Appears as a whole or not at all."""
        if self.cache is None:
            return
        content = {"judge": self.answerer.name, "marks": answer.marks, "answer": text}
        write_whole(self.cache / key[:2] / f"{key}.json", json.dumps(content, ensure_ascii=False), shared=True)


@dataclass(frozen=True)
class _Answer:
    marks: tuple[float, float]
    reason: str


def read_answer(text: str) -> _Answer | str:
    """The two marks and the reason of an answer, or why it cannot be read.

    Nothing is guessed: there must be exactly one JSON object with "marks", two numbers from 0 to 10. Words before it
    and a code fence around it are passed over.
    """
    if not text.strip():
        return "no answer"
    if len(text) > _MAX_ANSWER:
        return "too long"
    objects = list(_objects(text))
    if not objects:
        return "no JSON object"
    marked = [found for found in objects if "marks" in found]
    if len(marked) != 1:
        return "no marks" if not marked else "several answers"
    marks = marked[0]["marks"]
    if not isinstance(marks, list) or len(marks) != 2 or any(isinstance(m, bool) for m in marks):
        return "not two marks"
    if not all(isinstance(mark, int | float) for mark in marks):
        return "not two marks"
    if not all(0 <= mark <= TOP for mark in marks):
        return "marks out of range"
    return _Answer((float(marks[0]), float(marks[1])), str(marked[0].get("reason", ""))[:2000])


def _objects(text: str) -> list[Mapping[str, Any]]:
    """The JSON objects in a text, outermost ones, in order."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while (match := re.compile(r"\{").search(text, place)) is not None:
        try:
            value, place = decoder.raw_decode(text, match.start())
            found.append(value)
        except (ValueError, RecursionError):
            place = match.start() + 1
    return found


def _side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    gap = max(4, left.width // 50)
    both = Image.new("RGB", (left.width + gap + right.width, max(left.height, right.height)), (255, 255, 255))
    both.paste(left, (0, 0))
    both.paste(right, (left.width + gap, 0))
    return both
