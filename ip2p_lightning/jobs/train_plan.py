"""`ip2p train ... plan=true`: what a run will take, before it starts."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from ip2p_lightning.config import build, plain
from ip2p_lightning.config.stored import read_stored_yaml
from ip2p_lightning.evaluation.run_values import read_values
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.terminal import Terminal
from ip2p_lightning.training.architecture import without_weights
from ip2p_lightning.training.plan import Part, Rate, TrainingPlan, optimizer_bytes, parts_of, steps_of

_RATE = "speed/pairs_per_second"
_SPLIT = ("fsdp", "sharded")
"""In the names of strategies that split what learns over the devices."""


def plan(config: DictConfig) -> TrainingPlan:
    """Plan a run.

    Args:
        config: composed from conf/train.yaml; `data.path` need not be there.

    Raises:
        FileNotFoundError, ValueError: `rates_from` is no run that measured a rate; a strategy that is not counted.
    """
    settings: dict[str, Any] = plain(config)
    strategy = str(settings["trainer"].get("strategy")).lower()
    if "deepspeed" in strategy:
        raise ValueError(
            "plan=true counts memory for one device, DDP and FSDP, not for DeepSpeed; plan with trainer=fsdp"
        )
    trainer, devices = settings["trainer"], device_count(settings["trainer"])
    parts, states, stages = _counted(json.dumps(settings["method"]))
    batch = settings["data"].get("batch_size") or 1
    accumulated = trainer.get("accumulate_grad_batches") or 1
    items = training_items(config)
    per_epoch = None if items is None else -(-(items // (batch * devices)) // accumulated)
    callbacks = settings.get("callbacks") or {}
    kept = (callbacks.get("checkpoint") or {}).get("save_top_k", 0)
    return TrainingPlan(
        parts=parts,
        optimizer_bytes=states,
        averaged=bool(callbacks.get("ema")),
        devices=devices,
        split=any(name in strategy for name in _SPLIT),
        pairs_per_step=batch * devices * accumulated,
        steps=steps_of(stages, trainer.get("max_steps") or -1, trainer.get("max_epochs") or -1, per_epoch),
        rate=_rate(settings),
        checkpoints=None if kept == -1 else kept + 1,
    )


@lru_cache(maxsize=16)
def _counted(method: str) -> tuple[tuple[Part, ...], int | None, tuple[Stage, ...]]:
    """Parts, optimizer bytes and stages of a method, whose configuration many runs of a study share."""
    architecture = without_weights(json.loads(method))
    module = architecture.module
    return parts_of(module, architecture.weights), optimizer_bytes(module), tuple(module.stages)


def show(plan: TrainingPlan, terminal: Terminal) -> None:
    """Print a plan."""
    terminal.print(plan.table())
    for line in plan.lines():
        terminal.print(line, highlight=False, soft_wrap=True)


def device_count(trainer: dict[str, Any]) -> int:
    """Devices of a trainer's settings, on all machines; `auto` counts this machine's."""
    devices = trainer.get("devices", 1)
    if devices in ("auto", -1, "-1"):
        found = max(1, torch.cuda.device_count()) if trainer.get("accelerator") != "cpu" else 1
    elif isinstance(devices, str):
        found = len([index for index in devices.split(",") if index])
        found = int(devices) if devices.isdigit() else found
    else:
        found = len(devices) if isinstance(devices, list) else int(devices)
    return found * int(trainer.get("num_nodes") or 1)


def training_items(config: DictConfig) -> int | None:
    """Items of an epoch; None where the pairs are not there."""
    try:
        return build(config.data).training_items()
    except InstantiationException as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise


def _rate(settings: dict[str, Any]) -> Rate | None:
    if settings["rates_from"] is not None:
        folder = Path(settings["rates_from"])
        measured = read_values(folder).get(_RATE)
        if measured is None or not measured.estimate > 0:
            raise ValueError(
                f"rates_from={folder} measured no rate ({_RATE}); it is logged after callbacks.speed.skip batches, at "
                "trainer.log_every_n_steps"
            )
        devices = device_count(read_stored_yaml(folder / "config.yaml")["trainer"])
        return Rate(measured.estimate / devices, f"measured in {folder}")
    return None if settings["rate"] is None else Rate(settings["rate"], "stated, not measured here")
