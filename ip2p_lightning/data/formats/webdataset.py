"""Plain WebDataset tars: the files `<key>.<name>` of one key are one pair."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ip2p_lightning.data.encoded import EncodedPair, UnusablePair, decode_pair, picture_formats
from ip2p_lightning.data.formats.base import MAX_PICTURE_BYTES, MAX_TEXT_BYTES, texts_of
from ip2p_lightning.data.formats.columns import Columns, Names
from ip2p_lightning.data.pair import EditPair

_PICTURES = ("jpg", "jpeg", "png")
_MEMBERS = {
    "original_image": ("original", "input", "source", "before"),
    "edited_image": ("edited", "output", "target", "after"),
}
_TAR_BYTES = 256 * 2**20
Member = tuple[int, int]
"""Where a member's bytes begin in its tar, and how many they are."""


class WebDataset:
    """The format.

    The columns of a key are the names of its members without the key: `jpg` and `txt` of `0001.jpg` and `0001.txt`,
    `original` of `0001.original.png`; what `0001.json` holds; and `__key__`.

    Args:
        columns: field of a pair -> the columns that may hold it; see `Columns.of`. Pictures are looked for under usual
            names (`original`, `input`, ... and `edited`, `output`, ...) unless they are named here.
        scores, metadata, constants, numbers: see `Columns`.
    """

    name = "webdataset"

    def __init__(
        self,
        columns: Mapping[str, Names | None] | None = None,
        scores: Mapping[str, str] | None = None,
        metadata: Sequence[str] = (),
        constants: Mapping[str, str] | None = None,
        numbers: Mapping[str, str] | None = None,
    ) -> None:
        self.columns = Columns.of({**_MEMBERS, **(columns or {})}, scores, metadata, constants, numbers)

    def open(self, path: str | Path, licence: str = "unknown") -> WebDatasetSource:
        """See `Format.open`; ``path`` is a tar, or a folder of them."""
        return WebDatasetSource(path, self.columns, licence=licence)

    def writer(self, folder: Path) -> WebDatasetWriter:
        """See `Format.writer`."""
        return WebDatasetWriter(folder, self.columns)


class WebDatasetSource:
    """The keys of uncompressed tars, read where they lie: nothing is unpacked, and links in a tar are not followed.

    Args:
        path: a tar, or a folder of tars.
        columns: which member, or key of the JSON member, means what.
        licence: of the pictures.

    Raises:
        FileNotFoundError: no tar there.
        ValueError: a tar that is compressed or damaged, or holds no files.
    """

    name = "webdataset"

    def __init__(self, path: str | Path, columns: Columns, licence: str = "unknown") -> None:
        self.path, self.columns, self.licence = Path(path), columns, licence
        tars = sorted(self.path.glob("*.tar")) if self.path.is_dir() else [self.path] if self.path.is_file() else []
        if not tars:
            raise FileNotFoundError(f"{path} is no tar file and no folder of tar files")
        self._samples = [(tar, key, members) for tar in tars for key, members in _scan(tar).items()]
        if not self._samples:
            raise ValueError(f"{path} holds no files; a WebDataset tar holds <key>.jpg, <key>.json and so on")

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> EditPair:
        return decode_pair(self.encoded(index))

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` with the bytes of its members; UnusablePair names tar and key."""
        tar, key, members = self._samples[index]
        place = f"{tar} key {key}"
        row: dict[str, Any] = {"__key__": key}
        for name, member in members.items():
            stem, _, ending = name.rpartition(".")
            if ending.lower() == "json":
                row |= _values(self._read(tar, member, MAX_TEXT_BYTES, place), place)
            elif ending.lower() in ("txt", "text"):
                row[stem or name] = self._read(tar, member, MAX_TEXT_BYTES, place).decode("utf-8", "replace").strip()
        for name, member in members.items():
            stem, _, ending = name.rpartition(".")
            if ending.lower() in _PICTURES:
                row[stem or name] = member

        def picture(value: Any, column: str) -> bytes:
            if not isinstance(value, tuple):
                raise UnusablePair(place, f"{column!r} is no picture", f"members: {', '.join(members)}")
            return self._read(tar, value, MAX_PICTURE_BYTES, place)

        return self.columns.pair(row, picture, place=place, id=f"{tar.stem}/{key}")

    def fingerprint(self) -> str:
        """Hash of the tars' names, members and their places, and of the columns' meaning."""
        listed = [(tar.name, key, members) for tar, key, members in self._samples]
        return hashlib.sha256(repr((listed, self.columns)).encode()).hexdigest()[:16]

    def _read(self, tar: Path, member: Member, limit: int, place: str) -> bytes:
        start, length = member
        if length > limit:
            raise UnusablePair(place, "a member is too large", f"{length:,} of {limit:,} bytes")
        with tar.open("rb") as file:
            file.seek(start)
            data = file.read(length)
        if len(data) < length:
            raise UnusablePair(place, "the tar ends inside a member", f"{len(data):,} of {length:,} bytes")
        return data


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


def _scan(path: Path) -> dict[str, dict[str, Member]]:
    """Key -> name of the member without the key -> its place, in the tar's order."""
    samples: dict[str, dict[str, Member]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile() or member.issparse():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, dot, rest = name.partition(".")
                if dot and stem:
                    key = f"{folder}/{stem}" if folder else stem
                    samples.setdefault(key, {})[rest] = member.offset_data, member.size
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ValueError(f"{path} is no readable, uncompressed tar ({error}); fetch it again or unpack .gz") from error
    return samples


def _values(data: bytes, place: str) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnusablePair(place, "damaged JSON", str(error)) from error
    if not isinstance(values, dict):
        raise UnusablePair(place, "the JSON member holds no object", f"but {type(values).__name__}")
    return values
