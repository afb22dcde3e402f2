"""Parts of a package outside, one file and one YAML each: together they import, train, evaluate, export and reopen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.cli import main
from ip2p_lightning.config import TrustError
from ip2p_lightning.editors.opening import load_editor

PARTS = {
    "diffusion/decaying": '''
from dataclasses import dataclass

from ip2p_lightning.diffusion.guidance import Branch, TwoScaleGuidance


@dataclass(frozen=True)
class DecayingGuidance(TwoScaleGuidance):
    """The text's scale falls to `floor` times its value at the end of sampling."""

    floor: float = 1.0

    def branches(self, progress: float) -> list[Branch]:
        now = self.text_scale * (1 - (1 - self.floor) * progress)
        return TwoScaleGuidance(now, self.image_scale, self.start, self.stop).branches(progress)
''',
    "conditioners/words": '''
from zlib import crc32

import torch
from torch import nn

from ip2p_lightning.conditioners.base import Conditioner, Conditioning


class Words(Conditioner):
    """A vector for each word."""

    def __init__(self, embedding_dim: int, length: int = 8) -> None:
        super().__init__()
        self.embedding_dim, self.length = embedding_dim, length
        self.vectors = nn.Embedding(64, embedding_dim)

    def forward(self, batch) -> Conditioning:
        return self._encode(batch.instruction)

    @torch.no_grad()
    def condition(self, instructions, original_images) -> Conditioning:
        return self._encode(instructions)

    def _encode(self, texts) -> Conditioning:
        rows = [[1 + crc32(word.encode()) % 63 for word in text.split()][: self.length] for text in [*texts, ""]]
        ids = torch.tensor([row + [0] * (self.length - len(row)) for row in rows])
        states, real = self.vectors(ids), ids > 0
        real[:, 0] = True
        null = (part[-1:].expand(len(texts), *part.shape[1:]) for part in (states, real))
        return Conditioning(states[:-1], next(null), mask=real[:-1], null_mask=next(null))
''',
    "objectives/absolute": '''
from torch import Tensor

from ip2p_lightning.diffusion.objective import DiffusionObjective


class AbsoluteError(DiffusionObjective):
    """The absolute error."""

    def error(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).abs()
''',
    "methods/mirrored": '''
from dataclasses import replace

from ip2p_lightning.methods.editing import EditingModule


class Mirrored(EditingModule):
    """Each pair is learned from as it is and mirrored."""

    def forward(self, batch, generator=None):
        images = {name: getattr(batch, name).flip(-1) for name in ("original_image", "edited_image")}
        losses = [super(Mirrored, self).forward(one, generator) for one in (batch, replace(batch, **images))]
        return {name: (losses[0][name] + losses[1][name]) / 2 for name in losses[0]}
''',
    "metrics/brightness": '''
from torch import Tensor

from ip2p_lightning.metrics import EditMetric


class Brightness(EditMetric):
    """How much brighter an edit is than the truth."""

    label = "brightness"

    def measure(self, images: Tensor, pairs) -> Tensor:
        return (images - pairs.edited_image).flatten(1).mean(1)
''',
    "formats/side_by_side": '''
import hashlib
from pathlib import Path

from PIL import Image

from ip2p_lightning.data.encoded import encode_pair
from ip2p_lightning.data.images import open_image
from ip2p_lightning.data.pair import EditPair


class SideBySide:
    """Before and after in one image, whose name is the instruction."""

    name = "side by side"

    def open(self, path, licence="unknown"):
        return Pairs(Path(path), licence)

    def writer(self, folder):
        return Writer(folder)


class Pairs:
    name = "side by side"

    def __init__(self, folder, licence):
        self.files, self.licence = sorted(folder.glob("*.png")), licence

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        both = open_image(self.files[index])
        half = both.width // 2
        before, after = (both.crop((left, 0, left + half, both.height)) for left in (0, half))
        name = self.files[index].stem
        return EditPair(name, before, after, name.split("-")[0].replace("_", " "))

    def encoded(self, index):
        return encode_pair(self[index])

    def fingerprint(self):
        return hashlib.sha256(b"".join(file.read_bytes() for file in self.files)).hexdigest()


class Writer:
    def __init__(self, folder):
        self.folder = folder

    def add(self, pair):
        before, after = open_image(pair.original_image), open_image(pair.edited_image)
        both = Image.new("RGB", (2 * before.width, before.height))
        both.paste(before, (0, 0))
        both.paste(after, (before.width, 0))
        both.save(self.folder / f"{pair.id}.png")

    def close(self):
        return []
''',
}
CONF = {
    "sampler/decaying": """
defaults: [ip2p, _self_]
guidance: {_target_: outside_parts.diffusion.decaying.DecayingGuidance, floor: 0.5}
""",
    "conditioner/words": "_target_: outside_parts.conditioners.words.Words\nembedding_dim: 32\n",
    "objective/absolute": "defaults: [epsilon, _self_]\n_target_: outside_parts.objectives.absolute.AbsoluteError\n",
    "method/mirrored": "defaults: [editing, _self_]\n_target_: outside_parts.methods.mirrored.Mirrored\n",
    "metrics/brightness": """
defaults: [pixels, _self_]
brightness: {_target_: outside_parts.metrics.brightness.Brightness}
""",
    "format/side_by_side": "_target_: outside_parts.formats.side_by_side.SideBySide\n",
}


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, its YAML files, and a run with all of them; the working folder of the commands."""
    root = tmp_path_factory.mktemp("outside")
    for name, text in PARTS.items():
        file = root / "outside_parts" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name, text in CONF.items():
        file = root / "my" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    generator = np.random.default_rng(0)
    (root / "pictures").mkdir()
    for number in range(20):
        before = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        both = Image.fromarray(np.concatenate([before, 255 - before], axis=1))
        both.save(root / "pictures" / f"invert_the_colours-{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.syspath_prepend(str(root))
        command(
            "data", "import", "format=side_by_side", "path=pictures", "output=data", "splits={train: 0.8, test: 0.2}"
        )
        command(
            "train", "experiment=ip2p/tiny", "data=shards", "data.path=data", "data.transform.resolution=32",
            "data.workers=0", "data.batch_size=4", "conditioner=words", "objective=absolute", "sampler=decaying",
            "sampler.guidance.floor=0.25", "method=mirrored", "trust=[outside_parts]", "trainer.max_steps=2",
            "++stages.0.trainable={conditioner.*: {lr: 1.0e-3}}", "~callbacks.pictures", "~callbacks.summary",
            "hydra.run.dir=run",
        )  # fmt: skip
        yield root


def command(job: str, *words: str) -> None:
    """An `ip2p` command that sees the YAML files; `data` has a word of its own before them."""
    assert main([job, *(words[:1] if job == "data" else ()), "--config-dir", "my", *words[job == "data" :]]) == 0


CHECKPOINT = "run/checkpoints/last.ckpt"


@pytest.mark.slow
def test_all_of_them_are_in_the_model_that_was_trained(outside: Path) -> None:
    with pytest.raises(TrustError, match="trust="):
        load_editor(CHECKPOINT)
    module = load_editor(CHECKPOINT, trust=["outside_parts"]).module
    parts = (module, module.conditioner, module.objective, module.sampler.guidance)
    assert [type(part).__name__ for part in parts] == ["Mirrored", "Words", "AbsoluteError", "DecayingGuidance"]
    assert module.sampler.guidance.floor == 0.25
    assert json.loads((outside / "data/dataset.json").read_text())["pairs"] == 20


@pytest.mark.slow
def test_they_evaluate_and_the_exported_folder_is_reopened(outside: Path) -> None:
    command("export", f"checkpoint={CHECKPOINT}", "output=folder", "trust=[outside_parts]")
    figures = []
    for number, checkpoint in enumerate((CHECKPOINT, "folder")):
        command(
            "evaluate", f"checkpoint={checkpoint}", "data=shards", "data.path=data", "data.transform.resolution=32",
            "data.workers=0", "metrics=brightness", "trust=[outside_parts]", f"output=evaluated-{number}", "show=1",
            "steps=2",
        )  # fmt: skip
        figures.append(json.loads((outside / f"evaluated-{number}/summary.json").read_text())["figures"])
    assert figures[0]["brightness"] == figures[1]["brightness"]
    with pytest.raises(TrustError, match="trust="):
        load_editor("folder")
    editors = [load_editor(name, trust=["outside_parts"]) for name in (CHECKPOINT, "folder")]
    assert editors[1].module.sampler.guidance.floor == 0.25
    image = Image.new("RGB", (32, 32), "teal")
    edits = [np.asarray(editor.edit(image, ["invert the colours"], seed=1)[0].image) for editor in editors]
    assert (edits[0] == edits[1]).all()


@pytest.mark.slow
def test_a_format_of_ones_own_exports_what_it_imports(outside: Path) -> None:
    command("data", "export", "format=side_by_side", "path=data", "output=again")
    for file in sorted((outside / "pictures").glob("*.png")):
        assert (np.asarray(Image.open(outside / "again" / file.name)) == np.asarray(Image.open(file))).all()


def test_a_guidance_of_ones_own_survives_overrides_of_single_values() -> None:
    from dataclasses import dataclass

    from diffusers import DDIMScheduler

    from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
    from ip2p_lightning.diffusion.sampling import Sampler
    from ip2p_lightning.diffusion.settings import SamplingSettings

    @dataclass(frozen=True)
    class Own(TwoScaleGuidance):
        eighth: float = 0.0

    sampler = Sampler(DDIMScheduler(), 4, Own(eighth=0.5))
    assert sampler.options(SamplingSettings(text_scale=3))["guidance"] == Own(text_scale=3.0, eighth=0.5)


def test_one_file_and_one_yaml_each() -> None:
    assert len(PARTS) == len(CONF) == 6
    assert {name.split("/")[1] for name in PARTS} == {name.split("/")[1] for name in CONF}
