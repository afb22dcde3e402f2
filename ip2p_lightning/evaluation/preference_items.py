"""Comparisons for a study with people, from the images that systems have made of pairs or of prompts."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from PIL import Image

from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.paths import file_inside
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.editors.precomputed import FolderOutputs
from ip2p_lightning.evaluation.preference import Item
from ip2p_lightning.evaluation.prompts.run import Benchmark


def edit_items(pairs: PairSource, outputs: Mapping[str, FolderOutputs], count: int, seed: int) -> list[Item]:
    """Comparisons of every two systems on pairs that are drawn from those which all systems have edited.

    Args:
        pairs: what was to be edited.
        outputs: system -> its edited images; two or more.
        count: pairs to draw.
        seed: of the draw.

    Raises:
        ValueError: fewer pairs than ``count`` with outputs of all systems.
    """
    there = [set(output.answered(pairs).chosen) for output in outputs.values()]
    common = sorted(set.intersection(*there))
    if len(common) < count:
        which = "both" if len(outputs) == 2 else f"all {len(outputs)}"
        raise ValueError(f"count={count}, but {len(common)} of {len(pairs)} pairs have {which} systems' outputs")
    items = []
    for index in sorted(random.Random(f"preference/{seed}").sample(common, count)):
        pair = pairs[index]
        edits = {}
        for name, output in outputs.items():
            file = output.find(pair.id)
            assert file is not None  # among those that are answered
            edits[name] = output.open(file)
        for first, second in combinations(outputs, 2):
            both = {first: edits[first], second: edits[second]}
            items.append(Item(pair.id, pair.instruction, pair.original_image, both, pair.kind))  # type: ignore[arg-type]
    return items


def image_items(benchmark: Benchmark, folder: Path, count: int, seed: int) -> list[Item]:
    """Comparisons of every two systems on prompts of a benchmark that are drawn; all samples of a prompt in one image.

    Args:
        benchmark: with two systems or more.
        folder: of the benchmark.
        count: prompts to draw; all if there are fewer.
        seed: of the draw.

    Raises:
        ValueError: fewer than two systems.
    """
    if len(benchmark.systems) < 2:
        raise ValueError(f"{folder} has images of {benchmark.systems}; a study compares two systems or more")
    files: dict[tuple[str, str], list[Path]] = {}
    for row in sorted(benchmark.rows, key=lambda row: row.sample):
        files.setdefault((row.prompt, row.system), []).append(file_inside(folder, row.image, f"prompt {row.prompt!r}"))
    prompts = sorted(benchmark.prompts.prompts, key=lambda prompt: prompt.id)
    drawn = random.Random(f"preference/{seed}").sample(prompts, min(count, len(prompts)))
    items = []
    for prompt in sorted(drawn, key=lambda prompt: prompt.id):
        shown = {name: _together([open_image(file) for file in files[prompt.id, name]]) for name in benchmark.systems}
        for first, second in combinations(benchmark.systems, 2):
            both = {first: shown[first], second: shown[second]}
            items.append(Item(prompt.id, prompt.text, None, both, prompt.category))
    return items


def _together(images: list[Image.Image]) -> Image.Image:
    """Images of one prompt in a square of rows, as DrawBench shows its samples; each at the first one's size."""
    if len(images) == 1:
        return images[0]
    columns = math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    gap = max(1, width // 32)
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for place, image in enumerate(images):
        corner = (place % columns * (width + gap), place // columns * (height + gap))
        sheet.paste(image.resize((width, height), Image.Resampling.LANCZOS), corner)
    return sheet
