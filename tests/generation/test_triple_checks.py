"""Every reason for which captions and triples are refused, and that they are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.everyday import EverydayTriples
from ip2p_lightning.generation.triple_checks import Duplicates, TripleChecks, kept_share, tally
from ip2p_lightning.safety import UnsafeWords


def triple(original: str = "a dog", instruction: str = "make it a cat", edited: str = "a cat") -> EditTriple:
    return EditTriple("t", original, instruction, edited)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (triple(edited="A dog."), "copy"),
        (triple(edited=" a  DOG!"), "copy"),
        (triple(edited="Dog"), "copy"),
        (triple(instruction="a dog"), "copy"),
        (triple(edited="Make it a cat."), "copy"),
        (triple(instruction=" "), "empty"),
        (triple(edited="..."), "empty"),
        (triple(edited="a naked cat"), "unsafe"),
        (triple(instruction="make it NSFW"), "unsafe"),
        (triple(edited="a cat " * 100), "too_long"),
        (triple(instruction="make it a cat " * 20), "too_long"),
    ],
)
def test_triples_are_refused_for_a_reason(refused: EditTriple, reason: str):
    found = TripleChecks().of_triple(refused)
    assert found is not None
    assert (found.id, found.reason) == ("t", reason)
    assert found.detail or reason == "empty"


def test_unrelated_captions_are_refused_where_asked():
    unrelated = triple("a dog on a red sofa", "make it a poster", "a poster of the sea")
    assert TripleChecks().of_triple(unrelated) is None
    found = TripleChecks(min_kept=0.5).of_triple(unrelated)
    assert found is not None
    assert found.reason == "unrelated"
    related = triple("a dog on a red sofa", "make the sofa blue", "A dog on a blue sofa.")
    assert TripleChecks(min_kept=0.5).of_triple(related) is None
    assert kept_share("a dog, a sofa", "A sofa") == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="min_kept=2"):
        TripleChecks(min_kept=2)


def test_sound_triples_pass():
    assert TripleChecks().of_triple(triple()) is None
    triples = EverydayTriples(300)
    assert {TripleChecks().of_triple(triples[index]) for index in range(300)} == {None}


@pytest.mark.parametrize(("text", "reason"), [("", "empty"), ("nude study", "unsafe"), ("x" * 401, "too_long")])
def test_captions_are_refused_before_anything_is_written(text: str, reason: str):
    found = TripleChecks().of_caption(Caption("c", text))
    assert found is not None
    assert found.reason == reason


@pytest.mark.parametrize(
    "text", ["sussex in spring", "a cockatoo", "naked-eye comet", "analysis of a grape", "Self-Harm awareness"]
)
def test_words_are_found_whole(text: str):
    assert bool(UnsafeWords().find(text)) == (text in ("naked-eye comet", "Self-Harm awareness"))


def test_a_list_of_one_s_own(tmp_path: Path):
    words = tmp_path / "words.txt"
    words.write_text("# mine\nclown  # scary\ngrey man\n", encoding="utf-8")
    safety = UnsafeWords(words)
    assert (safety.find("a CLOWN"), safety.find("a grey-man"), safety.find("nude")) == ("CLOWN", "grey-man", "")
    assert "words.txt" in safety.name
    assert TripleChecks(safety=None).of_triple(triple(edited="a clown")) is None
    words.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lists no word"):
        UnsafeWords(words)


def test_duplicates_by_text_and_by_address():
    duplicates = Duplicates()
    captions = [
        Caption("1", "A dog.", "http://a/1.jpg"),
        Caption("2", "a  dog", "http://a/2.jpg"),
        Caption("3", "a cat", "http://a/1.jpg"),
        Caption("4", "a bird"),
        Caption("5", "a fish"),
        Caption("6", "a horse", "http://a/2.jpg"),
    ]
    found = [duplicates.check(caption) for caption in captions]
    assert [outcome.id for outcome in found if outcome] == ["2", "3"]
    assert tally(outcome or caption for outcome, caption in zip(found, captions, strict=True)) == {
        "kept": 4,
        "duplicate": 2,
    }


def test_outcomes_are_counted_by_reason():
    assert tally([triple(), Rejected("a", "copy"), Rejected("b", "copy")]) == {"kept": 1, "copy": 2}


def test_limits_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        TripleChecks(max_caption=0)
