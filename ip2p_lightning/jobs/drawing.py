"""Text-to-image for the service and the app: the zoo's text-to-image, a cascade, or a Stable Diffusion."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from ip2p_lightning import shipped
from ip2p_lightning.config import plain
from ip2p_lightning.generation.pipelines import load_pipeline
from ip2p_lightning.interop.cascade import is_cascade
from ip2p_lightning.jobs.sample import open_cascade
from ip2p_lightning.serving.cascade_drawing import CascadeEngine
from ip2p_lightning.serving.drawing import DrawEngine
from ip2p_lightning.zoo import text_to_image

_SHIPPED = "text_to_image"


def open_drawing(config: DictConfig) -> dict[str, DrawEngine | CascadeEngine]:
    """Name -> engine of `config.text_to_image`; empty for null.

    Args:
        config: of a job, with `text_to_image`, `device`, `batch_size`, `weights` and `trust`.

    Raises:
        FileNotFoundError: no such checkpoint or folder.
        ValueError: something that does not draw.
    """
    weights = plain(config.text_to_image)
    if weights is None:
        return {}
    if isinstance(weights, list) or weights.endswith(".ckpt") or (Path(weights).is_dir() and is_cascade(weights)):
        cascade = open_cascade(weights, config.weights, plain(config.trust), config.device)
        name = Path(weights[0] if isinstance(weights, list) else weights).stem
        return {name: CascadeEngine(cascade, config.batch_size)}
    name = str(weights).removeprefix(shipped.PREFIX)
    if name == _SHIPPED:
        pipeline = text_to_image.load(shipped.path(name))
        return {name: DrawEngine(pipeline, text_to_image.STEPS, text_to_image.GUIDANCE, config.batch_size)}
    device = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return {Path(name).name: DrawEngine(load_pipeline(weights, device=device), batch_size=config.batch_size)}
