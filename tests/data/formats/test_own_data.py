"""People's own pairs: tables, image folders, before/after folders and control folders, as they lie on their disks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ip2p_lightning.data.formats.rows import FileRows
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import render_dataset
from tests.data.formats.conftest import contents
from tests.data.formats.test_round_trip import preset

File = Callable[..., bytes]


def lay(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files by their relative names."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def opened(format: str, path: Path) -> FileRows:
    source = preset(format).open(path)
    assert isinstance(source, FileRows)
    return source


def texts(source: FileRows) -> list[str]:
    return [source.encoded(index).instruction for index in range(len(source))]


@pytest.fixture
def photos(file: File, tmp_path: Path) -> Path:
    """Three originals with names as cameras and people give them, and an edit of each."""
    names = ("my dog.jpg", "Größe 2.JPG", "a/b.jpeg")
    files = {
        f"{side}/{name}": file(10 * number + (side == "out"))
        for number, name in enumerate(names)
        for side in ("in", "out")
    }
    return lay(tmp_path / "photos", files)


@pytest.mark.parametrize(
    ("headers", "mark"),
    [
        ("before,after,instruction", ","),
        ("original;edited;edit_prompt", ";"),
        ("Source Image\tTarget-Image\tInstruction", "\t"),
        ("input_image,edited_image,edit", ","),
        ("edit_image,image,prompt", ","),
        ("image,edited_image,prompt", ","),
        ("control_path,image_path,caption", ","),
        ("cond_image|file_name|text", "|"),
    ],
)
def test_headers_delimiters_names_and_commas(headers: str, mark: str, photos: Path):
    rows = [headers] + [
        mark.join((f"in/{name}", f"out/{name}", f'"make it ""{name}"", please; now"'))
        for name in ("my dog.jpg", "Größe 2.JPG", "a/b.jpeg")
    ]
    lay(photos, {"edits.csv": "\r\n".join(rows)})
    source = opened("csv", photos / "edits.csv")
    assert texts(source) == [f'make it "{name}", please; now' for name in ("my dog.jpg", "Größe 2.JPG", "a/b.jpeg")]
    assert source.encoded(1).original_image == (photos / "in/Größe 2.JPG").read_bytes()
    assert source.encoded(1).edited_image == (photos / "out/Größe 2.JPG").read_bytes()
    assert source.notes == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str, photos: Path):
    table = "before,after,instruction\nin\\Größe 2.JPG,out\\Größe 2.JPG,mach es größer\n"
    lay(photos, {"edits.csv": table.encode(encoding)})
    source = opened("csv", photos)
    assert texts(source) == ["mach es größer"]
    assert [note.split(" and")[0] for note in source.notes] == (
        ["edits.csv is no UTF-8"] if encoding == "cp1252" else []
    )


def test_rows_that_cannot_be_used_are_counted_by_reason(photos: Path, file: File, tmp_path: Path):
    lay(photos, {"small.jpg": file(1, size=(6, 4)), "x.webp": file(2, "WEBP"), "../secret.jpg": file(3)})
    rows = [
        "before,after,instruction,kind",
        "in/my dog.jpg,out/my dog.jpg,do,light",
        "in/my dog.jpg,gone.jpg,do,",
        "in/my dog.jpg,small.jpg,do,",
        "in/my dog.jpg,x.webp,do,",
        "in/my dog.jpg,../secret.jpg,do,",
        "in/my dog.jpg,out/my dog.jpg,,",
        "in/my dog.jpg,,do,",
        "in/my dog.jpg,out/my dog.jpg,do, it,light",
        f"in/my dog.jpg,{'x' * 3000},do,",
    ]
    lay(photos, {"edits.csv": "\n".join(rows)})
    source = opened("csv", photos)
    report = render_dataset(source, tmp_path / "data", skip_failures=True)
    assert report.info.pairs == 1
    assert report.reasons == {
        "an image is missing": 2,
        "images differ in size": 1,
        "edited is WEBP": 1,
        "a path leads out of the folder": 1,
        "no instruction": 1,
        "no image for edited_image": 1,
        "more cells than the header": 1,
    }
    with pytest.raises(ValueError, match=r"edits.csv line 3: an image is missing .*; skip_failures=true leaves"):
        render_dataset(source, tmp_path / "strict")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a,b,c\n1,2,3", r"no column for original_image in its header \(a, b, c\); name it: format.columns.original"),
        ("image,prompt\nx,y", "'image' is the only column of images"),
        ("before,after,before,instruction\n1,2,3,4", "the header has before twice"),
        ("before,after,instruction\n", "has a header but no rows"),
        ("", "no column for original_image"),
    ],
)
def test_what_is_wrong_with_a_table(table: str, message: str, tmp_path: Path):
    lay(tmp_path, {"edits.csv": table})
    with pytest.raises(ValueError, match=message):
        opened("csv", tmp_path / "edits.csv")
    with pytest.raises(FileNotFoundError, match=r"is no csv file and no folder with files that end in .csv"):
        opened("csv", tmp_path / "else")


def test_unquoted_commas_of_the_last_text_and_lists_of_references(photos: Path):
    table = 'edit_image,image,prompt\n"[""in/a/b.jpeg"", ""in/my dog.jpg""]",out/a/b.jpeg,red, please\n'
    lay(photos, {"metadata.csv": table})
    source = opened("csv", photos)
    assert texts(source) == ["red, please"]
    assert source.encoded(0).original_image == (photos / "in/a/b.jpeg").read_bytes()
    assert "1 line has (2) an unquoted ','" in source.notes[0]
    assert "1 pair has (metadata/00000002) several originals" in source.notes[1]


def test_groups_are_those_of_originals(photos: Path, file: File, tmp_path: Path):
    lay(photos, {"copy.jpg": (photos / "in/my dog.jpg").read_bytes()})
    rows = [
        {"before": "in/my dog.jpg", "after": "out/my dog.jpg", "instruction": "one"},
        {"before": "copy.jpg", "after": "out/a/b.jpeg", "instruction": "equal bytes"},
        {"before": "out/a/b.jpeg", "after": "in/a/b.jpeg", "instruction": "the next turn"},
        {"before": "in/Größe 2.JPG", "after": "out/Größe 2.JPG", "instruction": "another"},
    ]
    lay(photos, {"edits.jsonl": "\n".join(json.dumps(row) for row in [*rows, rows[0] | {"group": "mine"}])})
    groups = opened("jsonl", photos).groups
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert groups[4] == "mine"
    assert opened("jsonl", photos).encoded(3).group == groups[3] == "in/Größe 2.JPG"


@pytest.mark.parametrize(("count", "expected"), [(2, (1, 1, 0)), (3, (1, 1, 1)), (20, (16, 2, 2)), (100, (80, 10, 10))])
def test_default_splits_have_validation_pairs(count: int, expected: tuple[int, ...], file: File, tmp_path: Path):
    files = {f"{side}/{number}.jpg": file(2 * number + side) for number in range(count) for side in (0, 1)}
    table = "before,after,instruction\n" + "\n".join(f"0/{n}.jpg,1/{n}.jpg,do {n}" for n in range(count))
    lay(tmp_path, {**files, "edits.csv": table})
    cut = {"train": 0.8, "validation": 0.1, "test": 0.1}
    report = render_dataset(opened("csv", tmp_path), tmp_path / "data", default_splits=cut)
    assert tuple(report.info.splits.get(name, 0) for name in cut) == expected
    lay(tmp_path, {"edits.csv": table.replace("instruction", "instruction,split").replace("do 0", "do 0,dev")})
    report = render_dataset(opened("csv", tmp_path), tmp_path / "named", default_splits=cut)
    assert report.info.splits == {"train": count - 1, "validation": 1}


@pytest.mark.parametrize("listing", ["csv", "jsonl"])
def test_image_folders(listing: str, file: File, tmp_path: Path):
    rows = [
        {"input_image_file_name": f"{n}.jpg", "edited_image_file_name": f"{n}e.jpg", "edit_prompt": f"do, {n}"}
        for n in range(2)
    ]
    table = "\n".join(
        ['"input_image_file_name",edited_image_file_name,edit_prompt']
        + [f'{r["input_image_file_name"]},{r["edited_image_file_name"]},"{r["edit_prompt"]}"' for r in rows]
    )
    content = table if listing == "csv" else "\n".join(map(json.dumps, rows))
    for split in ("train", "val"):
        lay(
            tmp_path / split,
            {f"metadata.{listing}": content} | {f"{n}{e}.jpg": file(n) for n in range(2) for e in ("", "e")},
        )
    source = opened("imagefolder", tmp_path)
    assert texts(source) == ["do, 0", "do, 1"] * 2
    assert [source.encoded(n).split for n in range(4)] == ["train", "train", "validation", "validation"]
    assert len({source.encoded(n).id for n in range(4)}) == 4


def test_an_image_folder_of_a_trainer(file: File, tmp_path: Path):
    row = {"file_name": "t.jpg", "control_file_names": ["c0.jpg", "c1.jpg"], "text": "do"}
    lay(tmp_path, {"metadata.jsonl": json.dumps(row) + "\n{", "t.jpg": file(1), "c0.jpg": file(2), "c1.jpg": file(3)})
    source = opened("imagefolder", tmp_path)
    assert source.encoded(0).original_image == file(2)
    assert "several originals" in source.notes[0]
    with pytest.raises(ValueError, match=r"metadata.jsonl line 2: damaged line"):
        source.encoded(1)


def folders(file: File, before: str, after: str, names: list[str], ending: str = "jpg") -> dict[str, bytes | str]:
    return {
        f"{side}/{name}.{ending}": file(hash_of(name) + n) for n, side in enumerate((before, after)) for name in names
    }


def hash_of(name: str) -> int:
    return sum(map(ord, name)) * 2


def test_before_after_folders(file: File, tmp_path: Path):
    files = folders(file, "before", "after", ["IMG 1", "IMG 2", "IMG 3"])
    lay(tmp_path, {**files, "before/lonely.jpg": file(90), "after/alone.jpg": file(91), "after/.DS_Store": b"x"})
    lay(tmp_path, {"before/._IMG 1.jpg": b"companion", "after/notes.md": "x"})
    lay(
        tmp_path,
        {"instructions.csv": 'file,instruction\nIMG 1.jpg,one\nafter/img 2.JPG,"two, please"\nIMG 9.jpg,nine\n'},
    )
    source = opened("before_after", tmp_path)
    assert texts_or_reasons(source) == [
        "no original of that name",
        "one",
        "two, please",
        "no instruction",
        "no edited image of that name",
    ]
    assert source.notes == ["1 text has (img 9) no images of that name"]
    assert source.encoded(1).original_image == files["before/IMG 1.jpg"]


def texts_or_reasons(source: FileRows) -> list[str]:
    found = []
    for index in range(len(source)):
        try:
            found.append(source.encoded(index).instruction)
        except ValueError as error:
            found.append(error.reason)  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("a\tone, two\nb\tthree", ["one, two", "three"]),
        ("b.jpg: three\na.jpg: one", ["one", "three"]),
        ("first\nsecond", ["first", "second"]),
        ("the same for all", ["the same for all"] * 2),
    ],
)
def test_text_files_of_instructions(lines: str, expected: list[str], file: File, tmp_path: Path):
    lay(tmp_path, folders(file, "original", "edited", ["a", "b"], "png") | {"instructions.txt": lines})
    lay(tmp_path, {"original/a.png": file(1, "PNG"), "original/b.png": file(2, "PNG")})
    assert texts(opened("before_after", tmp_path)) == expected


def test_lines_that_cannot_be_given_to_pairs(file: File, tmp_path: Path):
    lay(tmp_path / "count", folders(file, "before", "after", ["a", "b"]) | {"instructions.txt": "1\n2\n3"})
    with pytest.raises(ValueError, match="has 3 lines for 2 pairs; begin each line with the image's name"):
        opened("before_after", tmp_path / "count")
    lay(tmp_path / "order", folders(file, "before", "after", ["2", "10"]) | {"instructions.txt": "two\nten"})
    with pytest.raises(ValueError, match="names such as 2 and 10 have two orders"):
        opened("before_after", tmp_path / "order")
    with pytest.raises(FileNotFoundError, match="should hold a folder before or original or originals and a folder"):
        opened("before_after", tmp_path)


def test_pairs_by_the_endings_of_names(file: File, tmp_path: Path):
    files = {
        "x/dog_before.jpg": file(1),
        "x/dog_AFTER.jpg": file(2),
        "x/dog.txt": "paint it\n",
        "x/cat_before.jpg": file(3),
    }
    source = opened("before_after", lay(tmp_path, files))
    assert texts_or_reasons(source) == ["no edited image of that name", "paint it"]
    assert (source.encoded(1).original_image, source.encoded(1).edited_image) == (file(1), file(2))


@pytest.mark.parametrize("names", [("control", "images"), ("conditioning_data", "train"), ("control", ".")])
def test_control_folders_of_trainers(names: tuple[str, str], file: File, tmp_path: Path):
    control, target = names
    lay(tmp_path, folders(file, control, target, ["a", "b", "c"]))
    lay(tmp_path, {f"{target}/a.txt": "edit a\n", f"{target}/b.caption": "edit b", f"{target}/alone.jpg": file(5)})
    source = opened("control", tmp_path)
    assert texts_or_reasons(source) == ["edit a", "no original of that name", "edit b", "no instruction"]


def test_numbered_control_images_and_numbered_edits(file: File, tmp_path: Path):
    lay(
        tmp_path,
        {"control/a_0.jpg": file(1), "control/a_1.jpg": file(2), "images/a.jpg": file(3), "images/a.txt": "do"},
    )
    lay(tmp_path, {"control/b.jpg": file(4), "images/b_1.jpg": file(5), "images/b_2.jpg": file(6)})
    lay(tmp_path, {"images/b_1.txt": "first", "images/b_2.txt": "second"})
    source = opened("control", tmp_path)
    assert texts(source) == ["do", "first", "second"]
    assert [source.encoded(n).original_image for n in range(3)] == [file(1), file(4), file(4)]
    assert source.groups[1] == source.groups[2] != source.groups[0]
    assert "2 edited images were (b_1, b_2) matched without a number" in source.notes[0]
    assert "1 pair has (a) several originals" in source.notes[1]


def test_two_images_of_one_name(file: File, tmp_path: Path):
    lay(tmp_path, folders(file, "control", "images", ["a"]) | {"images/a.png": file(1, "PNG"), "images/a.txt": "do"})
    assert texts_or_reasons(opened("control", tmp_path)) == ["two images of one name"]


def test_musubi_s_json_lines(file: File, tmp_path: Path):
    more = {"control_path_0": "c.jpg", "control_path_1": "d.jpg", "caption": "do more"}
    rows = [{"image_path": "t.jpg", "control_path": "c.jpg", "caption": "do"}, {"image_path": "t.jpg"} | more]
    lay(tmp_path, {"set.jsonl": "\n".join(map(json.dumps, rows)), "t.jpg": file(1), "c.jpg": file(2), "d.jpg": file(3)})
    source = opened("musubi", tmp_path)
    assert texts(source) == ["do", "do more"]
    assert source.encoded(0).original_image == file(2)


def test_exported_folders_are_those_of_trainers(full_dataset: Path, tmp_path: Path):
    from ip2p_lightning.data.formats.base import export_pairs

    report = export_pairs(ShardDataset(full_dataset), preset("control"), tmp_path / "out")
    names = {path.parent.name + path.suffix for path in (tmp_path / "out").rglob("*.*")}
    assert names >= {"control.jpg", "target.jpg", "target.txt"}
    assert "trainers read the .txt files" in report.notes[0]
    assert len(contents(full_dataset)) == len(list((tmp_path / "out/target").glob("*.txt")))
