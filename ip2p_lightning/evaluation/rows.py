"""From a batch of pairs and an editor to rows of values: what is measured, and which edits keep their images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_pil, to_tensor
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.request import EditRequest, captions_of
from ip2p_lightning.evaluation.counts import REASONS, REMARKS, reasons_of, remarks_of
from ip2p_lightning.evaluation.figures import COPYING, TEXT_EXACT, TRUTH
from ip2p_lightning.evaluation.journal import Key
from ip2p_lightning.evaluation.timing import EditClock
from ip2p_lightning.metrics import EditMetric
from ip2p_lightning.metrics.base import check_pictures

if TYPE_CHECKING:
    from ip2p_lightning.editors.base import Editor

Transform = Callable[[EditPair], EditPair]
TEXTS = ("pair", "group", "kind", "probe", "instruction", "expressive_instruction", "written_instruction")


@dataclass(frozen=True)
class Batch:
    """Pairs of one size with their positions in the source."""

    positions: list[int]
    pairs: list[EditPair]
    tensors: PairBatch


@dataclass
class Measuring:
    """Edits and measures batches.

    Args:
        metrics: column name -> metric, on the device.
        sampling: overrides of the editor's own.
        device: where the metrics are.
        clock: times the editor.
    """

    metrics: Mapping[str, EditMetric]
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    device: str | torch.device = "cpu"
    clock: EditClock = field(default_factory=EditClock)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of values: the metrics', those of copying the input, those of the true images."""
        copying = [COPYING + name for name in self._compared]
        return [*self.metrics, *copying, *(TRUTH + name for name in self._bounded)]

    def schema(self) -> pa.Schema:
        """Of the table of rows."""
        texts = [(column, pa.string()) for column in TEXTS]
        values = [(column, pa.float64()) for column in self.columns]
        return pa.schema([*texts, ("seed", pa.int64()), (TEXT_EXACT, pa.bool_()), *values])

    def rows(
        self, editor: Editor, batch: Batch, seeds: Sequence[int], on_progress: Callable[[int], None]
    ) -> Iterator[tuple[Key, dict[str, Any], Tensor]]:
        """(Position, seed), row and edited image [3, H, W] of each edit of a batch."""
        pairs = batch.tensors.to(self.device)
        baselines = self._measured(pairs.original_image, pairs, self._compared, COPYING)
        baselines |= self._measured(pairs.edited_image, pairs, self._bounded, TRUTH)
        self.clock.next_batch()
        for seed in seeds:
            images, written = edited(editor, batch.tensors, seed, self.sampling, self.clock)
            check_pictures(images, batch.tensors)
            values = self._measured(images.to(self.device), pairs, self.metrics) | baselines
            remarks = remarks_of(editor, batch.tensors.id)
            for index, (position, pair) in enumerate(zip(batch.positions, batch.pairs, strict=True)):
                text, true_text = written[index] if written else "", pair.expressive_instruction
                row = {
                    "pair": pair.id,
                    "group": pair.group,
                    "kind": pair.kind or "edit",
                    "probe": str(pair.metadata.get("probe", "")),
                    "seed": seed,
                    "instruction": pair.instruction,
                    "expressive_instruction": true_text,
                    "written_instruction": text,
                    TEXT_EXACT: text == true_text if written and true_text else None,
                    **{column: values[column][index] for column in self.columns},
                    REASONS: reasons_of(self.metrics, index),
                    REMARKS: remarks[index],
                }
                yield (position, seed), row, images[index]
            on_progress(len(batch.pairs))

    @property
    def _compared(self) -> dict[str, EditMetric]:
        return {name: metric for name, metric in self.metrics.items() if not metric.against_copying}

    @property
    def _bounded(self) -> dict[str, EditMetric]:
        return {name: metric for name, metric in self.metrics.items() if metric.ceiling}

    def _measured(
        self, images: Tensor, pairs: PairBatch, metrics: Mapping[str, EditMetric], prefix: str = ""
    ) -> dict[str, list[float | None]]:
        """Column -> one value an image, None (null in the table) where the metric does not apply."""
        with torch.no_grad():
            values = {prefix + name: metric.measure(images, pairs).tolist() for name, metric in metrics.items()}
        return {name: [None if math.isnan(value) else value for value in column] for name, column in values.items()}


@dataclass
class Gallery:
    """Keeps the images of edits that are shown: those of pairs drawn beforehand, and of each kind some so far.

    Args:
        shown: (position, seed) of the edits drawn beforehand.
        rankings: name -> value of a row, NaN if that cannot be said; of each kind, the edit with the greatest is kept.
    """

    shown: frozenset[Key]
    rankings: Mapping[str, Callable[[Mapping[str, Any]], float]]
    pictures: dict[Key, Image.Image] = field(default_factory=dict)
    _first: dict[tuple[str, str], tuple[float, Key]] = field(default_factory=dict)

    def add(self, key: Key, row: Mapping[str, Any], image: Tensor) -> bool:
        """Look at an edit; whether its image is kept, for now."""
        for name, ranking in self.rankings.items():
            value, place = ranking(row), (name, row["kind"])
            if value > self._first.get(place, (-math.inf,))[0]:  # never true of NaN
                self._first[place] = value, key
        held = self.shown | {first for _, first in self._first.values()}
        if key in held:
            self.pictures[key] = to_pil(image)
        for passed in self.pictures.keys() - held:
            del self.pictures[passed]
        return key in held


def edited(
    editor: Editor, tensors: PairBatch, seed: int, sampling: SamplingSettings, clock: EditClock | None = None
) -> tuple[Tensor, list[str]]:
    """Edited images as they would be saved (8 bits), [B, 3, H, W] in [-1, 1], and the texts the model wrote.

    Args:
        editor: what edits.
        tensors: B pairs.
        seed: of all, see `picture_seeds`.
        sampling: overrides of the editor's own.
        clock: times the editor's call.
    """
    asked = zip(tensors.original_image, tensors.instruction, picture_seeds(tensors, seed), strict=True)
    requests = [
        EditRequest(image, text, each, sampling, captions, id=id, truth=truth if editor.reads_truth else None)
        for (image, text, each), captions, id, truth in zip(
            asked, captions_of(tensors), tensors.id, tensors.edited_image, strict=True
        )
    ]
    with clock.editing(len(tensors)) if clock else nullcontext():
        results = editor.answer(requests)
    return as_saved(results.images), results.expressive_instructions


def picture_seeds(tensors: PairBatch, seed: int) -> list[int]:
    """A seed for each pair, which depends on (seed, pair id) alone."""
    return [hashed_integer(seed, id) % 2**63 for id in tensors.id]


def as_saved(images: Tensor) -> Tensor:
    """Images in [-1, 1] as 8 bits hold them, on the CPU."""
    return images.float().cpu().clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)


def batches(positions: Sequence[int], pairs: Sequence[EditPair], transform: Transform | None) -> list[Batch]:
    """Pairs of one block by their form (size, mask or none): batching must not decide what can be measured."""
    forms: dict[Any, tuple[list[int], list[EditPair]]] = {}
    for position, pair in zip(positions, pairs, strict=True):
        ready = tensors_of(pair, transform)
        form = tensor(ready.original_image).shape, ready.mask is None
        places, same = forms.setdefault(form, ([], []))
        places.append(position)
        same.append(ready)
    return [Batch(places, same, PairBatch.collate(same)) for places, same in forms.values()]


def tensors_of(pair: EditPair, transform: Transform | None) -> EditPair:
    """A pair as the transform makes it, or with tensors of its images' own size."""
    if transform is not None:
        return transform(pair)
    pictures = {name: to_tensor(getattr(pair, name)) for name in ("original_image", "edited_image")}
    mask = None if pair.mask is None else to_tensor(pair.mask.convert("L")).gt(0).float()  # type: ignore[union-attr]
    return replace(pair, **pictures, mask=mask)


def tensor(image: Any) -> Tensor:
    """The image of a pair that is a tensor already."""
    assert isinstance(image, Tensor)
    return image
