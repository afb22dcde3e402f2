"""The benchmark of pairs runs, and says what it promises to say; how fast is measured elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_pairs_compares_three_ways():
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    command = [sys.executable, FOLDER / "pairs.py", "--quick"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    alone, batched, ours = found["ways"].values()
    assert alone["calls"] == batched["calls"] == 2 * 6 * 4 * 4  # triples, candidates, steps, samples of a guided pair
    assert alone["kept"] == batched["kept"] == 8
    assert ours["kept"] == 8  # fewer calls are for models that can be told apart: these are random
    assert found["fewer_calls"] == pytest.approx(alone["calls_per_pair"] / ours["calls_per_pair"])
