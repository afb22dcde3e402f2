"""Checkpoints of a cascade's stages that somebody made to do harm: refused as those of editors are, by every way in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ip2p_lightning.cli import main
from ip2p_lightning.config import compose
from ip2p_lightning.jobs.sample import open_cascade
from ip2p_lightning.jobs.train import train

TINY = [
    "data.train.count=8", "stages.0.max_steps=1", "trainer.precision=32-true", "~callbacks.summary",
    "~callbacks.images", "~callbacks.progress",
]  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a sound checkpoint of the base stage holds."""
    folder = tmp_path_factory.mktemp("cascade")
    path = train(compose("train", ["experiment=imagen/tiny/base", f"output_dir={folder}", *TINY])).checkpoint
    assert path is not None
    return torch.load(path, weights_only=True)


@pytest.fixture
def with_(stored: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """`with_("network", layers=3)` saves one whose part has that; `with_("sampler.steps", 3)` one with that value."""

    def save(place: str, value: Any = None, **changes: Any) -> Path:
        changed = copy.deepcopy(stored)
        *outer, last = place.split(".")
        holder = changed["config"]
        for key in outer:
            holder = holder[key]
        holder[last] = holder[last] | changes if changes else value
        torch.save(changed, tmp_path / "x.ckpt")
        return tmp_path / "x.ckpt"

    return save


TARGETS: list[dict[str, Any]] = [
    {"_target_": "os.system", "command": "touch canary"},
    {"_target_": "subprocess.Popen", "args": ["touch", "canary"]},
    {"_target_": "torch.load", "f": "e.pt", "weights_only": False},
    {"_target_": "numpy.savetxt", "fname": "canary", "X": [1]},
    {"_target_": "transformers.T5EncoderModel.from_pretrained", "pretrained_model_name_or_path": "attacker/t5"},
    {"_target_": "diffusers.UNet2DConditionModel.from_pretrained", "pretrained_model_name_or_path": "attacker/unet"},
    {"_target_": "ip2p_lightning.interop.cascade.load_cascade", "folder": "."},
    {"_target_": "ip2p_lightning.methods.checkpoint.load_module", "path": "x.ckpt"},
    {"_target_": "ip2p_lightning.world.tokenizer.train_tokenizer", "corpus": ["a b"], "folder": "canary"},
    {"_target_": "hydra.utils.get_method", "path": "os.system"},
]
PLACES = ("conditioner", "conditioner.tokenizer", "network", "low_resolution", "sampler.scheduler", "objective")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["_target_"])
def test_no_part_of_a_stage_names_code(
    target: dict[str, Any], with_: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in PLACES:
        path = str(with_(place, target))
        with pytest.raises(ValueError, match=r"may not be built|refers to weights"):
            open_cascade([path, path] if place == "network" else path, "ema", ())
    assert [file.name for file in tmp_path.iterdir()] == ["x.ckpt"]


@pytest.mark.parametrize("name", ["attacker/t5", "package:antigravity.x", "/etc", "../run", "https://host/t5"])
@pytest.mark.parametrize("loader", ["text_encoder.load_text_encoder", "t5.load_t5", "loading.load_tokenizer"])
def test_no_part_of_a_stage_names_a_place(name: str, loader: str, with_: Callable[..., Path]) -> None:
    value = {"_target_": f"ip2p_lightning.models.{loader}", "weights": name}
    place = "conditioner.tokenizer" if loader.endswith("tokenizer") else "conditioner.text_encoder"
    with pytest.raises(ValueError, match=r"may not be built|refers to weights"):
        open_cascade(str(with_(place, value)), "ema", ())


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("network", {"layers_per_block": 10**7}),
        ("network", {"block_out_channels": [2**20, 2**20]}),
        ("network", {"time_embedding_dim": 10**9}),
        ("conditioner.text_encoder", {"layers": 10**7}),
        ("conditioner.text_encoder", {"hidden_size": 2**30}),
        ("conditioner", {"max_length": 10**9}),
        ("sampler", {"steps": 10**9}),
        ("sampler.scheduler", {"num_train_timesteps": 10**9}),
        ("objective.scheduler", {"num_train_timesteps": 2**62}),
        ("network", {"sample_size": 10**6}),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.timeout(60)
def test_sizes_that_a_stage_states_are_bounded(
    place: str, change: dict[str, Any], with_: Callable[..., Path], tmp_path: Path, capsys: Any
) -> None:
    path = with_(place, **change)
    words = ["sample", f"cascade={path}", "prompt=a bus", f"output={tmp_path / 'out'}", "device=cpu", "steps=1"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "x.ckpt" in said
