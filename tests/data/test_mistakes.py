"""Mistakes: how often each is made, and which picture it shows. Both who spoil pairs do it by this."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
import torch
from PIL import Image

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.mistakes import MISTAKE, MISTAKES, NO_EDIT, RIGHT, Mistakes, shown
from ip2p_lightning.data.sources.candidates import CandidateSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.generation.base import Draw, EditTriple
from ip2p_lightning.generation.rendering import RenderedPairs
from ip2p_lightning.generation.world_triples import WorldCaptions
from ip2p_lightning.generation.writers.grammar import GrammarWriter

ORIGINAL, EDITED, OTHER = (Image.new("RGB", (2, 2), color) for color in ("red", "green", "blue"))


def test_mistakes_are_as_frequent_as_said():
    random = Random(0)
    mistakes = Mistakes({"no edit": 0.1, "unrelated": 0.3})
    found = Counter(mistakes.draw(random) for _ in range(2000))
    assert set(found) == {"no edit", "unrelated", RIGHT}
    assert found["no edit"] == pytest.approx(200, abs=50)
    assert found["unrelated"] == pytest.approx(600, abs=80)
    assert str(mistakes) == "no edit 0.1, unrelated 0.3"
    assert {Mistakes({}).draw(random) for _ in range(10)} == {RIGHT}


def test_what_each_mistake_shows():
    pictures = [shown(mistake, ORIGINAL, EDITED, lambda: OTHER) for mistake in (RIGHT, *MISTAKES)]
    assert pictures == [EDITED, ORIGINAL, OTHER, OTHER]


@pytest.mark.parametrize(
    ("rates", "message"),
    [({"typo": 0.1}, r"\['typo'\] cannot"), ({"no edit": -0.1}, "negative"), ({"unrelated": 1.1}, "sum to at most 1")],
)
def test_rates_that_cannot_be(rates: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        Mistakes(rates)


def test_studies_and_generation_make_the_same_mistake():
    """Pairs without an edit show the original twice, whoever spoils them."""
    pair = CandidateSource(WorldSource(2, size=16), {NO_EDIT: 1.0})[0]
    assert pair.metadata[MISTAKE] == NO_EDIT
    assert torch.equal(to_tensor(pair.original_image), to_tensor(pair.edited_image))  # type: ignore[arg-type]
    (triple,) = GrammarWriter().write([*WorldCaptions(1, "simple")])
    assert isinstance(triple, EditTriple)
    (made,) = RenderedPairs(16, {NO_EDIT: 1.0}, grain=0.0).make(triple, [Draw(1, 0.5, 2.0)])
    assert made.metadata[MISTAKE] == NO_EDIT
    assert torch.equal(made.original_image, made.edited_image)
