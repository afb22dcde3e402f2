"""Folders of open_clip run nothing, fetch nothing, and never answer with random weights."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ip2p_lightning.limits import LimitError
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.models.open_clip_weights import load_open_clip
from ip2p_lightning.models.weight_files import WeightsError
from ip2p_lightning.shipped import path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(path("dual_encoder"), tmp_path / "clip")


def change(folder: Path, part: str, **values: Any) -> None:
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text())
    config["model_cfg"][part] |= values
    file.write_text(json.dumps(config))


def refused(folder: Path, match: str) -> None:
    with pytest.raises((WeightsError, LimitError), match=match) as caught:
        load_open_clip(f"local-dir:{folder}")
    assert "\n" not in str(caught.value)


def test_a_sound_folder(folder: Path) -> None:
    model, transform, tokenizer = load_open_clip(f"local-dir:{folder}")
    assert tokenizer(["a red thing"]).shape[0] == 1
    assert callable(transform)
    assert torch.equal(model.logit_scale, load_open_clip("zoo:dual_encoder").model.logit_scale)


@pytest.mark.parametrize("options", [{"trust_remote_code": True}, {"trust_remote_code": "yes"}, {}, {"cache_dir": "x"}])
def test_code_beside_a_tokenizer_does_not_run(options: dict[str, Any], folder: Path) -> None:
    (folder / "evil_tok.py").write_text(f"open({str(folder.parent / 'canary')!r}, 'w').close()\nclass Tok: pass\n")
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil_tok.Tok", null]}}')
    (folder / "tokenizer.json").unlink()
    if options:
        change(folder, "text_cfg", tokenizer_kwargs=options)
    refused(folder, "tokenizer_kwargs has|cannot be opened with open_clip")
    assert not (folder.parent / "canary").exists()


@pytest.mark.parametrize(
    ("part", "values", "match"),
    [
        (
            "text_cfg",
            {"hf_model_name": "attacker/model"},
            "'attacker/model', which would be fetched",
        ),
        ("vision_cfg", {"timm_model_name": "hf-hub:attacker/model"}, "no name of timm's"),
        ("vision_cfg", {"timm_model_name": "local-dir:/tmp"}, "no name of timm's"),
        ("vision_cfg", {"layers": 10**6}, "IP2P_LIMIT_COUNTS"),
        ("vision_cfg", {"layers": 50_000}, "states a network with"),
        ("vision_cfg", {"image_size": 10**6}, "IP2P_LIMIT_SIDES"),
        ("vision_cfg", {"width": 10**6}, "states a network with|cannot be opened"),
        ("vision_cfg", {"patch_size": 0}, "cannot be opened"),
        ("text_cfg", {"context_length": 10**9}, "states a network with|cannot be opened"),
        ("text_cfg", {"width": "x"}, "cannot be opened"),
        ("text_cfg", {"vocab_size": 3}, "cannot be opened"),
    ],
)
def test_what_a_configuration_asks_for(part: str, values: dict[str, Any], match: str, folder: Path) -> None:
    change(folder, part, **values)
    refused(folder, match)
    if not values.keys() & {"hf_model_name", "vocab_size"}:  # of which the dual encoder has no use
        with pytest.raises((WeightsError, LimitError)):
            DualEncoder.load(folder)


@pytest.mark.parametrize(
    "config", ["[" * 10**5, "[1]", "{nope", '{"model_cfg": NaN}', '{"model_cfg": {"text_cfg": 3}}', ""]
)
def test_damaged_configurations(config: str, folder: Path) -> None:
    (folder / "open_clip_config.json").write_text(config)
    refused(folder, "open_clip_config.json")
    with pytest.raises((WeightsError, LimitError)):
        DualEncoder.load(folder)


def test_no_weights_are_never_random_ones(folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    for data in (b"", b"x" * 100):
        weights.write_bytes(data)
        refused(folder, "cannot be opened")
    weights.unlink()
    refused(folder, "Required pretrained weights|states a network")

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(folder.parent / "canary"),)

    (folder / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps({"x": Bomb()}) + bytes(10**6))
    refused(folder, "more than weights|cannot be opened|states a network")
    assert not (folder.parent / "canary").exists()
    with pytest.raises(WeightsError, match="needs weights: give pretrained=openai"):
        load_open_clip("ViT-B-32-quickgelu")
