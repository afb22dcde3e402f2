"""Rows that name image files, from whatever listing they came: one way from a row to a pair, and to its group."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ip2p_lightning.bounded_text import TextError, parse_json
from ip2p_lightning.data.encoded import EncodedPair, UnusablePair, decode_pair
from ip2p_lightning.data.formats.columns import PICTURES, Columns
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.paths import file_inside, read_image

_NAMED = 3


@dataclass(frozen=True)
class Row:
    """A row of a listing.

    Args:
        place: file and row, for messages.
        id: of the pair, where the row has none.
        root: the folder that paths are relative to.
        values: column -> value; an image is a path, or a list of paths of which the first counts.
        split: of the pair, where the row has none.
        fault: why the row cannot be used, if that is known already.
    """

    place: str
    id: str
    root: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    split: str = ""
    fault: tuple[str, str] | None = None


class FileRows(ABC):
    """An `EncodedSource` of rows: images keep their bytes, pairs of one original are one group.

    Pairs belong together if they have the same original (the same file, or files of equal bytes), and if one's edited
    image is another's original (edits in turns). A group that a row names comes first.

    Args:
        columns: which column means what.
        licence: of the images.
    """

    name = "rows"

    def __init__(self, columns: Columns, licence: str = "unknown") -> None:
        self.columns, self.licence = columns, licence
        self.notes: list[str] = []
        """Remarks on the files as a whole, for the report of an import."""
        self.left_out = LeftOut()
        """Files next to the listings that are not used."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def row(self, index: int) -> Row:
        """Row ``index``; UnusablePair if it is damaged."""

    def __getitem__(self, index: int) -> EditPair:
        return decode_pair(self.encoded(index))

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` with the bytes of its files; UnusablePair names file and row."""
        row = self.row(index)
        if row.fault:
            raise UnusablePair(row.place, *row.fault)

        def picture(value: Any, column: str) -> bytes:
            return read_image(row.root, _path(value, column, row.place), row.place)

        pair = self.columns.pair(row.values, picture, place=row.place, id=row.id, split=row.split)
        return replace(pair, group=self.groups[index])

    @cached_property
    def groups(self) -> list[str]:
        """The group of each row."""
        given, before, after = [], [], []
        for index in range(len(self)):
            group, files = "", ("", "")
            try:
                row = self.row(index)
                group, files = self._listed(row)
            except (UnusablePair, OSError):
                pass  # `encoded` says what is wrong with it
            given.append(group)
            before.append(files[0])
            after.append(files[1])
        joined = _joined(before, after)
        rows = enumerate(zip(given, before, strict=True))
        return [group or joined.get(file, "") or f"row {index}" for index, (group, file) in rows]

    @cached_property
    def splits(self) -> list[str]:
        """The split that each row names; "" for none."""
        found = []
        for index in range(len(self)):
            try:
                row = self.row(index)
                found.append(self.columns.text(row.values, "split", row.place) or row.split)
            except UnusablePair:
                found.append("")
        return found

    def _listed(self, row: Row) -> tuple[str, tuple[str, str]]:
        """The group that a row names, and its two files."""
        files = []
        for name in ("original_image", "edited_image"):
            value, column = self.columns.value(row.values, name)
            path = _path(value, column, row.place) if value is not None else ""
            files.append(str(file_inside(row.root, path, row.place)) if path else "")
        return self.columns.text(row.values, "group", row.place), (files[0], files[1])

    def several_references(self) -> list[str]:
        """A note on rows with more than one original, of which a pair holds the first."""
        rows = [self.row(index) for index in range(len(self))]
        found = [row.id for row in rows if len(_paths(self.columns.value(row.values, "original_image")[0])) > 1]
        return [several(found)] if found else []

    def fingerprint(self) -> str:
        """Hash of the rows, of the columns' meaning and of the images' sizes."""
        digest = hashlib.sha256(repr(self.columns).encode())
        for index in range(len(self)):
            row = self.row(index)
            images = [path for field in PICTURES for path in _paths(self.columns.value(row.values, field)[0])]
            sizes = [size for path in images if (size := _size(row.root, path)) is not None]
            digest.update(repr((row.id, sorted(map(repr, row.values.items())), row.split, row.fault, sizes)).encode())
        return digest.hexdigest()[:16]


class ListedRows(FileRows):
    """Rows that are at hand.

    Args:
        rows: at least one.
        columns: which column means what.
        name: of the source.
        licence: of the images.
        notes: see `FileRows.notes`.
        left_out: see `FileRows.left_out`.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        columns: Columns,
        name: str,
        licence: str = "unknown",
        notes: Sequence[str] = (),
        left_out: LeftOut | None = None,
    ) -> None:
        super().__init__(columns, licence)
        self.left_out.update(left_out or LeftOut())
        self.rows, self.name = rows, name
        self.notes = [*notes, *self.several_references()]

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> Row:
        return self.rows[index]


def several(ids: Sequence[str]) -> str:
    """The note on pairs with more than one original."""
    return f"{counted(ids, 'pair has', 'pairs have')} several originals; a pair holds one, the first"


def counted(names: Sequence[str], one: str, many: str) -> str:
    """``3 pairs have (a, b, c)``: how many, and the first of them."""
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names):,} {one if len(names) == 1 else many} ({shown})"


def _size(root: Path, name: str) -> int | None:
    """Bytes of a file that a row names; None if it cannot be used."""
    try:
        return file_inside(root, name, "").stat().st_size
    except (UnusablePair, OSError):
        return None


def _path(value: Any, column: str, place: str) -> str:
    paths = _paths(value)
    if not paths:
        found = "nothing" if value in ("", []) else type(value).__name__
        raise UnusablePair(place, f"key {column!r} should hold a path", f"it holds {found}")
    return paths[0]


def _paths(value: Any) -> list[str]:
    """The paths that a value holds: text, a list of texts, or such a list as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(value)
        except TextError:
            return [value]
    if isinstance(value, str):
        return [value] if value else []
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list | tuple) else []


def _joined(before: Sequence[str], after: Sequence[str]) -> dict[str, str]:
    """Original -> name of its group: originals of equal bytes and of edits in turns are joined."""
    parent: dict[str, str] = {}

    def root(file: str) -> str:
        while parent.setdefault(file, file) != file:
            parent[file] = file = parent[parent[file]]
        return file

    same = _contents([*before, *after])
    originals = {same.get(file, file): file for file in reversed(before) if file}
    for file in before:
        if file:
            parent[root(file)] = root(originals[same.get(file, file)])
    for one, other in zip(before, after, strict=True):
        key = same.get(other, other)
        if one and other and key in originals and key != same.get(one, one):
            parent[root(originals[key])] = root(one)
    names: dict[str, str] = {}
    base = _common([file for file in before if file])
    for file in dict.fromkeys(before):
        if file:
            names.setdefault(root(file), file.removeprefix(base))
    return {file: names[root(file)] for file in before if file}


def _contents(files: Sequence[str]) -> dict[str, str]:
    """File -> digest of its bytes, of files whose size another one has as well."""
    sizes = {file: Path(file).stat().st_size for file in dict.fromkeys(files) if file and Path(file).is_file()}
    counts = Counter(sizes.values())
    digests = {}
    for file, size in sizes.items():
        if counts[size] > 1:
            with open(file, "rb") as opened:
                digests[file] = hashlib.file_digest(opened, "sha256").hexdigest()
    return digests


def _common(files: Sequence[str]) -> str:
    """The folder of all files, with its slash."""
    return f"{os.path.commonpath([os.path.dirname(file) for file in files])}/" if files else ""
