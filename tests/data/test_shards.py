"""What the writer leaves on disk: readable by others, byte-equal for equal pairs, complete or not there at all."""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from PIL import Image

from ip2p_lightning.data.dataset_info import DatasetError, DatasetInfo
from ip2p_lightning.data.encoded import EncodedPair, encode_pair
from ip2p_lightning.data.shards import ShardWriter


def jpeg(seed: int, size: tuple[int, int] = (16, 16), format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def test_folder_has_the_promised_layout(dataset: Path) -> None:
    info = DatasetInfo.load(dataset)
    assert (info.pairs, info.name, info.licence) == (100, "noise", "CC0-1.0")
    assert info.splits == {"test": 10, "train": 80, "validation": 10}
    assert info.kinds == {"recolour": 34, "remove": 33, "season": 33}
    assert len(info.shards) > 1
    assert sum(shard.pairs for shard in info.shards) == 100
    assert {file.name for file in dataset.iterdir()} == {
        "dataset.json",
        "index.parquet",
        *(shard.name for shard in info.shards),
    }
    assert not [file for file in dataset.parent.iterdir() if file != dataset], "temporary files are left over"


def test_index_points_at_every_member(dataset: Path) -> None:
    for row in pq.read_table(dataset / "index.parquet").to_pylist():
        shard = (dataset / row["shard"]).read_bytes()
        for member in ("original", "edited", "json") + (("mask",) if row["mask_length"] else ()):
            data = shard[row[f"{member}_offset"] :][: row[f"{member}_length"]]
            assert zlib.crc32(data) == row[f"{member}_crc32"]
            assert data.startswith(b"{" if member == "json" else b"\x89PNG")
    assert (row["width"], row["height"], row["seed"], row["threshold"]) == (16, 16, 99, 0.5)
    assert row["score_clip_image"] == 0.99


def test_plain_tar_reads_the_shards(dataset: Path, pairs) -> None:
    names = []
    for shard in sorted(dataset.glob("*.tar")):
        with tarfile.open(shard) as tar:
            names += tar.getnames()
            values = json.load(tar.extractfile(next(name for name in tar.getnames() if name.endswith(".json"))))
            assert values["instruction"].startswith("do number")
            assert values["metadata"]["note"] == ["x", 1]
    assert len(names) == 100 * 3 + 50
    assert len(set(names)) == len(names)


def test_webdataset_reads_the_shards(dataset: Path, pairs) -> None:
    shards = [str(path) for path in sorted(dataset.glob("*.tar"))]
    samples = list(wds.WebDataset(shards, shardshuffle=False).decode("pil"))
    assert len(samples) == 100
    source = pairs(100)
    for number in (0, 57, 99):
        sample, pair = samples[number], source[number]
        assert sample["json"]["id"] == pair.id
        assert sample["json"]["expressive_instruction"] == pair.expressive_instruction
        assert sample["original.png"].tobytes() == pair.original_image.tobytes()
        assert sample["edited.png"].tobytes() == pair.edited_image.tobytes()
        assert ("mask.png" in sample) == (pair.mask is not None)


def test_equal_pairs_give_equal_files(dataset: Path, tmp_path: Path, pairs) -> None:
    source = pairs(100)
    with ShardWriter(tmp_path / "again", name="noise", licence="CC0-1.0", max_shard_bytes=60_000) as writer:
        for number in range(100):
            split = "train" if number < 80 else "validation" if number < 90 else "test"
            writer.add(encode_pair(source[number]), split)
    for file in dataset.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_fingerprint_depends_on_content_not_on_shard_size(dataset: Path, tmp_path: Path, pairs) -> None:
    def write(name: str, changed: bool) -> str:
        with ShardWriter(tmp_path / name) as writer:
            for number in range(100):
                pair = pairs(100)[number]
                pair = replace(pair, instruction="else") if changed and number == 50 else pair
                writer.add(pair, "train" if number < 80 else "validation" if number < 90 else "test")
        return DatasetInfo.load(tmp_path / name).fingerprint

    expected = DatasetInfo.load(dataset).fingerprint
    assert write("one_shard", changed=False) == expected
    assert write("one_text", changed=True) != expected


def test_ready_bytes_are_never_encoded_again(tmp_path: Path) -> None:
    first, second = jpeg(0), jpeg(1, format="PNG")
    with ShardWriter(tmp_path / "data") as writer:
        writer.add(EncodedPair("a", first, second, "do it", split="test"))
    with tarfile.open(tmp_path / "data" / "shard-000000.tar") as tar:
        assert tar.getnames() == ["000000-000000.original.jpg", "000000-000000.edited.png", "000000-000000.json"]
        assert tar.extractfile("000000-000000.original.jpg").read() == first
        assert tar.extractfile("000000-000000.edited.png").read() == second
    assert DatasetInfo.load(tmp_path / "data").splits == {"test": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instruction": "  "}, "pair 'a' has no instruction"),
        ({"edited_image": jpeg(1, (8, 16))}, r"pair 'a'.*original 16 x 16, edited 8 x 16"),
        ({"edited_image": jpeg(1, format="BMP")}, r"pair 'a': edited is BMP; shards hold PNG and JPEG"),
        ({"edited_image": b"nothing"}, r"pair 'a' edited: not a readable image"),
        ({"metadata": {"x": object()}}, r"pair 'a': metadata must be plain JSON"),
        ({"metadata": {"x": float("nan")}}, r"pair 'a': metadata must be plain JSON"),
        ({"metadata": {"seed": "seven"}}, r"pair 'a': metadata seed='seven' must be a number"),
    ],
)
def test_unusable_pairs_are_named(change: dict, message: str, tmp_path: Path) -> None:
    good = EncodedPair("a", jpeg(0), jpeg(1), "do it")
    with pytest.raises(ValueError, match=message), ShardWriter(tmp_path / "data") as writer:
        writer.add(replace(good, **change))
    assert not list(tmp_path.iterdir()), "an error must leave nothing behind"


def test_numpy_values_in_metadata_are_stored_as_numbers(tmp_path: Path) -> None:
    metadata = {"seed": np.int64(3), "scores": {"clip_image": np.float32(0.5)}}
    with ShardWriter(tmp_path / "data") as writer:
        writer.add(EncodedPair("a", jpeg(0), jpeg(1), "do it", metadata=metadata))
    row = pq.read_table(tmp_path / "data" / "index.parquet").to_pylist()[0]
    assert (row["seed"], row["score_clip_image"]) == (3, 0.5)


def test_ids_are_unique(tmp_path: Path, pairs) -> None:
    with ShardWriter(tmp_path / "data") as writer:
        writer.add(pairs(1)[0])
        with pytest.raises(ValueError, match="'pair/0' was added twice"):
            writer.add(pairs(1)[0])
    assert DatasetInfo.load(tmp_path / "data").pairs == 1


def test_nothing_is_overwritten_silently(dataset: Path, tmp_path: Path, pairs) -> None:
    before = DatasetInfo.load(dataset)
    with pytest.raises(FileExistsError, match="overwrite=true"):
        ShardWriter(dataset)
    with ShardWriter(dataset, overwrite=True) as writer:
        writer.add(pairs(1)[0])
    assert DatasetInfo.load(dataset).pairs == 1 != before.pairs
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="no dataset folder"):
        ShardWriter(other, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"dataset", "thesis"}


def test_an_interrupted_overwrite_keeps_the_old_dataset(dataset: Path, pairs) -> None:
    before = (dataset / "dataset.json").read_bytes()
    writer = ShardWriter(dataset, overwrite=True)
    writer.add(pairs(1)[0])
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert (dataset / "dataset.json").read_bytes() == before
    assert [path.name for path in dataset.parent.iterdir()] == ["dataset"]


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no pair was added"), ShardWriter(tmp_path / "data"):
        pass
    assert not list(tmp_path.iterdir())


def test_dataset_json_errors_name_the_file(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder.*ip2p data render"):
        DatasetInfo.load(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"has no dataset\.json"):
        DatasetInfo.load(tmp_path)
    path = dataset / "dataset.json"
    values = json.loads(path.read_text())
    for text, message in (
        ("{", "damaged"),
        (json.dumps(values | {"schema_version": 99}), "schema version 99"),
        (json.dumps({key: value for key, value in values.items() if key != "shards"}), "damaged"),
        (json.dumps(values | {"shards": [values["shards"][0] | {"name": "../../secret.tar"}]}), r"secret\.tar"),
    ):
        path.write_text(text)
        with pytest.raises(DatasetError, match=message):
            DatasetInfo.load(dataset)
