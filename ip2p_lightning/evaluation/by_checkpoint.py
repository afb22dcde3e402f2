"""Figures of editors by checkpoint: is the last one the best, was it trained too long, which of several runs is ahead?

Losses do not tell: users of InstructPix2Pix report models whose loss still falls while they begin to leave images as
they are, or to paint what the text says whatever the image shows. So each checkpoint is asked for its trade-off
curve, for how often it copies, and for how much its results depend on the image and on the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ip2p_lightning.csv_table import write_csv
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.figures import IntervalSettings, MetricInfo
from ip2p_lightning.evaluation.provenance import digest
from ip2p_lightning.evaluation.rows import Transform, batches, edited
from ip2p_lightning.evaluation.sweeps import GuidanceSweep
from ip2p_lightning.evaluation.tradeoff import tradeoff
from ip2p_lightning.evaluation.tradeoff_curves import Curve, Measured, make_curves
from ip2p_lightning.evaluation.tradeoff_result import Tradeoff
from ip2p_lightning.evaluation.work import drawn
from ip2p_lightning.formatting import number, span
from ip2p_lightning.methods.checkpoint import read_checkpoint
from ip2p_lightning.metrics import CopyRate, EditMetric, Interval
from ip2p_lightning.metrics.base import mean_error
from ip2p_lightning.rounding import GREY_LEVELS, difference, ratio

_NO_INTERVALS = IntervalSettings()
COPIED = MetricInfo("left as it was", "share", False, against_copying=True)
DEPENDENCE = MetricInfo("dependence", "", None, against_copying=True)


@dataclass(frozen=True)
class CheckpointFigures:
    """One checkpoint.

    Args:
        step: of the optimizer.
        curve: its trade-off curve, with the areas under it.
        copied: share of images left as they were, at the model's own scales.
        source_dependence: how much results differ when the original is another pair's, by how much the originals do:
            1 where the difference passes through as in a copy, 0 where the image is not looked at.
        text_dependence: how much results differ when the instruction is another pair's, in grey levels.
    """

    step: int
    curve: Curve
    copied: Interval
    source_dependence: Interval
    text_dependence: Interval


@dataclass
class Course:
    """A training run by its checkpoints.

    Args:
        checkpoints: in the order of their steps.
        best: step of the checkpoint that dominates the largest area.
        lost: area dominated by the last checkpoint minus that of the best, on the same pairs; None if it is the best.
        behind: area dominated by the best checkpoint minus that of the best of all runs; None for the run ahead.
    """

    checkpoints: list[CheckpointFigures]
    best: int
    lost: Interval | None
    behind: Interval | None = None

    @property
    def verdict(self) -> str:
        """In a sentence, whether it was trained too long."""
        last = self.checkpoints[-1].step
        if self.lost is None:
            return f"the last checkpoint (step {last:,}) is the best of {len(self.checkpoints)}"
        if self.lost.excludes(0):
            return f"trained too long: step {self.best:,} is better than the last (step {last:,}), surely"
        return f"step {self.best:,} is better than the last (step {last:,}), by no more than chance may do"


@dataclass
class Courses:
    """Training runs by their checkpoints, all measured on the same pairs.

    Args:
        runs: by name.
        provenance: where the figures come from, JSON values.
    """

    runs: dict[str, Course]
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def verdicts(self) -> list[str]:
        """A sentence on each run; of several runs, one on the run ahead as well."""
        if len(self.runs) == 1:
            return [course.verdict for course in self.runs.values()]
        ahead = next(name for name, course in self.runs.items() if course.behind is None)
        others = [
            f"{name} {number(course.behind.estimate)} ({span(course.behind)})"
            + ("" if course.behind.excludes(0) else ", no more than chance may do")
            for name, course in self.runs.items()
            if course.behind is not None
        ]
        first = f"{ahead} dominates the largest area, at step {self.runs[ahead].best:,}"
        return [
            f"{first}; the best of {'; of '.join(others)}",
            *(f"{name}: {course.verdict}" for name, course in self.runs.items()),
        ]

    def table(self) -> pa.Table:
        """A row for each checkpoint."""
        rows = []
        for name, course in self.runs.items():
            for one in course.checkpoints:
                row: dict[str, Any] = {"run": name, "step": one.step}
                figures = {
                    "dominated": one.curve.dominated,
                    "height": one.curve.height,
                    "copy_rate": one.copied,
                    "source_dependence": one.source_dependence,
                    "text_dependence": one.text_dependence,
                }
                for key, interval in figures.items():
                    row |= {key: interval.estimate, f"{key}_low": interval.low, f"{key}_high": interval.high}
                rows.append(row)
        return pa.Table.from_pylist(rows)

    def save(self, folder: str | Path) -> Path:
        """Write `checkpoints.csv`; returns the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(self.table(), folder / "checkpoints.csv")
        return folder


def checkpoints_of(run: str | Path) -> dict[int, Path]:
    """The checkpoints of a run by step, ascending; of two of one step, the one that is not `last.ckpt`.

    Args:
        run: a run folder of `ip2p train`, or its `checkpoints`.

    Raises:
        FileNotFoundError: no checkpoints there.
    """
    folder = Path(run) / "checkpoints" if (Path(run) / "checkpoints").is_dir() else Path(run)
    files = sorted(folder.glob("[!.]*.ckpt"), key=lambda path: (path.stem == "last", path.name))  # no companions
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no .ckpt; give a run folder of ip2p train, and keep more than the last checkpoint with "
            "callbacks.checkpoint.save_top_k=-1"
        )
    found: dict[int, Path] = {}
    for path in files:
        named = re.search(r"step[=-]?(\d+)", path.stem)
        step = int(named[1]) if named else int(read_checkpoint(path).get("global_step", 0))
        found.setdefault(step, path)
    return dict(sorted(found.items()))


def by_checkpoint(
    runs: Mapping[str, Mapping[int, Path]],
    open_editor: Callable[[Path], TrainedEditor],
    pairs: PairSource,
    metrics: Mapping[str, EditMetric],
    *,
    x: str,
    y: str,
    text_scales: Sequence[float],
    image_scales: Sequence[float],
    steps: int | None = None,
    count: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    transform: Transform | None = None,
    intervals: IntervalSettings = _NO_INTERVALS,
    on_checkpoint: Callable[[int], None] | None = None,
) -> Courses:
    """Measure every checkpoint on the same pairs under the same seeds; one is open at a time.

    Args:
        runs: the checkpoints of each run by step, see `checkpoints_of`.
        open_editor: opens one.
        pairs: held-out pairs.
        metrics: of the trade-off curve.
        x: see `tradeoff`.
        y: likewise.
        text_scales: s_T; all points of the grid make up a checkpoint's one curve.
        image_scales: s_I of that grid.
        steps: sampling steps; None for the model's own.
        count: use so many pairs, drawn at random; None for all.
        batch_size: pairs at once; at least 2, since dependence is measured by changing places within a batch.
        seed: of the noise.
        transform: see `evaluate`.
        intervals: how intervals are made.
        on_checkpoint: called with the step of each that is done.

    Raises:
        ValueError: no checkpoints, or fewer than two pairs at once.
    """
    if not runs or not all(runs.values()) or min(batch_size, count or len(pairs)) < 2:
        number_of = sum(map(len, runs.values()))
        raise ValueError(f"{number_of} checkpoints, {batch_size} pairs at once: need a checkpoint and two pairs")
    found: dict[tuple[str, int], tuple[Tradeoff, _Asked]] = {}
    digests: dict[str, dict[str, str | None]] = {name: {} for name in runs}
    options: dict[str, Any] = {"count": count, "batch_size": batch_size, "transform": transform}
    for name, step, path in [(name, *one) for name, checkpoints in runs.items() for one in checkpoints.items()]:
        editor = open_editor(path)
        digests[name][str(step)] = digest(editor, path)
        sweep = GuidanceSweep(editor, text_scales, image_scales, steps)
        result = tradeoff([sweep], pairs, metrics, x=x, y=y, seeds=[seed], intervals=intervals, **options)
        chosen = drawn(pairs, count, 0)  # those of the curve
        found[name, step] = result, _dependence(editor, pairs, chosen, batch_size, seed, transform, steps)
        if on_checkpoint is not None:
            on_checkpoint(step)
    paths = {name: {str(step): str(path) for step, path in files.items()} for name, files in runs.items()}
    data = {"name": pairs.name, "licence": pairs.licence, "fingerprint": pairs.fingerprint()}
    facts = {"checkpoints": paths, "sha256": digests, "data": data, "seed": seed, "precision": editor.precision}
    facts |= {"text_scales": list(text_scales), "image_scales": list(image_scales)}
    return _courses(found, intervals, facts)


_INFOS = (COPIED, DEPENDENCE, DEPENDENCE)
_Asked = tuple[list[float], list[float], list[float]]


def _courses(
    found: Mapping[tuple[str, int], tuple[Tradeoff, _Asked]], intervals: IntervalSettings, facts: dict[str, Any]
) -> Courses:
    """Figures with intervals of each checkpoint; each run's last next to its best, and its best next to that of all."""
    one = next(iter(found.values()))[0]
    groups = one.groups()
    curves = {
        key: Measured(
            f"{key[0]} {key[1]}",
            "",
            tuple(range(len(result.places))),
            result.values(result.x),
            result.values(result.y),
            result.statistics(result.x, result.y),
        )
        for key, (result, _) in found.items()
    }
    figures: dict[str, list[CheckpointFigures]] = {name: [] for name, _ in found}
    made = make_curves(list(curves.values()), groups, intervals).curves
    for ((name, step), (_, each)), curve in zip(found.items(), made, strict=True):
        asked = [_interval(values, info, intervals) for values, info in zip(each, _INFOS, strict=True)]
        figures[name].append(CheckpointFigures(step, curve, *asked))

    def less(best: tuple[str, int], other: tuple[str, int]) -> Interval | None:
        """Area of a checkpoint minus that of a better one, in the same resamples."""
        both = [curves[best], curves[other]]
        return None if best == other else make_curves(both, groups, intervals).curves[1].dominated_difference

    best = {name: _best(own) for name, own in figures.items()}
    first = list(best)[_largest([own.curve.dominated.estimate for own in best.values()], last=False)]
    runs = {}
    for name, own in figures.items():
        top = name, best[name].step
        behind = None if name == first else less((first, best[first].step), top)
        runs[name] = Course(own, best[name].step, less(top, (name, own[-1].step)), behind)
    facts = facts | {"pairs": len(groups), "x": one.x, "y": one.y, "intervals": asdict(intervals)}
    return Courses(runs, facts)


def _best(figures: Sequence[CheckpointFigures]) -> CheckpointFigures:
    """The checkpoint of the largest area; of equal ones the last."""
    return figures[_largest([one.curve.dominated.estimate for one in figures], last=True)]


def _largest(areas: Sequence[float], *, last: bool) -> int:
    known = np.nan_to_num(np.array(areas), nan=-1.0)
    return int(np.flatnonzero(difference(known, known.max()) == 0)[-1 if last else 0])


def _dependence(
    editor: Editor,
    pairs: PairSource,
    chosen: Sequence[int],
    batch_size: int,
    seed: int,
    transform: Transform | None,
    steps: int | None,
) -> _Asked:
    """For each chosen pair whether it is left as it was, and how much the result depends on image and text."""
    copied, source, text = [], [], []
    for start in range(0, len(chosen), batch_size):
        block = chosen[start : start + batch_size]
        for batch in batches(block, [pairs[place] for place in block], transform):
            tensors, sampling = batch.tensors, SamplingSettings(steps=steps)
            if len(tensors) < 2:
                continue  # nothing to change places with
            images = edited(editor, tensors, seed, sampling)[0]
            copied += CopyRate().measure(images, tensors).tolist()
            other = replace(tensors, original_image=tensors.original_image.roll(1, 0))
            moved = mean_error(edited(editor, other, seed, sampling)[0], images)
            source += ratio(moved, mean_error(tensors.original_image, other.original_image), GREY_LEVELS).tolist()
            said = replace(tensors, instruction=[*tensors.instruction[1:], tensors.instruction[0]])
            text += mean_error(edited(editor, said, seed, sampling)[0], images).tolist()
    return copied, source, text


def _interval(values: Sequence[float], info: MetricInfo, intervals: IntervalSettings) -> Interval:
    return intervals.interval(np.array(values), [str(place) for place in range(len(values))], info)
