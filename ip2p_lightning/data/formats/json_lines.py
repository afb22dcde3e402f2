"""JSON Lines next to a folder of images: one object a line, in which images are paths relative to the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import TextError, parse_json
from ip2p_lightning.data.encoded import EncodedPair, UnusablePair
from ip2p_lightning.data.formats.base import texts_of
from ip2p_lightning.data.formats.columns import ColumnFormat, Columns
from ip2p_lightning.data.formats.images_folder import ImagesFolder
from ip2p_lightning.data.formats.rows import FileRows, Row
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import listed

LISTING = "pairs.jsonl"

_OTHERS = {b"PAR1": "a parquet file: format=hugging_face", b"PK\x03\x04": "a zip file: unpack it first"}
_OTHERS |= {b"\x1f\x8b": "a gzip file: unpack it first", b"ustar": "a tar: format=webdataset"}
_OTHERS |= dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), "UTF-16 text: convert it with iconv -f utf-16 -t utf-8")
"""First bytes of files that are no JSON Lines -> their format, and the remedy."""


@dataclass
class JsonLines(ColumnFormat):
    """The format.

    Args:
        images: the folder that paths are relative to; None for the folder of the JSON Lines file.
        **columns: see `ColumnFormat`.
    """

    name: ClassVar[str] = "jsonl"

    images: str | Path | None = None

    def open(self, path: str | Path, licence: str = "unknown") -> JsonLinesSource:
        """See `Format.open`; ``path`` is the file, or a folder with one or more of them."""
        return JsonLinesSource(path, self.map, licence=licence, images=self.images)

    def writer(self, folder: Path) -> JsonLinesWriter:
        """See `Format.writer`."""
        return JsonLinesWriter(folder, self.map)


class JsonLinesSource(FileRows):
    """The pairs of one or more JSON Lines files, read line by line when asked for.

    Args:
        path: the file, or a folder that holds files ending in .jsonl.
        columns: which key means what.
        licence: of the images.
        images: the folder that paths are relative to; None for each file's own.

    Raises:
        FileNotFoundError: no such file, or none in the folder.
        ValueError: files without a line.
    """

    name = "jsonl"

    def __init__(
        self, path: str | Path, columns: Columns, licence: str = "unknown", images: str | Path | None = None
    ) -> None:
        super().__init__(columns, licence)
        path = Path(path)
        self.left_out = LeftOut()
        others = (".json", ".csv", ".tsv", ".parquet", ".zip")
        found = listed(path, (".jsonl",), self.left_out, likely=others) if path.is_dir() else [path]
        self.files = [file for file in found if file.is_file()]
        if not self.files:
            aside = f" (there is {self.left_out})" if self.left_out else ""
            raise FileNotFoundError(f"{path} is no JSON Lines file and no folder with files that end in .jsonl{aside}")
        for file in self.files:
            check_lines(file)
        self.root = None if images is None else Path(images)
        self._lines = [(number, *line) for number, file in enumerate(self.files) for line in _lines(file)]
        if not self._lines:
            raise ValueError(f"{path} has no lines; it should hold one JSON object for each pair")

    def __len__(self) -> int:
        return len(self._lines)

    def row(self, index: int) -> Row:
        """Line ``index``; UnusablePair names file and line."""
        number, line, start, length = self._lines[index]
        file = self.files[number]
        place = f"{file} line {line}"
        return Row(place, _id(file, line), self.root or file.parent, _object(file, start, length, place))

    def fingerprint(self) -> str:
        """Hash of the files' content and of the images' sizes."""
        digest = hashlib.sha256(repr(self.columns).encode())
        for file in self.files:
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()[:16]


class JsonLinesWriter:
    """Writes `pairs.jsonl` and a folder `images`."""

    def __init__(self, folder: Path, columns: Columns) -> None:
        self.columns, self._images = columns, ImagesFolder(folder)
        self._file: IO[str] = (folder / LISTING).open("x", encoding="utf-8")

    def add(self, pair: EncodedPair) -> None:
        """See `PairWriter.add`."""
        row = {self.columns.written(name) if name != "metadata" else name: v for name, v in texts_of(pair).items()}
        row |= {self.columns.written(field): name for field, name in self._images.add(pair).items()}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> list[str]:
        """See `PairWriter.close`."""
        self._file.close()
        return []


def rows(file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Place, id where the line has none, and content of each line.

    Raises:
        ValueError: a damaged line; names it.
    """
    for line, start, length in _lines(file):
        place = f"{file} line {line}"
        yield place, _id(file, line), _object(file, start, length, place)


def _id(file: Path, line: int) -> str:
    return f"{file.stem}/{line:08d}"


def check_lines(file: Path) -> None:
    """Raise ValueError for a file that is something else than JSON Lines as a whole; says what it is and what to do."""
    with file.open("rb") as opened:
        first = opened.readline(limits.ROW_BYTES.value).removeprefix(b"\xef\xbb\xbf")
        single = not opened.read(1)
    for mark, what in _OTHERS.items():
        if first.startswith(mark):
            raise ValueError(f"{file} is no JSON Lines but {what}")
    start = first.strip()[:1]
    if file.suffix.lower() in (".csv", ".tsv") and start not in (b"{", b"["):
        raise ValueError(
            f"{file} is a table of {file.suffix[1:].upper()}, not JSON Lines: format={file.suffix[1:].lower()}"
        )
    if start == b"[" and (single or not _whole(first)):
        raise ValueError(
            f"{file} is a JSON array, not JSON Lines; write a pair on a line: jq -c '.[]' {file.name} > pairs.jsonl"
        )
    if start == b"{" and not single and first.strip() == b"{":
        raise ValueError(
            f"{file} holds JSON over many lines, not JSON Lines; write a pair on a line: "
            f"jq -c . {file.name} > pairs.jsonl"
        )


def _whole(line: bytes) -> bool:
    try:
        parse_json(line)
    except TextError:
        return False
    return True


def _lines(file: Path) -> list[tuple[int, int, int]]:
    """Number, start and length in bytes of each line that is not empty."""
    found, start, most = [], 0, limits.ROW_BYTES.value
    with file.open("rb") as opened:
        number = 0
        while piece := opened.readline(most):
            number, length, blank = number + 1, len(piece), not piece.strip()
            while not piece.endswith(b"\n") and (piece := opened.readline(most)):
                length, blank = length + len(piece), False
            if not blank:
                found.append((number, start, length))
            start += length
    return found


def _object(file: Path, start: int, length: int, place: str) -> dict[str, Any]:
    if length > limits.ROW_BYTES.value:
        raise UnusablePair(place, "line too long", f"{length:,} of {limits.ROW_BYTES.value:,} bytes")
    with file.open("rb") as opened:
        opened.seek(start)
        data = opened.read(length)
    try:
        row = parse_json(data, not_a_number="null")
    except TextError as error:
        raise UnusablePair(place, "damaged line", str(error)) from error
    if not isinstance(row, dict):
        raise UnusablePair(place, "no JSON object", f"but {type(row).__name__}")
    return row
