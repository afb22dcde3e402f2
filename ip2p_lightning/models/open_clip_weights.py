"""The one way in which models of open_clip are opened: whole, from where the user says, and running nothing.

open_clip itself hands a folder's `tokenizer_kwargs` (`trust_remote_code` among them) on to transformers, fetches the
repositories that its configuration names, and draws weights at random where it finds none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import open_clip

from ip2p_lightning import shipped
from ip2p_lightning.config.arguments import shown
from ip2p_lightning.limits import LimitError
from ip2p_lightning.models.folder_files import check_folder, read_settings
from ip2p_lightning.models.loading import one_line, quiet, weight_budget
from ip2p_lightning.models.weight_files import MissingWeightsError, WeightsError, find_settings, hub_files

CONFIG = "open_clip_config.json"
FOLDER, HUB = "local-dir:", "hf-hub:"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_TOKENIZER_OPTIONS = ("clean", "strip_sep_token")
_ARCHITECTURE = re.compile(r"[A-Za-z0-9_.]+")


class OpenClipParts(NamedTuple):
    """Configuration and weights that open_clip has for a name."""

    model: Any
    transform: Any
    tokenizer: Any


def load_open_clip(name: str, pretrained: str | None = None) -> OpenClipParts:
    """A model of open_clip with its weights, its preparation of images and its tokenizer.

    Args:
        name: one of open_clip's list (with `pretrained`), "hf-hub:OWNER/NAME", "local-dir:FOLDER", or
            "zoo:dual_encoder", the one that comes with this package.
        pretrained: open_clip's tag, or a file of weights; for names of its list alone.

    Raises:
        FileNotFoundError: no such folder, file, repository or network.
        WeightsError: no weights, damaged ones, or a configuration that asks for more than a model.
        LimitError: sizes beyond the limits.
    """
    folder = _folder(name)
    if folder is None and not pretrained:
        raise WeightsError(
            f"open_clip's {name!r} needs weights: give pretrained=openai, a file, or another of its tags"
        )
    source, options = name, {}
    if folder is not None:
        check_folder(folder)
        options = _checked(read_settings(folder / CONFIG), folder)
        source, pretrained = f"{FOLDER}{folder}", None
    try:
        with quiet(), weight_budget(folder, name) if folder else nullcontext():
            model, _, transform = open_clip.create_model_and_transforms(
                source, pretrained=pretrained, require_pretrained=True, weights_only=True
            )
            return OpenClipParts(model, transform, open_clip.get_tokenizer(source, **options))
    except LimitError:
        raise
    except Exception as error:  # the library raises many types on damaged, foreign and unreachable files
        if isinstance(error.__context__, OSError) and folder is None:
            raise MissingWeightsError(f"{one_line(error)}; give a local file of weights by pretrained=FILE") from error
        raise WeightsError(f"{name} cannot be opened with open_clip: {one_line(error)}") from error


def _folder(name: str) -> Path | None:
    """Folder of a model outside open_clip's list; fetched from the hub if need be."""
    if name.startswith(shipped.PREFIX):
        return shipped.path(name)
    if name.startswith(HUB):
        weights = name.removeprefix(HUB)
        there = next((file for file in _WEIGHTS if file in (hub_files(weights) or ())), None)
        return find_settings(weights, None, *([there] if there else []))
    if not name.startswith(FOLDER):
        return None
    folder = Path(name.removeprefix(FOLDER)).expanduser()
    if not folder.is_dir():
        raise MissingWeightsError(f"{name}: there is no folder {folder}; give one that open_clip wrote")
    return folder


def _checked(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options of the tokenizer, for a configuration that asks for a model alone."""
    model = config.get("model_cfg")
    text, vision = (model.get(part) if isinstance(model, Mapping) else None for part in ("text_cfg", "vision_cfg"))
    if not isinstance(text, Mapping) or not isinstance(vision, Mapping):
        raise WeightsError(f"{folder / CONFIG} describes no model (`model_cfg`, `text_cfg`, `vision_cfg`)")
    if "hf_model_name" in text:
        raise WeightsError(
            f"{folder / CONFIG}: text_cfg.hf_model_name names {shown(text['hf_model_name'])}, which would be fetched; "
            "only models whose text encoder is open_clip's own are opened"
        )
    architecture = vision.get("timm_model_name", "timm")
    if not isinstance(architecture, str) or not _ARCHITECTURE.fullmatch(architecture):
        raise WeightsError(f"{folder / CONFIG}: vision_cfg.timm_model_name is {shown(architecture)}, no name of timm's")
    options = text.get("tokenizer_kwargs") or {}
    strange = [name for name in options if name not in _TOKENIZER_OPTIONS] if isinstance(options, Mapping) else ["it"]
    if strange:
        raise WeightsError(
            f"{folder / CONFIG}: text_cfg.tokenizer_kwargs has {shown(strange[0])}; taken from a folder are "
            f"{' and '.join(_TOKENIZER_OPTIONS)}"
        )
    return {"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}
