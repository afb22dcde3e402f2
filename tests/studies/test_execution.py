"""Doing runs: each once, failures apart, interrupted training from its checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ip2p_lightning.methods.checkpoint import read_checkpoint
from ip2p_lightning.studies.execution import LOG, execute, needed, ordered
from ip2p_lightning.studies.run import RECORD, Run

Make = Callable[..., Run]


def test_each_run_is_done_once_and_failures_stop_no_other(tmp_path: Path, evaluation: Make, told: list[str]) -> None:
    runs = [
        evaluation("bad", "sdedit", "editor.strength=7"),
        evaluation("after", "outputs", "editor.path=<bad>/pictures"),
        evaluation("unknown", "nothing"),
        evaluation("good", "copy_input"),
    ]
    failures = execute(runs, tmp_path, tell=told.append)
    assert set(failures) == {"bad", "after", "unknown"}
    assert failures["after"] == "bad, which it needs, has no result"
    assert "editor/nothing" in failures["unknown"]
    assert (tmp_path / "good" / "summary.json").is_file()
    assert "L1" in (tmp_path / "good" / LOG).read_text()
    begun = (tmp_path / "good" / "summary.json").stat().st_mtime_ns
    told.clear()
    execute(runs, tmp_path, tell=told.append)
    assert [line for line in told if line.startswith("good")] == []
    assert (tmp_path / "good" / "summary.json").stat().st_mtime_ns == begun


def test_other_settings_move_the_old_run_aside(tmp_path: Path, evaluation: Make, told: list[str]) -> None:
    execute([evaluation("a")], tmp_path, tell=told.append)
    execute([evaluation("a", "copy_input")], tmp_path, tell=told.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a~1"]
    assert evaluation("a", "copy_input").missing(tmp_path) == ""
    assert json.loads((tmp_path / "a~1" / "summary.json").read_text())["figures"]["error"]["ours"]["estimate"] == 0


@pytest.mark.filterwarnings("ignore:Experiment logs directory")  # metrics.csv begins anew
def test_an_interrupted_training_goes_on(tmp_path: Path, told: list[str]) -> None:
    short = ("experiment=ip2p/tiny", "~callbacks.pictures", "~callbacks.summary", "trainer.limit_val_batches=0")
    run = Run("train/a", "train", (*short, "trainer.max_steps=3"))
    saving = (*short, "trainer.max_steps=3", "callbacks.checkpoint.every_n_train_steps=1")
    interrupted = Run("train/a", "train", (*saving, "callbacks.checkpoint.save_top_k=-1"))
    assert execute([interrupted], tmp_path, tell=told.append) == {}
    place = tmp_path / "train" / "a"
    record = json.loads((place / RECORD).read_text())
    del record["files"]
    (place / RECORD).write_text(json.dumps(record))
    os.replace(place / "checkpoints" / "step-2.ckpt", place / "checkpoints" / "last.ckpt")
    assert execute([interrupted], tmp_path, tell=told.append) == {}
    assert read_checkpoint(place / "checkpoints" / "last.ckpt")["global_step"] == 3
    assert not (tmp_path / "train" / "a~1").exists()
    assert "other settings" in run.missing(tmp_path)


@pytest.mark.slow
def test_runs_in_processes_of_their_own(tmp_path: Path, evaluation: Make, told: list[str]) -> None:
    pictures = evaluation("b", "outputs", "editor.path=<a>/nothing")
    failures = execute([evaluation("a"), pictures], tmp_path, processes=2, tell=told.append)
    assert list(failures) == ["b"]
    assert f"see {tmp_path}/b/{LOG}" in failures["b"]
    assert evaluation("a").missing(tmp_path) == ""
    assert execute([evaluation("a")], tmp_path, tell=told.append) == {}
    assert sum(line.startswith("a:") for line in told) == 1


def test_order_and_what_is_needed() -> None:
    runs = [
        Run("c", "evaluate", ("x=<a>",)),
        Run("a", "train", ("base=<b>",)),
        Run("b", "train", ()),
        Run("d", "train", ()),
    ]
    assert [run.name for run in ordered(runs)] == ["b", "a", "c", "d"]
    assert [run.name for run in needed(runs, runs[:1])] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([Run("a", "train", ()), Run("a", "train", ())], "several runs called a"),
        ([Run("a", "train", ("x=<b>",))], "a needs b, which the study does not have"),
        ([Run("a", "train", ("x=<b>",)), Run("b", "train", ("x=<a>",))], "need each other"),
    ],
)
def test_what_cannot_be_ordered_is_refused(runs: list[Run], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ordered(runs)
