"""The optimizer of a run that goes on: its state is the checkpoint's, its settings are the present configuration's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_STATE = ("params", "initial_lr")
"""Entries of a group that are no settings."""


def take_settings(
    checkpoint: dict[str, Any], groups: Sequence[dict[str, Any]], patterns: Sequence[str], scheduled: bool
) -> list[str]:
    """Put the present settings into a checkpoint's optimizer groups, in place, before they are loaded.

    A learning rate under a schedule keeps its place in the schedule: what the schedule makes of the base rate is
    multiplied by the ratio of the new rate to the old one.

    Args:
        checkpoint: Lightning's, with `optimizer_states` and `lr_schedulers`.
        groups: those of a fresh optimizer under the present settings.
        patterns: what each group is called.
        scheduled: whether the stage has a schedule now.

    Returns:
        What changed, in words; empty if nothing did.

    Raises:
        ValueError: the groups are of other parameters.
    """
    states = checkpoint.get("optimizer_states") or []
    if len(states) != 1:
        return []
    stored = states[0]["param_groups"]
    sizes = [[len(group["params"]) for group in side] for side in (stored, groups)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the checkpoint's optimizer has groups of {sizes[0]} parameters, this stage trains {sizes[1]}: its "
            "`trainable` is another now; restore it, or begin a run with the weights (init=CHECKPOINT ckpt=null)"
        )
    changes: list[str] = []
    for pattern, before, now in zip(patterns, stored, groups, strict=True):
        base = before.get("initial_lr", before["lr"])
        for name in [name for name in now if name not in _STATE and name in before]:
            old = base if name == "lr" else before[name]
            if _same(old, now[name]):
                continue
            changes.append(f"{name} {_shown(old)} -> {_shown(now[name])} ({pattern})")
            before[name] = _rate(before, now[name]) if name == "lr" and scheduled else now[name]
        if "initial_lr" in before:
            before["initial_lr"] = now["lr"]
        if not scheduled and not _same(before["lr"], now["lr"]):
            before["lr"] = now["lr"]
    for schedule in checkpoint.get("lr_schedulers") or []:
        if "base_lrs" in schedule:
            schedule["base_lrs"] = [group["lr"] for group in groups]
            schedule["_last_lr"] = [group["lr"] for group in stored]
    return changes


def _rate(before: dict[str, Any], rate: float) -> float:
    base = before.get("initial_lr")
    return before["lr"] * rate / base if base else rate


def _same(old: Any, new: Any) -> bool:
    return list(old) == list(new) if isinstance(old, list | tuple) and isinstance(new, list | tuple) else old == new


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
