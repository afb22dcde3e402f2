"""Metric columns of results written by version 0.1.0, in today's names; to be dropped after one release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

OLD_NAMES = {
    "brought_about": "edit_success",
    "nearer": "closer_than_input",
    "halved": "error_halved",
    "copied": "copy_rate",
}
"""Old name of a metric -> its name."""
_COLUMN = re.compile(rf"(.*/|copying_|truth_|)({'|'.join(OLD_NAMES)})(_low|_high|)")
V = TypeVar("V")


def current_name(name: str) -> str:
    """Today's name of a column or figure: "copying_nearer" is "copying_closer_than_input" now."""
    if not (found := _COLUMN.fullmatch(name)):
        return name
    prefix, metric, suffix = found.groups()
    return f"{prefix}{OLD_NAMES[metric]}{suffix}"


def current_names(values: Mapping[str, V]) -> dict[str, V]:
    """The mapping with its keys in today's names, in the same order."""
    return {current_name(name): value for name, value in values.items()}
