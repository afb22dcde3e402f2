"""`ip2p preference`: make a blind page of two systems' edits for people, and read what they answered."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.table import Table

from ip2p_lightning.config import build, plain
from ip2p_lightning.editors.precomputed import FolderOutputs
from ip2p_lightning.evaluation.calibration import write_choices
from ip2p_lightning.evaluation.preference import Preference, preference, write_page
from ip2p_lightning.evaluation.preference_answers import read_answers
from ip2p_lightning.evaluation.preference_items import edit_items
from ip2p_lightning.metrics.bootstrap import Interval
from ip2p_lightning.terminal import Terminal


def run(config: DictConfig) -> None:
    """Carry out `config.command`.

    Raises:
        FileNotFoundError: missing outputs, key or answers.
        ValueError: other than two systems, too few pairs, or answers that are not this study's.
    """
    {"make": _make, "read": _read}[config.command](config)


def _make(config: DictConfig) -> None:
    pairs = build(config.data).sources()[config.split]
    outputs = {name: FolderOutputs(path, missing="gap") for name, path in plain(config.systems or {}).items()}
    if len(outputs) != 2:
        raise ValueError(f"systems={list(outputs)}: name two, such as systems='{{ours: FOLDER, theirs: FOLDER2}}'")
    page = Path(config.output) / "page.html"
    if page.exists() or Path(config.key).exists():
        raise ValueError(f"there is a study already ({page} or {config.key}); choose another output")
    items = edit_items(pairs, outputs, config.count, config.seed)
    write_page(items, page, config.key, side=config.side)
    Terminal().print(f"{page}: give this page to people, and keep {config.key} to yourself", soft_wrap=True)


def _read(config: DictConfig) -> None:
    folder = Path(config.output)
    console = Terminal()
    answers = read_answers(config.key, plain(config.answers))
    if answers.superseded:
        console.print(f"{answers.superseded:,} answers that were given again or changed: the last one counts")
    for question, rows in answers.choices.items():
        if not rows:
            continue
        table = Table(title=question, title_justify="left")
        for column in ("category", "choices", *_names(preference([choice for choice, _ in rows]))):
            table.add_column(column, justify="left" if column == "category" else "right")
        for category in ["", *sorted({category for _, category in rows if category})]:
            chosen = [choice for choice, own in rows if category in ("", own)]
            table.add_row(category or "all", *_cells(preference(chosen, resamples=config.resamples)))
        console.print(table)
        write_choices([choice for choice, _ in rows], folder / f"choices-{question}.csv")
        console.print(f"{folder / f'choices-{question}.csv'}: for ip2p calibrate", highlight=False, soft_wrap=True)


def _names(result: Preference) -> tuple[str, str, str]:
    return result.first, "no difference", result.second


def _cells(result: Preference) -> tuple[str, ...]:
    shares = (result.first_share, result.tie_share, result.second_share)
    return f"{result.choices:,}", *(_percent(share) for share in shares)


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.0%} ({interval.low:.0%} to {interval.high:.0%})"
