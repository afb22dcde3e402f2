"""The cache holds verified copies only, one download for all processes, and never more than its limit."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import ObjectStore, object_store

from ip2p_lightning.data.dataset_info import DatasetError, FileInfo
from ip2p_lightning.data.shard_cache import FileCache
from ip2p_lightning.data.shard_files import CachedShards
from ip2p_lightning.data.storage import LocalFolder, RemoteAccess, RemoteFolder

SIZE = 1000


@pytest.fixture
def files(tmp_path: Path) -> list[FileInfo]:
    """Six files of 1,000 bytes."""
    folder, described = tmp_path / "data", []
    folder.mkdir()
    for number in range(6):
        data = bytes([number]) * SIZE
        (folder / f"shard-{number}.tar").write_bytes(data)
        described.append(FileInfo(f"shard-{number}.tar", SIZE, hashlib.sha256(data).hexdigest(), 1))
    return described


@pytest.fixture
def store(files: list[FileInfo], tmp_path: Path) -> Iterator[ObjectStore]:
    with object_store(tmp_path) as running:
        yield running


def remote(store: ObjectStore) -> RemoteFolder:
    return RemoteFolder(f"{store.url}/data", RemoteAccess(backoff=0.0, attempts=2, timeout=5.0))


def kept(cache: FileCache) -> list[str]:
    return sorted(path.name for path in cache.folder.glob("*.*"))


def test_copies_are_downloaded_once_and_the_oldest_make_room(
    store: ObjectStore, files: list[FileInfo], tmp_path: Path
) -> None:
    cache = FileCache(tmp_path / "cache", limit=3 * SIZE)
    for number in range(3):
        assert cache.get(remote(store), files[number]).read_bytes() == bytes([number]) * SIZE
        os.utime(cache.path(files[number]), (number, number))
    cache.get(remote(store), files[0])  # now the most recent
    cache.get(remote(store), files[3])
    assert kept(cache) == sorted(f"{files[number].sha256}.tar" for number in (0, 2, 3))
    assert store.requests == [f"shard-{number}.tar" for number in (0, 1, 2, 3)]
    with pytest.raises(DatasetError, match=r"has 1,000 bytes but the cache .* holds 999 at most.*read=ranges"):
        FileCache(tmp_path / "cache", limit=999).get(remote(store), files[5])


def _get(cache: FileCache, storage: RemoteFolder, files: list[FileInfo]) -> None:
    for file in files:
        copy = cache.get(storage, file)
        assert copy is not None
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == file.sha256


def test_processes_share_one_download(store: ObjectStore, files: list[FileInfo], tmp_path: Path) -> None:
    cache, context = FileCache(tmp_path / "cache"), multiprocessing.get_context("fork")
    processes = [context.Process(target=_get, args=(cache, remote(store), files)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * 4
    assert sorted(store.requests) == [f"shard-{number}.tar" for number in range(6)]


def test_what_a_killed_process_left_is_overwritten(store: ObjectStore, files: list[FileInfo], tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    cache.path(files[0]).with_suffix(".part").write_bytes(b"half")
    assert cache.get(remote(store), files[0]).stat().st_size == SIZE
    assert kept(cache) == [f"{files[0].sha256}.tar"]


@pytest.mark.parametrize("content", [b"\1" * SIZE, b"", b"\0" * (SIZE - 1)])
def test_other_bytes_than_were_written_are_not_kept(
    content: bytes, store: ObjectStore, files: list[FileInfo], tmp_path: Path
) -> None:
    (tmp_path / "data" / "shard-0.tar").write_bytes(content)
    cache = FileCache(tmp_path / "cache")
    assert cache.get(remote(store), files[0]) is None
    assert not kept(cache)
    shards = CachedShards(remote(store), cache)
    assert shards.read(files[0], 10, 20) == content[10:30], "what there is can be read by ranges"


def test_a_copy_that_rots_on_the_disk_is_fetched_again(
    store: ObjectStore, files: list[FileInfo], tmp_path: Path
) -> None:
    cache = FileCache(tmp_path / "cache")
    shards = CachedShards(remote(store), cache)
    assert shards.read(files[0], 0, 2) == b"\0\0"
    cache.path(files[0]).write_bytes(b"\7" * SIZE)
    assert shards.read(files[0], 0, 2) == b"\7\7"
    assert shards.forget(files[0]), "the reader saw a wrong checksum and may ask again"
    assert shards.read(files[0], 0, 2) == b"\0\0"


def test_copies_removed_by_others_are_fetched_again(store: ObjectStore, files: list[FileInfo], tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", limit=SIZE)
    shards = CachedShards(remote(store), cache)
    for _ in range(2):
        for number, file in enumerate(files):
            assert shards.read(file, SIZE - 1, 5) == bytes([number])
    assert len(kept(cache)) == 1


def test_a_folder_that_cannot_be_written_says_what_to_do(files: list[FileInfo], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"file/cache: Not a directory; .* another cache folder .*IP2P_CACHE"):
        FileCache(tmp_path / "file" / "cache").get(LocalFolder(tmp_path / "data"), files[0])
