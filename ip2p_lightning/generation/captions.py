"""Where captions come from: scenes of the embedded world, text files, JSON lines, tars of captioned photographs.

Every source yields captions in a fixed order, and a `Rejected` for what cannot be read. Captions of files are named by
a hash of their text, so that a file may grow or be sorted anew between two runs without work being done twice.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.generation.base import Caption, Rejected
from ip2p_lightning.world.edits import Change

LONGEST = 1000
"""Captions of more characters are refused: they are pages, not captions."""
_MAX_LINE = 2**20
WORLD = "world"
"""Key of `Caption.metadata` and `EditTriple.metadata` under which the address of a pair of the world is."""


class CaptionSource(Protocol):
    """Yields captions; the same ones in the same order each time."""

    name: str
    licence: str

    def read(self) -> Iterator[Caption | Rejected]:
        """All captions, and what could not be read."""
        ...


class WorldCaptions:
    """Captions of scenes of the embedded world, each with the address of the pair that shows its true edit.

    Args:
        level: "simple", "medium" or "full".
        split: "train", "validation" or "test".
        seed: another seed draws other scenes.
        kinds: kinds of edit; all of the level if None.
        first: number of the first pair.
    """

    name, licence = "world", "CC0-1.0"

    def __init__(
        self,
        level: str = "simple",
        split: str = "train",
        seed: int = 0,
        kinds: Sequence[str] | None = None,
        first: int = 0,
    ) -> None:
        self.address = {"level": level, "split": split, "seed": seed, "kinds": list(kinds) if kinds else None}
        self.first = first
        self._source = _source(**self.address)

    def read(self) -> Iterator[Caption]:
        index = self.first
        while True:
            _, change = self._source.change(index)
            world = {**self.address, "index": index}
            yield Caption(f"{self._source.address}-{index}", change.original_caption, metadata={WORLD: world})
            index += 1


def world_change(metadata: Mapping[str, Any]) -> tuple[str, Change]:
    """The kind of edit and the true edit at the address that a caption's or triple's metadata holds.

    Raises:
        ValueError: metadata of a caption that is not of the world.
    """
    address = metadata.get(WORLD)
    if address is None:
        raise ValueError(f"only captions of the world know their true edit; this one's metadata is {dict(metadata)}")
    return _source(**{key: value for key, value in address.items() if key != "index"}).change(address["index"])


def world_source(metadata: Mapping[str, Any]) -> WorldSource:
    """The source in which `world_change` looks."""
    return _source(**{key: value for key, value in metadata[WORLD].items() if key != "index"})


class TextCaptions:
    """One caption a line of a UTF-8 text file.

    Args:
        path: the file.
        licence: of the captions.
    """

    def __init__(self, path: str | Path, licence: str = "unknown") -> None:
        self.path, self.licence = _existing(path), licence
        self.name = self.path.name

    def read(self) -> Iterator[Caption | Rejected]:
        for number, line in _lines(self.path):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                yield Rejected(f"{self.name}:{number}", "corrupt", f"no UTF-8: {error.reason}")
                continue
            yield from _caption(text, f"{self.name}:{number}")


class JsonlCaptions:
    """One JSON object a line.

    Args:
        path: the file.
        caption_key: of the caption.
        url_key: of the picture's URL; rows may lack it.
        licence: of the captions.
    """

    def __init__(
        self, path: str | Path, caption_key: str = "caption", url_key: str = "url", licence: str = "unknown"
    ) -> None:
        self.path, self.licence = _existing(path), licence
        self.caption_key, self.url_key = caption_key, url_key
        self.name = self.path.name

    def read(self) -> Iterator[Caption | Rejected]:
        for number, line in _lines(self.path):
            place = f"{self.name}:{number}"
            try:
                row = json.loads(line)
                text, url = row[self.caption_key], row.get(self.url_key) or ""
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                yield Rejected(place, "corrupt", f"{type(error).__name__}: {error}")
                continue
            yield from _caption(text, place, str(url))


class TarCaptions:
    """Captions of WebDataset tars: `<key>.txt`, or the "caption" of `<key>.json`; the pictures are not read.

    Args:
        path: a tar file, or a folder of tar files.
        licence: of the captions.
    """

    def __init__(self, path: str | Path, licence: str = "unknown") -> None:
        self.path, self.licence = _existing(path), licence
        self.name = self.path.name

    def read(self) -> Iterator[Caption | Rejected]:
        for tar in sorted(self.path.glob("*.tar")) if self.path.is_dir() else [self.path]:
            try:
                yield from self._read(tar)
            except tarfile.TarError as error:
                yield Rejected(tar.name, "corrupt", f"no readable, uncompressed tar: {error}")

    def _read(self, path: Path) -> Iterator[Caption | Rejected]:
        texts: dict[str, tuple[str, Any, str]] = {}
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, ending = member.name.rpartition(".")
                if ending not in ("txt", "json") or not member.isfile() or member.size > _MAX_LINE:
                    continue
                place = f"{path.name}:{member.name}"
                content = tar.extractfile(member).read()  # type: ignore[union-attr]
                try:
                    text, url = (content.decode("utf-8"), "") if ending == "txt" else _of_json(content)
                except (ValueError, AttributeError) as error:
                    yield Rejected(place, "corrupt", f"{type(error).__name__}: {error}")
                    continue
                before = texts.get(key)
                if before is None or not before[1]:
                    texts[key] = (place, text, url)
                else:
                    texts[key] = (before[0], before[1], before[2] or url)
        for place, text, url in texts.values():
            yield from _caption(text, place, url)


def take(source: CaptionSource, count: int | None) -> Iterator[Caption | Rejected]:
    """The first captions of a source without repetitions, each repeated text or URL as a `Rejected`.

    Args:
        source: of captions.
        count: how many rows to look at; None for all.
    """
    seen: set[bytes] = set()
    for entry in islice(source.read(), count):
        if isinstance(entry, Rejected):
            yield entry
            continue
        keys = {_digest(" ".join(entry.text.lower().split()))} | ({_digest(entry.url)} if entry.url else set())
        if keys & seen:
            yield Rejected(entry.id, "duplicate", entry.text)
        else:
            yield entry
        seen |= keys


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
        return [Rejected(place, "too long", f"{text[:200]}... ({len(text):,} characters)")]
    return [Caption(f"caption-{_digest(text).hex()}", text, url)]


def _of_json(content: bytes) -> tuple[Any, str]:
    row = json.loads(content)
    return row.get("caption") or "", str(row.get("url") or "")


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


@lru_cache(maxsize=8)
def _cached(key: str) -> WorldSource:
    address = json.loads(key)
    return WorldSource(
        2**31, level=address["level"], split=address["split"], seed=address["seed"], kinds=address["kinds"]
    )


def _source(level: str, split: str, seed: int, kinds: Sequence[str] | None) -> WorldSource:
    return _cached(json.dumps({"level": level, "split": split, "seed": seed, "kinds": kinds}))
