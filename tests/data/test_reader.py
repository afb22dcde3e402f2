"""What is read equals what was written; damage is an error that names shard and id."""

from __future__ import annotations

import io
import json
import multiprocessing
import pickle
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from torch.utils.data import DataLoader

from ip2p_lightning.data.dataset_info import DatasetError, file_sha256
from ip2p_lightning.data.encoded import EncodedPair
from ip2p_lightning.data.images import ImageError
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.data.sources import EncodedSource, PairSource
from ip2p_lightning.data.storage import RemoteAccess


def row_of(dataset: Path, number: int) -> dict:
    return pq.read_table(dataset / "index.parquet").slice(number, 1).to_pylist()[0]


def damage(dataset: Path, row: dict, member: str = "original", replacement: bytes | None = None) -> None:
    """Flip one bit in the middle of a member, or overwrite it from its start."""
    with (dataset / row["shard"]).open("r+b") as file:
        at = row[f"{member}_offset"] if replacement else row[f"{member}_offset"] + row[f"{member}_length"] // 2
        file.seek(at)
        data = replacement or bytes([file.read(1)[0] ^ 1])
        file.seek(at)
        file.write(data)


def test_round_trip_keeps_every_pixel_and_text(dataset: Path, pairs) -> None:
    read, source = ShardDataset(dataset), pairs(100)
    assert len(read) == 100
    for number in (0, 1, 42, 99):
        ours, theirs = read[number], source[number]
        assert ours.original_image.tobytes() == theirs.original_image.tobytes()
        assert ours.edited_image.tobytes() == theirs.edited_image.tobytes()
        assert (ours.mask is None) == (theirs.mask is None)
        if theirs.mask is not None:
            assert ours.mask.tobytes() == theirs.mask.tobytes()
        for name in ("id", "instruction", "expressive_instruction", "original_caption", "kind", "group", "metadata"):
            assert getattr(ours, name) == getattr(theirs, name)


def test_copying_a_dataset_keeps_its_bytes(dataset: Path, tmp_path: Path) -> None:
    read = ShardDataset(dataset)
    with ShardWriter(tmp_path / "copy", name="noise", licence="CC0-1.0", max_shard_bytes=60_000) as writer:
        for number in range(len(read)):
            writer.add(read.encoded(number))
    for file in dataset.iterdir():
        assert file.read_bytes() == (tmp_path / "copy" / file.name).read_bytes()


def test_it_is_a_pair_source_with_a_fingerprint_of_its_selection(dataset: Path) -> None:
    everything, half = ShardDataset(dataset), ShardDataset(dataset, Selection(size=50))
    assert isinstance(everything, PairSource)
    assert isinstance(everything, EncodedSource)
    assert everything.fingerprint() == ShardDataset(dataset).fingerprint() != half.fingerprint()
    assert everything.score_names == ["clip_image"]


def test_indices_outside_are_errors(dataset: Path) -> None:
    read = ShardDataset(dataset)
    assert read[-1].id == "pair/99"
    with pytest.raises(IndexError, match="pair 100 of 100"):
        read[100]


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_pickle_and_workers_read_the_same(dataset: Path, start: str) -> None:
    read = ShardDataset(dataset, Selection(size=8))
    expected = [read[number].id for number in range(8)]  # opens files, which workers must not share
    copy = pickle.loads(pickle.dumps(read))
    assert copy[5].original_image.tobytes() == read[5].original_image.tobytes()
    workers = multiprocessing.get_context(start)
    loader = DataLoader(read, batch_size=4, num_workers=2, collate_fn=_ids, multiprocessing_context=workers)
    assert [id for batch in loader for id in batch] == expected


def _ids(pairs: list) -> list[str]:
    return [pair.id for pair in pairs]


def test_more_shards_than_open_files(dataset: Path) -> None:
    read = ShardDataset(dataset)
    read._reader._shards._files.limit = 1
    assert [read[number].id for number in (0, 99, 1, 98)] == ["pair/0", "pair/99", "pair/1", "pair/98"]


@pytest.mark.parametrize("member", ["original", "edited", "mask"])
def test_a_flipped_bit_is_an_error(dataset: Path, member: str) -> None:
    row = row_of(dataset, 51)
    damage(dataset, row, member)
    read = ShardDataset(dataset)
    assert read[50].id == "pair/50"
    with pytest.raises(DatasetError, match=rf"{row['shard']}: pair 'pair/51': {member} .*checksum.*ip2p data verify"):
        read[51]


def test_overwritten_kilobytes_are_an_error(dataset: Path) -> None:
    row = row_of(dataset, 3)
    damage(dataset, row, replacement=b"\0" * 4096)
    with pytest.raises(DatasetError, match=rf"{row['shard']}: pair 'pair/3'"):
        ShardDataset(dataset)[3]


def test_truncated_and_missing_shards_are_found_at_once(dataset: Path) -> None:
    shard = dataset / row_of(dataset, 99)["shard"]
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=rf"{shard.name} has .* bytes instead of"):
        ShardDataset(dataset)
    shard.unlink()
    with pytest.raises(DatasetError, match=rf"{shard.name} is missing"):
        ShardDataset(dataset)
    assert len(ShardDataset(dataset, Selection(split="train", size=1))) == 1, "shards that are not used may be missing"


@pytest.mark.parametrize("padded", [False, True], ids=["of another size", "of the same size"])
@pytest.mark.parametrize("exchanged", [True, False], ids=["in another order", "copied over another"])
def test_shards_under_the_names_of_others_are_an_error(dataset: Path, exchanged: bool, padded: bool) -> None:
    first, second = (dataset / row_of(dataset, number)["shard"] for number in (0, 99))
    contents = [second.read_bytes(), first.read_bytes() if exchanged else second.read_bytes()]
    for file, content in zip((first, second), contents, strict=True):
        size = file.stat().st_size if padded else len(content) + 512
        file.write_bytes(content[:size].ljust(size, b"\0"))
    with pytest.raises(DatasetError, match=rf"{first.name}( has .* bytes instead|: pair 'pair/0')"):
        ShardDataset(dataset)[0]


def test_a_shard_truncated_while_open_is_an_error(dataset: Path) -> None:
    read, row = ShardDataset(dataset), row_of(dataset, 99)
    (dataset / row["shard"]).write_bytes(b"")
    with pytest.raises(DatasetError, match=rf"{row['shard']}: pair 'pair/99': original ends after 0"):
        read[99]


def describe_again(dataset: Path) -> None:
    """Let `dataset.json` describe the index that is there now, as a careless tool would."""
    values = json.loads((dataset / "dataset.json").read_text())
    index = dataset / "index.parquet"
    values["index"] |= {"size": index.stat().st_size, "sha256": file_sha256(index)}
    (dataset / "dataset.json").write_text(json.dumps(values))


def test_a_damaged_index_is_an_error(dataset: Path) -> None:
    table = pq.read_table(dataset / "index.parquet")
    pq.write_table(table.slice(0, 50), dataset / "index.parquet")
    with pytest.raises(DatasetError, match=r"index\.parquet is not the index that dataset\.json describes"):
        ShardDataset(dataset)
    describe_again(dataset)
    with pytest.raises(DatasetError, match=r"index\.parquet has 50 rows but dataset\.json says 100 pairs"):
        ShardDataset(dataset)
    (dataset / "index.parquet").write_bytes(b"no")
    describe_again(dataset)
    with pytest.raises(DatasetError, match=r"index\.parquet cannot be read"):
        ShardDataset(dataset)
    (dataset / "index.parquet").unlink()
    with pytest.raises(DatasetError, match=r"index\.parquet cannot be read"):
        ShardDataset(dataset)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("edited_length", 10**7, r"shard-.*: pair 'pair/7' lies beyond the shard's end .* different versions"),
        ("json_length", None, r"shard-.*: pair 'pair/7' lacks an image or its texts .* different versions"),
        ("shard", "shard-000099.tar", r"names shards that dataset\.json lacks \(\['shard-000099\.tar'\]\)"),
    ],
)
def test_an_index_of_other_shards_is_an_error(column: str, value: object, message: str, dataset: Path) -> None:
    table = pq.read_table(dataset / "index.parquet")
    rows = table.to_pylist()
    rows[7][column] = value
    pq.write_table(table.from_pylist(rows, table.schema), dataset / "index.parquet")
    describe_again(dataset)
    with pytest.raises(DatasetError, match=message):
        ShardDataset(dataset)


def test_pictures_beyond_the_limit_name_shard_and_id(dataset: Path) -> None:
    with pytest.raises(ImageError, match=r"shard-000000\.tar: pair 'pair/0' original.*max_pixels=255"):
        ShardDataset(dataset, max_pixels=255)[0]


def test_damaged_pairs_are_replaced_by_the_same_others_and_noted(dataset: Path) -> None:
    row = row_of(dataset, 51)
    damage(dataset, row)
    read = ShardDataset(dataset, on_error="skip")
    assert len(read) == 100, "every process takes as many steps as without damage"
    replacement = read[51].id
    assert replacement != "pair/51"
    assert read[50].id == "pair/50"
    noted = read.take_skipped()
    assert [pair.replacement for pair in noted] == [replacement]
    assert f"{row['shard']}: pair 'pair/51': original does not have the checksum" in noted[0].message
    assert not read.take_skipped(), "each is reported once"
    loader = DataLoader(read, batch_size=50, num_workers=2, collate_fn=_ids)
    ids = [id for batch in loader for id in batch]
    assert ids == [replacement if number == 51 else f"pair/{number}" for number in range(100)]
    assert len(read.take_skipped()) == 1, "workers report to the process that made the dataset"
    with pytest.raises(DatasetError, match="pair/51"):
        read.encoded(51)


def test_missing_and_truncated_shards_can_be_skipped(dataset: Path) -> None:
    shard = dataset / row_of(dataset, 99)["shard"]
    inside = ShardDataset(dataset).shards.tolist().count(ShardDataset(dataset).shards[99])
    shard.unlink()
    with pytest.warns(UserWarning, match=rf"{shard.name} is missing .* pairs"):
        read = ShardDataset(dataset, on_error="skip")
    ids = [read[number].id for number in range(100)]
    assert len(ids) == 100
    assert len(read.take_skipped()) == inside
    with pytest.raises(ValueError, match="on_error='ignore' must be"):
        ShardDataset(dataset, on_error="ignore")


def test_nothing_but_damage_is_an_error_all_the_same(dataset: Path) -> None:
    for shard in dataset.glob("*.tar"):
        shard.write_bytes(bytes(shard.stat().st_size))
    read = ShardDataset(dataset, on_error="skip")
    with pytest.raises(
        DatasetError, match=r"pair 'pair/3': .* \(and 8 other pairs in its place could not be read either"
    ):
        read[3]


def test_jpegs_can_be_decoded_at_a_fraction_of_their_size(tmp_path: Path, pairs) -> None:
    def jpeg(image) -> bytes:
        buffer = io.BytesIO()
        image.resize((70, 64)).save(buffer, "JPEG")
        return buffer.getvalue()

    pair = pairs(1)[0]
    with ShardWriter(tmp_path / "data") as writer:
        writer.add(EncodedPair("jpeg", jpeg(pair.original_image), jpeg(pair.edited_image), "do it"))
        writer.add(EncodedPair("mixed", jpeg(pair.original_image), png(pair.edited_image.resize((70, 64))), "do it"))
    sizes = {
        side: ShardDataset(tmp_path / "data", decode_side=side)[0].edited_image.size
        for side in (None, 64, 33, 32, 9, 8)
    }
    assert sizes == {None: (70, 64), 64: (70, 64), 33: (70, 64), 32: (35, 32), 9: (18, 16), 8: (9, 8)}
    small = ShardDataset(tmp_path / "data", decode_side=8)
    assert small.fingerprint() != ShardDataset(tmp_path / "data").fingerprint(), "the pixels differ"
    assert small[1].edited_image.size == (70, 64), "both or neither"


def png(image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_positions_of_many_pairs_are_a_file_that_processes_share(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ShardDataset(dataset)
    access = RemoteAccess(cache_folder=tmp_path / "cache")
    monkeypatch.setattr("ip2p_lightning.data.index.IN_MEMORY", 10)
    read = ShardDataset(dataset, access=access)
    (file,) = (tmp_path / "cache" / "index").iterdir()
    assert file.stat().st_size == 100 * 64
    assert len(pickle.dumps(read)) < 10_000
    assert [read.encoded(number) for number in (0, 51, 99)] == [expected.encoded(number) for number in (0, 51, 99)]
    assert read.shards.tolist() == expected.shards.tolist()
    loader = DataLoader(read, batch_size=50, num_workers=2, collate_fn=_ids)
    assert [id for batch in loader for id in batch] == expected.column("id")
