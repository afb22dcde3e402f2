"""Foreign files are read as they are found in the wild; damage and malice are named by file and row."""

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
import webdataset

from ip2p_lightning import limits
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.formats.base import export_pairs
from ip2p_lightning.data.formats.hugging_face import HuggingFace
from ip2p_lightning.data.formats.ip2p_folder import IP2PFolder
from ip2p_lightning.data.formats.json_lines import JsonLines
from ip2p_lightning.data.formats.webdataset import WebDataset
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import render_dataset
from tests.data.formats.conftest import contents, full_pair
from tests.data.formats.test_round_trip import preset

File = Callable[..., bytes]


def add(tar: tarfile.TarFile, name: str, data: bytes, **options: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in options.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


def magicbrush_rows(file: File) -> list[dict[str, Any]]:
    return [
        {"img_id": "242679", "turn_index": turn, "instruction": f"do {turn}"}
        | {
            column: {"bytes": file(number, "PNG"), "path": None}
            for number, column in enumerate(("source_img", "mask_img", "target_img"), start=3 * turn)
        }
        for turn in (1, 2, 3)
    ]


def test_parquet_files_by_split(file: File, tmp_path: Path):
    rows = magicbrush_rows(file)
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data/train-00000-of-00001.parquet", row_group_size=2)
    pq.write_table(pa.Table.from_pylist(rows[:1] * 40), tmp_path / "data/dev-00000-of-00001.parquet")
    source = preset("magicbrush").open(tmp_path)
    assert len(source) == 43
    pairs = [source.encoded(index) for index in (42, 0, 41, 39, 40)]  # in any order
    assert [pair.id for pair in pairs] == ["242679-3", "242679-1", "242679-2", "242679-1", "242679-1"]
    assert [pair.split for pair in pairs] == ["train", "validation", "train", "validation", "train"]
    assert pairs[0].original_image == rows[2]["source_img"]["bytes"]
    assert pairs[0].group == "242679"
    assert pairs[0].metadata == {"turn": 3}
    assert pairs[0].mask is not None


def test_loader_processes_read_tables_alike(file: File, tmp_path: Path):
    pq.write_table(pa.Table.from_pylist(magicbrush_rows(file) * 20), tmp_path / "train.parquet")
    source = HuggingFace(
        {"original_image": "source_img", "edited_image": "target_img"}, numbers={"turn": "turn_index"}
    ).open(tmp_path)
    for name, workers in (("alone", 0), ("together", 2)):
        assert render_dataset(source, tmp_path / name, workers=workers).info.pairs == 60
    assert contents(tmp_path / "alone") == contents(tmp_path / "together")


def test_arrow_files_of_save_to_disk(file: File, tmp_path: Path):
    table = pa.Table.from_pylist(magicbrush_rows(file))
    for folder, writer in (("train", pa.ipc.new_stream), ("validation", pa.ipc.new_file)):
        (tmp_path / folder).mkdir()
        with writer(str(tmp_path / folder / "data-00000-of-00001.arrow"), table.schema) as opened:
            opened.write_table(table)
    source = preset("magicbrush").open(tmp_path)
    assert [source.encoded(index).split for index in range(6)] == ["train"] * 3 + ["validation"] * 3
    assert source[5].instruction == "do 3"


def test_what_is_wrong_with_tables_is_said(file: File, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="holds no parquet or arrow file"):
        HuggingFace().open(tmp_path)
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1 and so on")
    with pytest.raises(ValueError, match=r"train.parquet: no readable parquet file"):
        HuggingFace().open(path)
    rows: list[dict[str, Any]] = [{"before": {"bytes": None, "path": "/etc/passwd"}, "after": {"bytes": file(1)}}]
    pq.write_table(pa.Table.from_pylist([row | {"instruction": "do"} for row in rows]), path)
    with pytest.raises(ValueError, match="no column for original_image: none of original_image is among before, after"):
        HuggingFace().open(path)
    source = HuggingFace({"original_image": "before", "edited_image": "after"}).open(path)
    with pytest.raises(UnusablePair, match=r"train.parquet row 0: no bytes in column 'before' \(/etc/passwd"):
        source.encoded(0)


def test_exported_tables_have_the_types_of_datasets(tmp_path: Path, full_dataset: Path):
    export_pairs(ShardDataset(full_dataset), preset("magicbrush"), tmp_path / "exported")
    names = sorted(path.name for path in (tmp_path / "exported/data").iterdir())
    assert names == [f"{split}-00000-of-00001.parquet" for split in ("test", "train", "validation")]
    schema = pq.read_schema(tmp_path / "exported/data/train-00000-of-00001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["source_img"] == {"_type": "Image"}
    assert features["instruction"] == {"dtype": "string", "_type": "Value"}
    assert schema.field("source_img").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_tars_of_other_peoples_names(file: File, tmp_path: Path):
    with tarfile.open(tmp_path / "pairs.tar", "w") as tar:
        add(tar, "a/0001.input.jpg", file(1))
        add(tar, "a/0001.output.png", file(2, "PNG"))
        add(tar, "a/0001.txt", b"make it red\n")
        add(tar, "a/0002.input.jpg", file(3))
        add(tar, "a/0002.edited.jpg", file(4))
        add(tar, "a/0002.json", b'{"edit": "make it blue", "url": "u", "input_caption": "a"}')
    source = WebDataset({"instruction": ["txt", "edit"], "original_caption": "input_caption"}, metadata=["url"]).open(
        tmp_path
    )
    first, second = source.encoded(0), source.encoded(1)
    assert (first.id, first.instruction, first.edited_image) == ("pairs/a/0001", "make it red", file(2, "PNG"))
    assert (second.instruction, second.original_caption, second.metadata) == ("make it blue", "a", {"url": "u"})


def test_malice_in_tars_stays_there(file: File, tmp_path: Path):
    with tarfile.open(tmp_path / "pairs.tar", "w") as tar:
        add(tar, "../../escape.input.jpg", file(1))
        add(tar, "../../escape.output.jpg", file(2))
        add(tar, "../../escape.txt", b"do")
        add(tar, "link.input.jpg", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "link.output.jpg", file(3))
        add(tar, "link.txt", b"do")
        add(tar, "bomb.input.jpg", file(1))
        add(tar, "bomb.output.jpg", file(2))
        add(tar, "bomb.json", b"[" * 100_000)
        add(tar, "long.input.jpg", file(1))
        add(tar, "long.output.jpg", file(2))
        add(tar, "long.txt", b"x" * (limits.ROW_BYTES.value + 1))
    source = preset("webdataset").open(tmp_path)
    report = render_dataset(source, tmp_path / "data", skip_failures=True)
    assert report.info.pairs == 1
    assert report.reasons == {
        "no image for original_image": 1,
        "damaged JSON": 1,
        "a member is too large": 1,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "pairs.tar"]


def test_damaged_and_compressed_tars(file: File, tmp_path: Path):
    with tarfile.open(tmp_path / "pairs.tar", "w") as tar:
        for key in ("a", "b"):
            add(tar, f"{key}.txt", b"do")
            add(tar, f"{key}.input.jpg", file(1))
            add(tar, f"{key}.output.jpg", file(2) + bytes(5000))
    content = (tmp_path / "pairs.tar").read_bytes()
    start = content.rindex(file(2)[:64])
    (tmp_path / "pairs.tar").write_bytes(content[: start + 100])
    source = preset("webdataset").open(tmp_path / "pairs.tar")
    assert (len(source), source.encoded(0).id) == (1, "pairs/a")
    with pytest.raises(UnusablePair, match="pair at the damage"):
        render_dataset(source, tmp_path / "strict")
    report = render_dataset(source, tmp_path / "data", skip_failures=True)
    assert report.reasons == {"a pair at the damage of a tar": 1, "no readable, uncompressed tar": 1}
    assert "it ends inside the member 'b.output.jpg'" in report.skipped[1]
    with tarfile.open(tmp_path / "pairs.tar", "w:gz") as tar:
        add(tar, "a.txt", b"do")
    with pytest.raises(ValueError, match=r"no readable, uncompressed tar .it is packed with gzip"):
        preset("webdataset").open(tmp_path)


def test_exported_tars_are_webdatasets(tmp_path: Path, full_dataset: Path):
    export_pairs(ShardDataset(full_dataset), preset("webdataset"), tmp_path / "exported")
    samples = list(webdataset.WebDataset(str(tmp_path / "exported/train-000000.tar"), shardshuffle=False))
    pairs = {pair.id: pair for pair in map(full_pair, range(20))}
    for sample in samples:
        pair = pairs[json.loads(sample["json"])["id"]]
        assert sample["edited.jpg"] == pair.edited_image
        assert json.loads(sample["json"])["instruction"] == pair.instruction


def test_lines_that_cannot_be_used(file: File, tmp_path: Path):
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes(file(0))
    (folder / "a.jpg").write_bytes(file(1))
    (folder / "b.jpg").write_bytes(file(2))
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    good = {"original": "a.jpg", "edited": "b.jpg", "instruction": "do"}
    lines = [
        json.dumps(good),
        "",
        json.dumps(good | {"edited": "../secret.jpg"}),
        json.dumps(good | {"edited": str(tmp_path / "secret.jpg")}),
        json.dumps(good | {"edited": "link.jpg"}),
        json.dumps(good | {"edited": "a.jpg\u0000"}),
        json.dumps(good | {"edited": "c.jpg"}),
        json.dumps(good | {"edited": 5}),
        "{",
        "[1]",
        json.dumps(good | {"note": "x" * limits.ROW_BYTES.value}),
        json.dumps(good | {"instruction": "last"}),
    ]
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    source = preset("jsonl").open(folder)
    report = render_dataset(source, tmp_path / "data", skip_failures=True)
    assert [row["instruction"] for row in _rows(tmp_path / "data")] == ["do", "last"]
    assert report.reasons == {
        "a path leads out of the folder": 4,
        "an image is missing": 1,
        "key 'edited' should hold a path": 1,
        "damaged line": 1,
        "no JSON object": 1,
        "line too long": 1,
    }
    assert any("pairs.jsonl line 7: an image is missing (c.jpg is not in" in text for text in report.skipped)
    with pytest.raises(ValueError, match="line 3: a path leads out of the folder"):
        render_dataset(source, tmp_path / "strict")
    assert not (tmp_path / "strict").exists()


def test_lines_without_files(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no folder with files that end in .jsonl"):
        JsonLines().open(tmp_path)
    (tmp_path / "pairs.jsonl").write_text("\n \n")
    with pytest.raises(ValueError, match="has no lines"):
        JsonLines().open(tmp_path)


def test_the_folder_of_instruct_pix2pix_as_others_read_it(tmp_path: Path, full_dataset: Path):
    report = export_pairs(ShardDataset(full_dataset), IP2PFolder(), tmp_path / "exported")
    assert report.notes == [
        "7 pairs are PNG files, which keep their bytes; InstructPix2Pix's own loader opens .jpg alone"
    ]
    listing = json.loads((tmp_path / "exported/seeds.json").read_text())
    assert sum(len(seeds) for _, seeds in listing) == 20
    name, seeds = listing[-1]
    prompt = json.loads((tmp_path / "exported" / name / "prompt.json").read_text())
    assert prompt["caption"] == prompt["input"] == "a hill"
    rows = [json.loads(line) for line in (tmp_path / "exported" / name / "metadata.jsonl").read_text().splitlines()]
    assert rows[0]["seed"] == int(seeds[0])
    assert (rows[0]["p2p_threshold"], rows[0]["cfg_scale"], rows[0]["clip_sim_image"]) == (0.25, 9.5, 0.8)
    assert list((tmp_path / "exported" / name).glob(f"{seeds[0]}_0.*"))


def _rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path / "index.parquet").to_pylist()
