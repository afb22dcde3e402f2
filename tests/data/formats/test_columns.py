"""Rows of any names become pairs, or say what is wrong with them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.encoded import EncodedPair, UnusablePair
from ip2p_lightning.data.formats.columns import Columns, black_and_white
from ip2p_lightning.data.images import open_image, open_mask

File = Callable[..., bytes]


def read(columns: Columns, row: dict[str, Any]) -> EncodedPair:
    return columns.pair(row, lambda value, _: value, place="rows 7", id="7", split="train")


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_the_first_column_that_is_there_counts_and_braces_put_columns_together(file: File):
    columns = Columns.of(
        {"original_image": ["before", "input"], "edited_image": "after", "instruction": ["edit", "prompt"]}
        | {"id": "{img}-{turn}", "group": "{img}", "mask": None},
        scores={"clip_image": "sim"},
        metadata=["url"],
        numbers={"turn": "turn"},
        constants={"kind": "unknown kind"},
    )
    row = {"input": file(1), "after": file(2), "edit": "", "prompt": "do", "img": 5, "turn": 2, "sim": 0.5, "url": "u"}
    pair = read(columns, row)
    assert (pair.id, pair.group, pair.instruction, pair.kind, pair.split) == ("5-2", "5", "do", "unknown kind", "train")
    assert (pair.original_image, pair.edited_image) == (row["input"], row["after"])
    assert pair.metadata == {"url": "u", "turn": 2, "scores": {"clip_image": 0.5}}
    del row["turn"]
    assert read(columns, row).id == "7"


def test_splits_are_called_as_ours(file: File):
    row = {"original_image": file(1), "edited_image": file(2), "instruction": "do"}
    splits = [read(Columns.of(), {**row, "split": name}).split for name in ("dev", "val", "test", "mine")]
    assert splits == ["validation", "validation", "test", "mine"]


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        ({"instruction": " "}, "no instruction", "rows 7: no instruction"),
        ({"edited_image": None}, "no image for edited_image", "looked for under edited_image; the row has"),
        ({"instruction": ["a", 5]}, "column 'instruction' should hold text for instruction", "it holds int"),
        ({"edited_image": b"not an image"}, "edited", "rows 7: "),
        ({"metadata": "{"}, "column 'metadata' is no JSON", "rows 7"),
        ({"metadata": [1]}, "column 'metadata' should hold a JSON object", "not list"),
    ],
)
def test_what_cannot_be_used_is_named(change: dict[str, Any], reason: str, message: str, file: File):
    row = {"original_image": file(1), "edited_image": file(2), "instruction": "do"}
    with pytest.raises(UnusablePair, match=message) as error:
        read(Columns.of(), row | change)
    assert error.value.reason == reason


def test_sizes_and_kinds_of_pictures_are_checked(file: File):
    row = {"original_image": file(1), "edited_image": file(2, size=(9, 9)), "instruction": "do"}
    with pytest.raises(UnusablePair, match=r"rows 7: images differ in size .original 12 x 8, edited 9 x 9") as error:
        read(Columns.of(), row)
    assert error.value.reason == "images differ in size"
    with pytest.raises(UnusablePair, match="edited is WEBP") as error:
        read(Columns.of(), row | {"edited_image": file(2, "WEBP")})
    assert error.value.reason == "edited is WEBP"


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="pairs have no field before; they have original_image"):
        Columns.of({"before": "x"})


def test_masks_of_all_kinds(file: File):
    original = Image.open(io.BytesIO(file(3, "PNG"))).convert("RGB")
    expected = np.zeros((8, 12), np.uint8)
    expected[:, :5] = 255
    black_white = png(Image.fromarray(expected))
    assert black_and_white(black_white, png(original), "x") == black_white
    coloured = png(Image.fromarray(expected).convert("RGB"))
    assert black_and_white(coloured, png(original), "x") == coloured
    hole = original.convert("RGBA")
    hole.paste((0, 0, 0, 0), (0, 0, 5, 8))
    painted = original.copy()
    painted.paste((255, 255, 255), (0, 0, 5, 8))
    for mask in (hole, painted):
        made = black_and_white(png(mask), png(original), "x")
        assert np.array_equal(np.asarray(open_mask(made)), expected)
    with pytest.raises(UnusablePair, match="x: damaged mask"):
        black_and_white(b"nonsense", png(original), "x")
    with pytest.raises(UnusablePair, match="mask and original differ in size"):
        black_and_white(png(painted.resize((6, 4))), png(original), "x")
    assert open_image(png(painted)).size == (12, 8)
