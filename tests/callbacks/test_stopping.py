"""Asked to stop, killed, killed while it writes, out of disk: in real processes, and every run goes on exactly."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from processes import in_process, on_ranks
from walker import walk

from ip2p_lightning.jobs.resuming import find_checkpoint
from ip2p_lightning.training import durable
from ip2p_lightning.training.durable import CheckpointWriteError
from ip2p_lightning.training.stop_request import Stopped

SIGNALS = {"every_n_train_steps": 100, "save_top_k": 0, "stop_signals": ["SIGTERM", "SIGUSR1", "SIGINT"]}


class Send(L.Callback):
    """Send this process a signal in the middle of a step, or of a validation."""

    def __init__(self, number: signal.Signals, step: int = 7, validation: bool = False, times: int = 1) -> None:
        self.number, self.step, self.validation, self.times = number, step, validation, times

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._send(trainer, not self.validation)

    def on_validation_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._send(trainer, self.validation)

    def _send(self, trainer: L.Trainer, here: bool) -> None:
        while here and trainer.global_step >= self.step and self.times:
            self.times -= 1
            os.kill(os.getpid(), self.number)


def check_rest(folder: Path, ckpt: Path, step: int, **settings: Any) -> None:
    """The rest of a run of 15 steps gives the weights of one that never stopped."""
    whole = walk(folder / "whole", **settings)
    rest = walk(folder / "rest", ckpt=ckpt, **settings)
    assert rest.seen == whole.seen[step * settings.get("accumulate_grad_batches", 1) :]
    assert all(torch.equal(a, b) for a, b in zip(rest.weights, whole.weights, strict=True))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGINT", 130)])
def test_a_signal_ends_the_run_after_the_step(tmp_path: Path, name: str, code: int) -> None:
    settings = {"batch_size": 2, "accumulate_grad_batches": 2}

    def run() -> None:
        walk(tmp_path / "run", watch=[Send(signal.Signals[name])], saver=SIGNALS, **settings)

    assert in_process(run) == code
    assert torch.load(tmp_path / "run/last.ckpt", weights_only=True)["global_step"] == 8
    check_rest(tmp_path, tmp_path / "run/last.ckpt", 8, **settings)


def test_a_signal_during_validation_ends_the_run(tmp_path: Path) -> None:
    settings = {"limit_val_batches": 1.0, "val_check_interval": 3}

    def run() -> None:
        walk(tmp_path / "run", watch=[Send(signal.SIGTERM, validation=True)], saver=SIGNALS, **settings)

    assert in_process(run) == 75
    assert torch.load(tmp_path / "run/last.ckpt", weights_only=True)["global_step"] == 8
    check_rest(tmp_path, tmp_path / "run/last.ckpt", 8, **settings)


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    def run() -> None:
        walk(tmp_path / "run", watch=[Send(signal.SIGINT, times=2)], saver=SIGNALS)

    assert in_process(run) == 1
    assert not (tmp_path / "run/last.ckpt").exists()


def test_signals_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    walk(tmp_path / "run", max_steps=2, saver=SIGNALS)
    with pytest.raises(Stopped):
        walk(tmp_path / "again", watch=[Send(signal.SIGTERM, step=1)], saver=SIGNALS)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before


def test_all_ranks_stop_when_one_is_asked_to(tmp_path: Path) -> None:
    def run() -> tuple[int, int]:
        second = torch.distributed.get_rank() == 1
        try:
            walk(tmp_path / "run", batch_size=2, watch=[Send(signal.SIGTERM)] if second else [], saver=SIGNALS)
        except Stopped as stopped:
            return int(stopped.code or 0), torch.load(tmp_path / "run/last.ckpt", weights_only=True)["global_step"]
        return 0, 0

    assert on_ranks(2, run) == [(75, 8), (75, 8)]


@pytest.mark.parametrize("array", [False, True])
def test_a_slurm_job_is_queued_again(tmp_path: Path, array: bool) -> None:
    calls = tmp_path / "calls"
    scontrol = tmp_path / "bin/scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    scontrol.chmod(0o755)
    job = {
        "SLURM_JOB_ID": "1234", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
        "PATH": f"{scontrol.parent}:{os.environ['PATH']}",
    }  # fmt: skip
    if array:
        job |= {"SLURM_ARRAY_JOB_ID": "99", "SLURM_ARRAY_TASK_ID": "7"}

    def run(name: str, number: signal.Signals) -> None:
        os.environ.update(job)
        walk(tmp_path / name, watch=[Send(number)], saver=SIGNALS)

    assert in_process(lambda: run("warned", signal.SIGUSR1)) == 75
    assert calls.read_text() == ("requeue 99_7\n" if array else "requeue 1234\n")
    assert in_process(lambda: run("ended", signal.SIGTERM)) == 75
    assert calls.read_text().count("\n") == 1, "whoever sends SIGTERM queues the job again, or does not want it"
    check_rest(tmp_path, tmp_path / "warned/last.ckpt", 8)


@pytest.mark.parametrize("moment", ["in the middle", "before the name"])
def test_a_writer_that_is_killed_leaves_the_older_checkpoint(tmp_path: Path, moment: str) -> None:
    folder = tmp_path / "run/checkpoints"

    def run() -> None:
        if moment == "before the name":
            sync, calls = os.fsync, []
            os.fsync = lambda handle: os.kill(os.getpid(), 9) if len(calls) == 8 else calls.append(sync(handle))
        else:
            write, sinks = durable._Sink.write, []

            def write_or_die(self: Any, data: Any) -> int:
                sinks.extend([self] if self not in sinks else [])
                done = write(self, data)
                if len(sinks) == 5 and self._file.tell() > 2000:
                    os.kill(os.getpid(), 9)
                return done

            durable._Sink.write = write_or_die
        walk(folder, saver={"save_top_k": 0})

    assert in_process(run) == -signal.SIGKILL
    assert (folder / ".last.ckpt.part").exists()
    ckpt = find_checkpoint("auto", tmp_path / "now")
    assert ckpt == folder / "last.ckpt"
    assert torch.load(ckpt, weights_only=True)["global_step"] == 4
    check_rest(tmp_path, ckpt, 4)


@pytest.mark.parametrize("disk", ["limit", "tmpfs"])
def test_a_full_disk_leaves_the_older_checkpoint(tmp_path: Path, disk: str) -> None:
    folder = tmp_path / "run/checkpoints"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if disk == "tmpfs" and subprocess.run(mount, check=False).returncode:
        pytest.skip("a tmpfs can be mounted by root alone")

    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    class Fill(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step == 4 and disk == "limit":
                limit = (folder / "last.ckpt").stat().st_size // 2
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
            elif trainer.global_step == 4:
                (folder / "other").write_bytes(bytes(os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize - 4096))

    def run() -> None:
        try:
            walk(folder, saver={"save_top_k": 0}, watch=[Fill()])
        except CheckpointWriteError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            (tmp_path / "message").write_text(str(error))
            raise SystemExit(3) from None

    try:
        assert in_process(run) == 3
        message = (tmp_path / "message").read_text()
        assert message.startswith(f"step 5 could not be saved to {folder}/last.ckpt (")
        assert ("No space left" if disk == "tmpfs" else "File too large") in message
        assert "The checkpoint that was there before is untouched" in message
        assert sorted(path.name for path in folder.iterdir() if path.name != "other") == ["last.ckpt"]
        check_rest(tmp_path, folder / "last.ckpt", 4)
    finally:
        if disk == "tmpfs":
            subprocess.run(["umount", folder], check=True)


def test_files_of_the_same_name_are_replaced_as_a_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "folder/file"
    durable.save_whole(path, lambda file: file.write(b"first"), what="the first")
    with pytest.raises(RuntimeError, match="in the middle"), caplog.at_level(logging.WARNING):
        durable.save_whole(path, _fails, what="the second")
    assert path.read_bytes() == b"first"
    with pytest.raises(CheckpointWriteError, match=r"the third could not be saved to .* There is none before"):
        durable.save_whole(path / "below", lambda file: file.write(b""), what="the third")


def _fails(file: Any) -> None:
    file.write(b"half")
    raise RuntimeError("in the middle")
