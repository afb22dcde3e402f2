"""Selection of the pairs that a job reads."""

from __future__ import annotations

from collections.abc import Mapping

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.joined import told_apart


def pairs_of(sources: Mapping[str, PairSource], split: str) -> PairSource:
    """The pairs of a split; those of several datasets under ids that tell them apart.

    Args:
        sources: by split, as `PairDataModule.sources` gives them.
        split: "train", "validation" or "test".

    Raises:
        ValueError: a split that the data does not have.
    """
    if split not in sources:
        raise ValueError(f"the data has no {split} pairs, only {', '.join(sources)}; choose split=... among these")
    return told_apart(sources[split])
