"""The rows of an unfinished evaluation on disk: what is measured stays measured, whatever stops the process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ip2p_lightning.data.images import open_image

Key = tuple[int, int]
"""Position of a pair in its source, and seed."""
SETTINGS = "settings.json"
UNFINISHED = "unfinished"
"""Folder inside the output that holds the rows until all are there."""


class Journal:
    """A folder with a file of rows for each process, and the pictures that may be shown.

    Rows are written whole and flushed after each batch. A line that was cut off is ignored when read. Processes of
    another number may go on with it.

    Args:
        folder: made if it is not there.
        settings: everything that a row depends on, JSON values.
        rank: number of this process, which names its file.

    Raises:
        ValueError: the folder holds rows of other settings; names what differs.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any], rank: int = 0) -> None:
        self.folder = Path(folder)
        self.file = self.folder / f"rows-{rank}.jsonl"
        settings = json.loads(json.dumps(settings))
        stored = self.folder / SETTINGS
        found = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else None
        if found is not None and self.rows():
            _check(found, settings, self.folder)
        elif found != settings:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = stored.with_suffix(f".{rank}.part")
            part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
            part.replace(stored)

    def write(self, rows: Mapping[Key, dict[str, Any]], pictures: Mapping[Key, Image.Image]) -> None:
        """Add the rows of one batch, and pictures of some edits."""
        for (position, seed), picture in pictures.items():
            picture.save(self.folder / f"{position}-{seed}.png")
        text = "".join(json.dumps([*key, row], ensure_ascii=False) + "\n" for key, row in rows.items())
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n" + text)  # ends a line that was cut off
            file.flush()

    def rows(self) -> dict[Key, dict[str, Any]]:
        """All whole rows of all processes."""
        found: dict[Key, dict[str, Any]] = {}
        for path in sorted(self.folder.glob("rows-*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                entry = _whole(line)
                if entry is not None:
                    position, seed, row = entry
                    found[position, seed] = row
        return found

    def picture(self, key: Key) -> Image.Image | None:
        """The edited picture of a row, if it was kept."""
        path = self.folder / f"{key[0]}-{key[1]}.png"
        return open_image(path) if path.is_file() else None


def _whole(line: str) -> list[Any] | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry if isinstance(entry, list) and len(entry) == 3 else None


def _check(stored: Any, settings: Any, folder: Path) -> None:
    if stored == settings:
        return
    names = [key for key in {**stored, **settings} if stored.get(key) != settings.get(key)]
    raise ValueError(
        f"{folder} holds rows of an evaluation that did not finish, with another {', '.join(names)}; "
        "give another output, or delete that folder to begin anew"
    )
