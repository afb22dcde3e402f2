"""Training with weights that no single device holds: PyTorch's `fully_shard` (FSDP2) under Lightning."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.fabric.utilities.optimizer import _optimizers_to_device
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method


class Sharded(ModelParallelStrategy):
    """Split what learns over all ranks: parameters, gradients and optimizer states.

    Each layer of a part that learns is gathered when it runs and let go of afterwards. Frozen parts (the autoencoder)
    stay whole on every rank. Checkpoints are single files with whole weights, as any other run's.

    Args:
        timeout: after which a rank gives up on another.
    """

    def __init__(self, timeout: timedelta = timedelta(minutes=30)) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, timeout=timeout)

    def setup_environment(self) -> None:
        """Make every rank a part of the mesh over which weights are split."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: L.Trainer) -> None:
        """Shard the module once, and set up its optimizers.

        Raises:
            ValueError: several stages, or averaged weights, which need whole parameters.
        """
        assert self.accelerator is not None
        module: Any = self.lightning_module
        _check(trainer, module)
        self.accelerator.setup(trainer)
        for name in module.learners:
            shard(module.get_submodule(name), self.device_mesh["data_parallel"])
        self.model = self.precision_plugin.convert_module(module)
        self.model_to_device()
        self.barrier()
        if trainer.state.fn == TrainerFn.FITTING:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()
        if trainer.state.fn == TrainerFn.FITTING:
            _optimizers_to_device(self.optimizers, self.root_device)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Refuse to go on: weights that a checkpoint leaves out cannot be put back into split ones.

        Raises:
            ValueError: always; says how to begin with the checkpoint's weights.
        """
        raise ValueError(
            f"trainer=fsdp does not go on from a checkpoint; begin a new run with its weights: "
            f"init=[{{checkpoint: {checkpoint_path}}}] ckpt=null"
        )


def shard(part: nn.Module, mesh: DeviceMesh) -> None:
    """Split a part's parameters over a mesh, a layer at a time; does nothing if that has been done.

    Args:
        part: a conditioner or denoiser; the outermost lists of modules in it are its layers.
        mesh: one-dimensional.
    """
    if isinstance(part, FSDPModule):
        return
    for layers in _lists(part):
        for layer in layers:
            fully_shard(layer, mesh=mesh)
    fully_shard(part, mesh=mesh)
    if hasattr(part, "condition"):  # what editing calls next to `forward`
        register_fsdp_forward_method(part, "condition")


def _lists(module: nn.Module) -> list[nn.ModuleList]:
    """The outermost module lists below a module."""
    if isinstance(module, nn.ModuleList):
        return [module]
    return [found for child in module.children() for found in _lists(child)]


def _check(trainer: L.Trainer, module: Any) -> None:
    if len(module.stages) > 1:
        raise ValueError(
            f"trainer=fsdp trains one stage, not {len(module.stages)}: which parameters learn is fixed when they are "
            "split; give stages=[...] with one of them, and begin the next run with init=[{checkpoint: last.ckpt}]"
        )
    if any(getattr(callback, "needs_whole_parameters", False) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise ValueError("averaged weights need whole parameters, which trainer=fsdp splits; add ~callbacks.ema")
