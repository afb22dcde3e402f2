"""Figures of the cards: shares of what is right, counted by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ip2p_lightning.metrics.bootstrap import Interval, bootstrap_interval
from ip2p_lightning.world.attributes import NOTHING
from ip2p_lightning.world.scene import SLOTS


class Tally:
    """Collects 0 or 1 under names, and turns them into shares with intervals."""

    def __init__(self) -> None:
        self._values: dict[str, list[bool]] = {}

    def add(self, name: str, right: bool) -> None:
        """Count one case."""
        self._values.setdefault(name, []).append(right)

    def compare(self, reading: Mapping[str, str], truth: Mapping[str, str]) -> None:
        """Count each attribute of the truth under "accuracy" and its family."""
        for name, value in truth.items():
            right, group = reading.get(name) == value, family(name)
            self.add("accuracy", right)
            self.add(group, right)
            if group.endswith("thing") and value != NOTHING:
                self.add(f"{group} that is there", right)

    def intervals(self, first: Sequence[str] = ()) -> dict[str, Interval]:
        """Name -> share of right cases; the names of `first` come first, the others sorted."""
        order = [*(name for name in first if name in self._values), *sorted(self._values.keys() - set(first))]
        return {
            name: bootstrap_interval([float(v) for v in self._values[name]], share=True, resamples=500)
            for name in order
        }


def family(name: str) -> str:
    """An attribute's name without its place: "left sky thing" is a "sky thing"."""
    place, _, rest = name.partition(" ")
    return rest if place in SLOTS else name
