"""Descriptions in the configuration tree's files: a headline of each file, and a comment on each of its keys.

The comment of a key is what follows `#` on the line where the key begins; the headline of a file is the first sentence
of the comment that the file begins with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from ip2p_lightning.config import config_dir, config_name


class Key(NamedTuple):
    """A key of a YAML file: its dotted name, its value as it is written ("" for a mapping), and its comment."""

    name: str
    value: str
    comment: str


def options(group: str) -> list[str]:
    """The options of a config group; none for what is no group."""
    root = config_dir() / group
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def headlines(group: str) -> dict[str, str]:
    """Option -> headline, of a config group."""
    return {option: headline(config_dir() / group / f"{option}.yaml") for option in options(group)}


def headline(path: Path) -> str:
    """The first sentence of the comment that a file begins with; indented commands after it do not belong to it."""
    words: list[str] = []
    for line in _text(path).splitlines():
        if not line.startswith("#") or (words and line.startswith("#  ")):
            break
        words += [] if "@package" in line else line[1:].split()
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z(\[])", " ".join(words))[0]
    return re.sub(r":$", ".", sentence)


def keys(path: Path) -> list[Key]:
    """Every key of a file with its value, inner ones by their dotted names; all but `defaults` and `_target_`."""
    text = _text(path)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return list(_below(root, "", text)) if isinstance(root, yaml.MappingNode) else []


def groups(job: str, chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Config group -> comment, as the defaults list of a job names them, in its order; after a method, its parts.

    Args:
        job: with its command if it has any: "data render".
        chosen: group -> option in place of the default, such as {"method": "codec"}.
    """
    found: dict[str, str] = {}
    _collect(config_dir() / f"{config_name(job)}.yaml", chosen or {}, found)
    return found


def _collect(path: Path, chosen: Mapping[str, str], found: dict[str, str]) -> None:
    text = _text(path)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for name, value in root.value if isinstance(root, yaml.MappingNode) else ():
        for entry in value.value if name.value == "defaults" else ():
            if isinstance(entry, yaml.MappingNode):
                key, option = entry.value[0]
                group = key.value.split()[-1].lstrip("/").split("@")[0]
                if (config_dir() / group).is_dir() and not group.startswith("hydra"):
                    found.setdefault(group, _comment(text, key))
                if group == "method":
                    _collect(config_dir() / group / f"{chosen.get(group, option.value)}.yaml", chosen, found)


def _below(node: yaml.MappingNode, path: str, text: str) -> Iterator[Key]:
    for key, value in node.value:
        name = f"{path}.{key.value}" if path else str(key.value)
        if key.value in ("defaults", "_target_"):
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            yield Key(name, "", _comment(text, key))
            yield from _below(value, name, text)
        elif not (isinstance(value, yaml.SequenceNode) and not value.flow_style):
            yield Key(name, text[value.start_mark.index : value.end_mark.index].strip(), _comment(text, key, value))


def _comment(text: str, key: yaml.Node, value: yaml.Node | None = None) -> str:
    """Comment on the line of a key, after its value if that ends there."""
    line = text.splitlines()[key.start_mark.line]
    ends_there = value is not None and value.end_mark.line == key.start_mark.line
    after = line[value.end_mark.column if ends_there and value else key.end_mark.column :]
    return after.partition(" #")[2].strip()


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
