"""Datasets on object storage read as local ones do: from an S3 server, and from a web server that fails."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import lightning.pytorch as L
import pytest
import torch
from moto.server import ThreadedMotoServer
from object_store import ObjectStore, object_store
from s3_front import s3_front
from torch.utils.data import DataLoader

from ip2p_lightning.callbacks.skipped_pairs import SkippedPairs
from ip2p_lightning.data.datamodule import EditDataModule
from ip2p_lightning.data.dataset_info import DatasetError, DatasetInfo
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.storage import RemoteAccess
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.data.verification import verify


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict]:
    """URL of the dataset in a bucket, and how to reach it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    options = {"endpoint_url": s3_server}
    bucket = tmp_path.name.replace("_", "-").lower()[:60].strip("-")
    system = fsspec.filesystem("s3", skip_instance_cache=True, **options)
    system.mkdir(bucket)
    system.put(str(dataset), f"{bucket}/noise", recursive=True)
    return f"s3://{bucket}/noise", options


@pytest.fixture
def store(dataset: Path) -> Iterator[ObjectStore]:
    with object_store(dataset.parent) as running:
        yield running


def access(tmp_path: Path, **arguments: object) -> RemoteAccess:
    return RemoteAccess(**{"cache_folder": tmp_path / "cache", "backoff": 0.0, **arguments})


@pytest.mark.parametrize("read", ["auto", "ranges"])
def test_s3_reads_as_a_local_folder(read: str, s3: tuple[str, dict], dataset: Path, tmp_path: Path) -> None:
    url, options = s3
    selection = Selection(split="train", kinds=["season"], size=20)
    local = ShardDataset(dataset, selection)
    remote = ShardDataset(url, selection, access=access(tmp_path, read=read, options=options))
    assert remote.fingerprint() == local.fingerprint()
    assert remote.column("id") == local.column("id")
    assert remote.shards.tolist() == local.shards.tolist()
    assert all(remote.encoded(number) == local.encoded(number) for number in range(20))
    shards = {path.name.split(".")[0] for path in (tmp_path / "cache").glob("shards/*.tar")}
    used = {DatasetInfo.load(dataset).shards[number].sha256 for number in local.shards}
    assert shards == (used if read == "auto" else set())


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("read", ["shards", "ranges"])
def test_workers_read_from_s3(read: str, start: str, s3: tuple[str, dict], dataset: Path, tmp_path: Path) -> None:
    url, options = s3
    remote = ShardDataset(url, Selection(size=12), access=access(tmp_path, read=read, options=options))
    expected = ShardDataset(dataset, Selection(size=12)).column("id")
    assert remote[0].id == expected[0]  # makes a connection, which workers must not share
    loader = DataLoader(
        remote,
        4,
        num_workers=1 if start == "spawn" else 2,  # a spawned one takes seconds
        collate_fn=_ids,
        multiprocessing_context=multiprocessing.get_context(start),
    )
    assert [id for batch in loader for id in batch] == expected
    assert pickle.loads(pickle.dumps(remote))[3].id == expected[3]


def _ids(pairs: list) -> list[str]:
    return [pair.id for pair in pairs]


@pytest.mark.parametrize("read", ["shards", "ranges"])
@pytest.mark.parametrize("fault", ["500", "half", "hang"])
def test_an_s3_server_that_fails(fault: str, read: str, s3: tuple[str, dict], dataset: Path, tmp_path: Path) -> None:
    """Two failures are passed over; a server that goes on failing is an error with shard and id, until it is back."""
    url, options = s3
    once = {"retries": {"total_max_attempts": 1}}  # the client's own repetitions would hide ours
    with s3_front(options["endpoint_url"]) as front:
        options = {"endpoint_url": front.url, "config_kwargs": once}
        settings = access(tmp_path, read=read, attempts=3, timeout=0.8 if fault == "hang" else 20, options=options)
        remote = ShardDataset(url, access=settings)
        front.fault = lambda name, count: fault if name == "shard-000000.tar" and count <= 2 else ""
        assert remote.encoded(3) == ShardDataset(dataset).encoded(3)
        assert front.requests.count("shard-000000.tar") >= 3
        last = remote.shards.tolist().index(2)
        front.fault = lambda name, count: fault if name == "shard-000002.tar" else ""
        place = rf"{url}/shard-000002\.tar: pair 'pair/{last}'"
        with pytest.raises(DatasetError, match=rf"{place} cannot be read \(.*no answer in 3 attempt.*ip2p data verify"):
            remote[last]
        front.fault = lambda name, count: ""
        assert remote[last].id == f"pair/{last}"


@pytest.mark.parametrize("read", ["shards", "ranges"])
def test_pairs_of_a_store_that_fails_are_left_out_counted_and_named(
    read: str, store: ObjectStore, dataset: Path, tmp_path: Path
) -> None:
    """An epoch over a store of which one shard cannot be read: as many steps, and a report at its end."""
    settings = access(tmp_path, read=read, attempts=2)
    module = EditDataModule.from_shards(
        f"{store.url}/dataset", transform=PairTransform(8), batch_size=8, access=settings, on_error="skip"
    )
    train = ShardDataset(dataset, Selection(split="train"))
    lost = {id for id, shard in zip(train.column("id"), train.shards, strict=True) if shard == 1}
    store.fault = lambda name, count: "500" if name == "shard-000001.tar" else ""
    seen: list[str] = []
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[SkippedPairs()],
    )  # fmt: skip
    with pytest.warns(UserWarning, match="could not be read") as caught:
        trainer.fit(Reader(seen), module)
    (message,) = (str(warning.message) for warning in caught if "could not be read" in str(warning.message))
    assert message.startswith(f"epoch 0: {len(lost)} train pair(s) could not be read and others were taken instead:")
    assert f"{store.url}/dataset/shard-000001.tar: pair " in message
    assert f"and {len(lost) - 5} more" in message
    assert (trainer.global_step, len(seen)) == (10, 80)
    assert not lost & set(seen)


class Reader(L.LightningModule):
    """Notes what it is given."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.zeros(())), seen

    def training_step(self, batch: PairBatch, _: int) -> torch.Tensor:
        self.seen += batch.id
        return self.weight * batch.original_image.mean()

    def validation_step(self, batch: PairBatch, _: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_verify_finds_remote_damage(s3: tuple[str, dict], dataset: Path, tmp_path: Path) -> None:
    url, options = s3
    access_ = access(tmp_path, options=options)
    assert verify(url, access=access_).ok
    system, root = fsspec.url_to_fs(url, skip_instance_cache=True, **options)
    content = (dataset / "shard-000001.tar").read_bytes()
    row = next(number for number, shard in enumerate(ShardDataset(dataset).shards) if shard == 1)
    at = 3000
    system.pipe_file(f"{root}/shard-000001.tar", content[:at] + b"\0" * 4096 + content[at + 4096 :])
    system.pipe_file(f"{root}/shard-000009.tar", content)
    system.pipe_file(f"{root}/shard-000003.tar", (dataset / "shard-000000.tar").read_bytes())
    system.rm_file(f"{root}/shard-000002.tar")
    report = verify(url, access=access_)
    lines = [str(problem) for problem in report.problems]
    assert lines[0] == "shard-000009.tar: is a duplicate of shard-000001.tar; move it away"
    assert lines[1] == "shard-000001.tar: was changed"
    assert f"shard-000001.tar: pair 'pair/{row + 1}': " in "".join(lines[2:5])
    assert any(line.startswith("shard-000002.tar: is missing") for line in lines)
    assert lines[-1].startswith("shard-000003.tar: holds the content of shard-000000.tar")


def test_a_missing_or_truncated_object_is_found_at_once(s3: tuple[str, dict], dataset: Path, tmp_path: Path) -> None:
    url, options = s3
    system, root = fsspec.url_to_fs(url, skip_instance_cache=True, **options)
    system.pipe_file(f"{root}/shard-000002.tar", b"short")
    with pytest.raises(DatasetError, match=rf"{url}/shard-000002\.tar has 5 bytes instead of"):
        ShardDataset(url, access=access(tmp_path, options=options))
    system.rm_file(f"{root}/shard-000002.tar")
    with pytest.raises(DatasetError, match=rf"{url}/shard-000002\.tar is missing"):
        ShardDataset(url, access=access(tmp_path, options=options))
    with pytest.raises(FileNotFoundError, match=rf"no dataset at {url}/nothing .*no dataset\.json"):
        ShardDataset(f"{url}/nothing", access=access(tmp_path, options=options))


@pytest.mark.parametrize("read", ["shards", "ranges"])
@pytest.mark.parametrize("fault", ["500", "half", "short", "flip", "hang"])
def test_failures_that_pass_are_repeated(
    fault: str, read: str, store: ObjectStore, dataset: Path, tmp_path: Path
) -> None:
    """The first two answers for every shard fail; after that the store is well."""
    store.fault = lambda name, count: fault if name.endswith(".tar") and count <= (1 if fault == "flip" else 2) else ""
    remote = ShardDataset(f"{store.url}/dataset", access=access(tmp_path, read=read, timeout=0.4))
    assert remote.encoded(3) == ShardDataset(dataset).encoded(3)
    assert store.requests.count("shard-000000.tar") >= 2


@pytest.mark.parametrize("fault", ["500", "half", "short", "hang", "404"])
def test_a_store_that_dies_is_an_error_with_shard_and_id(fault: str, store: ObjectStore, tmp_path: Path) -> None:
    for read in ("shards", "ranges"):
        store.fault = lambda name, count: ""
        store.requests.clear()
        settings = access(tmp_path / read, read=read, attempts=2, timeout=0.3)
        remote = ShardDataset(f"{store.url}/dataset", access=settings)
        store.fault = lambda name, count: fault
        place = rf"{store.url}/dataset/shard-000000\.tar: pair 'pair/3'"
        with pytest.raises(DatasetError, match=rf"{place} cannot be read .*ip2p data verify"):
            remote[3]
        assert store.requests.count("shard-000000.tar") == (1 if fault == "404" else 2)
        store.fault = lambda name, count: ""
        assert remote[3].id == "pair/3", "a store that comes back is read again"


def test_a_bit_that_is_wrong_in_the_store_is_an_error_with_shard_and_id(
    store: ObjectStore, dataset: Path, tmp_path: Path
) -> None:
    shard = dataset / "shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    for read in ("shards", "ranges"):
        remote = ShardDataset(f"{store.url}/dataset", access=access(tmp_path, read=read))
        with pytest.raises(
            DatasetError, match=r"shard-000000\.tar: pair 'pair/0': original does not have the checksum"
        ):
            remote[0]
        assert remote[1].id == "pair/1", "other pairs of the shard are sound"
    assert not list((tmp_path / "cache").glob("shards/*.tar")), "a shard with a wrong checksum is never kept"


def test_an_index_of_another_version_is_an_error(store: ObjectStore, dataset: Path, tmp_path: Path) -> None:
    index = dataset / "index.parquet"
    index.write_bytes(index.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match=r"index\.parquet is not the index that dataset\.json describes"):
        ShardDataset(f"{store.url}/dataset", access=access(tmp_path))


def test_servers_without_ranges_and_unknown_protocols_are_named(dataset: Path, tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    system.put(str(dataset), "/noise", recursive=True)
    assert ShardDataset("memory://noise", access=access(tmp_path))[5].id == "pair/5"
    assert ShardDataset(f"file://{dataset}")[5].id == "pair/5"
    with pytest.raises((DatasetError, ValueError), match="nowhere"):
        ShardDataset("nowhere://bucket/x", access=access(tmp_path))
    for wrong in ({"read": "all"}, {"attempts": 0}, {"timeout": 0}):
        with pytest.raises(ValueError, match=r"must be|needs"):
            RemoteAccess(**wrong)
