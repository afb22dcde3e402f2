"""`ip2p study`: serve a blind comparison of systems to people, and count what they chose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ip2p_lightning.config import build, plain
from ip2p_lightning.formatting import plural
from ip2p_lightning.serving.study.folder import FILE, Study
from ip2p_lightning.terminal import Terminal

if TYPE_CHECKING:
    from ip2p_lightning.evaluation.preference import Item
    from ip2p_lightning.report.figure_page import Grid


def run(config: DictConfig) -> None:
    """Carry out `config.command`.

    Raises:
        FileNotFoundError: missing images, study, key or answers.
        ValueError: fewer than two systems, too few pairs, damaged files, answers that are not this study's, or a
            port that is taken.
    """
    {"serve": _serve, "results": _results}[config.command](config)


def _serve(config: DictConfig) -> None:
    from ip2p_lightning.serving.server import address, bind, run
    from ip2p_lightning.serving.study.app import make_app

    folder, terminal = Path(config.output), Terminal()
    if not (folder / FILE).is_file():
        _make(config, folder)
    study = Study.open(folder)
    app = make_app(folder, title=config.title, most_raters=config.most_raters)
    catch = sum(item.catch for item in study.items)
    with bind(config.host, config.port) as taken:
        terminal.print(
            f"{plural(len(study.items) - catch, 'comparison')} and {plural(catch, 'catch trial')} of {folder}"
        )
        terminal.print(
            f"raters open {address(taken)}; stop with Ctrl-C, and start again at any time: answers are kept",
            soft_wrap=True,
        )
        run(app, taken, 0, date_header=False, limit_concurrency=256, timeout_keep_alive=15)
    app.state.store.close()


def _make(config: DictConfig, folder: Path) -> None:
    from ip2p_lightning.serving.study.making import make_study

    if (config.systems is None) == (config.benchmark is None):
        raise ValueError(
            f"{folder} holds no study yet: give systems='{{ours: FOLDER, theirs: FOLDER2}}' to compare edits, or "
            "benchmark=FOLDER to compare the images of `ip2p benchmark`"
        )
    items = _edits(config) if config.systems is not None else _images(config)
    make_study(items, folder, side=config.side, catch=config.catch, per_rater=config.per_rater)


def _edits(config: DictConfig) -> list[Item]:
    from ip2p_lightning.editors.precomputed import FolderOutputs
    from ip2p_lightning.evaluation.preference_items import edit_items

    folders = plain(config.systems)
    if len(folders) < 2:
        raise ValueError(f"systems={list(folders)}: name two or more, such as '{{ours: FOLDER, theirs: FOLDER2}}'")
    outputs = {name: FolderOutputs(path, missing="gap") for name, path in folders.items()}
    return edit_items(build(config.data).sources()[config.split], outputs, config.count, config.seed)


def _images(config: DictConfig) -> list[Item]:
    from ip2p_lightning.evaluation.preference_items import image_items
    from ip2p_lightning.evaluation.prompts.run import read_benchmark

    folder = Path(config.benchmark)
    return image_items(read_benchmark(folder), folder, config.count, config.seed)


def _results(config: DictConfig) -> None:
    from ip2p_lightning.evaluation.calibration import write_choices
    from ip2p_lightning.evaluation.people import people
    from ip2p_lightning.evaluation.preference_answers import read_answers
    from ip2p_lightning.report.people_page import summary, tables, write_people_page
    from ip2p_lightning.serving.study.answers import export_answers

    folder, terminal = Path(config.output), Terminal()
    seconds, left_out, raters = 0.0, 0, 0
    key, files = config.key, plain(config.answers)
    if not files:
        exported = export_answers(folder, least_caught=config.least_caught)
        if not exported.count:
            raise ValueError(
                f"{folder} holds no answers yet; let raters open the page of `ip2p study serve output={folder}`"
            )
        key, files = exported.key, [exported.answers]
        seconds, left_out, raters = exported.median_seconds, exported.left_out, exported.raters
    elif key is None:
        raise ValueError("key is missing: give the file that `ip2p preference make` wrote with the page")
    answers = read_answers(key, files)
    results = people(answers, resamples=config.resamples)
    facts = summary(results[0].choices, raters or results[0].raters, left_out, answers.superseded, seconds)
    terminal.print(" ".join(facts), soft_wrap=True)
    for result in results:
        for grid in tables(result):
            show_grid(grid, terminal)
        choices = [choice for choice, _ in answers.choices[result.question]]
        folder.mkdir(parents=True, exist_ok=True)
        write_choices(choices, folder / f"choices-{result.question}.csv")
    page = write_people_page(results, folder, facts, {"data": None, "split": "answers of people"})
    terminal.print(f"{page}\n{folder / 'choices-*.csv'}: for ip2p calibrate", highlight=False, soft_wrap=True)


def show_grid(grid: Grid, terminal: Terminal) -> None:
    """Print a page's table."""
    from rich.table import Table

    table = Table(title=grid.title, title_justify="left")
    for place, head in enumerate(grid.heads):
        table.add_column(head, justify="right" if place else "left")
    for row in grid.rows:
        table.add_row(*row)
    terminal.print(table)
