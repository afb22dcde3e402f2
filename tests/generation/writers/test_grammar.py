"""Triples by rule: true to their scenes, the same each time, within their split, and possible for any caption."""

from __future__ import annotations

import json

import pytest

from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.everyday import EverydayTriples
from ip2p_lightning.generation.triple_checks import tally
from ip2p_lightning.generation.world_triples import WORLD, WorldCaptions, change_of, scene_of
from ip2p_lightning.generation.writers.grammar import EXPRESSIVE, GrammarWriter
from ip2p_lightning.world.edits import is_visible
from ip2p_lightning.world.levels import LEVELS, belongs
from ip2p_lightning.world.phrases import caption as caption_of


def written(writer: GrammarWriter, captions: list[Caption], seed: int = 0) -> list[EditTriple]:
    outcomes = writer.write(captions, seed)
    assert all(isinstance(outcome, EditTriple) for outcome in outcomes)
    return outcomes  # type: ignore[return-value]


@pytest.mark.parametrize("level", list(LEVELS))
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_truth_comes_back_from_plain_values(level: str, split: str):
    captions = list(WorldCaptions(25, level, split))
    for caption, triple in zip(captions, written(GrammarWriter(), captions), strict=True):
        stored = EditTriple(**json.loads(json.dumps(vars(triple))))
        change = change_of(stored)
        assert change.before == scene_of(caption.metadata[WORLD]["scene"])
        assert caption.text == caption_of(change.before)
        assert (change.original_caption, change.edited_caption) == (triple.original_caption, triple.edited_caption)
        assert change.instruction == triple.instruction
        assert change.expressive_instruction == triple.metadata[EXPRESSIVE]
        assert triple.kind in LEVELS[level].edits
        assert belongs(split, change.before, change.after)
        assert is_visible(change)


def test_every_kind_survives_the_way_through_plain_values():
    captions = list(WorldCaptions(6, "full"))
    for kind in LEVELS["full"].edits:
        outcomes = GrammarWriter(kinds=[kind]).write(captions)
        changes = [change_of(outcome) for outcome in outcomes if isinstance(outcome, EditTriple)]
        assert changes, kind
        assert [change.picture_edit is None for change in changes] == [
            change.edited_caption == caption_of(change.after) for change in changes
        ]


def test_a_caption_s_triples_depend_on_seed_and_id_alone():
    captions = list(WorldCaptions(6))
    together = written(GrammarWriter(), captions)
    assert [written(GrammarWriter(), [caption])[0] for caption in reversed(captions)] == together[::-1]
    assert written(GrammarWriter(), captions, seed=1) != together


def test_several_triples_of_a_caption_are_of_different_kinds():
    (caption,) = WorldCaptions(1, "full")
    triples = written(GrammarWriter(per_caption=4), [caption])
    assert [triple.id for triple in triples] == [f"{caption.id}-{number}" for number in range(4)]
    assert len({triple.kind for triple in triples}) == 4
    assert {triple.group for triple in triples} == {caption.id}


def test_any_caption_can_be_edited_as_a_picture():
    caption = Caption("1", "A dog  on a\nsofa.", "http://a/1.jpg", {"rating": 3})
    for seed in range(8):
        (triple,) = written(GrammarWriter(), [caption], seed)
        assert triple.original_caption == "A dog on a sofa."
        assert "dog on a sofa" in triple.edited_caption
        assert "\n" not in triple.edited_caption
        assert (triple.url, triple.metadata["rating"], triple.group) == ("http://a/1.jpg", 3, "1")
        with pytest.raises(ValueError, match="not of the embedded world"):
            change_of(triple)


def test_what_cannot_be_edited_is_rejected():
    captions = [Caption("1", ""), Caption("2", "a nude"), Caption("3", "a dog")]
    outcomes = GrammarWriter(kinds=["recolour"]).write(captions)
    assert tally(outcomes) == {"empty": 1, "unsafe": 1, "no_edit": 1}
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="rotten"):
        GrammarWriter(kinds=["rotten"])
    with pytest.raises(ValueError, match="per_caption=0"):
        GrammarWriter(per_caption=0)
    with pytest.raises(ValueError, match="level='hard'"):
        WorldCaptions(1, level="hard")


def test_everyday_triples_change_part_of_a_caption():
    triples = EverydayTriples(400)
    assert len({triples[index].original_caption for index in range(400)}) > 200
    assert triples[7] == EverydayTriples(8)[7] != EverydayTriples(8, seed=1)[7]
    kept = [len(set(t.original_caption.split()) & set(t.edited_caption.split())) for t in triples]
    assert sum(count > 1 for count in kept) > 380
    with pytest.raises(IndexError):
        triples[400]
