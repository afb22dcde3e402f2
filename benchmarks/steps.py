"""Seconds a training step takes here in 32-true and in precision=auto, and what the runs of README's commands take.

Of each command so many steps are trained in earnest, drawing of scenes and averaged weights included, validation and
images not. A step counts with the least time of those after the first few: other work on the machine hardly matters
to the processor's seconds (one thread), and not at all to the wall's where there is none.

python benchmarks/steps.py                 # all cores, seconds of the wall; wants a machine without other work
python benchmarks/steps.py --threads 1     # seconds of the processor; on a busy machine as well
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import lightning.pytorch as L
import torch
from rich.console import Console
from rich.table import Table

from ip2p_lightning.config import compose
from ip2p_lightning.formatting import duration, plural
from ip2p_lightning.jobs.quickstart_page import machine
from ip2p_lightning.jobs.train import train
from ip2p_lightning.precision import FULL, fastest

WARM_UP = 2


COMMANDS = {
    "ip2p/world": ("experiment=ip2p/world",),
    "ip2p/world, 64 pairs": ("experiment=ip2p/world", "data.batch_size=64"),
    "mgie/world": ("experiment=mgie/world",),
}
OFF = ["pictures", "summary", "conditioning_monitor", "speed", "checkpoint", "progress"]
QUIET = [*(f"~callbacks.{name}" for name in OFF), "trainer.limit_val_batches=0", "+trainer.enable_checkpointing=false",
         "+trainer.enable_progress_bar=false"]  # fmt: skip


class Clock(L.Callback):
    """Processor's and wall's seconds at the end of each step, by stage."""

    def __init__(self) -> None:
        self.times: dict[str, list[tuple[float, float]]] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        self.times.setdefault(pl_module.stage.name, []).append((time.process_time(), time.perf_counter()))

    def least(self, wall: bool) -> dict[str, float]:
        """Stage -> seconds of its fastest step after the first few."""
        return {
            name: min(b[wall] - a[wall] for a, b in list(pairwise(times))[WARM_UP - 1 :])
            for name, times in self.times.items()
        }


def seconds(words: Sequence[str], stages: int, precision: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds a step of each stage of a command, the least of some runs."""
    found: list[dict[str, float]] = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            own = [f"trainer.precision={precision}", f"threads={options.threads}", f"output_dir={folder}"]
            own += [f"stages.{place}.max_steps={options.steps}" for place in range(stages)]
            clock = "+callbacks.clock={_target_: steps.Clock}"
            trainer = train(compose("train", [*words, *QUIET, *own, clock])).trainer
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        found.append(next(one for one in callbacks if type(one).__name__ == Clock.__name__).least(options.threads > 1))
    return {name: min(one[name] for one in found) for name in found[0]}


def main(options: argparse.Namespace) -> None:
    """Each command in both arithmetics, and what its whole recipe takes."""
    logging.disable(logging.WARNING)
    clock = "wall's" if options.threads > 1 else "processor's"
    ways = list(dict.fromkeys((FULL, fastest("cpu"))))
    heads = [f"{name}, {what}" for what in ("s a step", "in all") for name in ways]
    table = Table("ip2p train experiment=", "stage", "steps", *heads, title=machine(), title_justify="left")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        base = f"base={folder}/checkpoints/last.ckpt"
        begin = ["experiment=ip2p/world", "stages.0.max_steps=1", "trainer.limit_val_batches=0", "~callbacks.pictures"]
        train(compose("train", [*begin, "~callbacks.summary", "~callbacks.progress", f"output_dir={folder}"]))
        for name, words in list(COMMANDS.items())[: 1 if options.quick else None]:
            words = [*words, base] if "mgie" in name else words
            stages = compose("train", [*words]).stages
            times = [seconds(words, len(stages), precision, options) for precision in ways]
            for stage in stages:
                each = [time[stage.name] for time in times]
                whole = [duration(one * stage.max_steps) for one in each]
                table.add_row(name, stage.name, f"{stage.max_steps:,}", *(f"{one:.3f}" for one in each), *whole)
                found = dict(zip(ways, each, strict=True))
                rows.append({"run": name, "stage": stage.name, "steps": stage.max_steps} | found)
    Console(width=150).print(table)
    print(f"{clock} seconds on {plural(options.threads, 'thread')}; precision=auto is {fastest('cpu')} here")
    facts = {"benchmark": "steps", "machine": machine(), "threads": options.threads, "clock": clock}
    print(json.dumps(facts | {"auto": fastest("cpu"), "runs": rows}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one command, few steps: does it run?")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch's threads")
    parser.add_argument("--steps", type=int, default=12, help="of each stage")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each, of which the fastest step counts")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.steps, chosen.repeats = 4, 1
    main(chosen)
