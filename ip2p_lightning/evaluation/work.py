"""Edits of pairs under seeds: shared among processes, kept on disk as they are measured, and put together again."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.evaluation.journal import Journal, Key
from ip2p_lightning.evaluation.sharing import Ranks

Row = dict[str, Any]
Pictures = dict[Key, Image.Image]
Advance = Callable[[int], None]
Edit = Callable[[list[int], Advance], tuple[Mapping[Key, Row], Mapping[Key, Image.Image]]]
"""`(positions, advance) -> rows, pictures that may be shown`; tells `advance` of each edit."""
HandOut = Callable[[Sequence[str]], None]
"""Has the parts of some names made by others, and returns when they are there."""


def drawn(pairs: PairSource, count: int | None, seed: int) -> list[int]:
    """Positions of `count` pairs drawn at random, ascending; of all of them for None."""
    return sorted(random.Random(f"pairs/{seed}").sample(range(len(pairs)), len(pairs) if count is None else count))


def shown_of(chosen: Sequence[int], count: int, seed: int) -> list[int]:
    """Positions of at most `count` of the pairs, drawn at random, whose edits are shown."""
    return random.Random(f"examples/{seed}").sample(chosen, min(count, len(chosen)))


def facts_of(pairs: PairSource, chosen: Sequence[int], draw: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Settings of the edits, for the record, as JSON values."""
    return {
        "data": {"name": pairs.name, "licence": pairs.licence, "fingerprint": pairs.fingerprint()},
        "draw": {"count": len(chosen), "of": len(pairs), "seed": draw},
        "seeds": list(seeds),
    }


@dataclass
class Work:
    """Work of an evaluation, and the rows that this process has.

    Args:
        chosen: positions of the pairs.
        seeds: of the edits.
        each: edits that a row stands for, as progress is reported.
        ranks: the processes that share it.
        rows: a row for each pair and seed, which names its pair.
    """

    chosen: Sequence[int]
    seeds: Sequence[int]
    each: int = 1
    ranks: Ranks = field(default_factory=Ranks.current)
    rows: dict[Key, Row] = field(default_factory=dict)
    _journal: Journal | None = None
    _done: frozenset[Key] = frozenset()
    _lacking: frozenset[Key] = frozenset()

    def resume(self, folder: str | Path | None, facts: Mapping[str, Any], shown: Collection[Key]) -> None:
        """Open the journal, and take over what it holds.

        Args:
            folder: of the journal; None for none.
            facts: everything that rows depend on, JSON values.
            shown: whose images are needed; without them their rows are made again.

        Raises:
            ValueError: rows of another evaluation.
        """
        if folder is None:
            return
        self.ranks.first(lambda: Journal(folder, facts) and None)  # makes it, or says why it cannot be used
        book = self._journal = Journal(folder, facts)
        rows = self.ranks.first(book.rows)
        lost = {key for key in shown if book.image(key) is None}
        lacking = self.ranks.first(lambda: lost)
        self._done, self._lacking = frozenset(rows.keys() - lacking), frozenset(rows.keys() & lacking)
        if self.ranks.rank == 0:
            self.rows = {key: rows[key] for key in self._done}

    def do(
        self, edit: Edit, batch_size: int, on_progress: Advance | None = None, hand_out: HandOut | None = None
    ) -> None:
        """Do this process's share of what is not done: whole batches, those that a single process would make.

        A batch that a process of another job has claimed in the journal is left to it, and its rows are taken over.

        Args:
            edit: see there.
            batch_size: positions at once.
            on_progress: called with the number of edits: its own and as many of each other process.
            hand_out: has others make the batches, by the names of their parts in the journal, with `worker`.
        """
        told = on_progress or (lambda edits: None)
        blocks = [list(self.chosen[start : start + batch_size]) for start in range(0, len(self.chosen), batch_size)]
        left = [block for block in blocks if not self._done.issuperset(self.keys(block))]
        if before := self.each * len(self.seeds) * (len(self.chosen) - sum(map(len, left))):
            told(before)
        share = self.ranks.share(left)
        if self._journal is None:
            for block in share:
                self.rows |= edit(block, lambda edits: told(edits * self.ranks.world))[0]
            return
        book = self._journal
        parts = {book.part(self.keys(block)): block for block in share}
        for part, block in parts.items():
            if not self._lacking.isdisjoint(self.keys(block)):
                book.parts.remove(part)  # its rows are there, but not its images
        if hand_out is not None and parts:
            hand_out(list(parts))
        for part in book.parts.work(parts):
            rows, pictures = edit(parts[part], lambda edits: told(edits * self.ranks.world))
            book.write(part, rows, pictures)
            self.rows |= rows
        wanted = {key for block in share for key in self.keys(block)} - self.rows.keys()
        self.rows |= {key: row for key, row in book.rows().items() if key in wanted} if wanted else {}

    def worker(self, edit: Edit, batch_size: int) -> Callable[[str], None]:
        """Worker that makes a batch by the name of its part in the journal, unless another process has it."""
        book = self._journal
        assert book is not None  # `resume` opened it
        blocks = (list(self.chosen[start : start + batch_size]) for start in range(0, len(self.chosen), batch_size))
        parts = {book.part(self.keys(block)): block for block in blocks}

        def work(part: str) -> None:
            for key in book.parts.work([part]):
                book.write(key, *edit(parts[key], lambda edits: None))

        return work

    def gather(self, pictures: Mapping[Key, Image.Image]) -> Pictures:
        """Put the rows of all processes together, in the order of pairs and seeds; returns all their images.

        Args:
            pictures: of this process.

        Raises:
            ValueError: two pairs of one id.
            RuntimeError: rows are missing.
        """
        rows: dict[Key, Row] = {}
        together: Pictures = {}
        for share, shown in self.ranks.gather((self.rows, dict(pictures))):
            rows |= share
            together |= shown
        keys = self.keys(self.chosen)
        missing = [key for key in keys if key not in rows]
        if missing:
            raise RuntimeError(f"{len(missing)} of {len(keys)} rows were not measured, the first is {missing[0]}")
        self.rows = {key: rows[key] for key in keys}
        places: dict[str, int] = {}
        for (place, _), row in self.rows.items():
            if places.setdefault(row["pair"], place) != place:
                raise ValueError(
                    f"two pairs have the id {row['pair']!r}; render or import with prefix=NAME, which tells them apart"
                )
        return together

    def kept(self, key: Key) -> Image.Image | None:
        """An image of the journal's; None if there is none."""
        return self._journal.image(key) if self._journal else None

    def keys(self, places: Sequence[int]) -> list[Key]:
        """Those of the rows of some positions."""
        return [(place, seed) for place in places for seed in self.seeds]
