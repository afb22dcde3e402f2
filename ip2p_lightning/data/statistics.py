"""Statistics of a dataset: counts by kind and split, lengths of texts, and how much its edits change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.data.reader import ShardDataset

VISIBLE = 8
"""A pixel counts as changed if any of its channels differs by more than this (of 255; JPEG noise stays below)."""

_TEXTS = ("instruction", "expressive_instruction", "original_caption", "edited_caption")


@dataclass(frozen=True)
class Spread:
    """5th percentile, median, 95th percentile and mean of a quantity."""

    low: float
    median: float
    high: float
    mean: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        low, median, high = np.percentile(values, [5, 50, 95])
        return cls(float(low), float(median), float(high), float(np.mean(values)))


@dataclass(frozen=True)
class DatasetStatistics:
    """Result of `dataset_statistics`.

    Args:
        pairs, groups: numbers of pairs and of groups.
        counts: kind -> split -> pairs.
        words: text field -> words a text, over the pairs that have it.
        missing: text field -> pairs without it.
        sizes: (width, height) in pixels -> pairs, the most frequent first.
        scores: score name -> its spread.
        changed: kind -> share of pixels that the edit changes visibly, over the sampled pairs.
        difference: kind -> mean absolute difference of the images (0 to 1), over the sampled pairs.
        sampled: number of pairs whose images were compared.
    """

    pairs: int
    groups: int
    counts: dict[str, dict[str, int]]
    words: dict[str, Spread]
    missing: dict[str, int]
    sizes: dict[tuple[int, int], int]
    scores: dict[str, Spread]
    changed: dict[str, Spread]
    difference: dict[str, Spread]
    sampled: int


def dataset_statistics(dataset: ShardDataset, *, sample: int = 500, seed: int = 0) -> DatasetStatistics:
    """Count what is in a dataset; texts and scores over all pairs, images over a random sample.

    Args:
        dataset: the pairs.
        sample: how many pairs to decode for the size of their edits.
        seed: of the sample.
    """
    counts: dict[str, dict[str, int]] = {}
    for kind, split in zip(dataset.column("kind"), dataset.column("split"), strict=True):
        row = counts.setdefault(kind, {})
        row[split] = row.get(split, 0) + 1
    texts = {name: [len(text.split()) for text in dataset.column(name)] for name in _TEXTS}
    sizes: dict[tuple[int, int], int] = {}
    for size in zip(dataset.column("width"), dataset.column("height"), strict=True):
        sizes[size] = sizes.get(size, 0) + 1
    scores = {name: [v for v in dataset.column(f"score_{name}") if v is not None] for name in dataset.score_names}
    rows = addressed_random("statistics", seed).sample(range(len(dataset)), min(sample, len(dataset)))
    changed: dict[str, list[float]] = {}
    difference: dict[str, list[float]] = {}
    for row in sorted(rows):
        pair = dataset[row]
        share, mean = edit_size(pair)
        changed.setdefault(pair.kind, []).append(share)
        difference.setdefault(pair.kind, []).append(mean)
    return DatasetStatistics(
        pairs=len(dataset),
        groups=len(set(dataset.groups)),
        counts=dict(sorted(counts.items())),
        words={name: Spread.of(kept) for name, words in texts.items() if (kept := [w for w in words if w])},
        missing={name: words.count(0) for name, words in texts.items()},
        sizes=dict(sorted(sizes.items(), key=lambda item: -item[1])),
        scores={name: Spread.of(values) for name, values in scores.items() if values},
        changed={kind: Spread.of(values) for kind, values in sorted(changed.items())},
        difference={kind: Spread.of(values) for kind, values in sorted(difference.items())},
        sampled=len(rows),
    )


def edit_size(pair: EditPair) -> tuple[float, float]:
    """Share of visibly changed pixels, and mean absolute difference (0 to 1), of a pair of PIL images."""
    before, after = (np.asarray(image, dtype=np.int16) for image in (pair.original_image, pair.edited_image))
    difference = np.abs(after - before)
    return float((difference.max(axis=-1) > VISIBLE).mean()), float(difference.mean() / 255)
