"""Plain WebDataset tars: the files `<key>.<name>` of one key are one pair."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, ClassVar

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import TextError, parse_json, utf8
from ip2p_lightning.data.encoded import EncodedPair, UnusablePair, decode_pair, picture_formats
from ip2p_lightning.data.formats.base import texts_of
from ip2p_lightning.data.formats.columns import ColumnFormat, Columns
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.tars import TarListing, list_tar, read_member, tar_files

_PICTURES = ("jpg", "jpeg", "png")
_TEXTS = ("json", "txt", "text")
_MEMBERS = {
    "original_image": ("original", "input", "source", "before"),
    "edited_image": ("edited", "output", "target", "after"),
}
_TAR_BYTES = 256 * 2**20
Member = tuple[int, int]
"""Offset and number of a member's bytes in its tar."""


class WebDataset(ColumnFormat):
    """The format.

    The columns of a key are the names of its members without the key: `jpg` and `txt` of `0001.jpg` and `0001.txt`,
    `original` of `0001.original.png`; what `0001.json` holds; and `__key__`.

    Its arguments are those of `ColumnFormat`; images are looked for under usual names (`original`, `input`, ... and
    `edited`, `output`, ...) unless `columns` names them.
    """

    name: ClassVar[str] = "webdataset"
    usual = _MEMBERS

    def open(self, path: str | Path, licence: str = "unknown") -> WebDatasetSource:
        """See `Format.open`; ``path`` is a tar, or a folder of them."""
        return WebDatasetSource(path, self.map, licence=licence)

    def writer(self, folder: Path) -> WebDatasetWriter:
        """See `Format.writer`."""
        return WebDatasetWriter(folder, self.map)


class WebDatasetSource:
    """The keys of uncompressed tars, read where they lie: nothing is unpacked, and links in a tar are not followed.

    What follows the damage in a tar cannot be read, and a key with a member that is there twice is no pair: both
    are ``faults``. Members that belong to no pair are counted in ``left_out``.

    Args:
        path: a tar, or a folder of tars.
        columns: which member, or key of the JSON member, means what.
        licence: of the images.

    Raises:
        FileNotFoundError: no tar there.
        ValueError: a tar that is compressed or damaged, or holds no files.
    """

    name = "webdataset"

    def __init__(self, path: str | Path, columns: Columns, licence: str = "unknown") -> None:
        self.path, self.columns, self.licence = Path(path), columns, licence
        self.left_out = LeftOut()
        self.faults: list[UnusablePair] = []
        self._samples: list[tuple[Path, str, dict[str, Member]]] = []
        for tar in tar_files(self.path, self.left_out):
            listing = list_tar(tar)
            self.left_out.update(listing.left_out)
            self._samples += [(tar, key, members) for key, members in self._keys(listing).items()]
            if listing.damage:
                reason = "no readable, uncompressed tar"
                self.faults.append(UnusablePair(str(tar), reason, f"{listing.damage}; fetch or pack it again"))
        if not self._samples:
            if self.faults:
                raise self.faults[0]
            raise ValueError(f"{path} holds no files; a WebDataset tar holds <key>.jpg, <key>.json and so on")

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> EditPair:
        return decode_pair(self.encoded(index))

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` with the bytes of its members; UnusablePair names tar and key."""
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.path}")
        tar, key, members = self._samples[index]
        place = f"{tar} key {key}"
        row: dict[str, Any] = {"__key__": key}

        def add(values: dict[str, Any], member: str) -> None:
            if twice := sorted(name for name in values if name in row and row[name] != values[name]):
                raise UnusablePair(place, f"{twice[0]!r} is there twice", f"the second time in {member}")
            row.update(values)

        for name, member in members.items():
            stem, _, ending = name.rpartition(".")
            if ending.lower() in _TEXTS:
                add(self._texts(tar, member, stem or name, ending.lower(), place), name)
            elif ending.lower() in _PICTURES:
                add({stem or name: member}, name)

        def picture(value: Any, column: str) -> bytes:
            if not isinstance(value, tuple):
                raise UnusablePair(place, f"{column!r} is no image", f"members: {', '.join(members)}")
            start, length = value
            return read_member(tar, start, length, limits.IMAGE_BYTES, place)

        return self.columns.pair(row, picture, place=place, id=f"{tar.stem}/{key}")

    def fingerprint(self) -> str:
        """Hash of the tars' names, members and their places, and of the columns' meaning."""
        listed = [(tar.name, key, members) for tar, key, members in self._samples]
        return hashlib.sha256(repr((listed, self.columns)).encode()).hexdigest()[:16]

    def _keys(self, listing: TarListing) -> dict[str, dict[str, Member]]:
        """Key -> name of the member without the key -> its place, in the tar's order."""
        samples: dict[str, dict[str, Member]] = {}
        repeated: dict[str, str] = {}
        for member in listing.members:
            folder, _, name = member.name.rpartition("/")
            stem, dot, rest = name.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            if not dot:
                self.left_out.add("member without an ending", f"{listing.path.name}: {member.name}")
                continue
            if (ending := rest.rpartition(".")[2].lower()) not in (*_TEXTS, *_PICTURES):
                self.left_out.add(f".{ending} member", f"{listing.path.name}: {member.name}")
                continue
            if member.name in listing.repeated:
                repeated[key] = member.name
            samples.setdefault(key, {})[rest] = member.offset, member.size
        if listing.damage and samples:  # the key at the damage may be incomplete
            key, _ = samples.popitem()
            repeated.pop(key, None)
            self.faults.append(UnusablePair(f"{listing.path} key {key}", "a pair at the damage of a tar"))
        for key, name in repeated.items():
            del samples[key]
            self.faults.append(UnusablePair(f"{listing.path} key {key}", "a member is there twice", name))
        return samples

    def _texts(self, tar: Path, member: Member, column: str, ending: str, place: str) -> dict[str, Any]:
        """Values of a JSON or text member, by column."""
        data = read_member(tar, *member, limits.ROW_BYTES, place)
        try:
            if ending != "json":
                return {column: utf8(data).strip()}
            values = parse_json(data, not_a_number="null")
        except TextError as error:
            raise UnusablePair(place, "damaged JSON" if ending == "json" else "damaged text", str(error)) from error
        if not isinstance(values, dict):
            raise UnusablePair(place, "the JSON member holds no object", f"but {type(values).__name__}")
        return values


class WebDatasetWriter:
    """Writes `<split>-000000.tar` with `<key>.original.jpg`, `.edited.jpg`, `.mask.png` and `.json`."""

    def __init__(self, folder: Path, columns: Columns) -> None:
        self.folder, self.columns = folder, columns
        self._tars: dict[str, tarfile.TarFile] = {}
        self._numbers: dict[str, int] = {}
        self.count = 0

    def add(self, pair: EncodedPair) -> None:
        """See `PairWriter.add`."""
        _, _, endings = picture_formats(pair)
        tar = self._tar(pair.split or "train")
        row = {self.columns.written(name) if name != "metadata" else name: v for name, v in texts_of(pair).items()}
        content = json.dumps(row, ensure_ascii=False).encode("utf-8")
        members = {f"{member}.{endings[member]}": data for member, data in pair.pictures().items()}
        for name, data in (members | {"json": content}).items():
            info = tarfile.TarInfo(f"{self.count:09d}.{name}")
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
        self.count += 1

    def close(self) -> list[str]:
        """See `PairWriter.close`."""
        for tar in self._tars.values():
            tar.close()
        return []

    def _tar(self, split: str) -> tarfile.TarFile:
        if split in self._tars and self._tars[split].offset < _TAR_BYTES:
            return self._tars[split]
        if not split.replace("_", "").isalnum():
            raise ValueError(f"split {split!r} cannot be the name of a file; use letters, digits and _")
        if split in self._tars:
            self._tars[split].close()
        number = self._numbers[split] = self._numbers.get(split, -1) + 1
        name = self.folder / f"{split}-{number:06d}.tar"
        self._tars[split] = tarfile.open(name, "x", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed by `close`)
        return self._tars[split]
