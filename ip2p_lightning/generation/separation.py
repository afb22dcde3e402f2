"""Quality of a filter where the truth is known: how often kept pairs show what they should, and those left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import torch
from PIL import Image
from rich.table import Table

from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.encoded import SCORES
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.mistakes import MISTAKE, RIGHT
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.formatting import NOTHING, percent
from ip2p_lightning.generation.base import EditTriple
from ip2p_lightning.generation.filter import DUPLICATE, KEPT, SURPLUS
from ip2p_lightning.generation.merge import CANDIDATES
from ip2p_lightning.generation.world_triples import change_of
from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.world.attributes import changed, describe, kept

GROUPS = ("kept", "spare", "left out")
"""Pairs that are kept; good enough, but too many or like better ones; refused for their scores or images."""
_BATCH = 64
_BEST = "clip_direction"
_SHARES = ("right", "changed", "kept", "original", "whole")


@dataclass(frozen=True)
class Correctness:
    """Correctness of the pairs of one group; intervals are of captions, whose pairs are drawn together.

    Args:
        name: of the group.
        pairs: how many.
        right: share that the renderer drew without a mistake; NaN where it did not draw them.
        changed: share of the attributes that the edit should bring about which the judge reads in the edited image.
        kept: share of the attributes that both images should show alike which the judge reads in both.
        original: share of the original caption's attributes that the judge reads in the original.
        whole: share of the pairs of which all of that is right.
    """

    name: str
    pairs: int
    right: Interval
    changed: Interval
    kept: Interval
    original: Interval
    whole: Interval


@torch.no_grad()
def separation(path: str | Path, judge: AttributeJudge) -> list[Correctness]:
    """Correctness of the pairs of a generated dataset of the world, for each of `GROUPS` that has any.

    Args:
        path: the dataset folder.
        judge: reads what images show.

    Raises:
        FileNotFoundError: a dataset without `candidates.parquet`.
        ValueError: pairs that are not of the world.
    """
    dataset = ShardDataset(path)
    rows: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(_groups(path, dataset)):
        rows[group].append(row)
    return [_correctness(group, dataset, rows[group], judge) for group in GROUPS if group in rows]


def separation_table(rows: list[Correctness]) -> Table:
    """For the terminal."""
    table = Table()
    for column in ("pairs", "number", "drawn right", "asked for", "kept alike", "original", "all of it"):
        table.add_column(column, justify="left" if column == "pairs" else "right")
    for row in rows:
        table.add_row(row.name, f"{row.pairs:,}", *(_told(getattr(row, share)) for share in _SHARES))
    return table


def separation_sheet(path: str | Path, group: str, count: int = 9, columns: int = 3, side: int = 128) -> Image.Image:
    """A contact sheet of random pairs of one group, each with its mistake, if known, and its direction.

    Args:
        path: the dataset folder.
        group: one of `GROUPS`.
        count: how many pairs.
        columns: pairs in a row.
        side: pixels of an image's side.
    """
    dataset = ShardDataset(path)
    wanted = [row for row, name in enumerate(_groups(path, dataset)) if name == group]
    chosen = addressed_random("separation", group).sample(wanted, min(count, len(wanted)))
    pairs = [dataset[row] for row in chosen]
    named = [
        replace(pair, kind=f"{pair.metadata.get(MISTAKE, pair.kind)}, direction {pair.metadata[SCORES][_BEST]:.2f}")
        for pair in pairs
    ]
    title = f"{group}: {len(named)} of {len(wanted):,} pairs"
    return contact_sheet(named, title=title, columns=columns, side=side)


def _groups(path: str | Path, dataset: ShardDataset) -> list[str]:
    """The group of each pair of the dataset."""
    table = pq.read_table(Path(path) / CANDIDATES, columns=["pair", "reason"])
    reasons = dict(zip(table.column("pair").to_pylist(), table.column("reason").to_pylist(), strict=True))
    names = {KEPT: GROUPS[0], SURPLUS: GROUPS[1], DUPLICATE: GROUPS[1]}
    return [names.get(reasons[id], GROUPS[2]) for id in dataset.column("id")]


def _correctness(name: str, dataset: ShardDataset, rows: list[int], judge: AttributeJudge) -> Correctness:
    found: dict[str, list[tuple[bool, str]]] = {share: [] for share in _SHARES}
    for batch in _batches(dataset, rows):
        originals = torch.stack([to_tensor(pair.original_image) for pair in batch])  # type: ignore[arg-type]
        edited = torch.stack([to_tensor(pair.edited_image) for pair in batch])  # type: ignore[arg-type]
        for pair, before, after in zip(batch, judge.read(originals), judge.read(edited), strict=True):
            for share, answers in _answers(pair, before, after).items():
                found[share] += [(answer, pair.group) for answer in answers]
    shares = {
        share: bootstrap_interval([answer for answer, _ in answers], [group for _, group in answers], share=True)
        for share, answers in found.items()
    }
    return Correctness(name, len(rows), **shares)


def _answers(pair: EditPair, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[bool]]:
    """Correctness of a pair, for each of `_SHARES`, by what the judge read before and after."""
    truths = describe(change_of(EditTriple(pair.id, "", "", "", metadata=pair.metadata)))
    judged = {
        "changed": [after.get(name) == value for name, value in changed(*truths).items()],
        "kept": [before.get(name) == after.get(name) == value for name, value in kept(*truths).items()],
        "original": [before.get(name) == value for name, value in truths[0].items()],
    }
    drawn = [pair.metadata[MISTAKE] == RIGHT] if MISTAKE in pair.metadata else []
    return {"right": drawn, **judged, "whole": [all(answer for answers in judged.values() for answer in answers)]}


def _told(share: Interval) -> str:
    """A share and its interval in words."""
    if not share.values:
        return NOTHING
    return f"{percent(share.estimate)} ({percent(share.low)} to {percent(share.high)})"


def _batches(dataset: ShardDataset, rows: list[int]) -> Iterator[list[EditPair]]:
    for start in range(0, len(rows), _BATCH):
        yield [dataset[row] for row in rows[start : start + _BATCH]]
