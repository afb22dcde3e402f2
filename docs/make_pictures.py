"""Make the contact sheets of docs/pictures from the current code: `make docs-sheets`.

A sheet shows one pair of every kind, pair number n of the n-th kind, so that nothing is picked by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.sources.photos import PhotoSource
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.world.levels import LEVELS
from ip2p_lightning.world.picture_edits import PICTURE_EDITS

FOLDER = Path(__file__).parent / "pictures"
MAX_BYTES = 400_000


def main() -> None:
    """Write every sheet, and say where it is and how large."""
    for name, level in LEVELS.items():
        pairs = [WorldSource(number + 1, level=name, kinds=[kind])[number] for number, kind in enumerate(level.edits)]
        title = f"level {name}: {len(pairs)} kinds of edit, 64 px"
        _save(f"world-{name}", partial(contact_sheet, pairs, title=title, columns=4))
    held_out = [WorldSource(8, level="simple", split="test")[index] for index in range(8)]
    title = "level simple, split test: each pair shows a combination that training never shows"
    _save("world-held-out", partial(contact_sheet, held_out, title=title, columns=4))
    photographs = [PhotoSource(number + 1, kinds=[kind])[number] for number, kind in enumerate(PICTURE_EDITS)]
    title = f"photographs: {len(photographs)} kinds of edit, 64 px"
    _save("photographs", partial(contact_sheet, photographs, title=title, columns=4))
    sizes = (32, 64, 128, 256)
    same = [WorldSource(1, size=size, level="full", kinds=["visual"])[0] for size in sizes]
    title = f"one pair at {', '.join(map(str, sizes))} px"
    _save("world-sizes", partial(contact_sheet, same, title=title, columns=4))


def _save(name: str, draw: Callable[..., Image.Image], side: int = 128) -> None:
    """Save a sheet; raises ValueError above `MAX_BYTES`."""
    path = FOLDER / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    draw(side=side).save(path, optimize=True)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,}: show fewer or smaller pictures")
    print(f"{path}  {size:,} bytes")


if __name__ == "__main__":
    main()
