"""Effect of training transforms on an image size: enlarge, reduce, squash, crop."""

from __future__ import annotations

from typing import Literal


def treatment(size: tuple[int, int], resolution: int, fit: Literal["squash", "centre_crop"] = "squash") -> str:
    """Description of what `PairTransform` does.

    Args:
        size: width and height in pixels.
        resolution: side of training's square images.
        fit: as in `PairTransform`.
    """
    width, height = size
    short, long = sorted(size)
    done = []
    if fit == "centre_crop" and short < long:
        done.append(f"loses {100 * (1 - short / long):.0f} % of its {'width' if width > height else 'height'}")
    elif short < long:
        done.append(f"squashed {width / height:.2f}:1 to 1:1")
    factor = resolution / (short if fit == "centre_crop" else long)
    if short < resolution:
        done.append(f"enlarged {resolution / short:.2g} times")
    elif factor < 1:
        done.append(f"reduced to {100 * resolution / short:.0f} %")
    return ", ".join(done) or "as it is"
