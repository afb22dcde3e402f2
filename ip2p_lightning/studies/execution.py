"""Doing the runs of a study: what is done is left alone, what was interrupted goes on, a failure stops no other."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from ip2p_lightning.config import compose
from ip2p_lightning.store import Claims
from ip2p_lightning.studies.run import Run, changed, read_record

Tell = Callable[[str], None]
LOG = "output.log"
"""File of a run's output, in its folder."""
_CHECKPOINT = Path("checkpoints") / "last.ckpt"


def execute(runs: Sequence[Run], folder: Path, processes: int = 0, tell: Tell = print) -> dict[str, str]:
    """Do what is not done.

    Args:
        runs: in any order.
        folder: that holds the folders of the runs.
        processes: so many runs at once, each in a process of its own; 0 for one after the other in this process.
        tell: called with a line for each run.

    Returns:
        Name -> why it has no result, for those that have none.

    Raises:
        ValueError: two runs of one name, a run that needs one that is not there, or runs that need each other.
    """
    folder = folder.resolve()
    failures: dict[str, str] = {}
    if not processes:
        for run in ordered(runs):
            failures[run.name] = _do_if_needed(run, folder, failures, tell, apart=False)
    else:
        with ThreadPoolExecutor(processes) as pool:
            ends: dict[str, Future[str]] = {}

            def wait_and_do(run: Run) -> str:  # what it waits for was submitted before it, so that it has started
                before = {name: ends[name].result() for name in run.needs}
                return _do_if_needed(run, folder, before, tell, apart=True)

            for run in ordered(runs):
                ends[run.name] = pool.submit(wait_and_do, run)
            failures = {name: end.result() for name, end in ends.items()}
    return {name: why for name, why in failures.items() if why}


def ordered(runs: Sequence[Run]) -> list[Run]:
    """The runs as given, but each right after those it needs; see `execute` for what is raised."""
    by_name = {run.name: run for run in runs}
    if len(by_name) < len(runs):
        names = [run.name for run in runs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"the study has several runs called {', '.join(twice)}; give each a name of its own")
    found: dict[str, Run] = {}

    def visit(run: Run, above: tuple[str, ...]) -> None:
        if run.name in above:
            raise ValueError(f"the runs {', '.join(above)} need each other")
        for need in run.needs:
            if need not in by_name:
                raise ValueError(f"run {run.name} needs {need}, which the study does not have")
            visit(by_name[need], (*above, run.name))
        found.setdefault(run.name, run)

    for run in runs:
        visit(run, ())
    return list(found.values())


def needed(runs: Sequence[Run], wanted: Sequence[Run]) -> list[Run]:
    """The wanted runs and all that they need, directly or not, of a study's runs."""
    by_name = {run.name: run for run in runs}
    found = {run.name for run in wanted}
    waiting = list(wanted)
    while waiting:
        more = [name for name in waiting.pop().needs if name in by_name and name not in found]
        found |= set(more)
        waiting += [by_name[name] for name in more]
    return [run for run in runs if run.name in found]


def _do_if_needed(run: Run, folder: Path, ends: Mapping[str, str], tell: Tell, apart: bool) -> str:
    """Do a run whose result is missing, unless one that it needs failed; returns why it has no result, or ""."""
    if lacking := [name for name in run.needs if ends[name]]:
        why = f"{lacking[0]}, which it needs, has no result"
    elif error := run.fault(folder):
        why = error
    else:
        why = ""
        name = run.name.replace("/", "~")
        for _ in Claims(folder).work([name], lambda keys: list(keys) if run.missing(folder) else []):
            tell(f"{run.name}: ip2p {run.job} {' '.join(run.overrides)}")
            why = _do(run, folder, apart)
    if why:
        tell(f"{run.name}: NO RESULT: {why}")
    return why


def _do(run: Run, folder: Path, apart: bool) -> str:
    """Do one run; returns why it failed, or ""."""
    words = [*run.words(folder), *_going_on(run, folder)]
    run.begin(folder)
    begun = time.perf_counter()
    try:
        if apart:
            _apart(run, folder, words)
        else:
            _here(run, folder, words)
    except Exception as error:  # whatever it is, the other runs go on, and the gap is shown
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        run.fail(folder, why)
        return why
    run.end(folder, seconds=round(time.perf_counter() - begun, 1))
    return ""


def _going_on(run: Run, folder: Path) -> list[str]:
    """The override with which an interrupted training goes on; a folder of other settings is moved out of the way."""
    place = folder / run.name
    if not place.exists():
        return []
    record = read_record(place)
    if record is not None and not changed(record["settings"], run.settings(folder)) and "files" not in record:
        return [f"ckpt={place / _CHECKPOINT}"] if run.job == "train" and (place / _CHECKPOINT).is_file() else []
    number = 1
    while (aside := place.with_name(f"{place.name}~{number}")).exists():
        number += 1
    place.rename(aside)
    return []


def _here(run: Run, folder: Path, words: Sequence[str]) -> None:
    job = importlib.import_module(f"ip2p_lightning.jobs.{run.job}")
    with (folder / run.name / LOG).open("w", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        job.run(compose(run.job, words))


def _apart(run: Run, folder: Path, words: Sequence[str]) -> None:
    place = folder / run.name
    command = [sys.executable, "-m", "ip2p_lightning", run.job, *words, f"hydra.run.dir={place}"]
    with (place / LOG).open("w", encoding="utf-8") as log:
        ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ, check=False)
    if ended.returncode:
        last = (place / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RuntimeError(f"{last[-1] if last else 'no output'} (exit code {ended.returncode}, see {place / LOG})")
