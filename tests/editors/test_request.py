"""What editors may ask for, and what they say when it is not there."""

from __future__ import annotations

import pytest
from factories import tiny_batch
from PIL import Image

from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.request import Captions, EditRequest, captions_of, need_captions


def test_captions_of_a_batch() -> None:
    batch = tiny_batch(2)
    assert captions_of(batch) == [Captions("a house", "a blue house"), Captions("a house", "a red house")]


def asked(*captions: Captions | None) -> list[EditRequest]:
    return [EditRequest(Image.new("RGB", (4, 4)), "x", captions=caption) for caption in captions]


def test_needed_captions_come_back_as_they_were_given() -> None:
    caption = Captions("", "a red house")
    assert need_captions(CopyInput(), asked(caption)) == [caption]


@pytest.mark.parametrize(
    ("captions", "original", "message"),
    [
        ([None], False, r"CopyInput needs the edited image's caption, and none were given: pass captions="),
        ([None], True, "captions of the original and the edited image, and none"),
        ([Captions("", "b"), Captions("a", " ")], False, "the edited caption of image 2 of 2 is empty"),
        ([Captions("", "b"), Captions("a", "b")], True, "the original caption of image 1 of 2 is empty"),
    ],
)
def test_what_is_missing_is_named(captions: list[Captions | None], original: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        need_captions(CopyInput(), asked(*captions), original=original)
