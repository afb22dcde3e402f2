"""Run an editor over held-out pairs and measure every edit beside copying the input."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from torch import Tensor

from ip2p_lightning.data.images import to_pil, to_tensor
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.evaluation.figures import COPYING, TEXT_EXACT, TEXT_EXACT_INFO, IntervalSettings, MetricInfo
from ip2p_lightning.evaluation.result import EvaluationResult, Example
from ip2p_lightning.metrics import EditMetric
from ip2p_lightning.metrics.base import check_pictures

if TYPE_CHECKING:
    from ip2p_lightning.editors.base import Editor

_NO_INTERVALS = IntervalSettings()


@dataclass(frozen=True)
class Kept:
    """Which edits keep their pictures.

    Args:
        examples: number of pairs drawn at random before anything is edited.
        worst: number of kinds whose worst edit is kept.
        worst_by: metric that says how an edit stands to copying the input.
        seed: of the random draw.
    """

    examples: int = 12
    worst: int = 4
    worst_by: str = "error"
    seed: int = 0


def evaluate(
    editor: Editor,
    pairs: PairSource,
    metrics: Mapping[str, EditMetric],
    *,
    name: str = "held-out pairs",
    count: int | None = None,
    seeds: Sequence[int] = (0,),
    batch_size: int = 16,
    transform: Callable[[EditPair], EditPair] | None = None,
    sampling: Mapping[str, Any] | None = None,
    kept: Kept | None = None,
    intervals: IntervalSettings = _NO_INTERVALS,
    provenance: Mapping[str, Any] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> EvaluationResult:
    """Edit every pair's original under every seed and measure the edits.

    What an edit draws depends on (seed, pair id) alone, so that neither the batch size nor the other pairs matter.

    Args:
        editor: what edits.
        pairs: held-out pairs.
        metrics: column name -> metric.
        name: of the set, for tables.
        count: use so many pairs, drawn with the seed of `kept`; None for all.
        seeds: one edit of each pair for each of them.
        batch_size: edits at once.
        transform: PIL pair -> tensor pair, such as `PairTransform.evaluation()`; None keeps the pictures' own sizes.
        sampling: other arguments of `Editor.edit` (text_scale, image_scale, steps).
        kept: which edits keep their pictures.
        intervals: how intervals are made.
        provenance: what to record beside the figures (checkpoint, editor's settings), JSON values.
        on_progress: called after each batch with the number of edits it held.

    Raises:
        ValueError: no pairs, more asked for than there are, no seeds or metrics, or an edit that is not finite.
    """
    _check(pairs, metrics, seeds, count, name)
    kept = kept or Kept()
    chosen = _chosen(len(pairs), count, kept.seed)
    shown = random.Random(f"examples/{kept.seed}").sample(chosen, min(kept.examples, len(chosen)))
    options = dict(sampling or {})
    collector = _Collector(
        metrics, kept, options, {pairs[index].id: place for place, index in enumerate(shown)}, seeds[0]
    )
    started = time.perf_counter()
    for batch in _batches((pairs[index] for index in chosen), batch_size, transform):
        for seed in seeds:
            collector.add(editor, batch, seed)
            if on_progress is not None:
                on_progress(len(batch.pairs))
    seconds = time.perf_counter() - started
    facts = {
        "data": {"name": pairs.name, "licence": pairs.licence, "fingerprint": pairs.fingerprint()},
        "seeds": list(seeds),
        "sampling": options,
        "seconds_per_edit": round(seconds / (len(chosen) * len(seeds)), 4),
    }
    return collector.result(name, {**facts, **(provenance or {})}, intervals)


@dataclass
class _Batch:
    pairs: list[EditPair]
    tensors: PairBatch


@dataclass
class _Collector:
    """Measures batches, and keeps rows and the pictures of some edits."""

    metrics: Mapping[str, EditMetric]
    kept: Kept
    sampling: Mapping[str, Any]
    shown: dict[str, int]
    shown_seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    examples: dict[int, Example] = field(default_factory=dict)
    worst: dict[str, tuple[float, Example]] = field(default_factory=dict)

    def add(self, editor: Editor, batch: _Batch, seed: int) -> None:
        """Edit a batch under a seed and take down the results."""
        images, written = _edit(editor, batch.tensors, seed, self.sampling)
        ours = self._measure(images, batch.tensors)
        copying = self._measure(batch.tensors.original_image, batch.tensors)
        for index, pair in enumerate(batch.pairs):
            text_exact = written[index] == pair.expressive_instruction if _comparable(written, pair) else None
            values = {name: ours[name][index] for name in self.metrics}
            baseline = {
                COPYING + name: copying[name][index] for name in self.metrics if COPYING + name in self._columns
            }
            self.rows.append(
                {
                    "pair": pair.id,
                    "group": pair.group,
                    "kind": pair.kind or "edit",
                    "seed": seed,
                    "instruction": pair.instruction,
                    "expressive_instruction": pair.expressive_instruction,
                    "written_instruction": written[index] if written else "",
                    TEXT_EXACT: text_exact,
                    **values,
                    **baseline,
                }
            )
            self._keep(pair, images[index], self.rows[-1])

    @property
    def _columns(self) -> list[str]:
        baseline = [COPYING + name for name, metric in self.metrics.items() if not metric.against_copying]
        return [*self.metrics, *baseline]

    def _measure(self, images: Tensor, tensors: PairBatch) -> dict[str, list[float | None]]:
        """Metric -> one value a picture, None (null in the table) where the metric does not apply."""
        check_pictures(images, tensors)
        with torch.no_grad():
            values = {name: metric.measure(images, tensors).tolist() for name, metric in self.metrics.items()}
        return {name: [None if value != value else value for value in column] for name, column in values.items()}

    def _keep(self, pair: EditPair, image: Tensor, row: dict[str, Any]) -> None:
        kind, place = row["kind"], self.shown.get(pair.id)
        badness = self._badness(row)
        is_worst = badness > self.worst[kind][0] if kind in self.worst else badness == badness
        if not is_worst and (place is None or row["seed"] != self.shown_seed):
            return
        example = Example(
            pair=pair.id,
            kind=kind,
            seed=row["seed"],
            instruction=pair.instruction,
            expressive_instruction=pair.expressive_instruction,
            written_instruction=row["written_instruction"],
            original=to_pil(_tensor(pair.original_image)),
            edited=to_pil(image),
            truth=to_pil(_tensor(pair.edited_image)),
            values={name: row[name] for name in self._columns if row[name] is not None},
        )
        if place is not None and row["seed"] == self.shown_seed:
            self.examples[place] = example
        if is_worst:
            self.worst[kind] = (badness, example)

    def _badness(self, row: dict[str, Any]) -> float:
        """How much worse than copying, in the unit of the metric; NaN if that cannot be said."""
        name = self.kept.worst_by
        if not self.kept.worst or name not in self.metrics or self.metrics[name].against_copying:
            return float("nan")
        if row[name] is None:
            return float("nan")
        difference = row[name] - row[COPYING + name]
        return -difference if self.metrics[name].higher_is_better else difference

    def result(self, name: str, provenance: dict[str, Any], intervals: IntervalSettings) -> EvaluationResult:
        """Everything so far as a result."""
        infos = {key: MetricInfo.of(metric) for key, metric in self.metrics.items()}
        if any(row[TEXT_EXACT] is not None for row in self.rows):
            infos[TEXT_EXACT] = TEXT_EXACT_INFO
        texts = ("pair", "group", "kind", "instruction", "expressive_instruction", "written_instruction")
        schema = pa.schema(
            [
                *[(column, pa.string()) for column in texts],
                ("seed", pa.int64()),
                (TEXT_EXACT, pa.bool_()),
                *[(column, pa.float64()) for column in self._columns],
            ]
        )
        worst = sorted(self.worst.values(), key=lambda item: -item[0])[: self.kept.worst]
        return EvaluationResult(
            name=name,
            rows=pa.Table.from_pylist(self.rows, schema),
            metrics=infos,
            examples=[self.examples[place] for place in sorted(self.examples)],
            worst=[example for _, example in worst],
            provenance=provenance,
            intervals=intervals,
        )


def _edit(editor: Editor, tensors: PairBatch, seed: int, sampling: Mapping[str, Any]) -> tuple[Tensor, list[str]]:
    """Edited pictures as they would be saved (8 bits), [B, 3, H, W] in [-1, 1], and the texts the model wrote."""
    seeds = [hashed_integer(seed, id) % 2**63 for id in tensors.id]
    result = editor.edit(tensors.original_image, tensors.instruction, seeds=seeds, **sampling)
    images = result.images.float().cpu().clamp(-1, 1)
    return images.add(1).mul(127.5).round().div(127.5).sub(1), list(result.expressive_instructions)


def _comparable(written: Sequence[str], pair: EditPair) -> bool:
    return bool(written) and bool(pair.expressive_instruction)


def _batches(
    pairs: Iterator[EditPair], batch_size: int, transform: Callable[[EditPair], EditPair] | None
) -> Iterator[_Batch]:
    """Runs of pairs of one size that all have or all lack a mask: batching must not decide what can be measured."""
    waiting: list[EditPair] = []
    for pair in pairs:
        ready = (transform or _as_tensors)(pair)
        if waiting and (len(waiting) == batch_size or _form(waiting[0]) != _form(ready)):
            yield _Batch(waiting, PairBatch.collate(waiting))
            waiting = []
        waiting.append(ready)
    if waiting:
        yield _Batch(waiting, PairBatch.collate(waiting))


def _form(pair: EditPair) -> tuple[torch.Size, bool]:
    return _tensor(pair.original_image).shape, pair.mask is None


def _as_tensors(pair: EditPair) -> EditPair:
    """PIL pictures of a pair as tensors of their own size."""
    pictures = {name: to_tensor(getattr(pair, name)) for name in ("original_image", "edited_image")}
    mask = None if pair.mask is None else to_tensor(pair.mask.convert("L")).gt(0).float()  # type: ignore[union-attr]
    return replace(pair, **pictures, mask=mask)


def _tensor(image: Any) -> Tensor:
    assert isinstance(image, Tensor)  # pairs are tensors once they are in a batch
    return image


def _chosen(total: int, count: int | None, seed: int) -> list[int]:
    if count is None or count == total:
        return list(range(total))
    return sorted(random.Random(f"pairs/{seed}").sample(range(total), count))


def _check(
    pairs: PairSource, metrics: Mapping[str, EditMetric], seeds: Sequence[int], count: int | None, name: str
) -> None:
    if not len(pairs):
        raise ValueError(f"{name}: there are no pairs to evaluate on; render some with ip2p data render")
    if count is not None and not 1 <= count <= len(pairs):
        raise ValueError(f"{name}: count={count} but there are {len(pairs)} pairs; choose 1 to {len(pairs)}, or null")
    if not metrics:
        raise ValueError("no metrics were given; name at least one, such as metrics=pixels")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds={list(seeds)}: give at least one, and none of them twice")
