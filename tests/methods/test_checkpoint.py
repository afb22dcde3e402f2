"""Checkpoints reopen from the file alone, start other trainings, and fail with the culprit and the remedy."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from factories import IP2P, MGIE, TEXT, UNET, WORLD, quiet_trainer, tiny_batch, tiny_loader, tiny_module

from ip2p_lightning.callbacks.ema import EMA
from ip2p_lightning.config import TrustError, instantiate_trusted
from ip2p_lightning.interop.warm_start import initialise, load_part
from ip2p_lightning.methods.checkpoint import CheckpointError, load_module, read_checkpoint
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.models.denoiser import build_unet
from ip2p_lightning.models.text_encoder import build_text_encoder
from ip2p_lightning.world.tokenizer import world_tokenizer


def train(module: EditingModule, path: Path, steps: int = 2, **options: Any) -> Path:
    trainer = quiet_trainer(max_steps=steps, **options)
    trainer.fit(module, tiny_loader(steps))
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[EditingModule, Path]:
    module = tiny_module()
    return module, train(module, tmp_path_factory.mktemp("run") / "last.ckpt")


def assert_same_weights(first: torch.nn.Module, second: torch.nn.Module) -> None:
    one, other = first.state_dict(), second.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("config", [IP2P, MGIE, WORLD], ids=["ip2p", "mgie", "world"])
def test_reopened_module_is_the_trained_one(config: dict, tmp_path: Path) -> None:
    module = tiny_module(config)
    path = train(module, tmp_path / "last.ckpt")
    state = torch.random.get_rng_state()
    loaded = load_module(path)
    assert torch.equal(torch.random.get_rng_state(), state), "loading must not disturb random numbers"
    assert not loaded.training
    assert loaded.config == config
    assert_same_weights(loaded, module)
    batch = tiny_batch()
    pictures = [
        m.eval().edit(batch.original_image, batch.instruction, generator=torch.Generator().manual_seed(0))[0]
        for m in (module, loaded)
    ]
    assert torch.equal(*pictures)


def test_average_is_the_default_and_raw_weights_are_there(tmp_path: Path) -> None:
    module, path = tiny_module(), tmp_path / "last.ckpt"

    class KeepRaw(EMA):
        def on_train_end(self, trainer: Any, pl_module: EditingModule) -> None:
            trainer.save_checkpoint(path)
            self.raw = copy.deepcopy(pl_module.state_dict())

    ema = KeepRaw(0.9)
    quiet_trainer(max_steps=3, callbacks=[ema]).fit(module, tiny_loader(3))
    name = "denoiser.network.conv_in.weight"
    average, raw = load_module(path), load_module(path, weights="raw")
    assert torch.equal(raw.state_dict()[name], ema.raw[name])
    assert_same_weights(average, module)  # the module holds the average after fit
    assert not torch.equal(average.state_dict()[name], raw.state_dict()[name])
    with pytest.raises(ValueError, match="choose ema or raw"):
        load_module(path, weights="best")  # type: ignore[arg-type]


def test_stage_is_restored(tmp_path: Path) -> None:
    stages = [{"_target_": "ip2p_lightning.methods.stage.Stage", "name": name} for name in ("first", "second")]
    module = tiny_module(stages=stages)
    module.stage = module.stages[1]
    assert load_module(train(module, tmp_path / "last.ckpt")).stage.name == "second"


def test_pictures_that_a_codec_was_fitted_on_are_not_needed_to_reopen_it(tmp_path: Path) -> None:
    source = {"_target_": "ip2p_lightning.data.sources.world.WorldSource", "count": 8, "size": 16}
    fitted = {
        "_target_": "ip2p_lightning.models.patch_pca.fitted_patch_pca",
        "sources": [source],
        "patch_size": 2,
        "latent_channels": 12,
    }
    module = tiny_module(WORLD)
    module.autoencoder.vae.fit(tiny_batch(8, 16).original_image)
    path = train(module, tmp_path / "last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["config"]["autoencoder"]["vae"] = fitted
    torch.save(checkpoint, path)
    loaded = load_module(path)
    assert torch.equal(loaded.autoencoder.vae.basis, module.autoencoder.vae.basis)
    assert loaded.config["autoencoder"]["vae"] == fitted


class TestPretrainedWeights:
    """Weights that a pretrained folder holds are not stored, unless they have changed."""

    ENCODER = "conditioner.text_encoder."

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        torch.manual_seed(7)
        folder = tmp_path / "pretrained"
        build_text_encoder(world_tokenizer(), 32, 1, 2, 12).save_pretrained(folder / "text_encoder")
        build_unet(4, 32, (8, 16), heads=2, norm_groups=4).save_pretrained(folder / "unet")
        return folder

    @pytest.fixture
    def config(self, folder: Path) -> dict[str, Any]:
        encoder = {"_target_": "ip2p_lightning.models.text_encoder.load_text_encoder", "weights": str(folder)}
        unet = {"_target_": "ip2p_lightning.models.denoiser.load_unet", "weights": str(folder), "config": {}}
        return {"conditioner": TEXT | {"text_encoder": encoder}, "denoiser": UNET | {"network": unet}}

    def test_frozen_encoder_is_left_out_and_comes_back(
        self, config: dict[str, Any], folder: Path, tmp_path: Path
    ) -> None:
        module = tiny_module(**config)
        path = train(module, tmp_path / "last.ckpt")
        stored = read_checkpoint(path)
        assert not [name for name in stored["state_dict"] if name.startswith(self.ENCODER)]
        assert [name for name in stored["state_dict"] if name.startswith("denoiser.")]
        assert_same_weights(load_module(path, trust=[str(folder)]), module)

    def test_resuming_puts_them_back(self, config: dict[str, Any], folder: Path, tmp_path: Path) -> None:
        path = train(tiny_module(**config), tmp_path / "last.ckpt")
        module = tiny_module(**config)
        trainer = quiet_trainer(max_steps=4)
        trainer.fit(module, tiny_loader(2), ckpt_path=path, weights_only=True)
        assert trainer.global_step == 4

    def test_changed_weights_are_stored(self, config: dict[str, Any], folder: Path, tmp_path: Path) -> None:
        module = tiny_module(**config)
        with torch.no_grad():
            module.conditioner.text_encoder.get_input_embeddings().weight[3] += 1
        path = train(module, tmp_path / "last.ckpt")
        stored = [name for name in read_checkpoint(path)["state_dict"] if name.startswith(self.ENCODER)]
        assert len(stored) == 1
        assert "token_embedding" in stored[0]
        assert_same_weights(load_module(path, trust=[str(folder)]), module)

    def test_widened_convolution_is_stored(self, config: dict[str, Any], folder: Path, tmp_path: Path) -> None:
        trainable = {"denoiser.network.time_embedding.*": {}}
        module = tiny_module(**config, stages=[IP2P["stages"][0] | {"trainable": trainable}])
        path = train(module, tmp_path / "last.ckpt")
        stored = {name for name in read_checkpoint(path)["state_dict"] if name.startswith("denoiser.")}
        assert "denoiser.network.conv_in.weight" in stored
        assert "denoiser.network.conv_out.weight" not in stored
        assert_same_weights(load_module(path, trust=[str(folder)]), module)

    def test_a_folder_that_changed_is_noticed(self, config: dict[str, Any], folder: Path, tmp_path: Path) -> None:
        path = train(tiny_module(**config), tmp_path / "last.ckpt")
        build_text_encoder(world_tokenizer(), 32, 1, 2, 12).save_pretrained(folder / "text_encoder")
        with pytest.raises(ValueError, match=r"text_encoder.* was left out .* its value is another now"):
            load_module(path, trust=[str(folder)])

    def test_trained_weights_start_another_run(self, config: dict[str, Any], folder: Path, tmp_path: Path) -> None:
        path = train(tiny_module(**config), tmp_path / "last.ckpt")
        target = tiny_module(**config, seed=1)
        initialise(target, [{"checkpoint": str(path)}])
        assert_same_weights(target, load_module(path, trust=[str(folder)]))
        with pytest.raises(ValueError, match="was left out of the checkpoint"):
            initialise(tiny_module(seed=1), [{"checkpoint": str(path)}])


class TestBadFiles:
    """Files that are no usable checkpoints."""

    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no such checkpoint file"):
            load_module(tmp_path / "absent.ckpt")
        with pytest.raises(FileNotFoundError, match="is a folder, not a checkpoint file"):
            load_module(tmp_path)

    @pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
    def test_truncated(self, kept: float, trained: tuple[EditingModule, Path], tmp_path: Path) -> None:
        data = trained[1].read_bytes()
        path = tmp_path / "cut.ckpt"
        path.write_bytes(data[: int(kept * len(data))])
        with pytest.raises(CheckpointError, match=r"cut\.ckpt: not readable as a checkpoint.*truncated"):
            load_module(path)

    def test_no_checkpoint(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.ckpt"
        path.write_bytes(os.urandom(1000))
        with pytest.raises(CheckpointError, match="not readable as a checkpoint"):
            load_module(path)
        torch.save({"weight": torch.zeros(2)}, path)
        with pytest.raises(CheckpointError, match="no Lightning checkpoint"):
            load_module(path)
        torch.save(torch.zeros(2), path)
        with pytest.raises(CheckpointError, match="no Lightning checkpoint"):
            load_module(path)

    def test_pickled_code_is_not_run(self, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "ran"),)

        path = tmp_path / "bomb.ckpt"
        torch.save({"state_dict": {}, "config": Bomb()}, path)
        with pytest.raises(CheckpointError, match="not readable"):
            load_module(path)
        assert not (tmp_path / "ran").exists()

    def test_the_original_layout_is_pointed_to_its_converter(self, tmp_path: Path) -> None:
        state = {"model.diffusion_model.out.2.bias": torch.zeros(4), "cond_stage_model.x": torch.zeros(1)}
        torch.save({"state_dict": state, "global_step": 22000}, path := tmp_path / "instruct-pix2pix-00-22000.ckpt")
        with pytest.raises(CheckpointError, match=f"ip2p convert checkpoint={path} output=FOLDER"):
            load_module(path)

    def test_without_configuration(self, tmp_path: Path) -> None:
        module = tiny_module()
        module.config = None
        with pytest.raises(CheckpointError, match="holds no configuration"):
            load_module(train(module, tmp_path / "last.ckpt"))

    @pytest.mark.parametrize(
        "target",
        [
            "os.mkdir",
            "builtins.eval",
            "ip2p_lightning.diffusion.sampling.copy.os.mkdir",
            "ip2p_lightning.methods.checkpoint.Path.mkdir",
            "ip2p_lightning.jobs.train.run",
            "transformers.AutoModel.os.mkdir",
            "transformers.pipeline",
        ],
    )
    def test_untrusted_targets_are_refused(
        self, target: str, trained: tuple[EditingModule, Path], tmp_path: Path
    ) -> None:
        checkpoint = torch.load(trained[1], weights_only=True)
        checkpoint["config"]["dropout"] = {"_target_": target, "_args_": [str(tmp_path / "ran")]}
        path = tmp_path / "evil.ckpt"
        torch.save(checkpoint, path)
        with pytest.raises(ValueError, match=r"dropout._target_.*may not be built"):
            load_module(path)
        assert not (tmp_path / "ran").exists()

    def test_weights_of_another_architecture(self, trained: tuple[EditingModule, Path], tmp_path: Path) -> None:
        checkpoint = torch.load(trained[1], weights_only=True)
        network = checkpoint["config"]["denoiser"]["network"]
        path = tmp_path / "other.ckpt"
        network["widths"] = [16, 32]
        torch.save(checkpoint, path)
        with pytest.raises(CheckpointError, match=r"other\.ckpt: .*another shape \(denoiser.* the model needs"):
            load_module(path)
        network["widths"] = [8]
        torch.save(checkpoint, path)
        with pytest.raises(CheckpointError, match=r"unknown \(denoiser\.network"):
            load_module(path)


class TestInitialise:
    """Parts of other runs and pretrained folders."""

    def test_parts_of_a_checkpoint(self, trained: tuple[EditingModule, Path]) -> None:
        source, path = trained
        target = tiny_module(MGIE, seed=3)
        target.conditioner.align_to(tiny_module(seed=4).conditioner)
        conditioner = copy.deepcopy(target.conditioner)
        initialise(
            target,
            [
                {"checkpoint": str(path), "from": "denoiser"},
                {"checkpoint": str(path), "from": "conditioner", "to": "conditioner.alignment_teacher"},
            ],
        )
        assert_same_weights(target.denoiser, source.denoiser)
        assert_same_weights(target.conditioner.alignment_teacher, source.conditioner)
        assert_same_weights(target.conditioner, conditioner)

    def test_parts_of_an_exported_folder(self, tmp_path: Path) -> None:
        from ip2p_lightning.interop import export

        source = tiny_module(seed=5)
        folder = str(export(source, tmp_path / "pipeline"))
        module = initialise(tiny_module(), [{"checkpoint": folder, "from": "denoiser"}])
        assert_same_weights(module.denoiser, source.denoiser)
        with pytest.raises(AssertionError):
            assert_same_weights(module.conditioner, source.conditioner)
        assert_same_weights(load_part(folder, "conditioner"), source.conditioner)
        with pytest.raises(ValueError, match=r"no weights under 'nothing'; it holds autoencoder, conditioner"):
            initialise(module, [{"checkpoint": folder, "from": "nothing", "to": "denoiser"}])
        with pytest.raises(FileNotFoundError, match=r"no model_index\.json"):
            load_part(tmp_path, "conditioner")

    def test_unet_of_a_diffusers_folder_is_widened(self, tmp_path: Path) -> None:
        unet = build_unet(4, 32, (8, 16), heads=2, norm_groups=4)
        unet.save_pretrained(tmp_path / "unet")
        module = initialise(tiny_module(), [{"pretrained": str(tmp_path / "unet"), "to": "denoiser"}])
        weight = module.denoiser.network.conv_in.weight
        assert torch.equal(weight[:, :4], unet.conv_in.weight)
        assert not weight[:, 4:].any()
        assert torch.equal(module.denoiser.network.conv_in.bias, unet.conv_in.bias)

    def test_component_of_a_pipeline_folder_is_found_by_its_class(self, tmp_path: Path) -> None:
        from ip2p_lightning.interop import export

        source = tiny_module(seed=5)
        export(source, tmp_path / "pipeline")
        module = tiny_module()
        for part in ("denoiser", "autoencoder", "conditioner.text_encoder"):
            initialise(module, [{"pretrained": str(tmp_path / "pipeline"), "to": part}])
        assert_same_weights(module, source)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ({"from": "nothing"}, r"no weights under 'nothing'; it holds autoencoder, conditioner, denoiser"),
            ({"from": "denoiser", "to": "nothing"}, "the module has no part 'nothing'; choose one of"),
            ({"from": "denoiser", "to": "autoencoder"}, r"\(from 'denoiser' to 'autoencoder'\).*missing"),
            ({"from": "denoiser", "into": "denoiser"}, "of .checkpoint: file"),
        ],
    )
    def test_sources_that_do_not_fit(
        self, source: dict[str, str], message: str, trained: tuple[EditingModule, Path]
    ) -> None:
        with pytest.raises(ValueError, match=message):
            initialise(tiny_module(), [{"checkpoint": str(trained[1]), **source}])

    def test_folders_that_do_not_fit(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="absent: no such folder"):
            initialise(tiny_module(), [{"pretrained": str(tmp_path / "absent"), "to": "denoiser"}])
        build_unet(4, 32, (16, 32), heads=2).save_pretrained(tmp_path / "unet")
        with pytest.raises(CheckpointError, match="another architecture"):
            initialise(tiny_module(), [{"pretrained": str(tmp_path / "unet"), "to": "denoiser"}])
        with pytest.raises(ValueError, match="no pretrained format"):
            initialise(tiny_module(), [{"pretrained": str(tmp_path / "unet"), "to": "denoiser.network.conv_in"}])

    def test_instantiated_folder_equals_its_network(self, tmp_path: Path) -> None:
        unet = build_unet(4, 32, (8, 16), heads=2, norm_groups=4)
        unet.save_pretrained(tmp_path / "unet")
        config = {"_target_": "ip2p_lightning.models.denoiser.load_unet", "weights": str(tmp_path), "config": {}}
        assert_same_weights(instantiate_trusted(config, trust=[str(tmp_path)]), unet)
        with pytest.raises(TrustError, match=r"refers to weights in '.*'.*say so: trust="):
            instantiate_trusted(config)
        assert isinstance(instantiate_trusted(config | {"weights": None, "config": UNET_TINY}), UNet2DConditionModel)


UNET_TINY = {
    "block_out_channels": [8],
    "down_block_types": ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"],
    "norm_num_groups": 4,
}
