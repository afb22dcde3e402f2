"""Names and folders of the models that come with the package; the zoo makes, opens and measures them."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "zoo" / "weights"
"""A folder for each model; each opens with `from_pretrained`, or with open_clip's `local-dir:`."""
CARD = "card.json"
PREFIX = "zoo:"
"""Marks the name of a shipped model where a folder or a hub name could stand: "zoo:dual_encoder"."""

EDITORS = ("instruct_pix2pix", "lgie", "mgie")
"""Those that edit images: `ip2p edit checkpoint=mgie ...`."""
NAMES = ("judge", "dual_encoder", "text_to_image", *EDITORS)
"""All of them, whether their weights are present or not."""


def is_shipped(name: str) -> bool:
    """True if a place of weights is a model of this package, such as "zoo:text_to_image"."""
    return name.startswith(PREFIX) and name.removeprefix(PREFIX) in NAMES


def path(name: str, root: Path | str | None = None) -> Path:
    """A model's folder.

    Args:
        name: of the model, with or without `PREFIX`.
        root: where the folders are; those of the package if None.

    Raises:
        ValueError: no such model, naming those there are.
        FileNotFoundError: its weights are not there; says how they are made.
    """
    name = name.removeprefix(PREFIX)
    if name not in NAMES:
        raise ValueError(f"the zoo has no {name!r}; it has {', '.join(NAMES)}")
    folder = Path(root or WEIGHTS) / name
    if not (folder / CARD).is_file():
        raise FileNotFoundError(
            f"{folder} holds no weights of {name!r}; make them with `ip2p train experiment=zoo/{name}` and "
            f"`ip2p zoo add name={name} checkpoint=RUN/checkpoints/last.ckpt`"
        )
    return folder
