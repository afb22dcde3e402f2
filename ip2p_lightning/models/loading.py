"""The one way in which published networks and tokenizers are opened: weights alone, all of them, in the type asked for.

No code that comes with weights is run, nothing is unpickled that is not a weight, and a tensor that is missing or of
another shape is refused by name, where the libraries would draw it at random.
"""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

import diffusers.utils.logging as diffusers_logging
import torch
import transformers.utils.logging as transformers_logging
from diffusers import ModelMixin
from torch import nn
from transformers import AutoProcessor, AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.auto_factory import _BaseAutoModelClass

from ip2p_lightning.config.budget import Budget
from ip2p_lightning.config.parts import loads
from ip2p_lightning.limits import LimitError
from ip2p_lightning.models.folder_files import check_folder
from ip2p_lightning.models.pretrained import tag_pretrained
from ip2p_lightning.models.single_file import is_single_file, load_single, single_tokenizer
from ip2p_lightning.models.weight_files import (
    BIN,
    MissingWeightsError,
    WeightFiles,
    WeightsError,
    find_settings,
    find_weights,
    local_folder,
)

log = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)


def load_model(
    kind: type[M] | type[_BaseAutoModelClass],
    weights: str | Path,
    subfolder: str | None = None,
    variant: str | None = None,
    dtype: str | torch.dtype = "float32",
    gguf_file: str | None = None,
    unused: tuple[str, ...] = (),
) -> M:
    """A published network.

    Args:
        kind: class of diffusers or transformers, or of ours with the same surface; or an `AutoModelFor...`, with which
            the caller knows what it gets.
        weights: folder, hub name, "package:NAME", or a single .safetensors file in Stable Diffusion's original layout.
        subfolder: where in it the network lies.
        variant: which weight files, see `find_weights`.
        dtype: of the weights in memory, whatever they are stored in.
        gguf_file: name of a GGUF file in the folder, which is converted to plain weights.
        unused: beginnings of names that may be missing, since the caller does not use those parts.

    Raises:
        WeightsError: weights that are not there, damaged, incomplete or of other shapes; says which and what to do.
    """
    precision = _dtype(dtype)
    if is_single_file(weights):
        return tag_pretrained(load_single(cast(Any, kind), Path(weights).expanduser(), precision), weights)
    gguf = WeightFiles(find_settings(weights, subfolder, gguf_file)) if gguf_file else None
    files = gguf or find_weights(weights, subfolder, variant)
    shown = f"{weights}/{subfolder}" if subfolder else str(weights)
    if files.variant != variant:
        log.info("%s: the files of %s are taken and cast to %s", shown, files.variant, precision)
    safe: dict[str, Any] = {"use_safetensors": files.variant != BIN, "output_loading_info": True}
    if not issubclass(kind, ModelMixin):
        safe |= {"trust_remote_code": False, "weights_only": True, "gguf_file": gguf_file}
    named = None if files.variant == BIN else files.variant
    if not gguf_file and not (files.folder / "config.json").is_file():
        raise MissingWeightsError(
            f"{shown} has no config.json, which says what its weights are of; copy the whole folder"
        )
    check_folder(files.folder, local_folder(weights))
    with quiet():
        try:
            with weight_budget(files.folder, shown) if not gguf else nullcontext():
                model, info = cast(Any, kind).from_pretrained(
                    files.folder, dtype=precision, variant=named, ignore_mismatched_sizes=True, **safe
                )
        except LimitError:
            raise
        except Exception as error:  # the libraries raise many types on damaged, foreign and unfinished files
            raise WeightsError(f"{shown} cannot be opened as {kind.__name__}: {one_line(error)}") from error
    _check_complete(info, shown, model, unused)
    _rename(model, str(files.folder) if subfolder else str(weights))
    return tag_pretrained(model, weights)


@loads("weights")
def load_tokenizer(
    weights: str | Path, subfolder: str | None = None, gguf_file: str | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer next to published weights.

    Args:
        weights: as for `load_model`; a single file has CLIP's.
        subfolder: where in it the tokenizer lies.
        gguf_file: name of the GGUF file that holds it.

    Raises:
        WeightsError: no tokenizer there.
    """
    if is_single_file(weights):
        return single_tokenizer()
    folder = find_settings(weights, subfolder, *([gguf_file] if gguf_file else []))
    check_folder(folder, local_folder(weights))
    with quiet():
        try:
            return AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file, trust_remote_code=False)
        except Exception as error:  # as above
            shown = f"{weights}/{subfolder}" if subfolder else str(weights)
            raise WeightsError(f"{shown} holds no tokenizer that can be opened: {one_line(error)}") from error


def load_processor(weights: str | Path) -> Any:
    """Processor of images and texts for a multimodal model; errors as for `load_tokenizer`."""
    folder = find_settings(weights)
    check_folder(folder, local_folder(weights))
    with quiet():
        try:
            return AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # as above
            raise WeightsError(f"{weights} holds no processor that can be opened: {one_line(error)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' bars and logs off the terminal: what matters of them is in our own messages."""
    before = logging.root.manager.disable
    libraries: Sequence[Any] = (diffusers_logging, transformers_logging)
    bars = [library for library in libraries if library.is_progress_bar_enabled()]
    logging.disable(logging.ERROR)
    for library in bars:
        library.disable_progress_bar()
    try:
        yield
    finally:
        logging.disable(before)
        for library in bars:
            library.enable_progress_bar()


def weight_budget(folder: Path, shown: str) -> Budget:
    """As large as the weight files: a number takes a byte or more, and few tensors are smaller than 256 bytes."""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
    return Budget(size, size // 256, shown)


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise WeightsError(f"dtype={dtype}: choose float32, bfloat16 or float16")
    return found


def _check_complete(info: Mapping[str, Any], shown: str, model: nn.Module, unused: tuple[str, ...] = ()) -> None:
    """Refuse a model of which anything would have been drawn at random, or layers left away."""
    missing = sorted(name for name in info.get("missing_keys") or () if not name.startswith(unused))
    shapes = [f"{name} is {list(there)}, config.json says {list(needed)}" for name, there, needed in _mismatched(info)]
    found = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in (
            ("missing", missing),
            ("of another shape", shapes),
            ("of layers that it does not have", _surplus_layers(info, model)),
        )
        if names
    ]
    found += [str(message) for message in info.get("error_msgs") or ()][:1]
    if found:
        raise WeightsError(
            f"{shown}: not the weights of the {type(model).__name__} that its config.json describes: "
            f"{'; '.join(found)}. Copy or fetch the folder again"
        )


def _surplus_layers(info: Mapping[str, Any], model: nn.Module) -> list[str]:
    """Weights of layers beyond those of a stack. Other surplus ones are parts that a role has no use for."""
    stacks = {name for name, part in model.named_modules() if isinstance(part, nn.ModuleList)}
    surplus = [str(name) for name in info.get("unexpected_keys") or ()]
    places = ((name, found.start()) for name in surplus for found in re.finditer(r"\.\d+\.", name))
    return sorted({name for name, end in places if name[:end] in stacks and not _has(model, name, end)})


def _has(model: nn.Module, name: str, end: int) -> bool:
    """True if a stack has the layer of which a tensor's name speaks."""
    return int(name[end + 1 :].partition(".")[0]) < len(cast(nn.ModuleList, model.get_submodule(name[:end])))


def _mismatched(info: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return sorted((entry[0], entry[1], entry[2]) for entry in info.get("mismatched_keys") or ())


def _rename(model: Any, name: str) -> None:
    """Folder for licence and revision in run cards: the user's own name, or the part's folder in a pipeline."""
    if isinstance(model, ModelMixin):
        cast(Any, model).register_to_config(_name_or_path=name)
    elif hasattr(model, "config"):
        model.config.name_or_path = name


def one_line(error: BaseException) -> str:
    """Message of a library's error, in a line."""
    cause: BaseException | None = error
    while cause is not None:  # diffusers raises another error over torch's, whose text tells how to run the file
        if isinstance(cause, pickle.UnpicklingError):
            return "it holds more than weights, and nothing else is read"
        cause = cause.__cause__ or cause.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):  # a heading, as huggingface_hub's checks of settings have one
        lines = [f"{lines[0]} {lines[1]}"]
    return lines[0][:300] if lines else type(error).__name__
