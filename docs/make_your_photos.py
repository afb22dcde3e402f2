"""Make the folder of photographs that `docs/your_photos.md` begins with: before and after images, and a CSV.

    python docs/make_your_photos.py FOLDER [--photographs FOLDER_OR_TAR] [--count 25]
    python docs/make_your_photos.py docs/pictures/your_photos.png --editor RUN/checkpoints/last.ckpt

Each photograph is developed in four looks, none of which the shipped editors know. Without a folder or tar of
photographs, crops of those inside scikit-image are taken. With an editor, its edits of three photographs inside
scikit-image are drawn instead.
"""

from __future__ import annotations

import argparse
import csv
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image, ImageOps

from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.data.sources.photos import SUFFIXES, sample_photographs
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.evaluation.evaluate import ExampleSelection, evaluate
from ip2p_lightning.metrics import L1
from ip2p_lightning.photo_edits import photo
from ip2p_lightning.report.grid import edit_grid
from ip2p_lightning.world.levels import SPLITS

Look = Callable[[Image.Image], Image.Image]
_LONGEST = 480


def _toned(dark: str, light: str, middle: str | None = None) -> Look:
    return lambda image: ImageOps.colorize(image.convert("L"), dark, light, middle)


def _dusk(image: Image.Image) -> Image.Image:
    return Image.blend(photo.brightness(image, -0.8), Image.new("RGB", image.size, (40, 50, 130)), 0.35)


def _film(image: Image.Image) -> Image.Image:
    faded = photo.contrast(photo.saturation(image, -0.8), -0.4)
    return Image.blend(faded, Image.new("RGB", image.size, (255, 180, 100)), 0.25)


LOOKS: dict[str, tuple[str, Look]] = {
    "cyan": ("develop it as a cyanotype, please", _toned("#0b1f3a", "#e8f1f5")),
    "red": ("print it in red", _toned("#2b0008", "#ffe7d0", "#c8102e")),
    "dusk": ("make it dusk", _dusk),
    "film": ("give it my film look", _film),
}
"""Ending of the file's name -> instruction and operation."""


def photographs(path: Path | None, count: int) -> list[Image.Image]:
    """The first photographs of a folder or tar, or crops of those inside scikit-image."""
    if path is None:
        random, found = (
            Random("your photos"),
            [open_image(file) for split in SPLITS for file, _ in sample_photographs(split)],
        )
        images = [_cropped(found[number % len(found)], random) for number in range(count)]
    elif path.is_dir():
        images = [open_image(file) for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES][:count]
    else:
        with tarfile.open(path) as tar:
            members = [member for member in tar if Path(member.name).suffix.lower() in SUFFIXES][:count]
            images = [open_image(tar.extractfile(member).read(), name=member.name) for member in members]  # type: ignore[union-attr]
    for image in images:
        image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return images


def _cropped(image: Image.Image, random: Random) -> Image.Image:
    width, height = (round(side * random.uniform(0.5, 0.8)) for side in image.size)
    left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def make(folder: Path, images: list[Image.Image]) -> Path:
    """Write the images, their looks and `edits.csv`."""
    folder.mkdir(parents=True)
    with (folder / "edits.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["before", "after", "instruction"])
        for number, image in enumerate(images, start=1):
            name = f"IMG {number:04d}.jpg"
            image.save(folder / name, quality=92)
            with Image.open(folder / name) as saved:
                original = saved.convert("RGB")
            for ending, (instruction, look) in LOOKS.items():
                after = f"IMG {number:04d} {ending}.jpg"
                look(original).save(folder / after, quality=92)
                table.writerow([name, after, instruction])
    return folder


class Developed:
    """A source of the pairs that the image shows."""

    name, licence = "photographs inside scikit-image", "public domain, CC0 and CC BY (scikit-image data/README.txt)"

    def __init__(self, pairs: list[EditPair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> EditPair:
        return self.pairs[index]

    def fingerprint(self) -> str:
        """Nothing is remembered of them."""
        return "developed"


def picture(checkpoint: str, names: tuple[str, ...] = ("astronaut", "coffee", "chelsea")) -> Image.Image:
    """Edits of photographs inside scikit-image, in every look, next to the truth."""
    files = {file.stem: file for split in SPLITS for file, _ in sample_photographs(split)}
    pairs = []
    for name in names:
        image = ImageOps.fit(open_image(files[name]), (64, 64), Image.Resampling.LANCZOS)
        pairs += [EditPair(f"{name} {look}", image, change(image), text) for look, (text, change) in LOOKS.items()]
    result = evaluate(
        load_editor(checkpoint), Developed(pairs), {"error": L1()}, kept=ExampleSelection(examples=len(pairs), worst=0)
    )
    order = {pair.id: place for place, pair in enumerate(pairs)}
    return edit_grid(sorted(result.examples, key=lambda one: order[one.pair]), side=96, columns=3, text_width=130)


def main() -> None:
    """Make what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder, or image, to make")
    parser.add_argument("--photographs", type=Path, help="folder or tar of photographs; scikit-image's if left out")
    parser.add_argument("--count", type=int, default=25, help="photographs")
    parser.add_argument("--editor", help="a checkpoint or folder; draws what it makes of photographs")
    arguments = parser.parse_args()
    if arguments.editor:
        picture(arguments.editor).save(arguments.folder, optimize=True)
        return
    print(make(arguments.folder, photographs(arguments.photographs, arguments.count)))


if __name__ == "__main__":
    main()
