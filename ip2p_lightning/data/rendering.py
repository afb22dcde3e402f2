"""From a source of pairs to a dataset folder, with any number of processes and the same bytes for each number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from ip2p_lightning import __version__
from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.encoded import EncodedPair, decode_pair, encode_pair, error_category
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.selection import check_fractions, exact_splits, group_split
from ip2p_lightning.data.shards import MAX_SHARD_BYTES, ShardWriter
from ip2p_lightning.data.sources import EncodedSource, PairSource

_CHUNK = 16  # pairs a worker hands over at once


class RenderError(ValueError):
    """A pair that its source could not deliver; the message names source, index and cause."""


@dataclass
class RenderReport:
    """Result of `render_dataset`.

    Args:
        path: the dataset folder.
        info: its `dataset.json`.
        skipped: a message for each pair that could not be had.
        reasons: how many of them were left out for what.
        left_out: what the sources hold besides their pairs.
    """

    path: Path
    info: DatasetInfo
    skipped: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    left_out: LeftOut = field(default_factory=LeftOut)


@dataclass(frozen=True)
class _Failure:
    message: str
    reason: str


class _EncodedPairs(Dataset[EncodedPair | _Failure]):
    """Pairs of a source as bytes; failures are values, so that they cross process borders with a clean message."""

    def __init__(self, source: PairSource, decode: bool) -> None:
        self.source, self.decode = source, decode

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> EncodedPair | _Failure:
        try:
            if isinstance(self.source, EncodedSource):
                encoded = self.source.encoded(index)
                if self.decode:  # at an eighth of the size where the format can, which reads all the bytes as well
                    decode_pair(encoded, least_side=1)
                return encoded
            return encode_pair(self.source[index], getattr(self.source, "split", None) or "")
        except (ValueError, OSError) as error:
            return _Failure(f"pair {index} of source {self.source.name!r}: {error}", error_category(error))


def render_dataset(
    sources: PairSource | Mapping[str, PairSource],
    path: str | Path,
    *,
    workers: int = 0,
    splits: Mapping[str, float] | None = None,
    default_splits: Mapping[str, float] | None = None,
    prefix: str = "",
    skip_failures: bool = False,
    decode: bool = True,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    overwrite: bool = False,
    advance: Callable[[int], None] | None = None,
) -> RenderReport:
    """Write all pairs of a source, or of one source for each split, as a dataset folder.

    The result does not depend on ``workers``. A pair's split is, in this order: the name of its source in a mapping,
    its part of ``splits``, the split its source gives, its part of ``default_splits``, "train".

    Args:
        sources: a source, or split name -> source.
        path: the dataset folder to make.
        workers: processes that draw and encode; 0 does so in this one.
        splits: split name -> fraction, by which to cut a single source, whole groups at a time.
        default_splits: the same for a single source that names no split itself.
        prefix: put before ids and groups ("mine" gives "mine/12"), so that datasets may be read together.
        skip_failures: leave out pairs that cannot be read or stored, and list them in the report.
        decode: decode ready images once, so that truncated ones are found now and not in training.
        max_shard_bytes: size at which a shard is closed.
        overwrite: replace a dataset at ``path``.
        advance: called with a number of pairs as they are written, for a progress bar.

    Raises:
        FileExistsError: there is something at ``path``.
        RenderError: a pair that cannot be read.
        ValueError: a pair that cannot be stored (such as a repeated id), or no pair at all; says why.
    """
    parts = _parts(sources, splits, default_splits)
    account = _Account.of(parts, skip_failures)
    facts = {"name": _unique(source.name for source in parts.values()), "provenance": _provenance(parts)}
    licence = _unique(source.licence for source in parts.values())
    writer = ShardWriter(path, **facts, licence=licence, max_shard_bytes=max_shard_bytes, overwrite=overwrite)
    added = 0
    with writer:
        for split, source in parts.items():
            cut = _default_cut(source, default_splits) if default_splits and not split else None
            for encoded in _stream(source, workers, decode):
                try:
                    if isinstance(encoded, _Failure):
                        raise RenderError(encoded.message)
                    writer.add(_named(_in_split(encoded, split, splits, cut), prefix))
                    added += 1
                except ValueError as error:
                    account.failed(error, encoded.reason if isinstance(encoded, _Failure) else error_category(error))
                if advance is not None:
                    advance(1)
        if not added:
            raise ValueError(account.nothing(path))
    return RenderReport(writer.path, DatasetInfo.load(writer.path), account.skipped, account.reasons, account.left_out)


def _parts(sources: PairSource | Mapping[str, PairSource], *fractions: Mapping[str, float] | None) -> dict[str, Any]:
    """Split -> its source, "" for a single one, after a check of the fractions."""
    for each in filter(None, fractions):
        check_fractions(each)
    if fractions[0] is not None and isinstance(sources, Mapping):
        raise ValueError("sources by split and fractions exclude each other; leave `splits` out or join sources")
    return dict(sources) if isinstance(sources, Mapping) else {"": sources}


@dataclass
class _Account:
    """Summary of pairs that could not be used."""

    skip: bool
    skipped: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    left_out: LeftOut = field(default_factory=LeftOut)

    @classmethod
    def of(cls, parts: Mapping[str, PairSource], skip: bool) -> _Account:
        """The account with what the sources themselves left out, and their faults."""
        account = cls(skip)
        for source in parts.values():
            account.left_out.update(getattr(source, "left_out", LeftOut()))
            for error in getattr(source, "faults", ()):
                account.failed(error, error.reason)
        return account

    def failed(self, error: ValueError, reason: str) -> None:
        """Count a pair that cannot be used, or stop at it."""
        if not self.skip and isinstance(error, RenderError):
            raise RenderError(f"{error}; skip_failures=true leaves such pairs out, counted")
        if not self.skip:
            raise error
        self.skipped.append(str(error))
        self.reasons[reason] += 1

    def nothing(self, path: str | Path) -> str:
        """Reason why there is no pair at all."""
        if not self.skipped:
            return f"no pair was added to {path}; the source is empty"
        counted = ", ".join(f"{count:,} x {reason}" for reason, count in self.reasons.most_common())
        first = self.skipped[0]
        return f"no pair was added to {path}: all {len(self.skipped):,} were left out ({counted}); the first: {first}"


def _stream(source: PairSource, workers: int, decode: bool) -> Any:
    loader = DataLoader(_EncodedPairs(source, decode), batch_size=_CHUNK, num_workers=workers, collate_fn=list)
    for chunk in loader:
        yield from chunk


def _in_split(
    encoded: EncodedPair, split: str, fractions: Mapping[str, float] | None, cut: Callable[[str], str] | None
) -> EncodedPair:
    group = encoded.group or encoded.id
    if not split and fractions is not None:
        split = group_split(group, fractions)
    if not split and cut is not None and not encoded.split:
        split = cut(group)
    return replace(encoded, split=split) if split else encoded


def _default_cut(source: PairSource, fractions: Mapping[str, float]) -> Callable[[str], str] | None:
    """Group -> split for a source that names none; exact where its groups are known beforehand."""
    if any(getattr(source, "splits", ())):
        return None
    groups = getattr(source, "groups", None)
    return partial(group_split, fractions=fractions) if groups is None else exact_splits(groups, fractions).__getitem__


def _named(encoded: EncodedPair, prefix: str) -> EncodedPair:
    if not prefix:
        return encoded
    return replace(encoded, id=f"{prefix}/{encoded.id}", group=f"{prefix}/{encoded.group or encoded.id}")


def _provenance(parts: Mapping[str, PairSource]) -> dict[str, Any]:
    described = {
        split or "all": {"source": type(source).__name__, "name": source.name, "fingerprint": source.fingerprint()}
        for split, source in parts.items()
    }
    return {"software": f"ip2p_lightning {__version__}", "sources": described}


def _unique(values: Any) -> str:
    return "; ".join(dict.fromkeys(values))
