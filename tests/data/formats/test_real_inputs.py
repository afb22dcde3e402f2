"""Inputs as people have them are taken, or counted and named; one bad row never ends an import that skips."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ip2p_lightning.data.encoded import EncodedPair, UnusablePair
from ip2p_lightning.data.formats.columns import Columns
from ip2p_lightning.data.formats.ip2p_folder_source import IP2PFolderSource
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import RenderError, RenderReport, render_dataset
from ip2p_lightning.data.statistics import dataset_statistics
from tests.data.formats.test_files import add
from tests.data.formats.test_round_trip import preset

File = Callable[..., bytes]
GOOD = {"original_image": "a.jpg", "edited_image": "b.jpg", "instruction": "do"}


def lines(folder: Path, file: File, *rows: Any) -> Path:
    """A JSON Lines file of rows (or of ready bytes) beside two images."""
    folder.mkdir(exist_ok=True)
    (folder / "a.jpg").write_bytes(file(1))
    (folder / "b.jpg").write_bytes(file(2))
    written = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (folder / "pairs.jsonl").write_bytes(b"\n".join(written))
    return folder / "pairs.jsonl"


def imported(path: Path, output: Path, format: str = "jsonl") -> RenderReport:
    """An import that skips, in which what goes in is used or named."""
    source = preset(format).open(path)
    report = render_dataset(source, output, skip_failures=True)
    assert len(source) + len(getattr(source, "faults", ())) == report.info.pairs + len(report.skipped)
    assert report.reasons.total() == len(report.skipped)
    return report


def read(row: dict[str, Any], **columns: Any) -> EncodedPair:
    return Columns.of(columns).pair(row, lambda value, _: value, place="row", id="7")


NAN = float("nan")


@pytest.mark.parametrize("value", [None, "", NAN, [], [None, NAN]])
def test_cells_that_are_empty_are_no_texts(value: Any, file: File):
    row = {"original_image": file(1), "edited_image": file(2), "instruction": "do", "id": value, "group": value}
    pair = read(row | {"original_caption": value, "kind": value, "split": value})
    assert (pair.id, pair.group, pair.original_caption, pair.kind, pair.split) == ("7", "7", "", "", "")
    with pytest.raises(UnusablePair, match="no instruction"):
        read(row | {"instruction": value})


@pytest.mark.parametrize("value", [True, 5, 1.5, {"a": 1}, ["a", 5], b"do"])
def test_what_is_no_text_is_no_instruction(value: Any, file: File):
    row = {"original_image": file(1), "edited_image": file(2), "instruction": "do"}
    for field in ("instruction", "edited_caption"):
        with pytest.raises(UnusablePair, match=f"column '{field}' should hold text for {field}"):
            read(row | {field: value})


def test_labels_may_be_numbers(file: File):
    row = {"original_image": file(1), "edited_image": file(2), "instruction": "do", "id": 5.0, "group": 3, "kind": 1}
    pair = read(row)
    assert (pair.id, pair.group, pair.kind) == ("5", "3", "1")
    with pytest.raises(UnusablePair, match="column 'id'"):
        read(row | {"id": True})


def test_nan_in_json_lines_tars_and_tables(file: File, tmp_path: Path):
    path = lines(tmp_path / "x", file, GOOD | {"caption": NAN, "id": NAN}, GOOD | {"instruction": NAN}, GOOD)
    report = imported(path, tmp_path / "lines")
    assert report.reasons == {"no instruction": 1}
    assert dataset_statistics(ShardDataset(tmp_path / "lines")).missing["original_caption"] == 2
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for key, text in (("a", "NaN"), ("b", '"do"')):
            add(tar, f"{key}.input.jpg", file(1))
            add(tar, f"{key}.output.jpg", file(2))
            add(tar, f"{key}.json", f'{{"instruction": {text}, "caption": NaN}}'.encode())
    assert imported(tmp_path / "x.tar", tmp_path / "tar", "webdataset").reasons == {"no instruction": 1}
    row = {
        "original_image": {"bytes": file(1)},
        "edited_image": {"bytes": file(2)},
        "caption": NAN,
        "instruction": "do",
    }
    pq.write_table(pa.Table.from_pylist([row, row]), tmp_path / "x.parquet")
    assert imported(tmp_path / "x.parquet", tmp_path / "table", "hugging_face").info.pairs == 2
    assert ShardDataset(tmp_path / "table").column("original_caption") == ["", ""]


def test_lists_of_instructions(file: File, tmp_path: Path):
    """OmniEdit's column of several instructions."""
    row = {
        "src_img": {"bytes": file(1)},
        "edited_img": {"bytes": file(2)},
        "edited_prompt_list": ["short", "a longer one"],
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "x.parquet")
    pair = preset("hugging_face").open(tmp_path / "x.parquet").encoded(0)
    assert pair.instruction == "short"
    assert pair.metadata == {"alternatives": {"instruction": ["a longer one"]}}


@pytest.mark.parametrize("mask", ["NONE", "", "none", None, NAN, "nan", "N/A", {"bytes": None, "path": None}])
def test_masks_that_are_not_there(mask: Any, file: File):
    assert read({"original_image": file(1), "edited_image": file(2), "instruction": "do", "mask": mask}).mask is None


@pytest.mark.parametrize(("score", "kept"), [("N/A", None), ("0.5", 0.5), (NAN, None), ("", None), (1, 1.0)])
def test_scores_that_are_not_there(score: Any, kept: float | None, file: File):
    row = {"original_image": file(1), "edited_image": file(2), "instruction": "do", "clip": score}
    pair = Columns.of(scores={"clip": "clip"}).pair(row, lambda value, _: value, place="row", id="7")
    assert pair.metadata.get("scores", {}).get("clip") == kept
    for bad in (True, "high", float("inf"), [1], "1e999"):
        with pytest.raises(UnusablePair, match="row: column 'clip' should hold a score"):
            Columns.of(scores={"clip": "clip"}).pair(row | {"clip": bad}, lambda v, _: v, place="row", id="7")


def test_phones_jpegs_with_a_second_image_inside(file: File, tmp_path: Path):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(file(1))).save(buffer, "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    path = lines(tmp_path / "x", file, GOOD)
    (path.parent / "a.jpg").write_bytes(buffer.getvalue())
    assert Image.open(path.parent / "a.jpg").format == "MPO"
    assert imported(path, tmp_path / "data").info.pairs == 1
    assert ShardDataset(tmp_path / "data").encoded(0).original_image == buffer.getvalue()
    assert ShardDataset(tmp_path / "data")[0].original_image.size == (12, 8)


BAD_ROWS: list[tuple[Any, str]] = [
    ({"metadata": {"seed": 2**64}}, "metadata seed=18446744073709551616 must be a number"),
    ({"metadata": {"seed": [1]}}, "metadata seed=[1] must be a number"),
    ({"metadata": {"threshold": "x"}}, "metadata threshold='x' must be a number"),
    ({"metadata": {"scores": {"b": [1]}}}, "a score must be a number"),
    ({"metadata": {"scores": [1, 2]}}, "'scores' in the metadata should be an object"),
    ({"metadata": {"scores": {"a": 10**400}}}, "a score must be a number"),
    ({"metadata": {"scores": {str(n): 1 for n in range(101)}}}, "too many scores"),
    ({"split": "../../y"}, "split is no name"),
    ({"split": "x" * 2000}, "split is too long"),
    ({"instruction": "x" * 300_000}, "instruction is too long"),
    ({"id": "x" * 1001}, "id is too long"),
    ({"instruction": "\u200b \u2060"}, "no instruction"),
    ({"instruction": "\ud800 red"}, "damaged line"),
    ({"original_image": "c.jpg"}, "an image is missing"),
    ({"original_image": 5}, "key 'original_image' should hold a path"),
]


def test_no_bad_row_ends_an_import_that_skips(file: File, tmp_path: Path):
    damaged = [
        b"[" * 100_000,
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b"{nope",
        b'{"instruction": "m\xfcde"}',
        b'{"a": 1, "a": 2}',
        b"1" * 5000,
        b"\x00\x01",
    ]
    rows = [GOOD, *({**GOOD, **change} for change, _ in BAD_ROWS), *damaged, GOOD | {"instruction": "last"}]
    report = imported(lines(tmp_path / "x", file, *rows), tmp_path / "data")
    assert ShardDataset(tmp_path / "data").column("instruction") == ["do", "last"]
    for message, (_, reason) in zip(report.skipped, BAD_ROWS, strict=False):
        assert reason in message
        assert "line" in message or "pair" in message
    assert len(report.skipped) == len(BAD_ROWS) + len(damaged)
    with pytest.raises((RenderError, ValueError)):
        render_dataset(preset("jsonl").open(tmp_path / "x"), tmp_path / "strict")
    assert not (tmp_path / "strict").exists()


def test_when_all_was_left_out_the_reason_is_kept(file: File, tmp_path: Path):
    path = lines(tmp_path / "x", file, GOOD | {"instruction": ""}, GOOD | {"edited_image": "c.jpg"})
    message = r"all 2 were left out \(1 x no instruction, 1 x an image is missing\); the first: .*line 1"
    with pytest.raises(ValueError, match=message):
        render_dataset(preset("jsonl").open(path), tmp_path / "data", skip_failures=True)
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.json", b'[\n {"a": 1},\n {"a": 2}\n]', "is a JSON array, not JSON Lines; .*jq -c"),
        ("pairs.jsonl", b'[{"a": 1}, {"a": 2}]', "is a JSON array"),
        ("pairs.json", b'{\n "a": 1\n}\n', "JSON over many lines"),
        ("pairs.csv", b"original_image,edited_image\na,b\n", "is a table of CSV, not JSON Lines: format=csv"),
        ("pairs.jsonl", b"PAR1xxxx", "a parquet file: format=hugging_face"),
        ("pairs.jsonl", b"PK\x03\x04", "a zip file"),
        ("pairs.jsonl", b"\x1f\x8b\x08", "a gzip file"),
        ("pairs.jsonl", '{"a": 1}'.encode("utf-16"), "UTF-16 text: convert it"),
    ],
)
def test_files_that_are_no_json_lines(name: str, content: bytes, message: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        preset("jsonl").open(tmp_path / name)


def test_truncated_images_are_found_at_the_import(file: File, tmp_path: Path):
    rows = [GOOD | {"original_image": name} for name in ("a.jpg", "cut.jpg", "cut.png", "empty.jpg")]
    path = lines(tmp_path / "x", file, *rows)
    for name, data in (("cut.jpg", file(1)[:-40]), ("cut.png", file(1, "PNG")[:-60]), ("empty.jpg", b"")):
        (path.parent / name).write_bytes(data)
    report = imported(path, tmp_path / "data")
    assert (report.info.pairs, len(report.skipped)) == (1, 3)
    assert all("original" in message for message in report.skipped)
    loose = render_dataset(preset("jsonl").open(path), tmp_path / "loose", skip_failures=True, decode=False)
    assert loose.info.pairs > 1, "their headers are sound"


def prompts(folder: Path, file: File, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "5_0.jpg").write_bytes(file(1))
        (folder / name / "5_1.jpg").write_bytes(file(2))
        (folder / name / "prompt.json").write_text('{"edit": "do"}')
    return folder


DAMAGED_PROMPTS: list[bytes | None] = [
    None,
    b"{",
    b'{"edit": "m\xfc"}',
    b"[" * 100_000,
    b'{"edit": "x", "caption": ["a"]}',
    b'{"edit": "x", "output": {"a": 1}}',
    b'{"edit": NaN}',
    b'{"edit": "x", "split": "../../y"}',
    b'{"edit": true}',
]


@pytest.mark.parametrize("prompt", DAMAGED_PROMPTS)
def test_damaged_prompts_are_skipped(prompt: bytes | None, file: File, tmp_path: Path):
    folder = prompts(tmp_path / "in", file, "0", "1", "2")
    (folder / "1" / "prompt.json").unlink()
    if prompt is not None:
        (folder / "1" / "prompt.json").write_bytes(prompt)
    (folder / "seeds.json").write_text('[["0", [5]], ["1", [5]], ["2", [5]], ["3", [5]]]')
    report = render_dataset(IP2PFolderSource(folder), tmp_path / "data", skip_failures=True)
    assert (report.info.pairs, len(report.skipped)) == (2, 2)
    with pytest.raises(ValueError, match=r"pair 1 of source|split is no name"):
        render_dataset(IP2PFolderSource(folder), tmp_path / "strict")


@pytest.mark.parametrize("name", ["5_0.jpg", "5_1.jpg"])
def test_missing_and_damaged_images_of_prompts_are_skipped(name: str, file: File, tmp_path: Path):
    folder = prompts(tmp_path / "in", file, "0", "1", "2", "3")
    (folder / "seeds.json").write_text(json.dumps([[str(number), [5]] for number in range(4)]))
    (folder / "1" / name).unlink()
    (folder / "2" / name).write_bytes(b"no image")
    (folder / "3" / "metadata.jsonl").write_bytes(b"[" * 100_000)
    report = render_dataset(IP2PFolderSource(folder), tmp_path / "data", skip_failures=True)
    assert (report.info.pairs, len(report.skipped)) == (1, 3)


def test_links_out_of_prompt_folders_are_refused(file: File, tmp_path: Path):
    (tmp_path / "private.jpg").write_bytes(file(9))
    prompts(tmp_path / "elsewhere", file, "p")
    folder = prompts(tmp_path / "in", file, "0", "1", "2")
    (folder / "1" / "5_0.jpg").unlink()
    (folder / "1" / "5_0.jpg").symlink_to(tmp_path / "private.jpg")
    (folder / "2" / "prompt.json").rename(tmp_path / "prompt.json")
    (folder / "2" / "prompt.json").symlink_to(tmp_path / "prompt.json")
    (folder / "3").symlink_to(tmp_path / "elsewhere" / "p")
    report = render_dataset(IP2PFolderSource(folder), tmp_path / "data", skip_failures=True)
    assert report.reasons == {"a path leads out of the folder": 3}
    assert ShardDataset(tmp_path / "data").column("id") == ["0/5"]


def test_what_prompt_folders_hold_besides_is_counted(file: File, tmp_path: Path):
    folder = prompts(tmp_path / "in", file, "0", "1", "__MACOSX")
    for name in ("._0", "readme.txt", "0/._5_0.jpg", "0/.DS_Store", "1/6_0.webp", "1/6_1.webp", "1/7_0.heic"):
        (folder / name).write_bytes(b"x")
    (folder / "empty").mkdir()
    report = render_dataset(IP2PFolderSource(folder), tmp_path / "data")
    assert report.info.pairs == 2
    counts = report.left_out.counts
    assert counts["companion file of macOS"] == 3
    assert counts["image in .webp, which these folders do not hold (convert it to PNG or JPEG)"] == 2
    assert counts["image in .heic, which these folders do not hold (convert it to PNG or JPEG)"] == 1
    assert (
        counts["file next to the prompt folders"] == counts["folder without pairs"] == counts["file of a desktop"] == 1
    )
    assert "1/6_0.webp, 1/6_1.webp" in str(report.left_out)


def test_tars_with_a_key_twice_or_strange_members(file: File, tmp_path: Path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for key in ("a", "b", "c", "d"):
            add(tar, f"{key}.original.jpg", file(1))
            add(tar, f"{key}.edited.jpg", file(2))
            add(tar, f"{key}.json", b'{"instruction": "do"}')
        add(tar, "b.edited.jpg", file(3))  # another pair of this key, without its original
        add(tar, "b.json", b'{"instruction": "another"}')
        add(tar, "c.original.png", file(4, "PNG"))  # two originals of one pair
        add(tar, "d.txt", b"x")
        add(tar, "d.instruction.txt", b"other words than the JSON's")
        add(tar, "._a.original.jpg", b"x")
        add(tar, "notes.npy", b"x")
        add(tar, "README", b"x")
    report = imported(tmp_path / "x.tar", tmp_path / "data", "webdataset")
    assert ShardDataset(tmp_path / "data").column("id") == ["x/a"]
    assert report.reasons == {
        "a member is there twice": 1,
        "'original' is there twice": 1,
        "'instruction' is there twice": 1,
    }
    assert report.left_out.counts == {"companion file of macOS": 1, ".npy member": 1, "member without an ending": 1}
    with pytest.raises(UnusablePair, match=r"x\.tar key b: a member is there twice .b\.edited\.jpg|b\.json"):
        render_dataset(preset("webdataset").open(tmp_path / "x.tar"), tmp_path / "strict")


def test_companions_and_damaged_files_among_tables(file: File, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    row = {"original_image": {"bytes": file(1)}, "edited_image": {"bytes": file(2)}, "instruction": "do"}
    pq.write_table(pa.Table.from_pylist([row, row]), folder / "train-0.parquet")
    (folder / "._train-0.parquet").write_bytes(b"x")
    (folder / "README.md").write_bytes(b"x")
    (folder / "train-1.parquet").write_bytes(b"PAR1")
    report = imported(folder, tmp_path / "data", "hugging_face")
    assert report.info.pairs == 2
    assert report.reasons == {"no readable parquet file": 1}
    assert report.left_out.counts == {"companion file of macOS": 1, ".md file": 1}
    with pytest.raises(UnusablePair, match=r"train-1\.parquet: no readable parquet file"):
        render_dataset(preset("hugging_face").open(folder), tmp_path / "strict")


def test_cells_and_columns_of_tables_are_bounded(file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    row = {"original_image": {"bytes": file(1)}, "edited_image": {"bytes": file(2)}, "instruction": "do"}
    big = row | {"original_image": {"bytes": file(1) + bytes(5000)}}
    pq.write_table(pa.Table.from_pylist([row, big]), tmp_path / "x.parquet")
    monkeypatch.setenv("IP2P_LIMIT_IMAGE_BYTES", "4000")
    report = imported(tmp_path / "x.parquet", tmp_path / "data", "hugging_face")
    assert report.reasons == {"a cell of column 'original_image' is too large": 1}
    bomb = pa.table({"instruction": ["x" * (300 * 2**20)], **{n: [b"x"] for n in ("original_image", "edited_image")}})
    pq.write_table(bomb, tmp_path / "bomb.parquet", compression="zstd")
    assert (tmp_path / "bomb.parquet").stat().st_size < 10**6
    with pytest.raises(UnusablePair, match=r"bomb.parquet.*column 'instruction' of .* bytes unpacks to"):
        preset("hugging_face").open(tmp_path / "bomb.parquet")


def test_ids_are_put_aside_or_get_a_prefix(file: File, tmp_path: Path):
    rows = [GOOD | {"id": "same"}, GOOD | {"id": "same"}]
    path = lines(tmp_path / "x", file, *rows)
    with pytest.raises(ValueError, match=r"'same' was added twice.*format.columns.id=null takes file and row"):
        render_dataset(preset("jsonl").open(path), tmp_path / "data")
    columns = Columns.of({"id": None, "group": None})
    assert read_all(columns, path) == ["pairs/00000001", "pairs/00000002"]
    report = render_dataset(preset("jsonl").open(lines(tmp_path / "y", file, GOOD)), tmp_path / "data", prefix="mine")
    assert report.info.pairs == 1
    assert ShardDataset(tmp_path / "data").column("id") == ["mine/pairs/00000001"]
    assert ShardDataset(tmp_path / "data").groups[0].startswith("mine/")


def read_all(columns: Columns, path: Path) -> list[str]:
    from ip2p_lightning.data.formats.json_lines import JsonLinesSource

    source = JsonLinesSource(path, columns)
    return [source.encoded(index).id for index in range(len(source))]
