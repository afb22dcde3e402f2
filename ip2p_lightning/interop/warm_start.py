"""Weights to begin a training with: parts of checkpoints, of exported folders, and of pretrained models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from ip2p_lightning.interop.folder import PIPELINES, load_folder
from ip2p_lightning.methods.checkpoint import (
    CheckpointError,
    Weights,
    left_out_of,
    load_module,
    load_strictly,
    read_checkpoint,
    state_of,
)
from ip2p_lightning.methods.staged import StagedModule
from ip2p_lightning.models.autoencoder import Autoencoder
from ip2p_lightning.models.denoiser import Denoiser, UNetDenoiser, widen
from ip2p_lightning.models.folder_files import read_settings
from ip2p_lightning.models.loading import load_model
from ip2p_lightning.models.pretrained import with_pretrained
from ip2p_lightning.models.single_file import is_single_file
from ip2p_lightning.models.weight_files import components, local_folder, read_index

Method = TypeVar("Method", bound=StagedModule)
Source = str | Path | Mapping[str, str]


def initialise(module: Method, sources: Source | Sequence[Source] | None) -> Method:
    """Fill parts of a module from elsewhere, in order; nothing else of those runs is taken over.

    Args:
        module: filled in place.
        sources: one or a list; each is a path or a mapping. `{checkpoint: file, from: prefix, to: prefix, weights:
            ema|raw}` takes a part (prefixes are names of submodules such as "denoiser" or "conditioner.text_encoder",
            "" for the whole; `to` defaults to `from`; a folder that `export` wrote will do for the file),
            `{pretrained: folder or hub name, to: submodule}` a model in diffusers' or transformers' format. A path is
            short for the whole of a checkpoint or of an exported folder, and for the denoiser of any other folder.

    Returns:
        The module.

    Raises:
        ValueError: unknown keys, no such submodule, or weights that do not fit; names the source and the keys.
    """
    single = isinstance(sources, str | Path | Mapping)
    for given in [sources] if single else sources or ():  # type: ignore[union-attr]
        source = given if isinstance(given, Mapping) else _from_path(given)
        keys = set(source)
        if keys <= {"checkpoint", "from", "to", "weights"} and "checkpoint" in keys:
            options: dict[str, Any] = {"from_" if key == "from" else key: value for key, value in source.items()}
            _from_checkpoint(module, **options)
        elif keys == {"pretrained", "to"}:
            _from_pretrained(module, source["pretrained"], source["to"])
        else:
            raise ValueError(
                f"init source {dict(source)}: give init=PATH, or a list of {{checkpoint: file, from: part, to: part, "
                "weights: ema or raw} and {pretrained: folder, to: part}"
            )
    return module


def _from_path(path: Any) -> dict[str, str]:
    """The source that a path by itself is short for."""
    if not isinstance(path, str | Path) or not str(path):
        raise ValueError(f"init={path!r}: give init=PATH, or a list of {{checkpoint: file, from: part, to: part}}")
    if Path(path).suffix == ".ckpt":
        return {"checkpoint": str(path), "from": ""}
    if is_single_file(path):
        return {"pretrained": str(path), "to": "denoiser"}
    index = read_index(path)
    if index is not None and index["_class_name"] in PIPELINES:
        return {"checkpoint": str(path), "from": ""}
    return {"pretrained": str(path), "to": "denoiser"}


def load_part(checkpoint: str | Path, part: str, trust: Iterable[str] | None = None) -> nn.Module:
    """One part of a trained module, such as the "conditioner" that an edit head is aligned to.

    Args:
        checkpoint: the `.ckpt` file, or a folder that `export` wrote.
        part: dotted name of a submodule.
        trust: see `load_method`.

    Raises:
        As `load_module` and `load_folder`; ValueError also if there is no such part.
    """
    module = load_folder(checkpoint, trust) if Path(checkpoint).is_dir() else load_module(checkpoint, trust=trust)
    return _part(module, part)


def _from_checkpoint(
    module: nn.Module, checkpoint: str, from_: str = "", to: str | None = None, weights: Weights = "ema"
) -> None:
    to = from_ if to is None else to
    origin = f"{checkpoint} (from {from_ or 'the whole'!r} to {to or 'the whole'!r})"
    if Path(checkpoint).suffix != ".ckpt" and (is_single_file(checkpoint) or not Path(checkpoint).is_file()):
        whole, marks = load_folder(checkpoint).state_dict(), {}
    else:
        stored = read_checkpoint(checkpoint)
        whole, marks = state_of(stored, weights), left_out_of(stored)
    state, left_out = _below(whole, from_), _below(marks, from_)
    if not state and not left_out:
        parts = sorted({name.split(".")[0] for name in whole})
        raise CheckpointError(f"{checkpoint}: has no weights under {from_!r}; it holds {', '.join(parts)}")
    target = _part(module, to)
    load_strictly(target, with_pretrained(state, left_out, target.state_dict()), origin)


def _below(named: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    start = f"{prefix}." if prefix else ""
    return {name.removeprefix(start): value for name, value in named.items() if name.startswith(start)}


def _part(module: nn.Module, name: str) -> nn.Module:
    try:
        return module.get_submodule(name)
    except AttributeError as error:
        known = sorted({".".join(key.split(".")[:2]) for key, _ in module.named_modules() if key})
        raise ValueError(f"init: the module has no part {name!r}; choose one of {', '.join(known)}") from error


def _from_pretrained(module: nn.Module, folder: str, to: str) -> None:
    """Load the component of the folder that has the class of the part it goes to."""
    part = _part(module, to)
    target = part.network if isinstance(part, Denoiser) else part.vae if isinstance(part, Autoencoder) else part
    kind: Any = type(target)
    if not hasattr(kind, "from_pretrained"):
        raise ValueError(f"init: {to!r} is a {kind.__name__}, which has no pretrained format; name a network below it")
    loaded: Any = load_model(kind, folder, None if is_single_file(folder) else _subfolder(folder, kind, to))
    if isinstance(part, UNetDenoiser) and loaded.config.in_channels == loaded.config.out_channels:
        loaded = widen(loaded)
    load_strictly(target, loaded.state_dict(), f"{folder} (to {to!r})")


def _subfolder(folder: str, kind: type[nn.Module], to: str) -> str | None:
    """Subfolder of a pipeline for a network of a class; None where the folder itself holds one."""
    index = read_index(folder)
    if index is not None:
        matching = [part for part, name in components(index).items() if name == kind.__name__]
        if not matching:
            raise CheckpointError(f"{folder}: the pipeline has no {kind.__name__}, which {to!r} needs")
        return matching[0]
    place = local_folder(folder)
    configs = sorted(place.glob("*/config.json")) if place and not (place / "config.json").is_file() else []
    matching = [path.parent.name for path in configs if kind.__name__ in _names(read_settings(path))]
    return matching[0] if matching else None  # such as the unet/ of a training script's checkpoint-500


def _names(config: Mapping[str, Any]) -> list[Any]:
    """The classes that diffusers' and transformers' configurations name."""
    return [config.get("_class_name"), *(config.get("architectures") or ())]
