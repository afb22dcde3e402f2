"""Captions of files: every line and member is a caption or is named."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from ip2p_lightning.generation.base import Caption, Rejected
from ip2p_lightning.generation.captions import CaptionSource, JsonlCaptions, TarCaptions, TextCaptions


def read(source: CaptionSource) -> tuple[list[str], list[str]]:
    """Texts of the captions, and what is said of the others."""
    entries = list(source)
    return [e.text for e in entries if isinstance(e, Caption)], [e.detail for e in entries if isinstance(e, Rejected)]


def test_lines_that_are_no_captions(tmp_path: Path):
    rows = [
        json.dumps({"caption": "a red house"}).encode(),
        b"[" * 100_000,
        b"{nope",
        b"[1]",
        json.dumps({"input": "a", "edit": "b"}).encode(),
        b'{"caption": NaN}',
        b'{"caption": true}',
        b'{"caption": 5}',
        '{"caption": "grün"}'.encode("cp1252"),
        b'{"caption": "a", "caption": "b"}',
        json.dumps({"caption": "a blue house", "url": 5}).encode(),
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows))
    texts, details = read(JsonlCaptions(tmp_path / "a.jsonl"))
    assert texts == ["a red house", "a blue house"]
    assert len(details) == 9
    assert "no key 'caption'; it has input, edit: give captions.caption_key=KEY" in details[3]
    assert "iconv -f cp1252" in details[7]


def test_files_that_are_no_json_lines(tmp_path: Path):
    (tmp_path / "a.json").write_text('[\n{"caption": "a"}]')
    with pytest.raises(ValueError, match="is a JSON array"):
        JsonlCaptions(tmp_path / "a.json")


def test_text_of_other_encodings(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa house\nm\xfcde\n")
    texts, details = read(TextCaptions(tmp_path / "a.txt"))
    assert texts == ["a house"]
    assert "convert it, such as text of Windows" in details[0]


def tar(path: Path, members: dict[str, bytes], again: dict[str, bytes] | None = None) -> bytes:
    with tarfile.open(path, "w") as opened:
        for name, data in [*members.items(), *(again or {}).items()]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return path.read_bytes()


def test_members_that_are_no_captions(tmp_path: Path):
    members = {
        "a.txt": b"a red house",
        "b.json": b"[" * 5000,
        "c.json": b"[1]",
        "d.txt": b"m\xfcde",
        "e.json": b'{"caption": "a blue house", "url": "u"}',
        "._f.txt": b"x",
    }
    tar(tmp_path / "a.tar", members, {"a.txt": b"another"})
    (tmp_path / "._a.tar").write_bytes(b"x")
    texts, details = read(TarCaptions(tmp_path))
    assert texts == ["a blue house"]
    assert len([text for text in details if "there twice" in text]) == 2
    assert len(details) == 6
    assert "1 x companion file of macOS (._a.tar)" in details[-1]


def test_a_damaged_tar_is_said(tmp_path: Path):
    data = bytearray(tar(tmp_path / "a.tar", {f"{number}.txt": b"a house" for number in range(6)}))
    data[2 * 1024 : 2 * 1024 + 20] = b"X" * 20  # the third header
    (tmp_path / "a.tar").write_bytes(data)
    texts, details = read(TarCaptions(tmp_path / "a.tar"))
    assert len(texts) == 2
    assert "no header at byte 2,048" in details[0]
