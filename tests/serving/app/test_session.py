"""A visitor's conversation without a page: bounds, recipes, files, cancelling, and following a training."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ip2p_lightning.editors.conversation import Conversation
from ip2p_lightning.editors.copy_input import CopyInput
from ip2p_lightning.editors.request import EditCancelled
from ip2p_lightning.serving.app.following import follow
from ip2p_lightning.serving.app.session import Session, Studio, shown
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.queue import WorkQueue


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with WorkQueue(capacity=4) as queue:
        yield Studio(
            EditEngine(CopyInput()), queue, "copy", folder=tmp_path / "kept", max_pixels=5_000, held_pixels=20_000
        )


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_each_visitor_has_a_conversation_of_their_own(studio: Studio, photo: str) -> None:
    first, second = copy.deepcopy(Session(studio)), copy.deepcopy(Session(studio))
    first.begin(photo)
    first.work(lambda talk: talk.edit("make it night"))
    assert second.talk is None
    with pytest.raises(ValueError, match="no edit yet"):
        second.need()
    first.begin(photo)
    assert len(first.need().turns) == 1, "the same file goes on"


def test_images_are_bounded_one_by_one_and_together(studio: Studio, photo: str, tmp_path: Path) -> None:
    Image.new("RGB", (100, 60)).save(tmp_path / "large.png")
    session = Session(studio)
    with pytest.raises(ValueError, match="more than the limit") as error:
        session.begin(str(tmp_path / "large.png"))
    assert str(tmp_path) not in str(error.value)
    with pytest.raises(ValueError, match="restarted"):
        session.begin(str(tmp_path / "gone.png"))
    with pytest.raises(ValueError, match="choose an image"):
        session.begin(None)
    session.begin(photo)
    session.work(lambda talk: talk.edit("make it night", alternatives=4))
    session.work(lambda talk: talk.edit("make it night"))
    other = Session(studio)
    other.begin(photo)
    other.work(lambda talk: talk.edit("make it night"))
    with pytest.raises(ValueError, match="memory for images is full"):
        other.work(lambda talk: talk.edit("make it winter"))


def test_more_than_the_queue_holds_is_refused(studio: Studio, photo: str) -> None:
    session = Session(studio)
    session.begin(photo)
    with pytest.raises(ValueError, match="more than the queue holds"):
        session.work(lambda talk: talk.edit("make it night", alternatives=5))
    assert session.need().turns == ()


def test_a_recipe_says_how_the_image_was_made(studio: Studio, photo: str, tmp_path: Path) -> None:
    session = Session(studio)
    session.begin(photo)
    session.work(lambda talk: talk.edit("make it night", seed=3, text_scale=2.0))
    session.work(lambda talk: talk.at(0.5))
    session.work(lambda talk: talk.edit("it's a $HOME; rm"))
    recipe = session.recipe()
    assert recipe["edits"][0] == {"instruction": "make it night", "seed": 3, "text_scale": 2.0, "strength": 0.5}
    assert recipe["commands"] == [
        "ip2p edit checkpoint=copy image=original.png 'instruction=make it night' 'seeds=[3]' strength=0.5 "
        "text_scale=2.0 output=1.png",
        """ip2p edit checkpoint=copy image=1.png 'instruction=it'"'"'s a $HOME; rm' 'seeds=[0]' output=edit.png""",
    ]
    image, written, saved = session.files(tmp_path)
    assert Image.open(image).size == (60, 40)
    assert "make it night" in written.read_text(encoding="utf-8")
    session.reopen(str(saved))
    assert len(session.need().turns) == 3


def test_choices_are_kept_as_they_are_made(studio: Studio, photo: str, tmp_path: Path) -> None:
    session = Session(studio)
    session.begin(photo)
    session.work(lambda talk: talk.edit("make it night", alternatives=2))
    session.say(session.need().choose(2))
    session.say(session.need().rate(good=True))
    lines = (tmp_path / "kept" / "preferences.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2


def test_one_thing_at_a_time_which_can_be_cancelled(studio: Studio, photo: str) -> None:
    session = Session(studio)
    session.begin(photo)
    under_way, caught = threading.Event(), []

    def long(talk: Conversation) -> None:
        under_way.set()
        while not session._cancel.is_set():
            time.sleep(0.01)
        talk.edit("make it night")

    def run() -> None:
        try:
            session.work(long)
        except EditCancelled as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    under_way.wait(10)
    with pytest.raises(ValueError, match="under way"):
        session.work(lambda talk: talk.edit("make it night"))
    session.cancel()
    thread.join(10)
    assert len(session.need().turns) + len(caught) == 1


def test_images_are_shown_at_a_fitting_size() -> None:
    assert shown(Image.new("RGB", (64, 32))).size == (512, 256)
    assert shown(Image.new("RGB", (4_000, 1_000))).size == (1_024, 256)


def test_a_training_is_followed_while_it_writes(tmp_path: Path) -> None:
    assert "no step" in follow(tmp_path).status
    (tmp_path / "pictures").mkdir()
    for step in (10, 20):
        Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / f"step-{step:06d}.png")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "metrics.csv").write_text(
        "step,train/loss,lr,val/ssim\n10,0.5,1\n20,0.25,1,0.75\n30,0.\n40,0.1e"
    )
    run = follow(tmp_path)
    assert [caption for _, caption in run.images] == ["step 20", "step 10"]
    assert run.measures == [(20, "val/ssim", 0.75)]
    assert run.losses == [(10, "train/loss", 0.5), (20, "train/loss", 0.25), (30, "train/loss", 0.0)]
    assert "step 30, 2 validation images" in run.status
