"""Speed of reading pairs, against InstructPix2Pix's folders, and the memory of reading 1,000 to 1,000,000 pairs.

python benchmarks/streaming.py [--quick]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from diffusers import AutoencoderKL
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from ip2p_lightning.cache.build import Builder
from ip2p_lightning.cache.latents import latents
from ip2p_lightning.cache.pairs import CachedSource, Recall
from ip2p_lightning.cache.store import Store
from ip2p_lightning.cache.views import Views
from ip2p_lightning.data import pair_reader
from ip2p_lightning.data.dataset_info import DatasetInfo, FileInfo, file_sha256
from ip2p_lightning.data.encoded import EncodedPair
from ip2p_lightning.data.loading import TransformedPairs
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.sampler import Address, ElasticSampler
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.shards import ShardWriter
from ip2p_lightning.data.sources.photos import PhotoSource
from ip2p_lightning.data.storage import RemoteAccess
from ip2p_lightning.data.transforms import PairTransform
from ip2p_lightning.models.autoencoder import Autoencoder

STORED, TRAINED = 512, 256
"""Sides of the images on disk and in a batch, as InstructPix2Pix publishes and trains."""
WORKERS = 2


class FolderPairs(Dataset[dict[str, Any]]):
    """InstructPix2Pix's layout read the way its training does: JSON and two JPEGs a sample, Lanczos, crop, flip."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.names = folder, json.loads((folder / "seeds.json").read_text())

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, seeds = self.names[index]
        instruction = json.loads((self.folder / name / "prompt.json").read_text())["edit"]
        seed = seeds[int(torch.randint(0, len(seeds), ()))]
        pictures = [Image.open(self.folder / name / f"{seed}_{place}.jpg").convert("RGB") for place in (0, 1)]
        small = [picture.resize((TRAINED, TRAINED), Image.Resampling.LANCZOS) for picture in pictures]
        both = torch.cat(
            [(2 * torch.tensor(np.array(picture)).float() / 255 - 1).permute(2, 0, 1) for picture in small]
        )
        top, left = (int(torch.randint(0, side - TRAINED + 1, ())) for side in both.shape[1:])
        both = both[:, top : top + TRAINED, left : left + TRAINED]
        both = both.flip(2) if float(torch.rand(())) < 0.5 else both
        return {"original": both[:3], "edited": both[3:], "instruction": instruction}


def write_both(folder: Path, count: int) -> tuple[Path, Path]:
    """The same JPEG bytes as InstructPix2Pix's folders and as a dataset of ours."""
    source, published, ours, seeds = PhotoSource(count, size=STORED), folder / "published", folder / "ours", []
    with ShardWriter(ours, name="benchmark", licence=source.licence) as writer:
        for index in range(count):
            pair, name = source[index], f"{index:07d}"
            files = [_jpeg(picture) for picture in (pair.original_image, pair.edited_image)]
            (published / name).mkdir(parents=True)
            for place, data in enumerate(files):
                (published / name / f"{index}_{place}.jpg").write_bytes(data)
            (published / name / "prompt.json").write_text(
                json.dumps({"edit": pair.instruction, "input": "", "output": ""})
            )
            seeds.append([name, [str(index)]])
            writer.add(EncodedPair(name, *files, instruction=pair.instruction))
    (published / "seeds.json").write_text(json.dumps(seeds))
    return published, ours


def cached(source: ShardDataset, transform: PairTransform, folder: Path) -> TransformedPairs:
    """The pairs with latents of Stable Diffusion's shape (a small autoencoder writes them; reading does not care)."""
    widths = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "layers_per_block": 1}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    encoding = latents(Autoencoder(AutoencoderKL(**widths, **blocks).eval().requires_grad_(False)))
    views, store = Views(transform, None), Store(folder, "latents", {}, len(source))
    texts = Store(folder, "texts", {}, len(source))
    Builder(source, views, texts, [(encoding, store)]).build()
    return TransformedPairs(CachedSource(source, texts), Recall(views, (store,)))


def rates(data: Dataset[Any], repeats: int) -> tuple[float, float]:
    """Pairs a CPU-second of this process alone, and pairs a second of wall time with workers."""
    order = np.random.default_rng(0).permutation(len(data)).tolist()  # type: ignore[arg-type]
    data[order[0]]
    started = time.process_time()
    for _ in range(repeats):
        for index in order:
            data[index]
    alone = repeats * len(order) / (time.process_time() - started)
    loader = DataLoader(data, batch_size=None, sampler=order * repeats, num_workers=WORKERS)
    batches = iter(loader)
    next(batches)  # waits for the workers to start
    started = time.perf_counter()
    seen = sum(1 for _ in batches)
    return alone, seen / (time.perf_counter() - started)


def speed(folder: Path, count: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Rates of each way of reading the same images."""
    published, path = write_both(folder, count)
    transform, exact = PairTransform(TRAINED), ShardDataset(path)
    reduced = ShardDataset(path, decode_side=TRAINED)
    return {
        "InstructPix2Pix's folders": rates(FolderPairs(published), repeats),
        "shards, the same Lanczos": rates(TransformedPairs(exact, transform), repeats),
        "shards, decode_side=256": rates(TransformedPairs(reduced, transform), repeats),
        "shards, cached latents": rates(cached(exact, transform, folder / "cache"), repeats),
    }


def grow(path: Path, target: Path, count: int) -> None:
    """A dataset whose index has ``count`` rows, over the shards of a small one."""
    info, table = DatasetInfo.load(path), pq.read_table(path / "index.parquet")
    target.mkdir()
    for shard in info.shards:
        (target / shard.name).symlink_to((path / shard.name).resolve())
    block = pa.concat_tables([table] * min(1024, -(-count // table.num_rows))).combine_chunks()
    with pq.ParquetWriter(target / "index.parquet", table.schema, compression="zstd") as writer:
        for start in range(0, count, block.num_rows):
            rows = block.slice(0, min(block.num_rows, count - start))
            fresh = pa.array([hashlib.sha1(b"%d" % row).hexdigest() for row in range(start, start + rows.num_rows)])
            for name in ("id", "group"):
                place = table.schema.get_field_index(name)
                rows = rows.set_column(place, table.schema.field(place), fresh)
            writer.write_table(rows)
    shards = pq.read_table(target / "index.parquet", columns=["shard"]).column("shard").value_counts().to_pylist()
    pairs = {entry["values"]: entry["counts"] for entry in shards}
    index = target / "index.parquet"
    DatasetInfo(
        name=info.name,
        licence=info.licence,
        fingerprint=info.fingerprint,
        pairs=count,
        splits={"train": count},
        kinds={"": count},
        index=FileInfo(index.name, index.stat().st_size, file_sha256(index), count),
        shards=[FileInfo(s.name, s.size, s.sha256, pairs[s.name]) for s in info.shards],
    ).save(target)


def memory_of_reading(path: Path, reads: int) -> dict[str, float]:
    """MB of this process and its workers after random reads: their own and a share of what they share (PSS)."""
    # A grown index has many rows of one pair's bytes, which readers refuse: leave the comparison of ids out here.
    pair_reader.id_crc32 = lambda _: _Any()
    source = ShardDataset(path, Selection(split="train"), access=RemoteAccess(cache_folder=path / "cache"))
    sampler = ElasticSampler(source, batch_size=4)  # as in training
    loader = iter(DataLoader(_Encoded(source), batch_size=None, sampler=sampler, num_workers=WORKERS))
    for _ in range(min(reads, len(source)) // 4 - 4 * WORKERS):  # the workers are still there
        next(loader)
    sizes = [_used(process) for process in (os.getpid(), *(child.pid for child in multiprocessing.active_children()))]
    assert len(sizes) == 1 + WORKERS
    return {"pss": sum(size["Pss"] for size in sizes), "rss": max(size["Rss"] for size in sizes)}


def _used(process: int | None) -> dict[str, float]:
    lines = [line.split() for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]]
    return {line[0].rstrip(":"): int(line[1]) * 1024 / 1e6 for line in lines}


class _Any:
    """Equal to every number."""

    def __ne__(self, other: object) -> bool:
        return False


class _Encoded(Dataset[int]):
    def __init__(self, source: ShardDataset) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, batch: list[Address]) -> int:
        return sum(len(self.source.encoded(index).original_image) for _, index in batch)


def memory(folder: Path, counts: list[int], reads: int) -> dict[int, dict[str, float]]:
    """Memory at each number of pairs, each in a process of its own."""
    base = folder / "base"
    pairs = PhotoSource(64, size=64)
    with ShardWriter(base, max_shard_bytes=50_000) as writer:
        for index in range(64):
            writer.add(
                EncodedPair(f"{index}", *map(_jpeg, (pairs[index].original_image, pairs[index].edited_image)), "edit")
            )
    results = {}
    for count in counts:
        grow(base, folder / f"pairs-{count}", count)
        command = [sys.executable, __file__, "--memory", str(folder / f"pairs-{count}"), "--reads", str(reads)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results[count] = json.loads(output.splitlines()[-1])
    return results


def _jpeg(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def main(quick: bool) -> None:
    """Print two tables and one line of JSON."""
    torch.set_num_threads(1)
    counts, pairs, repeats, reads = ([100, 1000], 6, 1, 50) if quick else ([10**3, 10**4, 10**5, 10**6], 200, 3, 4000)
    with tempfile.TemporaryDirectory() as folder:
        measured = speed(Path(folder), pairs, repeats)
        memories = memory(Path(folder), counts, reads)
    base = measured["InstructPix2Pix's folders"]
    table = Table(
        "pairs of 512 px for training at 256 px", "pairs/CPU-s", "times", f"pairs/s, {WORKERS} workers", "times"
    )
    for name, (alone, together) in measured.items():
        cells = f"{alone:,.0f}", f"{alone / base[0]:.1f}", f"{together:,.0f}", f"{together / base[1]:.1f}"
        table.add_row(name, *cells)
    sizes = Table(
        "pairs", f"MB of the reader and {WORKERS} workers (PSS)", "against the first", "MB of the largest (RSS)"
    )
    for count, used in memories.items():
        growth = f"{used['pss'] / memories[counts[0]]['pss'] - 1:+.1%}"
        sizes.add_row(f"{count:,}", f"{used['pss']:,.0f}", growth, f"{used['rss']:,.0f}")
    console = Console()
    console.print(table)
    console.print(sizes)
    print(json.dumps({"pairs_per_second": measured, "memory_mb": memories}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--reads", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory_of_reading(arguments.memory, arguments.reads)))
    else:
        main(arguments.quick)
