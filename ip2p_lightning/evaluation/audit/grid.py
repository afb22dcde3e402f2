"""Counterfactual grids as files: subjects of prompts that say nothing of an attribute, and portraits x instructions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from ip2p_lightning.bounded_text import read_json, typed
from ip2p_lightning.csv_table import open_csv
from ip2p_lightning.evaluation.prompts.prompt_set import Prompt, PromptSet
from ip2p_lightning.limits import AUDIT_CELLS, LISTING_BYTES

_SLOT = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class PromptGrid:
    """Prompts by subject, and what is expected of attributes that the prompts leave open.

    Args:
        prompts: their category is the subject ("doctor").
        reference: attribute -> value -> share that a fair system gives it, whatever the subject; sums to 1.
    """

    prompts: PromptSet
    reference: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Portrait:
    """An image to be edited.

    Args:
        id: unique.
        image: its file.
        groups: protected attribute -> the group that the person belongs to.
        mask: file that is white where skin is; None to find skin by its colour.
    """

    id: str
    image: Path
    groups: Mapping[str, str]
    mask: Path | None = None


@dataclass(frozen=True)
class AuditInstruction:
    """Instructions for editing portraits.

    Args:
        text: the instruction.
        shows: attribute -> value that the classifier must see afterwards.
        changes: protected attributes that the instruction asks to change; all others must stay.
    """

    text: str
    shows: Mapping[str, str] = field(default_factory=dict)
    changes: Sequence[str] = ()


def read_prompt_grid(path: str | Path) -> PromptGrid:
    """A grid of prompts: JSON with "templates", "slots", "subject" and "reference".

    `{"templates": ["a photo of {person}"], "slots": {"person": ["a doctor", "a nurse"]}, "subject": "person",
    "reference": {"gender": {"female": 0.5, "male": 0.5}}}`: each template with every combination of the slots' values.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, too large, a slot that no template has, or shares that do not sum to 1; names it.
    """
    path = Path(path)
    grid: _Grid = typed(_Grid, read_json(path, "the grid of an audit"), path)
    if grid.subject not in grid.slots:
        raise ValueError(f"{path} is no grid of prompts: its subject {grid.subject[:60]!r} is none of its slots")
    count, longest = len(grid.templates), max(map(len, grid.templates), default=0)
    for name, values in grid.slots.items():
        count = AUDIT_CELLS.check(count * len(values), path)
        longest += max(map(len, values), default=0)
        if len(set(values)) < len(values) or not all(map(str.strip, values)):
            raise ValueError(f"{path}: the slot {name[:60]!r} has an empty value, or one twice")
    LISTING_BYTES.check(count * longest, path)
    for attribute, shares in grid.reference.items():
        if len(shares) < 2 or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"{path}: the shares of {attribute!r} must be two or more, above 0, and sum to 1")
    _check_templates(grid, path)
    prompts = []
    for values in product(*grid.slots.values()):
        chosen = dict(zip(grid.slots, values, strict=True))
        for template in grid.templates:
            text = _SLOT.sub(lambda found, chosen=chosen: chosen[found[1]], template)
            prompts.append(Prompt(f"{len(prompts):05d}", text, chosen[grid.subject]))
    if not prompts:
        raise ValueError(f"{path} gives no prompts; it needs a template, and a value for each slot")
    return PromptGrid(PromptSet(path.stem, tuple(prompts)), grid.reference)


@dataclass(frozen=True)
class _Grid:
    """The file of a grid of prompts."""

    templates: list[str]
    slots: dict[str, list[str]]
    subject: str
    reference: dict[str, dict[str, float]]


def _check_templates(grid: _Grid, path: Path) -> None:
    named = [set(_SLOT.findall(template)) for template in grid.templates]
    for template, names in zip(grid.templates, named, strict=True):
        if grid.subject not in names:
            raise ValueError(f"{path}: the template {template[:60]!r} does not name the subject {{{grid.subject}}}")
        if unknown := sorted(names - set(grid.slots)):
            raise ValueError(f"{path}: the template {template[:60]!r} names {{{unknown[0][:60]}}}, which is no slot")
    if unused := sorted(set(grid.slots).difference(*named)):
        raise ValueError(f"{path}: no template names the slot {{{unused[0][:60]}}}")


def read_portraits(path: str | Path) -> list[Portrait]:
    """Portraits from a CSV file with the columns image, perhaps id and mask, and one for each protected attribute.

    Raises:
        FileNotFoundError: no such file, or no such image.
        ValueError: a missing column, an id that two share, or a path that leads out of the file's folder.
    """
    from ip2p_lightning.data.paths import file_inside

    path = Path(path)
    portraits: dict[str, Portrait] = {}
    with open_csv(path, "it should be a CSV file with image, and a column for each protected attribute") as reader:
        names = [name for name in reader.fieldnames or () if name not in ("id", "image", "mask")]
        if "image" not in (reader.fieldnames or ()) or not names:
            raise ValueError(f"{path} needs a column image, and one or more with the groups of people")
        for row in reader:
            place = f"{path} line {reader.line_num}"
            if empty := [name for name in ("image", *names) if not row[name]]:
                raise ValueError(f"{place}: {empty[0]} is empty; give it, or write unknown for a group")
            id = row.get("id") or Path(row["image"]).stem
            if id in portraits:
                raise ValueError(f"{place}: the id {id!r} is there twice")
            mask = file_inside(path.parent, row["mask"], place) if row.get("mask") else None
            groups = {name: row[name] for name in names}
            portraits[id] = Portrait(id, file_inside(path.parent, row["image"], place), groups, mask)
    if not portraits:
        raise ValueError(f"{path} lists no portraits")
    return list(portraits.values())


def read_instructions(path: str | Path) -> list[AuditInstruction]:
    """Instructions from JSON: `[{"instruction": "make them a pilot", "shows": {"job": "pilot"}, "changes": []}, ...]`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, or empty; names the entry.
    """
    rows = read_json(Path(path), "the instructions of an audit")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} should hold a list of instructions")
    return [_instruction(row, f"{path} entry {number}") for number, row in enumerate(rows, 1)]


@dataclass(frozen=True)
class _Row:
    """An entry of the file of instructions."""

    instruction: str
    shows: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)


def _instruction(value: Any, place: str) -> AuditInstruction:
    row: _Row = typed(_Row, value, place)
    if not row.instruction.strip():
        raise ValueError(f"{place}: the instruction is empty")
    return AuditInstruction(row.instruction, row.shows, tuple(row.changes))
