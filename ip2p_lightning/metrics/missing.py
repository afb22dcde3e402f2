"""Handling of pairs that lack what a metric needs: an error, or a gap that the user asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ip2p_lightning.data.pair import PairBatch

Missing = Literal["error", "gap"]
_NAMED = 3


def gaps(present: Sequence[object], pairs: PairBatch, *, metric: str, what: str, missing: Missing) -> Tensor:
    """0 where a pair has what a metric needs and NaN where it lacks it, float32 [B]: added to values, it makes gaps.

    Args:
        present: B things; what is false is missing.
        pairs: the batch.
        metric: label of the metric.
        what: name of the thing ("edited caption").
        missing: "error" to refuse pairs that lack it, "gap" to leave them out of the figure.

    Raises:
        ValueError: something is missing and may not be; names pairs, metric and what to do.
    """
    lacking = [id for id, value in zip(pairs.id, present, strict=True) if not value]
    if lacking and missing == "error":
        names = ", ".join(repr(id) for id in lacking[:_NAMED])
        more = f" and {len(lacking) - _NAMED} more of the batch" if len(lacking) > _NAMED else ""
        raise ValueError(
            f"{metric} needs each pair's {what}, which {names}{more} lack{'s' if len(lacking) == 1 else ''}: leave "
            "this metric out, choose pairs that have it, or set missing=gap to leave such pairs out of its figure"
        )
    return torch.tensor([0.0 if value else torch.nan for value in present], device=pairs.original_image.device)


def check_missing(missing: str) -> Missing:
    """The setting, if it is one of the two.

    Raises:
        ValueError: it is not.
    """
    if missing == "error" or missing == "gap":
        return missing
    raise ValueError(f"missing={missing!r}: choose error (refuse pairs without what is needed) or gap (leave them out)")
