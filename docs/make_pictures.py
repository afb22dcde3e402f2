"""Make the contact sheets of docs/pictures from the current code: `make docs-sheets`.

A sheet of pairs shows one of every kind, pair number n of the n-th kind; sheets of edits show the first held-out pairs.
Nothing is picked by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from ip2p_lightning import zoo
from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.photos import PhotoSource, sample_photographs
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.editors.full_size import FullSize
from ip2p_lightning.evaluation.evaluate import Kept, evaluate
from ip2p_lightning.evaluation.grid import edit_grid
from ip2p_lightning.metrics import L1
from ip2p_lightning.world.levels import LEVELS
from ip2p_lightning.world.picture_edits import PICTURE_EDITS
from ip2p_lightning.zoo.editing import PHOTO_KINDS

FOLDER = Path(__file__).parent / "pictures"
MAX_BYTES = 600_000
TEXTS = ["make it sepia", "make it black and white", "make it much brighter", "turn it into a sketch", "blur it much"]


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
    _edits("zoo-scenes", WorldSource(24, split="validation"))
    _edits("zoo-photographs", PhotoSource(15, kinds=PHOTO_KINDS, split="test"))
    _save("zoo-full-size", _full_size, side=56)


def _edits(name: str, pairs: PairSource) -> None:
    """Original, instruction, edit and truth of the pairs, by the package's MGIE."""
    kept = Kept(examples=len(pairs), worst=0)
    result = evaluate(zoo.load("mgie"), pairs, {"error": L1()}, kept=kept)
    _save(name, lambda side: edit_grid(result.examples, side=side, columns=3, text_width=190), side=84)


def _full_size(side: int) -> Image.Image:
    """The photographs that were not trained on, and each under five instructions; as high as two sides."""
    photographs = [open_image(path) for split in ("test", "validation") for path, _ in sample_photographs(split)]
    fitted = [ImageOps.fit(photograph, (3 * side, 2 * side)) for photograph in photographs]
    editor = FullSize(zoo.load("instruct_pix2pix"))
    sheet = Image.new("RGB", (3 * side * (len(TEXTS) + 1), 2 * side * len(fitted)))
    for row, photograph in enumerate(fitted):
        edited = editor.edit([photograph] * len(TEXTS), TEXTS).images
        for column, image in enumerate((photograph, *edited)):
            sheet.paste(image, (3 * side * column, 2 * side * row))
    return sheet


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
