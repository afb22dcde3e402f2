"""Results of studies in Weights & Biases: written as one run each, read back from a server or from offline files."""

from __future__ import annotations

import json
import logging
import math
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ip2p_lightning.evaluation.run_values import Value
from ip2p_lightning.studies.run import Run, digest
from ip2p_lightning.studies.table import Row

log = logging.getLogger(__name__)

_PATIENCE = 30.0  # seconds
_BLOCK = 32_768
_HEADER = struct.Struct("<IHB")
_MAGIC = b":W&B"


def log_rows(rows: Iterable[Row], project: str, study: str, folder: Path) -> None:
    """Write each result as a wandb run: its group is the study, its name the run's, its summary the values.

    Args:
        rows: those without a result are left out.
        project: of wandb.
        study: name of the study.
        folder: where wandb keeps its files. What is there already is not written again.
    """
    import wandb

    known = {(run["name"], run["config"].get("digest")) for run in offline_runs(folder) if run["group"] == study}
    for row in rows:
        told = digest(row.folder) if row.folder else ""
        if row.gap or (row.run, told) in known:
            continue
        settings = wandb.Settings(console="off", silent=True)
        config = {"labels": dict(row.labels), "digest": told}
        run = wandb.init(project=project, group=study, name=row.run, config=config, dir=folder, settings=settings)
        for name, value in row.values.items():
            parts = {f"{name}:low": value.low, f"{name}:high": value.high, name: value.estimate}
            run.summary.update({key: number for key, number in parts.items() if not math.isnan(number)})
        run.finish()
        if run.offline:
            _wait_for_end(Path(run.dir).parent)


def _wait_for_end(folder: Path) -> None:
    """Wait until an offline run's file is whole: wandb's service may write its end only after `finish` has returned."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if all(_offline_run(path)["state"] != "crashed" for path in folder.glob("*.wandb")):
            return
        time.sleep(0.1)
    log.warning("%s: wandb has not written the end of the run, which thus counts as not finished", folder)


def read_rows(place: str, study: str, runs: Sequence[Run]) -> list[Row]:
    """The rows of a study's runs, from wandb; of several by one name the latest counts.

    Args:
        place: a folder with offline runs (`wandb/` in it, or itself), or ENTITY/PROJECT on the server.
        study: name of the study, wandb's group.
        runs: of the study. One that wandb does not have, or not finished, is a gap.
    """
    found = offline_runs(Path(place)) if Path(place).is_dir() else _server_runs(place, study)
    latest = {run["name"]: run for run in found if run["group"] == study and run["state"] == "finished"}
    return [_row(name, labels, latest.get(name), place) for run in runs for name, labels in run.rows.items()]


def _row(name: str, labels: Mapping[str, Any], found: Mapping[str, Any] | None, place: str) -> Row:
    if found is None:
        return Row(name, labels, gap=f"no finished run of this name in {place}")
    if found["config"].get("labels") != json.loads(json.dumps(dict(labels))):
        return Row(name, labels, gap=f"the run of this name in {place} has other labels")
    summary = {k: v for k, v in found["summary"].items() if isinstance(v, int | float) and not k.startswith("_")}
    values = {
        key: Value(number, summary.get(f"{key}:low", math.nan), summary.get(f"{key}:high", math.nan))
        for key, number in summary.items()
        if not key.endswith((":low", ":high"))
    }
    return Row(name, labels, values)


def _server_runs(project: str, study: str) -> Iterator[dict[str, Any]]:
    import wandb

    for run in wandb.Api().runs(project, filters={"group": study}, order="+created_at"):
        yield server_run(run)


def server_run(run: Any) -> dict[str, Any]:
    """A `wandb.apis.public.Run` as name, group, state, config and summary."""
    return {
        "name": run.name,
        "group": run.group,
        "state": run.state,
        "config": dict(run.config),
        "summary": dict(run.summary_metrics),
    }


def offline_runs(folder: Path) -> list[dict[str, Any]]:
    """Name, group, state, config and summary of each offline run below a folder, oldest first."""
    files = [*folder.glob("offline-run-*/*.wandb"), *folder.glob("wandb/offline-run-*/*.wandb")]
    return [_offline_run(path) for path in sorted(files, key=lambda path: path.parent.name)]


def _offline_run(path: Path) -> dict[str, Any]:
    from wandb.proto import wandb_internal_pb2

    told: dict[str, Any] = {"name": "", "group": "", "state": "crashed", "config": {}, "summary": {}}
    for data in _records(path.read_bytes(), path):
        record = wandb_internal_pb2.Record.FromString(data)  # pyright: ignore[reportAttributeAccessIssue]
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told |= {"name": record.run.display_name, "group": record.run.run_group}
            _update(told["config"], record.run.config.update)
        elif kind == "config":
            _update(told["config"], record.config.update)
        elif kind == "summary":
            _update(told["summary"], record.summary.update)
        elif kind == "exit":
            told["state"] = "finished" if record.exit.exit_code == 0 else "failed"
    return told


def _update(target: dict[str, Any], items: Iterable[Any]) -> None:
    for item in items:
        if item.key or len(item.nested_key) == 1:
            target[item.key or item.nested_key[0]] = json.loads(item.value_json)


def _records(data: bytes, path: Path) -> Iterator[bytes]:
    """The records of a .wandb file, which is LevelDB's log: blocks of fragments with checksum, length and type."""
    if data[:4] != _MAGIC:
        raise ValueError(f"{path} is no file of wandb's offline runs")
    place, parts = 7, []
    while place + _HEADER.size <= len(data):
        room = _BLOCK - place % _BLOCK
        if room < _HEADER.size:
            place += room
            continue
        checksum, length, kind = _HEADER.unpack_from(data, place)
        body = data[place + _HEADER.size : place + _HEADER.size + length]
        if len(body) < length or zlib.crc32(bytes([kind]) + body) & 0xFFFFFFFF != checksum:
            return  # the end of a run that was killed while it wrote
        place += _HEADER.size + length
        parts.append(body)
        if kind in (1, 4):  # whole, or the last fragment
            yield b"".join(parts)
            parts = []
