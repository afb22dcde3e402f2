"""Plan of a training run: parameters, memory, steps, time and disk, before it starts.

Parameters, bytes and steps are computed; time is steps at a rate that was measured or that the user states. What is
not known (activations, a rate, the number of pairs) is said to be unknown and is in no sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import Tensor, nn

from ip2p_lightning.formatting import NOTHING
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.training.cost import Cost

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Part:
    """A part's parameters.

    Args:
        name: of the part.
        parameters: with buffers that are stored.
        trained: those that learn in any stage.
        bytes: of all of them in memory.
        trained_bytes: of those that learn.
        weights: folders and hub names that they would be read from.
    """

    name: str
    parameters: int
    trained: int
    bytes: int
    trained_bytes: int
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rate:
    """Pairs a second of one device, and who says so ("measured in runs/a")."""

    pairs_per_second: float
    source: str


@dataclass(frozen=True)
class TrainingPlan:
    """Needs of one run of `ip2p train`.

    Args:
        parts: of the module.
        optimizer_bytes: states of the stage with the most; None where the optimizer does not tell.
        averaged: True if a callback keeps averages of what learns, in float32.
        devices: of all machines.
        split: True if what learns is split over the devices (FSDP).
        pairs_per_step: on all devices.
        steps: of all stages; None if the number of pairs, which ends the run, is not known.
        rate: None if nothing is known.
        checkpoints: that are kept; None for all of them.
    """

    parts: tuple[Part, ...]
    optimizer_bytes: int | None
    averaged: bool
    devices: int
    split: bool
    pairs_per_step: int
    steps: int | None
    rate: Rate | None
    checkpoints: int | None

    @property
    def memory(self) -> dict[str, int | None]:
        """Bytes on each device: weights, gradients, optimizer, averages; None for what is not known."""
        share = self.devices if self.split else 1
        trained = sum(part.trained_bytes for part in self.parts)
        frozen = sum(part.bytes for part in self.parts) - trained
        return {
            "weights": frozen + trained // share,
            "gradients": trained // share,
            "optimizer": None if self.optimizer_bytes is None else self.optimizer_bytes // share,
            "averages": 4 * sum(part.trained for part in self.parts) if self.averaged else 0,
        }

    @property
    def checkpoint_bytes(self) -> int | None:
        """Bytes of a checkpoint: what learns, averages, the optimizer's states, frozen parts that no folder holds."""
        if self.optimizer_bytes is None:
            return None
        trained = sum(part.trained_bytes for part in self.parts)
        frozen = sum(part.bytes - part.trained_bytes for part in self.parts if not part.weights)
        return frozen + trained + int(self.memory["averages"] or 0) + self.optimizer_bytes

    @property
    def cost(self) -> Cost | None:
        """Hours; None if steps or rate are not known."""
        if self.steps is None or self.rate is None:
            return None
        return Cost(self.steps, self.pairs_per_step, self.rate.pairs_per_second * self.devices, self.devices)

    def table(self) -> Table:
        """For the terminal: a row for each part."""
        table = Table(title="the plan of the run", title_justify="left")
        for column in ("part", "parameters", "trained", "GB", "weights of"):
            table.add_column(column, justify="left" if column in ("part", "weights of") else "right", no_wrap=True)
        for part in self.parts:
            trained = f"{part.trained:,}" if part.trained else NOTHING
            origin = ", ".join(part.weights) or "here"
            table.add_row(part.name, f"{part.parameters:,}", trained, f"{part.bytes / 1e9:.3g}", origin)
        return table

    def lines(self) -> Iterable[str]:
        """The sums, a line each, with what is computed and what is not."""
        memory = self.memory
        known = [f"{name} {gigabytes(value)}" for name, value in memory.items()]
        total = sum(value or 0 for value in memory.values())
        if any(part.weights for part in self.parts):
            yield "weights are not read: parts that have any are counted as the published architectures"
        yield f"memory of each device (computed): {', '.join(known)}; {gigabytes(total)} without activations"
        steps = UNKNOWN if self.steps is None else f"{self.steps:,}"
        yield f"steps (computed): {steps} of {self.pairs_per_step:,} pairs on {self.devices} device(s)"
        if self.rate is None:
            yield f"hours: {UNKNOWN}; a rate is measured by rates_from=FOLDER of a short run, or stated by rate=NUMBER"
        elif self.cost is None:
            yield f"hours: {UNKNOWN}, as the number of pairs is"
        else:
            yield (
                f"hours: {hours_of(self.cost.hours)}, device hours: {hours_of(self.cost.device_hours)}, at "
                f"{self.rate.pairs_per_second:,.3g} pairs a second of each device ({self.rate.source})"
            )
        kept = "each that is written" if self.checkpoints is None else f"{self.checkpoints} kept"
        yield f"disk (computed): {gigabytes(self.checkpoint_bytes)} a checkpoint, {kept}"


def gigabytes(bytes: int | None) -> str:
    """Bytes as gigabytes, or "unknown"."""
    return UNKNOWN if bytes is None else f"{bytes / 1e9:,.3g} GB"


def hours_of(hours: float) -> str:
    """Hours with the digits that mean something: "0.0123", "25.6", "3,681"."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def parts_of(module: StagedModule, weights: Mapping[str, Sequence[str]]) -> tuple[Part, ...]:
    """Count a module's parts, with what learns in any of its stages.

    Args:
        module: its parameters' `requires_grad` is changed.
        weights: part -> where its weights would be read from.
    """
    learning: set[int] = set()
    for stage in module.stages:
        module.stage = stage
        learning |= {id(parameter) for group in module.parameter_groups() for parameter in group["params"]}
    found = []
    for name, child in module.named_children():
        own, trained = _stored(child), [each for each in child.parameters() if id(each) in learning]
        if own:
            found.append(
                Part(name, _count(own), _count(trained), _bytes(own), _bytes(trained), tuple(weights.get(name, ())))
            )
    return tuple(found)


def optimizer_bytes(module: StagedModule) -> int | None:
    """Bytes of the optimizer's states in the stage that has the most of them; None where one step cannot tell.

    One step is taken on the meta device, with gradients of zero.
    """
    most = 0
    for stage in module.stages:
        module.stage = stage
        groups = [
            group | {"params": [_twin(parameter) for parameter in group["params"]]}
            for group in module.parameter_groups()
        ]
        optimizer = module.optimizer_factory(groups)
        for group in optimizer.param_groups:
            group |= {name: False for name in ("fused", "foreach") if name in group}
        try:
            optimizer.step()
        except (RuntimeError, NotImplementedError):  # it asks for values, which there are none of
            return None
        states = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
        most = max(most, _bytes(states))
    return most


def steps_of(stages: Sequence[Stage], limit: int, epochs: int, steps_per_epoch: int | None) -> int | None:
    """Steps of all stages; None if the last one ends by epochs and their length is not known.

    Args:
        stages: in their order.
        limit: `trainer.max_steps`, or -1.
        epochs: `trainer.max_epochs`, or -1.
        steps_per_epoch: None if the number of pairs is not known.
    """
    before = sum(stage.max_steps for stage in stages[:-1])
    last: int | None = stages[-1].max_steps
    if last is not None and last <= 0:
        last = None if epochs <= 0 or steps_per_epoch is None else epochs * steps_per_epoch
    elif last is not None and epochs > 0 and steps_per_epoch is not None:
        last = min(last, epochs * steps_per_epoch)
    if limit > 0:
        return limit if last is None else min(limit, before + last)
    return None if last is None else before + last


def _stored(module: nn.Module) -> list[Tensor]:
    """Parameters and the buffers that are stored, each once."""
    return list({id(tensor): tensor for tensor in module.state_dict(keep_vars=True).values()}.values())


def _twin(parameter: Tensor) -> nn.Parameter:
    """A parameter of the same shape and type on the meta device, with a gradient."""
    twin = nn.Parameter(torch.empty_like(parameter, device="meta"))
    twin.grad = torch.empty_like(twin)
    return twin


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
