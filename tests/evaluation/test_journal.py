"""An evaluation that was stopped goes on with its rows, whatever stopped it, and never with another's."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from processes import in_process, on_ranks

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.base import Around
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.evaluate import Kept
from ip2p_lightning.evaluation.journal import Journal


class Stops(Around):
    """An editor that ends after some batches, and counts the pictures it edits."""

    def __init__(self, editor: Any, batches: int, kill: bool = False) -> None:
        super().__init__(editor)
        self.left, self.kill, self.edited = batches, kill, 0

    def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
        if self.left == 0 and self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.edited += len(requests)
        return self.editor.edit_prepared(requests, on_step)


@pytest.fixture(scope="module")
def source() -> WorldSource:
    return WorldSource(11, size=32, split="test")


def run(editor: Any, source: WorldSource, metrics: Any, folder: Path | None, **given: Any) -> Any:
    settings = {"seeds": [0, 1], "batch_size": 3, "kept": Kept(5, 3), **given}
    return evaluate(editor, source, metrics(), journal=folder, **settings)


def test_goes_on_to_the_same_result(source: WorldSource, part_way: Any, metrics: Any, tmp_path: Path) -> None:
    editor = part_way(source)
    whole = run(editor, source, metrics, None)
    with pytest.raises(KeyboardInterrupt):
        run(Stops(editor, 5), source, metrics, tmp_path)  # in the middle of the third of four batches
    with (tmp_path / "rows-0.jsonl").open("a") as file:
        file.write('[9, 0, {"pair": "cut o')
    rest = Stops(editor, -1)
    done: list[int] = []
    result = run(rest, source, metrics, tmp_path, on_progress=done.append)
    assert rest.edited == 2 * 5
    assert done == [12, 3, 3, 2, 2]
    assert result.rows.equals(whole.rows)
    assert result.summary()["figures"] == whole.summary()["figures"]
    for one, other in zip(result.examples + result.worst, whole.examples + whole.worst, strict=True):
        assert (one.pair, one.seed, one.edited.tobytes()) == (other.pair, other.seed, other.edited.tobytes())
    nothing = Stops(editor, 0)
    assert run(nothing, source, metrics, tmp_path).rows.equals(whole.rows)
    assert nothing.edited == 0


def test_survives_a_kill_and_goes_on_in_two_processes(
    source: WorldSource, part_way: Any, metrics: Any, tmp_path: Path
) -> None:
    editor = part_way(source)
    assert in_process(lambda: run(Stops(editor, 3, kill=True), source, metrics, tmp_path)) == -signal.SIGKILL
    assert len(Journal(tmp_path, json.loads((tmp_path / "settings.json").read_text())).rows()) == 6
    whole = run(editor, source, metrics, None)

    for rows in on_ranks(2, lambda: run(editor, source, metrics, tmp_path).rows):
        assert rows.equals(whole.rows)
    assert {path.name for path in tmp_path.glob("rows-*")} == {"rows-0.jsonl", "rows-1.jsonl"}


def test_rows_of_another_evaluation_are_refused(
    source: WorldSource, part_way: Any, metrics: Any, tmp_path: Path
) -> None:
    editor = part_way(source)
    run(editor, source, metrics, tmp_path, provenance={"checkpoint": "a.ckpt"})
    with pytest.raises(ValueError, match=r"another checkpoint, split; give another output, or delete"):
        run(editor, source, metrics, tmp_path, provenance={"checkpoint": "b.ckpt", "split": "test"})
    with pytest.raises(ValueError, match="another seeds"):
        run(editor, source, metrics, tmp_path, provenance={"checkpoint": "a.ckpt"}, seeds=[0])


def test_rows_and_pictures_come_back(tmp_path: Path) -> None:
    book = Journal(tmp_path, {"a": 1}, rank=3)
    row = {"pair": "p\n\u2028", "value": 0.1 + 0.2, "none": None}
    book.write({(4, 0): row}, {(4, 0): Image.new("RGB", (2, 2), "red")})
    again = Journal(tmp_path, {"a": 1})
    assert again.rows() == {(4, 0): row}
    picture = again.picture((4, 0))
    assert picture is not None
    assert picture.getpixel((0, 0)) == (255, 0, 0)
    assert again.picture((5, 0)) is None
