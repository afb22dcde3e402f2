"""Ranges that keys of several jobs share."""

from __future__ import annotations

from typing import Literal

from ip2p_lightning.schema.kinds import number, whole

SEED = whole(0, 2**32 - 1)
NOISE = whole(0, 2**63 - 1)
SCALE = number(0, 100)
SHARE = number(0, 1)
SIDE = whole(1, 8192)
SOME = whole(1)
STEPS = whole(1, 10_000)
"""Of a sampler; more are a mistake, which would take hours."""
ANY = whole(0)
SPLITS = dict[str, SHARE] | None
TRUE_SPLIT = Literal["train", "validation", "test"]
PRECISION = Literal[
    "auto", "32-true", "32", "16-mixed", "16-true", "16", "bf16-mixed", "bf16-true", "bf16", "64-true", "64",
    "transformer-engine", "transformer-engine-float16",
]  # fmt: skip

ARITHMETIC = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
"""Of editors, whose weights stay as they are."""
THRESHOLDING = Literal["none", "static", "dynamic"]
VARIANT = Literal["fp16", "non_ema", "bin"] | None
