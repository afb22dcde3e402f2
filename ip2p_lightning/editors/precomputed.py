"""Edits that another system made before: files looked up by the pair's id, so that no model runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.formats.json_lines import rows
from ip2p_lightning.data.images import open_image, to_tensor
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.paths import file_inside
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.transforms import centred
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep, image_size

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
_SHOWN = 5


class FolderOutputs(Editor):
    """Returns files instead of editing.

    In a folder, a pair's file is called after its id, or as `names` says; in a JSON Lines file, each line has an ``id``
    (or is numbered as `ip2p data import format=jsonl` numbers it) and a path relative to the file. Where a line has an
    instruction, it must be the pair's.

    Args:
        path: the folder, or the JSON Lines file.
        names: of files in a folder, without ending; the first that exists counts. "{id}" is the id as it is (with
            sub-folders for slashes), "{flat}" the id with _ in place of /, "{0}", "{1}", ... its parts between / and -.
        output: keys of a JSON Lines file that may hold the path; the first that a line has counts.
        resize: None demands the size of the image that is edited; "squash" resizes whatever comes (bicubic, as
            MagicBrush's evaluation does), "centre_crop" takes the largest centred part of the right shape first.
            The way that the data's `transform.fit` names is the right one for systems that keep an image's shape.
        missing: "error" refuses pairs without a file, "gap" lets `answered` leave them out and count them.

    Raises:
        FileNotFoundError: nothing at the path.
        ValueError: a damaged line, an id that two lines share, or an unknown setting.
    """

    def __init__(
        self,
        path: str | Path,
        names: Sequence[str] = ("{id}", "{flat}"),
        output: Sequence[str] = ("output", "edited", "edited_image", "result"),
        resize: Literal["squash", "centre_crop"] | None = None,
        missing: Literal["error", "gap"] = "error",
    ) -> None:
        self.path, self.names, self.resize, self.missing = Path(path), tuple(names), resize, missing
        if resize not in (None, "squash", "centre_crop"):
            raise ValueError(f"resize={resize!r}: choose squash or centre_crop, or null to demand equal sizes")
        if missing not in ("error", "gap"):
            raise ValueError(f"missing={missing!r}: choose error (refuse pairs without an output) or gap (count them)")
        self.resized: set[str] = set()
        """Ids of the pairs whose file had another size than the image."""
        self._seeds: dict[str, int] = {}
        self._listed = self._listing(tuple(output)) if self.path.is_file() else None
        if self._listed is None and not self.path.is_dir():
            raise FileNotFoundError(f"{path} is no folder of edited images and no JSON Lines file that lists them")

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """See `Editor.edit_prepared`; needs ids.

        Raises:
            ValueError: no id, no file for one, a file of another size, another instruction than the listing's, or a
                second seed for a pair, of which there is one file.
        """
        for request in requests:
            if not request.id:
                raise ValueError("FolderOutputs finds files by the pairs' ids; pass ids=[...] with one for each image")
            self._check(request.id, request.instruction, request.seed)
        results = []
        for request in requests:
            given, image = request.image, self.picture(request.id, image_size(request.image))
            results.append(EditResult(to_tensor(image).to(given) if isinstance(given, Tensor) else image, request))
        return results

    def picture(self, id: str, size: tuple[int, int]) -> Image.Image:
        """The edited image of a pair, PIL RGB.

        Args:
            id: of the pair.
            size: width and height that it must have, or is brought to.

        Raises:
            ValueError: no file, one that is no image, or one of another size while `resize` is None.
        """
        file = self.find(id)
        if file is None:
            raise ValueError(f"pair {id!r} has no output in {self.path}; {self._remedy()}")
        image = open_image(file)
        if image.size == size:
            return image
        if self.resize is None:
            raise ValueError(
                f"{file} is {image.width} x {image.height}, but the pair {id!r} is evaluated at {size[0]} x {size[1]}; "
                "evaluate at the outputs' size, or set editor.resize=squash (or centre_crop, as data.transform.fit)"
            )
        self.resized.add(id)
        if self.resize == "centre_crop":
            image = image.crop(centred(*image.size, aspect=size[0] / size[1]))
        return image.resize(size, Image.Resampling.BICUBIC)

    def open(self, file: Path) -> Image.Image:
        """A file that `find` found, PIL RGB at its own size."""
        return open_image(file)

    def find(self, id: str) -> Path | None:
        """The file of a pair; None if there is none.

        Raises:
            ValueError: a name that leads out of the folder.
        """
        if self._listed is not None:
            row = self._listed.get(id)
            return None if row is None else file_inside(self.path.parent, row["output"], f"{self.path}: pair {id!r}")
        parts = re.split("[-/]", id)
        for template in self.names:
            try:
                name = template.replace("{id}", id).replace("{flat}", id.replace("/", "_"))
                name = re.sub(r"\{(\d+)\}", lambda match: parts[int(match[1])], name)
            except IndexError:
                continue
            for ending in _ENDINGS:
                try:
                    return file_inside(self.path, name + ending, f"pair {id!r}")
                except UnusablePair as error:
                    if error.reason != "an image is missing":
                        raise
        return None

    def answered(self, pairs: PairSource) -> AnsweredPairs:
        """The pairs that have an output, with a count of those that have none.

        Raises:
            ValueError: a pair without an output while `missing` is "error", or no pair with one.
        """
        ids = pairs.column("id") if hasattr(pairs, "column") else [pairs[index].id for index in range(len(pairs))]  # type: ignore[attr-defined]
        there = [index for index, id in enumerate(ids) if self.find(id) is not None]
        gaps = sorted(set(ids) - {ids[index] for index in there})
        named = ", ".join(map(repr, gaps[:_SHOWN])) + (" ..." if len(gaps) > _SHOWN else "")
        if gaps and (self.missing == "error" or not there):
            raise ValueError(
                f"{len(gaps):,} of {len(ids):,} pairs have no output in {self.path}: {named}; {self._remedy()}"
            )
        return AnsweredPairs(pairs, there, gaps)

    def describe(self) -> dict[str, Any]:
        """Provenance: path of the outputs and how they are fitted."""
        return {"outputs": str(self.path), "resize": self.resize}

    def remarks(self, ids: Sequence[str]) -> list[dict[str, bool]]:
        """Counts for pairs whose outputs were given: whether they had another size than the image."""
        return [{"resized": id in self.resized} for id in ids]

    def _check(self, id: str, instruction: str, seed: int) -> None:
        listed = (self._listed or {}).get(id, {}).get("instruction")
        if listed is not None and listed.strip() != instruction.strip():
            raise ValueError(
                f"{self.path} says of pair {id!r} that it was edited by {listed!r}, but its instruction is "
                f"{instruction!r}; these are outputs of other pairs"
            )
        if self._seeds.setdefault(id, seed) != seed:
            raise ValueError(f"pair {id!r} has one output in {self.path}, but two seeds ask for it; give seeds=[0]")

    def _listing(self, keys: tuple[str, ...]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for place, id, row in rows(self.path):
            output = next((row[key] for key in keys if row.get(key)), None)
            id = str(row.get("id") or id)
            if id in found:
                raise ValueError(f"{place}: the id {id!r} is there twice; ids must be unique")
            if output is None:
                continue  # a gap
            if not isinstance(output, str):
                raise ValueError(f"{place}: the output should be a path, not {type(output).__name__}")
            texts = {"instruction": row["instruction"]} if isinstance(row.get("instruction"), str) else {}
            found[id] = {"output": output, **texts}
        return found

    def _remedy(self) -> str:
        called = "a line with its id" if self._listed is not None else f"a file called {' or '.join(self.names)}.png"
        return f"each pair needs {called}; add what is missing, or set editor.missing=gap to leave such pairs out"


class AnsweredPairs:
    """The pairs of a source for which there are outputs.

    Args:
        source: of all pairs.
        chosen: places of those with an output.
        gaps: ids of those without.
    """

    def __init__(self, source: PairSource, chosen: Sequence[int], gaps: Sequence[str]) -> None:
        self.source, self.chosen, self.gaps = source, list(chosen), list(gaps)
        self.licence = source.licence
        self.name = f"{source.name} ({len(gaps):,} of {len(source):,} without an output)" if gaps else source.name

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> EditPair:
        return self.source[self.chosen[index]]

    def fingerprint(self) -> str:
        return f"{self.source.fingerprint()} {len(self.chosen)} of {len(self.source)}, gaps {','.join(self.gaps)}"

    def describe(self) -> Mapping[str, Any]:
        """Provenance: number of pairs, and those without an output."""
        return {"pairs": len(self.source), "answered": len(self.chosen), "gaps": self.gaps}
