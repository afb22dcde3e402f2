"""The file of each shipped model, and opening one by its name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ip2p_lightning import shipped

Entry = ModuleType
"""A model's file here: SUMMARY, EXPERIMENT, LEVEL, LIMITS, LARGEST_BYTES, `pack`, `load`, `measure`."""


def entry(name: str) -> Entry:
    """A model's file.

    Raises:
        ValueError: no such model, naming those there are.
    """
    if name not in shipped.NAMES:
        raise ValueError(f"the zoo has no {name!r}; it has {', '.join(shipped.NAMES)}")
    return import_module(f"ip2p_lightning.zoo.{name}")


def load(name: str, root: Path | str | None = None) -> Any:
    """A model, opened in float32 and evaluation mode.

    Args:
        name: "judge" (an `AttributeJudge`), "dual_encoder" (a `DualEncoder`), "text_to_image" (a
            `StableDiffusionPipeline`), or "instruct_pix2pix", "lgie" or "mgie" (each a `TrainedEditor`).
        root: see `shipped.path`.

    Raises:
        As `shipped.path`.
    """
    return entry(name).load(shipped.path(name, root))
