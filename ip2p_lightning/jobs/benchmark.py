"""`ip2p benchmark`: images of text-to-image systems over a prompt set, and their figures by category."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ip2p_lightning.config import plain
from ip2p_lightning.terminal import Terminal

if TYPE_CHECKING:
    from ip2p_lightning.evaluation.prompts.prompt_set import PromptSet
    from ip2p_lightning.evaluation.prompts.systems import TextToImage

ZOO = ("text_to_image",)
"""Models of the zoo that make images of texts."""
_STEPS, _GUIDANCE = 50, 7.5
"""Of pipelines from elsewhere, as their own defaults are."""


def run(config: DictConfig) -> None:
    """Make what images are missing, measure them, print the table and write the page.

    Raises:
        FileNotFoundError: a missing file of prompts, folder of images, or weights.
        ValueError: damaged prompts, or a copy of DrawBench that is not whole.
    """
    folder, terminal = Path(config.output), Terminal()
    prompts = _prompts(config)
    systems = [open_system(name, str(path), config) for name, path in plain(config.systems).items()]
    judge, encoder = _judge(config, prompts), _encoder(config, prompts)

    from ip2p_lightning.evaluation.prompts.figures import category_figures
    from ip2p_lightning.evaluation.prompts.run import PromptBenchmark
    from ip2p_lightning.jobs.study import show_grid
    from ip2p_lightning.progress import bar
    from ip2p_lightning.report.prompts_page import table, write_prompts_page

    options = {"samples": config.samples, "batch_size": config.batch_size}
    benchmark = PromptBenchmark(prompts, systems, folder, encoder=encoder, judge=judge, **options)
    with bar(console=terminal) as line:
        task = line.add_task("images", total=None)
        result = benchmark.run(lambda done, of: line.update(task, completed=done, total=of))
    figures = category_figures(result, resamples=config.resamples)
    show_grid(table(figures), terminal)
    page = write_prompts_page(result, figures, folder, config.show)
    terminal.print(f"{page}\nip2p study serve benchmark={folder}: let people compare the same images", soft_wrap=True)


def _prompts(config: DictConfig) -> PromptSet:
    from ip2p_lightning.evaluation.prompts.prompt_set import PromptSet, drawbench, read_prompts
    from ip2p_lightning.evaluation.prompts.world_prompts import world_prompts

    if config.prompts == "world":
        return world_prompts(config.count or 100, seed=config.seed)
    if config.prompts == "drawbench":
        if config.drawbench is None:
            raise ValueError("drawbench is missing: give the CSV file of its prompts, such as drawbench=imagen.csv")
        found = drawbench(config.drawbench)
    else:
        found = read_prompts(config.prompts)
    of, count = len(found.prompts), min(config.count or len(found.prompts), len(found.prompts))
    return PromptSet(found.name, tuple(found.prompts[index * of // count] for index in range(count)))


def open_system(name: str, path: str, config: DictConfig) -> TextToImage:
    """A text-to-image system: of the zoo, a pipeline's folder or hub name, or a folder of images.

    Args:
        name: for tables.
        path: what it is.
        config: steps, text_scale and device.
    """
    from ip2p_lightning.evaluation.prompts.systems import FolderSystem, PipelineSystem

    if path not in ZOO and Path(path).is_dir() and not (Path(path) / "model_index.json").is_file():
        return FolderSystem(name, path)
    from ip2p_lightning import zoo
    from ip2p_lightning.generation.pipelines import load_pipeline
    from ip2p_lightning.zoo import text_to_image

    own = (text_to_image.STEPS, text_to_image.GUIDANCE) if path in ZOO else (_STEPS, _GUIDANCE)
    pipeline: Any = zoo.load(path) if path in ZOO else load_pipeline(path)
    pipeline.to(_device(config.device))
    steps, scale = config.steps or own[0], own[1] if config.text_scale is None else config.text_scale
    sides = {"height": 64, "width": 64} if path in ZOO else {}
    return PipelineSystem(name, pipeline, steps, scale, **sides)


def _judge(config: DictConfig, prompts: PromptSet) -> Any:
    from ip2p_lightning.metrics.judges.atoms import AttributeAtoms, ModelAtoms

    if config.answerer is not None:
        from ip2p_lightning.metrics.judges.vlm_answerers import ServerAnswerer

        return ModelAtoms(ServerAnswerer(**plain(config.answerer)))
    if any(atom.attribute for prompt in prompts.prompts for atom in prompt.atoms):
        from ip2p_lightning.metrics.encoders.judge import JudgeReader

        return AttributeAtoms(JudgeReader.from_pretrained("zoo:judge"))
    return None


def _encoder(config: DictConfig, prompts: PromptSet) -> Any:
    name = config.encoder
    if name == "auto":
        name = "zoo:dual_encoder" if config.prompts == "world" else "none"
    if name == "none":
        return None
    from ip2p_lightning.metrics.encoders import OpenClipEncoder

    return OpenClipEncoder.named(name)


def _device(name: str) -> str:
    import torch

    if name != "auto":
        return name
    return torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"  # type: ignore[union-attr]
