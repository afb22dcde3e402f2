"""Which models ship, and where their folders are."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

WEIGHTS = Path(__file__).parent / "weights"
"""A folder for each model; each opens with `from_pretrained`, or with open_clip's `local-dir:`."""
CARD = "card.json"

Entry = ModuleType
"""A model's file here: SUMMARY, EXPERIMENT, LEVEL, LIMITS, LARGEST_BYTES, `pack`, `load`, `measure`."""

EDITORS = ("instruct_pix2pix", "lgie", "mgie")
"""Those that edit pictures: `ip2p edit checkpoint=mgie ...`."""
_NAMES = ("judge", "dual_encoder", "text_to_image", *EDITORS)


def names() -> tuple[str, ...]:
    """The models there are, whether their weights are present or not."""
    return _NAMES


def entry(name: str) -> Entry:
    """A model's file.

    Raises:
        ValueError: no such model, naming those there are.
    """
    if name not in _NAMES:
        raise ValueError(f"the zoo has no {name!r}; it has {', '.join(_NAMES)}")
    return import_module(f"ip2p_lightning.zoo.{name}")


def path(name: str, root: Path | str | None = None) -> Path:
    """A model's folder.

    Args:
        name: of the model.
        root: where the folders are; those of the package if None.

    Raises:
        ValueError: no such model.
        FileNotFoundError: its weights are not there; says how they are made.
    """
    folder = Path(root or WEIGHTS) / name
    experiment = entry(name).EXPERIMENT
    if not (folder / CARD).is_file():
        raise FileNotFoundError(
            f"{folder} holds no weights of {name!r}; make them with `ip2p train experiment={experiment}` and "
            f"`ip2p zoo add name={name} checkpoint=RUN/checkpoints/last.ckpt`"
        )
    return folder


def load(name: str, root: Path | str | None = None) -> Any:
    """A model, opened in float32 and evaluation mode.

    Args:
        name: "judge" (an `AttributeJudge`), "dual_encoder" (a `DualEncoder`), "text_to_image" (a
            `StableDiffusionPipeline`), or "instruct_pix2pix", "lgie" or "mgie" (each a `TrainedEditor`).
        root: see `path`.

    Raises:
        As `path`.
    """
    return entry(name).load(path(name, root))
