"""Making the parts of a cache that are missing, each rank its share."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ip2p_lightning.cache.encoding import Encoding
from ip2p_lightning.cache.pairs import FIELDS, pack_texts, unpack_texts, without_pictures
from ip2p_lightning.cache.store import ROWS, Store, cached_bytes
from ip2p_lightning.cache.views import Views
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.data.skipped import SkippedPair
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.progress import bar

log = logging.getLogger(__name__)

Looked = tuple[EditPair, list[tuple[int, EditPair]]]
"""A pair without images, and its distinct views as tensors."""


def _as_it_is(batch: PairBatch) -> PairBatch:
    return batch


@dataclass(frozen=True)
class Builder:
    """Fills stores.

    Args:
        source: of the training pairs.
        views: what is held of each pair.
        texts: store of the pairs' texts.
        stores: an encoding and where it goes, each.
        place: puts a batch where the networks are, in the type that they take.
        dtype: floating point type to store; None for what the networks give.
        batch_size: images or texts encoded at once.
        workers: loader processes.
        precision: context in which the step would run the networks (autocast).
    """

    source: PairSource
    views: Views
    texts: Store
    stores: Sequence[tuple[Encoding, Store]]
    place: Callable[[PairBatch], PairBatch] = _as_it_is
    dtype: torch.dtype | None = None
    batch_size: int = 32
    workers: int = 0
    precision: Callable[[], AbstractContextManager[None]] = nullcontext

    def missing(self) -> list[int]:
        """Parts that any store lacks."""
        return sorted({part for store in (self.texts, *(s for _, s in self.stores)) for part in store.missing()})

    def check_room(self, root: Path, limit: float) -> None:
        """Compare what is still to be written with the limit and with the disk, before anything is written.

        Args:
            root: the cache's folder.
            limit: bytes that it may hold in all.

        Raises:
            ValueError: not enough room; says how much is needed, and what takes less.
        """
        needed = {store.name: self._bytes(encoding, store) for encoding, store in self.stores}
        total, there = sum(needed.values()), cached_bytes(root)
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
        listed = ", ".join(f"{name} {size / 1e9:.3g} GB" for name, size in needed.items())
        if there + total > limit or total > free:
            raise ValueError(
                f"the cache needs {total / 1e9:.3g} GB ({listed}) besides {there / 1e9:.3g} GB that are in {root}; "
                f"cache.limit_gb={limit / 1e9:g} are allowed and {free / 1e9:.3g} GB are free. Raise cache.limit_gb, "
                "remove folders of earlier runs from the cache, store less (cache.dtype=float16, cache.states=false, "
                "fewer cache.crops), or choose another cache.folder"
            )
        log.info("cache: %.3g GB to write in %s (%s)", total / 1e9, root, listed)

    def build(self, rank: int = 0, ranks: int = 1, stop: Callable[[], bool] = lambda: False) -> None:
        """Make this rank's share of the missing parts, with a progress bar on the first rank.

        Jobs that build the same cache claim the parts they make, and begin at different ones, so that they help each
        other.

        Args:
            rank: of this process.
            ranks: how many there are.
            stop: asked before each part, and while others make the last ones; true leaves the rest for another time.

        Raises:
            ValueError: a damaged pair in whose place the source gives another; its part is not written.
        """
        self._skipped()  # what was left out before is not the cache's
        parts = [part for part in self.missing() if part % ranks == rank]
        start = os.getpid() % max(1, len(parts))
        for store in (self.texts, *(store for _, store in self.stores)):
            store.begin()
        keys = {self.texts.key(part): part for part in [*parts[start:], *parts[:start]]}
        with _bar(disable=rank > 0) as bar:
            task = bar.add_task("cache", total=sum(len(self.texts.members(part)) for part in parts))
            for key in self.texts.store.claims.work(keys, lambda names: self._lacking(keys, names), stop):
                self._part(keys[key])
                bar.advance(task, len(self.texts.members(keys[key])))

    def _lacking(self, parts: Mapping[str, int], names: Iterable[str]) -> list[str]:
        """The names of parts that any store lacks."""
        stores = [self.texts, *(store for _, store in self.stores)]
        return [name for name in names if not all(store.file(parts[name]).is_file() for store in stores)]

    @torch.no_grad()
    def _part(self, part: int) -> None:
        lacking = [(encoding, store) for encoding, store in self.stores if not store.file(part).is_file()]
        seen = [Collected(encoding, self) for encoding, _ in lacking]
        pairs = []
        for batch in self._looks(part, pictures=any(encoding.key is None for encoding, _ in lacking)):
            for collected in seen:
                collected.add(batch)
            pairs += [pair for pair, _ in batch]
        if skipped := self._skipped():
            raise ValueError(
                f"{len(skipped)} pair(s) could not be read, and the cache would keep those taken in their place for "
                f"good: {skipped[0].message}; fix the data (`ip2p data verify` names all that is damaged), or train "
                "with cache=null"
            )
        for collected, (_, store) in zip(seen, lacking, strict=True):
            store.write(part, collected.tensors())
        if not self.texts.file(part).is_file():
            self.texts.write(part, pack_texts(pairs))

    def _skipped(self) -> list[SkippedPair]:
        """Pairs that the source has left out since the last call (data.on_error=skip)."""
        source: Any = self.source
        return source.take_skipped() if hasattr(source, "take_skipped") else []

    def _looks(self, part: int, pictures: bool) -> Iterator[list[Looked]]:
        members = self.texts.members(part)
        if not pictures and self.texts.file(part).is_file():
            tensors = self.texts.tensors(part)
            yield [(unpack_texts(tensors, row), []) for row in range(len(members))]
            return
        looks = _Looks(self.source, self.views, members, pictures)
        own = torch.Generator()  # the global one must go on as if nothing had been cached
        yield from DataLoader(looks, self.batch_size, num_workers=self.workers, collate_fn=list, generator=own)

    def encode(self, encoding: Encoding, pairs: Sequence[EditPair]) -> dict[str, Tensor]:
        """Run a network on pairs, a batch at a time; the results are on the CPU."""
        chunks = [pairs[start : start + self.batch_size] for start in range(0, len(pairs), self.batch_size)]
        results = []
        for chunk in chunks:
            with self.precision():
                encoded = encoding.encode(self.place(PairBatch.collate(chunk)))
            results.append({name: self._narrowed(tensor).cpu() for name, tensor in encoded.items()})
        return {name: torch.cat([result[name] for result in results]) for name in results[0]}

    def _narrowed(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.dtype) if self.dtype is not None and tensor.is_floating_point() else tensor

    @torch.no_grad()
    def _bytes(self, encoding: Encoding, store: Store) -> int:
        """Bytes that an encoding's missing parts will take (at most, where texts are not known beforehand)."""
        missing = store.missing()
        if not missing:
            return 0
        pair, views = _Looks(self.source, self.views, range(1), encoding.key is None)[0]
        one = self.encode(encoding, [views[0][1]] if views else [pair])
        row = sum(tensor.nbytes for tensor in one.values())
        keys = self._keys(encoding)
        if encoding.key is None:
            return row * sum(len(store.members(part)) for part in missing) * self.views.count
        return row * sum(len(set(keys[m.start : m.stop])) for m in map(store.members, missing))

    def _keys(self, encoding: Encoding) -> list[Any]:
        """The key of each pair, or a number where the source does not tell its texts without its images."""
        column = getattr(self.source, "column", None)
        if column is None or encoding.key is None:
            return list(range(len(self.source)))
        texts = zip(*(column(name) for name in FIELDS), strict=True)
        return [encoding.key(without_pictures(dict(zip(FIELDS, values, strict=True)))) for values in texts]


class Collected:
    """Outputs of one encoding for the pairs of a part, in reading order."""

    def __init__(self, encoding: Encoding, builder: Builder) -> None:
        self.encoding, self.builder = encoding, builder
        self._rows: list[list[int]] = []
        self._known: dict[str, int] = {}
        self._results: list[dict[str, Tensor]] = []
        self._count = 0

    def add(self, batch: Sequence[Looked]) -> None:
        """Encode what is new in a batch."""
        new: list[EditPair] = []
        for pair, views in batch:
            rows = [self._count + len(new)] * self.builder.views.count
            if self.encoding.key is None:
                for offset, (view, picture) in enumerate(views):
                    rows[view] = rows[view] + offset
                    new.append(picture)
            else:
                row = self._known.setdefault(self.encoding.key(pair), rows[0])
                if row == rows[0]:
                    new.append(pair)
                rows = [row] * len(rows)
            self._rows.append(rows)
        if new:
            self._results.append(self.builder.encode(self.encoding, new))
            self._count += len(new)

    def tensors(self) -> dict[str, Tensor]:
        """The content of the part."""
        values = {name: torch.cat([result[name] for result in self._results]) for name in self._results[0]}
        return {**values, ROWS: torch.tensor(self._rows)}


class _Looks(Dataset[Looked]):
    """Pairs of a source, each in its distinct views."""

    def __init__(self, source: PairSource, views: Views, members: range, pictures: bool) -> None:
        self.source, self.views, self.members, self.pictures = source, views, members, pictures

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> Looked:
        pair = self.source[self.members[index]]
        texts = {name: getattr(pair, name) for name in FIELDS}
        seen = [(view, self.views.see(pair, view)) for view in self.views.distinct(pair)] if self.pictures else []
        return without_pictures(texts), seen


def _bar(disable: bool) -> Progress:
    return bar(disable=disable)
