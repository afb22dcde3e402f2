"""Three sets of people's edit requests that MGIE is evaluated on: GIER, EVR (Image Editing Request) and MA5k-Req.

| set | listing | its keys |
|---|---|---|
| GIER (Shi et al. 2020) | `GIER.json` or a list of its splits | input, output, expert_summary, amateur_summary |
| EVR (Tan et al. 2019), spot-the-diff in its form | `test.json`, `valid.json`, `train.json` | img0, img1, sents, uid |
| MA5k-Req (Shi et al. 2021) | `FiveK.json` or a list of its splits | input, output, request |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.formats.listed_files import ListedFiles, ListedPair, Unusable

Requests = Literal["all", "first"]


class _Requests(ListedFiles):
    """A list of objects, each with two files and one request or several."""

    title: str
    listings: Sequence[str]
    original: str
    edited: str
    texts: Sequence[str]
    number: str = ""

    def __init__(
        self,
        path: str | Path,
        images: str | Path | None = None,
        requests: Requests = "all",
        licence: str = "unknown",
        unusable: Unusable = "gap",
        resize: bool = False,
    ) -> None:
        if requests not in ("all", "first"):
            raise ValueError(f"requests={requests!r}: choose all (a pair for each request) or first (one an image)")
        listing = self._listing(Path(path))
        rows = read_json(listing, f"{self.title}'s pairs", not_a_number="null")
        if not isinstance(rows, list):
            raise ValueError(f"{listing} should hold a list of pairs, not {type(rows).__name__}")
        pairs = (pair for index, row in enumerate(rows) for pair in self._usable(listing, index, row, requests))
        super().__init__(self.title, images or _images(listing), pairs, licence, unusable, resize)

    def _listing(self, path: Path) -> Path:
        if path.is_file():
            return path
        found = next((path / name for name in self.listings if (path / name).is_file()), None)
        if found is None:
            wanted = " or ".join(self.listings)
            raise FileNotFoundError(f"{self.title}: {path} has no {wanted}; give the folder or the listing itself")
        return found

    def _usable(self, *entry: Any) -> Iterator[ListedPair | UnusablePair]:
        try:
            yield from self._pairs(*entry)
        except UnusablePair as error:
            yield error

    def _pairs(self, listing: Path, index: int, row: Any, requests: Requests) -> Iterator[ListedPair]:
        place = f"{listing} entry {index}"
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in (self.original, self.edited)):
            raise UnusablePair(place, f"an entry needs the file names {self.original!r} and {self.edited!r}")
        texts = [text for key in self.texts for text in _list(row.get(key), place, key)]
        texts = list(dict.fromkeys(" ".join(text.split()) for text in texts)) or [""]
        number = str(row.get(self.number) or index)
        for turn, text in enumerate(texts if requests == "all" else texts[:1]):
            yield ListedPair(
                place=place,
                id=f"{number}/{turn}",
                original=row[self.original],
                edited=row[self.edited],
                instruction=text,
                group=row[self.original],
            )


class GIERSource(_Requests):
    """GIER: photographs that people on the web asked to have edited, in the words of experts and amateurs.

    Args:
        path: the folder, or a listing such as `splits/test_sess_3.json`.
        images: folder of the images; None for `images` next to the listing or one level up.
        requests: "all" makes a pair of every request (MGIE's 29.9K), "first" one of each photograph.
        licence: of the images.
        unusable: pairs with missing files or images of different sizes: "gap" or "error".
        resize: bring edited images to their original's size instead, as the authors' loader does.

    Raises:
        FileNotFoundError: no listing or no images.
        ValueError: a damaged listing; see also `ListedFiles`.
    """

    title, listings = "GIER", ("GIER.json", "IER2.json")
    original, edited, texts = "input", "output", ("expert_summary", "amateur_summary")


class EVRSource(_Requests):
    """Image Editing Request, from "Expressing Visual Relationships via Language"; arguments as `GIERSource`.

    The folder's `test.json` is read; give another listing (`valid.json`, `train.json`) by its path. Spot-the-diff,
    which the authors bring to the same form, is read too.
    """

    title, listings = "EVR", ("test.json",)
    original, edited, texts, number = "img0", "img1", ("sents",), "uid"


class MA5kSource(_Requests):
    """MA5k-Req: MIT-Adobe FiveK's retouched photographs with requests; arguments as `GIERSource`."""

    title, listings = "MA5k-Req", ("FiveK.json",)
    original, edited, texts = "input", "output", ("request",)


def _images(listing: Path) -> Path:
    """The folder of images that belongs to a listing."""
    near = [listing.parent / "images", listing.parent.parent / "images", listing.parent]
    return next(folder for folder in near if folder.is_dir())


def _list(value: Any, place: str, key: str) -> list[str]:
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UnusablePair(place, f"{key!r} should be a text or a list of texts")
    return texts
