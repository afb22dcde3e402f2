"""Settings of a generation run as plain values, and its parts, each built when its stage begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ip2p_lightning.generation.base import Expander, PairMaker, PairScorer, TripleWriter
from ip2p_lightning.generation.captions import CaptionSource
from ip2p_lightning.generation.filter import PairFilter
from ip2p_lightning.generation.search import Search
from ip2p_lightning.redaction import without_password
from ip2p_lightning.safety import Guard

STAGES = ("triples", "pairs", "filter", "expressive")
_FREE = ("batch_size", "device", "at_once")
"""Keys that change how fast something is done, and not what comes of it."""


@dataclass(frozen=True)
class Parts:
    """Makes of the exchangeable parts: a stage that is done needs no network in memory.

    Args:
        captions, writer, maker, scorer, search, filter: each returns the part; see their protocols.
        safety: refuses texts whatever the writer lets pass; None lets all pass.
        expander: None takes the text that the writer left, as the world's grammar does.
    """

    captions: Callable[[], CaptionSource]
    writer: Callable[[], TripleWriter]
    maker: Callable[[], PairMaker]
    scorer: Callable[[], PairScorer]
    search: Callable[[], Search]
    filter: Callable[[], PairFilter]
    expander: Callable[[], Expander] | None = None
    safety: Callable[[], Guard] | None = None


@dataclass(frozen=True)
class Settings:
    """Amount, place and form of the result.

    Args:
        folder: of the run: parts of each stage, and the dataset.
        parts: name of each part -> its settings, see `essential`; a folder made under others is refused.
        stages: which of `STAGES`, in their order.
        count: captions to look at; None for all.
        triples_file: edits in JSON lines in place of the stage `triples`.
        seed: of all randomness, in addition to the ids of captions and triples.
        batch_size, triples_batch_size, expressive_batch_size: inputs in a part.
        pictures: "png" or "jpg".
        store_rejected: share of the candidates left out whose images are stored all the same.
        splits: split -> share of the groups.
        licence: of the result.
        plan: measure on a few captions, say what the run will take, and stop.
        pilot: how many captions that are.
        rates_from: folder of another run at whose rates is planned.

    Raises:
        ValueError: an unknown stage.
    """

    folder: Path
    parts: Mapping[str, Any] = field(default_factory=dict)
    stages: Sequence[str] = STAGES
    count: int | None = None
    triples_file: str | None = None
    seed: int = 0
    batch_size: int = 4
    triples_batch_size: int = 32
    expressive_batch_size: int = 16
    pictures: str = "png"
    store_rejected: float = 1.0
    splits: Mapping[str, float] = field(default_factory=lambda: {"train": 0.9, "validation": 0.05, "test": 0.05})
    licence: str = "unknown"
    plan: bool = False
    pilot: int = 4
    rates_from: str | None = None

    def __post_init__(self) -> None:
        if unknown := [stage for stage in self.stages if stage not in STAGES]:
            raise ValueError(f"stages={list(self.stages)}: there is no {unknown}; choose from {', '.join(STAGES)}")

    def recorded(self) -> dict[str, Any]:
        """All that decides what comes of the run."""
        names = ("writer", "maker", "scorer", "search", "filter", "expander")
        first = {"captions": self.parts.get("captions"), "triples_file": essential(self.triples_file)}
        return first | {name: self.parts.get(name) for name in names} | {"seed": self.seed}


def essential(node: Any) -> Any:
    """Plain settings without the keys that do not matter to the result, and without passwords."""
    if isinstance(node, dict):
        return {key: essential(value) for key, value in node.items() if key not in _FREE}
    if isinstance(node, list):
        return [essential(value) for value in node]
    return without_password(node) if isinstance(node, str) else node
