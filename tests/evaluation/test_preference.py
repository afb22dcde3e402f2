"""Pages are blind, answers find their way back, and shares are counted whichever side a system was on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from ip2p_lightning.evaluation.calibration import Choice, read_choices
from ip2p_lightning.evaluation.preference import (
    QUESTIONS,
    Item,
    preference,
    read_answers,
    write_choices,
    write_page,
)


def items(count: int = 20) -> list[Item]:
    return [
        Item(
            pair=f"pair {number}",
            instruction=f"do {number} </script><b>",
            original=Image.new("RGB", (8, 4), (number, 0, 0)),
            edits={"ours": Image.new("RGB", (8, 4), (0, 200, 0)), "theirs": Image.new("RGB", (8, 4), (0, 0, 200))},
            category=("colour", "season")[number % 2],
        )
        for number in range(count)
    ]


def answer_all(folder: Path, name: str, prefer: str) -> Path:
    """A rater who always prefers one system, and sees no difference in looks."""
    key = json.loads((folder / "key.json").read_text())
    lines = ["item,question,answer,rater"]
    for number, item in enumerate(key):
        side = "left" if item["left"] == prefer else "right"
        lines += [f'{number},follows,{side},"{name}"', f'{number},looks,same,"{name}"']
    path = folder / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_page_names_no_system_and_the_key_does(tmp_path: Path):
    page = write_page(items(), tmp_path, seed=3)
    text = page.read_text()
    assert "ours" not in text
    assert "theirs" not in text
    assert text.count("</script>") == 2  # instructions cannot end the data
    study = json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    key = json.loads((tmp_path / "key.json").read_text())
    assert len(study["items"]) == len(key) == 20
    assert set(study["questions"]) == set(QUESTIONS)
    assert {item["left"] for item in key} == {"ours", "theirs"}  # sides are drawn
    assert [item["pair"] for item in key] != [f"pair {number}" for number in range(20)]  # so is the order
    assert len({row["left"] for row in study["items"]}) == 2
    again = write_page(items(), tmp_path / "again", seed=3)
    assert again.read_text() == text


def test_answers_come_back_as_choices(tmp_path: Path):
    write_page(items(), tmp_path)
    found = read_answers(
        tmp_path / "key.json", [answer_all(tmp_path, "anna", "ours"), answer_all(tmp_path, "bo", "ours")]
    )
    follows = preference([choice for choice, _ in found["follows"]])
    assert (follows.first, follows.first_share.estimate, follows.second_share.estimate) == ("ours", 1.0, 0.0)
    assert follows.choices == 40
    assert 0.7 < follows.first_share.low < 1
    assert preference([choice for choice, _ in found["looks"]]).tie_share.estimate == 1
    assert {category for _, category in found["follows"]} == {"colour", "season"}
    write_choices([choice for choice, _ in found["follows"]], tmp_path / "choices.csv")
    assert read_choices(tmp_path / "choices.csv") == [choice for choice, _ in found["follows"]]


def test_strange_answers_are_refused(tmp_path: Path):
    write_page(items(2), tmp_path)
    good = answer_all(tmp_path, "anna", "ours")
    with pytest.raises(ValueError, match="anna has answered item 0 already; is a file given twice"):
        read_answers(tmp_path / "key.json", [good, good])
    for line, message in (
        ("7,follows,left", "no item '7'"),
        ("0,smell,left", "'smell'"),
        ("0,looks,up", "'up' is none"),
    ):
        path = tmp_path / "bad.csv"
        path.write_text(f"item,question,answer\n{line}\n")
        with pytest.raises(ValueError, match=message):
            read_answers(tmp_path / "key.json", [path])
    with pytest.raises(FileNotFoundError, match=r"none.csv is missing"):
        read_answers(tmp_path / "key.json", [tmp_path / "none.csv"])


def test_two_systems_are_compared():
    with pytest.raises(ValueError, match="got no items"):
        write_page([], "unused")
    with pytest.raises(ValueError, match="between two systems, got a, b, c"):
        preference([Choice("1", "a", "b", "first"), Choice("1", "a", "c", "first")])
