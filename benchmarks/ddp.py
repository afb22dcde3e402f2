"""Two ranks against one at the same global batch, one thread each: pairs a second, and what communication costs.

python benchmarks/ddp.py [--quick] [--steps 60] [--batch 16] [--repeats 2]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and in every rank

import lightning.pytorch as L
from rich.console import Console
from rich.table import Table

from ip2p_lightning.config import compose
from ip2p_lightning.jobs.train import train

WARM_UP = 0.25
"""Share of the steps that is not counted."""


class StepTimes(L.Callback):
    """Write the seconds of each counted step of the first rank to `steps.json` in the run folder."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seconds = [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)]
        counted = seconds[int(WARM_UP * len(seconds)) :]
        if trainer.is_global_zero:
            (Path(trainer.default_root_dir) / "steps.json").write_text(json.dumps(counted))


def step_times(ranks: int, batch: int, steps: int, experiment: str) -> list[float]:
    """Seconds of each counted step of a run with `batch` pairs a step in all."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = ["trainer=ddp_cpu", f"trainer.devices={ranks}"] if ranks > 1 else ["trainer=cpu"]
        sizes = [f"data.batch_size={batch // ranks}", f"trainer.max_steps={steps}", "trainer.limit_val_batches=0"]
        quiet = ["~callbacks.pictures", "~callbacks.summary", "~callbacks.conditioning_monitor"]
        timed = "+callbacks.times={_target_: ddp.StepTimes}"
        words = [f"experiment={experiment}", *trainer, *sizes, *quiet, timed, "threads=1", f"output_dir={folder}"]
        train(compose("train", words))
        return json.loads((Path(folder) / "steps.json").read_text())


def main(options: argparse.Namespace) -> None:
    """Alternate between one rank and two, and compare the medians of all their steps."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.repeats):
        for ranks, found in seconds.items():
            found += step_times(ranks, options.batch, options.steps, options.experiment)
    medians = {ranks: statistics.median(found) for ranks, found in seconds.items()}
    table = Table("ranks", "pairs a rank", "ms a step", "pairs/s", "speed-up", title=f"{options.experiment}")
    rows = []
    for ranks, median in medians.items():
        row = {
            "ranks": ranks,
            "batch": options.batch // ranks,
            "ms_per_step": round(1000 * median, 2),
            "pairs_per_s": round(options.batch / median, 2),
            "speed_up": round(medians[1] / median, 3),
        }
        rows.append(row)
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    cores = len(os.sched_getaffinity(0))
    print(json.dumps({"benchmark": "ddp", "experiment": options.experiment, "cores": cores, "runs": rows}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny model and few steps: does it run?")
    parser.add_argument("--experiment", default="ip2p/world", help="what is trained")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of a run")
    parser.add_argument("--batch", type=int, default=16, help="pairs a step, over all ranks")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.experiment, chosen.steps, chosen.batch, chosen.repeats = "ip2p/tiny", 8, 8, 1
    main(chosen)
