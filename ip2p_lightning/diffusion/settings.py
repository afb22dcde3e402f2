"""Values of sampling: one place to add another, which editors, pipelines, folders and jobs then carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

LARGEST_SCALE = 100
"""Guidance beyond it is a typing error."""


@dataclass(frozen=True)
class SamplingSettings:
    """Overrides of a sampler's own values; None keeps those.

    Args:
        steps: denoising steps, at least 1.
        text_scale: s_T, how strongly the instruction acts; 0 to 100.
        image_scale: s_I, how strongly the original is kept; 0 to 100.
        guidance_start: share of the steps after which guidance begins.
        guidance_stop: share of the steps after which it ends.

    Raises:
        TypeError: a value that is no number (steps: no whole number).
        ValueError: a value out of range.
    """

    steps: int | None = None
    text_scale: float | None = None
    image_scale: float | None = None
    guidance_start: float | None = None
    guidance_stop: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.given().items():
            _check(name, value, whole=name == "steps", most={"steps": None, "text_scale": LARGEST_SCALE,
                   "image_scale": LARGEST_SCALE}.get(name, 1))  # fmt: skip

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> SamplingSettings:
        """Those of a larger mapping that are settings of sampling, such as a job's configuration."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    def given(self) -> dict[str, Any]:
        """The values that are not None, by name."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    def over(self, defaults: SamplingSettings) -> SamplingSettings:
        """These values, and others' in the place of None."""
        return replace(defaults, **self.given())


def _check(name: str, value: Any, whole: bool, most: float | None) -> None:
    number = isinstance(value, bool) is False and hasattr(value, "__index__" if whole else "__float__")
    if not number or isinstance(value, str):
        raise TypeError(f"{name}={value!r} must be a {'whole number' if whole else 'number'}, or None")
    least, finite = (1 if whole else 0), math.isfinite(float(value))
    if not finite or value < least or (most is not None and value > most):
        raise ValueError(f"{name}={value} must be " + (f"between {least} and {most}" if most else f"at least {least}"))


PAPER = SamplingSettings(steps=100, text_scale=7.5, image_scale=1.5, guidance_start=0.0, guidance_stop=1.0)
"""InstructPix2Pix's own (Brooks et al. 2023, section 3.2 and its release), without an interval."""
