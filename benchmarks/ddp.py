"""Two ranks against one at the same global batch, one thread each, in 32-true and in this machine's fastest arithmetic.

A step has work that does not shrink with the batch: clipping, optimizer, averaged weights, what starts a kernel. So two
ranks can be no faster than one rank is with half the batch ("1 rank, half"), nor than two such runs that know nothing
of each other ("2 apart": the same cores, caches and other load). What is between these and the two ranks is the price
of their meeting: the gradients' way through gloo, and waiting for the slower of the two. Processor time tells the two
apart: who waits takes none, and it hardly depends on what else the machine does.

python benchmarks/ddp.py [--quick] [--steps 60] [--batch 32] [--repeats 2] [--least] [--precision 32-true]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
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
    """Write the seconds of each counted step of the first rank, passed and of its processor, to `steps.json`."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seconds = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(self.ends, self.ends[1:], strict=False)]
        counted = seconds[int(WARM_UP * len(seconds)) :]
        if trainer.is_global_zero:
            (Path(trainer.default_root_dir) / "steps.json").write_text(json.dumps(counted))


Times = list[tuple[float, float]]


def apart(batch: int, precision: str, options: argparse.Namespace) -> Times:
    """Times of two runs at once that know nothing of each other, `batch` pairs a step each."""
    own = [f"--experiment={options.experiment}", f"--steps={options.steps}", f"--batch={batch}", f"--alone={precision}"]
    command = [sys.executable, __file__, *own]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return [tuple(times) for run in started for times in json.loads(run.communicate()[0].splitlines()[-1])]


def step_times(ranks: int, batch: int, precision: str, options: argparse.Namespace) -> Times:
    """Times of each counted step of a run with `batch` pairs a step in all."""
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
    """Take turns between one rank, one with half the batch, two of these apart, and two ranks; compare their steps."""
    half = options.batch // 2
    runs = {
        "1 rank": (1, options.batch),
        "1 rank, half": (1, half),
        "2 apart": (0, half),
        "2 ranks": (2, options.batch),
    }
    rows: list[dict[str, Any]] = []
    middle = min if options.least else statistics.median
    for precision in options.precision or dict.fromkeys((FULL, fastest("cpu"))):
        found: dict[str, Times] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, (ranks, batch) in runs.items():
                measure = step_times(ranks, batch, precision, options) if ranks else apart(batch, precision, options)
                found[name] += measure
        step = {name: [middle(each) for each in zip(*times, strict=True)] for name, times in found.items()}
        for name, (ranks, batch) in runs.items():
            passed, own = step[name]
            facts = {"precision": precision, "run": name, "pairs_a_rank": batch // max(1, ranks)}
            facts |= {"ms_a_step": round(1000 * passed, 1), "cpu_ms_a_step": round(1000 * own, 1)}
            facts |= {"times_as_fast": round(step["1 rank"][0] / passed, 3)}
            rows.append(facts | {"by_cpu": round(step["1 rank"][1] / own, 3)})
    table = Table(
        *rows[0], title=f"{options.experiment}, {options.batch} pairs a step, {machine()}", title_justify="left"
    )
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=120).print(table)
    print("'1 rank, half' and '2 apart' are ceilings: a step of two ranks is no shorter than that of one by itself")
    print(json.dumps({"benchmark": "ddp", "experiment": options.experiment, "machine": machine(), "runs": rows}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny model and few steps: does it run?")
    parser.add_argument("--experiment", default="ip2p/world", help="what is trained")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of a run")
    parser.add_argument("--batch", type=int, default=32, help="pairs a step, over all ranks")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each")
    parser.add_argument("--least", action="store_true", help="the least step rather than the median: on a busy machine")
    parser.add_argument("--precision", nargs="*", help="arithmetic; 32-true and the fastest here if not given")
    parser.add_argument("--alone", metavar="PRECISION", help="one rank alone; print its times as JSON")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.experiment, chosen.steps, chosen.batch, chosen.repeats = "ip2p/tiny", 8, 8, 1
    print(json.dumps(step_times(1, chosen.batch, chosen.alone, chosen))) if chosen.alone else main(chosen)
