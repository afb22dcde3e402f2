"""Run an editor over held-out pairs and measure every edit compared with copying the input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

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
from ip2p_lightning.evaluation.measurement import Measurement
from ip2p_lightning.evaluation.result import EvaluationResult, Example
from ip2p_lightning.evaluation.rows import Gallery, Measuring, Transform, batches, tensor, tensors_of
from ip2p_lightning.evaluation.software import software
from ip2p_lightning.evaluation.work import Advance, HandOut, Pictures, Row, Work, drawn, shown_of
from ip2p_lightning.metrics import EditMetric

if TYPE_CHECKING:
    from ip2p_lightning.editors.base import Editor

_NO_INTERVALS = IntervalSettings()
_AS_TRAINED = SamplingSettings()


@dataclass(frozen=True)
class ExampleSelection:
    """Choice of the examples that are saved with images.

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


_USUAL = ExampleSelection()


@dataclass
class Evaluation(Measurement):
    """An editor over held-out pairs: every pair's original edited under every seed, each edit measured.

    Args:
        editor: what edits; gets captions and ids of the pairs besides images and instructions (and `Truth` the truth).
        name: of the set, for tables.
        sampling: overrides of the editor's own steps and scales.
        kept: which edits keep their images; its seed draws the pairs.
        **settings: see `Measurement`.
    """

    _: KW_ONLY
    editor: Editor
    name: str = "held-out pairs"
    sampling: SamplingSettings = _AS_TRAINED
    kept: ExampleSelection = _USUAL

    def run(
        self,
        intervals: IntervalSettings = _NO_INTERVALS,
        on_progress: Advance | None = None,
        hand_out: HandOut | None = None,
    ) -> EvaluationResult:
        """Edit and measure what the journal does not hold yet, and sum up.

        In a distributed run each process takes whole batches, those that a single process would make, and each returns
        the result of all: its figures are those of a single process to the bit.

        `provenance["seconds_per_edit"]` is the time of the editor's calls alone, see `EditClock`: of this process and
        this call, without what a journal held, and without the first batch where there are more.

        Args:
            intervals: how intervals are made.
            on_progress: called after each batch with the number of its edits, times the number of processes.
            hand_out: has others measure batches, with `worker`, by the names of their parts in the journal.

        Raises:
            ValueError: no pairs, more asked for than there are, two of one id, no seeds or metrics, an edit that is not
                finite or of another size, or a journal of another evaluation.
        """
        run, facts = self._started()
        work = run.work
        work.do(run.measure_block, self.batch_size, on_progress, hand_out)
        facts["seconds_per_edit"] = run.measuring.clock.seconds_per_edit
        run.gallery.pictures |= work.gather(run.gallery.pictures)
        facts = with_counts(facts, self.metrics, work.rows.values())
        return run.result(self.name, {**facts, "processes": work.ranks.world, "software": software()}, intervals)

    def _started(self) -> tuple[_Run, dict[str, Any]]:
        _check(self.pairs, self.metrics, self.seeds, self.count, self.name)
        chosen = drawn(self.pairs, self.count, self.kept.seed)
        facts = self._facts(chosen, self.kept.seed, sampling=self.sampling.given())
        work, measuring = Work(chosen, self.seeds), Measuring(self.metrics, self.sampling, self.device)
        shown = shown_of(chosen, self.kept.examples, self.kept.seed)
        run = _Run(self.editor, self.pairs, self.transform, work, measuring, self.kept, shown)
        work.resume(self.journal, facts, run.gallery.shown)
        return run, facts


def evaluate(
    editor: Editor,
    pairs: PairSource,
    metrics: Mapping[str, EditMetric],
    *,
    intervals: IntervalSettings = _NO_INTERVALS,
    on_progress: Advance | None = None,
    **settings: Any,
) -> EvaluationResult:
    """Edit every pair's original under every seed and measure the edits: an `Evaluation` that is run at once.

    Args:
        editor: what edits.
        pairs: held-out pairs.
        metrics: column name -> metric.
        intervals: how intervals are made.
        on_progress: called after each batch with the number of its edits, times the number of processes.
        settings: further arguments of `Evaluation`: seeds, batch_size, transform, sampling ...

    Raises:
        ValueError: see `Evaluation.run`.
    """
    return Evaluation(pairs, metrics, editor=editor, **settings).run(intervals, on_progress)


@dataclass
class _Run:
    """An evaluation under way in this process.

    Args:
        editor: what edits.
        pairs: where pairs come from.
        transform: see `Measurement`.
        work: what is to be edited, and its rows.
        measuring: makes rows.
        kept: which edits keep their images.
        shown: positions of the pairs whose edits are shown, drawn beforehand.
    """

    editor: Editor
    pairs: PairSource
    transform: Transform | None
    work: Work
    measuring: Measuring
    kept: ExampleSelection
    shown: list[int]

    def __post_init__(self) -> None:
        shown = frozenset((place, self.work.seeds[0]) for place in self.shown)
        rankings: dict[str, Callable[[Mapping[str, Any]], float]] = {"worst": self._badness}
        if self.kept.kinds:
            rankings = {"random": self._lot, "best": lambda row: -self._badness(row), **rankings}
        self.gallery = Gallery(shown, rankings)

    def measure_block(self, block: list[int], advance: Advance) -> tuple[dict[Key, Row], Pictures]:
        """Rows of the pairs at some positions, and the images that may be shown."""
        fresh: dict[Key, Row] = {}
        pictures: Pictures = {}
        for batch in batches(block, [self.pairs[place] for place in block], self.transform):
            for key, row, image in self.measuring.rows(self.editor, batch, self.work.seeds, advance):
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
        """Loss against copying, in the unit of the metric; NaN if that cannot be said."""
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
