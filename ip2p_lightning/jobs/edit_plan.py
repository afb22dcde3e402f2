"""The edits that `ip2p edit` is to make, each with a file of its own, before anything is opened."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from ip2p_lightning.bounded_text import TextError, parse_json, read_text
from ip2p_lightning.csv_table import open_csv
from ip2p_lightning.data.images import FORMATS, picture_size
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import OTHER_IMAGES, listed
from ip2p_lightning.limits import LISTING_BYTES

log = logging.getLogger(__name__)

SUFFIXES = frozenset(end for end, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO"))
TABLES = (".csv", ".tsv", ".jsonl")
"""Files that list edits."""
_AS_GIVEN = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".bmp")
"""Endings that results in a folder keep; others become PNG."""
_COLUMNS = ("image", "instruction", "seed", "mask", "output")


@dataclass(frozen=True)
class Job:
    """One edit to make.

    Args:
        image: image file.
        instruction: what to change.
        seed: of the noise.
        mask: image file of where it may change; None for everywhere.
        output: file to write.
    """

    image: Path
    instruction: str
    seed: int
    mask: Path | None
    output: Path


def image_files(paths: Sequence[str]) -> list[Path]:
    """The image files among paths, those in folders included; warns of images in folders that cannot be read.

    Raises:
        ValueError: no image at all.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        left_out = LeftOut()
        found = listed(path, SUFFIXES, left_out, likely=OTHER_IMAGES)
        if not found:
            aside = f" (there is {left_out})" if left_out else ""
            raise ValueError(f"image={path}: the folder holds no images (jpg, png, webp ...){aside}")
        for line in left_out.lines():
            log.warning("image=%s: not used: %s", path, line)
        files += found
    if not files:
        raise ValueError("image is empty; give an image, a folder of images, or a list")
    return files


def plan(
    images: Sequence[Path],
    instructions: Sequence[str],
    seeds: Sequence[int],
    output: Path,
    overwrite: bool | Literal["skip"] = False,
    mask: Path | None = None,
) -> list[Job]:
    """Every image under every instruction and seed, with the file each edit goes to.

    One edit goes to `output` if that names an image; otherwise `output` is a folder, and files are named after the
    image, and after instruction and seed where there are several.

    Raises:
        ValueError: an empty instruction, nothing to do, several edits for one file, or a file that is in the way.
    """
    for index, instruction in enumerate(instructions):
        if not instruction.strip():
            raise ValueError(
                f"instruction {index + 1} of {len(instructions)} is empty; say what to change, for example "
                "instruction='make it winter'"
            )
    combinations = list(itertools.product(images, instructions, seeds))
    if not combinations:
        raise ValueError("there is nothing to edit: instruction and seeds must each name at least one")
    single = output.suffix.lower() in SUFFIXES and not output.is_dir()
    if single and len(combinations) > 1:
        raise ValueError(f"output={output} is one image, but {len(combinations)} edits were asked for; name a folder")
    if not single and output.is_file():
        raise ValueError(f"output={output} is a file, and not named like an image; name an image or a folder")
    names = [output] if single else [output / name for name in _names(combinations)]
    jobs = [Job(*parts, mask, name) for parts, name in zip(combinations, names, strict=True)]
    return checked(jobs, overwrite)


def read_table(
    path: Path, instruction: str | None, seed: int, output: Path, overwrite: bool | Literal["skip"] = False
) -> list[Job]:
    """The edits that a CSV, TSV or JSON Lines file lists in the columns image, instruction, seed, mask and output.

    Paths of images and masks are relative to the file, outputs to the folder `output`.

    Args:
        path: of the file.
        instruction: of rows without one; None if each must have its own.
        seed: of rows without one.
        output: folder.
        overwrite: see `checked`.

    Raises:
        ValueError: a damaged line, a column that does not exist, or a row without image or instruction; names the line.
    """
    if output.suffix.lower() in SUFFIXES:
        raise ValueError(f"output={output} is one image; name a folder for the edits that {path} lists")
    rows: list[tuple[Path, str, int, Path | None, str]] = []
    for place, row in _rows(path):
        unknown = sorted(row.keys() - {*_COLUMNS})
        if unknown:
            raise ValueError(f"{place}: no column {unknown[0]!r} is read; columns are {', '.join(_COLUMNS)}")
        text, image = str(row.get("instruction") or instruction or ""), str(row.get("image") or "")
        if not text.strip() or not image:
            raise ValueError(f"{place}: the row has no {'image' if not image else 'instruction'}; give one")
        if torn := [column for column in ("image", "mask", "output") if "\0" in str(row.get(column) or "")]:
            raise ValueError(f"{place}: {torn[0]} holds a null character, which no path has")
        try:
            number = int(row.get("seed") or seed)
        except (TypeError, ValueError):
            raise ValueError(f"{place}: seed={row['seed']!r} must be a whole number") from None
        mask = path.parent / str(row["mask"]) if row.get("mask") else None
        rows.append((path.parent / image, text, number, mask, str(row.get("output") or "")))
    if not rows:
        raise ValueError(f"{path} lists no edits; it needs the columns image and instruction")
    named = _names([row[:3] for row in rows])
    jobs = [Job(*row[:4], _inside(output, row[4] or name)) for row, name in zip(rows, named, strict=True)]
    return checked(jobs, overwrite)


def checked(jobs: list[Job], overwrite: bool | Literal["skip"]) -> list[Job]:
    """The edits that are to be made, each into a file of its own that is free.

    Args:
        jobs: edits.
        overwrite: True replaces files that are there, "skip" leaves out the edits whose files are.

    Raises:
        ValueError: two edits into one file, an edit into one of the images, or a file that is there already.
    """
    taken: dict[str, Job] = {}
    originals = {job.image.resolve() for job in jobs}
    for job in jobs:
        other = taken.setdefault(str(job.output).casefold(), job)
        if other is not job:
            raise ValueError(f"two edits would be written to {job.output}; give each a name of its own")
        if job.output.resolve() in originals:
            raise ValueError(f"{job.output} is one of the images that are edited; choose another output")
    if overwrite == "skip":
        return [job for job in jobs if not job.output.exists()]
    if not overwrite and (there := [job.output for job in jobs if job.output.exists()]):
        raise ValueError(
            f"{there[0]} exists already; choose another output, overwrite=skip to make the edits that are missing, or "
            "overwrite=true"
        )
    return jobs


def readable(jobs: Sequence[Job]) -> tuple[list[Job], dict[Path, str]]:
    """The edits whose images and masks have a readable header, and file -> what is wrong with the others."""
    wrong: dict[Path, str] = {}
    good: set[Path] = set()
    for file in dict.fromkeys(file for job in jobs for file in (job.image, job.mask) if file is not None):
        try:
            picture_size(file)
            good.add(file)
        except (OSError, ValueError) as error:
            wrong[file] = str(error)
    return [job for job in jobs if job.image in good and (job.mask is None or job.mask in good)], wrong


def slug(text: str) -> str:
    """A text as a part of a file name."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")[:60]


def _names(combinations: Sequence[tuple[Path, str, int]]) -> list[str]:
    """File names that tell apart what differs; numbered where that is not enough."""
    several = [len({combination[part] for combination in combinations}) > 1 for part in range(3)]
    taken: set[str] = set()
    names = []
    for image, instruction, seed in combinations:
        parts = [image.stem, *([slug(instruction)] if several[1] and slug(instruction) else [])]
        stem = "-".join([*parts, *([f"seed{seed}"] if several[2] else [])])
        ending = image.suffix if image.suffix.lower() in _AS_GIVEN else ".png"
        numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        name = next(name for number in numbers if (name := f"{stem}{number}{ending}").casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(File and line, row) of a table."""
    if path.suffix.lower() != ".jsonl":
        with open_csv(path, "it should be a table of edits", LISTING_BYTES) as reader:
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
        return
    for number, line in enumerate(read_text(path, LISTING_BYTES).split("\n"), 1):
        place = f"{path}, line {number}"
        try:
            row = parse_json(line) if line.strip() else None
        except TextError as error:
            raise ValueError(f"{place}: damaged line ({error})") from error
        if row is not None and not isinstance(row, dict):
            raise ValueError(f'{place}: a line should be like {{"image": "a.jpg", "instruction": "..."}}')
        if row:
            yield place, row


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"output {name!r} leads out of the folder {folder}; name files inside it")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"output {name!r} is not named like an image; let it end in .png, .jpg or .webp")
    return path
