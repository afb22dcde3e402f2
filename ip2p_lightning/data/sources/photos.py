"""Edit pairs from any folder of photographs: crops, the operations of photo editing and other media."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from random import Random

from PIL import Image

from ip2p_lightning.bounded_text import TextError, read_text
from ip2p_lightning.data.images import MAX_PIXELS, ImageError, open_image, picture_size
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import OTHER_IMAGES, listed
from ip2p_lightning.data.pair import EditPair
from ip2p_lightning.photo_edits.photo import mirror
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.photo_edits.visibility import clearly_differ
from ip2p_lightning.world.levels import SPLITS

SAMPLES: dict[str, tuple[str, str]] = {
    "astronaut.png": ("train", "a smiling astronaut in an orange suit"),
    "brick.png": ("train", "a pavement of bricks"),
    "camera.png": ("train", "a man behind a camera on a lawn"),
    "coins.png": ("train", "old coins in rows"),
    "motorcycle_left.png": ("train", "a red motorcycle in a garage"),
    "coffee.png": ("validation", "a cup of coffee on a wooden table"),
    "chelsea.png": ("test", "the face of a cat"),
    "rocket.jpg": ("test", "a rocket on a launch pad at dusk"),
}
"""The photographs inside the scikit-image package: split and caption."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_TRIES = 12
log = logging.getLogger(__name__)


class PhotoSource:
    """Pairs of a random square crop of a photograph and the same crop edited.

    Pair ``index`` depends on (folder, split, seed, index) alone. A photograph belongs to one split, with all its crops.
    The caption of ``picture.jpg`` is read from ``picture.txt`` where there is one.

    Args:
        count: number of pairs, at least 1.
        folder: folder of photographs (searched with its subfolders), at least three; None takes the photographs inside
            the scikit-image package.
        size: side of the square images in pixels.
        seed: another seed gives other pairs.
        kinds: keys of `picture_edits.PICTURE_EDITS` to draw from, all if None.
        split: "train", "validation" (about 10 % of a folder's photographs) or "test" (about 20 %).
        vary: mirror half of the crops, turn their hues and tint them, before anything else: few photographs then show
            many colours. For training.

    Raises:
        FileNotFoundError: the folder does not exist or holds no photographs.
        ValueError: unknown kinds or split, or too few photographs to split.
    """

    name = "photos"

    def __init__(
        self,
        count: int,
        folder: str | Path | None = None,
        size: int = 64,
        seed: int = 0,
        kinds: Sequence[str] | None = None,
        split: str = "train",
        vary: bool = False,
    ) -> None:
        if count < 1:
            raise ValueError(f"count is {count}; a source needs at least one pair")
        if split not in SPLITS:
            raise ValueError(f"split {split!r} does not exist; choose one of {SPLITS}")
        self.count, self.size, self.seed, self.split, self.vary = count, size, seed, split, vary
        self.kinds = tuple(kinds) if kinds is not None else tuple(PICTURE_EDITS)
        unknown = sorted(set(self.kinds) - set(PICTURE_EDITS))
        if unknown or not self.kinds:
            raise ValueError(f"kinds {unknown} are not image edits; choose from {sorted(PICTURE_EDITS)}")
        self.licence = "see the folder" if folder else "public domain, CC0 and CC BY (scikit-image data/README.txt)"
        self.left_out = LeftOut()
        """Files of the folder that are no photographs, and photographs in formats that cannot be read."""
        chosen = sample_photographs(split) if folder is None else folder_photographs(Path(folder), split, self.left_out)
        self.photographs = chosen
        if self.left_out:
            log.warning("%s: left out %s", folder, self.left_out)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> EditPair:
        if not 0 <= index < self.count:
            raise IndexError(f"pair {index} of a photo source with {self.count} pairs")
        rng = Random(f"photos/{self.split}/{self.seed}/{index}")
        kind = rng.choice(self.kinds)
        for attempt in range(2 * _TRIES):
            if attempt >= _TRIES:  # nothing of this kind shows in these photographs (saturation in grey ones)
                kind = rng.choice(self.kinds)
            path, caption = rng.choice(self.photographs)
            box = _square(rng)
            edit = rng.choice(PICTURE_EDITS[kind])
            if clearly_differ(*edit.apply(_crop(path, box, 48))):
                break
        crop = _crop(path, box, self.size)
        original, edited = edit.apply(_varied(crop, rng) if self.vary else crop)
        return EditPair(
            id=f"{path.stem}-{kind}-{self.split}-{self.seed}-{index}",
            original_image=original,
            edited_image=edited,
            instruction=edit.instruction(rng),
            expressive_instruction=edit.look.format(what=caption),
            original_caption=edit.prepared_look.format(what=caption),
            edited_caption=edit.look.format(what=caption),
            kind=kind,
            group=path.stem,
            mask=Image.new("L", original.size, 255),
        )

    def fingerprint(self) -> str:
        """Hash of the settings and of the photographs' names and sizes."""
        files = [(path.name, path.stat().st_size, caption) for path, caption in self.photographs]
        settings = (self.count, self.size, self.seed, self.kinds, self.split, files) + (("vary",) * self.vary)
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]


def sample_photographs(split: str) -> list[tuple[Path, str]]:
    """Path and caption of scikit-image's own photographs of a split; raises FileNotFoundError without the package."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the default photographs are those of scikit-image: install it, or name a folder")
    data = Path(spec.origin).parent / "data"
    return [(data / name, caption) for name, (part, caption) in SAMPLES.items() if part == split]


def folder_photographs(folder: Path, split: str, left_out: LeftOut | None = None) -> list[tuple[Path, str]]:
    """Path and caption of a folder's photographs of a split, chosen by a hash of their names; counts other files."""
    if not folder.is_dir():
        raise FileNotFoundError(f"folder of photographs {str(folder)!r} does not exist")
    left_out = LeftOut() if left_out is None else left_out
    found = listed(folder, SUFFIXES, left_out, deep=True, likely=OTHER_IMAGES)
    paths = [path for path in found if _readable(path, folder, left_out)]
    aside = f" (there is {left_out})" if left_out else ""
    if not paths:
        raise FileNotFoundError(f"folder {str(folder)!r} holds no photographs ({', '.join(SUFFIXES)}){aside}")
    if len(paths) < len(SPLITS):
        raise ValueError(f"folder {str(folder)!r} holds {len(paths)} photographs{aside}; each of {SPLITS} needs one")
    paths.sort(key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
    test, validation = max(1, round(0.2 * len(paths))), max(1, round(0.1 * len(paths)))
    parts = {"test": paths[:test], "validation": paths[test : test + validation], "train": paths[test + validation :]}
    return [(path, _caption(path, left_out)) for path in parts[split]]


def _readable(path: Path, folder: Path, left_out: LeftOut) -> bool:
    """True if the header of a photograph can be read; counts it if not."""
    try:
        width, height, _ = picture_size(path)
        if width * height <= MAX_PIXELS:
            return True
        left_out.add("photograph that is too large", path.relative_to(folder))
    except (ImageError, OSError):
        left_out.add("file that is no readable photograph", path.relative_to(folder))
    return False


def _caption(path: Path, left_out: LeftOut) -> str:
    sidecar = path.with_suffix(".txt")
    if not sidecar.is_file():
        return "the scene"
    try:
        return read_text(sidecar).strip() or "the scene"
    except TextError as error:
        left_out.add(f"caption that is {str(error).removeprefix(f'{sidecar}: ')}", sidecar.name)
        return "the scene"


def _square(rng: Random) -> tuple[float, float, float]:
    """Left, top and side of a square as shares: left and top of the free room, side of the shorter side."""
    return rng.random(), rng.random(), rng.uniform(0.55, 1.0)


def _crop(path: Path, square: tuple[float, float, float], size: int) -> Image.Image:
    photograph = _photograph(path)
    side = square[2] * min(photograph.size)
    left, top = square[0] * (photograph.width - side), square[1] * (photograph.height - side)
    return photograph.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))


def _varied(image: Image.Image, rng: Random) -> Image.Image:
    """The image mirrored or not, all hues turned by one angle, each colour channel made stronger or weaker."""
    image = mirror(image) if rng.random() < 0.5 else image
    hue, saturation, value = image.convert("HSV").split()
    turn = rng.randrange(256)
    image = Image.merge("HSV", (hue.point([(level + turn) % 256 for level in range(256)]), saturation, value))
    gains = [rng.uniform(0.7, 1.2) for _ in range(3)]
    return image.convert("RGB").point([min(255, round(level * gain)) for gain in gains for level in range(256)])


_photograph = lru_cache(maxsize=16)(open_image)
