"""Every reader under a few dozen inputs, and the harness under what it must find."""

from __future__ import annotations

import mmap
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fuzz.harness import Reader, check, examples
from fuzz.readers import READERS


@pytest.mark.parametrize("name", READERS)
def test_reader(name, tmp_path):
    assert examples(READERS[name], tmp_path, 60).inputs >= 60


def writes(folder: Path) -> None:
    (folder.parent / "canary").write_text("x")


def grows(folder: Path) -> None:
    with mmap.mmap(-1, 80 * 2**20) as held:  # what malloc gives may have been the process's before
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1


@pytest.mark.parametrize(
    ("act", "found"),
    [
        (writes, "must not do this"),
        (lambda _: os.system("true"), "os.system"),
        (lambda _: subprocess.run(["true"]), "subprocess.Popen"),
        (grows, "grew by"),
    ],
)
def test_the_harness_sees(act, found, tmp_path):
    (tmp_path / "inside").mkdir()
    reader = Reader(st.none(), lambda _, folder: act(folder), (ValueError,), megabytes=1 if found == "grew by" else 512)
    with pytest.raises(AssertionError, match=found):
        check(reader, None, tmp_path / "inside")
