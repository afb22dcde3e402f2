"""`ip2p edit`: edit images with a checkpoint, a folder in diffusers' format, or an editor that ships."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path

from omegaconf import DictConfig, ListConfig
from PIL import Image

from ip2p_lightning.config import build
from ip2p_lightning.data import deep
from ip2p_lightning.data.images import ImageError, as_rgb, open_as_is, picture_size, to_tensor
from ip2p_lightning.data.saving import format_of, save_image
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.editors.request import EditRequest, EditResult, image_size
from ip2p_lightning.files import alone
from ip2p_lightning.jobs.edit_plan import SUFFIXES, TABLES, Job, image_files, plan, read_table, readable, slug
from ip2p_lightning.report.alternatives import animation, sheet
from ip2p_lightning.safety import Guard
from ip2p_lightning.untrusted import printable
from ip2p_lightning.world.drawing import draw
from ip2p_lightning.world.reading import scene_of_words

SCENE_SIDE = 64
"""Side in pixels of drawn scenes, that of the world's models."""
_PIXELS = 48_000_000
"""Pixels of images that are held at once, whatever the batch size."""


def run(config: DictConfig) -> None:
    """Check everything, then edit and write as `conf/edit.yaml` describes; prints a line for each edit.

    Raises:
        FileNotFoundError: no such image or checkpoint.
        ValueError: an unreadable image, an empty instruction, an output that is in the way, or a folder that another
            command is writing to.
    """
    jobs = _planned(config)
    good, wrong = readable(jobs)
    if wrong and (not config.skip_failures or not good):
        file, text = next(iter(wrong.items()))
        raise (ImageError if file.exists() else FileNotFoundError)(text)
    if not good:
        print("every edit is there already; nothing was left to do")
        return
    editor = load_editor(
        config.checkpoint,
        config.device,
        config.weights,
        config.batch_size,
        config.resolution,
        trust=config.trust,
        precision=config.precision,
    )
    guard: Guard | None = build(config.safety) if config.get("safety") else None
    output = Path(config.output)
    with nullcontext() if output.suffix.lower() in SUFFIXES else alone(output):
        _make(editor, good, guard, config, wrong)
        _show(good, config)
    if guard is not None and (summary := guard.summary()):
        print(printable(summary))
    if wrong:
        print(f"{len(wrong)} files could not be edited:")
        for text in wrong.values():
            print(printable(f"  {text}"))
        if {job.image for job in jobs} <= set(wrong):
            raise ImageError("no file could be edited; see above why")


def _make(editor: Editor, jobs: Sequence[Job], guard: Guard | None, config: DictConfig, wrong: dict[Path, str]) -> None:
    """Edit and write, with a line for each edit."""
    told: set[str] = set()
    for batch in _batches(_allowed(jobs, guard), config.batch_size):
        for job, edit in _shown(_edited(editor, batch, config, wrong), guard):
            save_image(edit.image, job.output, config.quality)  # type: ignore[arg-type]
            text = f" -> {edit.expressive_instruction}" if edit.expressive_instruction else ""
            print(printable(f"{job.output}  {job.instruction}{text}  ({_sizes(edit)})"))
            for note in (*edit.notes, *_depth_note(edit, job.output)):
                if note not in told:
                    print(printable(f"note: {note}"))
                told.add(note)


def _planned(config: DictConfig) -> list[Job]:
    """Edits to make, without those whose outputs exist."""
    output, overwrite = Path(config.output), config.overwrite
    mask = None if config.mask is None else Path(config.mask)
    seeds = [int(seed) for seed in _listed(config.seeds)]
    named = [] if config.image is None else [str(path) for path in _listed(config.image)]
    if len(named) == 1 and Path(named[0]).suffix.lower() in TABLES:
        texts = [] if config.instruction is None else _listed(config.instruction)
        if len(texts) > 1 or len(seeds) > 1 or mask:
            raise ValueError(f"{named[0]} lists edits: their instructions, seeds and masks stand in its columns")
        return read_table(Path(named[0]), str(texts[0]) if texts else None, seeds[0], output, overwrite)
    files = image_files(named) if named else draw_scenes(_listed(config.scene), output, config.resolution)
    if config.instruction is None:
        raise ValueError('instruction is missing; say what to change, for example instruction="make it winter"')
    return plan(files, [str(text) for text in _listed(config.instruction)], seeds, output, overwrite, mask)


def draw_scenes(scenes: Sequence[str], output: Path, side: int | None = None) -> list[Path]:
    """Draw scenes of the embedded world into the folder `scenes` next to the edits, named after their words.

    Args:
        scenes: what to draw, see `scene_of_words`; all are read before any is drawn.
        output: where the edits go: an image, or a folder.
        side: of the images in pixels; None for `SCENE_SIDE`.

    Raises:
        ValueError: words that cannot be drawn.
    """
    folder = (output.parent if output.suffix.lower() in SUFFIXES else output) / "scenes"
    files = []
    for words, scene in [(str(words), scene_of_words(str(words))) for words in scenes]:
        files.append(folder / f"{slug(words)}.png")
        save_image(draw(scene, side or SCENE_SIDE), files[-1])
        print(printable(f"{files[-1]}  {words}"))
    return files


def _allowed(jobs: Sequence[Job], guard: Guard | None) -> list[Job]:
    """The edits whose instructions are not refused; says why of each other."""
    allowed = []
    for job in jobs:
        why = guard.refuses_text(job.instruction) if guard else ""
        print(printable(f"{job.output}: {why}")) if why else allowed.append(job)
    return allowed


def _shown(edits: list[tuple[Job, EditResult]], guard: Guard | None) -> list[tuple[Job, EditResult]]:
    """The edits whose images, and what the model wrote for them, are not refused; says why of each other."""
    if guard is None:
        return edits
    kept = []
    for job, edit in edits:
        (of_image,) = guard.refuses_images([to_tensor(as_rgb(edit.image))])  # type: ignore[arg-type]
        why = of_image or guard.refuses_text(edit.expressive_instruction)
        print(printable(f"{job.output}: {why}")) if why else kept.append((job, edit))
    return kept


def _batches(jobs: Sequence[Job], batch_size: int) -> Iterator[list[Job]]:
    """Edits at once: as many as asked for, fewer of large images."""
    batch: list[Job] = []
    pixels = 0
    for job in jobs:
        width, height, _ = picture_size(job.image)
        if batch and (len(batch) == batch_size or pixels + width * height > _PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(job)
        pixels += width * height
    yield batch


def _edited(
    editor: Editor, jobs: Sequence[Job], config: DictConfig, wrong: dict[Path, str]
) -> list[tuple[Job, EditResult]]:
    """Results of some edits; with `skip_failures`, images that cannot be used are added to `wrong`."""
    sampling = SamplingSettings.read(config)
    requests: list[tuple[Job, EditRequest]] = []
    opened = cache(open_as_is)  # each image once, however often it is edited
    for job in jobs:
        try:
            mask = None if job.mask is None else opened(job.mask)
            image, how = opened(job.image), {"mask": mask, "size": config.size, "strength": config.strength}
            request = EditRequest(image, job.instruction, job.seed, sampling, **how)
            requests.append((job, request))
        except (OSError, ValueError) as error:
            if not config.skip_failures:
                raise
            wrong[job.image] = str(error) if str(job.image) in str(error) else f"{job.image}: {error}"
    if not requests:
        return []
    edits = editor.answer([request for _, request in requests])
    return [(job, edit) for (job, _), edit in zip(requests, edits, strict=True)]


def _depth_note(edit: EditResult, output: Path) -> list[str]:
    """A sentence where an image of more than 8 bits a channel is written with 8."""
    original, image = edit.request.image, edit.image
    assert isinstance(original, Image.Image)
    assert isinstance(image, Image.Image)
    if original.mode not in ("I", "F") and deep.deep_of(original) is None:
        return []
    if deep.deep_of(image) is not None and format_of(output) in deep.FORMATS:
        return []
    return [
        "images of more than 8 bits a channel are written with 8 here; RGB, RGBA and grey of 16 bits keep them in .png "
        "and .tif at size=input"
    ]


def _sizes(edit: EditResult) -> str:
    width, height = image_size(edit.image)
    text = f"{width} x {height}"
    if edit.edited_at not in (None, (width, height)):
        text += ", edited at {} x {}".format(*edit.edited_at)  # type: ignore[misc]
    original = image_size(edit.request.image)
    return text if original == (width, height) else f"{text}, from {original[0]} x {original[1]}"


def _show(jobs: Sequence[Job], config: DictConfig) -> None:
    """Sheets and animations of each image that was edited, next to its edits."""
    by_image: dict[Path, list[Job]] = {}
    for job in jobs:
        if job.output.exists():
            by_image.setdefault(job.image, []).append(job)
    for number, (image, made) in enumerate(by_image.items(), 1):
        stem = made[0].output.parent / (f"{image.stem}-{number}" if len(by_image) > 1 else image.stem)
        pictures = [open_as_is(image), *(open_as_is(job.output) for job in made)]
        labels = ["original", *(f"{job.instruction}, seed {job.seed}" for job in made)]
        if config.sheet:
            print(save_image(sheet(pictures, labels), stem.with_name(f"{stem.name}-sheet.png")))
        if config.animation:
            print(animation(pictures, stem.with_name(f"{stem.name}-animation.webp")))


def _listed(value: object) -> list:
    return list(value) if isinstance(value, ListConfig | list | tuple) else [value]
