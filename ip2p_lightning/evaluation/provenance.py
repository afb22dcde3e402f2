"""Provenance of figures, for summary.json and the report: weights with digests, preprocessing, numbers, versions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ip2p_lightning.editors.base import Around, Described, Editor
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.evaluation.result import EvaluationResult
from ip2p_lightning.metrics.encoders.base import weights_digest

_NO_MATTER = ("device", "batch_size")
"""Settings of editors that change no figure: where it runs, and how much at once."""


def editor_facts(editor: Editor, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about an editor: class, settings, weights.

    Args:
        editor: what edits. Its `describe()` is recorded if it has one. Of an editor that drives another one, what is
            said of that one is said of both.
        settings: from conf/editor.
    """
    if isinstance(editor, Around):
        facts = editor_facts(editor.editor, settings.get("editor") or {})
        facts["editor"] = f"{type(editor).__name__} of {facts['editor']}"
        own = {key: value for key, value in settings.items() if key not in ("_target_", "editor", *_NO_MATTER)}
        return facts | ({"around": own} if own else {})
    facts: dict[str, Any] = {"editor": type(editor).__name__, "sha256": digest(editor, settings.get("checkpoint"))}
    if isinstance(editor, TrainedEditor):
        named = {name: str(settings[name]) for name in ("checkpoint", "weights") if name in settings}
        return facts | named | {"precision": editor.precision, "sampler": sampler_facts(editor)}
    kept = {key: value for key, value in settings.items() if key not in ("_target_", *_NO_MATTER)}
    return facts | {"settings": kept} | (editor.describe() if isinstance(editor, Described) else {})


def sampler_facts(editor: TrainedEditor) -> dict[str, Any]:
    """Default sampling settings of a trained editor."""
    sampler = editor.module.sampler
    return {
        "scheduler": type(sampler.scheduler).__name__,
        "steps": sampler.steps,
        "text_scale": sampler.guidance.text_scale,
        "image_scale": sampler.guidance.image_scale,
        "guidance_interval": [sampler.guidance.start, sampler.guidance.stop],
    }


def digest(editor: Editor, checkpoint: Any = None) -> str | None:
    """First 16 hexadecimal digits of the SHA-256 of a checkpoint's file, or else of all weights; None without any."""
    if checkpoint is not None and Path(checkpoint).is_file():
        with Path(checkpoint).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    digests = [weights_digest(network) for network in editor.networks()]
    if not digests:
        return None
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def settings(result: EvaluationResult) -> dict[str, str]:
    """Settings needed to reproduce the figures, one line each."""
    facts = result.provenance
    lines = {"editor": _line(facts.get("editor"), facts.get("checkpoint"), sha256=facts.get("sha256"))}
    for name in ("weights", "precision", "split"):
        lines[name] = str(facts.get(name) or "")
    lines["pairs"] = _line(facts["data"]["name"], f"{facts['draw']['count']} of {facts['draw']['of']}", sha256=None)
    lines["fingerprint of the pairs"] = facts["data"]["fingerprint"]
    lines["seeds"] = ", ".join(map(str, facts["seeds"]))
    lines["sampling"] = ", ".join(f"{name} {value}" for name, value in (facts.get("sampling") or {}).items())
    for label, part in measured_by(result).items():
        if "fingerprint" in part:
            montage = "both images in one" if part["montage"] else ""
            words = (part["fingerprint"], f"questions {part['protocol']}", montage, f"at most {part['side']} pixels")
            lines[label] = _line(part["judge"], *words, sha256=None)
            continue
        lines[label] = _line(part.get("weights", part.get("net")), part.get("preparation"), sha256=part["sha256"])
    lines["software"] = ", ".join(f"{name} {version}" for name, version in facts["software"].items())
    return {name: line for name, line in lines.items() if line}


def measured_by(result: EvaluationResult) -> dict[str, dict[str, Any]]:
    """Labels of the metrics that one network, or one model that judges, serves, joined -> its provenance."""
    networks: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for name, facts in result.provenance.get("metrics", {}).items():
        if "fingerprint" in facts:  # a vision-language model
            part = {key: facts[key] for key in ("judge", "fingerprint", "protocol", "montage", "side")}
        else:
            part = facts.get("encoder") or facts.get("judge") or facts
        if {"sha256", "fingerprint"} & part.keys() and name in result.metrics:
            networks.setdefault(repr(sorted(part.items())), ([], part))[0].append(result.metrics[name].label)
    return {", ".join(labels): part for labels, part in networks.values()}


def _line(*words: Any, sha256: str | None) -> str:
    return ", ".join([*(str(word) for word in words if word), *([f"sha256 {sha256}"] if sha256 else [])])
