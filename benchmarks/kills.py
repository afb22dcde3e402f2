"""Kill every job that writes at random moments, run it again until it ends, and compare with a run that was not killed.

    python benchmarks/kills.py kills=100            # all jobs; prints a table
    python benchmarks/kills.py kills=20 jobs=train,render

Each job runs in a process forked from this one, so that a life takes seconds. It gets SIGKILL after a random share of
the time that the whole job takes, as often as its share of `kills`. What its folder holds at the end must be what the
whole run left: weights to the bit for a training, bytes for everything else, and no file more.
`kill_servers.py` says what is asked of servers.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq
import torch
from kill_servers import SERVERS

# Imported before the first fork, so that no life spends its seconds on imports:
import ip2p_lightning.jobs.data
import ip2p_lightning.jobs.evaluate
import ip2p_lightning.jobs.export
import ip2p_lightning.jobs.generate
import ip2p_lightning.jobs.sample
import ip2p_lightning.jobs.train  # noqa: F401
from ip2p_lightning.cli import main

QUIET = ["~callbacks.summary", "~callbacks.pictures", "~callbacks.progress", "threads=1"]
VOLATILE = ("seconds", "time", "created", "date", "rate")  # of provenance, in JSON files

Content = Callable[[Path], object]


def tree(folder: Path) -> dict[str, str]:
    """File -> digest of its content; numbers that a clock gave are left out of JSON files."""
    return {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def weights(folder: Path) -> object:
    """Digests of weights, raw weights and moments of the last checkpoint, and the names of all checkpoints."""
    stored = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    digest = hashlib.sha256()
    for tensor in _tensors([stored[key] for key in ("state_dict", "raw_parameters", "optimizer_states")]):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest(), sorted(path.name for path in (folder / "checkpoints").iterdir())


def rows(folder: Path) -> object:
    """The rows of an evaluation without its times, and the names of its files."""
    table = pq.read_table(folder / "rows.parquet")
    kept = [name for name in table.column_names if "seconds" not in name]
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return str(table.select(kept).to_pylist()), files


def dataset(folder: Path) -> object:
    """A generated dataset, byte by byte, but for its card, which has times."""
    return {name: digest for name, digest in tree(folder / "dataset").items() if name != "README.md"}


JOBS: dict[str, tuple[list[str], Content]] = {
    "train": (["train", "experiment=ip2p/tiny", "data.train.count=14", "stages.0.max_steps=24", *QUIET,
               "callbacks.checkpoint.every_n_train_steps=2", "ckpt=auto", "hydra.run.dir={out}"], weights),
    "generate": (["generate", "experiment=generate/tiny", "count=24", "threads=1", "output_dir={out}"], dataset),
    "evaluate": (["evaluate", "checkpoint=instruct_pix2pix", "data=world", "count=24", "batch_size=4", "device=cpu",
                  "output={out}"], rows),
    "render": (["data", "render", "source=world", "source.count=400", "output={out}"], tree),
    "import": (["data", "import", "format=jsonl", "path={in}/exported/pairs.jsonl", "output={out}"], tree),
    "export": (["data", "export", "format=jsonl", "path={in}/pairs", "output={out}"], tree),
    "align": (["data", "align", "path={in}/pairs", "output={out}"], tree),
    "edit": (["edit", "checkpoint=instruct_pix2pix", "image={in}/photos/images", "instruction=make it winter",
              "device=cpu", "overwrite=skip", "output={out}"], tree),
    "sample": (["sample", "cascade={in}/cascade/checkpoints/last.ckpt", "prompts={in}/prompts.txt", "device=cpu",
                "batch_size=2", "overwrite=skip", "output={out}"], tree),
    "convert": (["export", "checkpoint={in}/run/checkpoints/last.ckpt", "output={out}"], tree),
}  # fmt: skip


def run(kills: int, names: list[str]) -> bool:
    """Kill each job its share of `kills` times; prints a row for each. True if none lost or doubled anything."""
    draw, sound, share = random.Random(0), True, -(-kills // len(names))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if set(names) & set(JOBS):
            _prepare(root)
        print(f"{'job':<10}{'kills':>7}{'ends':>6}{'whole (s)':>11}   result")
        for job in names:
            if job in SERVERS:
                ends, seconds, (what, faults) = 1, "", SERVERS[job](share, root, draw)
            else:
                ends, seconds, faults = _kill(job, share, root, draw)
                what = "equal, nothing left over"
            sound &= not faults
            result = "; ".join(faults[:2]) or what
            print(f"{job:<10}{share:>7}{ends:>6}{seconds:>11}   {result}", flush=True)
    return sound


def _kill(job: str, kills: int, root: Path, draw: random.Random) -> tuple[int, str, list[str]]:
    """Kill a job so many times; returns how often it ended, the seconds of a whole run, and faults."""
    words, content = JOBS[job]
    begun = time.monotonic()
    whole_run = _live(words, root, root / job / "whole" / "out")
    whole_run.join()
    assert whole_run.exitcode == 0, _last_words(root / "out.log")
    seconds = time.monotonic() - begun
    wanted = content(root / job / "whole" / "out")
    done, ends, faults = 0, 0, []
    while done < kills:
        ends += 1
        out = root / job / f"killed-{ends}" / "out"  # alone: ckpt=auto looks for runs next to its own
        for life in itertools.count():
            log = root / f"{out.name}-{ends}-{life}.log"
            process = _live(words, root, out, log)
            process.join(draw.uniform(0, 1.1) * seconds if done < kills else 300)
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            done += 1
        there = (out.exists() or out.is_symlink()) and "exists already" in _last_words(log)
        if process.exitcode and not there:  # killed between the last rename and its end, it is there
            faults.append(f"exit {process.exitcode}: {_last_words(log)}")
        elif (found := content(out)) != wanted:
            faults.append(_difference(wanted, found))
        shutil.rmtree(out.parent, ignore_errors=True)
    return ends, f"{seconds:.1f}", faults


def _prepare(root: Path) -> None:
    """The inputs of jobs: a dataset, its export, checkpoints and prompts."""
    (root / "log").mkdir()
    (root / "prompts.txt").write_text("".join(f"a bus, number {number}\n" for number in range(24)))
    for words in (
        ["data", "render", "source=world", "source.count=200", "output={in}/pairs"],
        ["data", "export", "format=jsonl", "path={in}/pairs", "output={in}/exported"],
        ["data", "render", "source=world", "source.count=6", "output={in}/few"],
        ["data", "export", "format=jsonl", "path={in}/few", "output={in}/photos"],
        ["train", "experiment=ip2p/tiny", "stages.0.max_steps=1", *QUIET, "hydra.run.dir={in}/run"],
        [
            "train",
            "experiment=imagen/tiny/base",
            "data.train.count=8",
            "stages.0.max_steps=1",
            "~callbacks.summary",
            "~callbacks.images",
            "~callbacks.progress",
            "threads=1",
            "hydra.run.dir={in}/cascade",
        ],
    ):
        process = _live(words, root, root)
        process.join()
        assert process.exitcode == 0, f"{words}: {_last_words(root / f'{root.name}.log')}"


def _live(words: list[str], root: Path, out: Path, log: Path | None = None) -> BaseProcess:
    """A process that runs a command; it must not outlive a kill in children of its own."""

    def life() -> None:
        os.chdir(root)
        sys.stdout = sys.stderr = (log or root / f"{out.name}.log").open("w")
        sys.exit(main([word.format(**{"in": root, "out": out}) for word in words]))

    process = multiprocessing.get_context("fork").Process(target=life)
    process.start()
    return process


def _digest(path: Path) -> str:
    if path.suffix == ".json":
        return json.dumps(_timeless(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if not any(word in key for word in VOLATILE)}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value.detach()
    elif isinstance(value, dict):
        for key in value:
            yield from _tensors(value[key])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _difference(wanted: object, found: object) -> str:
    if isinstance(wanted, dict) and isinstance(found, dict):
        changed = [name for name in wanted if name in found and wanted[name] != found[name]]
        lost, more = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
        return f"lost {lost[:3]}, more {more[:3]}, other {changed[:3]}"
    return f"{str(found)[:200]} in place of {str(wanted)[:200]}"


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return (
        (lines[-2] if lines[-1].startswith("(--debug") and len(lines) > 1 else lines[-1])[:300] if lines else "no words"
    )


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    sys.exit(0 if run(int(given.get("kills", 100)), given.get("jobs", ",".join([*JOBS, *SERVERS])).split(",")) else 1)
