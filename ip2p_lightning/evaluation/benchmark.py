"""A benchmark of the embedded world with exact truth: what an editor can do, probe by probe, without any download.

PaintBench's idea (2026), with the things that InstructPix2Pix names as its limits: counting and places (section 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources.joined import JoinedSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.world.edits import Change
from ip2p_lightning.world.edits.visual import BEDTIME, BREAKFAST
from ip2p_lightning.world.levels import LEVELS, has_held_out


@dataclass(frozen=True)
class ProbeSet:
    """One question to editors.

    Args:
        split: of the world.
        kinds: of edit; all of the level if empty.
    """

    split: str
    kinds: tuple[str, ...] = ()


SETS: dict[str, ProbeSet] = {
    "new scenes": ProbeSet("validation"),
    "held-out combinations": ProbeSet("test"),
    "counting": ProbeSet("validation", ("count",)),
    "places": ProbeSet("validation", ("spatial",)),
    "needs the image": ProbeSet("validation", ("visual",)),
}
"""Scenes of combinations that training shows, but for the second set."""


class WorldBenchmark:
    """The same number of pairs for each set of probes; a pair's metadata name its probe, "counting: more".

    Args:
        count: pairs of each set.
        size: side of the images in pixels.
        level: "simple", "broad", "medium" or "full"; sets whose kinds of edit a level lacks need "full".
        seed: another seed gives other pairs.
        sets: names in `SETS`; None for all that the level has.

    Raises:
        ValueError: an unknown set, or one whose kinds of edit the level lacks.
    """

    name, licence = "world benchmark", "CC0-1.0"

    def __init__(
        self, count: int = 100, size: int = 64, level: str = "full", seed: int = 0, sets: Sequence[str] | None = None
    ) -> None:
        there = [name for name, probes in SETS.items() if set(probes.kinds) <= set(LEVELS[level].edits)]
        names = there if sets is None else list(sets)
        if unknown := [name for name in names if name not in there]:
            raise ValueError(f"level {level!r} has no probes {', '.join(unknown)}; it has {', '.join(there)}")
        self.names = names
        self.sources = [
            WorldSource(count, size, level, seed, SETS[name].kinds or None, SETS[name].split) for name in names
        ]
        self._joined = JoinedSource(self.sources)

    def __len__(self) -> int:
        return len(self._joined)

    def __getitem__(self, index: int) -> EditPair:
        pair = self._joined[index]
        part, inner = divmod(index, len(self.sources[0]))
        asked = probe(self.names[part], self.sources[part].change(inner)[1])
        name = f"{self.names[part]}: {asked}" if asked else self.names[part]
        return replace(pair, metadata=pair.metadata | {"probe": name})

    def fingerprint(self) -> str:
        """Of all sets."""
        return self._joined.fingerprint()


def probe(name: str, change: Change) -> str:
    """Subset of a probe set that a pair belongs to, from the scenes before and after; "" where its kind says it."""
    if name == "counting":
        return "more" if len(change.after.things) > len(change.before.things) else "fewer"
    if name == "places":
        return _place(change)
    if name == "needs the image":
        return _seen(change)
    if name == "held-out combinations":
        return "to be made" if has_held_out(change.after) and not has_held_out(change.before) else "already there"
    return ""


def _place(change: Change) -> str:
    more = len(change.after.things) - len(change.before.things)
    if more:
        return "add next to another" if more > 0 else "remove a neighbour"
    slots = [{(thing.kind, thing.slot) for thing in scene.things} for scene in (change.before, change.after)]
    return "paint what is there" if slots[0] == slots[1] else "swap"


def _seen(change: Change) -> str:
    before, after = change.before, change.after
    if before.season != after.season:
        return "seasons pass"
    if before.time != after.time:
        return "hour of life" if change.instruction in (*BEDTIME, *BREAKFAST) else "hours pass"
    if before.weather != after.weather:
        return "weather turns"
    if len(before.things) != len(after.things):
        return "a twin" if len(after.things) > len(before.things) else "the smallest goes"
    repainted = [new for old, new in zip(before.things, after.things, strict=True) if old != new]
    if len(repainted) > 1:
        return "colours swapped"
    by_size = any(word in change.instruction for word in ("largest", "biggest"))
    return "the largest painted" if by_size else "like another"
