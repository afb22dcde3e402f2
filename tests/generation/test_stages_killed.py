"""Two ranks killed at random moments and run again, by one or two, leave what a whole run leaves, to the byte."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from processes import free_port, start

from ip2p_lightning.config import compose
from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.jobs.generate import generate

RUN = [
    "experiment=generate/tiny", "generation/maker=rendered", "maker.size=16", "count=24", "batch_size=2",
    "triples_batch_size=5",
    "expressive_batch_size=4",
]  # fmt: skip
STORED = ("dataset.json", "index.parquet", "candidates.parquet", "shard-000000.tar")


def life(folder: Path, ranks: int) -> list[Any]:
    """The processes of one run, as torchrun would start them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    port, overrides = free_port(), [*RUN, f"output_dir={folder}"]
    if ranks > 1:
        overrides += ["trainer=ddp_cpu", f"trainer.devices={ranks}"]

    def work() -> None:
        generate(compose("generate", overrides))

    processes = []
    for rank in range(ranks):
        torchrun = {
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks), "RANK": str(rank),
            "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(ranks), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test",
        }  # fmt: skip
        log = folder.parent / f"{folder.name}-{rank}.log"
        processes.append(start(work, log, torchrun if ranks > 1 else None))
    return processes


def ended_well(processes: Sequence[Any], folder: Path) -> None:
    """Wait for a run, and show what its processes said if one of them failed."""
    for rank, process in enumerate(processes):
        process.join(180)
        assert process.exitcode == 0, (folder.parent / f"{folder.name}-{rank}.log").read_text()


def stored(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "dataset" / name).read_bytes() for name in STORED}


def done(folder: Path, stage: str) -> list[str]:
    """Every id of every manifest of a stage."""
    manifests = (json.loads(file.read_text()) for file in folder.glob(f"{stage}/part-*.manifest.json"))
    return [id for manifest in manifests for id in manifest["records"]]


def kill_after(processes: Sequence[Any], folder: Path, stage: str, parts: int, draw: random.Random) -> None:
    """Kill the ranks, one shortly after the other, some milliseconds after a stage has so many parts."""
    while len(list(folder.glob(f"{stage}/part-*.manifest.json"))) < parts:
        assert any(process.is_alive() for process in processes), "the run ended before it could be killed"
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.05))
    for process in draw.sample(list(processes), len(processes)):
        process.kill()
        time.sleep(draw.choice((0.0, 0.1)))
    for process in processes:
        process.join()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kills", "ranks"),
    [([("triples", 1), ("pairs", 3)], 1), ([("pairs", 2), ("pairs", 7), ("expressive", 2)], 2)],
    ids=["then one rank", "then two ranks"],
)
def test_ranks_that_are_killed_lose_a_batch_and_duplicate_nothing(
    kills: list[tuple[str, int]], ranks: int, tmp_path: Path, whole: dict[str, bytes]
):
    folder, draw = tmp_path / "run", random.Random(ranks)
    for stage, parts in kills:
        kill_after(life(folder, 2), folder, stage, parts, draw)
    assert 0 < len(done(folder, kills[-1][0])) < 96, "the last run was killed in the middle of a stage"
    kept = {stage: set(done(folder, stage)) for stage in ("triples", "pairs")}
    ended_well(life(folder, ranks), folder)
    assert stored(folder) == whole
    for stage in ("triples", "pairs"):
        assert len(done(folder, stage)) == len(set(done(folder, stage))) == 24
        assert kept[stage] <= set(done(folder, stage))
    assert not list(folder.rglob("*.part")), "nothing half-written remains"
    assert DatasetInfo.load(folder / "dataset").pairs == 24 * 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted run of one process leaves."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    ended_well(life(folder, 1), folder)
    return stored(folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_members_of_a_job_array_come_and_go(tmp_path: Path, whole: dict[str, bytes]):
    """Two processes that know nothing of each other but the folder; one is killed, a third joins."""
    folder, logs = tmp_path / "run", [tmp_path / f"log-{number}" for number in range(3)]
    first, second = (member(folder, log) for log in logs[:2])
    while len(done(folder, "pairs")) < 6:
        time.sleep(0.002)
    first.kill()
    first.join()
    third = member(folder, logs[2])
    for process, log in ((second, logs[1]), (third, logs[2])):
        process.join(180)
        assert process.exitcode == 0, log.read_text()
    assert stored(folder) == whole
    for stage in ("triples", "pairs", "expressive"):
        assert len(done(folder, stage)) == len(set(done(folder, stage))), "nothing is in the result twice"
    assert not [path.name for path in folder.rglob(".*") if ".claim" in path.name or path.suffix == ".part"]


def member(folder: Path, log: Path) -> Any:
    return start(lambda: generate(compose("generate", [*RUN, f"output_dir={folder}"])) and None, log)
