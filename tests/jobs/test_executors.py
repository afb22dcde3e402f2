"""Processes, tasks of a job array and Ray actors leave the same dataset and the same rows, to the byte."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import start_job

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.evaluate import run as evaluate
from ip2p_lightning.jobs.generate import generate
from ip2p_lightning.store.actors import ActorError, cluster, in_actors

MAKE = [
    "experiment=generate/tiny", "generation/maker=rendered", "maker.size=16", "count=6", "batch_size=2",
    "triples_batch_size=3",
    "expressive_batch_size=4", "search.candidates=4", "threads=1",
]  # fmt: skip
DATASET = ("shard-000000.tar", "index.parquet", "candidates.parquet", "dataset.json")
SCORE = ["editor=copy_input", "data=world_tiny", "device=cpu", "batch_size=2", "intervals.resamples=100", "threads=1"]
ROWS = ("rows.parquet", "rows.csv")


def made(folder: Path, *more: str) -> None:
    generate(compose("generate", [*MAKE, f"output_dir={folder}", *more]))


def scored(folder: Path, *more: str) -> None:
    evaluate(compose("evaluate", [*SCORE, f"output={folder}", *more]))


def contents(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset and an evaluation of one process."""
    folder = tmp_path_factory.mktemp("alone")
    made(folder / "run")
    scored(folder / "scored")
    return folder


def in_two_tasks(job: str, words: list[str], folder: Path, begun: str) -> None:
    """Two processes that know nothing of each other; a third joins late, after the first was killed."""
    logs = [folder.parent / f"task-{number}.log" for number in range(3)]
    first, second = start_job(job, words, logs[0]), start_job(job, words, logs[1])
    while not any(folder.glob(begun)):
        assert first.is_alive() or second.is_alive(), logs[0].read_text() + logs[1].read_text()
        time.sleep(0.002)
    first.kill()
    third = start_job(job, words, logs[2])
    for task, log in ((second, logs[1]), (third, logs[2])):
        task.join(240)
        assert task.exitcode == 0, log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tasks_of_a_job_array_make_the_dataset_of_one_process(alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    in_two_tasks("generate", [*MAKE, f"output_dir={folder}", "executor=array"], folder, "pairs/*.manifest.json")
    assert contents(folder / "dataset", DATASET) == contents(alone / "run/dataset", DATASET)
    assert json.loads((folder / "dataset/run_card.json").read_text())["models"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tasks_of_a_job_array_measure_the_rows_of_one_process(alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scored"
    in_two_tasks("evaluate", [*SCORE, f"output={folder}", "executor=array"], folder, "unfinished/*.rows.json")
    assert contents(folder, ROWS) == contents(alone / "scored", ROWS)
    assert (folder / "report.html").is_file()
    scored(folder, "executor=array")  # a task that comes when all is done
    assert contents(folder, ROWS) == contents(alone / "scored", ROWS)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # each actor imports torch
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_ray_actors_leave_what_one_process_leaves(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")

    def failing() -> Callable[[str], None]:
        raise ValueError("no model here")

    with cluster(2):
        made(tmp_path / "run", "executor=ray", "actors=1")
        scored(tmp_path / "scored", "executor=ray", "actors=2")
        with pytest.raises(ActorError, match="no model here"):
            in_actors(failing, ["a"], 1)
    assert contents(tmp_path / "run/dataset", DATASET) == contents(alone / "run/dataset", DATASET)
    assert contents(tmp_path / "scored", ROWS) == contents(alone / "scored", ROWS)
    assert json.loads((tmp_path / "run/dataset/run_card.json").read_text())["models"]


def test_several_devices_are_for_processes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="executor=processes"):
        scored(tmp_path, "executor=array", "devices=2")
