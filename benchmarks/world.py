"""Speed at which sources draw pairs: pairs a CPU-second of one thread, visibility check included.

python benchmarks/world.py [pairs]
"""

from __future__ import annotations

import json
import sys
import time

from rich.console import Console
from rich.table import Table

from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.photos import PhotoSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.world.levels import LEVELS


def rate(source: PairSource) -> float:
    """Pairs a CPU-second, after one pair to fill the caches."""
    source[0]
    started = time.process_time()
    for index in range(1, len(source)):
        source[index]
    return (len(source) - 1) / (time.process_time() - started)


def main(count: int) -> None:
    """Measure every level and the photographs at 64 and 256 px."""
    rates: dict[str, dict[int, float]] = {}
    for size in (64, 256):
        for level in LEVELS:
            rates.setdefault(level, {})[size] = rate(WorldSource(count, size, level))
        rates.setdefault("photographs", {})[size] = rate(PhotoSource(count, size=size))
    table = Table("source", "64 px", "256 px", title=f"pairs a CPU-second, {count} pairs each")
    for name, row in rates.items():
        table.add_row(name, f"{row[64]:,.0f}", f"{row[256]:,.0f}")
    Console().print(table)
    print(json.dumps({name: {str(size): round(value) for size, value in row.items()} for name, row in rates.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
