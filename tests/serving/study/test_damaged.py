"""Folders of studies that came from elsewhere or were damaged are named; nothing outside them is served."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ip2p_lightning.evaluation.preference import Item
from ip2p_lightning.evaluation.preference_answers import read_answers
from ip2p_lightning.serving.study.answers import export_answers
from ip2p_lightning.serving.study.app import make_app
from ip2p_lightning.serving.study.folder import ANSWERS, FILE, Study
from ip2p_lightning.serving.study.making import make_study
from ip2p_lightning.serving.study.store import AnswerError, AnswerStore, StoredAnswer

TestClient = pytest.importorskip("fastapi.testclient").TestClient


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "made"
    colours = {"ours": "teal", "theirs": "navy"}
    edits = {name: Image.new("RGB", (16, 12), colour) for name, colour in colours.items()}
    make_study([Item("a", "a bus", None, edits), Item("b", "a car", None, edits)], folder, catch=0)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


def other_image(content: dict[str, Any], name: str) -> dict[str, Any]:
    return content | {"items": [content["items"][0] | {"images": [name, content["items"][0]["images"][1]]}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: [1], "the whole"),
        (lambda content: content | {"secret": None}, "secret"),
        (lambda content: content | {"secret": "x" * 64}, "64 hexadecimal digits"),
        (lambda content: content | {"items": [{"pair": "a"}]}, r"items\.0"),
        (lambda content: content | {"per_rater": "all"}, "per_rater"),
        (lambda content: other_image(content, "../study.json"), "no image of"),
        (lambda content: other_image(content, "/etc/passwd"), "no image of"),
        (lambda content: other_image(content, f"{'0' * 32}.png"), "no image of"),
    ],
)
def test_a_damaged_study_is_not_served(folder: Path, change: Any, message: str):
    content = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(change(content)))
    with pytest.raises(ValueError, match=message) as caught:
        make_app(folder)
    assert str(folder) in str(caught.value)


def test_an_image_that_leads_elsewhere_is_not_served(folder: Path, tmp_path: Path):
    (tmp_path / "private.png").write_bytes(b"private")
    image = folder / "images" / Study.open(folder).items[0].images[0]
    image.unlink()
    image.symlink_to(tmp_path / "private.png")
    with pytest.raises(ValueError, match="no image of"):
        make_app(folder)


def answered(folder: Path, item: int, rater: str = "r", name: str = "", side: str = "left") -> None:
    store = AnswerStore(folder / ANSWERS)
    if store.rater(rater) is None:
        store.join(rater, name, lambda _: [item])
    store.record(StoredAnswer(rater, item, {"follows": side, "looks": "same"}, True, 5, 1.0))
    store.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: answered(file.parent, 99), "answers of another study"),
        (lambda file: answered(file.parent, 0, side="up"), "not written by a study"),
        (lambda file: answered(file.parent, -1), "answers of another study"),
        (
            lambda file: sqlite3.connect(file).executescript("CREATE TABLE answers (x)"),
            "no such column",
        ),
        (lambda file: file.write_bytes(b"no base" * 100), "file is not a database"),
        (lambda file: file.mkdir(), "unable to open database file"),
    ],
)
def test_answers_of_something_else_are_named(folder: Path, change: Any, message: str):
    change(folder / ANSWERS)
    for read in (make_app, export_answers):
        with pytest.raises(AnswerError, match=message) as caught:
            read(folder)
        assert str(folder / ANSWERS) in str(caught.value)


def test_plans_that_are_none(folder: Path):
    answered(folder, 0)
    for items in ('["0"]', "[" * 9999, '{"a": 1}', "[1e999]"):
        base = sqlite3.connect(folder / ANSWERS)
        base.execute("UPDATE raters SET items = ?", (items,))
        base.commit()
        base.close()
        with pytest.raises(AnswerError, match="not written by a study"):
            make_app(folder)


@pytest.mark.parametrize(
    ("whole", "damaged"), [(b"tableanswers", b"table\x80nswers"), (b"of a study", b"of \x80 study")]
)
def test_a_damaged_byte_of_a_text_is_named(folder: Path, whole: bytes, damaged: bytes):
    """Found by fuzzing: in a table's name, Python cannot even decode what SQLite says of it."""
    answered(folder, 0, name="a rater of a study")
    file = folder / ANSWERS
    base = sqlite3.connect(file)
    base.execute("PRAGMA journal_mode=DELETE")  # all of it into one file
    base.close()
    data = file.read_bytes()
    assert whole in data
    file.write_bytes(data.replace(whole, damaged))
    with pytest.raises(AnswerError, match="restore it from a copy") as caught:
        export_answers(folder)
    assert str(file) in str(caught.value)


def test_an_answer_that_cannot_be_stored_is_asked_for_again(folder: Path, caplog: pytest.LogCaptureFixture):
    app = make_app(folder)
    client = TestClient(app, base_url="http://testserver", raise_server_exceptions=False)
    assert client.post("/join", json={"name": ""}).status_code == 204
    token = client.get("/next").json()["item"]["token"]
    app.state.store._base.execute("PRAGMA max_page_count=1")  # SQLite then says what a full disk makes it say
    app.state.store._base.execute("DROP TABLE answers")
    answer = {"item": token, "follows": "left", "looks": "left", "milliseconds": 5}
    assert client.post("/answer", json=answer).status_code == 503
    assert str(folder / ANSWERS) in caplog.text
    assert "Traceback" not in caplog.text


def test_raters_whose_names_look_alike_stay_apart(folder: Path):
    """A name that a spreadsheet would take for a formula gets an apostrophe, with which another name may begin."""
    for rater, name, side in (("a", "=x", "left"), ("b", "'=x", "right"), ("c", "", "left"), ("d", "rater 3", "right")):
        answered(folder, 0, rater, name, side)
    exported = export_answers(folder)
    found = read_answers(exported.key, [exported.answers])
    assert found.superseded == 0
    assert len(found.choices["follows"]) == 4
    assert len({choice.rater for choice, _ in found.choices["follows"]}) == 4
