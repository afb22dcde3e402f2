"""JSON and texts from elsewhere: taken as they are meant, or said what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ip2p_lightning import limits
from ip2p_lightning.bounded_text import TextError, parse_json, read_json, read_text, utf8


def test_sound_json_is_taken():
    value = {"a": [1, 2.5, None, True, "ü"], "b": {"c": [[]]}}
    assert parse_json(json.dumps(value)) == parse_json(b"\xef\xbb\xbf" + json.dumps(value).encode()) == value
    assert parse_json('{"emoji": "\\ud83d\\ude00"}') == {"emoji": "😀"}
    assert parse_json("[" * 64 + "]" * 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested in more than 64 levels"),
        ("[" * 65 + "]" * 65, "nested in more than 64 levels"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested in more than 64 levels"),
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        ('{"x": {"id": 1, "b": 0, "id": 1}}', "the key 'id' stands there twice"),
        ('{"a": NaN}', "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "1e999 is no number"),
        ("1" * 5000, "digits"),
        ('"\\ud800"', "half of a surrogate pair"),
        ("{nope", "property name"),
        ("", "Expecting value"),
        (b'{"a": "\xfc"}', "convert it, such as text of Windows: iconv -f cp1252"),
        ('"ä"'.encode("utf-16"), "UTF-16 text, not UTF-8; convert it"),
        ('"' + "x" * limits.ROW_BYTES.default + '"', "IP2P_LIMIT_ROW_BYTES"),
    ],
)
def test_what_is_no_json_is_named(text: str | bytes, message: str):
    with pytest.raises(TextError, match=message):
        parse_json(text)


def test_cells_that_are_empty_may_be_read_as_null():
    assert parse_json('{"a": NaN, "b": [1e999, -Infinity]}', not_a_number="null") == {"a": None, "b": [None, None]}
    assert parse_json('{"a": Infinity}', not_a_number="keep") == {"a": float("inf")}


def test_limits_are_settable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IP2P_LIMIT_DATA_DEPTH", "3")
    assert parse_json("[[[]]]") == [[[]]]
    with pytest.raises(TextError, match="more than 3 levels"):
        parse_json("[[[[]]]]")


def test_files_are_named(tmp_path: Path):
    file = tmp_path / "a.json"
    with pytest.raises(FileNotFoundError, match=r"a\.json is missing; it holds the pairs"):
        read_json(file, "the pairs")
    file.write_bytes(b"\xff")
    with pytest.raises(TextError, match=r"a\.json is damaged .no UTF-8"):
        read_json(file, "the pairs")
    with file.open("wb") as opened:
        opened.truncate(limits.LISTING_BYTES.default + 1)  # sparse
    with pytest.raises(TextError, match="more than 4,194,304 bytes"):
        read_text(file)
    assert utf8(b"\xef\xbb\xbfx") == "x"
