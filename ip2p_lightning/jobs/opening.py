"""Opening what a job edits with: a checkpoint, a folder in diffusers' format, or an editor of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ip2p_lightning import zoo
from ip2p_lightning.editors.ours import TrainedEditor
from ip2p_lightning.methods.checkpoint import Weights
from ip2p_lightning.shipped import EDITORS


def open_editor(
    checkpoint: str | Path | None,
    device: str = "auto",
    weights: Weights = "ema",
    batch_size: int = 16,
    resolution: int | None = None,
) -> TrainedEditor:
    """The editor of a `.ckpt` file, of a folder (or hub name) in diffusers' format, or of the zoo.

    Args:
        checkpoint: file, folder or hub name; or the zoo's name of an editor, such as "mgie".
        device: "auto" takes an accelerator where there is one.
        weights: "ema" or "raw", of a `.ckpt`.
        batch_size: pictures at once.
        resolution: longer side in pixels at which PIL pictures are edited; None for the model's own.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: no checkpoint was named, or several.
    """
    if checkpoint is None:
        raise ValueError("checkpoint needs a value: a .ckpt, a folder or a hub name; or choose another editor=...")
    if not isinstance(checkpoint, str | Path):
        raise ValueError(f"checkpoint={checkpoint} is not one name; edit with one model at a time")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    path = Path(checkpoint)
    if path.is_file() or path.suffix == ".ckpt":
        return TrainedEditor.from_checkpoint(path, resolution, device=device, weights=weights, batch_size=batch_size)
    if not path.is_dir() and str(checkpoint) in EDITORS:
        checkpoint = zoo.path(str(checkpoint))
    elif not path.is_dir() and len(path.parts) != 2:  # a hub name is owner/name
        raise FileNotFoundError(
            f"checkpoint={checkpoint} does not exist; give a .ckpt, a folder, a hub name, or one of "
            f"{', '.join(EDITORS)} for the editors that come with the package"
        )
    return TrainedEditor.from_pretrained(checkpoint, resolution, device=device, batch_size=batch_size)


def place(editor: Any, device: str) -> Any:
    """Put the networks of an editor on a device: its `pipeline`, its `encoder`, those of an `editor` that it drives."""
    for name in ("pipeline", "encoder"):
        networks = getattr(editor, name, None)
        if networks is not None:
            networks.to(device)
    if hasattr(editor, "editor"):
        place(editor.editor, device)
    return editor
