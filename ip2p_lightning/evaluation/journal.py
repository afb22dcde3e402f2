"""The rows of an unfinished evaluation on disk: what is measured stays measured, whatever stops the process."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import StrictInt

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import TextError, parse_json, typed
from ip2p_lightning.data.images import open_image
from ip2p_lightning.files import write_whole
from ip2p_lightning.store import PartStore, digest, keep_settings

Key = tuple[int, int]
_Entry = tuple[StrictInt, StrictInt, dict[str, Any]]
"""Position of a pair in its source, and seed."""
SETTINGS = "settings.json"
UNFINISHED = "unfinished"
"""Folder inside the output that holds the rows until all are there."""
_LINES = "rows-*.jsonl"  # of version 0.1.0


class Journal:
    """A folder with a part for each batch of rows, and the images that may be shown.

    Any number of processes may write into it, and go on with what others have measured.

    Args:
        folder: made if it is not there.
        settings: everything that a row depends on, JSON values.

    Raises:
        ValueError: the folder holds rows of other settings, or lies in the result of an evaluation of others; names
            what differs.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.parts = PartStore(self.folder, ".rows.json")
        finished = self.folder.parent / SETTINGS
        if finished.is_file() and (found := keep_settings(finished, settings)):
            names = dict.fromkeys(key.split(".")[0] for key in found)
            raise ValueError(
                f"{finished.parent} holds a finished evaluation with another {', '.join(names)}; give another output, "
                "or overwrite=true to replace it"
            )
        if (found := keep_settings(self.folder / SETTINGS, settings)) and not self.rows():
            found = keep_settings(self.folder / SETTINGS, settings, replace=True)
        if found:
            names = dict.fromkeys(key.split(".")[0] for key in found)
            raise ValueError(
                f"{self.folder} holds rows of an evaluation that did not finish, with another {', '.join(names)}; "
                "give another output, or delete that folder to begin again"
            )

    def part(self, keys: Sequence[Key]) -> str:
        """Name of the part with the rows of a batch."""
        return f"{keys[0][0]:06d}-{digest(list(keys))}"

    def write(self, part: str, rows: Mapping[Key, dict[str, Any]], images: Mapping[Key, Image.Image]) -> None:
        """Add the rows of one batch, and images of some edits."""
        for key, image in images.items():
            content = io.BytesIO()
            image.save(content, format="PNG")
            write_whole(self._image(key), content.getvalue(), shared=True)
        self.parts.write(part, json.dumps([[*key, row] for key, row in rows.items()], ensure_ascii=False))

    def rows(self) -> dict[Key, dict[str, Any]]:
        """All rows of all processes.

        Raises:
            ValueError: a damaged part; names it.
        """
        entries = [*self._lines(), *(entry for part in sorted(self.parts.keys()) for entry in self._part(part))]
        return {(position, seed): row for position, seed, row in entries}

    def image(self, key: Key) -> Image.Image | None:
        """The edited image of a row, if it was kept."""
        path = self._image(key)
        return open_image(path) if path.is_file() else None

    def _image(self, key: Key) -> Path:
        return self.folder / f"{key[0]}-{key[1]}.png"

    def _part(self, part: str) -> list[_Entry]:
        try:
            entries = parse_json(self.parts.read(part), limit=limits.LISTING_BYTES, not_a_number="keep")
            return typed(list[_Entry], entries, "it")
        except ValueError as error:
            file = self.parts.file(part)
            raise ValueError(f"{file} is damaged ({error}); remove it, and what it held is measured again") from error

    def _lines(self) -> Iterator[list[Any]]:
        """The rows that version 0.1.0 wrote, without a last line that was cut off."""
        for path in sorted(self.folder.glob(_LINES)):
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                try:
                    entry = parse_json(line, not_a_number="keep")
                except TextError:
                    continue
                if isinstance(entry, list) and len(entry) == 3:
                    yield entry
