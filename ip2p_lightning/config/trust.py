"""The list of what a stored configuration may build.

Parts of this package and of packages that the user trusts; and networks, schedulers and optimizers of the libraries,
from their configuration values. A name is looked up in these packages alone, and counts only where the class or
function is defined in them; nothing else is imported.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ip2p_lightning.config.arguments import shown
from ip2p_lightning.config.parts import is_buildable

OWN = tuple(f"ip2p_lightning.{room}" for room in ("conditioners", "diffusion", "methods", "models", "world"))
"""Our packages that hold parts of methods."""
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "torch.optim": ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler"),
    "diffusers.schedulers": ("diffusers.SchedulerMixin",),
    "diffusers.models": ("diffusers.ModelMixin",),
    **{
        f"transformers.models.{family}": ("transformers.PreTrainedModel", "transformers.PreTrainedConfig")
        for family in ("clip", "gemma", "gpt2", "llama", "llava", "mistral", "qwen2", "siglip", "smollm3", "t5")
    },
}
"""Package of a library -> base classes of what may be built of it, from plain values."""
_WORD = "(?!__)[A-Za-z_][A-Za-z0-9_]*"  # no __main__, which runs when it is imported
_NAME = re.compile(rf"{_WORD}(\.{_WORD})+")
_PACKAGE = re.compile(rf"{_WORD}(\.{_WORD})*")
_FRONTS = ("torch.optim", "diffusers", "transformers")  # packages that give their classes short names
_VARIABLE = "IP2P_TRUST"


class TrustError(ValueError):
    """A stored configuration that asks for what it may not; the message names the key and the remedy."""


@dataclass(frozen=True)
class Trust:
    """Packages and weights that the user trusts beyond the defaults; never read from a file that came with weights.

    Args:
        packages: Python packages whose parts may be built.
        places: folder or hub name as stored in checkpoints -> where to read it from.
    """

    packages: frozenset[str]
    places: Mapping[str, str]

    @classmethod
    def of(cls, names: Iterable[str] | str | None) -> Trust:
        """Read the `trust` of a job, and the environment variable `IP2P_TRUST` (separated by commas).

        Args:
            names: "my_package" for the parts of a package of yours; a folder or hub name such as "owner/name" for
                weights that a checkpoint refers to; "owner/name=FOLDER" where they lie elsewhere.

        Raises:
            ValueError: an entry that is no text.
        """
        entries = [names] if isinstance(names, str) else list(names or ())
        entries += [name.strip() for name in os.environ.get(_VARIABLE, "").split(",") if name.strip()]
        packages, places = set(), {}
        for entry in entries:
            if not isinstance(entry, str) or not entry:
                raise ValueError(
                    f"trust: {entry!r} is no name; give packages, folders or hub names: trust=[my_package]"
                )
            if _PACKAGE.fullmatch(entry):
                packages.add(entry)
                continue
            stored, _, place = entry.partition("=")
            places |= {entry: entry} | ({stored: place} if place else {})
        return cls(frozenset(packages), places)


@dataclass(frozen=True)
class Target:
    """Something that may be built.

    Args:
        call: the class or function.
        library: whether it is of a library, and takes plain values alone.
    """

    call: Callable[..., Any]
    library: bool


def find(name: object, key: str, trust: Trust) -> Target:
    """The class or function that a stored `_target_` names.

    Args:
        name: the stored value.
        key: where it stands, for messages.
        trust: of the user.

    Raises:
        TrustError: anything that is not on the list.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TrustError(_refusal(name, key, trust))
    module = name.rpartition(".")[0]
    owner = _within(name, (*OWN, *trust.packages))
    found = _attribute(name) if owner or module in _FRONTS or _within(module, LIBRARIES) else None
    if found is not None and owner:
        home = str(getattr(found, "__module__", ""))
        if _within(home, (owner,)) and (is_buildable(found) or _is_subclass(found, _bases())):
            return Target(found, False)
    elif found is not None and _of_library(found):
        return Target(found, True)
    raise TrustError(_refusal(name, key, trust))


def _of_library(found: Any) -> bool:
    package = _within(str(getattr(found, "__module__", "")), LIBRARIES)
    bases = tuple(_attribute(name) for name in LIBRARIES[package]) if package else ()
    return bool(bases) and _is_subclass(found, bases) and not inspect.isabstract(found)


def _bases() -> tuple[type, ...]:
    from diffusers import SchedulerMixin
    from torch import nn, optim

    return nn.Module, SchedulerMixin, optim.Optimizer


def _is_subclass(found: Any, bases: tuple[Any, ...]) -> bool:
    return isinstance(found, type) and issubclass(found, bases) and found not in bases


def _within(name: str, packages: Iterable[str]) -> str | None:
    return next((package for package in packages if name == package or name.startswith(f"{package}.")), None)


def _attribute(name: str) -> Any:
    """Object of a module by its dotted name; None if there is none. Never a member of a class or object."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except Exception:  # no such module, or an optional one of a library that lacks what it needs
        return None


def _refusal(name: object, key: str, trust: Trust) -> str:
    told = shown(name, 120)
    start = f"stored configuration: {key} = {told} may not be built from a checkpoint"
    if isinstance(name, str) and _NAME.fullmatch(name):
        root = name.split(".")[0]
        if _within(name, trust.packages):
            return (
                f"{start}: trust names {root}, but it has no such part: a network (torch.nn.Module), a subclass of one "
                "of ip2p_lightning's parts, or a class or function marked with ip2p_lightning.config.buildable"
            )
        known = {"torch", "torchvision", "diffusers", "transformers", "ip2p_lightning", "hydra", "omegaconf"}
        if root not in sys.stdlib_module_names | known:
            return (
                f"{start}. If {root} is a package of yours, or of somebody whom you trust to run code here, say so: "
                f"trust=[{root}] (or {_VARIABLE}={root})"
            )
    return (
        f"{start}; only ip2p_lightning's own parts, and networks, schedulers and optimizers of torch, diffusers and "
        "transformers from their configuration values may. If you trust the file, build the module in Python and load "
        "its weights with initialise"
    )
