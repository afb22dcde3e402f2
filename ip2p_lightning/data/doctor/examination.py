"""All checks over a source of pairs, and the report."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader, Dataset

from ip2p_lightning.data.doctor.directions import ImageTextEncoder, direction_findings
from ip2p_lightning.data.doctor.facts import Facts, facts_of
from ip2p_lightning.data.doctor.finding import KINDS, Finding
from ip2p_lightning.data.doctor.geometry import BOUNDS, Bounds
from ip2p_lightning.data.doctor.repeats import repeat_findings
from ip2p_lightning.data.doctor.texts import text_findings
from ip2p_lightning.data.doctor.training import treatment
from ip2p_lightning.data.encoded import UnusablePair
from ip2p_lightning.data.sources import EncodedSource
from ip2p_lightning.untrusted import csv_cell

_REMEDIES = {
    "unchanged": "leave it out, or find the right edited image",
    "misaligned": "ip2p data align corrects it",
    "stretched": "ip2p data align corrects it; look at how the edited images were resized",
    "swapped": "exchange its images, or correct its instruction",
    "text": "look whether the instruction is another pair's",
}
_CHUNK = 8


@dataclass
class Examination:
    """Result of `examine`.

    Args:
        pairs: number of rows that were looked at.
        resolution, fit: of training.
        findings: in the order of the pairs.
        treatments: id -> what training does to the pair.
        splits: id -> split.
        places: id -> index in the source.
    """

    pairs: int
    resolution: int
    fit: str
    findings: list[Finding] = field(default_factory=list)
    treatments: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> number of pairs with it."""
        counts = Counter(kind for kind, _ in {(finding.kind, finding.id) for finding in self.findings})
        return {kind: counts[kind] for kind in KINDS if counts[kind]}

    @property
    def faulty(self) -> list[str]:
        """Ids with a finding, each once."""
        return list(dict.fromkeys(finding.id for finding in self.findings if finding.id))

    def save(self, folder: str | Path) -> Path:
        """Write `findings.csv` (a row for each finding), `pairs.csv` (what training does) and `report.json`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [{**asdict(finding), "training": self._training(finding.id)} for finding in self.findings]
        _write(folder / "findings.csv", ["id", "kind", "detail", "remedy", "training"], rows)
        pairs = [{"id": id, "split": self.splits[id], "training": what} for id, what in self.treatments.items()]
        _write(folder / "pairs.csv", ["id", "split", "training"], pairs)
        report = {"pairs": self.pairs, "resolution": self.resolution, "fit": self.fit, "counts": self.counts}
        report |= {"training": dict(Counter(self.treatments.values())), "findings": rows}
        (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
        return folder

    def _training(self, id: str) -> str:
        return self.treatments.get(id, "left out" if id else "")


def examine(
    source: EncodedSource,
    *,
    resolution: int = 256,
    fit: Literal["squash", "centre_crop"] = "squash",
    alignment: bool = True,
    bounds: Bounds = BOUNDS,
    workers: int = 0,
    encoder: ImageTextEncoder | None = None,
    advance: Callable[[int], None] | None = None,
) -> Examination:
    """Look at every pair, and at all of them together.

    Args:
        source: a `ShardDataset`, or the source of a format.
        resolution: side of training's images in pixels.
        fit: as in `PairTransform`.
        alignment: estimate how edited images lie to their originals, which takes most of the time.
        bounds: from when on a displacement is a fault.
        workers: processes that look at pairs.
        encoder: also compares the direction of each change with captions and other pairs, in a second pass.
        advance: called with a number of pairs, for a progress bar.
    """
    facts: list[Facts] = []
    splits: list[str] = []
    result = Examination(len(source), resolution, fit)
    loader = DataLoader(_Looked(source, alignment, bounds), _CHUNK, num_workers=workers, collate_fn=list)
    place = -1
    for chunk in loader:
        for fact, split in chunk:
            place += 1
            if isinstance(fact, Finding):
                result.findings.append(fact)
            else:
                facts.append(fact)
                result.places[fact.id] = place
                splits.append(split)
        if advance is not None:
            advance(len(chunk))
    for fact, split in zip(facts, splits, strict=True):
        result.treatments[fact.id] = treatment(fact.size, resolution, fit)
        result.splits[fact.id] = split
        result.findings += [Finding(fact.id, kind, why, _REMEDIES[kind]) for kind, why in fact.faults.items()]
        if min(fact.size) < resolution:
            detail = f"{fact.size[0]} x {fact.size[1]} is below {resolution}: {result.treatments[fact.id]}"
            result.findings.append(Finding(fact.id, "small", detail, "leave it out, or lower the resolution"))
    ids, groups, texts = ([getattr(fact, name) for fact in facts] for name in ("id", "group", "instruction"))
    result.findings += text_findings(ids, groups, texts)
    result.findings += repeat_findings(facts, splits)
    if encoder is not None:
        swapped = {finding.id for finding in result.findings if finding.kind == "swapped"}
        found = list(direction_findings(source, list(result.places.values()), encoder, advance))
        result.findings += {finding.id: finding for finding in found if finding.id not in swapped}.values()
    order = {id: place for place, id in enumerate(ids)}
    result.findings.sort(key=lambda finding: order.get(finding.id, -1))
    return result


class _Looked(Dataset[tuple[Facts | Finding, str]]):
    def __init__(self, source: EncodedSource, alignment: bool, bounds: Bounds) -> None:
        self.source, self.alignment, self.bounds = source, alignment, bounds

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Facts | Finding, str]:
        id = f"row {index}"
        try:
            encoded = self.source.encoded(index)
            id = encoded.id
            return facts_of(encoded, alignment=self.alignment, bounds=self.bounds), encoded.split
        except UnusablePair as error:
            kind = "text" if error.reason == "no instruction" else "unusable"
            return Finding(error.place, kind, f"{error.reason}{f' ({error.detail})' if error.detail else ''}"), ""
        except (ValueError, OSError) as error:
            text = str(error).removeprefix(f"pair {id!r}").removeprefix(":").strip()
            return Finding(id, "unusable", text, "leave it out, or restore its files"), ""


def _write(file: Path, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        table = csv.DictWriter(opened, names)
        table.writeheader()
        table.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
