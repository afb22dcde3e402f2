"""Choice of the checkpoint to resume from, and checks on it."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ip2p_lightning.jobs.arithmetic import recorded_precision
from ip2p_lightning.methods.checkpoint import CheckpointError, check_fit, left_out_of, read_checkpoint
from ip2p_lightning.methods.resumed_state import loops_misfit
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.models.pretrained import with_pretrained
from ip2p_lightning.store import ABSENT, differences

log = logging.getLogger(__name__)

_MEMORY = ("gradient_checkpointing",)
"""Arguments that change how much memory a model takes, and nothing of the model."""
_PLACES = ("weights", "variant", "subfolder")
"""Arguments of loaders that say where weights lie; the bits of those that a checkpoint leaves out are compared."""


@dataclass(frozen=True)
class Origin:
    """Resume point of a run.

    Args:
        path: the checkpoint.
        stage: the stage in which it was written; None if it does not say.
        step: optimizer steps taken by then.
        precision: arithmetic in which it was trained; None if that is not known.
    """

    path: Path
    stage: str | None
    step: int
    precision: str | None = None


def find_checkpoint(ckpt: str | None, output_dir: Path, beside: bool = True) -> Path | None:
    """The file to resume from.

    Args:
        ckpt: a path; "auto" for the newest whole checkpoint of this run folder, or else of those next to it; None for
            none.
        output_dir: the run folder.
        beside: whether the folders next to it are earlier attempts at this run; False in a sweep, where they are
            others.

    Raises:
        FileNotFoundError: a path that is no file.
    """
    if ckpt is None:
        return None
    if ckpt != "auto":
        if not Path(ckpt).is_file():
            raise FileNotFoundError(f"ckpt={ckpt} is no file; give a checkpoint's path, or ckpt=auto for the newest")
        return Path(ckpt)
    own = f"{output_dir.name}/checkpoints/[!.]*.ckpt"
    for pattern in (own, "*/checkpoints/[!.]*.ckpt") if beside else (own,):
        for path in sorted(output_dir.parent.glob(pattern), key=_age):
            if (damage := _damage(path)) is None:
                log.info("resuming from %s", path)
                return path
            log.warning("%s is left out, it is damaged (%s); looking for an older one", path, damage)
    log.info("no run to resume in %s", output_dir.parent if beside else output_dir)
    return None


def check_resumable(path: Path, module: StagedModule) -> Origin:
    """A checkpoint's own metadata.

    Raises:
        CheckpointError: no checkpoint, or a damaged one.
        ValueError: one of another architecture; names the keys that differ.
    """
    stored = read_checkpoint(path)
    _check_whole(path, stored)
    before, now = stored.get("config") or {}, module.config or {}
    before, now = _architecture(before), _architecture(now)
    for part in module.parts:
        if before.get(part) != now.get(part):
            found = differences({part: before.get(part, ABSENT)}, {part: now.get(part, ABSENT)})
            keys = ", ".join(f"{key} ({_shown(was)} there, {_shown(here)} here)" for key, (was, here) in found.items())
            raise ValueError(
                f"{path} was trained with another {part}; these differ: {keys}. Resume with the configuration of that "
                f"run (config.yaml in its folder), or start again with ckpt=null"
            )
    _check_weights(path, stored, module)
    precision = stored.get("precision") or recorded_precision(path.parent.parent)
    return Origin(path, stored.get("stage"), stored.get("global_step", 0), precision)


def _check_whole(path: Path, stored: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that lacks what going on exactly needs; `read_checkpoint` has looked at its types."""
    states = stored.get("optimizer_states")
    averaged = "EMA" in stored.get("callbacks", {})
    problems = {
        "no step count": "global_step" not in stored,
        "no optimizer state": not states or not all(isinstance(state, Mapping) and _groups(state) for state in states),
        "no state of the loops": "loops" not in stored,
        "no raw weights next to the averaged ones": averaged and not stored["raw_parameters"],
        "raw weights without the count of the averages": stored["raw_parameters"] and not averaged,
    }
    found = [problem for problem, there in problems.items() if there]
    if not found and (misfit := loops_misfit(stored)):
        raise CheckpointError(
            f"{path} is damaged, training cannot go on exactly from it: {misfit}. Go on from another checkpoint, or "
            f"begin a run with its weights alone: init={path} ckpt=null"
        )
    if found:
        raise CheckpointError(
            f"{path} is not whole, training cannot go on exactly from it: it has {', '.join(found)}. Go on from "
            f"another checkpoint, or begin a run with its weights alone: init={path} ckpt=null"
        )


def _groups(state: Mapping[str, Any]) -> bool:
    """True if the state of an optimizer has groups of parameters with their rates."""
    groups = state.get("param_groups")
    return isinstance(groups, list) and all(
        isinstance(group, Mapping)
        and isinstance(group.get("params"), list)
        and isinstance(group.get("lr"), int | float | Tensor)
        and isinstance(group.get("initial_lr", 0), int | float)
        for group in groups
    )


def _check_weights(path: Path, stored: Mapping[str, Any], module: StagedModule) -> None:
    """The weights, and the raw ones, are those of the module, in number and shape."""
    own = module.state_dict()
    try:
        state = with_pretrained(stored["state_dict"], left_out_of(stored), own)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    check_fit(module, state, str(path))
    for name, raw in stored["raw_parameters"].items():
        if name not in own or raw.shape != own[name].shape:
            raise CheckpointError(
                f"{path} is damaged: its raw weights hold {name} of shape {list(raw.shape)}, the model "
                f"{list(own[name].shape) if name in own else 'has none of that name'}; go on from another checkpoint"
            )


def _architecture(node: Any) -> Any:
    """A configuration without what does not change the model: where weights lie (their bits are compared), memory."""
    if isinstance(node, Mapping):
        loads = str(node.get("_target_")).rpartition(".")[2].startswith("load_")
        passed = (*_MEMORY, *_PLACES) if loads else _MEMORY
        return {key: _architecture(value) for key, value in node.items() if key not in passed}
    return [_architecture(value) for value in node] if isinstance(node, list | tuple) else node


def _age(path: Path) -> tuple[float, bool]:
    """Newest first; of two that were written at the same time the last one."""
    return -path.stat().st_mtime, path.stem != "last"


def _damage(path: Path) -> str | None:
    """Error of a damaged checkpoint; None for a whole one. Reads every byte: a truncated file may open nevertheless."""
    try:
        with zipfile.ZipFile(path) as archive:
            if member := archive.testzip():
                return f"{member} does not have its checksum"
        read_checkpoint(path)
    except (OSError, zipfile.BadZipFile, CheckpointError) as error:
        return str(error)
    return None


def _shown(value: Any) -> str:
    return "absent" if value is ABSENT else "null" if value is None else repr(value)
