"""The models that a job measures: one, or several in one table and figure."""

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
    given = plain(checkpoint)
    if not isinstance(given, list):
        return {OURS: given}
    if not given or len(set(given)) < len(given):
        raise ValueError(f"checkpoint={given}: give at least one model, and none of them twice")
    return {OURS: given[0]} if len(given) == 1 else dict(zip(short_names(given), given, strict=True))
