"""`ip2p data doctor` and `ip2p data align`: what is wrong with pairs, in tables and reports, and pairs mended."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from ip2p_lightning.data.aligning import AlignedSource, done
from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.doctor.examination import Examination, examine
from ip2p_lightning.data.doctor.finding import KINDS
from ip2p_lightning.data.doctor.geometry import BOUNDS, Bounds
from ip2p_lightning.data.reader import ShardDataset
from ip2p_lightning.data.sources import EncodedSource
from ip2p_lightning.formatting import plural
from ip2p_lightning.jobs.data_commands import print_list, progress, render
from ip2p_lightning.terminal import Terminal

SHEET = "findings.png"
_TREATMENTS = 4
BLIND = (
    "not seen: exchanged images of an edit whose effect no known word names; a wrong text that fits the images; "
    "movement where the edit leaves too little as it was, or the instruction asks for it"
)
"""What the checks cannot see."""


def doctor(
    source: EncodedSource,
    output: str | Path,
    *,
    resolution: int = 256,
    fit: Literal["squash", "centre_crop"] = "squash",
    alignment: bool = True,
    bounds: Bounds = BOUNDS,
    workers: int = 0,
    count: int = 12,
    columns: int = 3,
    side: int = 192,
    console: Console | None = None,
) -> Examination:
    """Examine pairs, print what is wrong with them, and write a report.

    Args:
        source: the pairs.
        output: folder of `findings.csv`, `pairs.csv`, `report.json` and `findings.png`.
        resolution: side of training's images in pixels.
        fit: what training does to images of another shape.
        alignment: estimate how edited images lie to their originals.
        bounds: from when on a displacement is a fault.
        workers: processes that look at pairs.
        count: pairs on the sheet.
        columns: pairs in a row of it.
        side: pixels of an image's side on it.
        console: where to print.
    """
    console = console or Terminal()
    with progress(console, f"examining {source.name or 'pairs'}", len(source)) as advance:
        found = examine(
            source,
            resolution=resolution,
            fit=fit,
            alignment=alignment,
            bounds=bounds,
            workers=workers,
            advance=advance,
        )
    folder = found.save(output)
    _print(console, found)
    shown = [id for id in found.faulty if id in found.places][:count]
    if shown:
        kinds = {id: ", ".join(dict.fromkeys(f.kind for f in found.findings if f.id == id)) for id in shown}
        pairs = [replace(source[found.places[id]], kind=kinds[id]) for id in shown]
        title = f"{len(found.faulty):,} of {plural(found.pairs, 'pair')} with findings"
        contact_sheet(pairs, title=title, columns=columns, side=side).save(folder / SHEET)
    names = ["findings.csv", "pairs.csv", "report.json", *([SHEET] if shown else [])]
    console.print(f"{BLIND}\n{', '.join(names)} in {folder}", highlight=False, soft_wrap=True)
    return found


def align(
    source: EncodedSource,
    output: str | Path,
    *,
    bounds: Bounds = BOUNDS,
    workers: int = 0,
    skip_failures: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> Counter[str]:
    """Write a dataset in which misaligned edited images are resampled, and print how many were.

    Args:
        source: the pairs.
        output: the dataset folder to make.
        bounds: from when on a displacement is mended.
        workers: processes that look at pairs.
        skip_failures: leave out unusable pairs and list them, rather than stop.
        overwrite: replace a dataset at ``output``.
        console: where to print.
    """
    console = console or Terminal()
    render(
        AlignedSource(source, bounds),
        output,
        workers=workers,
        skip_failures=skip_failures,
        overwrite=overwrite,
        console=console,
    )
    dataset = ShardDataset(output)
    counts = done(dataset.encoded(index).metadata for index in range(len(dataset)))
    said = {"mended": "mended", "in place": "in place", "unsure": "left as they are, too little to estimate by"}
    said["asked for"] = "left as they are, since the instruction may ask for movement"
    console.print("; ".join(f"{counts[key]:,} {words}" for key, words in said.items() if counts[key]), highlight=False)
    return counts


def _print(console: Console, found: Examination) -> None:
    kept = Counter(found.treatments.values()).most_common()
    training = ", ".join(f"{plural(count, 'pair')} {what}" for what, count in kept[:_TREATMENTS])
    more = f", {sum(count for _, count in kept[_TREATMENTS:]):,} in other ways" if len(kept) > _TREATMENTS else ""
    if not found.findings:
        console.print(f"nothing found in {plural(found.pairs, 'pair')}", highlight=False)
    else:
        title = f"{len(found.faulty):,} of {plural(found.pairs, 'pair')} with findings"
        table = Table(title=title, title_justify="left")
        for name in ("finding", "pairs", "meaning"):
            table.add_column(name, justify="right" if name == "pairs" else "left")
        for kind, count in found.counts.items():
            table.add_row(kind, f"{count:,}", KINDS[kind])
        console.print(table)
        print_list(console, "findings", [str(finding) for finding in found.findings])
    console.print(f"training at {found.resolution} ({found.fit}): {training}{more}", highlight=False, soft_wrap=True)
