"""Weights are packed in half precision and opened in full."""

from __future__ import annotations

import json
from pathlib import Path


def open_in_float32(folder: Path) -> None:
    """Let transformers open the packed models of a pipeline folder in float32: it takes the type its config names."""
    for config in folder.glob("*/config.json"):
        values = json.loads(config.read_text(encoding="utf-8"))
        if "dtype" in values:
            config.write_text(json.dumps(values | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
