"""People's preferences as records to train on: lines of JSON, and images under names made of what they show.

A line of `preferences.jsonl` is one record: the original, the instruction, and images that were preferred to others.
Lines are appended, and an image that several records share is one file, so that many conversations fill one folder.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from ip2p_lightning.data.saving import png_bytes
from ip2p_lightning.editors.turns import Content, Preference, Turn
from ip2p_lightning.files import write_whole

FILE = "preferences.jsonl"
VERSION = 1
_WRITING = threading.Lock()


def write_preferences(content: Content, folder: Path, only: Preference | None = None) -> Path:
    """Append a conversation's records.

    Args:
        content: of the conversation.
        folder: of the records and their folder `images`.
        only: this one alone; None for all.

    Returns:
        The file of the records.
    """
    wanted = content.preferences if only is None else [only]
    lines = [json.dumps(_record(content, one, folder), ensure_ascii=False) + "\n" for one in wanted]
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with _WRITING, path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of other processes; it ends with the file
        _append(file, "".join(lines).encode())
    return path


def _append(file: io.FileIO, data: bytes) -> None:
    """Append whole lines or nothing; a line that a killed writer left without its end stays one damaged line."""
    end = file.seek(0, os.SEEK_END)
    if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
        data = b"\n" + data
    try:
        written = file.write(data)
        if written != len(data):  # a disk that is full takes a part and says nothing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.name))
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def _record(content: Content, preference: Preference, folder: Path) -> dict[str, Any]:
    """One record; the turns that it compares edit one image under one instruction."""
    turn = content.turns[(preference.chosen or preference.rejected[0]) - 1]
    chosen = None if preference.chosen is None else _side(content.turns[preference.chosen - 1], folder)
    return {
        "version": VERSION,
        "time": preference.time,
        "editor": content.name,
        "instruction": turn.instruction,
        "original": _stored(turn.before, folder),
        "mask": None if turn.mask is None else _stored(turn.mask, folder),
        "chosen": chosen,
        "rejected": [_side(content.turns[number - 1], folder) for number in preference.rejected],
    }


def _side(turn: Turn, folder: Path) -> dict[str, Any]:
    return {
        "image": _stored(turn.image, folder),
        "expressive_instruction": turn.expressive_instruction,
        "by_hand": turn.by_hand,
        "seed": turn.seed,
        "strength": turn.strength,
        "sampling": turn.sampling.given(),
    }


def _stored(image: Image.Image, folder: Path) -> str:
    """The name of an image in the folder, where it is written unless it is there."""
    data = png_bytes(image)
    name = f"images/{hashlib.sha256(data).hexdigest()[:24]}.png"
    if not (folder / name).is_file():
        write_whole(folder / name, data, shared=True)
    return name
