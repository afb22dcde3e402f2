"""ip2p checkpoints on a tiny run."""

from __future__ import annotations

import shutil
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
    copied = Path(shutil.copytree(run, "copied"))
    shutil.copy(copied / "checkpoints" / "last.ckpt", copied / "checkpoints" / "step=000009.ckpt")
    printed = ip2p("checkpoints", f"run=[{run},{copied}]", "output=both", *small, *axes)
    assert "3 checkpoints of 2 runs" in printed
    assert "copied: the last checkpoint (step 9) is the best of 2" in printed
    assert len(Path("both/checkpoints.csv").read_text().splitlines()) == 4
    assert "none of them twice" in ip2p("checkpoints", f"run=[{run},{run}/]", "output=twice", *small, *axes, fails=True)
    assert "run=nowhere holds no checkpoints" in ip2p("checkpoints", "run=nowhere", *small, *axes, fails=True)
