"""The arithmetic of a run with a Lightning trainer: decided before the trainer is built, kept when the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from ip2p_lightning.precision import AUTO, choose


def decide_precision(trainer: DictConfig, recorded: str | None) -> None:
    """Put the name of an arithmetic in the place of `auto`, for Lightning, for the record and for other ranks.

    Args:
        trainer: a configuration of conf/trainer; changed in place.
        recorded: the arithmetic of a run that goes on; None for a new one.
    """
    with open_dict(trainer):
        trainer.precision = choose(trainer.get("precision"), trainer.get("accelerator", AUTO), recorded)


def recorded_precision(folder: Path) -> str | None:
    """The arithmetic that the config.yaml of a run folder records; None if there is no such file."""
    file = folder / "config.yaml"
    return OmegaConf.select(OmegaConf.load(file), "trainer.precision") if file.is_file() else None


@contextmanager
def matmul_precision(name: str | None) -> Iterator[None]:
    """Let float32 products of matrices be of a precision, and afterwards of the one before.

    Args:
        name: "highest" (float32), "high" (TF32 on cards that have it) or "medium" (bfloat16); None leaves torch's.
    """
    before = torch.get_float32_matmul_precision()
    try:
        if name is not None:
            torch.set_float32_matmul_precision(name)
        yield
    finally:
        torch.set_float32_matmul_precision(before)
