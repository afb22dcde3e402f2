"""Editing from the command line: one picture, many, every way it can be asked wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ip2p_lightning.jobs.edit import pictures, plan


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (40, 24), "teal").save(path)
    return path


def test_one_picture(ip2p, checkpoint, photo, tmp_path):
    model = checkpoint("ip2p/tiny")
    printed = ip2p("edit", f"checkpoint={model}", f"image={photo}", "instruction=make it winter", "output=a/out.png")
    assert printed.splitlines()[-1].split("  ") == ["a/out.png", "make it winter"]
    with Image.open(tmp_path / "a" / "out.png") as edited:
        assert edited.width > edited.height  # the picture's shape, at the model's size


def test_a_folder_under_several_instructions_and_seeds(ip2p, checkpoint, photo, tmp_path):
    Image.new("RGBA", (24, 40), (9, 9, 9, 99)).save(tmp_path / "other.png")
    (tmp_path / "notes.txt").write_text("no picture")
    ip2p(
        "edit",
        f"checkpoint={checkpoint('ip2p/tiny')}",
        f"image={tmp_path}",
        "instruction=[make it winter,make it night]",
        "seeds=[0,1]",
        "output=out",
        "batch_size=3",
    )
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 8
    assert names[0] == "other-make-it-night-seed0.png"
    contents = {(tmp_path / "out" / name).read_bytes() for name in names}
    assert len(contents) == 8


def test_the_same_request_gives_the_same_picture(ip2p, checkpoint, photo, tmp_path):
    words = ["edit", f"checkpoint={checkpoint('ip2p/tiny')}", f"image={photo}", "instruction=make it winter"]
    for output in ("a.png", "b.png"):
        ip2p(*words, f"output={output}", "text_scale=2", "image_scale=1", "steps=2")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    ip2p(*words, "output=a.png", "overwrite=true", "text_scale=9", "steps=2")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(("size", "expected"), [("input", (40, 24)), ("model", (16, 16))])
def test_results_have_the_input_s_size_or_the_model_s(ip2p, checkpoint, photo, tmp_path, size, expected):
    words = ["edit", f"checkpoint={checkpoint('ip2p/tiny')}", f"image={photo}", "instruction=make it winter"]
    ip2p(*words, "output=out.png", f"size={size}")
    with Image.open(tmp_path / "out.png") as edited:
        assert edited.size == expected


def test_mgie_tells_its_expressive_instruction(ip2p, checkpoint, photo):
    words = ["edit", f"checkpoint={checkpoint('mgie/tiny')}", f"image={photo}", "instruction=make it winter"]
    assert "make it winter -> " in ip2p(*words, "output=out.png")


def test_an_exported_folder_edits_as_its_checkpoint_does(ip2p, checkpoint, photo, tmp_path):
    words = [f"image={photo}", "instruction=make it winter", "steps=2"]
    model = checkpoint("ip2p/tiny")
    ip2p("export", f"checkpoint={model}", "output=exported")
    ip2p("edit", f"checkpoint={model}", *words, "output=a.png")
    ip2p("edit", "checkpoint=exported", *words, "output=b.png", "text_scale=7.5", "image_scale=1.5")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_export_does_not_overwrite(ip2p, checkpoint, tmp_path):
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "mine").touch()
    message = ip2p("export", f"checkpoint={checkpoint('ip2p/tiny')}", "output=exported", fails=True)
    assert "output=exported exists already" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["instruction="], "instruction 1 of 1 is empty"),
        (["instruction=[make it winter,' ']"], "instruction 2 of 2 is empty"),
        (["image=missing.png"], "image=missing.png does not exist"),
        (["image=broken.png"], "broken.png: not a readable picture"),
        (["image=empty"], "image=empty: the folder holds no pictures"),
        (["checkpoint=missing.ckpt"], "checkpoint=missing.ckpt does not exist"),
        (["checkpoint=missing"], "checkpoint=missing does not exist"),
        (["checkpoint=broken.png"], "broken.png: not readable as a checkpoint"),
        (["checkpoint=empty"], "empty: no model_index.json there"),
        (["output=photo.jpg"], "photo.jpg exists already"),
        (["seeds=[0,1]"], "output=out.png is one picture, but 2 edits"),
        (["output=broken.bin"], "output=broken.bin is a file"),
        (["seeds=[]"], "nothing to edit"),
        (["text_scale=-1"], "text_scale=-1 must be a number from 0 to 100, or null"),
        (["steps=0"], "steps=0 must be a whole number of at least 1"),
        (["weights=best"], "weights=best must be one of ema, raw"),
    ],
)
def test_what_is_wrong_is_named(ip2p, checkpoint, photo, tmp_path, words, message):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.bin").write_bytes(b"no folder")
    (tmp_path / "empty").mkdir()
    asked = {
        "checkpoint": checkpoint("ip2p/tiny"),
        "image": photo,
        "instruction": "make it winter",
        "output": "out.png",
    }
    asked |= dict(word.split("=", 1) for word in words)
    error = ip2p("edit", *(f"{key}={value}" for key, value in asked.items()), fails=True)
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out.png").exists()


def test_missing_values_are_asked_for(ip2p):
    assert "checkpoint, output need values: checkpoint=... output=..." in ip2p("edit", "instruction=x", fails=True)


def test_scenes_are_drawn_from_words(ip2p, checkpoint, tmp_path):
    words = ["edit", f"checkpoint={checkpoint('ip2p/tiny')}", "instruction=make it winter", "resolution=32"]
    printed = ip2p(*words, "scene=[a red castle,a blue tent at sunset]", "output=out")
    assert "out/scenes/a-red-castle.png  a red castle" in printed
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        "a-blue-tent-at-sunset.png",
        "a-red-castle.png",
    ]
    with Image.open(tmp_path / "out" / "scenes" / "a-red-castle.png") as scene:
        assert scene.size == (32, 32)
    ip2p(*words, "scene=a red castle", "output=one/out.png")
    assert (tmp_path / "one" / "scenes" / "a-red-castle.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "edit takes either image=... "),
        (["image=photo.jpg", "scene=a castle"], "edit takes either image=... "),
        (["scene=a dragon"], "names no thing"),
    ],
)
def test_pictures_come_from_a_file_or_from_words(ip2p, photo, words, message):
    assert message in ip2p("edit", "checkpoint=mgie", "instruction=x", "output=out.png", *words, fails=True)


def test_pictures_of_one_name_get_files_of_their_own(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / folder / "x.png")
    found = pictures([str(tmp_path / "a"), str(tmp_path / "b")])
    outputs = [request.output.name for request in plan(found, ["!!!"], [0], tmp_path / "out")]
    assert outputs == ["x.png", "x-2.png"]
