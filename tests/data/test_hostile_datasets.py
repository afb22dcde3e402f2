"""Datasets whose checksums are right and whose content is not: a sentence with shard and pair, skipped where asked."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ip2p_lightning.data.dataset_info import DatasetError, DatasetInfo, file_sha256
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.verification import verify

Rows = list[dict[str, Any]]


def rewrite(dataset: Path, change: Callable[[Rows], object]) -> None:
    """Change the rows of the index, and make `dataset.json` describe what is there then."""
    table = pq.read_table(dataset / "index.parquet")
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), dataset / "index.parquet")
    describe(dataset)


def describe(dataset: Path) -> None:
    values = json.loads((dataset / "dataset.json").read_text())
    for entry in (values["index"], *values["shards"]):
        file = dataset / entry["name"]
        entry |= {"size": file.stat().st_size, "sha256": file_sha256(file)}
    (dataset / "dataset.json").write_text(json.dumps(values))


def with_member(dataset: Path, data: bytes, member: str = "json") -> None:
    """Give the first pair another member, with a right checksum."""
    shard = dataset / "shard-000000.tar"
    at = shard.stat().st_size
    shard.write_bytes(shard.read_bytes() + data)
    new = {f"{member}_offset": at, f"{member}_length": len(data), f"{member}_crc32": zlib.crc32(data)}
    rewrite(dataset, lambda rows: rows[0].update(new))


def member_of(dataset: Path, **change: Any) -> bytes:
    row = pq.read_table(dataset / "index.parquet").to_pylist()[0]
    data = (dataset / row["shard"]).read_bytes()[row["json_offset"] :][: row["json_length"]]
    return json.dumps(json.loads(data) | change).encode()


MEMBERS: list[tuple[bytes | dict[str, Any], str]] = [
    (b"[1,2]", "its JSON member lacks everything"),
    (b'{"id":"a"}', "its JSON member lacks edited_caption"),
    (b"[" * 100_000, "nested in more than"),
    (b"{nope", "damaged"),
    (b"\xff\xfe", "UTF-16"),
    (b'{"id": "a", "id": "a"}', "twice"),
    ({"metadata": None}, "no dict under 'metadata'"),
    ({"metadata": [1]}, "no dict under 'metadata'"),
    ({"metadata": {"x": float("nan")}}, "NaN is no number"),
    ({"instruction": None}, "no str under 'instruction'"),
    ({"original_caption": [1]}, "no str under 'original_caption'"),
    ({"id": 5}, "no str under 'id'"),
    ({"split": None}, "no str under 'split'"),
    ({"id": "pair/7"}, "the index leads to the bytes of another pair, 'pair/7'"),
]


@pytest.mark.parametrize(("member", "message"), MEMBERS)
def test_a_json_member_with_the_right_checksum_and_the_wrong_content(
    member: bytes | dict[str, Any], message: str, dataset: Path
):
    with_member(dataset, member if isinstance(member, bytes) else member_of(dataset, **member))
    with pytest.raises(DatasetError, match=f"shard-000000.tar: pair 'pair/0': .*{message}"):
        ShardDataset(dataset)[0]
    skipping = ShardDataset(dataset, on_error="skip")
    assert skipping[0].id != "pair/0"
    (skipped,) = skipping.take_skipped()
    assert message in skipped.message
    report = verify(dataset)
    assert [(problem.file, problem.id) for problem in report.problems] == [("shard-000000.tar", "pair/0")]
    assert report.sound_pairs == 99


def test_rows_that_point_to_anothers_bytes(dataset: Path):
    def twice(rows: Rows) -> None:
        places = {name: value for name, value in rows[1].items() if name.endswith(("_offset", "_length", "_crc32"))}
        rows[0].update(places | {"shard": rows[1]["shard"]})

    rewrite(dataset, twice)
    report = verify(dataset)
    problems = [(problem.file, problem.id, problem.text) for problem in report.problems]
    assert ("index.parquet", "pair/1", "has bytes that another pair has, too") in problems or (
        "index.parquet",
        "pair/0",
        "has bytes that another pair has, too",
    ) in problems
    assert any(id == "pair/0" and "bytes of another pair, 'pair/1'" in text for _, id, text in problems)
    with pytest.raises(DatasetError, match="pair 'pair/0': the index leads to the bytes of another pair"):
        ShardDataset(dataset)[0]


@pytest.mark.parametrize("column", ["id", "split", "group", "kind", "instruction"])
def test_cells_that_are_missing_from_the_index(column: str, dataset: Path):
    rewrite(dataset, lambda rows: rows[3].update({column: None}))
    assert any(f"rows without {column}" in str(problem) for problem in verify(dataset).problems)
    with pytest.raises(DatasetError, match=f"index.parquet has rows without {column}"):
        ShardDataset(dataset).column(column)


@pytest.mark.parametrize(
    "change",
    [
        {"json_offset": -5},
        {"json_offset": 2**60},
        {"json_length": 2**62},
        {"original_offset": 2**33},
        {"original_length": None},
        {"shard": "../../x.tar"},
        {"shard": None},
    ],
)
def test_places_that_are_nowhere(change: dict[str, Any], dataset: Path):
    rewrite(dataset, lambda rows: rows[3].update(change))
    with pytest.raises(DatasetError, match=r"index\.parquet|shard-0"):
        ShardDataset(dataset)


def test_members_are_bounded_before_they_are_read(dataset: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IP2P_LIMIT_IMAGE_BYTES", "500")
    with pytest.raises(DatasetError, match=r"original has .* bytes, more than 500 .IP2P_LIMIT_IMAGE_BYTES"):
        ShardDataset(dataset)[0]


def test_what_lies_between_the_members_is_not_read(dataset: Path):
    shard = dataset / "shard-000000.tar"
    at = shard.stat().st_size
    data = member_of(dataset)
    with shard.open("r+b") as file:
        file.truncate(2**31)  # sparse
        file.seek(2**31)
        file.write(data)
    new = {"json_offset": 2**31, "json_length": len(data), "json_crc32": zlib.crc32(data)}
    table = pq.read_table(dataset / "index.parquet")
    rows = table.to_pylist()
    rows[0].update(new)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), dataset / "index.parquet")
    values = json.loads((dataset / "dataset.json").read_text())
    index = dataset / "index.parquet"
    values["index"] |= {"size": index.stat().st_size, "sha256": file_sha256(index)}
    values["shards"][0]["size"] = shard.stat().st_size
    (dataset / "dataset.json").write_text(json.dumps(values))
    read = ShardDataset(dataset)
    asked: list[int] = []
    shards = read._reader._shards
    original = shards.read
    shards.read = lambda shard, start, length: asked.append(length) or original(shard, start, length)  # type: ignore[method-assign]
    assert read[0].id == "pair/0"
    assert max(asked) < at


def test_an_index_that_unpacks_to_far_more_than_it_is(dataset: Path):
    table = pq.read_table(dataset / "index.parquet")
    long = pa.array(["x" * 2**20] * 100).dictionary_encode()
    bomb = table.set_column(table.column_names.index("instruction"), "instruction", long.cast(pa.string()))
    bomb = pa.concat_tables([bomb] * 3)
    pq.write_table(bomb, dataset / "index.parquet", compression="zstd")
    assert (dataset / "index.parquet").stat().st_size < 10**5
    values = json.loads((dataset / "dataset.json").read_text())
    for entry in (values, values["index"], *values["shards"]):
        entry["pairs"] *= 3
    values["splits"] = {name: 3 * count for name, count in values["splits"].items()}
    (dataset / "dataset.json").write_text(json.dumps(values))
    describe(dataset)
    with pytest.raises(DatasetError, match=r"column 'instruction': 314,\d+,\d+ bytes of a text column"):
        ShardDataset(dataset).column("instruction")


def test_an_index_in_many_row_groups_is_read(dataset: Path):
    table = pq.read_table(dataset / "index.parquet")
    pq.write_table(table, dataset / "index.parquet", row_group_size=7)
    describe(dataset)
    read = ShardDataset(dataset)
    for name in ("id", "split", "group", "instruction", "seed", "score_clip_image"):
        assert read.column(name) == table.column(name).to_pylist()
    assert verify(dataset).ok


INFOS: list[dict[str, Any]] = [
    {"pairs": "12"},
    {"pairs": None},
    {"pairs": -1},
    {"pairs": 0},
    {"pairs": True},
    {"pairs": 10**30},
    {"pairs": 99},
    {"splits": {"train": 99, "test": 10}},
    {"splits": []},
    {"schema_version": "1"},
    {"schema_version": None},
    {"name": 5},
    {"provenance": [1]},
    {"shards": 5},
    {"shards": [{"name": "shard-000000.tar", "size": 10**30, "sha256": "0" * 64, "pairs": 100}]},
    {"shards": [{"name": "shard-000000.tar", "size": "81920", "sha256": "0" * 64, "pairs": 100}]},
    {"shards": [{"name": "../x.tar", "size": 5, "sha256": "0" * 64, "pairs": 100}]},
    {"shards": [{"name": ["a"], "size": 5, "sha256": "0" * 64, "pairs": 100}]},
    {"shards": [{"name": "shard-000000.tar", "size": 5, "sha256": 5, "pairs": 100}]},
    {"index": None},
    {"more": 1},
]


@pytest.mark.parametrize("change", INFOS)
def test_descriptions_of_other_types_and_numbers(change: dict[str, Any], dataset: Path):
    values = json.loads((dataset / "dataset.json").read_text()) | change
    with pytest.raises(DatasetError, match=r"^dataset\.json is damaged"):
        DatasetInfo.parse(json.dumps(values).encode(), "dataset.json")


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b"[1]", b"", b"\xff", b'{"pairs": NaN}', b'{"pairs": 1, "pairs": 2}']
)
def test_descriptions_that_are_no_json(content: bytes, dataset: Path):
    (dataset / "dataset.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"dataset\.json is damaged"):
        ShardDataset(dataset)
    assert [problem.file for problem in verify(dataset).problems] == ["dataset.json"]
