"""Lightning's CSV logger, for runs that go on: the log of an interrupted attempt is kept."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only


class KeptCSVLogger(CSVLogger):
    """Write `save_dir/version/metrics.csv`; a file of that name, which Lightning would delete, gets a number.

    Args:
        save_dir: the run folder.
        version: name of the folder in it; those of earlier attempts are called `version`-00, -01, ...
    """

    def __init__(self, save_dir: str | Path, version: str = "metrics") -> None:
        super().__init__(save_dir, name=None, version=version)  # type: ignore[arg-type]
        _keep(Path(save_dir), version)


@rank_zero_only
def _keep(run: Path, version: str) -> None:
    if (run / version / "metrics.csv").is_file():
        number = len(list(run.glob(f"{version}-*")))
        (run / version).rename(run / f"{version}-{number:02d}")
