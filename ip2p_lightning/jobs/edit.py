"""`ip2p edit`: edit pictures with a checkpoint or a folder in diffusers' format."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, ListConfig
from PIL import Image

from ip2p_lightning.data.images import FORMATS, open_image, picture_size
from ip2p_lightning.data.left_out import LeftOut
from ip2p_lightning.data.listing import OTHER_IMAGES, listed
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.editors.request import EditRequest
from ip2p_lightning.untrusted import printable
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.reading import scene_of_words

log = logging.getLogger(__name__)

SUFFIXES = frozenset(end for end, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO"))
SCENE_SIDE = 64
"""Side in pixels of drawn scenes, that of the world's models."""


@dataclass(frozen=True)
class Request:
    """One edit to make.

    Args:
        image: picture file.
        instruction: what to change.
        seed: of the noise.
        output: file to write.
    """

    image: Path
    instruction: str
    seed: int
    output: Path


def run(config: DictConfig) -> None:
    """Check everything, then edit and write as `conf/edit.yaml` describes; prints a line for each edit.

    Raises:
        FileNotFoundError: no such picture or checkpoint.
        ValueError: an unreadable picture, an empty instruction, scales or steps out of range, or an output that is
            in the way.
    """
    output = Path(config.output)
    if (config.image is None) == (config.scene is None):
        raise ValueError(
            "edit takes either image=... (a picture, a folder or a list), or scene=... (words that the embedded world "
            'can draw, such as scene="a red castle by the sea at night")'
        )
    scenes = [] if config.scene is None else [str(words) for words in _listed(config.scene)]
    drawn = draw_scenes(scenes, output, config.resolution or SCENE_SIDE)
    requests = plan(
        pictures(_listed(config.image)) if config.image is not None else drawn,
        [str(text) for text in _listed(config.instruction)],
        [int(seed) for seed in _listed(config.seeds)],
        output,
        config.overwrite,
    )
    editor = _editor(config)
    for start in range(0, len(requests), config.batch_size):
        _edit(editor, requests[start : start + config.batch_size], config)


def _editor(config: DictConfig) -> Editor:
    """What `checkpoint` names."""
    return load_editor(
        config.checkpoint,
        config.device,
        config.weights,
        config.batch_size,
        config.resolution,
        trust=config.trust,
        precision=config.precision,
    )


def draw_scenes(scenes: Sequence[str], output: Path, side: int) -> list[Path]:
    """Draw scenes of the embedded world into the folder `scenes` beside the edits, named after their words.

    Args:
        scenes: what to draw, see `scene_of_words`; all are read before any is drawn.
        output: where the edits go: a picture, or a folder.
        side: of the pictures in pixels.

    Raises:
        ValueError: words that cannot be drawn.
    """
    folder = (output.parent if output.suffix.lower() in SUFFIXES else output) / "scenes"
    files = []
    for words, scene in [(words, scene_of_words(words)) for words in scenes]:
        folder.mkdir(parents=True, exist_ok=True)
        files.append(folder / f"{_slug(words)}.png")
        draw(scene, side).save(files[-1])
        print(printable(f"{files[-1]}  {words}"))
    return files


def pictures(paths: Sequence[str]) -> list[Path]:
    """The picture files among `paths`, those in folders included, each checked for a readable header.

    Raises:
        FileNotFoundError: a path that is not there.
        ValueError: no picture at all, or a file that is none.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            left_out = LeftOut()
            found = listed(path, SUFFIXES, left_out, likely=OTHER_IMAGES)
            if not found:
                aside = f" (there is {left_out})" if left_out else ""
                raise ValueError(f"image={path}: the folder holds no pictures (jpg, png, webp ...){aside}")
            for line in left_out.lines():
                log.warning("image=%s: not used: %s", path, line)
            files += found
        else:
            files.append(path)
    if not files:
        raise ValueError("image is empty; give a picture, a folder of pictures, or a list")
    for file in files:
        picture_size(file)
    return files


def plan(
    images: Sequence[Path], instructions: Sequence[str], seeds: Sequence[int], output: Path, overwrite: bool = False
) -> list[Request]:
    """Every picture under every instruction and seed, with the file each edit goes to.

    One edit goes to `output` if that names a picture; otherwise `output` is a folder, and files are named after the
    picture, and after instruction and seed where there are several.

    Raises:
        ValueError: an empty instruction, nothing to do, several edits for one file, or a file that is in the way.
    """
    for index, instruction in enumerate(instructions):
        if not instruction.strip():
            raise ValueError(
                f"instruction {index + 1} of {len(instructions)} is empty; say what to change, for example "
                "instruction='make it winter'"
            )
    combinations = list(itertools.product(images, instructions, seeds))
    if not combinations:
        raise ValueError("there is nothing to edit: instruction and seeds must each name at least one")
    single = output.suffix.lower() in SUFFIXES and not output.is_dir()
    if single and len(combinations) > 1:
        raise ValueError(f"output={output} is one picture, but {len(combinations)} edits were asked for; name a folder")
    if not single and output.is_file():
        raise ValueError(f"output={output} is a file, and not named like a picture; name a picture or a folder")
    names = [output] if single else [output / name for name in _names(combinations)]
    if not overwrite and (existing := [name for name in names if name.exists()]):
        raise ValueError(f"{existing[0]} exists already; choose another output, or overwrite=true")
    return [Request(*combination, name) for combination, name in zip(combinations, names, strict=True)]


def _edit(editor: Editor, requests: Sequence[Request], config: DictConfig) -> None:
    sampling = SamplingSettings.read(config)
    edits = editor.answer(
        [
            EditRequest(open_image(request.image), request.instruction, request.seed, sampling, size=config.size)
            for request in requests
        ]
    )
    for request, edit in zip(requests, edits, strict=True):
        image, text = edit.image, edit.expressive_instruction
        request.output.parent.mkdir(parents=True, exist_ok=True)
        image.save(request.output)
        print(printable(f"{request.output}  {request.instruction}{f' -> {text}' if text else ''}"))


def _names(combinations: Sequence[tuple[Path, str, int]]) -> list[str]:
    """File names that tell apart what differs; numbered where that is not enough."""
    several = [len({combination[part] for combination in combinations}) > 1 for part in range(3)]
    taken: dict[str, int] = {}
    names = []
    for image, instruction, seed in combinations:
        slug = _slug(instruction)
        parts = [image.stem, *([slug] if several[1] and slug else []), *([f"seed{seed}"] if several[2] else [])]
        name = "-".join(parts)
        taken[name] = taken.get(name, 0) + 1
        names.append(f"{name}{f'-{taken[name]}' if taken[name] > 1 else ''}.png")
    return names


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")[:60]


def _listed(value: object) -> list:
    return list(value) if isinstance(value, ListConfig | list | tuple) else [value]
