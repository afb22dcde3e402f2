"""The folder layout of InstructPix2Pix and MGIE: a folder for each prompt with its candidate pairs as JPEG files.

<folder>/<name>/{seed}_0.jpg, {seed}_1.jpg, prompt.json [, metadata.jsonl]     <folder>/seeds.json (optional)

Our own exports (`data/formats/ip2p_folder.py`) add {seed}_mask.png and keys that the original does not have.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import parse_json, read_json, read_text
from ip2p_lightning.data.encoded import SCORES, EncodedPair, UnusablePair, decode_pair, has_text
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import allowed_root, stray
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.paths import image_bytes

_ORIGINAL = re.compile(r"(.+)_0\.(?:jpg|jpeg|png)", re.IGNORECASE)
_IMAGE = re.compile(r".+_[01]\.(\w+)")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_OTHERS = (".webp", ".heic", ".heif", ".avif", ".bmp", ".tif", ".tiff", ".gif")

SCORE_NAMES = {
    "clip_sim_image": "clip_image",
    "clip_sim_dir": "clip_direction",
    "clip_sim_0": "text_image_original",
    "clip_sim_1": "text_image_edited",
}
"""Keys of `metadata.jsonl` -> our names of scores."""


class IP2PFolderSource:
    """Every candidate pair of such a folder; a prompt's pairs are one group. The files' bytes are never re-encoded.

    `prompt.json` must have ``edit``; the captions are ``caption`` or ``input``, and ``output``. Scores, threshold and
    seed come from `metadata.jsonl`. What our exports add is read, too (expressive instruction, mask ...).

    Args:
        folder: the folder that holds the numbered folders; `seeds.json` in it, if any, lists what to use.
        licence: of the images.
        split_by_position: the first 90 % of the prompts are "train", the next 5 % "validation", the rest "test", as in
            InstructPix2Pix's EditDataset; False leaves the split open.

    Raises:
        FileNotFoundError: no such folder, or no pair in it.
        ValueError: a damaged `seeds.json`.

    Links that lead out of the folder are refused, as in other formats.
    """

    name = "ip2p_folder"

    def __init__(self, folder: str | Path, licence: str = "unknown", split_by_position: bool = True) -> None:
        self.folder, self.licence, self.split_by_position = Path(folder), licence, split_by_position
        if not self.folder.is_dir():
            raise FileNotFoundError(f"folder of pairs {str(folder)!r} does not exist")
        self.left_out = LeftOut()
        """Other contents of the folders; with a `seeds.json`, the prompt folders that it does not list."""
        self._root = allowed_root(self.folder)
        listing = self.folder / "seeds.json"
        prompts = _listed(listing) if listing.is_file() else self._found()
        if listing.is_file():
            self._unlisted({name for name, _ in prompts})
        self._prompts = [name for name, _ in prompts]
        self._pairs = [(number, seed) for number, (_, seeds) in enumerate(prompts) for seed in seeds]
        if not self._pairs:
            raise FileNotFoundError(
                f"{folder} holds no pairs{f' (there is {self.left_out})' if self.left_out else ''}; it needs folders "
                "with <seed>_0.jpg, <seed>_1.jpg and prompt.json"
            )

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> EditPair:
        return decode_pair(self.encoded(index), place=f"{self.folder}: ")

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` as the bytes of its files.

        Raises:
            FileNotFoundError: a missing image or `prompt.json`.
            ValueError: a damaged `prompt.json` or `metadata.jsonl`; names the file.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.folder}")
        number, seed = self._pairs[index]
        name = self._prompts[number]
        folder = self.folder / name
        prompt = self._prompt(folder / "prompt.json")
        row = self._row(folder / "metadata.jsonl", seed)
        mask = next(iter(_files(folder, f"{seed}_mask")), None)

        def text(*keys: str) -> str:
            return next((text for key in keys if (text := _text(prompt, key, folder / "prompt.json"))), "")

        return EncodedPair(
            id=_text(row, "id", folder / "metadata.jsonl") or f"{name}/{seed}",
            original_image=self._image(_picture_path(folder, f"{seed}_0")),
            edited_image=self._image(_picture_path(folder, f"{seed}_1")),
            mask=None if mask is None else self._image(mask),
            instruction=text("edit"),
            expressive_instruction=text("expressive_instruction", "expressive"),
            original_caption=text("caption", "input"),
            edited_caption=text("output"),
            kind=text("kind"),
            group=text("group") or name,
            split=text("split") or self._split(number),
            metadata=_metadata(row, seed),
        )

    @property
    def groups(self) -> list[str]:
        """The prompt folder of each pair."""
        return [self._prompts[number] for number, _ in self._pairs]

    def fingerprint(self) -> str:
        """Hash of the files' names and sizes and of the prompts; of pairs that cannot be read, of their names."""
        digest = hashlib.sha256()
        for number, seed in self._pairs:
            folder = self.folder / self._prompts[number]
            try:
                sizes = [_picture_path(folder, f"{seed}_{side}").stat().st_size for side in (0, 1)]
                content: Any = sizes, self._prompt(folder / "prompt.json")
            except (ValueError, OSError):
                content = ("unusable",)
            digest.update(repr((self._prompts[number], seed, *content)).encode(errors="surrogatepass"))
        return digest.hexdigest()[:16]

    def _found(self) -> list[tuple[str, list[str]]]:
        """Prompt folders and their seeds; what else lies there is counted."""
        rows = []
        for inner in sorted(self.folder.iterdir()):
            if not inner.is_dir() or stray(inner.name):
                self.left_out.add(stray(inner.name) or "file next to the prompt folders", inner.name)
                continue
            seeds = []
            with os.scandir(inner) as entries:
                names = sorted(entry.name for entry in entries)
            for name in names:
                if reason := stray(name):
                    self.left_out.add(reason, f"{inner.name}/{name}")
                elif match := _ORIGINAL.fullmatch(name):
                    seeds.append(match[1])
                elif (match := _IMAGE.fullmatch(name)) and f".{match[1].lower()}" in _OTHERS:
                    reason = (
                        f"image in .{match[1].lower()}, which these folders do not hold (convert it to PNG or JPEG)"
                    )
                    self.left_out.add(reason, f"{inner.name}/{name}")
            if seeds:
                rows.append((inner.name, sorted(dict.fromkeys(seeds), key=lambda seed: (len(seed), seed))))
            else:
                self.left_out.add("folder without pairs", inner.name)
        return rows

    def _unlisted(self, listed: set[str]) -> None:
        with os.scandir(self.folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        for name in names:
            if name not in listed:
                self.left_out.add("folder that seeds.json does not list", name)

    def _inside(self, path: Path) -> Path:
        """A file of the folder; UnusablePair where a link leads out of it."""
        if not path.resolve().is_relative_to(self._root):
            raise UnusablePair(str(path), "a path leads out of the folder", f"a link to {path.resolve()}")
        return path

    def _image(self, path: Path) -> bytes:
        return image_bytes(self._inside(path), str(path))

    def _prompt(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            raise FileNotFoundError(f'{path} is missing; it must hold {{"edit": "the instruction"}}')
        prompt = read_json(self._inside(path), "an instruction", limit=limits.ROW_BYTES, not_a_number="null")
        if isinstance(prompt, dict) and isinstance(prompt.get("edit"), str) and has_text(prompt["edit"]):
            return prompt
        raise UnusablePair(str(path), "no instruction under 'edit'", "add one or delete its folder")

    def _row(self, path: Path, seed: str) -> dict[str, Any]:
        """The line of `metadata.jsonl` about a seed; empty if there is none."""
        if not path.is_file():
            return {}
        lines = [line for line in read_text(self._inside(path)).splitlines() if line.strip()]
        try:
            rows = [parse_json(line, not_a_number="null") for line in lines]
            return next((dict(row) for row in rows if str(row["seed"]) == seed), {})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error!r}); write it again or delete it") from error

    def _split(self, number: int) -> str:
        if not self.split_by_position:
            return ""
        total = len(self._prompts)
        if number < int(0.9 * total):
            return "train"
        return "validation" if number < int(0.95 * total) else "test"


def _listed(path: Path) -> list[tuple[str, list[str]]]:
    """Prompt folders and seeds of a `seeds.json`: [[name, [seed, ...]], ...]."""
    try:
        rows = [(str(name), [str(seed) for seed in seeds]) for name, seeds in read_json(path, "the pairs' seeds")]
    except (ValueError, TypeError) as error:
        text = str(error).removeprefix(f"{path} is damaged ")
        raise ValueError(f"{path} is damaged ({text}); delete it to have the folder searched instead") from error
    for name, seeds in rows:
        if any(".." in PurePosixPath(part).parts or PurePosixPath(part).is_absolute() for part in (name, *seeds)):
            raise ValueError(f"{path} names {name!r}, which lies outside its folder; delete it or correct that line")
        if any("\0" in part for part in (name, *seeds)):
            raise ValueError(f"{path} names {name!r}, which is no file name; delete it or correct that line")
    return rows


def _files(folder: Path, stem: str) -> list[Path]:
    return [path for suffix in _SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]


def _picture_path(folder: Path, stem: str) -> Path:
    for path in _files(folder, stem):
        return path
    others = [path.name for ending in _OTHERS if (path := folder / f"{stem}{ending}").is_file()]
    what = f"there is {others[0]}; convert it to PNG or JPEG" if others else "restore it, or skip_failures=true"
    raise FileNotFoundError(f"{folder / stem}.jpg is missing; {what}")


def _text(values: Mapping[str, Any], key: str, path: Path) -> str:
    """A text, or a number where a name may be one."""
    value = values.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and key in ("id", "kind", "group", "split"):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise UnusablePair(str(path), f"{key!r} should be a text", f"it is {type(value).__name__}")
    return value or ""


def _metadata(row: dict[str, Any], seed: str) -> dict[str, Any]:
    values: dict[str, Any] = {"seed": int(seed)} if seed.isdecimal() else {}
    if isinstance(more := row.get("metadata"), dict):
        values |= more
    if "p2p_threshold" in row:
        values["threshold"] = row["p2p_threshold"]
    if "cfg_scale" in row:
        values["text_scale"] = row["cfg_scale"]
    scores = {ours: row[theirs] for theirs, ours in SCORE_NAMES.items() if row.get(theirs) is not None}
    known = values.get(SCORES)
    return values | ({SCORES: {**(known if isinstance(known, dict) else {}), **scores}} if scores else {})
