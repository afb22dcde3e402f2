"""Selection of a dataset's pairs: thresholds, kinds, splits and nested sizes as row selections on its index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ip2p_lightning.data.dataset_info import SCORE_PREFIX
from ip2p_lightning.data.randomness import hashed_integer

REJECTED = "rejected"
"""Split of pairs that a filter left out: stored to be looked at, and for other thresholds; nothing trains on them."""
_NAMES = {"pair": "id", "group": "group"}
"""Unit of a size, and the column that names it."""
_BATCH = 65_536


@dataclass(frozen=True)
class Selection:
    """A choice of index rows; nothing on disk is rewritten, and the rows keep their order.

    Args:
        split: keep this split only.
        splits: cut the dataset again into named fractions that sum to 1 ({"train": 0.9, "test": 0.1}), whole groups at
            a time, in place of the splits that are stored in it; pairs of the stored split `REJECTED` stay out.
        kinds: keep these kinds of edits only.
        min_scores, max_scores: by score name, keep pairs with at least / at most this score; pairs without the score
            are dropped.
        size: keep this many pairs, or with a point this share of them (0.1, 1.0), chosen by a hash of the id:
            size=100 is a subset of size=200, and 0.1 of 0.2.
        size_of: what ``size`` counts: pairs, or groups (prompts), of which each comes with all its pairs.
        seed: another seed gives another nested family of sizes and another cut into ``splits``.
        option_prefix: how errors call the fields, such as "data." for the command line's ``data.size``.
    """

    split: str | None = None
    splits: Mapping[str, float] | None = None
    kinds: Sequence[str] | None = None
    min_scores: Mapping[str, float] | None = None
    max_scores: Mapping[str, float] | None = None
    size: int | float | None = None
    size_of: Literal["pair", "group"] = "pair"
    seed: int = 0
    option_prefix: str = "data."

    def __post_init__(self) -> None:
        share = isinstance(self.size, float)
        if self.size is not None and not (0 < self.size <= 1 if share else self.size >= 1):
            raise ValueError(
                f"{self.option_prefix}size={self.size} must be a number of pairs from 1, a share above 0.0 and up to "
                "1.0, or null for all pairs"
            )
        if self.size_of not in _NAMES:
            raise ValueError(f"{self.option_prefix}size_of={self.size_of!r}: choose one of {', '.join(_NAMES)}")
        if self.splits is not None:
            check_fractions(self.splits)

    def columns(self, known: Sequence[str]) -> list[str]:
        """The columns that `rows` looks at, of those that an index has."""
        wanted = {"split"} if self.splits is None else {"split", "group"}  # one gives the number of rows
        if self.size is not None:
            wanted.add(_NAMES[self.size_of])
        if self.kinds is not None:
            wanted.add("kind")
        scores = bool(self.min_scores or self.max_scores)
        return [name for name in known if name in wanted or (scores and name.startswith(SCORE_PREFIX))]

    def rows(self, index: pa.Table, name: str = "the dataset") -> np.ndarray:
        """Row numbers of the selected pairs, ascending.

        Args:
            index: the dataset's index.
            name: what errors call the dataset.

        Raises:
            ValueError: an unknown split, kind or score, no pair left, or fewer than ``size``; says how many pairs
                each condition left over.
        """
        keep = np.ones(index.num_rows, dtype=bool)
        steps = [f"{index.num_rows:,} pairs"]
        for label, condition in self._conditions(index, name):
            keep &= condition
            steps.append(f"{label}: {int(keep.sum()):,}")
        rows = np.flatnonzero(keep)
        funnel = " -> ".join(steps)
        if not len(rows):
            raise ValueError(f"no pair of {name} survives the selection ({funnel}); relax the last condition")
        if self.size is None:
            return rows
        hashes = _hashes(index.column(_NAMES[self.size_of]).take(pa.array(rows)), self.seed)
        distinct = np.unique(hashes)
        size = max(1, round(self.size * len(distinct))) if isinstance(self.size, float) else self.size
        if size > len(distinct):
            raise ValueError(
                f"{self.option_prefix}size={self.size} but only {len(distinct)} {self.size_of}s survive in {name} "
                f"({funnel}); lower {self.option_prefix}size to {len(distinct)} or relax the conditions"
            )
        return rows[hashes <= distinct[size - 1]]

    def _conditions(self, index: pa.Table, name: str) -> list[tuple[str, np.ndarray]]:
        conditions = []
        if self.split is not None:
            conditions.append((f"split={self.split}", self._in_split(index, name)))
        if self.kinds is not None:
            self._check_known("kinds", self.kinds, index.column("kind").unique().to_pylist(), name)
            conditions.append((f"kinds={list(self.kinds)}", _among(index, "kind", self.kinds)))
        for option, compare, sign in (("min_scores", np.greater_equal, ">="), ("max_scores", np.less_equal, "<=")):
            for score, bound in (getattr(self, option) or {}).items():
                known = [c.removeprefix(SCORE_PREFIX) for c in index.column_names if c.startswith(SCORE_PREFIX)]
                self._check_known(option, [score], known, name)
                scores = index.column(SCORE_PREFIX + score).to_numpy().astype(np.float64)  # missing ones are NaN
                conditions.append((f"{score} {sign} {bound}", compare(scores, bound)))
        return conditions

    def _in_split(self, index: pa.Table, name: str) -> np.ndarray:
        if self.splits is None:
            self._check_known("split", [self.split], index.column("split").unique().to_pylist(), name)
            return _among(index, "split", [self.split])
        self._check_known("split", [self.split], list(self.splits), name)
        groups = index.column("group").unique().to_pylist()
        chosen = [group for group in groups if group_split(group, self.splits, self.seed) == self.split]
        return _among(index, "group", chosen) & ~_among(index, "split", [REJECTED])

    def _check_known(self, option: str, wanted: Sequence[str | None], known: Sequence[str], name: str) -> None:
        if unknown := [value for value in wanted if value not in known]:
            listed = ", ".join(sorted(known)) or "none"
            raise ValueError(
                f"{self.option_prefix}{option}: {name} has no {', '.join(map(str, unknown))}; it has {listed}"
            )


def group_split(group: str, fractions: Mapping[str, float], seed: int = 0) -> str:
    """The split of a group: drawn by a hash of its name, so that it depends on no other group.

    Args:
        group: name of the group (one caption, scene or photograph).
        fractions: split name -> share of the groups, summing to 1.
        seed: another seed gives another cut.
    """
    position, upper = hashed_integer(seed, "split", group) / 2**64, 0.0
    for split, fraction in fractions.items():
        upper += fraction
        if position < upper:
            return split
    return split  # rounding: the fractions sum to a little less than 1


def exact_splits(groups: Iterable[str], fractions: Mapping[str, float], seed: int = 0) -> dict[str, str]:
    """The split of each of a set of groups: in the order of their hashes, and exactly by the fractions.

    Unlike `group_split` it suits a handful of groups: every split with a fraction gets one where there are enough.

    Args:
        groups: names; repeated ones count once.
        fractions: split name -> share of the groups, summing to 1.
        seed: another seed gives another cut.
    """
    order = sorted(set(groups), key=lambda group: (hashed_integer(seed, "split", group), group))
    wanted = {split: fraction * len(order) for split, fraction in fractions.items() if fraction > 0}
    counts = {split: max(1, int(share)) for split, share in wanted.items()}
    while sum(counts.values()) < len(order):
        counts[max(counts, key=lambda split: wanted[split] - counts[split])] += 1
    while sum(counts.values()) > len(order):  # where there are fewer groups than splits, the last go without
        most = max(counts.values())
        counts[[split for split in counts if counts[split] == most][-1]] -= 1
    named = [split for split, count in counts.items() for _ in range(count)]
    return dict(zip(order, named, strict=True))


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise ValueError unless the fractions are non-negative and sum to 1."""
    if not fractions or min(fractions.values()) < 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"split fractions must be non-negative and sum to 1, got {dict(fractions)}")


def _among(index: pa.Table, column: str, values: Sequence[str | None]) -> np.ndarray:
    """Mask of rows with one of these values."""
    wanted = pa.array(values, pa.string())
    column_values = index.column(column).cast(pa.string())
    return pc.is_in(column_values, value_set=wanted).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]


def _hashes(ids: pa.ChunkedArray, seed: int) -> np.ndarray:
    """The hash of each id, uint64; some thousand ids at a time, as Python's strings take much room."""
    hashes = np.empty(len(ids), dtype=np.uint64)
    for start in range(0, len(ids), _BATCH):
        batch = ids.slice(start, _BATCH).to_pylist()
        hashes[start : start + len(batch)] = [hashed_integer(seed, id) for id in batch]
    return hashes
