"""Text on images: lines fit a width, and no letter is lost without an ellipsis."""

from __future__ import annotations

import pytest

from ip2p_lightning.lettering import font, wrapped

TEXT = "make the  red castle by the sea blue, and add Donaudampfschifffahrtsgesellschaft"


@pytest.mark.parametrize("width", [40, 90, 400])
def test_lines_fit_and_hold_the_whole_text(width: int):
    letters = font(12)
    lines = wrapped(TEXT, letters, width)
    assert max(map(letters.getlength, lines)) <= width
    assert "".join(lines).replace(" ", "") == TEXT.replace(" ", "")


def test_what_is_left_over_becomes_an_ellipsis():
    lines = wrapped(TEXT, font(12), 90, 2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert wrapped("short", font(12), 90, 1) == ["short"]
    assert wrapped(" ", font(12), 90) == [""]


def test_other_scripts_have_letters():
    mask = font(12).getmask("ж")
    assert bytes(mask) != bytes(font(12).getmask("\uffff")), "a box stands for what a font lacks"
