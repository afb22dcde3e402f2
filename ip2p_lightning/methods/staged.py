"""Training shared by all methods: losses weighted by stage, the stage's optimizer, and checkpoints that reopen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import lightning.pytorch as L
import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.randomness import hashed_integer
from ip2p_lightning.methods.resumed_optimizer import take_settings
from ip2p_lightning.methods.resumed_state import check_states
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.models.pretrained import WeightOrigin, with_pretrained, without_pretrained

log = logging.getLogger(__name__)

OptimizerFactory = Callable[[list[dict[str, Any]]], Optimizer]


class StagedModule(L.LightningModule):
    """Base of the methods: subclasses hold their networks and give the losses of a batch by name.

    Args:
        optimizer: makes the optimizer from parameter groups.
        stages: the stages of training, in order; `stage` is the current one.
        config: the resolved configuration that built this object, kept in checkpoints so that they can be reopened.
    """

    parts: ClassVar[tuple[str, ...]]
    """Submodules that are configured under the same names; a run resumes only where they are the same."""
    learners: ClassVar[tuple[str, ...]]
    """Those of them that stages may train, the one with most of the work last; all others are frozen."""

    def __init__(
        self,
        optimizer: OptimizerFactory = torch.optim.AdamW,
        stages: Sequence[Stage] = (Stage(),),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.optimizer_factory = optimizer
        self.stages = tuple(stages)
        self.stage = self.stages[0]
        self.config = dict(config) if config else None
        self.trust: tuple[str, ...] = ()  # packages that parts are from; written into checkpoints, never read from them
        self._marks: dict[str, WeightOrigin] = {}
        self._seed = torch.initial_seed()

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The losses of a batch, by name."""
        raise NotImplementedError

    def training_step(self, batch: PairBatch, batch_idx: int) -> dict[str, Tensor]:
        """Weighted sum of the losses (MGIE eq. 6: instruction loss + 0.5 x editing loss)."""
        losses = self(batch, self.step_generator(self._seed, self.current_epoch, batch_idx))
        total = self.stage.total(losses)
        self.log_dict({f"train/{name}": loss.detach() for name, loss in losses.items()}, batch_size=len(batch))
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=len(batch))
        return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """The same losses on held-out pairs, with noise and times that are the same at every validation."""
        losses = self(batch, self.step_generator("validation", batch_idx))
        self.log_dict({f"val/{name}": loss for name, loss in losses.items()}, batch_size=len(batch), sync_dist=True)

    def step_generator(self, *address: object) -> torch.Generator:
        """Source of a step's noise, times and dropout: another on every rank, the same again after resuming."""
        return torch.Generator(self.device).manual_seed(hashed_integer(*address, self.global_rank))

    def setup(self, stage: str) -> None:
        """Freeze what the stage does not train; DDP takes note of it before it asks for optimizers."""
        if stage == "fit":
            self._seed = torch.initial_seed()  # now: during the fit, a callback may seed at each step
            self.parameter_groups()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The stage's optimizer groups over the learners; everything else is frozen."""
        return self.stage.parameter_groups(nn.ModuleDict({name: getattr(self, name) for name in self.learners}))

    def configure_optimizers(self) -> Any:
        """An optimizer over the stage's parameter groups, and its schedule."""
        stage = self.stage
        optimizer = self.optimizer_factory(self.parameter_groups())
        if not stage.scheduled:
            return optimizer
        steps = stage.max_steps if stage.max_steps > 0 else int(self.trainer.estimated_stepping_batches)
        schedule = stage.schedule(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip with the trainer's settings, with fused optimizers under bfloat16 as well.

        Lightning refuses these under every mixed precision, though only float16's loss scaler conflicts with them.
        """
        precision = self.trainer.precision_plugin
        if isinstance(precision, MixedPrecision) and precision.scaler is None and gradient_clip_val:
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or GradClipAlgorithmType.NORM)
            return Precision.clip_gradients(precision, optimizer, gradient_clip_val, algorithm)
        return super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep configuration, stage and arithmetic, so that the file alone reopens; leave out pretrained weights."""
        checkpoint["config"], checkpoint["trust"] = self.config, list(self.trust)
        checkpoint["stage"] = self.stage.name
        if self._trainer is not None:
            checkpoint["precision"] = str(self.trainer.precision)
        checkpoint["state_dict"], kept = without_pretrained(checkpoint["state_dict"], self._marks)
        checkpoint["pretrained"] = {name: tuple(mark) for name, mark in kept.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put back the pretrained weights that were left out; a fit takes the present optimizer settings."""
        left_out = {name: WeightOrigin(*mark) for name, mark in checkpoint.get("pretrained", {}).items()}
        checkpoint["state_dict"] = with_pretrained(checkpoint["state_dict"], left_out, self.state_dict())
        if self._trainer is None or self.trainer.state.fn != "fit":
            return
        fresh = self.optimizer_factory(self.parameter_groups())
        changes = take_settings(checkpoint, fresh.param_groups, list(self.stage.trainable), self.stage.scheduled)
        if isinstance(self.trainer.strategy, SingleDeviceStrategy | DDPStrategy):  # others split the states
            schedule = self.stage.schedule(fresh, max(1, self.stage.max_steps)) if self.stage.scheduled else None
            check_states(checkpoint, self, fresh, schedule.state_dict() if schedule else None)
        if changes:
            log.info("from here on with other optimizer settings than before: %s", ", ".join(changes))
        before, now = checkpoint.get("precision"), str(self.trainer.precision)
        if before and before != now:
            log.info(
                "from here on in %s, before in %s: the steps are not those of a run that never stopped", now, before
            )
