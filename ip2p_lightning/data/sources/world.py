"""Edit pairs of the embedded world: drawn scenes with exact targets, captions and masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from zlib import crc32

from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.world.levels import SPLITS
from ip2p_lightning.world.makers import MAKERS

_TRIES = 2000
_PROBES = 24


class WorldSource:
    """A deterministic sequence of edit pairs, drawn when asked for.

    Pair ``index`` depends on (level, split, seed, index) alone: a longer source starts with the pairs of a shorter
    one, and another ``size`` shows the same scenes and texts. Kinds of edit take turns by chance.
    ``split="test"`` shows combinations of `levels.HELD_OUT` before or after the edit, which no other split shows;
    ``split="validation"`` edits scenes that training never shows, made of combinations that it does show. A pair's
    metadata holds the attributes of both images (`world.attributes.describe`), and at the open level what else counts
    as right (`world.open.attributes.alternatives`).

    Args:
        count: number of pairs, at least 1.
        size: side of the square images in pixels.
        level: "simple", "broad", "medium", "full" or "open" (see `makers.MAKERS`).
        seed: another seed gives other pairs.
        kinds: kinds of edit to draw, with equal shares or each with its weight; all kinds of the level if None.
        split: "train", "validation" or "test".

    Raises:
        ValueError: an unknown level, split or kind, a count below 1 or a weight below 0, naming what there is.
    """

    name = "world"
    licence = "CC0-1.0"

    def __init__(
        self,
        count: int,
        size: int = 64,
        level: str = "simple",
        seed: int = 0,
        kinds: Sequence[str] | Mapping[str, float] | None = None,
        split: str = "train",
    ) -> None:
        if count < 1:
            raise ValueError(f"count is {count}; a source needs at least one pair")
        if level not in MAKERS:
            raise ValueError(f"level {level!r} does not exist; choose one of {sorted(MAKERS)}")
        if split not in SPLITS:
            raise ValueError(f"split {split!r} does not exist; choose one of {SPLITS}")
        self.count, self.size, self.level, self.seed, self.split = count, size, level, seed, split
        self.kinds = tuple(kinds) if kinds is not None else MAKERS[level].edits
        unknown = sorted(set(self.kinds) - set(MAKERS[level].edits))
        if unknown or not self.kinds:
            raise ValueError(f"kinds {unknown} are not drawn at level {level!r}; choose from {MAKERS[level].edits}")
        self.shares = tuple(kinds.values()) if isinstance(kinds, Mapping) else (1,) * len(self.kinds)
        if min(self.shares) < 0 or not any(self.shares):
            raise ValueError(f"shares of kinds are {self.shares}; give weights of 0 or more, at least one above 0")
        drawn = repr(self.kinds) if len(set(self.shares)) == 1 else repr((self.kinds, self.shares))
        chosen = "" if drawn == repr(MAKERS[level].edits) else f"-{crc32(drawn.encode()):08x}"
        self.address = f"{level}-{split}-{seed}{chosen}"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> EditPair:
        if not 0 <= index < self.count:
            raise IndexError(f"pair {index} of a world source with {self.count} pairs")
        kind, change = self.change(index)
        maker = MAKERS[self.level]
        pictures = maker.render(change, self.size)
        return EditPair(
            id=f"{self.address}-{index}",
            original_image=pictures.original_image,
            edited_image=pictures.edited_image,
            instruction=change.instruction,
            expressive_instruction=change.expressive_instruction,
            original_caption=change.original_caption,
            edited_caption=change.edited_caption,
            kind=kind,
            group=f"scene-{change.before.signature():08x}",
            mask=pictures.mask,
            metadata=maker.metadata(change),
        )

    def change(self, index: int) -> tuple[str, Any]:
        """The kind and the edit of pair ``index``, without drawing it."""
        rng = Random(f"{self.level}/{self.split}/{self.seed}/{index}")
        kind = rng.choices(self.kinds, self.shares)[0]
        for _ in range(_TRIES):
            change = MAKERS[self.level].change(kind, self.split, rng)
            if change is not None:
                return kind, change
        raise RuntimeError(f"no {kind!r} edit of level {self.level!r} was found for split {self.split!r}")

    def fingerprint(self) -> str:
        """Hash of the settings and of a sample of the pairs, so that redrawn scenes or new texts show."""
        settings = (self.count, self.size, self.level, self.seed, self.kinds, self.shares, self.split)
        digest = hashlib.sha256(repr(settings).encode())
        for index in range(0, self.count, max(1, self.count // _PROBES)):
            pair = self[index]
            digest.update(pair.original_image.tobytes() + pair.edited_image.tobytes())  # type: ignore[union-attr]
            digest.update("|".join((pair.instruction, pair.expressive_instruction, pair.edited_caption)).encode())
        return digest.hexdigest()[:16]
