"""The `ip2p` command: finds the job, lets Hydra compose its configuration, and turns errors into one screen.

Nothing heavy is imported before a job is known, so that help and completion answer at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ip2p_lightning.untrusted import printable

if TYPE_CHECKING:
    from omegaconf import DictConfig

_VALUE_FLAGS = {"--cfg", "-c", "--package", "-p", "--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"}
_FLAGS = {"--multirun", "-m", "--run", "-r", "--resolve", "--info", "-i", "--experimental-rerun", "--hydra-help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `ip2p` with `arguments` (default: the command line's).

    Returns:
        The exit code: 0, or 2 after an error that the message tells how to correct.
    """
    from ip2p_lightning.jobs import guide

    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--complete"]:
        from ip2p_lightning.jobs import completion

        return completion.answer()
    if words[:1] == ["completion"]:
        from ip2p_lightning.jobs import completion

        return completion.script(words[1:])
    if words == ["--version"]:
        from ip2p_lightning import __version__

        print(f"ip2p {__version__}")
        return 0
    if not words or words[0] in {"-h", "--help", "help"}:
        return _show(guide.overview())
    if words[0] not in guide.JOBS:
        print(guide.unknown_job(words[0]), file=sys.stderr)
        return 2
    job, rest = words[0], words[1:]
    if {"-h", "--help"} & set(rest):
        return _show(guide.job_help(job, rest))
    return run_job(job, rest)


def _show(text: str) -> int:
    """Print help; a reader such as `head` may close the pipe before its end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _reader_left()
    return 0


def _reader_left() -> bool:
    """True if no one reads what is printed any more; it then goes nowhere, else Python fails again when it ends."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def run_job(job: str, words: Sequence[str]) -> int:
    """Hand `words` to Hydra for `job`; errors that the user can correct end in a message and exit code 2."""
    from ip2p_lightning.jobs import messages

    overrides = [word for word in words if word != "--debug"]
    debug = "--debug" in words or os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        job, overrides = with_command(job, overrides)
        _hydra(job, overrides)
        sys.stdout.flush()
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            return 141  # as a shell says of a program that wrote to a pipe without a reader
        if debug:
            raise
        message = messages.explain(error, job, overrides)
        if message is None:
            raise
        print(f"ip2p {job}: {printable(message)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if debug:
            raise
        print(f"ip2p {job}: interrupted; files that are there are whole", file=sys.stderr)
        return 130
    return 0


def with_command(job: str, words: list[str]) -> tuple[str, list[str]]:
    """The job with the word after it, where the job has several commands: "data render", and the remaining words.

    Raises:
        ValueError: the word is none of the commands.
    """
    from ip2p_lightning.jobs.guide import JOBS

    commands = JOBS[job].commands
    if not commands:
        return job, words
    if words and words[0] in commands:
        return f"{job} {words[0]}", words[1:]
    got = f"not {words[0]!r}" if words and "=" not in words[0] else "which is missing"
    raise ValueError(f"the word after `ip2p {job}` must be one of {', '.join(commands)}, {got}")


def _split(job: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and the overrides: its parser wants all overrides in one row.

    Raises:
        ValueError: a flag that is none of Hydra's, as in other programs: keys have no dashes here.
    """
    from ip2p_lightning.schema import as_written

    multirun = bool({"-m", "--multirun"} & set(words))
    flags: list[str] = []
    values: list[str] = []
    for place, word in enumerate(words):
        before, after = words[place - 1] if place else "", [*words, ""][place + 1]
        name, equals, value = word.partition("=")
        if before in _VALUE_FLAGS or name in _VALUE_FLAGS | _FLAGS:
            flags.append(word)
        elif word.startswith("-"):
            key = name.lstrip("-").replace("-", "_")
            raise ValueError(f"{name}: keys have no dashes here; write {key}={value if equals else after or '...'}")
        else:
            values.append(as_written(job, word, multirun))
    return flags, values


class SweepError(ValueError):
    """Jobs of a sweep failed; the message has a line for each."""


def _end_of_sweep() -> str | None:
    """Show the table of a sweep that has ended.

    Returns:
        The errors of its failed jobs; None where there are none, or was no sweep.
    """
    sweep = sys.modules.get("ip2p_lightning.jobs.sweep")  # Hydra has imported it, if there was one
    return sweep.close_sweep(sweep.folders.pop()) if sweep is not None and sweep.folders else None


def _hydra(job: str, overrides: Sequence[str]) -> None:
    """Compose and run a job ("train", "data render").

    Hydra reads `sys.argv`; the job sees the real one, with which DDP starts its ranks.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from ip2p_lightning.config import config_dir, config_name
    from ip2p_lightning.jobs.checks import check

    real, name = list(sys.argv), job.partition(" ")[0]
    failures: list[Exception] = []

    def task(config: DictConfig) -> object:
        sys.argv = real
        try:
            check(job, config)
            run: Callable[[DictConfig], object] = importlib.import_module(f"ip2p_lightning.jobs.{name}").run
            return run(config)
        except Exception as error:
            if HydraConfig.get().mode is not RunMode.RUN:
                from ip2p_lightning.jobs.sweep import note_failure

                note_failure(error, job, overrides)
                raise  # Hydra raises the first one when all jobs have ended
            failures.append(error)  # Hydra would print a line of its own before it raises
            return None

    flags, values = _split(job, overrides)
    before = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and exiting, so that we can explain
    sys.argv = [real[0], *flags, f"hydra.job.name={name}", *values]
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name(job))(task)()
    except Exception:
        if report := _end_of_sweep():
            raise SweepError(report) from None
        raise
    finally:
        sys.argv = real
        os.environ["HYDRA_FULL_ERROR"] = before
    _end_of_sweep()
    if failures:
        raise failures[0]
