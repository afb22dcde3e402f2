"""`ip2p audit`: counterfactual grids through a system, and tests of whether it treats people alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ip2p_lightning.config import plain
from ip2p_lightning.terminal import Terminal

if TYPE_CHECKING:
    from ip2p_lightning.evaluation.audit.classifiers import AttributeClassifier
    from ip2p_lightning.evaluation.audit.findings import Finding
    from ip2p_lightning.evaluation.audit.run import AuditedEdit

FLAGGED = 1
"""Exit code of a strict audit that flags something."""


def run(config: DictConfig) -> None:
    """Make the images, read them, test, and write the page.

    Raises:
        FileNotFoundError: a missing grid, table, image or model.
        ValueError: neither texts nor edits to audit, or a damaged file.
        SystemExit: with `FLAGGED`, if the audit is strict and flags something.
    """
    if (config.grid is None) == (config.portraits is None):
        raise ValueError("give grid=FILE and system=... to audit images of texts, or portraits=FILE to audit edits")
    from ip2p_lightning.evaluation.audit.findings import corrected
    from ip2p_lightning.jobs.study import show_grid
    from ip2p_lightning.report.audit_page import add_section, section, table, verdict, write_audit_page

    folder, terminal = Path(config.output), Terminal()
    classifier = _classifier(config)
    found, misread = _images(config, folder, classifier) if config.grid else _edits(config, folder, classifier)
    findings = corrected(found, config.alpha)
    show_grid(table("Bias audit", findings), terminal)
    facts = {"editor": config.system or config.checkpoint, "seed": config.seed}
    page = write_audit_page(findings, misread, folder, classifier.name, facts)
    if config.card is not None:
        add_section(Path(config.card), section(findings, classifier.name))
    terminal.print(f"{verdict(findings)}\n{page}", soft_wrap=True)
    if config.strict and any(one.flagged for one in findings):
        raise SystemExit(FLAGGED)


def _images(config: DictConfig, folder: Path, classifier: AttributeClassifier) -> tuple[list[Finding], list[Finding]]:
    from ip2p_lightning.data.images import open_image
    from ip2p_lightning.evaluation.audit.grid import read_prompt_grid
    from ip2p_lightning.evaluation.audit.run import Made, audit_images
    from ip2p_lightning.evaluation.audit.world_grid import world_grid
    from ip2p_lightning.evaluation.prompts.run import PromptBenchmark
    from ip2p_lightning.jobs.benchmark import open_system

    if config.system is None:
        raise ValueError("system is missing: give text_to_image, a pipeline's folder, or a folder of images")
    grid = world_grid() if config.grid == "world" else read_prompt_grid(config.grid)
    options = {"samples": config.samples, "batch_size": config.batch_size}
    result = PromptBenchmark(grid.prompts, [open_system("system", config.system, config)], folder, **options).run()
    subject = {prompt.id: prompt.category for prompt in grid.prompts.prompts}
    made = [
        Made(f"{row.prompt}-{row.sample}", subject[row.prompt], open_image(folder / row.image)) for row in result.rows
    ]
    return audit_images(grid, made, classifier), []


def _edits(config: DictConfig, folder: Path, classifier: AttributeClassifier) -> tuple[list[Finding], list[Finding]]:
    from ip2p_lightning.evaluation.audit.run import audit_edits, calibration

    for name in ("instructions", "checkpoint"):
        if config[name] is None:
            raise ValueError(f"{name} is missing: audits of edits need portraits, instructions and a checkpoint")
    edits = _edited(config, folder)
    return audit_edits(edits, classifier, skin_by_colour=config.skin_by_colour), calibration(edits, classifier)


def _edited(config: DictConfig, folder: Path) -> list[AuditedEdit]:
    """Every portrait by every instruction; images that are there already are not made again."""
    from ip2p_lightning.data.dataset_info import file_sha256
    from ip2p_lightning.data.images import as_rgb, open_as_is
    from ip2p_lightning.data.saving import save_image
    from ip2p_lightning.diffusion.settings import SamplingSettings
    from ip2p_lightning.editors.opening import load_editor
    from ip2p_lightning.editors.request import EditRequest
    from ip2p_lightning.evaluation.audit.grid import read_instructions, read_portraits
    from ip2p_lightning.evaluation.audit.run import AuditedEdit
    from ip2p_lightning.store.parts import digest

    portraits, instructions = read_portraits(config.portraits), read_instructions(config.instructions)
    sampling = SamplingSettings(steps=config.steps, text_scale=config.text_scale)
    mark = [str(config.checkpoint), config.seed, config.steps, config.text_scale]
    wanted = [
        (one, by, folder / "edits" / f"{digest([*mark, one.id, file_sha256(one.image), by.text])}.png")
        for one in portraits
        for by in instructions
    ]
    missing = [entry for entry in wanted if not entry[2].is_file()]
    if missing:
        editor = load_editor(config.checkpoint, config.device, batch_size=config.batch_size, trust=plain(config.trust))
    for start in range(0, len(missing), config.batch_size):
        batch = missing[start : start + config.batch_size]
        requests = [EditRequest(open_as_is(one.image), by.text, config.seed, sampling) for one, by, _ in batch]
        for (_, _, file), edit in zip(batch, editor.answer(requests), strict=True):  # type: ignore[possibly-undefined]
            save_image(edit.image, file)  # type: ignore[arg-type]
    return [AuditedEdit(one, by, as_rgb(open_as_is(one.image)), as_rgb(open_as_is(file))) for one, by, file in wanted]


def _classifier(config: DictConfig) -> Any:
    from ip2p_lightning.evaluation.audit.classifiers import Labels, ModelClassifier, WorldClassifier

    chosen = plain(config.classifier)
    if isinstance(chosen, dict):
        from ip2p_lightning.metrics.judges.vlm_answerers import ServerAnswerer

        attributes = chosen.pop("attributes", None)
        if not attributes:
            raise ValueError("classifier.attributes is missing: name what is read, {gender: [female, male], ...}")
        return ModelClassifier(ServerAnswerer(**chosen), attributes)
    if chosen != "world":
        return Labels(chosen)
    from ip2p_lightning.metrics.encoders.judge import JudgeReader

    return WorldClassifier(JudgeReader.from_pretrained("zoo:judge"))
