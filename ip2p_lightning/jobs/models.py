"""The models or runs that a job measures: one, or several in one table and figure."""

from __future__ import annotations

from collections.abc import Sequence

from ip2p_lightning.config import plain
from ip2p_lightning.formatting import short_names

OURS = "ours"


def models_of(checkpoint: str | Sequence[str]) -> dict[str, str]:
    """Name -> checkpoint: "ours" for a single one, and as much of each path as tells several apart.

    Args:
        checkpoint: the value of `checkpoint=`, one or a list.

    Raises:
        ValueError: an empty list, or one twice.
    """
    given = _listed("checkpoint", checkpoint)
    return {OURS: given[0]} if len(given) == 1 else dict(zip(short_names(given), given, strict=True))


def runs_of(run: str | Sequence[str]) -> dict[str, str]:
    """Name -> run folder: the folder's own name for a single one, and as much of each path as distinguishes several.

    Args:
        run: the value of `run=`, one or a list.

    Raises:
        ValueError: an empty list, or one twice.
    """
    given = _listed("run", run)
    return dict(zip(short_names(given), given, strict=True))


def _listed(key: str, value: str | Sequence[str]) -> list[str]:
    given = plain(value)
    given = [given] if isinstance(given, str) else given
    if not given or len({path.rstrip("/") for path in given}) < len(given):
        raise ValueError(f"{key}={given}: give at least one, and none of them twice")
    return given
