"""Images of every system for every prompt, and what is measured of them; a killed run goes on where it stopped."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ip2p_lightning.data.images import as_rgb, open_image, to_tensor
from ip2p_lightning.evaluation.prompts.prompt_set import Prompt, PromptSet
from ip2p_lightning.evaluation.prompts.systems import TextToImage
from ip2p_lightning.files import write_whole
from ip2p_lightning.metrics.encoders.base import TextEncoder
from ip2p_lightning.metrics.judges.atoms import Asked, AtomJudge, Reply
from ip2p_lightning.store.parts import PartStore, digest

SUMMARY = "benchmark.json"


@dataclass(frozen=True)
class Row:
    """One image and what was measured.

    Args:
        system: its name.
        prompt: id.
        sample: which of several.
        image: file, relative to the benchmark's folder.
        clip: cosine of image and prompt; NaN without an encoder.
        replies: of the judge, in the order of the prompt's atoms; empty where it was not asked.
    """

    system: str
    prompt: str
    sample: int
    image: str
    clip: float
    replies: tuple[Reply, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """Everything that was measured.

    Args:
        prompts: that images were made of.
        rows: an image each.
        facts: judge, encoder and systems, with fingerprints.
    """

    prompts: PromptSet
    rows: Sequence[Row]
    facts: Mapping[str, Any]

    @property
    def systems(self) -> list[str]:
        """Names, in their order."""
        return list(dict.fromkeys(row.system for row in self.rows))


class PromptBenchmark:
    """Runs systems over a prompt set.

    Args:
        prompts: what images are made of.
        systems: with names of their own.
        folder: of images, measurements and results.
        samples: images of each prompt.
        encoder: of images and texts, for the CLIP score; None leaves it out.
        judge: of the prompts' atoms; None leaves them out.
        batch_size: prompts at once.

    Raises:
        ValueError: no systems, two of one name, or numbers below 1.
    """

    def __init__(
        self,
        prompts: PromptSet,
        systems: Sequence[TextToImage],
        folder: str | Path,
        *,
        samples: int = 1,
        encoder: TextEncoder | None = None,
        judge: AtomJudge | None = None,
        batch_size: int = 8,
    ) -> None:
        names = [system.name for system in systems]
        if not names or len(set(names)) < len(names) or min(samples, batch_size) < 1:
            raise ValueError(f"systems={names}, samples={samples}, batch_size={batch_size}: give systems with names of "
                             "their own, and numbers of at least 1")  # fmt: skip
        self.prompts, self.systems, self.folder = prompts, systems, Path(folder)
        self.samples, self.encoder, self.judge, self.batch_size = samples, encoder, judge, batch_size
        self._images = PartStore(self.folder / "images", ".png")
        self._scores = PartStore(self.folder / "scores", ".json")
        self._judge = judge.fingerprint() if judge else ""
        self._encoder = str(encoder.provenance()["sha256"]) if encoder else ""

    def run(self, progress: Callable[[int, int], None] = lambda done, of: None) -> Benchmark:
        """Make what is missing, measure it, and write the summary.

        Args:
            progress: called with how many images are done, and of how many.
        """
        rows: list[Row] = []
        of = len(self.systems) * self.samples * len(self.prompts.prompts)
        facts = {
            "prompts": self.prompts.name,
            "fingerprint": self.prompts.fingerprint(),
            "samples": self.samples,
            "systems": {},
            "judge": None if self.judge is None else {"name": self.judge.name, "fingerprint": self._judge},
            "encoder": None if self.encoder is None else self.encoder.provenance(),
        }
        for system in self.systems:
            facts["systems"][system.name] = mark = system.fingerprint()
            for sample in range(self.samples):
                for batch in self._batches():
                    rows += self._batch(system, mark, batch, sample)
                    progress(len(rows), of)
        result = Benchmark(self.prompts, rows, facts)
        self.prompts.save(self.folder / "prompts.jsonl")
        write_whole(self.folder / SUMMARY, json.dumps({"facts": facts, "rows": [asdict(row) for row in rows]}) + "\n")
        return result

    def _batches(self) -> Iterator[Sequence[Prompt]]:
        for start in range(0, len(self.prompts.prompts), self.batch_size):
            yield self.prompts.prompts[start : start + self.batch_size]

    def _batch(self, system: TextToImage, mark: str, batch: Sequence[Prompt], sample: int) -> Iterator[Row]:
        keys = {prompt.id: digest([mark, prompt.id, prompt.text, sample]) for prompt in batch}
        by_key = {keys[prompt.id]: prompt for prompt in batch}
        missing = self._images.missing(by_key)
        if missing:
            wanted = [by_key[key] for key in missing]
            for key, image in zip(missing, system.make(wanted, sample), strict=True):
                self._images.write(key, _png(image))
        for prompt in batch:
            key = keys[prompt.id]
            file = self._images.file(key)
            clip, replies = self._measured(prompt, key, file)
            yield Row(system.name, prompt.id, sample, str(file.relative_to(self.folder)), clip, replies)

    def _measured(self, prompt: Prompt, image: str, file: Path) -> tuple[float, tuple[Reply, ...]]:
        key = digest([image, prompt.text, [asdict(atom) for atom in prompt.atoms], self._judge, self._encoder])
        if key not in self._scores:
            content = {"clip": self._clip(prompt, file), "replies": [asdict(one) for one in self._asked(prompt, file)]}
            if any(one["right"] is None for one in content["replies"]):  # asked again by the next run
                return _known(content)
            self._scores.write(key, json.dumps(content))
        return _known(json.loads(self._scores.read(key)))

    def _clip(self, prompt: Prompt, file: Path) -> float | None:
        if self.encoder is None:
            return None
        images = torch.stack([to_tensor(open_image(file))])
        return float((self.encoder.pictures(images) * self.encoder.texts([prompt.text])).sum())

    def _asked(self, prompt: Prompt, file: Path) -> list[Reply]:
        if self.judge is None or not prompt.atoms:
            return []
        asked = [Asked(atom.question, atom.answer, atom.attribute) for atom in prompt.atoms]
        return self.judge.judge([open_image(file)], [asked])[0]


def read_benchmark(folder: str | Path) -> Benchmark:
    """Files that a run has written.

    Raises:
        FileNotFoundError: no benchmark in the folder.
        ValueError: a damaged one.
    """
    from ip2p_lightning.bounded_text import read_json, typed
    from ip2p_lightning.evaluation.prompts.prompt_set import read_prompts

    folder = Path(folder)
    content = read_json(folder / SUMMARY, "the results of `ip2p benchmark`", not_a_number="keep")
    stored: _Stored = typed(_Stored, content, folder / SUMMARY)
    found = read_prompts(folder / "prompts.jsonl").prompts
    there = Counter((row.system, row.prompt) for row in stored.rows)
    wanted = product({row.system for row in stored.rows}, (prompt.id for prompt in found))
    if not there or len(set(there.values())) > 1 or set(there) != set(wanted):
        raise ValueError(f"{folder / SUMMARY} does not have as many images of each prompt of each system; run it again")
    return Benchmark(PromptSet(str(stored.facts.get("prompts", "")), found), stored.rows, stored.facts)


@dataclass(frozen=True)
class _Stored:
    """The file of results."""

    facts: dict[str, Any]
    rows: list[Row]


def _known(content: Mapping[str, Any]) -> tuple[float, tuple[Reply, ...]]:
    clip = content["clip"]
    return math.nan if clip is None else clip, tuple(Reply(**one) for one in content["replies"])


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pixels = as_rgb(image)
    Image.frombytes("RGB", pixels.size, pixels.tobytes()).save(buffer, "PNG")
    return buffer.getvalue()
