"""Pairs of image files that a benchmark lists, checked before anything is evaluated on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from ip2p_lightning.data.encoded import UnusablePair, has_text
from ip2p_lightning.data.formats.columns import black_and_white
from ip2p_lightning.data.images import ImageError, open_image, open_mask, picture_size
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.paths import file_inside, read_image

Unusable = Literal["gap", "error"]


@dataclass(frozen=True)
class ListedPair:
    """A pair as a listing has it.

    Args:
        place: file and row of the listing, for messages.
        id: of the pair.
        original, edited: files, relative to the images' folder.
        mask: file of the mask, or "".
        instruction, original_caption, edited_caption, kind, group, metadata: as in `EditPair`.
    """

    place: str
    id: str
    original: str
    edited: str
    instruction: str
    mask: str = ""
    original_caption: str = ""
    edited_caption: str = ""
    kind: str = ""
    group: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class ListedFiles:
    """A `PairSource` of listed files. Files are looked for, and sizes compared, at construction.

    Args:
        name: of the set; pairs left out are counted in it, so that tables and reports show them.
        images: folder of the images.
        pairs: the listing; entries that are no pair as what is wrong with them.
        licence: of the images.
        unusable: pairs with a missing file, no instruction or images of different sizes are an "error", or a "gap"
            that is counted in `left_out`.
        resize: bring edited images to their original's size (bicubic) where they differ, rather than leave them out.

    Raises:
        FileNotFoundError: no folder of images.
        ValueError: an unusable pair (such as an id that is there twice) while that is an error, or no usable pair.
    """

    def __init__(
        self,
        name: str,
        images: str | Path,
        pairs: Iterable[ListedPair | UnusablePair],
        licence: str = "unknown",
        unusable: Unusable = "gap",
        resize: bool = False,
    ) -> None:
        if unusable not in ("gap", "error"):
            raise ValueError(f"unusable={unusable!r}: choose gap (leave such pairs out and count them) or error")
        self.images, self.licence, self.resize = Path(images), licence, resize
        if not self.images.is_dir():
            raise FileNotFoundError(f"{name}: there is no folder of images {str(images)!r}")
        self.left_out = LeftOut()
        """Pairs left out, by reason."""
        self.pairs: list[ListedPair] = []
        size = lru_cache(maxsize=4096)(picture_size)
        listed, total, first = set(), 0, ""
        for pair in pairs:
            total += 1
            try:
                if isinstance(pair, UnusablePair):
                    raise pair
                if pair.id in listed:
                    raise UnusablePair(pair.place, "an id is there twice", f"{pair.id!r}; ids must be unique")
                listed.add(pair.id)
                self._check(pair, size)
            except UnusablePair as error:
                if unusable == "error":
                    raise
                self.left_out.add(error.reason, error.place)
                first = first or str(error)
            else:
                self.pairs.append(pair)
        reasons = ", ".join(f"{count:,} x {reason}" for reason, count in self.left_out.counts.most_common())
        if not self.pairs:
            raise ValueError(
                f"{name}: none of {total:,} listed pairs can be used ({reasons or 'the listing is empty'})"
                f"{f'; the first: {first}' if first else ''}"
            )
        gaps = len(self.left_out)
        self.name = f"{name} ({gaps:,} of {total:,} left out: {reasons})" if gaps else name

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> EditPair:
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.name}")
        pair = self.pairs[index]
        original, edited = self._open(pair, pair.original), self._open(pair, pair.edited)
        if edited.size != original.size:
            edited = edited.resize(original.size, Image.Resampling.BICUBIC)
        mask = None
        if pair.mask:
            data = read_image(self.images, pair.mask, pair.place)
            white = black_and_white(data, read_image(self.images, pair.original, pair.place), pair.place)
            mask = open_mask(white, name=f"{pair.place}: {pair.mask}")
        return EditPair(
            id=pair.id,
            original_image=original,
            edited_image=edited,
            instruction=pair.instruction,
            original_caption=pair.original_caption,
            edited_caption=pair.edited_caption,
            kind=pair.kind,
            group=pair.group,
            mask=mask,
            metadata=dict(pair.metadata),
        )

    @property
    def groups(self) -> list[str]:
        """The group of each pair."""
        return [pair.group or pair.id for pair in self.pairs]

    def column(self, name: str) -> list[Any]:
        """A field of every pair, such as "id", without opening images."""
        return [getattr(pair, name) for pair in self.pairs]

    def fingerprint(self) -> str:
        """Hash of the listing and of the files' sizes."""
        digest = hashlib.sha256(repr(self.resize).encode())
        for pair in self.pairs:
            files = [file for file in (pair.original, pair.edited, pair.mask) if file]
            sizes = [(self.images / file).stat().st_size for file in files]
            digest.update(repr((pair.id, pair.instruction, files, sizes, pair.edited_caption)).encode())
        return digest.hexdigest()[:16]

    def _open(self, pair: ListedPair, file: str) -> Image.Image:
        return open_image(file_inside(self.images, file, pair.place), name=f"{pair.place}: {file}")

    def _check(self, pair: ListedPair, size: Any) -> None:
        if not has_text(pair.instruction):
            raise UnusablePair(pair.place, "no instruction")
        files = {"original": pair.original, "edited": pair.edited, **({"mask": pair.mask} if pair.mask else {})}
        sizes = {}
        for what, name in files.items():
            file = file_inside(self.images, name, pair.place)
            try:
                sizes[what] = size(file)[:2]
            except ImageError as error:
                raise UnusablePair(pair.place, "damaged image", str(error)) from error
        compared = {what: sides for what, sides in sizes.items() if not (self.resize and what == "edited")}
        if len(set(compared.values())) > 1:
            listed = ", ".join(f"{what} {width} x {height}" for what, (width, height) in sizes.items())
            raise UnusablePair(pair.place, "images differ in size", listed)
