"""What a stored configuration may build, and what not: nothing runs, nothing is written, nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from factories import IP2P, KL, LGIE, MGIE, TEXT, UNET, WORLD
from fuzz.harness import quiet_process

from ip2p_lightning.config import StoredConfigError, TrustError, config_dir, instantiate_trusted
from ip2p_lightning.config.budget import Budget
from ip2p_lightning.limits import LimitError

SGD = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1}
UNIFORM = {"_target_": "ip2p_lightning.diffusion.timesteps.UniformTimesteps"}
TOKENIZER = {"_target_": "ip2p_lightning.world.tokenizer.world_tokenizer"}
LOADER = "ip2p_lightning.models.{}"
REFUSED = (TrustError, StoredConfigError, LimitError)

_LINES = (Path(__file__).parent / "refused_targets.txt").read_text(encoding="utf-8").splitlines()
TARGETS: list[Any] = [line for line in _LINES if line and not line.startswith("#")]
NO_NAMES: list[Any] = [
    "torch.optim.AdamW\n", "\ntorch.optim.AdamW", " torch.optim.AdamW", "torch.optim..AdamW", ".torch.optim.AdamW",
    "torch.optim.AdamW.", "torch/optim/AdamW", "torch.optim.AdamW()", "torch.optim.\u0410damW", "AdamW", "",
    "${oc.env:HOME}", None, 7, True, ["os", "system"], {"_target_": "os.system"}, b"os.system",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS + NO_NAMES, ids=str)
@pytest.mark.parametrize("wrap", ["alone", "listed", "partial"])
def test_nothing_else_is_called(target: Any, wrap: str, tmp_path: Path) -> None:
    evil = {"_target_": target, "_args_": [f"touch {tmp_path}/canary"]}
    evil |= {"_partial_": True} if wrap == "partial" else {}
    config = evil if wrap == "alone" else IP2P | {"dropout": [{"deep": evil}] if wrap == "listed" else evil}
    before = set(sys.modules)
    with quiet_process(tmp_path / "nothing"), pytest.raises(TrustError, match="may not be built from a checkpoint"):
        instantiate_trusted(config)
    assert not {"antigravity", "lib2to3", "joblib.memory", "torch.utils.cpp_extension"} & (set(sys.modules) - before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_args_": [[], 1.0]}, "_args_"),
        ({"_convert_": "all"}, "_convert_"),
        ({"_recursive_": False}, "_recursive_"),
        ({"_mode_": "call"}, "_mode_"),
        ({"momentum": {"_target_": "ip2p_lightning.diffusion.timesteps.UniformTimesteps"}}, "momentum"),
        ({"momentum": [UNIFORM]}, "momentum"),
        ({"momentum": "a/b"}, "momentum"),
        ({"momentum": "${oc.env:HOME}"}, "interpolation"),
        ({"foreach": "a.b"}, "foreach"),
        ({"weight_decoy": 1}, "weight_decoy"),
        ({1: 2}, "1 = 2"),
        ({"_partial_": "yes"}, "_partial_"),
        ({"_partial_": [1]}, "_partial_"),
    ],
)
def test_arguments_of_a_library_are_plain_values_of_its_signature(changes: dict[Any, Any], said: str) -> None:
    with pytest.raises(StoredConfigError, match=said):
        instantiate_trusted(SGD | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trust_remote_code": "yes"}, "trust_remote_code"),
        ({"weights_only": ""}, "weights_only"),
        ({"use_safetensors": 0}, "use_safetensors"),
        ({"subfolder": "../.."}, "subfolder"),
        ({"subfolder": "/etc"}, "subfolder"),
        ({"subfolder": ["x"]}, "subfolder"),
        ({"weights": ["x"]}, "weights"),
        ({"weights": {"a": 1}}, "weights"),
        ({"weights": "attacker/weights"}, "refers to weights in 'attacker/weights'.*trust="),
        ({"weights": "package:antigravity.x"}, "refers to weights"),
        ({"weights": "package:lib2to3.__main__.x"}, "refers to weights"),
        ({"weights": "/etc"}, "refers to weights"),
        ({"weights": "https://example.invalid/x"}, "refers to weights"),
        ({"weights": TOKENIZER}, "refers to weights"),
    ],
)
def test_loaders_take_no_place_and_no_option_from_a_file(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    config = {"_target_": LOADER.format("text_encoder.load_text_encoder"), "weights": None} | changes
    with quiet_process(tmp_path), pytest.raises(REFUSED, match=said):
        instantiate_trusted(config)
    assert not {"antigravity", "lib2to3"} & set(sys.modules)


def test_a_tokenizer_of_a_folder_needs_trust(tmp_path: Path) -> None:
    config = {"_target_": LOADER.format("loading.load_tokenizer"), "weights": str(tmp_path / "tok")}
    transformers.PreTrainedTokenizerFast.from_pretrained(str(_tokenizer_files())).save_pretrained(tmp_path / "tok")
    with pytest.raises(TrustError, match="refers to weights"):
        instantiate_trusted(config)
    assert len(instantiate_trusted(config, trust=[str(tmp_path / "tok")]))
    assert len(instantiate_trusted(config | {"weights": "owner/name"}, trust=[f"owner/name={tmp_path / 'tok'}"]))


def _tokenizer_files() -> Path:
    from ip2p_lightning.world.tokenizer import FOLDER

    return FOLDER


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (TEXT | {"max_length": "77"}, "max_length"),
        (TEXT | {"max_length": 7.5}, "max_length"),
        (TEXT | {"max_length": True}, "max_length"),
        (TEXT | {"tokenizer": "gpt2"}, "tokenizer"),
        (TEXT | {"text_encoder": None}, "text_encoder"),
        (TEXT | {"expressive_probability": [0.5]}, "expressive_probability"),
        (UNET | {"residual": SGD}, "residual"),
        (UNET | {"lora": "all"}, "lora"),
        (UNET | {"_partial_": True}, "_partial_"),
        (IP2P | {"stages": "joint"}, "stages"),
        (IP2P | {"stages": [IP2P["stages"][0] | {"name": 3}]}, "name"),
        (IP2P | {"forward": 1}, "forward"),
        (IP2P | {"self": 1}, "self"),
        (IP2P | {"sampler": IP2P["sampler"] | {"guidance": {"text_scale": 1.0}}}, "guidance"),
        (IP2P | {"dropout": IP2P["dropout"] | {"text": -1.0}}, "dropout shares"),
        (IP2P | {"denoiser": UNET | {"network": UNET["network"] | {"widths": []}}}, "denoiser.network"),
    ],
)
def test_names_types_and_values_are_checked_by_the_key(config: dict[str, Any], said: str) -> None:
    with pytest.raises(StoredConfigError, match=said):
        instantiate_trusted(config)


@pytest.mark.parametrize("config", [IP2P, WORLD, MGIE, LGIE], ids=["ip2p", "world", "mgie", "lgie"])
def test_our_own_methods_are_built(config: dict[str, Any]) -> None:
    assert type(instantiate_trusted(config)).__name__ == "EditingModule"


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (KL["vae"], diffusers.AutoencoderKL),
        ({"_target_": "diffusers.models.autoencoders.AutoencoderTiny"}, diffusers.AutoencoderTiny),
        ({"_target_": "diffusers.DDIMScheduler", "beta_schedule": "scaled_linear"}, diffusers.DDIMScheduler),
        (SGD | {"_target_": "torch.optim.adamw.AdamW"}, None),
        (
            {
                "_target_": "transformers.CLIPTextModel",
                "config": {"_target_": "transformers.CLIPTextConfig", "hidden_size": 16, "intermediate_size": 16,
                           "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100},
            },
            transformers.CLIPTextModel,
        ),
    ],
)  # fmt: skip
def test_networks_schedulers_and_optimizers_of_the_libraries_are_built(config: dict[str, Any], kind: Any) -> None:
    built = instantiate_trusted(config)
    assert isinstance(built, kind) if kind else callable(built)


@pytest.mark.parametrize(
    "nested",
    [
        {"auto_map": {"AutoModel": "attacker/repo--evil.Model"}},
        {"attn_implementation": "attacker/kernel"},
        {"_name_or_path": "attacker/repo"},
        {"text_config": {"model_type": "llama", "auto_map": {"AutoModel": "evil.Model"}}},
        {"text_config": {"model_type": "llama", "_attn_implementation": "attacker/kernel:x"}},
    ],
)
def test_settings_of_a_library_hold_no_references(nested: dict[str, Any]) -> None:
    with pytest.raises(REFUSED, match=next(iter(nested))):
        instantiate_trusted({"_target_": "transformers.LlavaConfig", **nested})


class TestBounds:
    """Sizes that a configuration states."""

    @pytest.mark.parametrize("shape", ["shared", "circular", "deep", "wide"])
    def test_values_and_levels(self, shape: str) -> None:
        value: Any = ["lol"] * 10
        if shape == "shared":
            for _ in range(30):
                value = [value] * 10
        elif shape == "circular":
            value.append(value)
        elif shape == "deep":
            for _ in range(100_000):
                value = {"a": value}
        else:
            value = ["lol"] * 10**6
        with pytest.raises(LimitError, match="stored configuration"):
            instantiate_trusted(IP2P | {"dropout": value})

    @pytest.mark.parametrize(
        ("part", "changes"),
        [
            ("text_encoder", {"layers": 10**7}),
            ("text_encoder", {"hidden_size": 20_000, "layers": 1_000}),
            ("text_encoder", {"max_length": 10**9}),
            ("unet", {"widths": [10**6]}),
            ("unet", {"layers_per_block": 10**6}),
            ("unet", {"latent_channels": 10**8}),
            ("transformer", {"layers": 10**7}),
            ("transformer", {"max_size": 10**6}),
            ("transformer", {"width": 10**6, "heads": 1}),
            ("edit_head", {"queries": 10**9}),
            ("edit_head", {"feedforward_dim": 10**10}),
            ("judge", {"hidden": 10**9}),
            ("patch_pca", {"patch_size": 2**13}),
            ("dual_encoder", {"layers": 10**6}),
        ],
    )
    def test_networks(self, part: str, changes: dict[str, Any]) -> None:
        configs = {
            "text_encoder": TEXT["text_encoder"],
            "unet": UNET["network"],
            "transformer": WORLD["denoiser"]["network"],
            "edit_head": MGIE["conditioner"]["edit_head"],
            "judge": {"_target_": LOADER.format("judge.AttributeJudge")},
            "patch_pca": WORLD["autoencoder"]["vae"],
            "dual_encoder": {"_target_": LOADER.format("dual_encoder.DualEncoder"), "tokenizer": TOKENIZER},
        }
        budget = Budget(1_000_000, 200, "x.ckpt")
        instantiate_trusted(configs[part], budget=budget)
        with pytest.raises(LimitError, match=r"x\.ckpt: its configuration states a network with|IP2P_LIMIT_COUNTS"):
            instantiate_trusted(configs[part] | changes, budget=Budget(1_000_000, 200, "x.ckpt"))

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"_target_": "diffusers.DDPMScheduler", "num_train_timesteps": 10**10}, "TIMESTEPS"),
            ({"_target_": "diffusers.EulerAncestralDiscreteScheduler", "num_train_timesteps": 10**6}, "TIMESTEPS"),
            (IP2P["sampler"] | {"steps": 10**9}, "TIMESTEPS"),
            (LGIE["conditioner"]["tokenizer"] | {"count": 10**9}, "VISUAL_TOKENS"),
            (LGIE["conditioner"] | {"max_new_tokens": 10**12}, "TEXT_TOKENS"),
        ],
    )  # fmt: skip
    def test_schedules_and_texts(self, config: dict[str, Any], said: str) -> None:
        with pytest.raises(LimitError, match=said):
            instantiate_trusted(config)

    def test_a_budget_does_not_change_what_is_built(self) -> None:
        networks = []
        for budget in (None, Budget(10**6, 500, "x")):
            torch.manual_seed(3)
            networks.append(instantiate_trusted(MGIE, budget=budget).state_dict())
        assert networks[0].keys() == networks[1].keys()
        assert all(torch.equal(tensor, networks[1][name]) for name, tensor in networks[0].items())

    def test_other_threads_may_build_what_they_like(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with Budget(1, 1, "x"), ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.nn.Linear, 5_000, 5_000).result().weight.shape == (5_000, 5_000)


def test_every_part_of_a_stored_configuration_in_conf_is_on_the_list() -> None:
    """What the tree stores in checkpoints must open again, now and after a part is moved."""
    from omegaconf import OmegaConf

    from ip2p_lightning.config.compose import walk
    from ip2p_lightning.config.trust import Trust, find
    from ip2p_lightning.methods.stored_names import current_names

    groups = ("autoencoder", "conditioner", "denoiser", "dropout", "dual_encoder", "judge", "language_model", "method",
              "objective", "optimizer", "sampler", "unet")  # fmt: skip
    seen = 0
    for group in groups:
        for path in sorted((config_dir() / group).glob("*.yaml")):
            config = current_names(OmegaConf.to_container(OmegaConf.load(path), resolve=False))
            for key, value in walk(config):
                if key.rpartition(".")[2] == "_target_" and ".sources." not in f".{key}" and "load_part" not in value:
                    find(value, f"{path.name}: {key}", Trust.of(()))
                    seen += 1
    assert seen > 60
