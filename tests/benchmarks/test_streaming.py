"""The streaming benchmark runs, and says what it promises to say; how fast is measured elsewhere."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from processes import printed_by

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))


@pytest.mark.slow
def test_streaming_compares_layouts_and_sizes(tmp_path: Path) -> None:
    printed = printed_by(lambda: importlib.import_module("streaming").main(True), tmp_path / "log")
    found = json.loads(printed.splitlines()[-1])
    assert set(found["pairs_per_second"]) == {
        "InstructPix2Pix's folders",
        "shards, the same Lanczos",
        "shards, decode_side=256",
        "shards, cached latents",
    }
    assert all(rate > 0 for rates in found["pairs_per_second"].values() for rate in rates)
    assert set(found["memory_mb"]) == {"100", "1000"}
    assert all(used["pss"] > 0 for used in found["memory_mb"].values())
