"""Editing from the command line: one picture, many, every way it can be asked wrongly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.data.deep import deep_of, with_deep
from ip2p_lightning.data.images import open_as_is
from ip2p_lightning.data.saving import save_image
from ip2p_lightning.jobs.edit_plan import image_files, plan, read_table


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (40, 24), "teal").save(path)
    return path


def test_one_picture(ip2p, checkpoint, photo, tmp_path):
    model = checkpoint("ip2p/tiny")
    printed = ip2p("edit", f"checkpoint={model}", f"image={photo}", "instruction=make it winter", "output=a/out.png")
    assert printed.splitlines()[-1].split("  ") == ["a/out.png", "make it winter", "(40 x 24, edited at 16 x 16)"]
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
        (["image=broken.png"], "broken.png: not a readable image"),
        (["image=empty"], "image=empty: the folder holds no images"),
        (["checkpoint=missing.ckpt"], "checkpoint=missing.ckpt does not exist"),
        (["checkpoint=missing"], "checkpoint=missing does not exist"),
        (["checkpoint=broken.png"], "broken.png: not readable as a checkpoint"),
        (["checkpoint=empty"], "empty: no model_index.json there"),
        (["output=photo.jpg"], "photo.jpg exists already"),
        (["seeds=[0,1]"], "output=out.png is one image, but 2 edits"),
        (["output=broken.bin"], "output=broken.bin is a file"),
        (["seeds=[]"], "nothing to edit"),
        (["text_scale=-1"], "text_scale=-1 must be a number from 0 to 100, or null"),
        (["steps=0"], "steps=0 must be a whole number from 1 to 10000"),
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


def photos(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("names", "texts", "seeds", "expected"),
    [
        (["a/x.png", "b/x.png"], ["!!!"], [0], ["x.png", "x-2.png"]),
        (["s/a.png", "s/a.jpg", "s/a-2.jpg"], ["x"], [0], ["a.png", "a.jpg", "a-2.jpg"]),
        (["d1/a.png", "d2/a.png", "d3/a-2.png"], ["x"], [0], ["a.png", "a-2.png", "a-2-2.png"]),
        (
            ["a.jpg"],
            ["blur it", "blur it!", "blur it 2"],
            [0],
            ["a-blur-it.jpg", "a-blur-it-2.jpg", "a-blur-it-2-2.jpg"],
        ),
        (["d1/A.png", "d2/a.png"], ["x"], [0], ["A.png", "a-2.png"]),
        (["a.gif", "b.bmp"], ["x"], [0, 0], ["a.png", "a-2.png", "b.bmp", "b-2.bmp"]),
    ],
)
def test_every_edit_has_a_file_of_its_own(tmp_path, names, texts, seeds, expected):
    found = photos(tmp_path, *names)
    assert [job.output.name for job in plan(found, texts, seeds, tmp_path / "out")] == expected


def test_an_image_is_not_replaced_by_its_own_edit(tmp_path):
    (image,) = photos(tmp_path, "a.png")
    with pytest.raises(ValueError, match="is one of the images that are edited; choose another output"):
        plan([image], ["x"], [0], tmp_path, overwrite=True)


def test_what_a_folder_holds(tmp_path):
    photos(tmp_path, "a.png", "b.webp")
    for name in ("._a.png", "c.heic", "d.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [file.name for file in image_files([str(tmp_path)])] == ["a.png", "b.webp"]


def test_a_table_lists_edits(tmp_path):
    photos(tmp_path, "a.png", "b.jpg", "m.png")
    rows = 'image,instruction,seed,mask,output\na.png,"blur it, please",3,m.png,one/x.webp\nb.jpg,,,,\n'
    (tmp_path / "jobs.csv").write_text(rows, encoding="utf-8-sig")
    first, second = read_table(tmp_path / "jobs.csv", "make it night", 7, tmp_path / "out")
    assert (first.instruction, first.seed, first.mask) == ("blur it, please", 3, tmp_path / "m.png")
    assert (second.instruction, second.seed, second.mask) == ("make it night", 7, None)
    assert first.output == tmp_path / "out/one/x.webp"
    lines = '{"image": "a.png", "instruction": "x", "seed": 3}\n\n{"image": "a.png", "instruction": "x"}'
    (tmp_path / "jobs.jsonl").write_text(lines)
    assert [job.seed for job in read_table(tmp_path / "jobs.jsonl", None, 0, tmp_path / "out")] == [3, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,instruction\na.png,\n", "line 2: the row has no instruction"),
        ("image,instruction\n,x\n", "line 2: the row has no image"),
        ("image,instruction\na\0.png,x\n", "line 2: image holds a null character"),
        ("image,instruction,output\na.png,x,b\0.png\n", "line 2: output holds a null character"),
        ("image,prompt\na.png,x\n", "no column 'prompt' is read; columns are image, instruction"),
        ("image,instruction,seed\na.png,x,one\n", "line 2: seed='one' must be a whole number"),
        ("image,instruction\na.png,make it red, please\n", "line 2 has more cells than the header"),
        ("image,instruction,output\na.png,x,../o.png\n", "leads out of the folder"),
        ("image,instruction,output\na.png,x,o.psd\n", "is not named like an image"),
        ("image,instruction,output\na.png,x,o.png\na.png,y,O.png\n", "two edits would be written to"),
        ("image,instruction\n", "lists no edits"),
    ],
)
def test_a_table_that_is_wrong(tmp_path, text, message):
    (tmp_path / "jobs.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "jobs.csv", None, 0, tmp_path / "out")


def test_a_run_that_stopped_goes_on_and_leaves_out_what_cannot_be_read(ip2p, tmp_path):
    photos(tmp_path / "in", "a.png", "b.jpg")
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    Image.effect_noise((64, 64), 50).save(tmp_path / "in" / "c.png")
    (tmp_path / "in" / "c.png").write_bytes((tmp_path / "in" / "c.png").read_bytes()[:2000])  # a sound header
    words = ["edit", "checkpoint=instruct_pix2pix", "image=in", "instruction=make it sepia", "output=out"]
    assert "broken.png" in ip2p(*words, fails=True)
    assert not (tmp_path / "out").exists()
    printed = ip2p(*words, "skip_failures=true")
    assert "2 files could not be edited:" in printed
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]
    assert "exists already" in ip2p(*words, "skip_failures=true", fails=True)
    first = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    (tmp_path / "out" / "b.jpg").unlink()
    ip2p(*words, "skip_failures=true", "overwrite=skip")
    assert (tmp_path / "out" / "b.jpg").exists()
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == first
    with Image.open(tmp_path / "out" / "b.jpg") as edited:
        assert edited.format == "JPEG"


def test_sheets_animations_masks_and_notes(ip2p, tmp_path):
    photos(tmp_path, "a.png")
    Image.new("L", (4, 4)).save(tmp_path / "mask.png")
    words = ["edit", "checkpoint=instruct_pix2pix", "image=a.png", "output=out", "resolution=100", "mask=mask.png"]
    printed = ip2p(*words, "instruction=make the hat sepia", "seeds=[0,1]", "sheet=true", "animation=true")
    assert "note: this editor has never seen 'hat'; it learned: add, background, black and white" in printed
    assert "note: seeds change this edit by 0.0 of 255 grey levels at most" in printed
    with Image.open(tmp_path / "out/a-sheet.png") as sheet:
        assert sheet.width > 3 * 256
    with Image.open(tmp_path / "out/a-animation.webp") as moving:
        assert moving.n_frames >= 1
    with Image.open(tmp_path / "out/a-seed0.png") as edited, Image.open(tmp_path / "a.png") as original:
        assert edited.tobytes() == original.tobytes()  # the mask is black


def test_16_bits_a_channel_stay_where_the_format_has_them(ip2p, checkpoint, tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (24, 40, 3)).astype(np.uint16)
    save_image(with_deep(Image.fromarray((deep >> 8).astype(np.uint8)), deep), tmp_path / "deep.png")
    words = [f"checkpoint={checkpoint('ip2p/tiny')}", "image=deep.png", "instruction=make it winter"]
    for name in ("out.png", "out.tif"):
        assert "8 bits" not in ip2p("edit", *words, f"output={name}")
        assert len(np.unique(deep_of(open_as_is(tmp_path / name)))) > 256
    assert "note: images of more than 8 bits a channel are written with 8 here" in ip2p(
        "edit", *words, "output=out.jpg"
    )
