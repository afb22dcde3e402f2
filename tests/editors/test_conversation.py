"""Conversations: turns and ways through them, strength, alternatives, preference records, and files that are data."""

from __future__ import annotations

import io
import json
import resource
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import in_process

import ip2p_lightning as ip2p
from ip2p_lightning.editors.conversation import Conversation
from ip2p_lightning.editors.conversation_file import ConversationError
from ip2p_lightning.editors.request import EditCancelled
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.reading import scene_of_words


@pytest.fixture(scope="module")
def editor() -> TrainedEditor:
    return ip2p.load_editor("mgie", device="cpu")


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    return draw(scene_of_words("a red castle by the sea on a clear summer day"), 64)


@pytest.fixture
def talk(editor: TrainedEditor, scene: Image.Image) -> Conversation:
    return Conversation(editor, scene, "mgie")


def change(before: Image.Image, after: Image.Image) -> float:
    return float(np.abs(np.asarray(after, np.int16) - np.asarray(before, np.int16)).mean())


def test_each_turn_edits_the_image_before_it(talk: Conversation, editor: TrainedEditor) -> None:
    first = talk.edit("make it night")
    second = talk.edit("make it sepia")
    assert second.parent == first.number
    assert second.image.tobytes() == editor.edit(first.image, "make it sepia")[0].image.tobytes()
    assert [turn.instruction for turn in talk.path] == ["make it night", "make it sepia"]
    assert talk.image is second.image


def test_stronger_and_less_move_the_change_and_take_each_other_back(talk: Conversation) -> None:
    plain = talk.edit("make it night")
    stronger, back, less = talk.stronger(), talk.less(), talk.less()
    changes = [change(talk.original, turn.image) for turn in (less, plain, stronger)]
    assert changes == sorted(set(changes))
    assert back.image.tobytes() == plain.image.tobytes()
    talk.go_to(stronger.number)
    talk.stronger()
    with pytest.raises(ValueError, match="does not get stronger"):
        talk.stronger()
    assert {turn.number for turn in talk.alternatives} == {turn.number for turn in talk.turns}


def test_an_editor_takes_the_same_strength(editor: TrainedEditor, talk: Conversation) -> None:
    talk.edit("make it night")
    by_editor = editor.edit(talk.original, "make it night", strength=0.5)[0].image
    assert change(talk.at(0.5).image, by_editor) <= 0.5  # one rounds to grey levels before it is weakened
    with pytest.raises(ValueError, match=r"between 0\.05 and 2"):
        talk.at(3)


def test_undo_redo_and_branches(talk: Conversation) -> None:
    night = talk.edit("make it night")
    sepia = talk.edit("make it sepia")
    assert talk.undo()
    assert talk.current is night
    assert talk.redo()
    assert talk.current is sepia
    talk.go_to(night.number)
    snow = talk.edit("make it snow")
    assert snow.parent == night.number
    assert talk.branches == (sepia, snow)
    while talk.undo():
        pass
    assert talk.image is talk.original
    assert not talk.undo()
    talk.edit("make it winter")
    assert not talk.redo(), "a new edit ends what could be redone; its turns stay"
    assert len(talk.turns) == 4


def test_another_one_has_a_new_seed_and_a_written_text_can_be_edited(talk: Conversation) -> None:
    first = talk.edit("make it night", seed=4)
    other = talk.another()
    assert (other.seed, other.parent, other.ask) == (5, first.parent, first.ask)
    assert first.expressive_instruction
    by_hand = talk.rewritten("a red castle by the sea on a clear winter day")
    assert by_hand.by_hand
    assert by_hand.expressive_instruction.endswith("winter day")
    assert by_hand.image.tobytes() != first.image.tobytes()
    assert talk.another(text_scale=1.5).expressive_instruction == by_hand.expressive_instruction


def test_a_mask_keeps_the_rest_at_every_strength(talk: Conversation) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    talk.edit("make it night", mask=mask)
    stronger = talk.stronger()
    right = (32, 0, 64, 64)
    assert stronger.image.crop(right).tobytes() == talk.original.crop(right).tobytes()
    assert change(talk.original, stronger.image) > 1


def test_what_is_cancelled_leaves_the_conversation_as_it_was(talk: Conversation) -> None:
    talk.edit("make it night")
    with pytest.raises(EditCancelled):
        talk.edit("make it sepia", cancel=lambda: True)
    with pytest.raises(ValueError, match="instruction"):
        talk.edit(" ")
    assert len(talk.turns) == 1


def test_choices_become_records(talk: Conversation, tmp_path: Path) -> None:
    first, second, third = talk.edit("make it night", alternatives=3)
    talk.choose(second.number)
    assert talk.current is second
    talk.choose(third.number, over=[first.number])
    talk.rate(good=False)
    with pytest.raises(ValueError, match="alternatives of its own"):
        talk.choose(first.number, over=[99])
    file = talk.write_preferences(tmp_path)
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [len(record["rejected"]) for record in records] == [2, 1, 1]
    assert records[2]["chosen"] is None
    chosen = Image.open(tmp_path / records[0]["chosen"]["image"])
    assert chosen.tobytes() == second.image.tobytes()
    assert Image.open(tmp_path / records[0]["original"]).tobytes() == talk.original.tobytes()


def test_records_stay_whole_next_to_what_a_killed_writer_left(talk: Conversation, tmp_path: Path) -> None:
    talk.edit("make it night", alternatives=2)
    talk.choose(2)
    file = talk.write_preferences(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:40])  # killed in the midst of a line
    talk.write_preferences(tmp_path)
    assert file.read_bytes() == whole + whole[:40] + b"\n" + whole


def test_a_record_that_has_no_room_is_not_written_in_part(talk: Conversation, tmp_path: Path) -> None:
    talk.edit("make it night", alternatives=2)
    talk.choose(2)
    file = talk.write_preferences(tmp_path)
    whole = file.read_bytes()

    def run() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 40, len(whole) + 40))
        try:
            talk.write_preferences(tmp_path)
        except OSError:
            raise SystemExit(3) from None

    assert in_process(run) == 3
    assert file.read_bytes() == whole


def test_a_saved_conversation_goes_on_where_it_was(talk: Conversation, editor: TrainedEditor, tmp_path: Path) -> None:
    mask = Image.new("L", (64, 64), 255)
    talk.edit("make it night", seed=2**64 - 1, mask=mask, text_scale=1.25)
    talk.stronger()
    talk.edit("make it sepia", alternatives=2)
    talk.choose(4)
    talk.undo()
    opened = Conversation.open(talk.save(tmp_path / "talk.zip"), editor)
    assert [turn.image.tobytes() for turn in opened.turns] == [turn.image.tobytes() for turn in talk.turns]
    assert [turn.settings for turn in opened.turns] == [turn.settings for turn in talk.turns]
    assert opened.current is not None
    assert talk.current is not None
    assert opened.current.number == talk.current.number
    assert (opened.name, opened.preferences) == ("mgie", talk.preferences)
    assert opened.redo()
    with pytest.raises(ConversationError, match="more than 5,000 pixels"):
        Conversation.open(tmp_path / "talk.zip", editor, max_pixels=5_000)


def test_photographs_keep_opacity_and_profile(editor: TrainedEditor, tmp_path: Path) -> None:
    photo = Image.new("LA", (50, 40), (120, 90))
    talk = Conversation(editor, photo)
    assert talk.edit("make it sepia").image.mode == "RGBA"
    assert talk.stronger().image.getchannel("A").getextrema() == (90, 90)
    assert Conversation.open(talk.save(tmp_path / "talk.zip"), editor).image.tobytes() == talk.image.tobytes()


def _rewritten(source: Path, target: Path, text: object = None, **members: bytes) -> Path:
    """A conversation's file with another JSON, or other images."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            stem = Path(name).stem
            data = members.get(f"image{stem}", old.read(name)) if name.startswith("images") else old.read(name)
            if name == "conversation.json" and text is not None:
                data = text if isinstance(text, bytes) else json.dumps(text).encode()
            new.writestr(name, data)
    return target


def test_files_are_data_and_bounded(
    talk: Conversation, editor: TrainedEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.edit("make it night")
    talk.edit("make it sepia")
    good = talk.save(tmp_path / "talk.zip")
    stored = json.loads(zipfile.ZipFile(good).read("conversation.json"))
    turns = stored["turns"]
    large, bomb = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (65, 64)).save(large, "PNG")
    Image.new("1", (14_000, 14_000)).save(bomb, "PNG")
    wrong: dict[str, object] = {
        "is no conversation": b"[1",
        "version": stored | {"version": 2},
        "names a turn that is not there": stored | {"visited": [0, 9]},
        "Extra inputs": stored | {"code": "import os"},
        "original": stored | {"original": "../../etc/passwd"},
        "belongs to no turn before": stored | {"turns": [turns[0], turns[1] | {"parent": 2}]},
        "strength": stored | {"turns": [turns[0] | {"strength": 1e9}, turns[1]]},
        "instruction": stored | {"turns": [turns[0] | {"instruction": " "}, turns[1]]},
        "sampling|unexpected": stored | {"turns": [turns[0] | {"sampling": {"shell": 1}}, turns[1]]},
        "images/7.png": stored | {"original": "images/7.png"},
    }
    for number, (message, text) in enumerate(wrong.items()):
        with pytest.raises(ConversationError, match=message):
            Conversation.open(_rewritten(good, tmp_path / f"{number}.zip", text), editor)
    for message, data in (
        ("65 x 64", large),
        ("too large to decode", bomb),
        ("not a readable image", io.BytesIO(b"GIF89a")),
    ):
        with pytest.raises(ConversationError, match=message):
            Conversation.open(_rewritten(good, tmp_path / "image.zip", image1=data.getvalue()), editor)
    (tmp_path / "cut.zip").write_bytes(good.read_bytes()[:-200])
    with pytest.raises(ConversationError, match="damaged"):
        Conversation.open(tmp_path / "cut.zip", editor)
    monkeypatch.setenv("IP2P_LIMIT_CONVERSATION_TURNS", "1")
    with pytest.raises(ConversationError, match="2 turns of a conversation, more than the limit of 1"):
        Conversation.open(good, editor)
