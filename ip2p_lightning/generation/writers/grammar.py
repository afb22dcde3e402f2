"""Triples by rule: of scenes of the embedded world exactly, of any other caption by edits of the image as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from random import Random

from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.triple_checks import TripleChecks
from ip2p_lightning.generation.world_triples import WORLD, change_to_plain, scene_of
from ip2p_lightning.models.triple_format import one_line
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.world.edits import EDITS, is_visible
from ip2p_lightning.world.levels import LEVELS, belongs

EXPRESSIVE = "expressive_instruction"
"""Key of the metadata."""

_ROUNDS = 20  # over all kinds; the first nearly always suffices


class GrammarWriter:
    """The rules by which `WorldSource` edits, as a writer.

    A caption with a scene in its metadata gets edits of that scene that stay in its split; its triples' metadata holds
    the change (`world_triples.change_of`) and the true "expressive_instruction". Captions of real images get photo
    operations and media ("make it a painting"), which every image allows.

    Args:
        per_caption: triples of each caption, of different kinds as far as there are enough.
        kinds: kinds of edit to choose from; None for all that a caption allows.
        checks: what is refused.

    Raises:
        ValueError: an unknown kind, or less than one triple a caption.
    """

    name = "grammar of the embedded world"
    licence = "CC0-1.0"
    """Of what is written by rule."""

    def __init__(
        self, per_caption: int = 1, kinds: Sequence[str] | None = None, checks: TripleChecks | None = None
    ) -> None:
        if per_caption < 1:
            raise ValueError(f"per_caption={per_caption} must be at least 1")
        if unknown := sorted(set(kinds or ()) - set(EDITS)):
            raise ValueError(f"kinds {unknown} are not known; choose from {sorted(EDITS)}")
        self.per_caption, self.kinds, self.checks = per_caption, kinds, checks or TripleChecks()

    def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
        return [outcome for caption in captions for outcome in self._of(caption, seed)]

    def _of(self, caption: Caption, seed: int) -> list[EditTriple | Rejected]:
        if refused := self.checks.of_caption(caption):
            return [refused]
        edits = self._edits(caption, addressed_random("grammar", seed, caption.id))
        sound = (triple for triple in edits if self.checks.of_triple(triple) is None)
        triples = list(islice(sound, self.per_caption))
        if not triples:
            return [Rejected(caption.id, "no_edit", caption.text)]
        if self.per_caption == 1:
            return [*triples]
        return [replace(triple, id=f"{caption.id}-{number}") for number, triple in enumerate(triples)]

    def _edits(self, caption: Caption, rng: Random) -> Iterator[EditTriple]:
        """Edits of a caption, each of another kind before any comes again."""
        world = caption.metadata.get(WORLD)
        known = LEVELS[world["level"]].edits if world else tuple(PICTURE_EDITS)
        kinds = [kind for kind in known if self.kinds is None or kind in self.kinds]
        for _ in range(_ROUNDS):
            for kind in rng.sample(kinds, len(kinds)):
                triple = _of_scene(caption, kind, rng) if world else _of_picture(caption, kind, rng)
                if triple is not None:
                    yield triple


def _of_scene(caption: Caption, kind: str, rng: Random) -> EditTriple | None:
    """An edit of a scene that stays in the scene's split and that a person sees."""
    world = caption.metadata[WORLD]
    change = EDITS[kind](scene_of(world["scene"]), LEVELS[world["level"]], rng)
    if change is None or not belongs(world["split"], change.before, change.after) or not is_visible(change):
        return None
    truth = {WORLD: {**world, "change": change_to_plain(change)}, EXPRESSIVE: change.expressive_instruction}
    return EditTriple(
        id=caption.id,
        original_caption=change.original_caption,
        instruction=change.instruction,
        edited_caption=change.edited_caption,
        group=caption.id,
        kind=kind,
        url=caption.url,
        metadata={**caption.metadata, **truth},
    )


def _of_picture(caption: Caption, kind: str, rng: Random) -> EditTriple | None:
    """An edit of any image as it is; edits that undo something (sharpen) would need an image that has it."""
    edits = [edit for edit in PICTURE_EDITS[kind] if edit.preparation is None] if kind in PICTURE_EDITS else []
    if not edits:
        return None
    edit, text = rng.choice(edits), one_line(caption.text)
    what = text.rstrip(" .")
    if not edit.look.startswith("{what}") and what.split()[0] in ("A", "An", "The"):
        what = what[0].lower() + what[1:]
    look = edit.look.format(what=what)
    return EditTriple(
        id=caption.id,
        original_caption=text,
        instruction=edit.instruction(rng),
        edited_caption=look,
        group=caption.id,
        kind=kind,
        url=caption.url,
        metadata={**caption.metadata, EXPRESSIVE: look},
    )
