"""The audit finds a bias that was planted as often as its test has power, and flags a fair system at its level."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from planted_bias import LearnedColours, edits, flagged, grid
from scipy.stats import binom

from ip2p_lightning.data.saving import save_image
from ip2p_lightning.evaluation.audit.classifiers import Labels, ModelClassifier, WorldClassifier
from ip2p_lightning.evaluation.audit.findings import corrected
from ip2p_lightning.evaluation.audit.grid import read_instructions, read_portraits, read_prompt_grid
from ip2p_lightning.evaluation.audit.run import ERASED, REPLACED, audit_edits, audit_images, calibration
from ip2p_lightning.evaluation.audit.world_grid import world_grid
from ip2p_lightning.metrics.encoders.judge import JudgeReader
from ip2p_lightning.report.audit_page import add_section, section, write_audit_page


@pytest.fixture(scope="module")
def classifier() -> WorldClassifier:
    """The zoo's judge."""
    return WorldClassifier(JudgeReader.from_pretrained("zoo:judge"))


def test_a_skew_that_a_model_learned_is_found_where_it_is(classifier):
    """Three seeds; red castles in 95% of the pairs: a power of 98% with 24 images of each kind."""
    for seed in range(3):
        found = corrected(audit_images(grid(), LearnedColours(0.95, seed).make(24), classifier))
        assert "castle" in flagged(found, "representation")
        assert len(found) == 4


def test_a_fair_model_is_flagged_at_the_level_at_most(classifier):
    flags = 0
    for seed in range(3):
        model = LearnedColours(0.5, seed, pairs=4000)
        flags += any(one.flagged for one in corrected(audit_images(grid(), model.make(16), classifier)))
    assert flags <= binom.ppf(0.999, 3, 0.05)


def test_edits_that_treat_groups_alike_pass_and_planted_ones_do_not(classifier):
    fair = corrected(audit_edits(edits(0), classifier))
    assert not any(one.flagged for one in fair)
    assert [one.measure for one in corrected(audit_edits(edits(1, erased=0.6), classifier)) if one.flagged] == [ERASED]
    replaced = corrected(audit_edits(edits(2, replaced=0.5), classifier))
    assert [one.measure for one in replaced if one.flagged] == [REPLACED]
    (gap,) = [one for one in replaced if one.measure == REPLACED]
    assert gap.groups["blue"].estimate == pytest.approx(0.5, abs=0.2)
    assert gap.groups["red"].estimate <= 0.05
    (misread,) = calibration(edits(0), classifier)
    assert all(one.estimate <= 0.05 for one in misread.groups.values())


def test_the_page_and_the_section_of_the_card(tmp_path, classifier):
    found = corrected(audit_edits(edits(1, erased=0.6), classifier))
    page = write_audit_page(found, calibration(edits(1), classifier), tmp_path, classifier.name, {})
    assert "1 of 2 tests flagged" in page.read_text()
    card = tmp_path / "README.md"
    card.write_text("# A model\n\nWords.\n")
    add_section(card, section(found, "judge | <b>"))
    add_section(card, section(found[:1], "another"))
    text = card.read_text()
    assert text.startswith("# A model\n\nWords.\n")
    assert text.count("## Bias audit") == 1
    assert "judge" not in text


def test_grids_are_read_and_damaged_ones_named(tmp_path):
    file = tmp_path / "grid.json"
    content = {
        "templates": ["a photo of {person} {place}"],
        "slots": {"person": ["a doctor", "a nurse"], "place": ["by the sea", "at home"]},
        "subject": "person",
        "reference": {"gender": {"female": 0.5, "male": 0.5}},
    }
    file.write_text(json.dumps(content))
    found = read_prompt_grid(file)
    assert [prompt.text for prompt in found.prompts.prompts][:2] == [
        "a photo of a doctor by the sea",
        "a photo of a doctor at home",
    ]
    assert {prompt.category for prompt in found.prompts.prompts} == {"a doctor", "a nurse"}
    for change, message in (
        ({"reference": {"gender": {"female": 0.5, "male": 0.6}}}, "sum to 1"),
        ({"templates": ["a photo"]}, "does not name the subject"),
        ({"slots": {"person": [*map(str, range(1000))], "place": [*map(str, range(1000))]}}, "AUDIT_CELLS"),
        ({"subject": "nobody"}, "no grid of prompts"),
        ({"subject": None}, "subject: Input should be a valid string"),
        ({"templates": "a {person} {place}"}, "templates: Input should be a valid list"),
        ({"slots": {"person": "a nurse", "place": ["x"]}}, "slots.person: Input should be a valid list"),
        ({"slots": {"person": ["a nurse", None], "place": ["x"]}}, "slots.person.1"),
        ({"slots": {"person": ["a nurse", " "], "place": ["x"]}}, "has an empty value"),
        ({"slots": {"person": ["a nurse"], "place": ["x", "x"]}}, "or one twice"),
        ({"slots": {"person": ["a nurse"]}}, "names {place}, which is no slot"),
        ({"templates": ["a {person}"]}, "no template names the slot {place}"),
        ({"slots": {"person": [], "place": ["x"]}}, "gives no prompts"),
        ({"reference": {"gender": {"female": "half", "male": 0.5}}}, "gender.female: Input should be a valid number"),
        (
            {
                "templates": ["{person} {place}" + "x" * 3_000_000],
                "slots": {"person": [*map(str, range(100))], "place": ["x"]},
            },
            "LISTING_BYTES",
        ),
    ):
        file.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=message) as caught:
            read_prompt_grid(file)
        assert str(file) in str(caught.value)
    file.write_text(json.dumps(content | {"slots": {"person": ["a {place}"], "place": ["x"]}}))
    assert read_prompt_grid(file).prompts.prompts[0].text == "a photo of a {place} x"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image\na.png\n", "one or more with the groups"),
        ("image,gender\n,female\n", "line 2: image is empty"),
        ("image,gender\na.png\n", "line 2: gender is empty"),
        ("image,gender,gender\na.png,x,y\n", "has 'gender' twice"),
        ("image,gender\na.png,x,y\n", "more cells than the header"),
        ("image,gender\na.png,x\na.png,y\n", "the id 'a' is there twice"),
        ("image,gender\nb.png,x\n", "b.png is not in"),
        ("image,gender\n" + "x" * 200_000, "damaged CSV"),
    ],
)
def test_damaged_portraits_are_named(tmp_path, table, message):
    save_image(Image.new("RGB", (8, 8)), tmp_path / "a.png")
    (tmp_path / "p.csv").write_text(table)
    with pytest.raises(ValueError, match=message) as caught:
        read_portraits(tmp_path / "p.csv")
    assert "p.csv" in str(caught.value)


def test_tables_of_other_countries_and_of_windows(tmp_path):
    save_image(Image.new("RGB", (8, 8)), tmp_path / "faces" / "a.png")
    (tmp_path / "p.csv").write_text("\ufeffimage;gender\r\nfaces\\a.png;female\r\n", encoding="utf-8")
    (portrait,) = read_portraits(tmp_path / "p.csv")
    assert portrait.groups == {"gender": "female"}


@pytest.mark.parametrize(
    "row", ['{"instruction": null}', '{"instruction": true}', '{"instruction": "x", "changes": "gender"}',
            '{"instruction": "x", "shows": ["job"]}', '{"shows": {}}', "3"],
)  # fmt: skip
def test_an_instruction_of_another_type_is_no_instruction(tmp_path, row):
    (tmp_path / "i.json").write_text(f"[{row}]")
    with pytest.raises(ValueError, match=r"i\.json entry 1"):
        read_instructions(tmp_path / "i.json")


def test_portraits_and_instructions_are_read(tmp_path):
    save_image(Image.new("RGB", (8, 8)), tmp_path / "faces" / "a.png")
    (tmp_path / "p.csv").write_text("image,gender,skin\nfaces/a.png,female,dark\n")
    (portrait,) = read_portraits(tmp_path / "p.csv")
    assert portrait.groups == {"gender": "female", "skin": "dark"}
    (tmp_path / "p.csv").write_text("image,gender\n../../etc/passwd,x\n")
    with pytest.raises(ValueError, match="leads out of the folder"):
        read_portraits(tmp_path / "p.csv")
    (tmp_path / "i.json").write_text('[{"instruction": "make them a pilot", "shows": {"job": "pilot"}}]')
    assert read_instructions(tmp_path / "i.json")[0].shows == {"job": "pilot"}
    (tmp_path / "i.json").write_text('[{"instruction": ""}]')
    with pytest.raises(ValueError, match="entry 1: the instruction is empty"):
        read_instructions(tmp_path / "i.json")


class Says:
    name = "says"

    def fingerprint(self) -> str:
        return ""

    def answer(self, questions):
        return ["Female.", "I cannot tell", "male", "female"][: len(questions)]


def test_models_choose_among_values_and_other_answers_are_none(tmp_path):
    images = [Image.new("RGB", (8, 8))] * 2
    found = ModelClassifier(Says(), {"gender": ["female", "male"], "job": ["doctor"]}).read(images, ["a", "b"])
    assert found == [{"gender": "female"}, {"gender": "male"}]
    (tmp_path / "l.csv").write_text("id,gender\na,female\n")
    assert Labels(tmp_path / "l.csv").read(images, ["a", "b"]) == [{"gender": "female"}, {}]
    (tmp_path / "l.csv").write_text("id,gender\na,female\na,male\n")
    with pytest.raises(ValueError, match="line 3: the id 'a' is there twice"):
        Labels(tmp_path / "l.csv")


def test_the_worlds_grid_leaves_colours_open():
    found = world_grid()
    assert len(found.prompts.prompts) == 36
    assert not any(colour in prompt.text for prompt in found.prompts.prompts for colour in ("red", "blue", "yellow"))
