"""Comparison of settings: what was made under some may be used under the same alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ip2p_lightning.bounded_text import read_json
from ip2p_lightning.files import write_whole

ABSENT: Any = ...
"""Stands for the value of a key that is not there."""


def differences(before: Any, now: Any, *, absent: Any = ABSENT) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> both values, for each key at which two settings differ.

    Where a part is of another class (`_target_`), its arguments say nothing, and the class alone is named.

    Args:
        before: plain values (dicts, lists, scalars).
        now: the same.
        absent: value of a key that one of them does not have; None where a key may be left out for null.
    """
    return _differences(before, now, "", absent)


def _differences(before: Any, now: Any, key: str, absent: Any) -> dict[str, tuple[Any, Any]]:
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return {} if before == now else {key: (before, now)}
    names = dict.fromkeys([*before, *now])
    if before.get("_target_") != now.get("_target_"):
        names = ["_target_"]
    found: dict[str, tuple[Any, Any]] = {}
    for name in names:
        inner = f"{key}.{name}" if key else str(name)
        found |= _differences(before.get(name, absent), now.get(name, absent), inner, absent)
    return found


def keep_settings(file: Path, settings: Mapping[str, Any], replace: bool = False) -> dict[str, tuple[Any, Any]]:
    """Keep settings in a JSON file, or compare them with those that are kept there.

    Args:
        file: written if it is not there.
        settings: JSON values.
        replace: write the file also where it holds others.

    Returns:
        How those that are kept differ; empty if they do not.

    Raises:
        ValueError: the file cannot be read; names it.
    """
    wanted = json.loads(json.dumps(settings))
    if file.is_file():
        try:
            found = differences(read_json(file, "settings", not_a_number="keep"), wanted)
        except ValueError as error:
            raise ValueError(f"{file} is damaged ({error}); remove its folder to begin again") from error
        if not found or not replace:
            return found
    write_whole(file, json.dumps(wanted, indent=2) + "\n", shared=True)
    return {}
