"""Sources of edit pairs: anything with a length that yields `EditPair`s of PIL images by index.

A new source is one new file here. Layouts of other people belong in `formats`; transforms, splits by hash, storage and
loading belong one level up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ip2p_lightning.data.encoded import EncodedPair
    from ip2p_lightning.data.pair import EditPair

__all__ = ["EncodedSource", "PairSource"]


@runtime_checkable
class PairSource(Protocol):
    """A finite, deterministic and picklable sequence of edit pairs.

    ``name`` and ``licence`` are written into `dataset.json` when the source is rendered.
    """

    name: str
    licence: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> EditPair:
        """Pair ``index`` (0 <= index < len) with PIL images; the same one at every call and in every process."""
        ...

    def fingerprint(self) -> str:
        """A string that changes whenever any pair of the source changes."""
        ...


@runtime_checkable
class EncodedSource(PairSource, Protocol):
    """A source that holds ready PNG or JPEG bytes: the shard writer stores them as they are, never re-encoded."""

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` as bytes."""
        ...
