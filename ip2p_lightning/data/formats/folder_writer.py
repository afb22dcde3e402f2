"""Two folders of images of one name, with a text next to each edited image and a table of everything else."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ip2p_lightning.data.encoded import EncodedPair, picture_formats
from ip2p_lightning.data.formats.base import texts_of
from ip2p_lightning.data.formats.columns import Columns
from ip2p_lightning.untrusted import csv_cell

LISTING = "pairs.csv"


class PairedFoldersWriter:
    """Writes `<original>/00000000.jpg`, `<edited>/00000000.jpg`, `.txt` next to the latter, `masks`, and `pairs.csv`.

    Args:
        folder: to write to.
        original: name of the folder of original images.
        edited: name of the folder of edited images.
        columns: names of the table's columns.
    """

    def __init__(self, folder: Path, original: str, edited: str, columns: Columns) -> None:
        self.folder, self.columns = folder, columns
        self._folders = {"original": original, "edited": edited, "mask": "masks"}
        self._rows: list[dict[str, Any]] = []
        for name in (original, edited):
            (folder / name).mkdir()

    def add(self, pair: EncodedPair) -> None:
        """See `PairWriter.add`."""
        _, _, endings = picture_formats(pair)
        number = f"{len(self._rows):08d}"
        row: dict[str, Any] = {"file": number}
        for member, data in pair.pictures().items():
            place = self.folder / self._folders[member] / f"{number}.{endings[member]}"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(data)
            if member == "mask":
                row[self.columns.written("mask")] = place.relative_to(self.folder).as_posix()
        text = self.folder / self._folders["edited"] / f"{number}.txt"
        text.write_text(" ".join(pair.instruction.split()), encoding="utf-8")
        texts = texts_of(pair)
        row |= {self.columns.written(name) if name != "metadata" else name: value for name, value in texts.items()}
        if "metadata" in row:
            row["metadata"] = json.dumps(row["metadata"], ensure_ascii=False)
        self._rows.append(row)

    def close(self) -> list[str]:
        """See `PairWriter.close`."""
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        with (self.folder / LISTING).open("x", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, names)
            table.writeheader()
            table.writerows({name: csv_cell(value) for name, value in row.items()} for row in self._rows)
        return [f"trainers read the .txt files; everything else of the pairs stands in {LISTING}"]
