"""Captions and edits of the embedded world as plain values, so that the truth travels with the texts.

A caption's metadata holds its scene under `WORLD`; a triple's holds the whole change, from which `change_of` gives
back what `world.edits.render` draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from random import Random
from typing import Any

from ip2p_lightning.generation.base import Caption, EditTriple
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS, PictureEdit
from ip2p_lightning.world.edits.change import Change
from ip2p_lightning.world.edits.local import FOCUS
from ip2p_lightning.world.levels import LEVELS, SPLITS, has_held_out, is_reserved
from ip2p_lightning.world.phrases import caption as caption_of
from ip2p_lightning.world.scene import Scene, Thing

WORLD = "world"
"""Key of the metadata."""

_EDITS: Mapping[str, tuple[PictureEdit, ...]] = {**PICTURE_EDITS, "focus": FOCUS}


class WorldCaptions:
    """Captions of scenes drawn by chance, without images.

    Caption ``index`` depends on (level, split, seed, index) alone. Metadata: `{"world": {level, split, scene}}`.

    Args:
        count: number of captions, at least 1.
        level: "simple", "broad", "medium" or "full".
        split: "train", "validation" or "test", as `WorldSource` divides scenes; test scenes show held-out combinations.
        seed: another seed gives other scenes.

    Raises:
        ValueError: an unknown level or split, or a count below 1.
    """

    name = "world"
    licence = "CC0-1.0"

    def __init__(self, count: int, level: str = "full", split: str = "train", seed: int = 0) -> None:
        if count < 1 or level not in LEVELS or split not in SPLITS:
            raise ValueError(
                f"count={count}, level={level!r}, split={split!r}: give a count of at least 1, a level of "
                f"{sorted(LEVELS)} and a split of {SPLITS}"
            )
        self.count, self.level, self.split, self.seed = count, level, split, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Caption:
        if not 0 <= index < self.count:
            raise IndexError(f"caption {index} of {self.count}")
        level = LEVELS[self.level]
        rng = Random(f"captions/{self.level}/{self.split}/{self.seed}/{index}")
        scene = level.sample(level, rng)
        while _split(scene) != self.split:
            scene = level.sample(level, rng)
        world = {"level": self.level, "split": self.split, "scene": asdict(scene)}
        return Caption(f"{self.level}-{self.split}-{self.seed}-{index}", caption_of(scene), metadata={WORLD: world})


def _split(scene: Scene) -> str:
    return "test" if has_held_out(scene) else "validation" if is_reserved(scene) else "train"


def scene_of(plain: Mapping[str, Any]) -> Scene:
    """The scene of its plain values."""
    return Scene(**{**plain, "things": tuple(Thing(**thing) for thing in plain["things"])})


def change_to_plain(change: Change) -> dict[str, Any]:
    """A change as plain values; photo edits by their place in the registry."""
    places = ([kind, number] for kind, edits in _EDITS.items() for number in range(len(edits)))
    place = next((place for place in places if _EDITS[place[0]][place[1]] is change.picture_edit), None)
    return {
        "before": asdict(change.before),
        "after": asdict(change.after),
        "instruction": change.instruction,
        "expressive_instruction": change.expressive_instruction,
        "picture_edit": place,
        "spared": asdict(change.spared) if change.spared else None,
    }


def change_of(triple: EditTriple) -> Change:
    """The change of a triple that `GrammarWriter` wrote for a scene: what it really looks like.

    Raises:
        ValueError: a triple that is not of the world.
    """
    plain = triple.metadata.get(WORLD, {}).get("change")
    if plain is None:
        raise ValueError(f"triple {triple.id!r} is not of the embedded world; only GrammarWriter's for its scenes are")
    return Change(
        scene_of(plain["before"]),
        scene_of(plain["after"]),
        plain["instruction"],
        plain["expressive_instruction"],
        _EDITS[plain["picture_edit"][0]][plain["picture_edit"][1]] if plain["picture_edit"] else None,
        Thing(**plain["spared"]) if plain["spared"] else None,
    )
