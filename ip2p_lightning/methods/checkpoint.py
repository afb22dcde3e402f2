"""Checkpoints reopened from the file alone: what it describes is built, and its weights are loaded into that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from ip2p_lightning.config import StoredConfigError, TrustError, instantiate_trusted
from ip2p_lightning.config.budget import Budget
from ip2p_lightning.limits import LimitError
from ip2p_lightning.methods.checkpoint_file import CheckpointError, read_checkpoint
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.models.pretrained import WeightOrigin, with_pretrained

Weights = Literal["ema", "raw"]
Method = TypeVar("Method", bound=StagedModule)

_TRAINING_ONLY = ("sources", "alignment_teacher")
"""Arguments of parts that are left out when a checkpoint is reopened: data to fit on, and teachers."""


def load_module(
    path: str | Path,
    device: str | torch.device = "cpu",
    weights: Weights = "ema",
    trust: Iterable[str] | None = None,
) -> EditingModule:
    """Rebuild the editing module that a checkpoint of `ip2p train` holds; see `load_method`."""
    return load_method(path, EditingModule, device, weights, trust)


def load_method(
    path: str | Path,
    method: type[Method],
    device: str | torch.device = "cpu",
    weights: Weights = "ema",
    trust: Iterable[str] | None = None,
) -> Method:
    """Rebuild the module that a checkpoint of `ip2p train` holds, in evaluation mode.

    The file is untrusted: its configuration may choose among this package's parts and the networks, schedulers and
    optimizers of the libraries; nothing is fetched, and nothing is read from a place that it names.

    Args:
        path: the `.ckpt` file.
        method: the class that it must be of.
        device: where to put the module.
        weights: "ema" for the moving average where the run kept one, "raw" for what training went on from.
        trust: packages of yours whose parts it may be built of, and folders or hub names of weights that it refers to
            without holding them; see `Trust.of`.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: damaged, no checkpoint of this package, or weights that do not fit its own configuration.
        TrustError: a configuration that asks for anything else; says what to trust.
        LimitError: a configuration or a network beyond the limits.
    """
    checkpoint = read_checkpoint(path)
    config = checkpoint["config"]
    if config is None or "_target_" not in config:
        if any(str(name).startswith("model.diffusion_model.") for name in checkpoint["state_dict"]):
            raise CheckpointError(
                f"{path}: a Stable Diffusion or InstructPix2Pix in its original layout; `ip2p convert "
                f"checkpoint={path} output=FOLDER` makes a folder of it that opens wherever a checkpoint is asked for"
            )
        raise CheckpointError(
            f"{path}: holds no configuration, so what to build is unknown; train with `ip2p train` (or pass "
            "`config=` to EditingModule), or build the module in Python and call `initialise`"
        )
    state, size = state_of(checkpoint, weights), Path(path).stat().st_size
    module = rebuilt(config, state, method, str(path), size, trust, left_out_of(checkpoint))
    module.stage = next((stage for stage in module.stages if stage.name == checkpoint["stage"]), module.stage)
    return module.to(device).eval()


def rebuilt(
    config: Mapping[str, Any],
    state: dict[str, Tensor],
    method: type[Method],
    origin: str,
    size: int,
    trust: Iterable[str] | None,
    left_out: Mapping[str, WeightOrigin] | None = None,
) -> Method:
    """Build what a stored configuration describes, and load weights into it.

    Args:
        config: untrusted, see `load_method`.
        state: the weights.
        method: the class that it must be of.
        origin: file or folder of both, for messages.
        size: bytes of the weights, which bound what is built.
        trust: of the user.
        left_out: weights that a pretrained folder holds.

    Raises:
        CheckpointError, TrustError, LimitError: see `load_method`.
    """
    budget = Budget(size, len(state), origin)
    try:
        with torch.random.fork_rng(devices=[]):  # building must not disturb the caller's random numbers
            module = instantiate_trusted(config, trust=trust, without=_TRAINING_ONLY, budget=budget)
    except TrustError as error:
        raise TrustError(f"{origin}: {error}") from error
    except LimitError as error:
        raise LimitError(str(error) if origin in str(error) else f"{origin}: {error}") from error
    except StoredConfigError as error:
        raise CheckpointError(f"{origin}: {error}") from error
    if not isinstance(module, method):
        raise CheckpointError(
            f"{origin}: holds a {type(module).__name__}, not the {method.__name__} that is asked for here; "
            "`config.yaml` in its run folder says which experiment made it"
        )
    try:
        state = with_pretrained(state, left_out or {}, module.state_dict())
    except ValueError as error:
        raise CheckpointError(f"{origin}: {error}") from error
    load_strictly(module, state, origin=origin)
    module.config = dict(config)
    return module


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """`module.load_state_dict`, with an error that says what differs.

    Raises:
        CheckpointError: missing, surplus or differently shaped weights; names the first three of each.
    """
    check_fit(module, state, origin)
    try:
        module.load_state_dict(state, strict=True)
    except (RuntimeError, NotImplementedError) as error:  # tensors of a kind that cannot be copied
        reason = str(error).splitlines()[-1].strip()[:200]
        raise CheckpointError(f"{origin}: its weights cannot be loaded ({reason}); copy the file again") from error


def check_fit(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Compare the names and shapes of weights with a module's; errors as for `load_strictly`."""
    own = module.state_dict()
    shapes = [
        f"{name} is {list(tensor.shape)}, the model needs {list(own[name].shape)}"
        for name, tensor in state.items()
        if name in own and tensor.shape != own[name].shape
    ]
    problems = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": shapes,
    }
    found = [f"{len(names)} {what} ({_first(names)})" for what, names in problems.items() if names]
    if found:
        raise CheckpointError(
            f"{origin}: weights of another architecture than {type(module).__name__}'s: {'; '.join(found)}. "
            "Choose the same model configuration, or the part (from / to) that fits"
        )


def state_of(checkpoint: Mapping[str, Any], weights: Weights) -> dict[str, Tensor]:
    """The averaged or the raw weights in a checkpoint."""
    if weights not in ("ema", "raw"):
        raise ValueError(f"weights={weights!r}: choose ema or raw")
    return {**checkpoint["state_dict"], **(checkpoint["raw_parameters"] if weights == "raw" else {})}


def left_out_of(checkpoint: Mapping[str, Any]) -> dict[str, WeightOrigin]:
    """Pretrained weights that a checkpoint leaves out, and where each is found."""
    return {name: WeightOrigin(*mark) for name, mark in checkpoint["pretrained"].items()}


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
