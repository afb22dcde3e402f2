"""Judges of single questions about one image; what could not be read is named, and never a wrong answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from PIL import Image

from ip2p_lightning.data.images import as_rgb, to_tensor
from ip2p_lightning.metrics.judges.vlm_judge import Answerer, Question

if TYPE_CHECKING:
    from ip2p_lightning.metrics.encoders.judge import JudgeReader

PROTOCOL = 1
"""Goes up whenever the question's frame changes."""
_LONGEST = 2000


@dataclass(frozen=True)
class Asked:
    """A question about an image.

    Args:
        question: in words.
        answer: the right one.
        attribute: for judges that read attributes; "" if it has none.
    """

    question: str
    answer: str
    attribute: str = ""


@dataclass(frozen=True)
class Reply:
    """Answer of a judge.

    Args:
        right: whether its answer is the right one; None where there is none.
        said: its answer, or why there is none.
    """

    right: bool | None
    said: str


class AtomJudge(Protocol):
    """Answers questions about images. `name` goes into provenance."""

    name: str

    def fingerprint(self) -> str:
        """Changes whenever an answer may."""
        ...

    def judge(self, images: Sequence[Image.Image], asked: Sequence[Sequence[Asked]]) -> list[list[Reply]]:
        """A reply to each question about each image."""
        ...


class AttributeAtoms:
    """The embedded world's judge, which reads all attributes at once.

    Args:
        reader: reads images.
    """

    def __init__(self, reader: JudgeReader) -> None:
        self.reader, self.name = reader, f"attribute judge {reader.weights}"

    def fingerprint(self) -> str:
        return str(self.reader.provenance()["sha256"])

    def judge(self, images: Sequence[Image.Image], asked: Sequence[Sequence[Asked]]) -> list[list[Reply]]:
        replies = []
        for image, questions in zip(images, asked, strict=True):
            (reading,) = self.reader.read(torch.stack([to_tensor(as_rgb(image))]))
            known = self.reader.judge.attributes
            replies.append([self._reply(one, reading, known) for one in questions])
        return replies

    def _reply(self, one: Asked, reading: dict[str, str], known: dict[str, list[str]]) -> Reply:
        if one.answer not in known.get(one.attribute, ()):
            return Reply(None, "not an attribute that it reads")
        said = reading.get(one.attribute, "nothing")  # of what is not there
        return Reply(said == one.answer, said)


class ModelAtoms:
    """A vision-language model: each question by itself, one JSON object as the answer, nothing guessed.

    Args:
        answerer: the model.
        side: longest side in pixels of what it sees.
    """

    def __init__(self, answerer: Answerer, side: int = 768) -> None:
        self.answerer, self.side, self.name = answerer, side, answerer.name

    def fingerprint(self) -> str:
        content = f"{PROTOCOL} {self.answerer.fingerprint()} {self.side}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def judge(self, images: Sequence[Image.Image], asked: Sequence[Sequence[Asked]]) -> list[list[Reply]]:
        questions = [
            Question(_framed(one.question), (self._seen(image),))
            for image, ones in zip(images, asked, strict=True)
            for one in ones
        ]
        texts = iter(self.answerer.answer(questions) if questions else [])
        return [[_read(next(texts), one.answer) for one in ones] for ones in asked]

    def _seen(self, image: Image.Image) -> Image.Image:
        seen = as_rgb(image).copy()
        seen.thumbnail((self.side, self.side), Image.Resampling.LANCZOS)
        return seen


def _framed(question: str) -> str:
    return (
        f"Look at the image and answer in one or two words, or with yes or no.\n{question}\n"
        'Answer with one JSON object and nothing after it: {"answer": "<words>"}. If the image does not say, the '
        'answer is "unclear".'
    )


def _read(text: str, wanted: str) -> Reply:
    if not text.strip():
        return Reply(None, "no answer")
    if len(text) > _LONGEST:
        return Reply(None, "too long")
    objects = re.findall(r"\{[^{}]*\}", text)
    if len(objects) != 1:
        return Reply(None, "no JSON object" if not objects else "several answers")
    try:
        said = json.loads(objects[0]).get("answer")
    except ValueError:
        return Reply(None, "damaged JSON")
    if not isinstance(said, str | bool | int):
        return Reply(None, "no answer in the JSON object")
    said = {True: "yes", False: "no"}[said] if isinstance(said, bool) else str(said)
    return Reply(_plain(said) == _plain(wanted), said[:100])


def _plain(text: str) -> str:
    """Without case, articles and final punctuation."""
    return re.sub(r"^(?:an?|the) ", "", " ".join(text.lower().split()).strip(" .!\"'"))
