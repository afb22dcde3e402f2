"""The folders of InstructPix2Pix and MGIE, written as well as read.

What the layout has no place for goes into keys of its JSON files that other readers pass over.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from ip2p_lightning.data.encoded import SCORES, EncodedPair, picture_formats
from ip2p_lightning.data.formats.ip2p_folder_source import SCORE_NAMES, IP2PFolderSource

_SAFE = re.compile(r"\w[\w.-]{0,99}")


class IP2PFolder:
    """The format.

    Args:
        split_by_position: see `IP2PFolderSource`; a split that `prompt.json` names comes first.
    """

    name = "ip2p_folder"

    def __init__(self, split_by_position: bool = True) -> None:
        self.split_by_position = split_by_position

    def open(self, path: str | Path, licence: str = "unknown") -> IP2PFolderSource:
        """See `Format.open`; ``path`` is the folder that holds the numbered folders."""
        return IP2PFolderSource(path, licence, self.split_by_position)

    def writer(self, folder: Path) -> IP2PFolderWriter:
        """See `Format.writer`."""
        return IP2PFolderWriter(folder)


class IP2PFolderWriter:
    """Writes `<name>/{seed}_0.jpg`, `{seed}_1.jpg`, `prompt.json`, `metadata.jsonl`, and `seeds.json` next to them.

    Pairs of one group and one text share a folder. The original's caption stands under both keys that InstructPix2Pix's
    code looks for, ``caption`` and ``input``; a mask is `{seed}_mask.png`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[tuple[str, ...], str] = {}
        self._seeds: dict[str, list[str]] = {}
        self._endings: Counter[str] = Counter()

    def add(self, pair: EncodedPair) -> None:
        """See `PairWriter.add`."""
        _, _, endings = picture_formats(pair)
        name = self._prompt(pair)
        seed = self._seed(pair, name)
        for member, suffix in (("original", "0"), ("edited", "1"), ("mask", "mask")):
            if member in endings:
                file = self.folder / name / f"{seed}_{suffix}.{endings[member]}"
                file.write_bytes(pair.pictures()[member])
        self._endings[endings["original"]] += 1
        row = _metadata(pair, seed) | ({} if pair.id == f"{name}/{seed}" else {"id": pair.id})
        if len(row) > 1:
            with (self.folder / name / "metadata.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> list[str]:
        """See `PairWriter.close`."""
        listing = json.dumps([[name, seeds] for name, seeds in self._seeds.items()])
        (self.folder / "seeds.json").write_text(listing, encoding="utf-8")
        pngs = self._endings["png"]
        note = f"{pngs:,} pairs are PNG files, which keep their bytes; InstructPix2Pix's own loader opens .jpg alone"
        return [note] if pngs else []

    def _prompt(self, pair: EncodedPair) -> str:
        """The folder of a pair's texts, made when they are new."""
        texts = {
            "input": pair.original_caption,
            "caption": pair.original_caption,
            "edit": pair.instruction,
            "output": pair.edited_caption,
            "expressive_instruction": pair.expressive_instruction,
            "kind": pair.kind,
            "group": pair.group,
            "split": pair.split,
        }
        key = tuple(texts.values())
        if key in self._names:
            return self._names[key]
        number, name = len(self._names), pair.group
        while not _SAFE.fullmatch(name) or name in self._seeds:
            name, number = f"{number:07d}", number + 1
        self._names[key], self._seeds[name] = name, []
        (self.folder / name).mkdir()
        kept = {key: text for key, text in texts.items() if text and not (key == "group" and text == name)}
        content = json.dumps(kept, ensure_ascii=False, indent=1)
        (self.folder / name / "prompt.json").write_text(content, encoding="utf-8")
        return name

    def _seed(self, pair: EncodedPair, name: str) -> str:
        """The name of a pair's files: its seed where it has one that is not taken."""
        seeds = self._seeds[name]
        seed = str(pair.metadata.get("seed", ""))
        if not seed.isdecimal() or seed in seeds:
            last = pair.id.removeprefix(f"{name}/")
            seed = last if _SAFE.fullmatch(last) and not last.isdecimal() and last not in seeds else f"pair{len(seeds)}"
        seeds.append(seed)
        return seed


def _metadata(pair: EncodedPair, seed: str) -> dict[str, Any]:
    """A line of `metadata.jsonl`: InstructPix2Pix's keys, and all else under ``metadata``."""
    rest = dict(pair.metadata)
    row: dict[str, Any] = {"seed": int(seed) if seed.isdecimal() else seed}
    if seed.isdecimal() and str(rest.get("seed")) == seed:
        del rest["seed"]
    for theirs, ours in (("p2p_threshold", "threshold"), ("cfg_scale", "text_scale")):
        if ours in rest:
            row[theirs] = rest.pop(ours)
    scores = dict(rest.pop(SCORES, None) or {})
    row |= {theirs: scores.pop(ours) for theirs, ours in SCORE_NAMES.items() if ours in scores}
    if scores:
        rest[SCORES] = scores
    return row | ({"metadata": rest} if rest else {})
