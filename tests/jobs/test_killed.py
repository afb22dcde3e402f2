"""Runs that are killed at any moment, or asked to stop by a signal, end with the weights of one that was not."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import printed_by

from ip2p_lightning.cli import main
from ip2p_lightning.config import compose
from ip2p_lightning.jobs.resuming import find_checkpoint
from ip2p_lightning.jobs.train import train

# 4 pairs a step, 3 steps an epoch, dropout, averages, clipping, a schedule, and a validation each epoch
RUN = [
    "experiment=ip2p/tiny", "data.train.count=14", "stages.0.max_steps=24", "+stages.0.decay=linear",
    "callbacks.checkpoint.every_n_train_steps=2", "~callbacks.summary", "~callbacks.pictures", "~callbacks.progress",
]  # fmt: skip


def content(path: Path) -> list[torch.Tensor]:
    """Averaged and raw weights, and the optimizer's moments."""
    stored = torch.load(path, weights_only=True)
    moments = stored["optimizer_states"][0]["state"].values()
    return [
        *stored["state_dict"].values(),
        *stored["raw_parameters"].values(),
        *(value for state in moments for value in state.values()),
    ]


def equal(a: Path, b: Path) -> bool:
    ours, theirs = content(a), content(b)
    return len(ours) == len(theirs) and all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


def life(folder: Path) -> multiprocessing.process.BaseProcess:
    """A forked process that goes on from the newest checkpoint beside `folder`, or begins."""

    def run() -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sys.stdout = sys.stderr = folder.with_suffix(".log").open("w")
        train(compose("train", [*RUN, f"output_dir={folder}", "ckpt=auto"]))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


KILLS = 4  # benchmarks/kills.py does it a hundred times, over all jobs


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_again_and_again(tmp_path: Path) -> None:
    begun = time.monotonic()
    whole = life(tmp_path / "whole/run")
    whole.join()
    assert whole.exitcode == 0
    duration = time.monotonic() - begun
    draw, kills, runs, steps = random.Random(0), 0, 0, []
    while kills < KILLS:  # each run is killed until it ends; then another begins
        runs += 1
        for number in range(100):
            folder = tmp_path / f"{runs}/{number}"
            process = life(folder)
            process.join(draw.uniform(0.1, 0.7) * duration if kills < KILLS else 120)
            if process.exitcode is not None:
                assert process.exitcode == 0, folder.with_suffix(".log").read_text()
                break
            process.kill()
            process.join()
            kills += 1
            if (folder / "checkpoints/last.ckpt").exists():
                steps.append(torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"])
        last = find_checkpoint("auto", folder)  # an earlier life's if it was killed after its last step
        assert last is not None
        assert equal(last, tmp_path / "whole/run/checkpoints/last.ckpt")
    assert steps, "some lives came far enough to leave a checkpoint"


@pytest.mark.slow
def test_a_command_that_is_asked_to_stop_can_be_given_again(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "ip2p_lightning", "train", *RUN, "hydra.run.dir=runs/first", "stages.0.max_steps=9999"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    while not (tmp_path / "runs/first/checkpoints/last.ckpt").exists() and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 75, said
    step = torch.load(tmp_path / "runs/first/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert f"stopped by SIGTERM at step {step}; " in said
    assert "go on with ckpt=auto" in said
    assert "Traceback" not in said
    words = [*RUN, f"hydra.run.dir={tmp_path}/runs/second", "ckpt=auto", f"stages.0.max_steps={step + 2}"]
    printed_by(lambda: main(["train", *words]), tmp_path / "second.log")
    stored = torch.load(tmp_path / "runs/second/checkpoints/last.ckpt", weights_only=True)
    assert stored["global_step"] == step + 2
