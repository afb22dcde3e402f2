"""Several ranks as real processes: they train one job's configuration, say what ended them, and leave no trace."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from omegaconf import DictConfig
from processes import free_port, start

from ip2p_lightning.config import build, compose
from ip2p_lightning.distributed import launcher as rank_launcher
from ip2p_lightning.distributed.launcher import READY, RankLauncher, say_ready
from ip2p_lightning.distributed.ranks import launch_ranks
from ip2p_lightning.jobs.train import train
from ip2p_lightning.methods.checkpoint import load_module

ROOT = Path(__file__).resolve().parents[2]
ENTRY = "ip2p_lightning.jobs.train:train"
WITNESS = "+callbacks.witness={_target_: distributed.witness.Witness, dies: %d, unbuilt: %d}"
TWO_RANKS = [
    "experiment=ip2p/tiny",
    "trainer=ddp_cpu",
    "trainer.max_steps=2",
    "~callbacks.pictures",
    "~callbacks.summary",
]
VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., DictConfig]:
    """`job("seed=1", name="a", dies=1)` is two ranks' run of two steps in tmp_path/a."""

    def make(*overrides: str, name: str = "run", dies: int = -1, unbuilt: int = -1) -> DictConfig:
        words = [*TWO_RANKS, WITNESS % (dies, unbuilt), f"output_dir={tmp_path / name}", *overrides]
        return compose("train", words)

    return make


def told(folder: Path) -> list[dict[str, Any]]:
    """What the witnesses of a run folder left, by rank."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("witness-*.json"))]


def trainer_of(*overrides: str) -> tuple[L.Trainer, DictConfig]:
    """A trainer of Lightning's with two processes, and its configuration."""
    config = compose("train", [*TWO_RANKS, "output_dir=x", *overrides])
    return build(config.trainer, logger=False, enable_checkpointing=False), config


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_a_strategy_that_pickles_the_module_is_refused_and_the_remedy_named(strategy: str):
    trainer, config = trainer_of(f"trainer.strategy={strategy}")
    with (
        pytest.raises(ValueError, match=rf"trainer.strategy={strategy} hands.*use trainer=ddp"),
        launch_ranks(trainer, config, ENTRY),
    ):
        pass


def test_any_strategy_of_processes_gets_the_launcher():
    trainer, config = trainer_of("trainer.strategy=ddp_find_unused_parameters_true")
    with launch_ranks(trainer, config, ENTRY, Path("last.ckpt")):
        launcher = trainer.strategy.launcher
        assert isinstance(launcher, RankLauncher)
        assert launcher.config.ckpt == "last.ckpt"
        assert launcher.config.seed == config.seed


def test_one_process_has_no_ranks():
    config = compose("train", ["experiment=ip2p/tiny", "output_dir=x"])
    trainer = L.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
    with launch_ranks(trainer, config, ENTRY):
        assert trainer.strategy.launcher is None


def test_ranks_meet_at_a_port_that_is_free_and_that_the_system_gives_to_nobody() -> None:
    first = rank_launcher._free_port()
    with socket.socket() as taken:
        taken.bind(("", first))
        assert first != rank_launcher._free_port()
    assert 10_000 <= first < 30_000


def test_the_process_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASTER_PORT", "before")
    trainer, config = trainer_of()
    with launch_ranks(trainer, config, ENTRY):
        os.environ |= {"MASTER_PORT": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
        torch.set_num_threads(2)
    assert os.environ["MASTER_PORT"] == "before"
    assert not {"LOCAL_RANK", "WORLD_SIZE"} & set(os.environ)
    assert torch.get_num_threads() == 1


def test_a_rank_says_once_that_it_is_ready(monkeypatch: pytest.MonkeyPatch):
    reader, writer = os.pipe()
    monkeypatch.setenv(READY, str(writer))
    say_ready()
    say_ready()
    assert READY not in os.environ
    assert os.read(reader, 10) == b"1"
    assert os.read(reader, 10) == b""  # closed
    os.close(reader)


@pytest.mark.slow
def test_from_python_two_ranks_train_together_and_average(job, tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))  # what another job has left in the environment
        trained = train(job("seed=3"))
        monkeypatch.delenv("MASTER_PORT")
    folder = tmp_path / "run"
    first, second = told(folder)
    assert first["world"] == second["world"] == 2
    assert not set(first["ids"]) & set(second["ids"])
    assert first["weights"] == second["weights"]  # the averages, put into the module at the end
    assert (first["launcher"], first["folder"]) == ("RankLauncher", str(folder))
    assert first["folder"] == second["folder"]
    assert "val/editing_loss" in trained.metrics
    average, raw = (load_module(trained.checkpoint, weights=kind).denoiser.state_dict() for kind in ("ema", "raw"))
    assert all(torch.equal(average[name], tensor) for name, tensor in trained.module.denoiser.state_dict().items())
    assert any(not torch.equal(average[name], raw[name]) for name in raw)
    assert not torch.distributed.is_initialized()
    assert not set(VARIABLES) & set(os.environ)
    assert "checkpoint:" in (folder / "rank-1.log").read_text()


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_job_with_its_last_words_and_the_next_one_starts(job, tmp_path):
    with pytest.raises(ChildProcessError, match=r"(?s)rank 1 ended with exit code 3: the last words.*rank-1\.log"):
        train(job(dies=1))
    assert not torch.distributed.is_initialized()
    assert not set(VARIABLES) & set(os.environ)
    with pytest.raises(ChildProcessError, match=r"rank 1 ended with exit code 1: .*this rank cannot be built"):
        train(job(name="unbuilt", unbuilt=1))
    assert train(job("trainer.devices=1", "trainer.strategy=auto", name="alone")).trainer.global_step == 2


@pytest.mark.slow
def test_a_job_of_which_a_rank_was_lost_goes_on_bit_for_bit(job, tmp_path):
    words = ["trainer.max_steps=4", "callbacks.checkpoint.every_n_train_steps=1"]
    train(job(*words, name="whole"))
    with pytest.raises(ChildProcessError, match="rank 1"):
        train(job(*words, name="lost", dies=1))
    assert train(job(*words, "ckpt=auto", name="lost")).trainer.global_step == 4
    whole, lost = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("whole", "lost")
    )
    for key in ("state_dict", "raw_parameters"):
        assert all(torch.equal(tensor, lost[key][name]) for name, tensor in whole[key].items())
    for before, after in zip(*(one["optimizer_states"][0]["state"].values() for one in (whole, lost)), strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_two_ranks_share_one_cache(job, tmp_path):
    """Both build it, and train on it as they do without."""
    cache = ["cache=disk", f"cache.folder={tmp_path}/cache", "cache.batch_size=5", "+cache.part_pairs=10"]
    plain, cached = train(job(name="plain")).metrics, train(job(*cache, name="cached")).metrics
    for metric in ("train/editing_loss", "val/editing_loss"):
        assert cached[metric] == pytest.approx(plain[metric], rel=1e-4)
    for name in ("plain", "cached"):
        first, second = told(tmp_path / name)
        assert first["weights"] == second["weights"]
    assert len(list((tmp_path / "cache").glob("latents-*"))) == 1


def test_a_first_rank_that_waits_for_a_dead_one_ends_after_a_while(tmp_path):
    """As in NCCL's collectives, which may wait for ever."""
    (tmp_path / "rank-1.log").write_text("Traceback\nMemoryError: no room\n")

    def wait() -> None:
        rank_launcher._GRACE = 0.2  # of this process alone
        trainer, config = trainer_of(f"output_dir={tmp_path}")
        with launch_ranks(trainer, config, ENTRY):
            launcher = trainer.strategy.launcher
            launcher.procs = [subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(3)"])]
            threading.Thread(target=launcher._watch).start()
            threading.Event().wait()

    process = start(wait, tmp_path / "log")
    process.join(240)
    assert process.exitcode == 1
    said = (tmp_path / "log").read_text()
    assert "rank 1 ended with exit code 3: MemoryError: no room" in said
    assert "This process still waits for it and ends, too." in said


def started(*launcher: str, folder: Path, log: Path, **variables: str) -> subprocess.Popen:
    """`ip2p train` as something else starts it: a process of its own, which finds the witness."""
    words = [*TWO_RANKS, WITNESS % (-1, -1), f"hydra.run.dir={folder}"]
    paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / "tests"))
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", "ip2p_lightning", "train", *words],
            env={**os.environ, "PYTHONPATH": paths, **variables}, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip


@pytest.mark.slow
def test_torchrun_starts_the_ranks_and_they_start_none(tmp_path):
    torchrun = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0",
    ]
    process = started(*torchrun, folder=tmp_path / "run", log=tmp_path / "log")
    assert process.wait(240) == 0, (tmp_path / "log").read_text()
    first, second = told(tmp_path / "run")
    assert (first["world"], second["world"]) == (2, 2)
    assert first["weights"] == second["weights"]
    assert not (tmp_path / "run/rank-1.log").exists()


@pytest.mark.slow
def test_slurm_starts_the_ranks_and_they_start_none(tmp_path):
    slurm = {
        "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    tasks = [
        started(
            folder=tmp_path / "run",
            log=tmp_path / f"log-{rank}",
            SLURM_PROCID=str(rank),
            SLURM_LOCALID=str(rank),
            **slurm,
        )
        for rank in range(2)
    ]
    codes = [task.wait(240) for task in tasks]
    assert codes == [0, 0], (tmp_path / "log-0").read_text()
    assert [one["world"] for one in told(tmp_path / "run")] == [2, 2]
    assert not (tmp_path / "run/rank-1.log").exists()
