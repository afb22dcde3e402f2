"""Numbers that a configuration states for networks and noise schedules, checked before a library believes them.

`budget` watches what is allocated; this is for what a library does before that: lists of so many layers or labels,
schedules of so many steps, images of such a side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ip2p_lightning.config.arguments import shown
from ip2p_lightning.limits import COUNTS, SIDES, TIMESTEPS, Limit

_RULES: tuple[tuple[re.Pattern[str], Limit, int], ...] = (
    (re.compile(r"(num_train_)?timesteps|num_(train|inference)_steps"), TIMESTEPS, 1),
    (re.compile(r"sample_size|image_size|pos_embed_max_size"), SIDES, 1),
    (re.compile(r"num_labels|(?!.*feature)\w*(layers|blocks|heads|head_dim|groups|experts)(_per_\w+)?"), COUNTS, 0),
)
"""Names of keys, the limit of their numbers, and the least that makes sense."""
_RANGES = {"scaling_factor": (1e-6, 1e6), "shift_factor": (-1e6, 1e6), "beta_start": (0, 1), "beta_end": (0, 1)}
"""Numbers that we, or a schedule, calculate with; beyond these results are NaN."""
_LISTS = {"trained_betas": TIMESTEPS}
"""Lists of which each entry is a step."""


class SizeError(ValueError):
    """A configuration that states a size which is none; the message names the key."""


def check_sizes(config: Any, origin: object) -> None:
    """Check the sizes anywhere in a configuration.

    Args:
        config: mappings and lists of plain values, of bounded depth.
        origin: names the file, for messages.

    Raises:
        LimitError: a size beyond its limit; names the key.
        SizeError: a negative count, a side that is no number, or a factor beyond its range.
    """
    if isinstance(config, list | tuple):
        for value in config:
            check_sizes(value, origin)
    if not isinstance(config, Mapping):
        return
    for key, value in config.items():
        if isinstance(value, Mapping):
            check_sizes(value, origin)
            continue
        if key in _LISTS and isinstance(value, list | tuple):
            _LISTS[key].check(len(value), f"{origin}: {key}")
        if key in _RANGES:
            _check_range(key, value, origin)
        limit, least = next(((limit, least) for rule, limit, least in _RULES if rule.fullmatch(str(key))), (None, 0))
        if limit is None:
            check_sizes(value, origin)
            continue
        for number in value if isinstance(value, list | tuple) else [value]:
            _check(key, number, limit, least, origin)


def _check_range(key: str, value: Any, origin: object) -> None:
    least, most = _RANGES[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and least <= value <= most):
        raise SizeError(f"{origin}: {key} is {shown(value, 40)}, not a number between {least:g} and {most:g}")


def _check(key: str, value: Any, limit: Limit, least: int, origin: object) -> None:
    """One number; what is none is the library's business, but for sides, which we use ourselves."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if (number and not value >= least) or (limit is SIDES and not number and value is not None):
        raise SizeError(f"{origin}: {key} is {shown(value, 40)}, not a number of at least {least}")
    if number:
        limit.check(int(min(value, 2**63)), f"{origin}: {key}")  # type: ignore[type-var]
