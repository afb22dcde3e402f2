"""Pages are blind, answers find their way back, and shares are counted whichever side a system was on."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import dom
from PIL import Image, ImageCms

from ip2p_lightning.evaluation.calibration import Choice, read_choices, write_choices
from ip2p_lightning.evaluation.preference import QUESTIONS, Item, preference, write_page
from ip2p_lightning.evaluation.preference_answers import read_answers


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


def study(folder: Path, count: int = 20) -> tuple[Path, Path]:
    page, key = folder / "study" / "page.html", folder / "key.json"
    write_page(items(count), page, key)
    return page, key


def content(page: Path) -> dict[str, Any]:
    return json.loads(re.search(r'type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)[1])  # type: ignore[index]


def pixels(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))


def answer_all(key: Path, name: str, prefer: str, time: int = 1) -> Path:
    """A rater who always prefers one system, and sees no difference in looks."""
    stored = json.loads(key.read_text())
    lines = ["study,item,question,answer,rater,time"]
    for number, item in enumerate(stored["items"]):
        side = "left" if item["left"] == prefer else "right"
        lines += [
            f'{stored["study"]},{number},{question},{answer},"{name}",{time}'
            for question, answer in (("follows", side), ("looks", "same"))
        ]
    path = key.parent / f"{name}-{time}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_page_names_no_system_and_the_key_does(tmp_path: Path):
    page, key = study(tmp_path)
    text = page.read_text()
    assert "ours" not in text
    assert "theirs" not in text
    assert text.count("</script>") == 2  # instructions cannot end the data
    shown, sides = content(page), json.loads(key.read_text())["items"]
    assert len(shown["items"]) == len(sides) == 20
    assert set(shown["questions"]) == set(QUESTIONS)
    assert {item["left"] for item in sides} == {"ours", "theirs"}  # sides are drawn
    assert [item["pair"] for item in sides] != [f"pair {number}" for number in range(20)]  # so is the order
    assert len({row["left"] for row in shown["items"]}) == 2


def test_sides_cannot_be_drawn_again(tmp_path: Path):
    orders = [
        [(item["pair"], item["left"]) for item in json.loads(study(tmp_path / str(n))[1].read_text())["items"]]
        for n in range(2)
    ]
    assert orders[0] != orders[1]


def test_the_key_lies_outside_the_folder_of_the_page(tmp_path: Path):
    for key in (tmp_path / "study" / "key.json", tmp_path / "study" / "deep" / "key.json"):
        with pytest.raises(ValueError, match="lies in the folder that raters get"):
            write_page(items(), tmp_path / "study" / "page.html", key)
    assert not list(tmp_path.iterdir())


def test_images_tell_nothing_but_their_pixels(tmp_path: Path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    telling = Image.new("RGB", (64, 48), (0, 200, 0))
    telling.info |= {"icc_profile": profile, "dpi": (72, 72), "gamma": 0.45, "transparency": (0, 0, 0), "exif": b"Exif"}
    small = Image.new("RGBA", (60, 46), (0, 0, 200, 128))
    one = Item("pair", "do", Image.new("RGB", (64, 48)), {"ours": telling, "theirs": small})
    write_page([one], tmp_path / "study" / "page.html", tmp_path / "key.json")
    row = content(tmp_path / "study" / "page.html")["items"][0]
    chunks = []
    for name in ("original", "left", "right"):
        data = base64.b64decode(row[name].removeprefix("data:image/png;base64,"))
        chunks.append(re.findall(rb"IHDR|iCCP|pHYs|gAMA|tRNS|eXIf|tEXt|tIME|sRGB", data))
        assert pixels(row[name]).size == (64, 48)
    assert chunks == [[b"IHDR"]] * 3


def test_answers_come_back_as_choices(tmp_path: Path):
    key = study(tmp_path)[1]
    found = read_answers(key, [answer_all(key, "anna", "ours"), answer_all(key, "bo", "ours")])
    follows = preference([choice for choice, _ in found.choices["follows"]])
    assert (follows.first, follows.first_share.estimate, follows.second_share.estimate) == ("ours", 1.0, 0.0)
    assert follows.choices == 40
    assert 0.7 < follows.first_share.low < 1
    assert preference([choice for choice, _ in found.choices["looks"]]).tie_share.estimate == 1
    assert {category for _, category in found.choices["follows"]} == {"colour", "season"}
    write_choices([choice for choice, _ in found.choices["follows"]], tmp_path / "choices.csv")
    assert read_choices(tmp_path / "choices.csv") == [choice for choice, _ in found.choices["follows"]]


def test_the_last_answer_of_a_rater_counts_once(tmp_path: Path):
    key = study(tmp_path)[1]
    first, later = answer_all(key, "anna", "theirs", time=5), answer_all(key, "anna", "ours", time=9)
    for files in ([first, later], [later, first], [first, first, later]):
        found = read_answers(key, files)
        assert preference([choice for choice, _ in found.choices["follows"]]).first_share.estimate == 1
        assert sum(len(rows) for rows in found.choices.values()) == 40
        assert found.superseded == 40 * (len(files) - 1)


def test_strange_answers_are_refused(tmp_path: Path):
    key = study(tmp_path, 2)[1]
    for lines, message in (
        ("item,question,answer\n7,follows,left", "no item '7'"),
        ("item,question,answer\n٣,follows,left", "no item"),
        ("item,question,answer\n" + "9" * 5000 + ",follows,left", "no item"),
        ("item,question,answer\n0,smell,left", "'smell'"),
        ("item,question,answer\n0,looks,up", "'up' is none"),
        ("study,item,question,answer\nother,0,looks,left", "another study"),
        ("item,question,answer\n0,looks,left\n00,looks,right", "has answered item 0 otherwise"),
        ("", "holds no answer"),
        ("item,question,answer\n", "holds no answer"),
        ("item,question,answer,rater\n0,looks,left," + "x" * 200_000, "damaged CSV"),
    ):
        path = tmp_path / "bad.csv"
        path.write_text(lines + "\n")
        with pytest.raises(ValueError, match=message):
            read_answers(key, [path])
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ValueError, match=r"bad.csv is no text in UTF-8"):
        read_answers(key, [tmp_path / "bad.csv"])
    with pytest.raises(FileNotFoundError, match=r"none.csv is missing"):
        read_answers(key, [tmp_path / "none.csv"])


@pytest.mark.parametrize(
    "text", ['{"a":1}', "[1]", "nope", "[" * 100_000, '{"study":"x","items":[{"pair":"1"}]}', "null"]
)
def test_keys_that_are_none(text: str, tmp_path: Path):
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(ValueError, match=r"key.json is not the key of a study"):
        read_answers(tmp_path / "key.json", [])


def test_keys_of_older_studies_are_read(tmp_path: Path):
    (tmp_path / "key.json").write_text('[{"pair": "p", "left": "ours", "right": "theirs", "category": ""}]')
    (tmp_path / "a.csv").write_text("item,question,answer,rater\n0,looks,left,anna\n")
    found = read_answers(tmp_path / "key.json", [tmp_path / "a.csv"])
    assert found.choices["looks"] == [(Choice("p", "ours", "theirs", "first", "anna"), "")]


@pytest.mark.browser
def test_a_page_that_is_loaded_again_has_its_answers(tmp_path: Path):
    page = study(tmp_path, 3)[0]
    script = """<script>
    if (!sessionStorage.getItem("seen")) {
      sessionStorage.setItem("seen", "1");
      document.querySelector("input[value=left]").click(); at("next").click(); saved = true; location.reload();
    }
    </script>"""
    page.write_text(page.read_text().replace("</body>", script + "</body>"))
    shown = dom(page)
    assert ">1 of 6 answers, not saved yet<" in shown
    assert ">2 of 3<" in shown


def test_two_systems_are_compared():
    with pytest.raises(ValueError, match="got no items"):
        write_page([], "unused/page.html", "key.json")
    with pytest.raises(ValueError, match="between two systems, got a, b, c"):
        preference([Choice("1", "a", "b", "first"), Choice("1", "a", "c", "first")])
