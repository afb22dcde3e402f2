"""A run folder belongs to one run: neither two processes nor two recipes take turns at its files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.train import Trained, train
from ip2p_lightning.training.run_folder import RunFolderError, check_free, held

QUICK = ["~callbacks.pictures", "~callbacks.summary", "callbacks.progress.line_interval=1000"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Trained]:
    def start(*words: str, name: str = "run") -> Trained:
        overrides = ["experiment=ip2p/tiny", f"output_dir={tmp_path / name}", "trainer.max_steps=2", *QUICK, *words]
        return train(compose("train", overrides))

    return start


def step(folder: Path) -> int:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"]


def test_another_run_is_not_replaced_unless_asked(run, tmp_path: Path):
    run()
    with pytest.raises(RunFolderError, match=r"holds a run already \(checkpoints/last\.ckpt\).*overwrite=true"):
        run("trainer.max_steps=1")
    assert step(tmp_path / "run") == 2
    run(name="other")
    with pytest.raises(RunFolderError, match="ckpt=auto"):
        run(f"ckpt={tmp_path}/other/checkpoints/last.ckpt", "trainer.max_steps=3")
    run("ckpt=auto", "trainer.max_steps=3")
    run(f"ckpt={tmp_path}/run/checkpoints/last.ckpt", "trainer.max_steps=4")
    assert step(tmp_path / "run") == 4
    run("overwrite=true", "trainer.max_steps=1")
    assert step(tmp_path / "run") == 1


def test_a_folder_without_checkpoints_is_free(tmp_path: Path):
    check_free(tmp_path, None)
    (tmp_path / "train.log").touch()
    check_free(tmp_path, None)
    check_free(tmp_path, "elsewhere/last.ckpt")


HOLD = """
import sys, time
from pathlib import Path
from ip2p_lightning.training.run_folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_at_once_are_told_apart_and_a_kill_gives_the_folder_back(tmp_path: Path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunFolderError, match=rf"at work there \(process {holder.pid} on .*, since 20"),
            held(tmp_path),
        ):
            pass
        (tmp_path / ".run.json").write_text("{")
        with pytest.raises(RunFolderError, match="at work there; wait"), held(tmp_path):
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with held(tmp_path):
        pass
    assert not (tmp_path / ".run.json").exists()


def test_a_run_that_fails_gives_the_folder_back(run):
    with pytest.raises(ValueError, match="init="):
        run("init=[3]")
    run()
