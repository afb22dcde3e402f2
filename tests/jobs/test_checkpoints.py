"""ip2p checkpoints on a tiny run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def test_writes_a_table_and_a_verdict(checkpoint: Callable[[str], Path], ip2p: Callable[..., str]) -> None:
    run = checkpoint("ip2p/tiny").parents[1]
    small = ["data=world_tiny", "device=cpu", "steps=1", "count=3", "intervals.resamples=50"]
    axes = ["metrics=strength", "x=true_change", "y=strength"]
    printed = ip2p("checkpoints", f"run={run}", "output=out", *small, *axes)
    assert {path.name for path in Path("out").iterdir()} == {
        "checkpoints.csv", "provenance.json", "checkpoints.svg", "checkpoints.png", "report.html"
    }  # fmt: skip
    assert "the last checkpoint (step 1) is the best of 1" in printed
    assert "run=nowhere holds no checkpoints" in ip2p("checkpoints", "run=nowhere", *small, *axes, fails=True)
