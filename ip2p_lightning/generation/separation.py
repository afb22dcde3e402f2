"""What a filter is worth where the truth is known: how often kept pairs show what they should, and those left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from rich.table import Table

from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.encoded import SCORES
from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import REJECTED, Selection
from ip2p_lightning.evaluation.wording import percent
from ip2p_lightning.generation.base import EditTriple
from ip2p_lightning.generation.rendering import CORRUPTION, RIGHT
from ip2p_lightning.generation.world_triples import change_of
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.world.attributes import changed, describe, kept

_BATCH = 64
_BEST = "clip_direction"
_SHARES = ("right", "changed", "kept", "original")


@dataclass(frozen=True)
class Correctness:
    """How right the pairs of one group are.

    Args:
        name: of the group.
        pairs: how many.
        right: share that the renderer drew without a mistake; NaN where it did not draw them.
        changed: share of the attributes that the edit should bring about which the judge reads in the edited picture.
        kept: share of the attributes that both pictures should show alike which the judge reads in both.
        original: share of the original caption's attributes that the judge reads in the original.
    """

    name: str
    pairs: int
    right: float
    changed: float
    kept: float
    original: float


@torch.no_grad()
def separation(path: str | Path, judge: AttributeJudge) -> list[Correctness]:
    """Correctness of the pairs of a generated dataset of the world: those that were kept, and those that were not.

    Args:
        path: the dataset folder.
        judge: reads what pictures show.

    Raises:
        ValueError: pairs that are not of the world.
    """
    groups = defaultdict(list)
    splits = dict.fromkeys(ShardDataset(path).column("split"))
    for split in splits:
        groups["left out" if split == REJECTED else "kept"].append(ShardDataset(path, Selection(split=split)))
    return [_correctness(name, datasets, judge) for name, datasets in sorted(groups.items())]


def separation_table(rows: list[Correctness]) -> Table:
    """For the terminal."""
    table = Table()
    for column in ("pairs", "number", "drawn right", "asked for", "kept alike", "original"):
        table.add_column(column, justify="left" if column == "pairs" else "right")
    for row in rows:
        shares = map(percent, (row.right, row.changed, row.kept, row.original))
        table.add_row(row.name, f"{row.pairs:,}", *shares)
    return table


def separation_sheet(
    path: str | Path, left_out: bool, count: int = 9, columns: int = 3, side: int = 128
) -> Image.Image:
    """A contact sheet of random pairs that were kept or left out, each with its mistake, if known, and its direction.

    Args:
        path: the dataset folder.
        left_out: those that were not kept.
        count: how many pairs.
        columns: pairs in a row.
        side: pixels of a picture's side.
    """
    dataset = ShardDataset(path)
    wanted = [row for row, split in enumerate(dataset.column("split")) if (split == REJECTED) == left_out]
    chosen = addressed_random("separation", left_out).sample(wanted, min(count, len(wanted)))
    pairs = [dataset[row] for row in chosen]
    named = [
        replace(pair, kind=f"{pair.metadata.get(CORRUPTION, pair.kind)}, direction {pair.metadata[SCORES][_BEST]:.2f}")
        for pair in pairs
    ]
    title = f"{'left out' if left_out else 'kept'}: {len(named)} of {len(wanted):,} pairs"
    return contact_sheet(named, title=title, columns=columns, side=side)


def _correctness(name: str, datasets: list[ShardDataset], judge: AttributeJudge) -> Correctness:
    tallies: dict[str, list[bool]] = defaultdict(list)
    count = 0
    for batch in _batches(datasets):
        count += len(batch)
        originals = torch.stack([to_tensor(pair.original_image) for pair in batch])  # type: ignore[arg-type]
        edited = torch.stack([to_tensor(pair.edited_image) for pair in batch])  # type: ignore[arg-type]
        for pair, before, after in zip(batch, judge.read(originals), judge.read(edited), strict=True):
            triple = EditTriple(pair.id, "", "", "", metadata=pair.metadata)
            truths = describe(change_of(triple))
            if CORRUPTION in pair.metadata:
                tallies["right"].append(pair.metadata[CORRUPTION] == RIGHT)
            tallies["changed"] += [after.get(name) == value for name, value in changed(*truths).items()]
            alike = kept(*truths)
            tallies["kept"] += [before.get(name) == after.get(name) == value for name, value in alike.items()]
            tallies["original"] += [before.get(name) == value for name, value in truths[0].items()]
    shares = {name: sum(tallies[name]) / len(tallies[name]) if tallies[name] else float("nan") for name in _SHARES}
    return Correctness(name, count, **shares)


def _batches(datasets: list[ShardDataset]) -> Iterator[list[EditPair]]:
    pairs = (dataset[row] for dataset in datasets for row in range(len(dataset)))
    return iter(lambda: list(islice(pairs, _BATCH)), [])
