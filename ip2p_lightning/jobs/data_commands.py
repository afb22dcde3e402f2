"""The commands of `ip2p data`: the work, with a progress bar and tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.datamodule import NO_VALIDATION
from ip2p_lightning.data.dataset_info import DatasetInfo
from ip2p_lightning.data.formats.base import ExportReport, Format, export_pairs
from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.rendering import RenderReport, render_dataset
from ip2p_lightning.data.selection import Selection
from ip2p_lightning.data.sources import PairSource
from ip2p_lightning.data.statistics import DatasetStatistics, Spread, dataset_statistics
from ip2p_lightning.data.verification import VerifyReport
from ip2p_lightning.data.verification import verify as verify_dataset
from ip2p_lightning.progress import bar
from ip2p_lightning.terminal import Terminal

_SHOWN = 20  # problems listed on the terminal


def render(
    source: PairSource | Mapping[str, PairSource],
    path: str | Path,
    *,
    console: Console | None = None,
    **options: Any,
) -> RenderReport:
    """Write the pairs of a source, or of a mapping from split to source, as a dataset folder; see `render_dataset`.

    Args:
        source: what to render; `EditDataModule.sources()` is such a mapping.
        path: the dataset folder to make.
        console: where to print.
        options: of `render_dataset`: workers, splits, prefix, skip_failures, overwrite ...
    """
    console = console or Terminal()
    total = sum(len(part) for part in source.values()) if isinstance(source, Mapping) else len(source)
    with progress(console, f"rendering {path}", total) as advance:
        report = render_dataset(source, path, advance=advance, **options)
    size = sum(shard.size for shard in report.info.shards)
    counts = ", ".join(f"{split} {count:,}" for split, count in report.info.splits.items())
    shards = f"{len(report.info.shards)} shard(s), {size / 1e6:,.1f} MB"
    console.print(f"{report.info.pairs:,} pairs ({counts}) in {path}: {shards}", highlight=False, soft_wrap=True)
    if report.skipped:
        counted = ", ".join(f"{count:,} x {reason}" for reason, count in report.reasons.most_common())
        console.print(f"left out {len(report.skipped):,}: {counted}", highlight=False, soft_wrap=True)
    print_list(console, "left out", report.skipped)
    print_list(console, "notes", getattr(source, "notes", []))
    for line in report.left_out.lines():
        console.print(f"not used: {line}", highlight=False, soft_wrap=True)
    if "train" in report.info.splits and "validation" not in report.info.splits:
        console.print(f"no validation pairs in {path}: {NO_VALIDATION}", highlight=False, soft_wrap=True)
    return report


def export(
    path: str | Path,
    format: Format,
    output: str | Path,
    *,
    selection: Selection | None = None,
    console: Console | None = None,
) -> ExportReport:
    """Write a dataset, or a selection of it, in another format; see `export_pairs`.

    Args:
        path: the dataset folder.
        format: to write.
        output: the folder to make.
        selection: of the dataset's pairs.
        console: where to print.
    """
    console = console or Terminal()
    dataset = ShardDataset(path, selection)
    with progress(console, f"exporting {path}", len(dataset)) as advance:
        report = export_pairs(dataset, format, output, advance=advance)
    console.print(f"{report.pairs:,} pairs in {output} ({format.name})", highlight=False, soft_wrap=True)
    print_list(console, "notes", report.notes)
    return report


def verify(path: str | Path, *, decode: bool = False, console: Console | None = None) -> VerifyReport:
    """Check a dataset folder and print what is wrong with it; see `verification.verify`.

    Args:
        path: the dataset folder.
        decode: decode every image too.
        console: where to print.
    """
    console = console or Terminal()
    with progress(console, f"checking {path}", DatasetInfo.load(path).pairs) as advance:
        report = verify_dataset(path, decode=decode, advance=advance)
    if report.ok:
        console.print(f"{path} is whole: {report.pairs:,} pairs in {report.shards} shard(s)", highlight=False)
    else:
        console.print(f"{path} is damaged: {report.sound_pairs:,} of {report.pairs:,} pairs are sound", highlight=False)
        print_list(console, "problems", [str(problem) for problem in report.problems])
    return report


def stats(
    path: str | Path, *, selection: Selection | None = None, sample: int = 500, console: Console | None = None
) -> DatasetStatistics:
    """Print tables of what a dataset holds; see `dataset_statistics`.

    Args:
        path: the dataset folder.
        selection: of its pairs.
        sample: pairs to decode for the size of their edits.
        console: where to print.
    """
    console = console or Terminal()
    dataset = ShardDataset(path, selection)
    statistics = dataset_statistics(dataset, sample=sample)
    for table in (_counts_table(dataset, statistics), _texts_table(statistics), _scores_table(statistics)):
        if table.row_count:
            console.print(table)
    return statistics


def show(
    path: str | Path | PairSource,
    output: str | Path,
    *,
    count: int = 12,
    seed: int = 0,
    columns: int = 3,
    side: int = 192,
    selection: Selection | None = None,
) -> Path:
    """Save a contact sheet of random pairs: original, edited and the instruction.

    Args:
        path: a dataset folder, or a source.
        output: the image to write; its ending gives the format.
        count: how many pairs.
        seed: another seed shows other pairs.
        columns: pairs in a row.
        side: pixels of an image's side on the sheet.
        selection: of the pairs of a dataset folder.
    """
    if count < 1:
        raise ValueError(f"count={count} must be at least 1")
    source = ShardDataset(path, selection) if isinstance(path, str | Path) else path
    rows = addressed_random("show", seed).sample(range(len(source)), min(count, len(source)))
    title = f"{source.name or 'pairs'}: {len(rows)} of {len(source):,} pairs"
    sheet = contact_sheet([source[row] for row in rows], title=title, columns=columns, side=side)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output)
    return output


def _counts_table(dataset: ShardDataset, statistics: DatasetStatistics) -> Table:
    splits = sorted({split for row in statistics.counts.values() for split in row})
    sizes = ", ".join(f"{width} x {height}" for width, height in list(statistics.sizes)[:3])
    more = f" and {len(statistics.sizes) - 3} more" if len(statistics.sizes) > 3 else ""
    title = f"{dataset.name or dataset.path}: {statistics.pairs:,} pairs in {statistics.groups:,} groups, {sizes}{more}"
    caption = f"pixels: median (5th-95th percentile) of {statistics.sampled} pairs"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("kind", no_wrap=True)
    for split in splits:
        table.add_column(split, justify="right")
    table.add_column("pixels changed", justify="right", no_wrap=True)
    table.add_column("mean difference", justify="right", no_wrap=True)
    for kind, row in statistics.counts.items():
        changed, difference = statistics.changed.get(kind), statistics.difference.get(kind)
        counts = [f"{row.get(split, 0):,}" for split in splits]
        table.add_row(kind or "(unknown)", *counts, _percent(changed), _percent(difference))
    if len(statistics.counts) > 1:
        totals = [sum(row.get(split, 0) for row in statistics.counts.values()) for split in splits]
        table.add_section()
        table.add_row("all", *(f"{total:,}" for total in totals), "", "")
    return table


def _texts_table(statistics: DatasetStatistics) -> Table:
    table = Table(title="words a text", title_justify="left")
    for column in ("text", "median", "5% to 95%", "missing"):
        table.add_column(column, justify="left" if column == "text" else "right")
    for name, missing in statistics.missing.items():
        spread = statistics.words.get(name)
        cells = (f"{spread.median:.0f}", f"{spread.low:.0f} to {spread.high:.0f}") if spread else ("", "")
        table.add_row(name, *cells, f"{missing:,}")
    return table


def _scores_table(statistics: DatasetStatistics) -> Table:
    table = Table(title="scores", title_justify="left")
    for column in ("score", "median", "5% to 95%"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for name, spread in statistics.scores.items():
        table.add_row(name, f"{spread.median:.3f}", f"{spread.low:.3f} to {spread.high:.3f}")
    return table


def _percent(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.median:.0%} ({100 * spread.low:.0f}-{100 * spread.high:.0f})"


def print_list(console: Console, title: str, lines: list[str]) -> None:
    """Print the first lines of a list, and how many more there are."""
    for line in lines[:_SHOWN]:
        console.print(f"  {line}", highlight=False)
    if len(lines) > _SHOWN:
        console.print(f"  ... and {len(lines) - _SHOWN:,} more {title}", highlight=False)


@contextmanager
def progress(console: Console, text: str, total: int) -> Iterator:
    """A progress bar; yields what is called with a number of pairs."""
    with bar(console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(text, total=total)
        yield lambda pairs: shown.advance(task, pairs)
