"""Exchanged images that an encoder of images and texts gives away, and honest pairs that it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ip2p_lightning.data.doctor.directions import direction_findings
from ip2p_lightning.data.doctor.examination import examine
from ip2p_lightning.data.encoded import EncodedPair, encode_pair
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.metrics.encoders import OpenClipEncoder
from tests.data.doctor.planting import InMemory, honest

COUNT, EVERY = 64, 8


def exchanged(pair: EncodedPair) -> EncodedPair:
    return replace(pair, original_image=pair.edited_image, edited_image=pair.original_image)


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder.named("zoo:dual_encoder")


@pytest.fixture(scope="module")
def pairs() -> list[EncodedPair]:
    """Drawn scenes under all kinds of edit."""
    source = WorldSource(COUNT, 64, level="full", seed=3)
    return [encode_pair(source[index]) for index in range(COUNT)]


def test_swapped_pairs_are_found_by_their_captions_and_honest_ones_are_not(pairs, encoder):
    planted = [exchanged(pair) if index % EVERY == 0 else pair for index, pair in enumerate(pairs)]
    expected = {pair.id for pair in planted[::EVERY]}
    options = {"resolution": 64, "alignment": False}
    swapped = [
        {
            finding.id
            for finding in examine(InMemory(planted), **options, encoder=each).findings
            if finding.kind == "swapped"
        }
        for each in (None, encoder)
    ]
    assert swapped[1] == expected
    assert len(swapped[0]) < len(expected) / 2  # those alone whose words are known
    assert list(direction_findings(InMemory(pairs), range(COUNT), encoder)) == []


def test_swapped_pairs_are_found_by_others_of_the_same_instruction(encoder):
    source = WorldSource(40, 64, level="full", kinds=["painting", "sepia", "time"], seed=5)
    bare = [replace(encode_pair(source[index]), original_caption="", edited_caption="") for index in range(40)]
    place = next(index for index, pair in enumerate(bare) if pair.instruction == "turn it into an oil painting")
    planted = [*bare[:place], exchanged(bare[place]), *bare[place + 1 :]]
    (finding,) = direction_findings(InMemory(planted), range(40), encoder)
    assert (finding.id, finding.kind) == (bare[place].id, "swapped")
    assert "opposite to other pairs of the same instruction" in finding.detail
    assert list(direction_findings(InMemory(bare), range(40), encoder)) == []


def test_an_encoder_that_does_not_see_the_edits_says_nothing(encoder):
    photographs = honest(48)
    planted = [exchanged(pair) if index % EVERY == 0 else pair for index, pair in enumerate(photographs)]
    said = [
        replace(pair, original_caption="a photograph", edited_caption=f"b {index}")
        for index, pair in enumerate(planted)
    ]
    honest_ids = {pair.id for pair in photographs} - {pair.id for pair in planted[::EVERY]}
    for own in (planted, said):
        found = {finding.id for finding in direction_findings(InMemory(own), range(len(own)), encoder)}
        assert not found & honest_ids
    assert list(direction_findings(InMemory([]), [], encoder)) == []
