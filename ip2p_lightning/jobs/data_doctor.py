"""`ip2p data doctor` and `ip2p data align`: what is wrong with pairs, in tables and reports, and pairs corrected."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ip2p_lightning.data.aligning import AlignedSource, done
from ip2p_lightning.data.contact_sheet import contact_sheet
from ip2p_lightning.data.doctor.directions import ImageTextEncoder
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
WORDS = "whose effect no known word names (encoder=zoo:dual_encoder or a CLIP of yours finds more)"
WORDS_OR_ENCODER = "that neither a known word names nor the encoder sees"
BLIND = (
    f"not seen: exchanged images of an edit {WORDS}; a wrong text that fits the images; "
    "movement where the edit leaves too little as it was, or the instruction asks for it"
)
"""Limits of the checks."""


def doctor(
    source: EncodedSource,
    output: str | Path | None = None,
    *,
    encoder: ImageTextEncoder | None = None,
    count: int = 12,
    columns: int = 3,
    side: int = 192,
    console: Console | None = None,
    **options: Any,
) -> Examination:
    """Examine pairs, print what is wrong with them, and write a report where there is a folder for it.

    Args:
        source: the pairs.
        output: folder of `findings.csv`, `pairs.csv`, `report.json` and `findings.png`; None to print alone.
        encoder: see `examine`.
        count: pairs on the sheet.
        columns: pairs in a row of it.
        side: pixels of an image's side on it.
        console: where to print.
        options: of `examine`: resolution, fit, alignment, bounds, workers.
    """
    console = console or Terminal()
    passes = 1 if encoder is None else 2
    with progress(console, f"examining {source.name or 'pairs'}", passes * len(source)) as advance:
        found = examine(source, encoder=encoder, advance=advance, **options)
    _print(console, found)
    blind = BLIND if encoder is None else BLIND.replace(WORDS, WORDS_OR_ENCODER)
    if output is None:
        console.print(
            f"{blind}\noutput=FOLDER writes all findings as tables, and a sheet of the pairs", highlight=False
        )
        return found
    folder = found.save(output)
    shown = [id for id in found.faulty if id in found.places][:count]
    if shown:
        kinds = {id: ", ".join(dict.fromkeys(f.kind for f in found.findings if f.id == id)) for id in shown}
        pairs = [replace(source[found.places[id]], kind=kinds[id]) for id in shown]
        title = f"{len(found.faulty):,} of {plural(found.pairs, 'pair')} with findings"
        contact_sheet(pairs, title=title, columns=columns, side=side).save(folder / SHEET)
    names = ["findings.csv", "pairs.csv", "report.json", *([SHEET] if shown else [])]
    console.print(f"{blind}\n{', '.join(names)} in {folder}", highlight=False, soft_wrap=True)
    return found


def align(
    source: EncodedSource,
    output: str | Path,
    *,
    bounds: Bounds = BOUNDS,
    console: Console | None = None,
    **options: Any,
) -> Counter[str]:
    """Write a dataset in which misaligned edited images are resampled, and print how many were.

    Args:
        source: the pairs.
        output: the dataset folder to make.
        bounds: from when on a displacement is corrected.
        console: where to print.
        options: of `render_dataset`: workers, skip_failures, overwrite.
    """
    console = console or Terminal()
    render(AlignedSource(source, bounds), output, console=console, **options)
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
