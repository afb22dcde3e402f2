"""A run is known by its settings and files: what counts as done, and what makes it not done."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ip2p_lightning.studies.execution import execute
from ip2p_lightning.studies.run import RECORD, Run, changed, digest

Make = Callable[..., Run]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, evaluation: Make) -> Path:
    folder = tmp_path_factory.mktemp("done")
    assert execute([evaluation("a")], folder, tell=lambda _: None) == {}
    return folder


def record(folder: Path) -> dict:
    return json.loads((folder / "a" / RECORD).read_text())


def test_references_become_folders_and_needs(tmp_path: Path) -> None:
    run = Run("b", "evaluate", ("checkpoint=<train/a-0>/last.ckpt", "editor.path=<train/a-0>", "x=<c>"))
    assert run.needs == ["train/a-0", "c"]
    assert run.words(tmp_path)[0] == f"checkpoint={tmp_path}/train/a-0/last.ckpt"
    assert run.words(tmp_path)[-1] == f"output={tmp_path}/b"
    assert Run("t", "train", ()).words(tmp_path) == [f"output_dir={tmp_path}/t"]


@pytest.mark.parametrize("name", ["", "../a", "a b", "/a", "a//b"])
def test_a_name_is_a_plain_path(name: str) -> None:
    with pytest.raises(ValueError, match="a name is made of"):
        Run(name, "train", ())


def test_a_run_is_done_by_its_own_files_and_settings(done: Path, evaluation: Make) -> None:
    assert evaluation("a").missing(done) == ""
    assert set(record(done)["files"]) == {"rows.csv", "rows.parquet", "settings.json", "summary.json"}
    assert "never run" in evaluation("b").missing(done)
    other = evaluation("a", "truth", "seeds=[1]").missing(done)
    assert other == "it was run with other settings (seeds)"


def test_a_folder_may_move(done: Path, tmp_path: Path, evaluation: Make) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (done / "a").rename(moved / "a")
    try:
        assert evaluation("a").missing(moved) == ""
    finally:
        (moved / "a").rename(done / "a")


@pytest.mark.parametrize("damage", ["cut", "gone", "interrupted", "failed", "no record"])
def test_a_flag_alone_is_no_result(done: Path, evaluation: Make, damage: str) -> None:
    path = done / "a" / ("rows.parquet" if damage in ("cut", "gone") else RECORD)
    before, told = path.read_bytes(), record(done)
    told.pop("files")
    if damage == "cut":
        path.write_bytes(before[:-1])
    elif damage in ("gone", "no record"):
        path.unlink()
    else:
        path.write_text(json.dumps(told | ({"error": "ValueError: no"} if damage == "failed" else {})))
    try:
        why = {"interrupted": "it was interrupted", "failed": "ValueError: no", "no record": "it was never run"}
        assert evaluation("a").missing(done) == why.get(damage, "rows.parquet is not there in full")
    finally:
        path.write_bytes(before)


def test_a_result_is_no_result_if_what_it_began_with_has_changed(done: Path, evaluation: Make) -> None:
    run = evaluation("b", "outputs", "editor.path=<a>/pictures")
    run.begin(done)
    run.end(done)
    assert run.missing(done) == ""
    before = digest(done / "a")
    told = record(done)
    (done / "a" / RECORD).write_text(json.dumps(told | {"files": {}}))
    try:
        assert digest(done / "a") not in ("", before)
        assert run.missing(done) == "a, which it began with, has changed since"
    finally:
        (done / "a" / RECORD).write_text(json.dumps(told))


def test_what_cannot_be_composed_is_said(tmp_path: Path, evaluation: Make) -> None:
    assert "editor/nothing" in evaluation("c", "nothing").missing(tmp_path)
    assert "tpyo" in evaluation("c", "truth", "tpyo=1").missing(tmp_path)


def test_runs_are_composed_from_several_threads(tmp_path: Path, evaluation: Make) -> None:
    runs = [evaluation(f"t{number}") for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda run: run.fault(tmp_path), runs)) == [""] * 3


def test_differences_name_keys() -> None:
    assert changed({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 3}) == ["a.c", "d", "e"]
