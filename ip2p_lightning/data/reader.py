"""Reading a dataset: a map-style dataset over tar shards, near or far, that checks every byte it hands out."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from torch.utils.data import Dataset

from ip2p_lightning.data.dataset_info import SCORE_PREFIX, DatasetError, DatasetInfo, FileInfo
from ip2p_lightning.data.encoded import EncodedPair, decode_pair
from ip2p_lightning.data.images import MAX_PIXELS, ImageError
from ip2p_lightning.data.index import DatasetIndex
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.pair_reader import REMEDY, PairReader
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.shard_files import open_shards
from ip2p_lightning.data.skipped import SkipLog, SkippedPair
from ip2p_lightning.data.storage import RemoteAccess, Storage, open_storage

REPLACEMENTS = 8
"""So many other pairs are tried in place of a damaged one before reading stops all the same."""


class ShardDataset(Dataset[EditPair]):
    """The pairs of a dataset folder, or a selection of them; also a `PairSource`.

    Lengths and CRC-32 of each member are checked when it is read; that the index belongs to the shards, and that all
    shards are there with their full size, is checked at construction (not the latter on web servers, which do not
    list). Memory does not grow with the images, and by 4 bytes a pair with the pairs. Picklable and safe to fork.

    Args:
        path: the dataset folder, or its URL on object storage (``s3://bucket/name``).
        selection: which rows of the index; all of them by default.
        max_pixels: refuse larger images without decoding them.
        access: how to read it if it is remote.
        on_error: "raise" stops at damage; "skip" takes another pair instead, the same one each time, and notes it for
            `take_skipped`. The length stays, so that all processes of a run take as many steps as without damage.
        decode_side: decode pairs of JPEGs at the smallest of 1/8, 1/4, 1/2 and 1/1 of their size with both sides at
            least this long, which is several times faster; None for their full size.

    Raises:
        FileNotFoundError: no dataset at ``path``.
        DatasetError: damaged index, missing or truncated shards; names the file.
        ValueError: the selection leaves no pair, or fewer than it asks for.
    """

    def __init__(
        self,
        path: str | Path,
        selection: Selection | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
        access: RemoteAccess | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        decode_side: int | None = None,
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error={on_error!r} must be 'raise' or 'skip'")
        self.path, self.selection = path, selection or Selection()
        self.max_pixels, self.decode_side = max_pixels, decode_side
        access = access or RemoteAccess()
        self.info = DatasetInfo.load(path, access)
        self.name, self.licence = self.info.name, self.info.licence
        storage = open_storage(path, access)
        self._index = DatasetIndex(storage, self.info, access)
        columns = self.selection.columns(self._index.column_names)
        rows = self.selection.rows(self._index.table(columns), str(storage))
        self._rows = rows.astype(np.uint32)
        self._skips = SkipLog() if on_error == "skip" else None
        used = [self.info.shards[number] for number in np.unique(self.shards)]
        self._report_damage(_damaged(storage, used))
        shards = open_shards(storage, self.info, access, sum(shard.size for shard in used))
        self._reader = PairReader(storage, self._index, shards)
        # The columns are no longer needed: without this, forked workers inherit tens of MB of a large index each.
        pa.default_memory_pool().release_unused()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> EditPair:
        """Pair ``index`` with PIL images.

        Raises:
            DatasetError: damaged bytes, naming shard and id.
            ImageError: sound bytes that are no image or too large a one, naming shard and id.
        """
        row = self._row(index)
        if self._skips is None:
            return self._pair(row)
        try:
            return self._pair(row)
        except (DatasetError, ImageError) as error:
            return self._replacement(row, error, self._skips)

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` as the bytes in its shard, checked but not decoded; damage is an error."""
        return self._reader.read(self._row(index))

    def column(self, name: str) -> list[Any]:
        """A column of the index for the selected pairs ("kind", "group", "score_clip_image", ...)."""
        values = self._index.table([name]).column(name)
        return (values if len(values) == len(self) else values.take(pa.array(self._rows))).to_pylist()

    @property
    def groups(self) -> Sequence[str]:
        """The group of each pair."""
        return self.column("group")

    @property
    def shards(self) -> np.ndarray:
        """The number of each pair's shard, int32 [pairs]: pairs of equal numbers lie in one file."""
        return self._index.positions.shards(self._rows)

    @property
    def score_names(self) -> list[str]:
        """Names of the scores that the index has."""
        return [name.removeprefix(SCORE_PREFIX) for name in self._index.column_names if name.startswith(SCORE_PREFIX)]

    def fingerprint(self) -> str:
        """Digest of the dataset, of the rows selected from it and of how images are decoded."""
        digest = hashlib.sha256(self.info.fingerprint.encode())
        if self.decode_side is not None:
            digest.update(f"decode_side {self.decode_side}".encode())
        digest.update(self._rows.astype("<u4").tobytes())
        return digest.hexdigest()

    def take_skipped(self) -> list[SkippedPair]:
        """The pairs that this process and its workers left out since the last call; none with on_error="raise"."""
        return [] if self._skips is None else self._skips.take()

    def _pair(self, row: int) -> EditPair:
        place = f"{self._reader.place(row)}: "
        encoded = self._reader.read(row)
        return decode_pair(encoded, place=place, max_pixels=self.max_pixels, least_side=self.decode_side)

    def _replacement(self, row: int, error: ValueError, skips: SkipLog) -> EditPair:
        """Another pair, the same for the same row on every call."""
        draw = addressed_random("replacement", self.info.fingerprint, row)
        for _ in range(REPLACEMENTS):
            other = int(self._rows[draw.randrange(len(self))])
            try:
                pair = self._pair(other)
            except (DatasetError, ImageError):
                continue
            skips.add(str(error), pair.id)
            return pair
        raise DatasetError(f"{error} (and {REPLACEMENTS} other pairs in its place could not be read either)") from error

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.path}")
        return int(self._rows[index])

    def _report_damage(self, damaged: list[str]) -> None:
        if damaged and self._skips is None:
            raise DatasetError(f"{damaged[0]}; {REMEDY}")
        if damaged:
            more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
            warnings.warn(f"their pairs will be replaced: {'; '.join(damaged[:3])}{more}", stacklevel=3)


def _damaged(storage: Storage, shards: list[FileInfo]) -> list[str]:
    """The shards that are missing or have another size, as far as can be determined without reading them."""
    try:
        sizes = storage.sizes()
    except OSError as error:
        raise DatasetError(f"{storage} cannot be listed ({error}); check the path and the network") from error
    if sizes is None:
        return []
    damaged = []
    for shard in shards:
        place = storage.place(shard.name)
        if shard.name not in sizes:
            damaged.append(f"{place} is missing ({shard.pairs} pairs)")
        elif sizes[shard.name] != shard.size:
            damaged.append(f"{place} has {sizes[shard.name]:,} bytes instead of {shard.size:,}")
    return damaged
