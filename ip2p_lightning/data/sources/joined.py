"""Several sources one after the other, as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np

from ip2p_lightning.data.encoded import EncodedPair, encode_pair
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.data.skipped import SkippedPair
from ip2p_lightning.data.sources import EncodedSource, PairSource

Pair = TypeVar("Pair", EditPair, EncodedPair)


class JoinedSource:
    """The pairs of several sources, in order.

    Args:
        sources: the parts.
        prefixes: one string a part, put before its ids and groups ("photos/12"); needed where parts share ids.

    Raises:
        ValueError: no part, or as many prefixes as parts are not given.
    """

    def __init__(self, sources: Sequence[PairSource], prefixes: Sequence[str] | None = None) -> None:
        if not sources:
            raise ValueError("a joined source needs at least one part")
        if prefixes is not None and len(prefixes) != len(sources):
            raise ValueError(f"{len(sources)} sources need as many prefixes, got {len(prefixes)}")
        self.sources, self.prefixes = list(sources), prefixes
        self.name = " + ".join(dict.fromkeys(source.name for source in sources))
        self.licence = "; ".join(dict.fromkeys(source.licence for source in sources))
        self._ends = list(accumulate(len(source) for source in sources))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> EditPair:
        part, inner = self._locate(index)
        return self._renamed(self.sources[part][inner], part)

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` as bytes: the part's own where it has them, else PNG; with the part's split."""
        part, inner = self._locate(index)
        source = self.sources[part]
        if isinstance(source, EncodedSource):
            return self._renamed(source.encoded(inner), part)
        return self._renamed(encode_pair(source[inner], getattr(source, "split", None) or ""), part)

    @property
    def groups(self) -> list[str]:
        """The group of each pair; only where every part knows its groups."""
        prefixes = self.prefixes or [""] * len(self.sources)
        parts = zip(prefixes, self.sources, strict=True)
        return [prefix + group for prefix, source in parts for group in source.groups]  # type: ignore[attr-defined]

    @property
    def shards(self) -> np.ndarray:
        """The number of each pair's shard, int32 [pairs], counted through all parts; where every part has shards."""
        numbers, first = [], 0
        for source in self.sources:
            numbers.append(source.shards + first)  # type: ignore[attr-defined]
            first = int(numbers[-1].max()) + 1
        return np.concatenate(numbers)

    def take_skipped(self) -> list[SkippedPair]:
        """The pairs that parts with on_error="skip" left out since the last call."""
        parts = [part.take_skipped() for part in self.sources if hasattr(part, "take_skipped")]  # type: ignore[attr-defined]
        return [pair for part in parts for pair in part]

    def fingerprint(self) -> str:
        return f"{hashed_integer(*[source.fingerprint() for source in self.sources], self.prefixes):016x}"

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)

    def _renamed(self, pair: Pair, part: int) -> Pair:
        if self.prefixes is None:
            return pair
        prefix = self.prefixes[part]
        return replace(pair, id=prefix + pair.id, group=prefix + (pair.group or pair.id))


def told_apart(source: PairSource) -> PairSource:
    """Joined datasets that share ids, with the name of each one's folder before its ids; other sources as they are."""
    if not isinstance(source, JoinedSource) or source.prefixes is not None:
        return source
    parts = source.sources
    if not all(hasattr(part, "column") and hasattr(part, "path") for part in parts):
        return source
    ids = [id for part in parts for id in part.column("id")]  # type: ignore[attr-defined]
    if len(set(ids)) == len(ids):
        return source
    return JoinedSource(parts, [f"{name}/" for name in _folder_names([str(part.path) for part in parts])])  # type: ignore[attr-defined]


def _folder_names(paths: Sequence[str]) -> list[str]:
    """The last parts of paths, as many as tell them apart; with numbers where nothing does."""
    split = [PurePosixPath(path).parts for path in paths]
    for count in range(1, max(map(len, split)) + 1):
        names = ["/".join(parts[-count:]).strip("/") for parts in split]
        if len(set(names)) == len(names):
            return names
    return [f"{number}-{PurePosixPath(path).name}" for number, path in enumerate(paths)]
