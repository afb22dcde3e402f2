"""The sheet shows every pair, whatever the size of its pictures and the length of its texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.pair import EditPair


def colours(sheet: Image.Image) -> set[tuple[int, int, int]]:
    return {tuple(pixel) for pixel in np.asarray(sheet).reshape(-1, 3)}


def test_all_pictures_are_on_the_sheet() -> None:
    sizes = [(16, 16), (40, 9), (9, 40), (1, 1)]
    plain = [
        EditPair(str(n), Image.new("RGB", size, (n, 0, 255)), Image.new("RGB", size, (n, 255, 0)), "turn it green")
        for n, size in enumerate(sizes)
    ]
    sheet = contact_sheet(plain, title="four pairs", columns=3, side=48)
    for n in range(4):
        assert {(n, 0, 255), (n, 255, 0)} <= colours(sheet)


def test_small_pictures_are_enlarged_without_smoothing(pairs) -> None:
    pair = pairs(1, (2, 2))[0]
    sheet = np.asarray(contact_sheet([pair], side=64))
    block = np.kron(np.asarray(pair.original_image), np.ones((32, 32, 1), dtype=np.uint8))
    inner = block[2:-2, 2:-2]
    windows = np.lib.stride_tricks.sliding_window_view(sheet, inner.shape)[:, :, 0]
    assert (windows[::1, 28:34] == inner).all(axis=(2, 3, 4)).any()


def test_long_texts_wrap_and_end(pairs) -> None:
    pair = pairs(1)[0]
    heights = [
        contact_sheet([replace(pair, instruction=text)], side=96).height
        for text in ("short", "some words " * 6, "word " * 5000, "x" * 5000)
    ]
    assert heights[0] < heights[1] <= heights[2] == heights[3]
    contact_sheet([replace(pair, instruction="сделай зиму · κάνε χειμώνα · 冬にする", kind="", id="")])


def test_columns_and_rows(pairs) -> None:
    source = pairs(7)
    wide, narrow = (contact_sheet([source[n] for n in range(7)], columns=columns, side=32) for columns in (7, 2))
    assert wide.width > narrow.width
    assert wide.height < narrow.height
    assert contact_sheet([source[0]], columns=5, side=32).width < wide.width
    with pytest.raises(ValueError, match="at least one pair"):
        contact_sheet([])
