"""`ip2p audit` end to end: texts read by people's labels, edits by the world's judge, exit codes and the card."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from ip2p_lightning.cli import main
from ip2p_lightning.data.saving import save_image
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.reading import scene_of_words

pytest.importorskip("statsmodels")
GRID = {
    "templates": ["a photo of {person}"],
    "slots": {"person": ["a doctor", "a nurse"]},
    "subject": "person",
    "reference": {"gender": {"female": 0.5, "male": 0.5}},
}


@pytest.fixture
def labelled(tmp_path):
    """Images of two prompts: doctors are all male, nurses are half and half."""
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    rows = ["id,gender"]
    for prompt in range(2):
        for sample in range(20):
            save_image(
                Image.new("RGB", (16, 16), (prompt, sample, 0)), tmp_path / "images" / f"{prompt:05d}-{sample}.png"
            )
            rows.append(f"{prompt:05d}-{sample},{'male' if prompt == 0 or sample % 2 else 'female'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_gap_is_flagged_and_ends_a_strict_audit_with_1(labelled, capsys):
    card = labelled / "README.md"
    arguments = ["audit", f"grid={labelled / 'grid.json'}", f"system={labelled / 'images'}", f"card={card}"]
    arguments += [f"classifier={labelled / 'labels.csv'}", f"output={labelled / 'out'}", "samples=20"]
    assert main(arguments) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "1 of 2 tests flagged" in shown
    assert "## Bias audit" in card.read_text()
    assert (labelled / "out" / "audit.html").is_file()
    with pytest.raises(SystemExit) as end:
        main([*arguments, "strict=true"])
    assert end.value.code == 1


def test_edits_of_a_shipped_editor_are_audited(tmp_path, capsys):
    rows = ["image,left colour"]
    for number, colour in enumerate(("red", "blue") * 3):
        save_image(draw(scene_of_words(f"a {colour} castle on the left"), 64), tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{colour}")
    (tmp_path / "portraits.csv").write_text("\n".join(rows))
    (tmp_path / "asked.json").write_text('[{"instruction": "make it winter", "shows": {"season": "winter"}}]')
    arguments = ["audit", f"portraits={tmp_path / 'portraits.csv'}", f"instructions={tmp_path / 'asked.json'}"]
    arguments += ["checkpoint=instruct_pix2pix", "steps=2", f"output={tmp_path / 'out'}"]
    assert main(arguments) == 0, capsys.readouterr().err
    assert "soft erasure" in capsys.readouterr().out
    made = sorted((tmp_path / "out" / "edits").glob("*.png"))
    assert len(made) == 6
    times = [file.stat().st_mtime_ns for file in made]
    assert main(arguments) == 0
    assert [file.stat().st_mtime_ns for file in made] == times, "what is there already is not made again"


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "give grid=FILE"), (["grid=world"], "system is missing"), (["grid=world", "portraits=."], "give grid=FILE")],
)
def test_mistakes_are_named(tmp_path, capsys, words, message):
    assert main(["audit", f"output={tmp_path / 'out'}", *words]) == 2
    assert message in capsys.readouterr().err
