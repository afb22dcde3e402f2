"""The folder layout of InstructPix2Pix and MGIE: a folder for each prompt with its candidate pairs as JPEG files.

<folder>/<name>/{seed}_0.jpg, {seed}_1.jpg, prompt.json [, metadata.jsonl]     <folder>/seeds.json (optional)

Our own exports (`data/formats/ip2p_folder.py`) add {seed}_mask.png and keys that the original does not have.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from ip2p_lightning.data.encoded import SCORES, EncodedPair, decode_pair
from ip2p_lightning.data.pair import EditPair

_ORIGINAL = re.compile(r"(.+)_0\.(?:jpg|jpeg|png)", re.IGNORECASE)
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_MAX_TEXT_BYTES = 2**22

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
        licence: of the pictures.
        split_by_position: the first 90 % of the prompts are "train", the next 5 % "validation", the rest "test", as in
            InstructPix2Pix's EditDataset; False leaves the split open.

    Raises:
        FileNotFoundError: no such folder, or no pair in it.
        ValueError: a damaged `seeds.json`.
    """

    name = "ip2p_folder"

    def __init__(self, folder: str | Path, licence: str = "unknown", split_by_position: bool = True) -> None:
        self.folder, self.licence, self.split_by_position = Path(folder), licence, split_by_position
        if not self.folder.is_dir():
            raise FileNotFoundError(f"folder of pairs {str(folder)!r} does not exist")
        listing = self.folder / "seeds.json"
        prompts = _listed(listing) if listing.is_file() else _found(self.folder)
        self._prompts = [name for name, _ in prompts]
        self._pairs = [(number, seed) for number, (_, seeds) in enumerate(prompts) for seed in seeds]
        if not self._pairs:
            raise FileNotFoundError(
                f"{folder} holds no pairs; it needs folders with <seed>_0.jpg, <seed>_1.jpg and prompt.json"
            )

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> EditPair:
        return decode_pair(self.encoded(index), place=f"{self.folder}: ")

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` as the bytes of its files.

        Raises:
            FileNotFoundError: a missing picture or `prompt.json`.
            ValueError: a damaged `prompt.json` or `metadata.jsonl`; names the file.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.folder}")
        number, seed = self._pairs[index]
        name = self._prompts[number]
        folder = self.folder / name
        prompt = _prompt(folder / "prompt.json")
        row = _row(folder / "metadata.jsonl", seed)
        return EncodedPair(
            id=str(row.get("id") or f"{name}/{seed}"),
            original_image=_picture(folder, f"{seed}_0"),
            edited_image=_picture(folder, f"{seed}_1"),
            mask=next((file.read_bytes() for file in _files(folder, f"{seed}_mask")), None),
            instruction=prompt["edit"],
            expressive_instruction=str(prompt.get("expressive_instruction") or prompt.get("expressive") or ""),
            original_caption=prompt.get("caption") or prompt.get("input") or "",
            edited_caption=prompt.get("output") or "",
            kind=str(prompt.get("kind") or ""),
            group=str(prompt.get("group") or name),
            split=str(prompt.get("split") or self._split(number)),
            metadata=_metadata(row, seed),
        )

    @property
    def groups(self) -> list[str]:
        """The prompt folder of each pair."""
        return [self._prompts[number] for number, _ in self._pairs]

    def fingerprint(self) -> str:
        """Hash of the files' names and sizes and of the prompts."""
        digest = hashlib.sha256()
        for number, seed in self._pairs:
            folder = self.folder / self._prompts[number]
            sizes = [_picture_path(folder, f"{seed}_{side}").stat().st_size for side in (0, 1)]
            digest.update(repr((self._prompts[number], seed, sizes, _prompt(folder / "prompt.json"))).encode())
        return digest.hexdigest()[:16]

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
        rows = [
            (str(name), [str(seed) for seed in seeds]) for name, seeds in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it to have the folder searched instead") from error
    for name, seeds in rows:
        if any(".." in PurePosixPath(part).parts or PurePosixPath(part).is_absolute() for part in (name, *seeds)):
            raise ValueError(f"{path} names {name!r}, which lies outside its folder; delete it or correct that line")
    return rows


def _found(folder: Path) -> list[tuple[str, list[str]]]:
    rows = []
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        seeds = [match[1] for file in inner.iterdir() if (match := _ORIGINAL.fullmatch(file.name))]
        if seeds:
            rows.append((inner.name, sorted(seeds, key=lambda seed: (len(seed), seed))))
    return rows


def _files(folder: Path, stem: str) -> list[Path]:
    return [path for suffix in _SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]


def _picture_path(folder: Path, stem: str) -> Path:
    for path in _files(folder, stem):
        return path
    raise FileNotFoundError(f"{folder / stem}.jpg is missing; restore it, or delete the pair's other picture too")


def _picture(folder: Path, stem: str) -> bytes:
    return _picture_path(folder, stem).read_bytes()


def _prompt(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing; it must hold {{"edit": "the instruction"}}')
    try:
        prompt = json.loads(_text(path))
        if isinstance(prompt, dict) and isinstance(prompt.get("edit"), str) and prompt["edit"].strip():
            return prompt
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); write it anew or delete its folder") from error
    raise ValueError(f'{path} has no instruction under "edit"; add one or delete its folder')


def _row(path: Path, seed: str) -> dict[str, Any]:
    """The line of `metadata.jsonl` about a seed; empty if there is none."""
    if not path.is_file():
        return {}
    try:
        rows = [json.loads(line) for line in _text(path).splitlines() if line.strip()]
        return next((dict(row) for row in rows if str(row["seed"]) == seed), {})
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); write it anew or delete it") from error


def _metadata(row: dict[str, Any], seed: str) -> dict[str, Any]:
    values: dict[str, Any] = {"seed": int(seed)} if seed.isdecimal() else {}
    if isinstance(more := row.get("metadata"), dict):
        values |= more
    if "p2p_threshold" in row:
        values["threshold"] = row["p2p_threshold"]
    if "cfg_scale" in row:
        values["text_scale"] = row["cfg_scale"]
    scores = {ours: row[theirs] for theirs, ours in SCORE_NAMES.items() if theirs in row}
    return values | ({SCORES: {**values.get(SCORES, {}), **scores}} if scores else {})


def _text(path: Path) -> str:
    if (size := path.stat().st_size) > _MAX_TEXT_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, too many for such a file")
    return path.read_text(encoding="utf-8")
