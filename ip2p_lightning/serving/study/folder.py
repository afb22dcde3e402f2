"""A study on disk: what is compared, which image shows what, and the secret that sides and orders are drawn with."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ip2p_lightning.bounded_text import read_json, typed
from ip2p_lightning.files import write_whole

FILE, IMAGES, ANSWERS = "study.json", "images", "answers.sqlite"
_IMAGE = re.compile(r"[0-9a-f]{32}\.png")


@dataclass(frozen=True)
class StudyItem:
    """One comparison.

    Args:
        pair: id of the prompt or pair; "" for a catch trial.
        prompt: the text that raters read.
        category: of the prompt; "" for none.
        systems: names of the two systems; of a catch trial "right" and "wrong".
        images: names of both systems' image files.
        original: name of the original's file; "" for images that were made from a text.
        catch: whether its answer is known: the first image is the better one.
    """

    pair: str
    prompt: str
    category: str
    systems: tuple[str, str]
    images: tuple[str, str]
    original: str = ""
    catch: bool = False


@dataclass(frozen=True)
class Study:
    """Everything that the server knows and raters must not.

    Args:
        name: random name of the study.
        secret: 64 hexadecimal digits from the operating system's randomness.
        questions: key -> question.
        items: comparisons, catch trials among them.
        per_rater: comparisons that each rater sees, without the catch trials, of which each rater sees all.
    """

    name: str
    secret: str
    questions: Mapping[str, str]
    items: Sequence[StudyItem]
    per_rater: int

    def save(self, folder: Path) -> None:
        """Write the file, readable by its owner alone; an older one must not be there."""
        file = folder / FILE
        if file.exists():
            raise ValueError(f"{file} is there already; choose another output")
        write_whole(file, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        file.chmod(0o600)

    @classmethod
    def open(cls, folder: Path) -> Study:
        """Read the file.

        Raises:
            FileNotFoundError: no study there.
            ValueError: a damaged file, or images that are not there or not the folder's; names it.
        """
        content = read_json(folder / FILE, "the study; make one with `ip2p study serve systems=...`")
        study: Study = typed(cls, content, folder / FILE)
        if not re.fullmatch(r"[0-9a-f]{64}", study.secret):
            raise ValueError(f"{folder / FILE} is not a study: its secret is not 64 hexadecimal digits")
        for number, item in enumerate(study.items, 1):
            for name in filter(None, (*item.images, item.original)):
                file = folder / IMAGES / name
                if not _IMAGE.fullmatch(name) or file.is_symlink() or not file.is_file():
                    raise ValueError(f"{folder / FILE} item {number}: {name[:60]!r} is no image of {folder / IMAGES}")
        return study

    def draw(self, *address: object) -> random.Random:
        """A generator that depends on the secret and an address, such as rater and item."""
        return random.Random(self._digest(*address))

    def token(self, rater: str, item: int) -> str:
        """The name under which a rater knows an item: another one for each rater."""
        return self._digest("token", rater, item).hex()[:24]

    def first_is_left(self, rater: str, item: int) -> bool:
        """Side of the first system's image, for one rater."""
        return bool(self._digest("side", rater, item)[0] & 1)

    def plan(self, rater: str, seen: Mapping[int, int]) -> list[int]:
        """The items of one rater in their order: those that fewest raters have so far, and every catch trial.

        Args:
            rater: the rater's token.
            seen: item -> how many raters have it.
        """
        draw = self.draw("plan", rater)
        open_ = [number for number, item in enumerate(self.items) if not item.catch]
        draw.shuffle(open_)
        chosen = sorted(open_, key=lambda number: seen.get(number, 0))[: self.per_rater]
        chosen += [number for number, item in enumerate(self.items) if item.catch]
        draw.shuffle(chosen)
        return chosen

    def _digest(self, *address: object) -> bytes:
        return hmac.new(bytes.fromhex(self.secret), repr(address).encode(), hashlib.sha256).digest()
