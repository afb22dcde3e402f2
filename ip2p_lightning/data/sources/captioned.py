"""Captioned photographs in WebDataset tars (`<key>.jpg` with `<key>.txt` or `<key>.json`), edited into pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageOps, ImageStat

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import TextError, parse_json, utf8
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.tars import list_tar, read_member, tar_files
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS, PictureEdit

_SUFFIXES = ("jpg", "jpeg", "png", "webp")
_LEAST_CHANGE = 9.0  # mean absolute difference of a visible edit, of 255


@dataclass(frozen=True)
class _Photograph:
    """Location of a photograph in a tar, and its caption."""

    tar: Path
    key: str
    offset: int
    length: int
    caption: str


class CaptionedSource:
    """Pairs of a captioned photograph and the same photograph edited; a photograph's pairs are one group.

    Pair ``index`` depends on (tars, seed, index) alone. The photographs are read where they lie in the tars. What
    cannot be read is in ``faults``; photographs without a caption, and members that are none, are counted in
    ``left_out``.

    Args:
        path: a tar file, or a folder of tar files.
        per_photograph: pairs made of each photograph, with different edits as far as there are enough.
        size: side of the centred squares to which photographs are cut, in pixels; None keeps them as they are.
        seed: another seed draws other edits and phrasings.
        kinds: keys of ``edits`` to draw from; None for all.
        licence: of the photographs.
        edits: kind -> the edits of that kind.

    Raises:
        FileNotFoundError: no tar file there.
        ValueError: a damaged tar, no photograph with a caption in it, or unknown kinds.
    """

    name = "captioned"

    def __init__(
        self,
        path: str | Path,
        per_photograph: int = 1,
        size: int | None = 256,
        seed: int = 0,
        kinds: Sequence[str] | None = None,
        licence: str = "unknown",
        edits: Mapping[str, Sequence[PictureEdit]] = PICTURE_EDITS,
    ) -> None:
        if unknown := sorted(set(kinds or ()) - set(edits)):
            raise ValueError(f"kinds {unknown} are not known; choose from {sorted(edits)}")
        if per_photograph < 1:
            raise ValueError(f"per_photograph={per_photograph} must be at least 1")
        self.path, self.per_photograph, self.size, self.seed = Path(path), per_photograph, size, seed
        self.licence = licence
        self._edits = {kind: tuple(edits[kind]) for kind in (kinds or edits)}
        self.left_out = LeftOut()
        self.faults: list[UnusablePair] = []
        tars = tar_files(self.path, self.left_out)
        self._photographs = [found for tar in tars for found in _scan(tar, self.left_out, self.faults)]
        if not self._photographs:
            if self.faults:
                raise self.faults[0]
            raise ValueError(
                f"{path} holds no photograph with a caption{f' (there is {self.left_out})' if self.left_out else ''}; "
                "it needs <key>.jpg with <key>.txt or <key>.json"
            )

    def __len__(self) -> int:
        return len(self._photographs) * self.per_photograph

    def __getitem__(self, index: int) -> EditPair:
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.path}")
        number, turn = divmod(index, self.per_photograph)
        photograph = self._photographs[number]
        image = self._read(photograph)
        kind, edit = self._choose(photograph, image, turn)
        original, edited = edit.apply(image)
        return EditPair(
            id=f"{photograph.tar.stem}/{photograph.key}/{turn}",
            original_image=original,
            edited_image=edited,
            instruction=edit.instruction(Random(f"captioned/{self.seed}/{photograph.key}/{turn}")),
            expressive_instruction=edit.look.format(what=photograph.caption),
            original_caption=edit.prepared_look.format(what=photograph.caption),
            edited_caption=edit.look.format(what=photograph.caption),
            kind=kind,
            group=f"{photograph.tar.stem}/{photograph.key}",
            mask=Image.new("L", original.size, 255),
        )

    @property
    def groups(self) -> list[str]:
        """The photograph of each pair."""
        return [f"{p.tar.stem}/{p.key}" for p in self._photographs for _ in range(self.per_photograph)]

    def fingerprint(self) -> str:
        """Hash of the settings and of the photographs' places, sizes and captions."""
        places = [(p.tar.name, p.key, p.offset, p.length, p.caption) for p in self._photographs]
        edits = [(kind, edit.phrases, edit.look) for kind in self._edits for edit in self._edits[kind]]
        settings = (self.per_photograph, self.size, self.seed, edits, places)
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]

    def _choose(self, photograph: _Photograph, image: Image.Image, turn: int) -> tuple[str, PictureEdit]:
        """The photograph's edit number ``turn``: each time another kind, among those that show in it."""
        draw = Random(f"captioned/{self.seed}/{photograph.tar.stem}/{photograph.key}")
        order = draw.sample([(kind, draw.choice(edits)) for kind, edits in self._edits.items()], len(self._edits))
        thumbnail = image.resize((48, 48), Image.Resampling.BOX)
        shown = [choice for choice in order if _shows(choice[1], thumbnail)] or order
        return shown[turn % len(shown)]

    def _read(self, photograph: _Photograph) -> Image.Image:
        place = f"{photograph.tar}: {photograph.key}"
        data = read_member(photograph.tar, photograph.offset, photograph.length, limits.IMAGE_BYTES, place)
        image = open_image(data, name=place)
        if self.size is None:
            return image
        return ImageOps.fit(image, (self.size, self.size), Image.Resampling.LANCZOS)


def _shows(edit: PictureEdit, thumbnail: Image.Image) -> bool:
    """True if a person sees the edit (taking the colour out of a grey photograph shows nothing)."""
    return sum(ImageStat.Stat(ImageChops.difference(*edit.apply(thumbnail))).mean) / 3 >= _LEAST_CHANGE


def _scan(path: Path, left_out: LeftOut, faults: list[UnusablePair]) -> list[_Photograph]:
    """Photographs of a tar in the order of their keys."""
    listing = list_tar(path)
    left_out.update(listing.left_out)
    pictures: dict[str, tuple[int, int]] = {}
    captions: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for member in listing.members:
        key, _, suffix = member.name.rpartition(".")
        place = f"{path}: {member.name}"
        if member.name in listing.repeated:
            repeated[key] = place
        if suffix.lower() in _SUFFIXES:
            pictures[key] = member.offset, member.size
        elif suffix in ("txt", "json"):
            try:
                text = _caption(read_member(path, member.offset, member.size, limits.ROW_BYTES, place), suffix)
            except UnusablePair as error:
                left_out.add(error.reason, place)
            except TextError as error:
                left_out.add(f"damaged caption: {error}", place)
            else:
                captions |= {key: text} if text and (suffix == "txt" or key not in captions) else {}
        else:
            left_out.add(f".{suffix} member" if "." in member.name else "member without an ending", place)
    if listing.damage:
        reason = "no readable, uncompressed tar"
        faults.append(UnusablePair(str(path), reason, f"{listing.damage}; fetch or pack it again"))
    for key, place in repeated.items():
        faults.append(UnusablePair(place, "a member is there twice"))
        pictures.pop(key, None)
    for key in pictures.keys() - captions.keys():
        left_out.add("photograph without a caption", f"{path}: {key}")
    return [_Photograph(path, key, *pictures[key], captions[key]) for key in sorted(pictures) if key in captions]


def _caption(data: bytes, suffix: str) -> str:
    text: object = utf8(data)
    if suffix == "json":
        values = parse_json(data, not_a_number="null")
        text = values.get("caption") if isinstance(values, dict) else ""
    return " ".join(text.split()) if isinstance(text, str) else ""
