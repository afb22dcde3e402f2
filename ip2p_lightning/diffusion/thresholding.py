"""Thresholding of the predicted image at each step (Imagen, section 2.3), as settings of diffusers' schedulers.

Large guidance pushes predictions out of [-1, 1]. *Static* thresholding clips them. *Dynamic* thresholding takes
s = max(1, the given percentile of |x0| within an image), clips to [-s, s] and divides by s.
"""

from __future__ import annotations

from typing import Any, Literal

Thresholding = Literal["none", "static", "dynamic"]
UNBOUNDED = 1e6
"""The largest s. diffusers' own default is 1, which turns its dynamic thresholding into the static one."""


def thresholded(scheduler: Any, kind: Thresholding, percentile: float = 0.995, ceiling: float = UNBOUNDED) -> Any:
    """A copy of a scheduler with that thresholding.

    Args:
        scheduler: DDPM, DDIM, UniPC, DPM-Solver++ or another of diffusers' that has `thresholding`.
        kind: "none", "static" or "dynamic".
        percentile: of |x0|, above 0 and at most 1; Imagen uses 0.995, DeepFloyd IF 0.95.
        ceiling: the largest s, at least 1; DeepFloyd IF's base stage uses 1.5.

    Raises:
        ValueError: an unknown kind, a percentile or ceiling out of range, or a scheduler that cannot threshold.
    """
    if kind not in ("none", "static", "dynamic"):
        raise ValueError(f"thresholding={kind!r}: choose none, static or dynamic")
    if not 0 < percentile <= 1 or ceiling < 1:
        raise ValueError(f"percentile={percentile} must be above 0 and at most 1, and ceiling={ceiling} at least 1")
    if "thresholding" not in scheduler.config:
        raise ValueError(
            f"{type(scheduler).__name__} knows no thresholding; sample with DDPMScheduler, DDIMScheduler or "
            "UniPCMultistepScheduler"
        )
    settings: dict[str, Any] = {
        "thresholding": kind != "none",
        "dynamic_thresholding_ratio": percentile,
        "sample_max_value": ceiling if kind == "dynamic" else 1.0,
    }
    if "clip_sample" in scheduler.config:
        settings["clip_sample"] = False
    return type(scheduler).from_config(scheduler.config, **settings)
