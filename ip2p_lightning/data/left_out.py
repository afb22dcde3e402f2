"""The account of what a source holds but does not use: counted by reason, and named."""

from __future__ import annotations

from collections import Counter

_NAMED = 5


class LeftOut:
    """Files, members and rows that are passed over, by reason, with the first names of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, reason: str, name: object) -> None:
        """Count one of them.

        Args:
            reason: why it is not used, in words that others share.
            name: of the file, member or row.
        """
        self.counts[reason] += 1
        names = self._names.setdefault(reason, [])
        if len(names) < _NAMED:
            names.append(str(name)[:200])

    def update(self, other: LeftOut) -> None:
        """Add another account."""
        self.counts.update(other.counts)
        for reason, names in other._names.items():
            mine = self._names.setdefault(reason, [])
            mine += names[: _NAMED - len(mine)]

    def lines(self) -> list[str]:
        """A line for each reason, the most frequent first: ``3 x companion file of macOS (._a.jpg, ...)``."""
        return [f"{count:,} x {reason} ({self._listed(reason)})" for reason, count in self.counts.most_common()]

    def __str__(self) -> str:
        return "; ".join(self.lines())

    def _listed(self, reason: str) -> str:
        names, more = self._names[reason], self.counts[reason] - len(self._names[reason])
        return ", ".join(names) + (f" and {more:,} more" if more else "")
