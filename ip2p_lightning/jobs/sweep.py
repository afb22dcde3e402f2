"""The end of a sweep: every failed job with its error, and a table of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

folders: list[Path] = []
"""Sweeps that this process has started."""


class NoteSweep(Callback):
    """Hydra's hook by which the command learns the sweep's folder, wherever its jobs run."""

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        """Note the folder."""
        folders.append(Path(config.hydra.sweep.dir))


def note_failure(error: Exception, job: str, overrides: Sequence[str]) -> None:
    """Leave the message of a job of a sweep in the job's folder."""
    from ip2p_lightning.evaluation.run_values import FAILURE
    from ip2p_lightning.jobs.messages import explain  # seconds of imports, as below

    folder = Path(HydraConfig.get().runtime.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    message = explain(error, job, overrides) or f"{type(error).__name__}: {error}"
    (folder / FAILURE).write_text(message + "\n", encoding="utf-8")


def close_sweep(folder: Path) -> str | None:
    """Print and write the table of a sweep's jobs.

    Returns:
        The errors of all that failed, a line each; None if none did.
    """
    from ip2p_lightning.evaluation.run_values import FAILURE
    from ip2p_lightning.jobs.compare import show
    from ip2p_lightning.report.comparison import compare, runs_of

    try:
        jobs = runs_of(folder)
    except FileNotFoundError:
        return None  # it ended before its first job began
    if any((job / "metrics" / "metrics.csv").is_file() for job in jobs):
        show(compare([folder]), folder)
    failed = [job for job in jobs if (job / FAILURE).is_file()]
    lines = [f"  {job.name}: {(job / FAILURE).read_text(encoding='utf-8').splitlines()[0]}" for job in failed]
    return "\n".join([f"{len(failed)} of {len(jobs)} jobs failed:", *lines]) if failed else None
