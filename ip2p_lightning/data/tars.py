"""Listing of an uncompressed tar that does not trust it: ended as tars end, no member twice, headers of bounded size.

Python's `tarfile` stops without a word at a header that it cannot read, and reads extended headers of any size.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ip2p_lightning import limits
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import listed, stray

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 2**20
_PAX_RECORD = re.compile(rb"(\d{1,9}) ([^=\n]{1,500})=")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK": "zip",
}
"""First bytes of compressed files."""
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_KINDS = {
    tarfile.LNKTYPE: "hard link",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name, and where its bytes lie."""

    name: str
    offset: int
    size: int


@dataclass
class TarListing:
    """Contents of a tar.

    Args:
        path: the tar.
        members: its files in order.
        repeated: names of those that are there more than once; which one is meant is unknown.
        left_out: what is no file of the tar's own: links, devices, sparse files, companions of macOS.
        damage: why what follows the last member cannot be read; "" for a tar that is whole.
    """

    path: Path
    members: list[Member] = field(default_factory=list)
    repeated: set[str] = field(default_factory=set)
    left_out: LeftOut = field(default_factory=LeftOut)
    damage: str = ""


class _DamageError(Exception):
    pass


def list_tar(path: Path) -> TarListing:
    """The files in an uncompressed tar, as far as it can be read.

    Only headers are read. Members that are links, devices or sparse are never files.

    Raises:
        OSError: no such file, or one that cannot be read.
    """
    listing = TarListing(path)
    names: set[str] = set()
    with path.open("rb") as file:
        try:
            for member in _members(file, listing.left_out):
                if member.name in names:
                    listing.repeated.add(member.name)
                names.add(member.name)
                listing.members.append(member)
        except _DamageError as error:
            listing.damage = str(error)
    return listing


def tar_files(path: Path, left_out: LeftOut) -> list[Path]:
    """A tar, or the tars of a folder, sorted by name.

    Raises:
        FileNotFoundError: none there.
    """
    tars = listed(path, (".tar",), left_out) if path.is_dir() else [path] if path.is_file() else []
    if not tars:
        aside = f" (there is {left_out})" if left_out else ""
        raise FileNotFoundError(f"{path} is no tar file and no folder of tar files{aside}")
    return tars


def read_member(tar: Path, start: int, length: int, limit: limits.Limit, place: str) -> bytes:
    """The bytes of a member.

    Args:
        tar: the file.
        start: where they begin in it.
        length: how many they are.
        limit: of the length.
        place: tar and key, for messages.

    Raises:
        UnusablePair: a member beyond the limit, or a tar that has become shorter.
    """
    if length > limit.value:
        raise UnusablePair(place, "a member is too large", f"{length:,} of {limit.value:,} bytes, {limit.variable}")
    with tar.open("rb") as file:
        data = _read(file, start, length)
    if len(data) < length:
        raise UnusablePair(place, "the tar ends inside a member", f"{len(data):,} of {length:,} bytes")
    return data


def _members(file: IO[bytes], left_out: LeftOut) -> Iterator[Member]:
    """The files of a tar in order; what is none is counted in ``left_out``."""
    end = file.seek(0, 2)
    stated: dict[str, str] = {}  # what extended headers say of the member that follows them
    at = 0
    while (header := _read(file, at, _BLOCK)) != bytes(_BLOCK):
        info = _header(file, header, at)
        start = at + _BLOCK + (_sparse_map(file, at) if info.type == tarfile.GNUTYPE_SPARSE and header[482] else 0)
        extended = info.type in (*_LONG, *_PAX)
        size = int(stated.get("size", info.size)) if not extended else info.size
        holds = extended or info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
        at = start + -(-size // _BLOCK) * _BLOCK * holds
        if not size >= 0 or at > end + _BLOCK or (holds and start + size > end):
            raise _DamageError(f"it ends inside the member {info.name[:200]!r}")
        if extended:
            stated |= _extension(file, info, start, size)
            continue
        name, sparse = stated.get("path", info.name), any(key.startswith("GNU.sparse") for key in stated)
        stated = {}
        if info.isdir():
            continue
        if info.issparse() or sparse or not info.isreg():
            left_out.add(f"{_KINDS.get(info.type, 'sparse file')} in a tar", name)
        elif reason := stray(name):
            left_out.add(reason, name)
        else:
            yield Member(name, start, size)
    _check_end(file, at, end)


def _header(file: IO[bytes], header: bytes, at: int) -> tarfile.TarInfo:
    if at == 0 and (packed := next((name for start, name in _PACKED.items() if header.startswith(start)), "")):
        raise _DamageError(f"it is packed with {packed}; unpack it first")
    if len(header) < _BLOCK:
        raise _DamageError(f"it ends at byte {at:,} without the end mark of a tar")
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if at == 0:
            raise _DamageError("it is no tar") from error
        raise _DamageError(f"there is no header at byte {at:,}: {error}") from error


def _extension(file: IO[bytes], info: tarfile.TarInfo, start: int, size: int) -> dict[str, str]:
    """Values of an extended header: "path" and "size" where they do not fit into a header."""
    if size > limits.TAR_HEADER_BYTES.value:
        limit = limits.TAR_HEADER_BYTES
        raise _DamageError(f"an extended header of {size:,} bytes, more than {limit.value:,} ({limit.variable})")
    data = _read(file, start, size)
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    if info.type == tarfile.GNUTYPE_LONGLINK:
        return {}
    stated = {}
    while data.rstrip(b"\0"):
        record = _PAX_RECORD.match(data)
        length = int(record[1]) if record else 0
        if record is None or not record.end() < length <= len(data) or data[length - 1] != ord("\n"):
            raise _DamageError(f"a damaged extended header at byte {start:,}")
        stated[record[2].decode("utf-8", "replace")] = data[record.end() : length - 1].decode(
            "utf-8", "surrogateescape"
        )
        data = data[length:]
    if not re.fullmatch(r"\d{1,18}", stated.get("size", "0")):
        raise _DamageError(f"a damaged extended header at byte {start:,}")
    if info.type == tarfile.XGLTYPE and {"path", "size"} & set(stated):
        raise _DamageError("a header that gives all members one name or size")
    return stated if info.type != tarfile.XGLTYPE else {}


def _sparse_map(file: IO[bytes], at: int) -> int:
    """Bytes of the blocks between the header of a sparse file and its data."""
    start = at + _BLOCK
    while len(block := _read(file, start, _BLOCK)) == _BLOCK:
        start += _BLOCK
        if not block[504]:
            break
    return start - at - _BLOCK


def _check_end(file: IO[bytes], at: int, end: int) -> None:
    """A tar ends with two blocks of zeros, and nothing but zeros after them."""
    if end - at < 2 * _BLOCK:
        raise _DamageError(f"it ends at byte {end:,} without the end mark of a tar")
    for start in range(at, end, _CHUNK):
        data = _read(file, start, _CHUNK)
        if data.count(0) != len(data):
            raise _DamageError(f"there is something behind its end mark, after byte {start:,}")


def _read(file: IO[bytes], start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
