"""Which pairs of the data a job looks at."""

from __future__ import annotations

from collections.abc import Mapping

from ip2p_lightning.data.sources import PairSource


def pairs_of(sources: Mapping[str, PairSource], split: str) -> PairSource:
    """The pairs of a split.

    Args:
        sources: by split, as `PairDataModule.sources` gives them.
        split: "train", "validation" or "test".

    Raises:
        ValueError: a split that the data does not have.
    """
    if split not in sources:
        raise ValueError(f"the data has no {split} pairs, only {', '.join(sources)}; choose split=... among these")
    return sources[split]
