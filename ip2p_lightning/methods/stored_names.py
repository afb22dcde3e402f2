"""Configurations in older checkpoints, in today's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TOKENIZER = "ip2p_lightning.models.loading.load_tokenizer"
_MOVED = {
    "ip2p_lightning.methods.checkpoint.load_part": "ip2p_lightning.interop.warm_start.load_part",
    "transformers.AutoTokenizer.from_pretrained": _TOKENIZER,
    "ip2p_lightning.models.causal_lm.load_tokenizer": _TOKENIZER,
}
_RENAMED = {
    _TOKENIZER: {"pretrained_model_name_or_path": "weights"},
    "ip2p_lightning.models.denoiser.load_unet": {"path": "weights"},
}


def current_names(config: Any) -> Any:
    """A stored configuration as it would be written today; what it builds is the same.

    Args:
        config: of bounded size, see `check_bounds`.
    """
    if isinstance(config, list | tuple):
        return [current_names(value) for value in config]
    if not isinstance(config, Mapping):
        return config
    target = config.get("_target_")
    target = _MOVED.get(target, target) if isinstance(target, str) else target
    names = _RENAMED.get(target, {}) if isinstance(target, str) else {}
    renamed = {names.get(key, key): current_names(value) for key, value in config.items()}
    return renamed | {"_target_": target} if "_target_" in config else renamed
