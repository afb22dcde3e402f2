"""True if the states in a checkpoint are those that a run going on from it needs, looked at before they are loaded.

Lightning and torch take what they find: a missing entry of an optimizer begins with zeros, a tensor of another shape
is spread over the right one, and a malformed entry ends in a traceback.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ip2p_lightning.config.arguments import shown

_LARGEST = 2**53
_PROGRESS = {"ready": 0, "completed": 0}
_BATCHES = {name: _PROGRESS | {"started": 0, "processed": 0} for name in ("total", "current")}
_STEPS = dict.fromkeys(("total", "current"), _PROGRESS)
LOOPS: Mapping[str, Any] = {
    "state_dict": {},
    "epoch_progress": _BATCHES,
    "epoch_loop.state_dict": {"_batches_that_stepped": 0},
    "epoch_loop.batch_progress": _BATCHES | {"is_last_batch": False},
    "epoch_loop.scheduler_progress": _STEPS,
    "epoch_loop.automatic_optimization.optim_progress": {
        "optimizer": {"step": _STEPS, "zero_grad": {name: _PROGRESS | {"started": 0} for name in _STEPS}}
    },
    "epoch_loop.val_loop.batch_progress": _BATCHES | {"is_last_batch": False},
}
"""State of Lightning's fit loop, with a value of the type of each."""
PLACE: Mapping[str, Any] = {
    **dict.fromkeys(("epoch", "pairs", "global_batch", "step_size", "seed"), 0),
    **dict.fromkeys(("order", "tail", "data"), ""),
}
"""Our loader's place in the pairs."""


def misfit(value: Any, like: Any, where: str) -> str | None:
    """Difference in form between a stored value and a sound one; None if it does not.

    Args:
        value: stored.
        like: a value of the right form; a mapping says what must be there at least.
        where: name of the value, for the answer.
    """
    if isinstance(like, Mapping):
        if not isinstance(value, Mapping):
            return f"{where} is {shown(value, 40)}, not a mapping"
        for name, inner in like.items():
            if name not in value:
                return f"{where} has no {name}"
            if found := misfit(value[name], inner, f"{where}.{name}"):
                return found
        return None
    if isinstance(like, bool) or not isinstance(like, int):
        return None if isinstance(value, type(like)) else f"{where} is {shown(value, 40)}, not a {type(like).__name__}"
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
    return None if sound else f"{where} is {shown(value, 40)}, no count"


def loops_misfit(checkpoint: Mapping[str, Any]) -> str | None:
    """Error in the state of the loops, including the position in the data; None for a sound one."""
    loop = checkpoint["loops"]["fit_loop"]
    if found := misfit(loop, LOOPS, "loops.fit_loop"):
        return found
    places = loop["state_dict"].get("combined_loader") or []
    if not isinstance(places, list):
        return f"loops.fit_loop.state_dict.combined_loader is {shown(places, 40)}, not a list"
    ours = bool(places) and isinstance(places[0], Mapping) and "step_size" in places[0]
    if ours and (found := _place_misfit(places[0], "loops: the loader's state")):
        return found
    place = checkpoint.get("EditDataModule", {}).get("train")
    if place is not None:
        return _place_misfit(place, "EditDataModule.train")
    return "it has no place in the data (EditDataModule)" if ours else None


def _place_misfit(place: Any, where: str) -> str | None:
    found = misfit(place, PLACE, where)
    if not found and not (place["step_size"] > 0 and place["global_batch"] > 0):
        found = f"{where} says steps of no pairs"
    return found


def check_states(
    checkpoint: Mapping[str, Any], module: nn.Module, optimizer: Optimizer, scheduler: Mapping[str, Any] | None
) -> None:
    """Compare the states of optimizer, schedule and averages with the parameters that the run trains.

    Args:
        checkpoint: Lightning's, with one optimizer; any other number is left alone.
        module: parameters without gradient are frozen.
        optimizer: a fresh one over the parameters that are trained.
        scheduler: state of a fresh schedule; None where the stage has none.

    Raises:
        ValueError: states of other parameters, of another optimizer, or that are not whole; says which.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    found = next(_problems(checkpoint, module, parameters, _entries(optimizer), scheduler), None)
    if found:
        raise ValueError(
            f"the checkpoint cannot be gone on from exactly: {found}. Go on from another one, or begin a run with its "
            "weights alone (init=CHECKPOINT ckpt=null)"
        )


def _problems(
    checkpoint: Mapping[str, Any],
    module: nn.Module,
    parameters: Sequence[nn.Parameter],
    entries: set[str] | None,
    scheduler: Mapping[str, Any] | None,
) -> Iterator[str]:
    states, schedules = checkpoint.get("optimizer_states") or [], checkpoint.get("lr_schedulers") or []
    if len(states) == 1 and entries is not None:
        yield from _optimizer_problems(states[0], parameters, entries, checkpoint["global_step"])
    if scheduler is not None:
        if len(schedules) != 1:
            yield f"it has states of {len(schedules)} schedules, the stage has one"
        elif not isinstance(schedules[0], Mapping) or schedules[0].keys() != scheduler.keys():
            yield "the state of its schedule is not that of this stage's"
        elif odd := [name for name in scheduler if not _alike(schedules[0][name], scheduler[name])]:
            yield f"the state of its schedule is damaged: {odd[0]} is {shown(schedules[0][odd[0]], 40)}"
    raw = checkpoint.get("raw_parameters") or {}
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    if raw and raw.keys() != trained.keys():
        other = sorted(raw.keys() ^ trained.keys())
        yield f"its raw weights are not those of the {len(trained)} parameters that are trained (see {other[0]})"


def _optimizer_problems(
    state: Mapping[str, Any], parameters: Sequence[nn.Parameter], entries: set[str], steps: int
) -> Iterator[str]:
    kept = state.get("state")
    if not isinstance(kept, Mapping):
        yield f"the state of its optimizer is {shown(kept, 40)}, not a mapping"
        return
    if entries and steps and not kept:
        yield "the state of its optimizer is empty"
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    by_number = dict(zip(numbers, parameters, strict=False))
    for number, entry in kept.items():
        if number not in by_number:
            yield f"its optimizer has a state of {shown(number, 40)}, which is none of the parameters that are trained"
        elif not isinstance(entry, Mapping) or set(entry) != entries:
            had = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else shown(entry, 40)
            yield f"its optimizer keeps {had[:100] or 'nothing'} of a parameter, this one {', '.join(sorted(entries))}"
        else:
            shape = by_number[number].shape
            wrong = [
                name
                for name, value in entry.items()
                if not (value.shape in (shape, torch.Size([]), torch.Size([1])) if isinstance(value, Tensor) else
                        isinstance(value, int | float) or value is None)
                or (isinstance(value, Tensor) and name.startswith("exp_avg") and value.shape != shape)
            ]  # fmt: skip
            if wrong:
                yield f"{wrong[0]} of its optimizer's parameter {number} is not of the parameter's shape {list(shape)}"


def _entries(optimizer: Optimizer) -> set[str] | None:
    """State that an optimizer keeps for a parameter, found by one step; None where it takes more than that."""
    number = nn.Parameter(torch.zeros(1))
    number.grad = torch.ones(1)
    settings = {name: value for name, value in optimizer.defaults.items() if name not in ("foreach", "fused")}
    try:
        trial = type(optimizer)([{"params": [number], **settings}], **_required(optimizer))
        trial.step()
        return set(trial.state[number])
    except Exception:  # an optimizer of more than one parameter, of closures, or of another package
        return None


def _required(optimizer: Optimizer) -> dict[str, Any]:
    return {"lr": copy.copy(optimizer.defaults["lr"])} if "lr" in optimizer.defaults else {}


def _alike(value: Any, like: Any) -> bool:
    """True if an entry of a schedule's state has the type, and a list the length, of a fresh one."""
    if isinstance(like, bool) or like is None:
        return isinstance(value, bool | type(None))
    if isinstance(like, int | float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(like, list | tuple):
        return isinstance(value, list | tuple) and len(value) == len(like) and all(map(_alike, value, like))
    return isinstance(value, type(like))
