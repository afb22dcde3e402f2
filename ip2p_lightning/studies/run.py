"""One run of a study: which job with which overrides, and whether its folder already holds the result."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ip2p_lightning.config import compose, plain
from ip2p_lightning.files import write_whole
from ip2p_lightning.jobs.messages import explain
from ip2p_lightning.store import differences

RECORD = "run.json"
_OF_PLANS = ("plan", "rate", "rates_from")
"""Keys on which no result depends."""
_OUTPUT_KEYS = {"train": "output_dir"}  # other jobs: output
_RESULTS = {".ckpt", ".csv", ".json", ".parquet", ".yaml"}
_COMPOSING = Lock()  # Hydra's composition is global, and several threads start runs
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*")
_REFERENCE = re.compile(r"<([\w./-]+)>")


@dataclass(frozen=True)
class Run:
    """A job of a study.

    Args:
        name: unique among the runs that share a folder; runs of several studies with one name are one run.
        job: as in `ip2p <job>`.
        overrides: as after `ip2p <job>`. `<name>` stands for the folder of another run, which is done before:
            "checkpoint=<train/400>/checkpoints/last.ckpt".
        labels: what a figure knows the run by, such as {"pairs": 400, "seed": 0}.
        points: of a run of `ip2p tradeoff`, in its order: the labels of each point, which makes a row of its own.

    Raises:
        ValueError: a name that is no relative path of plain words.
    """

    name: str
    job: str
    overrides: tuple[str, ...]
    labels: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "overrides", tuple(self.overrides))
        if not _NAME.fullmatch(self.name) or ".." in self.name:
            raise ValueError(f"run {self.name!r}: a name is made of letters, digits, '.', '_' and '-', and '/' between")

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Name -> labels of each row that the result makes: one a point, or one, or none of a run without labels."""
        if self.points:
            names = ("-".join(str(value) for value in point.values()) for point in self.points)
            return {
                f"{self.name}/{name}": {**self.labels, **point} for name, point in zip(names, self.points, strict=True)
            }
        return {self.name: dict(self.labels)} if self.labels else {}

    @property
    def needs(self) -> list[str]:
        """Names of the runs whose folders the overrides mention."""
        return list(dict.fromkeys(name for word in self.overrides for name in _REFERENCE.findall(word)))

    def words(self, folder: Path) -> list[str]:
        """The overrides with folders in place of names, and where the results go.

        Args:
            folder: that holds the folders of the runs.
        """
        words = [_REFERENCE.sub(lambda match: str(folder / match[1]), word) for word in self.overrides]
        return [*words, f"{_OUTPUT_KEYS.get(self.job, 'output')}={folder / self.name}"]

    def settings(self, folder: Path) -> dict[str, Any]:
        """The job's whole configuration, resolved, with "<runs>" for `folder`: what the run depends on."""
        text = _composed(self.job, tuple(self.words(folder)))
        settings = json.loads(text.replace(json.dumps(str(folder))[1:-1], "<runs>"))
        return {key: value for key, value in settings.items() if key not in _OF_PLANS}

    def fault(self, folder: Path) -> str:
        """Reason why the job cannot be composed (a part or key that does not exist); "" if it can."""
        try:
            self.settings(folder)
        except (ValueError, OSError, HydraException, OmegaConfBaseException) as error:
            return (explain(error, self.job, self.words(folder)) or str(error)).splitlines()[0]
        return ""

    def missing(self, folder: Path) -> str:
        """Reason why the run has no usable result; "" if it has one.

        It has one if its folder's record was written at its end, names these settings and the very results of the runs
        it needs, and the files that it lists are there in full.
        """
        if fault := self.fault(folder):
            return fault
        record = read_record(folder / self.name)
        if record is None:
            return "it was never run"
        if keys := changed(record["settings"], self.settings(folder)):
            return f"it was run with other settings ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        if "files" not in record:
            return record.get("error") or "it was interrupted"
        for name, before in record["inputs"].items():
            if digest(folder / name) != before:
                return f"{name}, which it began with, has changed since"
        for name, size in record["files"].items():
            path = folder / self.name / name
            if not path.is_file() or path.stat().st_size != size:
                return f"{name} is not there in full"
        return ""

    def begin(self, folder: Path) -> None:
        """Write the record of a run that has started."""
        inputs = {name: digest(folder / name) for name in self.needs}
        record = {"job": self.job, "settings": self.settings(folder), "inputs": inputs}
        (folder / self.name).mkdir(parents=True, exist_ok=True)
        _write(folder / self.name / RECORD, record)

    def end(self, folder: Path, **facts: Any) -> None:
        """Complete the record: the files of the result with their sizes, and `facts`."""
        place = folder / self.name
        found = (path for path in sorted(place.rglob("*")) if path.suffix in _RESULTS and path.name != RECORD)
        files = {path.relative_to(place).as_posix(): path.stat().st_size for path in found if path.is_file()}
        _write(place / RECORD, (read_record(place) or {}) | {"files": files} | facts)

    def fail(self, folder: Path, error: str) -> None:
        """Note in the record why the run ended without a result."""
        _write(folder / self.name / RECORD, (read_record(folder / self.name) or {}) | {"error": error})


@lru_cache(maxsize=256)
def _composed(job: str, words: tuple[str, ...]) -> str:
    """A job's configuration as JSON; composing takes a third of a second, and a run's is asked for several times."""
    with _COMPOSING:
        return json.dumps(plain(compose(job, words)), default=str)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of the run in a folder; None if there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "settings" in record else None


def digest(folder: Path) -> str:
    """A hash of what the run in a folder was: settings, inputs and files; "" if it has no complete record."""
    record = read_record(folder)
    if record is None or "files" not in record:
        return ""
    told = {key: record[key] for key in ("settings", "inputs", "files")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Dotted keys at which two configurations differ; a key that one of them lacks is null in it."""
    return list(differences(before, now, absent=None))


def _write(path: Path, record: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
