"""The speed benchmarks run, and say what they promise to say; how fast is measured elsewhere."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from processes import printed_by

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

from interleaved import interleave, ratios  # noqa: E402


def result(script: str, folder: Path, *arguments: object) -> dict:
    """The line of JSON that a benchmark prints at last."""
    printed = printed_by(lambda: importlib.import_module(script).main(*arguments), folder / "log")
    return json.loads(printed.splitlines()[-1])


@pytest.mark.slow
def test_train_step_compares_three_ways(tmp_path):
    found = result("train_step", tmp_path, True)
    assert set(found["ratio"]) == {"plain loop", "ours", "ours, cache=disk"}
    assert found["ratio"]["plain loop"] == 1
    assert 0 < found["encoder_share"] < 1
    assert found["gigaflops_encoders"] > 0


@pytest.mark.slow
def test_sampling_gives_the_pipeline_s_pictures(tmp_path):
    found = result("sampling", tmp_path, True, None)
    assert found["difference"] < 1e-4
    assert found["evaluations"]["ours"] == 2
    assert found["evaluations"]["interval"] < 2
    assert found["share_of_guidance_lost"] > 0


def test_repeats_take_turns_and_ratios_are_their_own():
    order: list[str] = []
    ways = {name: lambda name=name: order.append(name) or {"a": 4.0, "b": 2.0}[name] for name in "ab"}
    seconds = interleave(ways, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert ratios(seconds, "a") == {"a": (1.0, 1.0, 1.0), "b": (2.0, 2.0, 2.0)}
