"""Captioned photographs in WebDataset tars (`<key>.jpg` with `<key>.txt` or `<key>.json`), edited into pairs."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageOps, ImageStat

from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS, PictureEdit

_SUFFIXES = ("jpg", "jpeg", "png", "webp")
_MAX_TEXT_BYTES = 2**20
_LEAST_CHANGE = 9.0  # mean absolute difference of a visible edit, of 255


@dataclass(frozen=True)
class _Photograph:
    """Where a photograph lies in which tar, and its caption."""

    tar: Path
    key: str
    offset: int
    length: int
    caption: str


class CaptionedSource:
    """Pairs of a captioned photograph and the same photograph edited; a photograph's pairs are one group.

    Pair ``index`` depends on (tars, seed, index) alone. The photographs are read where they lie in the tars.

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
        self._photographs = [photograph for tar in _tars(self.path) for photograph in _scan(tar)]
        if not self._photographs:
            raise ValueError(
                f"{path} holds no photograph with a caption; it needs <key>.jpg with <key>.txt or <key>.json"
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
        with photograph.tar.open("rb") as file:
            file.seek(photograph.offset)
            data = file.read(photograph.length)
        image = open_image(data, name=f"{photograph.tar}: {photograph.key}")
        if self.size is None:
            return image
        return ImageOps.fit(image, (self.size, self.size), Image.Resampling.LANCZOS)


def _shows(edit: PictureEdit, thumbnail: Image.Image) -> bool:
    """Whether a person sees the edit (taking the colour out of a grey photograph shows nothing)."""
    return sum(ImageStat.Stat(ImageChops.difference(*edit.apply(thumbnail))).mean) / 3 >= _LEAST_CHANGE


def _tars(path: Path) -> list[Path]:
    tars = sorted(path.glob("*.tar")) if path.is_dir() else [path] if path.is_file() else []
    if not tars:
        raise FileNotFoundError(f"{path} is no tar file and no folder of tar files")
    return tars


def _scan(path: Path) -> list[_Photograph]:
    """Photographs of a tar in the order of their keys; those without a caption are left out."""
    pictures: dict[str, tarfile.TarInfo] = {}
    captions: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, suffix = member.name.rpartition(".")
                if suffix.lower() in _SUFFIXES and member.isfile():
                    pictures[key] = member
                elif suffix in ("txt", "json") and member.isfile() and member.size <= _MAX_TEXT_BYTES:
                    text = _caption(tar.extractfile(member).read(), suffix)  # type: ignore[union-attr]
                    if text and (suffix == "txt" or key not in captions):
                        captions[key] = text
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ValueError(f"{path} is no readable, uncompressed tar ({error}); fetch or pack it again") from error
    return [
        _Photograph(path, key, member.offset_data, member.size, captions[key])
        for key, member in sorted(pictures.items())
        if key in captions
    ]


def _caption(data: bytes, suffix: str) -> str:
    text = data.decode("utf-8", errors="replace")
    if suffix == "json":
        values = json.loads(text)
        text = values.get("caption") if isinstance(values, dict) else ""
    return " ".join(str(text or "").split())
