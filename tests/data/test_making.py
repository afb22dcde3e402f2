"""A folder in the making is one writer's; what a killed one left goes with the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.making import FolderInTheMaking, folder_in_the_making
from ip2p_lightning.data.rendering import render_dataset
from ip2p_lightning.data.shards import ShardWriter

_WRITER = """
import sys, time
from pathlib import Path
from ip2p_lightning.data.making import FolderInTheMaking
making = FolderInTheMaking(Path(sys.argv[1]))
(making.folder / "half").write_text("x")
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):
    """Another process that makes the folder `tmp_path / "data"`."""
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path / "data")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()


def test_two_writers_are_told_apart_and_the_left_overs_of_a_killed_one_go(other, tmp_path: Path, pairs):
    with pytest.raises(FileExistsError, match=r"another process is writing .*data; wait for it"):
        render_dataset(pairs(2), tmp_path / "data")
    assert (tmp_path / ".data.part" / "half").exists(), "the other's work is untouched"
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert (tmp_path / ".data.part" / "half").exists()
    render_dataset(pairs(2), tmp_path / "data")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data"]
    names = {file.name for file in (tmp_path / "data").iterdir()}
    assert names == {"dataset.json", "index.parquet", "shard-000000.tar"}


def test_two_writers_of_one_process(tmp_path: Path):
    writer = ShardWriter(tmp_path / "data")
    with pytest.raises(FileExistsError, match="another process is writing"):
        ShardWriter(tmp_path / "data")
    ShardWriter(tmp_path / "elsewhere").abort()
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_was_put_aside_comes_back(dataset: Path, pairs):
    dataset.rename(dataset.with_name(f".{dataset.name}.old"))  # a writer was killed between two renames
    FolderInTheMaking(dataset).discard()
    assert DatasetInfo.load(dataset).pairs == 100
    render_dataset(pairs(3), dataset, overwrite=True)
    assert DatasetInfo.load(dataset).pairs == 3
    assert [file.name for file in dataset.parent.iterdir()] == [dataset.name]


def test_errors_leave_nothing(tmp_path: Path):
    with pytest.raises(IsADirectoryError), folder_in_the_making(tmp_path / "out") as folder:
        folder.write_text("x")
    assert list(tmp_path.iterdir()) == []
    with folder_in_the_making(tmp_path / "out") as folder:
        (folder / "x").write_text("x")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["x"]
