"""Two folders whose images of one name are pairs, or one folder whose names end in `_before` and `_after`.

The layouts of before/after photographs and of trainers' control images (ai-toolkit, musubi-tuner, SimpleTuner). Texts
are `.txt` files of the same name next to an edited (or original) image, or a table or a text file for all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ip2p_lightning import limits
from ip2p_lightning.data.formats.columns import ColumnFormat, Columns
from ip2p_lightning.data.formats.folder_writer import LISTING, PairedFoldersWriter
from ip2p_lightning.data.formats.rows import ListedRows, Row, counted
from ip2p_lightning.data.formats.table import table_rows
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import OTHER_IMAGES, listed

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
TEXTS = (".txt", ".caption")
_NUMBERED = re.compile(r"^(.*)[_-](\d{1,4})$")
_LISTINGS = (LISTING, "instructions.csv", "instructions.tsv", "metadata.csv", "captions.csv")
_LINES = ("instructions.txt", "instruction.txt", "captions.txt", "prompts.txt")
_KEY = "file"
_FILE_COLUMNS = (_KEY, "file_name", "filename", "name", "image", "after", "edited", "edited_image", "target")


@dataclass
class PairedFolders(ColumnFormat):
    """The format.

    Args:
        originals: names of the folder of original images; the first that is there counts.
        edited: names of the folder of edited images.
        endings: [original, edited] endings of names, such as [_before, _after], for pairs in one folder.
        name: what the format is called.
        **columns: of the table of texts, whose column `file` names the image, see `ColumnFormat`;
            `constants.instruction` is the text of pairs without one.
    """

    originals: Sequence[str] = ("before",)
    edited: Sequence[str] = ("after",)
    endings: Sequence[Sequence[str]] = ()
    name: str = "before_after"

    def open(self, path: str | Path, licence: str = "unknown") -> ListedRows:
        """See `Format.open`; ``path`` is the folder that holds the two.

        Raises:
            FileNotFoundError: no such folders, and no pair by the endings of names.
            ValueError: texts that cannot be given to pairs.
        """
        path = Path(path)
        if not path.is_dir():
            raise FileNotFoundError(f"{path} is no folder; it should hold {self._expected()}")
        before = next((path / name for name in self.originals if (path / name).is_dir()), None)
        after = next((path / name for name in self.edited if (path / name).is_dir()), None)
        notes: list[str] = []
        left_out = LeftOut()
        if before is not None and after is not None:
            matched = _by_folders(before, after, left_out)
        elif not (matched := self._by_endings(path, left_out)):
            raise FileNotFoundError(f"{path} should hold {self._expected()}; name them: format.originals=[NAME]")
        rows = _with_texts(path, matched, self.map, notes)
        others = [name for name in self.originals if (path / name).is_dir() and path / name != before]
        if others:
            notes.append(f"{counted(others, 'folder is', 'folders are')} left out, since another holds the originals")
        if guessed := [match.key for match in matched if match.guessed]:
            notes.append(f"{counted(guessed, 'edited image was', 'edited images were')} matched without a number")
        return ListedRows(rows, self.map, self.name, licence, notes, left_out)

    def writer(self, folder: Path) -> PairedFoldersWriter:
        """See `Format.writer`."""
        return PairedFoldersWriter(folder, self.originals[0], self.edited[0], self.map)

    def _expected(self) -> str:
        ends = "".join(f", or names that end in {one} and {other}" for one, other in self.endings[:1])
        return f"a folder {' or '.join(self.originals[:3])} and a folder {' or '.join(self.edited[:3])}{ends}"

    def _by_endings(self, path: Path, left_out: LeftOut) -> list[Match]:
        """Pairs of one folder, by the first two endings that any two files have."""
        images = _files(path, left_out)
        for before, after in self.endings:
            sides: tuple[dict[str, list[Path]], dict[str, list[Path]]] = ({}, {})
            for key, files in images.items():
                for side, ending in zip(sides, (before, after), strict=True):
                    if key.endswith(ending.casefold()):
                        side.setdefault(key.removesuffix(ending.casefold()), []).extend(files)
            if sides[0].keys() & sides[1].keys():
                return _matched(*sides)
        return []


@dataclass(frozen=True)
class Match:
    """Files that belong together.

    Args:
        key: the name that they share.
        originals, edited: files of each side; more than one original are several references.
        guessed: whether the edited file's number was left out to find its original.
    """

    key: str
    originals: Sequence[Path]
    edited: Sequence[Path]
    guessed: bool = False

    @property
    def fault(self) -> tuple[str, str] | None:
        """Reason why there is no pair."""
        if not self.originals:
            return "no original of that name", f"for {self.edited[0].name}"
        if not self.edited:
            return "no edited image of that name", f"for {self.originals[0].name}"
        if len(self.edited) > 1 or len({file.stem for file in self.originals}) < len(self.originals):
            names = sorted(file.name for file in (self.edited if len(self.edited) > 1 else self.originals))
            return "two images of one name", ", ".join(names)
        return None


def _by_folders(before: Path, after: Path, left_out: LeftOut) -> list[Match]:
    inner = after in before.parents
    originals = _files(before, LeftOut() if inner else left_out)
    edited = _files(after, left_out, without=before if inner else None)
    return _matched(_numbered(originals, edited), edited)


def _numbered(originals: Mapping[str, list[Path]], edited: Iterable[str]) -> dict[str, list[Path]]:
    """Originals `a_0`, `a_1` as the references of the edited image `a`, in the order of their numbers."""
    known, found = set(edited), {}
    for key, files in sorted(originals.items(), key=lambda item: _natural(item[0])):
        number = _NUMBERED.match(key)
        name = number[1] if number and key not in known and number[1] in known else key
        found.setdefault(name, []).extend(files)
    return found


def _matched(originals: Mapping[str, list[Path]], edited: Mapping[str, list[Path]]) -> list[Match]:
    """Every name of either side once, in natural order; `a_2` may be an edited image of the original `a`."""
    matches, used = [], set()
    for key in edited:
        number = _NUMBERED.match(key)
        guessed = key not in originals and number is not None and number[1] in originals
        name = number[1] if guessed and number else key
        matches.append(Match(key, originals.get(name, ()), edited[key], guessed))
        used.add(name)
    matches += [Match(key, files, ()) for key, files in originals.items() if key not in used]
    return sorted(matches, key=lambda match: _natural(match.key))


def _with_texts(path: Path, matched: Sequence[Match], columns: Columns, notes: list[str]) -> list[Row]:
    """The rows of matches, with the texts that are found."""
    texts, used = _texts(path, matched, columns, notes), set()
    rows = []
    for match in matched:
        files = {"original_image": match.originals, "edited_image": match.edited}
        values: dict[str, Any] = {
            columns.written(field): [file.relative_to(path).as_posix() for file in found]
            for field, found in files.items()
            if found
        }
        names = [match.key, *(_key(file.name) for found in files.values() for file in found)]
        names += [_key(Path(file).relative_to(path).as_posix()) for found in files.values() for file in found]
        known = [name for name in names if name in texts]
        used |= set(known)
        beside = next((text for file in (*match.edited, *match.originals) if (text := _beside(file, match.key))), "")
        values |= {columns.written("instruction"): beside} if beside else {}
        values |= texts[known[0]] if known else {}
        place = f"{path} {match.key}"
        rows.append(Row(place, match.key, path, values, fault=match.fault))
    if left := sorted(texts.keys() - used):
        notes.append(f"{counted(left, 'text has', 'texts have')} no images of that name")
    return rows


def _texts(path: Path, matched: Sequence[Match], columns: Columns, notes: list[str]) -> dict[str, dict[str, Any]]:
    """Name -> values, of the table or text file for all pairs."""
    for name in _LISTINGS:
        if (path / name).is_file():
            keyed = replace(columns, names={**columns.names, _KEY: _FILE_COLUMNS})
            rows = table_rows(path / name, path, keyed, notes, needed=(_KEY, "instruction"))
            named = [(keyed.text(row.values, _KEY, row.place), row) for row in rows]
            images = {columns.written(field) for field in ("original_image", "edited_image")}
            return {_key(file): {k: v for k, v in row.values.items() if k not in images} for file, row in named}
    for name in _LINES:
        if (path / name).is_file():
            texts = _by_line(path / name, [match for match in matched if match.fault is None])
            return {key: {columns.written("instruction"): text} for key, text in texts.items()}
    return {}


def _by_line(file: Path, matched: Sequence[Match]) -> dict[str, str]:
    """The texts of a file with one for all, one a line in the order of names, or `name<TAB>text`."""
    lines = [line.strip() for line in _read(file).splitlines() if line.strip()]
    keys = {match.key for match in matched}
    split = [re.split(r"\t|:\s|,\s*", line, maxsplit=1) for line in lines]
    if lines and all(len(parts) == 2 and _key(parts[0]) in keys for parts in split):
        return {_key(name): text.strip().strip('"') for name, text in split}
    if len(lines) == 1:
        return dict.fromkeys(keys, lines[0])
    remedy = "begin each line with the image's name and a tab"
    if len(lines) != len(matched):
        raise ValueError(f"{file} has {len(lines):,} lines for {len(matched):,} pairs; {remedy}")
    if [match.key for match in matched] != sorted(keys):
        raise ValueError(f"{file}: names such as 2 and 10 have two orders, so lines cannot be given to pairs; {remedy}")
    return {match.key: line for match, line in zip(matched, lines, strict=True)}


def _beside(file: Path, key: str) -> str:
    """The text of a file of the image's name, or of the pair's name, next to the image."""
    names = [file.with_suffix(ending) for ending in TEXTS]
    names += [file.with_name(f"{Path(key).name}{ending}") for ending in TEXTS]
    return next((" ".join(_read(text).split()) for text in names if text.is_file() and not text.is_symlink()), "")


def _read(file: Path) -> str:
    limits.ROW_BYTES.check(file.stat().st_size, file)
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _files(root: Path, left_out: LeftOut, without: Path | None = None) -> dict[str, list[Path]]:
    """Name without ending -> images, of a folder and its sub-folders; other images and stray files are counted."""
    found: dict[str, list[Path]] = {}
    for file in listed(root, IMAGES, left_out, deep=True, likely=OTHER_IMAGES):
        if without is None or without not in file.parents:
            found.setdefault(_key(file.relative_to(root).as_posix()), []).append(file)
    return found


def _key(name: str) -> str:
    """A name to compare: without ending, in one case and one form of Unicode."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/").strip())
    stem, dot, ending = name.rpartition(".")
    return (stem if dot and f".{ending.lower()}" in (*IMAGES, *TEXTS) else name).casefold()


def _natural(name: str) -> list[Any]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
