"""Readers of datasets and of what they are imported from: tars, indices, JSON Lines, tables, folders, captions.

Beyond what the harness asserts: what goes in is used or named, and no byte comes from outside the folder.
"""

from __future__ import annotations

import functools
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image

from fuzz.harness import Reader
from fuzz.inputs import damaged
from ip2p_lightning.bounded_text import TextError, parse_json
from ip2p_lightning.data.dataset_info import DatasetError, DatasetInfo, file_sha256
from ip2p_lightning.data.encoded import EncodedPair, check_texts
from ip2p_lightning.data.formats.hugging_face import HuggingFace
from ip2p_lightning.data.formats.ip2p_folder_source import IP2PFolderSource
from ip2p_lightning.data.formats.json_lines import JsonLines
from ip2p_lightning.data.formats.webdataset import WebDataset
from ip2p_lightning.data.listing import stray
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.data.sources import EncodedSource
from ip2p_lightning.data.tars import list_tar
from ip2p_lightning.data.verification import verify
from ip2p_lightning.generation.captions import TarCaptions


def naming(read: Callable[[Any, Path], object]) -> Callable[[Any, Path], object]:
    """A reader whose errors must name the file, so that one of Python's own that gets through is noticed."""

    @functools.wraps(read)
    def checked(value: Any, folder: Path) -> None:
        try:
            read(value, folder)
        except ValueError as error:
            text = str(error)
            assert str(folder) in text or text.startswith(("dataset.json", "shard-0")), text
            raise

    return checked


def _png(shade: int) -> bytes:
    Image.new("RGB", (4, 3), (shade, 0, 0)).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


IMAGES = {"a.png": _png(1), "b.png": _png(2)}
SECRET = _png(99)


def read_all(source: EncodedSource, folder: Path) -> None:
    """Every pair is one that can be stored, or an error that names what is wrong; none holds the secret."""
    used = named = 0
    for index in range(len(source)):
        try:
            pair = source.encoded(index)
            check_texts(pair)
        except (ValueError, FileNotFoundError) as error:
            text = str(error)
            named += 1
            assert str(folder) in text or text.startswith("pair "), text
        else:
            assert SECRET not in pair.pictures().values()
            used += 1
    assert used + named == len(source)
    source.fingerprint()


def _tar(format: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for key in ("a", "b" * (80 if format == tarfile.USTAR_FORMAT else 120), "ü"):
            row = json.dumps({"instruction": "do", "caption": "c"}).encode()
            members = {"original.png": IMAGES["a.png"], "edited.png": IMAGES["b.png"], "json": row, "txt": b"c"}
            for name, data in members.items():
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _read_tar(data: bytes, folder: Path) -> None:
    path = folder / "a.tar"
    path.write_bytes(data)
    listing = list_tar(path)
    ends = [member.offset + member.size for member in listing.members]
    assert all(end <= len(data) for end in ends)
    if not listing.damage:  # then Python's reader must see no other files
        with tarfile.open(path, "r:") as tar:
            names = [member.name for member in tar if member.isfile() and not member.issparse()]
        assert [member.name for member in listing.members] == [name for name in names if not stray(name)]
    list(TarCaptions(path))
    read_all(WebDataset({"instruction": ["instruction", "txt"]}).open(path), folder)


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=5).map(repr),
    st.sampled_from(["a.png", "b.png", "../secret.png", "out.png", "/etc/passwd", "NONE", "a\0", "\ud800"]),
    st.lists(st.text(max_size=5), max_size=3), st.dictionaries(st.text(max_size=5), st.floats(), max_size=3),
)  # fmt: skip
_ROW = {"original_image": "a.png", "edited_image": "b.png", "instruction": "do", "mask": None, "caption": "c"}
_ROWS = st.dictionaries(st.sampled_from([*_ROW, "id", "group", "split", "metadata", "scores"]), _VALUES).map(
    lambda change: json.dumps({**_ROW, **change}).encode()
)


def with_images(folder: Path) -> Path:
    inner = folder / "inner"
    if not inner.exists():
        inner.mkdir()
        for name, data in IMAGES.items():
            (inner / name).write_bytes(data)
        (folder / "secret.png").write_bytes(SECRET)
        (inner / "out.png").symlink_to(folder / "secret.png")
    return inner


def _read_lines(data: bytes, folder: Path) -> None:
    file = with_images(folder) / "pairs.jsonl"
    file.write_bytes(data)
    source = JsonLines({"original_caption": "caption"}, metadata=["scores"]).open(file)
    assert len(source) == sum(1 for line in data.split(b"\n") if line.strip())
    read_all(source, folder)


def _read_folder(files: tuple[bytes, bytes, bytes | None], folder: Path) -> None:
    prompt = with_images(folder) / "prompts" / "p"
    prompt.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("a.png", "b.png")):
        (prompt / f"5_{number}.png").write_bytes(IMAGES[name])
        if not (prompt / f"6_{number}.png").exists():
            (prompt / f"6_{number}.png").symlink_to(folder / "secret.png")
    (prompt / "prompt.json").write_bytes(files[0])
    (prompt / "metadata.jsonl").write_bytes(files[1])
    listing = prompt.parent / "seeds.json"
    listing.unlink(missing_ok=True)
    if files[2] is not None:
        listing.write_bytes(files[2])
    read_all(IP2PFolderSource(prompt.parent), folder)


_TABLE = [
    {
        "original_image": {"bytes": IMAGES["a.png"], "path": None},
        "edited_image": {"bytes": IMAGES["b.png"], "path": "b.png"},
        "instruction": f"do {number}",
        "caption": float("nan"),
    }
    for number in range(20)
]


def _parquet(table: pa.Table, **options: Any) -> bytes:
    pq.write_table(table, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def _read_table(data: bytes, folder: Path) -> None:
    file = folder / "train.parquet"
    file.write_bytes(data)
    read_all(HuggingFace({"original_caption": "caption"}).open(file), folder)


@functools.cache
def _dataset() -> dict[str, bytes]:
    """The files of a sound dataset of five pairs."""
    with tempfile.TemporaryDirectory() as folder:
        with ShardWriter(Path(folder) / "data", max_shard_bytes=4000) as writer:
            for number in range(5):
                metadata = {"seed": number, "scores": {"clip": 0.5}}
                pair = EncodedPair(str(number), IMAGES["a.png"], IMAGES["b.png"], "do", metadata=metadata)
                writer.add(pair, "train")
        return {file.name: file.read_bytes() for file in (Path(folder) / "data").iterdir()}


def _open_dataset(folder: Path, change: Callable[[Path], object]) -> None:
    """Read a dataset of which one file was changed, and `dataset.json` made to fit."""
    for name, data in _dataset().items():
        (folder / name).write_bytes(data)
    change(folder)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)  # of the record of pairs that are skipped
    try:
        verify(folder, decode=True)
        for on_error in ("raise", "skip"):
            dataset = ShardDataset(folder, on_error=on_error)  # type: ignore[arg-type]
            read_all(dataset, folder)
            for name in ("id", "instruction", "split"):
                dataset.column(name)
    finally:
        tempfile.tempdir = before


def _read_index(data: bytes, folder: Path) -> None:
    def change(folder: Path) -> None:
        index = folder / "index.parquet"
        index.write_bytes(data)
        values = json.loads((folder / "dataset.json").read_text())
        values["index"] |= {"size": len(data), "sha256": file_sha256(index)}
        (folder / "dataset.json").write_text(json.dumps(values))

    _open_dataset(folder, change)


@st.composite
def _indices(draw: st.DrawFn) -> bytes:
    """An index with some cells changed, of its own types or of others."""
    table = pq.read_table(io.BytesIO(_dataset()["index.parquet"]))
    rows = table.to_pylist()
    for _ in range(draw(st.integers(1, 4))):
        row, name = draw(st.integers(0, len(rows) - 1)), draw(st.sampled_from(table.column_names))
        kind = table.schema.field(name).type
        number = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 512, 2**31, 2**32, 2**53, 10**12])
        text = st.text(max_size=8) | st.sampled_from([rows[0]["id"], "shard-000000.tar", "../x.tar", "x" * 5000])
        value = {pa.int64(): number, pa.int32(): st.integers(-(2**31), 2**31 - 1), pa.string(): text}
        rows[row][name] = draw(st.none() | value.get(kind, st.floats()))
    try:
        return _parquet(pa.Table.from_pylist(rows, table.schema))
    except (pa.ArrowException, UnicodeEncodeError):
        return _parquet(table)


def _read_info(data: bytes, folder: Path) -> None:
    DatasetInfo.parse(data, "dataset.json")
    _open_dataset(folder, lambda folder: (folder / "dataset.json").write_bytes(data))


def _json(data: bytes, folder: Path) -> None:
    json.dumps(parse_json(data, not_a_number="null"), allow_nan=False, ensure_ascii=False).encode()


_LINES = st.lists(_ROWS | damaged([json.dumps(_ROW).encode()]) | st.just(b"[" * 5000), min_size=1, max_size=6)
_PROMPT = json.dumps({"edit": "do", "input": "a", "output": "b", "kind": "k", "split": "train"}).encode()
_METADATA = json.dumps({"seed": 5, "p2p_threshold": 0.5, "clip_sim_0": 0.2, "metadata": {"x": 1}}).encode()
_FOLDERS = st.tuples(
    damaged([_PROMPT]) | _ROWS,
    damaged([_METADATA]),
    st.none() | damaged([b'[["p", [5, 6]], ["q", ["7"]]]', b'[["../..", ["x"]]]']),
)
_TARS = [_tar(tarfile.USTAR_FORMAT), _tar(tarfile.PAX_FORMAT), _tar(tarfile.GNU_FORMAT)]
_TABLES = [_parquet(pa.Table.from_pylist(_TABLE), row_group_size=7), _parquet(pa.Table.from_pylist(_TABLE[:3]))]

DATA_READERS = {
    "tar": Reader(damaged(_TARS), naming(_read_tar), (ValueError,)),
    "json_lines": Reader(_LINES.map(b"\n".join), naming(_read_lines), (ValueError, FileNotFoundError)),
    "ip2p_folder": Reader(_FOLDERS, naming(_read_folder), (ValueError, FileNotFoundError)),
    "parquet_rows": Reader(damaged(_TABLES), naming(_read_table), (ValueError,)),
    "index": Reader(_indices() | damaged([_dataset()["index.parquet"]]), naming(_read_index), (ValueError,)),
    "dataset_info": Reader(
        damaged([_dataset()["dataset.json"]]), naming(_read_info), (DatasetError, FileNotFoundError)
    ),
    "json": Reader(damaged([_PROMPT, b'{"a": [1, NaN, "\\ud83d\\ude00"], "b": {"c": 1e400}}']), _json, (TextError,)),
}
"""By name. Whatever else than ValueError comes out, or one that does not name the file, is a failure."""
