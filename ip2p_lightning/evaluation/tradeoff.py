"""How much of the edit is done against how much of the input is kept, for every setting of every editor.

One pass over the pairs: all points of all sweeps edit a batch of pairs under the same seeds, and metrics that share an
encoder see the originals and captions of a batch once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from PIL import Image

from ip2p_lightning.data.images import to_pil
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.evaluation.counts import REASONS, reasons_of, with_counts
from ip2p_lightning.evaluation.figures import IntervalSettings, MetricInfo
from ip2p_lightning.evaluation.journal import Key
from ip2p_lightning.evaluation.rows import Batch, Transform, batches, tensor, tensors_of
from ip2p_lightning.evaluation.software import software
from ip2p_lightning.evaluation.sweeps import Sweep
from ip2p_lightning.evaluation.timing import EditClock
from ip2p_lightning.evaluation.tradeoff_result import Place, PointExample, Tradeoff, parameter_columns
from ip2p_lightning.evaluation.work import Advance, Pictures, Row, Work, drawn, facts_of, shown_of
from ip2p_lightning.metrics import EditMetric
from ip2p_lightning.metrics.base import check_pictures

_NO_INTERVALS = IntervalSettings()


def tradeoff(
    sweeps: Sequence[Sweep],
    pairs: PairSource,
    metrics: Mapping[str, EditMetric],
    *,
    x: str,
    y: str,
    count: int | None = None,
    seeds: Sequence[int] = (0,),
    batch_size: int = 16,
    transform: Transform | None = None,
    intervals: IntervalSettings = _NO_INTERVALS,
    provenance: Mapping[str, Any] | None = None,
    on_progress: Callable[[int], None] | None = None,
    draw: int = 0,
    show: int = 0,
    device: str | torch.device = "cpu",
    journal: str | Path | None = None,
) -> Tradeoff:
    """Edit the same pairs under the same seeds at every point of every sweep, and measure.

    In a distributed run each process takes whole batches of pairs; the values are those of one process to the bit.

    Args:
        sweeps: the first one's first curve is what others are compared with.
        pairs: held-out pairs.
        metrics: column name -> metric; those that share an encoder share its work.
        x: the metric of how much is edited.
        y: the metric of how much is kept.
        count: use so many pairs, drawn at random; None for all.
        seeds: one edit of each pair at each point for each of them.
        batch_size: pairs at once, whose edits at all points of a sweep are held together.
        transform: see `evaluate`.
        intervals: how intervals are made.
        provenance: what to record beside the figures, JSON values.
        on_progress: called with the number of edits after each point of a batch, times the number of processes.
        draw: seed of the draw of `count` pairs.
        show: number of pairs, drawn at random beforehand, whose edits at all points are kept as pictures.
        device: where metrics measure.
        journal: folder of values until all are there; a call with the same settings goes on with them.

    Raises:
        ValueError: no sweeps, two of one name, unknown metrics, too many pairs, two of one id, or another's journal.
    """
    chosen = _checked(sweeps, metrics, (x, y), seeds, pairs, count, draw)
    places = [Place(sweep.name, point, sweep.across) for sweep in sweeps for point in sweep.points]
    facts = {
        **facts_of(pairs, chosen, draw, seeds),
        "sweeps": {sweep.name: sweep.provenance() for sweep in sweeps},
        "metrics": {name: metric.to(device).provenance() for name, metric in metrics.items()},
        **(provenance or {}),
    }
    work = Work(chosen, seeds, each=len(places))
    run = _Run(sweeps, pairs, transform, metrics, device, work, shown_of(chosen, show, draw))
    work.resume(journal, facts, run.shown_keys)
    work.do(run.measure_block, batch_size, on_progress)
    facts["seconds_per_edit"] = run.clock.seconds_per_edit  # of all sweeps together
    examples = run.examples(work.gather(run.pictures), len(places))
    facts = with_counts(facts, metrics, work.rows.values()) | {"processes": work.ranks.world, "software": software()}
    infos = {name: MetricInfo.of(metric) for name, metric in metrics.items()}
    return Tradeoff(places, _table(places, work.rows, list(metrics)), infos, x, y, facts, intervals, examples)


@dataclass
class _Run:
    """A sweep under way in this process.

    Args:
        sweeps, pairs, transform, metrics, device: see `tradeoff`.
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
        """Rows of a batch, and the pictures that are shown, place by place."""
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
    """Pictures of one size side by side in one."""
    width, height = pictures[0].size
    whole = Image.new("RGB", (width * len(pictures), height))
    for number, picture in enumerate(pictures):
        whole.paste(picture, (number * width, 0))
    return whole


def cut(whole: Image.Image, count: int) -> list[Image.Image]:
    """The `count` pictures of a `strip`."""
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
