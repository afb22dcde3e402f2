"""Trade-off between the edit done and the input kept, for every setting of every editor.

One pass over the pairs: all points of all sweeps edit a batch of pairs under the same seeds, and metrics that share an
encoder see the originals and captions of a batch once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import pyarrow as pa
import torch
from PIL import Image

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.evaluation.counts import REASONS, reasons_of, with_counts
from ip2p_lightning.evaluation.figures import IntervalSettings, MetricInfo
from ip2p_lightning.evaluation.journal import Key
from ip2p_lightning.evaluation.measurement import Measurement
from ip2p_lightning.evaluation.rows import Batch, Transform, batches, tensor, tensors_of
from ip2p_lightning.evaluation.software import software
from ip2p_lightning.evaluation.sweeps import Sweep
from ip2p_lightning.evaluation.timing import EditClock
from ip2p_lightning.evaluation.tradeoff_result import Place, PointExample, Tradeoff, parameter_columns
from ip2p_lightning.evaluation.work import Advance, HandOut, Pictures, Row, Work, drawn, shown_of
from ip2p_lightning.metrics import EditMetric
from ip2p_lightning.metrics.base import check_pictures

_NO_INTERVALS = IntervalSettings()


@dataclass
class TradeoffMeasurement(Measurement):
    """Edits of the same pairs under the same seeds at every point of every sweep, each measured.

    Args:
        sweeps: the first one's first curve is what others are compared with.
        x: the metric of how much is edited.
        y: the metric of how much is kept.
        draw: seed of the draw of `count` pairs.
        show: number of pairs, drawn at random beforehand, whose edits at all points are kept as images.
        **settings: see `Measurement`; the edits of a batch at all points of a sweep are held together.
    """

    _: KW_ONLY
    sweeps: Sequence[Sweep]
    x: str
    y: str
    draw: int = 0
    show: int = 0

    def run(
        self,
        intervals: IntervalSettings = _NO_INTERVALS,
        on_progress: Advance | None = None,
        hand_out: HandOut | None = None,
    ) -> Tradeoff:
        """Edit and measure what the journal does not hold yet, and sum up.

        In a distributed run each process takes whole batches of pairs; the values are those of one process to the bit.

        Args:
            intervals: how intervals are made.
            on_progress: called with the number of edits after each point of a batch, times the number of processes.
            hand_out: has others measure batches, with `worker`, by the names of their parts in the journal.

        Raises:
            ValueError: no sweeps, two of one name, unknown metrics, too many pairs, two of one id, or a journal of
                another trade-off.
        """
        run, facts = self._started()
        work, places = run.work, self._places()
        work.do(run.measure_block, self.batch_size, on_progress, hand_out)
        facts["seconds_per_edit"] = run.clock.seconds_per_edit  # of all sweeps together
        examples = run.examples(work.gather(run.pictures), len(places))
        facts = with_counts(facts, self.metrics, work.rows.values())
        facts |= {"processes": work.ranks.world, "software": software()}
        infos = {name: MetricInfo.of(metric) for name, metric in self.metrics.items()}
        table = _table(places, work.rows, list(self.metrics))
        return Tradeoff(places, table, infos, self.x, self.y, facts, intervals, examples)

    def _places(self) -> list[Place]:
        return [Place(sweep.name, point, sweep.across) for sweep in self.sweeps for point in sweep.points]

    def _started(self) -> tuple[_Run, dict[str, Any]]:
        axes = (self.x, self.y)
        chosen = _checked(self.sweeps, self.metrics, axes, self.seeds, self.pairs, self.count, self.draw)
        facts = self._facts(chosen, self.draw, sweeps={sweep.name: sweep.provenance() for sweep in self.sweeps})
        work, shown = Work(chosen, self.seeds, each=len(self._places())), shown_of(chosen, self.show, self.draw)
        run = _Run(self.sweeps, self.pairs, self.transform, self.metrics, self.device, work, shown)
        work.resume(self.journal, facts, run.shown_keys)
        return run, facts


def tradeoff(
    sweeps: Sequence[Sweep],
    pairs: PairSource,
    metrics: Mapping[str, EditMetric],
    *,
    x: str,
    y: str,
    intervals: IntervalSettings = _NO_INTERVALS,
    on_progress: Advance | None = None,
    **settings: Any,
) -> Tradeoff:
    """Measure the edits at every point of every sweep: a `TradeoffMeasurement` that is run at once.

    Args:
        sweeps: the first one's first curve is what others are compared with.
        pairs: held-out pairs.
        metrics: column name -> metric.
        x: the metric of how much is edited.
        y: the metric of how much is kept.
        intervals: how intervals are made.
        on_progress: called with the number of edits after each point of a batch, times the number of processes.
        settings: further arguments of `TradeoffMeasurement`: seeds, count, batch_size, transform ...

    Raises:
        ValueError: see `TradeoffMeasurement.run`.
    """
    return TradeoffMeasurement(pairs, metrics, sweeps=sweeps, x=x, y=y, **settings).run(intervals, on_progress)


@dataclass
class _Run:
    """A sweep under way in this process.

    Args:
        sweeps, pairs, transform, metrics, device: see `TradeoffMeasurement`.
        work: what is to be edited, and its rows: of each pair and seed the values of each metric at all places.
        shown: positions of the pairs whose edits are shown.
    """

    sweeps: Sequence[Sweep]
    pairs: PairSource
    transform: Transform | None
    metrics: Mapping[str, EditMetric]
    device: str | torch.device
    work: Work
    shown: list[int]

    def __post_init__(self) -> None:
        self.shown_keys = [(position, self.work.seeds[0]) for position in self.shown]
        self.pictures: Pictures = {}
        self.clock = EditClock()

    def measure_block(self, block: list[int], advance: Advance) -> tuple[dict[Key, Row], Pictures]:
        """Rows of the pairs at some positions, and strips of the edits that are shown."""
        rows: dict[Key, Row] = {}
        strips: Pictures = {}
        for batch in batches(block, [self.pairs[place] for place in block], self.transform):
            for seed in self.work.seeds:
                found, shown = self._measure(batch, seed, advance)
                rows |= found
                strips |= {key: strip(pictures) for key, pictures in shown.items()}
        self.pictures |= strips
        return rows, strips

    @torch.no_grad()
    def _measure(
        self, batch: Batch, seed: int, advance: Advance
    ) -> tuple[dict[Key, Row], dict[Key, list[Image.Image]]]:
        """Rows of a batch, and the images that are shown, place by place."""
        pairs = batch.tensors.to(self.device)
        keys = [(position, seed) for position in batch.positions]
        values: dict[str, list[list[float]]] = {name: [] for name in self.metrics}  # of each place, of each pair
        shown: dict[Key, list[Image.Image]] = {key: [] for key in keys if key in self.shown_keys}
        reasons: list[dict[str, list[str]]] = [{} for _ in keys]
        self.clock.next_batch()
        for sweep in self.sweeps:
            for images in self.clock.over(sweep.pictures(batch.tensors, seed)):
                check_pictures(images, batch.tensors)
                measured = images.to(self.device)
                for name, metric in self.metrics.items():
                    values[name].append(metric.measure(measured, pairs).tolist())
                for index, found in enumerate(reasons):
                    for name, reason in reasons_of(self.metrics, index).items():
                        found.setdefault(name, []).append(reason)
                for key, pictures in shown.items():
                    pictures.append(to_pil(images[keys.index(key)]))
                advance(len(keys))
        rows: dict[Key, Row] = {}
        for index, (key, pair) in enumerate(zip(keys, batch.pairs, strict=True)):
            own = {name: [column[index] for column in columns] for name, columns in values.items()}
            texts = {"pair": pair.id, "group": pair.group, "kind": pair.kind}
            rows[key] = {**texts, "values": own, REASONS: reasons[index]}
        return rows, shown

    def examples(self, strips: Mapping[Key, Image.Image], places: int) -> list[PointExample]:
        """The pairs that are shown, with their edits."""
        found = []
        for key in self.shown_keys:
            image = strips.get(key) or self.work.kept(key)
            if image is None:  # somebody deleted it
                continue
            pair = tensors_of(self.pairs[key[0]], self.transform)
            original, truth = (to_pil(tensor(picture)) for picture in (pair.original_image, pair.edited_image))
            found.append(PointExample(pair.id, pair.instruction, original, cut(image, places), truth))
        return found


def strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Images of one size side by side in one."""
    width, height = pictures[0].size
    whole = Image.new("RGB", (width * len(pictures), height))
    for number, picture in enumerate(pictures):
        whole.paste(picture, (number * width, 0))
    return whole


def cut(whole: Image.Image, count: int) -> list[Image.Image]:
    """The `count` images of a `strip`."""
    width = whole.width // count
    return [whole.crop((number * width, 0, (number + 1) * width, whole.height)) for number in range(count)]


def _table(places: Sequence[Place], found: Mapping[Key, Row], metrics: Sequence[str]) -> pa.Table:
    names = parameter_columns(places, metrics)
    texts = [(name, pa.string()) for name in ("sweep", "curve", "pair", "group", "kind")]
    numbers = [(name, pa.float64()) for name in (*names.values(), *metrics)]
    schema = pa.schema([("place", pa.int64()), *texts[:2], *numbers[: len(names)], *texts[2:], ("seed", pa.int64()),
                        *numbers[len(names) :]])  # fmt: skip
    rows = [
        {"place": number, "sweep": place.sweep, "curve": place.curve, "seed": seed}
        | {names[key]: value for key, value in place.point.items()}
        | {name: row[name] for name in ("pair", "group", "kind")}
        | {name: row["values"][name][number] for name in metrics}
        for number, place in enumerate(places)
        for (_, seed), row in found.items()
    ]
    return pa.Table.from_pylist(rows, schema)


def _checked(
    sweeps: Sequence[Sweep],
    metrics: Mapping[str, EditMetric],
    axes: tuple[str, str],
    seeds: Sequence[int],
    pairs: PairSource,
    count: int | None,
    draw: int,
) -> list[int]:
    """Positions of the pairs that are edited, if all that is asked for can be done."""
    total = len(pairs)
    names = [sweep.name for sweep in sweeps]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"sweeps {names}: give at least one, and each a name of its own")
    for name in axes:
        if name not in metrics:
            raise ValueError(f"the axis {name!r} is no metric; choose from {', '.join(metrics) or '(none given)'}")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds={list(seeds)}: give at least one, and none of them twice")
    if not 1 <= (total if count is None else count) <= total:
        raise ValueError(f"count={count} but there are {total} pairs; choose 1 to {total}, or null")
    return drawn(pairs, count, draw)
