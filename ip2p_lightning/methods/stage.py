"""Stages of training: what learns, how fast, under which losses. One stage is the common case; MGIE may use several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ip2p_lightning.config.parts import buildable


@buildable
@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Args:
        name: shown in logs and file names.
        loss_weights: factor of each loss by name; a loss without one is logged but not trained on, and the denoiser
            is not run at all while "editing_loss" has none.
        trainable: pattern of parameter names (as in `fnmatch`) -> options of its optimizer group (`lr`,
            `weight_decay`, ...). The first match wins; a parameter that matches none is frozen.
        max_steps: optimizer steps of this stage; -1 leaves the end to the trainer.
        warmup: linear warm-up, in steps; a number below 1 is a share of the stage's steps.
        decay: "constant", "cosine" or "linear" after the warm-up, to zero at the stage's last step.
    """

    name: str = "joint"
    loss_weights: Mapping[str, float] = field(default_factory=lambda: {"editing_loss": 1.0})
    trainable: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"denoiser.*": {}})
    max_steps: int = -1
    warmup: float = 0
    decay: str = "constant"

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the losses (MGIE eq. 6: instruction loss + 0.5 x editing loss).

        Raises:
            ValueError: a weight for a loss that is not there, or no loss that has a weight.
        """
        weights = {name: weight for name, weight in self.loss_weights.items() if weight}
        if not weights or not weights.keys() <= losses.keys():
            raise ValueError(
                f"stage {self.name!r} trains on {', '.join(weights) or 'no loss at all'} but the losses are "
                f"{', '.join(losses) or 'none'}; correct the stage's loss_weights, or the conditioner that lacks a loss"
            )
        return torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()

    def parameter_groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Freeze what does not match, and return the optimizer's groups, one for each pattern.

        Raises:
            ValueError: a pattern that matches no parameter, with the top-level names there are.
        """
        groups: dict[str, list[nn.Parameter]] = {pattern: [] for pattern in self.trainable}
        for name, parameter in module.named_parameters():
            pattern = next((p for p in self.trainable if fnmatchcase(name, p)), None)
            parameter.requires_grad_(pattern is not None)
            if pattern is not None:
                groups[pattern].append(parameter)
        for pattern, parameters in groups.items():
            if not parameters:
                known = sorted({".".join(name.split(".")[:2]) for name, _ in module.named_parameters()})
                raise ValueError(
                    f"stage {self.name!r}: trainable pattern {pattern!r} matches no parameter that an earlier pattern "
                    f"has not taken; parameters start with {', '.join(known)}"
                )
        return [{"params": groups[pattern], **options} for pattern, options in self.trainable.items()]

    @property
    def scheduled(self) -> bool:
        """True if the learning rate changes within the stage."""
        return self.decay != "constant" or bool(self.warmup)

    def schedule(self, optimizer: Optimizer, steps: int) -> LambdaLR:
        """The learning-rate schedule over `steps` optimizer steps."""
        name = "constant_with_warmup" if self.decay == "constant" else self.decay
        warmup = round(self.warmup * steps) if self.warmup < 1 else int(self.warmup)
        return get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
