"""Publication of an export: facts for its model card, of the run, an evaluation and the user, and the upload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ip2p_lightning import __version__
from ip2p_lightning.config import plain
from ip2p_lightning.config.stored import read_stored_yaml
from ip2p_lightning.data.dataset_info import INFO_NAME, DatasetInfo
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.interop.hub import Destination, contents
from ip2p_lightning.interop.model_card import CardFacts, with_facts
from ip2p_lightning.methods.checkpoint_file import read_checkpoint
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.models.pretrained import marks
from ip2p_lightning.report.grid import edit_grid

_GALLERY = "gallery.png"
_SHOWN = 8
"""Edits in the gallery."""
_SAID = ("level", "kinds", "size", "split", "seed", "count")
"""Settings of a source that a card says: none of them is a path."""


def describe(folder: Path, module: EditingModule, config: DictConfig) -> None:
    """Write what is known of a model into the card of its exported folder, and its gallery next to it.

    Args:
        folder: as `export` wrote it.
        module: the model.
        config: of `ip2p export`.

    Raises:
        FileNotFoundError, ValueError: an evaluation that is none.
    """
    result = None if config.evaluation is None else EvaluationResult.load(config.evaluation)
    gallery = {}
    if result is not None and result.examples:
        edit_grid(result.examples[:_SHOWN]).save(folder / _GALLERY)
        gallery[_GALLERY] = "Edits of pairs that were drawn at random before anything was edited"
    run = Path(config.checkpoint).parent.parent / "config.yaml"
    trained = read_stored_yaml(run) if run.is_file() else {}
    sources = list(_sources(trained))
    facts = CardFacts(
        licence=config.licence,
        licences={**dict(_data_licences(sources)), **dict.fromkeys(_pretrained(module), "see its own card")},
        provenance=_provenance(module, config, trained, sources),
        limits=[*plain(config.limits), *_limits(module, result)],
        measured_on="" if result is None else f"{result.pairs} pairs of {result.name}",
        figures=[] if result is None else list(_figures(result)),
        gallery=gallery,
    )
    card = folder / "README.md"
    card.write_text(with_facts(card.read_text(encoding="utf-8") if card.is_file() else "", facts), encoding="utf-8")


def publish(folder: Path, destination: Destination, dry_run: bool) -> None:
    """Upload an exported folder, or print what would be uploaded.

    Raises:
        HubError: see `Destination.upload`.
    """
    files = contents(folder)
    if not dry_run:
        print(destination.upload(folder, f"Export by ip2p-lightning {__version__}"))
        return
    kind = "private" if destination.private else "public"
    print(f"would upload {len(files)} files, {sum(size for _, size in files):,} bytes, to {destination.name} ({kind}):")
    for name, size in files:
        print(f"  {size:>13,}  {name}")


def _sources(trained: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | str]:
    """The sources of a run's training pairs: settings, or the path of a dataset folder."""
    data = trained.get("data")
    data = data if isinstance(data, dict) else {}
    train = data.get("train")
    yield from (one for one in (train if isinstance(train, list) else [train]) if isinstance(one, dict))
    if isinstance(data.get("path"), str):
        yield data["path"]


def _provenance(
    module: EditingModule, config: DictConfig, trained: Mapping[str, Any], sources: list[Mapping[str, Any] | str]
) -> dict[str, str]:
    stored = read_checkpoint(config.checkpoint)
    stages = [getattr(stage, "name", "") for stage in module.stages]
    facts = {
        "exported by": f"ip2p-lightning {__version__}",
        "weights": {"ema": "averaged where the run averaged them", "raw": "as the last step left them"}[config.weights],
        "optimizer steps": f"{int(stored.get('global_step', 0)):,}",
        "stages": ", ".join(stages),
        "seed": str(trained["seed"]) if "seed" in trained else "",
        "training pairs": "; ".join(_described(source) for source in sources),
        "began from": ", ".join(_pretrained(module)),
    }
    return {name: value for name, value in facts.items() if value}


def _described(source: Mapping[str, Any] | str) -> str:
    """A source on one line, without paths."""
    if isinstance(source, str):
        info = _info(source)
        more = f", {info.pairs:,} pairs, fingerprint {info.fingerprint}" if info else ""
        return f"dataset {Path(source).name}{more}"
    kind = str(source.get("_target_", "?")).rsplit(".", 1)[-1]
    said = ", ".join(f"{name}={source[name]}" for name in _SAID if source.get(name) is not None)
    return f"{kind}({said})"


def _data_licences(sources: list[Mapping[str, Any] | str]) -> Iterator[tuple[str, str]]:
    from ip2p_lightning.data.sources.photos import PhotoSource
    from ip2p_lightning.data.sources.world import WorldSource

    ours = {kind.__name__: getattr(kind, "licence", "") for kind in (WorldSource, PhotoSource)}
    for source in sources:
        if isinstance(source, str):
            info = _info(source)
            yield f"training pairs {Path(source).name}", (info.licence if info else "") or "not recorded"
        else:
            kind = str(source.get("_target_", "?")).rsplit(".", 1)[-1]
            yield f"training pairs of {kind}", ours.get(kind) or "not recorded"


def _info(path: str) -> DatasetInfo | None:
    folder = Path(path)
    return DatasetInfo.load(folder) if (folder / INFO_NAME).is_file() else None


def _pretrained(module: EditingModule) -> list[str]:
    """Hub names and folders that parts began from, folders by their name alone."""
    found = dict.fromkeys(mark.source for mark in marks(module).values())
    return [source if not Path(source).exists() else Path(source).name for source in found]


def _limits(module: EditingModule, result: EvaluationResult | None) -> Iterator[str]:
    editor = TrainedEditor(module)
    yield f"It edits at {editor.resolution} pixels; the change is carried over to the pixels of larger images."
    yield "It was trained on the pairs below; instructions and images of other kinds are likely to fail."
    if result is None:
        yield "Nothing was measured, or the measurements were not published."
        return
    main = result.main
    for kind, figures in sorted(result.kinds.items()):
        figure = figures.get(main) if main else None
        if figure is not None and figure.verdict == "worse":
            yield f"Edits of the kind {kind} are further from the truth than the input is."


def _figures(result: EvaluationResult) -> Iterator[tuple[str, str, str, str]]:
    for name, figure in result.figures.items():
        info, ours = result.metrics[name], figure.ours
        copying = "" if figure.copying is None else f"{figure.copying.estimate:.3f}"
        label = f"{info.label} ({info.unit})" if info.unit else info.label
        yield label, f"{ours.estimate:.3f} ({ours.low:.3f} to {ours.high:.3f})", copying, f"{ours.values:,}"
