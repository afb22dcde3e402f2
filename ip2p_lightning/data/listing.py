"""The files of a folder that are meant, and a count of those that are not: companions of macOS, links that lead out."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from ip2p_lightning.data.left_out import LeftOut

_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")
OTHER_IMAGES = (".heic", ".heif", ".avif", ".gif", ".psd", ".svg", *_RAW)
"""Endings of images that are passed over where a folder is searched for images."""
_COMPANIONS = {".DS_Store", "Thumbs.db", "desktop.ini"}


def stray(name: str) -> str:
    """Reason to ignore a file of this name; "" if it may hold data.

    Args:
        name: of the file, or its path within a folder, a tar or a zip.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts:
        return ""
    if "__MACOSX" in parts or parts[-1].startswith("._"):
        return "companion file of macOS"
    if parts[-1] in _COMPANIONS:
        return "file of a desktop"
    return "hidden file" if parts[-1].startswith(".") else ""


def listed(
    folder: Path,
    endings: Collection[str],
    left_out: LeftOut,
    *,
    deep: bool = False,
    likely: Collection[str] | None = None,
) -> list[Path]:
    """The files of a folder with one of these endings, sorted by name.

    Args:
        folder: to look into.
        endings: in lower case with the dot, such as ".tar".
        left_out: where others are counted: companions of macOS, hidden files, links that lead out of the folder.
        deep: look into sub-folders, too; never into those that are hidden or links.
        likely: files with other endings that are counted as well, as somebody may have meant them; None for all.
    """
    root = allowed_root(folder)
    found = []
    for path in _files(folder, deep):
        name, ending = path.relative_to(folder).as_posix(), path.suffix.lower()
        if reason := stray(name) or _unsafe(path, root):
            left_out.add(reason, name)
        elif ending in endings:
            found.append(path)
        elif likely is None or ending in likely:
            left_out.add(f"{ending} file" if ending else "file without an ending", name)
    return sorted(found)


def allowed_root(folder: Path) -> Path:
    """The folder that the files of a folder must lie in after following links.

    It is the folder itself; for a snapshot in the cache of the Hugging Face hub, whose files are links to its blobs,
    the repository's folder in that cache.
    """
    root = folder.resolve()
    for parent in root.parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return root


def _unsafe(path: Path, root: Path) -> str:
    try:
        if not path.resolve().is_relative_to(root):
            return "link that leads out of the folder"
    except (OSError, RuntimeError):
        return "link that leads nowhere"
    if path.is_file():
        return ""
    return "link to a folder" if path.is_dir() and path.is_symlink() else "no regular file"


def _files(folder: Path, deep: bool) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        inner = sorted(entries, key=lambda entry: entry.name)
    for entry in inner:
        if not entry.is_dir(follow_symlinks=False):
            if deep or not os.path.isdir(entry.path):  # False for links in a circle
                yield Path(entry.path)
        elif deep:
            yield from [Path(entry.path)] if entry.name.startswith(".") else _files(Path(entry.path), deep)
