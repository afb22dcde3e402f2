"""The doctor finds what was planted, all of it, and leaves honest pairs alone."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ip2p_lightning.data.doctor.examination import Examination, examine
from ip2p_lightning.data.encoded import EncodedPair
from tests.data.doctor.planting import InMemory, encoded, honest, photographs, planted

MOST_FALSE = 0.02
"""Share of untouched pairs that may be found fault with."""


def found(pairs: list[EncodedPair], **options: object) -> Examination:
    return examine(InMemory(pairs), **{"resolution": 64, "alignment": False} | options)  # type: ignore[arg-type]


def kinds(examination: Examination) -> list[tuple[str, str]]:
    return [(finding.id, finding.kind) for finding in examination.findings]


@pytest.mark.slow
def test_forty_of_forty_planted_faults_are_found_and_hardly_anything_else():
    pairs, faults = planted(honest(104))
    examination = found(pairs, resolution=192, alignment=True)
    assert len(faults) == 40
    missed = {id: kind for id, kind in faults.items() if (id, kind) not in kinds(examination)}
    assert missed == {}
    false = [finding for finding in examination.findings if finding.id not in faults]
    assert len(false) <= MOST_FALSE * (len(pairs) - len(faults)), false


@pytest.fixture(scope="module")
def pairs() -> list[EncodedPair]:
    """Sixteen honest pairs."""
    return honest(16)


def test_nothing_is_found_in_honest_pairs(pairs: list[EncodedPair]):
    assert found(pairs).findings == []


def test_swaps_that_other_pairs_give_away(pairs: list[EncodedPair]):
    shared = pairs[0].original_image
    others = [replace(pair, original_image=shared, instruction=f"paint thing {n}") for n, pair in enumerate(pairs[1:4])]
    turned = replace(others[0], original_image=others[0].edited_image, edited_image=shared)
    assert kinds(found([turned, *others[1:], *pairs[5:]])) == [(turned.id, "swapped")]
    chain = [replace(pairs[6], id="next", original_image=pairs[5].edited_image, instruction="paint it")]
    assert kinds(found([*pairs[5:], *chain])) == []  # edits in turns are as they should be
    twins = [
        pairs[5],
        replace(pairs[5], id="twin", original_image=pairs[5].edited_image, edited_image=pairs[5].original_image),
    ]
    assert ("twin", "swapped") in kinds(found([*twins, *pairs[6:]]))


def test_swaps_that_the_files_give_away(pairs: list[EncodedPair]):
    images, rows = photographs(), []
    for n in range(8):
        one, other = (images[(n + side) % 6].resize((96, 64 + n)) for side in (0, 1))
        rows.append(EncodedPair(f"p{n}", encoded(one), encoded(other, "PNG"), f"edit {n}"))
    rows[3] = replace(rows[3], original_image=rows[3].edited_image, edited_image=rows[3].original_image)
    assert ("p3", "swapped") in kinds(found(rows))
    assert len([kind for _, kind in kinds(found(rows)) if kind == "swapped"]) == 1


def test_texts_beside_one_another(pairs: list[EncodedPair]):
    same = [replace(pair, instruction="Paint a hat.") for pair in pairs]
    assert ("", "text") in kinds(found(same))
    own = [replace(pair, instruction=f"paint thing number {n}") for n, pair in enumerate(pairs)]
    own[9] = replace(own[9], instruction="Paint thing number 4")
    assert kinds(found(own)) == [(own[9].id, "text")]
    long = [replace(pairs[0], instruction="paint " * 70), *pairs[1:]]
    assert "cut the end off" in found(long).findings[0].detail


NO_INSTRUCTIONS = (
    " ", "Okay, let me edit this", "<think>", "[INST] do", "N/A", "**Make it red**", '{"edit": "red"}', "Prompt: red",
    "...", "12", "see https://x.org", "<b>red</b>", "caf\ufffd",
)  # fmt: skip
STRANGE = (
    "make it look like here and now", "remove the sign that says TEST", "Sure-footed goats instead of sheep",
    "turn a -> b", "what if it were 1920?", "mach es größer", "把天空变成红色", "let him cry “I can”",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_INSTRUCTIONS)
def test_texts_that_are_no_instructions(text: str, pairs: list[EncodedPair]):
    assert kinds(found([replace(pairs[0], instruction=text), *pairs[1:]])) == [(pairs[0].id, "text")]


@pytest.mark.parametrize("text", STRANGE)
def test_texts_that_only_look_strange(text: str, pairs: list[EncodedPair]):
    assert kinds(found([replace(pairs[6], instruction=text), *pairs[7:]])) == []


def test_what_training_does_and_the_report(pairs: list[EncodedPair], tmp_path: Path):
    bad = replace(pairs[0], id="=bad", instruction="nan")
    examination = found([bad, *pairs[1:]], resolution=200, fit="centre_crop")
    assert examination.counts == {"text": 1, "small": 16}
    assert set(examination.treatments.values()) == {"loses 25 % of its width, enlarged 1 times"}
    folder = examination.save(tmp_path / "report")
    with (folder / "findings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["id"] == "'=bad"
    assert json.loads((folder / "report.json").read_text())["counts"] == examination.counts
    assert len((folder / "pairs.csv").read_text().splitlines()) == 17
    assert set(found(pairs, resolution=96).treatments.values()) == {"squashed 1.33:1 to 1:1, reduced to 50 %"}


def test_loader_processes_find_the_same(pairs: list[EncodedPair]):
    spoilt = [replace(pairs[0], instruction=""), replace(pairs[1], edited_image=pairs[1].original_image), *pairs[2:]]
    assert found(spoilt, workers=2) == found(spoilt)
