"""The ranks of a job from its first fit to its end, so that a process can run one distributed job after another."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as L
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher
from omegaconf import DictConfig

from ip2p_lightning.distributed.launcher import RankLauncher, say_ready
from ip2p_lightning.training.stop_request import Stopped

_VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS",
)  # fmt: skip
_EXPECTED = (  # Lightning's advice on what is meant to be so
    "Using `DistributedSampler` with the dataloaders",  # validation is shared out as well
    r"It is recommended to use `self.log\('val/instruction_dependence'",  # of the first rank's pairs alone
)


@contextmanager
def launch_ranks(
    trainer: L.Trainer,
    config: DictConfig,
    entry: str,
    ckpt: Path | None = None,
) -> Iterator[None]:
    """Run the trainer's fits, validations and predictions on all ranks of its strategy; leave the process as it was.

    Inside, the first call of the trainer starts the other ranks where nothing else (torchrun, SLURM) has. At the end
    they are gone, and so are the process group and the environment variables that they needed.

    Args:
        trainer: of any strategy; with one process nothing happens.
        config: what the job does, from conf/<job>.yaml; the other ranks get it resolved.
        entry: what the other ranks call with it: "module:function".
        ckpt: what `config.ckpt` turned out to be, so that every rank resumes from the same file.

    Raises:
        ValueError: a strategy that pickles the module, or a sweep of which every process would run a copy.
        ChildProcessError: another rank died; names it, its last words and its log.
    """
    launcher = _launcher(trainer, config, ckpt, entry)
    for message in _EXPECTED:
        warnings.filterwarnings("ignore", message=message)
    before = {name: os.environ.get(name) for name in _VARIABLES}
    threads = torch.get_num_threads()
    say_ready()
    succeeded = False
    try:
        yield
        trainer.strategy.barrier()  # no rank leaves while another still needs the group
        succeeded = True
    except Stopped:  # every rank was asked to, and ends by itself
        succeeded = True
        raise
    except RuntimeError as error:  # what a collective raises when its peer is gone
        failure = launcher.failure() if launcher else None
        if failure is None:
            raise
        raise ChildProcessError(failure) from error
    finally:
        if launcher and not succeeded:
            launcher.end(succeeded)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if launcher and succeeded:
            launcher.end(succeeded)
        _restore(before)
        torch.set_num_threads(threads)


def _launcher(trainer: L.Trainer, config: DictConfig, ckpt: Path | None, entry: str) -> RankLauncher | None:
    """Put our launcher into the trainer's strategy in place of Lightning's, if it has one."""
    strategy, environment = trainer.strategy, getattr(trainer.strategy, "cluster_environment", None)
    if isinstance(strategy.launcher, _MultiProcessingLauncher):
        raise ValueError(
            f"trainer.strategy={config.trainer.strategy} hands the model to its ranks by pickling or forking, which "
            "language models, averaged weights and stages do not survive; use trainer=ddp (from a notebook, too: "
            "`!ip2p train trainer=ddp ...`), whose ranks are processes of their own"
        )
    if environment is not None and environment.creates_processes_externally and _copied():
        raise ValueError(
            "every process of torchrun or srun would run the whole sweep by itself; start `ip2p train -m` once, "
            "without them: it starts the ranks of each job, or SLURM does with hydra/launcher=slurm"
        )
    if not isinstance(strategy.launcher, _SubprocessScriptLauncher):
        return None
    shared = config.copy()
    if "ckpt" in shared:
        shared.ckpt = None if ckpt is None else str(ckpt)
    launcher = strategy._launcher = RankLauncher(strategy.launcher, shared, entry)
    return launcher


def _copied() -> bool:
    """True if this process is one of several that run a sweep, rather than submitit's, which are given one job."""
    return sweeping() and "SUBMITIT_EXECUTOR" not in os.environ


def sweeping() -> bool:
    """True if this process runs a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def _restore(environment: dict[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
