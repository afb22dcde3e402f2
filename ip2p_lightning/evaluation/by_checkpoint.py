"""How an editor changes in the course of a training: is the last checkpoint the best, or was it trained too long?

Losses do not tell: users of InstructPix2Pix report models whose loss still falls while they begin to leave pictures as
they are, or to paint what the text says whatever the picture shows. So each checkpoint is asked for its trade-off
curve, for how often it copies, and for how much its results depend on the picture and on the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.ours import TrainedEditor
from ip2p_lightning.evaluation.csv_table import write_csv
from ip2p_lightning.evaluation.figures import IntervalSettings, MetricInfo
from ip2p_lightning.evaluation.provenance import digest
from ip2p_lightning.evaluation.rows import Transform, batches, edited
from ip2p_lightning.evaluation.sweeps import GuidanceSweep
from ip2p_lightning.evaluation.tradeoff import tradeoff
from ip2p_lightning.evaluation.tradeoff_curves import Curve, Measured, make_curves
from ip2p_lightning.evaluation.tradeoff_result import Tradeoff
from ip2p_lightning.evaluation.work import drawn
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
        copied: share of pictures left as they were, at the model's own scales.
        source_dependence: how much results differ when the original is another pair's, by how much the originals do:
            1 where the difference passes through as in a copy, 0 where the picture is not looked at.
        text_dependence: how much results differ when the instruction is another pair's, in grey levels.
    """

    step: int
    curve: Curve
    copied: Interval
    source_dependence: Interval
    text_dependence: Interval


@dataclass
class Course:
    """A training by its checkpoints.

    Args:
        checkpoints: in the order of their steps.
        best: step of the checkpoint that dominates the largest area.
        lost: area dominated by the last checkpoint minus that of the best, on the same pairs; None if it is the best.
        provenance: where the figures come from, JSON values.
    """

    checkpoints: list[CheckpointFigures]
    best: int
    lost: Interval | None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """In a sentence, whether it was trained too long."""
        last = self.checkpoints[-1].step
        if self.lost is None:
            return f"the last checkpoint (step {last:,}) is the best of {len(self.checkpoints)}"
        if self.lost.excludes(0):
            return f"trained too long: step {self.best:,} is better than the last (step {last:,}), surely"
        return f"step {self.best:,} is better than the last (step {last:,}), by no more than chance may do"

    def table(self) -> pa.Table:
        """A row for each checkpoint."""
        rows = []
        for one in self.checkpoints:
            figures = {
                "dominated": one.curve.dominated,
                "height": one.curve.height,
                "copied": one.copied,
                "source_dependence": one.source_dependence,
                "text_dependence": one.text_dependence,
            }
            row: dict[str, Any] = {"step": one.step}
            for name, interval in figures.items():
                row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
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
    files = sorted(folder.glob("*.ckpt"), key=lambda path: (path.stem == "last", path.name))
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
    checkpoints: Mapping[int, Path],
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
) -> Course:
    """Measure every checkpoint on the same pairs under the same seeds; one is open at a time.

    Args:
        checkpoints: by step.
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
    if not checkpoints or min(batch_size, count or len(pairs)) < 2:
        raise ValueError(f"{len(checkpoints)} checkpoints, {batch_size} pairs at once: need a checkpoint and two pairs")
    found: list[tuple[Tradeoff, _Asked]] = []
    digests: dict[str, str | None] = {}
    options: dict[str, Any] = {"count": count, "batch_size": batch_size, "transform": transform}
    for step, path in checkpoints.items():
        editor = open_editor(path)
        digests[str(step)] = digest(editor, path)
        sweep = GuidanceSweep(editor, text_scales, image_scales, steps)
        result = tradeoff([sweep], pairs, metrics, x=x, y=y, seeds=[seed], intervals=intervals, **options)
        chosen = drawn(pairs, count, 0)  # those of the curve
        found.append((result, _dependence(editor, pairs, chosen, batch_size, seed, transform, steps)))
        if on_checkpoint is not None:
            on_checkpoint(step)
    facts = {
        "checkpoints": {str(step): str(path) for step, path in checkpoints.items()},
        "sha256": digests,
        "data": {"name": pairs.name, "licence": pairs.licence, "fingerprint": pairs.fingerprint()},
        "seed": seed,
        "precision": editor.precision,
        "text_scales": list(text_scales),
        "image_scales": list(image_scales),
    }
    return _course(list(checkpoints), found, intervals, facts)


_INFOS = (COPIED, DEPENDENCE, DEPENDENCE)
_Asked = tuple[list[float], list[float], list[float]]


def _course(
    steps: Sequence[int], found: Sequence[tuple[Tradeoff, _Asked]], intervals: IntervalSettings, facts: dict[str, Any]
) -> Course:
    """Figures with intervals of each checkpoint, and how the last stands to the best."""
    one, groups = found[0][0], found[0][0].groups()
    curves = [
        Measured(
            str(step),
            "",
            tuple(range(len(result.places))),
            result.values(result.x),
            result.values(result.y),
            result.statistics(result.x, result.y),
        )
        for step, (result, _) in zip(steps, found, strict=True)
    ]
    figures = []
    for step, curve, (_, each) in zip(steps, make_curves(curves, groups, intervals).curves, found, strict=True):
        asked = [_interval(values, info, intervals) for values, info in zip(each, _INFOS, strict=True)]
        figures.append(CheckpointFigures(step, curve, *asked))
    areas = np.nan_to_num([one.curve.dominated.estimate for one in figures], nan=-1.0)
    best, last = np.flatnonzero(difference(areas, areas.max()) == 0)[-1].item(), len(figures) - 1
    lost = None
    if best != last:
        lost = make_curves([curves[best], curves[last]], groups, intervals).curves[1].dominated_difference
    facts = facts | {"pairs": len(groups), "x": one.x, "y": one.y, "intervals": asdict(intervals)}
    return Course(figures, figures[best].step, lost, facts)


def _dependence(
    editor: Editor,
    pairs: PairSource,
    chosen: Sequence[int],
    batch_size: int,
    seed: int,
    transform: Transform | None,
    steps: int | None,
) -> _Asked:
    """For each chosen pair whether it is left as it was, and how much the result depends on picture and text."""
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
