"""Open an editor by one name: a checkpoint, a folder in diffusers' format, a hub name, or one that ships."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.precision import FULL, choose
from ip2p_lightning.shipped import EDITORS
from ip2p_lightning.shipped import path as path_of_shipped

if TYPE_CHECKING:
    from ip2p_lightning.methods.checkpoint import Weights


def load_editor(
    checkpoint: str | Path,
    device: str | torch.device = "auto",
    weights: Weights = "ema",
    batch_size: int = 16,
    resolution: int | None = None,
    dtype: torch.dtype | None = None,
    trust: Iterable[str] | None = None,
    precision: str = FULL,
) -> TrainedEditor:
    """Open an editor.

    Args:
        checkpoint: a `.ckpt` of `ip2p train`; a folder (or hub name) in diffusers' format; InstructPix2Pix as one
            `.safetensors` file; or the name of an editor that ships: "instruct_pix2pix", "lgie" or "mgie".
        device: where to edit; "auto" takes an accelerator where there is one.
        weights: "ema" or "raw", of a `.ckpt`.
        batch_size: images at once.
        resolution: longer side in pixels at which PIL images are edited; None for the model's own.
        dtype: type of the weights; None leaves it.
        trust: packages of yours whose parts it may use, and weights that a `.ckpt` refers to; see `load_method`.
        precision: arithmetic in which it edits, see `TrainedEditor`; or "auto" for this machine's fastest.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: no checkpoint was named, or several.

    Examples:
        >>> import ip2p_lightning as ip2p
        >>> from PIL import Image
        >>> editor = ip2p.load_editor("instruct_pix2pix")
        >>> edits = editor.edit(Image.new("RGB", (96, 64), "teal"), ["make it sepia", "make it night"], seed=1)
        >>> [edit.image.size for edit in edits]
        [(96, 64), (96, 64)]
    """
    if checkpoint is None:
        raise ValueError("checkpoint needs a value: a .ckpt, a folder or a hub name; or choose another editor=...")
    if not isinstance(checkpoint, str | Path):
        raise ValueError(f"checkpoint={checkpoint} is not one name; edit with one model at a time")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    path = Path(checkpoint)
    options: dict[str, Any] = {"device": device, "dtype": dtype, "batch_size": batch_size, "trust": trust}
    if path.suffix == ".ckpt" or (path.is_file() and path.suffix != ".safetensors"):
        options["precision"] = choose(precision, str(device))
        return TrainedEditor.from_checkpoint(path, resolution, weights=weights, **options)
    if not path.is_dir() and str(checkpoint) in EDITORS:
        checkpoint = path_of_shipped(str(checkpoint))
    elif not path.exists() and len(path.parts) != 2:  # a hub name is owner/name
        raise FileNotFoundError(
            f"checkpoint={checkpoint} does not exist; give a .ckpt, a folder, a hub name, or one of "
            f"{', '.join(EDITORS)} for the editors that come with the package"
        )
    return TrainedEditor.from_pretrained(checkpoint, resolution, precision=choose(precision, str(device)), **options)
