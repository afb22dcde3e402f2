"""Each kind of damage is found and named: truncated, changed, overwritten, missing, copied and exchanged shards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ip2p_lightning.data.dataset_info import DatasetInfo, file_sha256
from ip2p_lightning.data.encoded import EncodedPair, encode_pair
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.data.verification import VerifyReport, verify


def found(report: VerifyReport) -> list[tuple[str, str]]:
    return [(problem.file, problem.id) for problem in report.problems]


def rows(dataset: Path, shard: str) -> list[dict]:
    return [row for row in pq.read_table(dataset / "index.parquet").to_pylist() if row["shard"] == shard]


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_whole_dataset_is_whole(dataset: Path) -> None:
    advanced: list[int] = []
    report = verify(dataset, decode=True, advance=advanced.append)
    assert report.ok
    assert (report.pairs, report.sound_pairs) == (100, 100)
    assert report.shards == len(advanced) == len(list(dataset.glob("*.tar")))
    assert sum(advanced) == 100


def test_a_flipped_bit_names_shard_pair_and_member(dataset: Path) -> None:
    row = rows(dataset, "shard-000001.tar")[2]
    shard = dataset / row["shard"]
    at = row["edited_offset"] + 100
    overwrite(shard, at, bytes([shard.read_bytes()[at] ^ 4]))
    report = verify(dataset)
    assert found(report) == [("shard-000001.tar", ""), ("shard-000001.tar", row["id"])]
    assert str(report.problems[1]).startswith(
        f"shard-000001.tar: pair {row['id']!r}: edited does not have the checksum"
    )
    assert report.sound_pairs == 99


def test_a_flipped_bit_outside_the_pairs_is_found(dataset: Path) -> None:
    overwrite(dataset / "shard-000001.tar", 0, b"9")
    report = verify(dataset)
    assert found(report) == [("shard-000001.tar", "")]
    assert report.sound_pairs == 100


def test_four_overwritten_kilobytes_name_the_pairs_they_hit(dataset: Path) -> None:
    first, second = rows(dataset, "shard-000002.tar")[1:3]
    overwrite(dataset / first["shard"], second["original_offset"] - 3000, b"\xaa" * 4096)
    report = verify(dataset)
    assert [problem.id for problem in report.problems] == ["", first["id"], second["id"]]
    assert report.sound_pairs == 98


def test_a_truncated_shard_names_the_pairs_that_are_gone(dataset: Path) -> None:
    gone = rows(dataset, "shard-000000.tar")[-3:]
    shard = dataset / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[: gone[0]["original_offset"] + 10])
    report = verify(dataset)
    assert "bytes instead of" in report.problems[0].text
    assert [problem.id for problem in report.problems[1:]] == [row["id"] for row in gone]
    assert report.sound_pairs == 97


def test_a_missing_shard_is_named_with_its_pairs(dataset: Path) -> None:
    shard = DatasetInfo.load(dataset).shards[1]
    (dataset / shard.name).unlink()
    report = verify(dataset)
    assert [str(problem) for problem in report.problems] == [
        f"{shard.name}: is missing, and {shard.pairs} pairs with it"
    ]
    assert report.sound_pairs == 100 - shard.pairs


def test_an_extra_copy_of_a_shard_is_named(dataset: Path) -> None:
    shutil.copy(dataset / "shard-000000.tar", dataset / "shard-000099.tar")
    (dataset / "notes.tar").write_bytes(b"x")
    report = verify(dataset)
    assert [str(problem) for problem in report.problems] == [
        "notes.tar: is not listed in dataset.json; move it away",
        "shard-000099.tar: is a duplicate of shard-000000.tar; move it away",
    ]
    assert report.sound_pairs == 100


def test_a_shard_copied_over_another_is_named(dataset: Path) -> None:
    shutil.copy(dataset / "shard-000000.tar", dataset / "shard-000001.tar")
    report = verify(dataset)
    assert found(report) == [("shard-000001.tar", "")]
    assert "holds the content of shard-000000.tar" in report.problems[0].text


def test_exchanged_shards_are_named(dataset: Path) -> None:
    first, second = dataset / "shard-000000.tar", dataset / "shard-000001.tar"
    first.rename(dataset / "x")
    second.rename(first)
    (dataset / "x").rename(second)
    report = verify(dataset)
    assert [(problem.file, problem.text.split(":")[0]) for problem in report.problems] == [
        ("shard-000000.tar", "holds the content of shard-000001.tar"),
        ("shard-000001.tar", "holds the content of shard-000000.tar"),
    ]


def test_a_changed_index_is_found_and_the_shards_are_checked_all_the_same(dataset: Path) -> None:
    (dataset / "index.parquet").write_bytes(b"no")
    overwrite(dataset / "shard-000001.tar", 0, b"9")
    report = verify(dataset)
    assert found(report) == [("index.parquet", ""), ("shard-000001.tar", "")]
    assert report.sound_pairs == 0


def test_an_id_listed_twice_is_found(dataset: Path) -> None:
    table = pq.read_table(dataset / "index.parquet")
    repeated = table.to_pylist()
    repeated[99]["id"] = "pair/0"
    pq.write_table(table.from_pylist(repeated, table.schema), dataset / "index.parquet")
    assert found(verify(dataset)) == [("index.parquet", "")]
    values = json.loads((dataset / "dataset.json").read_text())
    values["index"] |= {
        "size": (dataset / "index.parquet").stat().st_size,
        "sha256": file_sha256(dataset / "index.parquet"),
    }
    (dataset / "dataset.json").write_text(json.dumps(values))
    assert found(verify(dataset)) == [("index.parquet", "pair/0"), ("shard-000007.tar", "pair/0")]


def test_a_damaged_description_is_found_and_a_missing_dataset_is_an_error(dataset: Path, tmp_path: Path) -> None:
    values = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps(values)[:-5])
    assert found(verify(dataset)) == [("dataset.json", "")]
    with pytest.raises(FileNotFoundError, match="no dataset at"):
        verify(tmp_path / "gone")


def test_decoding_finds_pictures_that_were_broken_when_imported(tmp_path: Path, pairs) -> None:
    good = encode_pair(pairs(1, (32, 32))[0])
    with ShardWriter(tmp_path / "data") as writer:
        writer.add(good)
        writer.add(EncodedPair("cut", good.original_image[:900], good.edited_image, "do it"))
    assert verify(tmp_path / "data").ok
    report = verify(tmp_path / "data", decode=True)
    assert found(report) == [("shard-000000.tar", "cut")]
    assert "original: damaged or truncated image" in report.problems[0].text
