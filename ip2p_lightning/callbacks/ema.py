"""Exponential moving average of the trained parameters alone.

Lightning's `EMAWeightAveraging` copies the whole module. Here most of a module is frozen (a 7-billion-parameter
language model, the autoencoder), so only what is trained is averaged: memory for one float32 copy of that.
"""

from __future__ import annotations

import logging
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor

from ip2p_lightning.methods.resumed_state import misfit

log = logging.getLogger(__name__)


class EMA(L.Callback):
    """Average the trained parameters after each optimizer step; validate and publish with the average.

    In checkpoints `state_dict` holds the average, so that loading one gives it, and `raw_parameters` holds what
    training goes on from. After `fit` the module itself holds the average.

    Args:
        decay: upper bound of the decay. Update n uses min(decay, (1 + n) / (10 + n)), so that short runs average too.

    Raises:
        ValueError: a decay outside [0, 1).
    """

    needs_whole_parameters = True
    """A strategy that splits parameters over processes refuses this callback."""

    def __init__(self, decay: float = 0.9999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA decay is {decay}; it must be at least 0 and below 1")
        self.decay = decay
        self.updates = 0
        self._average: dict[str, Tensor] = {}
        self._step = 0
        self._swapped = False

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin with the current parameters, unless a checkpoint brought averages of the same ones."""
        trained = _trained(pl_module)
        if self._average.keys() != trained.keys():
            if trainer.ckpt_path and not self._average:
                log.info("the checkpoint holds no averages: they begin with the weights of here")
            self._average = {name: parameter.detach().float().clone() for name, parameter in trained.items()}
            self.updates = 0
        self._average = {name: average.to(trained[name].device) for name, average in self._average.items()}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count steps from here: when a fit starts, Lightning has not restored them yet."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update once for each optimizer step."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        trained = _trained(pl_module)
        averages = [self._average[name] for name in trained]
        torch._foreach_lerp_(averages, [parameter.detach().float() for parameter in trained.values()], 1 - decay)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate with the average."""
        if self._average and not self._swapped:
            self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on training with the raw parameters."""
        if self._swapped:
            self._swap(pl_module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave the raw parameters in the module, also if validation failed."""
        if self._swapped:
            self._swap(pl_module)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the average in the module."""
        for name, parameter in _named(pl_module, self._average).items():
            parameter.data.copy_(self._average[name])
        self._average = {}

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the average into `state_dict` and the raw parameters next to it."""
        weights = checkpoint["state_dict"]
        average, raw = self._average, {name: weights[name] for name in self._average}
        if self._swapped:
            average, raw = raw, average
        if average:
            checkpoint["state_dict"] = {**weights, **{name: tensor.clone() for name, tensor in average.items()}}
            checkpoint["raw_parameters"] = raw

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Resume: the average into this callback, the raw parameters into the module."""
        raw = checkpoint.get("raw_parameters")
        if raw is None or trainer.state.fn != "fit":
            return
        self._average = {name: checkpoint["state_dict"][name].float().clone() for name in raw}
        for name, parameter in _named(pl_module, raw).items():
            parameter.data.copy_(raw[name])

    def state_dict(self) -> dict[str, Any]:
        """The number of updates, which sets the decay's ramp."""
        return {"updates": self.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of updates.

        Raises:
            ValueError: no such number.
        """
        if found := misfit(state_dict, self.state_dict(), "the checkpoint's count of averages"):
            raise ValueError(f"{found}; go on from another checkpoint")
        self.updates = state_dict["updates"]

    @torch.no_grad()
    def _swap(self, pl_module: L.LightningModule) -> None:
        for name, parameter in _named(pl_module, self._average).items():
            raw = parameter.detach().float().clone()
            parameter.data.copy_(self._average[name])
            self._average[name] = raw
        self._swapped = not self._swapped


def _trained(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def _named(module: torch.nn.Module, names: dict[str, Tensor]) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if name in names}
