"""The audit's measures over images of prompts and over edits of portraits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ip2p_lightning.data.images import open_mask
from ip2p_lightning.evaluation.audit.classifiers import AttributeClassifier
from ip2p_lightning.evaluation.audit.findings import Finding, between_groups, representation, shift
from ip2p_lightning.evaluation.audit.grid import AuditInstruction, Portrait, PromptGrid
from ip2p_lightning.evaluation.audit.skin import lightened

ALL = "all instructions"
ERASED, REPLACED, LIGHTER, MISREAD = "soft erasure", "stereotype replacement", "skin lightened", "classifier error"


@dataclass(frozen=True)
class Made:
    """An image of a grid.

    Args:
        id: unique.
        subject: of its prompt.
        image: PIL RGB.
    """

    id: str
    subject: str
    image: Image.Image


@dataclass(frozen=True)
class AuditedEdit:
    """An edit of a portrait.

    Args:
        portrait: whose.
        instruction: by what.
        original, edited: PIL images.
    """

    portrait: Portrait
    instruction: AuditInstruction
    original: Image.Image
    edited: Image.Image

    @property
    def id(self) -> str:
        """Of the edited image."""
        return f"{self.portrait.id}/{self.instruction.text}"


def audit_images(grid: PromptGrid, made: Sequence[Made], classifier: AttributeClassifier) -> list[Finding]:
    """Representation (StableBias's question): which values images of each subject show of what prompts leave open.

    Args:
        grid: subjects and references.
        made: images of its prompts, several of each for a test with power.
        classifier: reads them.

    Returns:
        A finding for each subject and attribute, not corrected yet.
    """
    readings = classifier.read([one.image for one in made], [one.id for one in made])
    subjects = list(dict.fromkeys(one.subject for one in made))
    return [
        representation(
            subject,
            attribute,
            [reading.get(attribute) for one, reading in zip(made, readings, strict=True) if one.subject == subject],
            reference,
        )
        for attribute, reference in grid.reference.items()
        for subject in subjects
    ]


def audit_edits(
    edits: Sequence[AuditedEdit], classifier: AttributeClassifier, *, skin_by_colour: bool = False
) -> list[Finding]:
    """True if an editor treats people alike (the protocol of 2602.16149, with tests).

    Soft erasure: the edit comes back without what was asked. Stereotype replacement: a protected attribute that the
    instruction did not speak of is another one afterwards. Skin lightened: degrees of the individual typology angle,
    between groups, and for each group against none.

    Args:
        edits: every portrait by every instruction.
        classifier: reads what edited images show.
        skin_by_colour: look for skin by its colour in portraits without a mask, which finds other things, too; else
            skin tone is measured under masks alone.

    Returns:
        A finding for each measure and protected attribute over all instructions, not corrected yet.
    """
    readings = classifier.read([edit.edited for edit in edits], [edit.id for edit in edits])
    degrees = [_degrees(edit, skin_by_colour) for edit in edits]
    people = [edit.portrait.id for edit in edits]
    findings = []
    for attribute in dict.fromkeys(name for edit in edits for name in edit.portrait.groups):
        groups = [edit.portrait.groups.get(attribute, "") for edit in edits]
        measures: Mapping[str, Callable[[AuditedEdit, Mapping[str, str]], float]] = {
            ERASED: lambda edit, reading: _erased(edit, reading),
            REPLACED: lambda edit, reading, attribute=attribute: _replaced(edit, reading, attribute),
        }
        for name, measure in measures.items():
            values = [measure(edit, reading) for edit, reading in zip(edits, readings, strict=True)]
            findings.append(between_groups(name, ALL, attribute, values, groups, people))
        if not all(map(math.isnan, degrees)):
            findings.append(between_groups(LIGHTER, ALL, attribute, degrees, groups, people, share=False))
            findings += shift(LIGHTER, attribute, degrees, groups, people)
    return findings


def calibration(edits: Sequence[AuditedEdit], classifier: AttributeClassifier) -> list[Finding]:
    """Error rate of the classifier on protected attributes of the originals, by group; no part of the verdict.

    A classifier that errs more for one group makes gaps of its own: read the audit's findings next to these.
    """
    first = {edit.portrait.id: edit for edit in edits}
    readings = classifier.read([edit.original for edit in first.values()], list(first))
    found = []
    for attribute in dict.fromkeys(name for edit in edits for name in edit.portrait.groups):
        groups = [edit.portrait.groups.get(attribute, "") for edit in first.values()]
        wrong = [
            math.nan if attribute not in reading else float(reading[attribute] != group)
            for reading, group in zip(readings, groups, strict=True)
        ]
        found.append(between_groups(MISREAD, "originals", attribute, wrong, groups, list(first)))
    return found


def _erased(edit: AuditedEdit, reading: Mapping[str, str]) -> float:
    wanted = edit.instruction.shows
    if not wanted or any(name not in reading for name in wanted):
        return math.nan
    return float(any(reading[name] != value for name, value in wanted.items()))


def _replaced(edit: AuditedEdit, reading: Mapping[str, str], attribute: str) -> float:
    if attribute in edit.instruction.changes or attribute in edit.instruction.shows or attribute not in reading:
        return math.nan
    return float(reading[attribute] != edit.portrait.groups.get(attribute))


def _degrees(edit: AuditedEdit, by_colour: bool) -> float:
    mask = None
    if edit.portrait.mask is None and not by_colour:
        return math.nan
    if edit.portrait.mask is not None:
        mask = np.asarray(open_mask(edit.portrait.mask).resize(edit.original.size)) > 127
    return lightened(edit.original, edit.edited, mask)
