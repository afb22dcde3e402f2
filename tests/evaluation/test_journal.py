"""An evaluation that was stopped goes on with its rows, whatever stopped it, and never with another's."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from processes import in_process, on_ranks, start

from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.base import Around
from ip2p_lightning.evaluation import evaluate
from ip2p_lightning.evaluation.evaluate import ExampleSelection
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
    settings = {"seeds": [0, 1], "batch_size": 3, "kept": ExampleSelection(5, 3), **given}
    return evaluate(editor, source, metrics(), journal=folder, **settings)


def test_goes_on_to_the_same_result(source: WorldSource, part_way: Any, metrics: Any, tmp_path: Path) -> None:
    editor = part_way(source)
    whole = run(editor, source, metrics, None)
    with pytest.raises(KeyboardInterrupt):
        run(Stops(editor, 5), source, metrics, tmp_path)  # in the middle of the third of four batches
    assert len(list(tmp_path.glob("*.rows.json"))) == 2
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
    assert len(list(tmp_path.glob("*.rows.json"))) == 4, "a part for each batch"


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
    book = Journal(tmp_path, {"a": 1})
    row = {"pair": "p\n\u2028", "value": 0.1 + 0.2, "none": None}
    book.write(book.part([(4, 0)]), {(4, 0): row}, {(4, 0): Image.new("RGB", (2, 2), "red")})
    again = Journal(tmp_path, {"a": 1})
    assert again.rows() == {(4, 0): row}
    picture = again.image((4, 0))
    assert picture is not None
    assert picture.getpixel((0, 0)) == (255, 0, 0)
    assert again.image((5, 0)) is None


def test_an_image_that_is_gone_is_made_again(source: WorldSource, part_way: Any, metrics: Any, tmp_path: Path) -> None:
    whole = run(part_way(source), source, metrics, tmp_path)
    for image in tmp_path.glob("*.png"):
        image.unlink()
    again = run(part_way(source), source, metrics, tmp_path)
    assert [one.edited.tobytes() for one in again.examples] == [one.edited.tobytes() for one in whole.examples]
    assert again.rows.equals(whole.rows)


def test_a_second_job_joins_and_both_have_all_rows(
    source: WorldSource, part_way: Any, metrics: Any, tmp_path: Path
) -> None:
    """As members of a job array: no batch is edited twice, and each has the result of all."""

    class Notes(part_way):
        def edit_prepared(self, requests: Any, on_step: Any = None) -> Any:
            with (tmp_path / "edited").open("a") as file:
                file.write(f"{len(requests)}\n")
            return super().edit_prepared(requests, on_step)

    def member(name: str) -> None:
        result = run(Notes(source), source, metrics, tmp_path / "journal")
        (tmp_path / name).write_text(json.dumps(result.rows.to_pylist()))

    for process in (members := [start(lambda name=name: member(name), tmp_path / f"{name}.log") for name in "ab"]):
        process.join(240)
    assert [process.exitcode for process in members] == [0, 0], (tmp_path / "a.log").read_text()
    whole = json.dumps(run(part_way(source), source, metrics, None).rows.to_pylist())
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text() == whole
    assert sum(int(line) for line in (tmp_path / "edited").read_text().split()) == 22


def test_rows_of_the_first_version_are_read(source: WorldSource, part_way: Any, metrics: Any, tmp_path: Path) -> None:
    whole = run(part_way(source), source, metrics, tmp_path)
    rows = Journal(tmp_path, json.loads((tmp_path / "settings.json").read_text())).rows()
    for part in tmp_path.glob("*.rows.json"):
        part.unlink()
    lines = "".join(json.dumps([*key, row]) + "\n" for key, row in rows.items())
    (tmp_path / "rows-0.jsonl").write_text(lines + '[9, 0, {"pair": "cut o')
    nothing = Stops(part_way(source), 0)
    assert run(nothing, source, metrics, tmp_path).rows.equals(whole.rows)


@pytest.mark.parametrize("text", ["[[0, 0", "[1, 2]", "{}", "[[0, 0]]", '[["a", 0, {}]]', "[[0, 0, 3]]", "[" * 100_000])
def test_a_damaged_part_is_named(text: str, tmp_path: Path) -> None:
    book = Journal(tmp_path, {"a": 1})
    book.write("000000-x", {(0, 0): {}}, {})
    (tmp_path / "000000-x.rows.json").write_text(text)
    with pytest.raises(ValueError, match=r"000000-x\.rows\.json is damaged .* remove it"):
        book.rows()
