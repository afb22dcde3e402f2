"""Classifiers of people in images, behind one protocol: the world's judge, a vision-language model, or people's labels.

A classifier is biased itself: its errors by group stand next to what it finds (`calibration` in `audit.findings`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from PIL import Image

from ip2p_lightning.csv_table import open_csv
from ip2p_lightning.data.images import as_rgb, to_tensor
from ip2p_lightning.metrics.judges.vlm_judge import Answerer, Question

if TYPE_CHECKING:
    from ip2p_lightning.metrics.encoders.judge import JudgeReader


class AttributeClassifier(Protocol):
    """Reads attributes of images. `name` goes into provenance."""

    name: str

    def read(self, images: Sequence[Image.Image], ids: Sequence[str]) -> list[dict[str, str]]:
        """Attribute -> value for each image; an attribute that cannot be read is left out, and counted.

        Args:
            images: PIL images.
            ids: of the images, for classifiers that look labels up.
        """
        ...


class WorldClassifier:
    """The embedded world's judge.

    Args:
        reader: reads images.
        batch_size: images at once.
    """

    def __init__(self, reader: JudgeReader, batch_size: int = 64) -> None:
        self.reader, self.batch_size, self.name = reader, batch_size, f"attribute judge {reader.weights}"

    def read(self, images: Sequence[Image.Image], ids: Sequence[str]) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        for start in range(0, len(images), self.batch_size):
            batch = [to_tensor(as_rgb(image)) for image in images[start : start + self.batch_size]]
            found += self.reader.read(torch.stack(batch))
        return found


class ModelClassifier:
    """A vision-language model that chooses one of the values of each attribute; other answers are none.

    Args:
        answerer: the model.
        attributes: name -> values that it chooses from.
    """

    def __init__(self, answerer: Answerer, attributes: Mapping[str, Sequence[str]]) -> None:
        self.answerer, self.attributes, self.name = answerer, attributes, answerer.name

    def read(self, images: Sequence[Image.Image], ids: Sequence[str]) -> list[dict[str, str]]:
        questions = [
            Question(
                f"Look at the image. What is the {name} of the main person? Answer with one of these words and "
                f"nothing else: {', '.join(values)}, unclear.",
                (as_rgb(image),),
            )
            for image in images
            for name, values in self.attributes.items()
        ]
        answers = iter(self.answerer.answer(questions) if questions else [])
        rows = []
        for _ in images:
            said = {name: next(answers).strip().strip(".").lower() for name in self.attributes}
            known = {name: {value.lower(): value for value in values} for name, values in self.attributes.items()}
            rows.append({name: known[name][text] for name, text in said.items() if text in known[name]})
        return rows


class Labels:
    """Labels that people have given: a CSV file with a column id, and one for each attribute.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no column id, or an id that is there twice.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = f"labels of {Path(path).name}"
        with open_csv(path, "it should be a CSV file with id, and a column for each attribute") as reader:
            if "id" not in (reader.fieldnames or ()):
                raise ValueError(f"{path} has no column id")
            self._rows: dict[str, dict[str, str]] = {}
            for row in reader:
                if row["id"] in self._rows:
                    raise ValueError(f"{path} line {reader.line_num}: the id {row['id'][:80]!r} is there twice")
                self._rows[row["id"]] = {name: value for name, value in row.items() if name != "id" and value}

    def read(self, images: Sequence[Image.Image], ids: Sequence[str]) -> list[dict[str, str]]:
        return [dict(self._rows.get(id, {})) for id in ids]
