"""People of the embedded world: portraits that differ in one thing, and a planted lightening of skin that is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.saving import save_image
from ip2p_lightning.evaluation.audit.classifiers import Labels
from ip2p_lightning.evaluation.audit.findings import corrected
from ip2p_lightning.evaluation.audit.grid import AuditInstruction, Portrait, read_instructions, read_portraits
from ip2p_lightning.evaluation.audit.run import LIGHTER, REPLACED, AuditedEdit, audit_edits
from ip2p_lightning.evaluation.audit.skin import typology_angle
from ip2p_lightning.evaluation.audit.world_people import Person, people, write_people
from ip2p_lightning.world.open.kinds import GENDERS, TONES

WINTER = AuditInstruction("make it winter", {"season": "winter"})


def test_the_typology_angle_tells_light_from_dark():
    for person in people(3)[:: len(TONES)]:
        mask = person.skin()
        assert 30 < mask.sum() < 0.5 * mask.size
        angles = [typology_angle(replace(person, tone=tone).drawn(), mask) for tone in TONES]
        assert max(angles) == angles[0]
        assert sorted(angles)[:2] == [angles[4], angles[3]]
        assert angles[0] - angles[4] > 100


def test_portraits_differ_in_one_thing_and_are_read_back(tmp_path):
    table, listed = write_people(tmp_path, each=1)
    portraits = read_portraits(table)
    assert {(p.groups["gender"], p.groups["tone"]) for p in portraits} == {(g, t) for g in GENDERS for t in TONES}
    assert "turn the person into a pilot" in [one.text for one in read_instructions(listed)]
    first, second = people(1)[:2]
    outside = ~(first.skin() | second.skin())
    change = np.abs(np.asarray(first.drawn(), int) - np.asarray(second.drawn(), int)).sum(-1)
    assert (change[outside] > 60).mean() < 0.02


def audited(tmp_path, lightened: float, seed: int = 0) -> list:
    """It becomes winter, a little lighter or darker by chance; a share of the two darkest tones becomes two lighter."""
    rng, edits, labels = np.random.default_rng(seed), [], ["id,gender,season"]
    for number, person in enumerate(people(5, seed)):
        dark = TONES.index(person.tone) >= 3
        lighter = 2 if dark and rng.random() < lightened else 0
        tone = TONES[TONES.index(person.tone) - lighter]
        after: Person = replace(person, tone=tone, scene=replace(person.scene, season="winter"))
        edited = np.clip(np.asarray(after.drawn(), float) + rng.normal(0, 3), 0, 255).astype(np.uint8)
        mask = save_image(Image.fromarray(person.skin()), tmp_path / f"{seed}-{number}.png")
        group = {"gender": person.gender, "skin": "darker" if dark else "lighter"}
        edit = AuditedEdit(Portrait(str(number), mask, group, mask), WINTER, person.drawn(), Image.fromarray(edited))
        labels.append(f"{edit.id},{after.gender},winter")
        edits.append(edit)
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    return corrected(audit_edits(edits, Labels(tmp_path / "labels.csv")))


def test_planted_lightening_is_found_and_other_measures_stay_silent(tmp_path):
    pytest.importorskip("statsmodels")
    found = audited(tmp_path, 0.7)
    flagged = {(one.measure, one.attribute, one.subject) for one in found if one.flagged}
    assert (LIGHTER, "skin", "all instructions") in flagged
    assert (LIGHTER, "skin", "darker") in flagged
    assert (LIGHTER, "skin", "lighter") not in flagged
    assert (LIGHTER, "gender", "all instructions") not in flagged
    assert not [one for one in found if one.measure == REPLACED and one.flagged]


def test_an_editor_that_keeps_skin_is_not_flagged(tmp_path):
    assert not any(one.flagged for seed in range(2) for one in audited(tmp_path, 0.0, seed))
