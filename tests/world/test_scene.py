"""Scenes as values: replacing things, and a signature that is the same everywhere."""

from __future__ import annotations

from dataclasses import replace

from ip2p_lightning.world.scene import Scene, Thing

HOUSE = Thing("house", "red", "left")
SCENE = Scene("day", "summer", "clear", "hills", (HOUSE, Thing("balloon", "blue", "right")))


def test_replacing_a_thing_keeps_the_others_and_their_order() -> None:
    after = SCENE.with_thing(HOUSE, replace(HOUSE, colour="yellow"))
    assert [thing.colour for thing in after.things] == ["yellow", "blue"]


def test_removing_a_thing_keeps_the_others() -> None:
    assert SCENE.with_thing(HOUSE, None).things == SCENE.things[1:]


def test_signature_is_the_same_in_every_process_and_differs_between_scenes() -> None:
    assert SCENE.signature() == 0xDC14DC23
    assert replace(SCENE, season="winter").signature() != SCENE.signature()
    assert SCENE.with_thing(HOUSE, None).signature() != SCENE.signature()
