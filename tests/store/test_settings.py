"""Settings that differ are named by their dotted keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_lightning.store import ABSENT, differences, keep_settings

BEFORE = {"seed": 1, "maker": {"_target_": "a.Maker", "steps": 4, "size": None}, "stages": ["one", "two"]}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, {}),
        ({"seed": 2}, {"seed": (1, 2)}),
        ({"maker": {"_target_": "a.Maker", "steps": 5, "size": None}}, {"maker.steps": (4, 5)}),
        ({"maker": {"_target_": "a.Maker", "steps": 4}}, {"maker.size": (None, ABSENT)}),
        ({"maker": {"_target_": "b.Other", "cuts": 9}}, {"maker._target_": ("a.Maker", "b.Other")}),
        ({"maker": None}, {"maker": (BEFORE["maker"], None)}),
        ({"stages": ["one"]}, {"stages": (["one", "two"], ["one"])}),
        ({"new": 0}, {"new": (ABSENT, 0)}),
    ],
)
def test_differences(change: dict, named: dict) -> None:
    assert differences(BEFORE, BEFORE | change) == named


def test_a_key_may_be_left_out_for_null() -> None:
    assert differences({"a": None}, {}, absent=None) == {}
    assert differences({"a": {"b": None}}, {"a": {}, "c": None}, absent=None) == {}
    assert differences({"a": 0}, {}, absent=None) == {"a": (0, None)}


def test_settings_are_kept_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "new/settings.json"
    assert keep_settings(file, {"a": (1, 2)}) == {}
    assert keep_settings(file, {"a": [1, 2]}) == {}, "as JSON has them"
    assert keep_settings(file, {"a": [1, 3]}) == {"a": ([1, 2], [1, 3])}
    assert keep_settings(file, {"a": [1, 2]}) == {}, "the file is what it was"
    assert keep_settings(file, {"b": 0}, replace=True) == {}
    assert keep_settings(file, {"a": [1, 2]}) == {"b": (0, ABSENT), "a": (ABSENT, [1, 2])}


def test_settings_that_cannot_be_read_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"settings\.json is damaged"):
        keep_settings(tmp_path / "settings.json", {})
