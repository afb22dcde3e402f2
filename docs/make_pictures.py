"""Make the contact sheets and curves of docs/pictures from the current code: `make docs-sheets`.

    python docs/make_pictures.py [NAME ...]

Names are those of the files; without any, all are made but `quickstart`, which is what the last `ip2p quickstart` left,
and the app's failures, of screenshots that `pytest tests/serving/app` leaves in the folder `$IP2P_SCREENSHOTS`.
A sheet of pairs shows one of every kind, pair number n of the n-th kind; sheets of edits and of drawn scenes show the
first held-out ones. Nothing is picked by hand.
"""

from __future__ import annotations

import argparse
import io
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ip2p_lightning import zoo
from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.sources.photos import PhotoSource, sample_photographs
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.evaluation.evaluate import ExampleSelection, evaluate
from ip2p_lightning.generation.world_triples import WorldCaptions
from ip2p_lightning.metrics import L1
from ip2p_lightning.photo_edits.picture_edits import PICTURE_EDITS
from ip2p_lightning.report.curves import read_curves
from ip2p_lightning.report.grid import edit_grid
from ip2p_lightning.report.plotting import COLOURS, new_figure
from ip2p_lightning.shipped import NAMES, WEIGHTS
from ip2p_lightning.world.makers import MAKERS
from ip2p_lightning.world.open.drawing import draw
from ip2p_lightning.world.open.edits import answers
from ip2p_lightning.zoo.curves import CURVE
from ip2p_lightning.zoo.editing import PHOTO_KINDS
from ip2p_lightning.zoo.text_to_image import GUIDANCE, STEPS

FOLDER = Path(__file__).parent / "pictures"
MAX_BYTES = 400_000
TEXTS = ["make it sepia", "make it black and white", "make it much brighter", "turn it into a sketch", "blur it much"]
FIRST_KINDS = ["season", "time", "recolour", "remove"]
SHOWN = 48
"""Edits, or drawn scenes, on a sheet."""


def level(name: str) -> Image.Image:
    """A pair of each kind of a level."""
    kinds = MAKERS[name].edits
    pairs = [WorldSource(number + 1, level=name, kinds=[kind])[number] for number, kind in enumerate(kinds)]
    title = f"level {name}: {len(pairs)} kinds of edit, 64 px"
    return contact_sheet(pairs, title=title, columns=4, side=128)


def open_answers() -> Image.Image:
    """Right answers to one instruction of some kinds each, at the open level."""
    kinds, number, side = (
        ("vague", "add", "another", "replace", "weather", "background", "recolour", "profession"),
        9,
        96,
    )
    sheet = Image.new("RGB", ((number + 1) * (side + 4), len(kinds) * (side + 20)), "white")
    for row, kind in enumerate(kinds):
        _, change = WorldSource(3, level="open", kinds=[kind]).change(2)
        top = row * (side + 20)
        ImageDraw.Draw(sheet).text((2, top), f"{kind}: {change.instruction}", fill="black", font_size=13)
        for column, scene in enumerate((change.before, *answers(change, number))):
            image = draw(scene).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(image, (column * (side + 4), top + 18))
    return sheet


def held_out() -> Image.Image:
    """Pairs of combinations that training never shows."""
    pairs = [WorldSource(8, level="simple", split="test")[index] for index in range(8)]
    title = "level simple, split test: each pair shows a combination that training never shows"
    return contact_sheet(pairs, title=title, columns=4, side=128)


def photographs() -> Image.Image:
    """A pair of each operation on photographs."""
    pairs = [PhotoSource(number + 1, kinds=[kind])[number] for number, kind in enumerate(PICTURE_EDITS)]
    return contact_sheet(pairs, title=f"photographs: {len(pairs)} kinds of edit, 64 px", columns=4, side=128)


def sizes() -> Image.Image:
    """One pair at several sizes."""
    sides = (32, 64, 128, 256)
    pairs = [WorldSource(1, size=side, level="full", kinds=["visual"])[0] for side in sides]
    return contact_sheet(pairs, title=f"one pair at {', '.join(map(str, sides))} px", columns=4, side=128)


def edits(editor: str, pairs: PairSource) -> Image.Image:
    """Original, instruction, edit and truth of the pairs, by an editor of the package."""
    result = evaluate(zoo.load(editor), pairs, {"error": L1()}, kept=ExampleSelection(examples=len(pairs), worst=0))
    return edit_grid(result.examples, side=72, columns=3, text_width=200)


def scenes(editor: str, count: int) -> Image.Image:
    """Edits of the first new scenes of the editor's level."""
    return edits(editor, WorldSource(count, level=zoo.entry(editor).LEVEL, split="validation"))


def first() -> Image.Image:
    """The README's first image, readable on a phone: one new scene of each of four kinds and two photographs."""
    level = zoo.entry("instruct_pix2pix").LEVEL
    pairs = [WorldSource(1, level=level, split="validation", kinds=[kind])[0] for kind in FIRST_KINDS]
    photographs = [open_image(path) for path, _ in sample_photographs("test")][:2]
    images = [pair.original_image for pair in pairs] + [ImageOps.fit(image, (256, 256)) for image in photographs]
    texts = [pair.instruction for pair in pairs] + ["make it sepia", "make it black and white"]
    editor, side, title = zoo.load("instruct_pix2pix"), 200, 44
    edited = [editor.edit(image, text).images[0] for image, text in zip(images, texts, strict=True)]
    sheet = Image.new("RGB", (4 * side + 3 * 16, 3 * (side + title + 12)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(27)
    for number, (before, text, after) in enumerate(zip(images, texts, edited, strict=True)):
        left, top = number % 2 * (2 * side + 32), number // 2 * (side + title + 12)
        draw.text((left, top + 6), text, "#1c1c1a", font)
        for column, image in enumerate((before, after)):
            shown = image.resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(shown, (left + column * (side + 8), top + title))
    return sheet


def drawn() -> Image.Image:
    """Scenes that the text-to-image model draws of held-out captions, its guidance and steps as in its figures."""
    captions = WorldCaptions(SHOWN, level=zoo.entry("text_to_image").LEVEL, split="validation")
    texts = [captions[index].text for index in range(SHOWN)]
    noise = torch.Generator().manual_seed(0)
    made: Any = zoo.load("text_to_image")(
        texts, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=noise, height=64, width=64
    )
    side, columns, line, font = 128, 8, 13, ImageFont.load_default(11)
    lines = [textwrap.wrap(text, 22) for text in texts]
    height = side + line * max(map(len, lines)) + 16
    sheet = Image.new("RGB", (columns * (side + 12), height * (len(texts) // columns)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, image in enumerate(made.images):
        corner = (6 + number % columns * (side + 12), 6 + number // columns * height)
        sheet.paste(image.resize((side, side), Image.Resampling.BICUBIC), corner)
        draw.text((corner[0], corner[1] + side + 2), "\n".join(lines[number]), "#1c1c1a", font, spacing=2)
    return sheet


def full_size(side: int = 46) -> Image.Image:
    """The photographs that were not trained on, and each under five instructions; as high as two sides."""
    pictures = [open_image(path) for split in ("test", "validation") for path, _ in sample_photographs(split)]
    fitted = [ImageOps.fit(picture, (3 * side, 2 * side)) for picture in pictures]
    editor = zoo.load("instruct_pix2pix")
    sheet = Image.new("RGB", (3 * side * (len(TEXTS) + 1), 2 * side * len(fitted)))
    for row, picture in enumerate(fitted):
        edited = editor.edit([picture] * len(TEXTS), TEXTS).images
        for column, image in enumerate((picture, *edited)):
            sheet.paste(image, (3 * side * column, 2 * side * row))
    return sheet


def curves() -> Image.Image:
    """The losses of every shipped model's training: lines on training pairs, dots on held-out ones."""
    files = {name: WEIGHTS / name / CURVE for name in NAMES if (WEIGHTS / name / CURVE).is_file()}
    figure, panels = new_figure(columns=3, rows=-(-len(files) // 3), width=3.4, height=2.4)
    for axes in panels[len(files) :]:
        axes.remove()
    for axes, (name, file) in zip(panels, files.items(), strict=False):
        found = read_curves(file)
        colours = dict(zip([curve.name for curve in found if not curve.held_out], COLOURS, strict=False))
        for curve in found:
            style: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4} if curve.held_out else {}
            label = None if curve.held_out else curve.name
            axes.plot(curve.steps, curve.values, color=colours.get(curve.name, "black"), label=label, **style)
        axes.set_yscale("log")
        axes.set_title(name, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.legend(frameon=False, fontsize=8)
    with io.BytesIO() as buffer:
        figure.savefig(buffer, dpi=110)
        return Image.open(buffer).convert("RGB")


def failures(width: int, scheme: str) -> Image.Image:
    """Screenshots of the app's failures at a width in pixels, in the light or the dark scheme."""
    names = ["no-image", "no-instruction", "broken", "huge", "full", "cancelled", "gone", "restarted"]
    shots = [open_image(Path(os.environ["IP2P_SCREENSHOTS"]) / f"app-{name}-{width}-{scheme}.png") for name in names]
    columns, part, height = (2, 0.5, 1036) if width > 600 else (4, 0.75, 1200)
    line, gap, font = 24, 12, ImageFont.load_default(15)
    size = round(width * part), round(height * part)
    sheet = Image.new("RGB", ((size[0] + gap) * columns, (size[1] + gap + line) * (len(names) // columns)), "#8a8a86")
    for number, (name, image) in enumerate(zip(names, shots, strict=True)):
        left, top = number % columns * (size[0] + gap), number // columns * (size[1] + gap + line)
        ImageDraw.Draw(sheet).text((left + gap, top + 3), name.replace("-", " "), "white", font)
        shown = image.crop((0, 0, width, height)).resize(size, Image.Resampling.LANCZOS)
        sheet.paste(shown, (left + gap // 2, top + line))
    return in_few_colours(sheet)


def quickstart() -> Image.Image:
    """The grid of the quickstart, in its default folder."""
    return open_image(FOLDER.parents[1] / "outputs" / "quickstart" / "grid.png")


SHEETS: dict[str, Callable[[], Image.Image]] = {
    **{f"world-{name}": (lambda name=name: level(name)) for name in MAKERS},
    "world-open-answers": open_answers,
    "world-held-out": held_out,
    "world-sizes": sizes,
    "photographs": photographs,
    "zoo-scenes": lambda: scenes("instruct_pix2pix", SHOWN),
    "zoo-mgie": lambda: scenes("mgie", SHOWN),
    "zoo-photographs": lambda: edits("instruct_pix2pix", PhotoSource(SHOWN // 2, kinds=PHOTO_KINDS, split="test")),
    "zoo-text-to-image": drawn,
    "zoo-full-size": full_size,
    "zoo-curves": curves,
    "first": first,
    "quickstart": quickstart,
    **{
        f"app_failures_{width}_{scheme}": (lambda width=width, scheme=scheme: failures(width, scheme))
        for width in (1280, 390)
        for scheme in ("light", "dark")
    },
}
MADE_ELSEWHERE = [name for name in SHEETS if name == "quickstart" or name.startswith("app_")]
"""Those whose images another command makes first."""


def main(names: list[str]) -> None:
    """Make the sheets of these names, and say where each is and how large."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or [name for name in SHEETS if name not in MADE_ELSEWHERE]:
        path = FOLDER / f"{name}.png"
        save(SHEETS[name](), path)
        print(f"{path}  {path.stat().st_size:,} bytes", flush=True)


def in_few_colours(sheet: Image.Image) -> Image.Image:
    """A sheet in 256 colours of its own."""
    return sheet.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)


def save(sheet: Image.Image, path: Path) -> None:
    """Save a sheet in 256 colours of its own where it would be too large in all.

    Raises:
        ValueError: even so above `MAX_BYTES`.
    """
    sheet.save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        in_few_colours(sheet).save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}: show smaller images")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=SHEETS, default=[], metavar="NAME", help=", ".join(SHEETS))
    main(parser.parse_args().names)
