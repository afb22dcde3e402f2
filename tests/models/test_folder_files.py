"""Folders of models as hostile data: each is refused in a line, before a library spends memory or time on it."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from hub_layout import stable_diffusion
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from ip2p_lightning.interop.components import load_components
from ip2p_lightning.limits import LimitError
from ip2p_lightning.models.folder_files import check_folder
from ip2p_lightning.models.loading import load_model, load_tokenizer
from ip2p_lightning.models.weight_files import WeightsError, read_index

KINDS = {"text_encoder": CLIPTextModel, "vae": AutoencoderKL, "unet": UNet2DConditionModel}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stable_diffusion(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "sd")


def opened(folder: Path, part: str) -> Any:
    if part == "model_index.json":
        return read_index(folder)
    if part == "tokenizer":
        return load_tokenizer(folder, part)
    if part == "scheduler":
        return load_components(folder, {"scheduler": ["diffusers", "DDIMScheduler"], "_class_name": ""})
    return load_model(KINDS[part], folder, part)


def refused(folder: Path, part: str, match: str | None = None, error: type[Exception] = ValueError) -> None:
    with pytest.raises(error, match=match) as caught:
        opened(folder, part)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, WeightsError | LimitError)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


STATED = [
    ("text_encoder", {"num_hidden_layers": 10**6}),
    ("text_encoder", {"num_hidden_layers": 10**9}),
    ("text_encoder", {"num_hidden_layers": "x"}),
    ("text_encoder", {"num_hidden_layers": 1.5}),
    ("text_encoder", {"hidden_size": 0}),
    ("text_encoder", {"hidden_size": 10**9}),
    ("text_encoder", {"num_attention_heads": -1}),
    ("text_encoder", {"num_attention_heads": 0}),
    ("text_encoder", {"num_labels": 10**8}),
    ("text_encoder", {"vocab_size": 10**9}),
    ("unet", {"layers_per_block": 10**9}),
    ("unet", {"layers_per_block": -1}),
    ("unet", {"sample_size": 10**6}),
    ("unet", {"sample_size": "x"}),
    ("unet", {"block_out_channels": [10**6, 10**6]}),
    ("unet", {"attention_head_dim": 10**9}),
    ("unet", {"norm_num_groups": -1}),
    ("unet", {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}),
    ("vae", {"scaling_factor": "x"}),
    ("vae", {"scaling_factor": 0}),
    ("vae", {"scaling_factor": float("nan")}),
    ("vae", {"shift_factor": [1, 2]}),
    ("scheduler", {"num_train_timesteps": 10**9}),
    ("scheduler", {"num_train_timesteps": -3}),
    ("scheduler", {"trained_betas": [0.1] * 200_000}),
    ("scheduler", {"beta_end": 7}),
    ("scheduler", {"beta_schedule": "nope"}),
]


@pytest.mark.parametrize(("part", "values"), STATED, ids=[f"{part}-{str(v)[:40]}" for part, v in STATED])
def test_what_a_configuration_states_is_checked_first(part: str, values: dict[str, Any], folder: Path) -> None:
    change(folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json"), **values)
    refused(folder, part)


@pytest.mark.parametrize("stated", [0, -1])
def test_layers_that_a_configuration_leaves_away_are_named(stated: int, folder: Path) -> None:
    change(folder / "text_encoder/config.json", num_hidden_layers=stated)
    refused(folder, "text_encoder", r"of layers that it does not have \(.*layers\.0|not a number of at least 0")


FILES = {
    "model_index.json": "model_index.json",
    "text_encoder": "text_encoder/config.json",
    "scheduler": "scheduler/scheduler_config.json",
    "tokenizer": "tokenizer/tokenizer_config.json",
}
DAMAGE: dict[str, bytes] = {
    "deep": b"[" * 200_000,
    "deep objects": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "nan": b'{"_class_name": "X", "a": NaN}',
    "twice": b'{"_class_name": "X", "model_type": "a", "model_type": "b"}',
    "a list": b"[1]",
    "empty": b"",
    "cp1252": b'{"a":"\xff"}',
    "utf-16": "{}".encode("utf-16"),
    "long": b'{"a":"' + b"x" * 17_000_000 + b'"}',
    "a web page": b"<html>not found</html>",
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("part", FILES)
def test_json_of_a_folder(part: str, what: str, folder: Path) -> None:
    (folder / FILES[part]).write_bytes(DAMAGE[what])
    refused(folder, part, "json")


@pytest.mark.parametrize("part", FILES)
def test_what_is_no_file_of_the_folder(part: str, folder: Path, tmp_path: Path) -> None:
    path = folder / FILES[part]
    content = path.read_bytes()
    (tmp_path / "elsewhere.json").write_bytes(content)
    for make in (
        lambda: path.symlink_to(tmp_path / "elsewhere.json"),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path.name),
        lambda: os.mkfifo(path),
        lambda: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**32),
    ):
        path.unlink(missing_ok=True)
        make()
        refused(folder, part, path.name)
    path.unlink()
    (folder / "own.json").write_bytes(content)
    path.symlink_to(os.path.relpath(folder / "own.json", path.parent))
    if part != "tokenizer":
        opened(folder, part)  # within the folder that was given


def test_the_hub_s_cache_may_link_to_its_blobs(folder: Path, tmp_path: Path) -> None:
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot = tmp_path / "models--a--b" / "snapshots" / "rev"
    blobs.mkdir(parents=True)
    for number, path in enumerate(path for path in folder.rglob("*") if path.is_file()):
        shutil.move(path, blobs / str(number))
        (snapshot / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path.relative_to(folder)).symlink_to(blobs / str(number))
    for part in ("unet", "scheduler", "model_index.json"):
        opened(snapshot, part)


def header(entries: Any, size: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text


TENSOR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2**30) + b"{}",
        header({}),
        header({"x": TENSOR | {"shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
        header({"x": TENSOR | {"shape": [2**40, 2**40]}}) + bytes(4),
        header({"x": TENSOR, "y": TENSOR}) + bytes(4),
        header({"x": TENSOR | {"dtype": "Z9"}}) + bytes(4),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ],
)
@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_headers_of_safetensors(part: str, data: bytes, folder: Path) -> None:
    (path,) = (folder / part).glob("*.safetensors")
    path.write_bytes(data)
    refused(folder, part, part)


@pytest.fixture
def sharded(folder: Path) -> Callable[..., Path]:
    """Two shards and an index, of which `change` is given the map, the folder and the names of both shards."""

    def make(part: str, alter: Callable[..., Any]) -> Path:
        (path,) = (folder / part).glob("*.safetensors")
        tensors = load_file(path)
        path.unlink()
        names = [path.name.replace(".safetensors", f"-0000{number}-of-00002.safetensors") for number in (1, 2)]
        cut = len(tensors) // 2
        where = {name: names[place >= cut] for place, name in enumerate(tensors)}
        for shard in names:
            held = {name: tensor for name, tensor in tensors.items() if where[name] == shard}
            save_file(held, path.with_name(shard), metadata={"format": "pt"})
        result = alter(where, path.parent, *names)
        index = {"metadata": {"total_size": 1}, "weight_map": where if result is None else result}
        path.with_name(f"{path.name}.index.json").write_text(json.dumps(index))
        return folder

    return make


def leads(place: str) -> Callable[..., None]:
    def alter(where: dict[str, str], parent: Path, first: str, second: str) -> None:
        (parent.parent / "out.safetensors").write_bytes((parent / second).read_bytes())
        for name, shard in where.items():
            where[name] = place.format(parent=parent.parent) if shard == second else shard

    return alter


def linked(where: dict[str, str], parent: Path, first: str, second: str) -> None:
    shutil.move(parent / second, parent.parent.parent / "out.safetensors")
    (parent / second).symlink_to(parent.parent.parent / "out.safetensors")


def doubled(where: dict[str, str], parent: Path, first: str, second: str) -> None:
    twice = {name: tensor * 0 for name, tensor in load_file(parent / first).items()}
    save_file(twice | load_file(parent / second), parent / second, metadata={"format": "pt"})


def swapped(where: dict[str, str], parent: Path, first: str, second: str) -> None:
    where.update({name: first if shard == second else second for name, shard in where.items()})


SHARDS: dict[str, tuple[Callable[..., Any], str]] = {
    "above": (leads("../out.safetensors"), "no file of this folder"),
    "absolute": (leads("{parent}/out.safetensors"), "no file of this folder"),
    "device": (leads("/dev/zero"), "no file of this folder"),
    "number": (lambda where, *_: where.update({next(iter(where)): 3}), "no file of this folder"),
    "linked": (linked, "a link out of the folder"),
    "gone": (lambda where, parent, first, second: (parent / second).unlink(), "are not there"),
    "doubled": (doubled, "not that of the files"),
    "swapped": (swapped, "not that of the files"),
    "unlisted": (lambda where, *_: where.pop(next(iter(where))) and None, "not that of the files"),
    "more": (lambda where, p, first, s: where.update(x=first), "not that of the files"),
    "empty": (lambda *_: {}, "lists no weights"),
    "a list": (lambda *_: [1], "lists no weights"),
    "many": (lambda where, *_: where | {f"x{n}": f"{n}.safetensors" for n in range(10**5 + 1)}, "IP2P_LIMIT_COUNTS"),
}


@pytest.mark.parametrize("what", SHARDS)
@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_indices_of_shards(part: str, what: str, sharded: Callable[..., Path]) -> None:
    alter, message = SHARDS[what]
    refused(sharded(part, alter), part, message)


def test_sound_shards_and_folders_pass(sharded: Callable[..., Path]) -> None:
    folder = sharded("unet", lambda *_: None)
    for part in (*KINDS, "scheduler", "tokenizer", "model_index.json"):
        opened(folder, part)
    check_folder(folder / "unet")
    assert all(torch.isfinite(tensor).all() for tensor in opened(folder, "unet").state_dict().values())
