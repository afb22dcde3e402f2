"""Captions of files: text, JSON lines, tars of captioned photographs (those of the world are in `world_triples.py`).

Every source yields captions in a fixed order, and a `Rejected` for what cannot be read. Captions of files are named by
a hash of their text, so that a file may grow or be sorted differently between two runs without work being done twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import TextError, parse_json, utf8
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.formats.json_lines import check_lines
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.tars import list_tar, read_member, tar_files
from ip2p_lightning.generation.base import Caption, Rejected
from ip2p_lightning.generation.triple_checks import Duplicates

LONGEST = 1000
"""Captions of more characters are refused: they are pages, not captions."""
_MAX_LINE = 2**20


class CaptionSource(Protocol):
    """Yields captions; the same ones in the same order each time."""

    name: str
    licence: str

    def __iter__(self) -> Iterator[Caption | Rejected]:
        """All captions, and what could not be read."""
        ...


class TextCaptions:
    """One caption a line of a UTF-8 text file.

    Args:
        path: the file.
        licence: of the captions.
    """

    def __init__(self, path: str | Path, licence: str = "unknown") -> None:
        self.path, self.licence = _existing(path), licence
        self.name = self.path.name

    def __iter__(self) -> Iterator[Caption | Rejected]:
        for number, line in _lines(self.path):
            try:
                text = utf8(line)
            except TextError as error:
                yield Rejected(f"{self.name}:{number}", "corrupt", str(error))
                continue
            yield from _caption(text, f"{self.name}:{number}")


class JsonlCaptions:
    """One JSON object a line.

    Args:
        path: the file.
        caption_key: of the caption.
        url_key: of the image's URL; rows may lack it.
        licence: of the captions.

    Raises:
        ValueError: the file is no JSON Lines as a whole; says what it is.
    """

    def __init__(
        self, path: str | Path, caption_key: str = "caption", url_key: str = "url", licence: str = "unknown"
    ) -> None:
        self.path, self.licence = _existing(path), licence
        self.caption_key, self.url_key = caption_key, url_key
        self.name = self.path.name
        check_lines(self.path)

    def __iter__(self) -> Iterator[Caption | Rejected]:
        for number, line in _lines(self.path):
            place = f"{self.name}:{number}"
            try:
                row = _object(line)
                if self.caption_key not in row:
                    raise TextError(
                        f"no key {self.caption_key!r}; it has {', '.join(row)[:200]}: give captions.caption_key=KEY"
                    )
            except TextError as error:
                yield Rejected(place, "corrupt", str(error))
                continue
            yield from _caption(row[self.caption_key], place, _url(row.get(self.url_key)))


class TarCaptions:
    """Captions of WebDataset tars: `<key>.txt`, or the "caption" of `<key>.json`; the images are not read.

    Args:
        path: a tar file, or a folder of tar files.
        licence: of the captions.
    """

    def __init__(self, path: str | Path, licence: str = "unknown") -> None:
        self.path, self.licence = _existing(path), licence
        self.name = self.path.name

    def __iter__(self) -> Iterator[Caption | Rejected]:
        left_out = LeftOut()
        for tar in tar_files(self.path, left_out):
            yield from self._read(tar)
        for line in left_out.lines():
            yield Rejected(self.name, "corrupt", f"not used: {line}")

    def _read(self, path: Path) -> Iterator[Caption | Rejected]:
        texts: dict[str, tuple[str, Any, str]] = {}
        listing = list_tar(path)
        for member in listing.members:
            key, _, ending = member.name.rpartition(".")
            if ending not in ("txt", "json"):
                continue
            place = f"{path.name}:{member.name}"
            try:
                if member.name in listing.repeated:
                    raise TextError("a member is there twice")
                content = read_member(path, member.offset, member.size, limits.ROW_BYTES, place)
                text, url = (utf8(content), "") if ending == "txt" else _of_json(content)
            except (TextError, UnusablePair) as error:
                yield Rejected(place, "corrupt", str(error))
                continue
            before = texts.get(key)
            if before is None or not before[1]:
                texts[key] = (place, text, url)
            else:
                texts[key] = (before[0], before[1], before[2] or url)
        if listing.damage:
            yield Rejected(
                path.name, "corrupt", f"no readable, uncompressed tar: {listing.damage}; what follows is lost"
            )
        for place, text, url in texts.values():
            yield from _caption(text, place, url)


def take(source: CaptionSource, count: int | None) -> Iterator[Caption | Rejected]:
    """The first captions of a source without repetitions, each repeated text or URL as a `Rejected`.

    Args:
        source: of captions.
        count: how many rows to look at; None for all.
    """
    duplicates = Duplicates()
    for entry in islice(source, count):
        yield entry if isinstance(entry, Rejected) else duplicates.check(entry) or entry


def _caption(text: Any, place: str, url: str = "") -> Iterable[Caption | Rejected]:
    """The caption of a text, its refusal, or nothing for an empty line."""
    if not isinstance(text, str):
        return [Rejected(place, "corrupt", f"the caption is {type(text).__name__}, not text")]
    text = " ".join(text.split())
    if not text:
        return []
    if "\ufffd" in text or not any(letter.isalpha() for letter in text):
        return [Rejected(place, "corrupt", text[:200])]
    if len(text) > LONGEST:
        return [Rejected(place, "too_long", f"{text[:200]}... ({len(text):,} characters)")]
    return [Caption(f"caption-{_digest(text).hex()}", text, url)]


def _of_json(content: bytes) -> tuple[Any, str]:
    row = _object(content)
    return row.get("caption") or "", _url(row.get("url"))


def _object(content: bytes) -> dict[str, Any]:
    row = parse_json(content, not_a_number="null")
    if not isinstance(row, dict):
        raise TextError(f"no JSON object but {type(row).__name__}")
    return row


def _url(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line; a line without end is cut, so that a file that is no text needs no memory."""
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE), b""), start=1):
            if line.strip():
                yield number, line


def _existing(path: str | Path) -> Path:
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is not there; give captions.path=FILE")
    return Path(path)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=10).digest()
