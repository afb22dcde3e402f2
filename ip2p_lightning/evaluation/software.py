"""The versions that figures depend on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from ip2p_lightning import __version__

_LIBRARIES = (
    *("torch", "torchvision", "torchmetrics", "open_clip_torch", "timm", "transformers", "diffusers", "numpy"),
    "pillow",
)


@cache
def software() -> dict[str, str]:
    """Name -> version of this package, Python and the libraries that edit and measure, as far as they are installed."""
    found = {"ip2p_lightning": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
