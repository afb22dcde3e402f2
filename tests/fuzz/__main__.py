"""`python -m tests.fuzz READER --seconds 120`: fuzz one reader (or all) for so long, and print what happened."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests import each other by their names here

from fuzz.harness import Record, examples
from fuzz.readers import READERS


def main() -> None:
    """Fuzz, and print figures."""
    warnings.simplefilter("ignore")  # of the libraries, about what the fuzzer damaged
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("reader", choices=[*READERS, "all"])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--start", type=int, default=0, help="number of the first series of inputs")
    chosen = parser.parse_args()
    for name in READERS if chosen.reader == "all" else [chosen.reader]:
        whole, began, series = Record(), time.monotonic(), chosen.start
        with tempfile.TemporaryDirectory() as folder:
            while time.monotonic() - began < chosen.seconds:
                part = examples(READERS[name], Path(folder), 200, series)
                whole.inputs += part.inputs
                whole.outcomes += part.outcomes
                whole.peak_growth = max(whole.peak_growth, part.peak_growth)
                whole.slowest = max(whole.slowest, part.slowest)
                series += 1
        outcomes = ", ".join(f"{outcome} {count:,}" for outcome, count in whole.outcomes.most_common())
        print(
            f"{name}: {whole.inputs:,} inputs in {time.monotonic() - began:.0f} s ({outcomes}); largest growth "
            f"{whole.peak_growth} MB, slowest {whole.slowest:.2f} s; series {chosen.start} to {series - 1}",
            flush=True,
        )


if __name__ == "__main__":
    main()
