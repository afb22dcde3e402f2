"""Two ranks against one at the same global batch, one thread each, in 32-true and in this machine's fastest arithmetic.

A step has work that does not shrink with the batch: clipping, optimizer, averaged weights, what starts a kernel. So two
ranks can be no faster than one rank is with half the batch: that row is the ceiling, and what is between it and the two
ranks' row is the price of their meeting: the gradients' way through gloo, and waiting for the slower of the two.

python benchmarks/ddp.py [--quick] [--steps 60] [--batch 32] [--repeats 2] [--least]
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
from ip2p_lightning.jobs.quickstart_page import machine
from ip2p_lightning.jobs.train import train
from ip2p_lightning.precision import FULL, fastest

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


def step_times(ranks: int, batch: int, precision: str, options: argparse.Namespace) -> list[float]:
    """Seconds of each counted step of a run with `batch` pairs a step in all."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = ["trainer=ddp_cpu", f"trainer.devices={ranks}"] if ranks > 1 else ["trainer=cpu"]
        sizes = [f"data.batch_size={batch // ranks}", f"trainer.max_steps={options.steps}"]
        quiet = ["~callbacks.pictures", "~callbacks.summary", "~callbacks.conditioning_monitor"]
        quiet += ["~callbacks.progress", "trainer.limit_val_batches=0", f"trainer.precision={precision}"]
        timed = "+callbacks.times={_target_: ddp.StepTimes}"
        words = [
            f"experiment={options.experiment}",
            *trainer,
            *sizes,
            *quiet,
            timed,
            "threads=1",
            f"output_dir={folder}",
        ]
        train(compose("train", words))
        return json.loads((Path(folder) / "steps.json").read_text())


def main(options: argparse.Namespace) -> None:
    """Take turns between one rank, one with half the batch, and two; compare their steps."""
    runs = {"1 rank": (1, options.batch), "1 rank, half": (1, options.batch // 2), "2 ranks": (2, options.batch)}
    rows: list[dict[str, Any]] = []
    for precision in dict.fromkeys((FULL, fastest("cpu"))):
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, (ranks, batch) in runs.items():
                found[name] += step_times(ranks, batch, precision, options)
        step = {name: (min if options.least else statistics.median)(times) for name, times in found.items()}
        for name, (ranks, batch) in runs.items():
            times = step["1 rank"] / step[name] if batch == options.batch else step["1 rank"] / step["1 rank, half"]
            facts = {"precision": precision, "run": name, "pairs_a_rank": batch // ranks}
            facts |= {"ms_a_step": round(1000 * step[name], 1), "pairs_per_s": round(batch / step[name], 1)}
            rows.append(facts | {"times_as_fast": round(times, 3)})
    table = Table(
        *rows[0], title=f"{options.experiment}, {options.batch} pairs a step, {machine()}", title_justify="left"
    )
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)
    print("of '1 rank, half' the ceiling: a step of two ranks is no shorter than that of one of them by itself")
    print(json.dumps({"benchmark": "ddp", "experiment": options.experiment, "machine": machine(), "runs": rows}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny model and few steps: does it run?")
    parser.add_argument("--experiment", default="ip2p/world", help="what is trained")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of a run")
    parser.add_argument("--batch", type=int, default=32, help="pairs a step, over all ranks")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each")
    parser.add_argument("--least", action="store_true", help="the least step rather than the median: on a busy machine")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.experiment, chosen.steps, chosen.batch, chosen.repeats = "ip2p/tiny", 8, 8, 1
    main(chosen)
