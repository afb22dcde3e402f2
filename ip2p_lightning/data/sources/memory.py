"""A source held in memory: rendered once, then read from RAM at every epoch."""

from __future__ import annotations

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources import PairSource


class MemorySource:
    """The pairs of another source, rendered at construction (64 px: about 25 KB a pair; 512 px: 1.6 MB).

    Args:
        source: rendered completely, in order.
    """

    def __init__(self, source: PairSource) -> None:
        self._hold([source[index] for index in range(len(source))], source, source.fingerprint())

    def _hold(self, pairs: list[EditPair], source: PairSource, fingerprint: str) -> None:
        """Take pairs of another source, and its name and licence."""
        self.name, self.licence, self.split = source.name, source.licence, getattr(source, "split", "")
        self._pairs, self._fingerprint = pairs, fingerprint

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> EditPair:
        return self._pairs[index]

    @property
    def groups(self) -> list[str]:
        """The group of each pair."""
        return [pair.group for pair in self._pairs]

    def fingerprint(self) -> str:
        return self._fingerprint
