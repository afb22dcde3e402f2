"""Published weights are opened whole, in the type asked for, and without running anything that came with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import open_clip
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from hub_layout import original_file, stable_diffusion
from hub_server import hub
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from ip2p_lightning.models.loading import load_model, load_tokenizer
from ip2p_lightning.models.weight_files import WeightsError

PARTS = {"text_encoder": CLIPTextModel, "vae": AutoencoderKL, "unet": UNet2DConditionModel}
EACH = pytest.mark.parametrize("part", PARTS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stable_diffusion(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stable_diffusion(tmp_path_factory.mktemp("half"), variant="fp16")


@pytest.fixture
def copied(plain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(plain, tmp_path / "sd")


def weights_of(folder: Path) -> Path:
    (path,) = folder.glob("*.safetensors")
    return path


def refused(part: str, folder: Path, match: str, variant: str | None = None) -> None:
    with pytest.raises(WeightsError, match=match) as caught:
        load_model(PARTS[part], folder, part, variant)
    assert "\n" not in str(caught.value)


@EACH
def test_half_precision_alone_is_taken_and_cast(part: str, plain: Path, half: Path):
    exact, cast = (load_model(PARTS[part], folder, part) for folder in (plain, half))
    assert {parameter.dtype for parameter in cast.parameters()} == {torch.float32}
    for name, tensor in exact.state_dict().items():
        assert torch.equal(cast.state_dict()[name], tensor.half().float()), name


@EACH
def test_the_type_is_the_one_asked_for_whatever_the_folder_says(part: str, copied: Path):
    """Transformers writes the type into config.json, and would take it back out."""
    path = copied / part / "config.json"
    if part == "text_encoder":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": "float16"}))
    save_file({name: t.half() for name, t in load_file(weights_of(copied / part)).items()}, weights_of(copied / part))
    assert next(load_model(PARTS[part], copied, part).parameters()).dtype == torch.float32
    assert next(load_model(PARTS[part], copied, part, dtype="bfloat16").parameters()).dtype == torch.bfloat16
    with pytest.raises(WeightsError, match="dtype=int8"):
        load_model(PARTS[part], copied, part, dtype="int8")


@EACH
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_with_their_index(part: str, variant: str | None, plain: Path, tmp_path: Path):
    folder = stable_diffusion(tmp_path, variant=variant, shards="50KB")
    assert len(list((folder / part).glob("*.safetensors"))) > 1
    loaded, whole = (load_model(PARTS[part], path, part).state_dict() for path in (folder, plain))
    assert all(torch.equal(loaded[n], t.half().float() if variant else t) for n, t in whole.items())
    next((folder / part).glob("*-of-*.safetensors")).unlink()
    refused(part, folder, part)


@EACH
def test_plain_files_come_before_half_ones_unless_asked(part: str, copied: Path, half: Path):
    shutil.copy(weights_of(half / part), copied / part)
    path = next(path for path in (copied / part).glob("*.safetensors") if "fp16" not in path.name)
    plain, cast = (load_model(PARTS[part], copied, part, variant) for variant in (None, "fp16"))
    name = next(iter(load_file(path)))
    assert torch.equal(plain.state_dict()[name], load_file(path)[name])
    assert torch.equal(cast.state_dict()[name], load_file(path)[name].half().float())
    refused(part, copied, "no weights of variant=bf16; it holds those of variant=fp16, and plain ones", "bf16")


@EACH
def test_missing_and_misfit_tensors_are_named(part: str, copied: Path):
    path = weights_of(copied / part)
    whole = load_file(path)
    first, second = list(whole)[:2]
    save_file({name: tensor for name, tensor in whole.items() if name != first}, path, metadata={"format": "pt"})
    refused(part, copied, f"1 missing .*{first}")
    save_file({}, path, metadata={"format": "pt"})
    refused(part, copied, rf"{len(whole)} missing \(.*, \.\.\.\)")
    save_file(whole | {second: torch.zeros(3, 5)}, path, metadata={"format": "pt"})
    refused(part, copied, rf"of another shape \({second} is \[3, 5\], config.json says")
    path.write_bytes(path.read_bytes()[:2000])
    refused(part, copied, f"cannot be opened as {PARTS[part].__name__}")
    (copied / part / "config.json").write_text("[1]")
    refused(part, copied, "config.json is no JSON object")
    (copied / part / "config.json").unlink()
    refused(part, copied, "has no config.json")


@EACH
def test_pickled_files_are_read_as_weights_alone_and_when_asked(part: str, copied: Path, plain: Path):
    path = weights_of(copied / part)
    state, name = load_file(path), path.name.replace("model.safetensors", "model.bin")
    path.unlink()
    pickled = copied / part / (name if part != "text_encoder" else "pytorch_model.bin")
    torch.save(state, pickled)
    refused(part, copied, r"pickled weights \(\.bin\) and no safetensors; variant=bin")
    loaded = load_model(PARTS[part], copied, part, "bin").state_dict()
    assert all(torch.equal(loaded[n], t) for n, t in load_model(PARTS[part], plain, part).state_dict().items())

    class Canary:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(copied / "ran"),)

    torch.save(state | {"x": Canary()}, pickled)
    refused(part, copied, f"cannot be opened as {PARTS[part].__name__}: it holds more than weights", "bin")
    assert not (copied / "ran").exists()


def test_what_a_folder_holds_instead_is_said(copied: Path, tmp_path: Path):
    path = weights_of(copied / "unet")
    path.rename(path.with_name("diffusion_pytorch_model.non_ema.safetensors"))
    refused("unet", copied, "holds those of variant=non_ema")
    assert load_model(UNet2DConditionModel, copied, "unet", "non_ema")
    alone = tmp_path / "script" / "checkpoint-500"
    shutil.copytree(copied / "vae", alone / "vae")
    refused("unet", alone, r"no folder 'unet'; it holds vae/; a part by itself")
    refused("unet", alone.parent, "checkpoints of a training script; name one of them: checkpoint-500/")
    assert load_model(AutoencoderKL, alone / "vae", "vae")  # the part itself
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "pytorch_lora_weights.safetensors").touch()
    refused("unet", tmp_path / "lora", "a LoRA adapter")
    (tmp_path / "empty").mkdir()
    refused("unet", tmp_path / "empty", "it holds nothing")
    refused("unet", tmp_path / "nowhere", "no such folder")
    (tmp_path / "v1-5.ckpt").touch()
    refused("unet", tmp_path / "v1-5.ckpt", "ip2p convert checkpoint=FILE")


def test_code_beside_weights_is_not_run(copied: Path, tmp_path: Path):
    canary = tmp_path / "ran"
    (copied / "tokenizer" / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: pass\n")
    path = copied / "tokenizer" / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": [None, "evil.Evil"]}}
    path.write_text(json.dumps(settings))
    with suppress(WeightsError):
        load_tokenizer(copied, "tokenizer")
    assert not canary.exists()


def test_one_original_file_serves_all_parts(tmp_path: Path):
    path = tmp_path / "v1-5-pruned-emaonly.safetensors"
    parts = original_file(path)
    for part, state in parts.items():
        loaded = load_model(PARTS[part], path, part).state_dict()
        loaded = {name.removeprefix("text_model."): tensor for name, tensor in loaded.items()}
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items()), part
    tokenizer = load_tokenizer(path)
    text = "A Cat, isn't it   sleeping in 1984? É"
    ids = tokenizer(text, padding="max_length").input_ids
    assert ids[:3] == [49406, 320, 2368]
    ours, theirs = ids[: ids.index(49407) + 1], open_clip.tokenize(text)[0].tolist()
    assert ours == theirs[: len(ours)]
    assert (len(tokenizer), tokenizer.model_max_length, tokenizer.pad_token_id) == (49408, 77, 49407)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["conditioner.embedders.0.x", "model.diffusion_model.x"], "Stable Diffusion XL, which is not trained here"),
        (["cond_stage_model.model.x"], "Stable Diffusion 2"),
        (["lora_unet_x"], "a LoRA adapter: merge it"),
        (["down_blocks.0.x"], "a UNet in diffusers' layout: give its folder"),
        (["double_blocks.0.x"], "Flux"),
        (["model.diffusion_model.x", "first_stage_model.x"], "has no text encoder"),
        (["x"], "has no UNet"),
    ],
)
def test_other_single_files_are_named(keys: list[str], message: str, tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({key: torch.zeros(1) for key in keys}, path)
    refused("unet", path, message)
    path.write_bytes(b"no tensors")
    refused("unet", path, "not readable as safetensors")


FETCH = """
import sys
from diffusers import UNet2DConditionModel
from ip2p_lightning.models.loading import load_model, load_tokenizer
from ip2p_lightning.models.weight_files import WeightsError
for name in sys.argv[1:]:
    try:
        model = load_model(UNet2DConditionModel, name, "unet")
        load_tokenizer(name, "tokenizer")
        print("opened", model.config.cross_attention_dim)
    except WeightsError as error:
        print(str(error).replace("\\n", " "))
"""


@pytest.mark.slow
def test_a_hub_is_asked_for_the_files_that_are_read_and_its_silence_is_told_from_a_no(half: Path, tmp_path: Path):
    shutil.copytree(half, tmp_path / "hub" / "someone" / "sd")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", "HF_HUB_ETAG_TIMEOUT": "2"}

    def said(address: str, *names: str, **more: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", FETCH, *names],
            env={**environment, "HF_ENDPOINT": address, **more}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = done.stdout.strip().splitlines()
        assert len(lines) == len(names), done.stdout
        return lines

    with hub(tmp_path / "hub") as (address, asked):
        opened, missing = said(address, "someone/sd", "someone/none")
        assert opened == "opened 64"
        assert "someone/none: not found on the hub" in missing
        read = {path.split(REVISION_MARK)[-1] for path in asked if "/resolve/" in path}
        assert not [path for path in read if "vae" in path or "text_encoder" in path]
    opened, unreachable = said("http://127.0.0.1:9", "someone/sd", "someone/other")
    assert opened == "opened 64"  # out of the cache
    assert "someone/other: no network: the hub cannot be reached" in unreachable
    assert "someone/other: no network" in said("http://127.0.0.1:9", "someone/other", HF_HUB_OFFLINE="1")[0]


REVISION_MARK = "/resolve/"
