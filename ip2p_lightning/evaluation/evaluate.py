"""Run an editor over held-out pairs and measure every edit beside copying the input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.evaluation.counts import with_counts
from ip2p_lightning.evaluation.figures import (
    COPYING,
    TEXT_EXACT,
    TEXT_EXACT_INFO,
    IntervalSettings,
    MetricInfo,
    main_metric,
)
from ip2p_lightning.evaluation.journal import Key
from ip2p_lightning.evaluation.result import EvaluationResult, Example
from ip2p_lightning.evaluation.rows import Gallery, Measuring, Transform, batches, tensor, tensors_of
from ip2p_lightning.evaluation.software import software
from ip2p_lightning.evaluation.work import Advance, Pictures, Row, Work, drawn, facts_of, shown_of
from ip2p_lightning.metrics import EditMetric

if TYPE_CHECKING:
    from ip2p_lightning.editors.base import Editor

_NO_INTERVALS = IntervalSettings()
_AS_TRAINED = SamplingSettings()


@dataclass(frozen=True)
class Kept:
    """Which edits keep their pictures.

    Args:
        examples: number of pairs drawn at random before anything is edited.
        worst: number of kinds whose worst edit is kept.
        kinds: number of kinds, those with most edits, of which three edits are kept: the best, the worst, and one drawn
            at random.
        worst_by: metric that says how an edit stands to copying the input; None for `main_metric`.
        seed: of the random draw.
    """

    examples: int = 12
    worst: int = 4
    kinds: int = 0
    worst_by: str | None = None
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
    transform: Transform | None = None,
    sampling: SamplingSettings = _AS_TRAINED,
    kept: Kept | None = None,
    intervals: IntervalSettings = _NO_INTERVALS,
    provenance: Mapping[str, Any] | None = None,
    on_progress: Callable[[int], None] | None = None,
    device: str | torch.device = "cpu",
    journal: str | Path | None = None,
) -> EvaluationResult:
    """Edit every pair's original under every seed and measure the edits.

    What an edit draws depends on (seed, pair id) alone, so that neither the batch size nor the other pairs matter. In a
    distributed run each process takes whole batches, those that a single process would make, and each returns the
    result of all: its figures are those of a single process to the bit.

    `provenance["seconds_per_edit"]` is the time of the editor's calls alone, see `EditClock`: of this process and this
    call, without what a journal held, and without the first batch where there are more.

    Args:
        editor: what edits; gets captions and ids of the pairs beside images and instructions (and `Truth` the truth).
        pairs: held-out pairs.
        metrics: column name -> metric.
        name: of the set, for tables.
        count: use so many pairs, drawn with the seed of `kept`; None for all.
        seeds: one edit of each pair for each of them.
        batch_size: edits at once.
        transform: PIL pair -> tensor pair, such as `PairTransform.evaluation()`; None keeps the pictures' own sizes.
        sampling: overrides of the editor's own steps and scales.
        kept: which edits keep their pictures.
        intervals: how intervals are made.
        provenance: what to record beside the figures (checkpoint, editor's settings), JSON values.
        on_progress: called after each batch with the number of its edits, times the number of processes.
        device: where metrics measure.
        journal: folder in which rows are kept until all are there; a call with the same settings goes on with them.

    Raises:
        ValueError: no pairs, more asked for than there are, two of one id, no seeds or metrics, an edit that is not
            finite or of another size, or a journal of another evaluation.
    """
    _check(pairs, metrics, seeds, count, name)
    kept = kept or Kept()
    chosen = drawn(pairs, count, kept.seed)
    facts = {
        **facts_of(pairs, chosen, kept.seed, seeds),
        "sampling": sampling.given(),
        "metrics": {column: metric.to(device).provenance() for column, metric in metrics.items()},
        **(provenance or {}),
    }
    work, measuring = Work(chosen, seeds), Measuring(metrics, sampling, device)
    run = _Run(pairs, transform, work, measuring, kept, shown_of(chosen, kept.examples, kept.seed))
    work.resume(journal, facts, run.gallery.shown)
    work.do(partial(run.measure_block, editor), batch_size, on_progress)
    facts["seconds_per_edit"] = measuring.clock.seconds_per_edit
    run.gallery.pictures |= work.gather(run.gallery.pictures)
    facts = with_counts(facts, metrics, work.rows.values())
    return run.result(name, {**facts, "processes": work.ranks.world, "software": software()}, intervals)


@dataclass
class _Run:
    """An evaluation under way in this process.

    Args:
        pairs: where pairs come from.
        transform: see `evaluate`.
        work: what is to be edited, and its rows.
        measuring: makes rows.
        kept: which edits keep their pictures.
        shown: positions of the pairs whose edits are shown, drawn beforehand.
    """

    pairs: PairSource
    transform: Transform | None
    work: Work
    measuring: Measuring
    kept: Kept
    shown: list[int]

    def __post_init__(self) -> None:
        shown = frozenset((place, self.work.seeds[0]) for place in self.shown)
        rankings: dict[str, Callable[[Mapping[str, Any]], float]] = {"worst": self._badness}
        if self.kept.kinds:
            rankings = {"random": self._lot, "best": lambda row: -self._badness(row), **rankings}
        self.gallery = Gallery(shown, rankings)

    def measure_block(self, editor: Editor, block: list[int], advance: Advance) -> tuple[dict[Key, Row], Pictures]:
        """Rows of the pairs at some positions, and the pictures that may be shown."""
        fresh: dict[Key, Row] = {}
        pictures: Pictures = {}
        for batch in batches(block, [self.pairs[place] for place in block], self.transform):
            for key, row, image in self.measuring.rows(editor, batch, self.work.seeds, advance):
                fresh[key] = row
                if self.gallery.add(key, row, image):
                    pictures[key] = self.gallery.pictures[key]
        return fresh, pictures

    def result(self, name: str, provenance: dict[str, Any], intervals: IntervalSettings) -> EvaluationResult:
        """Everything as a result."""
        metrics = self.measuring.metrics
        infos = {column: MetricInfo.of(metric) for column, metric in metrics.items()}
        if any(row[TEXT_EXACT] is not None for row in self.work.rows.values()):
            infos[TEXT_EXACT] = TEXT_EXACT_INFO
        return EvaluationResult(
            name=name,
            rows=pa.Table.from_pylist(list(self.work.rows.values()), self.measuring.schema()),
            metrics=infos,
            examples=self._examples([(place, self.work.seeds[0]) for place in self.shown]),
            worst=self._examples(self._worst()),
            by_kind=self._by_kind(),
            provenance=provenance,
            intervals=intervals,
        )

    def _examples(self, keys: Sequence[Key]) -> list[Example]:
        examples = []
        for key in keys:
            image = self.gallery.pictures.get(key) or self.work.kept(key)
            if image is None:  # somebody deleted it
                continue
            row, pair = self.work.rows[key], tensors_of(self.pairs[key[0]], self.transform)
            texts = ("pair", "kind", "seed", "instruction", "expressive_instruction", "written_instruction")
            examples.append(
                Example(
                    **{text: row[text] for text in texts},
                    original=to_pil(tensor(pair.original_image)),
                    edited=image,
                    truth=to_pil(tensor(pair.edited_image)),
                    values={column: row[column] for column in self.measuring.columns if row[column] is not None},
                )
            )
        return examples

    def _first(self, ranking: str) -> dict[str, tuple[float, Key]]:
        """Kind -> the greatest value of a ranking, and whose it is."""
        first: dict[str, tuple[float, Key]] = {}
        for key, row in self.work.rows.items():
            value = self.gallery.rankings[ranking](row)
            if value > first.get(row["kind"], (-float("inf"),))[0]:
                first[row["kind"]] = value, key
        return first

    def _worst(self) -> list[Key]:
        """The worst edit of each kind, of the kinds whose worst is worst."""
        return [key for _, key in sorted(self._first("worst").values(), key=lambda item: -item[0])[: self.kept.worst]]

    def _by_kind(self) -> dict[str, list[Example]]:
        """Ranking -> its edit of each of the largest kinds, in the order of their names."""
        if not self.kept.kinds:
            return {}
        counts = Counter(row["kind"] for row in self.work.rows.values())
        kinds = sorted(kind for kind, _ in counts.most_common(self.kept.kinds))
        firsts = {name: self._first(name) for name in self.gallery.rankings}
        return {
            name: self._examples([first[kind][1] for kind in kinds if kind in first]) for name, first in firsts.items()
        }

    def _lot(self, row: Mapping[str, Any]) -> float:
        """A number that depends on the pair and the seed alone."""
        return float(hashed_integer(self.kept.seed, f"{row['pair']}/{row['seed']}") % 2**52)

    def _badness(self, row: Mapping[str, Any]) -> float:
        """How much worse than copying, in the unit of the metric; NaN if that cannot be said."""
        name = self.kept.worst_by or main_metric(self.measuring.metrics)
        metric = self.measuring.metrics.get(name or "")
        if name is None or metric is None or metric.against_copying or row[name] is None:
            return float("nan")
        difference = row[name] - row[COPYING + name]
        return -difference if metric.higher_is_better else difference


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
