"""The benchmark of the trade-off engine runs, and both ways give one figure; how fast is measured elsewhere."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from processes import printed_by

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))


@pytest.mark.slow
def test_the_engine_gives_the_loop_s_figures(tmp_path: Path) -> None:
    printed = printed_by(lambda: importlib.import_module("tradeoff").main(True), tmp_path / "log")
    found = json.loads(printed.splitlines()[-1])
    assert found["difference"] < 1e-4
    assert (found["points"], found["pairs"], found["steps"]) == (7, 2, 2)
    assert set(found["ratio"]) == {"one at a time", "ours"}
