"""ip2p drift on a tiny checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path


def test_writes_turns_and_a_figure(checkpoint: Callable[[str], Path], ip2p: Callable[..., str]) -> None:
    small = ["data=world_tiny", "device=cpu", "steps=1", "turns=2", "count=2", "intervals.resamples=50"]
    printed = ip2p("drift", f"checkpoint={checkpoint('ip2p/tiny')}", "output=out", *small)
    assert {path.name for path in Path("out").iterdir()} == {
        "rows.parquet", "turns.csv", "provenance.json", "drift.svg", "drift.png", "report.html"
    }  # fmt: skip
    assert len(json.loads(Path("out/provenance.json").read_text())["sha256"]) == 16
    with Path("out/turns.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (3 * 2 + 1) * 3
    assert {row["chain"] for row in rows} == {"nothing", "there and back", "the same again", "none"}
    assert "mean error (/255) by turn" in printed
