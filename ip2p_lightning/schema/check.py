"""Checking a composed configuration against the table of keys and the constructors' types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ip2p_lightning.schema.keys import kind_of
from ip2p_lightning.schema.kinds import allows, describe
from ip2p_lightning.schema.signatures import arguments

_REFERENCE = re.compile(r"\$\{(oc\.select:)?[\w.,]+\}")


def check(job: str, config: DictConfig) -> None:
    """Check types and ranges of every value that is known already; nothing is imported or opened.

    Args:
        job: name of the job, with its command if it has any.
        config: composed; keys without a value and interpolations that cannot be resolved yet are passed over.

    Raises:
        ValueError: a line for each value that is not allowed: its key, the value, and what is allowed.
    """
    wrong: dict[str, str] = {}
    for key, value, annotated in values(config):
        for kind in (kind_of(job, key), annotated):
            if kind is not None and not allows(kind, value):
                wrong.setdefault(key, f"{key}={shown(value)} must be {describe(kind)}")
    if wrong:
        raise ValueError("\n".join(wrong.values()))


def shown(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def values(node: DictConfig | ListConfig, path: str = "") -> Iterator[tuple[str, Any, Any | None]]:
    """(dotted key, plain value, type of the argument or None) of everything below a node that has a value."""
    types: Mapping[str, Any] = {}
    if isinstance(node, DictConfig):
        target = node.get("_target_") if "_target_" in node else None
        types = arguments(target) if isinstance(target, str) else {}
    names = list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    for name in names:
        key = f"{path}.{name}" if path else str(name)
        if str(name).startswith("_") or key == "hydra":
            continue
        try:
            if OmegaConf.is_missing(node, name):  # type: ignore[arg-type]
                continue
            value = node[name]  # type: ignore[index]
        except OmegaConfBaseException:  # an interpolation into what only a run knows
            continue
        written = str(node._get_node(name)._value())  # type: ignore[union-attr, arg-type]
        if _REFERENCE.fullmatch(written) or ("${" in written and value is None):
            continue  # checked where it stands, or known later
        if isinstance(value, DictConfig | ListConfig):
            whole = _plain(value)
            if whole is not None and not _has_parts(whole):
                yield key, whole, types.get(str(name))
            yield from values(value, key)
        else:
            yield key, value, types.get(str(name))


def _plain(value: DictConfig | ListConfig) -> Any:
    try:
        return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException:
        return None


def _has_parts(value: Any) -> bool:
    """True if something in it will be built: then its type is not the argument's."""
    if isinstance(value, dict):
        return "_target_" in value or any(map(_has_parts, value.values()))
    return isinstance(value, list) and any(map(_has_parts, value))
