"""A folder of one encoding: parts of some hundred pairs each, safetensors files that are read by memory mapping.

A part appears under its name only when it is whole, so that a killed build goes on where it stopped and jobs that build
the same folder at once do not disturb each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ip2p_lightning.cache.encoding import digest
from ip2p_lightning.files import write_whole
from ip2p_lightning.store import PartStore

FORMAT = 1
"""To be raised whenever the same address would come to mean something else."""
PART_PAIRS = 512
ROWS = "rows"


class Store:
    """Tensors of `pairs` pairs by view, each stored once however many pairs share it.

    A part holds for each name the distinct values [n, ...] and, under `rows`, the row of each pair and view, int64
    [pairs, views]. Picklable; each process maps the files it reads.

    Args:
        root: the cache's folder.
        name: what is stored.
        address: everything that it depends on, plain values; another address is another folder.
        pairs: number of pairs.
        part_pairs: pairs of a part.
    """

    def __init__(
        self, root: Path, name: str, address: Mapping[str, Any], pairs: int, part_pairs: int = PART_PAIRS
    ) -> None:
        self.name, self.pairs, self.part_pairs = name, pairs, part_pairs
        self.address = {"format": FORMAT, "pairs": pairs, "part_pairs": part_pairs, **address}
        self.folder = root / f"{name}-{digest(self.address)[:20]}"
        self.store = PartStore(self.folder, ".safetensors")
        self._open: dict[int, dict[str, Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.pairs // self.part_pairs)

    def key(self, part: int) -> str:
        """Name of a part in the folder, whose own name says what it depends on."""
        return f"part-{part:06d}"

    def file(self, part: int) -> Path:
        """File of a part."""
        return self.store.file(self.key(part))

    def missing(self) -> list[int]:
        """The parts that are not there."""
        there = self.store.keys()
        return [part for part in range(self.parts) if self.key(part) not in there]

    def members(self, part: int) -> range:
        """Indices of a part's pairs."""
        return range(part * self.part_pairs, min(self.pairs, (part + 1) * self.part_pairs))

    def begin(self) -> None:
        """Make the folder, say in it what it depends on, and remove what dead jobs left behind."""
        self.folder.mkdir(parents=True, exist_ok=True)
        note = json.dumps(self.address, indent=2, default=str) + "\n"
        write_whole(self.folder / "address.json", note, shared=True)
        self.store.sweep()

    def write(self, part: int, tensors: Mapping[str, Tensor]) -> None:
        """Store a part, all of it or nothing.

        Raises:
            OSError: a full disk, or a folder that cannot be written to; names the file.
        """
        try:
            with self.store.writing(self.key(part)) as hidden:
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, hidden)
        except (OSError, SafetensorError) as error:
            raise OSError(
                f"{self.file(part)} cannot be written ({error}); make room, choose another cache.folder, or train with "
                "cache=null"
            ) from error

    def read(self, index: int, view: int) -> dict[str, Tensor]:
        """The tensors of a pair in a view, by name; they lie in the mapped file, so copy what is to be kept."""
        part, inner = divmod(index, self.part_pairs)
        tensors = self.tensors(part)
        row = int(tensors[ROWS][inner, view])
        return {name: tensor[row] for name, tensor in tensors.items() if name != ROWS}

    def tensors(self, part: int) -> dict[str, Tensor]:
        """All tensors of a part, memory-mapped.

        Raises:
            ValueError: a missing or damaged file, with the remedy.
        """
        if part not in self._open:
            file = self.file(part)
            try:
                with safe_open(file, "pt") as reader:
                    self._open[part] = {name: reader.get_tensor(name) for name in reader.keys()}  # noqa: SIM118
            except (OSError, SafetensorError) as error:
                raise ValueError(
                    f"{file} is missing or damaged ({error}); remove it and run again to rebuild it"
                ) from error
        return self._open[part]


def cached_bytes(root: Path) -> int:
    """Size of everything below a cache's folder."""
    stores = [path for path in root.glob("*-*") if path.is_dir() and re.fullmatch(r"\w+-[0-9a-f]{20}", path.name)]
    return sum(file.stat().st_size for store in stores for file in store.glob("*.safetensors"))
